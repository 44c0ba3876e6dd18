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
UNPRICED = UNFILLED = 0  # a market order's price; what an order has filled at first
BUY = 1


def put(rows: Ints, count: Ints, kind: int, values: tuple[int, ...]) -> None:
    """Write the next row of a log."""
    rows[count[kind]] = values
    count[kind] += 1


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


def execute(w: World, t: int, j: int, leg: int, *, sign: int, left: int, reference: int) -> int:
    """Fill what the bar allows of an order at a reference price; the units."""
    rates = w.rates
    bar = Prices(0, 0, 0, 0, int(w.volume[t, j]))
    used = int(w.used[j])
    quantity = min(left, most_fillable(bar, rates.participation, used))
    if quantity <= 0:
        return 0
    w.used[j] = used + quantity
    multiplier = int(w.multiplier[j])
    price = reference
    if leg != TARGET:
        bps = slippage_bps(
            rates,
            int(w.bucket[j]),
            quantity=quantity,
            adv_units=_adv_units(w, t - 1, j),
            daily_volatility=_known(float(w.facts[t - 1, j, DAILY_VOLATILITY])),
            draw=latency_draw(int(w.key[j]), int(w.days[t])),
        )
        price = slipped(reference, sign, bps)
    fee = commission(rates, quantity=quantity, price=price * multiplier)
    slippage = abs(price - reference) * quantity * multiplier
    row = (t, j, leg, sign, quantity, price, reference, fee, slippage)
    put(w.fills, w.written, FILLS, row)
    return quantity


def _adv_units(w: World, seen: int, j: int) -> float:
    close = float(w.facts[seen, j, PRICE])
    return _known(float(w.facts[seen, j, ADV]) / close) if close > 0.0 else 0.0


def _known(x: float) -> float:
    return x if x == x else 0.0


def book(w: World, t: int, k: int) -> None:
    """Book row k of the fills."""
    row = w.fills[k]
    j, leg, sign = int(row[1]), int(row[2]), int(row[3])
    quantity, price, fee = int(row[4]), int(row[5]), int(row[7])
    value = price * quantity * int(w.multiplier[j])
    w.money[CASH] -= sign * value + fee
    if leg == SWEEP:
        w.money[SIP_UNITS] += quantity
        w.money[SIP_CARRY] -= value + fee
    elif leg == ENTRY:
        _enter(w, t, j, k)
    else:
        _reduce(w, t, j, k)


def _enter(w: World, t: int, j: int, k: int) -> None:
    row = w.fills[k]
    sign, quantity, price = int(row[3]), int(row[4]), int(row[5])
    multiplier = int(w.multiplier[j])
    if w.quantity[j] == 0:
        w.entry_atr[j] = w.facts[t - 1, j, ATR]
        w.best[j] = price
        w.cost[j] = w.fees[j] = w.stop[j] = w.stop_filled[j] = w.target_filled[j] = 0
    w.quantity[j] += sign * quantity
    w.cost[j] += sign * quantity * price * multiplier
    w.fees[j] += row[7]
    entry = int(w.cost[j]) / (int(w.quantity[j]) * multiplier)
    stop, target = levels(w.stops, entry, float(w.entry_atr[j]), sign, int(w.tick[j]))
    w.stop[j] = tighter(stop, int(w.stop[j]), sign)
    w.target[j] = target
    w.moved[j] = 1
    tell_legs(w, t, j, ACCEPTED)


def tell_legs(w: World, t: int, j: int, state: int) -> None:
    """Record both legs of a position, of its full size."""
    tell_leg(w, t, j, STOP, state=state)
    tell_leg(w, t, j, TARGET, state=state)


def tell_leg(w: World, t: int, j: int, leg: int, *, state: int) -> None:
    """Record the stop or the target of a position, of its full size."""
    held = int(w.quantity[j])
    filled = int(w.stop_filled[j] if leg == STOP else w.target_filled[j])
    price = int(w.stop[j] if leg == STOP else w.target[j])
    sign, size = -1 if held > 0 else 1, abs(held) + filled
    tell(w, t, j, leg, sign=sign, quantity=size, filled=filled, price=price, state=state)


def _reduce(w: World, t: int, j: int, k: int) -> None:
    fill = w.fills[k]
    leg, closed, price = int(fill[2]), int(fill[4]), int(fill[5])
    held = int(w.quantity[j])
    sign, whole = 1 if held > 0 else -1, abs(held)
    cost = part_of(int(w.cost[j]), closed, whole)
    fees = part_of(int(w.fees[j]), closed, whole)
    pnl = sign * price * closed * int(w.multiplier[j]) - cost - fees - int(fill[7])
    _remember(w, t, (j, leg, pnl))
    row = (t, j, leg, sign, closed, int(w.cost[j]), held, price, pnl)
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
    units = abs(int(w.quantity[j]))
    w.leaving[j], w.exit_quantity[j], w.exit_filled[j] = leg, units, 0
    w.queue[w.queue[-1]] = j
    w.queue[-1] += 1
    tell_exit(w, t, j, ACCEPTED)


def tell_exit(w: World, t: int, j: int, state: int) -> None:
    """Record the market exit at work on a position."""
    sign, leg = -1 if w.quantity[j] > 0 else 1, int(w.leaving[j])
    units, filled = int(w.exit_quantity[j]), int(w.exit_filled[j])
    tell(w, t, j, leg, sign=sign, quantity=units, filled=filled, price=UNPRICED, state=state)


def held_names(w: World) -> Ints:
    """Names with a position, in the symbols' order."""
    return np.flatnonzero(w.quantity)


def _held_names_loop(w: World) -> Ints:
    n, quantity = 0, w.quantity
    found = np.empty(len(quantity), np.int64)
    for j in range(len(quantity)):
        found[n] = j
        n += quantity[j] != 0
    return found[:n]


loop_form(held_names, _held_names_loop)
