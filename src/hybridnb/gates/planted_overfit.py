"""The power of PBO, DSR and the monitors of drift, measured on planted truth.

What is planted is known, so that what a detector says can be counted as right or wrong. Plants
go into made noise or, drawn in blocks, into real returns and real features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hybridnb import metrics
from hybridnb.domain import Status
from hybridnb.gates.drift import drift
from hybridnb.gates.evidence import Floats
from hybridnb.gates.memory import Memory
from hybridnb.gates.monitor import monitor
from hybridnb.gates.overfit import cscv
from hybridnb.gates.rates import rate
from hybridnb.gates.rules import Thresholds

YEARS, TRIALS = 5, 50  # of daily returns; configurations tried
ROWS = YEARS * metrics.YEAR
NOISE = 0.01  # deviation of made returns a day
BLOCK = 21  # sessions: a month of real returns keeps its clusters of volatility
REFERENCE, WITHIN = 1000, 60  # rows of a monitor's reference; rows in which a step must show
STEP = 0.75  # in deviations


@dataclass(frozen=True, slots=True)
class Power:
    """How often a detector said what it should not miss, or should not say.

    Attributes
    ----------
    detector, plant : str
    caught, tried : int
        `caught` counts alarms: on a plant that is none they are false.
    share, low, high : float
        And its exact 95 % interval.
    mean : float or None
        Of the detector's figure over the seeds, where that is what the bar is on.
    bar : str
        What is to be reached; empty where the rate is only reported.
    reached : bool or None
    """

    detector: str
    plant: str
    caught: int
    tried: int
    share: float
    low: float
    high: float
    mean: float | None
    bar: str
    reached: bool | None


def power(
    detector: str,
    plant: str,
    hits: Sequence[bool],
    *,
    figures: Sequence[float] = (),
    bar: str = "",
    holds: Callable[[float, float], bool] | None = None,
) -> Power:
    """Count hits; `holds(share, mean of figures)` says whether the bar is reached."""
    share, low, high = rate(sum(hits), len(hits))
    mean = float(np.mean(figures)) if len(figures) else None
    reached = holds(share, math.nan if mean is None else mean) if holds else None
    return Power(
        *(detector, plant, sum(hits), len(hits), share, low, high),
        *(mean, bar, reached),
    )


def trials(seed: int, annual: float, *, real: Floats | None = None) -> Floats:
    """Daily returns of fifty configurations, one of them with skill, shape (ROWS, TRIALS).

    Parameters
    ----------
    annual : float
        True Sharpe ratio of one configuration, at a random place; the others have 0.
    real : ndarray, shape (n,), (n, names), or None
        Real daily returns: each configuration is a stretch of blocks of one name's, in time
        order within a block, its mean taken off. None: normal noise.
    """
    rng = np.random.default_rng(seed)
    if real is None:
        table = NOISE * rng.standard_normal((ROWS, TRIALS))
        deviation = np.full(TRIALS, NOISE)
    else:
        table, deviation = _blocks(real, rng)
    skilled = int(rng.integers(TRIALS))
    table[:, skilled] += annual / math.sqrt(metrics.YEAR) * deviation[skilled]
    return table


def _blocks(real: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Circular blocks of the names' centred returns, and each column's true deviation."""
    whole = np.asarray(real, np.float64)
    names = whole[:, None] if whole.ndim == 1 else whole
    if len(names) < 2 * BLOCK or not np.isfinite(names).all():
        raise ValueError(f"real returns: finite, {2 * BLOCK} rows or more")
    deviation = names.std(axis=0)
    if not (deviation > 0.0).all():
        raise ValueError("real returns: a name never moves")
    centred = names - names.mean(axis=0)
    chosen = rng.integers(names.shape[1], size=TRIALS)
    starts = rng.integers(len(names), size=(math.ceil(ROWS / BLOCK), 1, TRIALS))
    at = (starts + np.arange(BLOCK)[None, :, None]).reshape(-1, TRIALS)[:ROWS] % len(names)
    return centred[at, chosen], np.asarray(deviation[chosen], np.float64)


def measure_pbo(seeds: Sequence[int], *, real: Floats | None = None) -> list[Power]:
    """PBO on noise, where its mean is a half, and on a planted Sharpe ratio of 3 among fifty.

    Both bars are on the mean over seeds: what one seed happens to draw, a plant of 3 that earned
    1.5, is no test of the detector. The planted one must stay below with its 95 % bound, and how
    many single seeds did is counted beside it.
    """
    bar = Thresholds().pbo
    noise = [cscv(trials(seed, 0.0, real=real)).pbo for seed in seeds]
    skill = [cscv(trials(seed, 3.0, real=real)).pbo for seed in seeds]
    above = float(np.mean(skill) + 1.96 * np.std(skill, ddof=1) / math.sqrt(len(skill)))
    return [
        power(
            *("PBO", "noise", [p > bar for p in noise]),
            figures=noise,
            bar="mean 0.5 ± 0.06",
            holds=lambda _, mean: abs(mean - 0.5) <= 0.06,
        ),
        power(
            *("PBO", "Sharpe 3 among 50", [p < 0.1 for p in skill]),
            figures=skill,
            bar="mean below 0.1",
            holds=lambda *_: above < 0.1,
        ),
    ]


def deflated(table: Floats) -> float:
    """Deflated Sharpe ratio of the best of these trials, by the variance of their own.

    Parameters
    ----------
    table : ndarray, shape (T, N)
        Daily returns of all trials; a ValueError for NaN.
    """
    ratios = np.array([metrics.sharpe(column, per_year=1) for column in table.T])
    best = int(np.nanargmax(ratios))
    skew, kurtosis = metrics.moments(table[:, best])
    return metrics.dsr(
        float(ratios[best]),
        n=len(table),
        trials=table.shape[1],
        trial_variance=float(np.nanvar(ratios, ddof=1)),
        skew=skew,
        kurtosis=kurtosis,
    )[0]


def measure_dsr(seeds: Sequence[int], *, real: Floats | None = None) -> list[Power]:
    """How often the best of fifty trials passes the gate of the deflated Sharpe ratio."""
    gate = Thresholds().deflated_sharpe
    bars: dict[float, tuple[str, Callable[[float, float], bool] | None]] = {
        0.0: ("at most 5 %", lambda share, _: share <= 0.05),
        2.0: ("", None),
        2.5: ("at least 80 %", lambda share, _: share >= 0.80),
    }
    found = []
    for annual, (bar, holds) in bars.items():
        figures = [deflated(trials(seed, annual, real=real)) for seed in seeds]
        plant = f"Sharpe {annual:g} among {TRIALS}" if annual else "noise"
        hits = [figure >= gate for figure in figures]
        found.append(power("DSR gate", plant, hits, figures=figures, bar=bar, holds=holds))
    return found


def measure_drift(seeds: Sequence[int], *, real: Floats | None = None) -> list[Power]:
    """The sequential monitor and the two-sample check, on steps and on unchanged series.

    Parameters
    ----------
    real : ndarray, shape (n,), or None
        A real series in time order, such as daily returns: blocks of it take the place of what
        is made, so that what is unchanged is known to be.
    """
    where = "white noise" if real is None else "real returns"
    found = [_step(seeds, real, where), _unchanged(seeds, real, where, Memory())]
    if real is not None:
        return found
    return [
        *found,
        _unchanged(seeds, None, "AR(0.97)", Memory(1.0, 0.97)),
        _unchanged(seeds, None, "AR(0.99) under noise", Memory(0.5, 0.99)),
        *_two_samples(seeds),
    ]


def _step(seeds: Sequence[int], real: Floats | None, where: str) -> Power:
    hits, delays = [], []
    for seed in seeds:
        whole = _series(seed, REFERENCE + WITHIN, real, Memory())
        reference, current = whole[:REFERENCE], whole[REFERENCE:]
        alarms = monitor(reference, current + STEP * reference.std()).alarms
        hits.append(bool(alarms))
        delays += [alarms[0] + 1.0] if alarms else []
    return power(
        *("drift monitor", f"step of {STEP:g} deviations in {where}", hits),
        figures=delays,
        bar=f"95 % within {WITHIN} rows",
        holds=lambda share, _: share >= 0.95,
    )


def _unchanged(seeds: Sequence[int], real: Floats | None, where: str, planted: Memory) -> Power:
    counts = []
    for seed in seeds:
        whole = _series(seed, REFERENCE + ROWS, real, planted)
        counts.append(len(monitor(whole[:REFERENCE], whole[REFERENCE:]).alarms))
    return power(
        *("drift monitor", f"{where}, unchanged", [count > 0 for count in counts]),
        figures=counts,
        bar=f"at most 1 alarm in {YEARS} years",
        holds=lambda _, mean: mean <= 1.0,
    )


def _series(seed: int, size: int, real: Floats | None, planted: Memory) -> Floats:
    """A reference and what follows it: made, or drawn in blocks from a real series."""
    rng = np.random.default_rng(seed)
    if real is None:
        return planted.draw(size, rng)
    whole = np.asarray(real, np.float64)
    if whole.ndim != 1 or len(whole) < 2 * BLOCK or not np.isfinite(whole).all():
        raise ValueError(f"a real series: one, finite, of {2 * BLOCK} rows or more")
    starts = rng.integers(len(whole), size=(math.ceil(size / BLOCK), 1))
    return np.asarray(whole[(starts + np.arange(BLOCK)).ravel()[:size] % len(whole)], np.float64)


def _two_samples(seeds: Sequence[int]) -> list[Power]:
    """The review's PSI check: a year against the four before, as D11 has it."""
    found = []
    for name, planted, shift in (
        ("AR(0.97), unchanged", Memory(1.0, 0.97), 0.0),
        (f"step of {STEP:g} deviations in white noise", Memory(), STEP),
    ):
        hits = []
        for seed in seeds:
            whole = planted.draw(REFERENCE + 250, np.random.default_rng(seed))
            old, new = (pd.DataFrame({"x": side}) for side in np.split(whole, [REFERENCE]))
            hits.append(drift(old, new + shift, seed=seed)[0].status is Status.FAIL)
        found.append(power("drift check (PSI)", name, hits))
    return found
