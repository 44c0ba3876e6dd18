"""Run a notebook unattended: parameters checked first, honest status, immutable results.

Each run is a process of its own that dies with this one. Its status comes from that process,
never from the notebook it leaves. Results are made in a scratch folder and put in place whole.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import nbformat

from hybridnb.app.html import to_html
from hybridnb.app.parameters import checked
from hybridnb.canonical import sha256
from hybridnb.errors import Missing

Say = Callable[[str], None]
Status = Literal["completed", "failed", "timed_out", "killed"]
OUT = "HYBRIDNB_OUT"  # where a running notebook leaves its results
KERNEL = "hybridnb"
GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """A notebook to run; timeouts in seconds, of the whole and of one cell."""

    notebook: Path
    name: str
    parameters: Mapping[str, Any]
    out: Path
    wall_timeout: float
    cell_timeout: int
    title: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a run: the error's name and text, and the id of the cell."""

    ename: str
    evalue: str
    cell: str


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended; `reused` when it had been completed before."""

    status: Status
    key: str
    seconds: float
    notebook: Path
    html: Path
    error: Failure | None = None
    exports: Mapping[str, Any] = field(default_factory=dict)
    reused: bool = False


def emit(name: str, value: Any) -> None:
    """Called in a notebook: leave a result for the run's record; outside a run do nothing."""
    folder = os.environ.get(OUT)
    if folder:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        write_atomically(Path(folder, f"{name}.json"), text)


def write_atomically(path: Path, text: str) -> None:
    """Write a text whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)


def run_job(job: Job, *, say: Say) -> Result:
    """Run a notebook, or find it run: a completed run of the same source and parameters is kept.

    Raises
    ------
    ParamsError
        For a parameter that the notebook doesn't take; nothing was run.
    Missing
        When the notebook can't be read, or its place is taken by another run.
    """
    source = _source(job.notebook)
    parameters = checked(source, job.parameters, file=job.notebook.name)
    key = sha256([source, parameters, job.title])
    kept = _kept(job, key)
    if kept is not None:
        return kept
    with tempfile.TemporaryDirectory(prefix="hybridnb-") as scratch:
        return _run(job, key, parameters, Path(scratch), say=say)


def _source(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Missing(f"{path} can't be read: {error}") from None


def _kept(job: Job, key: str) -> Result | None:
    record = job.out / "run.json"
    if not record.is_file():
        return None
    found = json.loads(record.read_text(encoding="utf-8"))
    if found["status"] != "completed":
        return None
    if found["key"] != key:
        raise Missing(
            f"{job.out} holds a completed run of another notebook or parameters",
            remedy="Reports are never rewritten: give another --out, or move that folder away.",
        )
    paths = (job.out / "notebook.ipynb", job.out / "index.html")
    return Result("completed", key, found["seconds"], *paths, None, found["exports"], reused=True)


def _run(
    job: Job, key: str, parameters: Mapping[str, Any], scratch: Path, *, say: Say
) -> Result:
    for name in ("exports", "cwd"):
        (scratch / name).mkdir()
    order = {
        "notebook": str(job.notebook),
        "output": str(scratch / "notebook.ipynb"),
        "parameters": dict(parameters),
        "kernel": KERNEL,
        "scratch": str(scratch / "cwd"),
        "cell_timeout": job.cell_timeout,
        "parent": os.getpid(),
    }
    (scratch / "job.json").write_text(json.dumps(order), encoding="utf-8")
    start = time.perf_counter()
    status, error = _process(job, scratch, say=say)
    seconds = time.perf_counter() - start
    exports = {
        p.stem: json.loads(p.read_text(encoding="utf-8"))
        for p in sorted((scratch / "exports").glob("*.json"))
    }
    return _placed(job, key, scratch, status, error, seconds=seconds, exports=exports)


def _process(job: Job, scratch: Path, *, say: Say) -> tuple[Status, Failure | None]:
    """Start the process, pass on what it says, and read how it ended."""
    environment = os.environ | {OUT: str(scratch / "exports"), "PYTHONUNBUFFERED": "1"}
    with (scratch / "stderr.txt").open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "hybridnb.app.notebook_job", str(scratch / "job.json")],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            text=True,
        )
    timer = threading.Timer(job.wall_timeout, _end, args=(child,))
    timer.start()
    cell, failed = "", None
    try:
        for line in child.stdout or ():
            fact = _fact(line)
            if "cell" in fact:
                cell = str(fact["id"])
                say(f"  cell {fact['cell']} of {fact['of']}: {cell}")
            elif "line" in fact:
                say(f"    {fact['line']}")
            elif "error" in fact:
                failed = Failure(fact["error"]["ename"], fact["error"]["evalue"], cell)
        code = child.wait()
        late = not timer.is_alive()
    finally:
        timer.cancel()
        if child.poll() is None:
            _end(child)
    return _judged(code, failed, late=late, cell=cell, job=job)


def _fact(line: str) -> dict[str, Any]:
    """One line of the process; what is no JSON object (a stranger's print) is passed over."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _judged(
    code: int, failed: Failure | None, *, late: bool, cell: str, job: Job
) -> tuple[Status, Failure | None]:
    if code == 0:
        return "completed", None
    if late:
        why = f"the run took longer than {job.wall_timeout:g} s"
        return "timed_out", Failure("WallTimeout", why, cell)
    if failed is None:
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return "killed", Failure("Killed", f"the run's process ended with {name}", cell)
    if failed.ename == "CellTimeoutError":
        why = f"the cell took longer than {job.cell_timeout} s"
        return "timed_out", Failure("CellTimeout", why, cell)
    if failed.ename == "DeadKernelError":
        return "killed", Failure("KernelDied", "the notebook's kernel was killed", cell)
    return "failed", failed


def _end(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


def _placed(
    job: Job,
    key: str,
    scratch: Path,
    status: Status,
    error: Failure | None,
    *,
    seconds: float,
    exports: Mapping[str, Any],
) -> Result:
    """Write the notebook, its page and the record, then put the folder in place at once."""
    banner = "" if error is None else f"{status}: {error.ename} in cell {error.cell}: {error.evalue}"
    notebook = _read_back(scratch / "notebook.ipynb", job, status, banner)
    fresh = scratch / "result"
    fresh.mkdir()
    nbformat.write(notebook, fresh / "notebook.ipynb")
    text = to_html(notebook, title=job.title, banner=banner)
    (fresh / "index.html").write_text(text, encoding="utf-8")
    record = {
        "status": status,
        "key": key,
        "seconds": round(seconds, 3),
        "error": asdict(error) if error else None,
        "exports": dict(exports),
    }
    (fresh / "run.json").write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")
    job.out.parent.mkdir(parents=True, exist_ok=True)
    beside = job.out.with_name(f".{job.out.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(fresh, beside)
    if job.out.exists():
        shutil.rmtree(job.out)
    os.replace(beside, job.out)
    paths = (job.out / "notebook.ipynb", job.out / "index.html")
    return Result(status, key, seconds, *paths, error, exports)


def _read_back(path: Path, job: Job, status: Status, banner: str) -> Any:
    """The notebook as far as it came, its cells' statuses made honest and a banner on top."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError):
        notebook = nbformat.read(job.notebook, as_version=4)
    for place in (notebook, *notebook.cells):
        place.metadata.pop("papermill", None)
    if status != "completed":
        notebook.metadata["hybridnb"] = {"status": status}
        cell = nbformat.v4.new_markdown_cell(f"**This run {status}.** {banner}", id="banner")
        notebook.cells.insert(0, cell)
    return notebook
