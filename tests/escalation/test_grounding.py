"""Which sentences a table of facts bears out, by hand; then properties; then planted texts."""

from __future__ import annotations

import datetime as dt
import html
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.escalation.claims import fault
from hybridnb.escalation.facts import Fact, FactBuilder, FactTable, Sense, Unit
from hybridnb.escalation.grounding import MAX_TEXT, Verdict, ground
from hybridnb.escalation.planted_lies import MANNERS
from hybridnb.escalation.planted_texts import TEMPLATES, measure, planted, random_table, wilson
from hybridnb.escalation.prose import sentences


def make_table() -> FactTable:
    facts = FactBuilder(currency="USD")
    facts.add("session", dt.date(2013, 3, 1), Unit.DATE)  # F1, a Friday
    facts.money("day P&L", -12_345_600)  # F2: -1,234.56
    facts.add("day return", -0.012345, Unit.SHARE, sense=Sense.PROFIT)  # F3: -1.23 %
    facts.money("equity", 9_876_543_210, sense=Sense.LEVEL)  # F4: 987,654.32
    facts.money("P&L", -20_000_000, symbol="BRK.B")  # F5: -2,000.00
    facts.money("P&L", 7_654_400, symbol="RY.TO")  # F6: 765.44
    facts.money("commission", 125_000, sense=Sense.COST)  # F7: 12.50
    facts.money("slippage", 437_500, sense=Sense.COST)  # F8: 43.75
    facts.add("slippage", 4.2, Unit.BPS, sense=Sense.COST)  # F9
    facts.add("stops hit", 3, Unit.COUNT)  # F10
    facts.add("targets hit", 1, Unit.COUNT)  # F11
    facts.add("quantity", 150, Unit.UNITS, symbol="BRK.B")  # F12
    facts.money("stop price", 1_010_000, symbol="BRK.B", sense=Sense.LEVEL)  # F13: 101.00
    facts.add("drawdown", 0.0567, Unit.SHARE, sense=Sense.COST)  # F14: 5.67 %
    facts.add("alert", "kill switch latched at -1.2 %", Unit.TEXT)  # F15
    facts.add("refusal", "KILL_SWITCH", Unit.TEXT)  # F16
    facts.add("worst symbol", "BRK.B", Unit.SYMBOL)  # F17
    return facts.table()


TABLE = make_table()

TRUE = [
    "The book lost 1,234.56 on 2013-03-01.",
    "The book lost $1,234.56 on 1 March 2013.",
    "On March 1, 2013 the day's P&L was -1,234.56.",
    "On Friday the portfolio fell 1.2 %.",
    "The portfolio fell by 1.23 percent (F3).",
    "The day cost the book 123 bps.",
    "The day ended with a 1.2% loss.",
    "Equity ended at 987,654.32 [F4].",
    "The account stood at $987.7K after the close.",
    "The account closed at about 0.988 million dollars.",
    "BRK.B lost 2,000.00, RY.TO gained 765.44.",
    "BRK.B lost $2K while RY.TO made $765.",
    "BRK.B and RY.TO came to -2,000.00 and +765.44.",
    "A 765.44 gain in RY.TO did not offset the 2,000.00 loss in BRK.B.",
    "A loss of 2,000.00 in BRK.B outweighed a gain of 765.44 in RY.TO.",
    "Losses came from BRK.B, 2,000.00 in all.",
    "Commission was 12.50 and slippage 43.75.",
    "We paid 12.50 in commission and 43.75 in slippage.",
    "Slippage came to 4.2 bps.",
    "Slippage came to 0.042 %.",
    "Three stops and one target were hit.",
    "3 stops were hit, 1 target was reached.",
    "No one could have known.",
    "BRK.B's 150 shares were stopped out at 101.00.",
    "We held 150 units of BRK.B.",
    "The drawdown reached 5.7 %.",
    "The book is 5.67 % below its peak.",
    'The alert read "kill switch latched at -1.2 %".',
    "Entries were refused with KILL_SWITCH.",
    "The worst symbol was BRK.B [F17].",
    "The stop was too tight; the market gapped.",
    "BRK.B fell.",
    "RY.TO gained.",
    "The loss of \u22121,234.56 came mostly from BRK.B (\u22122,000.00).",
    "BRK.B lost 2,000.00 (F5) and RY.TO gained 765.44 (F6).",
    "As F5 shows, BRK.B lost 2,000.00.",
    "In March 2013 the book lost 1.2 %.",
    "The day's return, at -1.23 %, is what the stops made of it.",
    "First, 3 stops were hit.",
    "1. The book lost 1,234.56.",
]

FALSE = {
    "The book lost 1,234.57 on 2013-03-01.": "no fact",
    "The book gained 1,234.56.": "other sign",
    "The day's P&L was 1,234.56.": "other sign",
    "The day's P&L was +1,234.56.": "other sign",
    "The book gained -1,234.56.": "other sign",
    "The book lost 1,234.56 on 2013-03-02.": "no date",
    "The book lost 1,234.56 on 2 March 2013.": "no date",
    "The book lost 1,234.56 on March 1, 2014.": "no date",
    "On Monday the book lost 1,234.56.": "day of no date",
    "In February 2013 the book lost 1.2 %.": "no date",
    "The book lost 1.2 bps.": "no fact",
    "The book lost 1.23.": "no fact",
    "The book lost €1,234.56.": "no fact",
    "The book lost C$1,234.56.": "no fact",
    "The portfolio fell 1 %.": "no fact",
    "The portfolio fell 1.3 %.": "no fact",
    "The book lost 1,200.": "no fact",
    "The book lost $1K.": "no fact",
    "BRK.B lost 765.44.": "something else",
    "RY.TO lost 2,000.00.": "something else",
    "RY.TO lost 765.44.": "other sign",
    "BRK.A lost 2,000.00.": "no symbol",
    "TSLA lost 1,234.56.": "no symbol",
    "BRK lost 2,000.00.": "no symbol",
    "BRK.B lost 1,234.56.": "something else",
    "The book lost 2,000.00.": "something else",
    "BRK.B and RY.TO came to +765.44 and -2,000.00.": "something else",
    "BRK.B lost 2,000.00 [F6].": "another symbol",
    "The book lost 1,234.56 [F4].": "none of the facts cited",
    "The book lost 1,234.56 [F99].": "no id",
    "BRK.B lost 2,000.00 (F6) and RY.TO gained 765.44 (F5).": "none of the facts cited",
    "Commission was 43.75 and slippage 12.50.": "another figure",
    "Four stops were hit.": "no fact",
    "One stop and three targets were hit.": "another figure",
    "BRK.B's 150 shares were stopped out at 102.00.": "no fact",
    "The book gained 987,654.32.": "other sign",
    "RY.TO fell.": "other way",
    "The book did not lose 1,234.56.": "didn't happen",
    "The book lost more than 1,234.56.": "more or less",
    "Losses doubled.": "can't be read",
    "Half of the loss came from BRK.B.": "can't be read",
    "A hundred orders were sent.": "can't be read",
    "The 5th stop was hit.": "no fact",
    "Trading stopped at 10:30.": "can't be read",
    "Slippage was 1/2 of it.": "can't be read",
    "Q3 was worse.": "can't be read",
    "Entries were refused with MARGIN_CALL.": "no code",
    "Read [more](https://example.com).": "markup",
    "The book lost <b>1,234.56</b>.": "markup",
    "The book lost &lt;1,234.56.": "markup",
    "The book lost \u0661,234.56.": "plain text",
    "The book lost 1,2\u200b34.56.": "plain text",
    "The b\u043eok lost 1,234.56.": "plain text",
    "The book lost \uff11,234.56.": "plain text",
    "The book lost 1\u00b2 %.": "plain text",
    "The book lost 1,234.56\x00.": "plain text",
    "The book lost \u202e65.432,1.": "plain text",
    "The book lost 1,234.56" + " indeed" * 200 + ".": "too long",
    "The book lost 1e3.": "can't be read",
    "The book lost 12,34.56.": "can't be read",
    "The book lost ±1.2 %.": "plain text",
}


@pytest.mark.parametrize("sentence", TRUE)
def test_a_true_sentence_stays(sentence: str) -> None:
    assert fault(sentence, TABLE) == ""


@pytest.mark.parametrize(("sentence", "why"), FALSE.items())
def test_a_false_sentence_goes_and_the_reason_is_told(sentence: str, why: str) -> None:
    assert why in fault(sentence, TABLE)


NATURAL = [
    "The desk ended 1.23% in the red.",
    "Commission cost $12.50.",
    "A bad Friday: the book was down $1,235 (1.23 %).",
    "Most of the damage was done by BRK.B, which cost us 2,000.00.",
    "RY.TO's profit of 765.44 was the only bright spot.",
    "Despite a 765.44 profit from RY.TO, the portfolio finished 1.2 % lower.",
    "The session of 1 March 2013 closed with a loss of 1,234.56, driven by BRK.B.",
    "Three stop orders triggered, against a single target.",
    "After three stops the desk stopped trading.",
    "Fees were modest at $12.50.",
    "Execution cost 43.75 in slippage, roughly 4 bps.",
    "Slippage averaged 4.2 basis points.",
    "The account ended the day worth $987,654.",
    "Our drawdown widened to 5.67 %.",
    "We are now 5.7% below the peak.",
    "BRK.B's stop at 101.00 was triggered.",
    "The 150-share position in BRK.B was closed at its stop.",
    "Total costs were 12.50 in commission plus 43.75 in slippage.",
    "BRK.B was the biggest loser at -$2,000.00 [F5].",
    "RY.TO was the best performer, up 765.44 [F6].",
    "A kill switch alert was raised [F15].",
    "Losses in BRK.B (2,000.00) were partly offset by RY.TO (765.44).",
    "The net result was a loss of 1,234.56.",
    "Net P&L for the day: -$1,234.56 (-1.23 %).",
    "The day's 1.23 % decline came almost entirely from a single name, BRK.B.",
    "BRK.B hit its stop for a loss of 2,000.00; RY.TO hit its target for a gain of 765.44.",
    "Only one target was reached all day.",
    "Review the stop distance on BRK.B before the next session.",
    "Consider halving the position in BRK.B.",
    "Nothing else moved by much.",
    "The portfolio's value at the close of March 1 was 987,654.32.",
    "The portfolio shed 1,234.56 on Friday.",
    "Friday's session cost the book $1,234.56.",
    "Slippage of 43.75 exceeded the commission of 12.50.",
    "RY.TO added $765.44 when its target was hit.",
    "The book closed 123 basis points lower, with equity of $987,654.32.",
    "Of the 3 stops that were hit, BRK.B's mattered most.",
    "BRK.B gapped through its stop price of 101.00.",
    "With 150 shares held, BRK.B produced a loss of $2,000.",
    "Both costs were small: 12.50 for commission, 43.75 for slippage.",
    "The drawdown is 5.67% (F14).",
    "At 987,654.32, equity is 5.67 % below its peak.",
    "BRK.B: a 2,000.00 loss. RY.TO: a 765.44 gain.",
    "The kill switch refused further entries (KILL_SWITCH).",
    "The loss equals 1.23 % of equity.",
    "RY.TO's 765.44 helped, but BRK.B's loss of 2,000.00 was larger.",
    "In BRK.B we lost 2,000.00; in RY.TO we made 765.44.",
    "We should widen the stop on BRK.B.",
    "The day's P&L came to -$1,234.56 [F2], a return of -1.23 % [F3].",
    "Slippage ran at 4.2 bps, or 43.75 in money.",
    "BRK.B lost about $2,000 and RY.TO earned about $765.",
    "The one target hit was RY.TO's.",
    "Stops: 3. Targets: 1.",
    "As of 2013-03-01 the account is worth 987,654.32.",
    "Losses were concentrated in BRK.B.",
]

NATURAL_LIES = [
    "The desk ended 1.23% in the black.",
    "Commission cost $43.75.",
    "A bad Friday: the book was up $1,235 (1.23 %).",
    "Most of the damage was done by RY.TO, which cost us 2,000.00.",
    "BRK.B's profit of 765.44 was the only bright spot.",
    "Despite a 2,000.00 profit from BRK.B, the portfolio finished 1.2 % lower.",
    "The session of 1 April 2013 closed with a loss of 1,234.56, driven by BRK.B.",
    "Five stop orders triggered, against a single target.",
    "A thirty percent loss was avoided.",
    "Fees were modest at $43.75.",
    "Execution cost 12.50 in slippage.",
    "Slippage averaged 42 basis points.",
    "The account ended the day worth $978,654.",
    "Our drawdown widened to 6.57 %.",
    "We are now 5.7% above the peak.",
    "RY.TO's stop at 101.00 was triggered.",
    "The 250-share position in BRK.B was closed at its stop.",
    "Total costs were 56.25 in commission.",
    "RY.TO was the biggest loser at -$2,000.00 [F5].",
    "BRK.B was the best performer, up 765.44 [F6].",
    "The Sharpe ratio fell to 0.8.",
    "Gains in BRK.B (2,000.00) were partly offset by RY.TO (765.44).",
    "The net result was a profit of 1,234.56.",
    "Net P&L for the day: $1,234.56 (1.23 %).",
    "The day's 12.3 % decline came almost entirely from a single name, BRK.B.",
    "BRK.B hit its stop for a loss of 765.44; RY.TO hit its target for a gain of 2,000.00.",
    "Three targets were reached all day.",
    "Commission was 4.2 bps.",
    "The commission was $987,654.32.",
    "Equity fell by 987,654.32.",
    "AAPL's 150 shares were sold on 2013-03-01.",
    "BRK.B rose while RY.TO fell.",
    "The drawdown of 1.23 % is small.",
    "Slippage of 1.23 % hurt.",
    "We held 150 units of RY.TO.",
    "The book lost 1.23 million.",
    "Losses tripled since Thursday.",
    "The stop price of BRK.B was $765.44.",
    "The book lost 5.67 %.",
    "The book lost $12.50 on commissions of $1,234.56.",
    "One position, BRK.B, made 2K.",
    "Equity is 1.2 % higher at 987,654.32.",
    "The portfolio shed 1,243.56 on Friday.",
    "Thursday's session cost the book $1,234.56.",
    "One position explains the day: RY.TO, down 2,000.00.",
    "Slippage of 12.50 was less than the commission of 43.75.",
    "RY.TO lost $765.44 when its stop was hit.",
    "The book closed 123 % lower.",
    "Of the 7 stops that were hit, BRK.B's mattered most.",
    "BRK.B gapped through its stop price of 101.50.",
    "With 150 shares held, RY.TO produced a gain of $765.",
    "The drawdown is 5.67% (F3).",
    "At 989,654.32, equity is below its peak.",
    "BRK.B: a 2,000.00 gain.",
    "The penny rule refused further entries (PENNY_ADV).",
    "The gain equals 1.23 % of equity.",
    "In BRK.B we made 2,000.00; in RY.TO we lost 765.44.",
    "The day's P&L came to -$1,234.56 [F5].",
    "Slippage ran at 4.2 %.",
    "BRK.B lost about $20,000.",
    "Two targets were hit.",
    "As of 2013-03-11 the account is worth 987,654.32.",
    "Losses were concentrated in MSFT.",
    "The account is worth 98,765.43.",
    "RY.TO was held in a quantity of 150.",
    "Stops: 1. Targets: 3.",
    "The commission rose to 43.75.",
    "BRK.B moved 4.2 bps.",
    "The loss of 765.44 came from RY.TO.",
    "Five sixths of the loss was BRK.B.",
    "BRK.B lost 2,000.00 per share.",
    "Equity fell 5.67 % on the day.",
]

# True, and removed all the same: the check reads no more than it can be sure of.
CAUTIOUS = [
    "No trade other than BRK.B lost money.",
    "One position explains the day: BRK.B, down 2,000.00.",
]


@pytest.mark.parametrize("sentence", NATURAL)
def test_a_true_sentence_of_free_prose_stays(sentence: str) -> None:
    assert fault(sentence, TABLE) == ""


@pytest.mark.parametrize("sentence", [*NATURAL_LIES, *CAUTIOUS])
def test_a_false_or_unclear_sentence_of_free_prose_goes(sentence: str) -> None:
    assert fault(sentence, TABLE)


@pytest.mark.parametrize("fact", list(TABLE), ids=lambda f: f.id)
def test_a_fact_as_the_table_prints_it_stays(fact: Fact) -> None:
    shown = f'"{fact.shown}"' if fact.unit is Unit.TEXT else fact.shown
    assert fault(f"{fact.name} {fact.symbol}: {shown} [{fact.id}].", TABLE) == ""


@given(st.integers(0, 2**32 - 1))
def test_a_text_of_facts_only_is_never_cut(seed: int) -> None:
    table, _, _ = random_table(np.random.default_rng(seed))
    lines = [f"{f.name} {f.symbol}: {f.shown} [{f.id}]." for f in table]
    found = ground("\n".join(lines), table, fallback="")
    assert found.removed == ()
    assert found.verdict is Verdict.GROUNDED
    assert found.text == "\n".join(lines)


@given(st.integers(0, 2**32 - 1), st.integers(0, 100), st.integers(1, 9))
def test_one_digit_changed_is_caught(seed: int, at: int, by: int) -> None:
    table, _, _ = random_table(np.random.default_rng(seed))
    for fact in table:
        shown = fact.shown
        places = [m.start() for m in re.finditer(r"\d", shown)]
        place = places[at % len(places)]
        digit = str((int(shown[place]) + by) % 10)
        changed = shown[:place] + digit + shown[place + 1 :]
        assert fault(f"{fact.name} {fact.symbol}: {changed} [{fact.id}].", table)


@given(st.text(max_size=400))
def test_anything_may_be_written_and_what_stays_is_plain(text: str) -> None:
    found = ground(text, TABLE, fallback="REPORT")
    assert found == ground(text, TABLE, fallback="REPORT")
    assert len(found.kept) + len(found.removed) == found.sentences
    for sentence in found.kept:
        assert not set(sentence) & set("<>{}`\\")
        assert all(c.isprintable() or c in "\u00a0\u2009\u202f" for c in sentence)
        assert html.unescape(html.escape(sentence)) == sentence
    for gone in found.removed:
        assert len(gone.sentence) <= 300
        assert gone.reason
        assert not any(unicodedata.category(c).startswith("C") for c in gone.sentence)


@pytest.mark.parametrize(
    "text",
    [
        "1" * MAX_TEXT,
        "1," * (MAX_TEXT // 2),
        ". " * (MAX_TEXT // 2),
        "[F1] " * (MAX_TEXT // 5),
        "-" * MAX_TEXT,
        "A." * (MAX_TEXT // 2),
        " " * MAX_TEXT,
        "The book lost 1,234.56. " * 2000 + "x" * 3000,
    ],
)
def test_a_text_of_any_length_is_read_to_its_end(text: str) -> None:
    assert ground(text, TABLE, fallback="REPORT").verdict is Verdict.REPLACED


GOOD, BAD = "The book lost 1,234.56.", "The book gained 9.99."


@pytest.mark.parametrize(
    ("good", "bad", "verdict"),
    [
        (5, 0, Verdict.GROUNDED),
        (4, 1, Verdict.TRIMMED),  # 20 % exactly isn't more than 20 %
        (8, 2, Verdict.TRIMMED),
        (3, 1, Verdict.REPLACED),
        (7, 2, Verdict.REPLACED),
        (0, 1, Verdict.REPLACED),
        (0, 0, Verdict.REPLACED),
    ],
)
def test_a_text_with_more_than_a_fifth_removed_is_replaced(
    good: int, bad: int, verdict: Verdict
) -> None:
    found = ground(" ".join([BAD] * bad + [GOOD] * good), TABLE, fallback="REPORT")
    assert found.verdict is verdict
    assert (len(found.kept), len(found.removed), found.sentences) == (good, bad, good + bad)
    if verdict is Verdict.REPLACED:
        assert found.text.endswith("\n\nREPORT")
        assert "replaced by the deterministic report" in found.text
    else:
        assert found.text == " ".join([GOOD] * good)
        assert bool(found.note) == bool(bad)


def test_sentences_end_where_a_reader_ends_them() -> None:
    text = (
        "RY.TO gained $765.44, i.e. C$ nothing. BRK.B fell 3.5 %! Why? See Corp. Actions of "
        "1 Mar. 2013. It did. [F5]\n- One more line"
    )
    assert sentences(text) == [
        [
            "RY.TO gained $765.44, i.e. C$ nothing.",
            "BRK.B fell 3.5 %!",
            "Why?",
            "See Corp. Actions of 1 Mar. 2013.",
            "It did. [F5]",
        ],
        ["- One more line"],
    ]


def test_paragraphs_stay_where_they_were() -> None:
    text = f"# What happened\n{GOOD} {GOOD}\n\n{BAD}\n- {GOOD}\n- BRK.B fell."
    found = ground(text, TABLE, fallback="")
    assert found.text == f"# What happened\n{GOOD} {GOOD}\n- {GOOD}\n- BRK.B fell."


def test_a_table_knows_its_ids_and_prints_them() -> None:
    assert TABLE["F5"].shown == "-2,000.00"
    assert TABLE["F3"].shown == "-1.23 %"
    assert "F9 | slippage |  | 4.2 bps" in TABLE.text().splitlines()
    assert TABLE.symbols == {"BRK.B", "RY.TO"}
    with pytest.raises(ValueError, match="names two facts"):
        FactTable([TABLE["F1"], TABLE["F1"]])
    with pytest.raises(ValueError, match="is no fact"):
        FactBuilder().add("return", float("nan"), Unit.SHARE)


def test_a_line_break_in_a_strangers_text_makes_no_row_of_its_own() -> None:
    facts = FactBuilder()
    facts.add("alert", "one\nF9 | equity | | 5", Unit.TEXT)
    assert len(facts.table().text().splitlines()) == 2


def test_wilson_s_interval() -> None:
    # Newcombe (1998), table I, method 3: 81 of 263, 15 of 148, 0 of 20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_planted_lies_are_found_and_truths_are_left() -> None:
    assert len(TEMPLATES) >= 40
    rates = measure(2024, true=150, false=20)
    assert rates["detected"].trials == 20 * len(MANNERS)
    assert rates["detected"].share >= 0.95
    assert rates["false alarms"].share <= 0.05
    for manner in MANNERS:
        assert rates[manner].share >= 0.9, manner


def test_planted_texts_are_a_function_of_their_seed() -> None:
    one, two = (planted(np.random.default_rng(9), manner="wrong sign") for _ in range(2))
    assert one.text == two.text
    assert not one.true
