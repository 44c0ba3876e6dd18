"""Drift of the features' distribution between a reference and the present.

PSI alarms on unchanged persistent data, so that it is critical only beyond its own null: the
99 % quantile of PSI between two block-bootstrap draws of the reference of these sizes.
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
        The same numeric columns, in time order; NaN rows are left out column by column.

    Returns
    -------
    tuple of Check
        FAIL where the level is CRITICAL; INSUFFICIENT_EVIDENCE below 250 rows.
    """
    t = bars or Bars()
    return tuple(
        _column(name, _known(reference[name]), _known(current[name]), seed=seed, t=t)
        for name in reference.columns
    )


def _known(column: pd.Series[float]) -> Floats:
    values = column.to_numpy(np.float64)
    return values[np.isfinite(values)]


def _column(name: str, ref: Floats, cur: Floats, *, seed: int, t: Bars) -> Check:
    n = min(len(ref), len(cur))
    if n < t.rows:
        why = f"{n} rows, {t.rows} needed"
        return Check(name, Status.INSUFFICIENT_EVIDENCE, why, n)
    found = psi_samples(ref, cur, bins=t.bins, floor=t.floor)
    bound = max(t.critical, _null(ref, len(cur), seed=seed, t=t)) if found > t.critical else t.critical
    coverage = float(((cur >= ref.min()) & (cur <= ref.max())).mean())
    level = _level(found, bound, coverage, _ks(ref, cur), t)
    status = Status.FAIL if level == "CRITICAL" else Status.PASS
    detail = f"{level}: PSI {found:.3f}, coverage {coverage:.2f}"
    return Check(name, status, detail, n, found, bound)


def _level(psi: float, bound: float, coverage: float, ks: float, t: Bars) -> str:
    if psi > bound or coverage < t.coverage_critical:
        return "CRITICAL"
    if (psi >= t.moderate and ks < t.ks) or coverage < t.coverage_high:
        return "HIGH"
    return "NONE" if psi < t.low else "LOW" if psi < t.moderate else "MODERATE"


def effective_size(values: Floats) -> float:
    """Rows that independent data would need to say as much: n·(1 − ρ₁)/(1 + ρ₁), at least 2."""
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
    rng = np.random.default_rng(seed)
    # Blocks as long as the memory of the series, so that draws keep its persistence.
    length = int(np.clip(2.0 * len(ref) / effective_size(ref), 1, len(ref) // 2))
    found = [
        psi_samples(
            _blocks(ref, len(ref), length, rng),
            _blocks(ref, size, length, rng),
            bins=t.bins,
            floor=t.floor,
        )
        for _ in range(t.draws)
    ]
    return float(np.quantile(found, t.null))


def _blocks(values: Floats, size: int, length: int, rng: np.random.Generator) -> Floats:
    starts = rng.integers(0, len(values), size // length + 1)
    at = (starts[:, None] + np.arange(length)).ravel()[:size] % len(values)
    return values[at]
