"""Panels with a planted signal, and nets that are small but whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from hybridnb.learning.params import LearningParams

Panel = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]

TINY = {
    "short": {"family": "gru", "horizon": 1},
    "mid": {"family": "boosting", "horizon": 3},
    "recurrent": {"hidden": 4, "layers": 1, "window": 4, "epochs": 5, "batch": 64}
    | {"learning_rate": 0.01, "dropout": 0.0},
    "boosting": {"iterations": 20, "learning_rate": 0.1, "leaves": 4, "least_leaf": 100},
    "walk_forward": {"splits": 3, "min_train": 200},
}


def planted(
    symbols: int = 3, sessions: int = 700, *, phi: float = 0.5, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bars whose log returns are AR(1), and their features: the return, its past, noise.

    Features lack their first 10 sessions, as after a warm-up.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for n in range(symbols):
        shocks, r = rng.normal(0.0, 0.01, sessions), np.zeros(sessions)
        for t in range(1, sessions):
            r[t] = phi * r[t - 1] + shocks[t]
        frame = pd.DataFrame(
            {"symbol": f"S{n}", "session": pd.bdate_range("2015-01-01", periods=sessions)}
        )
        frame["close"] = 100.0 * np.exp(np.cumsum(r))
        frame["last"], frame["before"] = r, np.r_[0.0, r[:-1]]
        frame["noise"] = rng.normal(size=sessions)
        frame.loc[:9, ["last", "before", "noise"]] = np.nan
        frames.append(frame)
    both = pd.concat(frames, ignore_index=True)
    return both[["symbol", "session", "close"]], both[
        ["symbol", "session", "last", "before", "noise"]
    ]


@pytest.fixture
def panel() -> Panel:
    return planted


@pytest.fixture
def tiny() -> LearningParams:
    return LearningParams.model_validate(TINY)
