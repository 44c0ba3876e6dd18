"""The paper venue over arrays: opens, ranges, sweeps, and what expires."""

from __future__ import annotations

from collections.abc import Sequence

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
    make_room,
    tell,
    tell_exit,
    tell_leg,
)
from hybridnb.replay.tape import DAILY_VOLATILITY, REALISED, SIP_CARRY, Ints, World
from hybridnb.stops import resting, tighter, trailed

SWEEP_ROOM = 0.01  # share of a unit's price kept for slippage and commission


def market_orders(w: World, t: int, entries: Ints) -> None:
    """Fill at the open: exits before entries; `entries` has rows (name, signed units, filled)."""
    make_room(w.arrays, t)
    first = w.written[FILLS]
    for leg in (FLATTEN, EXIT):
        for q in range(w.queue[-1]):
            j = w.queue[q]
            if w.leaving[j] != leg or w.close[t, j] == 0:
                continue
            sign = -1 if w.quantity[j] > 0 else 1
            left = w.exit_quantity[j] - w.exit_filled[j]
            done = execute(w, t, j, leg, sign=sign, left=left, reference=w.open[t, j])
            if done > 0:
                w.exit_filled[j] += done
                tell_exit(w, t, j, FILLED if done == left else PARTIAL)
                w.leaving[j] = 0 if done == left else leg
    for e in range(len(entries)):
        _enter(w, t, entries, e)
    for k in range(first, w.written[FILLS]):
        book(w, t, k)


def _enter(w: World, t: int, entries: Ints, e: int) -> None:
    j, wanted = entries[e, 0], entries[e, 1]
    if w.close[t, j] == 0:
        return
    sign, units = 1 if wanted > 0 else -1, abs(wanted)
    done = execute(w, t, j, ENTRY, sign=sign, left=units, reference=w.open[t, j])
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


def touched(w: World, t: int) -> Sequence[int]:
    """Names whose stop or target may fill in the bar: the array form looks at all held at once."""
    held = np.flatnonzero(w.quantity)
    long = w.quantity[held] > 0
    low, high = w.low[t][held], w.high[t][held]
    down, up = np.where(long, w.stop[held], w.target[held]), w.stop[held]
    up = np.where(long, w.target[held], up)
    found: list[int] = held[(w.close[t][held] > 0) & ((low <= down) | (high >= up))].tolist()
    return found


def _touched_loop(w: World, t: int) -> Ints:
    held, n = held_names(w), 0
    for j in held:
        long = w.quantity[j] > 0
        down = w.stop[j] if long else w.target[j]
        up = w.target[j] if long else w.stop[j]
        if w.close[t, j] > 0 and (w.low[t, j] <= down or w.high[t, j] >= up):
            # What its fill reads first is fetched here, for many names at once.
            held[n], w.fetched[n] = j, w.facts[t - 1, j, DAILY_VOLATILITY]
            n += 1
    return held[:n]


loop_form(touched, _touched_loop)


def protective_orders(w: World, t: int) -> None:
    """Run the brackets through the bar's range: at most one leg of each name."""
    first = w.written[FILLS]
    for j in touched(w.arrays, t):
        bar = Prices(w.open[t, j], w.high[t, j], w.low[t, j], w.close[t, j], 0)
        held = w.quantity[j]
        sign = -1 if held > 0 else 1
        leg, reference = protective_fill(bar, w.stop[j], w.target[j], sign)
        if leg == 0:
            continue
        done = execute(w, t, j, leg, sign=sign, left=abs(held), reference=reference)
        if done > 0:
            before = w.stop_filled[j] if leg == STOP else w.target_filled[j]
            if leg == STOP:
                w.stop_filled[j] = before + done
            else:
                w.target_filled[j] = before + done
            state = FILLED if done == abs(held) else PARTIAL
            price = w.stop[j] if leg == STOP else w.target[j]
            whole, filled = abs(held) + before, before + done
            tell(w, t, j, leg, sign=sign, quantity=whole, filled=filled, price=price, state=state)
    for k in range(first, w.written[FILLS]):
        book(w, t, k)


def to_trail(w: World, t: int) -> Sequence[int]:
    """Keep the best prices; names whose trailing stop may move: in profit, at a better price or
    after another entry.
    """
    held = np.flatnonzero(w.quantity)
    long, best = w.quantity[held] > 0, w.best[held]
    seen = np.where(long, w.high[t][held], w.low[t][held])
    better = np.where(long, seen > best, seen < best)
    new = (w.close[t][held] > 0) & (better | (w.moved[held] > 0))
    names, best = held[new], np.where(better, seen, best)[new]
    w.best[names], w.moved[names] = best, 0
    entry = w.cost[names] / (w.quantity[names] * w.multiplier[names])
    sign = np.where(long[new], 1, -1)
    found: list[int] = names[~resting(w.stops, entry, w.entry_atr[names], best, sign)].tolist()
    return found


def _to_trail_loop(w: World, t: int) -> Ints:
    held, n = held_names(w), 0
    for j in held:
        quantity, best = w.quantity[j], w.best[j]
        seen = w.high[t, j] if quantity > 0 else w.low[t, j]
        better = seen > best if quantity > 0 else seen < best
        if w.close[t, j] > 0 and (better or w.moved[j] > 0):
            best = seen if better else best
            w.best[j], w.moved[j] = best, 0
            entry, sign = w.cost[j] / (quantity * w.multiplier[j]), 1 if quantity > 0 else -1
            held[n] = j
            n += not resting(w.stops, entry, w.entry_atr[j], best, sign)
    return held[:n]


loop_form(to_trail, _to_trail_loop)


def trail_stops(w: World, t: int) -> None:
    """Move the stops of what is still open; they hold from the next bar."""
    rule = w.stops
    for j in to_trail(w.arrays, t):
        held, before = w.quantity[j], w.stop[j]
        sign, entry = 1 if held > 0 else -1, w.cost[j] / (held * w.multiplier[j])
        found = trailed(rule, entry, w.entry_atr[j], w.best[j], sign, w.tick[j])
        stop = tighter(before, found, sign)
        if stop != before:
            w.stop[j] = stop
            tell_leg(w, t, j, STOP, state=ACCEPTED)


def sweep(w: World, t: int) -> tuple[int, int]:
    """Accrue the SIP's share of the realised profit; buy whole units when affordable.

    Returns units ordered and filled.
    """
    money, j = w.money, w.sip
    profit = money[REALISED]
    if profit >= w.sip_min * SCALE:
        accrued = min(np.rint(w.sip_rate * profit), np.rint(w.sip_most * SCALE))
        money[SIP_CARRY] += int(accrued)
    if j < 0 or w.close[t, j] == 0 or money[SIP_CARRY] <= 0:
        return 0, 0
    close = w.close[t, j]
    units = int(money[SIP_CARRY] / (close * (1.0 + SWEEP_ROOM)))
    if units <= 0:
        return 0, 0
    tell(w, t, j, SWEEP, sign=BUY, quantity=units, filled=UNFILLED, price=UNPRICED, state=ACCEPTED)
    first = w.written[FILLS]
    done = execute(w, t, j, SWEEP, sign=BUY, left=units, reference=close)
    if done > 0:
        tell_done(w, t, j, SWEEP, sign=BUY, quantity=units, filled=done)
        book(w, t, first)
    return units, done


def expire(w: World, t: int, entries: Ints, swept: tuple[int, int]) -> None:
    """The bar is over: what is left of entries and of a sweep expires."""
    for e in range(len(entries)):
        j, wanted, done = entries[e, 0], entries[e, 1], entries[e, 2]
        if done < abs(wanted):
            sign = 1 if wanted > 0 else -1
            tell_expired(w, t, j, ENTRY, sign=sign, quantity=abs(wanted), filled=done)
    units, done = swept
    if done < units:
        tell_expired(w, t, w.sip, SWEEP, sign=BUY, quantity=units, filled=done)
    n = 0
    for q in range(w.queue[-1]):
        if w.leaving[w.queue[q]] > 0:
            w.queue[n] = w.queue[q]
            n += 1
    w.queue[-1] = n
