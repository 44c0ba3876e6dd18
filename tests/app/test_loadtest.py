"""T1 and T4: twice the busiest load goes through controls, venue and a ledger of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hybridnb.app.backup import kept_files
from hybridnb.app.cli import cli
from hybridnb.app.home import home
from hybridnb.app.ledgers import open_ledger, verify_ledger
from hybridnb.app.loadtest import TESTED, load_test, measured
from hybridnb.errors import Refused


def sent(session: str, number: int, *, quantity: int = 10, at: str = "") -> None:
    """A session with so many accepted orders, and one close."""
    base: dict[str, Any] = {"book": "book", "session": session}
    rows = [
        base
        | {"kind": "order", "n": n, "client_id": f"{session}-{n}", "symbol": f"S{n % 5}"}
        | {"state": "accepted", "quantity": quantity}
        | ({"at": at} if at else {})
        for n in range(number)
    ]
    done = base | {"kind": "order", "n": number, "client_id": f"{session}-0", "symbol": "S0"}
    closed = base | {"kind": "session_closed", "n": number + 1, "equity": 10**10}
    open_ledger().append(
        "session", [*rows, done | {"state": "filled", "quantity": quantity}, closed]
    )


def test_the_peak_is_of_six_months_and_of_orders_that_were_sent() -> None:
    sent("2023-12-01", 90)
    sent("2024-06-03", 12, quantity=50)
    sent("2024-06-10", 20)
    peak = measured(open_ledger())
    assert (peak.messages, peak.volume, peak.symbols) == (20, 600, 5)
    assert (peak.since, peak.upto, peak.timed) == ("2023-12-10", "2024-06-10", False)


def test_with_times_a_second_is_a_second() -> None:
    sent("2024-06-10", 8, at="2024-06-10T13:30:00.5+00:00")
    sent("2024-06-11", 9, at="2024-06-11T13:30:00+00:00")
    peak = measured(open_ledger())
    # The row of a fill has no time here, and is no message.
    assert (peak.messages, peak.timed) == (9, True)


def test_without_a_load_there_is_nothing_to_double() -> None:
    with pytest.raises(Refused, match="no order"):
        load_test()


@pytest.mark.parametrize("number", [3, 40, 150])
def test_t4_twice_the_busiest_load_is_sent_and_held(number: int) -> None:
    sent("2024-06-10", number)
    done = load_test()
    assert done["messages"] == 2 * number and done["volume"] >= 2 * number * 10
    assert all(done["checks"].values())
    throttled = done["refused"].get("THROTTLED", 0)
    assert done["passed"] + throttled == done["messages"]
    # Half are entries: beyond a hundred messages a second they wait, the stops never do.
    assert (throttled > 0) is (2 * number > 100)
    (row,) = open_ledger().rows("operations", kind=TESTED)
    assert row["messages"] == done["messages"] and row["peak"]["messages"] == number


def test_t1_a_test_leaves_the_real_home_as_it_was() -> None:
    sent("2024-06-10", 10)
    rows = [e.payload for e in open_ledger().entries("session")]
    before = {name: path.read_bytes() for name, path in kept_files(home())}
    done = CliRunner().invoke(cli, ["loadtest", "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["checks"]
    assert [e.payload for e in open_ledger().entries("session")] == rows
    assert {name: path.read_bytes() for name, path in kept_files(home())} == before
    assert verify_ledger()["rows"] == len(rows) + 1
    assert not list(Path(home().root).glob("hybridnb-load*"))
