"""Binomial intervals: SciPy's exact ones, and they cover."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from hybridnb.gates.rates import rate


@given(tried=st.integers(1, 400), data=st.data())
def test_the_interval_is_scipy_s_exact_one(tried: int, data: st.DataObject) -> None:
    caught = data.draw(st.integers(0, tried))
    theirs = binomtest(caught, tried).proportion_ci(0.95, method="exact")
    assert rate(caught, tried) == pytest.approx((caught / tried, theirs.low, theirs.high), abs=1e-8)


def test_none_of_fifty_leaves_seven_in_a_hundred_possible() -> None:
    """Known answer: 1 − 0.025^(1/50)."""
    assert rate(0, 50) == pytest.approx((0.0, 0.0, 1.0 - 0.025 ** (1 / 50)))
    assert rate(50, 50) == pytest.approx((1.0, 0.025 ** (1 / 50), 1.0))


@pytest.mark.parametrize("true", [0.02, 0.5, 0.9])
def test_it_covers_the_truth_as_often_as_it_says(true: float) -> None:
    covered = 0.0
    for caught in range(51):
        _, low, high = rate(caught, 50, confidence=0.9)
        covered += binom.pmf(caught, 50, true) * (low <= true <= high)
    assert 0.9 <= covered < 0.99


def test_nothing_tried_says_nothing() -> None:
    share, low, high = rate(0, 0)
    assert math.isnan(share)
    assert (low, high) == (0.0, 1.0)


@pytest.mark.parametrize(("caught", "tried"), [(-1, 5), (6, 5), (1, 0)])
def test_more_caught_than_tried_is_refused(caught: int, tried: int) -> None:
    with pytest.raises(ValueError, match="caught"):
        rate(caught, tried)


@pytest.mark.parametrize("confidence", [0.0, 1.0, math.nan])
def test_a_confidence_lies_between_nothing_and_all(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        rate(1, 2, confidence=confidence)
