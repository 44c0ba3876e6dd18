"""What every test stands on: a home of its own, no display, one thread, counted examples."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before anything imports NumPy or torch: results must not depend on the number of cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["MPLBACKEND"] = "Agg"

import nbval.kernel
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from jupyter_client.manager import KernelManager

from hybridnb.app.panel import Panel
from hybridnb.domain import Bucket, Instrument, Mode
from hybridnb.policy import Policy, validated

EVIDENCE = os.environ.get("HYBRIDNB_EVIDENCE") == "1"

settings.register_profile(
    "small",
    deadline=None,
    derandomize=True,
    max_examples=25,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # a shared machine is slow now and then
)
settings.register_profile("full", settings.get_profile("small"), max_examples=1000)
settings.load_profile("full" if EVIDENCE else "small")


# Files run whole, each on one worker: what takes longest begins first, so that none is left over.
LONGEST = (
    *("app/test_day.py", "app/schedule/test_passing.py", "app/test_review.py"),
    *("replay/test_compiler.py", "app/test_training.py", "app/test_cli_brokers.py"),
    *("app/test_runner.py", "app/dashboard/test_dashboard_page.py", "app/test_control_tests.py"),
    *("notebooks/gate_review.ipynb", "notebooks/live_versus_replay.ipynb"),
    *("app/server/test_reaper.py", "app/test_drifting.py", "learning/test_ppo.py"),
)

HOME_KEY = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Notebook cells, and what runs while tests are collected, see no real home either."""
    config.stash[HOME_KEY] = tempfile.TemporaryDirectory(prefix="hybridnb-home-")
    os.environ["HYBRIDNB_HOME"] = config.stash[HOME_KEY].name
    os.environ["HYBRIDNB_REPORTS"] = str(Path(config.stash[HOME_KEY].name) / "reports")

    _kernels_by_files(Path(config.stash[HOME_KEY].name))


def _kernels_by_files(folder: Path) -> None:
    """Have nbval's kernels listen on files: of free ports, two processes may be given the same."""
    numbers = itertools.count()

    def manager(**given: Any) -> KernelManager:
        file = folder / f"kernel-{next(numbers)}.json"
        return KernelManager(transport="ipc", connection_file=str(file), **given)

    nbval.kernel.KernelManager = manager


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    order = {str(tests / name): i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(str(item.path), len(order)))


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[HOME_KEY].cleanup()


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh, empty home for each test, and no reports in the checkout."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HYBRIDNB_HOME", str(folder))
    monkeypatch.setenv("HYBRIDNB_REPORTS", str(folder / "reports"))
    return folder


@dataclass(frozen=True)
class Wild:
    """A market that spares nothing, from a seed: what a session's step and a replay both read.

    `views` are the size hint's, shape (T, n), before the squashing; `first` is the first row to
    trade.
    """

    panel: Panel
    policy: Policy
    views: np.ndarray
    first: int


def wild_market(seed: int, *, sessions: int = 60, names: int = 12) -> Wild:
    """Gaps, crashes, missing bars, halts, thin volumes, unknown figures, every class of name.

    The last name is the end-of-day sweep's. Odd seeds may sell short and start with little
    history; even ones start where the window of returns is full.
    """
    rng = np.random.default_rng(seed)
    first = 61 if seed % 2 else 255
    t, n = first + sessions, names
    volatility = rng.choice([0.005, 0.02, 0.05])
    moves = rng.normal(0, volatility, (t, n))
    # Everything falls or rises at once, by the open already or after it.
    shock = rng.choice([0.0, -6.0, 6.0], (t, 1), p=[0.84, 0.08, 0.08]) * volatility
    moves += shock
    closes = np.round(np.maximum(0.3, 50 * np.exp(np.cumsum(moves, 0))), 2)
    before = np.vstack([closes[:1], closes[:-1]])
    opens = np.round(
        before * np.exp(shock * rng.random((t, 1)) + rng.normal(0, volatility / 2, (t, n))), 2
    )
    reach = rng.uniform(0, volatility, (2, t, n))
    high = np.maximum(opens, closes) * (1 + reach[0])
    low = np.minimum(opens, closes) * (1 - reach[1])
    volume = rng.choice([0, 300, 2000, 10**6, -1], (t, n), p=[0.05, 0.3, 0.3, 0.3, 0.05])
    present = rng.random((t, n)) > 0.05
    present[0] = True
    prices = np.stack([np.rint(v * 10_000) for v in (opens, high, low, closes)] + [volume])
    prices[:4, ~present], prices[4, ~present] = 0, -1
    known = pd.DataFrame(np.where(present, prices[3], np.nan)).ffill().to_numpy()
    symbols = (*(chr(ord("A") + i) for i in range(n - 1)), "VFV.TO")
    panel = Panel(
        sessions=pd.bdate_range("2015-01-01", periods=t),
        ordinals=np.arange(t) + 1000,
        symbols=symbols,
        instruments=_wild_instruments(rng, symbols),
        prices=prices.astype(np.int64),
        present=present,
        last=known.astype(np.int64),
        columns=_wild_columns(rng, np.where(present, closes, np.nan)),
        facts=_wild_facts(rng, t),
        returns=np.where(present if seed % 3 else True, closes / before - 1.0, np.nan),
        excluded={"D": "broken"} if seed % 5 == 0 else {},
        currency="USD",
    )
    views = rng.normal(0, 2, (t, n))
    views[rng.random((t, n)) < 0.05] = np.nan
    return Wild(panel, _wild_policy(rng, seed), views, first)


def _wild_instruments(rng: np.random.Generator, symbols: tuple[str, ...]) -> dict[str, Instrument]:
    found = {}
    for i, symbol in enumerate(symbols):
        bucket = (Bucket.CORE, Bucket.PENNY, Bucket.FNO, Bucket.CORE)[i % 4]
        option = i % 8 == 2
        found[symbol] = Instrument(
            symbol,
            Bucket.SIP if symbol == symbols[-1] else bucket,
            "CAD" if i == 8 else "USD",
            tick=int(rng.choice([1, 100])),
            lot=int(rng.choice([1, 10])),
            multiplier=10 if option else 1,
            delta=0.5 if option else 1.0,
            margin_rate=0.3,
        )
    return found


def _wild_columns(rng: np.random.Generator, closes: np.ndarray) -> dict[str, np.ndarray]:
    def drawn(low: float, high: float, missing: float = 0.0) -> np.ndarray:
        values = rng.uniform(low, high, closes.shape)
        return np.where(rng.random(closes.shape) < missing, np.nan, values)

    return {
        "close": closes,
        "atr": closes * drawn(0.005, 0.05, 0.02),
        "annual_volatility": drawn(0.05, 0.6, 0.01),
        "adv": drawn(1e5, 1e7, 0.02),
        "median_value": drawn(1e4, 1e8, 0.02),
        "daily_volatility": drawn(0.0, 0.05, 0.05),
        "short_raw": drawn(0.0, 1.0),
        "mid_raw": drawn(0.0, 1.0),
        "p_short": drawn(0.0, 1.0, 0.1),
        "p_mid": drawn(0.0, 1.0, 0.1),
        "win_long": drawn(0.3, 0.8, 0.02),
        "win_short": drawn(0.3, 0.8, 0.02),
        "sentiment": drawn(-1.0, 1.0, 0.2),
    }


def _wild_facts(rng: np.random.Generator, t: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "volatility_zscore": np.where(rng.random(t) < 0.05, np.nan, rng.normal(0, 1.5, t)),
            "correlation": np.where(rng.random(t) < 0.05, np.nan, rng.uniform(0, 1, t)),
            "correlation_floor": rng.uniform(0, 0.5, t),
            "trend_strength": 0.3,
            "regime": rng.choice(["range", "crisis", "unknown"], t, p=[0.8, 0.1, 0.1]),
        },
        index=pd.bdate_range("2015-01-01", periods=t),
    )


def _wild_policy(rng: np.random.Generator, seed: int) -> Policy:
    modes = (Mode.DEMO, Mode.LIVE_MICRO, Mode.LIVE_LIMITED, Mode.LIVE)
    values: dict[str, dict[str, object]] = {
        "blend": {
            "penalty_rule": str(rng.choice(["subtract", "shrink"])),
            "weight_rl": 0.0 if seed % 8 == 4 else 0.3,
            **{"buy": 0.6, "sell": 0.4},
        },
        "sizing": {
            "allow_short": bool(seed % 2),
            "max_leverage": float(rng.choice([1, 2])),
            "confidence_threshold": float(rng.choice([0.0, 0.4])),
        },
        "clamps": {
            **{"name_core": 0.15, "name_penny": 0.05, "name_fno": 0.05},
            **{"bucket_penny": 0.1, "bucket_fno": 0.1, "bucket_core": 0.8},
        },
        "risk": {"kill_day_pnl": float(rng.choice([-0.025, -0.005]))},
        "sip": {"rate": 0.05, "min_profit": 10.0},
        "costs": {"latency": str(rng.choice(["none", "fixed", "lognormal"]))},
        "lists": {"do_not_trade": ["H"]},
    }
    if seed % 3:  # risks that no sane policy takes, so that the switch trips again and again
        values["sizing"] |= {"heat_limit": 100.0, "var_limit": 1.0, "es_limit": 1.0}
        values["sizing"] |= {"kelly_fraction": 1.0, "volatility_target": 1.0}
        values["risk"] |= {"quarantine_kills": 2, "quarantine_window": 20}
        values["risk"] |= {"soft_halt_share": 0.25, "soft_halt_confirmations": 1}
        values["risk"] |= {"stop_guard": (10, 5, 2), "drawdown_guard": (0.3, 10, 5)}
    cash = float(rng.choice([20_000, 1_000_000]))
    mode = {"mode": modes[seed // 2 % 4], "opening_cash": cash}
    return validated(Policy, values | mode)


@pytest.fixture(scope="session")
def wild_of() -> Callable[..., Wild]:
    """Wild markets by seed."""
    return wild_market
