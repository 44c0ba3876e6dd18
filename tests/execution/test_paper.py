"""The paper venue: known fills, then whole sessions of random bars, orders and restarts."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.book import Book, apply_fill
from hybridnb.domain import (
    Action,
    Bar,
    Bucket,
    Fill,
    Instrument,
    Leg,
    Order,
    OrderState,
    OrderType,
    Side,
)
from hybridnb.execution.brackets import legs, unprotected
from hybridnb.execution.orders import client_id, flatten, from_decision
from hybridnb.execution.paper import CLOSE, END, OPEN, RANGE, Liquidity, PaperVenue
from hybridnb.policy import Policy, validated
from hybridnb.stops import protect, stop_rule, trail

POLICY = Policy()
FREE = validated(Policy, {"costs": {"half_spread_core": 0.0, "impact": 0.0}}).costs
STOCKS = {s: Instrument(s, Bucket.CORE, "CAD") for s in "ABC"}
START = dt.date(2013, 3, 1)


def bar(
    open_: int, high: int, low: int, close: int, volume: int = 100_000, symbol: str = "A"
) -> Bar:
    return Bar(symbol, START, open_, high, low, close, volume)


FLAT = bar(1_000_000, 1_000_000, 1_000_000, 1_000_000)


def market(quantity: int, *, side: Side = Side.BUY, leg: Leg = Leg.ENTRY, n: int = 0) -> Order:
    return Order(
        client_id=client_id("2013-03-01", f"d{n}", leg),
        symbol="A",
        side=side,
        quantity=quantity,
        type=OrderType.MARKET,
        leg=leg,
        state=OrderState.CREATED,
        decision_id=f"d{n}",
    )


def bracket(quantity: int, stop: int, target: int) -> list[Order]:
    one = replace(market(quantity, side=Side.SELL, leg=Leg.STOP), type=OrderType.STOP, stop=stop)
    two = market(quantity, side=Side.SELL, leg=Leg.TARGET)
    return [one, replace(two, type=OrderType.LIMIT, limit=target)]


def venue(costs: Any = FREE, **kwargs: Any) -> PaperVenue:
    return PaperVenue(costs, STOCKS, **kwargs)


def test_a_market_order_fills_at_the_open() -> None:
    desk = venue()
    (order,) = desk.submit([market(100)])
    assert order.state is OrderState.ACCEPTED
    changed, fills = desk.run({"A": bar(1_000_000, 1_100_000, 900_000, 1_050_000)}, OPEN)
    assert [(o.state, o.filled) for o in changed] == [(OrderState.FILLED, 100)]
    (fill,) = fills
    assert (fill.price, fill.reference, fill.quantity, fill.at) == (
        1_000_000,
        1_000_000,
        100,
        "2013-03-01",
    )
    assert desk.working == []


def test_slippage_and_commission_are_charged() -> None:
    """2 bps half spread and 1 × 2 % × √(100 / 1,000,000) = 2 bps impact on 100.00."""
    desk = venue(POLICY.costs.model_copy(update={"latency": "none"}))
    desk.liquidity = lambda symbol: Liquidity(1e6, 0.02)
    desk.submit([market(100)])
    (fill,) = desk.run({"A": FLAT}, OPEN)[1]
    assert fill.price == pytest.approx(1_000_400, abs=1)
    assert fill.slippage == (fill.price - fill.reference) * 100
    assert fill.commission == 10_000


def test_a_market_order_pays_for_the_time_it_travels() -> None:
    """100 ms of 6.5 hours: 2 % × √(2/π) × √(0.1 / 23,400) are 0.33 bps more on 100.00."""
    prices = []
    for latency in ("none", "fixed"):
        desk = venue(POLICY.costs.model_copy(update={"latency": latency}))
        desk.liquidity = lambda symbol: Liquidity(1e6, 0.02)
        desk.submit([market(100)])
        prices.append(desk.run({"A": FLAT}, OPEN)[1][0].price)
    assert prices[1] - prices[0] == pytest.approx(33, abs=1)


def test_at_most_a_tenth_of_the_volume_and_the_rest_of_an_entry_expires() -> None:
    desk = venue()
    desk.submit([market(100)])
    changed, fills = desk.run({"A": replace(FLAT, volume=300)}, OPEN)
    assert [f.quantity for f in fills] == [30]
    assert changed[0].state is OrderState.PARTIALLY_FILLED
    ended, none = desk.run({}, END)
    assert [(o.state, o.filled) for o in ended] == [(OrderState.EXPIRED, 30)]
    assert (none, desk.working) == ([], [])


def test_the_rest_of_an_exit_keeps_working_and_pays_by_the_day() -> None:
    desk = venue()
    desk.submit([market(1_000, side=Side.SELL, leg=Leg.EXIT)])
    (first,) = desk.run({"A": replace(FLAT, volume=4_000)}, OPEN)[1]
    assert desk.run({}, END) == ([], [])
    again = venue(working=desk.working)
    (second,) = again.run({"A": FLAT}, OPEN)[1]
    assert (first.quantity, second.quantity) == (400, 600)
    assert (first.commission, second.commission) == (40_000, 60_000)
    assert first.fill_id != second.fill_id


def test_partial_fills_of_a_day_pay_one_minimum() -> None:
    desk = venue()
    desk.submit([market(80, side=Side.SELL, leg=Leg.EXIT)])
    paid = [desk.run({"A": replace(FLAT, volume=v)}, OPEN)[1] for v in (400, 800)]
    assert [f.quantity for fills in paid for f in fills] == [40, 40]
    assert sum(f.commission for fills in paid for f in fills) == 10_000


def test_exits_go_before_entries_and_share_the_volume() -> None:
    desk = venue()
    exit_ = market(80, side=Side.SELL, leg=Leg.EXIT, n=1)
    last = market(15, side=Side.SELL, leg=Leg.FLATTEN, n=2)
    desk.submit([market(100), exit_, last])
    fills = desk.run({"A": replace(FLAT, volume=1_000)}, OPEN)[1]
    assert [(f.leg, f.quantity) for f in fills] == [
        (Leg.FLATTEN, 15),
        (Leg.EXIT, 80),
        (Leg.ENTRY, 5),
    ]


@pytest.mark.parametrize("bars", [{}, {"A": replace(FLAT, volume=0)}])
def test_a_halt_fills_nothing(bars: dict[str, Bar]) -> None:
    desk = venue()
    desk.submit([market(100), *bracket(50, 2_000_000, 500_000)])
    for phase in (OPEN, RANGE, CLOSE):
        assert desk.run(bars, phase) == ([], [])


def test_without_volume_everything_fills() -> None:
    desk = venue()
    desk.submit([market(10**9)])
    assert desk.run({"A": replace(FLAT, volume=-1)}, OPEN)[1][0].quantity == 10**9


@pytest.mark.parametrize(
    ("prices", "leg", "price"),
    [
        ((100, 120, 80, 100), Leg.STOP, 90),
        ((85, 120, 80, 100), Leg.STOP, 85),
        ((100, 120, 95, 100), Leg.TARGET, 110),
        ((115, 120, 80, 100), Leg.TARGET, 115),
        ((100, 105, 95, 100), None, 0),
    ],
)
def test_brackets(prices: tuple[int, int, int, int], leg: Leg | None, price: int) -> None:
    desk = venue()
    desk.submit(bracket(50, 90, 110))
    fills = desk.run({"A": bar(*prices)}, RANGE)[1]
    assert [(f.leg, f.price, f.quantity) for f in fills] == ([(leg, price, 50)] if leg else [])


def test_a_lone_leg_works_too() -> None:
    for leg, answer in ((0, 90), (1, 110)):
        desk = venue()
        desk.submit([bracket(50, 90, 110)[leg]])
        assert desk.run({"A": bar(100, 120, 80, 100)}, RANGE)[1][0].price == answer


def test_a_target_never_fills_worse_than_its_limit() -> None:
    desk = venue(POLICY.costs)
    desk.submit(bracket(50, 900_000, 1_100_000))
    (fill,) = desk.run({"A": bar(1_000_000, 1_200_000, 950_000, 1_000_000)}, RANGE)[1]
    assert (fill.leg, fill.price, fill.slippage) == (Leg.TARGET, 1_100_000, 0)


def test_a_stop_pays_the_spread() -> None:
    desk = venue(POLICY.costs)
    desk.submit(bracket(50, 900_000, 1_100_000))
    (fill,) = desk.run({"A": bar(1_000_000, 1_050_000, 850_000, 900_000)}, RANGE)[1]
    assert (fill.leg, fill.reference, fill.price) == (Leg.STOP, 900_000, 899_820)


def test_sweeps_fill_at_the_close_only() -> None:
    desk = venue()
    desk.submit([market(2, leg=Leg.SWEEP)])
    bars = {"A": bar(100, 120, 80, 110)}
    assert desk.run(bars, OPEN) == ([], [])
    assert desk.run(bars, CLOSE)[1][0].price == 110


def test_duplicates_are_refused_whatever_became_of_the_first() -> None:
    desk = venue()
    desk.submit([market(10)])
    for _ in range(2):
        (again,) = desk.submit([market(99)])
        assert (again.state, again.refusals) == (OrderState.REJECTED, ("DUPLICATE",))
        desk.run({"A": FLAT}, OPEN)
    assert sum(f.quantity for f in desk.run({"A": FLAT}, OPEN)[1]) == 0
    restarted = venue(working=[replace(market(10, n=1), state=OrderState.ACCEPTED)])
    assert restarted.submit([market(10, n=1)])[0].refusals == ("DUPLICATE",)


def test_cancelling_withdraws_working_orders_and_nothing_else() -> None:
    desk = venue()
    orders = desk.submit([market(10), market(10, n=1)])
    (cancelled,) = desk.cancel([orders[0].client_id, "no such order"])
    assert cancelled.state is OrderState.CANCELLED
    assert desk.cancel([orders[0].client_id]) == []
    assert [f.client_id for f in desk.run({"A": FLAT}, OPEN)[1]] == [orders[1].client_id]


def test_amending_keeps_what_was_filled_and_says_nothing_twice() -> None:
    desk = venue()
    assert len(desk.amend(bracket(50, 90, 110))) == 2
    assert desk.amend(bracket(50, 90, 110)) == []
    desk.run({"A": bar(100, 105, 80, 100, volume=200)}, RANGE)
    changed = desk.amend(bracket(30, 90, 110))
    assert [(o.leg, o.left, o.filled) for o in changed] == [
        (Leg.STOP, 30, 20),
        (Leg.TARGET, 30, 0),
    ]


class Session:
    """A desk in small: books fills, re-sizes the legs after each, checks after every event."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.venue = PaperVenue(POLICY.costs, STOCKS)
        self.book = Book(10**12)
        self.log: list[tuple[Order, ...] | Fill] = []
        self.cash, self.units = 10**12, dict.fromkeys(STOCKS, 0)
        self.prices = dict.fromkeys(STOCKS, 1_000_000)

    def bars(self) -> dict[str, Bar]:
        """Random walks with gaps, halts, thin volume and missing bars."""
        found = {}
        for symbol in STOCKS:
            if self.rng.random() < 0.1:
                continue
            moves = np.exp(self.rng.normal(0.0, 0.03, 4) * self.rng.choice([1, 1, 4]))
            points = np.maximum(np.cumprod(moves) * self.prices[symbol], 100).astype(int)
            open_, close = int(points[0]), int(points[-1])
            volume = int(self.rng.choice([0, 9, 200, 5_000, 10**6, -1]))
            found[symbol] = Bar(
                symbol, START, open_, int(points.max()), int(points.min()), close, volume
            )
            self.prices[symbol] = close
        return found

    def orders(self, day: int) -> list[Order]:
        """Entries, additions and exits as decisions would ask for them, and a duplicate."""
        asked = []
        leaving = {o.symbol for o in self.venue.working if o.leg in (Leg.EXIT, Leg.FLATTEN)}
        for symbol in sorted(set(STOCKS) - leaving):
            held = self.book.positions.get(symbol)
            if held and self.rng.random() < 0.1:
                asked.append(flatten(f"s{day}", held))
                continue
            order = from_decision(
                session=f"s{day}",
                decision_id=f"{day}-{symbol}",
                symbol=symbol,
                action=Action(self.rng.choice(["BUY", "SELL", "HOLD"])),
                target=0.05 * float(self.rng.random()),
                refusals=int(self.rng.choice([0, 0, 0, 4])),
                equity=10**11,
                price=self.prices[symbol],
                instrument=STOCKS[symbol],
                position=held,
                min_value=30.0,
            )
            if order is not None and order.state is not OrderState.REJECTED:
                asked += [order, order] if self.rng.random() < 0.2 else [order]
        return asked

    def day(self, day: int) -> None:
        if self.rng.random() < 0.3:  # a restart between sessions: working orders are all it has
            self.venue = PaperVenue(POLICY.costs, STOCKS, self.venue.working)
        asked = self.orders(day)
        answers = self.venue.submit(asked)
        refused = [o for o in answers if o.state is OrderState.REJECTED]
        assert len(refused) == len(asked) - len({o.client_id for o in asked})
        if answers and self.rng.random() < 0.1:
            self.venue.cancel([answers[0].client_id])
        bars = self.bars()
        used = dict.fromkeys(STOCKS, 0)
        for phase in (OPEN, RANGE):
            changed, fills = self.venue.run(bars, phase)
            self.log.append(tuple(changed))
            for fill in fills:
                used[fill.symbol] += fill.quantity
                self.fill(fill, bars[fill.symbol], phase)
            self.check()
        for symbol, a_bar in bars.items():
            assert a_bar.volume < 0 or used[symbol] <= 0.1 * a_bar.volume
            held = self.book.positions.get(symbol)
            if held:
                held = trail(held, stop_rule(POLICY.stops), high=a_bar.high, low=a_bar.low, tick=1)
                self.book = replace(self.book, positions={**self.book.positions, symbol: held})
                self.venue.amend(legs(held))
        self.venue.run(bars, END)
        assert not [o for o in self.venue.working if o.leg is Leg.ENTRY]
        self.check()

    def fill(self, fill: Fill, a_bar: Bar, phase: str) -> None:
        self.log.append(fill)
        before = self.units[fill.symbol]
        self.cash -= fill.side.sign * fill.quantity * fill.price + fill.commission
        self.units[fill.symbol] += fill.side.sign * fill.quantity
        if fill.leg.reduces:
            assert before * fill.side.sign < 0, "an exit goes against the position"
            assert fill.quantity <= abs(before), "an exit is never beyond the position"
        assert a_bar.low <= fill.reference <= a_bar.high
        assert (fill.price - fill.reference) * fill.side.sign >= 0
        if phase == OPEN:
            assert fill.reference == a_bar.open
        elif fill.leg is Leg.STOP:
            assert fill.reference == self.at_stop(fill, a_bar)
        else:
            assert fill.leg is Leg.TARGET and fill.price == fill.reference
            held = self.book.positions[fill.symbol]
            assert (fill.price - held.target) * fill.side.sign <= 0
            gapped = fill.reference == a_bar.open
            assert gapped or self.at_stop(fill, a_bar) is None, "the stop goes first"
        self.book, _ = apply_fill(
            self.book, fill, atr=2.0, multiplier=1, decision_id=fill.client_id, at=fill.client_id
        )
        held = self.book.positions.get(fill.symbol)
        if held is None:
            rest = [o.client_id for o in self.venue.working if o.symbol == fill.symbol]
            self.venue.cancel(rest)
            return
        if fill.leg is Leg.ENTRY:
            held = protect(held, stop_rule(POLICY.stops), tick=1)
        self.book = replace(self.book, positions={**self.book.positions, fill.symbol: held})
        self.venue.amend(legs(held))

    def at_stop(self, fill: Fill, a_bar: Bar) -> int | None:
        stop, long = self.book.positions[fill.symbol].stop, fill.side is Side.SELL
        if (a_bar.open <= stop) if long else (a_bar.open >= stop):
            return a_bar.open
        return stop if ((a_bar.low <= stop) if long else (a_bar.high >= stop)) else None

    def check(self) -> None:
        assert unprotected(self.book.positions, self.venue.working) == {}
        assert self.book.cash == self.cash
        for symbol, units in self.units.items():
            held = self.book.positions.get(symbol)
            assert (held.quantity if held else 0) == units
            for leg in (Leg.STOP, Leg.TARGET):
                mine = [o for o in self.venue.working if (o.symbol, o.leg) == (symbol, leg)]
                assert sum(o.left for o in mine) == abs(units)


@given(st.integers(0, 2**32))
def test_whole_sessions_keep_every_invariant(seed: int) -> None:
    session = Session(seed)
    for day in range(12):
        session.day(day)


def test_the_sessions_above_meet_every_kind_of_fill() -> None:
    met = set()
    for seed in range(12):
        session = Session(seed)
        for day in range(12):
            session.day(day)
        met |= {(f.leg, f.side) for f in session.log if isinstance(f, Fill)}
        partial = [o for os in session.log if isinstance(os, tuple) for o in os]
        met |= {o.state for o in partial}
    legs_met = {(leg, side) for leg in Leg if leg is not Leg.SWEEP for side in Side}
    assert met == legs_met | {OrderState.PARTIALLY_FILLED, OrderState.FILLED}


@given(st.integers(0, 2**32))
def test_the_same_seed_makes_the_same_fills(seed: int) -> None:
    logs = []
    for _ in range(2):
        session = Session(seed)
        for day in range(4):
            session.day(day)
        logs.append(session.log)
    assert logs[0] == logs[1]
