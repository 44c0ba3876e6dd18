"""What each clamp, penalty and gate cost or saved: the same sessions, decided without it.

The base is the book's own sessions stepped again from their first state; it must be what the
ledger holds, order by order. Then each bound is taken away alone, and what the account comes to
is compared with the base. Entries that the bound had blocked are replayed so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.app.again import Recorded, day_of, recorded_hints, setup_of
from hybridnb.app.context import Context
from hybridnb.app.desk import Hints, Setup
from hybridnb.app.freeing import BOUNDS, Freed, setup_without, untouched
from hybridnb.app.panel import Day, Panel
from hybridnb.app.progress import Say
from hybridnb.app.records import decision_rows
from hybridnb.app.stretch import stepped
from hybridnb.domain import SCALE, Leg
from hybridnb.metrics import max_drawdown

Row = Mapping[str, Any]
Viewed = Callable[[Recorded], Hints]
COLUMNS = (
    *("bound", "kind", "effect", "difference", "pnl", "drawdown", "drawdown_change", "trades"),
    *("trades_change", "entries_freed", "touched", "how"),
)
_FIGURES = ("difference", "pnl", "drawdown", "drawdown_change", "trades", "trades_change")


@dataclass(frozen=True)
class Session:
    """A recorded session, ready to be stepped."""

    recorded: Recorded
    day: Day
    setup: Setup


@dataclass(frozen=True)
class Course:
    """A stretch stepped once; money in account units.

    Attributes
    ----------
    pnl, drawdown : float
        Change of equity over the stretch; the largest drawdown of its closes, a share.
    entries : frozenset of str
        Orders that entered, by client id.
    equal : tuple of bool
        By session: orders and closing equity are what the ledger holds.
    """

    pnl: float
    drawdown: float
    trades: int
    entries: frozenset[str]
    equal: tuple[bool, ...]
    decisions: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Bounds:
    """What each bound cost or saved.

    Attributes
    ----------
    table : DataFrame
        One row a bound, the costliest first: `difference` is the P&L without it less the base,
        so that above 0 it cost and below 0 it saved; NaN where nothing can be told.
    base : Course or None
        As traded, stepped again.
    equal : bool
        The base is what the ledger holds. Where it isn't, nothing is compared.
    notes : tuple of str
        What keeps it from being so; what was taken from the record.
    """

    table: pd.DataFrame
    base: Course | None
    equal: bool
    notes: tuple[str, ...] = ()


def bounds(
    context: Context,
    sessions: Sequence[Recorded],
    found: Panel,
    *,
    hints: Viewed = recorded_hints,
    say: Say = lambda text: None,
) -> Bounds:
    """Replay a book's sessions as traded, then without each bound.

    Parameters
    ----------
    sessions : sequence of Recorded
        Consecutive ones of a book, at least one.
    found : Panel
        Their history.
    hints : callable
        The size hint of a session; by default what the session recorded, which doesn't follow
        what the book would hold instead.
    """
    if not sessions:
        return Bounds(_empty(BOUNDS, "no session"), None, False, ("no session was closed",))
    ready, notes = _ready(context, sessions, found, hints)
    if len(ready) < len(sessions):
        return Bounds(_empty(BOUNDS, "the history is short"), None, False, notes)
    base = course(ready)
    if not all(base.equal):
        first = sessions[base.equal.index(False)]
        why = f"{first.session}: stepped again, its fills or its equity aren't the ledger's"
        if first.broker:
            why += f" (it was traded through {first.broker}, which fills by rules of its own)"
        return Bounds(_empty(BOUNDS, "the base isn't what was traded"), base, False, (*notes, why))
    rows = []
    for bound in BOUNDS:
        idle = untouched(bound, base.decisions)
        say(f"without {bound.name}: {'it never bound' if idle else 'replayed'}")
        freed = base if idle else course(ready, bound)
        rows.append(_compared(bound, base, freed, idle))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    order = frame["difference"].sort_values(ascending=False, kind="stable").index
    return Bounds(frame.loc[order].reset_index(drop=True), base, True, notes)


def _ready(
    context: Context, sessions: Sequence[Recorded], found: Panel, hints: Viewed
) -> tuple[list[Session], tuple[str, ...]]:
    ready: list[Session] = []
    notes: list[str] = []
    for one in sessions:
        if found.position(one.session) < 1:
            return ready, (*notes, f"the history at hand has no session {one.session}")
        setup, told = setup_of(context, one, hints(one))
        notes += told
        ready.append(Session(one, day_of(found, one), setup))
    return ready, tuple(notes)


def course(ready: Sequence[Session], without: Freed | None = None) -> Course:
    """Step a stretch from what it began with, as traded or without one bound."""
    state = ready[0].recorded.state
    line: list[float] = []
    kept: list[Row] = []
    equal: list[bool] = []
    for one in ready:
        setup = one.setup if without is None else setup_without(one.setup, without)
        state, done = stepped(state, one.day, setup)
        line += [done.opening] if not line else []
        line.append(done.equity)
        kept += [row for row in done.rows if row["kind"] in ("trade", "order")]
        if without is None:
            kept += decision_rows(done.rows)
        equal.append(_same(one.recorded, done.rows))
    return Course(
        pnl=line[-1] - line[0],
        drawdown=max_drawdown(np.array(line)),
        trades=sum(row["kind"] == "trade" for row in kept),
        entries=frozenset(_entered(kept)),
        equal=tuple(equal),
        decisions=tuple(row for row in kept if row["kind"] == "decision"),
    )


def _entered(rows: Iterable[Row]) -> set[str]:
    entries = (row for row in rows if row["kind"] == "order" and row["leg"] == Leg.ENTRY)
    return {row["client_id"] for row in entries if row["filled"] > 0}


def _same(one: Recorded, rows: Sequence[Row]) -> bool:
    """Whether a session came to the fills and the equity that the ledger holds.

    And to the same orders, where no broker told of theirs in words of its own.
    """
    kinds = ("fill",) if one.broker else ("fill", "order")
    closed = rows[-1]["equity"] == one.closed["equity"]
    return bool(closed and _bodies(rows, kinds) == _bodies(one.rows, kinds))


def _bodies(rows: Iterable[Row], kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of these kinds in order, whatever rows stand between them; when they filled apart."""
    return [{**row, "n": 0, "at": ""} for row in rows if row["kind"] in kinds]


def _compared(bound: Freed, base: Course, freed: Course, idle: bool) -> dict[str, Any]:
    difference = freed.pnl - base.pnl
    felt = bound.touched
    moved = round(difference * SCALE)
    return {
        "bound": bound.name,
        "kind": bound.kind,
        "effect": "cost" if moved > 0 else "saved" if moved < 0 else "nothing",
        "difference": difference,
        "pnl": freed.pnl,
        "drawdown": freed.drawdown,
        "drawdown_change": freed.drawdown - base.drawdown,
        "trades": freed.trades,
        "trades_change": freed.trades - base.trades,
        "entries_freed": len(freed.entries - base.entries),
        "touched": None if felt is None else sum(felt(row) for row in base.decisions),
        "how": "it touched no decision: not replayed" if idle else bound.how,
    }


def _empty(every: Sequence[Freed], why: str) -> pd.DataFrame:
    """Every bound with nothing told of it."""
    rows = [
        {"bound": b.name, "kind": b.kind, "effect": "unknown", "how": why}
        | dict.fromkeys(_FIGURES, float("nan"))
        for b in every
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
