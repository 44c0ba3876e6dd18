"""The mode as operators set it: DEMO at any time, out of it with care, at the next opening."""

from __future__ import annotations

import json

import pytest
from chronicle import LOSS, Chronicle
from click.testing import CliRunner

from hybridnb.app.cli import cli
from hybridnb.app.modes import force_demo, set_mode
from hybridnb.app.replies import withdraw_reply
from hybridnb.domain import Mode
from hybridnb.errors import UsageError


def asked(book: Chronicle) -> int:
    return len(book.ledger.rows("operations", kind="operator"))


def test_demo_is_had_at_the_next_opening_and_asking_again_changes_nothing() -> None:
    book, other = Chronicle(), Chronicle(name="other")
    book.trade(), other.trade()
    assert [force_demo(reason="r").code, force_demo(reason="r").code] == [200, 200]
    assert asked(book) == 1
    book.trade(), other.trade()
    assert {book.risk.mode, other.risk.mode} == {Mode.DEMO}
    assert force_demo(reason="r").action is None
    assert asked(book) == 1


def test_a_live_session_that_runs_is_halted_at_once_and_one_that_is_over_is_not() -> None:
    book, over = Chronicle(), Chronicle(name="over")
    over.trade()
    book.trade(close=False)
    done = force_demo(reason="r")
    assert "book halted" in done.text and "over halted" not in done.text
    rows = book.ledger.rows("operations", kind="operator")
    assert [(row["action"], row.get("about")) for row in rows] == [
        ("demo", None),
        ("cancel-all", "book"),
    ]
    assert force_demo(reason="r").action is None and asked(book) == 2


def test_a_paper_session_that_runs_goes_on() -> None:
    book = Chronicle(mode=Mode.DEMO)
    book.trade(close=False)
    force_demo(reason="r")
    assert all(r["action"] == "demo" for r in book.ledger.rows("operations", kind="operator"))


def test_demo_of_one_book_leaves_the_others() -> None:
    book, other = Chronicle(), Chronicle(name="other")
    book.trade(), other.trade()
    assert set_mode(Mode.DEMO, reason="r", book="other").code == 200
    book.trade(), other.trade()
    assert (book.risk.mode, other.risk.mode) == (Mode.LIVE, Mode.DEMO)


def test_before_the_first_session_demo_is_for_whoever_comes() -> None:
    assert force_demo(reason="r").action is not None
    assert force_demo(reason="r").action is None
    book = Chronicle()
    book.trade()
    assert book.risk.mode is Mode.DEMO


def test_after_a_kill_only_an_operator_leaves_demo() -> None:
    book = Chronicle()
    book.trade(LOSS)
    done = set_mode(Mode.LIVE, reason="r")
    assert (done.code, done.action) == (409, None)
    book.trade(), book.trade()
    assert book.risk.mode is Mode.DEMO
    assert set_mode(Mode.LIVE, reason="r").code == 200
    assert set_mode(Mode.LIVE, reason="r").action is None
    book.trade()
    assert book.risk.mode is Mode.LIVE


def test_a_kill_before_the_opening_takes_a_mode_back() -> None:
    book = Chronicle()
    book.kill()
    book.trade()
    before, equity = book.risk, book.equity
    book.trade(LOSS, close=False)
    assert set_mode(Mode.LIVE, reason="r").code == 200  # asked while the session is in progress
    book.risk, book.equity = before, equity
    book.trade(LOSS)
    assert book.risk.killed
    book.trade()
    assert book.risk.mode is Mode.DEMO


def test_in_a_quarantine_no_live_mode_is_had() -> None:
    book = Chronicle()
    book.kill(3)
    book.trade()
    done = set_mode(Mode.LIVE, reason="r")
    assert done.code == 409 and "clear-quarantine" in done.remedy
    for _ in range(6):
        book.trade()
    assert set_mode(Mode.LIVE, reason="r").code == 200
    book.trade()
    assert book.risk.mode is Mode.LIVE


def test_a_judges_reply_in_force_keeps_demo_until_it_is_withdrawn() -> None:
    book = Chronicle()
    book.kill()
    word = book.reply(stay=True)
    book.trade()
    done = set_mode(Mode.LIVE, reason="r")
    assert done.code == 409 and word in done.text
    withdraw_reply(word, reason="r")
    assert set_mode(Mode.LIVE, reason="r").code == 200


def test_a_mode_that_was_never_traded_needs_its_checklist() -> None:
    book = Chronicle(mode=Mode.DEMO)
    book.trade()
    done = set_mode(Mode.LIVE_MICRO, reason="r")
    assert (done.code, done.exit_code, done.action) == (403, 3, None)
    assert "not built yet" in done.text and "a forced kill switch (not done)" in done.text


def test_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    book = Chronicle()
    book.trade()
    run = CliRunner()
    assert run.invoke(cli, ["demo", "--reason", "r"]).exit_code == 0
    assert run.invoke(cli, ["mode", "LIVE", "--reason", " "]).exit_code == 2
    assert run.invoke(cli, ["mode", "SAFE", "--reason", "r"]).exit_code == 2
    done = json.loads(run.invoke(cli, ["mode", "LIVE", "--reason", "r", "--json"]).stdout)
    assert (done["code"], done["action"]["mode"], done["book"]) == (200, "LIVE", "book")
    with pytest.raises(UsageError, match="no book 'x'"):
        set_mode(Mode.LIVE, reason="r", book="x")
