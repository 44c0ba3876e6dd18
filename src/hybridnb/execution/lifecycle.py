"""The life of an order: which states may follow which, and what a broker's report makes of it.

Reports come late, twice and out of order. `filled` is cumulative, so that the greatest figure
ever reported is the truth; a state that is final stays. A timeout is no answer: an `unknown`
order is in flight until it is reconciled, or until its end is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from hybridnb.domain import Fill, Order, OrderState, Refusal, refusal_names
from hybridnb.errors import CheckFailed, Refused

# How far along its life an order is; a report of an earlier stage is out of order. An unknown
# order has no stage: it may be anywhere.
_STAGE = {
    OrderState.CREATED: 0,
    OrderState.SUBMITTED: 1,
    OrderState.ACCEPTED: 2,
    OrderState.PARTIALLY_FILLED: 3,
    OrderState.FILLED: 4,
    OrderState.CANCELLED: 4,
    OrderState.REJECTED: 4,
    OrderState.EXPIRED: 4,
}
REJECTED, FILLED = OrderState.REJECTED, OrderState.FILLED
_IN_FLIGHT = (OrderState.SUBMITTED, OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)


@dataclass(frozen=True, slots=True)
class Report:
    """What a broker says of one order.

    Attributes
    ----------
    filled : int
        Cumulative units.
    quantity : int or None
        Units the broker works in all, where it says so. Only read when more is filled than our
        last amendment left: the fills that raced it are facts.
    refusals : tuple of str
        Names of `Refusal` where the broker rejected with codes of ours.
    reconciled : bool
        The report comes from a statement that was asked for, so that it settles an unknown
        order; any other report settles it only with a final state.
    """

    client_id: str
    state: OrderState
    filled: int
    note: str = ""
    quantity: int | None = None
    refusals: tuple[str, ...] = ()
    reconciled: bool = False


def report_of(order: Order, *, reconciled: bool = False) -> Report:
    """The report that an order, as a broker's port returned it, amounts to."""
    return Report(
        client_id=order.client_id,
        state=order.state,
        filled=order.filled,
        note=order.note,
        quantity=order.quantity,
        refusals=order.refusals,
        reconciled=reconciled,
    )


def legal(before: OrderState, after: OrderState) -> bool:
    """True where an order may go from one state to another in one step.

    Forward steps may skip stages, since reports get lost; final states have no way out; only
    an order in flight can become unknown, and an unknown one becomes anything but new.
    """
    if before is after:
        return True
    if not before.open:
        return False
    if after is OrderState.UNKNOWN:
        return before in _IN_FLIGHT
    if before is OrderState.UNKNOWN:
        return after is not OrderState.CREATED
    return _STAGE[after] > _STAGE[before]


def advance(order: Order, report: Report) -> Order:
    """The order after a broker's report.

    Parameters
    ----------
    order : Order
        What is known so far.
    report : Report
        A duplicate or an out-of-order one changes nothing but a greater `filled`.

    Returns
    -------
    Order
        `filled` never smaller than before, never above `quantity`. A final state never opens
        again: a fill that is reported after a cancel or an expiry is counted and the state
        stays. A rejected order has at least one refusal.

    Raises
    ------
    CheckFailed
        When the report can't be true of this order: another client id, fills that are no
        number (NaN too), below zero or beyond the quantity, `filled` with less than the
        quantity, a rejected order that traded, or an unsent one that is in flight.
    """
    _check(order, report)
    filled = max(order.filled, report.filled)
    quantity = order.quantity
    if filled > quantity:
        quantity = report.quantity or 0
        if filled > quantity:
            _impossible(order, report, "more is filled than was ordered")
    state = _next(order, report, whole=0 < filled == quantity)
    if state is REJECTED and filled:
        _impossible(order, report, "a rejected order can't have traded")
    if (state, filled) == (order.state, order.filled):
        return order
    if state is FILLED:  # it may have ended before an amendment of ours reached it
        quantity = filled
    refusals = order.refusals
    if state is REJECTED:
        refusals = report.refusals or refusals or refusal_names(Refusal.VENUE)
    return replace(
        order,
        state=state,
        filled=filled,
        quantity=quantity,
        refusals=refusals,
        note=report.note or order.note,
    )


def _check(order: Order, report: Report) -> None:
    if report.client_id != order.client_id:
        _impossible(order, report, "the report is about another order")
    if type(report.filled) is not int or report.filled < 0:
        _impossible(order, report, "what is filled is a whole number from zero up")
    if report.state is OrderState.PARTIALLY_FILLED and not report.filled:
        _impossible(order, report, "it can't be partially filled with nothing filled")
    whole = order.quantity if report.quantity is None else min(order.quantity, report.quantity)
    if report.state is FILLED and report.filled < max(whole, order.filled):
        _impossible(order, report, "it can't be filled with units left")
    if not order.state.open and not report.state.open:
        # One of two final states may be late, but an order that traded was never rejected,
        # and one that was rejected can't have been anything else.
        if (order.state is REJECTED) is not (report.state is REJECTED):
            _impossible(order, report, "a rejected order has no other end")
    elif report.state is OrderState.UNKNOWN and order.state is OrderState.CREATED:
        _impossible(order, report, "an order that wasn't sent can't be in flight")


def _next(order: Order, report: Report, *, whole: bool) -> OrderState:
    """The state after a report that can be true; `whole`: nothing is left to fill."""
    if not order.state.open:
        return order.state
    if not report.state.open and report.state is not FILLED:
        return report.state
    if whole:
        return FILLED
    settles = order.state is not OrderState.UNKNOWN or report.reconciled
    state = report.state if settles and legal(order.state, report.state) else order.state
    traded = max(order.filled, report.filled) > 0
    if traded and state in (OrderState.CREATED, OrderState.SUBMITTED, OrderState.ACCEPTED):
        return OrderState.PARTIALLY_FILLED
    return state


def _impossible(order: Order, report: Report, why: str) -> NoReturn:
    told = f"{report.state} with {report.filled} filled"
    known = f"{order.state} with {order.filled} of {order.quantity} filled"
    details: dict[str, Any] = {
        "client_id": order.client_id,
        "known": {"state": order.state, "filled": order.filled, "quantity": order.quantity},
        "reported": {"state": report.state, "filled": report.filled, "note": report.note},
    }
    raise CheckFailed(
        f"order {order.client_id}: reported {told}, known {known}: {why}",
        remedy="Reconcile with the broker before anything else is sent.",
        details=details,
    )


def refused(order: Order, bits: int) -> Order:
    """An order that is never sent: rejected, with the names of all refusals.

    Numbers that no record can hold (NaN, infinity, fractions) leave their fields for the note.
    """
    wrong = {
        name: value
        for name in ("quantity", "filled", "limit", "stop")
        if type(value := getattr(order, name)) is not int and value is not None
    }
    blank: dict[str, Any] = {n: 0 if n in ("quantity", "filled") else None for n in wrong}
    told = ", ".join(f"{name} = {value!r}" for name, value in wrong.items())
    return replace(
        order,
        state=REJECTED,
        refusals=(*order.refusals, *refusal_names(bits)),
        note=f"{order.note} {told}".strip(),
        **blank,
    )


def amended(order: Order, *, left: int, limit: int | None = None, stop: int | None = None) -> Order:
    """A working order with another quantity still to fill and other prices.

    Raises
    ------
    Refused
        When the order is final, or nothing would be left: that is a cancel.
    """
    if not order.state.open:
        raise Refused(f"order {order.client_id} is {order.state}: nothing of it can be amended")
    if left <= 0:
        raise Refused(
            f"order {order.client_id}: {left} units left to fill", remedy="Cancel the order."
        )
    return replace(order, quantity=order.filled + left, limit=limit, stop=stop)


def unseen(known: Mapping[str, Fill], fills: Iterable[Fill]) -> tuple[Fill, ...]:
    """Fills that weren't booked yet, each once, in the order they came.

    Parameters
    ----------
    known : mapping of str to Fill
        Booked fills by `fill_id`.

    Raises
    ------
    CheckFailed
        When an id returns with another order, side, quantity or price: no duplicate, but two
        executions under one name. Costs may be told later and are not compared.
    """
    fresh: dict[str, Fill] = {}
    for fill in fills:
        first = known.get(fill.fill_id) or fresh.get(fill.fill_id)
        if first is None:
            fresh[fill.fill_id] = fill
        elif _execution(first) != _execution(fill):
            raise CheckFailed(
                f"fill {fill.fill_id} came twice, with different contents",
                remedy="Reconcile with the broker before anything else is sent.",
                details={"first": _execution(first), "second": _execution(fill)},
            )
    return tuple(fresh.values())


def _execution(fill: Fill) -> tuple[str, str, str, int, int]:
    return fill.client_id, fill.symbol, fill.side, fill.quantity, fill.price


def executed(order: Order, fills: Iterable[Fill], *, quantity: int | None = None) -> Order:
    """The order after its executions: all that are known of it, duplicates among them or not.

    Its `filled` is at least the sum of the distinct fills, and stays above it where a report
    ran ahead of them. `quantity` is read as in `Report`.

    Raises
    ------
    CheckFailed
        As `advance`, and for a fill of another symbol or on the other side.
    """
    mine = [f for f in unseen({}, fills) if f.client_id == order.client_id]
    for fill in mine:
        if (fill.symbol, fill.side) != (order.symbol, order.side):
            raise CheckFailed(
                f"fill {fill.fill_id}: {fill.side} {fill.symbol} can't be of order "
                f"{order.client_id}: {order.side} {order.symbol}",
                remedy="Reconcile with the broker before anything else is sent.",
            )
    filled = sum(fill.quantity for fill in mine)
    if not filled:
        return order
    state = OrderState.PARTIALLY_FILLED
    return advance(order, Report(order.client_id, state, filled, quantity=quantity))
