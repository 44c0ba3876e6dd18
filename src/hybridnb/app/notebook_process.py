"""The process that executes a notebook, seen from outside: started, listened to, ended, judged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hybridnb.app.home import REPORTS, VARIABLE, home
from hybridnb.app.process_tree import GRACE_SECONDS, MIB, Watch, end_tree
from hybridnb.app.progress import Say

Status = Literal["completed", "failed", "timed_out", "killed", "out_of_memory"]
OUT = "HYBRIDNB_OUT"  # where a running notebook leaves its results
Heartbeat = Callable[[int, int, float], None]


def unheard(cell: int, cells: int, seconds: float) -> None:
    """The heartbeat of a run that nobody listens to."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a run: the error's name and text, and the id of the cell."""

    ename: str
    evalue: str
    cell: str


def _environment(scratch: Path) -> dict[str, str]:
    """Ours, with the folders made absolute: the notebook runs in a folder of its own."""
    given = os.environ | {OUT: str(scratch / "exports"), VARIABLE: str(home().root)}
    if REPORTS in given:
        given[REPORTS] = str(Path(given[REPORTS]).resolve())
    return given


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may take: seconds of the whole and of one cell, MiB of all its processes.

    The process itself keeps the second; None leaves the memory without a limit.
    """

    wall: float
    cell: int
    memory: int | None = None


def run_process(
    scratch: Path, *, limits: Limits, say: Say, beat: Heartbeat
) -> tuple[Status, Failure | None]:
    """Start the process that `scratch/job.json` describes, pass on what it says, judge its end.

    Parameters
    ----------
    scratch : Path
        Folder of the run; the process writes into it and nowhere else.
    limits : Limits
    say : callable
        Gets a line a cell, and the lines that the notebook prints.
    beat : callable
        Gets each finished cell's number, the number of cells, and its seconds.
    """
    with (scratch / "stderr.txt").open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "hybridnb.app.notebook_job", str(scratch / "job.json")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(scratch),
            encoding="utf-8",
            start_new_session=True,
        )
    watch = Watch(child.pid, seconds=limits.wall, memory=limits.memory)
    watch.start()
    try:
        cell, failed = _heard(child, say, beat)
        code = child.wait()
    finally:
        watch.stop()
        if child.poll() is None:
            end_tree(child.pid, grace=GRACE_SECONDS)
            child.wait()
    told = (scratch / "stderr.txt").read_text(encoding="utf-8", errors="replace")
    if watch.verdict == "late":
        why = f"the run took longer than {limits.wall:g} s"
        return "timed_out", Failure("WallTimeout", why, cell)
    if watch.verdict == "memory" and code:
        held = f"{watch.peak / MIB:,.0f} MiB, more than its {limits.memory:,} MiB"
        return "out_of_memory", Failure("OutOfMemory", f"the run held {held}", cell)
    if code == 0:
        return "completed", None
    return _judged(code, failed or Failure("", "", cell), told, limits.cell)


def _heard(child: subprocess.Popen[str], say: Say, beat: Heartbeat) -> tuple[str, Failure | None]:
    """Pass on the heartbeats until the process ends; the last cell and the error, if any."""
    cell, number, of, failed = "", 0, 0, None
    for line in child.stdout or ():
        fact = json.loads(line)
        if "cell" in fact:
            cell, number, of, name = fact["id"], fact["cell"], fact["of"], fact["about"]
        elif "done" in fact:
            say(f"  cell {number} of {of}, {cell} ({name}): {fact['seconds']:.1f} s")
            beat(number, of, fact["seconds"])
        elif "line" in fact:
            say(f"    {fact['line']}")
        elif "error" in fact:
            failed = Failure(fact["error"]["ename"], fact["error"]["evalue"], cell)
    return cell, failed


def _judged(code: int, failed: Failure, told: str, cell_timeout: int) -> tuple[Status, Failure]:
    """What a process that didn't exit with 0 means."""
    if not failed.ename:  # it ended without a word
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        last = told.strip().splitlines()[-1:] if code > 0 else []
        why = ": ".join([f"the run's process ended with {name}", *last])
        return "killed", Failure("Killed", why, failed.cell)
    if failed.ename == "CellTimeoutError":
        why = f"the cell took longer than {cell_timeout} s"
        return "timed_out", Failure("CellTimeout", why, failed.cell)
    if failed.ename == "DeadKernelError":
        return "killed", Failure("KernelDied", "the notebook's kernel was killed", failed.cell)
    return "failed", failed
