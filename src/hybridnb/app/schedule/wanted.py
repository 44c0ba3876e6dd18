"""What should exist: for each job the sessions whose time has come, on the exchange's calendar."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pandas as pd

from hybridnb.app.schedule.params import JobParams, ScheduleParams
from hybridnb.errors import Missing
from hybridnb.market import calendar

_REACH = 4  # days: an offset reaches at most three behind its session, and one before it
_CLOSED = 10  # days: longer no exchange was closed for since a century
_PERIOD = {"weekly": "W-SUN", "monthly": "M", "yearly": "Y"}


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """A job's session and when it is due, in UTC."""

    due_at: dt.datetime
    session: str
    job: str


def checked_reach(schedule: ScheduleParams, now: dt.datetime) -> None:
    """Refuse to schedule near the end of what the calendar knows.

    Raises
    ------
    Missing
        When the calendar ends within the schedule's `lookahead`.
    """
    end = calendar.known_until(schedule.calendar)
    ahead = pd.Timestamp(now).tz_convert("UTC").tz_localize(None) + pd.Timedelta(
        days=schedule.lookahead
    )
    if end < ahead.normalize():
        raise Missing(
            f"the calendar {schedule.calendar} ends on {end:%Y-%m-%d}, less than"
            f" {schedule.lookahead} days after {now:%Y-%m-%d}: nothing is scheduled",
            remedy="Update the package exchange_calendars and restart; check the machine's clock.",
        )


def today(schedule: ScheduleParams, now: dt.datetime) -> str:
    """The exchange's own date."""
    local = pd.Timestamp(now).tz_convert(calendar.zone(schedule.calendar))
    return f"{local:%Y-%m-%d}"


def wanted(
    schedule: ScheduleParams, job: JobParams, *, since: str, until: dt.datetime
) -> list[Wanted]:
    """A job's sessions from `since` on that fall due by `until`, in order.

    Parameters
    ----------
    since : str
        First session, ISO date.
    until : datetime
        With a time zone.

    Raises
    ------
    Missing
        When the calendar ends before.
    """
    last = pd.Timestamp(until).tz_convert("UTC").tz_localize(None) + pd.Timedelta(days=_REACH)
    found = []
    for session in _taken(schedule.calendar, job, pd.Timestamp(since), last.normalize()):
        moment = due(schedule.calendar, job, session)
        if moment <= until:
            found.append(Wanted(moment, f"{session:%Y-%m-%d}", job.name))
    return found


def _taken(code: str, job: JobParams, first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
    """The sessions that a job runs for; as `takes`, for many at once."""
    if job.sessions == "every":
        return calendar.sessions(code, first, last)
    days = calendar.sessions(code, first, last + pd.Timedelta(days=_CLOSED))
    periods = days.to_period(_PERIOD[job.sessions])
    ends = days[:-1][periods[:-1] != periods[1:]]
    return ends[ends <= last]


def takes(code: str, job: JobParams, session: pd.Timestamp) -> bool:
    """Whether a job runs for a session: every one, or the last of its week, month or year."""
    if job.sessions == "every":
        return True
    period = _PERIOD[job.sessions]
    following = calendar.next_session(code, session)
    return bool(session.to_period(period) != following.to_period(period))


def due(code: str, job: JobParams, session: pd.Timestamp) -> dt.datetime:
    """When a job is due for a session, in UTC; an early close counts as the close."""
    anchor = calendar.opens_at if job.anchor == "open" else calendar.closes_at
    moment = anchor(code, session).tz_convert("UTC") + pd.Timedelta(minutes=job.offset)
    return moment.to_pydatetime()
