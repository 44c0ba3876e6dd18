"""From a decision to an order: exact quantities, deterministic ids, no order where none is due."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import (
    Action,
    Bucket,
    Instrument,
    Leg,
    Order,
    OrderState,
    OrderType,
    Position,
    Refusal,
    Side,
)
from hybridnb.execution.orders import another, client_id, flatten, from_decision, sweep
from hybridnb.sizing import whole_lots

MILLION = 10_000_000_000
STOCK = Instrument("A", Bucket.CORE, "CAD")


def held(quantity: int, price: int = 1_000_000) -> Position:
    cost = price * quantity
    return Position("A", quantity, cost, 1, 2.0, 964_000, 1_050_000, price, "d0", "2013-02-28")


def ordered(**change: Any) -> Order | None:
    values: dict[str, Any] = {
        "session": "2013-03-01",
        "decision_id": "d1",
        "symbol": "A",
        "action": Action.BUY,
        "target": 0.015,
        "refusals": 0,
        "equity": MILLION,
        "price": 1_000_000,
        "instrument": STOCK,
        "position": None,
        "min_value": 30.0,
    }
    return from_decision(**(values | change))


def test_ids_are_a_function_of_session_decision_and_leg() -> None:
    one = client_id("2013-03-01", "d1", Leg.ENTRY)
    assert one == client_id("2013-03-01", "d1", Leg.ENTRY)
    others = {
        client_id("2013-03-04", "d1", Leg.ENTRY),
        client_id("2013-03-01", "d2", Leg.ENTRY),
        *(client_id("2013-03-01", "d1", leg) for leg in Leg),
    }
    assert len(others) == 2 + len(Leg)
    program = (
        "from hybridnb.execution.orders import client_id; from hybridnb.domain import Leg;"
        "print(client_id('2013-03-01', 'd1', Leg.ENTRY))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().strip() == one


@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(Leg))
def test_ids_tell_orders_apart(session: str, decision: str, leg: Leg) -> None:
    first = client_id(session, decision, leg)
    assert first == client_id(session, decision, leg)
    assert first != client_id(session, decision + "x", leg)
    assert first != client_id(session + "x", decision, leg)


def lots_of(share: float, equity: int, price: int, of: Instrument) -> int:
    contract = {"delta": of.delta, "multiplier": of.multiplier, "lot": of.lot}
    return whole_lots(share, equity=equity, price=price, **contract)


@pytest.mark.parametrize(
    ("share", "price", "instrument", "units"),
    [
        (0.015, 1_000_000, STOCK, 150),
        (0.015, 1_010_000, STOCK, 148),
        (0.015, 1_000_000, Instrument("A", Bucket.CORE, "CAD", lot=100), 100),
        (0.015, 2_000_000, Instrument("A", Bucket.CORE, "CAD", lot=100), 0),
        (0.007, 50_000, Instrument("A", Bucket.FNO, "CAD", multiplier=100, delta=0.5), 28),
        (0.007, 50_000, Instrument("A", Bucket.FNO, "CAD", multiplier=100, delta=-0.5), 28),
        (0.007, 50_000, Instrument("A", Bucket.FNO, "CAD", delta=0.0), 0),
        *(
            (0.007, 50_000, Instrument("A", Bucket.FNO, "CAD", delta=delta), 0)
            for delta in (1e-13, 1e-30, -1e-300, 5e-324)  # no end, or no number, of units
        ),
        (0.0, 1_000_000, STOCK, 0),
        (-0.1, 1_000_000, STOCK, 0),
        (float("nan"), 1_000_000, STOCK, 0),
        (0.015, 0, STOCK, 0),
    ],
)
def test_units(share: float, price: int, instrument: Instrument, units: int) -> None:
    assert lots_of(share, MILLION, price, instrument) == units


@given(
    st.floats(0, 1, allow_subnormal=True),
    st.integers(0, 10**14),
    st.integers(1, 10**8),
    st.integers(1, 500),
    st.floats(-1, 1),
)
def test_units_are_the_most_whole_lots_within_the_share(
    share: float, equity: int, price: int, lot: int, delta: float
) -> None:
    instrument = Instrument("A", Bucket.FNO, "CAD", lot=lot, multiplier=10, delta=delta)
    units = lots_of(share, equity, price, instrument)
    exposure = abs(delta) * 10 * price
    assert units >= 0 and units % lot == 0
    assert units * exposure <= share * equity
    if exposure > 0.0 and share * equity / exposure < 2**50:
        assert (units + lot + 1) * exposure > share * equity


def test_an_entry_is_a_market_order_for_what_is_missing() -> None:
    order = ordered()
    assert order is not None
    assert (order.side, order.quantity, order.type) == (Side.BUY, 150, OrderType.MARKET)
    assert (order.leg, order.state, order.decision_id) == (Leg.ENTRY, OrderState.CREATED, "d1")
    assert order.client_id == client_id("2013-03-01", "d1", Leg.ENTRY)
    more = ordered(position=held(100))
    assert more is not None
    assert (more.quantity, more.leg) == (50, Leg.ENTRY)
    short = ordered(action=Action.SELL, target=-0.015, position=held(-100))
    assert short is not None
    assert (short.side, short.quantity, short.leg) == (Side.SELL, 50, Leg.ENTRY)


@pytest.mark.parametrize("quantity", [150, 151, 400])
def test_at_or_above_its_target_nothing_is_ordered(quantity: int) -> None:
    assert ordered(position=held(quantity)) is None


@pytest.mark.parametrize("quantity", [0, 150, -150])
def test_hold_orders_nothing(quantity: int) -> None:
    position = held(quantity) if quantity else None
    assert ordered(action=Action.HOLD, position=position, refusals=4) is None


@pytest.mark.parametrize(
    ("action", "quantity", "side"), [(Action.SELL, 7, Side.SELL), (Action.BUY, -7, Side.BUY)]
)
def test_the_opposite_action_closes_everything_whatever_refuses(
    action: Action, quantity: int, side: Side
) -> None:
    every = sum(int(r) for r in Refusal)
    order = ordered(action=action, position=held(quantity), target=0.0, refusals=every)
    assert order is not None
    assert (order.side, order.quantity, order.leg) == (side, 7, Leg.EXIT)
    assert (order.state, order.refusals) == (OrderState.CREATED, ())


@pytest.mark.parametrize("refusal", list(Refusal), ids=lambda r: r.name)
def test_a_refused_entry_is_no_order(refusal: Refusal) -> None:
    assert ordered(refusals=int(refusal)) is None
    assert ordered(refusals=int(refusal), position=held(30)) is None
    assert ordered() is not None


def test_a_refused_entry_against_a_position_still_closes_it() -> None:
    order = ordered(refusals=int(Refusal.STALE_DATA), position=held(-30))
    assert order is not None
    assert (order.side, order.quantity, order.leg) == (Side.BUY, 30, Leg.EXIT)
    assert order.state is OrderState.CREATED


@pytest.mark.parametrize(
    ("target", "price", "placed"),
    [
        (0.00003, 10_000, True),
        (0.000029, 10_000, False),
        (0.00003, 300_000, True),
        (0.00003, 300_001, False),
        (0.0, 10_000, False),
    ],
)
def test_below_thirty_account_units_it_is_no_order(target: float, price: int, placed: bool) -> None:
    order = ordered(target=target, price=price)
    assert (order is not None) is placed
    if order is not None:
        assert (order.state, order.refusals) == (OrderState.CREATED, ())


def test_without_a_minimum_nothing_is_still_no_order() -> None:
    assert ordered(target=0.0, min_value=0.0) is None
    least = ordered(target=0.0001, min_value=0.0)
    assert least is not None and least.quantity == 1


def test_another_try_is_the_same_order_under_an_id_of_its_own() -> None:
    first = flatten("2013-03-01", held(30))
    tries = [another(first, n) for n in (1, 2, 3)]
    assert tries[0] is first and len({o.client_id for o in tries}) == 3
    assert all(replace(o, client_id=first.client_id) == first for o in tries)
    assert all(o.client_id.startswith("2013-03-01-flatten-") for o in tries)
    assert tries == [another(flatten("2013-03-01", held(30)), n) for n in (1, 2, 3)]
    next_day = another(flatten("2013-03-04", held(30)), 2)
    assert next_day.client_id not in {o.client_id for o in tries}


@pytest.mark.parametrize(("quantity", "side"), [(30, Side.SELL), (-30, Side.BUY)])
def test_flatten_closes_a_whole_position(quantity: int, side: Side) -> None:
    order = flatten("2013-03-01", held(quantity))
    assert (order.side, order.quantity, order.leg) == (side, 30, Leg.FLATTEN)
    assert (order.type, order.limit, order.stop) == (OrderType.MARKET, None, None)


def test_the_sweep_buys_once_a_session() -> None:
    order = sweep("2013-03-01", "VFV.TO", 2)
    assert (order.side, order.quantity, order.leg) == (Side.BUY, 2, Leg.SWEEP)
    assert order.client_id == sweep("2013-03-01", "VFV.TO", 5).client_id
    assert order.client_id != sweep("2013-03-04", "VFV.TO", 2).client_id
