"""The Sharpe ratio's statistics agree with skfolio, SciPy and scikit-learn, which know them too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kurtosis, skew
from skfolio.measures import deflated_sharpe_ratio, probabilistic_sharpe_ratio
from sklearn.metrics import brier_score_loss, log_loss

from hybridnb import metrics as m

SEEDS = st.integers(0, 100_000)


def returns(seed: int, *shape: int) -> np.ndarray:
    """Heavy-tailed daily returns."""
    return np.asarray(0.01 * np.random.default_rng(seed).standard_t(4, shape) + 4e-4, np.float64)


@given(seed=SEEDS, n=st.integers(30, 1500), benchmark=st.floats(-0.1, 0.2))
def test_the_probabilistic_sharpe_ratio_is_skfolio_s(seed: int, n: int, benchmark: float) -> None:
    r = returns(seed, n)
    a, b = m.moments(r)
    assert (a, b) == pytest.approx((skew(r), kurtosis(r, fisher=False)), rel=1e-9)
    found = m.psr(m.sharpe(r, per_year=1), benchmark, n=n, skew=a, kurtosis=b)
    assert found == pytest.approx(probabilistic_sharpe_ratio(r, benchmark), rel=1e-9, abs=1e-12)


@given(seed=SEEDS, trials=st.integers(2, 60))
def test_the_deflated_sharpe_ratio_is_skfolio_s(seed: int, trials: int) -> None:
    table = returns(seed, 500, trials)
    ratios = np.array([m.sharpe(column, per_year=1) for column in table.T])
    best = table[:, ratios.argmax()]
    a, b = m.moments(best)
    found, _ = m.dsr(
        float(ratios.max()),
        n=500,
        trials=trials,
        trial_variance=float(ratios.var(ddof=1)),
        skew=a,
        kurtosis=b,
    )
    assert found == pytest.approx(deflated_sharpe_ratio(best, ratios), rel=1e-9, abs=1e-12)


@given(seed=SEEDS)
def test_a_track_record_of_the_minimum_length_has_skfolio_s_confidence(seed: int) -> None:
    """The formula inverts PSR: what it asks for is what skfolio finds on returns so moulded."""
    r = returns(seed, 400)
    a, b = m.moments(r)
    ratio = m.sharpe(r, per_year=1)
    needed = m.min_track_record(ratio, ratio - 0.05, skew=a, kurtosis=b)
    share = probabilistic_sharpe_ratio(r, ratio - 0.05)
    assert (needed <= 400) == (share >= 0.95)


@given(seed=SEEDS, n=st.integers(2, 400))
def test_brier_and_log_loss_are_scikit_learn_s(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.uniform(size=n)
    y = (rng.uniform(size=n) < p).astype(np.float64)
    assert m.brier(y, p) == pytest.approx(brier_score_loss(y, p, labels=[0, 1]), rel=1e-12)
    assert m.log_loss(y, p) == pytest.approx(log_loss(y, p, labels=[0, 1]), rel=1e-9)
