"""Conviction is a rank among strictly earlier outputs, whatever comes later."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.learning.conviction import conviction

NAN = np.nan


def keys(sessions: list[int], symbols: list[str] | None = None) -> pd.DataFrame:
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(sessions, unit="D")
    return pd.DataFrame({"symbol": symbols or "A", "session": days})


def test_by_hand() -> None:
    found = conviction(keys([0, 1, 2, 3, 4]), np.array([0.2, 0.4, 0.3, 0.3, 0.9]), min_history=2)
    # 0.3 above 0.2 of {0.2, 0.4}; then above 0.2 and tied with one of three; then above all.
    np.testing.assert_allclose(found, [NAN, NAN, 1 / 2, 1.5 / 3, 1.0])


def test_the_same_session_is_no_history() -> None:
    frame = keys([0, 1, 0, 1], ["A", "A", "B", "B"])
    found = conviction(frame, np.array([0.1, 0.5, 0.2, 0.15]), min_history=1)
    np.testing.assert_allclose(found, [NAN, 1.0, NAN, 0.5])


def test_unknown_outputs_count_for_nobody() -> None:
    found = conviction(keys([0, 1, 2, 3]), np.array([NAN, 0.1, NAN, 0.2]), min_history=1)
    np.testing.assert_allclose(found, [NAN, NAN, NAN, 1.0])
    assert np.isnan(conviction(keys([0, 1]), np.array([NAN, NAN]))).all()


def test_sixty_earlier_outputs_are_needed() -> None:
    found = conviction(keys(list(range(62))), np.linspace(0.4, 0.6, 62))
    assert np.isnan(found[:60]).all()
    np.testing.assert_array_equal(found[60:], [1.0, 1.0])


rows = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([0.1, 0.2, 0.5, 0.7, NAN])), max_size=60
)


@given(drawn=rows, least=st.integers(1, 10))
def test_equals_counting(drawn: list[tuple[int, float]], least: int) -> None:
    days, raw = [d for d, _ in drawn], np.array([v for _, v in drawn], np.float64)
    wanted = []
    for day, value in drawn:
        earlier = [v for d, v in drawn if d < day and v == v]
        if value != value or len(earlier) < least:
            wanted.append(NAN)
        else:
            below, ties = sum(v < value for v in earlier), sum(v == value for v in earlier)
            wanted.append((below + ties / 2) / len(earlier))
    np.testing.assert_allclose(conviction(keys(days), raw, min_history=least), wanted)


@given(drawn=rows, cut=st.integers(0, 12), seed=st.integers(0, 99))
def test_later_outputs_change_nothing_earlier(
    drawn: list[tuple[int, float]], cut: int, seed: int
) -> None:
    days, raw = np.array([d for d, _ in drawn], int), np.array([v for _, v in drawn], np.float64)
    changed = np.where(days > cut, np.random.default_rng(seed).random(len(raw)), raw)
    before = conviction(keys(days.tolist()), raw, min_history=2)
    after = conviction(keys(days.tolist()), changed, min_history=2)
    np.testing.assert_array_equal(before[days <= cut], after[days <= cut])


def test_a_hundred_thousand_outputs_take_seconds() -> None:
    rng = np.random.default_rng(0)
    frame = keys(np.tile(np.arange(3000), 33).tolist())
    start = time.process_time()
    found = conviction(frame, rng.random(len(frame)))
    assert time.process_time() - start < 5.0
    # Of outputs without order, the ranks are uniform: mean 1/2, variance 1/12.
    known = found[np.isfinite(found)]
    np.testing.assert_allclose([known.mean(), known.var()], [1 / 2, 1 / 12], atol=0.01)
