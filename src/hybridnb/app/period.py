"""What both chains hold of a stretch of time: what every periodic report is made from.

Sessions belong by their date. What an operator, a job or a reasoner did belongs by the session
it names, else by the wall clock at which it was recorded: for recorded histories the two differ.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hybridnb.app.alerts import Alert, alerts
from hybridnb.errors import Refused, UsageError
from hybridnb.ledger import slots
from hybridnb.ledger.store import Ledger

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """First and last day, ISO."""

    first: str
    last: str

    def __contains__(self, day: object) -> bool:
        return isinstance(day, str) and self.first <= day[:10] <= self.last


def week_to(session: str) -> Span:
    """From its week's Monday through a session."""
    day = dt.date.fromisoformat(session)
    return Span((day - dt.timedelta(days=day.weekday())).isoformat(), session)


def year_to(session: str) -> Span:
    """The twelve months that end with a session."""
    day = dt.date.fromisoformat(session)
    try:
        before = day.replace(year=day.year - 1)
    except ValueError:  # 29 February
        before = day.replace(year=day.year - 1, day=28)
    return Span((before + dt.timedelta(days=1)).isoformat(), session)


def last_session(ledger: Ledger, asked: str | None) -> str:
    """The session that a report ends with: the one asked for, else the last one closed.

    Raises
    ------
    UsageError
        When what was asked for is no date.
    Refused
        When nothing was traded yet.
    """
    if asked:
        try:
            return dt.date.fromisoformat(asked).isoformat()
        except ValueError:
            raise UsageError(f"{asked!r} is no date", remedy="Give YYYY-MM-DD.") from None
    closed = ledger.rows("session", kind="session_closed")
    if not closed:
        raise Refused("no session was traded yet", remedy="Run `hybridnb day` first.")
    return str(max(row["session"] for row in closed))


class Period:
    """Rows of both chains in a span, each kind read when it is first asked for."""

    def __init__(self, ledger: Ledger, span: Span) -> None:
        self.ledger, self.span = ledger, span
        self._read: dict[str, list[Row]] = {}

    def session(self, kind: str, book: str = "") -> list[Row]:
        """Rows of the session chain, of one kind."""
        if kind not in self._read:
            found = self.ledger.rows("session", kind=kind)
            self._read[kind] = [row for row in found if row["session"] in self.span]
        return [row for row in self._read[kind] if book in ("", row["book"])]

    def operations(self, kind: str) -> list[Row]:
        """Rows of the operations chain, of one kind."""
        return [row for row in self.ledger.rows("operations", kind=kind) if self._mine(row)]

    def _mine(self, row: Row) -> bool:
        if session := row.get("session"):
            return session in self.span
        return row.get("at") in self.span

    @cached_property
    def closed(self) -> list[Row]:
        return self.session("session_closed")

    @cached_property
    def books(self) -> list[str]:
        return sorted({row["book"] for row in self.closed})

    @cached_property
    def sessions(self) -> list[str]:
        return sorted({row["session"] for row in self.closed})

    @cached_property
    def alerts(self) -> list[Alert]:
        """Alerts whose session, or whose time where they have none, lies in the span."""
        return [a for a in alerts(self.ledger) if (a["session"] or a["at"]) in self.span]

    @cached_property
    def jobs(self) -> list[slots.Slot]:
        """What the schedule did for the span's sessions, and for days without one."""
        with self.ledger.beside() as connection:
            return slots.of_sessions(connection, _days(self.span))

    @cached_property
    def verdicts(self) -> list[Row]:
        return self.operations("verdict")


def _days(span: Span) -> Sequence[str]:
    first, last = map(dt.date.fromisoformat, (span.first, span.last))
    return [(first + dt.timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
