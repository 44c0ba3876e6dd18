"""The brackets the control plane owns: one stop and one target for the whole of each position.

After every fill both legs are re-sized and re-priced in one step, so that the stop's quantity
is the position's, always; when one leg fills in part the other shrinks with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hybridnb.domain import Fill, Leg, Order, OrderState, OrderType, Position, Side
from hybridnb.execution.orders import client_id

_LEGS = (Leg.STOP, Leg.TARGET)


def legs(position: Position) -> tuple[Order, Order]:
    """The protective orders a position must have: its stop and its target, of its full size."""
    side = Side.SELL if position.quantity > 0 else Side.BUY
    stop = _leg(position, side, Leg.STOP, OrderType.STOP)
    target = _leg(position, side, Leg.TARGET, OrderType.LIMIT)
    return stop, target


def _leg(position: Position, side: Side, leg: Leg, kind: OrderType) -> Order:
    return Order(
        client_id=client_id(position.opened, position.decision_id, leg),
        symbol=position.symbol,
        side=side,
        quantity=abs(position.quantity),
        type=kind,
        leg=leg,
        state=OrderState.CREATED,
        decision_id=position.decision_id,
        limit=position.target if kind is OrderType.LIMIT else None,
        stop=position.stop if kind is OrderType.STOP else None,
    )


def standing(position: Position, working: Iterable[Order], *, tick: int) -> bool:
    """Whether both legs rest already as `legs` asks for them, so that amending changes nothing.

    Parameters
    ----------
    working : iterable of Order
        The symbol's.
    tick : int
        Of the instrument, now: a level off it would be refused.
    """
    size, found = abs(position.quantity), 0
    for order in working:
        if order.leg is Leg.STOP:
            level, price = position.stop, order.stop
        elif order.leg is Leg.TARGET:
            level, price = position.target, order.limit
        else:
            continue
        same = price == level and order.left == size and level % tick == 0
        if not same or order.state is not OrderState.ACCEPTED or order.refusals:
            return False
        if order.client_id != client_id(position.opened, position.decision_id, order.leg):
            return False
        found += 1
    return found == len(_LEGS)


def is_alone(symbol: str, fills: Iterable[Fill]) -> bool:
    """Whether a leg has filled since the last entry, so that a rule may have ended the target.

    Parameters
    ----------
    fills : iterable of Fill
        Those of the book, oldest first. An entry places both legs anew.
    """
    kinds = [f.leg for f in fills if f.symbol == symbol and f.leg in (*_LEGS, Leg.ENTRY)]
    return bool(kinds) and kinds[-1] in _LEGS


def unprotected(positions: Mapping[str, Position], working: Iterable[Order]) -> dict[str, int]:
    """Units of each position that no live stop covers; empty when the invariant holds."""
    covered: dict[str, int] = {}
    for order in working:
        if order.leg is Leg.STOP and order.state.open:
            covered[order.symbol] = covered.get(order.symbol, 0) + order.left
    return {
        symbol: abs(position.quantity) - covered.get(symbol, 0)
        for symbol, position in positions.items()
        if covered.get(symbol, 0) != abs(position.quantity)
    }
