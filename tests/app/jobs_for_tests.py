"""Jobs of the schedule's tests: each ends in another way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hybridnb.app.progress import Say
from hybridnb.app.schedule.actions import FUNCTIONS, Order, Outcome, done, skipped
from hybridnb.app.schedule.job_process import main
from hybridnb.errors import Refused


def seen(text: object, file: str = "seen") -> None:
    with Path(os.environ["HYBRIDNB_HOME"], file).open("a", encoding="utf-8") as opened:
        opened.write(f"{text}\n")


def mark(order: Order, say: Say) -> Outcome:
    seen(f"{order.job}/{order.session}")
    return done(Path(os.environ["HYBRIDNB_REPORTS"], order.session, "mark.html"), "marked")


def refuse(order: Order, say: Say) -> Outcome:
    raise Refused("the reason itself", remedy="Mend it.")


def idle(order: Order, say: Say) -> Outcome:
    return skipped("nothing to work on")


def crash(order: Order, say: Say) -> Outcome:
    return done(str(1 / 0))


def die(order: Order, say: Say) -> Outcome:
    os.kill(os.getpid(), signal.SIGKILL)
    return done()


def noisy(order: Order, say: Say) -> Outcome:
    print("a library's own word on standard output")
    say("its progress")
    sys.exit(7)


def leave(order: Order, say: Say) -> Outcome:
    os._exit(0)


def endless(order: Order, say: Say) -> Outcome:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.1)


def brood(order: Order, say: Say) -> Outcome:
    child = subprocess.Popen([sys.executable, "-c", "import time\ntime.sleep(600)"])
    seen(child.pid, "brood")
    return endless(order, say)


def hungry(order: Order, say: Say) -> Outcome:
    held = [b"x" * 50_000_000 for _ in range(40)]
    time.sleep(60)
    return done(note=str(len(held)))


def slow(order: Order, say: Say) -> Outcome:
    seen(os.getpid(), "slow")
    time.sleep(3)
    return done()


if __name__ == "__main__":
    own = (mark, refuse, idle, crash, die, leave, noisy, endless, brood, hungry, slow)
    main({**FUNCTIONS, **{f.__name__: f for f in own}})
