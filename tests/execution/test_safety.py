"""Pre-trade safety: each control at its edge, then random histories against a naive account."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hybridnb.canonical import canonical, plain
from hybridnb.domain import (
    SCALE,
    Bucket,
    Fill,
    Instrument,
    Leg,
    Order,
    OrderState,
    OrderType,
    Refusal,
    Side,
    TradingState,
)
from hybridnb.errors import ParamsError, UsageError
from hybridnb.execution.lifecycle import Report, advance
from hybridnb.execution.safety import Facts, Standing, check, protective
from hybridnb.execution.sent import Sent, claim_of, enabled, executed, observe, repeated
from hybridnb.policy import SafetyLimits, validated

LAST = 100 * SCALE
LIMITS = SafetyLimits()
STOCK = Instrument("A", Bucket.CORE, "CAD", tick=100, lot=10)
FACTS = {"A": Facts(STOCK, LAST, LAST, 1e6, 100), "B": Facts(STOCK, LAST, LAST, 1e6, -100)}
FREE = Standing(equity=10**10, exposure=0, available=10**10)
PROTECTIVE = [Leg.STOP, Leg.TARGET, Leg.FLATTEN]
ENTRIES = [Leg.ENTRY, Leg.SWEEP]
NAN: Any = math.nan


def order(client_id: str = "c1", **changes: Any) -> Order:
    values: dict[str, Any] = {
        "client_id": client_id,
        "symbol": "A",
        "side": Side.BUY,
        "quantity": 100,
        "type": OrderType.MARKET,
        "leg": Leg.ENTRY,
        "state": OrderState.CREATED,
        "decision_id": "d1",
    }
    return Order(**(values | changes))


def leaving(leg: Leg = Leg.EXIT, client_id: str = "x1", **changes: Any) -> Order:
    prices: dict[Leg, dict[str, Any]] = {
        Leg.STOP: {"type": OrderType.STOP, "stop": LAST // 2},
        Leg.TARGET: {"type": OrderType.LIMIT, "limit": LAST * 2},
    }
    return order(client_id, **({"leg": leg, "side": Side.SELL} | prices.get(leg, {}) | changes))


def names(
    *orders: Order, sent: Sent | None = None, at: float = 0.0, **more: Any
) -> tuple[str, ...]:
    """Refusals of the last of the orders, sent in one batch."""
    limits = more.pop("limits", LIMITS)
    given_ = {"facts": FACTS, "standing": FREE} | more
    return check(sent or Sent(), limits, orders, at=at, **given_)[1][-1].refusals


def after(*orders: Order, sent: Sent | None = None, at: float = 0.0, **more: Any) -> Sent:
    """The state after orders that must all have passed."""
    limits = more.pop("limits", LIMITS)
    state, checked = check(
        sent or Sent(), limits, orders, at=at, **({"facts": FACTS, "standing": FREE} | more)
    )
    assert list(orders) == checked
    return state


def limited(**changes: Any) -> SafetyLimits:
    return validated(SafetyLimits, changes)


def facts(**changes: Any) -> dict[str, Facts]:
    return {"A": FACTS["A"]._replace(**changes)}


def rebuilt(sent: Sent) -> Sent:
    """What a restart reads back from the recorded form."""
    return TypeAdapter(Sent).validate_python(json.loads(canonical(sent)))


def test_a_sound_order_passes_unchanged_and_the_state_given_stays() -> None:
    start = Sent()
    state = after(order(), leaving(), *(leaving(leg, leg) for leg in PROTECTIVE), sent=start)
    assert start == Sent() and state != start


# --- P1 price collar --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bucket", "edge"), [(Bucket.CORE, 10), (Bucket.FNO, 10), (Bucket.PENNY, 20)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_price_beyond_the_collar_is_refused(bucket: Bucket, edge: int, sign: int) -> None:
    known = facts(instrument=replace(STOCK, bucket=bucket, tick=1))
    price = LAST + sign * edge * SCALE
    for kind, name in ((OrderType.LIMIT, "limit"), (OrderType.STOP, "stop")):
        assert names(order(type=kind, **{name: price}), facts=known) == ()
        beyond = order(type=kind, **{name: price + sign})
        assert names(beyond, facts=known) == ("COLLAR",)
    assert names(order(), facts=facts(**known["A"]._asdict() | {"reference": price})) == ()
    far = facts(**known["A"]._asdict() | {"reference": price + sign})
    assert names(order(), facts=far) == ("COLLAR",)


def test_both_prices_of_a_stop_limit_lie_in_the_collar() -> None:
    both = order(type=OrderType.STOP_LIMIT, limit=LAST, stop=LAST)
    assert names(both) == ()
    assert names(replace(both, limit=LAST * 2)) == ("COLLAR",)
    assert names(replace(both, stop=LAST * 2)) == ("COLLAR",)


@pytest.mark.parametrize("last", [None, 0, -1, NAN])
def test_an_entry_needs_a_last_price_and_an_exit_does_not(last: Any) -> None:
    assert names(order(), facts=facts(last=last)) == ("STALE_DATA",)
    assert names(leaving(), facts=facts(last=last)) == ()


def test_a_reference_that_is_no_number_is_outside_the_collar() -> None:
    assert names(order(), facts=facts(reference=NAN)) == ("COLLAR",)
    assert names(order(), facts=facts(reference=None)) == ()


# --- P2, P3 one order's size ------------------------------------------------------------------


def test_an_order_is_worth_at_most_the_limit_of_one_order() -> None:
    assert names(order(quantity=1000)) == ()  # 100,000 account units
    assert names(order(quantity=1010)) == ("ORDER_VALUE",)
    # At its own price, a contract at its multiplier.
    limit = {"type": OrderType.LIMIT, "limit": LAST + 100}
    assert names(order(quantity=1000, **limit)) == ("ORDER_VALUE",)
    contract = facts(instrument=replace(STOCK, multiplier=100))
    assert names(order(quantity=10), facts=contract) == ()
    assert names(order(quantity=20), facts=contract) == ("ORDER_VALUE",)


def test_an_order_has_at_most_so_many_units() -> None:
    assert names(order(quantity=100), limits=limited(order_units=100)) == ()
    assert names(order(quantity=110), limits=limited(order_units=100)) == ("ORDER_VOLUME",)


@pytest.mark.parametrize(
    ("adv", "passes"), [(1000.0, True), (999.0, False), (0.0, False), (None, True)]
)
def test_an_order_is_at_most_a_share_of_the_usual_volume(adv: float | None, passes: bool) -> None:
    assert names(order(), facts=facts(adv_units=adv)) == (() if passes else ("ORDER_VOLUME",))


@pytest.mark.parametrize("adv", [math.nan, math.inf])
def test_a_volume_that_is_no_number_lets_nothing_through(adv: float) -> None:
    assert names(order(), facts=facts(adv_units=adv)) == ("ORDER_VOLUME",)


# --- P4 messages a second ---------------------------------------------------------------------


def orders(count: int, **changes: Any) -> list[Order]:
    """Orders that are no twins of each other."""
    return [
        order(f"m{i}", quantity=10 * (i + 1), type=OrderType.LIMIT, limit=SCALE, **changes)
        for i in range(count)
    ]


CHEAP = {"A": Facts(STOCK, SCALE, None, None, 10**6)}


def test_a_hundred_messages_a_second_and_no_more() -> None:
    batch = orders(101)
    state = after(*batch[:60], at=0.0, facts=CHEAP)
    state = after(*batch[60:100], sent=state, at=0.75, facts=CHEAP)
    assert names(batch[100], sent=state, at=0.875, facts=CHEAP) == ("THROTTLED",)
    # The first sixty come back after their second, the others not yet.
    more = [replace(o, client_id=f"n{i}", decision_id="d2") for i, o in enumerate(orders(60))]
    state = after(*more, sent=state, at=1.5, facts=CHEAP)
    assert names(batch[100], sent=state, at=1.5, facts=CHEAP) == ("THROTTLED",)
    assert names(batch[100], sent=state, at=1.75, facts=CHEAP) == ()


def test_amendments_and_protective_legs_are_messages_but_protective_legs_never_wait() -> None:
    one = limited(messages=1)
    for first, amend in ((leaving(Leg.STOP), False), (leaving(Leg.STOP), True), (order(), False)):
        state = after(first, amend=amend, limits=one)
        assert names(order("c2", quantity=10), sent=state, limits=one) == ("THROTTLED",)
        assert names(leaving(client_id="x2"), sent=state, limits=one) == ("THROTTLED",)
        assert names(order(), sent=state, limits=one, amend=True) == ("THROTTLED",)
        for leg in PROTECTIVE:
            assert names(leaving(leg, "p2"), sent=state, limits=one) == ()
            assert names(leaving(leg, "p2"), sent=state, limits=one, amend=True) == ()


def test_a_refused_order_is_no_message() -> None:
    one = limited(messages=1)
    state, _ = check(Sent(), one, [order(quantity=-1)], at=0.0, facts=FACTS, standing=FREE)
    assert names(order(), sent=state, limits=one) == ()


@pytest.mark.parametrize("at", [math.nan, math.inf, -1.0])
def test_a_time_is_finite(at: float) -> None:
    with pytest.raises(UsageError):
        after(order(), at=at)
    with pytest.raises(UsageError):
        executed(Sent(), LIMITS, [], at=at)


def test_a_clock_that_runs_backward_stands_still() -> None:
    one = limited(messages=1)
    state = after(order(), at=10.0, limits=one)
    assert names(order("c2", quantity=10), sent=state, at=5.0, limits=one) == ("THROTTLED",)
    state = after(leaving(Leg.STOP), sent=state, at=5.0, limits=one)
    assert state.at == 10.0


# --- P5, P7, P10 what was sent counts at once -------------------------------------------------


def test_every_sent_order_takes_its_room_at_once() -> None:
    tight = limited(unexecuted=15_000.0)
    assert names(order(quantity=150), limits=tight) == ()
    first = order()
    assert names(first, order("c2", quantity=50), limits=tight) == ()
    assert names(first, order("c2", quantity=60), limits=tight) == ("UNEXECUTED",)
    state = after(first, limits=tight)
    assert names(order("c2", quantity=60), sent=state, limits=tight) == ("UNEXECUTED",)
    assert names(order("c2", quantity=60), sent=rebuilt(state), limits=tight) == ("UNEXECUTED",)


@pytest.mark.parametrize(
    ("report", "room"),
    [
        ({"state": OrderState.ACCEPTED}, 50),
        ({"state": OrderState.UNKNOWN}, 50),
        ({"state": OrderState.PARTIALLY_FILLED, "filled": 40}, 90),
        ({"state": OrderState.FILLED, "filled": 100}, 150),
        ({"state": OrderState.CANCELLED, "filled": 40}, 150),
        ({"state": OrderState.REJECTED}, 150),
        ({"state": OrderState.EXPIRED}, 150),
    ],
)
def test_room_comes_back_with_what_ends_or_fills(report: dict[str, Any], room: int) -> None:
    tight = limited(unexecuted=15_000.0)
    state = observe(after(order(), limits=tight), [replace(order(), **report), order("other")])
    # Told again, or an older report after it: the same.
    assert observe(state, [order(state=OrderState.ACCEPTED)]) == state
    assert observe(state, [replace(order(), **report)]) == state == rebuilt(state)
    fits, wide = order("c2", quantity=room), order("c2", quantity=room + 10)
    assert names(fits, sent=state, limits=tight) == ()
    assert names(wide, sent=state, limits=tight) == ("UNEXECUTED",)


def test_an_amendment_takes_the_place_of_what_was_sent() -> None:
    tight = limited(unexecuted=15_000.0)
    state = after(order(), limits=tight)
    assert names(order(quantity=150), sent=state, limits=tight, amend=True) == ()
    assert names(order(quantity=160), sent=state, limits=tight, amend=True) == ("UNEXECUTED",)
    state = after(order(quantity=20), sent=state, limits=tight, amend=True)
    assert names(order("c2", quantity=130), sent=state, limits=tight) == ()
    assert names(order("c2", quantity=140), sent=state, limits=tight) == ("UNEXECUTED",)


def test_gross_exposure_with_all_that_was_sent_has_a_threshold() -> None:
    full = Standing(equity=10**9, exposure=9 * 10**8, available=10**12)
    assert names(order(), standing=full) == ()
    assert names(order(quantity=110), standing=full) == ("CREDIT",)
    state = after(order(quantity=50), standing=full)
    assert names(order("c2", quantity=60), sent=state, standing=full) == ("CREDIT",)
    halved = facts(instrument=replace(STOCK, delta=-0.5))
    assert names(order(quantity=200), standing=full, facts=halved) == ()
    assert names(order(quantity=210), standing=full, facts=halved) == ("CREDIT",)


def test_entries_claim_at_most_the_available_cash() -> None:
    poor = replace(FREE, available=10**8)
    assert names(order(), standing=poor) == ()
    assert names(order(quantity=110), standing=poor) == ("CREDIT",)
    state = after(order(quantity=50), standing=poor)
    assert names(order("c2", quantity=60), sent=state, standing=poor) == ("CREDIT",)
    margin = facts(instrument=replace(STOCK, margin_rate=0.5))
    assert names(order(quantity=200), standing=poor, facts=margin) == ()
    assert names(order(quantity=210), standing=poor, facts=margin) == ("CREDIT",)


@pytest.mark.parametrize("name", ["equity", "exposure", "available"])
def test_an_account_that_cannot_be_computed_has_no_credit(name: str) -> None:
    assert names(order(), standing=replace(FREE, **{name: NAN})) == ("CREDIT",)


@pytest.mark.parametrize("change", [{"delta": NAN}, {"margin_rate": NAN}, {"margin_rate": -1.0}])
def test_exposure_and_margin_are_finite(change: dict[str, float]) -> None:
    assert names(order(), facts=facts(instrument=replace(STOCK, **change))) == ("INVALID",)


def test_a_claim_without_a_price_has_no_figure() -> None:
    assert claim_of(order(), STOCK, None) is None
    assert claim_of(order(), STOCK, LAST) == (100, LAST, LAST, LAST)


# --- P6 repeated executions -------------------------------------------------------------------


def fills(*ids: str, symbol: str = "A") -> list[Fill]:
    return [Fill(i, "c1", symbol, Side.BUY, Leg.ENTRY, 1, 1, 1, 0, 0, "t") for i in ids]


THREE = limited(repeat_fills=3, repeat_seconds=10.0)


DISABLED = replace(FREE, disabled=frozenset("A"))


def test_a_disabled_symbol_is_neither_entered_nor_left_by_a_decision() -> None:
    for leg in ENTRIES:
        assert names(order(leg=leg), standing=DISABLED) == ("DISABLED",)
    assert names(leaving(), standing=DISABLED) == ("DISABLED",)
    assert [names(leaving(leg), standing=DISABLED) for leg in PROTECTIVE] == [()] * 3
    assert names(order(symbol="B"), standing=DISABLED) == ()


def test_executions_repeat_within_their_window_once_each_and_by_symbol() -> None:
    state = executed(Sent(), THREE, fills("1", "2"), at=0.0)
    assert repeated(state, THREE) == []
    assert repeated(executed(state, THREE, fills("3"), at=9.9), THREE) == ["A"]
    assert executed(state, THREE, fills("3"), at=9.9).at == 9.9
    assert repeated(executed(state, THREE, fills("1", "2", "2"), at=1.0), THREE) == []
    assert repeated(executed(state, THREE, fills("3"), at=10.0), THREE) == []
    assert repeated(executed(state, THREE, fills("3", symbol="B"), at=1.0), THREE) == []
    assert repeated(executed(state, THREE, fills("3"), at=1.0), THREE) == ["A"]
    forgotten = enabled(rebuilt(state), "A")
    assert repeated(executed(forgotten, THREE, fills("3", "4"), at=1.0), THREE) == []


def test_executions_told_together_count_as_far_apart_as_they_were() -> None:
    def told(*seconds: int, zone: str = "+00:00") -> list[str]:
        told = [
            replace(f, at=f"2013-03-01T10:00:{s:02d}{zone}")
            for s, f in zip(seconds, fills("1", "2", "3"), strict=True)
        ]
        return repeated(executed(Sent(), THREE, told, at=5.0), THREE)

    assert told(0, 1, 9) == ["A"] and told(0, 9, 10) == []
    assert told(9, 1, 0) == ["A"], "in any order"
    assert told(0, 9, 10, zone="") == ["A"], "a time of nowhere tells nothing"


# --- P8 erroneous and duplicate ---------------------------------------------------------------

INVALID: list[dict[str, Any]] = [
    {"quantity": 0},
    {"quantity": -100},
    {"quantity": NAN},
    {"quantity": math.inf},
    {"quantity": 99.5},
    {"quantity": True},
    {"quantity": 100, "filled": 100},
    {"quantity": 100, "filled": -1},
    {"quantity": 100, "filled": 0.0},
    {"type": OrderType.LIMIT},
    {"type": OrderType.STOP},
    {"type": OrderType.STOP_LIMIT, "limit": LAST},
    {"type": OrderType.STOP_LIMIT, "stop": LAST},
    {"limit": LAST},
    {"stop": LAST},
    {"type": OrderType.LIMIT, "limit": LAST, "stop": LAST},
]
INVALID += [
    {"type": kind, name: price}
    for kind, name in ((OrderType.LIMIT, "limit"), (OrderType.STOP, "stop"))
    for price in (0, -LAST, NAN, math.inf, LAST + 0.5, LAST + 1)  # the last is off the tick
]


@pytest.mark.parametrize("leg", Leg)
@pytest.mark.parametrize("change", INVALID, ids=str)
def test_erroneous_numbers_are_refused_whatever_the_leg(leg: Leg, change: dict[str, Any]) -> None:
    wrong = {"limit": None, "stop": None, "type": OrderType.MARKET} | change
    asked = leaving(leg, **wrong) if leg.reduces else order(leg=leg, **wrong)
    _, (refused,) = check(Sent(), LIMITS, [asked], at=0.0, facts=FACTS, standing=FREE)
    assert refused.refusals == ("INVALID",) and refused.state is OrderState.REJECTED
    assert canonical(refused)  # infinity is gone: it can be recorded


def test_entries_are_whole_lots_and_an_odd_lot_can_still_be_left() -> None:
    assert names(order(quantity=105)) == ("INVALID",)
    assert names(order(quantity=107, filled=7)) == ()
    assert names(leaving(quantity=99)) == ()


@pytest.mark.parametrize("leg", [Leg.EXIT, *PROTECTIVE])
def test_an_exit_is_never_larger_than_the_position_nor_on_its_side(leg: Leg) -> None:
    assert names(leaving(leg)) == ()
    assert names(leaving(leg, quantity=101)) == ("INVALID",)
    assert names(leaving(leg, quantity=150, filled=50)) == ()
    assert names(leaving(leg, side=Side.BUY)) == ("INVALID",)
    assert names(leaving(leg, symbol="B", side=Side.BUY)) == ()
    assert names(leaving(leg, symbol="B")) == ("INVALID",)
    assert names(leaving(leg, quantity=1), facts=facts(held=0)) == ("INVALID",)
    assert names(leaving(leg, quantity=10**9), facts=facts(held=None)) == ()


def test_a_client_id_is_taken_for_a_day() -> None:
    state = after(order(), at=100.0)
    again = order(quantity=10, decision_id="d1")
    assert names(again, sent=state, at=101.0) == ("DUPLICATE",)
    assert names(order(), again) == ("DUPLICATE",)
    assert names(again, sent=rebuilt(state), at=86_499.0) == ("DUPLICATE",)
    assert names(again, sent=state, at=86_500.0) == ()
    assert names(leaving(Leg.EXIT, "c1"), sent=state, at=101.0) == ("DUPLICATE",)
    assert names(again, sent=state, at=101.0, amend=True) == ()


def test_a_refused_order_takes_no_client_id() -> None:
    state, _ = check(Sent(), LIMITS, [order(quantity=0)], at=0.0, facts=FACTS, standing=FREE)
    assert names(order(), sent=state) == ()


@pytest.mark.parametrize(
    ("change", "twin"),
    [
        ({}, True),
        ({"decision_id": "d1"}, False),
        ({"quantity": 110}, False),
        ({"symbol": "B"}, False),
        ({"side": Side.SELL}, False),
        ({"limit": LAST + 100}, False),
    ],
)
def test_an_equal_order_of_another_decision_within_a_second_is_a_twin(
    change: dict[str, Any], twin: bool
) -> None:
    limit = {"type": OrderType.LIMIT, "limit": LAST}
    state = after(order(**limit), at=5.0)
    other = order("c2", **({"decision_id": "d2"} | limit | change))
    assert names(other, sent=state, at=5.9) == (("DUPLICATE",) if twin else ())
    assert names(other, sent=rebuilt(state), at=6.0) == ()


def test_an_exit_is_the_twin_of_a_flatten_unless_the_venue_refused_it() -> None:
    flatten = order(leg=Leg.FLATTEN, side=Side.SELL)
    state = after(flatten, at=5.0)
    decided = order("c2", leg=Leg.EXIT, side=Side.SELL, decision_id="d2")
    assert names(decided, sent=state, at=5.1) == ("DUPLICATE",)
    for told in (OrderState.ACCEPTED, OrderState.UNKNOWN, OrderState.CANCELLED):
        known = observe(state, [replace(flatten, state=told)])
        assert names(decided, sent=known, at=5.1) == ("DUPLICATE",)
    state = observe(state, [replace(flatten, state=OrderState.REJECTED)])
    assert names(decided, sent=rebuilt(state), at=5.1) == ()
    again = after(decided, sent=state, at=5.1)
    assert names(decided, sent=again, at=5.2) == ("DUPLICATE",)
    third = replace(decided, client_id="c3", decision_id="d3")
    assert names(third, sent=rebuilt(again), at=6.0) == ("DUPLICATE",)
    assert names(third, sent=rebuilt(again), at=6.1) == ()


def test_one_of_many_equal_orders_that_the_venue_refused_leaves_the_others_twins() -> None:
    one, two = (
        order(f"c{i}", leg=Leg.FLATTEN, side=Side.SELL, decision_id=f"d{i}") for i in (1, 2)
    )
    state = after(two, sent=after(one, at=5.0), at=5.1)
    decided = order("c3", leg=Leg.EXIT, side=Side.SELL, decision_id="d2")
    assert names(decided, sent=state, at=5.2) == ("DUPLICATE",)
    half = observe(state, [replace(two, state=OrderState.REJECTED)])
    assert names(decided, sent=half, at=5.2) == ("DUPLICATE",)
    none = observe(half, [replace(one, state=OrderState.REJECTED)])
    assert names(decided, sent=none, at=5.2) == () and none.twins == {}


def test_an_entry_is_the_twin_of_an_equal_exit_or_flatten() -> None:
    for leg in (Leg.EXIT, Leg.FLATTEN):
        state = after(order(leg=leg, side=Side.SELL), at=5.0)
        short = order("c2", side=Side.SELL, decision_id="d2")
        assert names(short, sent=state, at=5.9) == ("DUPLICATE",)


def test_many_client_ids_are_all_remembered() -> None:
    wide = limited(messages=10**6, unexecuted=1e12)
    state = Sent()
    for i in range(300):
        state = after(order(f"k{i}", quantity=10), sent=state, at=2.0 * i, limits=wide)
    assert 1 < len(state.ids) < 12  # few chunks, and the old ones not copied each time
    for i in range(300):
        again = order(f"k{i}", quantity=20)
        assert names(again, sent=state, at=700.0, limits=wide) == ("DUPLICATE",)
    state = after(order("last"), sent=state, at=10**6, limits=wide)
    for i in range(600):  # merged, chunk by chunk; what ran out is dropped
        new = order(f"l{i}", quantity=10)
        state = after(new, sent=state, at=10**6 + 2.0 * i, limits=wide)
    assert sum(len(chunk) for chunk in state.ids) == 601


# --- P9, trading state, kill latch ------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "entry", "leave"),
    [
        ({"restricted": frozenset("A")}, ("DO_NOT_TRADE",), ()),
        ({"restricted": frozenset("B")}, (), ()),
        ({"killed": True}, ("KILL_SWITCH",), ()),
        ({"state": TradingState.REDUCING}, ("TRADING_STATE",), ()),
        ({"state": TradingState.HALTED}, ("TRADING_STATE",), ("TRADING_STATE",)),
    ],
)
def test_the_control_plane_bars_entries_and_a_halt_decided_exits(
    change: dict[str, Any], entry: tuple[str, ...], leave: tuple[str, ...]
) -> None:
    standing = replace(FREE, **change)
    for leg in ENTRIES:
        assert names(order(leg=leg), standing=standing) == entry
    assert names(leaving(), standing=standing) == leave
    for leg in PROTECTIVE:
        assert names(leaving(leg), standing=standing) == ()


def test_a_symbol_without_facts_is_not_entered_but_can_be_left() -> None:
    assert names(order(), facts={}) == ("UNKNOWN_CLASS",)
    assert [names(leaving(leg), facts={}) for leg in (Leg.EXIT, *PROTECTIVE)] == [()] * 4
    assert names(leaving(Leg.STOP, stop=-1), facts={}) == ("INVALID",)


def test_all_refusals_are_told_at_once() -> None:
    state = after(order())
    bad = order(quantity=200_000, type=OrderType.LIMIT, limit=LAST * 2)
    barred = replace(
        DISABLED, killed=True, state=TradingState.HALTED, restricted=frozenset("A"), available=0
    )
    tight = limited(messages=1)
    expected = {
        *("DO_NOT_TRADE", "KILL_SWITCH", "TRADING_STATE", "DUPLICATE", "COLLAR", "ORDER_VALUE"),
        *("ORDER_VOLUME", "THROTTLED", "DISABLED", "CREDIT", "UNEXECUTED"),
    }
    assert set(names(bad, sent=state, standing=barred, limits=tight)) == expected
    assert names(order(quantity=0), standing=replace(FREE, killed=True)) == (
        "KILL_SWITCH",
        "INVALID",
    )


def test_what_is_rejected_already_stays_as_it_is_and_counts_nothing() -> None:
    rejected = order(quantity=0, state=OrderState.REJECTED, refusals=("KELLY",))
    state, checked = check(Sent(), LIMITS, [rejected], at=0.0, facts=FACTS, standing=FREE)
    assert checked == [rejected] and state == Sent()


@pytest.mark.parametrize(
    ("key", "value"), [("collar_core", -0.1), ("messages", 0), ("order_value", NAN), ("other", 1)]
)
def test_limits_are_numbers_in_range(key: str, value: object) -> None:
    with pytest.raises(ParamsError, match=key):
        limited(**{key: value})


# --- random histories -------------------------------------------------------------------------

TIGHT = limited(
    messages=4,
    order_value=3_000.0,
    order_units=40,
    order_adv=0.1,
    unexecuted=6_000.0,
    exposure=0.5,
    repeat_fills=4,
    repeat_seconds=3.0,
)
HELD = 50
HISTORY_FACTS = {
    s: Facts(replace(STOCK, symbol=s, lot=1), LAST, LAST, 350.0, HELD) for s in ("A", "B")
}


@dataclass
class Naive:
    """An account that keeps everything and computes every figure from the start."""

    sent: Sent = field(default_factory=Sent)
    orders: dict[str, Order] = field(default_factory=dict)
    times: list[tuple[float, Order]] = field(default_factory=list)
    fills: list[tuple[float, Fill]] = field(default_factory=list)
    disabled: frozenset[str] = frozenset()
    at: float = 0.0

    def working(self) -> int:
        live = (o for o in self.orders.values() if o.state.open and not o.leg.reduces)
        return sum(o.left * (o.limit or LAST) for o in live)


SPAN = st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0])


@st.composite
def asked(draw: st.DrawFn) -> Order:
    leg = draw(st.sampled_from([Leg.ENTRY, Leg.ENTRY, Leg.EXIT, *PROTECTIVE]))
    number = draw(st.integers(0, 30))
    quantity = draw(st.integers(0, 60))
    common = {
        "symbol": draw(st.sampled_from("AB")),
        "quantity": quantity,
        "decision_id": f"d{number}",
    }
    if leg.reduces:
        return leaving(leg, f"{leg}-{number}", **common)
    limit = draw(st.sampled_from([None, LAST - 1200 * 100, LAST - 5 * SCALE, LAST + 500]))
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    return order(f"e-{number}", type=kind, limit=limit, **common)


@given(data=st.data(), steps=st.integers(1, 25))
def test_no_order_that_passes_breaks_a_limit(data: st.DataObject, steps: int) -> None:
    desk = Naive()
    for step in range(steps):
        desk.at += data.draw(SPAN)
        match data.draw(st.sampled_from(["send", "send", "amend", "report", "restart"])):
            case "send":
                batch = data.draw(st.lists(asked(), min_size=1, max_size=5))
                submit(desk, batch, data.draw(st.sampled_from(TradingState)))
            case "amend" if desk.orders:
                known = desk.orders[data.draw(st.sampled_from(sorted(desk.orders)))]
                changed = replace(known, quantity=data.draw(st.integers(1, 60)), filled=0)
                if known.state.open:
                    amend(desk, known, changed)
            case "report" if desk.orders:
                report(desk, data, step)
            case _:
                desk.sent = rebuilt(desk.sent)
        assert desk.sent.work[0] == desk.working() <= TIGHT.unexecuted * SCALE


def standing_of(desk: Naive, state: TradingState = TradingState.ACTIVE) -> Standing:
    return Standing(10**8, 0, 45 * 10**6, state=state, disabled=desk.disabled)


def submit(desk: Naive, batch: Sequence[Order], state: TradingState) -> None:
    before = dict(desk.orders)
    desk.sent, checked = check(
        desk.sent,
        TIGHT,
        batch,
        at=desk.at,
        facts=HISTORY_FACTS,
        standing=standing_of(desk, state),
    )
    for one, got in zip(batch, checked, strict=True):
        if got.state is OrderState.REJECTED:
            assert got.refusals
            assert set(got.refusals) <= {str(r.name) for r in Refusal}
            assert not protective(one.leg) or not 0 < one.quantity <= HELD
            continue
        assert got == one
        if not protective(one.leg):
            assert one.client_id not in before
            assert not any(
                desk.at - t < 1.0
                and (o.symbol, o.side, o.left, o.limit, o.stop)
                == (one.symbol, one.side, one.left, one.limit, one.stop)
                and o.decision_id != one.decision_id
                for t, o in desk.times
            )
        sound(desk, one, state)
        before[one.client_id] = desk.orders[one.client_id] = one


def sound(desk: Naive, one: Order, state: TradingState) -> None:
    """What must be true of any message that passed."""
    desk.times.append((desk.at, one))
    assert 0 < one.left <= (HELD if one.leg.reduces else 40)
    if protective(one.leg):
        return
    # At its turn there was a token: of the last second's messages it is at most the fourth.
    assert sum(desk.at - t < 1.0 for t, _ in desk.times) <= 4
    assert state is not TradingState.HALTED
    recent = [f for t, f in desk.fills if desk.at - t < TIGHT.repeat_seconds]
    assert sum(f.symbol == one.symbol for f in recent) < TIGHT.repeat_fills
    if one.leg.reduces:
        return
    assert state is TradingState.ACTIVE
    price = one.limit or LAST
    assert abs(price - LAST) <= LAST // 10
    assert one.left * price <= 3_000 * SCALE
    assert one.left <= 35
    others = [o for o in desk.orders.values() if o.client_id != one.client_id]
    live = [o for o in [*others, one] if o.state.open and not o.leg.reduces]
    assert sum(o.left * (o.limit or LAST) for o in live) <= 45 * 10**6


def amend(desk: Naive, known: Order, changed: Order) -> None:
    desk.sent, (got,) = check(
        desk.sent,
        TIGHT,
        [changed],
        at=desk.at,
        facts=HISTORY_FACTS,
        standing=standing_of(desk),
        amend=True,
    )
    if got.state is OrderState.REJECTED:
        assert got.refusals and (not protective(known.leg) or changed.quantity > HELD)
        return
    sound(desk, changed, TradingState.ACTIVE)
    whole = replace(known, quantity=known.filled + changed.quantity)
    desk.orders[known.client_id] = whole


def report(desk: Naive, data: st.DataObject, step: int) -> None:
    known = desk.orders[data.draw(st.sampled_from(sorted(desk.orders)))]
    if not known.state.open:
        desk.sent = observe(desk.sent, [replace(known, state=OrderState.ACCEPTED, filled=0)])
        return
    units = data.draw(st.integers(0, known.left))
    end = data.draw(
        st.sampled_from(
            [
                OrderState.ACCEPTED,
                OrderState.UNKNOWN,
                OrderState.CANCELLED,
                *([OrderState.REJECTED] if known.filled == 0 else []),
            ]
        )
    )
    if end is OrderState.REJECTED:  # never at the venue: no equal of it either
        units = 0
        desk.times = [
            (t, replace(o, symbol="-")) if o.client_id == known.client_id else (t, o)
            for t, o in desk.times
        ]
    if known.state is OrderState.CREATED:
        known = advance(known, Report(known.client_id, OrderState.SUBMITTED, 0))
    after_ = advance(known, Report(known.client_id, end, known.filled + units))
    desk.orders[known.client_id] = after_
    if units:
        one = replace(fills(f"f{step}", symbol=known.symbol)[0], quantity=units)
        desk.fills.append((desk.at, one))
        desk.sent = executed(desk.sent, TIGHT, [one, one], at=desk.at)
        desk.disabled |= frozenset(repeated(desk.sent, TIGHT))
    desk.sent = observe(desk.sent, [after_, known])


@given(batch=st.lists(asked(), min_size=1, max_size=12))
def test_one_batch_or_one_by_one_is_the_same(batch: list[Order]) -> None:
    whole, together = check(
        Sent(), TIGHT, batch, at=1.0, facts=HISTORY_FACTS, standing=standing_of(Naive())
    )
    state, alone = Sent(), []
    for one in batch:
        state, got = check(
            state, TIGHT, [one], at=1.0, facts=HISTORY_FACTS, standing=standing_of(Naive())
        )
        state, alone = rebuilt(state), alone + got
    assert alone == together
    assert plain(replace(state, ids=())) == plain(replace(whole, ids=()))
    assert {k for c in state.ids for k in c} == {k for c in whole.ids for k in c}
