"""Desired state minus what the table holds, on real calendars and a real ledger."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.schedule.params import JobParams, ScheduleParams
from hybridnb.app.schedule.reconcile import (
    LATER,
    MISSED,
    REMOVED,
    iso,
    plan,
    reconcile,
    starts_of,
    waits_for,
)
from hybridnb.app.schedule.wanted import due, takes, today, wanted
from hybridnb.errors import Missing
from hybridnb.ledger import slots
from hybridnb.ledger.slots import Slot
from hybridnb.ledger.store import Ledger

# XTSE around Christmas 2024: an early close on the 24th, holidays on the 25th, 26th and January 1.
CHRISTMAS = ["2024-12-23", "2024-12-24", "2024-12-27", "2024-12-30", "2024-12-31", "2025-01-02"]


def job(name: str = "nightly", **more: Any) -> JobParams:
    return JobParams(**{"name": name, "kind": "function", "run": "doctor", **more})


def schedule(*jobs: JobParams, **more: Any) -> ScheduleParams:
    return ScheduleParams(**{"start": "2024-12-23", "jobs": jobs, **more})


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{text}+00:00")


def table(ledger: Ledger) -> dict[tuple[str, str], Slot]:
    days = pd.date_range("2024-12-01", "2025-02-01").strftime("%Y-%m-%d")
    with ledger.beside() as connection:
        return {(s.job, s.session): s for s in slots.of_sessions(connection, days)}


def put(ledger: Ledger, name: str, session: str, **values: Any) -> None:
    """Bring a row into a state as a scheduler would have left it."""
    with ledger.beside(write=True) as connection:
        assert slots.change(connection, table(ledger)[name, session], **values)


@pytest.fixture
def ledger() -> Ledger:
    return open_ledger()


def test_holidays_have_no_slot_and_an_early_close_is_earlier() -> None:
    known = schedule(job(offset=30))
    found = wanted(known, known.jobs[0], since="2024-12-23", until=at("2025-01-02T23:00:00"))
    assert [w.session for w in found] == CHRISTMAS
    times = {w.session: iso(w.due_at)[11:16] for w in found}
    assert times["2024-12-24"] == "18:30"  # 13:00 in Toronto
    assert times["2024-12-23"] == "21:30"


def test_summer_time_moves_the_utc_time_of_a_close() -> None:
    winter, summer = pd.Timestamp("2024-01-15"), pd.Timestamp("2024-07-15")
    assert iso(due("XTSE", job(), winter))[11:16] == "21:00"
    assert iso(due("XTSE", job(), summer))[11:16] == "20:00"
    assert iso(due("XTSE", job(anchor="open", offset=-60), summer))[11:16] == "12:30"


@pytest.mark.parametrize(
    ("which", "last"),
    [
        ("weekly", ["2024-12-24", "2024-12-31"]),
        ("monthly", ["2024-12-31"]),
        ("yearly", ["2024-12-31"]),
    ],
)
def test_the_last_session_of_a_span_is_known_by_the_calendar(which: str, last: list[str]) -> None:
    rule = job(sessions=which)
    # Were the 27th and the 3rd closed too, the weeks would end on the 24th and the 31st.
    days = [d for d in [*CHRISTMAS, "2025-01-03"] if takes("XTSE", rule, pd.Timestamp(d))]
    ends = {"weekly": ["2024-12-27", "2025-01-03"]}.get(which, last)
    assert days == ends
    known = schedule(rule)
    found = wanted(known, rule, since="2024-12-23", until=at("2025-01-04T00:00:00"))
    assert [w.session for w in found] == ends
    good_friday = pd.Timestamp("2024-03-28")  # a Thursday
    assert takes("XTSE", job(sessions="weekly"), good_friday)
    assert takes("XTSE", job(sessions="monthly"), good_friday)


def test_a_market_that_never_closes_has_a_slot_each_day() -> None:
    known = schedule(job(), calendar="24/7")
    found = wanted(known, known.jobs[0], since="2024-12-24", until=at("2024-12-27T00:00:00"))
    assert [w.session for w in found] == ["2024-12-24", "2024-12-25", "2024-12-26"]


def test_the_exchange_has_its_own_date() -> None:
    assert today(schedule(), at("2025-01-03T03:00:00")) == "2025-01-02"


def test_five_days_of_downtime_are_made_up_for_as_each_job_asks(ledger: Ledger) -> None:
    jobs = (
        job("every_one"),
        job("last_one", catch_up="latest"),
        job("on_time", catch_up="none", late=60),
        job("weekly", sessions="weekly"),
    )
    reconcile(ledger, schedule(*jobs), at("2024-12-23T21:30:00"))
    assert {k[0]: s.status for k, s in table(ledger).items()} == dict.fromkeys(
        ("every_one", "last_one", "on_time"), "due"
    )
    reconcile(ledger, schedule(*jobs), at("2024-12-30T21:30:00"))
    found = table(ledger)
    states = {n: {k[1]: s.status for k, s in found.items() if k[0] == n} for n, _ in found}
    assert states["every_one"] == dict.fromkeys(CHRISTMAS[:4], "due")
    assert states["last_one"] == dict.fromkeys(CHRISTMAS[:3], "skipped") | {CHRISTMAS[3]: "due"}
    assert states["on_time"] == dict.fromkeys(CHRISTMAS[:3], "skipped") | {CHRISTMAS[3]: "due"}
    assert states["weekly"] == {"2024-12-27": "due"}
    assert found["last_one", CHRISTMAS[0]].error == LATER
    assert found["on_time", CHRISTMAS[0]].error == MISSED


def test_the_same_pass_twice_and_a_clock_that_jumps_change_nothing(ledger: Ledger) -> None:
    known = schedule(job())
    reconcile(ledger, known, at("2024-12-24T22:00:00"))
    put(ledger, "nightly", "2024-12-23", status="done", at="2024-12-23T22:00:00+00:00")
    before = table(ledger)
    for moment in ("2024-12-24T22:00:00", "2024-12-20T00:00:00", "2024-12-24T23:00:00"):
        reconcile(ledger, known, at(moment))
        assert table(ledger) == before
    reconcile(ledger, known, at("2024-12-31T23:00:00"))
    ahead = table(ledger)
    reconcile(ledger, known, at("2024-12-24T23:00:00"))
    assert table(ledger) == ahead
    assert ahead["nightly", "2024-12-23"].status == "done"


def test_what_failed_before_its_time_is_opened_again(ledger: Ledger) -> None:
    known = schedule(job(), job("newest", catch_up="latest"))
    reconcile(ledger, known, at("2024-12-30T23:00:00"))  # a clock that is ahead
    put(ledger, "nightly", "2024-12-30", status="failed", failures=3, attempts=3, told=1)
    put(ledger, "nightly", "2024-12-23", status="failed", failures=3, attempts=3, told=1)
    reconcile(ledger, known, at("2024-12-24T23:00:00"))
    found = table(ledger)
    again = found["nightly", "2024-12-30"]
    assert (again.status, again.attempts, again.failures, again.told) == ("due", 0, 0, 0)
    assert found["nightly", "2024-12-23"].status == "failed"
    assert found["newest", "2024-12-27"].status == "due"
    assert found["newest", "2024-12-24"].status == "skipped"


def test_a_job_that_is_not_scheduled_any_more_is_skipped(ledger: Ledger) -> None:
    reconcile(ledger, schedule(job(), job("gone")), at("2024-12-24T23:00:00"))
    put(ledger, "gone", "2024-12-23", status="done")
    reconcile(ledger, schedule(job()), at("2024-12-24T23:00:00"))
    found = table(ledger)
    assert found["gone", "2024-12-23"].status == "done"
    assert (found["gone", "2024-12-24"].status, found["gone", "2024-12-24"].error) == (
        "skipped",
        REMOVED,
    )


def test_what_waits_for_a_skipped_job_is_skipped_with_it(ledger: Ledger) -> None:
    jobs = (job("a", catch_up="latest"), job("b", after=("a",)), job("c", after=("b",)))
    reconcile(ledger, schedule(*jobs), at("2024-12-24T23:00:00"))
    found = table(ledger)
    assert {found[n, "2024-12-23"].status for n in "abc"} == {"skipped"}
    assert found["b", "2024-12-23"].error == "a was skipped"
    assert found["c", "2024-12-23"].error == "b was skipped"
    assert {found[n, "2024-12-24"].status for n in "abc"} == {"due"}


def test_a_schedule_begins_with_its_first_pass(ledger: Ledger) -> None:
    known = schedule(job(), start="")
    reconcile(ledger, known, at("2024-12-27T12:00:00"))
    assert table(ledger) == {}
    reconcile(ledger, known, at("2024-12-30T23:00:00"))
    assert [session for _, session in table(ledger)] == ["2024-12-27", "2024-12-30"]


def test_a_first_pass_under_a_clock_that_was_ahead_holds_nothing_up(ledger: Ledger) -> None:
    known = schedule(job(), start="")
    reconcile(ledger, known, at("2025-01-20T12:00:00"))
    reconcile(ledger, known, at("2024-12-30T23:00:00"))
    assert [session for _, session in table(ledger)] == ["2024-12-30"]


def test_near_the_calendar_s_end_nothing_is_scheduled(ledger: Ledger) -> None:
    import exchange_calendars as xc

    end = xc.get_calendar("XTSE").last_session.to_pydatetime().replace(tzinfo=dt.UTC)
    known = schedule(job(), start="2026-01-02", lookahead=30)
    with pytest.raises(Missing, match="less than 30 days after"):
        reconcile(ledger, known, end - dt.timedelta(days=20))
    with ledger.beside() as connection:
        assert slots.newest(connection) == {}


def test_whom_a_row_waits_for(ledger: Ledger) -> None:
    jobs = (job("a", offset=0), job("b", offset=30, after=("a",)), job("w", sessions="weekly"))
    known = schedule(*jobs, job("x", after=("w",)))
    now = at("2024-12-24T23:00:00")
    reconcile(ledger, known, now)
    there = table(ledger)
    with ledger.beside() as connection:
        starts = starts_of(connection, known, now)

    def waits(name: str, session: str) -> str:
        return waits_for(known, there[name, session], starts=starts, there=there)

    assert waits("a", "2024-12-23") == ""
    assert waits("a", "2024-12-24") == "a of 2024-12-23"  # sessions run in order
    assert waits("b", "2024-12-23") == "a"
    assert waits("x", "2024-12-23") == ""  # w doesn't take that session
    for status, expected in (("running", "a"), ("failed", "a"), ("done", "")):
        there["a", "2024-12-23"] = Slot("a", "2024-12-23", "", status)
        assert waits("b", "2024-12-23") == expected
    assert waits("a", "2024-12-24") == ""
    del there["a", "2024-12-23"]  # a isn't due yet: it is still waited for
    assert waits("b", "2024-12-23") == "a"
    late = starts | {"a": "2024-12-24"}  # a was scheduled later than that session
    assert waits_for(known, there["b", "2024-12-23"], starts=late, there=there) == ""


HOURS = st.lists(st.integers(0, 24 * 12), min_size=1, max_size=10)


@given(HOURS, st.sampled_from(["all", "latest", "none"]), st.sampled_from(["every", "weekly"]))
def test_however_a_clock_jumps_each_session_has_one_row_and_runs_at_most_once(
    hours: list[int], catch_up: str, sessions: str
) -> None:
    known = schedule(job(catch_up=catch_up, sessions=sessions))
    rows: dict[str, Slot] = {}
    ran: list[str] = []
    for hour in hours:
        now = at("2024-12-23T00:00:00") + dt.timedelta(hours=hour)
        newest = {"nightly": max(rows)} if rows else {}
        left = [r for r in rows.values() if r.status == "due" or r.due_at > iso(now)]
        left = [r for r in left if r.status != "done"]
        made = plan(known, starts={"nightly": "2024-12-23"}, newest=newest, open_ones=left, now=now)
        assert not {r.session for r in made.new} & set(rows)
        rows |= {r.session: r for r in made.new}
        rows |= {r.session: replace(r, **values) for r, values in made.changes}
        for row in [r for r in rows.values() if r.status == "due" and r.due_at <= iso(now)]:
            ran.append(row.session)
            rows[row.session] = replace(row, status="done", attempts=1)
    end = at("2024-12-23T00:00:00") + dt.timedelta(hours=max(hours))
    should = [w.session for w in wanted(known, known.jobs[0], since="2024-12-23", until=end)]
    assert sorted(rows) == should
    assert len(ran) == len(set(ran))
    if catch_up == "all":
        assert sorted(ran) == should
    elif catch_up == "latest" and should:
        assert should[-1] in ran
