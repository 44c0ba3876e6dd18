"""The power of calibration: planted over-confidence, and how near each calibrator gets to the
truth.

Outcomes come as often as a true probability says; what a model would say is that opinion with its
logit stretched. The best possible Brier score is the true probabilities' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np

from hybridnb import metrics
from hybridnb.gates.evidence import Floats
from hybridnb.gates.planted_overfit import Power, power
from hybridnb.learning.calibrators import EDGE, Kind, fit_calibrator

STRETCHES = (0.5, 2.0, 3.0)  # temperature that undoes it; below 1 the model is too modest
FITTED, HELD_OUT = 5000, 10_000  # rows
NEAR = 0.002  # of the best possible Brier score


def planted(
    seed: int, stretch: float, *, real: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """Outcomes, what was said of them, and the truth, each of shape (FITTED + HELD_OUT,).

    Parameters
    ----------
    stretch : float
        Factor on the true logit: above 1 the model is over-confident.
    real : ndarray, shape (n,), or None
        Probabilities that a model really gave, taken as the truth and drawn with replacement;
        None: normal logits.
    """
    rng = np.random.default_rng(seed)
    rows = FITTED + HELD_OUT
    if real is None:
        logits = rng.standard_normal(rows)
    else:
        said = np.asarray(real, np.float64).ravel()
        if not len(said) or not ((said >= 0.0) & (said <= 1.0)).all():
            raise ValueError("real probabilities lie in [0, 1], without NaN")
        q = np.clip(said, EDGE, 1.0 - EDGE)
        logits = rng.choice(np.log(q / (1.0 - q)), rows)
    truth, stated = (1.0 / (1.0 + np.exp(-z)) for z in (logits, stretch * logits))
    y = (rng.uniform(size=rows) < truth).astype(np.float64)
    return y, stated, truth


def excess(kind: Kind, y: Floats, stated: Floats, truth: Floats) -> tuple[float, float]:
    """Brier score above the truth's on the held-out rows: before and after calibration."""
    model = fit_calibrator(kind, stated[:FITTED], y[:FITTED])
    late = slice(FITTED, None)
    best = metrics.brier(y[late], truth[late])
    before, after = stated[late], model(stated[late])
    return metrics.brier(y[late], before) - best, metrics.brier(y[late], after) - best


def measure_calibration(seeds: Sequence[int], *, real: Floats | None = None) -> list[Power]:
    """How often each calibrator comes within 0.002 of the best possible Brier score.

    Returns
    -------
    list of Power
        A row a calibrator and stretch; `mean` is the mean excess of its Brier score. A row
        "none" a stretch says how often what was said would have been near enough as it was.
    """
    found = []
    for stretch in STRETCHES:
        samples = [planted(seed, stretch, real=real) for seed in seeds]
        plant = f"logits × {stretch:g}"
        for kind in get_args(Kind):
            pairs = [excess(kind, *sample) for sample in samples]
            after = [pair[1] for pair in pairs]
            found.append(
                power(
                    *(f"calibration, {kind}", plant, [gap <= NEAR for gap in after]),
                    figures=after,
                    bar=f"Brier within {NEAR:g} of the best",
                    holds=lambda share, _: share >= 0.95,
                )
            )
        before = [pair[0] for pair in pairs]
        found.append(
            power("calibration, none", plant, [gap <= NEAR for gap in before], figures=before)
        )
    return found
