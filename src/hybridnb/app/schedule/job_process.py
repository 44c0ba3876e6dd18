"""One attempt of a scheduled job: `python -m hybridnb.app.schedule.job_process ORDER.json`.

It dies with the scheduler that started it. A lock of the system, which a killed process can't
keep, lets only one attempt of a (job, session) run on a machine, whatever any clock says. Its last
act puts the outcome in place at once; an attempt that finds one there does nothing more.
"""

from __future__ import annotations

import datetime as dt
import json
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hybridnb.app.notebook_job import die_with_parent
from hybridnb.app.schedule.actions import FUNCTIONS, Action, Order, act
from hybridnb.errors import HybridnbError

BUSY = 75  # exit status: another attempt of the same job and session is alive (EX_TEMPFAIL)
PATIENCE = 5.0  # seconds that one that is being killed has to be gone


def written(order: Order, *, parent: int, outcome: Path) -> str:
    """An order as the text that this process reads."""
    values = asdict(order) | {"now": order.now.isoformat(), "parameters": dict(order.parameters)}
    return json.dumps({"order": values, "parent": parent, "outcome": str(outcome)})


def _read(path: Path) -> tuple[Order, int, Path]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    values = found["order"]
    values |= {"now": dt.datetime.fromisoformat(values["now"])}
    values |= {"recorded": tuple(values["recorded"])}
    return Order(**values), int(found["parent"]), Path(found["outcome"])


def main(functions: Mapping[str, Action] = FUNCTIONS) -> None:
    """Entry point; exit status 0 when the outcome is in place, 1 with an error told, 75 busy."""
    given = Path(sys.argv[1])
    order, parent, outcome = _read(given)
    die_with_parent(parent, by=signal.SIGKILL)
    from filelock import FileLock, Timeout

    lock = FileLock(outcome.with_suffix(".lock"))
    try:
        lock.acquire(timeout=PATIENCE, poll_interval=0.02)
    except Timeout:
        sys.exit(BUSY)
    if not outcome.is_file():
        _attempted(order, outcome, functions, error_path(given))


def error_path(given: Path) -> Path:
    """Where an attempt that failed says why, beside its order."""
    return given.with_name("error.txt")


def _attempted(order: Order, outcome: Path, functions: Mapping[str, Action], failure: Path) -> None:
    from hybridnb.app.logs import about, set_up
    from hybridnb.app.runner import write_atomically

    start = time.perf_counter()
    try:
        set_up()
        with about(job=order.job, session=order.session):
            found = dict(act(order, _said, functions))
    except HybridnbError as error:
        write_atomically(failure, f"{error} {error.remedy}".strip())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - whatever a job does ends here, and is told
        import traceback

        traceback.print_exc()
        write_atomically(failure, f"{type(error).__name__}: {error}")
        sys.exit(1)
    seconds = round(time.perf_counter() - start, 3)
    write_atomically(outcome, json.dumps(found | {"seconds": seconds}, ensure_ascii=False))


def _said(text: str) -> None:
    """Progress, which the scheduler keeps beside the run."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
