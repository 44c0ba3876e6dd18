"""The life of an order: legal steps, then reports that come late, twice and out of order."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hybridnb.book import Book, apply_fill
from hybridnb.canonical import canonical, plain
from hybridnb.domain import Fill, Leg, Order, OrderState, OrderType, Refusal, Side
from hybridnb.errors import CheckFailed, Refused
from hybridnb.execution.lifecycle import (
    Report,
    advance,
    amended,
    executed,
    legal,
    refused,
    report_of,
    unseen,
)

S = OrderState
FINAL = (S.FILLED, S.CANCELLED, S.REJECTED, S.EXPIRED)
IN_FLIGHT = (S.SUBMITTED, S.ACCEPTED, S.PARTIALLY_FILLED)


def order(state: OrderState = S.SUBMITTED, *, filled: int = 0, quantity: int = 100) -> Order:
    return Order(
        client_id="c1",
        symbol="A",
        side=Side.BUY,
        quantity=quantity,
        type=OrderType.MARKET,
        leg=Leg.ENTRY,
        state=state,
        decision_id="d1",
        filled=filled,
    )


def told(state: OrderState, filled: int = 0, **more: Any) -> Report:
    return Report("c1", state, filled, **more)


def fill(fill_id: str, quantity: int = 10, *, price: int = 50_000, commission: int = 0) -> Fill:
    return Fill(
        fill_id, "c1", "A", Side.BUY, Leg.ENTRY, quantity, price, price, commission, 0, "2013-03-01"
    )


def rebuilt(what: Order) -> Order:
    """What a restart reads back from the recorded form."""
    return TypeAdapter(Order).validate_python(json.loads(canonical(what)))


# --- which state may follow which -------------------------------------------------------------

FORWARD = [S.CREATED, S.SUBMITTED, S.ACCEPTED, S.PARTIALLY_FILLED]
LEGAL = {(s, s) for s in S}
LEGAL |= {(a, b) for i, a in enumerate(FORWARD) for b in (*FORWARD[i + 1 :], *FINAL)}
LEGAL |= {(s, S.UNKNOWN) for s in IN_FLIGHT}
LEGAL |= {(S.UNKNOWN, s) for s in S if s is not S.CREATED}


@pytest.mark.parametrize("before", S)
@pytest.mark.parametrize("after", S)
def test_the_legal_steps_are_these(before: OrderState, after: OrderState) -> None:
    assert legal(before, after) is ((before, after) in LEGAL)


@pytest.mark.parametrize(
    ("known", "report", "state", "filled"),
    [
        (order(S.CREATED), told(S.SUBMITTED), S.SUBMITTED, 0),
        (order(), told(S.ACCEPTED), S.ACCEPTED, 0),
        (order(), told(S.FILLED, 100), S.FILLED, 100),
        (order(S.ACCEPTED), told(S.PARTIALLY_FILLED, 40), S.PARTIALLY_FILLED, 40),
        # An accepted order with fills is partially filled, one with all of them is filled.
        (order(S.ACCEPTED), told(S.ACCEPTED, 40), S.PARTIALLY_FILLED, 40),
        (order(S.ACCEPTED), told(S.PARTIALLY_FILLED, 100), S.FILLED, 100),
        (order(S.UNKNOWN), told(S.UNKNOWN, 100), S.FILLED, 100),
        # Late: nothing goes backward.
        (order(S.PARTIALLY_FILLED, filled=40), told(S.ACCEPTED), S.PARTIALLY_FILLED, 40),
        (
            order(S.PARTIALLY_FILLED, filled=40),
            told(S.PARTIALLY_FILLED, 30),
            S.PARTIALLY_FILLED,
            40,
        ),
        (order(S.FILLED, filled=100), told(S.PARTIALLY_FILLED, 30), S.FILLED, 100),
        (order(S.FILLED, filled=100), told(S.CANCELLED, 40), S.FILLED, 100),
        (order(S.CANCELLED), told(S.ACCEPTED), S.CANCELLED, 0),
        (order(S.REJECTED), told(S.ACCEPTED), S.REJECTED, 0),
        (order(S.EXPIRED), told(S.UNKNOWN), S.EXPIRED, 0),
        # Fills after a cancel are facts; the order stays cancelled.
        (order(S.CANCELLED, filled=40), told(S.PARTIALLY_FILLED, 60), S.CANCELLED, 60),
        (order(S.CANCELLED, filled=40), told(S.FILLED, 100), S.CANCELLED, 100),
        (order(S.EXPIRED), told(S.PARTIALLY_FILLED, 60), S.EXPIRED, 60),
        (order(S.ACCEPTED), told(S.CANCELLED, 60), S.CANCELLED, 60),
        # A timeout is in flight until it is reconciled, or its end is known.
        (order(), told(S.UNKNOWN), S.UNKNOWN, 0),
        (order(S.UNKNOWN), told(S.ACCEPTED), S.UNKNOWN, 0),
        (order(S.UNKNOWN), told(S.PARTIALLY_FILLED, 40), S.UNKNOWN, 40),
        (order(S.UNKNOWN), told(S.ACCEPTED, reconciled=True), S.ACCEPTED, 0),
        (order(S.UNKNOWN, filled=40), told(S.ACCEPTED, reconciled=True), S.PARTIALLY_FILLED, 40),
        (order(S.UNKNOWN), told(S.CREATED, reconciled=True), S.UNKNOWN, 0),
        (order(S.UNKNOWN), told(S.CANCELLED, 10), S.CANCELLED, 10),
        (order(S.UNKNOWN), told(S.REJECTED), S.REJECTED, 0),
    ],
)
def test_a_report_moves_an_order_to(
    known: Order, report: Report, state: OrderState, filled: int
) -> None:
    after = advance(known, report)
    assert (after.state, after.filled) == (state, filled)


@pytest.mark.parametrize(
    ("known", "report"),
    [
        (order(), Report("c2", S.ACCEPTED, 0)),
        (order(), told(S.PARTIALLY_FILLED, 101)),
        (order(), told(S.PARTIALLY_FILLED, 101, quantity=100)),
        (order(), told(S.PARTIALLY_FILLED, -1)),
        (order(), told(S.PARTIALLY_FILLED, math.nan)),  # type: ignore[arg-type]
        (order(), told(S.PARTIALLY_FILLED, 0)),
        (order(), told(S.FILLED, 99)),
        (order(S.PARTIALLY_FILLED, filled=60), told(S.FILLED, 50, quantity=50)),
        (order(S.PARTIALLY_FILLED, filled=1), told(S.REJECTED)),
        (order(), told(S.REJECTED, 1)),
        (order(S.REJECTED), told(S.PARTIALLY_FILLED, 1)),
        (order(S.REJECTED), told(S.FILLED, 100)),
        (order(S.REJECTED), told(S.CANCELLED)),
        (order(S.CANCELLED), told(S.REJECTED)),
        (order(S.FILLED, filled=100), told(S.REJECTED)),
        (order(S.CREATED), told(S.UNKNOWN)),
    ],
)
def test_a_report_that_cannot_be_true_is_refused(known: Order, report: Report) -> None:
    with pytest.raises(CheckFailed, match=r"c1") as caught:
        advance(known, report)
    details = caught.value.as_dict()
    assert details["client_id"] == "c1" and details["remedy"]
    assert details["reported"]["state"] == report.state


def test_a_rejected_order_says_why() -> None:
    after = advance(order(), told(S.REJECTED, note="insufficient margin"))
    assert after.refusals == ("VENUE",) and after.note == "insufficient margin"
    after = advance(order(), told(S.REJECTED, refusals=("DUPLICATE",)))
    assert after.refusals == ("DUPLICATE",)
    after = advance(replace(order(), refusals=("MARGIN",)), told(S.REJECTED))
    assert after.refusals == ("MARGIN",)


def test_a_report_without_news_leaves_the_note() -> None:
    known = replace(order(S.ACCEPTED), note="queued")
    assert advance(known, told(S.ACCEPTED, note="again")) == known
    assert advance(known, told(S.CANCELLED)).note == "queued"
    assert advance(known, told(S.CANCELLED, note="by hand")).note == "by hand"


def test_the_port_returns_orders_and_they_are_reports() -> None:
    known = order(S.ACCEPTED)
    answered = replace(known, state=S.PARTIALLY_FILLED, filled=40, note="n", refusals=())
    assert advance(known, report_of(answered)) == answered
    lost = order(S.UNKNOWN)
    assert advance(lost, report_of(known)) == lost
    assert advance(lost, report_of(known, reconciled=True)) == known


# --- amendments and what races them -----------------------------------------------------------


def test_an_amendment_sets_what_is_left() -> None:
    after = amended(order(S.PARTIALLY_FILLED, filled=40), left=30, limit=7, stop=5)
    assert (after.quantity, after.filled, after.left) == (70, 40, 30)
    assert (after.limit, after.stop) == (7, 5)


@pytest.mark.parametrize("state", FINAL)
def test_a_final_order_is_not_amended(state: OrderState) -> None:
    with pytest.raises(Refused, match="c1"):
        amended(order(state), left=10)


@pytest.mark.parametrize("left", [0, -1])
def test_an_amendment_to_nothing_is_a_cancel(left: int) -> None:
    with pytest.raises(Refused, match="left to fill"):
        amended(order(), left=left)


def test_fills_that_raced_an_amendment_are_facts() -> None:
    smaller = amended(order(S.PARTIALLY_FILLED, filled=40), left=10)
    after = advance(smaller, told(S.PARTIALLY_FILLED, 80, quantity=100))
    assert (after.state, after.filled, after.quantity) == (S.PARTIALLY_FILLED, 80, 100)
    larger = amended(order(S.ACCEPTED), left=200)
    after = advance(larger, told(S.FILLED, 100, quantity=100))
    assert (after.state, after.filled, after.left) == (S.FILLED, 100, 0)


# --- orders that are never sent ---------------------------------------------------------------


def test_a_refused_order_has_its_codes_and_numbers_that_can_be_recorded() -> None:
    after = refused(order(S.CREATED), Refusal.COLLAR | Refusal.CREDIT)
    assert after.state is S.REJECTED and after.refusals == ("COLLAR", "CREDIT")
    bad = replace(order(S.CREATED), quantity=math.inf, limit=math.nan, stop=1.5, note="x")
    after = refused(bad, Refusal.INVALID)
    assert (after.quantity, after.limit, after.stop) == (0, None, None)
    assert after.note == "x quantity = inf, limit = nan, stop = 1.5"
    assert rebuilt(after) == after


# --- executions -------------------------------------------------------------------------------


def test_each_execution_is_booked_once() -> None:
    one, two = fill("f1"), fill("f2")
    assert unseen({}, [one, two, one]) == (one, two)
    assert unseen({"f1": one}, [one, two, two]) == (two,)
    # A commission that is told later doesn't make it another execution.
    assert unseen({"f1": one}, [fill("f1", commission=5)]) == ()


@pytest.mark.parametrize("change", [{"quantity": 11}, {"price": 1}, {"side": Side.SELL}])
def test_one_id_cannot_name_two_executions(change: dict[str, Any]) -> None:
    with pytest.raises(CheckFailed, match="f1"):
        unseen({"f1": fill("f1")}, [replace(fill("f1"), **change)])
    with pytest.raises(CheckFailed, match="f1"):
        unseen({}, [fill("f1"), replace(fill("f1"), **change)])


def test_executions_move_an_order_and_never_back() -> None:
    foreign = replace(fill("f9"), client_id="c9")
    after = executed(order(), [fill("f1"), fill("f2", 20), fill("f1"), foreign])
    assert (after.state, after.filled) == (S.PARTIALLY_FILLED, 30)
    assert executed(order(), [fill("f1", 60), fill("f2", 40)]).state is S.FILLED
    ahead = order(S.PARTIALLY_FILLED, filled=50)
    assert executed(ahead, [fill("f1")]) == ahead
    assert executed(order(), []) == order()
    assert executed(order(), [fill("f1", 110)], quantity=120).quantity == 120


@pytest.mark.parametrize("change", [{"symbol": "B"}, {"side": Side.SELL}])
def test_an_execution_of_something_else_is_not_the_orders(change: dict[str, Any]) -> None:
    with pytest.raises(CheckFailed, match="can't be of order"):
        executed(order(), [replace(fill("f1"), **change)])


# --- random histories -------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Report], int, OrderState]:
    """Reports of one true life in their true order, the units it filled, and how it ended."""
    pieces = draw(st.lists(st.integers(1, 30), max_size=3))
    cumulative = [sum(pieces[: i + 1]) for i in range(len(pieces))]
    done = sum(pieces)
    reports = [told(S.SUBMITTED), told(S.ACCEPTED)]
    reports += [told(S.PARTIALLY_FILLED, units) for units in cumulative]
    if draw(st.booleans()):
        at = draw(st.integers(1, len(reports)))
        reports.insert(at, told(S.UNKNOWN, reports[at - 1].filled))
    ends = [S.CANCELLED, S.EXPIRED] + ([S.REJECTED] if not pieces else [])
    end = draw(st.sampled_from([*ends, S.FILLED]))
    if end is S.FILLED:
        return [*reports, told(end, 100)], 100, end
    reports.append(told(end, done))
    if end is not S.REJECTED and draw(st.booleans()):
        done += draw(st.integers(1, 100 - done))
        late = draw(st.sampled_from([end, S.PARTIALLY_FILLED]))
        reports.append(told(late, done))
    return reports, done, end


@given(history=histories(), data=st.data())
def test_whatever_the_order_of_reports_the_truth_comes_out(
    history: tuple[list[Report], int, OrderState], data: st.DataObject
) -> None:
    reports, done, end = history
    twice = data.draw(st.lists(st.sampled_from(reports), max_size=6))
    known = order()
    for report in data.draw(st.permutations([*reports, *twice])):
        after = advance(known, report)
        assert advance(after, report) == after
        assert known.filled <= after.filled <= after.quantity == 100
        assert known.state.open or after.state is known.state
        assert legal(known.state, after.state)
        assert after.state is not S.REJECTED or after.refusals
        assert (after.state is S.FILLED) <= (after.left == 0)
        known = rebuilt(after) if data.draw(st.booleans()) else after
    assert known.filled == done
    # All units filled before the cancel was told: filled is as true.
    assert known.state is end or (known.state is S.FILLED and done == 100)


@given(
    quantities=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    prices=st.lists(st.integers(1, 10**6), min_size=6, max_size=6),
    data=st.data(),
)
def test_cash_and_shares_are_conserved_whatever_is_told_twice(
    quantities: list[int], prices: list[int], data: st.DataObject
) -> None:
    fills = [fill(f"f{i}", q, price=prices[i], commission=i) for i, q in enumerate(quantities)]
    repeated = data.draw(st.permutations(fills + data.draw(st.lists(st.sampled_from(fills)))))
    cuts = data.draw(st.integers(0, len(repeated)))
    book, booked, known = Book(cash=10**9), dict[str, Fill](), order(quantity=200)
    for batch in (repeated[:cuts], repeated[cuts:]):
        for one in unseen(booked, batch):
            booked[one.fill_id] = one
            book, _ = apply_fill(book, one, atr=1.0, multiplier=1, decision_id="d1", at="t")
        known = executed(known, booked.values())
        kept = plain(list(booked.values()))
        booked = {f.fill_id: f for f in TypeAdapter(list[Fill]).validate_python(kept)}
    paid = sum(f.price * f.quantity + f.commission for f in fills)
    assert book.cash == 10**9 - paid
    assert book.positions["A"].quantity == known.filled == sum(quantities)
