"""Each quality check fires on its planted fault, on nothing else, and has the stated effect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Basis
from hybridnb.errors import InputError
from hybridnb.market.contracts import check_bars
from hybridnb.market.quality import Assessment, assess
from hybridnb.ports import MarketData

Bars = Callable[..., pd.DataFrame]
Load = Callable[..., MarketData]

MANY = tuple(f"N{i:02d}.TO" for i in range(25))  # one of 25 names is under 5 % of them
VICTIM = "N03.TO"
PRICES = ["open", "high", "low", "close"]


@pytest.fixture(scope="module")
def calm(bars_of: Bars) -> pd.DataFrame:
    """60 calm sessions of 25 names, clean."""
    return check_bars(bars_of(*MANY), file="f", calendar="XTSE").bars


@pytest.fixture
def bars(calm: pd.DataFrame) -> pd.DataFrame:
    """The same, to be broken."""
    return calm.copy()


def assessed(bars: pd.DataFrame, **given: object) -> Assessment:
    asked: dict[str, object] = {"calendar": "XTSE", "basis": Basis.OHLCV}
    return assess(bars.reset_index(drop=True), **(asked | given))  # type: ignore[arg-type]


def found(bars: pd.DataFrame) -> list[tuple[str, str, str]]:
    return [(f.check, f.severity, f.symbol) for f in assessed(bars).findings]


def rows_of(bars: pd.DataFrame, symbol: str = VICTIM) -> pd.Index:
    return bars.index[bars["symbol"] == symbol]


def without(bars: pd.DataFrame, *places: int, symbol: str = VICTIM) -> pd.DataFrame:
    return bars.drop(rows_of(bars, symbol)[list(places)])


def test_calm_bars_have_no_finding(bars: pd.DataFrame) -> None:
    result = assessed(bars)
    assert result.findings == ()
    assert result.excluded == {}


def test_missing_sessions_take_a_symbol_out(bars: pd.DataFrame) -> None:
    assert found(without(bars, 10, 20, 30)) == []  # exactly 5 %
    result = assessed(without(bars, 10, 20, 30, 40))
    assert [(f.check, f.severity) for f in result.findings] == [("completeness", "error")]
    assert list(result.excluded) == [VICTIM]
    assert "6.7% of 60 sessions have no bar" in result.excluded[VICTIM]


def test_a_fifth_missing_refuses_the_data(bars: pd.DataFrame) -> None:
    assert list(assessed(without(bars, *range(10, 34, 2))).excluded) == [VICTIM]  # exactly 20 %
    with pytest.raises(InputError) as caught:
        assessed(without(bars, *range(10, 36, 2)))
    (breach,) = caught.value.breaches
    assert breach.rule == "completeness"
    assert VICTIM in breach.detail


def test_errors_on_more_than_a_twentieth_of_the_symbols_refuse_the_data(bars: pd.DataFrame) -> None:
    two = without(bars, 10, 20, 30, 40)
    two = without(two, 10, 20, 30, 40, symbol="N07.TO")
    with pytest.raises(InputError) as caught:
        assessed(two)
    assert {b.rule for b in caught.value.breaches} == {"completeness"}
    assert len(caught.value.breaches) == 2
    twenty = bars[bars["symbol"].isin(MANY[:20])]
    assert list(assessed(without(twenty, 10, 20, 30, 40)).excluded) == [VICTIM]  # exactly 5 %


def test_a_gap_is_counted_in_sessions(bars_of: Bars) -> None:
    long = check_bars(bars_of(*MANY, sessions=200), file="f", calendar="XTSE").bars
    assert found(without(long, *range(50, 55))) == []
    result = assessed(without(long, *range(50, 56)))
    (gap,) = result.findings
    assert (gap.check, gap.severity, gap.symbol) == ("gap", "warning", VICTIM)
    assert gap.session == f"{long.loc[rows_of(long)[56], 'session']:%Y-%m-%d}"
    assert "6 sessions in a row" in gap.detail
    assert result.excluded == {}


def test_a_large_move_that_stays_is_a_warning(bars: pd.DataFrame) -> None:
    at = rows_of(bars)[30:]
    bars.loc[at, PRICES] *= 1.25
    result = assessed(bars)
    (move,) = result.findings
    assert (move.check, move.severity, move.symbol) == ("price move", "warning", VICTIM)
    assert move.session == f"{bars.loc[at[0], 'session']:%Y-%m-%d}"
    assert result.excluded == {}


def test_a_move_under_a_tenth_is_none(bars: pd.DataFrame) -> None:
    bars.loc[rows_of(bars)[30:], PRICES] *= 1.07
    assert found(bars) == []


def test_a_move_that_the_next_bar_takes_back_is_a_bad_tick(bars: pd.DataFrame) -> None:
    at = rows_of(bars)[20]
    bars.loc[at, PRICES] *= 1.4
    result = assessed(bars)
    assert [(f.check, f.severity) for f in result.findings] == [("bad tick", "error")]
    assert list(result.excluded) == [VICTIM]
    with pytest.raises(InputError) as caught:
        assessed(bars, jumps_refuse=True, locate=lambda i: ("theirs.csv", i + 2))
    (breach,) = caught.value.breaches
    assert (breach.file, breach.row, breach.rule) == ("theirs.csv", at + 2, "bad tick")


@pytest.mark.parametrize(
    ("factor", "ratio"),
    [
        (1 / 1.5, "3:2"),
        (1 / 2, "2:1"),
        (1 / 3, "3:1"),
        (1 / 4, "4:1"),
        (1 / 20, "20:1"),
        (2.0, "1:2"),
        (10.0, "1:10"),
    ],
)
def test_a_jump_of_a_split_s_size_is_named(bars: pd.DataFrame, factor: float, ratio: str) -> None:
    at = rows_of(bars)[30:]
    bars.loc[at, PRICES] *= factor
    result = assessed(bars)
    (split,) = result.findings
    assert (split.check, split.severity, split.symbol) == ("split", "error", VICTIM)
    assert f"{ratio} not adjusted" in split.detail
    assert list(result.excluded) == [VICTIM]
    with pytest.raises(InputError) as caught:
        assessed(bars, jumps_refuse=True, locate=lambda i: ("theirs.csv", i + 2))
    (breach,) = caught.value.breaches
    assert (breach.row, breach.rule) == (at[0] + 2, "split")


def test_a_fall_by_half_during_the_day_is_no_split(bars: pd.DataFrame) -> None:
    """A split takes effect before the open; this one opened where it had closed."""
    rows = rows_of(bars)
    bars.loc[rows[30:], PRICES] *= 0.5
    before = bars.loc[rows[29], "close"]
    bars.loc[rows[30], ["open", "high"]] = before
    assert found(bars) == [("price move", "warning", VICTIM)]


def test_volume_far_above_its_median_is_a_warning(bars: pd.DataFrame) -> None:
    rows = rows_of(bars)
    median = bars.loc[rows, "volume"].median()
    bars.loc[rows[30], "volume"] = 99 * median
    assert found(bars) == []
    bars.loc[rows[30], "volume"] = 102 * median
    result = assessed(bars)
    assert [(f.check, f.severity) for f in result.findings] == [("volume", "warning")]
    assert result.excluded == {}


def test_bars_without_trades_don_t_lower_the_median(bars: pd.DataFrame) -> None:
    bars.loc[rows_of(bars)[::2], "volume"] = 0.0
    assert found(bars) == []


def test_prices_out_of_order_refuse_the_data(bars: pd.DataFrame) -> None:
    bars.loc[rows_of(bars)[30], "high"] *= 0.9
    with pytest.raises(InputError) as caught:
        assessed(bars)
    assert [b.rule for b in caught.value.breaches] == ["ohlc"]


def test_few_symbols_in_the_last_session_refuse_the_data(bars: pd.DataFrame) -> None:
    assert found(without(bars, 59)) == []  # 24 of 25 are 96 %
    with pytest.raises(InputError) as caught:
        assessed(without(without(bars, 59), 59, symbol="N07.TO"))
    (breach,) = caught.value.breaches
    assert breach.rule == "coverage"
    assert "23 of 25 symbols" in breach.detail


def test_a_name_that_ended_long_ago_is_said_and_not_counted(bars: pd.DataFrame) -> None:
    ended = without(bars, *range(35, 60))
    assert found(ended) == [("ended", "warning", VICTIM)]


def test_apple_s_fall_in_the_sample_is_a_move_and_no_split(load: Load) -> None:
    market = load("sample")
    fall = [f for f in market.findings if (f.symbol, f.session) == ("AAPL", "2000-09-29")]
    assert [f.check for f in fall] == ["price move"]
    assert "-51.9%" in fall[0].detail
    assert not [f for f in market.findings if f.severity != "warning"]
    assert market.excluded == {}


@given(
    place=st.integers(12, 47),
    ratio=st.sampled_from([1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0]),
    reverse=st.booleans(),
    symbol=st.sampled_from(MANY),
)
def test_no_split_hides(
    calm: pd.DataFrame, place: int, ratio: float, reverse: bool, symbol: str
) -> None:
    bars = calm.copy()
    rows = rows_of(bars, symbol)
    bars.loc[rows[place:], PRICES] *= ratio if reverse else 1 / ratio
    (finding,) = assessed(bars).findings
    assert (finding.check, finding.symbol) == ("split", symbol)
    assert finding.session == f"{bars.loc[rows[place], 'session']:%Y-%m-%d}"


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-2, 1e3))
def test_ordinary_moves_are_never_an_error(seed: int, scale: float) -> None:
    """A random walk with fat tails, in any currency: what fires is a warning at most."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2023-01-03", periods=40)
    close = scale * np.exp(np.cumsum(0.012 * rng.standard_t(5, 40)))
    frame = pd.DataFrame({"symbol": "A", "session": days})
    for name in PRICES:
        frame[name] = close
    frame["volume"] = 1e6
    weekdays = assess(frame, calendar="24/5", basis=Basis.CLOSE)
    assert not [f for f in weekdays.findings if f.severity != "warning"]
