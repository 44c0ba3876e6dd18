"""What ran and what is due next, for dashboard, API and command line."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hybridnb.app.home import shipped
from hybridnb.app.schedule.actions import FUNCTIONS
from hybridnb.app.schedule.params import ScheduleParams, read_schedule
from hybridnb.app.schedule.reconcile import iso, starts_of, waits_for
from hybridnb.app.schedule.wanted import checked_reach, today, wanted
from hybridnb.ledger import slots
from hybridnb.ledger.slots import ENDED, Slot
from hybridnb.ledger.store import Ledger
from hybridnb.market import calendar

RAN = 20  # rows that are shown of what ran
# Days in which each kind of job has its next session, with the longest holidays.
_AHEAD = {"every": 12, "weekly": 20, "monthly": 45, "yearly": 380}

Board = dict[str, list[dict[str, Any]]]


def jobs_board(
    ledger: Ledger, now: dt.datetime, *, schedule: ScheduleParams | None = None
) -> Board:
    """What ran, the newest first; what runs, waits or comes next, the soonest first.

    Parameters
    ----------
    now : datetime
        With a time zone.
    schedule : ScheduleParams, optional
        By default the shipped parameters'.

    Returns
    -------
    dict
        ran [{job, session, status, attempts, at, seconds, report, error}]; due [{job, session,
        at, status, why}], `why` being what it waits for.

    Raises
    ------
    ParamsError, Missing
        When the schedule can't be read, or the calendar ends soon.
    """
    known = schedule or read_schedule(shipped("params"), known=FUNCTIONS)
    with ledger.beside() as connection:
        recent = slots.changed(connection, most=4 * RAN)
        left = slots.unsettled(connection, now=iso(now))
        starts, newest = starts_of(connection, known, now), slots.newest(connection)
        there = {(s.job, s.session): s for s in left if s.status not in ENDED}
        sessions = {session for _, session in there}
        there |= {(s.job, s.session): s for s in slots.of_sessions(connection, sessions)}
    ran = [_ran(slot) for slot in recent if slot.status in ENDED][:RAN]
    due = [
        _due(slot, waits_for(known, slot, starts=starts, there=there))
        for slot in left
        if slot.status not in ENDED
    ]
    return {"ran": ran, "due": sorted(due + _coming(known, newest, now), key=lambda r: r["at"])}


def _ran(slot: Slot) -> dict[str, Any]:
    names = ("job", "session", "status", "attempts", "at", "seconds", "report", "error")
    return {name: getattr(slot, name) for name in names}


def _due(slot: Slot, waits: str) -> dict[str, Any]:
    why = f"after {waits}" if waits else slot.error
    return {"job": slot.job, "session": slot.session, "at": slot.due_at} | {
        "status": slot.status,
        "why": "" if slot.status == "running" else why,
    }


def _coming(
    schedule: ScheduleParams, newest: dict[str, str], now: dt.datetime
) -> list[dict[str, Any]]:
    """The next session of each job that has no row yet."""
    if not schedule.jobs:
        return []
    checked_reach(schedule, now)
    first = today(schedule, now)
    end = calendar.known_until(schedule.calendar).tz_localize("UTC").to_pydatetime()
    found = []
    for job in schedule.jobs:
        since = max(first, schedule.start)
        until = min(now + dt.timedelta(days=_AHEAD[job.sessions]), end - dt.timedelta(days=15))
        coming = wanted(schedule, job, since=since, until=until)
        fresh = [each for each in coming if each.session > newest.get(job.name, "")]
        if fresh:
            at = iso(fresh[0].due_at)
            row = {"job": job.name, "session": fresh[0].session, "at": at}
            found.append(row | {"status": "due", "why": ""})
    return found


def board_text(board: Board) -> str:
    """A line a row: what is due, then what ran."""
    lines = ["due:"] if board["due"] else ["nothing is due"]
    for row in board["due"]:
        why = f"  ({row['why']})" if row["why"] else ""
        state = "  running" if row["status"] == "running" else ""
        lines.append(f"  {row['at'][:16]}Z  {row['job']:<18} {row['session']}{state}{why}")
    lines += ["", "ran:"] if board["ran"] else ["", "nothing ran yet"]
    for row in board["ran"]:
        note = row["report"] or row["error"]
        tries = f", {row['attempts']} attempts" if row["attempts"] > 1 else ""
        lines.append(
            f"  {row['at'][:16]}Z  {row['job']:<18} {row['session']}"
            f"  {row['status']} in {row['seconds']:.1f} s{tries}  {note}".rstrip()
        )
    return "\n".join(lines)
