"""A scheduler for tests: passes over and over by a clock that a file tells, until it is killed."""

from __future__ import annotations

import datetime as dt
import sys
import time
from pathlib import Path

from hybridnb.app.schedule.params import read_schedule
from hybridnb.app.schedule.passing import one_pass, opened

JOB = str(Path(__file__).with_name("chaos_job.py"))


def main(params: str, clock: str) -> None:
    schedule = read_schedule(Path(params), known={"deed"})
    worker = opened(program=(sys.executable, JOB), schedule=schedule)

    def now() -> dt.datetime:
        return dt.datetime.fromisoformat(Path(clock).read_text(encoding="ascii"))

    while True:
        one_pass(worker, now, say=print)
        time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
