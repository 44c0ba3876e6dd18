"""Figures of evidence: performance, calibration, drift and overfitting. NumPy only.

Sources: Bailey & López de Prado, "The Sharpe Ratio Efficient Frontier" (2012) and "The Deflated
Sharpe Ratio" (2014); Guo et al., "On Calibration of Modern Neural Networks" (2017); Brier (1950).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
YEAR = 252  # sessions
EULER = 0.57721566490153286
_NORMAL = NormalDist()


def sharpe(returns: ArrayLike, *, per_year: int = YEAR) -> float:
    """Annualised mean over standard deviation of periodic returns; NaN without variation."""
    r = _whole(returns)
    if not _varies(r):
        return math.nan
    return float(r.mean()) / float(r.std(ddof=1)) * math.sqrt(per_year)


def annual_volatility(returns: ArrayLike, *, per_year: int = YEAR) -> float:
    """Annualised standard deviation of periodic returns; NaN for fewer than two."""
    r = _whole(returns)
    return float(r.std(ddof=1)) * math.sqrt(per_year) if len(r) > 1 else math.nan


def drawdowns(equity: ArrayLike) -> Floats:
    """Share below the running peak at each point, shape of `equity`, in [0, 1]."""
    e = _whole(equity)
    return np.asarray(1.0 - e / np.maximum.accumulate(e), np.float64)


def max_drawdown(equity: ArrayLike) -> float:
    """The deepest of `drawdowns`; 0 for an empty curve."""
    return float(drawdowns(equity).max(initial=0.0))


def win_rate(pnl: ArrayLike) -> float:
    """Share of trades with a P&L above zero; NaN without trades."""
    p = _whole(pnl)
    return float((p > 0.0).mean()) if len(p) else math.nan


def profit_factor(pnl: ArrayLike) -> float:
    """Gross profit over gross loss; infinite without losses, NaN without any trade."""
    p = _whole(pnl)
    won, lost = float(p[p > 0.0].sum()), float(-p[p < 0.0].sum())
    if lost > 0.0:
        return won / lost
    return math.inf if won > 0.0 else math.nan


def longest_losing_run(pnl: ArrayLike) -> int:
    """Most trades in a row with a P&L below zero."""
    longest = run = 0
    for value in _whole(pnl):
        run = run + 1 if value < 0.0 else 0
        longest = max(longest, run)
    return longest


def losing_run_limit(n: int, win_rate: float, *, quantile: float = 0.99, least: int = 5) -> int:
    """The longest losing run that chance explains: `quantile` of its exact distribution.

    Parameters
    ----------
    n : int
        Trades, taken as independent.
    win_rate : float
        In [0, 1]; a ValueError elsewhere and for NaN.

    Returns
    -------
    int
        At least `least`.
    """
    if n < 0 or not 0.0 <= win_rate <= 1.0:
        raise ValueError("n ≥ 0 trades and a win rate in [0, 1]")
    low, high = least, max(least, n)
    while low < high:
        middle = (low + high) // 2
        if _no_longer_run(n, middle, 1.0 - win_rate) >= quantile:
            high = middle
        else:
            low = middle + 1
    return low


def _no_longer_run(n: int, k: int, loss: float) -> float:
    """Chance that n trades hold no run of more than k losses.

    With m = k + 1, the first such run ends at trade i where a win (or the start) precedes its m
    losses and none came before: a[i] = a[i−1] − (1 − loss)·loss^m·a[i−m−1], a[m] = 1 − loss^m
    (Feller, An Introduction to Probability Theory, vol. 1, XIII.7).
    """
    m = k + 1
    if n < m:
        return 1.0
    chance = [1.0] * m + [1.0 - loss**m]
    first = (1.0 - loss) * loss**m
    for i in range(m + 1, n + 1):
        chance.append(chance[i - 1] - first * chance[i - m - 1])
    return chance[n]


def brier(y: ArrayLike, p: ArrayLike) -> float:
    """Mean squared error of probabilities `p` of outcomes `y` in {0, 1}."""
    outcome, chance = _pair(y, p)
    return float(np.mean((chance - outcome) ** 2))


def brier_skill(y: ArrayLike, p: ArrayLike) -> float:
    """1 − Brier / Brier of the base rate: above 0 is better than the base rate.

    NaN where all outcomes are equal.
    """
    outcome, chance = _pair(y, p)
    base = float(np.mean((outcome - outcome.mean()) ** 2))
    return 1.0 - brier(outcome, chance) / base if base > 0.0 else math.nan


def log_loss(y: ArrayLike, p: ArrayLike, *, edge: float = 1e-15) -> float:
    """Mean negative log likelihood; probabilities are kept `edge` away from 0 and 1."""
    outcome, chance = _pair(y, p)
    q = np.clip(chance, edge, 1.0 - edge)
    return float(-np.mean(outcome * np.log(q) + (1.0 - outcome) * np.log(1.0 - q)))


@dataclass(frozen=True, slots=True)
class Reliability:
    """Equal-width bins of predicted probability: count, mean prediction, observed rate.

    Empty bins have NaN means.
    """

    edges: Floats
    count: NDArray[np.int64]
    predicted: Floats
    observed: Floats


def reliability(y: ArrayLike, p: ArrayLike, *, bins: int = 10) -> Reliability:
    """The reliability curve; the last bin includes 1."""
    outcome, chance = _pair(y, p)
    edges = np.linspace(0.0, 1.0, bins + 1)
    at = np.clip(np.searchsorted(edges, chance, side="right") - 1, 0, bins - 1)
    count = np.bincount(at, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(at, weights=chance, minlength=bins) / count
        observed = np.bincount(at, weights=outcome, minlength=bins) / count
    return Reliability(edges, count.astype(np.int64), predicted, observed)


def ece(
    y: ArrayLike, p: ArrayLike, *, bins: int = 10, norm: Literal["l1", "l2", "max"] = "l1"
) -> float:
    """Expected calibration error over equal-width bins, weighted by their counts.

    `l2` is the root of the weighted mean square, `max` the largest gap.
    """
    curve = reliability(y, p, bins=bins)
    filled = curve.count > 0
    gap = np.abs(curve.predicted - curve.observed)[filled]
    weight = curve.count[filled] / curve.count.sum()
    if norm == "max":
        return float(gap.max())
    power = 2.0 if norm == "l2" else 1.0
    return float((weight * gap**power).sum() ** (1.0 / power))


def psi(expected: ArrayLike, actual: ArrayLike, *, floor: float = 1e-4) -> float:
    """Population stability index of two vectors of shares; shares below `floor` are raised."""
    e = np.maximum(np.asarray(expected, np.float64), floor)
    a = np.maximum(np.asarray(actual, np.float64), floor)
    return float(((a - e) * np.log(a / e)).sum())


def psi_samples(
    reference: ArrayLike, current: ArrayLike, *, bins: int = 10, floor: float = 1e-4
) -> float:
    """PSI over quantile bins of the reference whose outer bins are open.

    A value so common that quantiles coincide at it has a bin of its own, so that a move off it
    shows. A ValueError for an empty sample.
    """
    ref, cur = _whole(reference), _whole(current)
    if len(ref) == 0 or len(cur) == 0:
        raise ValueError("PSI needs rows on both sides")
    inner = np.quantile(ref, np.linspace(0.0, 1.0, bins + 1)[1:-1])
    common = inner[1:][inner[1:] == inner[:-1]]
    edges = np.unique(np.concatenate([inner, np.nextafter(common, np.inf)]))
    shares = [
        np.bincount(np.searchsorted(edges, s, side="right"), minlength=len(edges) + 1) / len(s)
        for s in (ref, cur)
    ]
    return psi(shares[0], shares[1], floor=floor)


def psr(
    sharpe: float, benchmark: float, *, n: int, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the true Sharpe ratio exceeds the benchmark.

    Parameters
    ----------
    sharpe, benchmark : float
        Per period, not annualised.
    n : int
        Returns.
    skew, kurtosis : float
        Of the returns; kurtosis is raw, 3 for a normal.
    """
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(n - 1.0) / _spread(sharpe, skew, kurtosis))


def _spread(sharpe: float, skew: float, kurtosis: float) -> float:
    return math.sqrt(1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2)


def min_track_record(
    sharpe: float,
    benchmark: float,
    *,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    confidence: float = 0.95,
) -> float:
    """Returns needed before `psr` reaches the confidence; infinite at or below the benchmark."""
    if sharpe <= benchmark:
        return math.inf
    z = _NORMAL.inv_cdf(confidence)
    return 1.0 + (_spread(sharpe, skew, kurtosis) * z / (sharpe - benchmark)) ** 2


def expected_maximum(n: int) -> float:
    """Approximate expected maximum of n standard normals (False Strategy theorem)."""
    if n < 2:
        return 0.0
    return (1.0 - EULER) * _NORMAL.inv_cdf(1.0 - 1.0 / n) + EULER * _NORMAL.inv_cdf(
        1.0 - 1.0 / (n * math.e)
    )


def dsr(
    sharpe: float, *, n: int, trials: int, trial_variance: float, skew: float, kurtosis: float
) -> tuple[float, float]:
    """Deflated Sharpe ratio and the benchmark that `trials` configurations set.

    Parameters
    ----------
    sharpe, trial_variance : float
        Per period: the Sharpe ratio, and the variance of Sharpe ratios over the trials.
    """
    benchmark = math.sqrt(trial_variance) * expected_maximum(trials)
    return psr(sharpe, benchmark, n=n, skew=skew, kurtosis=kurtosis), benchmark


def moments(returns: ArrayLike) -> tuple[float, float]:
    """Skewness and raw kurtosis (3 for a normal); NaN without variation."""
    r = _whole(returns)
    if not _varies(r):
        return math.nan, math.nan
    centred = r - r.mean()
    variance = float((centred**2).mean())
    return float((centred**3).mean()) / variance**1.5, float((centred**4).mean()) / variance**2


def _whole(values: ArrayLike) -> Floats:
    """One-dimensional and finite, or a ValueError: evidence has no holes."""
    out: NDArray[Any] = np.asarray(values, np.float64).ravel()
    if not np.isfinite(out).all():
        raise ValueError("a figure of evidence needs finite values")
    return out


def _varies(values: Floats) -> bool:
    """Whether values differ by more than rounding: a constant's deviation isn't exactly 0."""
    return len(values) > 1 and float(np.ptp(values)) > 1e-12 * float(np.abs(values).max())


def _pair(y: ArrayLike, p: ArrayLike) -> tuple[Floats, Floats]:
    outcome, chance = _whole(y), _whole(p)
    if len(outcome) != len(chance) or len(outcome) == 0:
        raise ValueError("outcomes and probabilities must be of one length, at least 1")
    if min(outcome.min(), chance.min()) < 0.0 or max(outcome.max(), chance.max()) > 1.0:
        raise ValueError("outcomes and probabilities lie in [0, 1]")
    return outcome, chance
