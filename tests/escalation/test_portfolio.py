"""Figures of the portfolio's facts: by hand, by another library, and unknown where they must be."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hybridnb.domain import Basis
from hybridnb.escalation.portfolio import (
    average_correlation,
    correlation_facts,
    drawdown_5d,
    ensemble_accuracy,
    gross_drawdown_5d,
    sharpe_fact,
    volatility_zscore,
)
from hybridnb.market.facts import average_correlation as rolling_correlation
from hybridnb.market.facts import facts
from hybridnb.metrics import moments, psr, sharpe
from hybridnb.ports import MarketData


def market(seed: int, *, sessions: int, names: int = 6) -> tuple[np.ndarray, pd.Series, MarketData]:
    """Closes (t, n), the index, and both as the market's own code reads them."""
    rng = np.random.default_rng(seed)
    together = rng.normal(0, 0.01, (sessions, 1)) * rng.uniform(0.5, 2, (sessions, 1))
    closes = 100 * np.exp(np.cumsum(together + rng.normal(0, 0.01, (sessions, names)), axis=0))
    days = pd.bdate_range("2015-01-01", periods=sessions)
    wide = pd.DataFrame(closes, index=days, columns=[f"S{i}" for i in range(names)])
    long = wide.rename_axis("session").melt(ignore_index=False, var_name="symbol").reset_index()
    bars = long.rename(columns={"value": "close"})
    index = wide.mean(axis=1)
    data = MarketData(
        feed="made",
        calendar="XNYS",
        currency="USD",
        basis=Basis.CLOSE,
        bars=bars,
        index=index,
        instruments={},
        digest="",
        source="",
    )
    return closes, index, data


@pytest.mark.parametrize("sessions", [81, 82, 150, 272, 273, 274, 400])
def test_volatility_and_correlation_equal_the_markets_own(sessions: int) -> None:
    """What a trigger reads and what a penalty reads are one figure."""
    closes, index, data = market(sessions, sessions=sessions)
    theirs = facts(data)
    assert volatility_zscore(index) == pytest.approx(theirs["volatility_zscore"].iloc[-1])
    returns = np.diff(np.log(closes), axis=0)
    assert average_correlation(returns) == pytest.approx(theirs["correlation"].iloc[-1])
    mine = correlation_facts(theirs["correlation"])
    assert mine.now == theirs["correlation"].iloc[-1]
    assert mine.before == theirs["correlation"].iloc[-21]
    assert mine.floor == pytest.approx(theirs["correlation_floor"].iloc[-1], nan_ok=True)


def test_volatility_is_unknown_without_history_movement_or_a_level() -> None:
    _, index, _ = market(0, sessions=300)
    levels = index.to_numpy(copy=True)
    assert math.isfinite(volatility_zscore(levels[:81]))
    assert math.isnan(volatility_zscore(levels[:80]))
    assert math.isnan(volatility_zscore([]))
    assert math.isnan(volatility_zscore(np.full(300, 100.0)))
    levels[-5] = np.nan
    assert math.isnan(volatility_zscore(levels))


def test_correlation_by_hand_and_its_gaps() -> None:
    rng = np.random.default_rng(3)
    line = rng.normal(0, 0.01, 20)
    assert average_correlation(np.column_stack([line, line, -line])) == pytest.approx(-1 / 3)
    assert average_correlation(np.column_stack([line, 2 * line])) == pytest.approx(1.0)
    gap = line.copy()
    gap[4] = np.nan
    still = np.zeros(20)
    assert average_correlation(np.column_stack([line, line, gap, still])) == pytest.approx(1.0)
    for short in (np.column_stack([line, gap, still]), np.empty((20, 0)), np.ones((19, 3))):
        assert math.isnan(average_correlation(short))


@given(st.integers(0, 2**32 - 1))
def test_correlation_equals_the_rolling_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.01, (25, 5)) + rng.normal(0, 0.01, (25, 1))
    returns[rng.random(returns.shape) < 0.02] = np.nan
    expected = rolling_correlation(returns, 20)[-1]
    assert average_correlation(returns) == pytest.approx(expected, nan_ok=True)


def test_the_correlations_history_needs_sixty_before_and_twenty_back() -> None:
    line = np.linspace(0.1, 0.5, 100)
    found = correlation_facts(line[:61])
    assert (found.now, found.before) == (line[60], line[40])
    assert found.floor == pytest.approx(np.quantile(line[:60], 0.05))
    assert math.isnan(correlation_facts(line[:60]).floor)
    assert math.isnan(correlation_facts(line[:20]).before)
    assert math.isnan(correlation_facts([]).now)


def test_a_five_day_drawdown_looks_at_six_closes() -> None:
    assert drawdown_5d([100, 99, 98, 97, 96, 91]) == pytest.approx(0.09)
    assert drawdown_5d([200, 100, 99, 98, 97, 96, 91]) == pytest.approx(0.09)
    assert drawdown_5d([100, 90, 100, 101, 102, 103]) == pytest.approx(0.10)
    assert drawdown_5d([100, 120, 108]) == pytest.approx(0.10)
    assert drawdown_5d([100]) == drawdown_5d([1, 2, 3]) == 0.0
    for unknown in ([], [100, math.nan, 90], [0, 1, 2], [-5, 1]):
        assert math.isnan(drawdown_5d(unknown))


def test_the_fall_of_a_small_book_is_measured_on_what_it_held() -> None:
    """D43: 0.9 % of equity, and yet 9 % of what was exposed."""
    equity, gross = [1000, 1000, 998, 996, 994, 991], [100, 100, 90, 80, 60, 0]
    assert drawdown_5d(equity) == pytest.approx(0.009)
    assert gross_drawdown_5d(equity, gross) == pytest.approx(0.09)
    assert gross_drawdown_5d(equity, [-g for g in gross]) == pytest.approx(0.09)
    assert gross_drawdown_5d([1000, 1001], [0, 0]) == 0.0
    assert math.isnan(gross_drawdown_5d([1000, 999], [0, 0]))
    assert math.isnan(gross_drawdown_5d([], []))
    assert math.isnan(gross_drawdown_5d([1000, 999], [100, math.nan]))
    with pytest.raises(ValueError, match="one length"):
        gross_drawdown_5d([1, 2], [1])


@given(st.lists(st.floats(50, 150), min_size=1, max_size=12), st.floats(1, 5))
def test_gross_and_equity_drawdowns_agree_where_all_is_invested(
    equity: list[float], leverage: float
) -> None:
    whole = drawdown_5d(equity)
    assert 0.0 <= whole < 1.0
    flat = gross_drawdown_5d(equity, [leverage * max(equity[-6:])] * len(equity))
    assert flat <= whole / leverage + 1e-12


def test_accuracy_counts_the_last_hundred_that_said_something() -> None:
    p, y = [0.9] * 40 + [0.6] * 60 + [0.4] * 40, [0.0] * 40 + [1.0] * 100
    assert ensemble_accuracy(p, y) == 0.6
    assert ensemble_accuracy([*p, 0.5, math.nan, 0.9], [*y, 0.0, 0.0, math.nan]) == 0.6
    assert math.isnan(ensemble_accuracy(p[:99], y[:99]))
    with pytest.raises(ValueError, match="one length"):
        ensemble_accuracy([0.5], [])


def line_of(seed: int, mean: float, n: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(5, n) * 0.01 + mean


@given(st.integers(0, 2**32 - 1), st.floats(-0.003, 0.003), st.floats(0.0, 3.0))
def test_the_p_value_is_that_of_the_probabilistic_sharpe_ratio(
    seed: int, mean: float, validated: float
) -> None:
    returns = line_of(seed, mean)
    found = sharpe_fact(returns, validated=validated)
    skew, kurtosis = moments(returns)
    root = math.sqrt(252)
    expected = psr(sharpe(returns) / root, validated / root, n=60, skew=skew, kurtosis=kurtosis)
    assert found.p == pytest.approx(expected) and found.sharpe == sharpe(returns)
    known = sharpe_fact(returns, validated=validated, validated_sessions=500)
    assert abs(known.p - 0.5) <= abs(found.p - 0.5)


def test_a_validated_ratio_of_its_own_sample_widens_the_error_by_hand() -> None:
    returns = line_of(1, 0.0)
    one, other, n, m = sharpe(returns) / math.sqrt(252), 2.0 / math.sqrt(252), 60, 500
    skew = stats.skew(returns)
    kurtosis = stats.kurtosis(returns, fisher=False)
    variance = (1 - skew * one + (kurtosis - 1) / 4 * one**2) / (n - 1)
    variance += (1 + other**2 / 2) / (m - 1)
    p = stats.norm.cdf((one - other) / math.sqrt(variance))
    assert sharpe_fact(returns, validated=2.0, validated_sessions=m).p == pytest.approx(p)
    with pytest.raises(ValueError, match="at least 2"):
        sharpe_fact(returns, validated=2.0, validated_sessions=1)


def test_only_the_last_sixty_and_only_after_a_gap() -> None:
    returns = line_of(2, 0.0, 100)
    whole = sharpe_fact(returns, validated=1.0)
    assert (whole.sessions, whole) == (60, sharpe_fact(returns[-60:], validated=1.0))
    returns[70] = np.nan
    after = sharpe_fact(returns, validated=1.0)
    assert (after.sessions, after) == (29, sharpe_fact(returns[71:], validated=1.0))


def test_a_ratio_that_cannot_be_told_is_unknown() -> None:
    for returns in ([], [0.01], [0.01] * 60):
        found = sharpe_fact(returns, validated=1.0)
        assert math.isnan(found.sharpe) and math.isnan(found.p)
        assert found.sessions == len(returns)
    assert math.isnan(sharpe_fact(line_of(3, 0.0), validated=math.nan).p)


def test_the_p_value_holds_its_level_and_a_bar_alone_would_not() -> None:
    """D42: at a true 1.5 a third of all 60-session ratios lie below 0.6; p < 0.05 in one of 20."""
    rng = np.random.default_rng(4)
    mean = 1.5 / math.sqrt(252)
    found = [sharpe_fact(rng.normal(mean, 1, 60), validated=1.5) for _ in range(4000)]
    low = np.mean([f.sharpe < 0.6 for f in found])
    fired = np.mean([f.sharpe < 0.6 and f.p < 0.05 for f in found])
    assert low == pytest.approx(0.33, abs=0.02)
    assert fired == pytest.approx(0.05, abs=0.015)


def test_tables_are_refused_where_a_line_is_meant() -> None:
    for figure in (volatility_zscore, correlation_facts, drawdown_5d):
        with pytest.raises(ValueError, match="one row"):
            figure(np.ones((3, 2)))
