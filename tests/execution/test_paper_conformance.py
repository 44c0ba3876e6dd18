"""The paper venue as a broker: the cases of the suite, books, restarts, two-legged exits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hybridnb.canonical import canonical, plain
from hybridnb.domain import (
    Bar,
    Bucket,
    Instrument,
    Leg,
    Order,
    OrderState,
    OrderType,
    Refusal,
    Side,
)
from hybridnb.errors import InputError
from hybridnb.execution.depth import Depth, Level, quote, walk
from hybridnb.execution.matching import TOUCHED
from hybridnb.execution.oco import OcoRule
from hybridnb.execution.paper import END, OPEN, RANGE, PaperVenue
from hybridnb.execution.paper_account import DAY, Snapshot
from hybridnb.policy import Policy, validated
from hybridnb.ports import Holding
from hybridnb.testing import bench as make
from hybridnb.testing.conformance import CASES

SYMBOL, PRICE, TICK, LOT = "RY.TO", 1_000_000, 100, 100
STOCKS = {SYMBOL: Instrument(SYMBOL, Bucket.CORE, "CAD", tick=TICK, lot=LOT)}
COSTS = Policy().costs
START = dt.date(2013, 3, 1)


class PaperBench:
    """The venue behind the suite's hand; a restart goes through the snapshot's canonical text."""

    symbol, lot, tick, price = SYMBOL, LOT, TICK, PRICE
    faults: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.now = 1_000.0
        self.broker = self._venue(Snapshot(cash=10**12, currency="CAD"))

    def _venue(self, account: Snapshot) -> PaperVenue:
        return PaperVenue(COSTS, STOCKS, account=account, clock=lambda: self.now)

    def trade(self, price: int, quantity: int) -> None:
        self.broker.trade({SYMBOL: quote(price, quantity, price, quantity)}, at="2013-03-01")

    def fault(self, name: str) -> None:
        raise AssertionError(name)

    def restart(self) -> PaperVenue:
        return self._venue(through_text(self.broker.snapshot()))

    def hold(self, quantity: int) -> None:
        self.broker.account.holdings[SYMBOL] = Holding(quantity, float(PRICE))


def through_text(snapshot: Snapshot) -> Snapshot:
    return TypeAdapter(Snapshot).validate_json(canonical(snapshot))


@pytest.fixture
def bench() -> PaperBench:
    return PaperBench()


@pytest.mark.parametrize("name", CASES)
def test_conformance(name: str, bench: PaperBench) -> None:
    CASES[name](bench)


# What the suite can't ask of every venue


def test_an_id_is_free_again_after_24_hours_and_never_while_it_works(bench: PaperBench) -> None:
    working = make.order(bench, 1, limit=PRICE - 50 * TICK)
    ended = make.order(bench, 2, limit=PRICE - 50 * TICK)
    bench.broker.submit([working, ended])
    bench.broker.cancel([ended.client_id])
    bench.now += DAY - 1.0
    bench.broker = bench.restart()
    first = bench.broker.submit([working, ended])
    assert [o.refusals for o in first] == [(Refusal.DUPLICATE.name,)] * 2
    bench.now += 1.0
    bench.broker = bench.restart()
    second = bench.broker.submit([working, ended])
    assert [o.state for o in second] == [OrderState.REJECTED, OrderState.ACCEPTED]


def test_executions_are_remembered_for_24_hours(bench: PaperBench) -> None:
    make.buy(bench)
    bench.now += DAY - 1.0
    bench.broker = bench.restart()
    assert len(bench.broker.statement().fills) == 1
    bench.now += 1.0
    assert bench.broker.statement().fills == ()
    assert bench.broker.snapshot().fills == ()
    assert make.held(bench) == 10 * LOT


def test_a_restart_in_mid_bar_leaves_no_more_of_its_volume() -> None:
    bar = {SYMBOL: Bar(SYMBOL, START, PRICE, PRICE, PRICE, PRICE, 5_000)}
    one = PaperVenue(COSTS, STOCKS, account=Snapshot(cash=10**12))
    exit_ = replace(new(1, side=Side.SELL, leg=Leg.EXIT), quantity=1_000)
    one.submit([exit_])
    first = one.run(bar, OPEN)[1]
    two = PaperVenue(COSTS, STOCKS, account=through_text(one.snapshot()))
    assert two.run(bar, OPEN) == ([], [])
    two.run({}, END)
    second = two.run(bar, OPEN)[1]
    assert [f.quantity for f in (*first, *second)] == [500, 500]
    # Each session pays for its own units.
    assert [f.commission for f in (*first, *second)] == [50_000, 50_000]


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": float("nan")},
        {"quantity": 100.0},
        {"quantity": float("inf")},
        {"limit": float("nan")},
        {"limit": None},
        {"stop": PRICE},
        {"symbol": "NONE.TO"},
    ],
)
def test_what_cant_be_meant_is_refused_whatever_way_it_comes(
    bench: PaperBench, change: dict[str, Any]
) -> None:
    bad = replace(make.order(bench, 1, limit=PRICE), **change)
    for answers in (bench.broker.submit([bad]), bench.broker.amend([bad])):
        assert [o.refusals for o in answers] == [(Refusal.INVALID.name,)]
        assert [o.state for o in answers] == [OrderState.REJECTED]
    assert bench.broker.statement().orders == ()
    assert plain(bench.broker.snapshot())["seen"] == {}


def test_a_working_order_stays_what_it_is_when_its_change_cant_be_meant(bench: PaperBench) -> None:
    good = make.order(bench, 1, limit=PRICE)
    (working,) = bench.broker.submit([good])
    (answer,) = bench.broker.amend([replace(good, limit=PRICE + 1)])
    assert (answer.state, answer.limit) == (OrderState.ACCEPTED, PRICE)
    assert answer.refusals == (Refusal.INVALID.name,)
    assert bench.broker.statement().orders == (working,)


# Books


def new(n: int, *, side: Side = Side.BUY, leg: Leg = Leg.ENTRY, **prices: int) -> Order:
    kind = {
        (False, False): OrderType.MARKET,
        (True, False): OrderType.LIMIT,
        (False, True): OrderType.STOP,
        (True, True): OrderType.STOP_LIMIT,
    }["limit" in prices, "stop" in prices]
    return Order(f"o{n}", SYMBOL, side, 10 * LOT, kind, leg, OrderState.CREATED, "d", **prices)


BOOK = Depth(
    bids=(Level(999_900, 300), Level(999_500, 5_000)),
    asks=(Level(1_000_100, 400), Level(1_000_300, 500), Level(1_000_900, 5_000)),
)


def test_a_market_order_walks_the_levels() -> None:
    venue = PaperVenue(COSTS, STOCKS)
    venue.submit([new(1)])
    venue.books = {SYMBOL: BOOK}
    bar = {SYMBOL: Bar(SYMBOL, START, 2 * PRICE, 2 * PRICE, PRICE, PRICE, 100_000)}
    changed, fills = venue.run(bar, OPEN)
    assert [(f.price, f.quantity) for f in fills] == [
        (1_000_100, 400),
        (1_000_300, 500),
        (1_000_900, 100),
    ]
    assert [(o.state, o.filled) for o in changed] == [(OrderState.FILLED, 1_000)]
    # Against the middle of the book: half a spread of 100, and more further down.
    assert [f.slippage for f in fills] == [100 * 400, 300 * 500, 900 * 100]
    assert sum(f.commission for f in fills) == 10 * 10_000
    assert len({f.fill_id for f in fills}) == 3


def test_what_the_book_doesnt_offer_isnt_filled() -> None:
    venue = PaperVenue(COSTS, STOCKS)
    venue.submit([new(1, limit=1_000_300), new(2, side=Side.SELL, leg=Leg.EXIT)])
    _, fills = venue.trade({SYMBOL: BOOK}, at="2013-03-01")
    bought = sum(f.quantity for f in fills if f.side is Side.BUY)
    assert (bought, [o.left for o in venue.working]) == (900, [100])
    assert {f.price for f in fills if f.side is Side.SELL} == {999_900, 999_500}
    empty = Depth()
    assert venue.trade({SYMBOL: empty}, at="2013-03-01") == ([], [])


def test_two_orders_share_what_one_level_offers() -> None:
    venue = PaperVenue(COSTS, STOCKS)
    venue.submit([new(1), new(2)])
    fills = venue.trade({SYMBOL: quote(PRICE - 100, 1, PRICE, 1_500)}, at="2013-03-01")[1]
    assert [f.quantity for f in fills] == [1_000, 500]


@pytest.mark.parametrize(
    "bids",
    [
        ((0, 1),),
        ((PRICE, 0),),
        ((PRICE, -5),),
        ((float("nan"), 1),),
        ((float("inf"), 1),),
        ((PRICE, 1), (PRICE + 1, 1)),
        ((1_000_101, 1),),
    ],
)
def test_a_book_that_cant_be_is_refused(bids: Any) -> None:
    with pytest.raises(InputError):
        Depth(tuple(Level(*b) for b in bids), BOOK.asks)


levels = st.lists(
    st.tuples(st.integers(1, 10**7), st.integers(1, 1_000)), max_size=6, unique_by=lambda x: x[0]
)


@given(levels, st.integers(0, 5_000), st.none() | st.integers(1, 10**7), st.sampled_from((1, -1)))
def test_walking_takes_the_best_there_is_and_no_more(
    offered: list[tuple[int, int]], quantity: int, limit: int | None, sign: int
) -> None:
    offered.sort(reverse=sign < 0)
    side = tuple(Level(*each) for each in offered)
    depth = Depth(asks=side) if sign > 0 else Depth(bids=side)
    taken = walk(depth, sign, quantity, limit)
    allowed = [lv for lv in side if limit is None or (lv.price - limit) * sign <= 0]
    units = [lv.price for lv in allowed for _ in range(lv.size)][:quantity]
    assert [lv.price for lv in taken for _ in range(lv.size)] == units
    left = depth.without(sign, len(units)).side(sign)
    assert sum(lv.size for lv in left) == sum(lv.size for lv in side) - len(units)
    assert all(lv.size > 0 for lv in left)


# Stop-limit orders in bars


@pytest.mark.parametrize(
    ("prices", "filled", "note"),
    [
        ((100, 101, 99, 100), None, ""),  # not touched
        ((100, 101, 94, 95), 95, ""),  # touched inside: it goes through the stop, within the limit
        ((94, 96, 90, 91), 94, ""),  # gaps through the stop, still above the limit
        ((90, 91, 88, 89), None, TOUCHED),  # gaps through both: waits at its limit
        ((90, 93, 88, 89), 93, ""),  # gaps through both, and comes back to the limit
    ],
)
def test_a_stop_limit_in_a_bar(
    prices: tuple[int, int, int, int], filled: int | None, note: str
) -> None:
    venue = PaperVenue(COSTS, STOCKS)
    stop = new(1, side=Side.SELL, leg=Leg.STOP, stop=950_000, limit=930_000)
    venue.submit([stop])
    changed, fills = venue.run({SYMBOL: bar(*prices)}, RANGE)
    assert [f.price for f in fills] == ([] if filled is None else [filled * 10_000])
    if filled is None:
        assert [o.note for o in venue.working] == [note]
        assert [o.note for o in changed] == ([note] if note else [])


def test_a_touched_stop_limit_is_a_limit_order_also_after_a_restart() -> None:
    venue = PaperVenue(COSTS, STOCKS)
    venue.submit([new(1, side=Side.SELL, leg=Leg.STOP, stop=950_000, limit=930_000)])
    venue.run({SYMBOL: bar(90, 91, 88, 89)}, RANGE)
    venue = PaperVenue(COSTS, STOCKS, account=through_text(venue.snapshot()))
    # Above its stop all day: as a stop it would rest.
    fills = venue.run({SYMBOL: bar(96, 97, 96, 96)}, RANGE)[1]
    assert [(f.price, f.quantity) for f in fills] == [(960_000, 1_000)]


def bar(open_: int, high: int, low: int, close: int, volume: int = 10**6) -> Bar:
    return Bar(SYMBOL, START, *(p * 10_000 for p in (open_, high, low, close)), volume)


def test_a_limit_entry_waits_for_its_price_in_the_range() -> None:
    venue = PaperVenue(COSTS, STOCKS)
    venue.submit([new(1, limit=950_000)])
    assert venue.run({SYMBOL: bar(100, 101, 94, 95)}, OPEN) == ([], [])
    assert [f.price for f in venue.run({SYMBOL: bar(100, 101, 94, 95)}, RANGE)[1]] == [950_000]


# The four rules of two legs

BOTH_LEVELS = bar(100, 111, 89, 100)
STOP_ONLY, TARGET_ONLY, NEITHER = (
    bar(100, 101, 89, 95),
    bar(100, 111, 99, 105),
    bar(100, 101, 99, 100),
)


def two_legs(rule: OcoRule) -> PaperVenue:
    venue = PaperVenue(COSTS, STOCKS, oco=rule)
    venue.submit(
        [
            new(1, side=Side.SELL, leg=Leg.STOP, stop=900_000),
            new(2, side=Side.SELL, leg=Leg.TARGET, limit=1_100_000),
        ]
    )
    return venue


@pytest.mark.parametrize(
    ("rule", "bars", "leg"),
    [
        (OcoRule.FIRST_TRIGGERED_WINS, [BOTH_LEVELS], Leg.STOP),
        (OcoRule.FIRST_TRIGGERED_WINS, [NEITHER, TARGET_ONLY], Leg.TARGET),
        (OcoRule.ALLOW_PARTIAL_THEN_CANCEL, [BOTH_LEVELS], Leg.STOP),
        (OcoRule.PREFER_LIMIT, [BOTH_LEVELS], Leg.TARGET),
        (OcoRule.PREFER_LIMIT, [STOP_ONLY], Leg.STOP),
        (OcoRule.BOTH_MUST_TRIGGER, [STOP_ONLY, STOP_ONLY], None),
        (OcoRule.BOTH_MUST_TRIGGER, [STOP_ONLY, NEITHER, TARGET_ONLY], Leg.TARGET),
        (OcoRule.BOTH_MUST_TRIGGER, [TARGET_ONLY, STOP_ONLY], Leg.STOP),
        (OcoRule.BOTH_MUST_TRIGGER, [BOTH_LEVELS], Leg.STOP),
    ],
)
def test_the_rules_in_bars(rule: OcoRule, bars: list[Bar], leg: Leg | None) -> None:
    venue = two_legs(rule)
    fills = []
    for each in bars:
        assert fills == []
        fills = venue.run({SYMBOL: each}, RANGE)[1]
        # What was touched survives a restart with the orders.
        account = through_text(venue.snapshot())
        venue = PaperVenue(COSTS, STOCKS, account=account, oco=rule)
    assert [f.leg for f in fills] == ([] if leg is None else [leg])


def test_an_entry_forgets_what_was_touched() -> None:
    venue = two_legs(OcoRule.BOTH_MUST_TRIGGER)
    venue.run({SYMBOL: STOP_ONLY}, RANGE)
    assert [o.note for o in venue.working] == [TOUCHED, ""]
    venue.submit([new(3)])
    venue.run({SYMBOL: NEITHER}, OPEN)
    assert [o.note for o in venue.working] == ["", ""]
    assert venue.run({SYMBOL: TARGET_ONLY}, RANGE)[1] == []


@pytest.mark.parametrize("rule", OcoRule)
def test_on_a_book_at_most_one_leg_of_a_position_trades_at_once(rule: OcoRule) -> None:
    venue = two_legs(rule)
    told: Callable[[int], list[Leg]] = lambda price: [  # noqa: E731
        f.leg for f in venue.trade({SYMBOL: quote(price, 500, price, 500)}, at="t")[1]
    ]
    assert told(1_000_000) == []
    if rule is OcoRule.BOTH_MUST_TRIGGER:
        assert told(900_000) == []
        assert told(1_100_000) == [Leg.TARGET]
    else:
        assert told(900_000) == [Leg.STOP]


def test_a_rule_of_the_policy_is_one_of_the_four() -> None:
    asked = [validated(Policy, {"stops": {"oco": str(rule)}}).stops.oco for rule in OcoRule]
    assert asked == [str(rule) for rule in OcoRule]
    assert Policy().stops.oco == OcoRule.FIRST_TRIGGERED_WINS
