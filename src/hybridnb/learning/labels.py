"""Labels: what a prediction made at a session's close turned out to be.

A label that isn't known yet is NaN, never a guess.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def forward_up(bars: pd.DataFrame, horizon: int) -> Floats:
    """1 where the close is higher `horizon` sessions of the symbol later, else 0.

    Parameters
    ----------
    bars : DataFrame
        Columns symbol and close, sorted by (symbol, session).
    horizon : int

    Returns
    -------
    ndarray, shape (rows,)
        NaN in the last `horizon` rows of each symbol.
    """
    later = bars.groupby("symbol", sort=False)["close"].shift(-horizon).to_numpy(np.float64)
    return np.where(np.isnan(later), np.nan, later > bars["close"].to_numpy(np.float64))


def triple_barrier(
    bars: pd.DataFrame,
    atr: Floats,
    *,
    side: Literal["long", "short"],
    stop: float,
    target: float,
    horizon: int,
) -> Floats:
    """1 where the target came before the stop, 0 where it didn't within `horizon` sessions.

    The entry is the next session's open, as on the paper venue; barriers are multiples of the
    row's ATR. Inside one bar the stop comes first; an open beyond a barrier decides before the
    bar's range. López de Prado (2018), ch. 3.

    Parameters
    ----------
    bars : DataFrame
        symbol, open, high, low, sorted by (symbol, session).
    atr : ndarray, shape (rows,)
    stop, target : float
        Multiples of ATR.

    Returns
    -------
    ndarray, shape (rows,)
        NaN where the ATR is unknown, or the outcome isn't known yet.
    """
    out = np.full(len(bars), np.nan)
    flip = 1.0 if side == "long" else -1.0
    prices = {n: bars[n].to_numpy(np.float64) for n in ("open", "high", "low")}
    codes = bars["symbol"].to_numpy(dtype="U")
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    for a, b in zip(starts, [*starts[1:], len(bars)], strict=True):
        opened = flip * prices["open"][a:b]
        best = prices["high"][a:b] if flip > 0 else -prices["low"][a:b]
        worst = prices["low"][a:b] if flip > 0 else -prices["high"][a:b]
        out[a:b] = _barriers(
            opened, best, worst, atr[a:b], stop=stop, target=target, horizon=horizon
        )
    return out


def _barriers(
    opened: Floats,
    best: Floats,
    worst: Floats,
    atr: Floats,
    *,
    stop: float,
    target: float,
    horizon: int,
) -> Floats:
    """One symbol's labels; prices are flipped for a short, so that up is always good."""
    n = len(opened)
    entry = np.full(n, np.nan)
    entry[:-1] = opened[1:]
    high, low = entry + target * atr, entry - stop * atr
    label = np.full(n, np.nan)
    open_rows = np.isfinite(high)
    for k in range(1, horizon + 1):
        rows = np.flatnonzero(open_rows[: max(n - k, 0)])
        later = rows + k
        # The entry bar's own open is the entry: only later opens can gap through a barrier.
        gap_win = (opened[later] >= high[rows]) & (k > 1)
        lost = ~gap_win & (worst[later] <= low[rows])
        won = gap_win | (~lost & (best[later] >= high[rows]))
        label[rows[lost]], label[rows[won]] = 0.0, 1.0
        open_rows[rows[lost | won]] = False
        if k == horizon:
            label[rows[~(lost | won)]] = 0.0
    return label
