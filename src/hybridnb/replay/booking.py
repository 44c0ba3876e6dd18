"""Booking fills: cash, positions and their two legs, one row for everything that happened.

The same events in the same order as the session's desk books and records them.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

import numpy as np

from hybridnb.book import part_of
from hybridnb.costs import commission, latency_draw, slippage_bps, slipped
from hybridnb.domain import Leg, OrderState
from hybridnb.fills import LEG, NO_LIMIT, STOP, TARGET, fillable
from hybridnb.limits import loop_form
from hybridnb.replay.tape import (
    ADV,
    ATR,
    CASH,
    CLOSED,
    DAILY_VOLATILITY,
    HISTORY,
    PRICE,
    REALISED,
    SIP_CARRY,
    SIP_UNITS,
    WIDTH,
    Ints,
    World,
)
from hybridnb.stops import levels, tighter

ENTRY, EXIT, FLATTEN, SWEEP = LEG[Leg.ENTRY], LEG[Leg.EXIT], LEG[Leg.FLATTEN], LEG[Leg.SWEEP]
_STATES = list(OrderState)
ACCEPTED, PARTIAL, FILLED = (
    _STATES.index(OrderState[name]) for name in ("ACCEPTED", "PARTIALLY_FILLED", "FILLED")
)
CANCELLED, REJECTED, EXPIRED = (
    _STATES.index(OrderState[name]) for name in ("CANCELLED", "REJECTED", "EXPIRED")
)
ORDERS, FILLS, TRADES = range(3)
ROW = Struct(f"{WIDTH}q")  # as memory holds a row
UNPRICED = UNFILLED = 0  # a market order's price; what an order has filled at first
BUY = 1


def put(rows: Any, count: Ints, kind: int, values: tuple[int, ...]) -> None:
    """Write the next row of a log."""
    at = count[kind]
    ROW.pack_into(rows, ROW.size * at, *values)
    count[kind] = at + 1


def _put_loop(rows: Ints, count: Ints, kind: int, values: tuple[int, ...]) -> None:
    for c in range(WIDTH):
        rows[count[kind], c] = values[c]
    count[kind] += 1


loop_form(put, _put_loop)


def tell(
    w: World,
    t: int,
    j: int,
    leg: int,
    *,
    sign: int,
    quantity: int,
    filled: int,
    price: int,
    state: int,
) -> None:
    """Record an order of a name as it stands now."""
    put(w.orders, w.written, ORDERS, (t, j, leg, sign, quantity, filled, price, state, 0))


def make_room(w: World, t: int) -> None:
    """Set what session t's bars fill of each name."""
    volume = w.volume[t]
    most = (w.rates.participation * volume).astype(np.int64)
    w.room[:] = np.where(volume < 0, NO_LIMIT, most)


def _make_room_loop(w: World, t: int) -> None:
    volume, participation = w.volume[t], w.rates.participation
    for j in range(len(volume)):
        w.room[j] = fillable(volume[j], participation, 0)


loop_form(make_room, _make_room_loop)


def execute(w: World, t: int, j: int, leg: int, *, sign: int, left: int, reference: int) -> int:
    """Fill what the bar allows of an order at a reference price; the units."""
    rates, room = w.rates, w.room[j]
    quantity: int = min(left, room)
    if quantity <= 0:
        return 0
    w.room[j] = room - quantity
    multiplier, price = w.multiplier[j], reference
    if leg != TARGET:
        bps = slippage_bps(
            rates,
            w.bucket[j],
            quantity=quantity,
            adv_units=_adv_units(w, t - 1, j),
            daily_volatility=w.facts[t - 1, j, DAILY_VOLATILITY],
            draw=latency_draw(w.key[j], w.days[t]),
        )
        price = slipped(reference, sign, bps)
    fee = commission(rates, quantity=quantity, price=price * multiplier)
    slippage = abs(price - reference) * quantity * multiplier
    row = (t, j, leg, sign, quantity, price, reference, fee, slippage)
    put(w.fills, w.written, FILLS, row)
    return quantity


def _adv_units(w: World, seen: int, j: int) -> float:
    close = w.facts[seen, j, PRICE]
    return float(w.facts[seen, j, ADV] / close) if close > 0.0 else 0.0


def book(w: World, t: int, k: int) -> None:
    """Book row k of the fills."""
    fills = w.fills
    j, leg, sign = fills[k, 1], fills[k, 2], fills[k, 3]
    quantity, price, fee = fills[k, 4], fills[k, 5], fills[k, 7]
    value = price * quantity * w.multiplier[j]
    w.money[CASH] -= sign * value + fee
    if leg == SWEEP:
        w.money[SIP_UNITS] += quantity
        w.money[SIP_CARRY] -= value + fee
    elif leg == ENTRY:
        _enter(w, t, j, sign=sign, quantity=quantity, value=value, price=price)
        w.fees[j] += fee
    else:
        _reduce(w, t, j, leg, closed=quantity, price=price, value=value, fee=fee)


def _enter(w: World, t: int, j: int, *, sign: int, quantity: int, value: int, price: int) -> None:
    held, cost, stop = w.quantity[j], w.cost[j], w.stop[j]
    if held == 0:
        w.entry_atr[j] = w.facts[t - 1, j, ATR]
        w.best[j] = price
        cost = stop = w.fees[j] = w.stop_filled[j] = w.target_filled[j] = 0
    held, cost = held + sign * quantity, cost + sign * value
    w.quantity[j], w.cost[j] = held, cost
    entry = cost / (held * w.multiplier[j])
    first, w.target[j] = levels(w.stops, entry, w.entry_atr[j], sign, w.tick[j])
    w.stop[j] = tighter(first, stop, sign)
    w.moved[j] = 1
    tell_legs(w, t, j, ACCEPTED)


def tell_legs(w: World, t: int, j: int, state: int) -> None:
    """Record both legs of a position, of its full size."""
    tell_leg(w, t, j, STOP, state=state)
    tell_leg(w, t, j, TARGET, state=state)


def tell_leg(w: World, t: int, j: int, leg: int, *, state: int) -> None:
    """Record the stop or the target of a position, of its full size."""
    held = w.quantity[j]
    filled = w.stop_filled[j] if leg == STOP else w.target_filled[j]
    price = w.stop[j] if leg == STOP else w.target[j]
    sign, size = -1 if held > 0 else 1, abs(held) + filled
    put(w.orders, w.written, ORDERS, (t, j, leg, sign, size, filled, price, state, 0))


def _reduce(
    w: World, t: int, j: int, leg: int, *, closed: int, price: int, value: int, fee: int
) -> None:
    held, basis = w.quantity[j], w.cost[j]
    sign, whole = 1 if held > 0 else -1, abs(held)
    cost, fees = part_of(basis, closed, whole), part_of(w.fees[j], closed, whole)
    pnl = sign * value - cost - fees - fee
    _remember(w, t, (j, leg, pnl))
    row = (t, j, leg, sign, closed, basis, held, price, pnl)
    put(w.trades, w.written, TRADES, row)
    if closed == whole:
        _close(w, t, j, leg)
        return
    w.quantity[j] -= sign * closed
    w.cost[j] -= cost
    w.fees[j] -= fees
    tell_legs(w, t, j, ACCEPTED)


def _close(w: World, t: int, j: int, leg: int) -> None:
    """The position is gone: withdraw what is left of its legs and of an exit at work."""
    if leg != STOP:
        tell_leg(w, t, j, STOP, state=CANCELLED)
    if leg != TARGET:
        tell_leg(w, t, j, TARGET, state=CANCELLED)
    if w.leaving[j]:
        tell_exit(w, t, j, CANCELLED)
        w.leaving[j] = 0
    w.quantity[j] = w.cost[j] = w.fees[j] = 0


def _remember(w: World, t: int, trade: tuple[int, int, int]) -> None:
    at = w.risk[CLOSED] % HISTORY
    w.closed[at, 0] = w.ordinals[t]
    for c in range(3):
        w.closed[at, c + 1] = trade[c]
    w.risk[CLOSED] += 1
    w.money[REALISED] += trade[2]


def submit_exit(w: World, t: int, j: int, leg: int) -> None:
    """Accept a market order that closes a whole position."""
    units = abs(w.quantity[j])
    w.leaving[j], w.exit_quantity[j], w.exit_filled[j] = leg, units, 0
    w.queue[w.queue[-1]] = j
    w.queue[-1] += 1
    tell_exit(w, t, j, ACCEPTED)


def tell_exit(w: World, t: int, j: int, state: int) -> None:
    """Record the market exit at work on a position."""
    sign, leg = -1 if w.quantity[j] > 0 else 1, w.leaving[j]
    units, filled = w.exit_quantity[j], w.exit_filled[j]
    tell(w, t, j, leg, sign=sign, quantity=units, filled=filled, price=UNPRICED, state=state)


def held_names(w: World) -> Ints:
    """Names with a position, in the symbols' order."""
    return np.flatnonzero(w.quantity)


def _held_names_loop(w: World) -> Ints:
    n, quantity, found = 0, w.quantity, w.found
    for j in range(len(quantity)):
        found[n] = j
        n += quantity[j] != 0
    return found[:n]


loop_form(held_names, _held_names_loop)
