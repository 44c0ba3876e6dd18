"""Figures of evidence: published answers first, then what must hold for any numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn import metrics as peer

from hybridnb import metrics as m

FIVE_P, FIVE_Y = (0.25, 0.25, 0.55, 0.75, 0.75), (0, 0, 1, 1, 1)
DAY = math.sqrt(250)
deflated = partial(m.dsr, 2.5 / DAY, n=1250, trial_variance=0.5 / 250, skew=-3.0, kurtosis=10.0)
monthly = partial(m.psr, 0.458, 0.0, n=24)

KNOWN: dict[str, tuple[Callable[[], float], float, float]] = {
    "PSI": (lambda: m.psi([0.25] * 4, [0.4, 0.3, 0.2, 0.1]), 0.228217, 1e-6),
    "Brier": (lambda: m.brier([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3]), 0.0375, 1e-12),
    "ECE L1": (lambda: m.ece(FIVE_Y, FIVE_P, bins=2), 0.29, 1e-9),
    "ECE L2": (lambda: m.ece(FIVE_Y, FIVE_P, bins=2, norm="l2"), 0.29183, 1e-5),
    "ECE max": (lambda: m.ece(FIVE_Y, FIVE_P, bins=2, norm="max"), 0.31667, 1e-5),
    "PSR a month": (lambda: monthly(skew=-2.448, kurtosis=10.164), 0.913, 5e-4),
    "PSR, normal moments": (monthly, 0.982, 5e-4),
    "PSR, excess kurtosis (wrong)": (lambda: monthly(skew=-2.448, kurtosis=7.164), 0.91997, 1e-5),
    "PSR 250": (lambda: m.psr(1.14, 1.0, n=250, skew=0.0, kurtosis=3.0), 0.95727, 1e-5),
    "MinTRL": (lambda: m.min_track_record(1.14, 1.0, skew=0.0, kurtosis=3.0), 228.73497, 1e-5),
    "DSR 100, benchmark": (lambda: deflated(trials=100)[1], 0.1132, 5e-5),
    "DSR 100": (lambda: deflated(trials=100)[0], 0.9004, 5e-5),
    "DSR 46": (lambda: deflated(trials=46)[0], 0.9505, 5e-5),
    "maximum of 10": (lambda: m.expected_maximum(10), 1.574598, 1e-6),
    "maximum of 45": (lambda: m.expected_maximum(45), 2.235640, 1e-6),
    "maximum of 100": (lambda: m.expected_maximum(100), 2.530603, 1e-6),
    "maximum of 1000": (lambda: m.expected_maximum(1000), 3.255122, 1e-6),
    # By hand: mean .01, deviation sqrt(.0002); the year is 252 sessions.
    "Sharpe": (lambda: m.sharpe([0.0, 0.02]), 0.01 / math.sqrt(0.0002) * math.sqrt(252), 1e-12),
    "volatility": (lambda: m.annual_volatility([0.0, 0.02]), math.sqrt(0.0002 * 252), 1e-12),
    "drawdown": (lambda: m.max_drawdown([100, 120, 90, 130, 117]), 0.25, 1e-12),
    "win rate": (lambda: m.win_rate([1, -1, 0, 2]), 0.5, 0.0),
    "profit factor": (lambda: m.profit_factor([3, -1, 0, -1]), 1.5, 0.0),
    "losing run": (lambda: m.longest_losing_run([-1, -1, 0, -1, -1, -1, 2]), 3, 0.0),
    "Brier skill of the base rate": (lambda: m.brier_skill([0, 1, 1, 0], [0.5] * 4), 0.0, 0.0),
    "Brier skill of certainty": (lambda: m.brier_skill([0, 1, 1, 0], [0, 1, 1, 0]), 1.0, 0.0),
    "log loss of a coin": (lambda: m.log_loss([0, 1], [0.5, 0.5]), math.log(2.0), 1e-12),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_answers(name: str) -> None:
    compute, answer, tolerance = KNOWN[name]
    assert compute() == pytest.approx(answer, rel=0.0, abs=tolerance)


outcomes = st.integers(2, 60).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.sampled_from([0.0, 1.0])),
        arrays(np.float64, n, elements=st.floats(0.001, 0.999)),
    )
)
amounts = arrays(np.float64, st.integers(1, 80), elements=st.floats(-1e3, 1e3, width=32))
daily = arrays(np.float64, st.integers(5, 80), elements=st.floats(-0.2, 0.2))


@given(outcomes)
def test_brier_and_log_loss_are_scikit_learns(pair: tuple[m.Floats, m.Floats]) -> None:
    y, p = pair
    assert m.brier(y, p) == pytest.approx(peer.brier_score_loss(y, p, pos_label=1.0))
    assert m.log_loss(y, p) == pytest.approx(peer.log_loss(y, p, labels=[0.0, 1.0]))


@given(outcomes, st.integers(1, 20))
def test_reliability_loses_no_row_and_bounds_its_errors(
    pair: tuple[m.Floats, m.Floats], bins: int
) -> None:
    y, p = pair
    curve = m.reliability(y, p, bins=bins)
    filled = curve.count > 0
    assert curve.count.sum() == len(y) and len(curve.edges) == bins + 1
    assert np.isnan(curve.predicted[~filled]).all() and np.isnan(curve.observed[~filled]).all()
    weighted = (curve.count * curve.predicted)[filled].sum()
    assert weighted == pytest.approx(p.sum())
    l1, l2, top = (m.ece(y, p, bins=bins, norm=norm) for norm in ("l1", "l2", "max"))
    assert 0.0 <= l1 <= l2 + 1e-12 and l2 <= top + 1e-12 and top <= 1.0


def test_certainty_falls_into_the_last_bin() -> None:
    assert list(m.reliability([1, 0], [1.0, 0.0], bins=10).count) == [1, *[0] * 8, 1]


@pytest.mark.parametrize("value", [0.001, 0.1, -0.3, 0.0])
@pytest.mark.parametrize("n", [1, 7, 100])
def test_a_constant_has_no_ratio_and_no_moments(value: float, n: int) -> None:
    """The deviation of a constant is a rounding error, not a reason for an endless Sharpe."""
    assert math.isnan(m.sharpe(np.full(n, value)))
    assert all(math.isnan(v) for v in m.moments(np.full(n, value)))


@given(daily, st.floats(0.1, 10.0))
def test_sharpe_ignores_scale_and_turns_with_the_sign(r: m.Floats, scale: float) -> None:
    assume(np.ptp(r) > 1e-6)
    assert m.sharpe(r * scale) == pytest.approx(m.sharpe(r), abs=1e-9)
    assert m.sharpe(-r) == pytest.approx(-m.sharpe(r), abs=1e-9)


@given(daily)
def test_moments_are_scipys_with_raw_kurtosis(r: m.Floats) -> None:
    assume(np.ptp(r) > 1e-3)
    skew, kurtosis = m.moments(r)
    assert skew == pytest.approx(stats.skew(r), abs=1e-9)
    assert kurtosis == pytest.approx(stats.kurtosis(r, fisher=False), abs=1e-9)


@given(arrays(np.float64, st.integers(1, 50), elements=st.floats(1.0, 1e6)))
def test_a_drawdown_is_the_worst_fall_from_an_earlier_value(equity: m.Floats) -> None:
    falls = [1.0 - b / a for a, b in itertools.combinations_with_replacement(equity, 2)]
    assert m.max_drawdown(equity) == pytest.approx(max(falls), abs=1e-12)
    assert m.drawdowns(equity).shape == equity.shape
    assert ((m.drawdowns(equity) >= 0.0) & (m.drawdowns(equity) <= 1.0)).all()


def test_what_has_no_answer_says_so() -> None:
    assert m.profit_factor([1.0, 2.0]) == math.inf
    assert math.isnan(m.profit_factor([])) and math.isnan(m.profit_factor([0.0]))
    assert math.isnan(m.win_rate([])) and math.isnan(m.annual_volatility([0.1]))
    assert math.isnan(m.brier_skill([1, 1], [0.9, 0.8]))
    assert m.max_drawdown([]) == 0.0 and m.longest_losing_run([]) == 0
    assert m.min_track_record(1.0, 1.0) == math.inf == m.min_track_record(0.5, 1.0)
    assert m.expected_maximum(1) == 0.0


@pytest.mark.parametrize(
    "broken",
    [
        lambda: m.sharpe([0.1, math.nan]),
        lambda: m.win_rate([math.inf]),
        lambda: m.brier([0, 1], [0.5]),
        lambda: m.brier([], []),
        lambda: m.brier([0, 1], [0.5, 1.5]),
        lambda: m.ece([0, 1], [-0.1, 0.5]),
        lambda: m.psi_samples([], [1.0]),
        lambda: m.losing_run_limit(10, math.nan),
        lambda: m.losing_run_limit(10, 1.1),
    ],
)
def test_holes_and_nonsense_are_refused(broken: Callable[[], float]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        broken()


@given(amounts)
def test_the_longest_losing_run_is_the_longest_group(pnl: m.Floats) -> None:
    groups = [len(list(g)) for lost, g in itertools.groupby(pnl < 0.0) if lost]
    assert m.longest_losing_run(pnl) == max(groups, default=0)


def chance_of_no_longer_run(n: int, k: int, rate: float) -> float:
    """By listing every sequence of wins and losses."""
    total = 0.0
    for trades in itertools.product([1.0, -1.0], repeat=n):
        if m.longest_losing_run(trades) <= k:
            won = trades.count(1.0)
            total += rate**won * (1.0 - rate) ** (n - won)
    return total


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("n", [0, 1, 5, 10])
@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
def test_the_losing_run_limit_is_the_exact_quantile(n: int, rate: float, quantile: float) -> None:
    limit = m.losing_run_limit(n, rate, quantile=quantile, least=0)
    assert chance_of_no_longer_run(n, limit, rate) >= quantile - 1e-12
    assert limit == 0 or chance_of_no_longer_run(n, limit - 1, rate) < quantile


def test_the_losing_run_limit_is_what_simulation_shows() -> None:
    rng = np.random.default_rng(7)
    runs = [m.longest_losing_run(np.where(rng.random(200) < 0.5, 1.0, -1.0)) for _ in range(4000)]
    assert m.losing_run_limit(200, 0.5) == pytest.approx(np.quantile(runs, 0.99), abs=1)


@given(st.integers(0, 3000), st.floats(0.0, 1.0))
def test_the_losing_run_limit_is_at_least_five_and_falls_with_the_win_rate(
    n: int, rate: float
) -> None:
    limit = m.losing_run_limit(n, rate)
    assert 5 <= limit <= max(5, n)
    assert m.losing_run_limit(n, min(1.0, rate + 0.1)) <= limit <= m.losing_run_limit(2 * n, rate)


shares = arrays(np.float64, 5, elements=st.floats(0.01, 1.0)).map(lambda a: a / a.sum())


@given(shares, shares)
def test_psi_is_a_symmetric_distance(a: m.Floats, b: m.Floats) -> None:
    assert m.psi(a, a) == 0.0
    assert m.psi(a, b) == pytest.approx(m.psi(b, a)) and m.psi(a, b) >= 0.0


def test_psi_of_samples_sees_a_shift_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(size=5000)
    assert m.psi_samples(reference, reference) == 0.0
    assert m.psi_samples(reference, rng.normal(size=5000)) < 0.01
    assert m.psi_samples(reference, reference + 1.0) > 0.5
    # The outer bins are open: values far outside are counted, not lost.
    outside = m.psi_samples(reference, np.full(100, 1e9))
    expected = m.psi([0.1] * 10, [0.0] * 9 + [1.0])
    assert outside == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("reference", [np.zeros(300), np.repeat([0.0, 1.0], [285, 15])])
def test_psi_of_samples_sees_a_common_value_move(reference: m.Floats) -> None:
    assert m.psi_samples(reference, reference) == 0.0
    assert m.psi_samples(reference, np.ones(300)) > 0.2


@given(st.floats(-0.3, 0.3), st.integers(2, 2000), st.floats(-1.0, 1.0), st.floats(2.5, 12.0))
def test_psr_is_a_probability_and_half_at_its_benchmark(
    sharpe: float, n: int, skew: float, kurtosis: float
) -> None:
    at = partial(m.psr, sharpe, n=n, skew=skew, kurtosis=kurtosis)
    assert at(sharpe) == 0.5
    assert 0.0 <= at(sharpe + 0.05) <= 0.5 <= at(sharpe - 0.05) <= 1.0


@given(st.floats(0.01, 1.0), st.floats(-1.0, 1.0), st.floats(2.5, 12.0))
def test_the_minimum_track_record_is_where_psr_reaches_its_confidence(
    excess: float, skew: float, kurtosis: float
) -> None:
    needed = m.min_track_record(0.1 + excess, 0.1, skew=skew, kurtosis=kurtosis, confidence=0.9)
    reached = stats.norm.cdf(
        excess
        * math.sqrt(needed - 1.0)
        / math.sqrt(1.0 - skew * (0.1 + excess) + (kurtosis - 1.0) / 4.0 * (0.1 + excess) ** 2)
    )
    assert reached == pytest.approx(0.9)
    assert m.psr(0.1 + excess, 0.1, n=math.ceil(needed), skew=skew, kurtosis=kurtosis) >= 0.9 - 1e-9


def test_more_trials_deflate_more_and_one_deflates_nothing() -> None:
    ratios = [deflated(trials=n)[0] for n in (1, 2, 10, 100, 1000)]
    assert ratios == sorted(ratios, reverse=True) and len(set(ratios)) == 5
    assert deflated(trials=1) == (m.psr(2.5 / DAY, 0.0, n=1250, skew=-3.0, kurtosis=10.0), 0.0)


def test_the_expected_maximum_is_what_simulation_shows() -> None:
    drawn = np.random.default_rng(3).normal(size=(20_000, 100)).max(axis=1).mean()
    assert m.expected_maximum(100) == pytest.approx(drawn, abs=0.04)
