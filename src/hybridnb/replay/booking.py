"""Booking fills: cash, positions and their two legs, one row for everything that happened.

The same events in the same order as the session's desk books and records them.
"""

from __future__ import annotations

import numpy as np

from hybridnb.book import part_of
from hybridnb.costs import commission, latency_draw, slippage_bps, slipped
from hybridnb.domain import Leg, OrderState
from hybridnb.fills import LEG, STOP, TARGET, Prices, most_fillable
from hybridnb.limits import loop_form
from hybridnb.replay.tape import (
    CASH,
    CLOSED,
    HISTORY,
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


def put(rows: Ints, count: Ints, kind: int, values: tuple[int, ...]) -> None:
    """Write the next row of a log."""
    rows[count[kind]] = values
    count[kind] += 1


def _put_loop(rows: Ints, count: Ints, kind: int, values: tuple[int, ...]) -> None:
    for c in range(WIDTH):
        rows[count[kind], c] = values[c]
    count[kind] += 1


loop_form(put, _put_loop)


def tell(w: World, t: int, order: tuple[int, int, int], state: tuple[int, int, int, int]) -> None:
    """Record an order: (name, leg, sign), then (quantity, filled, price, state)."""
    put(w.log.orders, w.log.written, ORDERS, (t,) + order + state + (0,))


def execute(w: World, t: int, order: tuple[int, int, int], left: int, reference: int) -> int:
    """Fill what the bar allows of an order (name, leg, sign) at a reference price; the units."""
    j, leg, sign = order
    tape, names, rates = w.tape, w.names, w.rules.rates
    bar = Prices(0, 0, 0, 0, int(tape.volume[t, j]))
    used = int(w.book.used[j])
    quantity = min(left, most_fillable(bar, rates.participation, used))
    if quantity <= 0:
        return 0
    w.book.used[j] = used + quantity
    multiplier = int(names.multiplier[j])
    price = reference
    if leg != TARGET:
        bps = slippage_bps(
            rates,
            int(names.bucket[j]),
            quantity=quantity,
            adv_units=_adv_units(w, t - 1, j),
            daily_volatility=_known(float(tape.daily_volatility[t - 1, j])),
            draw=latency_draw(int(names.key[j]), int(tape.days[t])),
        )
        price = slipped(reference, sign, bps)
    fee = commission(rates, quantity=quantity, price=price * multiplier)
    slippage = abs(price - reference) * quantity * multiplier
    row = (t, j, leg, sign, quantity, price, reference, fee, slippage)
    put(w.log.fills, w.log.written, FILLS, row)
    return quantity


def _adv_units(w: World, seen: int, j: int) -> float:
    close = float(w.tape.price[seen, j])
    return _known(float(w.tape.adv[seen, j]) / close) if close > 0.0 else 0.0


def _known(x: float) -> float:
    return x if x == x else 0.0


def book(w: World, t: int, k: int) -> None:
    """Book row k of the fills."""
    row = w.log.fills[k]
    j, leg, sign = int(row[1]), int(row[2]), int(row[3])
    quantity, price, fee = int(row[4]), int(row[5]), int(row[7])
    value = price * quantity * int(w.names.multiplier[j])
    w.book.money[CASH] -= sign * value + fee
    if leg == SWEEP:
        w.book.money[SIP_UNITS] += quantity
        w.book.money[SIP_CARRY] -= value + fee
    elif leg == ENTRY:
        _enter(w, t, j, k)
    else:
        _reduce(w, t, j, k)


def _enter(w: World, t: int, j: int, k: int) -> None:
    b = w.book
    row = w.log.fills[k]
    sign, quantity, price = int(row[3]), int(row[4]), int(row[5])
    multiplier = int(w.names.multiplier[j])
    if b.quantity[j] == 0:
        b.atr[j] = w.tape.atr[t - 1, j]
        b.best[j] = price
        b.cost[j] = b.fees[j] = b.stop[j] = b.stop_filled[j] = b.target_filled[j] = 0
    b.quantity[j] += sign * quantity
    b.cost[j] += sign * quantity * price * multiplier
    b.fees[j] += row[7]
    entry = int(b.cost[j]) / (int(b.quantity[j]) * multiplier)
    stop, target = levels(w.rules.stops, entry, float(b.atr[j]), sign, int(w.names.tick[j]))
    b.stop[j] = tighter(stop, int(b.stop[j]), sign)
    b.target[j] = target
    b.moved[j] = 1
    tell_legs(w, t, j, ACCEPTED)


def tell_legs(w: World, t: int, j: int, state: int) -> None:
    """Record both legs of a position, of its full size."""
    tell_stop(w, t, j, state)
    b = w.book
    held, filled = int(b.quantity[j]), int(b.target_filled[j])
    order = (j, TARGET, -1 if held > 0 else 1)
    tell(w, t, order, (abs(held) + filled, filled, int(b.target[j]), state))


def tell_stop(w: World, t: int, j: int, state: int) -> None:
    """Record the stop of a position, of its full size."""
    b = w.book
    held, filled = int(b.quantity[j]), int(b.stop_filled[j])
    order = (j, STOP, -1 if held > 0 else 1)
    tell(w, t, order, (abs(held) + filled, filled, int(b.stop[j]), state))


def _reduce(w: World, t: int, j: int, k: int) -> None:
    b = w.book
    fill = w.log.fills[k]
    leg, closed, price = int(fill[2]), int(fill[4]), int(fill[5])
    held = int(b.quantity[j])
    sign, whole = 1 if held > 0 else -1, abs(held)
    cost = part_of(int(b.cost[j]), closed, whole)
    fees = part_of(int(b.fees[j]), closed, whole)
    pnl = sign * price * closed * int(w.names.multiplier[j]) - cost - fees - int(fill[7])
    _remember(w, t, (j, leg, pnl))
    row = (t, j, leg, sign, closed, int(b.cost[j]), held, price, pnl)
    put(w.log.trades, w.log.written, TRADES, row)
    if closed == whole:
        _close(w, t, j, leg)
        return
    b.quantity[j] -= sign * closed
    b.cost[j] -= cost
    b.fees[j] -= fees
    tell_legs(w, t, j, ACCEPTED)


def _close(w: World, t: int, j: int, leg: int) -> None:
    """The position is gone: withdraw what is left of its legs and of an exit at work."""
    b = w.book
    held = int(b.quantity[j])
    sign, whole = -1 if held > 0 else 1, abs(held)
    if leg != STOP:
        tell_stop(w, t, j, CANCELLED)
    if leg != TARGET:
        filled = int(b.target_filled[j])
        tell(w, t, (j, TARGET, sign), (whole + filled, filled, int(b.target[j]), CANCELLED))
    if b.leaving[j]:
        units, filled = int(b.exit_quantity[j]), int(b.exit_filled[j])
        tell(w, t, (j, int(b.leaving[j]), sign), (units, filled, 0, CANCELLED))
        b.leaving[j] = 0
    b.quantity[j] = b.cost[j] = b.fees[j] = 0


def _remember(w: World, t: int, trade: tuple[int, int, int]) -> None:
    at = w.book.risk[CLOSED] % HISTORY
    w.book.closed[at, 0] = w.tape.ordinals[t]
    for c in range(3):
        w.book.closed[at, c + 1] = trade[c]
    w.book.risk[CLOSED] += 1
    w.book.money[REALISED] += trade[2]


def submit_exit(w: World, t: int, j: int, leg: int) -> None:
    """Accept a market order that closes a whole position."""
    b = w.book
    units = abs(int(b.quantity[j]))
    b.leaving[j], b.exit_quantity[j], b.exit_filled[j] = leg, units, 0
    b.queue[b.queue[-1]] = j
    b.queue[-1] += 1
    tell(w, t, (j, leg, -1 if b.quantity[j] > 0 else 1), (units, 0, 0, ACCEPTED))


def held_names(w: World) -> Ints:
    """Names with a position, in the symbols' order."""
    return np.flatnonzero(w.book.quantity)
