"""Start-up: our book against the broker's statement, before anything is sent.

What a restart explains is taken over: executions that weren't booked, orders that ended or never
arrived. What nothing explains is a difference, and a difference needs a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hybridnb.domain import Fill, Leg, Order, OrderState, Position
from hybridnb.execution.lifecycle import unseen
from hybridnb.ports import Statement

PRICE_TOLERANCE = 1e-4  # of the average price
REMEDY = (
    "Compare both accounts. Undo at the broker what nobody here decided (cancel the order, close"
    " the position), then start again; or take the broker's account over with"
    " `hybridnb adopt --broker NAME --reason TEXT`."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the book and the broker differ: `what` is quantity, price, cash, order or fill."""

    what: str
    symbol: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.what} of {self.symbol}: ours {self.ours}, the broker's {self.theirs}"


@dataclass(frozen=True, slots=True)
class Arrears:
    """What happened while nobody listened.

    Attributes
    ----------
    fills : tuple of Fill
        Executions of our orders that weren't booked, oldest first.
    orders : tuple of Order
        Our orders as they stand now, where that is news: adopted, ended, filled.
    lost : tuple of Order
        Orders that were meant to be sent and never arrived.
    foreign : tuple of Difference
        Orders and executions that aren't ours.
    """

    fills: tuple[Fill, ...]
    orders: tuple[Order, ...]
    lost: tuple[Order, ...]
    foreign: tuple[Difference, ...]


def arrears(
    known: Mapping[str, Order], booked: Mapping[str, Fill], statement: Statement
) -> Arrears:
    """Compare orders and executions with a statement.

    Parameters
    ----------
    known : mapping of str to Order
        Every order of the book by client id.
    booked : mapping of str to Fill
        Every fill booked, by fill id.
    """
    mine = [f for f in statement.fills if f.client_id in known]
    fresh = tuple(replace(f, leg=known[f.client_id].leg) for f in unseen(booked, mine))
    filled: dict[str, int] = {}
    for fill in [*booked.values(), *fresh]:
        filled[fill.client_id] = filled.get(fill.client_id, 0) + fill.quantity
    theirs = {order.client_id: order for order in statement.orders}
    changed, lost = [], []
    for order in known.values():
        if not order.state.open:
            continue
        now = _now(order, theirs.get(order.client_id), filled.get(order.client_id, 0))
        if now is None:
            lost.append(order)
        elif now != order:
            changed.append(now)
    return Arrears(fresh, tuple(changed), tuple(lost), _foreign(known, booked, statement))


def _now(order: Order, theirs: Order | None, filled: int) -> Order | None:
    """An open order of ours as the statement has it; None for one that never arrived."""
    if theirs is not None:
        state = OrderState.PARTIALLY_FILLED if filled else OrderState.ACCEPTED
        quantity = max(filled + theirs.left, filled)
        return replace(
            order,
            state=state,
            filled=filled,
            quantity=quantity,
            limit=theirs.limit,
            stop=theirs.stop,
        )
    if filled >= order.quantity:
        return replace(order, state=OrderState.FILLED, filled=filled, quantity=filled)
    if filled or order.state in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED):
        # The venue had it, and it is neither open nor whole: it ended without us.
        return replace(order, state=OrderState.CANCELLED, filled=filled)
    return None


def _foreign(
    known: Mapping[str, Order], booked: Mapping[str, Fill], statement: Statement
) -> tuple[Difference, ...]:
    found = [
        Difference("order", o.symbol, "none", f"{o.client_id}: {o.side} {o.left}")
        for o in statement.orders
        if o.client_id not in known
    ]
    strangers = (f for f in statement.fills if f.client_id not in known)
    found += [
        Difference("fill", f.symbol, "none", f"{f.fill_id}: {f.side} {f.quantity}")
        for f in strangers
        if f.fill_id not in booked
    ]
    return tuple(found)


def differences(
    positions: Mapping[str, Position], statement: Statement, *, ignore: Iterable[str] = ()
) -> Sequence[Difference]:
    """Where positions and a statement differ, after the arrears were booked.

    Parameters
    ----------
    positions : mapping of str to Position
    ignore : iterable of str
        Symbols kept apart from the trading book.

    Returns
    -------
    sequence of Difference
        Quantities that aren't equal; average prices more than 0.01 % apart.
    """
    skipped = set(ignore)
    found = []
    for symbol in sorted({*positions, *statement.holdings} - skipped):
        ours, theirs = positions.get(symbol), statement.holdings.get(symbol)
        held = ours.quantity if ours else 0
        there = theirs.quantity if theirs else 0
        if held != there:
            found.append(Difference("quantity", symbol, str(held), str(there)))
        elif ours and theirs and theirs.price == theirs.price:
            entry = ours.entry
            if abs(theirs.price - entry) > PRICE_TOLERANCE * abs(entry):
                found.append(
                    Difference("price", symbol, f"{entry / 1e4:.4f}", f"{theirs.price / 1e4:.4f}")
                )
    return found


def uncovered(positions: Mapping[str, Position], working: Iterable[Order]) -> set[str]:
    """Symbols whose position lacks a live stop of its full size at the broker."""
    stops: dict[str, int] = {}
    for order in working:
        if order.leg is Leg.STOP and order.state.open:
            stops[order.symbol] = stops.get(order.symbol, 0) + order.left
    return {s for s, p in positions.items() if stops.get(s, 0) != abs(p.quantity)}
