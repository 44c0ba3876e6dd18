"""Desired state minus what the table holds: new rows, and rows that no longer hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from hybridnb.app.schedule.params import JobParams, ScheduleParams
from hybridnb.app.schedule.wanted import Wanted, checked_reach, takes, today, wanted
from hybridnb.ledger import slots
from hybridnb.ledger.slots import ENDED, Slot
from hybridnb.ledger.store import Ledger

LATER = "a later session took its place"
MISSED = "its time had passed: it isn't made up for"
REMOVED = "it isn't in the schedule any more"
UNMET = "{} was skipped"
Changes = list[tuple[Slot, dict[str, Any]]]


@dataclass
class Plan:
    """Rows to write, and rows to change."""

    new: list[Slot] = field(default_factory=list)
    changes: Changes = field(default_factory=list)


def iso(moment: dt.datetime) -> str:
    """UTC to the second, in the one form that the table compares."""
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds")


def reconcile(ledger: Ledger, schedule: ScheduleParams, now: dt.datetime) -> None:
    """Make the table hold what should exist by `now`; nothing that runs or is done changes.

    Raises
    ------
    Missing
        When the calendar ends within the schedule's `lookahead`; nothing was written.
    """
    checked_reach(schedule, now)
    with ledger.beside(write=True) as connection:
        slots.start(connection, {job.name: today(schedule, now) for job in schedule.jobs})
        starts = starts_of(connection, schedule, now)
        newest = slots.newest(connection)
        open_ones = slots.unsettled(connection, now=iso(now))
        made = plan(schedule, starts=starts, newest=newest, open_ones=open_ones, now=now)
        slots.put(connection, made.new)
        for slot, values in made.changes:
            slots.change(connection, slot, **values)
        _unmet(connection, schedule, now)


def starts_of(connection: Connection, schedule: ScheduleParams, now: dt.datetime) -> dict[str, str]:
    """The first session of each job: what the schedule says, else that of its first pass.

    A first pass under a clock that was ahead isn't waited for: today counts.
    """
    here = today(schedule, now)
    first = slots.start(connection, {})
    return {
        job.name: schedule.start or min(first.get(job.name, here), here) for job in schedule.jobs
    }


def plan(
    schedule: ScheduleParams,
    *,
    starts: Mapping[str, str],
    newest: Mapping[str, str],
    open_ones: Iterable[Slot],
    now: dt.datetime,
) -> Plan:
    """What to write.

    Parameters
    ----------
    starts, newest : mapping of str to str
        By job: the first session that is scheduled, and the last one that has a row. All between
        them have rows, since rows are written in order and never taken away.
    open_ones : iterable of Slot
        Rows with something left to do.
    """
    made, mine = Plan(), list(open_ones)
    known = {job.name for job in schedule.jobs}
    for job in schedule.jobs:
        since = starts[job.name]
        if job.name in newest:
            after = pd.Timestamp(newest[job.name]) + pd.Timedelta(days=1)
            since = max(since, f"{after:%Y-%m-%d}")
        missing = wanted(schedule, job, since=since, until=now)
        made.new += [_slot(job, each, missing[-1], now) for each in missing]
        last = missing[-1].session if missing else newest.get(job.name, "")
        for slot in (s for s in mine if s.job == job.name):
            values = _changed(job, slot, last, now)
            if values:
                made.changes.append((slot, values))
    gone = [s for s in mine if s.job not in known and s.status == "due"]
    made.changes += [(slot, _skipped(REMOVED, now)) for slot in gone]
    return made


def _slot(job: JobParams, each: Wanted, last: Wanted, now: dt.datetime) -> Slot:
    slot = Slot(job=job.name, session=each.session, due_at=iso(each.due_at))
    why = _why_not(job, slot, last.session, now)
    return slot if not why else Slot(**_values(slot) | _skipped(why, now))


def _values(slot: Slot) -> dict[str, Any]:
    return {"job": slot.job, "session": slot.session, "due_at": slot.due_at}


def _skipped(why: str, now: dt.datetime) -> dict[str, Any]:
    return {"status": "skipped", "error": why, "at": iso(now)}


def _why_not(job: JobParams, slot: Slot, last: str, now: dt.datetime) -> str:
    """Why a session isn't made up for; empty where it is to run, or was begun."""
    if slot.attempts:
        return ""
    if job.catch_up == "latest" and slot.session < last:
        return LATER
    late = now - dt.datetime.fromisoformat(slot.due_at) > dt.timedelta(minutes=job.late)
    return MISSED if job.catch_up == "none" and late else ""


def _changed(job: JobParams, slot: Slot, last: str, now: dt.datetime) -> dict[str, Any]:
    """What a row with something left to do becomes by itself; empty where it stays."""
    if slot.status in ENDED:
        if slot.due_at <= iso(now):
            return {}
        # It ended before its time: the clock was ahead, and has been put right.
        return {"status": "due", "attempts": 0, "failures": 0, "error": "", "told": 0}
    if slot.status == "due" and slot.due_at <= iso(now):
        why = _why_not(job, slot, last, now)
        return _skipped(why, now) if why else {}
    return {}


def _unmet(connection: Connection, schedule: ScheduleParams, now: dt.datetime) -> None:
    """Skip what waits for a job that was skipped; what waits on that follows at once."""
    due = [s for s in slots.unsettled(connection, now=iso(now)) if s.status == "due"]
    there = {(s.job, s.session): s for s in slots.of_sessions(connection, {s.session for s in due})}
    for job in schedule.jobs:  # listed after those that it waits for
        for slot in (s for s in due if s.job == job.name and s.due_at <= iso(now)):
            for name in job.after:
                before = there.get((name, slot.session))
                if before is not None and before.status == "skipped":
                    values = _skipped(UNMET.format(name), now)
                    slots.change(connection, slot, **values)
                    there[slot.job, slot.session] = Slot(**_values(slot) | values)
                    break


def waits_for(
    schedule: ScheduleParams,
    slot: Slot,
    *,
    starts: Mapping[str, str],
    there: Mapping[tuple[str, str], Slot],
) -> str:
    """The job that a row waits for; empty where it may run.

    A job's sessions run in order: an earlier one that hasn't ended holds the later ones back.

    Parameters
    ----------
    starts : mapping of str to str
        First scheduled session by job: a job isn't waited for in sessions before.
    there : mapping of (str, str) to Slot
        Rows by job and session: those of the same session, and all that haven't ended.
    """
    job = schedule.job(slot.job)
    for name in job.after if job else ():
        before, other = there.get((name, slot.session)), schedule.job(name)
        if before is not None and before.status != "done":
            return name
        missing = before is None and starts.get(name, "9") <= slot.session
        if missing and other and takes(schedule.calendar, other, pd.Timestamp(slot.session)):
            return name
    for each in there.values():
        if each.job == slot.job and each.session < slot.session and each.status not in ENDED:
            return f"{slot.job} of {each.session}"
    return ""
