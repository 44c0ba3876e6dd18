"""What ran and what comes, as dashboard, API and command line show it."""

from __future__ import annotations

import datetime as dt
import json

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.schedule.board import board_text, jobs_board
from hybridnb.app.schedule.params import JobParams, ScheduleParams
from hybridnb.app.schedule.reconcile import reconcile
from hybridnb.ledger import slots
from hybridnb.ledger.slots import Slot

NOW = dt.datetime(2024, 12, 23, 23, tzinfo=dt.UTC)
BASE = {"kind": "function", "run": "doctor"}
KNOWN = ScheduleParams(
    start="2024-12-20",
    jobs=(
        JobParams(name="early", anchor="open", offset=-60, **BASE),
        JobParams(name="late", after=("early",), **BASE),
        JobParams(name="week", sessions="weekly", **BASE),
        JobParams(name="year", sessions="yearly", offset=30, **BASE),
    ),
)


def put(*rows: Slot) -> None:
    with open_ledger().beside(write=True) as connection:
        slots.put(connection, rows)


def test_a_fresh_home_shows_the_next_session_of_each_job_the_soonest_first() -> None:
    board = jobs_board(open_ledger(), NOW.replace(hour=12), schedule=KNOWN)
    assert board["ran"] == []
    assert [(r["job"], r["session"], r["at"][:16]) for r in board["due"]] == [
        ("early", "2024-12-23", "2024-12-23T13:30"),
        ("late", "2024-12-23", "2024-12-23T21:00"),
        ("week", "2024-12-27", "2024-12-27T21:00"),
        ("year", "2024-12-31", "2024-12-31T21:30"),
    ]
    assert "nothing ran yet" in board_text(board)


def test_what_ran_and_runs_and_waits_is_told_with_its_reason() -> None:
    put(
        Slot(
            job="early",
            session="2024-12-20",
            due_at="2024-12-20T13:30:00+00:00",
            status="done",
            attempts=1,
            at="2024-12-20T14:00:00.000+00:00",
            seconds=2.5,
            report="2024-12-20/x.html",
        ),
        Slot(
            job="late",
            session="2024-12-20",
            due_at="2024-12-20T21:00:00+00:00",
            status="failed",
            attempts=3,
            failures=3,
            at="2024-12-20T22:00:00.000+00:00",
            error="out of memory",
            told=1,
        ),
    )
    reconcile(open_ledger(), KNOWN, NOW)
    with open_ledger().beside(write=True) as connection:
        row = next(s for s in slots.of_sessions(connection, ["2024-12-23"]) if s.job == "early")
        by = slots.Claim("me", 60.0, "2024-12-23T22:00:00.000+00:00")
        assert slots.claim(connection, row, by=by, now=slots.Instant("boot", 1.0))
    board = jobs_board(open_ledger(), NOW, schedule=KNOWN)
    json.dumps(board, allow_nan=False)
    assert [(r["job"], r["status"], r["attempts"]) for r in board["ran"]] == [
        ("late", "failed", 3),
        ("early", "done", 1),
    ]
    states = {(r["job"], r["session"]): (r["status"], r["why"]) for r in board["due"]}
    assert states["early", "2024-12-23"] == ("running", "")
    assert states["late", "2024-12-23"] == ("due", "after early")
    assert states["early", "2024-12-24"] == ("due", "")  # its row comes when it is due
    text = board_text(board)
    assert "2024-12-20/x.html" in text and "out of memory" in text and "3 attempts" in text
    assert "running" in text and "(after early)" in text
