"""The planted truth is what it says, and the audit finds it: a few seeds here, fifty elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hybridnb.domain import Status
from hybridnb.errors import UsageError
from hybridnb.gates import planted_leaks as planted
from hybridnb.gates.planted_leaks import ALARMS, CENTRED, CLEAN, DILUTED, LATE, NEXT, SCALED
from hybridnb.gates.recompute import KEYS

BARS = planted.synthetic_bars(1, sessions=120)


def column(name: str, wide: planted.Wide, bars: pd.DataFrame = BARS) -> pd.DataFrame:
    return planted.as_function({name: wide}, 1)(bars).pivot(
        index="session", columns="symbol", values=name
    )


CLOSES = BARS.pivot(index="session", columns="symbol", values="close")


def test_synthetic_bars_are_bars() -> None:
    assert len(BARS) == 3 * 120 and not BARS.duplicated(KEYS).any()
    assert (BARS["high"] >= BARS[["open", "close"]].max(axis=1)).all()
    assert (BARS["low"] <= BARS[["open", "close"]].min(axis=1)).all()
    pd.testing.assert_frame_equal(BARS, planted.synthetic_bars(1, sessions=120))
    assert not BARS["close"].equals(planted.synthetic_bars(2, sessions=120)["close"])


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("return_5", lambda c: c / c.shift(5) - 1.0),
        ("lagged_return", lambda c: c.pct_change().shift(3)),
        ("over_average", lambda c: c / c.rolling(20).mean() - 1.0),
        ("volatility", lambda c: c.pct_change().rolling(20).std(ddof=0)),
        ("over_ewm", lambda c: c / c.ewm(span=15, adjust=False).mean() - 1.0),
        (
            "expanding_z",
            lambda c: (c - c.expanding(20).mean()) / c.expanding(20).std(ddof=0),
        ),
        ("rank", lambda c: ((c / c.shift(5)).rank(axis=1) - 1.0) / 2.0),
        ("under_peak", lambda c: c / c.rolling(50).max() - 1.0),
    ],
)
def test_honest_features_are_pandas(name: str, theirs: planted.Wide) -> None:
    ours = column(name, planted.clean_features()[name])
    pd.testing.assert_frame_equal(ours, theirs(CLOSES), check_names=False, check_freq=False)


def test_honest_features_are_a_dozen_and_none_needs_later_rows() -> None:
    assert len(planted.clean_features()) >= 12
    function = planted.as_function(planted.clean_features(), 1)
    whole = function(BARS).set_index(KEYS)
    cut = BARS[BARS["session"] <= CLOSES.index[80]]
    pd.testing.assert_frame_equal(
        function(cut).set_index(KEYS), whole.loc[pd.MultiIndex.from_frame(cut[KEYS])]
    )


@pytest.mark.parametrize("seed", range(6))
def test_every_leak_knows_what_comes_after(seed: int) -> None:
    """Changing one later close changes an earlier value of each."""
    other = BARS.copy()
    other.loc[other["session"] == CLOSES.index[60], "close"] *= 7.0
    for kind, leaks in planted.leaking_features(seed).items():
        for name, wide in leaks.items():
            before = column(name, wide)[:60].to_numpy()
            after = column(name, wide, other)[:60].to_numpy()
            assert not np.array_equal(before, after, equal_nan=True), f"{kind}: {name}"


def test_noise_belongs_to_a_symbol_and_its_session() -> None:
    noise = column("noise", lambda c: c.noise)
    fewer = BARS[BARS["symbol"].ne("P00") & (BARS["session"] <= CLOSES.index[50])]
    pd.testing.assert_frame_equal(
        column("noise", lambda c: c.noise, fewer), noise.iloc[:51][["P01", "P02"]]
    )


def test_every_kind_is_caught_and_nothing_else() -> None:
    found = planted.measure_leaks(range(2))
    assert found == {
        NEXT: (2, 2),
        DILUTED: (2, 2),
        CENTRED: (2, 2),
        SCALED: (8, 8),
        LATE: (6, 6),
        CLEAN: (28, 28),
        ALARMS: (0, 28),
    }


def test_plants_in_given_bars_are_caught_too() -> None:
    told: list[str] = []
    given = planted.synthetic_bars(9, sessions=420, symbols=4)
    found = planted.measure_leaks([3], given, say=told.append)
    caught = {kind: hits == tried for kind, (hits, tried) in found.items() if kind != ALARMS}
    assert all(caught.values()) and found[ALARMS][0] == 0
    assert told == ["planted leaks: 1 of 1 seeds"]


def test_a_stretch_has_whole_symbols_only() -> None:
    given = planted.synthetic_bars(9, sessions=420, symbols=5)
    given = given[~(given["symbol"].eq("P02") & (np.arange(len(given)) % 50 == 0))]
    given.loc[given["symbol"].eq("P03"), "close"] = np.nan
    drawn = [planted.stretch(given, seed) for seed in range(8)]
    assert {s for d in drawn for s in d["symbol"]} == {"P00", "P01", "P04"}
    assert all(len(d) == 900 for d in drawn)
    assert len({d["session"].min() for d in drawn}) > 1


@pytest.mark.parametrize(
    ("bars", "why"),
    [
        (planted.synthetic_bars(1, sessions=299), "299 sessions"),
        (planted.synthetic_bars(1).assign(close=np.nan), "no symbol"),
        (planted.synthetic_bars(1)[:0], "no bars"),
    ],
)
def test_bars_too_short_to_plant_in_are_refused(bars: pd.DataFrame, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        planted.stretch(bars, 1)


def test_constant_bars_prove_nothing() -> None:
    still = planted.synthetic_bars(1).assign(close=10.0)
    found = planted.planted_audit(1, still)
    passed = {f.name for f in found.features if f.status is Status.PASS}
    assert passed <= {"return_under_noise", "in_time"}
