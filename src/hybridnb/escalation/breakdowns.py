"""Portfolio facts that have names: by sector, bucket, span and feature.

Rows are sessions in order, the last one the newest. A name whose figure is unknown isn't there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
WINDOW = 20  # sessions of the returns that disperse
MEASURED = 60  # sessions of hit rates
SPANS = {"daily_turnover": 1, "weekly_turnover": 5, "monthly_turnover": 21}  # sessions


def sector_dispersion(closes: ArrayLike, sectors: Sequence[str]) -> dict[str, float]:
    """Deviation of 20-session returns inside each sector.

    Parameters
    ----------
    closes : array, shape (t, n)
        NaN where a name has none: it is left out where either end is missing.
    sectors : sequence of str, length n
        Empty: unknown, left out.

    Returns
    -------
    dict of str to float
        By sector, sorted; one with fewer than two known names isn't there.
    """
    table = np.asarray(closes, np.float64)
    if table.ndim != 2 or table.shape[1] != len(sectors):
        raise ValueError("one sector a column")
    if len(table) <= WINDOW:
        return {}
    with np.errstate(invalid="ignore", divide="ignore"):
        returns = table[-1] / table[-1 - WINDOW] - 1.0
    out = {}
    for sector in sorted(set(sectors) - {""}):
        inside = returns[[s == sector for s in sectors]]
        inside = inside[np.isfinite(inside)]
        if len(inside) >= 2:
            out[sector] = float(inside.std(ddof=1))
    return out


def shares(amounts: Mapping[str, float], equity: float) -> dict[str, float]:
    """Amounts by bucket as shares of equity: what is used of each, or its part of the P&L.

    What isn't finite isn't there; nothing is, for an equity of zero, below, or unknown.
    """
    if not (math.isfinite(equity) and equity > 0.0):
        return {}
    return {name: a / equity for name, a in sorted(amounts.items()) if math.isfinite(a)}


def turnover(traded: ArrayLike, equity: float) -> dict[str, float]:
    """Traded value over equity, of the last 1, 5 and 21 sessions.

    Parameters
    ----------
    traded : array, shape (t,)
        Value bought and sold by session, account units.
    equity : float
        Now.

    Returns
    -------
    dict of str to float
        daily_turnover, weekly_turnover, monthly_turnover; one whose sessions aren't all there
        and known isn't there either.
    """
    line = np.asarray(traded, np.float64)
    if line.ndim != 1:
        raise ValueError("one figure a session")
    sums = {k: float(line[-n:].sum()) for k, n in SPANS.items() if len(line) >= n}
    return shares(sums, equity)


def hit_rates(
    features: Mapping[str, ArrayLike],
    forward: ArrayLike,
    *,
    orientation: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """How often each feature alone told the better names from the worse, over 60 sessions.

    A hit is a name whose feature and whose forward return lie on the same side of that session's
    medians (opposite sides for an orientation of -1), so that the market's own direction is no
    one's merit. Names at a median tell nothing.

    Parameters
    ----------
    features : mapping of str to array, shape (t, n)
    forward : array, shape (t, n)
        Return over the horizon that follows; NaN while unresolved. The last 60 sessions in which
        any is known are used.
    orientation : mapping of str to int, optional
        1 or -1 by feature, from training; 1 where it isn't named.

    Returns
    -------
    dict of str to float
        In [0, 1], sorted by name; a feature that told nothing, or a history of fewer than 60
        sessions, gives none.
    """
    ahead = np.asarray(forward, np.float64)
    rows = np.flatnonzero(np.isfinite(ahead).any(axis=1))[-MEASURED:]
    if len(rows) < MEASURED:
        return {}
    out = {}
    for name in sorted(features):
        table = np.asarray(features[name], np.float64)
        if table.shape != ahead.shape:
            raise ValueError(f"{name} must have the shape of the returns")
        known = np.isfinite(table[rows]) & np.isfinite(ahead[rows])
        sides = _side(table[rows], known) * _side(ahead[rows], known)
        told = int(np.count_nonzero(sides))
        if told:
            way = (orientation or {}).get(name, 1)
            out[name] = float(np.count_nonzero(sides * way > 0)) / told
    return out


def _side(table: Floats, known: NDArray[np.bool_]) -> Floats:
    """1 above the row's median of what is known, -1 below, 0 at it or unknown; shape of `table`."""
    out = np.zeros(table.shape)
    for i in np.flatnonzero(known.any(axis=1)):
        values = table[i][known[i]]
        out[i, known[i]] = np.sign(values - np.median(values))
    return out
