"""The venue's rules: gaps fill at the open, the stop goes first, volume bounds the quantity."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Bar, Leg, Side
from hybridnb.fills import NO_LIMIT, limit_reference, most_fillable, protective_fill, stop_reference

LONG, SHORT = Side.SELL, Side.BUY  # the sides of the orders that protect them


def bar(open_: int, high: int, low: int, close: int, volume: int = 1_000) -> Bar:
    return Bar("A", dt.date(2013, 3, 1), open_, high, low, close, volume)


@pytest.mark.parametrize(
    ("volume", "used", "most"),
    [(1_000, 0, 100), (1_000, 40, 60), (1_000, 100, 0), (1_000, 200, 0), (9, 0, 0), (0, 0, 0)],
)
def test_a_tenth_of_the_volume(volume: int, used: int, most: int) -> None:
    assert most_fillable(bar(10, 10, 10, 10, volume), 0.10, used) == most


def test_without_volume_no_limit_can_be_known() -> None:
    assert most_fillable(bar(10, 10, 10, 10, -1), 0.10, 5) == NO_LIMIT


@pytest.mark.parametrize(
    ("prices", "side", "stop", "answer"),
    [
        ((100, 110, 90, 100), LONG, 95, 95),
        ((100, 110, 90, 100), LONG, 90, 90),
        ((100, 110, 90, 100), LONG, 89, None),
        ((92, 110, 90, 100), LONG, 95, 92),
        ((95, 110, 90, 100), LONG, 95, 95),
        ((100, 110, 90, 100), SHORT, 105, 105),
        ((100, 110, 90, 100), SHORT, 110, 110),
        ((100, 110, 90, 100), SHORT, 111, None),
        ((107, 110, 90, 100), SHORT, 105, 107),
    ],
)
def test_stops(
    prices: tuple[int, int, int, int], side: Side, stop: int, answer: int | None
) -> None:
    assert stop_reference(bar(*prices), stop, side.sign) == (answer or 0)


@pytest.mark.parametrize(
    ("prices", "side", "limit", "answer"),
    [
        ((100, 110, 90, 100), LONG, 105, 105),
        ((100, 110, 90, 100), LONG, 110, 110),
        ((100, 110, 90, 100), LONG, 111, None),
        ((107, 110, 90, 100), LONG, 105, 107),
        ((100, 110, 90, 100), SHORT, 95, 95),
        ((100, 110, 90, 100), SHORT, 89, None),
        ((92, 110, 90, 100), SHORT, 95, 92),
    ],
)
def test_limits(
    prices: tuple[int, int, int, int], side: Side, limit: int, answer: int | None
) -> None:
    assert limit_reference(bar(*prices), limit, side.sign) == (answer or 0)


LEGS = tuple(Leg)


@pytest.mark.parametrize(
    ("prices", "side", "stop", "target", "answer"),
    [
        ((100, 110, 90, 100), LONG, 95, 105, (Leg.STOP, 95)),
        ((100, 110, 96, 100), LONG, 95, 105, (Leg.TARGET, 105)),
        ((100, 104, 90, 100), LONG, 95, 105, (Leg.STOP, 95)),
        ((100, 104, 96, 100), LONG, 95, 105, None),
        ((106, 110, 90, 100), LONG, 95, 105, (Leg.TARGET, 106)),
        ((93, 110, 90, 100), LONG, 95, 105, (Leg.STOP, 93)),
        ((100, 110, 90, 100), SHORT, 105, 95, (Leg.STOP, 105)),
        ((94, 110, 90, 100), SHORT, 105, 95, (Leg.TARGET, 94)),
        ((106, 110, 90, 100), SHORT, 105, 95, (Leg.STOP, 106)),
        ((100, 104, 90, 100), SHORT, 105, 95, (Leg.TARGET, 95)),
    ],
)
def test_the_stop_goes_first_inside_a_bar(
    prices: tuple[int, int, int, int],
    side: Side,
    stop: int,
    target: int,
    answer: tuple[Leg, int] | None,
) -> None:
    code, at = protective_fill(bar(*prices), stop, target, side.sign)
    assert ((LEGS[code], at) if at else None) == answer


BARS = st.lists(st.integers(1, 1_000), min_size=4, max_size=4).flatmap(
    lambda p: st.permutations(sorted(p)[1:3]).map(
        lambda middle: bar(middle[0], max(p), min(p), middle[1])
    )
)
LEVEL = st.integers(1, 1_000)


@given(BARS, LEVEL, LEVEL, st.booleans())
def test_fills_lie_in_the_bar_and_on_the_right_side(
    a_bar: Bar, one: int, other: int, long: bool
) -> None:
    low, high = sorted((one, other))
    side, stop, target = (LONG, low, high) if long else (SHORT, high, low)
    code, price = protective_fill(a_bar, stop, target, side.sign)
    if not price:
        assert a_bar.low > low or not long
        assert (a_bar.low > stop and a_bar.high < target) or not long
        assert (a_bar.high < stop and a_bar.low > target) or long
        return
    leg = LEGS[code]
    assert a_bar.low <= price <= a_bar.high
    worse = 1 if long else -1
    level = stop if leg is Leg.STOP else target
    assert price in (level, a_bar.open)
    if leg is Leg.STOP:
        assert worse * (level - price) >= 0
    else:
        assert worse * (price - level) >= 0


@given(BARS, LEVEL)
def test_sides_mirror_each_other(a_bar: Bar, level: int) -> None:
    mirrored = bar(1001 - a_bar.open, 1001 - a_bar.low, 1001 - a_bar.high, 1001 - a_bar.close)
    for rule in (stop_reference, limit_reference):
        long, short = rule(a_bar, level, -1), rule(mirrored, 1001 - level, 1)
        assert short == (1001 - long if long else 0)
