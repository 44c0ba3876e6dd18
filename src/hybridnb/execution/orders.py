"""From a decision to an order: exact quantities and deterministic client ids."""

from __future__ import annotations

import functools

from hybridnb.canonical import sha256
from hybridnb.domain import (
    SCALE,
    Action,
    Instrument,
    Leg,
    Order,
    OrderState,
    OrderType,
    Position,
    Side,
)
from hybridnb.sizing import whole_lots
from hybridnb.values import replace


@functools.lru_cache(maxsize=1 << 16)  # a leg's id is asked for again at every fill
def client_id(session: str, decision_id: str, leg: Leg) -> str:
    """An order's id from (session, decision, leg): a retry or a restart can't place it twice."""
    return f"{session}-{leg}-{sha256([session, decision_id, leg])[:12]}"


def from_decision(
    *,
    session: str,
    decision_id: str,
    symbol: str,
    action: Action,
    target: float,
    refusals: int,
    equity: int,
    price: int,
    instrument: Instrument,
    position: Position | None,
    min_value: float,
) -> Order | None:
    """The order a decision asks for, if any.

    Parameters
    ----------
    target : float
        Signed share of equity to hold; 0 closes.
    refusals : int
        Bits of `Refusal` of the decision.
    min_value : float
        Account units below which it is no order.

    Returns
    -------
    Order or None
        None for HOLD, where the decision's entry was refused, where the position is at its
        target already, and below the minimum.
    """
    held = position.quantity if position else 0
    if action is Action.HOLD:
        return None
    side = Side.BUY if action is Action.BUY else Side.SELL
    if held * side.sign < 0:
        return _market(session, decision_id, symbol, side, abs(held), Leg.EXIT)
    if refusals:
        return None
    units = whole_lots(
        abs(target),
        equity=equity,
        price=price,
        delta=instrument.delta,
        multiplier=instrument.multiplier,
        lot=instrument.lot,
    )
    quantity = units - abs(held)
    if quantity * price * instrument.multiplier < max(1.0, min_value * SCALE):
        return None
    return _market(session, decision_id, symbol, side, quantity, Leg.ENTRY)


def flatten(session: str, position: Position) -> Order:
    """A market order that closes a whole position, whatever the decision was."""
    side = Side.SELL if position.quantity > 0 else Side.BUY
    quantity = abs(position.quantity)
    return _market(session, position.decision_id, position.symbol, side, quantity, Leg.FLATTEN)


def another(order: Order, tries: int) -> Order:
    """The same order for its n-th try, under an id of its own; the first keeps the one it has.

    An id whose order has ended is never used again: a venue would take it for a duplicate.
    """
    if tries <= 1:
        return order
    session = order.client_id.partition(f"-{order.leg}-")[0]
    name = client_id(session, f"{order.decision_id}~{tries}", order.leg)
    return replace(order, client_id=name)


def sweep(session: str, symbol: str, quantity: int) -> Order:
    """The end-of-day purchase of whole SIP units."""
    return _market(session, f"sip-{session}", symbol, Side.BUY, quantity, Leg.SWEEP)


def _market(
    session: str, decision_id: str, symbol: str, side: Side, quantity: int, leg: Leg
) -> Order:
    return Order(
        client_id=client_id(session, decision_id, leg),
        symbol=symbol,
        side=side,
        quantity=quantity,
        type=OrderType.MARKET,
        leg=leg,
        state=OrderState.CREATED,
        decision_id=decision_id,
    )
