"""The computations behind the portfolio's facts: arrays in, one figure out, NaN where unknown.

Rows are sessions in order, the last one the newest; nothing later than it may be in them. A
figure that the history is too short for is NaN, which the triggers read as unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridnb.metrics import YEAR, max_drawdown, moments, sharpe

Floats = NDArray[np.float64]
WINDOW = 20  # sessions of volatility and correlation
HISTORY = 252  # previous sessions that a figure is compared with
LEAST = 60  # of them, before the comparison means anything
FLOOR = 0.05  # quantile of the correlation's own history
DAYS = 5  # of a five-day drawdown
RESOLVED = 100  # predictions that accuracy is measured over
MEASURED = 60  # sessions of the Sharpe ratio
_STILL = 1e-12  # deviation of daily returns that is rounding: nothing moved


def volatility_zscore(levels: ArrayLike) -> float:
    """20-session realised volatility against the mean and deviation of its previous 252.

    Parameters
    ----------
    levels : array, shape (t,)
        Closing levels of the index, above zero.

    Returns
    -------
    float
        Deviations, signed. NaN with a gap in the last 21 levels, fewer than 60 earlier figures,
        or where those are all alike.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        moves = np.diff(np.log(_line(levels)[-(HISTORY + WINDOW + 1) :]))
    if len(moves) < WINDOW:
        return math.nan
    deviations = np.lib.stride_tricks.sliding_window_view(moves, WINDOW).std(axis=1, ddof=1)
    earlier = deviations[:-1]
    earlier = earlier[np.isfinite(earlier)]
    if len(earlier) < LEAST:
        return math.nan
    spread = float(earlier.std(ddof=1))
    if spread <= _STILL:
        return math.nan
    return float((deviations[-1] - earlier.mean()) / spread)


def average_correlation(returns: ArrayLike) -> float:
    """Average pairwise correlation of the last 20 sessions' returns.

    Parameters
    ----------
    returns : array, shape (t, n)
        One column a name; those with a gap in the window, or without movement, are left out.

    Returns
    -------
    float
        In [-1, 1]; NaN with fewer than 20 sessions or two names.
    """
    block = np.asarray(returns, np.float64)[-WINDOW:]
    block = block[:, np.isfinite(block).all(axis=0)]
    block = block[:, block.std(axis=0) > _STILL] if block.size else block
    n = block.shape[1]
    if len(block) < WINDOW or n < 2:
        return math.nan
    table = np.corrcoef(block, rowvar=False)
    return float((table.sum() - n) / (n * (n - 1)))


@dataclass(frozen=True, slots=True)
class Correlation:
    """Average correlation now, its floor (5 % quantile of the previous 252), and 20 sessions ago.

    NaN where unknown.
    """

    now: float
    floor: float
    before: float


def correlation_facts(correlations: ArrayLike) -> Correlation:
    """What the triggers read of a history of average correlations.

    Parameters
    ----------
    correlations : array, shape (t,)
        One a session; the floor needs 60 known ones before the last.
    """
    line = _line(correlations)
    earlier = line[:-1][-HISTORY:]
    earlier = earlier[np.isfinite(earlier)]
    return Correlation(
        now=float(line[-1]) if len(line) else math.nan,
        floor=float(np.quantile(earlier, FLOOR)) if len(earlier) >= LEAST else math.nan,
        before=float(line[-1 - WINDOW]) if len(line) > WINDOW else math.nan,
    )


def drawdown_5d(equity: ArrayLike) -> float:
    """The deepest fall below a peak within five sessions, a positive fraction of that peak.

    Parameters
    ----------
    equity : array, shape (t,)
        At the sessions' closes, the newest as it stands now. The close before the first of the
        five belongs to it. A younger book has been flat before.

    Returns
    -------
    float
        In [0, ∞): above 1 for a book that owes. NaN with a gap, without rows, or where the
        equity began at zero or below.
    """
    line = _line(equity)[-(DAYS + 1) :]
    if not len(line) or not np.isfinite(line).all() or line[0] <= 0.0:
        return math.nan
    return max_drawdown(line)


def gross_drawdown_5d(equity: ArrayLike, gross: ArrayLike) -> float:
    """The same fall in money, over the largest gross exposure held in those sessions (D43).

    The largest, not today's: a loss was made on what was held, and a book that has sold since
    would show a drawdown without bound.

    Parameters
    ----------
    equity, gross : array, shape (t,)
        In account units, by session.

    Returns
    -------
    float
        A positive fraction; 0 where nothing fell. NaN with a gap, or for a fall with nothing
        held.
    """
    line, held = _line(equity)[-(DAYS + 1) :], np.abs(_line(gross))[-(DAYS + 1) :]
    if len(line) != len(held):
        raise ValueError("equity and gross exposure must be of one length")
    if not len(line) or not (np.isfinite(line).all() and np.isfinite(held).all()):
        return math.nan
    fall = float((np.maximum.accumulate(line) - line).max())
    if fall == 0.0:
        return 0.0
    return fall / float(held.max()) if held.max() > 0.0 else math.nan


def ensemble_accuracy(probabilities: ArrayLike, outcomes: ArrayLike) -> float:
    """Share of the last 100 resolved predictions whose direction was right.

    Parameters
    ----------
    probabilities : array, shape (m,)
        Of a rise; exactly 0.5 and NaN predict nothing and don't count.
    outcomes : array, shape (m,)
        1 for a rise, 0 for none, NaN while unresolved; in the order in which they resolved.

    Returns
    -------
    float
        In [0, 1]; NaN with fewer than 100.
    """
    p, y = _line(probabilities), _line(outcomes)
    if len(p) != len(y):
        raise ValueError("predictions and outcomes must be of one length")
    counts = np.isfinite(p) & np.isfinite(y) & (p != 0.5)
    p, y = p[counts][-RESOLVED:], y[counts][-RESOLVED:]
    return float(((p > 0.5) == (y > 0.5)).mean()) if len(p) == RESOLVED else math.nan


@dataclass(frozen=True, slots=True)
class SharpeFact:
    """Annualised Sharpe ratio, the sessions behind it, and its p-value against the validated one.

    NaN where unknown.
    """

    sharpe: float
    sessions: int
    p: float


def sharpe_fact(
    returns: ArrayLike, *, validated: float, validated_sessions: int | None = None
) -> SharpeFact:
    """The Sharpe ratio of the last 60 sessions, and whether it lies below the validated one.

    The p-value is one-sided, of the hypothesis that the true ratio is the validated one or more:
    Φ((S − S*) / √(V + V*)) with V = (1 − γ₃·S + (γ₄ − 1)/4·S²) / (n − 1), S a session's ratio,
    γ₃ the skewness and γ₄ the raw kurtosis of the returns (Mertens 2002; Opdyke, "Comparing
    Sharpe Ratios: So Where Are the p-Values?", Journal of Asset Management 8, 2007; it is the
    PSR of Bailey & López de Prado against S*). V* = (1 + S*²/2) / (m − 1) is the validated
    ratio's own error (Lo 2002), where it is told that m sessions measured it: the later sessions
    are another sample. Serial correlation is not corrected for.

    Parameters
    ----------
    returns : array, shape (t,)
        Net, by session; the last 60 are used.
    validated : float
        Annualised.
    validated_sessions : int, optional
        Sessions it was validated over, at least 2; without, it is taken as exactly known.

    Returns
    -------
    SharpeFact
        With a gap among the 60, `sessions` counts those after it: too few for a trigger.
    """
    line = _line(returns)[-MEASURED:]
    gaps = np.flatnonzero(~np.isfinite(line))
    line = line[gaps[-1] + 1 :] if len(gaps) else line
    n = len(line)
    annual = sharpe(line)
    skew, kurtosis = moments(line)
    one, other = annual / math.sqrt(YEAR), validated / math.sqrt(YEAR)
    if not (math.isfinite(one) and math.isfinite(other)):
        return SharpeFact(annual, n, math.nan)
    variance = (1.0 - skew * one + (kurtosis - 1.0) / 4.0 * one**2) / (n - 1)
    if validated_sessions is not None:
        if validated_sessions < 2:
            raise ValueError("a validated Sharpe ratio needs at least 2 sessions")
        variance += (1.0 + other**2 / 2.0) / (validated_sessions - 1)
    if variance <= 0.0:
        return SharpeFact(annual, n, math.nan)
    return SharpeFact(annual, n, NormalDist().cdf((one - other) / math.sqrt(variance)))


def _line(values: ArrayLike) -> Floats:
    out: NDArray[Any] = np.asarray(values, np.float64)
    if out.ndim != 1:
        raise ValueError("one row of figures")
    return out
