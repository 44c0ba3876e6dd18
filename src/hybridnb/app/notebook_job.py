"""One notebook, executed in this process: `python -m hybridnb.app.notebook_job JOB.json`.

The runner starts it and reads JSON lines from its standard output: one a cell as it starts, one a
line that the notebook prints, one with the error at the end. It dies with its parent, and its
kernel with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h
OUTPUT_CAP = 256 * 1024  # characters of text that a cell may keep
STARTUP_SECONDS = 120


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process with its parent; elsewhere than on Linux do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGTERM)


def execute(job: dict[str, Any], beat: Callable[..., None]) -> None:
    """Run the notebook, saving what it has after each cell.

    Raises
    ------
    PapermillExecutionError, CellTimeoutError, DeadKernelError
        As papermill and nbclient raise them.
    """
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.execute import execute_notebook
    from traitlets.config import Config

    class Engine(NBClientEngine):  # type: ignore[misc]
        """Papermill's own engine, which also says each cell and caps its output."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
            _watched(nb_man, beat)
            return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)

    papermill_engines.register("hybridnb", Engine)
    execute_notebook(
        job["notebook"],
        job["output"],
        parameters=job["parameters"],
        engine_name="hybridnb",
        kernel_name=job["kernel"],
        progress_bar=False,
        cwd=job["scratch"],
        stdout_file=_Lines(beat),
        start_timeout=STARTUP_SECONDS,
        execution_timeout=job["cell_timeout"],
        record_timing=False,
        shutdown_kernel="immediate",
        config=Config({"KernelManager": {"transport": "ipc"}}),
    )


def _watched(nb_man: Any, beat: Callable[..., None]) -> None:
    """Wrap the manager of an execution so that it says each cell and caps its output."""
    code = [c.id for c in nb_man.nb.cells if c.cell_type == "code" and c.source.strip()]
    start, complete = nb_man.cell_start, nb_man.cell_complete

    def started(cell: Any, *args: Any, **kwargs: Any) -> None:
        start(cell, *args, **kwargs)
        if cell.id in code:
            beat(cell=code.index(cell.id) + 1, of=len(code), id=cell.id)

    def completed(cell: Any, *args: Any, **kwargs: Any) -> None:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and len(output.text) > OUTPUT_CAP:
                size = len(output.text)
                output.text = f"{output.text[:OUTPUT_CAP]}\n[cut: {size:,} characters]\n"
        complete(cell, *args, **kwargs)

    nb_man.cell_start, nb_man.cell_complete = started, completed


class _Lines:
    """A file that hands on whole lines."""

    def __init__(self, beat: Callable[..., None]) -> None:
        self._beat, self._rest = beat, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._beat(line=line[:500])
        return len(text)

    def flush(self) -> None:
        """Nothing is held back but the unfinished line."""


def main() -> None:
    """Entry point; exit status 0 only when every cell ran."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    die_with_parent(job["parent"])

    def beat(**facts: Any) -> None:
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()

    try:
        execute(job, beat)
    except Exception as error:  # noqa: BLE001 - whatever a notebook does ends here, and is told
        ename = getattr(error, "ename", None) or type(error).__name__
        beat(error={"ename": ename, "evalue": str(getattr(error, "evalue", error))[:4000]})
        sys.exit(1)


if __name__ == "__main__":
    main()
