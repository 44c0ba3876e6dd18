"""Honest bars that every rule accepts, to be broken in one place, and the feeds' door."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybridnb.market import calendar as exchange
from hybridnb.market.feeds import FeedRequest, load_feed
from hybridnb.ports import MarketData


def build_bars(
    *symbols: str, sessions: int = 60, seed: int = 0, calendar: str = "XTSE"
) -> pd.DataFrame:
    """Calm bars, `sessions` a symbol from 2023-01-03 on, symbol by symbol, index 0, 1, …"""
    rng = np.random.default_rng(seed)
    days = exchange.sessions(calendar, "2023-01-03", "2023-12-29")[:sessions]
    parts = []
    for symbol in symbols or ("AAA.TO", "BBB.TO"):
        close = 20 * np.exp(np.cumsum(0.01 * rng.standard_normal(sessions)))
        opened = np.r_[close[0], close[:-1]] * np.exp(0.002 * rng.standard_normal(sessions))
        parts.append(
            pd.DataFrame(
                {
                    "symbol": symbol,
                    "date": days.strftime("%Y-%m-%d"),
                    "open": opened,
                    "high": np.maximum(opened, close) * 1.003,
                    "low": np.minimum(opened, close) * 0.997,
                    "close": close,
                    "volume": rng.integers(50_000, 150_000, sessions).astype(float),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def load_any(name: str, data: Path | None = None, **given: object) -> MarketData:
    """A feed by its name, as the application asks for it; what isn't given is left open."""
    asked: dict[str, object] = {"seed": 7, "sip_symbol": "VFV.TO", "data": data}
    return load_feed(name, FeedRequest(**(asked | given)))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def bars_of() -> Callable[..., pd.DataFrame]:
    return build_bars


@pytest.fixture(scope="session")
def load() -> Callable[..., MarketData]:
    return load_any
