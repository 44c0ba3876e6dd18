"""Passes with real processes: success, failure and retry, alerts, limits, hand-over, threads."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from click.testing import CliRunner

from hybridnb.app.alerts import alerts
from hybridnb.app.cli import cli
from hybridnb.app.home import shipped
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.schedule.board import board_text, jobs_board
from hybridnb.app.schedule.params import ScheduleParams, read_schedule
from hybridnb.app.schedule.passing import Passing, free, one_pass, opened, retry
from hybridnb.app.schedule.running import Worker, boot_clock, claim, outcome_path
from hybridnb.errors import CheckFailed, UsageError
from hybridnb.ledger import slots
from hybridnb.ledger.slots import Slot

JOBS = Path(__file__).parents[1] / "jobs_for_tests.py"
PROGRAM = (sys.executable, str(JOBS))
DAY, NEXT = "2024-12-23", "2024-12-24"
EVENING = dt.datetime(2024, 12, 23, 23, tzinfo=dt.UTC)
BRIEF: dict[str, Any] = {"attempts": 1, "backoff": 0.0, "lease": 5.0, "timeout": 60.0}


def scheduled(*jobs: dict[str, Any], **more: Any) -> ScheduleParams:
    filled = [{"kind": "function", "run": j["name"], **BRIEF, **j} for j in jobs]
    return ScheduleParams(**{"start": DAY, "jobs": filled, **more})


def worker(*jobs: dict[str, Any], **more: Any) -> Worker:
    return opened(program=PROGRAM, schedule=scheduled(*jobs), **more)


def passed(made: Worker, now: dt.datetime = EVENING) -> dict[str, Any]:
    return one_pass(made, lambda: now, say=lambda _: None)


def slot(name: str, session: str = DAY) -> Slot:
    with open_ledger().beside() as connection:
        return {s.job: s for s in slots.of_sessions(connection, [session])}[name]


def seen(folder: str = "seen") -> list[str]:
    """What the jobs left, one line a completed attempt."""
    path = Path(os.environ["HYBRIDNB_HOME"], folder)
    return path.read_text(encoding="utf-8").split() if path.is_file() else []


def waited_for(found: Callable[[], object], seconds: float = 90.0) -> None:
    limit = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_a_pass_runs_what_is_due_in_order_and_a_second_one_nothing() -> None:
    made = worker({"name": "mark"}, {"name": "after", "run": "mark", "after": ["mark"]})
    done = passed(made)
    assert [(r["job"], r["status"]) for r in done["ran"]] == [("mark", "done"), ("after", "done")]
    assert done["failed"] == [] and done["waiting"] == 0
    assert seen() == [f"mark/{DAY}", f"after/{DAY}"]
    row = slot("mark")
    assert (row.status, row.attempts, row.failures, row.error) == ("done", 1, 0, "marked")
    assert row.report == f"{DAY}/mark.html"
    assert passed(made)["ran"] == [] and seen() == [f"mark/{DAY}", f"after/{DAY}"]


def test_a_failure_is_tried_again_then_given_up_and_alerted_once() -> None:
    made = worker({"name": "refuse", "attempts": 2}, {"name": "mark", "after": ["refuse"]})
    done = passed(made)
    assert [r["status"] for r in done["ran"]] == ["failed", "failed"]
    why = "the reason itself Mend it."
    assert done["failed"] == [{"job": "refuse", "session": DAY, "error": why}]
    assert done["waiting"] == 1 and seen() == []  # what waits for it doesn't run
    row = slot("refuse")
    assert (row.status, row.attempts, row.failures, row.told) == ("failed", 2, 2, 1)
    assert passed(made)["failed"] == []
    (alert,) = alerts(open_ledger())
    assert alert["text"] == f"job refuse of {DAY} failed for good: {why}"
    board = jobs_board(open_ledger(), EVENING, schedule=made.schedule)
    assert board["due"][0]["why"] == "after refuse"
    assert "after refuse" in board_text(board) and "failed" in board_text(board)


def test_an_alert_that_was_cut_off_from_its_mark_comes_once() -> None:
    made = worker({"name": "refuse"})
    passed(made)
    with made.ledger.beside(write=True) as connection:
        slots.change(connection, slot("refuse"), told=0)  # as if killed in between
    assert len(passed(made)["failed"]) == 1
    assert len(alerts(open_ledger())) == 1


def test_back_off_keeps_the_next_attempt_for_later() -> None:
    made = worker({"name": "refuse", "attempts": 3, "backoff": 100.0})
    assert [r["status"] for r in passed(made)["ran"]] == ["failed"]
    assert passed(made)["ran"] == []
    assert passed(made, EVENING + dt.timedelta(days=300))["ran"] == []  # no jump shortens it
    row = slot("refuse")
    assert (row.status, row.failures) == ("due", 1)
    assert 90.0 < row.until - time.monotonic() <= 100.0


def test_an_operator_lets_a_job_run_again() -> None:
    made = worker({"name": "refuse"})
    passed(made)
    with pytest.raises(UsageError):
        retry("refuse", DAY, reason=" ")
    with pytest.raises(UsageError, match="nothing to retry"):
        retry("refuse", NEXT, reason="mended")
    args = ["retry", "refuse", DAY, "--reason", "mended", "--json"]
    assert json.loads(CliRunner().invoke(cli, args).stdout)["status"] == "due"
    (row,) = open_ledger().rows("operations", kind="job_retried")
    assert (row["job"], row["session"], row["reason"]) == ("refuse", DAY, "mended")
    assert [r["status"] for r in passed(made)["ran"]] == ["failed"]
    assert len(alerts(open_ledger())) == 2
    passed(worker({"name": "mark"}))
    with pytest.raises(UsageError, match="is done"):
        retry("mark", DAY, reason="once more")


def test_a_job_that_finds_nothing_to_do_says_so() -> None:
    passed(worker({"name": "idle"}))
    row = slot("idle")
    assert (row.status, row.error) == ("skipped", "nothing to work on")


@pytest.mark.parametrize(
    ("name", "limits", "error"),
    [
        ("crash", {}, "ZeroDivisionError: division by zero"),
        ("die", {}, "killed: its process ended with signal 9"),
        ("endless", {"timeout": 2.0}, "timed out: longer than 2 s"),
        ("hungry", {"memory": 256}, "out of memory: "),
        ("noisy", {}, "exit status 7: its progress"),
        ("leave", {}, "it ended well and left no outcome"),
    ],
)
def test_every_end_is_told_as_it_was(name: str, limits: dict[str, Any], error: str) -> None:
    passed(worker({"name": name, **limits}))
    row = slot(name)
    assert row.status == "failed" and row.error.startswith(error), row.error


def test_a_failed_job_s_processes_are_gone() -> None:
    passed(worker({"name": "brood", "timeout": 2.0}))
    assert "timed out" in slot("brood").error
    (child,) = seen("brood")
    waited_for(lambda: not psutil.pid_exists(int(child)))


def test_a_scheduler_that_was_killed_leaves_no_job_and_its_slot_is_taken_over() -> None:
    program = (
        "import datetime as dt, sys; sys.path.insert(0, sys.argv[1])\n"
        "import test_passing as t\n"
        "t.passed(t.worker({'name': 'slow', 'lease': 1.0}))"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    first = subprocess.Popen(command, env=environment)
    waited_for(lambda: seen("slow"))
    (job,) = seen("slow")
    first.send_signal(signal.SIGKILL)
    first.wait()
    waited_for(lambda: not psutil.pid_exists(int(job)))
    made = worker({"name": "slow", "lease": 1.0})
    waited_for(lambda: passed(made)["ran"])
    row = slot("slow")
    assert (row.status, row.attempts, row.failures) == ("done", 2, 0)
    assert len(seen("slow")) == 2 and not outcome_path(row).exists()


def test_what_was_done_and_not_yet_written_down_is_not_done_again() -> None:
    made = worker({"name": "mark"})
    passed(worker({"name": "other", "run": "mark"}))
    done = outcome_path(slot("other"))
    done.with_name(f"mark-{DAY}.json").write_text(
        json.dumps({"status": "done", "report": "", "note": "by the one before", "seconds": 1.5}),
        encoding="utf-8",
    )
    passed(made)
    assert seen() == [f"other/{DAY}"]
    assert (slot("mark").status, slot("mark").error) == ("done", "by the one before")


def test_two_attempts_never_run_side_by_side() -> None:
    """Even when a lease was taken from a scheduler that lives: its process holds a lock."""
    made = worker({"name": "slow", "lease": 5.0})
    thread = threading.Thread(target=passed, args=(made,))
    thread.start()
    waited_for(lambda: seen("slow"))
    with made.ledger.beside(write=True) as connection:  # as if its lease had run out
        held = {s.job: s for s in slots.of_sessions(connection, [DAY])}["slow"]
        by = slots.Claim("another", 60.0, "")
        later = slots.Instant(boot_clock().epoch, time.monotonic() + 10.0)
        assert slots.claim(connection, held, by=by, now=later)
    thread.join()
    row = slot("slow")
    assert (row.owner, row.status) == ("another", "running")  # the first one couldn't settle
    assert len(seen("slow")) == 1


def test_a_job_whose_scheduler_dies_each_time_is_given_up() -> None:
    made = worker({"name": "mark"})
    passed(made, EVENING - dt.timedelta(hours=12))
    with made.ledger.beside(write=True) as connection:
        slots.put(connection, [Slot("mark", DAY, "2024-12-23T21:00:00+00:00", attempts=20)])
    done = passed(made)
    assert done["ran"][0]["status"] == "failed" and seen() == []
    assert "killed 20 times" in slot("mark").error and len(done["failed"]) == 1


def test_of_two_claims_one_holds() -> None:
    made, other = worker({"name": "mark"}), worker({"name": "mark"})
    from hybridnb.app.schedule.reconcile import reconcile

    reconcile(made.ledger, made.schedule, EVENING)
    ((found, job),) = free(made, EVENING)
    assert job is not None
    assert claim(made, found, job) is not None
    assert claim(other, found, job) is None


def write_notebook(path: Path, *cells: str) -> Path:
    made = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "hybridnb", "display_name": "h", "language": "python"}}
    )
    tagged = nbformat.v4.new_code_cell('session: str = ""', id="parameters")
    tagged.metadata["tags"] = ["parameters"]
    code = [nbformat.v4.new_code_cell(text, id=f"cell-{i}") for i, text in enumerate(cells)]
    made.cells = [tagged, *code]
    nbformat.write(made, path)
    return path


@pytest.mark.parametrize(
    ("cell", "limits", "status", "words"),
    [
        ("import os\nos.kill(os.getpid(), 9)", {}, "killed", "KernelDied"),
        ("while True: pass", {"timeout": 25.0}, "timed_out", "WallTimeout"),
        ("held = b'x' * 900_000_000\nimport time\ntime.sleep(60)", {}, "out_of_memory", "MiB"),
    ],
)
def test_a_notebook_that_is_killed_has_status_banner_retry_and_alert(
    tmp_path: Path, cell: str, limits: dict[str, Any], status: str, words: str
) -> None:
    """By its kernel's end, by time, by memory; mended, the next attempt completes."""
    path = write_notebook(tmp_path / "n.ipynb", "kept = session", cell)
    job = {"name": "book", "kind": "notebook", "run": str(path), "memory": 600}
    job |= {"parameters": {"session": "{session}"}, **limits}
    made = opened(schedule=scheduled(job))
    assert [r["status"] for r in passed(made)["ran"]] == ["failed"]
    row = slot("book")
    assert row.status == "failed" and words in row.error
    folder = Path(os.environ["HYBRIDNB_REPORTS"], f"{DAY}-schedule", "book")
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == status
    said = {"killed": "was killed", "timed_out": "timed out"}
    banner = f"This run {said.get(status, 'ran out of memory')} in cell cell-1."
    assert banner in (folder / "index.html").read_text(encoding="utf-8")
    assert banner in nbformat.read(folder / "notebook.ipynb", as_version=4).cells[0].source
    (alert,) = alerts(open_ledger())
    assert alert["text"].startswith(f"job book of {DAY} failed for good: ")

    write_notebook(path, "kept = session")
    retry("book", DAY, reason="mended")
    assert [r["status"] for r in passed(made)["ran"]] == ["done"]
    assert slot("book").report == f"{DAY}-schedule/book/index.html"


def test_the_command_ends_with_1_when_a_job_is_given_up(tmp_path: Path) -> None:
    text = (
        f"start: {DAY}\njobs:\n"
        "  - {name: book, kind: notebook, run: nowhere, attempts: 1}\n"
        "  - {name: data_check, kind: function, run: data_check}\n"
    )
    shutil.copytree(shipped("params"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "schedule.yml").write_text(text, encoding="utf-8")
    args = ["run-due", "--params", str(tmp_path), "--now", EVENING.isoformat(), "--json"]
    done = CliRunner().invoke(cli, args)
    found = json.loads(done.stdout)
    assert done.exit_code == CheckFailed.exit_code == 1
    assert [f["job"] for f in found["failed"]] == ["book"]
    assert "there is no notebook nowhere" in found["failed"][0]["error"]
    by = {r["job"]: r for r in found["ran"]}
    # The sample ended in 2013: there is nothing to check, and nobody is woken up for it.
    assert by["data_check"]["status"] == "skipped" and "ended on 2013" in by["data_check"]["error"]
    assert CliRunner().invoke(cli, args).exit_code == 0

    shown = ["schedule", "--params", str(tmp_path), "--now", EVENING.isoformat()]
    board = json.loads(CliRunner().invoke(cli, [*shown, "--json"]).stdout)
    assert {r["job"]: r["status"] for r in board["ran"]} == {
        "book": "failed",
        "data_check": "skipped",
    }
    assert {r["session"] for r in board["due"]} == {NEXT}
    assert "book" in CliRunner().invoke(cli, shown).stdout


@pytest.mark.parametrize("now", ["yesterday", "2024-12-23T23:00:00"])
def test_a_time_that_can_t_be_meant_is_refused(now: str) -> None:
    assert CliRunner().invoke(cli, ["run-due", "--now", now]).exit_code == 2


def test_a_thread_keeps_passing_and_stops_at_once(tmp_path: Path) -> None:
    text = (
        "calendar: 24/7\nevery: 0.1\njobs:\n"
        "  - {name: book, kind: notebook, run: nowhere, anchor: open, attempts: 1}\n"
    )
    (tmp_path / "schedule.yml").write_text(text, encoding="utf-8")
    said: list[str] = []
    passing = Passing(params=str(tmp_path), say=said.append)
    passing.start()
    passing.start()
    waited_for(lambda: passing.last.get("ran") == [] and said)
    passing.stop()
    assert len(said) == 1 and "there is no notebook nowhere" in said[0]
    assert not any(t.name == "schedule" for t in threading.enumerate())
    passing.stop()


def test_a_pass_that_breaks_is_told_once_and_the_next_one_tries(tmp_path: Path) -> None:
    (tmp_path / "schedule.yml").write_text("every: 0.1\nlookahead: 180\n", encoding="utf-8")
    said: list[str] = []
    passing = Passing(params=str(tmp_path), say=said.append)
    passing.start()
    waited_for(lambda: passing.last)
    with open_ledger().beside(write=True) as connection:
        connection.exec_driver_sql("ALTER TABLE schedule_slots RENAME TO away")
    waited_for(lambda: passing.problem)
    with open_ledger().beside(write=True) as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO schedule_slots")
    waited_for(lambda: not passing.problem)
    passing.stop()
    assert len(said) == 1 and said[0].startswith("schedule: LedgerBroken: ")


def test_stopping_gives_a_running_job_up_and_it_stays_due() -> None:
    stop = threading.Event()
    made = worker({"name": "slow"}, stop=stop)
    thread = threading.Thread(target=passed, args=(made,))
    thread.start()
    waited_for(lambda: seen("slow"))
    stop.set()
    thread.join(10.0)
    row = slot("slow")
    assert (row.status, row.attempts, row.failures) == ("due", 0, 0)
    (job,) = seen("slow")
    waited_for(lambda: not psutil.pid_exists(int(job)))


def test_the_shipped_functions_are_there() -> None:
    import importlib

    from hybridnb.app.schedule.actions import FUNCTIONS

    assert read_schedule(shipped("params"), known=FUNCTIONS).jobs
    for target in ("backup:make_backup", "reporting:weekly_report", "reporting:self_assessment"):
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(f"hybridnb.app.{module}"), name))
