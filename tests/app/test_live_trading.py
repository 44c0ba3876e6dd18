"""A day's session through a broker: the same as `day` on paper, begun, adopted or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from escalating import hopeful, quiet

from hybridnb.app.brokers import (
    BrokerRequest,
    Secrets,
    is_test,
    known_brokers,
    open_broker,
    section,
)
from hybridnb.app.context import Request, open_day
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.live_account import Differs, adopt_account, compare_account
from hybridnb.app.live_trading import Clock, Pace, trade_broker
from hybridnb.app.operators import act
from hybridnb.app.paper_broker import PaperBroker
from hybridnb.app.trading import trade
from hybridnb.domain import Leg
from hybridnb.errors import CheckFailed, Missing, ParamsError, Refused, UsageError
from hybridnb.policy import validated

DAY = Request(session="2013-02-25")
NEXT = Request(session="2013-02-26")


def run(request: Request, **more: Any) -> dict[str, Any]:
    return trade_broker(request, "paper", seconds=None, say=quiet, prepare=hopeful, **more)


@pytest.fixture
def home(_home: Path) -> Path:
    return _home


def rows(kind: str, **match: str) -> list[dict[str, Any]]:
    return list(open_ledger().rows("session", kind=kind, **match))


def test_through_the_paper_broker_it_is_the_session_of_the_day() -> None:
    done = run(DAY)
    context = open_day(DAY)
    ready = hopeful(context)
    day = trade(
        context,
        ready,
        ledger=context.ledger(),
    )
    assert done["book"] != day.book
    assert done["orders"] > 0 and done["fills"] > 0
    told = [
        [
            (f["client_id"], f["quantity"], f["price"], f["commission"], f["leg"])
            for f in rows("fill", book=book)
        ]
        for book in (done["book"], day.book)
    ]
    # The ids are made of the book's name and so differ; nothing else may.
    assert [f[1:] for f in told[0]] == [f[1:] for f in told[1]]
    assert done["equity"] == day.equity


def test_again_it_changes_nothing_and_the_next_session_goes_on_from_it() -> None:
    first = run(DAY)
    assert run(DAY) == first
    second = run(NEXT)
    assert rows("session_opened", session=NEXT.session)[0]["equity"] == pytest.approx(
        first["equity"] * 10_000, rel=0.1
    )
    (found,) = rows("reconciled", session=NEXT.session)[:1]
    assert found["differences"] == []
    assert second["book"] == first["book"]
    with pytest.raises(Refused, match="earlier"):
        run(Request(session="2013-02-22"))


class Died(Exception):
    """The process is gone."""


def test_a_session_that_dies_anywhere_goes_on_to_the_same_end(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """Killed before and after every write of the account, then started again until it is over."""
    undisturbed = run(DAY)
    fills = [(f["symbol"], f["quantity"], f["price"]) for f in rows("fill")]
    keep = PaperBroker._keep
    for deadly in (0, 1, 2, 4):
        monkeypatch.setenv("HYBRIDNB_HOME", str(home / f"again{deadly}"))
        writes = 0

        def dying(self: PaperBroker, deadly: int = deadly) -> None:
            nonlocal writes
            if writes == deadly:
                writes += 1
                raise Died
            writes += 1
            keep(self)

        monkeypatch.setattr(PaperBroker, "_keep", dying)
        for _ in range(4):
            try:
                done = run(DAY)
            except Died:
                continue
            break
        told = [(f["symbol"], f["quantity"], f["price"]) for f in rows("fill")]
        # An entry that was never answered may be given up; nothing is ever filled or booked twice.
        assert told in (fills, [])
        assert done["equity"] == (undisturbed["equity"] if told else 1_000_000.0)
        assert all(found["differences"] == [] for found in rows("reconciled"))


def test_a_session_that_nobody_finished_leaves_its_brake_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dying(self: PaperBroker) -> None:
        raise Died

    act("brake-on", reason="told to")
    with monkeypatch.context() as patched:
        patched.setattr(PaperBroker, "_keep", dying)
        with pytest.raises(Died):
            run(DAY)
    assert rows("operator", session=DAY.session) and not rows("session_closed")
    run(NEXT)
    (closed,) = rows("session_closed")
    assert closed["session"] == NEXT.session and closed["snapshot"]["risk"]["brake"]
    assert not rows("fill") and not [r for r in rows("order") if r["leg"] == Leg.ENTRY]


def touched(change: Callable[[dict[str, Any]], None], home: Path) -> None:
    """What nobody here decided happens to the paper account."""
    (path,) = (home / "paper").glob("*.json")
    kept = json.loads(path.read_text())
    change(kept["account"])
    path.write_text(json.dumps(kept))


def halved(account: dict[str, Any]) -> None:
    symbol = sorted(account["holdings"])[0]
    account["holdings"][symbol]["quantity"] //= 2


def paid_out(account: dict[str, Any]) -> None:
    account["cash"] -= 5_000 * 10_000


@pytest.mark.parametrize(("change", "what"), [(halved, "quantity"), (paid_out, "cash")])
def test_what_nobody_here_decided_stops_the_next_session_and_is_shown(
    home: Path, change: Callable[[dict[str, Any]], None], what: str
) -> None:
    run(DAY)
    assert compare_account(NEXT, "paper", prepare=hopeful)["differences"] == []
    before = open_ledger().count("session")
    touched(change, home)
    with pytest.raises(Differs) as caught:
        compare_account(NEXT, "paper", prepare=hopeful)
    assert caught.value.exit_code == 3
    (difference,) = caught.value.as_dict()["differences"]
    assert difference["what"] == what
    assert open_ledger().count("session") == before
    with pytest.raises(Refused, match="differ"):
        run(NEXT)
    assert rows("order", session=NEXT.session) == []


@pytest.mark.parametrize("refused_first", [False, True])
def test_an_adoption_is_recorded_protects_what_it_takes_and_lets_the_next_session_trade(
    home: Path, refused_first: bool
) -> None:
    run(DAY)
    touched(halved, home)
    if refused_first:
        with pytest.raises(Refused):
            run(NEXT)
    done = adopt_account(NEXT, "paper", reason="sold by hand", prepare=hopeful)
    (row,) = rows("adopted")
    assert row["reason"] == "sold by hand" and len(row["differences"]) == 1
    assert all(held["ours"] == held["theirs"] for held in done["positions"].values())
    stops = {
        o["symbol"]: o["quantity"] - o["filled"]
        for o in rows("session_closed", session=NEXT.session)[0]["snapshot"]["working"]
        if o["leg"] == Leg.STOP
    }
    assert stops == {s: held["theirs"] for s, held in done["positions"].items()}
    with pytest.raises(Refused, match="over"):
        adopt_account(NEXT, "paper", reason="again", prepare=hopeful)
    after = run(Request(session="2013-02-27"))
    assert rows("reconciled", session=after["session"])[0]["differences"] == []
    with pytest.raises(UsageError):
        adopt_account(NEXT, "paper", reason=" ", prepare=hopeful)


def test_an_adoption_takes_the_cash_over(home: Path) -> None:
    run(DAY)
    touched(paid_out, home)
    found = adopt_account(NEXT, "paper", reason="paid out", prepare=hopeful)
    assert found["cash"]["ours"] == found["cash"]["theirs"]
    (row,) = rows("adopted")
    assert row["before"]["cash"] - row["after"]["cash"] == 5_000 * 10_000
    after = run(Request(session="2013-02-27"))
    assert rows("reconciled", session=after["session"])[0]["differences"] == []


def test_an_account_that_cant_be_read_trades_nothing(home: Path) -> None:
    run(DAY)
    (path,) = (home / "paper").glob("*.json")
    path.write_text("{")
    with pytest.raises(CheckFailed):
        run(NEXT)


# Operators


def test_a_halt_holds_from_session_to_session_until_it_is_resumed() -> None:
    act("halt", reason="news")
    assert run(DAY)["orders"] == 0
    assert run(NEXT)["orders"] == 0
    act("resume", reason="over")
    third = run(Request(session="2013-02-27"))
    assert third["orders"] > 0
    told = [(r["session"], r["action"], r.get("standing", False)) for r in rows("operator")]
    assert told == [
        ("2013-02-25", "halt", False),
        ("2013-02-26", "halt", True),
        ("2013-02-27", "halt", True),
        ("2013-02-27", "resume", False),
    ]
    assert run(Request(session="2013-02-27")) == third


def test_an_action_reaches_a_session_in_progress_at_its_next_listening(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pace = PaperBroker.pace

    def interrupted(self: PaperBroker, phase: str) -> Any:
        if phase == "range":
            act("reduce", reason="thin market")
        yield from pace(self, phase)

    monkeypatch.setattr(PaperBroker, "pace", interrupted)
    run(DAY)
    (row,) = rows("operator")
    assert row["action"] == "reduce"
    closing = rows("session_closed")[0]
    assert closing["snapshot"]["risk"]["state"] == "REDUCING"
    assert rows("operator", session=DAY.session)[0]["n"] < closing["n"]


# Brokers by name


def test_the_three_brokers_are_known_and_a_stranger_is_not(tmp_path: Path) -> None:
    assert {"paper", "ibkr", "ccxt"} <= set(known_brokers())
    with pytest.raises(UsageError, match="no broker"):
        section(tmp_path, "mtgox")
    assert section(tmp_path, "ibkr") == {}


@pytest.mark.parametrize("text", ["ibrk: {port: 1}", "- ibkr", "ibkr: 4002"])
def test_a_file_of_brokers_is_checked(tmp_path: Path, text: str) -> None:
    (tmp_path / "brokers.yml").write_text(text)
    with pytest.raises(ParamsError):
        section(tmp_path, "ibkr")


def test_an_unknown_key_is_refused_before_anything_connects() -> None:
    with pytest.raises(ParamsError, match="prot"):
        open_broker("ibkr", BrokerRequest({"prot": 4002}, {}), demo=True)


def test_secrets_come_from_the_environment_and_are_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zv"
    given = {"unit": {"BTC/USDT": "0.001"}, "secrets": {"key": secret}}
    with pytest.raises(ParamsError) as caught:
        open_broker("ccxt", BrokerRequest(given, {}), demo=True)
    assert secret not in str(caught.value) and secret not in json.dumps(caught.value.as_dict())
    monkeypatch.delenv("HYBRIDNB_CCXT_KEY", raising=False)
    with pytest.raises(Missing, match="HYBRIDNB_CCXT_KEY"):
        open_broker("ccxt", BrokerRequest({"unit": {"BTC/USDT": "0.001"}}, {}), demo=True)
    assert validated(Secrets, None).secret == "HYBRIDNB_CCXT_SECRET"


@pytest.mark.parametrize(
    ("url", "test"),
    [
        (None, True),
        ("http://127.0.0.1:9000", True),
        ("https://testnet.binance.vision", True),
        ("https://api.binance.com", False),
        ("https://testnet.evil.example.com@api.binance.com", False),
    ],
)
def test_addresses_of_real_money(url: str | None, test: bool) -> None:
    assert is_test(url) is test


def test_a_library_that_isnt_there_is_missing_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hybridnb.app.brokers.LIBRARIES", {"ibkr": "a_library_nobody_has"})
    with pytest.raises(Missing) as caught:
        open_broker("ibkr", BrokerRequest({}, {}), demo=True)
    assert caught.value.remedy == "pip install 'hybridnb[ibkr]'"


# Time


def test_listening_covers_every_phase_until_the_end() -> None:
    now = [1_000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    clock = Clock(now=lambda: now[0], sleep=sleep)
    pace, ends = Pace(clock, 1_000.0 + 600.0), []
    for phase in ("open", "range", "close", "end"):
        assert sum(1 for _ in pace(phase)) >= 1
        ends.append(now[0] - 1_000.0)
    assert ends == [60.0, 540.0, 570.0, 600.0]
    assert [sum(1 for _ in pace(p)) for p in ("open", "range", "close", "end")] == [1] * 4


def test_a_broker_trades_the_session_in_progress_and_no_other() -> None:
    when = pd.Timestamp("2013-03-04 10:00", tz="America/New_York")
    found = open_day(Request(), now=when)
    assert found.session == "2013-03-04"
    assert found.market.bars["session"].max() == pd.Timestamp("2013-03-01")
    day = hopeful(found).panel.day(len(found.sessions) - 1)
    assert (day.session, day.seen, dict(day.bars)) == ("2013-03-04", "2013-03-01", {})
    assert not day.stale.all()
    with pytest.raises(UsageError, match="is over"):
        open_day(Request(session="2013-03-01"), now=when)
    with pytest.raises(UsageError, match="doesn't open"):
        open_day(Request(), now=pd.Timestamp("2013-03-03 10:00", tz="America/New_York"))
