"""Brackets: one stop and one target for the whole of each position."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Fill, Leg, Order, OrderState, OrderType, Position, Side
from hybridnb.execution.brackets import is_alone, legs, standing, unprotected


def held(quantity: int, symbol: str = "A") -> Position:
    cost = 1_000_000 * quantity
    return Position(
        symbol, quantity, cost, 1, 2.0, 964_000, 1_050_000, 1_000_000, "d0", "2013-02-28"
    )


@pytest.mark.parametrize(("quantity", "side"), [(30, Side.SELL), (-30, Side.BUY)])
def test_legs_cover_the_whole_position(quantity: int, side: Side) -> None:
    stop, target = legs(held(quantity))
    assert (stop.leg, stop.type, stop.stop, stop.limit) == (
        Leg.STOP,
        OrderType.STOP,
        964_000,
        None,
    )
    assert (target.leg, target.type, target.limit, target.stop) == (
        Leg.TARGET,
        OrderType.LIMIT,
        1_050_000,
        None,
    )
    for leg in (stop, target):
        assert (leg.quantity, leg.side, leg.symbol, leg.decision_id) == (30, side, "A", "d0")


def test_the_ids_of_legs_outlive_amendments() -> None:
    before = [leg.client_id for leg in legs(held(30))]
    after = [leg.client_id for leg in legs(replace(held(10), stop=990_000))]
    assert before == after
    assert len(set(before)) == 2
    later = replace(held(30), opened="2013-03-01")
    assert not set(before) & {leg.client_id for leg in legs(later)}


@pytest.mark.parametrize(
    ("quantity", "filled", "state", "missing"),
    [
        (30, 0, OrderState.ACCEPTED, {}),
        (30, 0, OrderState.UNKNOWN, {}),
        (40, 10, OrderState.PARTIALLY_FILLED, {}),
        (30, 10, OrderState.PARTIALLY_FILLED, {"A": 10}),
        (20, 0, OrderState.ACCEPTED, {"A": 10}),
        (31, 0, OrderState.ACCEPTED, {"A": -1}),
        (30, 0, OrderState.CANCELLED, {"A": 30}),
        (30, 30, OrderState.FILLED, {"A": 30}),
        (30, 0, OrderState.REJECTED, {"A": 30}),
        (30, 0, OrderState.EXPIRED, {"A": 30}),
    ],
)
def test_units_without_a_live_stop(
    quantity: int, filled: int, state: OrderState, missing: dict[str, int]
) -> None:
    stop, target = legs(held(30))
    stop = replace(stop, quantity=quantity, filled=filled, state=state)
    target = replace(target, state=OrderState.ACCEPTED)
    assert unprotected({"A": held(30)}, [stop, target]) == missing


@given(st.dictionaries(st.sampled_from("ABCD"), st.integers(1, 99)), st.booleans(), st.data())
def test_fresh_legs_protect_and_each_missing_stop_is_named(
    sizes: dict[str, int], long: bool, data: st.DataObject
) -> None:
    positions = {s: held(q if long else -q, s) for s, q in sizes.items()}
    working = [leg for p in positions.values() for leg in legs(p)]
    assert unprotected(positions, working) == {}
    lost = data.draw(st.sets(st.sampled_from(sorted(sizes) or ["A"])))
    left = [o for o in working if not (o.leg is Leg.STOP and o.symbol in lost)]
    assert unprotected(positions, left) == {s: q for s, q in sizes.items() if s in lost}


@pytest.mark.parametrize(
    ("told", "alone"),
    [
        ([], False),
        (["entry"], False),
        (["entry", "target"], True),
        (["entry", "stop"], True),
        (["entry", "target", "exit"], True),
        (["entry", "exit"], False),
        (["entry", "target", "entry"], False),
    ],
)
def test_a_leg_that_filled_since_the_last_entry_leaves_the_stop_alone(
    told: list[str], alone: bool
) -> None:
    fills = [
        Fill(str(n), "c", "A", Side.SELL, Leg(leg), 1, 1, 1, 0, 0, "t")
        for n, leg in enumerate(told)
    ]
    other = Fill("b", "c", "B", Side.SELL, Leg.STOP, 1, 1, 1, 0, 0, "t")
    assert is_alone("A", [*fills, other]) is alone


def resting(position: Position) -> list[Order]:
    return [replace(leg, state=OrderState.ACCEPTED) for leg in legs(position)]


@pytest.mark.parametrize("quantity", [30, -30])
def test_legs_that_rest_as_they_are_asked_for_stand(quantity: int) -> None:
    assert standing(held(quantity), resting(held(quantity)), tick=1)


@pytest.mark.parametrize(
    "change",
    [
        {"stop": 964_001},
        {"quantity": 29},
        {"filled": 1},
        {"state": OrderState.UNKNOWN},
        {"state": OrderState.PARTIALLY_FILLED},
        {"client_id": "another"},
        {"refusals": ("STALE_DATA",)},
    ],
)
def test_a_leg_that_differs_in_anything_that_matters_doesn_t_stand(change: dict[str, Any]) -> None:
    stop, target = resting(held(30))
    assert not standing(held(30), [replace(stop, **change), target], tick=1)


def test_one_leg_alone_or_a_level_off_the_tick_doesn_t_stand() -> None:
    stop, target = resting(held(30))
    assert not standing(held(30), [stop], tick=1)
    assert not standing(held(30), [], tick=1)
    assert not standing(held(30), [stop, target], tick=700)
    assert standing(held(30), [stop, target, replace(stop, leg=Leg.EXIT)], tick=1)
