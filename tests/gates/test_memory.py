"""Memory: what was planted is found, and white noise has none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.tsa.stattools import acf

from hybridnb.gates.memory import Memory, autocorrelations, memory

ROWS = 1000


def drawn(planted: Memory, seed: int, rows: int = ROWS) -> np.ndarray:
    return planted.draw(rows, np.random.default_rng(seed))


@given(seed=st.integers(0, 10_000), share=st.floats(0.0, 1.0))
def test_autocorrelations_are_statsmodels_s(seed: int, share: float) -> None:
    values = drawn(Memory(share, 0.9), seed, 200)
    np.testing.assert_allclose(autocorrelations(values, 30), acf(values, nlags=30)[1:], atol=1e-12)


def test_a_draw_has_the_autocorrelation_that_its_memory_says() -> None:
    planted = Memory(0.6, 0.95)
    values = drawn(planted, 1, 400_000)
    assert values.std() == pytest.approx(1.0, abs=0.03)
    said = planted.share * planted.decay ** np.array([1, 5, 20])
    np.testing.assert_allclose(autocorrelations(values, 20)[[0, 4, 19]], said, atol=0.02)
    assert planted.rho == pytest.approx(0.57)
    assert planted.inflation == pytest.approx(1.0 + 2.0 * 0.57 / 0.05)


@pytest.mark.parametrize(
    "planted", [Memory(1.0, 0.97), Memory(1.0, 0.9), Memory(0.5, 0.99), Memory(0.2, 0.95)]
)
def test_the_median_of_fifty_estimates_is_the_truth(planted: Memory) -> None:
    found = [memory(drawn(planted, seed)) for seed in range(50)]
    assert np.median([m.decay for m in found]) == pytest.approx(planted.decay, abs=0.01)
    assert np.median([m.share for m in found]) == pytest.approx(planted.share, abs=0.05)


def test_white_noise_has_no_memory() -> None:
    found = [memory(drawn(Memory(), seed)) for seed in range(100)]
    assert sum(m != Memory() for m in found) <= 3  # two gates of three standard errors


@pytest.mark.parametrize("values", [np.ones(300), np.tile([1.0, -1.0], 150)])
def test_nothing_slow_is_no_memory(values: np.ndarray) -> None:
    assert memory(values) == Memory()


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_units_decide_nothing(seed: int, scale: float) -> None:
    values = drawn(Memory(0.7, 0.9), seed, 300)
    found, other = memory(values), memory(scale * values + 3.0 * scale)
    assert other.decay == found.decay
    assert other.share == pytest.approx(found.share, rel=1e-6)
    assert 0.0 <= found.share <= 1.0
    assert 0.0 <= found.decay < 1.0
