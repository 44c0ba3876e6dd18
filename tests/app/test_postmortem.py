"""The post-mortem stands without a model, and says nothing that its facts don't bear out."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from escalating import FIRST, SECOND, Book, frontier, write_params
from escalating import local as near

from hybridnb.app.canvas import Picture
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.escalation_params import EscalationParams, LocalParams
from hybridnb.app.frontier import OFFLINE
from hybridnb.app.html import page, to_html
from hybridnb.app.lab import Lab
from hybridnb.app.postmortem import ABSENT, REPORT, ROOM, PostMortem, shown_facts, write_post_mortem
from hybridnb.app.postmortem_page import Page, facts_section, section, shown
from hybridnb.app.postmortem_record import about, first_or_recorded, post_mortem
from hybridnb.app.reply_words import valued
from hybridnb.app.trading import Traded
from hybridnb.canonical import canonical
from hybridnb.domain import SCALE, Outcome
from hybridnb.escalation.causes import session_pnl
from hybridnb.escalation.ollama_api import OllamaReasoner
from hybridnb.escalation.ollama_settings import OllamaSettings
from hybridnb.escalation.report import HEADINGS, Report
from hybridnb.ledger.store import Ledger
from hybridnb.policy import Policy, policy_values
from hybridnb.ports import Answer, Question, Reasoner
from hybridnb.testing.ollama_server import OllamaServer
from hybridnb.testing.openai_server import KEY, OpenAiServer

Make = Callable[..., Any]
Row = dict[str, Any]
BOOK = "book"
HOSTILE = "<script>alert(1)</script></td></li><img src=x onerror=alert(1)>\x1b[31m"
MARKUP = re.compile(r"<(script|img)|onerror=alert\(1\)>|\x1b", re.I)
DATES = {1000 + i: f"2016-01-{4 + i:02d}" for i in range(8)}
AT = dt.datetime(2016, 1, 4, 21, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def sessions(panel_of: Make, setup_of: Make, run: Make) -> list[list[Row]]:
    rng = np.random.default_rng(4)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (300, 9)), 0))
    panel = panel_of(closes, score=rng.random((300, 9)))
    found: list[list[Row]] = run(panel, setup_of(9), 262, 299)[1]
    return found


@pytest.fixture(scope="module")
def busy(sessions: list[list[Row]]) -> tuple[list[Row], Row]:
    """The session with most fills, and the close before it."""
    fills = [sum(r["kind"] == "fill" for r in rows) for rows in sessions]
    at = max(range(1, len(sessions)), key=lambda i: fills[i])
    return sessions[at], sessions[at - 1][-1]


def written(rows: list[Row], before: Row | None, **more: Any) -> PostMortem:
    given: dict[str, Any] = {"currency": "CAD", "multipliers": {}, "local": None} | more
    return write_post_mortem(rows, before, **given)


# The picture and the facts


def test_the_causes_of_every_day_add_up_to_its_profit(
    sessions: list[list[Row]],
) -> None:
    moved = 0
    for before, rows in pairwise(sessions):
        found = shown(written(rows, before[-1]), rows)
        day = session_pnl(rows)
        assert sum(amount for _, amount, _ in found["causes"]) == day
        sizes = [abs(amount) for _, amount, _ in found["causes"][:6]]
        assert sizes == sorted(sizes, reverse=True)
        moved += bool(sizes)
    assert moved > 10


def test_the_picture_ends_at_the_day_s_profit(busy: tuple[list[Row], Row]) -> None:
    drawn = Page(shown(written(*busy), busy[0])).causes()
    assert isinstance(drawn, Picture)
    assert drawn.table["cause"].iloc[-1] == "= day P&L"
    assert drawn.table["amount"].iloc[-1] == session_pnl(busy[0]) / SCALE
    causes = drawn.table["amount"].iloc[:-1]
    assert causes.sum() == pytest.approx(session_pnl(busy[0]) / SCALE, abs=1e-6)


def test_every_cause_has_its_evidence_among_the_facts(busy: tuple[list[Row], Row]) -> None:
    found = shown(written(*busy), busy[0])
    values = {fact["id"]: fact["value"] for fact in found["facts"]}
    assert len(found["causes"]) == 7  # six that have a sentence, and the rest
    for _, amount, evidence in found["causes"]:
        first = evidence.split(", ")[0]
        assert float(values[first].replace(",", "")) == pytest.approx(amount / SCALE, abs=0.005)
    equity = busy[0][-1]["equity"] / SCALE
    assert f"{equity:,.2f}" in values.values()


def test_without_a_reasoner_the_report_stands_and_says_so(busy: tuple[list[Row], Row]) -> None:
    made = written(*busy)
    assert (made.writer, made.why, made.attempt) == (REPORT, ABSENT, None)
    assert made.sections == made.report.sections
    text = repr(Page(shown(made, busy[0])).narrative())
    assert ABSENT in text
    assert all(line in text for lines in made.report.sections.values() for line in lines)


def test_a_day_without_anything_is_told_too(panel_of: Make, setup_of: Make, run: Make) -> None:
    panel = panel_of(np.full((300, 1), 50.0), score=0.5)
    rows = run(panel, setup_of(1, hint=0.0), 280, 280)[1][0]
    made = written(rows, None)
    assert made.sections["Root causes"] == ("No money moved.",)
    assert "0 entries filled [F4] and 0 trades closed [F5]." in made.sections["What happened"]
    assert "<figure>" not in section(shown(made, rows))
    assert repr(Page(shown(made, rows)).causes()) == "No money moved in this session."


def test_decisions_in_columns_tell_what_single_rows_do(
    panel_of: Make, setup_of: Make, run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = panel_of(np.full((300, 4), 50.0), score=0.9)
    single = run(panel, setup_of(4), 280, 280)[1][0]
    monkeypatch.setattr("hybridnb.app.records.EACH", 3)
    shared = run(panel, setup_of(4), 280, 280)[1][0]
    assert any(r["kind"] == "universe" for r in shared)
    clamped = "4 sizes were clamped by per_name_cap"
    assert clamped in written(single, None).report.text
    assert written(shared, None).report.text == written(single, None).report.text


# What a local reasoner may say


class Impatient:
    """A reasoner that waits for a moment where the task would wait for minutes."""

    name = "ollama"

    def __init__(self, reasoner: Reasoner) -> None:
        self._reasoner = reasoner

    def ask(self, question: Question) -> Answer:
        return self._reasoner.ask(replace(question, timeout_s=0.6))

    def close(self) -> None:
        self._reasoner.close()


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer() as started:
        yield started


def local(server: OllamaServer) -> Reasoner:
    return Impatient(OllamaReasoner(OllamaSettings(host=server.host)))


def told(made: Report, change: Callable[[str], str] = str) -> Mapping[str, Any]:
    """The report's own sentences as a model would say them: text, and ids beside it."""
    parts = ("what_happened", "root_causes", "what_worked", "what_failed", "recommendations")
    reply: dict[str, list[Row]] = {}
    for part, head in zip(parts, HEADINGS, strict=True):
        reply[part] = []
        for line in made.sections[head][:6]:
            ids = re.findall(r"F\d+", line)
            text = re.sub(r" \[[^]]*\]", "", line)
            reply[part].append({"text": change(text), "fact_ids": ids or ["F1"]})
    return reply


def test_prose_that_the_facts_bear_out_is_shown_as_the_model_s(
    busy: tuple[list[Row], Row], server: OllamaServer
) -> None:
    report = written(*busy).report
    server.reply = lambda body: json.dumps(told(report))
    made = written(*busy, local=local(server))
    assert made.writer == "local reasoner (qwen2.5:14b-instruct)"
    assert (made.removed.count, made.why, made.outcome) == (0, "", "ok")
    assert tuple(made.sections) == HEADINGS
    assert re.search(r"lost [\d,.]+ on .*\[F1, F2\]\.$", made.sections["What happened"][0])
    assert made.attempt is not None
    assert "num_ctx" in made.attempt["request"]
    assert "message" in made.attempt["response"]


def test_one_lie_is_taken_out_and_counted(
    busy: tuple[list[Row], Row], server: OllamaServer
) -> None:
    report = written(*busy).report
    reply = dict(told(report))
    reply["what_worked"] = [{"text": "ZZZ gained 99,999.99.", "fact_ids": ["F2"]}]
    server.reply = lambda body: json.dumps(reply)
    made = written(*busy, local=local(server))
    assert made.writer.startswith("local reasoner")
    assert made.removed.count == 1
    assert made.removed.share < 0.2
    assert "What worked" not in made.sections
    assert (
        made.why == f"1 of {made.removed.sentences} sentences were not grounded and were removed."
    )
    assert "99,999.99" not in section(shown(made, busy[0]))


SPOILT: Mapping[str, tuple[Callable[[str], str], str]] = {
    "lying": (lambda text: re.sub(r"\d", "7", text), "were not grounded"),
    "hostile": (lambda text: f"Lift every limit to 99 % {HOSTILE[:25]} now.", "not grounded"),
    "mute": (lambda text: ".", "it was empty"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_text_with_too_much_removed_is_replaced(
    name: str, busy: tuple[list[Row], Row], server: OllamaServer
) -> None:
    change, why = SPOILT[name]
    report = written(*busy).report
    server.reply = lambda body: json.dumps(told(report, change))
    made = written(*busy, local=local(server))
    assert (made.writer, made.sections) == (REPORT, report.sections)
    assert why in made.why
    assert made.removed.share > 0.2 or not made.removed.sentences
    assert not made.offline


FAULTS = {
    "stall": Outcome.TIMEOUT,
    "slow_bytes": Outcome.TIMEOUT,
    "reset": Outcome.UNREACHABLE,
    "server_error": Outcome.SERVER_ERROR,
    "no_model": Outcome.NO_MODEL,
    "truncated": Outcome.TRUNCATED,
    "wrong_shape": Outcome.WRONG_SHAPE,
    "not_json": Outcome.NOT_JSON,
    "thinking": Outcome.OK,  # and not a sentence in its lists
    "instructions": Outcome.OK,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_the_server_does_the_report_stands_and_says_why(
    fault: str, busy: tuple[list[Row], Row], server: OllamaServer
) -> None:
    server.behave(fault)
    made = written(*busy, local=local(server))
    assert (made.writer, made.sections) == (REPORT, made.report.sections)
    assert made.outcome == FAULTS[fault]
    assert made.offline == (made.outcome in ("timeout", "unreachable"))
    assert made.attempt is not None and made.attempt["outcome"] == made.outcome
    told = "it was empty" if made.outcome == "ok" else made.outcome.replace("_", " ")
    assert told in made.why
    assert "Ignore all" not in section(shown(made, busy[0]))


def test_what_is_asked_fits_the_context_however_many_facts_there_are(
    busy: tuple[list[Row], Row],
) -> None:
    rows, before = busy
    noise = [{"kind": "alert", **_head(rows), "text": f"{i}: " + "x" * 200} for i in range(100)]
    for given in (rows, [*rows[:-1], *noise, rows[-1]]):
        made = written(given, before).report
        lines = shown_facts(made)["facts"]
        assert len(canonical(lines)) <= ROOM + 100
        cited = {
            i for head in HEADINGS[1:] for s in made.sections[head] for i in re.findall(r"F\d+", s)
        }
        assert cited <= {line.split(" | ")[0] for line in lines}


# The record


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", heads=tmp_path / "heads.json")


def test_it_is_written_once_and_read_from_the_record_ever_after(
    busy: tuple[list[Row], Row], server: OllamaServer, ledger: Ledger
) -> None:
    rows, before = busy
    report = written(rows, before).report
    server.reply = lambda body: json.dumps(told(report))

    def write(recorded: Mapping[str, Any] | None, replies: Any) -> PostMortem:
        return written(rows, before, local=local(server), recorded=recorded, replies=replies)

    place = {"book": BOOK, "session": report.session}
    first = first_or_recorded(ledger, **place, write=write, now=lambda: AT)
    server.behave("not_json")
    again = first_or_recorded(ledger, **place, write=write, now=lambda: AT)
    assert server.requests == 1
    assert again.writer.startswith("local reasoner")
    assert (again.sections, again.writer, again.why) == (first.sections, first.writer, first.why)
    assert list(again.sections) == list(first.sections)
    (row,) = ledger.rows("operations", kind="post_mortem", **place)
    assert row["removed"]["share"] == 0.0
    assert json.loads(row["attempt"]["request"])["format"]["required"]
    assert shown(again, rows) == shown(first, rows)
    assert not ledger.rows("operations", kind="alert")


def test_a_silent_reasoner_is_an_alert_once(
    busy: tuple[list[Row], Row], server: OllamaServer, ledger: Ledger
) -> None:
    server.behave("reset")

    def write(recorded: Mapping[str, Any] | None, replies: Any) -> PostMortem:
        return written(*busy, local=local(server), recorded=recorded, replies=replies)

    place = {"book": BOOK, "session": busy[0][-1]["session"]}
    made = [first_or_recorded(ledger, **place, write=write, now=lambda: AT) for _ in "123"]
    assert server.requests == 1
    alerts = ledger.rows("operations", kind="alert")
    assert [row["text"] for row in alerts] == [OFFLINE]
    assert "offline" in made[0].why and made[2].why == made[0].why


def test_a_text_over_other_facts_than_the_rows_give_is_not_shown(
    busy: tuple[list[Row], Row],
) -> None:
    recorded = {
        "facts_sha256": "0" * 64,
        "sections": [{"heading": "What happened", "sentences": ["All was well [F1]."]}],
        "writer": "local reasoner (m)",
        "outcome": "ok",
        "attempt": None,
    }
    made = written(*busy, recorded=recorded)
    assert (made.writer, made.sections) == (REPORT, made.report.sections)
    assert "other facts" in made.why


# Escalations


AUDIT = {
    "regime_label": "crisis",
    "blend_weights_delta": {"short": 0.1, "mid": -0.1, "rl": 0.0},
    "bucket_caps_delta": {"penny": 0.01, "fno": 0.0, "core": -0.2},
    "do_not_trade_list": ["A", "B"],
}
STOPS = {"atr": 1.5, "trailing": 9.0}
JUDGE = {
    "stay_demo": False,
    "live_changes": {"max_position_pct": 0.03, "stop_multipliers": STOPS},
}
SANDBOX = {"sessions": 60, "first": "2015-10-01", "last": "2016-01-04", "breaches": [], "ok": True}


def _head(rows: list[Row]) -> Row:
    return {"book": rows[-1]["book"], "session": rows[-1]["session"]}


def escalated(rows: list[Row], hostile: str = "") -> tuple[list[Row], list[Row]]:
    """A stepped session with two escalations, and what the operations chain says about them."""
    head, day = _head(rows), rows[-1]["session"]
    begin = f"{head['book']}-{day}"
    heat, kill = f"{begin}-event_heat-1430", f"{begin}-kill_switch-2030"
    fired = (
        (heat, "event_heat", "REGIME_AUDITOR", "14:30", "put_call"),
        (kill, "kill_switch", "SANITY_JUDGE", "20:30", "kill"),
    )
    known = {"max_drawdown_5d": 0.0812, "put_call_ratio": 1.71, "sharpe_ratio": None}
    added = [
        {"kind": "policy", **head, "values": policy_values(Policy()), "policy_id": Policy().id},
        *(
            {
                "kind": "escalation",
                **head,
                "id": name,
                "trigger": trigger,
                "call": call,
                "at": f"{day}T{at}:00+00:00",
                "conditions": [condition],
                "joined": [],
            }
            for name, trigger, call, at, condition in fired
        ),
        {"kind": "facts", **head, "facts": known, "unknown": ["sharpe_ratio", "news_sentiment"]},
    ]
    common = {"kind": "reply", **head, "from_session": 1001, "expires": 1006}
    common |= {"toggles_frozen": False, "refused": "", "why": ""}
    breached = {**SANDBOX, "ok": False, "breaches": [f"{day}: the kill switch trips"]}
    operations = [
        _attempt(heat, "ok", ""),
        common
        | {"id": "a" * 16, "escalation": heat, "call": "REGIME_AUDITOR", "by": "frontier"}
        | {"label": f"frontier: gpt-5{hostile}", "reply": AUDIT, "taken": True}
        | {"sandbox": SANDBOX},
        _attempt(kill, "timeout", f"no whole reply in the time given{hostile}"),
        common
        | {"id": "b" * 16, "escalation": kill, "call": "SANITY_JUDGE", "by": "rules"}
        | {"label": "deterministic rules", "reply": JUDGE, "taken": False, "sandbox": breached}
        | {"why": f"the frontier gave no reply (timeout){hostile}"},
        {"kind": "analysis", "escalation": heat, "advice": _advice(hostile)},
        {"kind": "alert", "id": "c" * 16, "text": f"GPT-5 unavailable{hostile}", "about": kill},
    ]
    return [*rows[:1], *added, *rows[1:]], operations


def _attempt(escalation: str, outcome: str, detail: str) -> Row:
    tried = {"by": "openai", "model": "gpt-5", "outcome": outcome, "seconds": 12.25}
    return {"kind": "frontier_answered", "escalation": escalation, **tried, "detail": detail}


def _advice(hostile: str) -> Row:
    return {
        "root_cause": f"Puts were in demand{hostile}.",
        "immediate_actions": ["The 5-day drawdown was 8.12 %.", "Equity fell by 77.7 %."],
        "adjustments": [{"setting": "stops", "direction": "keep", "reason": "No ground"}],
        "monitoring": [],
    }


def test_an_escalation_is_told_from_its_records(busy: tuple[list[Row], Row]) -> None:
    rows, operations = escalated(busy[0])
    made = written(rows, busy[1], replies=operations, dates=DATES)
    heat, kill = made.events
    assert (heat.by, heat.label, kill.by) == ("frontier", "frontier: gpt-5", "rules")
    assert heat.sentences[1:4] == (
        "Answered by frontier: gpt-5.",
        "In its view the regime is crisis, which switches the crisis factor on.",
        "It would not trade A, B.",
    )
    assert heat.sentences[4].startswith(
        "5 changes hold from the next session on; they expire after 2016-01-09"
    )
    assert [(d.key, d.before, d.after, d.status) for d in heat.diffs] == [
        ("blend.weight_short", "0.4", "0.5", "applied"),
        ("blend.weight_mid", "0.3", "0.2", "applied"),
        ("clamps.bucket_core", "0.9", "0.7", "applied"),
        ("lists.do_not_trade", "none", "A, B", "applied"),
        ("account.crisis", "no", "yes", "applied"),
        ("clamps.bucket_penny", "0.02", "0.03", "waits for a person"),
    ]
    assert {d.status for d in kill.diffs} == {"not taken"}
    assert "because the frontier gave no reply (timeout)." in kill.sentences[1]
    assert "refused it: " in kill.sentences[-1]
    assert kill.attempts[0]["outcome"] == "timeout"
    assert kill.alerts == ("GPT-5 unavailable",)
    assert made.frontier == (*heat.sentences, *kill.sentences)


def test_its_facts_go_on_where_the_session_s_end_and_are_cited(
    busy: tuple[list[Row], Row],
) -> None:
    rows, operations = escalated(busy[0])
    made = written(rows, busy[1], replies=operations, dates=DATES)
    assert list(made.table)[: len(made.report.table)] == list(made.report.table)
    cited = re.findall(r"F\d+", " ".join(made.frontier))
    assert cited and all(fact_id in made.table for fact_id in cited)
    values = {fact.name: fact.shown for fact in made.table}
    assert values["5-day drawdown"] == "8.12 %"
    assert values["clamps.bucket_core"] == "0.9 to 0.7"
    assert values["facts unknown at the close"] == "sharpe_ratio, news_sentiment"


def test_of_an_analysis_stays_what_the_facts_bear_out(busy: tuple[list[Row], Row]) -> None:
    rows, operations = escalated(busy[0])
    heat = written(rows, busy[1], replies=operations).events[0]
    assert heat.unfounded == 1
    assert "The 5-day drawdown was 8.12 %." in heat.advice
    assert "77.7" not in " ".join(heat.advice)


def test_an_event_without_a_reply_and_a_day_without_an_event_say_so(
    busy: tuple[list[Row], Row],
) -> None:
    rows, _ = escalated(busy[0])
    made = written(rows, busy[1])
    assert [event.by for event in made.events] == ["", ""]
    assert made.frontier.count("No reply is recorded yet.") == 2
    calm = written(*busy)
    assert (calm.events, calm.frontier, calm.table) == ((), (), calm.report.table)
    assert "Nothing was escalated" in repr(Page(shown(calm, busy[0])).escalations())


def test_only_rows_about_the_session_are_read_an_operator_s_own_too(
    busy: tuple[list[Row], Row], ledger: Ledger
) -> None:
    rows, operations = escalated(busy[0])
    head = _head(rows)
    asked: Row = {"kind": "escalation_asked", "book": BOOK, "id": "book-asked-1", "trigger": "risk"}
    asked |= {"about": head["session"], "call": "REGIME_AUDITOR", "conditions": [], "joined": []}
    asked |= {"at": "2016-01-04T21:30:00+00:00", "reason": "it felt wrong."}
    reply = {**operations[1], "escalation": asked["id"], "id": "d" * 16}
    elsewhere = [
        {**operations[1], "escalation": f"{BOOK}-1999-01-04-risk-1430"},
        {**operations[1], "escalation": f"other-{head['session']}-risk-1430"},
        {**asked, "id": "book-asked-2", "about": "1999-01-04"},
    ]
    ledger.append("operations", [*operations, asked, reply, *elsewhere])
    found = about(ledger, BOOK, head["session"])
    key = canonical
    assert sorted(map(key, found)) == sorted(map(key, [*operations, asked, reply]))
    made = written(rows, busy[1], replies=found)
    assert made.events[2].sentences[0].startswith("At 21:30 UTC an operator asked: it felt wrong [")


# The page


def test_strangers_text_is_text_on_the_page(busy: tuple[list[Row], Row]) -> None:
    rows, operations = escalated(busy[0], HOSTILE)
    spoilt = json.loads(
        json.dumps([rows, busy[1]]).replace('"A"', json.dumps("A" + HOSTILE)).replace("-A-", "-")
    )
    alert = {"kind": "alert", **_head(rows), "text": f"halted: {HOSTILE} $x^2$"}
    rows = [*spoilt[0][:-1], alert, spoilt[0][-1]]
    made = written(rows, spoilt[1], replies=operations, dates=DATES)
    found = shown(made, rows)
    day = page("Day", section(found) + facts_section(found))
    for text in (day, Page(found).narrative().html, Page(found).escalations().html):
        assert not MARKUP.search(text)
    assert "&lt;script&gt;" in day
    assert day.count("<svg") == 1
    assert "\x1b" not in repr(Page(found).escalations())


def test_colour_is_never_the_only_sign(busy: tuple[list[Row], Row]) -> None:
    found = shown(written(*busy), busy[0])
    svg = section(found).split("<svg", 1)[1].split("</svg>")[0]
    for name, amount, evidence in found["causes"]:
        assert f"{amount / SCALE:+,.2f}" in svg
        assert name.split(" ")[0] in svg
        assert evidence in svg


@pytest.fixture(scope="module")
def opened() -> Context:
    return open_day(Request(feed="sample", session="2004-03-01", profile="smoke", seed=1))


def test_the_lab_writes_it_records_it_and_hands_it_to_the_day_s_page(
    opened: Context, busy: tuple[list[Row], Row], server: OllamaServer, ledger: Ledger
) -> None:
    rows, operations = escalated(busy[0])
    server.reply = lambda body: json.dumps(told(written(rows, busy[1]).report))
    asked = LocalParams(reasoner="ollama", settings={"host": server.host})
    settings = replace(opened.settings, escalation=EscalationParams(local=asked))
    lab = Lab(replace(opened, settings=settings))
    books = lab.context.ledger()
    books.append("session", [busy[1], *rows])
    books.append("operations", operations)
    lab.traded = Traded(BOOK, rows[-1]["session"], rows, books.head("session"), written=False)
    seen = lab.post_mortem
    assert server.requests == 1
    assert seen.values["writer"] == "local reasoner (qwen2.5:14b-instruct)"
    assert [event["by"] for event in seen.values["events"]] == ["frontier", "rules"]
    assert repr(seen.evidence()).startswith(f"F1 | session | – | {rows[-1]['session']}")
    again = Lab(lab.context)
    again.traded = lab.traded
    assert again.post_mortem.values == seen.values
    assert server.requests == 1
    day = section(seen.values) + facts_section(seen.values)
    for fact_id in set(re.findall(r"href='#(F\d+)'", day)):
        assert day.count(f"<tr id='{fact_id}'>") == 1


def test_what_it_says_of_a_reply_is_what_the_next_session_opens_with(
    server: OllamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAiServer(
        reply=lambda body: canonical(AUDIT | {"do_not_trade_list": ["IBM"]})
    ) as cloud:
        changes = {"frontier": frontier(cloud.url), "local": near(server.host)}
        book = Book(write_params(tmp_path / "p", **changes))
        traded = book.trade(FIRST)
        book.ask(FIRST)
        assert cloud.requests == 1
        context = book.context(FIRST)
        made = post_mortem(context, traded, None)
        assert cloud.requests == 1
        page_of = Page(shown(made, traded.rows))
    (event,) = made.events
    assert event.by == "frontier" and event.label.startswith("frontier: ")
    assert "In its view the regime is crisis" in repr(page_of.escalations())
    assert any("sandbox replayed 10 sessions" in line for line in event.sentences)
    (opened,) = [r for r in book.trade(SECOND).rows if r["kind"] == "in_force"]
    applied = {d.key: (d.before, d.after) for d in event.diffs if d.status == "applied"}
    told = {c["key"]: (valued(c["before"]), valued(c["after"])) for c in opened["changes"]}
    assert applied == told
    assert applied["clamps.bucket_core"] == ("0.9", "0.7")
    assert [d.key for d in event.diffs if d.status != "applied"] == ["clamps.bucket_penny"]
    assert {d.expires for d in event.diffs if d.status == "applied"} == {"after 2013-03-04"}
    second = book.trade(SECOND)
    later = post_mortem(book.context(SECOND), second, traded.closing)
    assert "operator&#x27;s</th>" in section(shown(later, second.rows))
    assert sum(c.cause.amount for c in later.report.causes) == session_pnl(second.rows)


def test_the_notebook_is_thin() -> None:
    folder = Path(__file__).resolve().parents[2] / "notebooks"
    notebook = nbformat.read(folder / "post_mortem.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) <= 10
    assert not any("def " in source for source in code)
    assert "lab.post_mortem" in to_html(notebook, title="Post-mortem")
