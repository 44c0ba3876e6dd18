"""What the operations chain keeps of a post-mortem, so that nobody is asked twice about a day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import pandas as pd

from hybridnb.app.context import Context
from hybridnb.app.escalated import KINDS, MANUAL
from hybridnb.app.frontier import OFFLINE, alerted
from hybridnb.app.postmortem import ABSENT, PostMortem, facts_digest, write_post_mortem
from hybridnb.app.reasoners import open_reasoner
from hybridnb.app.trading import Traded
from hybridnb.canonical import plain
from hybridnb.errors import Missing
from hybridnb.ledger.store import Ledger
from hybridnb.market import calendar
from hybridnb.ports import Reasoner

Row = Mapping[str, Any]
Write = Callable[[Row | None, Sequence[Row]], PostMortem]
KIND = "post_mortem"
AHEAD = 21  # days, in which every reply in force has ended


def about(ledger: Ledger, book: str, session: str) -> list[Mapping[str, Any]]:
    """Rows of the operations chain about a session's escalations, in order within each kind.

    A session's own are named by it; an operator's are rows of their own that say what they are
    about.
    """
    every = list(chain.from_iterable(ledger.rows("operations", kind=kind) for kind in KINDS))
    manual = {
        row["id"]
        for row in every
        if row["kind"] == MANUAL and (row["book"], row["about"]) == (book, session)
    }
    begin = f"{book}-{session}-"

    def ours(row: Mapping[str, Any]) -> bool:
        name = row["id"] if row["kind"] == MANUAL else row.get("escalation") or row.get("about")
        return name in manual or str(name).startswith(begin)

    return [row for row in every if ours(row)]


def recorded_row(made: PostMortem, *, book: str, at: dt.datetime) -> dict[str, Any]:
    """What the operations chain gets when a post-mortem is first written."""
    row = {
        "kind": KIND,
        "book": book,
        "session": made.report.session,
        "writer": made.writer,
        "why": made.why,
        "outcome": made.outcome,
        "sections": [{"heading": h, "sentences": s} for h, s in made.sections.items()],
        "removed": {"share": made.removed.share, **plain(made.removed)},
        "facts_sha256": facts_digest(made.report),
        "attempt": made.attempt,
        "at": at.isoformat(timespec="seconds"),
    }
    return dict(plain(row))


def first_or_recorded(
    ledger: Ledger, *, book: str, session: str, write: Write, now: Callable[[], dt.datetime]
) -> PostMortem:
    """The post-mortem on record, or the one written now, which is the record from then on.

    Parameters
    ----------
    write : callable
        Of the earlier row, or None, and of the operations rows about the session.
    """
    found = ledger.rows("operations", kind=KIND, book=book, session=session)
    replies = about(ledger, book, session)
    made = write(found[0] if found else None, replies)
    if not found:
        ledger.append("operations", [recorded_row(made, book=book, at=now())])
        if made.offline and not any(row.get("text") == OFFLINE for row in replies):
            alerted(ledger, OFFLINE, at=now())
    return made


def post_mortem(context: Context, traded: Traded, before: Mapping[str, Any] | None) -> PostMortem:
    """The post-mortem of a traded session, recorded; the local reasoner is asked if it never was.

    Parameters
    ----------
    before : mapping or None
        The `session_closed` row of the book's session before.

    Raises
    ------
    Refused
        When another process writes one at the same time.
    """
    ledger = context.ledger()

    def write(recorded: Row | None, replies: Sequence[Row]) -> PostMortem:
        local, absent = (None, ABSENT) if recorded else _local(context)
        try:
            return write_post_mortem(
                traded.rows,
                before,
                currency=context.market.currency,
                multipliers={s: i.multiplier for s, i in context.market.instruments.items()},
                local=local,
                replies=replies,
                dates=_dates(context),
                recorded=recorded,
                absent=absent,
                training=context.own_training,
            )
        finally:
            if local is not None:
                local.close()

    with context.home.locked("post-mortem"):
        return first_or_recorded(
            ledger,
            book=traded.book,
            session=traded.session,
            write=write,
            now=lambda: dt.datetime.now(dt.UTC),
        )


def _local(context: Context) -> tuple[Reasoner | None, str]:
    """The reasoner that the parameters name; without it, why."""
    try:
        return open_reasoner(context.settings.escalation.local), ABSENT
    except Missing as error:
        return None, f"The local reasoner can't be asked: {error}."


def _dates(context: Context) -> dict[int, str]:
    """The next sessions by ordinal, as far as a reply of this one can reach."""
    end = pd.Timestamp(context.session) + pd.Timedelta(days=AHEAD)
    days = calendar.sessions(context.market.calendar, context.session, end)
    return {int(context.ordinals[-1]) + i: f"{day:%Y-%m-%d}" for i, day in enumerate(days)}
