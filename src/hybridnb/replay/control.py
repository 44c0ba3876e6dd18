"""The control plane over arrays: openings, marks, the kill switch, the guards' locks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridnb.domain import Refusal
from hybridnb.fills import STOP
from hybridnb.limits import loop_form
from hybridnb.replay.booking import (
    ACCEPTED,
    ENTRY,
    FLATTEN,
    ORDERS,
    REJECTED,
    TRADES,
    UNFILLED,
    UNPRICED,
    held_names,
    put,
    submit_exit,
    tell,
)
from hybridnb.replay.tape import (
    ACTIVE,
    CASH,
    CLOSED,
    DEMOTED,
    DRAWDOWN_LOCK,
    EQUITIES,
    HALTED,
    HISTORY,
    KILLED,
    KILLS,
    PEAK,
    QUARANTINE,
    REALISED,
    REDUCING,
    SIP_UNITS,
    STATE,
    STOP_LOCK,
    WARNINGS,
    Ints,
    World,
)

_KILL_SWITCH, _TRADING_STATE = int(Refusal.KILL_SWITCH), int(Refusal.TRADING_STATE)


def open_session(w: World, t: int) -> int:
    """Advance the state to session t; equity at the last closes known."""
    risk, now = w.risk, w.ordinals[t]
    if risk[KILLED] or now <= risk[QUARANTINE]:
        risk[DEMOTED] = 1
    risk[STATE], risk[KILLED], risk[WARNINGS] = ACTIVE, 0, 0
    w.money[REALISED] = 0
    value: int = w.equity[t - 1]  # 0 before the first session
    return value if value != 0 else equity(w, t - 1, w.arrays.close)


def equity(w: World, t: int, bars: Ints) -> int:
    """Cash, positions and SIP units at session t's bars (opens or closes).

    Names without a bar count at their last known price.
    """
    money, sip = w.money, w.sip
    value: int = money[CASH] + positions_value(w.arrays, t, bars)
    if money[SIP_UNITS] != 0:
        value += money[SIP_UNITS] * (bars[t, sip] if w.close[t, sip] > 0 else w.last[sip])
    return int(value)


def positions_value(w: World, t: int, bars: Ints) -> int:
    """What the positions are worth at session t's bars."""
    return int(np.sum(w.quantity * w.multiplier * np.where(w.close[t] > 0, bars[t], w.last)))


def _positions_value_loop(w: World, t: int, bars: Ints) -> int:
    total, quantity, multiplier = 0, w.quantity, w.multiplier
    close, bar, last = w.close[t], bars[t], w.last
    for j in range(len(last)):
        now, before = bar[j], last[j]
        total += quantity[j] * multiplier[j] * (now if close[j] > 0 else before)
    return total


loop_form(positions_value, _positions_value_loop)


def keep_last(w: World, t: int) -> None:
    """Take session t's closes as the last known prices."""
    np.copyto(w.last, w.close[t], where=w.close[t] > 0)


def _keep_last_loop(w: World, t: int) -> None:
    close, last = w.close[t], w.last
    for j in range(len(last)):
        now, before = close[j], last[j]
        last[j] = now if now > 0 else before


loop_form(keep_last, _keep_last_loop)


def mark(w: World, t: int, opening: int, bars: Ints) -> int:
    """Equity at the session's opens or closes, and what the kill switch makes of it."""
    risk = w.risk
    value = equity(w, t, bars)
    if risk[KILLED]:
        return value
    pnl = (value - opening) / opening
    if pnl <= w.kill_day_pnl:
        _kill(w, t)
        return value
    warns = pnl / w.kill_day_pnl >= w.soft_halt_share
    risk[WARNINGS] = risk[WARNINGS] + 1 if warns else 0
    if risk[WARNINGS] >= w.soft_halt_confirmations and risk[STATE] == ACTIVE:
        risk[STATE] = REDUCING
    return value


def _kill(w: World, t: int) -> None:
    """Latch, halt, perhaps quarantine, and flatten every position."""
    risk, now = w.risk, w.ordinals[t]
    limit, window, sessions = w.quarantine
    risk[KILLED], risk[STATE] = 1, HALTED
    w.kills[risk[KILLS] % HISTORY] = now
    risk[KILLS] += 1
    # Kills before the last quarantine's end don't count again.
    first = max(now - window + 1, risk[QUARANTINE] + 1)
    recent = 0
    for k in range(min(risk[KILLS], HISTORY)):
        recent += w.kills[k] >= first
    if recent >= limit:
        risk[QUARANTINE] = now + sessions
    for j in held_names(w.arrays):
        if w.leaving[j] == 0:
            submit_exit(w, t, int(j), FLATTEN)


def submit(w: World, t: int, orders: Ints) -> Ints:
    """Send what may still go out after the opening mark; the entries, rows (name, units, 0)."""
    risk, n = w.risk, 0
    active = risk[STATE] == ACTIVE
    for i in range(len(orders)):
        j, units, leg = orders[i, 0], orders[i, 1], orders[i, 2]
        if active or (leg != ENTRY and not risk[KILLED]):
            continue
        code = _KILL_SWITCH if risk[KILLED] else _TRADING_STATE
        sign = 1 if units > 0 else -1
        row = (t, j, leg, sign, abs(units), 0, 0, REJECTED, code)
        put(w.orders, w.written, ORDERS, row)
    for i in range(len(orders)):
        j, units, leg = orders[i, 0], orders[i, 1], orders[i, 2]
        if leg != ENTRY and not risk[KILLED]:
            submit_exit(w, t, j, leg)
        elif leg == ENTRY and active:
            sign, size = 1 if units > 0 else -1, abs(units)
            filled, price, state = UNFILLED, UNPRICED, ACCEPTED
            tell(w, t, j, leg, sign=sign, quantity=size, filled=filled, price=price, state=state)
            orders[n, 0], orders[n, 1], orders[n, 2] = j, units, 0
            n += 1
    return orders[:n]


def settle(w: World, t: int, value: int, first_trade: int) -> None:
    """After the close: histories extended, locks set, last prices kept."""
    now = w.ordinals[t]
    at = w.risk[EQUITIES] % HISTORY
    w.equities[at, 0], w.equities[at, 1] = now, value
    w.risk[EQUITIES] += 1
    w.money[PEAK] = max(w.money[PEAK], value)
    w.equity[t] = value
    keep_last(w.arrays, t)
    _lock_all(w, t, value, first_trade)
    for k in range(first_trade, w.written[TRADES]):
        j = w.trades[k, 1]
        if w.cooldown[j] < now:
            w.cooldown[j] = now + w.cooldown_bars
    if first_trade == w.written[TRADES]:
        return
    for j in losing(w.arrays, first_trade):
        if w.low_profit[j] < now:
            w.low_profit[j] = now + w.low_profit_guard[1]


def _lock_all(w: World, t: int, value: int, first_trade: int) -> None:
    now = w.ordinals[t]
    stops, window, length = w.stop_guard
    today = False
    for k in range(first_trade, w.written[TRADES]):
        today = today or w.trades[k, 2] == STOP
    if today and w.risk[STOP_LOCK] < now and stopped(w.arrays, now - window) >= stops:
        w.risk[STOP_LOCK] = now + length
    window, length = w.drawdown_guard
    top = highest(w.arrays, now - window, value)
    if w.risk[DRAWDOWN_LOCK] < now and value <= (1.0 - w.drop) * top:
        w.risk[DRAWDOWN_LOCK] = now + length


def stopped(w: World, before: int) -> int:
    """How many of the trades remembered were closed by a stop since."""
    known = w.closed[: w.risk[CLOSED]]
    return int(np.count_nonzero((known[:, 2] == STOP) & (known[:, 0] > before)))


def _stopped_loop(w: World, before: int) -> int:
    count = 0
    for k in range(min(w.risk[CLOSED], HISTORY)):
        count += w.closed[k, 2] == STOP and w.closed[k, 0] > before
    return count


loop_form(stopped, _stopped_loop)


def highest(w: World, before: int, now: int) -> int:
    """The highest of equity now and what is remembered of it since."""
    known = w.equities[: w.risk[EQUITIES]]
    return int(np.max(known[:, 1], initial=now, where=known[:, 0] > before))


def _highest_loop(w: World, before: int, now: int) -> int:
    top = now
    for k in range(min(w.risk[EQUITIES], HISTORY)):
        if w.equities[k, 0] > before:
            top = max(top, w.equities[k, 1])
    return top


loop_form(highest, _highest_loop)


def losing(w: World, first_trade: int) -> Sequence[int]:
    """Names of today's trades whose last ones remembered are enough, and lost together."""
    last, wanted = w.risk[CLOSED], w.low_profit_guard[0]
    newest = w.closed[(last - 1 - np.arange(min(last, HISTORY))) % HISTORY]
    names = w.trades[first_trade : w.written[TRADES], 1]
    counts = np.count_nonzero(newest[:, 1] == names[:, None], axis=1)
    often: list[int] = names[counts >= wanted].tolist()
    return [j for j in often if newest[newest[:, 1] == j, 3][:wanted].sum() < 0]


def _losing_loop(w: World, first_trade: int) -> Ints:
    n, names = 0, w.trades[first_trade : w.written[TRADES], 1].copy()
    for j in names:
        names[n] = j
        n += _lost(w, j)
    return names[:n]


loop_form(losing, _losing_loop)


def _lost(w: World, j: int) -> bool:
    count, total, wanted, last = 0, 0, w.low_profit_guard[0], w.risk[CLOSED]
    for back in range(1, min(last, HISTORY) + 1):
        at = (last - back) % HISTORY
        if w.closed[at, 1] == j:
            count += 1
            total += w.closed[at, 3]
            if count == wanted:
                return bool(total < 0)
    return False
