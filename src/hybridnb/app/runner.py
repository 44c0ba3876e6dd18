"""Run a notebook unattended: parameters checked first, honest status, immutable results.

Each run is a process of its own that dies with this one. Its status comes from that process,
never from the notebook it leaves. Results are made in a scratch folder and put in place whole.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hybridnb.app.html import to_html
from hybridnb.app.imports import lean
from hybridnb.app.notebook_process import (
    OUT,
    Failure,
    Heartbeat,
    Limits,
    Status,
    run_process,
    unheard,
)
from hybridnb.app.parameters import checked
from hybridnb.app.progress import Say
from hybridnb.canonical import plain, sha256
from hybridnb.errors import Missing, Refused, UsageError

KERNEL = "hybridnb"
ENDED: Mapping[Status, str] = {
    "completed": "completed",
    "failed": "failed",
    "timed_out": "timed out",
    "killed": "was killed",
    "out_of_memory": "ran out of memory",
}


@dataclass(frozen=True, slots=True)
class Job:
    """A notebook to run; timeouts in seconds, of the whole and of one cell.

    `beat` gets each finished cell's number, the number of cells, and its seconds; `memory` is in
    MiB, of all processes of the run together, None without a limit.
    """

    notebook: Path
    name: str
    parameters: Mapping[str, Any]
    out: Path
    wall_timeout: float
    cell_timeout: int
    title: str
    beat: Heartbeat = unheard
    memory: int | None = None


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


@dataclass(frozen=True, slots=True)
class Made:
    """What the process of a run left, before it is put in place."""

    status: Status
    error: Failure | None
    seconds: float
    exports: Mapping[str, Any]


def emit(name: str, value: Any) -> None:
    """Called in a notebook: leave a result for the run's record; outside a run do nothing.

    Parameters
    ----------
    name : str
        An identifier; the key in `Result.exports`.
    value : object
        Anything with a canonical form; NaN becomes null.

    Raises
    ------
    ValueError
        For a value without one, infinity among them.
    UsageError
        For a name that is no identifier.
    """
    if not name.isidentifier():
        raise UsageError(f"a result can't be named {name!r}", remedy="Take an identifier.")
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False)
    folder = os.environ.get(OUT)
    if folder:
        write_atomically(Path(folder, f"{name}.json"), text)


def write_atomically(path: Path, text: str) -> None:
    """Write a text whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)


def run_job(job: Job, *, say: Say) -> Result:
    """Run a notebook, or find it run: a completed run of the same source and parameters is kept.

    Parameters
    ----------
    job : Job
    say : callable
        Gets one line a cell with its seconds, and the lines that the notebook prints.

    Returns
    -------
    Result
        Also of a run that failed: its status says so, its page carries a banner.

    Raises
    ------
    ParamsError, InputError
        For a parameter that the notebook doesn't take, or a file that is none; nothing was run.
    Missing
        When the notebook can't be read.
    Refused
        When its place is taken by a completed run of something else.
    """
    source = source_of(job.notebook)
    parameters = checked(source, job.parameters, file=job.notebook.name)
    digests = {"notebook_sha256": sha256(source), "parameters_sha256": sha256(parameters)}
    key = sha256(digests)
    kept = _kept(job, key)
    if kept is not None:
        return kept
    with tempfile.TemporaryDirectory(prefix="hybridnb-") as name:
        scratch = Path(name)
        made = _run(job, parameters, scratch, say=say)
        _written(job, made, scratch, digests | {"key": key, "parameters": parameters})
        # Another process may have completed the same run meanwhile; the first one stays.
        return _kept(job, key) or _placed(job, key, made, scratch / "result")


def source_of(path: Path) -> str:
    """A notebook's text.

    Raises
    ------
    Missing
        When it can't be read.
    """
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
        raise Refused(
            f"{job.out} holds a completed run of another notebook or other parameters",
            remedy="Reports are never rewritten: give another place, or move that folder away.",
        )
    seconds = found["runtime"]["seconds"]
    return Result("completed", key, seconds, *_pages(job), None, found["exports"], reused=True)


def _pages(job: Job) -> tuple[Path, Path]:
    return job.out / "notebook.ipynb", job.out / "index.html"


def _run(job: Job, parameters: Mapping[str, Any], scratch: Path, *, say: Say) -> Made:
    for name in ("exports", "cwd"):
        (scratch / name).mkdir()
    order = {
        "notebook": str(job.notebook.resolve()),
        "output": str(scratch / "notebook.ipynb"),
        "parameters": dict(parameters),
        "kernel": KERNEL,
        "scratch": str(scratch / "cwd"),
        "cell_timeout": job.cell_timeout,
        "parent": os.getpid(),
    }
    (scratch / "job.json").write_text(json.dumps(order), encoding="utf-8")
    start = time.perf_counter()
    ready = threading.Thread(target=_ready)
    ready.start()
    status, error = run_process(
        scratch,
        limits=Limits(job.wall_timeout, job.cell_timeout, job.memory),
        say=say,
        beat=job.beat,
    )
    seconds = time.perf_counter() - start
    ready.join()
    exports = {
        p.stem: json.loads(p.read_text(encoding="utf-8"))
        for p in sorted((scratch / "exports").glob("[!.]*.json"))
    }
    return Made(status, error, seconds, exports)


def _ready() -> None:
    """Load what writes the results, while the notebook runs."""
    lean("nbformat")
    lean("nbconvert.preprocessors")


def _written(job: Job, made: Made, scratch: Path, facts: Mapping[str, Any]) -> None:
    """Write the notebook, its page and the record into a folder `result`."""
    nbformat = lean("nbformat")
    error = made.error
    banner = ""
    if error is not None:
        where = f" in cell {error.cell}" if error.cell else ""
        banner = f"This run {ENDED[made.status]}{where}. {error.ename}: {error.evalue}"
    notebook = _read_back(scratch / "notebook.ipynb", job, made, banner)
    fresh = scratch / "result"
    fresh.mkdir()
    nbformat.write(notebook, fresh / "notebook.ipynb")
    nav = [("Notebook", "notebook.ipynb")]
    if (job.out.parent / "day.json").is_file():
        nav.insert(0, ("The day", "../index.html"))
    text = to_html(notebook, title=job.title, banner=banner, nav=nav)
    (fresh / "index.html").write_text(text, encoding="utf-8")
    record = {
        "job": job.name,
        "status": made.status,
        **facts,
        "error": asdict(error) if error else None,
        "exports": dict(made.exports),
        "results_sha256": sha256(made.exports),
        "runtime": {"seconds": round(made.seconds, 3)},
    }
    (fresh / "run.json").write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")


def _read_back(path: Path, job: Job, made: Made, banner: str) -> Any:
    """The notebook as far as it came, with honest statuses and a banner on top if it didn't end."""
    nbformat = lean("nbformat")
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError):
        notebook = nbformat.read(job.notebook, as_version=4)
    # Lines that were flushed one by one become one output again.
    notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})
    marker = "papermill-error-cell-tag"
    cells = [c for c in notebook.cells if marker not in c.metadata.get("tags", [])]
    for place in (notebook, *cells):
        place.metadata.pop("papermill", None)
    if made.error is not None:
        notebook.metadata["hybridnb"] = {"status": made.status}
        status = "completed" if made.error.cell else "not run"
        for cell in cells:
            here = cell.id == made.error.cell
            if cell.cell_type == "code":
                cell.metadata["hybridnb"] = {"status": made.status if here else status}
            status = "not run" if here else status
        cells.insert(0, nbformat.v4.new_markdown_cell(f"**{banner}**", id="banner"))
    notebook.cells = cells
    return notebook


def _placed(job: Job, key: str, made: Made, fresh: Path) -> Result:
    """Put the folder in its place at once; a failed run's folder makes room."""
    job.out.parent.mkdir(parents=True, exist_ok=True)
    beside = job.out.with_name(f".{job.out.name}.{os.getpid()}")
    old = job.out.with_name(f".{job.out.name}.{os.getpid()}.old")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(fresh, beside)
    if job.out.exists():
        os.replace(job.out, old)
    os.replace(beside, job.out)
    shutil.rmtree(old, ignore_errors=True)
    return Result(made.status, key, made.seconds, *_pages(job), made.error, made.exports)
