"""Each check catches the leak it is there for, and passes honest work."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hybridnb.domain import Status
from hybridnb.gates import leakage

SESSIONS = pd.date_range("2024-01-01", periods=160, freq="B")
SYMBOLS = ("AAA", "BBB", "CCC")


def bars() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frames = [
        pd.DataFrame(
            {
                "symbol": symbol,
                "session": SESSIONS,
                "close": 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, len(SESSIONS)))),
            }
        )
        for symbol in SYMBOLS
    ]
    return pd.concat(frames, ignore_index=True)


def honest(frame: pd.DataFrame) -> pd.DataFrame:
    close = frame.groupby("symbol")["close"]
    momentum = close.transform(lambda c: c / c.shift(5) - 1.0)
    average = close.transform(lambda c: c / c.rolling(20).mean())
    return frame[["symbol", "session"]].assign(momentum=momentum, average=average)


def centred(frame: pd.DataFrame) -> pd.DataFrame:
    close = frame.groupby("symbol")["close"]
    return honest(frame).assign(
        average=close.transform(lambda c: c / c.rolling(21, center=True, min_periods=1).mean())
    )


def scaled_by_all(frame: pd.DataFrame) -> pd.DataFrame:
    close = frame.groupby("symbol")["close"]
    return honest(frame).assign(momentum=close.transform(lambda c: (c - c.mean()) / c.std()))


def tomorrow(frame: pd.DataFrame) -> pd.DataFrame:
    close = frame.groupby("symbol")["close"]
    return honest(frame).assign(momentum=close.transform(lambda c: c.shift(-1) / c - 1.0))


def filled_backwards(frame: pd.DataFrame) -> pd.DataFrame:
    holes = frame["session"].dt.day_of_week == 2
    known = frame["close"].mask(holes).groupby(frame["symbol"]).bfill()
    return honest(frame).assign(momentum=known)


def windowed(make: object, **more: int) -> leakage.Check:
    whole = bars()
    return leakage.windowing(
        lambda cut: make(whole[whole["session"] <= cut]),  # type: ignore[operator]
        make(whole),  # type: ignore[operator]
        **more,
    )


def test_time_order() -> None:
    found = leakage.time_order(bars())
    assert found.status is Status.PASS and found.n == len(SYMBOLS) * len(SESSIONS)


@pytest.mark.parametrize("leak", ["swapped", "repeated", "without a session"])
def test_time_order_catches(leak: str) -> None:
    broken = bars()
    if leak == "swapped":
        broken.loc[[10, 11], "session"] = broken.loc[[11, 10], "session"].to_numpy()
    elif leak == "repeated":
        broken.loc[11, "session"] = broken.loc[10, "session"]
    else:
        broken.loc[10, "session"] = pd.NaT
    found = leakage.time_order(broken)
    assert found.status is Status.FAIL and found.value == 1.0


def test_time_order_of_interleaved_symbols_is_each_symbols_own() -> None:
    assert leakage.time_order(bars().sort_values(["session", "symbol"])).status is Status.PASS


def test_windowing_passes_features_of_the_past() -> None:
    found = windowed(honest)
    assert found.status is Status.PASS and found.n >= 50


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (centred, "average"),
        (scaled_by_all, "momentum"),
        (tomorrow, "momentum"),
        (filled_backwards, "momentum"),
    ],
)
def test_windowing_catches_features_of_the_future(make: object, names: str) -> None:
    found = windowed(make)
    assert found.status is Status.FAIL and found.detail == f"looks ahead: {names}"


def test_windowing_catches_rows_chosen_by_the_future() -> None:
    """A universe of the names that survived holds other rows when the data ends earlier."""

    def survivors(frame: pd.DataFrame) -> pd.DataFrame:
        last = frame.groupby("symbol")["close"].last()
        return honest(frame[frame["symbol"].isin(last.nlargest(2).index)])

    crossing = bars()
    down = crossing["symbol"].eq("AAA")
    crossing.loc[down, "close"] = np.linspace(300.0, 1.0, len(SESSIONS))
    found = leakage.windowing(
        lambda cut: survivors(crossing[crossing["session"] <= cut]), survivors(crossing)
    )
    assert found.status is Status.FAIL and found.detail == "rows differ"


@pytest.mark.parametrize("cuts", [1, 49])
def test_windowing_needs_fifty_cuts(cuts: int) -> None:
    assert windowed(honest, cuts=cuts).status is Status.INSUFFICIENT_EVIDENCE


def forward(horizon: int) -> np.ndarray:
    ahead = bars().groupby("symbol")["close"].shift(-horizon)
    return (ahead / bars()["close"] - 1.0).to_numpy(np.float64)


@pytest.mark.parametrize("horizon", [1, 5, 20])
def test_label_alignment(horizon: int) -> None:
    found = leakage.label_alignment(bars(), forward(horizon), horizon)
    assert found.status is Status.PASS and found.n == horizon * len(SYMBOLS)


@pytest.mark.parametrize("leak", ["a shorter step", "filled", "shifted across symbols"])
def test_label_alignment_catches(leak: str) -> None:
    labels = {
        "a shorter step": forward(4),
        "filled": np.nan_to_num(forward(5)),
        "shifted across symbols": bars()["close"].shift(-5).to_numpy(np.float64),
    }[leak]
    found = leakage.label_alignment(bars(), labels, 5)
    assert found.status is Status.FAIL


def test_a_label_without_a_horizon_is_no_evidence() -> None:
    found = leakage.label_alignment(bars(), forward(1), 0)
    assert found.status is Status.INSUFFICIENT_EVIDENCE


@pytest.mark.parametrize(
    ("folds", "status"),
    [
        ([(100, 106), (200, 206)], Status.PASS),
        ([(100, 106), (200, 205)], Status.FAIL),
        ([(100, 90)], Status.FAIL),
        ([], Status.INSUFFICIENT_EVIDENCE),
    ],
)
def test_cut_off(folds: list[tuple[int, int]], status: Status) -> None:
    assert leakage.cut_off(folds, horizon=5, embargo=1).status is status


def test_scaling() -> None:
    rows = np.random.default_rng(2).normal(size=(300, 4)).cumsum(axis=0)
    train, everything = rows[:200].mean(axis=0), rows.mean(axis=0)
    assert leakage.scaling([train, train], [train, train]).status is Status.PASS
    found = leakage.scaling([train, everything], [train, train])
    assert found.status is Status.FAIL and found.value == 1.0
    assert leakage.scaling([train * np.nan], [train]).status is Status.FAIL
    assert leakage.scaling([], []).status is Status.INSUFFICIENT_EVIDENCE


def stamps(*texts: str | None) -> pd.Series[pd.Timestamp]:
    return pd.Series(pd.to_datetime(list(texts), utc=True))


@pytest.mark.parametrize(
    ("available", "decided", "status"),
    [
        ("2026-03-02T14:00Z", "2026-03-02T14:00Z", Status.PASS),
        ("2026-03-02T14:01Z", "2026-03-02T14:00Z", Status.FAIL),
        (None, "2026-03-02T14:00Z", Status.FAIL),
        ("2026-03-02T14:00Z", None, Status.FAIL),
    ],
)
def test_available_at(available: str | None, decided: str | None, status: Status) -> None:
    assert leakage.available_at(stamps(available), stamps(decided)).status is status


def test_no_join_is_no_evidence() -> None:
    found = leakage.available_at(stamps(), stamps())
    assert found.status is Status.INSUFFICIENT_EVIDENCE


def linked(share: float, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """A label that overlaps with its neighbours, and a feature that holds a share of it."""
    rng = np.random.default_rng(3)
    label = np.convolve(rng.normal(size=n + 4), np.ones(5), "valid")
    return share * label + rng.normal(size=n), label


def test_lag_zero_is_only_ever_a_warning() -> None:
    x, y = linked(0.5)
    found = leakage.lag_zero("x", x, y, seed=1, block=10)
    assert found.status is Status.PASS and "a warning" in found.detail
    assert found.value == pytest.approx(abs(np.corrcoef(x, y)[0, 1]))
    quiet = leakage.lag_zero("x", *linked(0.0), seed=1, block=10)
    assert quiet.status is Status.PASS and "within" in quiet.detail


def test_the_band_of_lag_zero_knows_of_persistence() -> None:
    """Two random walks correlate by chance: rows shuffled one by one would nearly always warn."""
    rng = np.random.default_rng(5)
    warned = {1: 0, 60: 0}
    for _ in range(20):
        x, y = rng.normal(size=(2, 600)).cumsum(axis=1)
        for block in warned:
            found = leakage.lag_zero("x", x, y, seed=1, block=block)
            warned[block] += "a warning" in found.detail
    assert warned[1] >= 15 and warned[60] < warned[1] - 5


@pytest.mark.parametrize(
    ("x", "y", "block"),
    [
        (np.array([]), np.array([]), 5),
        (np.array([1.0, 2.0]), np.array([0.0, 1.0]), 5),
        (np.full(600, np.nan), linked(0.0)[1], 5),
        (np.ones(600), linked(0.0)[1], 5),
        (linked(0.0)[0], np.ones(600), 5),
        (*linked(0.0), 61),
    ],
)
def test_lag_zero_needs_something_to_compare(x: np.ndarray, y: np.ndarray, block: int) -> None:
    assert leakage.lag_zero("x", x, y, seed=1, block=block).status is Status.INSUFFICIENT_EVIDENCE
