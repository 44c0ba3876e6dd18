"""Real processes: what a tree holds, and that none of it is left."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from hybridnb.app.process_tree import MIB, Watch, end_tree, kill_tree, resident

CHILD = "held = b'x' * {held}; print('up', flush=True); import time; time.sleep(600)"
PARENT = (
    "import signal, subprocess, sys\n{before}\n"
    "child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
    "child.stdout.readline()\nprint(child.pid, flush=True)\nchild.wait()"
)
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@contextmanager
def family(*, held: int = 0, before: str = "") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process and the child that it started, which holds so many bytes."""
    text = PARENT.format(before=before, child=CHILD.format(held=held))
    parent = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, encoding="ascii"
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        yield parent, child
    finally:
        kill_tree(parent.pid)
        parent.wait()


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_a_tree_holds_what_its_children_hold() -> None:
    with family() as (small, _), family(held=200 * MIB) as (large, _):
        assert 195 * MIB < resident(large.pid) - resident(small.pid) < 230 * MIB
    assert resident(large.pid) == 0  # it is gone


def test_killing_a_tree_leaves_none_of_it() -> None:
    with family() as (parent, child):
        kill_tree(parent.pid)
        assert parent.wait() == -9 and gone(child)


@pytest.mark.parametrize(("before", "code"), [("", -15), (DEAF, -9)])
def test_a_tree_is_asked_first_and_its_status_stays_with_who_started_it(
    before: str, code: int
) -> None:
    with family(before=before) as (parent, child):
        end_tree(parent.pid, grace=0.5)
        assert parent.wait() == code and gone(child)


def test_a_watch_ends_what_takes_too_long() -> None:
    with family() as (parent, child):
        watch = Watch(parent.pid, seconds=0.3, memory=None, grace=1.0)
        watch.start()
        assert parent.wait() == -15 and gone(child)
        watch.stop()
        assert watch.verdict == "late"


def test_a_watch_kills_what_holds_too_much() -> None:
    with family(held=200 * MIB) as (parent, child):
        watch = Watch(parent.pid, seconds=60.0, memory=150)
        watch.start()
        assert parent.wait() == -9 and gone(child)
        watch.stop()
        assert watch.verdict == "memory" and watch.peak > 200 * MIB


def test_a_watch_leaves_alone_what_keeps_its_limits(tmp_path: Path) -> None:
    with family(held=10 * MIB) as (parent, _):
        watch = Watch(parent.pid, seconds=60.0, memory=2_000)
        watch.start()
        time.sleep(0.5)
        watch.stop()
        assert watch.verdict == "" and parent.poll() is None and watch.peak > 10 * MIB
