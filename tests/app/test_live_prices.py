"""A session at IB sees the market move between open and close, or says that it doesn't."""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ib_async", reason="the optional package ib_async isn't installed")

from hybridnb.app.live import trade_live
from hybridnb.app.live_desk import Floor
from hybridnb.app.live_prices import BACK, SILENCE, STALLED, LivePrices, Vigil
from hybridnb.app.records import Recorder
from hybridnb.app.state import State, first_state
from hybridnb.domain import TradingState
from hybridnb.errors import BrokerDown
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
        self.ahead = 0.0  # seconds that the session's clock is ahead of this machine's

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
        floor = Floor(broker=broker, pace=pace, clock=self.clock, prices=prices, watch=prices.watch)
        try:
            return trade_live(first_state(policy), day, setup, record, floor=floor)
        finally:
            broker.close()

    def clock(self) -> float:
        return time.time() + self.ahead

    def passes(self, seconds: float) -> Callable[[], None]:
        def act() -> None:
            self.ahead += seconds

        return act

    def texts(self) -> list[str]:
        return [row["text"] for row in self.of("alert")]

    def legs(self) -> dict[str, int]:
        """Orders that work at the gateway, by leg."""
        mine = [o.client_id.split("-")[3] for o in self.gateway.exchange.working]
        return {leg: mine.count(leg) for leg in sorted(set(mine))}

    def of(self, kind: str) -> list[Row]:
        return [row for row in self.rows if row["kind"] == kind]

    def everywhere(self, price: int) -> Callable[[], None]:
        """The market trades in every name, with our orders too."""
        return lambda: [self.gateway.trade(s, price, 10_000) for s in NAMES] and None

    def quoted(self, price: int) -> None:
        """Every name was last traded at this price; nobody trades with us."""
        for symbol in NAMES:
            self.gateway.quote(symbol, last=price)

    def falling(self) -> None:
        """Prices fall, above the stops; nobody trades with us."""
        self.quoted(FALLEN)


@pytest.fixture
def floors() -> Iterator[Floors]:
    gateway = Gateway(Exchange())
    with ibkr_server.running(gateway) as (port, _):
        made = Floors(gateway, port)
        made.quoted(PRICE)
        yield made


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


def refusals(floors: Floors) -> set[tuple[str, ...]]:
    return {tuple(o["refusals"]) for o in floors.of("order") if o["state"] == "rejected"}


def test_without_market_data_nothing_is_entered_and_it_says_so_once(floors: Floors) -> None:
    floors.gateway.permit("none")
    after = floors.session(open=[floors.everywhere(PRICE)])
    assert after.book.positions == {} and not floors.gateway.exchange.orders
    assert refusals(floors) == {("STALE_DATA",)}
    (told,) = [text for text in floors.texts() if "no market data" in text]
    assert all(symbol in told for symbol in NAMES) and "354" in told


@pytest.mark.parametrize("share", [0.90, 0.91, 1.11, 1.12])
def test_a_market_that_has_moved_beyond_the_collar_is_not_entered(
    floors: Floors, share: float
) -> None:
    moved = round(PRICE * share)
    floors.quoted(moved)
    after = floors.session(open=[floors.everywhere(moved)])
    if 0.90 < share < 1.12:  # 10 % of the last price
        assert set(after.book.positions) == set(NAMES)
    else:
        assert after.book.positions == {} and not floors.gateway.exchange.orders
        assert refusals(floors) == {("COLLAR",)}


def test_an_interrupted_feed_withdraws_entries_keeps_stops_and_says_when_it_is_back(
    floors: Floors,
) -> None:
    seen: list[dict[str, int]] = []
    first, *rest = NAMES

    def buys_one() -> None:
        floors.gateway.trade(first, PRICE, 10_000)

    def look() -> None:
        seen.append(floors.legs())

    def back() -> None:
        floors.gateway.quote(first, last=PRICE + 100)

    silence, trades = floors.passes(SILENCE + 1.0), floors.everywhere(PRICE)
    script = [quiet, look, silence, quiet, look, back, quiet, trades, look]
    after = floors.session(open=[buys_one], range=script)
    held = {"stop": 1, "target": 1}
    assert seen == [{"entry": len(rest), **held}, held, held]
    assert floors.texts() == [STALLED, BACK]
    assert set(after.book.positions) == {first} == set(floors.gateway.exchange.holdings)
    assert after.risk.state is TradingState.ACTIVE
    withdrawn = [o for o in floors.of("order") if o["leg"] == "entry" and o["state"] == "cancelled"]
    assert {o["symbol"] for o in withdrawn} == set(rest)


def test_a_feed_that_repeats_its_prices_is_alive(floors: Floors) -> None:
    def again() -> None:
        floors.ahead += SILENCE / 2
        floors.quoted(PRICE)

    after = floors.session(open=[floors.everywhere(PRICE)], range=[again] * 6)
    assert floors.texts() == [] and set(after.book.positions) == set(NAMES)


def test_a_feed_that_another_login_takes_away_is_interrupted_at_once(floors: Floors) -> None:
    taken = [quiet, lambda: floors.gateway.permit("competing"), quiet, quiet]
    floors.session(open=[quiet], range=taken)
    texts = floors.texts()
    assert STALLED in texts and BACK not in texts
    assert {o["symbol"] for o in floors.of("order") if o["state"] == "cancelled"} == set(NAMES)


def test_the_switch_goes_on_with_the_feed(floors: Floors) -> None:
    silence = floors.passes(SILENCE + 1.0)
    fallen = [silence, quiet, floors.falling, quiet, quiet, floors.everywhere(FALLEN)]
    after = floors.session(open=[floors.everywhere(PRICE)], range=fallen)
    assert floors.texts()[:2] == [STALLED, BACK]
    assert after.risk.killed and after.book.positions == {}


class Hung:
    """A broker whose feed has a connection of its own, which breaks."""

    def __init__(self) -> None:
        self.down = False

    def prices(self) -> dict[str, int]:
        if self.down:
            raise BrokerDown("no connection")
        return {"A": 1}


def test_a_feed_whose_connection_is_gone_is_interrupted_at_once() -> None:
    broker: Any = Hung()
    prices = LivePrices(broker, Recorder(book="b", session="s", stamp={}))
    vigil = Vigil(prices, None, 99.0)
    assert vigil.look(prices(), 100.0) == ()
    broker.down = True
    assert (vigil.look(prices(), 101.0), prices()) == ((STALLED,), {})
    assert vigil.look(prices(), 102.0) == () and vigil.interrupted
    broker.down = False
    assert vigil.look(prices(), 103.0) == (BACK,) and not vigil.interrupted
    assert vigil.look(prices(), 103.0 + SILENCE + 1.0) == (STALLED,), "the same price is no news"


def test_a_feed_may_be_silent_while_the_exchange_is_closed_or_nothing_is_followed() -> None:
    opens = dt.datetime.fromtimestamp(1_000.0, dt.UTC)
    hours = (opens, opens + dt.timedelta(seconds=1_000))
    prices: dict[str, int] = {"A": 1}
    vigil = Vigil(lambda: prices, hours, 1.0)
    for at in (1.0, 900.0, 1_000.0 + SILENCE - 101.0):
        assert vigil.look(prices, at) == ()
    assert vigil.look(prices, 1_000.0 + SILENCE + 1.0) == (STALLED,)
    assert vigil.look({"A": 2}, 1_200.0) == (BACK,)
    assert vigil.look({}, 1_800.0) == (), "nothing is followed"
    assert vigil.look({"A": 2}, 1_801.0) == ()
    assert vigil.look({"A": 2}, 2_500.0) == (), "the exchange is closed"


@given(st.lists(st.tuples(st.floats(0.0, 90.0), st.integers(0, 3)), max_size=60))
def test_interrupted_is_exactly_no_news_for_too_long(steps: list[tuple[float, int]]) -> None:
    vigil, at, since, news = Vigil(dict, None, 1.0), 1.0, 1.0, None
    for seconds, price in steps:
        at += seconds
        prices = {"A": price} if price else {}
        fresh = bool(price) and price != news
        if fresh:
            since, news = at, price
        elif not price and not vigil.interrupted:
            since = at
        vigil.look(prices, at)
        assert vigil.interrupted is (at - since > SILENCE)
