"""Conviction: how strong an output is among the predictor's own earlier ones.

Probabilities of moves of a few sessions lie near 0.5, whoever makes them. What the blend reads
is the rank of an output among all earlier out-of-fold outputs of the same predictor, which
spreads over [0, 1] by construction.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def conviction(keys: pd.DataFrame, raw: Floats, *, min_history: int = 60) -> Floats:
    """Mid-rank of each output among the outputs of strictly earlier sessions, over all symbols.

    Parameters
    ----------
    keys : DataFrame
        Columns symbol, session; one row an output.
    raw : ndarray, shape (rows,)
        NaN outputs get NaN and count for nobody.
    min_history : int
        Earlier outputs needed.

    Returns
    -------
    ndarray, shape (rows,)
        In [0, 1]; NaN while the history is too short.
    """
    out = np.full(len(raw), np.nan)
    known = np.flatnonzero(np.isfinite(raw))
    sessions = keys["session"].to_numpy("datetime64[D]")[known]
    order = np.argsort(sessions, kind="stable")
    known, sessions = known[order], sessions[order]
    ends = np.flatnonzero(sessions[1:] != sessions[:-1]) + 1
    history = np.empty(0)
    for rows in np.split(known, ends):
        values = raw[rows]
        if len(history) >= min_history:
            below = np.searchsorted(history, values, side="left")
            upto = np.searchsorted(history, values, side="right")
            out[rows] = (below + upto) / 2.0 / len(history)
        fresh = np.sort(values)
        history = np.insert(history, np.searchsorted(history, fresh), fresh)
    return out
