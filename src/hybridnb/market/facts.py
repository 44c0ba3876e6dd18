"""Facts of the market as a whole, one row a session: what penalties and regimes read.

Row t uses sessions up to t and none later.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.ports import MarketData

Floats = NDArray[np.float64]
WINDOW = 20  # sessions of every figure
HISTORY = 252  # previous sessions that a figure is compared with
LEAST = 60  # of them, before the comparison means anything
FLOOR = 0.05  # quantile
STILL = 1e-12  # deviation of daily log returns that is rounding: the name doesn't move
CRISIS, TREND, BREAKOUT = 0.05, 0.7, 0.4


def facts(market: MarketData) -> pd.DataFrame:
    """Volatility, correlation, trend strength and regime of every session.

    Returns
    -------
    DataFrame
        Indexed by session: index_return, index_volatility (a day, 20 sessions),
        volatility_zscore (against its own previous 252, NaN where those are all alike),
        correlation (average pairwise, 20 sessions; NaN with fewer than two names),
        correlation_floor (5 % quantile of its previous 252), correlation_before (20 sessions
        earlier), trend_strength (in [0, 1]; NaN where nothing moved) and regime (crisis, trend,
        breakout, range, unknown). The comparisons with the previous 252 need at least 60 of them.
    """
    closes = market.bars.pivot(index="session", columns="symbol", values="close")
    level = market.index.reindex(closes.index).ffill()
    moves = level.map(math.log).diff()
    volatility = moves.rolling(WINDOW).std()
    before = volatility.shift(1).rolling(HISTORY, min_periods=LEAST)
    spread = before.std()
    returns = np.diff(np.log(closes.to_numpy(np.float64)), axis=0, prepend=np.nan)
    correlation = pd.Series(average_correlation(returns, WINDOW), index=closes.index)
    earlier = correlation.shift(1).rolling(HISTORY, min_periods=LEAST)
    path = moves.abs().rolling(WINDOW).sum()
    strength = (moves.rolling(WINDOW).sum().abs() / path.where(path > 0)).clip(0.0, 1.0)
    return pd.DataFrame(
        {
            "index_return": level.pct_change(),
            "index_volatility": volatility,
            "volatility_zscore": (volatility - before.mean()) / spread.where(spread > STILL),
            "correlation": correlation,
            "correlation_floor": earlier.quantile(FLOOR),
            "correlation_before": correlation.shift(WINDOW),
            "trend_strength": strength,
            "regime": regimes(volatility.to_numpy(), strength.to_numpy()),
        },
        index=closes.index,
    )


def regimes(volatility: Floats, strength: Floats) -> NDArray[np.str_]:
    """Regime by session: crisis above a daily volatility of 5 %, else by trend strength."""
    unknown = np.isnan(volatility) | np.isnan(strength)
    return np.select(
        [unknown, volatility > CRISIS, strength > TREND, strength > BREAKOUT],
        ["unknown", "crisis", "trend", "breakout"],
        "range",
    )


def average_correlation(returns: Floats, window: int) -> Floats:
    """Average pairwise correlation over a rolling window, shape (t,).

    Of m standardised series the variance of their sum is m + m(m − 1)·ρ̄, so that one pass gives
    the mean over all pairs. Names with a gap in the window, or without movement, are left out.

    Parameters
    ----------
    returns : ndarray, shape (t, n)
    """
    out = np.full(len(returns), np.nan)
    for i in range(window, len(returns) + 1):
        block = returns[i - window : i]
        block = block[:, ~np.isnan(block).any(axis=0)]
        spread = block.std(axis=0)
        block, spread = block[:, spread > STILL], spread[spread > STILL]
        m = block.shape[1]
        if m >= 2:
            total = ((block - block.mean(axis=0)) / spread).sum(axis=1)
            out[i - 1] = (float(total.var()) - m) / (m * (m - 1))
    return out
