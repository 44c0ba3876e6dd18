"""Drift of the features' distribution between a reference and the present.

PSI alarms on unchanged persistent data, so that it is critical only beyond its own null: the
99 % quantile of PSI between two block-bootstrap draws of the reference of these sizes. The
change of correlation is read against the same kind of null.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.domain import Status
from hybridnb.gates.evidence import Check
from hybridnb.metrics import psi_samples

Floats = NDArray[np.float64]
CORRELATION = "correlation of the columns"


@dataclass(frozen=True, slots=True)
class Bars:
    """Thresholds; `bins` are quantiles of the reference, with open outer bins."""

    rows: int = 250
    low: float = 0.05
    moderate: float = 0.10
    critical: float = 0.20
    coverage_high: float = 0.8
    coverage_critical: float = 0.5
    ks: float = 0.05
    null: float = 0.99
    draws: int = 200
    bins: int = 10
    floor: float = 1e-4


def drift(
    reference: pd.DataFrame, current: pd.DataFrame, *, seed: int, bars: Bars | None = None
) -> tuple[Check, ...]:
    """One finding a column: its level, its PSI and the threshold in force.

    Parameters
    ----------
    reference, current : DataFrame
        The same numeric columns, in time order; a column that `current` lacks is all missing.
        Rows that aren't finite are left out column by column, and the share of rows that went
        missing since the reference counts as not covered by its range.

    Returns
    -------
    tuple of Check
        FAIL where the level is CRITICAL; INSUFFICIENT_EVIDENCE below 250 rows. With two columns
        or more the mean absolute change of their correlations comes last; it is HIGH beyond its
        null and never critical.
    """
    t = bars or Bars()
    now = current.reindex(columns=reference.columns)
    found = [
        _column(str(name), _values(reference[name]), _values(now[name]), seed=seed, t=t)
        for name in reference.columns
    ]
    if reference.shape[1] > 1:
        found.append(_correlation(reference, now, seed=seed, t=t))
    return tuple(found)


def _values(column: pd.Series[float]) -> Floats:
    return np.asarray(column, np.float64)


def _column(name: str, reference: Floats, current: Floats, *, seed: int, t: Bars) -> Check:
    ref, cur = reference[np.isfinite(reference)], current[np.isfinite(current)]
    n = min(len(ref), len(cur))
    if n < t.rows:
        why = f"{n} rows, {t.rows} needed"
        return Check(name, Status.INSUFFICIENT_EVIDENCE, why, n)
    found, bound = psi_samples(ref, cur, bins=t.bins, floor=t.floor), t.critical
    if found > bound:  # only then can the null change anything
        bound = max(bound, _null(ref, len(cur), seed=seed, t=t))
    missing = max(0.0, len(ref) / len(reference) - len(cur) / len(current))
    inside = float(((cur >= ref.min()) & (cur <= ref.max())).mean())
    coverage, ks = inside * (1.0 - missing), _ks(ref, cur)
    level = _level(found, bound, coverage, ks, t)
    status = Status.FAIL if level == "CRITICAL" else Status.PASS
    detail = (
        f"{level}: PSI {found:.3f}, KS p {ks:.3f}, coverage {coverage:.2f}, "
        f"missing {1.0 - len(cur) / len(current):.2f}; {t.bins} quantile bins, floor {t.floor:g}"
    )
    return Check(name, status, detail, n, found, bound)


def _level(psi: float, bound: float, coverage: float, ks: float, t: Bars) -> str:
    if psi > bound or coverage < t.coverage_critical:
        return "CRITICAL"
    if (psi >= t.moderate and ks < t.ks) or coverage < t.coverage_high:
        return "HIGH"
    return "NONE" if psi < t.low else "LOW" if psi < t.moderate else "MODERATE"


def effective_size(values: Floats) -> float:
    """Rows that independent data would need to say as much: n·(1 − ρ₁)/(1 + ρ₁), at least 2.

    ρ₁ is the lag-1 autocorrelation (Bayley & Hammersley, 1946, for a first-order process); a
    negative one counts as 0.
    """
    centred = values - values.mean()
    total = float(centred @ centred)
    rho = float(centred[1:] @ centred[:-1]) / total if total > 0.0 else 0.0
    rho = min(max(rho, 0.0), 0.999)
    return max(2.0, len(values) * (1.0 - rho) / (1.0 + rho))


def _ks(ref: Floats, cur: Floats) -> float:
    """p-value of the two-sample Kolmogorov–Smirnov test with effective sample sizes."""
    from scipy.stats import ks_2samp, kstwobign

    distance = float(ks_2samp(ref, cur).statistic)
    n, m = effective_size(ref), effective_size(cur)
    return float(kstwobign.sf(distance * np.sqrt(n * m / (n + m))))


def _null(ref: Floats, size: int, *, seed: int, t: Bars) -> float:
    """Quantile of PSI between a block-bootstrap draw of the reference and another of `size`."""
    rng, length = np.random.default_rng(seed), _block_length(ref)
    found = [
        psi_samples(
            ref[_blocks(len(ref), len(ref), length, rng)],
            ref[_blocks(len(ref), size, length, rng)],
            bins=t.bins,
            floor=t.floor,
        )
        for _ in range(t.draws)
    ]
    # Of k draws the plain quantile is exceeded too often by the next one; rank p·(k + 1) isn't.
    return float(np.quantile(found, t.null, method="weibull"))


def _block_length(values: Floats) -> int:
    """Four times the memory of the series: each seam costs a draw some of its persistence."""
    return int(np.clip(4.0 * len(values) / effective_size(values), 1, len(values) // 2))


def _blocks(rows: int, size: int, length: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Row numbers of a circular block bootstrap."""
    starts = rng.integers(0, rows, size // length + 1)
    return np.asarray((starts[:, None] + np.arange(length)).ravel()[:size] % rows, np.int64)


def _correlation(reference: pd.DataFrame, current: pd.DataFrame, *, seed: int, t: Bars) -> Check:
    """Mean absolute change of correlation over the pairs of columns, on complete rows.

    Columns with too few values, or none but one, have no correlation and are left out.
    """
    ref, cur = reference.to_numpy(np.float64), current.to_numpy(np.float64)
    kept = _usable(ref, t.rows) & _usable(cur, t.rows)
    ref, cur = (side[np.isfinite(side[:, kept]).all(axis=1)][:, kept] for side in (ref, cur))
    n = min(len(ref), len(cur))
    if kept.sum() < 2 or n < t.rows:
        why = f"{n} complete rows of {int(kept.sum())} columns, {t.rows} of 2 needed"
        return Check(CORRELATION, Status.INSUFFICIENT_EVIDENCE, why, n)
    found = _change(ref, cur)
    rng, length = np.random.default_rng(seed), max(_block_length(c) for c in ref.T)
    null = [
        _change(
            ref[_blocks(len(ref), len(ref), length, rng)],
            ref[_blocks(len(ref), len(cur), length, rng)],
        )
        for _ in range(t.draws)
    ]
    bound = float(np.nanquantile(null, t.null, method="weibull"))
    level = "HIGH" if found > bound else "NONE"
    detail = f"{level}: mean absolute change {found:.3f}, null {bound:.3f}"
    return Check(CORRELATION, Status.PASS, detail, n, found)


def _usable(side: Floats, rows: int) -> NDArray[np.bool_]:
    """Columns with enough finite values that aren't all one."""
    known = np.where(np.isfinite(side), side, np.nan)
    top, bottom = (f.reduce(known, axis=0, initial=np.nan) for f in (np.fmax, np.fmin))
    return np.asarray((np.isfinite(side).sum(axis=0) >= rows) & (top > bottom), np.bool_)


def _change(ref: Floats, cur: Floats) -> float:
    """Mean absolute difference of correlations; a pair that a draw left constant has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = np.abs(np.corrcoef(ref, rowvar=False) - np.corrcoef(cur, rowvar=False))
    return float(np.nanmean(gap[np.triu_indices(len(gap), 1)]))
