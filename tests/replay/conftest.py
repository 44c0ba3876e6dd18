"""Wild histories as the replay's arrays, and the compiled twin of the whole loop, made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnb.app.replaying import names_of, tape_of
from hybridnb.blender import sigmoid
from hybridnb.domain import SCALE
from hybridnb.replay.compiler import compiled
from hybridnb.replay.run import Replay, replay, rules, sessions
from hybridnb.replay.tape import Names, Rules, Tape

Make = Callable[..., Any]


@dataclass(frozen=True)
class Past:
    """What a replay is given."""

    tape: Tape
    names: Names
    rules: Rules
    cash: int
    start: int

    def replay(self, **given: Any) -> Replay:
        """Trade it all, or as given."""
        asked = {"cash": self.cash, "start": self.start} | given
        tape = replace(self.tape, rl=self.tape.rl.copy())  # a replay's views are written into it
        with np.errstate(all="ignore"):  # unknown figures are meant
            return replay(tape, self.names, self.rules, **asked)


@dataclass(frozen=True)
class Twin:
    """`sessions`, compiled, and the folder of its machine code."""

    run: Callable[..., int]
    cache: Path


@pytest.fixture(scope="session")
def past_of(wild_of: Make) -> Callable[..., Past]:
    """Wild histories by seed."""

    @cache
    def of(seed: int, *, sessions: int = 60, names: int = 12) -> Past:
        wild = wild_of(seed, sessions=sessions, names=names)
        policy = wild.policy
        views = np.vectorize(lambda x: sigmoid(float(x)), otypes=[float])(wild.views)
        return Past(
            tape_of(wild.panel, views),
            names_of(wild.panel, policy, policy.mode),
            rules(policy, policy.mode, verdict_valid=True),
            round(policy.opening_cash * SCALE),
            wild.first,
        )

    return of


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    """The twin of the whole loop: compiled at its first call, which takes about a minute."""
    pytest.importorskip("numba")
    from hybridnb.replay.struct import entry

    folder = tmp_path_factory.mktemp("kernels")
    return Twin(entry(compiled(sessions, cache=folder)), folder)
