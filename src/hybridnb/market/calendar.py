"""Exchange calendars: which days are sessions, and when they close.

Sessions are naive, normalised timestamps (the exchange's own date). The calendars are those of
exchange_calendars, which knows about one year ahead of today; a question beyond that end is
refused with a remedy, never answered by a guess. `24/7` is the calendar of markets that never
close: every day is a session, which ends at the next midnight UTC.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import exchange_calendars as xc
import pandas as pd
from exchange_calendars.errors import InvalidCalendarName

from hybridnb.errors import Missing, UsageError

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

Day: TypeAlias = str | dt.date | pd.Timestamp

FIRST_YEAR = 1900  # the library's holiday rules are of no use before


def sessions(code: str, start: Day, end: Day) -> pd.DatetimeIndex:
    """Sessions of an exchange from `start` to `end`, both included.

    Parameters
    ----------
    code : str
        Name in exchange_calendars: XTSE, XNYS, 24/7.
    start, end : str or date
        An `end` before `start` gives no session.

    Returns
    -------
    pandas.DatetimeIndex
        Naive and normalised, increasing, unit ns.

    Raises
    ------
    Missing
        When `end` lies beyond what the library knows.
    UsageError
        When no such calendar exists, or `start` is before 1900.
    """
    first, last = _day(start), _day(end)
    if last < first:
        return pd.DatetimeIndex([], dtype="datetime64[ns]")
    known = _covering(code, first, last)
    days = known.sessions_in_range(first, last).to_numpy(dtype="datetime64[ns]")
    return pd.DatetimeIndex(days)  # without the library's frequency, which slicing would carry


def is_session(code: str, day: Day) -> bool:
    """Whether the exchange opens on that day."""
    when = _day(day)
    return bool(_covering(code, when, when).is_session(when))


def next_session(code: str, day: Day) -> pd.Timestamp:
    """The first session after `day`, which need not be a session itself."""
    when = _day(day) + pd.Timedelta(days=1)
    return pd.Timestamp(_covering(code, when, when).date_to_session(when, direction="next"))


def previous_session(code: str, day: Day) -> pd.Timestamp:
    """The last session before `day`, which need not be a session itself."""
    when = _day(day) - pd.Timedelta(days=1)
    return pd.Timestamp(_covering(code, when, when).date_to_session(when, direction="previous"))


def closes_at(code: str, session: Day) -> pd.Timestamp:
    """When a session closes, in the exchange's own time zone (early closes included).

    Raises
    ------
    UsageError
        When the day is no session.
    """
    when = _session(code, session)
    known = _covering(code, when, when)
    return pd.Timestamp(known.session_close(when).tz_convert(known.tz))


def opens_at(code: str, session: Day) -> pd.Timestamp:
    """When a session opens, in the exchange's own time zone.

    Raises
    ------
    UsageError
        When the day is no session.
    """
    when = _session(code, session)
    known = _covering(code, when, when)
    return pd.Timestamp(known.session_open(when).tz_convert(known.tz))


def closes(code: str, days: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """When each of some sessions closes, in UTC; as `closes_at`, for many at once.

    Raises
    ------
    UsageError
        When a day is no session.
    """
    if not len(days):
        return pd.DatetimeIndex([], tz="UTC")
    known = _covering(code, _day(days.min()), _day(days.max())).closes
    places = known.index.get_indexer_for(days)
    if (places < 0).any():
        raise UsageError(f"{days[places < 0][0]:%Y-%m-%d} is no session of {code}")
    return pd.DatetimeIndex(known.iloc[places]).tz_convert("UTC")


def early_close(code: str, session: Day) -> bool:
    """Whether a session closes before its usual time."""
    when = _session(code, session)
    return when in _covering(code, when, when).early_closes


def zone(code: str) -> str:
    """IANA name of the exchange's time zone."""
    return str(_calendar(code, _decade(2000)).tz)


def known_until(code: str) -> pd.Timestamp:
    """The last session the library knows of."""
    return pd.Timestamp(_calendar(code, _decade(2000)).last_session)


def _session(code: str, day: Day) -> pd.Timestamp:
    when = _day(day)
    if not is_session(code, when):
        raise UsageError(f"{when:%Y-%m-%d} is no session of {code}")
    return when


def _day(day: Day) -> pd.Timestamp:
    when = pd.Timestamp(day)
    if pd.isna(when) or when.tz is not None:
        raise UsageError(f"{day!r} is no date: a session is a date without a time zone")
    return when.normalize()


def _decade(year: int) -> int:
    # Twenty years is the library's default reach; decades keep the number of calendars small.
    return min(year // 10 * 10, 2000)


def _covering(code: str, first: pd.Timestamp, last: pd.Timestamp) -> ExchangeCalendar:
    if first.year < FIRST_YEAR:
        raise UsageError(f"no calendar reaches back to {first:%Y-%m-%d}; the first is 1900-01-01")
    known = _calendar(code, _decade(first.year))
    if last > known.last_session:
        raise Missing(
            f"the calendar {code} knows sessions until {known.last_session:%Y-%m-%d}; "
            f"{last:%Y-%m-%d} lies beyond",
            remedy="Restart the program, and update the package exchange_calendars.",
        )
    return known


@lru_cache(maxsize=32)
def _calendar(code: str, start_year: int) -> ExchangeCalendar:
    try:
        # A few days early: January's first sessions need a session before them.
        return xc.get_calendar(code, start=f"{start_year - 1}-12-01")
    except InvalidCalendarName:
        raise UsageError(
            f"no exchange calendar is called {code!r}",
            remedy="Name one of exchange_calendars: XTSE, XNYS, XNAS, XLON, 24/7 …",
        ) from None
