"""What operators ask for: rows with reasons, applied once by each book, at the right moment."""

from __future__ import annotations

import pytest
from chronicle import LOSS, Chronicle

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import act, asked, at_opening, listener, pending
from hybridnb.app.replies import withdraw_reply
from hybridnb.app.standing import AT_OPENINGS, opened_by, stood
from hybridnb.domain import Mode, TradingState
from hybridnb.errors import UsageError
from hybridnb.risk import RiskState


def test_an_action_needs_a_reason_and_a_name() -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        act("halt", reason="  ")
    with pytest.raises(ValueError, match="no action"):
        act("sell-everything", reason="r")
    with pytest.raises(ValueError, match="no action"):
        act("demo", reason="r", wish="x")
    assert asked(open_ledger()) == []


def test_an_action_about_a_book_is_that_books_alone() -> None:
    one, two = Chronicle(name="one"), Chronicle(name="two")
    for book in (one, two):
        book.trade()
    row = act("demo", reason="r", about="two")
    act("halt", reason="r")
    assert [a["action"] for a in pending(one.ledger, "one")] == ["halt"]
    assert [a["action"] for a in pending(one.ledger, "two")] == ["demo", "halt"]
    rows = two.trade()
    applied = [r["id"] for r in rows if r["kind"] == "operator"]
    assert applied[0] == row["id"] and len(applied) == 2
    assert (two.risk.mode, two.risk.state) == (Mode.DEMO, TradingState.HALTED)
    assert pending(one.ledger, "two") == []
    one.trade()
    assert one.risk.mode is Mode.LIVE


def test_the_mode_and_a_quarantine_wait_for_an_opening() -> None:
    book = Chronicle()
    book.trade()
    hear = listener(book.ledger, "book")
    act("demo", reason="r")
    act("halt", reason="r")
    assert [a["action"] for a in hear()] == ["halt"]
    assert hear() == ()
    assert {a["action"] for a in at_opening(book.ledger, "book", "2050-01-01")} == {"demo", "halt"}


def test_a_session_taken_up_again_opens_with_the_same_actions() -> None:
    book = Chronicle()
    book.trade()
    before = book.risk
    act("demo", reason="r")
    rows = book.trade(close=False)
    act("halt", reason="later")
    assert at_opening(book.ledger, "book", book.session) == [
        {k: v for k, v in row.items() if k not in ("kind", "book", "session", "n")}
        for row in rows
        if row["kind"] == "operator"
    ]
    book.risk = before
    assert book.trade()[: len(rows)] == rows
    assert book.risk.mode is Mode.DEMO


def test_what_rests_on_a_withdrawn_reply_isnt_applied() -> None:
    book = Chronicle()
    book.kill()
    word = book.reply()
    act("keep-mode", reason="r", about="book", mode="LIVE", kill=book.risk.ordinal, reply=word)
    withdraw_reply(word, reason="r")
    assert pending(book.ledger, "book") == []
    book.trade()
    assert book.risk.mode is Mode.DEMO


def test_an_action_holds_for_what_its_operator_knew() -> None:
    demo = RiskState(mode=Mode.DEMO, ordinal=110, kills=(105,))
    live = {"action": "mode", "mode": "LIVE"}
    assert stood(demo, live | {"ordinal": 106}).mode is Mode.LIVE
    assert stood(demo, live | {"ordinal": 105}).mode is Mode.DEMO
    kept = {"action": "keep-mode", "mode": "LIVE"}
    assert stood(demo, kept | {"kill": 105}).mode is Mode.LIVE
    assert stood(demo, kept | {"kill": 104}).mode is Mode.DEMO
    ends = {"action": "clear-quarantine", "until": 112}
    inside = RiskState(ordinal=110, kills=(105, 108), quarantine_until=112)
    assert not stood(inside, ends | {"kill": 108}).quarantined
    assert stood(inside, ends | {"kill": 105}) == inside
    assert stood(inside, {"action": "demo"}) == inside


def test_a_session_opens_with_the_mode_that_was_asked_for() -> None:
    killed = RiskState(mode=Mode.LIVE, ordinal=110, kills=(110,), killed=True)
    kept = {"action": "keep-mode", "mode": "LIVE", "kill": 110}
    assert opened_by(killed, 111, []).mode is Mode.DEMO
    assert opened_by(killed, 111, [kept]).mode is Mode.LIVE
    assert opened_by(killed, 111, [kept, {"action": "demo"}]).mode is Mode.DEMO
    assert opened_by(killed, 110, [kept]) == killed  # the latch never opens within its session


def test_missed_sessions_dont_use_an_action_up() -> None:
    book = Chronicle()
    book.trade(LOSS)
    word = book.reply()
    act("keep-mode", reason="r", about="book", mode="LIVE", kill=book.risk.ordinal, reply=word)
    book.trade(skip=3)
    assert book.risk.mode is Mode.LIVE


def test_every_action_at_openings_is_known() -> None:
    assert set(AT_OPENINGS) == {"demo", "mode", "keep-mode", "clear-quarantine"}
