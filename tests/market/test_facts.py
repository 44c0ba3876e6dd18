"""Facts of the market: the identity behind the correlation, regimes, and nothing later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Basis
from hybridnb.market.facts import average_correlation, facts, regimes
from hybridnb.ports import BAR_COLUMNS, MarketData

COLUMNS = [
    "index_return",
    "index_volatility",
    "volatility_zscore",
    "correlation",
    "correlation_floor",
    "correlation_before",
    "trend_strength",
    "regime",
]


def market(
    returns: np.ndarray, *, index: Sequence[float] | None = None, first: str = "2001-01-01"
) -> MarketData:
    """Names whose log returns are the columns of `returns`; the index is their mean's, or given."""
    sessions, names = returns.shape
    days = pd.bdate_range(first, periods=sessions, name="session")
    closes = 50.0 * np.exp(np.cumsum(returns, axis=0))
    bars = pd.concat(
        [
            pd.DataFrame({"symbol": f"S{j:02}", "session": days, "close": closes[:, j]})
            for j in range(names)
        ],
        ignore_index=True,
    )
    prices = dict.fromkeys(("open", "high", "low"), bars["close"])
    level = 100.0 * np.exp(np.cumsum(returns.mean(axis=1))) if index is None else index
    return MarketData(
        feed="test",
        calendar="XNYS",
        currency="USD",
        basis=Basis.CLOSE,
        bars=bars.assign(**prices, volume=np.nan)[list(BAR_COLUMNS)],
        index=pd.Series(level, index=days),
        instruments={},
        digest="",
        source="test",
    )


def noise(sessions: int, names: int, *, seed: int = 0, common: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    together = rng.normal(0.0, 0.01, (sessions, 1))
    return common * together + rng.normal(0.0, 0.01, (sessions, names))


def indexed(moves: Sequence[float]) -> pd.DataFrame:
    """Facts of a market whose index makes these log returns."""
    level = 100.0 * np.exp(np.concatenate([[0.0], np.cumsum(moves)]))
    return facts(market(noise(len(level), 2), index=list(level)))


# Correlation


def pairwise(returns: np.ndarray, i: int) -> float:
    """Mean over all pairs of the plain correlation of the twenty returns that end in row i."""
    table = pd.DataFrame(returns[i - 19 : i + 1]).corr().to_numpy()
    return float(table[np.triu_indices(len(table), k=1)].mean())


@given(
    seed=st.integers(0, 2**32 - 1),
    names=st.integers(2, 12),
    common=st.floats(-2.0, 2.0),
)
def test_the_average_correlation_is_the_mean_over_all_pairs(
    seed: int, names: int, common: float
) -> None:
    returns = noise(60, names, seed=seed, common=common)
    found = average_correlation(returns, 20)
    assert np.isnan(found[:19]).all()
    expected = [pairwise(returns, i) for i in range(19, 60)]
    np.testing.assert_allclose(found[19:], expected, rtol=0, atol=1e-12)


def test_names_that_move_as_one_have_a_correlation_of_one() -> None:
    one = noise(60, 1)
    found = facts(market(np.hstack([one, one, 2.0 * one])))["correlation"]
    np.testing.assert_allclose(found.iloc[20:], 1.0, rtol=0, atol=1e-12)


def test_two_names_that_move_against_each_other_have_minus_one() -> None:
    one = noise(60, 1)
    found = facts(market(np.hstack([one, -one])))["correlation"]
    np.testing.assert_allclose(found.iloc[20:], -1.0, rtol=0, atol=1e-12)


def test_the_correlation_of_one_name_is_unknown() -> None:
    found = facts(market(noise(120, 1)))
    assert found[["correlation", "correlation_floor"]].isna().all(axis=None)


@pytest.mark.parametrize("drift", [0.0, 0.001])
def test_a_name_that_only_drifts_has_no_say_in_the_correlation(drift: float) -> None:
    """A constant return has rounding for a deviation: to divide by it would be noise."""
    returns = noise(60, 3)
    still = np.full((60, 1), drift)
    found = facts(market(np.hstack([returns, still])))["correlation"]
    expected = facts(market(returns))["correlation"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_name_with_a_gap_is_left_out_while_the_gap_is_in_the_window() -> None:
    whole = market(noise(80, 3))
    gone = (whole.bars["symbol"] == "S02") & (whole.bars["session"] == whole.index.index[30])
    gapped = replace(whole, bars=whole.bars[~gone].reset_index(drop=True))
    others = replace(whole, bars=whole.bars[whole.bars["symbol"] != "S02"])
    found = facts(gapped)["correlation"].to_numpy()
    three, two = (facts(m)["correlation"].to_numpy() for m in (whole, others))
    # The gap costs two returns, of sessions 30 and 31; the last window with one ends in row 50.
    expected = np.where((np.arange(80) >= 30) & (np.arange(80) <= 50), two, three)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_the_floor_is_a_quantile_of_the_252_days_before_and_of_no_other() -> None:
    found = facts(market(noise(400, 4)))
    known = found["correlation"].to_numpy()
    for t in (80, 200, 272, 273, 399):
        before = known[max(0, t - 252) : t]
        assert found["correlation_floor"].iloc[t] == pytest.approx(
            np.quantile(before[~np.isnan(before)], 0.05), rel=1e-12
        )


def test_the_correlation_before_is_that_of_twenty_sessions_earlier() -> None:
    found = facts(market(noise(90, 3)))
    now, before = found["correlation"].to_numpy(), found["correlation_before"].to_numpy()
    np.testing.assert_array_equal(before[20:], now[:-20])
    assert np.isnan(before[:40]).all() and np.isfinite(before[40:]).all()


def test_the_floor_excludes_today_so_that_a_break_shows() -> None:
    """Names go together, then one day sets them against each other: below the floor at once."""
    returns = np.tile(noise(150, 1), (1, 4)) + noise(150, 4, seed=1, common=0.0) / 5.0
    calm = facts(market(returns)).iloc[149]
    returns[149] = [0.2, -0.2, 0.2, -0.2]
    broken = facts(market(returns)).iloc[149]
    assert broken["correlation_floor"] == calm["correlation_floor"]
    assert broken["correlation"] < broken["correlation_floor"] < calm["correlation"]


# Volatility and trend


def test_index_figures_by_hand() -> None:
    """Ten rises and ten falls of 1 %: a deviation of 0.01·√(20/19), and no trend."""
    found = indexed([0.01, -0.01] * 10).iloc[20]
    assert found["index_volatility"] == pytest.approx(0.01 * np.sqrt(20 / 19), rel=1e-9)
    assert found["trend_strength"] == pytest.approx(0.0, abs=1e-12)
    assert found["index_return"] == pytest.approx(np.exp(-0.01) - 1.0, rel=1e-9)


def test_the_z_score_is_against_the_252_days_before_and_of_no_other() -> None:
    found = facts(market(noise(400, 2)))
    volatility = found["index_volatility"].to_numpy()
    for t in (80, 200, 272, 273, 399):
        before = volatility[max(0, t - 252) : t]
        before = before[~np.isnan(before)]
        expected = (volatility[t] - before.mean()) / before.std(ddof=1)
        assert found["volatility_zscore"].iloc[t] == pytest.approx(expected, rel=1e-9)


def test_figures_start_when_there_is_enough_to_compare_with() -> None:
    found = facts(market(noise(120, 3)))
    starts = [found[name].notna().argmax() for name in COLUMNS[:-1]]
    assert starts == [1, 20, 80, 20, 80, 40, 20]
    assert found.iloc[80:].notna().all(axis=None)
    assert found["regime"].eq("unknown").tolist() == [True] * 20 + [False] * 100


def test_an_index_that_never_moved_gives_no_score_rather_than_infinity() -> None:
    found = facts(market(noise(130, 2), index=[100.0] * 120 + [101.0] * 10))
    assert np.isnan(found["volatility_zscore"].iloc[120])
    assert not np.isinf(found[COLUMNS[:-1]]).any(axis=None)
    assert found["regime"].iloc[100] == "unknown"


# Regimes


@pytest.mark.parametrize(
    ("volatility", "strength", "regime"),
    [
        (0.0501, 0.9, "crisis"),
        (0.0501, 0.0, "crisis"),
        (0.05, 0.9, "trend"),
        (0.01, 0.7001, "trend"),
        (0.01, 0.7, "breakout"),
        (0.01, 0.4001, "breakout"),
        (0.01, 0.4, "range"),
        (0.01, 0.0, "range"),
        (np.nan, 0.5, "unknown"),
        (0.01, np.nan, "unknown"),
    ],
)
def test_a_bound_belongs_to_the_calmer_regime(
    volatility: float, strength: float, regime: str
) -> None:
    assert regimes(np.array([volatility]), np.array([strength])).tolist() == [regime]


@pytest.mark.parametrize(
    ("moves", "regime"),
    [
        ([0.01] * 18 + [-0.01] * 2, "trend"),  # 16 of 20: 0.8
        ([0.01] * 15 + [-0.01] * 5, "breakout"),  # 10 of 20: 0.5
        ([0.01] * 13 + [-0.01] * 7, "range"),  # 6 of 20: 0.3
        ([-0.01] * 18 + [0.01] * 2, "trend"),  # a fall is a trend as well
        ([0.06, -0.06] * 10, "crisis"),
        ([0.06] * 20, "trend"),  # a steady rise doesn't deviate
    ],
)
def test_the_regime_of_twenty_sessions(moves: list[float], regime: str) -> None:
    assert indexed(moves)["regime"].iloc[20] == regime


# As of


def cut(given_market: MarketData, last: pd.Timestamp) -> MarketData:
    bars, index = given_market.bars, given_market.index
    return replace(
        given_market,
        bars=bars[bars["session"] <= last].reset_index(drop=True),
        index=index[index.index <= last],
    )


def assert_knows_nothing_later(given_market: MarketData, whole: pd.DataFrame, at: int) -> None:
    """To 1e-12: a name listed later is a column more, and sums may run in another order."""
    session = whole.index[at]
    found = facts(cut(given_market, session))
    pd.testing.assert_frame_equal(
        found.iloc[[-1]], whole.iloc[[at]], rtol=1e-12, atol=1e-12, check_freq=False
    )


def test_a_row_uses_sessions_up_to_its_own_at_60_cuts() -> None:
    given_market = market(noise(300, 4))
    whole = facts(given_market)
    for at in range(0, 300, 5):
        assert_knows_nothing_later(given_market, whole, at)


@given(
    seed=st.integers(0, 2**32 - 1),
    sessions=st.integers(2, 300),
    names=st.integers(1, 5),
    share=st.floats(0, 1),
)
def test_a_row_uses_sessions_up_to_its_own(
    seed: int, sessions: int, names: int, share: float
) -> None:
    """Also with names that come and go: every hundredth bar is missing, and S00 starts late."""
    full = market(noise(sessions, names, seed=seed))
    kept = np.random.default_rng(seed).uniform(size=len(full.bars)) > 0.01
    kept[: sessions // 3] = names == 1
    given_market = replace(full, bars=full.bars[kept].reset_index(drop=True))
    whole = facts(given_market)
    if len(whole):
        assert_knows_nothing_later(given_market, whole, int(share * (len(whole) - 1)))


def test_the_order_of_names_changes_nothing() -> None:
    returns = noise(120, 5)
    level = list(100.0 + np.arange(120.0))
    found, other = (facts(market(r, index=level)) for r in (returns, returns[:, ::-1]))
    pd.testing.assert_frame_equal(found, other, rtol=1e-12, atol=1e-12)


def test_there_is_a_row_for_every_session_of_the_bars_and_no_other() -> None:
    given_market = market(noise(100, 3))
    longer = pd.bdate_range(end=given_market.index.index[-1], periods=160)
    level = pd.Series(np.linspace(90.0, 110.0, 160), index=longer)
    found = facts(replace(given_market, index=level))
    assert list(found.columns) == COLUMNS
    assert isinstance(found.index, pd.DatetimeIndex)
    assert found.index.tolist() == sorted(given_market.bars["session"].unique().tolist())


def test_a_session_without_an_index_level_keeps_the_last_one() -> None:
    given_market = market(noise(60, 2))
    holed = given_market.index.drop(given_market.index.index[40])
    found = facts(replace(given_market, index=holed))
    assert found["index_return"].iloc[40] == 0.0
    level = given_market.index
    assert found["index_return"].iloc[41] == pytest.approx(level.iloc[41] / level.iloc[39] - 1.0)
