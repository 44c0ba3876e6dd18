"""The daily checklist, answered from what a session left: each line holds, doesn't, or isn't known.

Before the open: model, verdict, data, results so far. Midday: jobs, feedback. After the close:
report, model results, system. The week's own lines are in the weekly report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridnb.app.home import home, reports_folder, shipped
from hybridnb.app.period import Period
from hybridnb.app.settings import settings

Row = Mapping[str, Any]
_DONE, _BAD = ("done", "skipped"), ("failed",)


@dataclass(frozen=True, slots=True)
class Line:
    """One line for one session; `ok` None where it can't be told."""

    when: str
    what: str
    session: str
    ok: bool | None
    told: str


@dataclass(frozen=True, slots=True)
class _Session:
    """A session of a book: its rows by kind."""

    period: Period
    book: str
    day: str
    rows: Sequence[Row]
    before: str  # the book's session before; empty for the first

    def first(self, kind: str) -> Row | None:
        return next((row for row in self.rows if row["kind"] == kind), None)


Answer = tuple[bool | None, str]


def checklist(period: Period, book: str) -> Iterator[Line]:
    """Every line of every session of a book in the period."""
    every = [r["session"] for r in period.ledger.rows("session", kind="session_closed", book=book)]
    for row in period.session("session_closed", book):
        day = row["session"]
        at = every.index(day)
        rows = period.ledger.rows("session", book=book, session=day)
        seen = _Session(period, book, day, rows, every[at - 1] if at else "")
        for when, what, ask in LINES:
            ok, told = ask(seen)
            yield Line(when, what, day, ok, told)


def _model(seen: _Session) -> Answer:
    opened = seen.first("session_opened")
    if opened is None:
        return None, "no opening is recorded"
    version = str(opened.get("model_version") or "")
    return bool(version and opened["decided"]), version[:16] or "no model: nothing was decided"


def _verdict(seen: _Session) -> Answer:
    opened = seen.first("session_opened") or {}
    found = [
        row
        for row in seen.period.ledger.rows("operations", kind="verdict")
        if row["model_version"] == opened.get("model_version") and row["session"] <= seen.day
    ]
    if not found:
        return None, "no verdict on this model"
    return found[-1]["status"] == "PASS", str(found[-1]["status"]).replace("_", " ").lower()


def _data(seen: _Session) -> Answer:
    if (told := _job(seen, "data_check")) is not None:
        return told
    inputs = seen.first("inputs") or {}
    bars = inputs.get("data_digest") or inputs.get("data_through")
    return (True, f"contracts held, bars {bars[:12]}") if bars else (None, "no bars are recorded")


def _results(seen: _Session) -> Answer:
    if not seen.before:
        return None, "the book's first session"
    rows = seen.period.ledger.rows(
        "session", kind="session_closed", book=seen.book, session=seen.before
    )
    return bool(rows), f"{seen.before} closed, day {rows[-1]['day_pnl']:+.2%}"


def _job(seen: _Session, name: str) -> Answer | None:
    found = [slot for slot in seen.period.jobs if (slot.job, slot.session) == (name, seen.day)]
    if not found:
        return None
    status = found[0].status
    return (True if status in _DONE else False if status in _BAD else None), f"{name} {status}"


def _jobs(seen: _Session) -> Answer:
    mine = [slot for slot in seen.period.jobs if slot.session == seen.day]
    if not mine:
        return None, "no job was scheduled for it"
    bad = [slot.job for slot in mine if slot.status in _BAD]
    done = sum(slot.status in _DONE for slot in mine)
    if bad:
        return False, f"failed: {', '.join(bad)}"
    return (True if done == len(mine) else None), f"{done} of {len(mine)} done"


def _feedback(seen: _Session) -> Answer:
    return None, "feedback on trades isn't recorded"


def _report(seen: _Session) -> Answer:
    root: Path = reports_folder(home())
    found = [p.parent.name for p in root.glob(f"{seen.day}*/index.html")]
    return bool(found), f"reports/{found[0]}" if found else "no page of this day"


def _accuracy(seen: _Session) -> Answer:
    facts = (seen.first("facts") or {}).get("facts", {})
    found, base = facts.get("ensemble_accuracy"), facts.get("accuracy_baseline")
    if found is None or base is None:
        return None, "accuracy isn't known"
    drop = settings(shipped("params")).escalation.triggers.accuracy_drop
    return found > base - drop, f"accuracy {found:.1%}, baseline {base:.1%}"


def _system(seen: _Session) -> Answer:
    mine = [a for a in seen.period.alerts if a["session"] == seen.day and a["book"] == seen.book]
    waiting = sum(a["acknowledged"] is None for a in mine)
    closed = seen.first("session_closed")
    if closed is not None and closed["snapshot"]["risk"]["killed"]:
        return False, f"kill switch; {waiting} of {len(mine)} alerts wait"
    return waiting == 0, f"{waiting} of {len(mine)} alerts wait"


LINES: tuple[tuple[str, str, Callable[[_Session], Answer]], ...] = (
    ("before the open", "active model", _model),
    ("before the open", "verdict", _verdict),
    ("before the open", "data quality", _data),
    ("before the open", "results so far", _results),
    ("midday", "jobs", _jobs),
    ("midday", "feedback", _feedback),
    ("after the close", "report", _report),
    ("after the close", "model results", _accuracy),
    ("after the close", "system", _system),
)
