"""Protective levels: the weighted entry, and stops that never move away from the price."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hybridnb.domain import Position
from hybridnb.policy import Policy, validated
from hybridnb.stops import on_tick, protect, stop_rule, trail

STOPS = stop_rule(Policy().stops)


def position(quantity: int, price: float, *, atr: float = 2.0) -> Position:
    units = round(price * 10_000)
    return Position(
        symbol="A",
        quantity=quantity,
        cost=units * quantity,
        multiplier=1,
        atr=atr,
        stop=0,
        target=0,
        best=units,
        decision_id="d",
        opened="2013-03-01",
    )


def test_the_weighted_entry_sets_the_stop() -> None:
    """1 at 100, then 1 at 102: entry 101; a stop of 2 % is 98.98."""
    held = replace(position(1, 100.0), quantity=2, cost=1_000_000 + 1_020_000, atr=1.01)
    two_percent = stop_rule(validated(Policy, {"stops": {"initial": 2.0}}).stops)
    assert held.entry == 1_010_000
    assert protect(held, two_percent, tick=1).stop == 989_800


@pytest.mark.parametrize(("sign", "stop", "target"), [(1, 96.4, 105.0), (-1, 103.6, 95.0)])
def test_the_initial_levels(sign: int, stop: float, target: float) -> None:
    held = protect(position(sign * 10, 100.0), STOPS, tick=100)
    assert (held.stop, held.target) == (round(stop * 10_000), round(target * 10_000))


@pytest.mark.parametrize(
    ("units", "tick", "down", "up"),
    [
        (10_049.0, 100, 10_000, 10_100),
        (10_100.0, 100, 10_100, 10_100),
        (10_000.4, 1, 10_000, 10_001),
        (3.0, 100, 100, 100),
        (-50.0, 100, 100, 100),
        (0.0, 5, 5, 5),
    ],
)
def test_on_tick(units: float, tick: int, down: int, up: int) -> None:
    assert on_tick(units, tick, False) == down
    assert on_tick(units, tick, True) == up


@pytest.mark.parametrize(("sign", "stop", "target"), [(1, 96.45, 105.05), (-1, 103.55, 94.95)])
def test_rounding_never_widens_the_risk(sign: int, stop: float, target: float) -> None:
    """Levels at 96.41 and 105.01 on a tick of 0.05, and the mirror image."""
    held = protect(position(sign, 100.0 + sign * 0.01), STOPS, tick=500)
    assert (held.stop, held.target) == (round(stop * 10_000), round(target * 10_000))


@pytest.mark.parametrize("sign", [1, -1])
def test_trailing_starts_at_one_atr_of_profit(sign: int) -> None:
    held = protect(position(sign * 10, 100.0), STOPS, tick=1)
    almost = 1_000_000 + sign * 19_999
    waiting = trail(held, STOPS, high=almost, low=almost, tick=1)
    assert (waiting.stop, waiting.best) == (held.stop, almost)
    there = 1_000_000 + sign * 20_000
    moving = trail(held, STOPS, high=there, low=there, tick=1)
    assert moving.stop == there - sign * 24_000
    assert moving.best == there


@pytest.mark.parametrize("sign", [1, -1])
def test_a_better_best_moves_the_stop_and_a_fall_leaves_it(sign: int) -> None:
    held = protect(position(sign * 10, 100.0), STOPS, tick=1)
    best = 1_000_000 + sign * 60_000
    held = trail(held, STOPS, high=best, low=best, tick=1)
    assert held.stop == 1_000_000 + sign * 36_000
    back = 1_000_000 + sign * 40_000
    assert trail(held, STOPS, high=back, low=back, tick=1) == held


def test_another_fill_leaves_a_tighter_stop_and_reprices_the_target() -> None:
    held = protect(position(10, 100.0), STOPS, tick=1)
    more = replace(held, quantity=20, cost=held.cost + 10 * 900_000)
    lower = protect(more, STOPS, tick=1)
    assert lower.stop == held.stop == 964_000
    assert lower.target == 950_000 + 50_000
    higher = protect(replace(held, quantity=20, cost=held.cost + 10 * 1_020_000), STOPS, tick=1)
    assert higher.stop == 1_010_000 - 36_000


BARS = st.lists(st.tuples(st.integers(1, 3_000_000), st.integers(0, 200_000)), max_size=12)


@given(
    st.booleans(), st.integers(100_000, 2_000_000), st.floats(1e-3, 50), st.integers(1, 5000), BARS
)
def test_a_stop_never_moves_away(
    long: bool, price: int, atr: float, tick: int, bars: list[tuple[int, int]]
) -> None:
    sign = 1 if long else -1
    held = protect(position(sign * 7, price / 10_000, atr=atr), STOPS, tick=tick)
    for low, height in bars:
        before = held
        held = trail(held, STOPS, high=low + height, low=low, tick=tick)
        held = protect(held, STOPS, tick=tick)
        assert sign * (held.stop - before.stop) >= 0
        assert sign * (held.best - before.best) >= 0
        assert held.stop % tick == held.target % tick == 0
        if held.stop != before.stop:
            assert sign * (held.best - held.entry) >= STOPS.activation * atr * 10_000


@given(st.integers(500_000, 1_500_000), st.floats(1e-3, 5), BARS)
def test_shorts_mirror_longs(price: int, atr: float, bars: list[tuple[int, int]]) -> None:
    """Reflect every price about the entry: the short's levels are the long's, reflected."""
    long = protect(position(5, price / 10_000, atr=atr), STOPS, tick=1)
    short = protect(position(-5, price / 10_000, atr=atr), STOPS, tick=1)
    assume(long.stop > 1)
    assert short.stop == 2 * price - long.stop or abs(short.stop + long.stop - 2 * price) <= 1
    for low, height in bars:
        high = low + height
        long = trail(long, STOPS, high=high, low=low, tick=1)
        short = trail(short, STOPS, high=2 * price - low, low=2 * price - high, tick=1)
        assert long.best + short.best == 2 * price
        if short.stop > 1:
            assert abs(long.stop + short.stop - 2 * price) <= 1


@given(st.floats(-1e6, 1e12), st.integers(1, 100_000))
def test_ticks_bracket_a_price(units: float, tick: int) -> None:
    down, up = on_tick(units, tick, False), on_tick(units, tick, True)
    assert down % tick == up % tick == 0
    assert tick <= down <= up <= down + tick
    if units >= tick:
        assert down <= units <= up
