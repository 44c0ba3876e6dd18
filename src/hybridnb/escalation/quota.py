"""Three attempts a day, not one more: reserved in the ledger before a socket opens.

The day is the date in the exchange's time zone. A reservation is a row of the operations chain
under a book of its own and that date; the ledger's `ensure` compares what is there and appends
in one commit group, so of two processes that saw the same rows only one can add the next. A
reservation stays counted whatever became of it: whether a killed process had sent is unknown.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pydantic import Field, model_validator

from hybridnb.errors import Missing, Refused
from hybridnb.escalation.breaker import Breaker
from hybridnb.escalation.calls import Call
from hybridnb.policy import Count, Params, Positive

CHAIN = "operations"
BOOK = "frontier"  # the reservations' own; what became of them is recorded under no book
RESERVED = "frontier_reserved"
ALERT = "Escalation to GPT-5: {call} ({number}/{of})"
_TRIES = 100  # each one lost is a row that another process got in


class QuotaParams(Params):
    """How often the frontier may be asked in a day."""

    per_day: int = Field(3, ge=0, le=3, description="attempts on the wire a day, at most")
    judges: Count = Field(1, description="of them kept for the sanity judge's own triggers")
    lease_seconds: Positive = Field(60.0, description="a reservation may be sent for, seconds")
    midnight_seconds: Positive = Field(10.0, description="before midnight, nothing is sent")

    @model_validator(mode="after")
    def _within(self) -> QuotaParams:
        if self.judges > self.per_day:
            raise ValueError("judges <= per_day")
        return self


class Denial(StrEnum):
    """Why the frontier isn't asked; the value is what reports print."""

    DATED = "the session is over: records or the scripted reasoner answer"
    SPENT = "the day's attempts are spent"
    KEPT = "what is left of the day's attempts is kept for the sanity judge"
    TAKEN = "this attempt was reserved before; whether it was sent isn't known"
    MIDNIGHT = "too close to midnight at the exchange to be sent today"
    BREAKER = "the last attempts failed: the frontier is left alone for a while"


class Records(Protocol):
    """What the quota needs of a ledger."""

    def rows(self, chain: str, **match: str) -> Sequence[Mapping[str, Any]]:
        """Payloads in order, filtered by equal top-level fields."""

    def ensure(
        self, chain: str, rows: Sequence[Mapping[str, Any]], *, book: str, session: str
    ) -> Written:
        """Append what isn't there yet, atomically between processes; durable on return.

        Raises
        ------
        Refused
            When a row that is there differs from the one given in its place.
        """


class Written(Protocol):
    """What `ensure` says of its work."""

    @property
    def written(self) -> int:
        """Rows that were new."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Who wants to ask what.

    Attributes
    ----------
    attempt : str
        Never used before, also not by another process: one for each attempt on the wire.
    call : Call
    session : date
        The session that the question is about.
    manual : bool
        An operator asks: it counts, and never takes the judge's.
    ask_frontier : bool
        An operator spends quota on a session that is over, on purpose.
    """

    attempt: str
    call: Call
    session: dt.date
    manual: bool = False
    ask_frontier: bool = False

    @property
    def judge(self) -> bool:
        """Whether it may take what is kept for the judge."""
        return self.call is Call.SANITY_JUDGE and not self.manual


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right to send once.

    Attributes
    ----------
    attempt : str
    call : Call
    date : date
        At the exchange: the day it counts for.
    number, of : int
        Which of the day's attempts it is, from 1. Quota before: `number - 1` used.
    until : datetime
        UTC. A socket opened later could reach the server on another day.
    """

    attempt: str
    call: Call
    date: dt.date
    number: int
    of: int
    until: dt.datetime

    def holds(self, now: dt.datetime) -> bool:
        """Whether a socket may still be opened: asked right before, by the clock as it is then."""
        return now < self.until

    @property
    def alert(self) -> str:
        """What people are told: `Escalation to GPT-5: Regime Auditor (1/3)`."""
        return ALERT.format(call=self.call.label, number=self.number, of=self.of)


@dataclass(frozen=True, slots=True)
class Usage:
    """A day's reservations: all of them, and those that can't take what is kept."""

    total: int = 0
    ordinary: int = 0

    def denial(self, ask: Ask, params: QuotaParams) -> Denial | None:
        """Why one more isn't allowed; None where it is.

        The judge may take any that is left. The others together take no more than what isn't
        kept, also on a day on which the judge has been asked already.
        """
        if self.total >= params.per_day:
            return Denial.SPENT
        if not ask.judge and self.ordinary >= params.per_day - params.judges:
            return Denial.KEPT
        return None


def exchange_date(now: dt.datetime, zone: dt.tzinfo) -> dt.date:
    """The date at the exchange; a ValueError for a moment without a time zone."""
    if now.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return now.astimezone(zone).date()


def usage(rows: Iterable[Mapping[str, Any]]) -> Usage:
    """What a day's rows come to."""
    kept = [bool(r["judge"]) for r in rows if r.get("kind") == RESERVED]
    return Usage(len(kept), kept.count(False))


def used(ledger: Records, date: dt.date) -> Usage:
    """What is used of a day's quota."""
    return usage(ledger.rows(CHAIN, book=BOOK, session=date.isoformat()))


def reserve(
    ledger: Records,
    ask: Ask,
    now: dt.datetime,
    *,
    zone: dt.tzinfo,
    params: QuotaParams,
    breaker: Breaker = Breaker.CLOSED,
) -> Reservation | Denial:
    """Reserve one attempt, durably, before a socket opens.

    Parameters
    ----------
    now : datetime
        The wall clock, with its time zone.
    zone : tzinfo
        Of the exchange.
    breaker : Breaker
        As the recorded attempts have it; an open one denies.

    Returns
    -------
    Reservation or Denial
        A reservation is in the ledger when this returns; the caller sends once, after asking
        `holds`. Nothing is written for a denial.

    Raises
    ------
    Missing, LedgerBroken
        When the ledger can't be read or written: nothing may be sent.
    """
    date = exchange_date(now, zone)
    if ask.session < date and not ask.ask_frontier:
        return Denial.DATED
    if breaker is Breaker.OPEN:
        return Denial.BREAKER
    until = _until(now, date, zone=zone, params=params)
    if until <= now:
        return Denial.MIDNIGHT
    if ledger.rows(CHAIN, book=BOOK, attempt=ask.attempt):
        return Denial.TAKEN
    for _ in range(_TRIES):
        there = list(ledger.rows(CHAIN, book=BOOK, session=date.isoformat()))
        if any(row.get("attempt") == ask.attempt for row in there):  # meanwhile, by another
            return Denial.TAKEN
        before = usage(there)
        denial = before.denial(ask, params)
        if denial is not None:
            return denial
        if _added(ledger, [*there, _row(ask, before, date, now=now, of=params.per_day)], date):
            return Reservation(ask.attempt, ask.call, date, before.total + 1, params.per_day, until)
    raise Missing(
        f"no reservation after {_TRIES} tries: others keep writing to the same day",
        remedy="Nothing was sent. Look who else escalates with this ledger, and ask again.",
    )


def _until(now: dt.datetime, date: dt.date, *, zone: dt.tzinfo, params: QuotaParams) -> dt.datetime:
    """Until when a socket may open: for the lease, and well before the day is over."""
    midnight = dt.datetime.combine(date + dt.timedelta(days=1), dt.time(), zone)
    last = midnight.astimezone(dt.UTC) - dt.timedelta(seconds=params.midnight_seconds)
    return min(now.astimezone(dt.UTC) + dt.timedelta(seconds=params.lease_seconds), last)


def _row(ask: Ask, before: Usage, date: dt.date, *, now: dt.datetime, of: int) -> Mapping[str, Any]:
    return {
        "kind": RESERVED,
        "book": BOOK,
        "session": date.isoformat(),
        "n": before.total,
        "attempt": ask.attempt,
        "call": str(ask.call),
        "about": ask.session.isoformat(),
        "judge": ask.judge,
        "manual": ask.manual,
        "at": now.astimezone(dt.UTC).isoformat(),
        "used_before": before.total,
        "used_after": before.total + 1,
        "of": of,
    }


def _added(ledger: Records, rows: Sequence[Mapping[str, Any]], date: dt.date) -> bool:
    """Whether the last row is in, written by us: False where another process came first."""
    try:
        done = ledger.ensure(CHAIN, rows, book=BOOK, session=date.isoformat())
    except Refused:  # another row stands in the place of ours
        return False
    return done.written == 1
