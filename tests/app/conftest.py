"""A small market, already aligned, whose predictions a test chooses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scenes import Scene

from hybridnb.app.desk import Setup
from hybridnb.app.panel import Panel
from hybridnb.app.records import Recorder
from hybridnb.app.session import step
from hybridnb.app.state import State, first_state
from hybridnb.domain import SCALE, Bucket, Instrument
from hybridnb.policy import Policy

Rows = list[dict[str, object]]


def build_panel(
    closes: np.ndarray, *, score: float | np.ndarray = 0.9, opens: np.ndarray | None = None
) -> Panel:
    """A panel of core names A, B, … from closes of shape (t, n), every input but these calm."""
    t, n = closes.shape
    opens = np.vstack([closes[:1], closes[:-1]]) if opens is None else opens
    high, low = np.maximum(opens, closes) * 1.001, np.minimum(opens, closes) * 0.999
    sessions = pd.bdate_range("2015-01-01", periods=t)
    symbols = tuple(chr(ord("A") + i) for i in range(n))
    full = lambda value: np.broadcast_to(np.asarray(value, float), (t, n)).copy()  # noqa: E731
    units = [np.rint(v * SCALE) for v in (opens, high, low, closes)]
    columns = {
        "close": closes,
        "atr": closes * 0.02,
        "annual_volatility": full(0.15),
        "adv": full(1e9),
        "median_value": full(1e9),
        "daily_volatility": full(0.01),
        "short_raw": full(0.5),
        "mid_raw": full(0.5),
        "p_short": full(score),
        "p_mid": full(score),
        "win_long": full(0.6),
        "win_short": full(0.4),
        "sentiment": full(np.nan),
    }
    facts = pd.DataFrame(
        {"volatility_zscore": 0.0, "correlation": 0.5, "correlation_floor": 0.2}
        | {"trend_strength": 0.3, "regime": "range"},
        index=sessions,
    )
    returns = np.vstack([np.zeros((1, n)), closes[1:] / closes[:-1] - 1.0])
    return Panel(
        sessions=sessions,
        ordinals=np.arange(t) + 1000,
        symbols=symbols,
        instruments={s: Instrument(s, Bucket.CORE, "USD") for s in symbols},
        prices=np.stack([*units, full(1e7)]).astype(np.int64),
        present=np.ones((t, n), bool),
        last=units[3].astype(np.int64),
        columns=columns,
        facts=facts,
        returns=returns,
        excluded={},
        currency="USD",
    )


def build_setup(n: int, *, policy: Policy | None = None, hint: float = 4.0) -> Setup:
    return Setup("book", policy or Policy(), "e", "m", lambda day, state: np.full(n, hint))


def run_sessions(
    panel: Panel, setup: Setup, first: int, last: int, state: State | None = None
) -> tuple[State, list[Rows]]:
    """Step the sessions in rows first … last; the state after and each session's rows."""
    state = state or first_state(setup.policy)
    kept: list[Rows] = []
    for i in range(first, last + 1):
        day = panel.day(i)
        record = Recorder(book="book", session=day.session, stamp={})
        state = step(state, day, setup, record)
        kept.append(record.rows)
    return state, kept


@pytest.fixture(scope="session")
def panel_of() -> Callable[..., Panel]:
    return build_panel


@pytest.fixture(scope="session")
def setup_of() -> Callable[..., Setup]:
    return build_setup


@pytest.fixture(scope="session")
def run() -> Callable[..., tuple[State, list[Rows]]]:
    return run_sessions


@pytest.fixture
def scene(panel_of: Callable[..., Panel], setup_of: Callable[..., Setup]) -> Scene:
    return Scene(panel_of, setup_of)
