"""The replay's loop over sessions, compiled once for each state of the sources, or as it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hybridnb.app.home import home
from hybridnb.app.progress import Say
from hybridnb.domain import SCALE, Mode
from hybridnb.replay.compiler import available, compiled
from hybridnb.replay.run import replay, sessions
from hybridnb.replay.tape import Names, Rules, Tape, World

MODE = Mode.DEMO  # as in the backtest: what is tried is the decision, not a permission
Kernel = Callable[[World, int, int], int]


def kernel(*, plain: bool, say: Say) -> Kernel:
    """`hybridnb.replay.run.sessions` or its compiled twin, whose machine code the home keeps.

    Nothing is compiled here but when the twin is first called, once for each version of the
    program and each machine; then it is said.
    """
    if plain or not available():
        return sessions
    cache = home().kernels
    if next(cache.rglob("*.nbc"), None) is None:
        say("the trading step is compiled once, which takes about a minute")
    return _twin(cache)


def ready(run: Kernel, tape: Tape, names: Names, rules: Rules) -> None:
    """Trade one session, so that whatever has to be compiled or loaded is before a clock starts."""
    replay(tape, names, rules, cash=SCALE, stop=2, run=run)


def writable(tape: Tape) -> Tape:
    """A tape whose arrays are plain and may be written; those that are so already are shared.

    A compiled kernel takes no others: they would be copied anew at every call.
    """
    parts: dict[str, Any] = {
        name: np.require(np.asarray(part), requirements=["C", "W"])
        for name, part in vars(tape).items()
        if isinstance(part, np.ndarray)
    }
    return replace(tape, **parts)


@lru_cache(maxsize=1)
def _twin(cache: Path) -> Kernel:
    """The twin; loading its code takes seconds, hence once a process."""
    from hybridnb.replay.struct import entry

    return entry(compiled(sessions, cache=cache))
