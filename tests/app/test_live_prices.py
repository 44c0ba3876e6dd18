"""A session at IB sees the market move between open and close, or says that it doesn't."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ib_async", reason="the optional package ib_async isn't installed")

from hybridnb.app.live import trade_live
from hybridnb.app.live_desk import Floor
from hybridnb.app.live_prices import LivePrices
from hybridnb.app.records import Recorder
from hybridnb.app.state import State, first_state
from hybridnb.domain import TradingState
from hybridnb.policy import Policy, validated
from hybridnb.testing import ibkr_server
from hybridnb.testing.exchange import Exchange
from hybridnb.testing.ibkr_gateway import Gateway

_SPEC = importlib.util.spec_from_file_location(
    "live_driver", Path(__file__).with_name("live_driver.py")
)
driver = importlib.util.module_from_spec(_SPEC)
sys.modules.setdefault("live_driver", driver)
_SPEC.loader.exec_module(driver)

PRICE, FALLEN = 1_000_000, 950_000
NAMES = tuple(driver.MARKETS["ibkr"])
Row = dict[str, Any]
Script = dict[str, list[Callable[[], None]]]


class Floors:
    """A session at a gateway; a script says what the market does at each time of listening."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.gateway, self.port = gateway, port
        self.rows: list[Row] = []

    def session(self, **script: list[Callable[[], None]]) -> State:
        panel = driver.market("ibkr")
        policy = validated(Policy, driver.POLICY | {"risk": {"kill_day_pnl": -0.0002}})
        setup = replace(
            driver.build_setup(len(panel.symbols), policy=policy),
            hints=lambda day, state: np.full(len(day.symbols), 4.0),
        )
        day = replace(panel.day(driver.FIRST), bars={})

        def sink(rows: list[Row]) -> None:
            self.rows = list(rows)

        record = Recorder(book="book", session=day.session, stamp=driver.STAMP, sink=sink)

        def pace(phase: str) -> Iterator[None]:
            for act in (*script.get(phase, ()), *[lambda: None] * 4):
                act()
                yield

        broker = driver.connect("ibkr", str(self.port), panel.instruments)
        prices = LivePrices(broker, record)
        floor = Floor(broker=broker, pace=pace, clock=time.time, prices=prices)
        try:
            return trade_live(first_state(policy), day, setup, record, floor=floor)
        finally:
            broker.close()

    def of(self, kind: str) -> list[Row]:
        return [row for row in self.rows if row["kind"] == kind]

    def everywhere(self, price: int) -> Callable[[], None]:
        """The market trades in every name, with our orders too."""
        return lambda: [self.gateway.trade(s, price, 10_000) for s in NAMES] and None

    def falling(self) -> None:
        """Prices fall, above the stops; nobody trades with us."""
        for symbol in NAMES:
            self.gateway.quote(symbol, last=FALLEN)


@pytest.fixture
def floors() -> Iterator[Floors]:
    gateway = Gateway(Exchange())
    with ibkr_server.running(gateway) as (port, _):
        yield Floors(gateway, port)


def quiet() -> None:
    """Nothing happens."""


def test_a_price_that_falls_at_the_gateway_trips_the_switch_and_flattens(floors: Floors) -> None:
    entered: list[int] = []

    def enter() -> None:
        floors.everywhere(PRICE)()
        entered.append(len(floors.gateway.exchange.holdings))

    fallen = [quiet, floors.falling, quiet, quiet, floors.everywhere(FALLEN)]
    after = floors.session(open=[enter], range=fallen)
    assert entered[0] > 0
    marks = [(mark["at"], mark["killed"]) for mark in floors.of("mark")]
    tripped = next(n for n, (_, killed) in enumerate(marks) if killed)
    assert marks[tripped][0] == "live", "between the open and the close"
    assert after.risk.killed and after.risk.state is TradingState.HALTED
    assert after.book.positions == {} and floors.gateway.exchange.holdings == {}
    assert {t["exit_leg"] for t in floors.of("trade")} == {"flatten"}
    assert not any("no market data" in row["text"] for row in floors.of("alert"))


def test_without_market_data_it_goes_on_and_says_so_once(floors: Floors) -> None:
    floors.gateway.permit("none")
    after = floors.session(open=[floors.everywhere(PRICE)], range=[quiet, floors.falling, quiet])
    assert after.book.positions and not after.risk.killed
    assert set(after.book.positions) == set(floors.gateway.exchange.holdings)
    assert {mark["at"] for mark in floors.of("mark")} == {"open", "close"}
    told = [row["text"] for row in floors.of("alert") if "no market data" in row["text"]]
    assert len(told) == 1
    assert all(symbol in told[0] for symbol in NAMES) and "354" in told[0]
