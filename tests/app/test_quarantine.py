"""Leaving a quarantine and keeping a mode: both words, for this very kill, at the next opening."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from typing import Any

import pytest
from chronicle import LOSS, Chronicle
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.book_state import Done, NotGranted, granted
from hybridnb.app.cli import cli
from hybridnb.app.escalation_state import exchange_zone
from hybridnb.app.home import shipped
from hybridnb.app.operators import at_opening
from hybridnb.app.quarantine import (
    clear_quarantine,
    judged,
    keep_mode,
    quarantine_of,
)
from hybridnb.app.replies import withdraw_reply
from hybridnb.app.settings import settings
from hybridnb.domain import Mode, Outcome
from hybridnb.errors import UsageError
from hybridnb.escalation.breaker import answered_row
from hybridnb.escalation.calls import Call
from hybridnb.escalation.quota import Ask, Reservation, reserve
from hybridnb.ledger.store import Ledger


def never(call: Call, book: object) -> object:
    raise AssertionError("the judge was asked")


def clear(**given: Any) -> Done:
    return clear_quarantine(reason="it was a bad tick", **({"ask": never} | given))


def keep(**given: Any) -> Done:
    return keep_mode(reason="it was a bad tick", **({"ask": never} | given))


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")


@pytest.fixture
def quarantined() -> Chronicle:
    book = Chronicle()
    book.kill(3)
    assert book.risk.quarantine_until == book.risk.ordinal + 7
    return book


def actions(book: Chronicle) -> list[dict[str, Any]]:
    return list(book.ledger.rows("operations", kind="operator"))


# D7


def test_the_judges_word_and_the_operators_end_it_at_the_next_opening(
    quarantined: Chronicle,
) -> None:
    word = quarantined.reply(stay=False)
    done = clear()
    assert (done.code, done.exit_code, done.reply) == (200, 0, word)
    assert quarantined.risk.quarantined
    rows = quarantined.trade()
    assert [r["id"] for r in rows if r["kind"] == "operator"] == [done.action and done.action["id"]]
    assert not quarantined.risk.quarantined
    assert quarantined.risk.mode is Mode.DEMO
    assert at_opening(quarantined.ledger, "book", "2050-01-01") == []


def test_an_operator_alone_doesnt(quarantined: Chronicle, key: None) -> None:
    asked = []
    done = clear(ask=lambda call, where: asked.append((call, where.name)))
    assert (done.code, done.exit_code) == (503, 4)
    assert asked == [(Call.SANITY_JUDGE, "book")]
    assert actions(quarantined) == []


def test_a_reply_alone_doesnt(quarantined: Chronicle) -> None:
    quarantined.reply(stay=False)
    quarantined.trade()
    assert quarantined.risk.quarantined


def test_where_no_judge_was_heard_the_command_asks(quarantined: Chronicle, key: None) -> None:
    done = clear(ask=lambda call, where: quarantined.reply(stay=False, by="rules"))
    assert (done.code, done.action) == (503, None)
    assert "the frontier timed out" in done.text
    done = clear(ask=lambda call, where: quarantined.reply(stay=False, manual=True))
    assert done.code == 200


def test_a_judge_that_says_stay_is_obeyed_and_the_newest_word_decides(
    quarantined: Chronicle,
) -> None:
    quarantined.reply(stay=False)
    stays = quarantined.reply(stay=True, manual=True)
    done = clear()
    assert (done.code, done.exit_code, done.reply) == (403, 3, stays)
    assert actions(quarantined) == []
    quarantined.reply(stay=False, manual=True)
    assert clear().code == 200


@pytest.mark.parametrize("by", ["local", "rules"])
def test_neither_the_local_reasoner_nor_the_rules_are_the_judge(
    quarantined: Chronicle, by: str, key: None
) -> None:
    quarantined.reply(stay=False, by=by)
    assert clear(ask=lambda call, where: None).code == 503


def test_a_reply_that_wasnt_taken_or_was_withdrawn_is_none(
    quarantined: Chronicle, key: None
) -> None:
    quarantined.reply(stay=False, taken=False)
    word = quarantined.reply(stay=False)
    withdraw_reply(word, reason="r")
    assert clear(ask=lambda call, where: None).code == 503


def test_words_about_earlier_kills_are_about_no_quarantine(key: None) -> None:
    book = Chronicle()
    book.kill(2)
    book.reply(stay=False)
    early = book.session
    book.kill()
    book.reply(stay=False, session=early, manual=True)
    assert clear(ask=lambda call, where: None).code == 503


def test_a_word_asked_for_before_the_kill_was_answered_knew_nothing_of_it(key: None) -> None:
    book = Chronicle()
    book.kill(3)
    book.reply(stay=False, manual=True)
    assert clear(ask=lambda call, where: None).code == 503
    book.reply(stay=True, by="rules")
    assert clear(ask=lambda call, where: None).code == 503
    book.reply(stay=False, manual=True)
    assert clear().code == 200


def test_a_kill_in_the_quarantine_needs_a_word_of_its_own(
    quarantined: Chronicle, key: None
) -> None:
    quarantined.reply(stay=False)
    quarantined.kill()
    assert clear(ask=lambda call, where: None).code == 503
    quarantined.reply(stay=False)
    assert clear().code == 200


def test_a_kill_or_a_withdrawal_before_the_opening_takes_it_back(quarantined: Chronicle) -> None:
    word = quarantined.reply(stay=False)
    assert clear().code == 200
    withdraw_reply(word, reason="r")
    quarantined.trade()
    assert quarantined.risk.quarantined
    quarantined.reply(stay=False, manual=True)
    assert clear().code == 200
    quarantined.trade()
    assert not quarantined.risk.quarantined


def test_cleared_twice_it_says_so(quarantined: Chronicle) -> None:
    quarantined.reply(stay=False)
    assert [clear().code, clear().code] == [200, 409]
    quarantined.trade()
    assert clear().code == 409
    assert len(actions(quarantined)) == 1


def test_when_its_sessions_are_over_the_operator_alone_may(quarantined: Chronicle) -> None:
    for _ in range(6):
        quarantined.trade()
    assert clear_quarantine(reason="r", ask=never).code in (429, 503)
    quarantined.trade()
    done = clear()
    assert (done.code, done.reply) == (200, "")
    quarantined.trade()
    assert (quarantined.risk.quarantined, quarantined.risk.mode) == (False, Mode.DEMO)
    assert clear().code == 409


def test_without_a_quarantine_nothing_is_asked() -> None:
    book = Chronicle()
    book.trade()
    assert (clear().code, quarantine_of(book.ledger, "book")) == (409, None)
    book.kill()
    assert clear().code == 409


def test_in_a_session_in_progress_nothing_is_decided(quarantined: Chronicle) -> None:
    quarantined.reply(stay=False)
    quarantined.trade(close=False)
    done = clear()
    assert (done.code, done.action) == (409, None)
    assert "in progress" in done.text


# the day's calls


def spend(ledger: Ledger, n: int) -> None:
    now = dt.datetime.now(dt.UTC)
    known = settings(shipped("params"))
    for i in range(n):
        ask = Ask(f"a{i}", Call.REGIME_AUDITOR, dt.date(2050, 1, 1), manual=True)
        zone, quota = exchange_zone(known), known.escalation.quota
        assert isinstance(reserve(ledger, ask, now, zone=zone, params=quota), Reservation)


def test_a_spent_quota_asks_nobody_and_the_judges_own_call_isnt_taken(
    quarantined: Chronicle, key: None
) -> None:
    spend(quarantined.ledger, 1)
    asked: list[object] = []
    assert clear(ask=lambda call, where: asked.append(call)).code == 503
    spend_two = quarantined.ledger.rows("operations", kind="frontier_reserved")
    assert len(spend_two) == 1
    ask = Ask("b", Call.REGIME_AUDITOR, dt.date(2050, 1, 1), manual=True)
    known = settings(shipped("params"))
    now = dt.datetime.now(dt.UTC)
    reserve(
        quarantined.ledger,
        ask,
        now,
        zone=exchange_zone(known),
        params=known.escalation.quota,
    )
    done = clear()
    assert (done.code, done.exit_code) == (429, 3)
    assert "kept for the sanity judge" in done.text


def test_an_open_breaker_asks_nobody(quarantined: Chronicle, key: None) -> None:
    now = dt.datetime.now(dt.UTC)
    rows = [answered_row(f"x{i}", Outcome.TIMEOUT, at=now, record={}) for i in range(3)]
    quarantined.ledger.append("operations", rows)
    assert clear().code == 503


def test_without_a_key_nobody_is_asked(
    quarantined: Chronicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = clear()
    assert (done.code, done.exit_code) == (503, 4)
    assert "OPENAI_API_KEY" in done.text + done.remedy


# the override


def test_the_judges_word_about_this_kill_and_the_operators_keep_the_mode() -> None:
    book = Chronicle(mode=Mode.LIVE_LIMITED)
    book.kill()
    word = book.reply(stay=False)
    done = keep()
    assert (done.code, done.reply) == (200, word)
    book.trade()
    assert (book.risk.mode, book.risk.killed) == (Mode.LIVE_LIMITED, False)
    book.trade()
    assert book.risk.mode is Mode.LIVE_LIMITED


def test_without_the_override_the_next_opening_is_demo(key: None) -> None:
    book = Chronicle()
    book.kill()
    assert keep(ask=lambda call, where: None).code == 503
    book.reply(stay=True)
    assert keep().code == 403
    book.trade()
    assert book.risk.mode is Mode.DEMO
    book.reply(stay=False)
    assert keep().code == 409


def test_it_is_kept_once_and_not_through_another_kill() -> None:
    book = Chronicle()
    book.kill()
    book.reply(stay=False)
    assert [keep().code, keep().code] == [200, 409]
    book.trade(LOSS)
    assert (book.risk.mode, book.risk.killed) == (Mode.LIVE, True)
    book.trade()
    assert book.risk.mode is Mode.DEMO


def test_an_older_reply_that_keeps_demo_is_withdrawn_first() -> None:
    book = Chronicle()
    book.kill()
    stays = book.reply(stay=True)
    book.reply(stay=False, manual=True)
    done = keep()
    assert done.code == 409 and stays in done.text
    withdraw_reply(stays, reason="asked anew")
    assert keep().code == 200


def test_a_kill_that_begins_a_quarantine_cant_be_overridden(quarantined: Chronicle) -> None:
    quarantined.reply(stay=False)
    assert keep().code == 409


def test_a_demo_kill_has_nothing_to_keep() -> None:
    book = Chronicle(mode=Mode.DEMO)
    book.kill()
    book.reply(stay=False)
    assert keep().code == 409


# words and codes


def test_a_reason_and_a_book_are_needed(quarantined: Chronicle) -> None:
    with pytest.raises(UsageError, match="reason"):
        clear_quarantine(reason=" ", ask=never)
    with pytest.raises(UsageError, match="no book 'other'"):
        clear(book="other")
    other = Chronicle(name="other")
    other.trade()
    assert clear(book="other").code == 409
    quarantined.reply(stay=False)
    assert clear().book == "book"  # the one that is in quarantine


def test_outcomes_are_exit_codes_and_json(
    quarantined: Chronicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    words = ["clear-quarantine", "--reason", "r", "--json"]
    done = CliRunner().invoke(cli, words)
    assert (done.exit_code, json.loads(done.stdout)["code"]) == (4, 503)
    quarantined.reply(stay=True)
    done = CliRunner().invoke(cli, words)
    assert (done.exit_code, json.loads(done.stdout)["code"]) == (3, 403)
    quarantined.reply(stay=False, manual=True)
    done = CliRunner().invoke(cli, words)
    assert (done.exit_code, json.loads(done.stdout)["code"]) == (0, 200)
    done = CliRunner().invoke(cli, ["keep-mode", "--reason", "r", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["code"]) == (3, 409)


@pytest.mark.parametrize(("code", "exit_code"), [(403, 3), (409, 3), (429, 3), (503, 4)])
def test_what_isnt_granted_is_refused_with_its_code(code: int, exit_code: int) -> None:
    with pytest.raises(NotGranted) as caught:
        granted(Done(code, "no"))
    assert caught.value.exit_code == exit_code
    assert caught.value.as_dict()["code"] == code


# whatever happens

REPLY = st.tuples(st.sampled_from(["frontier", "frontier", "local", "rules"]), st.booleans())
ROUND = st.tuples(
    st.lists(REPLY, max_size=2),
    st.sampled_from([clear_quarantine, clear_quarantine, keep_mode, None]),
    st.sampled_from([0.0, 0.0, LOSS]),
    st.booleans(),
)


@given(st.lists(ROUND, min_size=1, max_size=4), st.integers(1, 3))
def test_no_sequence_leaves_a_quarantine_or_a_demo_session_without_both(
    rounds: list[Any], kills: int
) -> None:
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDNB_HOME", home)
        book = Chronicle()
        book.kill(kills)
        for replies, wish, pnl, crash in rounds:
            for by, stay in replies:
                book.reply(stay=stay, by=by)
            before = book.risk
            if wish is not None:
                wish(reason="r", ask=lambda call, where: None)
                assert book.risk == before
            _session(book, pnl, crash=crash)
            _check(book, before)


def _session(book: Chronicle, pnl: float, *, crash: bool) -> None:
    """A session; one that dies before its close is opened again from the last close."""
    state, equity = book.risk, book.equity
    rows = book.trade(pnl, close=not crash)
    if crash:
        book.risk, book.equity = state, equity
        again = book.trade(pnl)
        assert again[: len(rows)] == rows


def _check(book: Chronicle, before: Any) -> None:
    now = book.risk
    rows = book.ledger.rows("session", kind="operator", book=book.name, session=book.session)
    did = {row["action"]: row for row in rows}
    due = before.quarantine_until >= now.ordinal and now.ordinal not in now.kills
    if due and not now.quarantined:
        word = _word(book, did["clear-quarantine"])
        assert did["clear-quarantine"]["reason"] and before.kills[-1] <= word["ordinal"]
    if now.mode.live and before.killed:
        assert _word(book, did["keep-mode"])["ordinal"] == before.kills[-1]
    if now.quarantined and not now.killed:
        assert now.mode is Mode.DEMO


def _word(book: Chronicle, action: dict[str, Any]) -> dict[str, Any]:
    (word,) = book.ledger.rows("operations", kind="reply", id=action["reply"])
    assert (word["by"], word["reply"]["stay_demo"], word["book"]) == (
        "frontier",
        False,
        book.name,
    )
    return word


def test_the_newest_word_is_found_by_session_not_by_when_it_came(quarantined: Chronicle) -> None:
    word = quarantined.reply(stay=False, ordinal=quarantined.risk.ordinal + 5)
    start = quarantined.risk.ordinal
    found = judged(quarantined.ledger, "book", first=start, last=start)
    assert found is not None and found["id"] == word
