"""Sessions and closes of exchanges: known answers, ends of the calendar, and round trips."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.errors import Missing, UsageError
from hybridnb.market import calendar

DAYS = st.dates(dt.date(1990, 1, 1), dt.date(2024, 12, 31))


def test_toronto_s_known_days() -> None:
    close = calendar.closes_at("XTSE", "2026-12-24")
    assert close.isoformat() == "2026-12-24T13:00:00-05:00"
    assert str(close.tz) == "America/Toronto"
    assert calendar.early_close("XTSE", "2026-12-24")
    assert not calendar.is_session("XTSE", "2026-12-25")
    assert calendar.is_session("XTSE", "2026-09-30")
    assert calendar.closes_at("XTSE", "2026-09-30").isoformat() == "2026-09-30T16:00:00-04:00"
    assert not calendar.early_close("XTSE", "2026-09-30")


def test_neighbours_step_over_holidays() -> None:
    # Christmas Day and Boxing Day (kept on Monday 28th), then a weekend between.
    assert calendar.next_session("XTSE", "2026-12-24") == pd.Timestamp("2026-12-29")
    assert calendar.previous_session("XTSE", "2026-12-29") == pd.Timestamp("2026-12-24")
    assert calendar.previous_session("XNYS", "2013-03-02") == pd.Timestamp("2013-03-01")


def test_new_york_was_closed_after_the_eleventh_of_september() -> None:
    found = calendar.sessions("XNYS", "2001-09-10", "2001-09-17")
    assert found.strftime("%m-%d").tolist() == ["09-10", "09-17"]


def test_markets_that_never_close() -> None:
    assert len(calendar.sessions("24/7", "2023-12-23", "2024-01-02")) == 11
    assert calendar.closes_at("24/7", "2023-12-25") == pd.Timestamp("2023-12-26", tz="UTC")


def test_nothing_lies_between_an_end_and_a_later_start() -> None:
    assert len(calendar.sessions("XTSE", "2023-02-02", "2023-02-01")) == 0


def test_beyond_its_knowledge_the_calendar_doesn_t_guess() -> None:
    with pytest.raises(Missing):
        calendar.sessions("XTSE", "2020-01-01", "2150-01-01")
    with pytest.raises(UsageError):
        calendar.is_session("XTSE", "1850-01-02")


@pytest.mark.parametrize("code", ["NOWHERE", "", "xtse "])
def test_an_unknown_calendar_is_a_usage_error(code: str) -> None:
    with pytest.raises(UsageError):
        calendar.is_session(code, "2020-01-02")


def test_a_holiday_has_no_close_and_a_moment_is_no_session() -> None:
    with pytest.raises(UsageError):
        calendar.closes_at("XTSE", "2026-12-25")
    with pytest.raises(UsageError):
        calendar.is_session("XTSE", pd.Timestamp("2026-12-24", tz="UTC"))


@given(day=DAYS, code=st.sampled_from(["XTSE", "XNYS"]))
def test_next_and_previous_agree_with_the_list(day: dt.date, code: str) -> None:
    around = calendar.sessions(code, day - dt.timedelta(days=15), day + dt.timedelta(days=15))
    when = pd.Timestamp(day)
    assert calendar.next_session(code, day) == around[around > when][0]
    assert calendar.previous_session(code, day) == around[around < when][-1]
    assert calendar.is_session(code, day) == (when in around)
    assert around.is_monotonic_increasing and around.is_unique and around.tz is None
    assert (around.day_of_week < 5).all()


@pytest.mark.parametrize("code", ["XTSE", "XNYS", "24/7"])
def test_many_closes_are_the_same_as_one_by_one(code: str) -> None:
    days = calendar.sessions(code, "1994-12-20", "1995-01-10")
    days = days.append(calendar.sessions(code, "2013-07-01", "2013-07-08"))
    one_by_one = [calendar.closes_at(code, day).tz_convert("UTC") for day in days]
    assert calendar.closes(code, pd.DatetimeIndex(days)).tolist() == one_by_one
    assert len(calendar.closes(code, pd.DatetimeIndex([]))) == 0


def test_the_close_of_a_holiday_among_sessions_is_refused() -> None:
    with pytest.raises(UsageError, match="2013-07-04 is no session"):
        calendar.closes("XNYS", pd.DatetimeIndex(["2013-07-03", "2013-07-04"]))
