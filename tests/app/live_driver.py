"""Trade one session through a broker, as a process of its own that a test may kill.

`python live_driver.py ibkr PORT HOME` or `... ccxt URL HOME`; HOME holds the ledger and the file
`phase`, whose first word names the phase in progress. `--die N` kills the process, by SIGKILL, at
the Nth step: before or after a call of the broker that isn't a poll, or of the ledger. Prints the
outcome as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from conftest import build_panel, build_setup

from hybridnb.app.live import trade_live
from hybridnb.app.live_desk import Floor
from hybridnb.app.panel import Panel
from hybridnb.app.records import Recorder
from hybridnb.app.state import first_state, restored
from hybridnb.domain import Instrument
from hybridnb.errors import HybridnbError
from hybridnb.ledger.store import Ledger
from hybridnb.policy import Policy, validated

PHASES = ("open", "range", "close", "end", "over")
STAMP = {"policy_id": "p", "experiment_id": "e", "model_version": "m"}
FIRST = 281
POLICY = {
    "sizing": {
        **{"heat_limit": 100.0, "var_limit": 1.0, "es_limit": 1.0},
        **{"kelly_fraction": 1.0, "volatility_target": 1.0},
    },
    "safety": {"repeat_fills": 100_000, "order_value": 1e6},
}
# Symbols and their instruments: prices around 100 and in whole ticks at either venue.
MARKETS: dict[str, dict[str, dict[str, Any]]] = {
    "ibkr": {"AAPL": {"tick": 100}, "IBM": {"tick": 100}, "MSFT": {"tick": 100}},
    "ccxt": {"BTC/USDT": {"tick": 1, "lot": 1}, "ETH/USDT": {"tick": 500, "lot": 1}},
}
UNIT = {"BTC/USDT": "0.01", "ETH/USDT": "0.5"}


def market(kind: str) -> Panel:
    """A calm history of the venue's names, around 100 a unit, every one to be bought."""
    names = MARKETS[kind]
    closes = np.full((300, len(names)), 100.0)
    panel = build_panel(closes)
    currency = {"ibkr": "USD", "ccxt": "USDT"}[kind]
    rename = dict(zip(panel.symbols, names, strict=True))
    instruments = {
        rename[s]: replace(x, symbol=rename[s], currency=currency, **names[rename[s]])
        for s, x in panel.instruments.items()
    }
    return replace(panel, symbols=tuple(names), instruments=instruments, currency=currency)


def connect(kind: str, address: str, instruments: Mapping[str, Instrument]) -> Any:
    """The adapter, at a stub."""
    if kind == "ibkr":
        from hybridnb.execution.ibkr import IbkrBroker, IbkrSettings

        # A gateway lets go of a client's number a moment after the client died.
        for attempt in itertools.count():
            try:
                values = {"port": int(address), "timeout_s": 2.0}
                return IbkrBroker(validated(IbkrSettings, values), instruments=instruments)
            except HybridnbError:
                if attempt == 20:
                    raise
                time.sleep(0.1)
    from pydantic import SecretStr

    from hybridnb.execution.ccxt_spot import CcxtBroker
    from hybridnb.execution.ccxt_wire import CcxtSettings
    from hybridnb.testing.binance_api import KEY, SECRET

    values = {"base_url": address, "timeout_s": 2.0, "pause_ms": 0, "unit": UNIT}
    settings = validated(CcxtSettings, values)
    return CcxtBroker(settings, key=SecretStr(KEY), secret=SecretStr(SECRET))


class Mortal:
    """Counts the steps that reach outside, says each on a line of its own, and dies at one."""

    def __init__(self, at: int, log: Path) -> None:
        self.at, self.n, self.log = at, 0, log

    def step(self, what: str) -> None:
        self.n += "poll" not in what
        with self.log.open("a", encoding="ascii") as file:
            file.write(what + "\n")
        if self.n == self.at and "poll" not in what:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*given: Any) -> Any:
            self.step(f"before {name}")
            answer = call(*given)
            self.step(f"after {name}")
            return answer

        return guarded


class Line:
    """A broker behind a mortal process."""

    def __init__(self, broker: Any, life: Mortal) -> None:
        self.name, self.both_legs = broker.name, getattr(broker, "both_legs", True)
        for name in ("submit", "amend", "cancel", "poll", "statement"):
            setattr(self, name, life.around(name, getattr(broker, name)))


def pacer(home: Path, every: float) -> Callable[[str], Iterator[None]]:
    """Time to listen until the file says that a later phase has begun."""

    def pace(phase: str) -> Iterator[None]:
        mine = PHASES.index(phase)
        for n in itertools.count():
            now = (home / "phase").read_text().split()[0]
            if PHASES.index(now) > mine and n > 2:
                return
            yield
            time.sleep(every)

    return pace


def told(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=tuple(MARKETS))
    parser.add_argument("address")
    parser.add_argument("home", type=Path)
    parser.add_argument("--die", type=int, default=0)
    parser.add_argument("--session", type=int, default=FIRST, help="row of the history")
    parser.add_argument("--kill-at", type=float, default=-0.025, help="day P&L of the switch")
    parser.add_argument("--every", type=float, default=0.01, help="seconds between polls")
    chosen = parser.parse_args()
    try:
        outcome = run(chosen)
    except HybridnbError as error:
        sys.stdout.write(json.dumps(error.as_dict()) + "\n")
        sys.exit(error.exit_code)
    sys.stdout.write(json.dumps(outcome) + "\n")


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """Trade the session, from wherever it was left."""
    home: Path = chosen.home
    panel = market(chosen.kind)
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}", heads=home / "heads.json")
    day = replace(panel.day(chosen.session), bars={})
    policy = validated(Policy, POLICY | {"risk": {"kill_day_pnl": chosen.kill_at}})
    setup = replace(
        build_setup(len(panel.symbols), policy=policy),
        hints=lambda day, state: np.full(len(day.symbols), 4.0),
    )
    rows = ledger.rows("session", book="book")
    earlier = [r for r in rows if r["session"] < day.session]
    closed = [r for r in earlier if r["kind"] == "session_closed"]
    state = restored(closed[-1]["snapshot"]) if closed else first_state(policy)
    life = Mortal(chosen.die, home / "steps")

    def sink(rows: Sequence[Mapping[str, Any]]) -> None:
        ledger.ensure("session", rows, book="book", session=day.session)

    record = Recorder(
        book="book",
        session=day.session,
        stamp=STAMP,
        sink=life.around("journal", sink),
        rows=[r for r in rows if r["session"] == day.session],
    )
    actions = iter(told(home / "actions") or ())
    broker = connect(chosen.kind, chosen.address, panel.instruments)
    floor = Floor(
        broker=Line(broker, life),
        pace=pacer(home, chosen.every),
        clock=time.time,
        prices=lambda: told(home / "prices") or {},
        actions=lambda: [a for a in (next(actions, None),) if a],
    )
    try:
        after = trade_live(state, day, setup, record, floor=floor, past=earlier)
    finally:
        broker.close()
    return {
        "outcome": "traded",
        "positions": {s: p.quantity for s, p in after.book.positions.items()},
        "killed": after.risk.killed,
        "rows": len(record.rows),
    }


if __name__ == "__main__":
    main()
