"""One line a step, with the time it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Say = Callable[[str], None]


def to_log(text: str) -> None:
    """Print at once, so that a killed run has said how far it came."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def to_people(text: str) -> None:
    """Print to standard error: standard output is a command's result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def timed(what: str, say: Say) -> Iterator[None]:
    """Say what was done and its duration, once it is done."""
    start = time.perf_counter()
    yield
    say(f"{what}: {time.perf_counter() - start:.1f} s")
