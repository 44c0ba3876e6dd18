"""Features: known answers, exact warm-ups, and nothing from the future."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Basis
from hybridnb.market.features import (
    FEATURES,
    INPUTS,
    SPECS,
    WARM_UP,
    FeatureSpec,
    feature_set_id,
    features,
)
from hybridnb.ports import BAR_COLUMNS, MarketData

PRICES = ["open", "high", "low", "close"]
COLUMNS = [*FEATURES, *INPUTS]
VOLUME = [spec.name for spec in SPECS if spec.needs_volume]


def market(
    sessions: int, *, symbols: Sequence[str] = ("AA",), seed: int = 0, basis: Basis = Basis.OHLCV
) -> MarketData:
    """A random walk a symbol, on weekdays."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2001-01-01", periods=sessions)
    frames = []
    for symbol in sorted(symbols):
        close = 40.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, sessions)))
        open_ = close * np.exp(rng.normal(0.0, 0.01, sessions))
        high = np.maximum(open_, close) * (1.0 + rng.uniform(0.0, 0.02, sessions))
        low = np.minimum(open_, close) * (1.0 - rng.uniform(0.0, 0.02, sessions))
        volume = rng.integers(1_000, 90_000, sessions).astype(np.float64)
        if basis is Basis.CLOSE:
            open_ = high = low = close
            volume = np.full(sessions, np.nan)
        values = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
        frames.append(pd.DataFrame({"symbol": symbol, "session": days} | values))
    return of_bars(pd.concat(frames, ignore_index=True), basis=basis)


def of_bars(bars: pd.DataFrame, *, basis: Basis = Basis.OHLCV) -> MarketData:
    return MarketData(
        feed="test",
        calendar="XNYS",
        currency="USD",
        basis=basis,
        bars=bars[list(BAR_COLUMNS)],
        index=bars.groupby("session")["close"].mean(),
        instruments={},
        digest="",
        source="test",
    )


def of_closes(closes: Sequence[float], volume: Sequence[float] | None = None) -> MarketData:
    days = pd.bdate_range("2001-01-01", periods=len(closes))
    bars = pd.DataFrame({"symbol": "AA", "session": days} | dict.fromkeys(PRICES, closes))
    return of_bars(bars.assign(volume=1_000.0 if volume is None else list(volume)))


def changed(given_market: MarketData, **columns: object) -> MarketData:
    return replace(given_market, bars=given_market.bars.assign(**columns))


# Known answers


def test_wilders_average_true_range_by_hand() -> None:
    """Ranges 3 and 4 start it at 3.5; then 3.5 + (5 − 3.5)/2 and 4.25 + (2 − 4.25)/2."""
    days = pd.bdate_range("2001-01-01", periods=5)
    rows = pd.DataFrame(
        {
            "symbol": "AA",
            "session": days,
            "open": [10.0, 11.0, 12.0, 13.0, 15.0],
            "high": [11.0, 13.0, 14.0, 16.0, 16.0],  # less the low or the close before:
            "low": [9.0, 11.0, 10.0, 13.0, 14.0],  # 13 − 10, 14 − 10, 16 − 11, 16 − 14
            "close": [10.0, 12.0, 11.0, 15.0, 15.0],
            "volume": 100.0,
        }
    )
    found = features(of_bars(rows), atr_period=2)["atr"].to_numpy()
    np.testing.assert_array_equal(found, [np.nan, np.nan, 3.5, 4.25, 3.125])


def test_a_gap_over_night_is_part_of_the_true_range() -> None:
    days = pd.bdate_range("2001-01-01", periods=3)
    rows = pd.DataFrame({"symbol": "AA", "session": days, "volume": 1.0})
    prices = [10.0, 20.0, 5.0]  # bars without a range of their own, 10 up and 15 down
    found = features(of_bars(rows.assign(**dict.fromkeys(PRICES, prices))), atr_period=2)
    assert found["atr"].iloc[2] == 12.5


def test_closes_alone_have_the_average_of_absolute_changes() -> None:
    closes = [10.0, 12.0, 11.0, 15.0, 15.0]  # changes 2, 1, 4, 0
    given_market = replace(of_closes(closes), basis=Basis.CLOSE)
    found = features(given_market, atr_period=2)["atr"].to_numpy()
    np.testing.assert_array_equal(found, [np.nan, np.nan, 1.5, 2.75, 1.375])


def test_closes_alone_ignore_what_stands_in_the_other_columns() -> None:
    given_market = market(80, basis=Basis.CLOSE)
    wide = changed(given_market, high=given_market.bars["high"] * 1.5)
    names = ["atr", "atr_share"]
    pd.testing.assert_frame_equal(
        features(wide, atr_period=14)[names], features(given_market, atr_period=14)[names]
    )


def wilder(values: np.ndarray, n: int) -> np.ndarray:
    """Wilder's average in its textbook form: (n − 1 times the one before + the new) / n."""
    out = np.full(len(values), np.nan)
    out[n] = values[1 : n + 1].mean()
    for i in range(n + 1, len(values)):
        out[i] = ((n - 1) * out[i - 1] + values[i]) / n
    return out


def test_rsi_is_100_minus_100_over_1_plus_the_ratio_of_gains_to_losses() -> None:
    given_market = market(300, seed=3)
    close = given_market.bars["close"].to_numpy()
    move = np.diff(close, prepend=np.nan)
    gain, loss = wilder(np.maximum(move, 0.0), 14), wilder(np.maximum(-move, 0.0), 14)
    expected = (100.0 - 100.0 / (1.0 + gain / loss)) / 50.0 - 1.0
    found = features(given_market, atr_period=14)["rsi_14"].to_numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_adx_is_the_average_of_the_directional_index() -> None:
    """Wilder 1978: sums that lose 1/14 a session, then their index averaged the same way."""
    given_market = market(200, seed=4)
    high, low, close = (given_market.bars[n].to_numpy() for n in ("high", "low", "close"))
    up, down = np.diff(high, prepend=np.nan), -np.diff(low, prepend=np.nan)
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)
    before = np.roll(close, 1)
    ranges = np.maximum(high, before) - np.minimum(low, before)
    sums = [float(v[1:14].sum()) for v in (plus, minus, ranges)]
    index = np.full(200, np.nan)
    for i in range(14, 200):
        sums = [s - s / 14 + v[i] for s, v in zip(sums, (plus, minus, ranges), strict=True)]
        index[i] = 100.0 * abs(sums[0] - sums[1]) / (sums[0] + sums[1])
    expected = np.full(200, np.nan)
    expected[27] = index[14:28].mean()
    for i in range(28, 200):
        expected[i] = (13 * expected[i - 1] + index[i]) / 14
    found = features(given_market, atr_period=14)
    np.testing.assert_allclose(found["adx14"], expected, rtol=1e-9)
    np.testing.assert_allclose(found["adx_14"], expected / 100.0, rtol=1e-9)


def exponential(values: np.ndarray, n: int, *, first: int) -> np.ndarray:
    """Exponential average of n that starts, at `first`, with the mean of the n before."""
    out = np.full(len(values), np.nan)
    out[first] = values[first - n + 1 : first + 1].mean()
    for i in range(first + 1, len(values)):
        out[i] = out[i - 1] + (values[i] - out[i - 1]) * 2.0 / (n + 1)
    return out


def test_macd_is_the_difference_of_two_exponential_averages_over_the_price() -> None:
    given_market = market(200, seed=5)
    close = given_market.bars["close"].to_numpy()
    line = exponential(close, 12, first=25) - exponential(close, 26, first=25)
    signal = exponential(line, 9, first=33)
    found = features(given_market, atr_period=14)
    expected = np.where(np.isnan(signal), np.nan, line / close)
    np.testing.assert_allclose(found["macd"], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["macd_signal"], (line - signal) / close, rtol=0, atol=1e-12)


def test_returns_and_momentum_of_a_steady_rise() -> None:
    given_market = of_closes([100.0 * 1.01**i for i in range(80)])
    found = features(given_market, atr_period=14).iloc[-1]
    for name, sessions in (
        ("return_1", 1),
        ("return_5", 5),
        ("return_20", 20),
        ("momentum_60", 60),
    ):
        assert found[name] == pytest.approx(sessions * np.log(1.01), rel=1e-12)
    assert found["rsi_14"] == 1.0
    assert found["range_50"] == 0.5
    assert found["volatility_20"] == pytest.approx(0.0, abs=1e-12)


def test_volatility_is_the_deviation_of_twenty_log_returns() -> None:
    """Ten rises and ten falls of 1 %: squares sum to 20 × 0.01², over 19."""
    logs = np.concatenate([[0.0], np.cumsum([0.01, -0.01] * 10)])
    found = features(of_closes(list(50.0 * np.exp(logs))), atr_period=14).iloc[20]
    daily = 0.01 * np.sqrt(20 / 19)
    assert found["daily_volatility"] == pytest.approx(daily, rel=1e-9)
    assert found["annual_volatility"] == pytest.approx(daily * np.sqrt(252), rel=1e-9)
    assert found["volatility_20"] == found["annual_volatility"]


def test_traded_value_by_hand() -> None:
    """Values 10, 20 … 210 at a price of 10: the last twenty have mean and median 115."""
    found = features(of_closes([10.0] * 21, [1.0 + i for i in range(21)]), atr_period=14)
    assert found["adv"].tolist()[19:] == [105.0, 115.0]
    assert found["median_value"].tolist()[19:] == [105.0, 115.0]
    assert found["value_trend"].iloc[20] == pytest.approx(np.log(190.0 / 115.0), rel=1e-12)
    logs = np.log1p(np.arange(2.0, 22.0))
    expected = (logs[-1] - logs.mean()) / logs.std(ddof=1)
    assert found["volume_z"].iloc[20] == pytest.approx(expected, rel=1e-12)


def test_the_median_is_not_the_mean() -> None:
    found = features(of_closes([10.0] * 20, [1.0] * 19 + [1_000_001.0]), atr_period=14).iloc[-1]
    assert found["median_value"] == 10.0
    assert found["adv"] == 500_010.0


def test_the_place_in_the_range_of_fifty_sessions() -> None:
    closes = [20.0] + [12.0] * 48 + [14.0, 14.0]  # the 20 leaves after 50 sessions
    found = features(of_closes(closes), atr_period=14)["range_50"]
    assert found.iloc[49] == pytest.approx((14.0 - 12.0) / 8.0 - 0.5)  # from 12 to 20, at 14
    assert found.iloc[50] == 0.5  # from 12 to 14, at 14


def test_ranks_go_from_minus_a_half_to_a_half() -> None:
    given_market = market(40, symbols=("AA", "BB", "CC"), seed=6)
    found = features(given_market, atr_period=14)
    last = found[found["session"] == found["session"].max()]
    for source, rank in (("return_5", "rank_5"), ("return_20", "rank_20")):
        assert last.sort_values(source)[rank].tolist() == [-0.5, 0.0, 0.5]


def test_names_that_moved_alike_share_a_rank_and_one_alone_has_none() -> None:
    twins = market(40, seed=7).bars
    bars = pd.concat([twins, twins.assign(symbol="BB")], ignore_index=True)
    both = features(of_bars(bars), atr_period=14)
    assert both["rank_5"].dropna().eq(0.0).all()
    alone = features(of_bars(twins), atr_period=14)
    assert alone["rank_5"].iloc[5:].eq(0.0).all()


# Shape, warm-up, missing volume


def test_rows_are_those_of_the_bars_in_their_order() -> None:
    given_market = market(70, symbols=("AA", "BB", "CC"))
    found = features(given_market, atr_period=14)
    assert list(found.columns) == ["symbol", "session", *FEATURES, *INPUTS]
    pd.testing.assert_frame_equal(
        found[["symbol", "session"]], given_market.bars[["symbol", "session"]]
    )
    assert (found[COLUMNS].dtypes == np.float64).all()


@pytest.mark.parametrize("basis", list(Basis))
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_feature_starts_exactly_when_it_is_declared_to(spec: FeatureSpec, basis: Basis) -> None:
    found = features(market(120, symbols=("AA", "BB"), basis=basis), atr_period=14)
    starts = 0 if basis is Basis.CLOSE and spec.needs_volume else spec.warm_up
    for _, rows in found.groupby("symbol"):
        known = rows[spec.name].notna().to_numpy()
        assert not known[:starts].any()
        assert known[starts:].all()


def test_the_warm_up_is_the_longest_and_holds_for_any_period_of_the_stops() -> None:
    assert max(spec.warm_up for spec in SPECS) == WARM_UP == 60
    given_market = market(150)
    short, long = (features(given_market, atr_period=n) for n in (14, 100))
    pd.testing.assert_frame_equal(short[list(FEATURES)], long[list(FEATURES)])
    assert long["atr"].first_valid_index() == 100


@pytest.mark.parametrize("sessions", [1, 2, 6, 14, 15, 20, 21, 27, 34, 50, 61])
def test_a_history_shorter_than_a_warm_up_is_unknown_and_no_error(sessions: int) -> None:
    found = features(market(sessions), atr_period=14)
    for spec in SPECS:
        assert found[spec.name].notna().sum() == max(0, sessions - spec.warm_up), spec.name


def test_without_volume_its_features_are_zero_and_traded_values_unknown() -> None:
    found = features(market(80, basis=Basis.CLOSE), atr_period=14)
    assert VOLUME == ["volume_z", "value_trend"]
    assert (found[VOLUME] == 0.0).all(axis=None)
    assert found[["adv", "median_value"]].isna().all(axis=None)


def test_volume_moves_only_what_is_declared_to_need_it() -> None:
    given_market = market(100)
    volume = given_market.bars["volume"].to_numpy()[::-1]
    found, other = (
        features(m, atr_period=14) for m in (given_market, changed(given_market, volume=volume))
    )
    differ = {name for name in COLUMNS if not found[name].equals(other[name])}
    assert differ == {*VOLUME, "adv", "median_value"}


def test_a_name_that_never_moved_is_neither_high_nor_low() -> None:
    found = features(of_closes([10.0] * 80, [0.0] * 80), atr_period=14).iloc[-1]
    assert (found[list(FEATURES)] == 0.0).all()
    assert found["atr"] == found["adv"] == found["annual_volatility"] == 0.0


def test_rsi_after_a_first_fall_is_at_its_lowest() -> None:
    found = features(of_closes([10.0] * 30 + [9.0] * 30), atr_period=14)["rsi_14"]
    assert found.iloc[29] == 0.0
    assert found.iloc[30] == found.iloc[59] == -1.0


# Properties


def cut(given_market: MarketData, last: pd.Timestamp) -> MarketData:
    bars = given_market.bars
    return replace(given_market, bars=bars[bars["session"] <= last].reset_index(drop=True))


def assert_knows_nothing_later(given_market: MarketData, whole: pd.DataFrame, at: int) -> None:
    """The last row of the history cut at a session is the row of the whole history, bit by bit.

    To the last bit, because every recursion runs forward from the first bar and every window is
    reduced on its own, so that no sum is carried from one window to the next.
    """
    session = pd.Timestamp(sorted(whole["session"].unique())[at])
    found = features(cut(given_market, session), atr_period=14)
    pd.testing.assert_frame_equal(
        found[found["session"] == session].reset_index(drop=True),
        whole[whole["session"] == session].reset_index(drop=True),
        check_exact=True,
    )


@pytest.mark.parametrize("basis", list(Basis))
def test_the_value_at_a_session_is_the_one_known_then_at_65_cuts(basis: Basis) -> None:
    given_market = market(130, symbols=("AA", "BB", "CC"), seed=8, basis=basis)
    whole = features(given_market, atr_period=14)
    for at in range(basis is Basis.CLOSE, 130, 2):
        assert_knows_nothing_later(given_market, whole, at)


@given(
    seed=st.integers(0, 2**32 - 1),
    sessions=st.integers(2, 160),
    names=st.integers(1, 4),
    share=st.floats(0, 1),
)
def test_the_value_at_a_session_is_the_one_known_then(
    seed: int, sessions: int, names: int, share: float
) -> None:
    """Also with names that come and go: every fifth bar is missing."""
    full = market(sessions, symbols=tuple("ABCD"[:names]), seed=seed)
    kept = np.random.default_rng(seed).uniform(size=len(full.bars)) > 0.2
    kept[0] = True
    given_market = replace(full, bars=full.bars[kept].reset_index(drop=True))
    whole = features(given_market, atr_period=14)
    count = whole["session"].nunique()
    assert_knows_nothing_later(given_market, whole, int(share * (count - 1)))


@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(["AA", "BB", "CC", "DD"]))
def test_other_names_for_the_same_bars_change_nothing(seed: int, order: list[str]) -> None:
    given_market = market(90, symbols=("AA", "BB", "CC", "DD"), seed=seed)
    names = dict(zip(["AA", "BB", "CC", "DD"], order, strict=True))
    bars = given_market.bars.assign(symbol=given_market.bars["symbol"].map(names))
    renamed = bars.sort_values(["symbol", "session"], ignore_index=True)
    expected = features(given_market, atr_period=14)
    expected = expected.assign(symbol=expected["symbol"].map(names))
    pd.testing.assert_frame_equal(
        features(of_bars(renamed), atr_period=14),
        expected.sort_values(["symbol", "session"], ignore_index=True),
        check_exact=True,
    )


@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([0.001, 0.1, 7.3, 10.0, 5_000.0]))
def test_the_scale_of_prices_is_no_feature(seed: int, factor: float) -> None:
    given_market = market(100, symbols=("AA", "BB"), seed=seed)
    scaled = changed(given_market, **{n: given_market.bars[n] * factor for n in PRICES})
    found, other = (features(m, atr_period=14) for m in (given_market, scaled))
    names = [*FEATURES, "annual_volatility", "daily_volatility", "adx14"]
    np.testing.assert_allclose(other[names], found[names], rtol=1e-7, atol=1e-9)
    money = ["close", "atr", "adv", "median_value"]
    np.testing.assert_allclose(other[money], found[money] * factor, rtol=1e-9)


@given(seed=st.integers(0, 2**32 - 1))
def test_bounded_features_keep_their_bounds(seed: int) -> None:
    found = features(market(120, symbols=("AA", "BB", "CC"), seed=seed), atr_period=14)
    for name, low, high in (
        ("rsi_14", -1.0, 1.0),
        ("adx_14", 0.0, 1.0),
        ("range_50", -0.5, 0.5),
        ("rank_5", -0.5, 0.5),
        ("rank_20", -0.5, 0.5),
        ("atr_share", 0.0, np.inf),
        ("volatility_20", 0.0, np.inf),
    ):
        assert found[name].dropna().between(low, high).all(), name


# Identity


def test_the_identity_follows_every_part_of_a_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    first = feature_set_id()
    assert re.fullmatch(r"[0-9a-f]{16}", first)
    assert feature_set_id() == first
    seen = {first}
    for change in ({"version": 9}, {"warm_up": 2}, {"needs_volume": True}, {"name": "other"}):
        specs = (replace(SPECS[0], **change), *SPECS[1:])
        monkeypatch.setattr("hybridnb.market.features.SPECS", specs)
        seen.add(feature_set_id())
    assert len(seen) == 5
