"""Planted over-confidence: its size is known, and each calibrator takes it back."""

from __future__ import annotations

import numpy as np
import pytest

from hybridnb import metrics
from hybridnb.app import power_calibration as pc
from hybridnb.app.power_calibration import FITTED, NEAR, excess, measure_calibration, planted
from hybridnb.learning.calibrators import Kind

SEEDS = range(3)


@pytest.mark.parametrize("stretch", [0.5, 2.0, 3.0])
def test_the_truth_is_true_and_what_is_said_isn_t(stretch: float) -> None:
    y, stated, truth = planted(1, stretch)
    assert metrics.ece(y, truth) < 0.02
    assert metrics.ece(y, stated) > 0.05
    np.testing.assert_allclose(
        np.log(stated / (1 - stated)), stretch * np.log(truth / (1 - truth)), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("kind", ["platt", "isotonic", "temperature"])
def test_each_calibrator_comes_near_the_best_possible_score(kind: Kind) -> None:
    for stretch in (0.5, 2.0, 3.0):
        before, after = excess(kind, *planted(2, stretch))
        assert after <= NEAR < before


def test_the_excess_is_measured_on_rows_that_nothing_was_fitted_on() -> None:
    """Outcomes turned round after the fitted rows: what was learnt must cost there."""
    y, stated, truth = planted(3, 2.0)
    y[FITTED:] = 1.0 - y[FITTED:]
    best = metrics.brier(y[FITTED:], truth[FITTED:])
    before, after = excess("platt", y, stated, truth)
    assert before == pytest.approx(metrics.brier(y[FITTED:], stated[FITTED:]) - best)
    assert metrics.brier(y[FITTED:], 1.0 - truth[FITTED:]) < best + after - 0.05


def test_the_table_counts_what_came_near_enough() -> None:
    rows = {(row.detector, row.plant): row for row in measure_calibration(SEEDS)}
    assert len(rows) == 4 * 3
    for (detector, _), row in rows.items():
        assert row.tried == len(SEEDS)
        if detector == "calibration, none":
            assert (row.caught, row.reached) == (0, None)
            assert row.mean is not None
            assert row.mean > NEAR
        else:
            assert (row.caught, row.reached) == (len(SEEDS), True)


def test_real_probabilities_may_stand_for_the_truth() -> None:
    real = np.random.default_rng(4).beta(20, 20, 500)  # near a half, as those of daily moves
    y, stated, truth = planted(5, 3.0, real=real)
    assert np.isin(np.round(truth, 9), np.round(real, 9)).all()
    assert stated.std() > 2.0 * truth.std()
    assert y.mean() == pytest.approx(truth.mean(), abs=0.02)


def test_a_calibrator_that_does_nothing_is_not_called_near(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pc, "fit_calibrator", lambda kind, p, y: lambda q: q)
    assert not any(row.reached for row in measure_calibration(SEEDS))


@pytest.mark.parametrize(
    "real", [np.empty(0), np.array([0.5, np.nan]), np.array([1.5]), np.array([-0.1, 0.2])]
)
def test_what_is_no_probability_is_refused(real: np.ndarray) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        planted(1, 2.0, real=real)


def test_a_seed_gives_the_same_plant() -> None:
    first, again, other = (planted(seed, 2.0)[1] for seed in (6, 6, 7))
    assert first.tobytes() == again.tobytes() != other.tobytes()
