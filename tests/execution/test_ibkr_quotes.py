"""Last prices from the loopback gateway: asked for when they matter, missing when they are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given as quoted
from hypothesis import strategies as st

pytest.importorskip("ib_async", reason="the optional package ib_async isn't installed")

from ib_async import Ticker

from hybridnb.domain import Bucket, Instrument, Leg, Order, OrderState, OrderType, Side
from hybridnb.errors import ParamsError
from hybridnb.execution import ibkr_quotes
from hybridnb.execution.ibkr import IbkrBroker, IbkrSettings
from hybridnb.execution.ibkr_quotes import price_of
from hybridnb.policy import validated
from hybridnb.testing.exchange import Exchange
from hybridnb.testing.ibkr_gateway import Gateway
from hybridnb.testing.ibkr_messages import error
from hybridnb.testing.ibkr_server import running

NAMES = ("AAPL", "IBM", "MSFT")


class Desk:
    """The adapter and the stub."""

    def __init__(self, gateway: Gateway, port: int, **more: Any) -> None:
        self.gateway = gateway
        instruments = {s: Instrument(s, Bucket.CORE, "USD", tick=100) for s in NAMES}
        instruments["RY.TO"] = Instrument("RY.TO", Bucket.CORE, "CAD", tick=100)
        settings = validated(IbkrSettings, {"port": port, "timeout_s": 0.6} | more)
        self.broker = IbkrBroker(settings, instruments=instruments)

    def buy(self, symbol: str, quantity: int = 10, limit: int = 900_000) -> Order:
        new = Order(
            client_id=f"{symbol}-entry-{len(self.gateway.exchange.orders)}",
            symbol=symbol,
            side=Side.BUY,
            quantity=quantity,
            type=OrderType.LIMIT,
            leg=Leg.ENTRY,
            state=OrderState.CREATED,
            decision_id="",
            limit=limit,
        )
        return self.broker.submit([new])[0]

    def lines(self) -> list[str]:
        return sorted(feed.symbol for feed in self.gateway.feeds.lines)

    def prices(self) -> dict[str, int]:
        """What is told by the time that the gateway has answered new requests."""
        self.broker.prices()
        return self.broker.prices()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway(Exchange())


@pytest.fixture
def port(gateway: Gateway) -> Iterator[int]:
    with running(gateway) as (port, _):
        yield port


@pytest.fixture
def desk(gateway: Gateway, port: int) -> Iterator[Desk]:
    made = Desk(gateway, port)
    yield made
    made.broker.close()


def test_a_line_lives_as_long_as_an_order_or_a_position(desk: Desk) -> None:
    gateway, broker = desk.gateway, desk.broker
    for n, symbol in enumerate(NAMES):
        gateway.quote(symbol, last=1_000_000 + n)
    assert desk.prices() == {} and desk.lines() == []
    first = desk.buy("AAPL")
    gateway.hold("IBM", 5, 1_000_000)
    assert desk.prices() == {"AAPL": 1_000_000, "IBM": 1_000_001}
    assert desk.lines() == ["AAPL", "IBM"]
    gateway.trade("AAPL", 890_000, 10)  # now it is a position
    assert desk.prices()["AAPL"] == 890_000
    gateway.hold("AAPL", -10)
    gateway.hold("IBM", -5)
    assert desk.prices() == {} and desk.lines() == []
    desk.buy("MSFT")
    broker.cancel([first.client_id])
    assert desk.prices() == {"MSFT": 1_000_002}
    asked = [fields for fields in gateway.log if fields[0] in ("1", "2")]
    assert [f[0] for f in asked] == ["1", "1", "2", "2", "1"], "each line is asked for once"


def test_what_is_watched_is_priced_when_the_call_returns(desk: Desk) -> None:
    gateway, broker = desk.gateway, desk.broker
    for n, symbol in enumerate(NAMES):
        gateway.quote(symbol, close=900_000, last=1_000_000 + n)
    desk.buy("AAPL")
    broker.watch(["IBM", "not ours"])
    assert broker.prices() == {"AAPL": 1_000_000, "IBM": 1_000_001}, "the last, not the close"
    broker.watch(["MSFT"])
    assert broker.prices() == {"AAPL": 1_000_000, "MSFT": 1_000_002}
    assert desk.lines() == ["AAPL", "MSFT"], "until the next call"
    broker.watch([])
    assert broker.prices() == {"AAPL": 1_000_000}


def test_what_is_watched_and_not_quoted_is_waited_for_and_named(desk: Desk) -> None:
    gateway, broker = desk.gateway, desk.broker
    gateway.quote("IBM", close=900_000)
    broker.watch(["IBM", "MSFT"])
    assert broker.prices() == {"IBM": 900_000} and broker.unpriced() == {"MSFT": "no price came"}
    gateway.permit("none")
    broker.watch(["MSFT"])
    assert broker.prices() == {} and broker.unpriced()["MSFT"].startswith("354")


def test_what_isn_t_ours_has_no_line(desk: Desk) -> None:
    desk.gateway.hold("TSLA", 5, 1_000_000)
    assert desk.prices() == {} and desk.lines() == []
    desk.gateway.hold("RY.CAD", 5, 1_000_000)
    desk.gateway.quote("RY.CAD", last=1_300_000)
    assert desk.prices() == {"RY.TO": 1_300_000}


def test_prices_move_as_they_are_told(desk: Desk) -> None:
    gateway = desk.gateway
    gateway.quote("AAPL", close=980_000)
    desk.buy("AAPL")
    assert desk.prices() == {"AAPL": 980_000}
    gateway.quote("AAPL", bid=999_900, ask=1_000_200)
    assert desk.broker.prices() == {"AAPL": 1_000_050}
    gateway.quote("AAPL", last=1_010_000)
    assert desk.broker.prices() == {"AAPL": 1_010_000}
    gateway.quote("AAPL", last=-10_000, bid=-10_000)
    assert desk.broker.prices() == {"AAPL": 980_000}


NOTHING = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, 1e300])
PRICE = st.one_of(NOTHING, st.integers(1, 10**10).map(lambda n: n / 10_000))


@quoted(last=PRICE, bid=PRICE, ask=PRICE, close=PRICE)
def test_the_first_that_is_a_price(last: float, bid: float, ask: float, close: float) -> None:
    given = {"last": last, "bid": bid, "ask": ask, "close": close}
    real = {name: price for name, price in given.items() if 0.0 < price < 1e12}
    ticker = Ticker()
    ticker.last, ticker.bid, ticker.ask, ticker.close = last, bid, ask, close
    found = price_of(ticker)
    if "last" in real:
        assert found == round(last * 10_000)
    elif {"bid", "ask"} <= real.keys():
        assert found is not None and abs(found / 10_000 - (bid + ask) / 2) <= 1e-4
    else:
        assert found == (round(close * 10_000) if "close" in real else None)


@pytest.mark.parametrize(("permission", "code"), [("none", "354"), ("competing", "10197")])
def test_without_market_data_the_price_is_missing_and_says_why(
    desk: Desk, permission: str, code: str
) -> None:
    gateway, broker = desk.gateway, desk.broker
    gateway.quote("AAPL", last=1_000_000)
    desk.buy("AAPL")
    assert desk.prices() == {"AAPL": 1_000_000} and broker.unpriced() == {}
    gateway.permit(permission)  # in the middle of it
    assert desk.prices() == {}
    assert broker.unpriced()["AAPL"].startswith(code)
    desk.buy("IBM")
    assert desk.prices() == {}
    assert list(broker.unpriced()) == ["AAPL", "IBM"]
    assert [f for f in gateway.log if f[0] == "1"][2:] == [], "and isn't asked for again and again"
    assert broker.statement().orders and broker.poll() is not None


def test_a_refused_line_is_asked_for_again_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.gateway.permit("competing")
    desk.gateway.quote("AAPL", last=1_000_000)
    desk.buy("AAPL")
    assert desk.prices() == {}
    desk.gateway.permit("live")
    assert desk.prices() == {}
    monkeypatch.setattr(ibkr_quotes, "RETRY", 0.0)
    assert desk.prices() == {"AAPL": 1_000_000} and desk.broker.unpriced() == {}


@pytest.mark.parametrize(("kind", "priced"), [(1, False), (2, False), (3, True), (4, True)])
def test_delayed_prices_are_taken_by_setting_alone(
    gateway: Gateway, port: int, kind: int, priced: bool
) -> None:
    gateway.permit("delayed")
    gateway.quote("AAPL", last=1_000_000, bid=990_000)
    desk = Desk(gateway, port, market_data_type=kind)
    try:
        desk.buy("AAPL")
        assert desk.prices() == ({"AAPL": 1_000_000} if priced else {})
        told = desk.broker.unpriced()
        assert told == {} if priced else told["AAPL"].startswith("10168")
    finally:
        desk.broker.close()


def test_a_symbol_nobody_quotes_is_unpriced_after_a_while(gateway: Gateway, port: int) -> None:
    desk = Desk(gateway, port, timeout_s=1.0)
    try:
        desk.buy("AAPL")
        assert desk.prices() == {} and desk.broker.unpriced() == {}
        while not desk.broker.unpriced():
            pass
        assert desk.broker.unpriced() == {"AAPL": "no price came"}
        gateway.quote("AAPL", bid=990_000, ask=1_010_000)
        assert desk.broker.prices() == {"AAPL": 1_000_000} and desk.broker.unpriced() == {}
    finally:
        desk.broker.close()


def test_lines_come_back_with_the_connection(desk: Desk) -> None:
    gateway = desk.gateway
    gateway.quote("AAPL", last=1_000_000)
    desk.buy("AAPL")
    assert desk.prices() == {"AAPL": 1_000_000}
    gateway.drop()
    gateway.quote("AAPL", last=950_000)
    assert desk.prices() == {"AAPL": 950_000}
    (peer,) = gateway.peers
    gateway.feeds.lines.clear()  # IB's servers forgot them, as they say
    peer.send(error(-1, 1101, "Connectivity has been restored - data lost"))
    gateway.quote("AAPL", last=940_000)
    assert desk.prices() == {"AAPL": 940_000}


def test_no_more_than_a_hundred_lines(gateway: Gateway, port: int) -> None:
    """The gateway says so of the hundred-first; the others go on."""
    names = [f"N{n:03d}" for n in range(101)]
    instruments = {s: Instrument(s, Bucket.CORE, "USD") for s in names}
    for symbol in names:
        gateway.hold(symbol, 1, 1_000_000)
        gateway.quote(symbol, last=1_000_000)
    settings = validated(IbkrSettings, {"port": port, "timeout_s": 5.0})
    broker = IbkrBroker(settings, instruments=instruments)
    try:
        while len(broker.prices()) < 100:
            pass
        while not broker.unpriced():
            pass
        (told,) = broker.unpriced().items()
        assert told == (names[-1], "101: Max number of tickers has been reached")
    finally:
        broker.close()


@pytest.mark.parametrize("kind", [0, 5, 1.5, "live"])
def test_data_types_are_one_to_four(kind: object) -> None:
    with pytest.raises(ParamsError):
        validated(IbkrSettings, {"market_data_type": kind})
