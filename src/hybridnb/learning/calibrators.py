"""Calibration: from a predictor's output to a probability that means what it says.

Platt (Platt 1999, on logits), isotonic (Zadrozny & Elkan 2002) and temperature (Guo et al.
2017), as scikit-learn and SciPy compute them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["platt", "isotonic", "temperature"]
Calibrator = Callable[[Floats], Floats]
EDGE = 1e-6  # probabilities are kept this far from 0 and 1
LEAST_REGIME = 30  # rows of a regime, below which it is pooled


def fit_calibrator(kind: Kind, p: Floats, y: Floats) -> Calibrator:
    """Fit on outputs and outcomes, both of shape (n,), without NaN.

    Outcomes of one kind only give their smoothed rate (Laplace).
    """
    if len(np.unique(y)) < 2 or np.ptp(p) == 0.0:
        rate = (float(y.sum()) + 1.0) / (len(y) + 2.0)
        return lambda q: np.full(len(q), rate)
    if kind == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        model = IsotonicRegression(y_min=EDGE, y_max=1.0 - EDGE, out_of_bounds="clip").fit(p, y)
        return lambda q: np.asarray(model.predict(q), np.float64)
    if kind == "temperature":
        scale = _temperature(p, y)
        return lambda q: _sigmoid(_logit(q) * scale)
    from sklearn.linear_model import LogisticRegression

    platt = LogisticRegression(C=1e6, max_iter=200).fit(_logit(p)[:, None], y)
    slope, shift = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    return lambda q: _sigmoid(slope * _logit(q) + shift)


def _temperature(p: Floats, y: Floats) -> float:
    from scipy.optimize import minimize_scalar

    logits = _logit(p)

    def loss(scale: float) -> float:
        z = scale * logits
        return float(np.mean(np.logaddexp(0.0, z) - y * z))

    return float(minimize_scalar(loss, bounds=(0.01, 100.0), method="bounded").x)


def _logit(p: Floats) -> Floats:
    q = np.clip(p, EDGE, 1.0 - EDGE)
    return np.log(q / (1.0 - q))


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-z)), np.float64)


def expanding_calibration(
    keys: pd.DataFrame,
    raw: Floats,
    labels: Floats,
    horizon: int,
    *,
    kind: Kind,
    regime: pd.Series[str] | None = None,
    refit_every: int = 20,
    min_rows: int = 200,
) -> Floats:
    """Calibrated probability of each row, from outcomes known before its session.

    Every `refit_every` sessions a calibrator is fitted on all rows whose label was surely known
    by then: those with at least `horizon` later bars of their symbol. A regime with at least half
    of `min_rows` such rows (never fewer than 30) has its own calibrator.

    Parameters
    ----------
    keys : DataFrame
        symbol, session.
    raw, labels : ndarray, shape (rows,)
        NaN where unknown.
    horizon : int
        Bars of the symbol after which a label is known.
    regime : Series
        One of keys' length, in its order; None: all rows are pooled.

    Returns
    -------
    ndarray, shape (rows,)
        NaN where the output is unknown, or fewer than `min_rows` outcomes were known.
    """
    sessions, at = np.unique(keys["session"].to_numpy("datetime64[D]"), return_inverse=True)
    regimes = np.full(len(raw), "") if regime is None else regime.to_numpy(dtype="U")
    known_at = pd.Series(at).groupby(keys["symbol"].to_numpy()).shift(-horizon).to_numpy()
    usable = np.isfinite(raw) & np.isfinite(labels) & np.isfinite(known_at)
    out = np.full(len(raw), np.nan)
    for start in range(0, len(sessions), refit_every):
        known = usable & (known_at < start)
        if int(known.sum()) < min_rows:
            continue
        rows = np.flatnonzero((at >= start) & (at < start + refit_every) & np.isfinite(raw))
        pooled = fit_calibrator(kind, raw[known], labels[known])
        for name in np.unique(regimes[rows]):
            here = rows[regimes[rows] == name]
            own = known & (regimes == name)
            enough = int(own.sum()) >= max(LEAST_REGIME, min_rows // 2)
            model = fit_calibrator(kind, raw[own], labels[own]) if enough else pooled
            out[here] = model(raw[here])
    return out
