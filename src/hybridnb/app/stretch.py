"""Sessions stepped in memory one after another, and what each came to.

What a replay under replies is judged by: the sandbox of a change and the replay of a crisis both
read it here, so that both step exactly what trades.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hybridnb.app.backtest import Rows, predicted_rows
from hybridnb.app.desk import Setup
from hybridnb.app.panel import Day, Panel
from hybridnb.app.records import Recorder, counts
from hybridnb.app.session import step
from hybridnb.app.state import State, first_state
from hybridnb.domain import SCALE, Bucket, Leg, Mode, OrderState, Side
from hybridnb.escalation.portfolio import drawdown_5d
from hybridnb.limits import CODE, limits
from hybridnb.metrics import max_drawdown
from hybridnb.policy import Policy

TRADED = (Bucket.PENNY, Bucket.FNO, Bucket.CORE)
_ROUNDING = 1e-9  # of shares of equity: prices and equity are whole numbers, their ratio isn't


@dataclass(frozen=True, slots=True)
class Stepped:
    """One session.

    Attributes
    ----------
    equity, opening : float
        Account units, at the close and at the opening.
    worst_mark : float
        Lowest P&L of the session's marks, a signed fraction of the opening equity; NaN where it
        couldn't be computed.
    killed : bool
        The kill switch tripped in it.
    orders : int
        Sent, without those refused.
    used : mapping
        Exposure with the session's entries counted as filled, as a share of what the operator
        allows: by bucket (`bucket_core`), of its largest name (`name_core`), and `gross`.
    over : tuple of str
        Caps that an entry of the session went beyond, in words.
    rows : sequence of mapping
        As the ledger would hold them.
    """

    session: str
    ordinal: int
    equity: float
    opening: float
    worst_mark: float
    killed: bool
    orders: int
    used: Mapping[str, float]
    over: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a stretch came to under one policy; shares are of equity.

    Attributes
    ----------
    kills : tuple of str
        Sessions in which the kill switch tripped.
    drawn : tuple of str
        Sessions at whose close the 5-day drawdown was above the bar.
    worst_day : float
        The lowest mark of any session, signed.
    max_drawdown, drawdown_5d : float
        From closes, positive.
    used : mapping
        The largest of each session's `used`.
    equity : float
        At the last close, account units.
    """

    kills: tuple[str, ...]
    drawn: tuple[str, ...]
    worst_day: float
    max_drawdown: float
    drawdown_5d: float
    used: Mapping[str, float]
    orders: int
    equity: float


def new_account(operator: Policy, mode: Mode) -> State:
    """The state that every stretch begins with: cash only, in this mode."""
    state = first_state(operator)
    return replace(state, risk=replace(state.risk, mode=mode))


def replayable(panel: Panel, *, to: str = "") -> Rows:
    """Rows of the sessions that can be replayed: with bars, and predictions on the day before.

    Parameters
    ----------
    to : str
        The last session that may be among them; empty: the panel's last.
    """
    rows = predicted_rows(panel) + 1
    rows = rows[rows < len(panel.sessions)]
    rows = rows[panel.present[rows].any(axis=1)]
    return rows[panel.sessions[rows] <= np.datetime64(to)] if to else rows


def stepped(
    state: State, day: Day, setup: Setup, *, compact: bool = False
) -> tuple[State, Stepped]:
    """Step one session, its rows in memory; `setup.policy` is the operator's.

    With `compact` its decisions share one row, see `Recorder`.
    """
    record = Recorder(book=setup.book, session=day.session, stamp={}, compact=compact)
    after = step(state, day, setup, record)
    rows = record.rows
    opened = next(row for row in rows if row["kind"] == "session_opened")
    marks = [row for row in rows if row["kind"] == "mark"]
    pnl = [float(row["day_pnl"]) for row in marks if row["day_pnl"] is not None]
    used, over = exposure(state, day, setup.policy, rows)
    return after, Stepped(
        session=day.session,
        ordinal=day.ordinal,
        equity=rows[-1]["equity"] / SCALE,
        opening=opened["equity"] / SCALE,
        worst_mark=min(pnl, default=math.nan),
        killed=bool(marks[-1]["killed"]),
        orders=counts(rows)["orders"],
        used=used,
        over=over,
        rows=rows,
    )


def exposure(
    state: State, day: Day, operator: Policy, rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Use of the operator's caps with the session's entries filled, and which they exceed.

    As `decide` counts: at the last prices before the session, exits not yet made, and a holding
    that grew above its cap by its price exceeds nothing.
    """
    opened = next(row for row in rows if row["kind"] == "session_opened")
    lim, equity = limits(operator, Mode(opened["mode"])), int(opened["equity"])
    sent = {row["client_id"]: row for row in rows if _entry(row)}.values()
    units: dict[str, int] = {s: p.quantity for s, p in state.book.positions.items()}
    for row in sent:
        more = row["quantity"] * Side(row["side"]).sign
        units[row["symbol"]] = units.get(row["symbol"], 0) + more
    used: dict[str, float] = defaultdict(float)
    over, buckets = [], dict.fromkeys(TRADED, 0.0)
    entered = {row["symbol"] for row in sent}
    for symbol in sorted(units):
        made = day.instruments[symbol]
        value = abs(made.delta * units[symbol] * made.multiplier) * day.last[symbol] / equity
        key, cap = f"name_{made.bucket.lower()}", lim.name[CODE[made.bucket]]
        buckets[made.bucket] = buckets.get(made.bucket, 0.0) + value
        used[key] = max(used[key], _use(value, cap))
        over += _beyond(f"{symbol}, {key}", value, cap, symbol in entered)
    for bucket, value in buckets.items():
        key, cap = f"bucket_{bucket.lower()}", lim.bucket[CODE[bucket]]
        used[key] = _use(value, cap)
        entries = any(day.instruments[s].bucket is bucket for s in entered)
        over += _beyond(key, value, cap, entries)
    gross = sum(buckets.values())
    used["gross"] = _use(gross, lim.max_leverage)
    over += _beyond("gross", gross, lim.max_leverage, bool(entered))
    return dict(used), tuple(f"{day.session}: {each}" for each in over)


def _use(value: float, cap: float) -> float:
    return value / cap if cap > 0.0 else 0.0


def _beyond(what: str, value: float, cap: float, entered: bool) -> list[str]:
    above = entered and value > cap + _ROUNDING
    return [f"{what}: {value:.4%} of equity, above {cap:.4%}"] if above else []


def _entry(row: Mapping[str, Any]) -> bool:
    entry = row["kind"] == "order" and row["leg"] == Leg.ENTRY
    return bool(entry and row["state"] != OrderState.REJECTED)


def figures_of(course: Sequence[Stepped], *, cash: float, bar: float) -> Figures:
    """What a stretch of at least one session came to.

    Parameters
    ----------
    cash : float
        Equity before the first session, account units.
    bar : float
        5-day drawdown above which a session is counted.
    """
    equity = np.array([cash, *(each.equity for each in course)])
    falls = [drawdown_5d(equity[: n + 2]) for n in range(len(course))]
    names = sorted({name for each in course for name in each.used})
    return Figures(
        kills=tuple(each.session for each in course if each.killed),
        drawn=tuple(e.session for e, fall in zip(course, falls, strict=True) if fall > bar),
        worst_day=min(
            (e.worst_mark for e in course if e.worst_mark == e.worst_mark), default=math.nan
        ),
        max_drawdown=max_drawdown(equity),
        drawdown_5d=max(falls),
        used={name: max(e.used.get(name, 0.0) for e in course) for name in names},
        orders=sum(each.orders for each in course),
        equity=float(equity[-1]),
    )
