"""The paper venue and the brackets: what fills, at which price, and what always holds."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hybridnb.book import Book, apply_fill
from hybridnb.domain import (
    SCALE,
    Action,
    Bar,
    Bucket,
    Fill,
    Instrument,
    Leg,
    Order,
    OrderState,
    Position,
    Refusal,
)
from hybridnb.execution.brackets import legs, unprotected
from hybridnb.execution.orders import flatten, from_decision
from hybridnb.execution.paper import CLOSE, END, OPEN, RANGE, Liquidity, PaperVenue
from hybridnb.policy import Costs, Stops
from hybridnb.stops import protect

DAY = dt.date(2024, 1, 2)
CORE = Instrument("A", Bucket.CORE, "CAD")
FREE = Costs(
    commission_per_share=0,
    commission_minimum=0,
    half_spread_core=0,
    half_spread_fno=0,
    half_spread_penny=0,
    impact=0,
)


def bar(o: float, h: float, low: float, c: float, volume: int = 10**6) -> Bar:
    prices = (round(p * SCALE) for p in (o, h, low, c))
    return Bar("A", DAY, *prices, volume)


def venue(costs: Costs = FREE, working: tuple[Order, ...] = ()) -> PaperVenue:
    return PaperVenue(costs, {"A": CORE}, working)


def entry(quantity: int) -> Order:
    order = from_decision(
        session="2024-01-02",
        decision_id="d",
        symbol="A",
        action=Action.BUY,
        target=(quantity + 0.5) / 10_000,  # rounding is down
        refusals=0,
        equity=1_000_000 * SCALE,
        price=100 * SCALE,
        instrument=CORE,
        position=None,
        min_value=30.0,
    )
    assert order is not None
    assert order.quantity == quantity
    return order


def position(quantity: int = 100, entry_price: float = 100.0) -> Position:
    cost = round(quantity * entry_price * SCALE)
    held = Position(
        "A", quantity, cost, 1, 2.0, 0, 0, round(entry_price * SCALE), "d", "2024-01-02"
    )
    return protect(held, Stops(), tick=1)


def protected(quantity: int = 100) -> PaperVenue:
    found = venue()
    found.amend(legs(position(quantity)))
    return found


def one(fills: list[Fill]) -> Fill:
    assert len(fills) == 1
    return fills[0]


def test_an_entry_fills_at_the_open() -> None:
    found = venue()
    found.submit([entry(100)])
    fill = one(found.run({"A": bar(101, 103, 99, 102)}, OPEN)[1])
    assert (fill.price, fill.quantity, fill.leg) == (101 * SCALE, 100, Leg.ENTRY)


def test_costs_are_against_the_trader_and_have_their_amount() -> None:
    found = venue(Costs())
    found.liquidity = {"A": Liquidity(10_000.0, 0.01)}
    found.submit([entry(100)])
    fill = one(found.run({"A": bar(100, 100, 100, 100)}, OPEN)[1])
    # 2 bps half spread and 1 · 0.01 · √(100 / 10,000) = 10 bps of impact
    assert 0 <= fill.price - 1_001_200 <= 1  # rounded against the buyer
    assert fill.slippage == (fill.price - fill.reference) * 100
    assert fill.commission == 1 * SCALE


def test_a_client_id_is_taken_once() -> None:
    found = venue()
    order = entry(10)
    assert found.submit([order])[0].state is OrderState.ACCEPTED
    again = found.submit([order])[0]
    assert again.state is OrderState.REJECTED
    assert again.refusals == (Refusal.DUPLICATE.name,)


def test_at_most_a_tenth_of_the_volume_trades_and_the_rest_of_an_entry_expires() -> None:
    found = venue()
    found.submit([entry(100)])
    changed, fills = found.run({"A": bar(100, 100, 100, 100, volume=400)}, OPEN)
    assert one(fills).quantity == 40
    assert changed[0].state is OrderState.PARTIALLY_FILLED
    assert [o.state for o in found.run({}, END)[0]] == [OrderState.EXPIRED]
    assert found.working == []


def test_the_stop_comes_before_the_target_inside_one_bar() -> None:
    found = protected()
    fill = one(found.run({"A": bar(100, 120, 80, 100)}, RANGE)[1])
    assert fill.leg is Leg.STOP
    assert fill.price == position().stop


def test_a_gap_through_the_stop_fills_at_the_open() -> None:
    fill = one(protected().run({"A": bar(90, 91, 89, 90)}, RANGE)[1])
    assert (fill.leg, fill.price) == (Leg.STOP, 90 * SCALE)


def test_a_gap_over_the_target_fills_at_the_open() -> None:
    fill = one(protected().run({"A": bar(110, 111, 80, 90)}, RANGE)[1])
    assert (fill.leg, fill.price) == (Leg.TARGET, 110 * SCALE)


def test_a_target_never_fills_worse_than_its_limit() -> None:
    found = PaperVenue(Costs(), {"A": CORE})
    found.amend(legs(position()))
    fill = one(found.run({"A": bar(100, 106, 99, 105)}, RANGE)[1])
    assert (fill.leg, fill.price) == (Leg.TARGET, position().target)


def test_a_bar_without_trades_is_a_halt() -> None:
    found = protected()
    assert found.run({"A": bar(50, 50, 50, 50, volume=0)}, RANGE)[1] == []
    assert unprotected({"A": position()}, found.working) == {}


def test_a_bar_without_known_volume_fills_whole() -> None:
    found = venue()
    found.submit([entry(100)])
    assert one(found.run({"A": bar(100, 100, 100, 100, volume=-1)}, OPEN)[1]).quantity == 100


def test_sweeps_fill_at_the_close_only() -> None:
    from hybridnb.execution.orders import sweep

    found = venue()
    found.submit([sweep("s", "A", 3)])
    assert found.run({"A": bar(100, 110, 90, 105)}, OPEN)[1] == []
    assert one(found.run({"A": bar(100, 110, 90, 105)}, CLOSE)[1]).price == 105 * SCALE


def test_an_exit_over_two_sessions_pays_its_commission_once_for_each_share() -> None:
    costs = Costs(commission_per_share=0.1, commission_minimum=0.0, commission_maximum=1.0)
    found = venue(costs)
    found.submit([flatten("2024-01-03", position(100))])
    first = one(found.run({"A": bar(100, 100, 100, 100, volume=400)}, OPEN)[1])
    later = venue(costs, working=tuple(found.working))
    second = one(later.run({"A": bar(100, 100, 100, 100, volume=10**6)}, OPEN)[1])
    assert (first.quantity, second.quantity) == (40, 60)
    assert (first.commission, second.commission) == (4 * SCALE, 6 * SCALE)


@given(
    moves=st.lists(
        st.tuples(st.floats(-0.12, 0.12), st.floats(0, 0.1), st.integers(0, 3000)),
        min_size=1,
        max_size=12,
    ),
    quantity=st.integers(1, 500),
    amended=st.booleans(),
)
def test_exits_never_exceed_the_position_and_the_stop_has_its_size(
    moves: list[tuple[float, float, int]], quantity: int, amended: bool
) -> None:
    """Random gaps, ranges and volumes: partial fills of either leg, restarts between sessions."""
    held: Position | None = position(quantity)
    found, book = venue(), Book(cash=0, positions={"A": position(quantity)})
    found.amend(legs(position(quantity)))
    price, sold = 100.0, 0
    for move, spread, volume in moves:
        opened = price * (1 + move)
        price = opened * (1 + move / 2)
        high, low = max(opened, price) * (1 + spread), min(opened, price) * (1 - spread)
        bars = {"A": bar(opened, high, low, price, volume)}
        for fill in found.run(bars, RANGE)[1]:
            book, _ = apply_fill(book, fill, atr=2.0, multiplier=1, decision_id="d", at="s")
            sold += fill.quantity
            assert fill.quantity <= max(0, volume // 10)
            held = book.positions.get("A")
            if held is not None:
                found.amend(legs(held))
            else:
                found.cancel([o.client_id for o in found.working])
        found.run(bars, END)
        assert unprotected(dict(book.positions), found.working) == {}
        assert sum(o.left for o in found.working if o.leg is Leg.STOP) == quantity - sold
        if amended:
            found = venue(working=tuple(found.working))
    assert sold <= quantity
    assert (held.quantity if held else 0) == quantity - sold


@given(st.integers(0, 2**31))
def test_the_same_orders_and_bars_give_the_same_fills(seed: int) -> None:
    import random

    def run() -> list[Fill]:
        rng, found, fills = random.Random(seed), venue(Costs()), []
        found.submit([entry(rng.randint(1, 300))])
        for _ in range(4):
            price = rng.uniform(80, 120)
            bars = {"A": bar(price, price * 1.1, price * 0.9, price, rng.randint(0, 2000))}
            fills += found.run(bars, OPEN)[1]
        return fills

    assert run() == run()


def test_a_cancelled_order_fills_nothing() -> None:
    found = venue()
    order = entry(10)
    found.submit([order])
    assert found.cancel([order.client_id])[0].state is OrderState.CANCELLED
    assert found.cancel([order.client_id, "nobody's"]) == []
    assert found.run({"A": bar(100, 100, 100, 100)}, OPEN)[1] == []


def test_an_unprotected_position_is_named_with_its_units() -> None:
    found = protected(100)
    short = replace(position(100), quantity=130)
    assert unprotected({"A": short}, found.working) == {"A": 30}
    assert unprotected({"B": short}, found.working) == {"B": 130}
