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
    b, tape = w.book, w.tape
    first = w.log.written[FILLS]
    for leg in (FLATTEN, EXIT):
        for q in range(b.queue[-1]):
            j = int(b.queue[q])
            if b.leaving[j] != leg or tape.close[t, j] == 0:
                continue
            order = (j, leg, -1 if b.quantity[j] > 0 else 1)
            left = int(b.exit_quantity[j] - b.exit_filled[j])
            done = execute(w, t, order, left, int(tape.open[t, j]))
            if done > 0:
                b.exit_filled[j] += done
                state = FILLED if done == left else PARTIAL
                units, filled = int(b.exit_quantity[j]), int(b.exit_filled[j])
                tell(w, t, order, (units, filled, 0, state))
                b.leaving[j] = 0 if done == left else leg
    for e in range(len(entries)):
        _enter(w, t, entries, e)
    for k in range(first, w.log.written[FILLS]):
        book(w, t, k)


def _enter(w: World, t: int, entries: Ints, e: int) -> None:
    j, wanted = int(entries[e, 0]), int(entries[e, 1])
    if w.tape.close[t, j] == 0:
        return
    order, units = (j, ENTRY, 1 if wanted > 0 else -1), abs(wanted)
    done = execute(w, t, order, units, int(w.tape.open[t, j]))
    if done > 0:
        entries[e, 2] = done
        tell(w, t, order, (units, done, 0, FILLED if done == units else PARTIAL))


def touched(w: World, t: int) -> Ints:
    """Names whose stop or target may fill in the bar: the array form looks at all held at once."""
    held = held_names(w)
    b, tape = w.book, w.tape
    long = b.quantity[held] > 0
    low, high = tape.low[t][held], tape.high[t][held]
    down, up = np.where(long, b.stop[held], b.target[held]), b.stop[held]
    up = np.where(long, b.target[held], up)
    found: Ints = held[(tape.close[t][held] > 0) & ((low <= down) | (high >= up))]
    return found


def _touched_loop(w: World, t: int) -> Ints:
    held = held_names(w)
    n = 0
    for j in held:
        long = w.book.quantity[j] > 0
        down = w.book.stop[j] if long else w.book.target[j]
        up = w.book.target[j] if long else w.book.stop[j]
        if w.tape.close[t, j] > 0 and (w.tape.low[t, j] <= down or w.tape.high[t, j] >= up):
            held[n] = j
            n += 1
    return held[:n]


loop_form(touched, _touched_loop)


def protective_orders(w: World, t: int) -> None:
    """Run the brackets through the bar's range: at most one leg of each name."""
    b, tape = w.book, w.tape
    first = w.log.written[FILLS]
    for at in touched(w, t):
        j = int(at)
        prices = (int(tape.open[t, j]), int(tape.high[t, j]), int(tape.low[t, j]))
        bar = Prices(prices[0], prices[1], prices[2], int(tape.close[t, j]), 0)
        held = int(b.quantity[j])
        sign = -1 if held > 0 else 1
        leg, reference = protective_fill(bar, int(b.stop[j]), int(b.target[j]), sign)
        done = execute(w, t, (j, leg, sign), abs(held), reference) if leg else 0
        if done > 0:
            filled_of = b.stop_filled if leg == STOP else b.target_filled
            filled_of[j] += done
            filled = int(filled_of[j])
            price = int(b.stop[j] if leg == STOP else b.target[j])
            state = FILLED if done == abs(held) else PARTIAL
            # The leg's total is what it had filled before and all that was held.
            tell(w, t, (j, leg, sign), (abs(held) + filled - done, filled, price, state))
    for k in range(first, w.log.written[FILLS]):
        book(w, t, k)


def to_trail(w: World, t: int) -> Ints:
    """Names whose trailing stop may move: a better price, or another entry."""
    held = held_names(w)
    b, tape = w.book, w.tape
    better = np.where(
        b.quantity[held] > 0, tape.high[t][held] > b.best[held], tape.low[t][held] < b.best[held]
    )
    found: Ints = held[(tape.close[t][held] > 0) & (better | (b.moved[held] > 0))]
    return found


def _to_trail_loop(w: World, t: int) -> Ints:
    held = held_names(w)
    b, n = w.book, 0
    for j in held:
        long = b.quantity[j] > 0
        better = w.tape.high[t, j] > b.best[j] if long else w.tape.low[t, j] < b.best[j]
        if w.tape.close[t, j] > 0 and (better or b.moved[j] > 0):
            held[n] = j
            n += 1
    return held[:n]


loop_form(to_trail, _to_trail_loop)


def trail_stops(w: World, t: int) -> None:
    """Move the stops of what is still open; they hold from the next bar."""
    b, rule = w.book, w.rules.stops
    for at in to_trail(w, t):
        j = int(at)
        held = int(b.quantity[j])
        sign, best = 1 if held > 0 else -1, int(b.best[j])
        seen = int(w.tape.high[t, j]) if sign > 0 else int(w.tape.low[t, j])
        best = max(best, seen) if sign > 0 else min(best, seen)
        entry = int(b.cost[j]) / (held * int(w.names.multiplier[j]))
        found = trailed(rule, entry, float(b.atr[j]), best, sign, int(w.names.tick[j]))
        stop = tighter(int(b.stop[j]), found, sign)
        b.best[j], b.moved[j] = best, 0
        if stop != b.stop[j]:
            b.stop[j] = stop
            tell_stop(w, t, j, ACCEPTED)


def sweep(w: World, t: int) -> tuple[int, int]:
    """Accrue the SIP's share of the realised profit; buy whole units when affordable.

    Returns units ordered and filled.
    """
    money, rules, j = w.book.money, w.rules, w.names.sip
    profit = int(money[REALISED])
    if profit >= rules.sip_min * SCALE:
        accrued = min(np.rint(rules.sip_rate * profit), np.rint(rules.sip_most * SCALE))
        money[SIP_CARRY] += int(accrued)
    if j < 0 or w.tape.close[t, j] == 0 or money[SIP_CARRY] <= 0:
        return 0, 0
    close = int(w.tape.close[t, j])
    units = int(int(money[SIP_CARRY]) / (close * (1.0 + SWEEP_ROOM)))
    if units <= 0:
        return 0, 0
    order = (j, SWEEP, 1)
    tell(w, t, order, (units, 0, 0, ACCEPTED))
    first = int(w.log.written[FILLS])
    done = execute(w, t, order, units, close)
    if done > 0:
        tell(w, t, order, (units, done, 0, FILLED if done == units else PARTIAL))
        book(w, t, first)
    return units, done


def expire(w: World, t: int, entries: Ints, swept: tuple[int, int]) -> None:
    """The bar is over: what is left of entries and of a sweep expires."""
    b = w.book
    for e in range(len(entries)):
        j, wanted, done = int(entries[e, 0]), int(entries[e, 1]), int(entries[e, 2])
        if done < abs(wanted):
            order = (j, ENTRY, 1 if wanted > 0 else -1)
            tell(w, t, order, (abs(wanted), done, 0, EXPIRED))
    if swept[1] < swept[0]:
        tell(w, t, (w.names.sip, SWEEP, 1), (swept[0], swept[1], 0, EXPIRED))
    b.used[:] = 0
    n = 0
    for q in range(b.queue[-1]):
        if b.leaving[b.queue[q]] > 0:
            b.queue[n] = b.queue[q]
            n += 1
    b.queue[-1] = n
