"""The same bars for every engine, saved once as memory maps that each process reads.

Arrays are float64 of shape (sessions, symbols), C order, NaN where a symbol has no bar. The
trading rule that all engines share is below, in `RULE`; what an engine can't do of it is said
in its row's `what_it_simulates`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

FIELDS = (
    *("open", "high", "low", "close", "volume"),
    *("p_short", "p_mid", "atr", "annual_volatility"),
)
# Label: symbols, sessions. `12k` is the real one; the last is for what is timed call by call.
LIVE = "live"
SIZES = {"12k": (5, 0), "100k": (50, 2_000), "1M": (500, 2_000), "10M": (500, 20_000)}
SIZES[LIVE] = (5_000, 1_300)
SEED = 20_130_301
ATR_PERIOD = 14
RULE = {
    "buy": 0.67,  # a score at or above it after the close: buy at the next open
    "sell": 0.33,  # at or below it: sell what is held at the next open
    "stop": 1.8,  # ATR below the entry
    "target": 2.5,  # ATR above the entry
    "cash": 1_000_000.0,
    "value": 15_000.0,  # of an entry
    "fee": 0.0002,  # of the value traded
    "slippage": 0.0002,  # of the price
}


def score(p_short: Any, p_mid: Any) -> Any:
    """The blend without an RL model: 4/7 of the short and 3/7 of the mid conviction."""
    return 4.0 / 7.0 * p_short + 3.0 / 7.0 * p_mid


def real(seed: int = SEED) -> dict[str, np.ndarray]:
    """The bars of the `sample` feed; convictions are simulated as for `simulated`.

    Returns
    -------
    dict of str to ndarray, shape (sessions, 5)
        `FIELDS`; some 12 k bars, NaN before a symbol was listed.
    """
    from hybridnb.market.feeds import FeedRequest
    from hybridnb.market.sample import load as sample

    bars = sample(FeedRequest()).bars
    out = {
        name: np.ascontiguousarray(bars.pivot_table(index="session", columns="symbol", values=name))
        for name in ("open", "high", "low", "close", "volume")
    }
    return _with_facts(out, np.random.default_rng(seed))


def simulated(symbols: int, sessions: int, seed: int = SEED) -> dict[str, np.ndarray]:
    """Bars of geometric random walks, prices on ticks of 0.01.

    The log price is pulled to its start by 0.05 % of the distance a session, so that prices stay
    tradable over 20,000 sessions. Volatility is 1 to 3 % a session, volume log-normal.

    Returns
    -------
    dict of str to ndarray, shape (sessions, symbols)
        `FIELDS`. Equal arguments give equal bytes.
    """
    rng = np.random.default_rng(seed)
    shape = (sessions, symbols)
    start = np.log(rng.uniform(20.0, 200.0, symbols))
    sigma = rng.uniform(0.01, 0.03, symbols)
    steps = _autoregressive(sigma * rng.standard_normal(shape), 0.9995, np.zeros(symbols))
    close = start + steps
    before = np.vstack([start[None], close[:-1]])
    opened = before + 0.4 * sigma * rng.standard_normal(shape)
    high = np.maximum(opened, close) + 0.5 * sigma * np.abs(rng.standard_normal(shape))
    low = np.minimum(opened, close) - 0.5 * sigma * np.abs(rng.standard_normal(shape))
    prices = {"open": opened, "high": high, "low": low, "close": close}
    out = {name: np.maximum(0.01, np.round(np.exp(log), 2)) for name, log in prices.items()}
    usual = np.exp(rng.uniform(math.log(1e5), math.log(5e6), symbols))
    out["volume"] = np.round(usual * np.exp(0.5 * rng.standard_normal(shape)))
    return _with_facts(out, rng)


def _with_facts(bars: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Convictions, Wilder's ATR and annual volatility beside the bars."""
    shape, missing = bars["close"].shape, np.isnan(bars["close"])
    for name, memory in (("p_short", 0.95), ("p_mid", 0.98)):
        bars[name] = _conviction(rng, shape, memory)
        bars[name][missing] = np.nan
    bars["atr"] = wilder_atr(bars["high"], bars["low"], bars["close"])
    bars["annual_volatility"] = annual_volatility(bars["close"])
    return bars


def _conviction(rng: np.random.Generator, shape: tuple[int, int], memory: float) -> np.ndarray:
    """Ranks in [0, 1] that remember: the normal rank of an autoregression of order one."""
    shocks = math.sqrt(1.0 - memory * memory) * rng.standard_normal(shape)
    return _normal_rank(_autoregressive(shocks, memory, rng.standard_normal(shape[1])))


def _autoregressive(shocks: np.ndarray, memory: float, first: np.ndarray) -> np.ndarray:
    """`x_t = memory × x_(t−1) + shocks_t`, in place, shape (sessions, symbols)."""
    level = first
    for t in range(len(shocks)):
        shocks[t] += memory * level
        level = shocks[t]
    return shocks


def _normal_rank(x: np.ndarray) -> np.ndarray:
    """The standard normal distribution function."""
    from scipy.special import ndtr

    return np.asarray(ndtr(x))


def wilder_atr(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, period: int = ATR_PERIOD
) -> np.ndarray:
    """Wilder's average true range, shape (sessions, symbols); NaN in each warm-up.

    A symbol's first bars give the mean of `period` true ranges (which need a bar before), then
    `(atr × (period − 1) + range) / period` (Wilder 1978).
    """
    out = np.full(close.shape, np.nan)
    total, seen = np.zeros(close.shape[1]), np.zeros(close.shape[1])
    for t in range(1, len(close)):
        before = close[t - 1]
        reach = np.maximum(high[t], before) - np.minimum(low[t], before)
        known = np.isfinite(reach)
        total = np.where(known & (seen < period), total + reach, total)
        seen += known
        smooth = (out[t - 1] * (period - 1) + reach) / period
        out[t] = np.where(seen == period, total / period, smooth)
    return out


def annual_volatility(close: np.ndarray, memory: float = 0.94) -> np.ndarray:
    """Exponentially weighted volatility of log returns, a fraction a year; NaN in warm-up.

    The weight of the past is RiskMetrics' 0.94 for daily data (1996).
    """
    out = np.full(close.shape, np.nan)
    variance = np.full(close.shape[1], np.nan)
    for t in range(1, len(close)):
        squared = np.log(close[t] / close[t - 1]) ** 2
        smooth = memory * variance + (1.0 - memory) * squared
        variance = np.where(np.isfinite(variance), smooth, squared)
        out[t] = np.sqrt(252.0 * variance)
    return out


def save(label: str, folder: Path) -> Path:
    """Make the data of a size and save each field as `folder/label/<field>.npy`."""
    symbols, sessions = SIZES[label]
    data = simulated(symbols, sessions) if sessions else real()
    target = folder / label
    target.mkdir(parents=True, exist_ok=True)
    for name in FIELDS:
        np.save(target / f"{name}.npy", data[name])
    return target


def load(folder: Path) -> dict[str, np.ndarray]:
    """The fields of a folder that `save` wrote, mapped; writing to them changes no file."""
    return {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in FIELDS}


def count_bars(data: dict[str, np.ndarray]) -> int:
    """Bars there really are: those with a close."""
    return int(np.isfinite(data["close"]).sum())


if __name__ == "__main__":
    import sys

    save(sys.argv[1], Path(sys.argv[2]))
