"""The paper venue over arrays: opens, ranges, sweeps, and what expires."""

from __future__ import annotations

import numpy as np

from hybridnb.domain import SCALE
from hybridnb.fills import STOP, Prices, protective_fill
from hybridnb.limits import loop_form
from hybridnb.replay.booking import (
    ACCEPTED,
    ENTRY,
    EXIT,
    EXPIRED,
    FILLED,
    FILLS,
    FLATTEN,
    PARTIAL,
    SWEEP,
    book,
    execute,
    held_names,
    tell,
    tell_stop,
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
            order = (j, leg, -1 if w.quantity[j] > 0 else 1)
            left = int(w.exit_quantity[j] - w.exit_filled[j])
            done = execute(w, t, order, left, int(w.open[t, j]))
            if done > 0:
                w.exit_filled[j] += done
                state = FILLED if done == left else PARTIAL
                units, filled = int(w.exit_quantity[j]), int(w.exit_filled[j])
                tell(w, t, order, (units, filled, 0, state))
                w.leaving[j] = 0 if done == left else leg
    for e in range(len(entries)):
        _enter(w, t, entries, e)
    for k in range(first, w.written[FILLS]):
        book(w, t, k)


def _enter(w: World, t: int, entries: Ints, e: int) -> None:
    j, wanted = int(entries[e, 0]), int(entries[e, 1])
    if w.close[t, j] == 0:
        return
    order, units = (j, ENTRY, 1 if wanted > 0 else -1), abs(wanted)
    done = execute(w, t, order, units, int(w.open[t, j]))
    if done > 0:
        entries[e, 2] = done
        tell(w, t, order, (units, done, 0, FILLED if done == units else PARTIAL))


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
        done = execute(w, t, (j, leg, sign), abs(held), reference) if leg else 0
        if done > 0:
            filled_of = w.stop_filled if leg == STOP else w.target_filled
            filled_of[j] += done
            filled = int(filled_of[j])
            price = int(w.stop[j] if leg == STOP else w.target[j])
            state = FILLED if done == abs(held) else PARTIAL
            # The leg's total is what it had filled before and all that was held.
            tell(w, t, (j, leg, sign), (abs(held) + filled - done, filled, price, state))
    for k in range(first, w.written[FILLS]):
        book(w, t, k)


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
            tell_stop(w, t, j, ACCEPTED)


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
    order = (j, SWEEP, 1)
    tell(w, t, order, (units, 0, 0, ACCEPTED))
    first = int(w.written[FILLS])
    done = execute(w, t, order, units, close)
    if done > 0:
        tell(w, t, order, (units, done, 0, FILLED if done == units else PARTIAL))
        book(w, t, first)
    return units, done


def expire(w: World, t: int, entries: Ints, swept: tuple[int, int]) -> None:
    """The bar is over: what is left of entries and of a sweep expires."""
    for e in range(len(entries)):
        j, wanted, done = int(entries[e, 0]), int(entries[e, 1]), int(entries[e, 2])
        if done < abs(wanted):
            order = (j, ENTRY, 1 if wanted > 0 else -1)
            tell(w, t, order, (abs(wanted), done, 0, EXPIRED))
    if swept[1] < swept[0]:
        tell(w, t, (w.sip, SWEEP, 1), (swept[0], swept[1], 0, EXPIRED))
    w.used[:] = 0
    n = 0
    for q in range(w.queue[-1]):
        if w.leaving[w.queue[q]] > 0:
            w.queue[n] = w.queue[q]
            n += 1
    w.queue[-1] = n
