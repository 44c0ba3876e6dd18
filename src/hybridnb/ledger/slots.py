"""The schedule's rows: one a (job, session), claimed with a lease, settled by who holds it.

Every change of a row is one UPDATE whose WHERE says what it rests on, so that of two schedulers
one succeeds. Leases and pauses are measured by a clock that no one sets: PostgreSQL's own, or the
machine's time since boot, which the caller hands over together with the boot's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Connection, and_, func, insert, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from hybridnb.ledger.schema import SCHEDULE_SLOTS as SLOTS
from hybridnb.ledger.schema import SCHEDULE_STARTS as STARTS

Status = Literal["due", "running", "done", "failed", "skipped"]
ENDED = ("done", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Instant:
    """Seconds of a clock that only runs forward; `epoch` names the clock."""

    epoch: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Slot:
    """One job for one session.

    Attributes
    ----------
    job, session : str
        Together the key; the session as ISO date.
    due_at : str
        When it is to run: UTC, ISO.
    status : str
        due, running, done, failed (no attempt is left) or skipped.
    attempts, failures : int
        How often it was begun, and how often an attempt ended badly. One that was cut short
        together with its scheduler is no failure.
    owner : str
        Who works on it; empty for nobody.
    epoch, until : str, float
        Of a running one: the lease's end. Of a due one: the next attempt's start.
    at : str
        When its status was written last: UTC, ISO.
    seconds : float
        The last attempt's length.
    report : str
        Page that it left; empty without one.
    error : str
        Why it failed, waits or was skipped.
    told : int
        1 once a final failure was alerted.
    """

    job: str
    session: str
    due_at: str
    status: Status = "due"
    attempts: int = 0
    failures: int = 0
    owner: str = ""
    epoch: str = ""
    until: float = 0.0
    at: str = ""
    seconds: float = 0.0
    report: str = ""
    error: str = ""
    told: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """Who asks for a slot, at what wall time, and for how long."""

    owner: str
    lease: float
    at: str


def instant(connection: Connection, local: Instant) -> Instant:
    """The clock that leases are measured by: the server's, where several machines share one."""
    if connection.dialect.name != "postgresql":
        return local
    found = connection.execute(text("SELECT extract(epoch FROM clock_timestamp())"))
    return Instant("server", float(found.scalar_one()))


def start(connection: Connection, starts: Mapping[str, str]) -> dict[str, str]:
    """Remember since which session each job is scheduled; the first word stays."""
    rows = [{"job": job, "since": since} for job, since in starts.items()]
    if rows:
        connection.execute(_new(connection, STARTS).on_conflict_do_nothing(), rows)
    return {str(job): str(since) for job, since in connection.execute(select(STARTS))}


def put(connection: Connection, new: Iterable[Slot]) -> None:
    """Write rows that aren't there; one that is there stays as it is."""
    rows = [asdict(slot) for slot in new]
    if rows:
        connection.execute(_new(connection, SLOTS).on_conflict_do_nothing(), rows)


def _new(connection: Connection, table: Any) -> Any:
    kinds = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    return kinds.get(connection.dialect.name, insert)(table)


def newest(connection: Connection) -> dict[str, str]:
    """The last session that each job has a row of."""
    query = select(SLOTS.c.job, func.max(SLOTS.c.session)).group_by(SLOTS.c.job)
    return {str(job): str(session) for job, session in connection.execute(query)}


def unsettled(connection: Connection, *, now: str) -> list[Slot]:
    """Rows with something left to do, by due time, ISO times compared as text.

    Those due or running; failures that weren't told; and what ended before it was due, which
    only a clock that was ahead can have done.
    """
    open_ones = SLOTS.c.status.in_(("due", "running"))
    untold = and_(SLOTS.c.status == "failed", SLOTS.c.told == 0)
    early = and_(SLOTS.c.status.in_(("failed", "skipped")), SLOTS.c.due_at > now)
    return _read(connection, select(SLOTS).where(or_(open_ones, untold, early)))


def of_sessions(connection: Connection, sessions: Iterable[str]) -> list[Slot]:
    """All rows of some sessions, by due time."""
    return _read(connection, select(SLOTS).where(SLOTS.c.session.in_(sorted(set(sessions)))))


def changed(connection: Connection, *, most: int) -> list[Slot]:
    """Rows that were begun or ended, the newest first."""
    query = select(SLOTS).where(SLOTS.c.at != "").order_by(SLOTS.c.at.desc(), SLOTS.c.job)
    return [Slot(**row._mapping) for row in connection.execute(query.limit(most))]


def _read(connection: Connection, query: Any) -> list[Slot]:
    ordered = query.order_by(SLOTS.c.due_at, SLOTS.c.session, SLOTS.c.job)
    return [Slot(**row._mapping) for row in connection.execute(ordered)]


def claim(connection: Connection, slot: Slot, *, by: Claim, now: Instant) -> bool:
    """Take a slot whose time has come, or whose holder's lease ran out; whether it is ours now.

    Parameters
    ----------
    slot : Slot
        As it was read; a row that changed since isn't taken.
    """
    ready = or_(SLOTS.c.epoch != now.epoch, SLOTS.c.until <= now.seconds)
    there = and_(
        _is(slot),
        SLOTS.c.status == slot.status,
        SLOTS.c.owner == slot.owner,
        SLOTS.c.attempts == slot.attempts,
        SLOTS.c.status.in_(("due", "running")),
        ready,
    )
    values: dict[str, Any] = {"status": "running", "attempts": slot.attempts + 1, "error": ""}
    values |= {"owner": by.owner, "epoch": now.epoch, "until": now.seconds + by.lease, "at": by.at}
    return connection.execute(update(SLOTS).where(there).values(**values)).rowcount == 1


def renew(connection: Connection, slot: Slot, *, by: Claim, now: Instant) -> bool:
    """Hold a claimed slot for longer; whether it was still ours."""
    values = {"epoch": now.epoch, "until": now.seconds + by.lease}
    done = connection.execute(update(SLOTS).where(_held(slot, by)).values(**values))
    return done.rowcount == 1


def settle(connection: Connection, slot: Slot, *, by: Claim, end: Mapping[str, Any]) -> bool:
    """Give a claimed slot its end, or back for another attempt; whether it was still ours."""
    values = {"owner": "", "epoch": "", "until": 0.0, **end}
    done = connection.execute(update(SLOTS).where(_held(slot, by)).values(**values))
    return done.rowcount == 1


def change(connection: Connection, slot: Slot, **values: Any) -> bool:
    """Change a slot that nobody works on, if it is still as it was read."""
    same = and_(_is(slot), SLOTS.c.status == slot.status, SLOTS.c.attempts == slot.attempts)
    done = connection.execute(update(SLOTS).where(same).values(**values))
    return done.rowcount == 1


def _is(slot: Slot) -> Any:
    return and_(SLOTS.c.job == slot.job, SLOTS.c.session == slot.session)


def _held(slot: Slot, by: Claim) -> Any:
    return and_(_is(slot), SLOTS.c.status == "running", SLOTS.c.owner == by.owner)
