"""What a book's trades could have been, and what each bound of its decisions cost or saved.

Everything is read from the ledger and the bars: nobody is asked, nothing is trained or traded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from hybridnb.app.again import (
    Recorded,
    bare_panel,
    chosen_book,
    recorded_hints,
    recorded_sessions,
    served_model,
)
from hybridnb.app.bounds import Bounds, Viewed, bounds
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.desk import Hints
from hybridnb.app.hinting import live_hints
from hybridnb.app.progress import Say, timed
from hybridnb.app.trade_choices import (
    Choice,
    Views,
    alternatives_table,
    baseline_views,
    choices,
    grades,
    trades_table,
)
from hybridnb.app.training import Model
from hybridnb.canonical import plain
from hybridnb.errors import UsageError
from hybridnb.market.assemble import digest

SHOWN = 10  # trades in the text


def silent(text: str) -> None:
    """Nothing is said."""


@dataclass(frozen=True)
class Counterfactuals:
    """A book's closed trades against their alternatives, and its bounds taken away.

    Attributes
    ----------
    first, last : str
        Sessions of the stretch, from the book's first.
    session : str
        The session whose closed trades are shown; empty: all.
    bounded : Bounds
    notes : tuple of str
        What couldn't be known, and what was taken from the record instead.
    """

    book: str
    first: str
    last: str
    session: str
    sessions: int
    currency: str
    choices: tuple[Choice, ...]
    bounded: Bounds
    notes: tuple[str, ...] = ()

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row a closed trade, the most regretted first; money in account units."""
        return trades_table(self.choices)

    @cached_property
    def alternatives(self) -> pd.DataFrame:
        """One row a trade and alternative."""
        return alternatives_table(self.choices)

    @property
    def bounds(self) -> pd.DataFrame:
        """One row a bound: what the stretch came to without it, less what it came to."""
        return self.bounded.table

    @property
    def grades(self) -> Mapping[str, int]:
        """Trades by grade."""
        return grades(self.choices)

    def values(self) -> dict[str, Any]:
        """As plain values, unknown figures None."""
        base = self.bounded.base
        frames = {
            name: _records(getattr(self, name)) for name in ("trades", "alternatives", "bounds")
        }
        found: Any = plain(
            {
                **{n: getattr(self, n) for n in ("book", "first", "last", "session", "sessions")},
                "grades": dict(self.grades),
                "base_equal": self.bounded.equal,
                "base_pnl": None if base is None else base.pnl,
                "notes": self.notes,
                **frames,
            }
        )
        return dict(found)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    known = frame.astype(object).where(frame.notna(), None)
    return [{str(k): v for k, v in row.items()} for row in known.to_dict("records")]


def counterfactuals(
    context: Context,
    *,
    book: str = "",
    session: str = "",
    with_bounds: bool = True,
    say: Say = silent,
) -> Counterfactuals:
    """Judge a book's closed trades, and replay its sessions without each bound.

    Parameters
    ----------
    context : Context
        Of the book's feed; its history is as far as alternatives are followed.
    book : str
        Empty: the only one in the ledger.
    session : str
        Show the trades closed in it, and bounds through it; empty: everything to the context's.
    with_bounds : bool
        Without, nothing is replayed but the trades.

    Raises
    ------
    UsageError
        When there is no such book or session, or the feed isn't the book's.
    """
    ledger = context.ledger()
    name = chosen_book(ledger, book)
    sessions = recorded_sessions(ledger, name, to=session or context.session)
    if not sessions or (session and sessions[-1].session != session):
        raise UsageError(
            f"{name} closed no session {session or f'to {context.session}'}",
            remedy="Give a session that the book closed, or a later --date.",
        )
    notes = list(_strange(context, sessions[-1]))
    model = None if notes else served_model(context, sessions[-1].model_version)
    with timed("judge the closed trades", say):
        found = bare_panel(context)
        made = choices(sessions, found, only=session, views=_views(context, model, notes))
    with timed("take each bound away", say):
        hints = _viewed(context, sessions, notes) if with_bounds else recorded_hints
        bounded = bounds(context, sessions if with_bounds else (), found, hints=hints, say=say)
    return Counterfactuals(
        book=name,
        first=sessions[0].session,
        last=sessions[-1].session,
        session=session,
        sessions=len(sessions),
        currency=context.market.currency,
        choices=tuple(made),
        bounded=bounded,
        notes=(*notes, *(bounded.notes if with_bounds else ("bounds weren't replayed",))),
    )


def _strange(context: Context, one: Recorded) -> tuple[str, ...]:
    """What keeps the history at hand from being the book's.

    Raises
    ------
    UsageError
        When it is another feed's.
    """
    row = one.of_kind("inputs")[0]
    if row["feed"] != context.market.feed:
        raise UsageError(
            f"{one.book} was traded on the feed {row['feed']}, not {context.market.feed}",
            remedy=f"Give --feed {row['feed']}.",
        )
    through = pd.Timestamp(row.get("data_through", one.session))
    bars = context.history[context.history["session"] <= through]
    if digest(bars) == row["data_digest"]:
        return ()
    return ("the history was revised since the book traded on it: no model is asked",)


def _views(context: Context, model: Model | None, notes: list[str]) -> Views | None:
    if model is not None:
        return baseline_views(context, model)
    notes.append("the other engine's model isn't there any more: what it would do is unknown")
    return None


def _viewed(context: Context, sessions: Sequence[Recorded], notes: list[str]) -> Viewed:
    """The hint of each session from the model that served it, else as it was recorded."""
    versions = {one.model_version for one in sessions}
    models = {version: served_model(context, version) for version in sorted(versions)}
    lost = [one.session for one in sessions if models[one.model_version] is None]
    if lost:
        notes.append(
            f"the hint's view of {len(lost)} sessions is the recorded one, whatever the book"
            " would hold instead: their model isn't there any more"
        )

    def hints(one: Recorded) -> Hints:
        model = models[one.model_version]
        return recorded_hints(one) if model is None else live_hints(model.hint, context)

    return hints


def counterfactuals_of(
    request: Request, *, book: str, session: str, say: Say
) -> tuple[dict[str, Any], str]:
    """The body of `hybridnb counterfactuals`: plain values, and the text for people."""
    found = counterfactuals(open_day(request), book=book, session=session, say=say)
    return found.values(), counterfactual_text(found)


def counterfactual_text(found: Counterfactuals) -> str:
    """The trades by regret, the grades, and what each bound cost or saved, in short tables."""
    where = f"closed in {found.session}" if found.session else f"{found.first} to {found.last}"
    parts = (
        [f"{found.book}: {len(found.choices)} closed trades, {where}", _grade_line(found)],
        _trade_lines(found),
        _bound_lines(found),
        [f"note: {note}" for note in found.notes],
    )
    blocks = ("\n".join(filter(None, lines)) for lines in parts)
    return "\n\n".join(filter(None, blocks))


def _grade_line(found: Counterfactuals) -> str:
    return "  ".join(f"{name} {n}" for name, n in found.grades.items())


def _trade_lines(found: Counterfactuals) -> list[str]:
    good = found.trades["reproduced"].astype(bool)
    table, wrong = found.trades[good], found.trades[~good]
    lines = [
        f"{'trade':<24}{'P&L':>12}{'best alternative':>20}{'regret':>12}  score  grade",
        *(
            f"{row['symbol'] + ' ' + row['entered']:<24}{row['pnl']:>12,.2f}{row['best']:>20}"
            f"{row['regret']:>12,.2f}  {row['score']:>5.2f}  {row['grade']}"
            for row in table.head(SHOWN).to_dict("records")
        ),
    ]
    lines += [f"… and {len(table) - SHOWN} more"] if len(table) > SHOWN else []
    for row in wrong.to_dict("records"):
        lines.append(f"{row['symbol']} {row['entered']}: no alternatives: {row['why']}")
    return lines if len(found.trades) else []


def _bound_lines(found: Counterfactuals) -> list[str]:
    base = found.bounded.base
    if base is None or not found.bounded.equal:
        return ["What each bound cost or saved isn't known."]
    moved = found.bounds[found.bounds["effect"] != "nothing"]
    idle = [str(name) for name in found.bounds.loc[found.bounds["effect"] == "nothing", "bound"]]
    return [
        f"{found.sessions} sessions as traded: P&L {base.pnl:,.2f} {found.currency}, drawdown"
        f" {base.drawdown:.2%}, {base.trades} trades. Without",
        *(
            f"  {row['bound']:<22}{row['difference']:>+14,.2f}: it {row['effect']} that;"
            f" drawdown {row['drawdown_change']:+.2%}, trades {row['trades_change']:+d}"
            for row in moved.to_dict("records")
        ),
        f"  nothing changes: {', '.join(idle)}",
    ]
