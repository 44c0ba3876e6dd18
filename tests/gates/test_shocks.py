"""What a scenario does to bars: known numbers, then what holds for any bars."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.gates.shocks import (
    Shocks,
    World,
    crash_path,
    data_gap,
    exchange_halt,
    flash_crash,
    funding_flip,
    scaled,
)

T, N = 40, 3


def world(seed: int = 0, *, missing: float = 0.0) -> World:
    rng = np.random.default_rng(seed)
    closes = np.rint(1e6 * np.exp(np.cumsum(rng.normal(0, 0.02, (T, N)), axis=0)))
    opens = np.rint(closes * np.exp(rng.normal(0, 0.01, (T, N))))
    high, low = np.maximum(opens, closes) + 500, np.minimum(opens, closes) - 500
    volume = rng.integers(1, 10**6, (T, N))
    prices = np.stack([opens, high, low, closes, volume]).astype(np.int64)
    present = rng.random((T, N)) >= missing
    prices[:4, ~present], prices[4, ~present] = 0, -1
    return World(prices, present)


def flat(price: int = 1_000_000) -> World:
    prices = np.full((5, T, N), price, np.int64)
    return World(prices, np.ones((T, N), bool))


def test_a_crash_falls_by_a_fifth_in_five_bars_and_rises_by_a_tenth_in_three() -> None:
    path = crash_path()
    assert len(path) == 8
    assert path[4] == pytest.approx(0.8) and path[7] == pytest.approx(0.88)
    assert np.allclose(path[1:5] / path[:4], path[0])  # the same share each bar
    assert np.allclose(path[6:] / path[5:7], 1.1 ** (1 / 3))
    closes = flash_crash(flat(), 10).prices[3, :, 0]
    assert (closes[:10] == 1_000_000).all()
    assert closes[14] == 800_000 and closes[17] == 880_000
    assert (closes[17:] == 880_000).all()  # what is lost stays lost
    assert closes[10:15].tolist() == sorted(closes[10:15], reverse=True)


def test_a_swing_of_100_bps_goes_against_each_side_of_the_book() -> None:
    found = funding_flip(flat(), 7, [1, -1, 0]).prices
    assert found[0, 7].tolist() == [990_000, 1_010_000, 1_000_000]
    assert (found[:4, :7] == 1_000_000).all() and (found[:4, 39, 0] == 990_000).all()
    assert (found[4] == flat().prices[4]).all()


def test_a_halt_freezes_the_last_close_and_gaps_back_to_the_truth() -> None:
    before = world(3)
    after = exchange_halt(before, 9)
    for k in range(4):
        assert (after.prices[k, 9:21] == before.prices[3, 8]).all()
    assert (after.prices[4, 9:21] == 0).all() and after.present[9:21].all()
    assert (after.prices[:, 21:] == before.prices[:, 21:]).all()
    assert (after.prices[3, 21] != after.prices[3, 20]).all()


def test_a_halt_freezes_what_was_known_and_invents_no_bar() -> None:
    before = world(3)
    before.present[8, 0] = before.present[10, 1] = False
    before.present[:12, 2] = False
    after = exchange_halt(before, 9)
    assert (after.prices[3, 9:21, 0] == before.prices[3, 7, 0]).all()
    assert not after.present[10, 1]  # a bar that isn't there stays so
    assert not after.present[9:21, 2].any()  # nothing known to freeze
    assert not (after.present & ~before.present).any()


def test_a_gap_takes_six_sessions_of_every_name() -> None:
    before = world(5)
    after = data_gap(before, 20)
    assert not after.present[20:26].any()
    assert after.present[:20].all() and after.present[26:].all()
    assert (after.prices[:4, 20:26] == 0).all() and (after.prices[4, 20:26] == -1).all()


ALL: list[Callable[[World, int], World]] = [
    flash_crash,
    exchange_halt,
    data_gap,
    lambda w, start: funding_flip(w, start, [1, -1, 1]),
]


@given(
    seed=st.integers(0, 2**31),
    start=st.integers(0, T - 1),
    which=st.integers(0, len(ALL) - 1),
    missing=st.sampled_from([0.0, 0.3]),
)
def test_bars_stay_bars_and_nothing_before_the_window_changes(
    seed: int, start: int, which: int, missing: float
) -> None:
    before = world(seed, missing=missing)
    kept = World(before.prices.copy(), before.present.copy())
    after = ALL[which](before, start)
    assert (before.prices == kept.prices).all() and (before.present == kept.present).all()
    assert (after.prices[:, :start] == before.prices[:, :start]).all()
    assert (after.present[:start] == before.present[:start]).all()
    assert not (after.present & ~before.present).any()
    opens, high, low, closes, _ = after.prices[:, after.present]
    assert (low >= 1).all() and (low <= np.minimum(opens, closes)).all()
    assert (high >= np.maximum(opens, closes)).all()


def test_another_size_is_another_shock() -> None:
    deep = Shocks(fall=-0.5, fall_bars=2, rise_bars=1, gap=2, halt=3, swing=200.0)
    assert crash_path(deep)[1] == pytest.approx(0.5) and len(crash_path(deep)) == 3
    assert data_gap(flat(), 4, shocks=deep).present[6:].all()
    assert (exchange_halt(flat(), 4, shocks=deep).prices[4] == 0).sum() == 3 * N
    assert funding_flip(flat(), 4, [1, 1, 1], shocks=deep).prices[3, 5, 0] == 980_000


@pytest.mark.parametrize("factors", [[], [0.0], [-1.0], [np.nan], [np.inf]])
def test_a_factor_that_is_none_is_refused(factors: list[float]) -> None:
    with pytest.raises(ValueError, match="factors"):
        scaled(flat(), 3, factors)


@pytest.mark.parametrize("start", [-1, T])
def test_a_session_that_is_none_is_refused(start: int) -> None:
    for shock in ALL:
        with pytest.raises(ValueError, match="session"):
            shock(flat(), start)
