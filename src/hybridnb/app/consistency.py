"""Live against replay: a session run again from the ledger, row by row; and live against backtest.

Zero differences is the normal answer. What couldn't be compared is said, never counted as equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hybridnb import metrics
from hybridnb.app.again import Recorded, chosen_book, recorded_sessions
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.progress import Say, timed
from hybridnb.app.rerun import Rerun, Way, rerun
from hybridnb.app.row_differences import Difference, differences, keyed
from hybridnb.canonical import plain
from hybridnb.domain import Mode
from hybridnb.errors import HybridnbError, UsageError
from hybridnb.ledger.store import Ledger

LEAST = 20  # sessions below which a live Sharpe ratio says nothing
SHOWN = 40  # differences in the text
COLUMNS = ("kind", "key", "field", "recorded", "again")


@dataclass(frozen=True)
class Comparison:
    """A recorded session against the same session run again.

    Attributes
    ----------
    way : Way
        How much could be made again.
    compared : mapping of str to int
        Rows that were held against each other, by kind.
    differences : tuple of Difference
        In the order of the record; empty is the normal answer.
    notes : tuple of str
        What couldn't be compared, and why.
    """

    book: str
    session: str
    broker: str
    way: Way
    compared: Mapping[str, int]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Something was compared, and nothing of it differs."""
        return bool(sum(self.compared.values())) and not self.differences

    @property
    def table(self) -> pd.DataFrame:
        """One row a difference."""
        rows = [{name: getattr(d, name) for name in COLUMNS} for d in self.differences]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def values(self) -> dict[str, Any]:
        """As plain values."""
        found: Any = plain(
            {
                **{n: getattr(self, n) for n in ("book", "session", "broker", "way", "notes")},
                "equal": self.equal,
                "compared": dict(self.compared),
                "differences": list(self.differences),
            }
        )
        return dict(found)


def compare_session(source: Context | Ledger, *, book: str = "", session: str = "") -> Comparison:
    """Run a session of a book again and compare every row.

    Parameters
    ----------
    source : Context or Ledger
        A day of the book's feed, opened at the session or later; a ledger alone where there are
        no bars any more: then decisions are made again from their recorded inputs.
    book : str
        Empty: the only one.
    session : str
        Empty: the book's last, to the context's.

    Raises
    ------
    UsageError
        When the book closed no such session.
    """
    context = source if isinstance(source, Context) else None
    ledger = source.ledger() if isinstance(source, Context) else source
    name = chosen_book(ledger, book)
    to = session or (context.session if context else "")
    known = recorded_sessions(ledger, name, to=to)
    if not known or (session and known[-1].session != session):
        last = known[-1].session if known else "none"
        raise UsageError(
            f"{name} closed no session {session or f'to {to}'}",
            remedy=f"Its last before is {last}.",
        )
    return compare_recorded(context and opened_at(context, known[-1].session), known[-1])


def compare_recorded(context: Context | None, one: Recorded) -> Comparison:
    """Compare a session whose rows are at hand, from the ledger or from a copy of it."""
    again = rerun(context, one)
    found = differences(again.recorded, again.again, left_out=lambda k, f: _skips(again, k, f))
    kept = [key for key in keyed(again.recorded) if not _skips(again, key[0], "")]
    return Comparison(
        book=one.book,
        session=one.session,
        broker=one.broker,
        way=again.way,
        compared=dict(Counter(kind for kind, _ in kept)),
        differences=tuple(d for d in found if not _skips(again, d.kind, "")),
        notes=again.notes,
    )


def _skips(again: Rerun, kind: str, field: str) -> bool:
    """Whether a kind of rows, or a field of one, isn't compared."""
    name = f"{kind}.{field}"
    return any(kind == part or (field and name.startswith(part)) for part in again.skipped)


def opened_at(context: Context, session: str) -> Context:
    """The same request opened at a session; the context itself where that is it already."""
    if context.session == session:
        return context
    return open_day(replace(context.request, session=session))


def compared(request: Request, *, session: str, book: str, say: Say) -> tuple[dict[str, Any], str]:
    """The body of `hybridnb compare SESSION`: plain values, and the text for people.

    Where the feed can't be opened at the session any more, the ledger alone is asked.
    """
    ledger = open_ledger()
    name = chosen_book(ledger, book)
    source: Context | Ledger = ledger
    try:
        source = open_day(replace(request, session=session or request.session))
    except HybridnbError as error:
        say(f"the session's bars can't be opened: {error}")
    with timed("run the session again", say):
        found = compare_session(source, book=name, session=session)
    return found.values(), comparison_text(found)


def comparison_text(found: Comparison) -> str:
    """What was compared, how it was made again, and every difference by name."""
    total = sum(found.compared.values())
    parts = ", ".join(f"{n} {kind}" for kind, n in found.compared.items())
    verdict = "no differences" if found.equal else f"{len(found.differences)} differences"
    lines = [
        f"{found.book}, {found.session}{f' through {found.broker}' if found.broker else ''}:"
        f" {verdict if total else 'nothing could be compared'}",
        f"{found.way}",
        f"{total} rows: {parts}" if total else "",
        *(f"  {each}" for each in found.differences[:SHOWN]),
    ]
    left = len(found.differences) - SHOWN
    lines += [f"  … and {left} more"] if left > 0 else []
    return "\n".join([*filter(None, lines), *(f"note: {note}" for note in found.notes)])


def live_consistency(
    ledger: Ledger, book: str, backtest_returns: ArrayLike, *, before: str = ""
) -> tuple[float | None, int]:
    """The Sharpe ratio that a book traded, over the backtest's; and over how many sessions.

    Both are per session, of net returns, over the sessions in which something was decided. Where
    the book was ever live only its live sessions count, else those in demo.

    Parameters
    ----------
    ledger : Ledger
    book : str
    backtest_returns : array-like, shape (t,)
        Daily net returns.
    before : str
        Only sessions before this one count; empty: all.

    Returns
    -------
    tuple of (float or None, int)
        None with fewer than `LEAST` sessions on either side, where a side doesn't vary, or where
        a return of the backtest isn't finite. 0
        where the backtest's ratio isn't above 0: there is nothing to be consistent with, and no
        share of it passes.
    """
    returns = session_returns(ledger, book, before=before)
    tested = np.asarray(backtest_returns, np.float64).ravel()
    if min(len(returns), len(tested)) < LEAST or not np.isfinite(tested).all():
        return None, len(returns)
    lived, wanted = (metrics.sharpe(each, per_year=1) for each in (returns, tested))
    if not (np.isfinite(lived) and np.isfinite(wanted)):
        return None, len(returns)
    return (float(lived / wanted) if wanted > 0.0 else 0.0), len(returns)


def session_returns(
    ledger: Ledger, book: str, *, before: str = ""
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Net returns of a book's closed sessions that were decided: its live ones, else its demo's."""
    opened = {r["session"]: r for r in ledger.rows("session", kind="session_opened", book=book)}
    every = ledger.rows("session", kind="session_closed", book=book)
    closed = [row for row in every if not before or row["session"] < before]
    told = [
        (Mode(opened[row["session"]]["mode"]).live, float(row["day_pnl"]))
        for row in closed
        if row["session"] in opened and opened[row["session"]]["decided"]
    ]
    live = [pnl for is_live, pnl in told if is_live]
    return np.array(live or [pnl for _, pnl in told], np.float64)
