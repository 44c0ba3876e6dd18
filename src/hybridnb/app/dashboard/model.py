"""What a page shows at one moment: the read-model, the book that is looked at, and its age."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybridnb.app.dashboard.words import instant

Block = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Staleness:
    """From when on data are old.

    Attributes
    ----------
    minutes : float
        Of a session that is open.
    days : float
        Of a book at rest: its last session lies no more than a long weekend back.
    """

    minutes: float = 5.0
    days: float = 4.0

    def old(self, book: Block, now: dt.datetime) -> bool:
        """Whether a book's newest fact is too old to act on; one without a time isn't."""
        newest = newest_fact(book)
        if newest is None:
            return False
        most = dt.timedelta(minutes=self.minutes) if book.get("live") else self._rest()
        return now - newest > most

    def _rest(self) -> dt.timedelta:
        return dt.timedelta(days=self.days)


def newest_fact(book: Block) -> dt.datetime | None:
    """When a book's newest fact is from; the end of its session's day where no clock timed it."""
    timed = instant(book.get("as_of"))
    if timed is not None:
        return timed
    day = instant(book.get("session"))
    return None if day is None else day + dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class View:
    """One reading, as the panels draw it.

    Attributes
    ----------
    status : mapping
        The read-model whole.
    book : mapping
        The book looked at; empty while none was traded.
    series, scores : mapping
        Its equity and drawdown by session; the scores of its last session.
    now : datetime
        When it was read, in UTC.
    stale : bool
        The book's data are old.
    links : bool
        Reports are served beside the page.
    """

    status: Block
    book: Block
    now: dt.datetime
    series: Block = field(default_factory=dict)
    scores: Block = field(default_factory=dict)
    stale: bool = False
    links: bool = True

    def block(self, name: str) -> Block:
        """A part of the read-model; empty where it isn't there."""
        found = self.status.get(name)
        return found if isinstance(found, Mapping) else {}

    def pending(self) -> list[Block]:
        """What was asked of the book and isn't applied yet."""
        name = self.book.get("book")
        return [a for a in rows(self.status, "operators") if a.get("book") == name]


def rows(block: Block, name: str) -> list[Block]:
    """A list of the read-model; empty where it isn't there."""
    found = block.get(name)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return []
    return [row for row in found if isinstance(row, Mapping)]


def names(status: Block) -> list[str]:
    """The books, those with an open session first, then the newest."""
    order = sorted(rows(status, "books"), key=_newest, reverse=True)
    return [str(book.get("book", "")) for book in order]


def _newest(book: Block) -> tuple[bool, str, str]:
    # Read again and again, equal ones must not change places: the name decides.
    return (bool(book.get("live")), str(book.get("session", "")), str(book.get("book", "")))


def chosen(status: Block, wanted: str) -> Block:
    """The book asked for, else the first of `names`; empty while there is none."""
    by_name = {str(book.get("book", "")): book for book in rows(status, "books")}
    found = by_name.get(wanted)
    if found is not None:
        return found
    order = names(status)
    return by_name[order[0]] if order else {}
