"""Overfitting: known answers of the paper's method, and agreement with arch and SciPy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from arch.bootstrap import RealityCheck
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress, rankdata

from hybridnb.domain import Status
from hybridnb.gates.overfit import CSCV, cscv, pbo_check, reality_check, spa

YEAR = 252


def noise(seed: int, *, rows: int = 640, columns: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.01, (rows, columns))


def by_hand(returns: np.ndarray, blocks: int) -> tuple[list[float], list[float], list[float]]:
    """The method as the paper tells it, a combination at a time."""
    parts = np.array_split(returns, blocks)  # equal parts here: rows are a multiple of blocks
    logits, inside, outside = [], [], []
    for pick in combinations(range(blocks), blocks // 2):
        one = np.concatenate([parts[i] for i in pick])
        other = np.concatenate([parts[i] for i in range(blocks) if i not in pick])
        here, there = (side.mean(axis=0) / side.std(axis=0, ddof=1) for side in (one, other))
        best = int(here.argmax())
        share = rankdata(there)[best] / (returns.shape[1] + 1)
        logits.append(float(np.log(share / (1 - share))))
        inside.append(float(here[best]))
        outside.append(float(there[best]))
    return logits, inside, outside


def test_sixteen_blocks_have_12870_combinations() -> None:
    found = cscv(noise(1, columns=3))
    assert found.combinations == 12_870 == len(found.logits) == len(found.outside)


@pytest.mark.parametrize("blocks", [2, 6, 8])
def test_the_products_of_sums_are_the_paper_s_method_by_hand(blocks: int) -> None:
    returns = noise(2, rows=480, columns=9) + 0.002
    found = cscv(returns, blocks)
    logits, inside, outside = by_hand(returns, blocks)
    np.testing.assert_allclose(found.logits, logits, atol=1e-12)
    np.testing.assert_allclose(found.inside, inside, rtol=1e-9)
    np.testing.assert_allclose(found.outside, outside, rtol=1e-9)
    assert found.pbo == np.mean(np.array(logits) <= 1e-12)
    assert found.loss == np.mean(np.array(outside) < 0.0)
    assert found.slope == pytest.approx(linregress(inside, outside).slope, rel=1e-9)


def test_where_one_configuration_dominates_nothing_is_overfitted() -> None:
    returns = noise(3)
    returns[:, 4] += 0.05
    found = cscv(returns)
    assert found.pbo == 0.0
    assert set(found.chosen) == {4}
    assert found.loss == 0.0


def test_where_the_best_in_sample_is_the_worst_out_everything_is() -> None:
    """Columns of ±1 that sum to zero: what one half gains the other loses, at equal spread."""
    signs = np.tile([1.0, -1.0], (40, 160))
    returns = np.random.default_rng(4).permuted(signs, axis=1).T
    found = cscv(returns)
    assert found.pbo == 1.0
    assert found.slope == pytest.approx(-1.0)
    assert found.loss == 1.0


def test_on_noise_the_mean_of_fifty_seeds_is_a_half() -> None:
    found = [cscv(noise(seed, rows=504, columns=20), 10).pbo for seed in range(50)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_a_planted_sharpe_ratio_of_three_among_fifty_is_found() -> None:
    found = []
    for seed in range(10):
        returns = noise(seed, rows=1260, columns=50)
        returns[:, seed] += 0.01 * 3.0 / np.sqrt(YEAR)
        found.append(cscv(returns).pbo)
    assert max(found) < 0.1


def test_copies_tie_and_a_lone_choice_among_them_is_no_skill() -> None:
    one = noise(5, columns=1)
    better = one + 0.004
    found = cscv(np.hstack([one, better, better, one]), 8)
    assert found.configurations == 2
    # The two best share ranks 3 and 4 of 4 in every half: ω = 3.5 / 5.
    np.testing.assert_allclose(found.logits, np.log(0.7 / 0.3))
    assert set(found.chosen) == {1}


def test_what_never_trades_ranks_at_a_sharpe_ratio_of_zero() -> None:
    returns = noise(6, columns=3) * 0.1 + np.array([0.01, -0.01, -0.02])
    returns[:, 1] = 0.0
    found = cscv(returns, 8)
    assert found.pbo == 0.0
    returns[:, 0] = -0.01 + noise(7, columns=1)[:, 0] * 0.1
    found = cscv(returns, 8)
    assert set(found.chosen) == {1}
    assert not found.outside.any()


def test_a_configuration_that_stops_trading_counts_as_zero_from_there_on() -> None:
    returns = noise(8, rows=160, columns=2)
    returns[80:, 0] = 0.0
    found = cscv(returns, 2)
    # Second half in sample: 0 against what column 1 made of it.
    later = returns[80:, 1].mean() / returns[80:, 1].std(ddof=1)
    assert found.inside[1] == pytest.approx(max(0.0, later))


@given(seed=st.integers(0, 10_000), blocks=st.sampled_from([2, 4, 6]), columns=st.integers(2, 7))
def test_units_order_of_columns_and_a_common_scale_decide_nothing(
    seed: int, blocks: int, columns: int
) -> None:
    returns = noise(seed, rows=96, columns=columns)
    found = cscv(returns, blocks)
    order = np.random.default_rng(seed).permutation(columns)
    other = cscv(1e4 * returns[:, order], blocks)
    np.testing.assert_allclose(other.outside, found.outside, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(order[other.chosen], found.chosen)
    assert 0.0 <= found.pbo <= 1.0
    assert found.pbo == other.pbo


BAD = {
    "a hole": np.where(np.arange(6400).reshape(640, 10) == 77, np.nan, noise(1)),
    "one column": noise(1, columns=1),
    "no column": np.empty((640, 0)),
    "copies only": np.repeat(noise(1, columns=1), 4, axis=1),
    "constants that are one": np.full((640, 4), 0.01),
    "two rows": noise(1, rows=2),
    "nothing": np.empty((0, 4)),
    "one dimension": noise(1).ravel(),
    "infinite": np.where(np.arange(6400).reshape(640, 10) == 5, np.inf, noise(1)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_evidence_is_refused_and_never_passes(name: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        cscv(BAD[name])
    check = pbo_check(BAD[name])
    assert check.status is Status.INSUFFICIENT_EVIDENCE
    assert check.value is None


@pytest.mark.parametrize("blocks", [0, 3, 22])
def test_blocks_are_an_even_number_up_to_twenty(blocks: int) -> None:
    with pytest.raises(ValueError, match="blocks"):
        cscv(noise(1), blocks)


def test_the_check_holds_the_bar_and_says_of_how_many_rows() -> None:
    skilled = noise(9)
    skilled[:, 0] += 0.01
    passed = pbo_check(skilled, blocks=8)
    assert (passed.status, passed.n, passed.threshold) == (Status.PASS, 640, 0.5)
    assert passed.value == cscv(skilled, 8).pbo
    signs = np.random.default_rng(4).permuted(np.tile([1.0, -1.0], (9, 160)), axis=1).T
    assert pbo_check(signs, blocks=8).status is Status.FAIL
    assert pbo_check(skilled[:249]).status is Status.INSUFFICIENT_EVIDENCE


def test_the_reality_check_is_arch_s() -> None:
    models, base = noise(10, columns=8), noise(11, columns=1)[:, 0]
    found = reality_check(base, models, seed=5, draws=300)
    theirs = RealityCheck(-base, -models, block_size=found.block, reps=300, seed=5)
    theirs.compute()
    assert (found.lower, found.consistent, found.upper) == tuple(theirs.pvalues)
    assert (found.models, found.rows, found.draws) == (8, 640, 300)


def test_a_better_model_is_found_and_the_best_of_noise_isn_t() -> None:
    base = np.zeros(640)
    better = noise(12)
    better[:, 3] += 0.002
    quiet = [spa(base, noise(seed), seed=1, draws=150).consistent for seed in range(10)]
    assert spa(base, better, seed=1).consistent < 0.01
    assert reality_check(base, better, seed=1).upper < 0.01
    assert sum(p < 0.05 for p in quiet) <= 3  # of 10 at 5 %: more than 3 has chance 0.1 %


def test_studentising_lets_a_steady_model_be_seen_beside_a_wild_one() -> None:
    models = noise(13, columns=6) * np.array([0.2, 1.0, 2.0, 3.0, 4.0, 5.0])
    models[:, 0] += 0.0004
    base = np.zeros(640)
    assert spa(base, models, seed=1, draws=300).consistent < 0.01
    assert reality_check(base, models, seed=1, draws=300).upper > 0.2


def test_poor_models_lower_the_power_of_the_upper_value_only() -> None:
    models = np.hstack([noise(14, columns=1) + 0.0008, 3.0 * noise(15, columns=30) - 0.01])
    found = reality_check(np.zeros(640), models, seed=1, draws=300)
    assert found.lower <= found.consistent < found.upper


def test_a_model_that_is_the_benchmark_isn_t_compared() -> None:
    models = noise(16, columns=3)
    base = models[:, 1].copy()
    assert spa(base, models, seed=1, draws=50).models == 2
    with pytest.raises(ValueError, match="differs"):
        spa(base, base[:, None], seed=1)


@pytest.mark.parametrize("test", [spa, reality_check])
@pytest.mark.parametrize("rows", [0, 2, 249])
def test_superiority_needs_rows(test: object, rows: int) -> None:
    assert callable(test)
    with pytest.raises(ValueError, match="250"):
        test(np.zeros(rows), noise(1, rows=rows), seed=1)
    with pytest.raises(ValueError, match="holes"):
        test(np.full(300, np.nan), noise(1, rows=300), seed=1)


def test_the_same_returns_have_the_same_pbo() -> None:
    found: list[CSCV] = [cscv(noise(17), 8) for _ in range(2)]
    assert found[0].logits.tobytes() == found[1].logits.tobytes()
