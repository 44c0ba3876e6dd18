"""The book: cash, positions and the SIP holding, changed by fills alone.

Everything is an exact integer, so that cash and shares are conserved to the last 1/10,000: the
sum of all fills' values and costs is the change of cash, always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hybridnb.domain import Fill, Leg, Position, Side
from hybridnb.values import replace


@dataclass(frozen=True, slots=True)
class Book:
    """An account at one moment; money in 1/10,000.

    `sip_units` are kept apart from the trading book; `sip_carry` is accrued and not yet spent.
    """

    cash: int
    positions: Mapping[str, Position] = field(default_factory=dict)
    sip_units: int = 0
    sip_carry: int = 0


@dataclass(frozen=True, slots=True)
class Closing:
    """What a reducing fill realised: `pnl` net of all fees of the closed part, in 1/10,000."""

    position: Position
    quantity: int
    exit_price: int
    pnl: int


def apply_fill(
    book: Book, fill: Fill, *, atr: float, multiplier: int, decision_id: str, at: str
) -> tuple[Book, Closing | None]:
    """Book one fill.

    Parameters
    ----------
    fill : Fill
        Its price includes slippage; its commission is charged to cash.
    atr : float
        In account units, kept in the position that an entry opens or adds to.
    multiplier : int
        Units of the underlying a contract stands for.

    Returns
    -------
    tuple
        The new book, and what was realised when the fill reduced a position.

    Raises
    ------
    ValueError
        When an exit exceeds the position: a broken program, never a market event.
    """
    value = fill.price * fill.quantity * multiplier
    cash = book.cash - fill.side.sign * value - fill.commission
    if fill.leg is Leg.SWEEP:
        return replace(
            book,
            cash=cash,
            sip_units=book.sip_units + fill.quantity,
            sip_carry=book.sip_carry - value - fill.commission,
        ), None
    held = book.positions.get(fill.symbol)
    if fill.leg is Leg.ENTRY:
        position = _entered(
            held, fill, atr=atr, multiplier=multiplier, decision_id=decision_id, at=at
        )
        return replace(book, cash=cash, positions={**book.positions, fill.symbol: position}), None
    if held is None or fill.quantity > abs(held.quantity) or _side(held) is fill.side:
        raise ValueError(f"exit of {fill.quantity} {fill.symbol} exceeds the position {held}")
    left, closing = _reduced(held, fill, multiplier)
    positions = {**book.positions}
    del positions[fill.symbol]
    if left is not None:
        positions[fill.symbol] = left
    return replace(book, cash=cash, positions=positions), closing


def _side(position: Position) -> Side:
    return Side.BUY if position.quantity > 0 else Side.SELL


def _entered(
    held: Position | None, fill: Fill, *, atr: float, multiplier: int, decision_id: str, at: str
) -> Position:
    signed = fill.side.sign * fill.quantity
    cost = fill.price * signed * multiplier
    if held is None:
        return Position(
            symbol=fill.symbol,
            quantity=signed,
            cost=cost,
            multiplier=multiplier,
            atr=atr,
            stop=0,
            target=0,
            best=fill.price,
            decision_id=decision_id,
            opened=at,
            fees=fill.commission,
        )
    if held.quantity * signed < 0:
        raise ValueError(f"entry of {fill.symbol} against its open position")
    return replace(
        held,
        quantity=held.quantity + signed,
        cost=held.cost + cost,
        fees=held.fees + fill.commission,
    )


def _reduced(held: Position, fill: Fill, multiplier: int) -> tuple[Position | None, Closing]:
    closed, whole = fill.quantity, abs(held.quantity)
    cost = part_of(held.cost, closed, whole)
    fees = part_of(held.fees, closed, whole)
    sign = 1 if held.quantity > 0 else -1
    pnl = sign * fill.price * closed * multiplier - cost - fees - fill.commission
    closing = Closing(held, closed, fill.price, pnl)
    if closed == whole:
        return None, closing
    left = replace(
        held, quantity=held.quantity - sign * closed, cost=held.cost - cost, fees=held.fees - fees
    )
    return left, closing


def part_of(amount: int, closed: int, whole: int) -> int:
    """`amount × closed // whole`, without a product that 64 bits couldn't hold.

    The remainder stays with the part still held: nothing is lost.
    """
    return amount // whole * closed + amount % whole * closed // whole


def equity(book: Book, prices: Mapping[str, int], sip_price: int | None = None) -> int:
    """Cash, positions and SIP units at the prices given, in 1/10,000.

    Raises
    ------
    KeyError
        When a held symbol has no price: equity that can't be computed must not be guessed.
    """
    held = sum(p.quantity * p.multiplier * prices[s] for s, p in book.positions.items())
    if book.sip_units:
        if sip_price is None:
            raise KeyError("no price for the SIP holding")
        held += book.sip_units * sip_price
    return book.cash + held
