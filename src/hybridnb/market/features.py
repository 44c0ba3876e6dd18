"""Features: what the predictors read, and what sizing and stops read, as of each close.

Every feature of a row uses bars of its symbol (ranks: of all symbols) up to that session and
none later. A feature is NaN until its warm-up is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import talib
from numpy.typing import NDArray

from hybridnb.canonical import sha256
from hybridnb.domain import Basis
from hybridnb.ports import MarketData

Floats = NDArray[np.float64]
YEAR = 252  # sessions


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """A feature: bars before its first value, its formula's version, what it is.

    One with `needs_volume` is 0 throughout where a feed has none.
    """

    name: str
    warm_up: int
    version: int
    what: str
    needs_volume: bool = False


# Model inputs: free of scale, so that one model serves names of any price.
SPECS = (
    FeatureSpec("return_1", 1, 1, "log return over 1 session"),
    FeatureSpec("return_5", 5, 1, "log return over 5 sessions"),
    FeatureSpec("return_20", 20, 1, "log return over 20 sessions"),
    FeatureSpec("momentum_60", 60, 1, "log return over 60 sessions"),
    FeatureSpec("rsi_14", 14, 2, "RSI of 14 sessions (Wilder), centred on 0, in [-1, 1]"),
    FeatureSpec("macd", 33, 1, "MACD line (12, 26) over the price"),
    FeatureSpec("macd_signal", 33, 1, "MACD histogram (12, 26, 9) over the price"),
    FeatureSpec("atr_share", 14, 2, "ATR of 14 sessions (Wilder) over the price"),
    FeatureSpec("volatility_20", 20, 1, "standard deviation of log returns, 20 sessions, a year"),
    FeatureSpec("volume_z", 20, 1, "log volume against its last 20 sessions, deviations", True),
    FeatureSpec("value_trend", 20, 1, "log of mean traded value, 5 over 20 sessions", True),
    FeatureSpec("rank_5", 5, 1, "rank of return_5 among the session's names, in [-0.5, 0.5]"),
    FeatureSpec("rank_20", 20, 1, "rank of return_20 among the session's names"),
    FeatureSpec("adx_14", 27, 1, "ADX of 14 sessions (Wilder), in [0, 1]"),
    FeatureSpec("range_50", 49, 1, "place of the close in its 50-session range, in [-0.5, 0.5]"),
)
FEATURES = tuple(spec.name for spec in SPECS)
WARM_UP = max(spec.warm_up for spec in SPECS)
# What sizing, stops and clamps read, in the units of the account.
INPUTS = ("close", "atr", "annual_volatility", "daily_volatility", "adv", "median_value", "adx14")
_VOLUME = tuple(spec.name for spec in SPECS if spec.needs_volume)
_ATR = 14  # of the model input: another stop distance must not change what a model reads


def feature_set_id() -> str:
    """Identity of the features' definitions, 16 hexadecimal digits."""
    return sha256([asdict(spec) for spec in SPECS])[:16]


def features(market: MarketData, *, atr_period: int) -> pd.DataFrame:
    """Features of every bar.

    Parameters
    ----------
    market : MarketData
        Bars sorted by (symbol, session). Without volume the volume features are 0 and traded
        values NaN; bars that have only a close get a true range of absolute close changes.
    atr_period : int
        Sessions of Wilder's average in `atr`, the input of the stops; `atr_share` has its own.

    Returns
    -------
    DataFrame
        symbol, session, `FEATURES`, `INPUTS`; the rows of `market.bars` in their order.
    """
    bars = market.bars
    values = {n: bars[n].to_numpy(np.float64) for n in ("open", "high", "low", "close", "volume")}
    _, starts = np.unique(bars["symbol"].to_numpy(dtype="U"), return_index=True)
    bounds = [*sorted(starts.tolist()), len(bars)]
    parts = [
        _of_symbol(
            {n: v[a:b] for n, v in values.items()},
            atr_period=atr_period,
            closes_only=market.basis is Basis.CLOSE,
        )
        for a, b in pairwise(bounds)
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    out = bars[["symbol", "session"]].assign(**columns)
    for source, name in (("return_5", "rank_5"), ("return_20", "rank_20")):
        grouped = out.groupby("session")[source]
        count = grouped.transform("count")
        out[name] = np.where(count > 1, (grouped.rank() - 1.0) / (count - 1.0) - 0.5, 0.0)
        out.loc[out[source].isna(), name] = np.nan
    return out[["symbol", "session", *FEATURES, *INPUTS]]


def _of_symbol(v: dict[str, Floats], *, atr_period: int, closes_only: bool) -> dict[str, Floats]:
    """All but the ranks, for one symbol's bars in order."""
    high, low, close = v["high"], v["low"], v["close"]
    logs = np.log(close)
    r1 = _lagged(logs, 1)
    ranges = _true_range(high, low, close, closes_only=closes_only)
    atr = _wilder(ranges, atr_period)
    daily = _rolling(r1, 20, lambda w: w.std(axis=1, ddof=1))
    macd, _, histogram = _talib(talib.MACD, close)
    adx = _talib(talib.ADX, high, low, close, timeperiod=14)[0] / 100.0
    top = _rolling(high, 50, lambda w: w.max(axis=1))
    bottom = _rolling(low, 50, lambda w: w.min(axis=1))
    spread = top - bottom
    place = np.where(spread > 0, (close - bottom) / np.where(spread > 0, spread, 1.0) - 0.5, 0.0)
    return {
        "return_1": r1,
        "return_5": _lagged(logs, 5),
        "return_20": _lagged(logs, 20),
        "momentum_60": _lagged(logs, 60),
        "rsi_14": _rsi(close),
        "macd": macd / close,
        "macd_signal": histogram / close,
        "atr_share": (atr if atr_period == _ATR else _wilder(ranges, _ATR)) / close,
        "volatility_20": daily * np.sqrt(YEAR),
        "adx_14": adx,
        "range_50": np.where(np.isnan(spread), np.nan, place),
        **_volumes(v["volume"], close),
        "close": close,
        "atr": atr,
        "annual_volatility": daily * np.sqrt(YEAR),
        "daily_volatility": daily,
        "adx14": adx * 100.0,
    }


def _volumes(volume: Floats, close: Floats) -> dict[str, Floats]:
    if np.isnan(volume).all():
        nothing, unknown = np.zeros(len(close)), np.full(len(close), np.nan)
        return dict.fromkeys(_VOLUME, nothing) | {"adv": unknown, "median_value": unknown}
    value, logs = volume * close, np.log1p(volume)
    adv = _rolling(value, 20, lambda w: w.mean(axis=1))
    mean = _rolling(logs, 20, lambda w: w.mean(axis=1))
    deviation = _rolling(logs, 20, lambda w: w.std(axis=1, ddof=1))
    z = np.where(deviation > 0, (logs - mean) / np.where(deviation > 0, deviation, 1.0), 0.0)
    recent = _rolling(value, 5, lambda w: w.mean(axis=1))
    traded = (recent > 0) & (adv > 0)
    trend = np.where(traded, np.log(np.where(traded, recent, 1) / np.where(traded, adv, 1)), 0.0)
    early = np.arange(len(close)) < 20
    return {
        "volume_z": np.where(np.isnan(mean) | early, np.nan, z),
        "value_trend": np.where(np.isnan(adv) | early, np.nan, trend),
        "adv": adv,
        "median_value": _rolling(value, 20, lambda w: np.median(w, axis=1)),
    }


def _lagged(logs: Floats, k: int) -> Floats:
    out = np.full(len(logs), np.nan)
    out[k:] = logs[k:] - logs[:-k] if k < len(logs) else np.nan
    return out


def _rolling(values: Floats, n: int, reduce: Callable[[Floats], Floats]) -> Floats:
    """Each full window of n values reduced on its own: no running sum that would drift.

    A window with a NaN is NaN, so that a value doesn't depend on where the history was cut.
    """
    out = np.full(len(values), np.nan)
    if len(values) >= n:
        out[n - 1 :] = reduce(np.lib.stride_tricks.sliding_window_view(values, n))
    return out


def _true_range(high: Floats, low: Floats, close: Floats, *, closes_only: bool) -> Floats:
    """Wilder's true range; of closes alone the absolute change."""
    out = np.full(len(close), np.nan)
    before = close[:-1]
    if closes_only:
        out[1:] = np.abs(close[1:] - before)
    else:
        out[1:] = np.maximum(high[1:], before) - np.minimum(low[1:], before)
    return out


def _wilder(ranges: Floats, n: int) -> Floats:
    """Wilder's average (New Concepts, 1978): a mean of the first n, then 1/n of each new one."""
    out = np.full(len(ranges), np.nan)
    if len(ranges) <= n:
        return out
    value = float(ranges[1 : n + 1].mean())
    out[n] = value
    for i in range(n + 1, len(ranges)):
        value += (float(ranges[i]) - value) / n
        out[i] = value
    return out


def _rsi(close: Floats) -> Floats:
    """RSI in [-1, 1]; 0 while the price has never moved, where TA-Lib says fallen without rest."""
    rsi = _talib(talib.RSI, close, timeperiod=14)[0] / 50.0 - 1.0
    unmoved = np.logical_and.accumulate(close == close[0])
    return np.where(unmoved & ~np.isnan(rsi), 0.0, rsi)


def _talib(function: Callable[..., Any], *series: Floats, **given: int) -> tuple[Floats, ...]:
    """An indicator; all NaN where the history is shorter than its window."""
    found = function(*(np.ascontiguousarray(s) for s in series), **given)
    return found if isinstance(found, tuple) else (found,)
