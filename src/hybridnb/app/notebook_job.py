"""One notebook, executed in this process: `python -m hybridnb.app.notebook_job JOB.json`.

The runner starts it and reads JSON lines from its standard output: one a cell as it starts and as
it ends, one a line that the notebook prints, one with the error at the end. It dies with its
parent, and its kernel with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hybridnb.app.imports import lean

PR_SET_PDEATHSIG = 1  # linux/prctl.h
TEXT_CAP = 256 * 1024  # characters of text that a cell may keep
RICH_CAP = 2 * 1024 * 1024  # characters of figures and tables that a cell may keep
STARTUP_SECONDS = 120
Beat = Callable[..., None]


def die_with_parent(parent: int, *, by: int = signal.SIGTERM) -> None:
    """Ask the system to end this process with its parent (Linux), and check that it still lives.

    What it holds much of goes first when the machine runs out of memory: a job can be run again.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _death_signal(by)()
    with contextlib.suppress(OSError):  # a system without it chooses by itself
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGTERM)


def _death_signal(number: int) -> Callable[[], None]:
    """A call after which the process gets this signal when its parent ends; nothing elsewhere."""
    if sys.platform != "linux":
        return lambda: None
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, number)


def about(source: str) -> str:
    """What a code cell says of itself: its first comment, else its first line; 60 characters."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    return next(iter([c for c in comments if c] + lines), "")[:60]


def execute(job: dict[str, Any], beat: Beat) -> None:
    """Run the notebook, saving what it has after each cell.

    Raises
    ------
    PapermillExecutionError, CellTimeoutError, DeadKernelError
        As papermill and nbclient raise them.
    """
    lean("papermill.execute")
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine, papermill_engines
    from papermill.execute import execute_notebook

    class Client(PapermillNotebookClient):  # type: ignore[misc]
        """Papermill's own client, which stops keeping a cell's output at the cap."""

        def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:
            return super().output(outs, capped(outs, msg), display_id, cell_index)

    class Capped(Engine):  # type: ignore[misc]
        """Papermill's own engine with that client, and a line for each cell."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> Any:
            _watched(nb_man, beat)
            client = Client(
                nb_man,
                timeout=job["cell_timeout"],
                startup_timeout=STARTUP_SECONDS,
                kernel_name=kernel_name,
                record_timing=False,
                shutdown_kernel="immediate",
                stdout_file=_Lines(beat),
                resources={"metadata": {"path": job["scratch"]}},
                config=_ipc(),
            )
            return client.execute(preexec_fn=_death_signal(signal.SIGKILL))

    papermill_engines.register("hybridnb", Capped)
    execute_notebook(
        job["notebook"],
        job["output"],
        parameters=job["parameters"],
        engine_name="hybridnb",
        kernel_name=job["kernel"],
        progress_bar=False,
        cwd=job["scratch"],
    )


def _ipc() -> Any:
    from traitlets.config import Config

    return Config({"KernelManager": {"transport": "ipc"}})


def capped(outs: list[Any], msg: dict[str, Any]) -> dict[str, Any]:
    """The message of an output, cut where its cell holds as much as it may.

    Parameters
    ----------
    outs : list of outputs
        What the cell holds already.
    msg : dict
        A message of the kernel's output channel.
    """
    kind, content = msg["msg_type"], msg["content"]
    if kind == "stream":
        held = sum(len(o.text) for o in outs if o.output_type == "stream")
        room, text = TEXT_CAP - held, content["text"]
        if len(text) <= room:
            return msg
        note = f"\n[cut: a cell keeps {TEXT_CAP:,} characters of text]\n" if room > 0 else ""
        return msg | {"content": content | {"text": text[: max(room, 0)] + note}}
    if kind in ("display_data", "execute_result"):
        held = sum(len(str(o.data)) for o in outs if "data" in o)
        if held + len(str(content["data"])) > RICH_CAP:
            note = f"[cut: a cell keeps {RICH_CAP:,} characters of figures and tables]"
            return msg | {"content": content | {"data": {"text/plain": note}}}
    return msg


def _watched(nb_man: Any, beat: Beat) -> None:
    """Wrap the manager of an execution so that it says each cell as it starts and ends."""
    for cell in nb_man.nb.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"  # papermill's is random
    code = [c.id for c in nb_man.nb.cells if c.cell_type == "code" and c.source.strip()]
    start, complete = nb_man.cell_start, nb_man.cell_complete
    began: dict[str, float] = {}

    def started(cell: Any, *args: Any, **kwargs: Any) -> None:
        start(cell, *args, **kwargs)
        if cell.id in code:
            began[cell.id] = time.perf_counter()
            beat(cell=code.index(cell.id) + 1, of=len(code), id=cell.id, about=about(cell.source))

    def completed(cell: Any, *args: Any, **kwargs: Any) -> None:
        complete(cell, *args, **kwargs)
        if cell.id in began:
            seconds = time.perf_counter() - began.pop(cell.id)
            beat(done=cell.id, seconds=round(seconds, 3))

    nb_man.cell_start, nb_man.cell_complete = started, completed


class _Lines:
    """A file that hands on whole lines, at most `MOST` of them."""

    MOST, WIDTH = 2_000, 500

    def __init__(self, beat: Beat) -> None:
        self._beat, self._rest, self._said = beat, "", 0

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines[: max(self.MOST - self._said, 0)]:
            self._beat(line=line.rstrip("\r").rpartition("\r")[2][: self.WIDTH])
        self._said += len(lines)
        self._rest = self._rest[-self.WIDTH :]
        return len(text)

    def flush(self) -> None:
        """Nothing is held back but the unfinished line."""


def _own_output() -> Any:
    """Standard output for this process alone: what it starts writes to standard error instead.

    A process that a notebook leaves behind would else keep the runner's pipe open.
    """
    own = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return own


def main() -> None:
    """Entry point; exit status 0 only when every cell ran."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    die_with_parent(job["parent"])
    own = _own_output()

    def beat(**facts: Any) -> None:
        own.write(json.dumps(facts) + "\n")

    try:
        execute(job, beat)
    except Exception as error:  # noqa: BLE001 - whatever a notebook does ends here, and is told
        ename = getattr(error, "ename", None) or type(error).__name__
        beat(error={"ename": ename, "evalue": str(getattr(error, "evalue", error))[:4000]})
        sys.exit(1)


if __name__ == "__main__":
    main()
