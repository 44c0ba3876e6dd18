"""The whole trading step over a history: the session's phases in the live session's order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridnb.clamps import state_refusals
from hybridnb.costs import rates
from hybridnb.domain import Mode, TradingState
from hybridnb.errors import ParamsError
from hybridnb.limits import limits
from hybridnb.policy import Policy
from hybridnb.replay.booking import TRADES
from hybridnb.replay.control import mark, open_session, settle, submit
from hybridnb.replay.deciding import decide_session
from hybridnb.replay.tape import (
    WIDTH,
    Book,
    Ints,
    Log,
    Names,
    Rules,
    Tape,
    World,
    new_book,
    new_log,
    new_scratch,
    world_of,
)
from hybridnb.replay.venue import (
    expire,
    market_orders,
    protective_orders,
    sweep,
    trail_stops,
)
from hybridnb.stops import stop_rule

ROWS_A_NAME = 12  # rows that a name can add to one log in one session, at most
Hints = Callable[[World, int], Any]


def session(w: World, t: int) -> None:
    """Trade session t: decided on row t − 1, entered at the open, marked at the close."""
    first_trade = w.written[TRADES]
    opening = open_session(w, t)
    orders = decide_session(w, t, opening)
    mark(w, t, opening, w.arrays.open)
    entries = submit(w, t, orders)
    market_orders(w, t, entries)
    protective_orders(w, t)
    trail_stops(w, t)
    swept = sweep(w, t)
    expire(w, t, entries, swept)
    value = mark(w, t, opening, w.arrays.close)
    settle(w, t, value, first_trade)


def sessions(w: World, start: int, stop: int) -> int:
    """Trade sessions from `start` on, to `stop` or until a log might run over; the next one."""
    most = ROWS_A_NAME * (len(w.bucket) + 1)
    orders, fills, trades = len(w.orders) - most, len(w.fills) - most, len(w.trades) - most
    t, w = start, w.numbers
    written = w.written
    while t < stop and written[0] <= orders and written[1] <= fills and written[2] <= trades:
        session(w, t)
        t += 1
    return t


@dataclass(frozen=True, slots=True)
class Replay:
    """What a history came to.

    Attributes
    ----------
    orders, fills, trades : ndarray of int64, shape (k, 9)
        Rows as `tape.ORDER_COLUMNS`, `FILL_COLUMNS`, `TRADE_COLUMNS` name them.
    equity : ndarray of int64, shape (T,)
        At each close, in 1/10,000; 0 in rows that weren't replayed.
    book : Book
        The account after the last session.
    """

    orders: Ints
    fills: Ints
    trades: Ints
    equity: Ints
    book: Book

    @property
    def sha256(self) -> str:
        """Of every order, fill, trade and mark, byte by byte."""
        digest = hashlib.sha256()
        for rows in (self.orders, self.fills, self.trades, self.equity):
            digest.update(np.ascontiguousarray(rows, "<i8").tobytes())
        return digest.hexdigest()


def replay(
    tape: Tape,
    names: Names,
    rules: Rules,
    *,
    cash: int,
    start: int = 1,
    stop: int | None = None,
    hints: Hints | None = None,
    run: Callable[[World, int, int], int] = sessions,
) -> Replay:
    """Trade a stretch of a history from a new account.

    Parameters
    ----------
    tape : Tape
    names : Names
    rules : Rules
    cash : int
        Opening cash in 1/10,000.
    start, stop : int
        Rows to trade; the first is at least 1, since a session decides on the row before it.
    hints : callable, optional
        `(world, t) -> rl`, shape (n,): the views that depend on the book, written into row
        t − 1 before session t is traded.
    run : callable
        `sessions`, or its compiled twin.

    Returns
    -------
    Replay
    """
    stop = len(tape.days) if stop is None else stop
    if not 1 <= start <= stop <= len(tape.days):
        raise ValueError(f"rows {start} to {stop} of {len(tape.days)}")
    n = len(names.bucket)
    last = _last_close(tape.close[:start])
    # Memory that isn't written to isn't used: ample room spares most of the growing.
    least, bars = 4 * ROWS_A_NAME * (n + 1), n * len(tape.days)
    room = (least + bars // 2, least + bars // 8, least + bars // 8)
    log = new_log(room, len(tape.days))
    book, scratch = new_book(n, cash=cash, last=last), new_scratch(n, tape.window)
    world = world_of(tape, names, rules, book, log, scratch)
    t = start
    while t < stop:
        if hints is not None:
            tape.rl[t - 1] = hints(world, t)
        reached = run(world, t, stop if hints is None else t + 1)
        if reached < stop:
            log = _roomier(log)
            world = world_of(tape, names, rules, book, log, scratch)
        t = reached
    logs = zip((log.orders, log.fills, log.trades), log.written, strict=True)
    orders, fills, trades = (rows[:count] for rows, count in logs)
    return Replay(orders, fills, trades, log.equity, book)


def _last_close(closes: Ints) -> Ints:
    last = np.zeros(closes.shape[1], np.int64)
    for row in closes:
        np.copyto(last, row, where=row > 0)
    return last


def _roomier(log: Log) -> Log:
    """The log with as much room again in whichever part the next session may need it."""
    parts = zip((log.orders, log.fills, log.trades), log.written, strict=True)
    orders, fills, trades = (_longer(rows, int(count)) for rows, count in parts)
    return Log(orders, fills, trades, log.written, log.equity)


def _longer(rows: Ints, count: int) -> Ints:
    if 2 * count <= len(rows):
        return rows
    longer = np.empty((2 * len(rows), WIDTH), np.int64)
    longer[:count] = rows[:count]
    return longer


def rules(policy: Policy, mode: Mode, *, verdict_valid: bool) -> Rules:
    """A policy as numbers, for a replay that begins in this mode.

    Raises
    ------
    ParamsError
        For a rule of the two legs that only the live step knows.
    """
    if policy.stops.oco != "FIRST_TRIGGERED_WINS":
        raise ParamsError("stops.oco", policy.stops.oco, "a replay knows FIRST_TRIGGERED_WINS")
    risk, clamps, sip = policy.risk, policy.clamps, policy.sip
    window, length = risk.drawdown_guard[1:]
    return Rules(
        limits=(limits(policy, mode), limits(policy, Mode.DEMO)),
        common=(_common(mode, verdict_valid), _common(Mode.DEMO, verdict_valid)),
        rates=rates(policy.costs),
        stops=stop_rule(policy.stops),
        margin=clamps.bucket_fno,
        crisis_correlation=policy.sizing.crisis_correlation,
        penny_adv=clamps.penny_adv,
        penny_price=clamps.penny_price,
        kill_day_pnl=risk.kill_day_pnl,
        soft_halt_share=risk.soft_halt_share,
        soft_halt_confirmations=risk.soft_halt_confirmations,
        quarantine=(risk.quarantine_kills, risk.quarantine_window, risk.quarantine_sessions),
        stop_guard=risk.stop_guard,
        drop=risk.drawdown_guard[0],
        drawdown_guard=(window, length),
        cooldown_bars=risk.cooldown_bars,
        low_profit_guard=risk.low_profit,
        sip_rate=sip.rate,
        sip_min=sip.min_profit,
        sip_most=sip.max_per_day,
    )


def _common(mode: Mode, verdict_valid: bool) -> int:
    return state_refusals(
        mode=mode,
        state=TradingState.ACTIVE,
        killed=False,
        quarantined=False,
        brake=False,
        verdict_valid=verdict_valid,
    )
