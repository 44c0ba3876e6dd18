"""Whether probabilities mean what they say: by regime, with intervals.

Sources: Brier (1950); Guo et al., "On Calibration of Modern Neural Networks" (2017), for the ECE;
Politis & Romano (1994) for the stationary bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hybridnb import metrics
from hybridnb.domain import Status
from hybridnb.gates.evidence import Check, Floats
from hybridnb.gates.rules import Thresholds

REGIMES = ("trend", "range", "crisis", "breakout")
POOLED = "pooled"


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of a calibration; shares are of 1, `rows` are counts.

    `good` and `moderate` are the ECE's grades, `ece` and `brier` the gate's bars, `regime` the
    rows below which a regime is only pooled, `rows` those below which nothing is said.
    """

    good: float = 0.05
    moderate: float = 0.10
    ece: float = Thresholds().ece
    brier: float = Thresholds().brier
    regime: int = 30
    rows: int = 250
    bins: int = 10
    draws: int = 500
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its bootstrap interval; NaN bounds where it couldn't be drawn."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibration of one regime, or of all rows pooled.

    Attributes
    ----------
    regime : str
    n : int
    brier, log_loss, ece, skill : Interval
        `skill` is against the rows' own base rate; NaN where all outcomes are equal. An ECE of
        few rows is too high, and its draws' higher still: the interval may lie above the value.
    curve : metrics.Reliability
        Ten equal bins: count, mean prediction, observed rate.
    grade : str
        good, moderate or poor, by the ECE.
    """

    regime: str
    n: int
    brier: Interval
    log_loss: Interval
    ece: Interval
    skill: Interval
    curve: metrics.Reliability
    grade: str


@dataclass(frozen=True, slots=True)
class Report:
    """All rows pooled first, then each regime with rows enough of its own.

    `pooled_only` names regimes with fewer rows: they are in the pooled figures alone.
    """

    parts: tuple[Calibrated, ...]
    pooled_only: tuple[tuple[str, int], ...]
    checks: tuple[Check, ...]

    def frame(self) -> pd.DataFrame:
        """One row a regime: regime, n, the figures with their bounds, grade."""
        rows = []
        for part in self.parts:
            row: dict[str, object] = {"regime": part.regime, "n": part.n}
            for name in ("brier", "log_loss", "ece", "skill"):
                found: Interval = getattr(part, name)
                row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
            rows.append(row | {"grade": part.grade})
        return pd.DataFrame(rows)

    def curve_frame(self) -> pd.DataFrame:
        """One row a regime and bin: regime, low, high, count, predicted, observed."""
        parts = [
            pd.DataFrame(
                {
                    "regime": part.regime,
                    "low": part.curve.edges[:-1],
                    "high": part.curve.edges[1:],
                    "count": part.curve.count,
                    "predicted": part.curve.predicted,
                    "observed": part.curve.observed,
                }
            )
            for part in self.parts
        ]
        return pd.concat(parts, ignore_index=True)


def calibrated_report(
    y: ArrayLike,
    p: ArrayLike,
    regime: Sequence[str] | NDArray[np.str_] | None = None,
    *,
    seed: int,
    bars: Bars | None = None,
) -> Report:
    """Brier score, log loss, ECE, skill and reliability: pooled, and regime by regime.

    Parameters
    ----------
    y, p : array, shape (n,)
        Outcomes in {0, 1} and what was said of them, in time order.
    regime : sequence of str, shape (n,)
        Of each row; None: pooled only.
    seed : int
        Of the stationary bootstrap over rows in order.

    Returns
    -------
    Report
        Its checks are the ECE and the Brier skill's lower bound, pooled and by regime.
        INSUFFICIENT_EVIDENCE below 250 rows pooled, below 30 in a regime, and for the skill where
        all outcomes are equal.

    Raises
    ------
    ValueError
        On no rows, NaN, lengths that differ, an outcome that is neither 0 nor 1, or a probability
        outside [0, 1].
    """
    t = bars or Bars()
    outcome, chance = np.asarray(y, np.float64), np.asarray(p, np.float64)
    metrics.brier(outcome, chance)  # refuses what isn't outcomes and probabilities
    if not np.isin(outcome, (0.0, 1.0)).all():
        raise ValueError("outcomes are 0 or 1")
    names = np.full(len(outcome), "") if regime is None else np.asarray(regime, "U")
    if names.shape != outcome.shape:
        raise ValueError("a regime for each row")
    parts = [_calibrated(POOLED, outcome, chance, seed=seed, t=t)]
    checks, few = _checks(parts[0], t.rows, t), []
    for name in _order(names):
        own = names == name
        if int(own.sum()) < t.regime:
            few.append((name, int(own.sum())))
            checks.append(_scarce(f"ECE, {name}", int(own.sum()), t.regime))
            continue
        parts.append(_calibrated(name, outcome[own], chance[own], seed=seed, t=t))
        checks += _checks(parts[-1], t.regime, t)
    return Report(tuple(parts), tuple(few), tuple(checks))


def _order(names: NDArray[np.str_]) -> list[str]:
    """Regimes in the product's order, then any other by name."""
    there = [str(name) for name in np.unique(names) if name]
    return [r for r in REGIMES if r in there] + [r for r in there if r not in REGIMES]


def _calibrated(name: str, y: Floats, p: Floats, *, seed: int, t: Bars) -> Calibrated:
    def every(a: Floats, b: Floats) -> Floats:
        found = (
            *(metrics.brier(a, b), metrics.log_loss(a, b), metrics.ece(a, b, bins=t.bins)),
            metrics.brier_skill(a, b),
        )
        return np.array(found)

    value, (low, high) = every(y, p), _bounds(y, p, every, seed=seed, t=t)
    found = [Interval(*map(float, each)) for each in zip(value, low, high, strict=True)]
    return Calibrated(
        *(name, len(y), found[0], found[1], found[2], found[3]),
        curve=metrics.reliability(y, p, bins=t.bins),
        grade=grade(found[2].value, t),
    )


def grade(ece: float, bars: Bars | None = None) -> str:
    """Good below 0.05, moderate below 0.10, else poor; a ValueError for NaN."""
    t = bars or Bars()
    if math.isnan(ece):
        raise ValueError("no grade without an ECE")
    return "good" if ece < t.good else "moderate" if ece < t.moderate else "poor"


def _bounds(
    y: Floats, p: Floats, every: Callable[[Floats, Floats], Floats], *, seed: int, t: Bars
) -> Floats:
    """Two-sided percentile bounds of each figure, shape (2, figures).

    The block outlasts the memory of the squared errors: overlapping labels make neighbours alike.
    """
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    gain = (y - p) ** 2
    wanted = math.nan
    if len(y) > 10 and np.ptp(gain) > 0.0:
        wanted = float(optimal_block_length(gain)["stationary"].iloc[0])
    length = min(math.ceil(wanted), len(y)) if wanted > 1.0 else 1
    drawn = StationaryBootstrap(length, y, p, seed=seed).apply(every, t.draws)
    tail = (1.0 - t.confidence) / 2.0
    out = np.full((2, drawn.shape[1]), np.nan)
    for column, values in enumerate(drawn.T):
        known = values[np.isfinite(values)]  # a draw of one class has no skill
        if len(known):
            out[:, column] = np.quantile(known, [tail, 1.0 - tail])
    return out


def _checks(part: Calibrated, least: int, t: Bars) -> list[Check]:
    """The ECE and the Brier score against the gate's bars, and the skill's lower bound."""
    if part.n < least:
        return [_scarce(f"ECE, {part.regime}", part.n, least)]
    said = (
        f"{part.grade}; interval {part.ece.low:.3f} to {part.ece.high:.3f}, "
        f"{int((part.curve.count > 0).sum())} of {t.bins} bins filled"
    )
    spread = f"Brier skill {part.skill.value:.3f}, {t.confidence:.0%} interval"
    return [
        _below(f"ECE, {part.regime}", part.ece.value, t.ece, n=part.n, detail=said),
        _below(
            f"Brier, {part.regime}",
            *(part.brier.value, t.brier),
            n=part.n,
            detail=f"interval {part.brier.low:.3f} to {part.brier.high:.3f}",
        ),
        _above(f"Brier skill, {part.regime}", part.skill.low, n=part.n, detail=spread),
    ]


def _below(name: str, value: float, bar: float, *, n: int, detail: str) -> Check:
    return Check(name, Status.PASS if value <= bar else Status.FAIL, detail, n, value, bar)


def _above(name: str, bound: float, *, n: int, detail: str) -> Check:
    if math.isnan(bound):
        why = "all outcomes are equal: no base rate to beat"
        return Check(name, Status.INSUFFICIENT_EVIDENCE, why, n)
    return Check(name, Status.PASS if bound > 0.0 else Status.FAIL, detail, n, bound, 0.0)


def _scarce(name: str, n: int, least: int) -> Check:
    return Check(name, Status.INSUFFICIENT_EVIDENCE, f"{n} rows, {least} needed; pooled", n)
