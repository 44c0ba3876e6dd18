"""B1: an orderly end halts, verifies and packs; starting again is the path of every start."""

from __future__ import annotations

import json
import threading
import zipfile

import pytest
from chronicle import Chronicle
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from hybridnb.app.cli import cli
from hybridnb.app.home import home
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import act, pending
from hybridnb.app.shutdown import KIND, shut_down, shutdown_text
from hybridnb.domain import TradingState
from hybridnb.errors import LedgerBroken, UsageError


def unheard(text: str) -> None:
    """Nobody listens."""


def test_b1_an_orderly_end_halts_verifies_and_packs() -> None:
    book = Chronicle()
    book.trade(0.001)
    done = shut_down(reason="power works tonight", say=unheard)
    assert not done["running"]
    (held,) = done["books"]
    assert (held["positions"], held["without_stop"], held["applied"]) == (0, [], False)
    with zipfile.ZipFile(done["backup"]["file"]) as packed:
        operations = packed.read("ledger/operations.jsonl").decode()
    assert KIND in operations and "power works tonight" in operations
    assert "resume" in shutdown_text(done)
    # The halt is in force from the next opening on, until it is taken back.
    book.trade(0.0)
    assert book.risk.state is TradingState.HALTED
    book.trade(0.0)
    assert book.risk.state is TradingState.HALTED
    act("resume", reason="power is back")
    book.trade(0.0)
    assert book.risk.state is TradingState.ACTIVE


def test_a_running_session_is_given_time_to_apply_it() -> None:
    book = Chronicle()
    book.trade(0.001)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        """The session listens at the third look."""
        slept.append(seconds)
        if len(slept) == 3:
            (action,) = pending(open_ledger(), "book")
            row = {"kind": "operator", "book": "book", "session": book.session, "n": 50}
            open_ledger().append("session", [row | action])

    ready, over = threading.Event(), threading.Event()

    def session() -> None:
        with home().locked("session"):
            ready.set()
            over.wait(60)

    thread = threading.Thread(target=session)
    thread.start()
    try:
        assert ready.wait(10)
        done = shut_down(reason="x", say=unheard, sleep=sleep)
    finally:
        over.set()
        thread.join()
    assert done["running"] and done["books"][0]["applied"] and len(slept) == 3


def test_a_broken_ledger_is_told_after_the_halt() -> None:
    Chronicle().trade(0.001)
    with create_engine(home().ledger_url).begin() as connection:
        connection.execute(
            text("UPDATE entries SET payload = '{}' WHERE seq = 2 AND chain = 'session'")
        )
    with pytest.raises(LedgerBroken):
        shut_down(reason="x", say=unheard)
    assert open_ledger().rows("operations", kind="operator")[0]["action"] == "cancel-all"


def test_it_needs_a_reason_and_prints_one_object() -> None:
    with pytest.raises(UsageError):
        shut_down(reason=" ", say=unheard)
    assert not open_ledger().rows("operations", kind="operator")
    done = CliRunner().invoke(cli, ["shutdown", "--reason", "x", "--wait", "0", "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["backup"]["sha256"]
