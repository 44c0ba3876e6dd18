"""A paper venue that is told to fail: what fills, what doesn't, and that none is the default."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Bar, Bucket, Instrument, Leg, Order, OrderState, OrderType, Side
from hybridnb.execution.depth import Depth, Level
from hybridnb.execution.faults import NO_FAULTS, Faults
from hybridnb.execution.orders import client_id
from hybridnb.execution.paper import CLOSE, END, OPEN, RANGE, PaperVenue
from hybridnb.policy import Policy

PRICE = 1_000_000
WIDE = Bar("A", dt.date(2013, 3, 1), PRICE, PRICE + 100_000, PRICE - 100_000, PRICE, -1)


def order(
    quantity: int, leg: Leg, side: Side = Side.SELL, kind: OrderType = OrderType.MARKET
) -> Order:
    made = Order(
        client_id=client_id("2013-03-01", f"d-{leg}", leg),
        symbol="A",
        side=side,
        quantity=quantity,
        type=kind,
        leg=leg,
        state=OrderState.CREATED,
        decision_id="d",
    )
    if kind is OrderType.STOP:
        return replace(made, stop=PRICE - 50_000)
    return replace(made, limit=PRICE + 50_000) if kind is OrderType.LIMIT else made


def venue(**kwargs: Any) -> PaperVenue:
    return PaperVenue(Policy().costs, {"A": Instrument("A", Bucket.CORE, "CAD")}, **kwargs)


def orders() -> list[Order]:
    return [
        order(70, Leg.ENTRY, Side.BUY),
        order(50, Leg.EXIT),
        order(40, Leg.FLATTEN),
        order(30, Leg.STOP, kind=OrderType.STOP),
        order(30, Leg.TARGET, kind=OrderType.LIMIT),
        order(20, Leg.SWEEP, Side.BUY),
    ]


def played(**kwargs: Any) -> tuple[list[Order], list[Any], list[Order]]:
    desk = venue(**kwargs)
    desk.submit(orders())
    changed, fills = [], []
    for phase in (OPEN, RANGE, CLOSE, END):
        a, b = desk.run({"A": WIDE}, phase)
        changed += a
        fills += b
    return changed, fills, desk.working


def test_no_fault_is_the_default_and_changes_nothing() -> None:
    assert Faults() == NO_FAULTS and not NO_FAULTS.cuts
    assert played() == played(faults=Faults())
    assert len(played()[1]) > 3


def test_without_exits_what_reduces_keeps_working_and_the_rest_fills() -> None:
    _, fills, working = played(faults=Faults(no_exits=True))
    assert {f.leg for f in fills} == {Leg.ENTRY, Leg.SWEEP}
    assert {o.leg for o in working} == {Leg.EXIT, Leg.FLATTEN, Leg.STOP, Leg.TARGET}
    assert all(o.filled == 0 and o.state is OrderState.ACCEPTED for o in working)


def test_a_part_of_each_order_fills_and_the_rest_is_cancelled() -> None:
    changed, fills, working = played(faults=Faults(filled=0.3))
    filled = {f.leg: f.quantity for f in fills}
    assert filled[Leg.ENTRY] == 21 and filled[Leg.EXIT] == 15 and filled[Leg.FLATTEN] == 12
    assert filled[Leg.SWEEP] == 6 and filled[Leg.STOP] == 9
    ended = {o.leg: o for o in changed if o.state is OrderState.CANCELLED}
    assert {leg: o.filled for leg, o in ended.items()} == filled
    assert {o.leg for o in working} == {Leg.TARGET}  # it never filled, so nothing was cut


def test_a_leg_that_was_cut_may_be_placed_again_and_fills_in_part_again() -> None:
    desk = venue(faults=Faults(filled=0.3))
    desk.submit([order(100, Leg.STOP, kind=OrderType.STOP)])
    left = 100
    for expected in (30, 21, 14, 10):
        _, (fill,) = desk.run({"A": WIDE}, RANGE)
        assert fill.quantity == expected
        left -= expected
        (placed,) = desk.amend([order(left, Leg.STOP, kind=OrderType.STOP)])
        assert placed.left == left and placed.state is OrderState.ACCEPTED


def test_a_book_of_quotes_fails_the_same_way() -> None:
    depth = Depth((Level(PRICE, 20), Level(PRICE - 100, 500)), (Level(PRICE + 100, 500),))
    for faults, expected in ((NO_FAULTS, [20, 30]), (Faults(filled=0.5), [20, 5])):
        desk = venue(faults=faults)
        desk.submit([order(50, Leg.EXIT)])
        _, fills = desk.trade({"A": depth}, at="2013-03-01")
        assert [f.quantity for f in fills] == expected
        assert desk.working == []
    stuck = venue(faults=Faults(no_exits=True))
    stuck.submit([order(50, Leg.EXIT)])
    assert stuck.trade({"A": depth}, at="2013-03-01")[1] == []
    assert [o.left for o in stuck.working] == [50]


@given(left=st.integers(1, 10**9), share=st.floats(0.001, 1.0))
def test_at_least_one_unit_and_never_more_than_asked(left: int, share: float) -> None:
    most = Faults(filled=share).most(order(left, Leg.ENTRY, Side.BUY))
    assert 1 <= most <= left
    assert most == left if share == 1.0 else most <= max(1, share * left)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        Faults(filled=share)
