"""The paper venue over arrays: opens, ranges, sweeps, and what expires."""

from __future__ import annotations

import numpy as np

from hybridnb.domain import SCALE
from hybridnb.fills import STOP, Prices, protective_fill
from hybridnb.limits import loop_form
from hybridnb.replay.booking import (
    ACCEPTED,
    BUY,
    ENTRY,
    EXIT,
    EXPIRED,
    FILLED,
    FILLS,
    FLATTEN,
    PARTIAL,
    SWEEP,
    UNFILLED,
    UNPRICED,
    book,
    execute,
    held_names,
    tell,
    tell_exit,
    tell_leg,
)
from hybridnb.replay.tape import REALISED, SIP_CARRY, Ints, World
from hybridnb.stops import tighter, trailed

SWEEP_ROOM = 0.01  # share of a unit's price kept for slippage and commission


def market_orders(w: World, t: int, entries: Ints) -> None:
    """Fill at the open: exits before entries; `entries` has rows (name, signed units, filled)."""
    first = w.written[FILLS]
    for leg in (FLATTEN, EXIT):
        for q in range(w.queue[-1]):
            j = int(w.queue[q])
            if w.leaving[j] != leg or w.close[t, j] == 0:
                continue
            sign = -1 if w.quantity[j] > 0 else 1
            left = int(w.exit_quantity[j] - w.exit_filled[j])
            done = execute(w, t, j, leg, sign=sign, left=left, reference=int(w.open[t, j]))
            if done > 0:
                w.exit_filled[j] += done
                tell_exit(w, t, j, FILLED if done == left else PARTIAL)
                w.leaving[j] = 0 if done == left else leg
    for e in range(len(entries)):
        _enter(w, t, entries, e)
    for k in range(first, w.written[FILLS]):
        book(w, t, k)


def _enter(w: World, t: int, entries: Ints, e: int) -> None:
    j, wanted = int(entries[e, 0]), int(entries[e, 1])
    if w.close[t, j] == 0:
        return
    sign, units = 1 if wanted > 0 else -1, abs(wanted)
    done = execute(w, t, j, ENTRY, sign=sign, left=units, reference=int(w.open[t, j]))
    if done > 0:
        entries[e, 2] = done
        tell_done(w, t, j, ENTRY, sign=sign, quantity=units, filled=done)


def tell_done(w: World, t: int, j: int, leg: int, *, sign: int, quantity: int, filled: int) -> None:
    """Record what the bar filled of an entry or a sweep."""
    state = FILLED if filled == quantity else PARTIAL
    tell(w, t, j, leg, sign=sign, quantity=quantity, filled=filled, price=UNPRICED, state=state)


def tell_expired(
    w: World, t: int, j: int, leg: int, *, sign: int, quantity: int, filled: int
) -> None:
    """Record that what is left of an entry or a sweep expired."""
    tell(w, t, j, leg, sign=sign, quantity=quantity, filled=filled, price=UNPRICED, state=EXPIRED)


def touched(w: World, t: int) -> Ints:
    """Names whose stop or target may fill in the bar: the array form looks at all held at once."""
    held = held_names(w)
    long = w.quantity[held] > 0
    low, high = w.low[t][held], w.high[t][held]
    down, up = np.where(long, w.stop[held], w.target[held]), w.stop[held]
    up = np.where(long, w.target[held], up)
    found: Ints = held[(w.close[t][held] > 0) & ((low <= down) | (high >= up))]
    return found


def _touched_loop(w: World, t: int) -> Ints:
    held = held_names(w)
    n = 0
    for j in held:
        long = w.quantity[j] > 0
        down = w.stop[j] if long else w.target[j]
        up = w.target[j] if long else w.stop[j]
        if w.close[t, j] > 0 and (w.low[t, j] <= down or w.high[t, j] >= up):
            held[n] = j
            n += 1
    return held[:n]


loop_form(touched, _touched_loop)


def protective_orders(w: World, t: int) -> None:
    """Run the brackets through the bar's range: at most one leg of each name."""
    first = w.written[FILLS]
    for at in touched(w, t):
        j = int(at)
        prices = (int(w.open[t, j]), int(w.high[t, j]), int(w.low[t, j]))
        bar = Prices(prices[0], prices[1], prices[2], int(w.close[t, j]), 0)
        held = int(w.quantity[j])
        sign = -1 if held > 0 else 1
        leg, reference = protective_fill(bar, int(w.stop[j]), int(w.target[j]), sign)
        if leg == 0:
            continue
        done = execute(w, t, j, leg, sign=sign, left=abs(held), reference=reference)
        if done > 0:
            before = int(w.stop_filled[j] if leg == STOP else w.target_filled[j])
            if leg == STOP:
                w.stop_filled[j] = before + done
            else:
                w.target_filled[j] = before + done
            state = FILLED if done == abs(held) else PARTIAL
            price = int(w.stop[j] if leg == STOP else w.target[j])
            whole, filled = abs(held) + before, before + done
            tell(w, t, j, leg, sign=sign, quantity=whole, filled=filled, price=price, state=state)
    for k in range(first, w.written[FILLS]):
        book(w, t, k)


def clear(values: Ints) -> None:
    """Set all to 0."""
    values[:] = 0


def _clear_loop(values: Ints) -> None:
    for at in range(len(values)):
        values[at] = 0


loop_form(clear, _clear_loop)


def to_trail(w: World, t: int) -> Ints:
    """Names whose trailing stop may move: a better price, or another entry."""
    held = held_names(w)
    better = np.where(
        w.quantity[held] > 0, w.high[t][held] > w.best[held], w.low[t][held] < w.best[held]
    )
    found: Ints = held[(w.close[t][held] > 0) & (better | (w.moved[held] > 0))]
    return found


def _to_trail_loop(w: World, t: int) -> Ints:
    held = held_names(w)
    n = 0
    for j in held:
        long = w.quantity[j] > 0
        better = w.high[t, j] > w.best[j] if long else w.low[t, j] < w.best[j]
        if w.close[t, j] > 0 and (better or w.moved[j] > 0):
            held[n] = j
            n += 1
    return held[:n]


loop_form(to_trail, _to_trail_loop)


def trail_stops(w: World, t: int) -> None:
    """Move the stops of what is still open; they hold from the next bar."""
    rule = w.stops
    for at in to_trail(w, t):
        j = int(at)
        held = int(w.quantity[j])
        sign, best = 1 if held > 0 else -1, int(w.best[j])
        seen = int(w.high[t, j]) if sign > 0 else int(w.low[t, j])
        best = max(best, seen) if sign > 0 else min(best, seen)
        entry = int(w.cost[j]) / (held * int(w.multiplier[j]))
        found = trailed(rule, entry, float(w.entry_atr[j]), best, sign, int(w.tick[j]))
        stop = tighter(int(w.stop[j]), found, sign)
        w.best[j], w.moved[j] = best, 0
        if stop != w.stop[j]:
            w.stop[j] = stop
            tell_leg(w, t, j, STOP, state=ACCEPTED)


def sweep(w: World, t: int) -> tuple[int, int]:
    """Accrue the SIP's share of the realised profit; buy whole units when affordable.

    Returns units ordered and filled.
    """
    money, j = w.money, w.sip
    profit = int(money[REALISED])
    if profit >= w.sip_min * SCALE:
        accrued = min(np.rint(w.sip_rate * profit), np.rint(w.sip_most * SCALE))
        money[SIP_CARRY] += int(accrued)
    if j < 0 or w.close[t, j] == 0 or money[SIP_CARRY] <= 0:
        return 0, 0
    close = int(w.close[t, j])
    units = int(int(money[SIP_CARRY]) / (close * (1.0 + SWEEP_ROOM)))
    if units <= 0:
        return 0, 0
    tell(w, t, j, SWEEP, sign=BUY, quantity=units, filled=UNFILLED, price=UNPRICED, state=ACCEPTED)
    first = int(w.written[FILLS])
    done = execute(w, t, j, SWEEP, sign=BUY, left=units, reference=close)
    if done > 0:
        tell_done(w, t, j, SWEEP, sign=BUY, quantity=units, filled=done)
        book(w, t, first)
    return units, done


def expire(w: World, t: int, entries: Ints, swept: tuple[int, int]) -> None:
    """The bar is over: what is left of entries and of a sweep expires."""
    for e in range(len(entries)):
        j, wanted, done = int(entries[e, 0]), int(entries[e, 1]), int(entries[e, 2])
        if done < abs(wanted):
            sign = 1 if wanted > 0 else -1
            tell_expired(w, t, j, ENTRY, sign=sign, quantity=abs(wanted), filled=done)
    units, done = swept
    if done < units:
        tell_expired(w, t, w.sip, SWEEP, sign=BUY, quantity=units, filled=done)
    clear(w.used)
    n = 0
    for q in range(w.queue[-1]):
        if w.leaving[w.queue[q]] > 0:
            w.queue[n] = w.queue[q]
            n += 1
    w.queue[-1] = n
