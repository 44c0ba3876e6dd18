"""What a replay reads and keeps: records of arrays and numbers, nothing else.

Money is in 1/10,000 of the account's currency. T sessions, n names in the symbols' order; row
t − 1 is what the decision of session t may know. A bar with a close of 0 isn't there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hybridnb.costs import Rates
from hybridnb.limits import BUCKETS, Limits
from hybridnb.stops import StopRule

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Positions in Book.money and Book.risk.
CASH, SIP_UNITS, SIP_CARRY, PEAK, REALISED = range(5)
DEMOTED, STATE, KILLED, QUARANTINE, WARNINGS, STOP_LOCK, DRAWDOWN_LOCK, KILLS, EQUITIES, CLOSED = (
    range(10)
)
ACTIVE, REDUCING, HALTED = range(3)
HISTORY = 64  # sessions and trades that the guards remember, as in hybridnb.risk

# The last axis of Tape.facts.
FACTS = (
    *("price", "atr", "annual_volatility", "daily_volatility"),
    *("adv", "median_value", "win_long", "win_short"),
)
PRICE, ATR, ANNUAL_VOLATILITY, DAILY_VOLATILITY, ADV, MEDIAN_VALUE, WIN_LONG, WIN_SHORT = range(8)

LINE, PAGE = 8, 1 << 18  # numbers on a line of the cache, and on a large page of memory

# Columns of the logs.
ORDER_COLUMNS = ("t", "name", "leg", "sign", "quantity", "filled", "price", "state", "refused")
FILL_COLUMNS = (
    *("t", "name", "leg", "sign", "quantity", "price", "reference", "commission", "slippage"),
)
TRADE_COLUMNS = ("t", "name", "leg", "sign", "quantity", "entry_cost", "held", "price", "pnl")
WIDTH = 9


@dataclass(frozen=True)
class Tape:
    """A history.

    `days` are dates as ordinals, `ordinals` the sessions' in their calendar, shape (T,). Prices
    and volumes are integers, shape (T, n), volume -1 where the feed has none. Predictions and
    sentiment are floats, shape (T, n), NaN where unknown, like `facts`, shape (T, n, 8), whose
    last axis is `FACTS`: what sizing a name reads lies together, in one line of the processor's
    cache. Facts of the market have shape (T,). `returns` has shape (n, T), so that a name's
    history lies together; `window` sessions of it are behind value at risk.
    """

    days: Ints
    ordinals: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    p_short: Floats
    p_mid: Floats
    rl: Floats
    sentiment: Floats
    facts: Floats
    volatility_z: Floats
    correlation: Floats
    correlation_floor: Floats
    crisis: NDArray[np.bool_]
    returns: Floats
    window: int


@dataclass(frozen=True)
class Names:
    """What doesn't change of each name, shape (n,).

    `key` is the CRC-32 of the symbol; `fixed`, shape (2, n), the refusals in the mode asked for
    and in DEMO; `penny` tells whose price and traded value are checked; `sip` is the name of the
    end-of-day sweep, -1 where the feed has none. `rows` repeats bucket and margin rate as records
    of `decide.INPUT`.
    """

    bucket: Ints
    multiplier: Ints
    tick: Ints
    lot: Ints
    delta: Floats
    margin_rate: Floats
    key: Ints
    fixed: Ints
    penny: NDArray[np.bool_]
    sip: int
    rows: NDArray[Any]


@dataclass(frozen=True)
class Rules:
    """A policy as numbers: limits in the mode asked for and in DEMO, and all that a step reads."""

    limits: tuple[Limits, Limits]
    common: tuple[int, int]
    rates: Rates
    stops: StopRule
    margin: float
    crisis_correlation: float
    penny_adv: float
    penny_price: float
    kill_day_pnl: float
    soft_halt_share: float
    soft_halt_confirmations: int
    quarantine: tuple[int, int, int]
    stop_guard: tuple[int, int, int]
    drop: float
    drawdown_guard: tuple[int, int]
    cooldown_bars: int
    low_profit_guard: tuple[int, int]
    sip_rate: float
    sip_min: float
    sip_most: float


@dataclass(frozen=True)
class Book:
    """The account between two events; per name, shape (n,).

    `stop_filled` and `target_filled` are what the legs of the present position have filled;
    `leaving` is the leg code of a market exit at work (0: none), `exit_quantity` and
    `exit_filled` its units; `queue` holds the names of such exits in the order they came, its
    last element their number. `cooldown` and `low_profit` are locks' last ordinals.
    """

    money: Ints
    risk: Ints
    quantity: Ints
    cost: Ints
    fees: Ints
    entry_atr: Floats
    stop: Ints
    target: Ints
    best: Ints
    moved: Ints
    stop_filled: Ints
    target_filled: Ints
    leaving: Ints
    exit_quantity: Ints
    exit_filled: Ints
    queue: Ints
    last: Ints
    cooldown: Ints
    low_profit: Ints
    kills: Ints
    equities: Ints
    closed: Ints


@dataclass(frozen=True)
class Log:
    """What happened, one row each of WIDTH integers; `written` tells how many of each kind."""

    orders: Ints
    fills: Ints
    trades: Ints
    written: Ints
    equity: Ints


@dataclass(frozen=True)
class Scratch:
    """What a session's sizing works on; nothing of it outlives the session.

    `share` and `open_risk`, shape (n,), are holdings, signed, and open risks in shares of equity.
    `idle`, shape (n,), tells who can't act; `names`, `action`, `score`, `wanted` and
    `quarter`, shape (n,), are of the names that act, in the symbols' order; `asked`,
    shape (n, 3), are the orders made of them; `room`, shape (n,), is what the bar may
    still fill of each name. `book_bucket`, `book_sums` and `book_returns` are `totals.Totals`.
    `row` is one record of `decide.INPUT`, or what is read like it. `found` and `fetched`,
    shape (n,), are for loops alone: names they pick out, and what they read of them first.
    """

    share: Floats
    open_risk: Floats
    idle: Ints
    names: Ints
    action: Ints
    score: Floats
    wanted: Floats
    quarter: Floats
    asked: Ints
    room: Ints
    book_bucket: Floats
    book_sums: Floats
    book_returns: Floats
    row: Any
    found: Ints
    fetched: Floats


@dataclass(frozen=True)
class World(Scratch, Log, Book, Rules, Names, Tape):
    """Everything of a replay as one flat value: what the kernels are given.

    A kernel names the form it reads, which to a compiler is one and the same: `arrays`, or
    `numbers`, the same memory in the form that Python reads number by number the fastest.
    """

    @property
    def arrays(self) -> World:
        return self

    @property
    def numbers(self) -> World:
        parts: dict[str, Any] = {f.name: _numbers(getattr(self, f.name)) for f in fields(self)}
        return cast(World, SimpleNamespace(**parts, arrays=self))


def _numbers(part: Any) -> Any:
    if isinstance(part, Rates):
        return Rates(*map(_as_list, part))
    if not isinstance(part, np.ndarray) or part.dtype.names:
        return part
    # Arrays that came from another process may lie anywhere; what a replay writes to never does.
    view: Any = np.require(part, requirements=["A"])
    return memoryview(view)


def _as_list(part: Any) -> Any:
    return part.tolist() if isinstance(part, np.ndarray) else part


def world_of(*parts: Scratch | Log | Book | Rules | Names | Tape) -> World:
    """One world of its parts, which it shares."""
    return World(**{f.name: getattr(part, f.name) for part in parts for f in fields(part)})


def facts_of(columns: Mapping[str, Any]) -> Floats:
    """`Tape.facts` of arrays by the names of `FACTS`, shape (T, n) each, on lines of the cache."""
    first = np.asarray(columns[FACTS[0]])
    out = _room((*first.shape, len(FACTS)), LINE).view(np.float64)
    for at, name in enumerate(FACTS):
        out[..., at] = columns[name]
    return out


def _room(shape: tuple[int, ...], multiple: int) -> Ints:
    """Memory that begins at a multiple of so many numbers."""
    size = math.prod(shape)
    room = np.empty(size + multiple, np.int64)
    skip = -(room.ctypes.data // room.itemsize) % multiple
    return room[skip : skip + size].reshape(shape)


def new_book(n: int, *, cash: int, last: Ints) -> Book:
    """An account with cash only; `last` are the last known closes, 0 where there was none."""
    ints = {field.name: np.zeros(n, np.int64) for field in fields(Book)}
    ints |= {
        "money": np.array([cash, 0, 0, cash, 0]),
        "risk": np.zeros(10, np.int64),
        "queue": np.zeros(n + 1, np.int64),
        "last": last.astype(np.int64),
        "cooldown": np.full(n, -1),
        "low_profit": np.full(n, -1),
        "kills": np.zeros(HISTORY, np.int64),
        "equities": np.zeros((HISTORY, 2), np.int64),
        "closed": np.zeros((HISTORY, 4), np.int64),
    }
    return Book(**(ints | {"entry_atr": np.zeros(n)}))  # type: ignore[arg-type]


def new_log(rows: tuple[int, int, int], sessions: int) -> Log:
    """Room for so many orders, fills and trades."""
    # In one piece, on large pages: each page costs time when it is first written to.
    orders, fills, trades = np.split(_room((sum(rows), WIDTH), PAGE), np.cumsum(rows[:2]))
    return Log(orders, fills, trades, np.zeros(3, np.int64), np.zeros(sessions, np.int64))


def new_scratch(n: int, window: int) -> Scratch:
    """Room to size n names; the record is plain, which Python reads faster than NumPy's."""
    parts: dict[str, Any] = {field.name: np.zeros(n) for field in fields(Scratch)}
    parts |= {name: np.zeros(n, np.int64) for name in ("idle", "names", "action", "found", "room")}
    parts |= {"book_bucket": np.zeros(len(BUCKETS)), "book_sums": np.zeros(3)}
    parts |= {"book_returns": np.zeros(window)}
    parts |= {"asked": np.zeros((n, 3), np.int64), "row": [{}]}
    return Scratch(**parts)
