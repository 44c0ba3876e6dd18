"""One claimed slot, run to its end: a process that is started, watched, and settled."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridnb.app.home import REPORTS, VARIABLE, home, reports_folder
from hybridnb.app.process_tree import MIB, Watch, kill_tree
from hybridnb.app.schedule.actions import Order
from hybridnb.app.schedule.job_process import BUSY, error_path, written
from hybridnb.app.schedule.params import JobParams, ScheduleParams
from hybridnb.ledger import slots
from hybridnb.ledger.slots import Claim, Instant, Slot
from hybridnb.ledger.store import Ledger

PROGRAM = (sys.executable, "-m", "hybridnb.app.schedule.job_process")
OWN = 1024  # MiB that a job's own process may hold beside its notebook's
LOOK = 0.05  # seconds between two looks at a running job
AGAIN = 5.0  # seconds after which a slot that was busy is tried again
PAUSE = 3_600.0  # seconds that a pause before another attempt lasts at most


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended: done, skipped, failed, busy, stopped or lost (to another scheduler)."""

    status: str
    seconds: float
    report: str = ""
    error: str = ""


@dataclass(frozen=True)
class Worker:
    """What a scheduler needs to run a slot.

    Attributes
    ----------
    ledger : Ledger
    schedule : ScheduleParams
    params : str
        Folder of parameters; empty for the shipped ones.
    owner : str
        This scheduler's name among others.
    stop : threading.Event
        Set, it gives a running job up: it stays due.
    program : tuple of str
        What runs one attempt.
    """

    ledger: Ledger
    schedule: ScheduleParams
    params: str
    owner: str
    stop: threading.Event
    program: tuple[str, ...] = PROGRAM


def boot_clock() -> Instant:
    """The machine's time since boot, and the boot's name: no one can set it."""
    name = Path("/proc/sys/kernel/random/boot_id")
    epoch = name.read_text(encoding="ascii").strip() if name.is_file() else "this boot"
    return Instant(epoch, time.monotonic())


def outcome_path(slot: Slot) -> Path:
    """Where a slot's attempt leaves its outcome; its lock lies beside it."""
    return home().folder("schedule") / f"{slot.job}-{slot.session}.json"


def claim(worker: Worker, slot: Slot, job: JobParams) -> Claim | None:
    """Take a slot; None where another one was faster, or its time hasn't come."""
    by = Claim(f"{worker.owner}-{os.urandom(4).hex()}", job.lease, _wall())
    with worker.ledger.beside(write=True) as connection:
        now = slots.instant(connection, boot_clock())
        return by if slots.claim(connection, slot, by=by, now=now) else None


def run_slot(worker: Worker, slot: Slot, job: JobParams, *, by: Claim, now: dt.datetime) -> Ended:
    """Run a claimed slot in a process of its own and write down how it ended.

    Parameters
    ----------
    now : datetime
        The pass's time, which the job is told.
    """
    outcome = outcome_path(slot)
    with tempfile.TemporaryDirectory(prefix="hybridnb-job-") as name:
        order = Order(
            job=job.name,
            session=slot.session,
            calendar=worker.schedule.calendar,
            now=now,
            kind=job.kind,
            run=job.run,
            parameters=job.parameters,
            params=worker.params,
            timeout=job.timeout,
            memory=job.memory,
            recorded=tuple(sorted(worker.schedule.recorded)),
        )
        path = Path(name, "order.json")
        path.write_text(written(order, parent=os.getpid(), outcome=outcome), encoding="utf-8")
        ended = _attempt(worker, slot, job, by=by, order=path)
    if ended.status == "":
        ended = _found(outcome, ended.seconds)
    if _settled(worker, slot, job, by=by, ended=ended):
        if ended.status in ("done", "skipped"):
            outcome.unlink(missing_ok=True)
        return ended
    return Ended("lost", ended.seconds, error="another scheduler took it over")


def _found(outcome: Path, seconds: float) -> Ended:
    try:
        found = json.loads(outcome.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Ended("failed", seconds, error="it ended well and left no outcome")
    return Ended(found["status"], found["seconds"], found["report"], found["note"])


def _attempt(worker: Worker, slot: Slot, job: JobParams, *, by: Claim, order: Path) -> Ended:
    """Start the process and wait for its end; an empty status means that it left its outcome."""
    start = time.monotonic()
    with order.with_name("said.txt").open("wb") as said:
        child = subprocess.Popen(
            [*worker.program, str(order)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
        )
    notebooks = job.kind != "function"
    watch = Watch(
        child.pid,
        seconds=job.timeout + (30.0 if job.kind == "notebook" else 0.0),
        memory=job.memory + (OWN if notebooks else 0),
    )
    watch.start()
    try:
        held = _waited(worker, slot, by=by, child=child)
    finally:
        watch.stop()
        if child.poll() is None:
            kill_tree(child.pid)
            child.wait()
    seconds = round(time.monotonic() - start, 3)
    if held:
        return Ended(held, seconds)
    return _judged(child.returncode, watch, job, seconds=seconds, order=order)


def _waited(worker: Worker, slot: Slot, *, by: Claim, child: subprocess.Popen[bytes]) -> str:
    """Wait for the process and keep the lease; why it is given up, or empty."""
    renew = time.monotonic() + by.lease / 3
    while child.poll() is None:
        if worker.stop.wait(LOOK):
            return "stopped"
        if time.monotonic() >= renew:
            with worker.ledger.beside(write=True) as connection:
                now = slots.instant(connection, boot_clock())
                if not slots.renew(connection, slot, by=by, now=now):
                    return "lost"
            renew = time.monotonic() + by.lease / 3
    return ""


def _judged(code: int, watch: Watch, job: JobParams, *, seconds: float, order: Path) -> Ended:
    """What the process's end means; never read from what it was working on."""
    if code == 0:
        return Ended("", seconds)
    if code == BUSY:
        return Ended("busy", seconds, error="another attempt of it is alive on this machine")
    if watch.verdict == "late":
        return Ended("failed", seconds, error=f"timed out: longer than {job.timeout:g} s")
    if watch.verdict == "memory":
        held = f"{watch.peak / MIB:,.0f} MiB held, {job.memory:,} MiB allowed"
        return Ended("failed", seconds, error=f"out of memory: {held}")
    if error_path(order).is_file():
        told = error_path(order).read_text(encoding="utf-8")
        return Ended("failed", seconds, error=told[:4000])
    if code < 0:
        return Ended("failed", seconds, error=f"killed: its process ended with signal {-code}")
    said = order.with_name("said.txt").read_bytes()[-4000:].decode("utf-8", "replace")
    last = said.strip().splitlines()[-1:] or ["it said nothing"]
    return Ended("failed", seconds, error=f"exit status {code}: {last[0][:1000]}")


def _settled(worker: Worker, slot: Slot, job: JobParams, *, by: Claim, ended: Ended) -> bool:
    """Write down how an attempt ended; whether the slot was still ours."""
    with worker.ledger.beside(write=True) as connection:
        now = slots.instant(connection, boot_clock())
        end = _end(slot, job, ended, now)
        return ended.status != "lost" and slots.settle(connection, slot, by=by, end=end)


def _end(slot: Slot, job: JobParams, ended: Ended, now: Instant) -> dict[str, Any]:
    """The values of a row after an attempt."""
    if ended.status in ("busy", "stopped"):  # no failure of the job
        pause = AGAIN if ended.status == "busy" else 0.0
        again: dict[str, Any] = {"status": "due", "epoch": now.epoch, "until": now.seconds + pause}
        return again | {"attempts": slot.attempts, "error": ended.error}
    end: dict[str, Any] = {"at": _wall(), "seconds": ended.seconds, "error": ended.error}
    if ended.status in ("done", "skipped"):
        return end | {"status": ended.status, "report": _within_reports(ended.report)}
    failures = slot.failures + 1
    if failures >= job.attempts:
        return end | {"status": "failed", "failures": failures}
    pause = min(job.backoff * 2.0 ** min(failures - 1, 16), PAUSE)
    until = {"epoch": now.epoch, "until": now.seconds + pause}
    return end | {"status": "due", "failures": failures, **until}


def _within_reports(page: str) -> str:
    """A page's path from the reports folder, so that a server can show it."""
    path, root = Path(page), reports_folder(home()).resolve()
    return str(path.relative_to(root)) if page and path.is_relative_to(root) else page


def _environment() -> dict[str, str]:
    """Ours, with the folders made absolute."""
    given = os.environ | {VARIABLE: str(home().root)}
    if REPORTS in given:
        given[REPORTS] = str(Path(given[REPORTS]).resolve())
    return given


def _wall() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
