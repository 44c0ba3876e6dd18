"""From a decision to an order: exact, deterministic, never beyond the share asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import (
    SCALE,
    Action,
    Bucket,
    Instrument,
    Leg,
    OrderState,
    Position,
    Refusal,
    Side,
)
from hybridnb.execution.orders import client_id, flatten, from_decision, sweep, units_for

CORE = Instrument("A", Bucket.CORE, "CAD")
EQUITY = 1_000_000 * SCALE


def decided(**given: Any) -> Any:
    calm: dict[str, Any] = {
        "session": "2024-01-02",
        "decision_id": "d",
        "symbol": "A",
        "action": Action.BUY,
        "target": 0.015,
        "refusals": 0,
        "equity": EQUITY,
        "price": 100 * SCALE,
        "instrument": CORE,
        "position": None,
        "min_value": 30.0,
    }
    return from_decision(**(calm | given))


def holding(quantity: int) -> Position:
    cost = quantity * 100 * SCALE
    return Position("A", quantity, cost, 1, 2.0, 90 * SCALE, 110 * SCALE, 0, "d0", "2024-01-01")


def test_known_answer() -> None:
    order = decided()
    assert (order.side, order.leg, order.quantity) == (Side.BUY, Leg.ENTRY, 150)


def test_an_order_brings_the_position_to_its_target() -> None:
    assert decided(position=holding(100)).quantity == 50
    assert decided(position=holding(150)) is None
    assert decided(position=holding(200)) is None, "a target below what is held sells nothing"


def test_sell_closes_the_whole_long_whatever_the_refusals() -> None:
    order = decided(
        action=Action.SELL, target=0.0, refusals=int(Refusal.KILL_SWITCH), position=holding(77)
    )
    assert (order.side, order.leg, order.quantity) == (Side.SELL, Leg.EXIT, 77)
    assert order.state is OrderState.CREATED


def test_hold_is_no_order() -> None:
    assert decided(action=Action.HOLD) is None
    assert decided(action=Action.HOLD, position=holding(5)) is None


def test_a_refused_entry_comes_back_with_every_reason() -> None:
    order = decided(refusals=int(Refusal.PENNY_ADV | Refusal.KELLY))
    assert order.state is OrderState.REJECTED
    assert order.refusals == ("PENNY_ADV", "KELLY")


@pytest.mark.parametrize(("price", "state"), [(29.99, "rejected"), (30.0, "created")])
def test_below_the_minimum_it_is_no_order(price: float, state: str) -> None:
    order = decided(price=round(price * SCALE), target=price / 1_000_000 * 1.001)
    assert order.state == state


@given(
    share=st.floats(0.0, 1.0),
    price=st.integers(1, 10**9),
    lot=st.integers(1, 500),
    multiplier=st.sampled_from([1, 100]),
    delta=st.floats(0.01, 1.0),
)
def test_units_never_exceed_the_share(
    share: float, price: int, lot: int, multiplier: int, delta: float
) -> None:
    instrument = Instrument("A", Bucket.CORE, "CAD", lot=lot, multiplier=multiplier, delta=delta)
    units = units_for(share, equity=EQUITY, price=price, instrument=instrument)
    assert units >= 0
    assert units % lot == 0
    assert units * delta * multiplier * price <= share * EQUITY


@pytest.mark.parametrize("share", [float("nan"), -0.1, 0.0])
def test_a_share_that_is_none_buys_nothing(share: float) -> None:
    assert units_for(share, equity=EQUITY, price=SCALE, instrument=CORE) == 0


@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(Leg))
def test_client_ids_tell_orders_apart_and_repeat(session: str, decision: str, leg: Leg) -> None:
    first = client_id(session, decision, leg)
    assert first == client_id(session, decision, leg)
    assert first != client_id(session, decision + "x", leg)
    assert first != client_id(session + "x", decision, leg)


def test_flatten_and_sweep() -> None:
    short = holding(-3)
    assert (flatten("s", short).side, flatten("s", short).quantity) == (Side.BUY, 3)
    assert sweep("s", "VFV.TO", 2).leg is Leg.SWEEP
