"""A position carried through its bars: known prices, and the venue's rules one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.costs import rates
from hybridnb.domain import SCALE
from hybridnb.gates.trip import Entry, Path, Trip, Venue, travel
from hybridnb.policy import Costs, Stops
from hybridnb.stops import stop_rule

FREE = Costs(
    commission_per_share=0.0,
    commission_minimum=0.0,
    half_spread_core=0.0,
    impact=0.0,
    latency="none",
)
CORE = 2
Bars = list[tuple[float, float, float, float]]


def path(bars: Bars, *, volume: int = -1, leave: tuple[int, ...] = (), atr: float = 1.0) -> Path:
    """Bars of open, high, low, close in account units; a close of 0 is no bar."""
    n = len(bars)
    prices = np.rint(np.array(bars, float).reshape(n, 4).T * SCALE).astype(np.int64)
    return Path(
        symbol="A",
        days=np.arange(735_000, 735_000 + n),
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        volume=np.full(n, volume, np.int64),
        atr=np.full(n, atr),
        adv_units=np.full(n, 1e6),
        daily_volatility=np.full(n, 0.01),
        leave=np.isin(np.arange(n), leave),
    )


def venue(costs: Costs = FREE, **traits: int) -> Venue:
    return Venue(rates(costs), stop_rule(Stops()), CORE, **traits)


CALM = (100.0, 100.5, 99.5, 100.0)  # the stop lies at 98.2, the target at 102.5


def go(bars: Bars, *, sign: int = 1, units: int = 100, costs: Costs = FREE, **how: object) -> Trip:
    return travel(path(bars, **how), venue(costs), [Entry(0, units)], sign)  # type: ignore[arg-type]


def test_a_stop_and_a_target_fill_at_their_levels() -> None:
    assert go([CALM, (100, 100.5, 98.0, 99)]).pnl == -180 * SCALE
    assert go([CALM, (100, 103, 99.5, 102)]).pnl == 250 * SCALE
    assert go([CALM, (100, 103, 99.5, 102)]).leg == "target"


def test_a_gap_through_a_level_fills_at_the_open() -> None:
    assert go([CALM, (97.0, 98, 96, 97)]).pnl == -300 * SCALE
    assert go([CALM, (104.0, 105, 103, 104)]).pnl == 400 * SCALE


def test_in_one_bar_the_stop_goes_before_the_target() -> None:
    assert go([CALM, (100, 103, 98, 100)]).leg == "stop"
    assert go([CALM, (100, 103, 98, 100)], sign=-1).leg == "stop"


def test_a_short_is_the_mirror_of_a_long() -> None:
    mirrored = [CALM, (100, 100.5, 97.0, 99)]
    assert go(mirrored, sign=-1).pnl == 250 * SCALE


def test_the_trailing_stop_holds_from_the_next_bar_on() -> None:
    # A best price of 102 trails at 102 − 1.2; the bar that reached it isn't stopped by it.
    up = (100, 102.0, 99.9, 101.5)
    assert go([CALM, up]).closed is False
    assert go([CALM, up, (101.5, 101.6, 100.5, 101)]).pnl == 80 * SCALE


def test_costs_are_the_venues_own() -> None:
    costly = Costs(half_spread_core=10.0, impact=0.0, latency="none")
    # In at 100.10, out at 98.2 after the stop set from 100.10 at 98.3, 10 bps worse; 1.00 each way.
    found = go([CALM, (100, 100.5, 98.0, 99)], costs=costly)
    entry = 1_001_000
    stop = entry - 18_000
    out = int(np.floor(stop * (1 - 10 / 10_000)))
    assert found.pnl == 100 * (out - entry) - 2 * SCALE


def test_a_decided_exit_leaves_at_the_open() -> None:
    found = go([CALM, CALM, (100.7, 101, 99.9, 100)], leave=(2,))
    assert (found.pnl, found.leg, found.row) == (70 * SCALE, "exit", 2)


def test_what_the_volume_does_not_fill_expires_or_waits() -> None:
    # A tenth of 400 units fills of the entry; of an exit the rest goes on in the next bar.
    found = go([CALM, CALM, (101, 101.2, 100.9, 101), CALM], volume=400, leave=(2,))
    assert found.pnl == 40 * SCALE
    nothing = go([CALM, CALM], volume=0)
    assert (nothing.pnl, nothing.note) == (0, "the bar's volume filled nothing")


def test_a_market_exit_too_large_for_a_bar_goes_on() -> None:
    built = path([CALM, CALM, (101, 101.2, 100.9, 101), (101, 101.2, 100.9, 101)], leave=(2,))
    thin = np.array([-1, -1, 600, 600])
    built = Path(**{**{f: getattr(built, f) for f in built.__slots__}, "volume": thin})
    found = travel(built, venue(), [Entry(0, 100)], 1)
    assert (found.pnl, found.row) == (100 * SCALE, 3)


def test_an_open_position_is_valued_at_the_last_close_and_said_so() -> None:
    found = go([CALM, (100, 101.4, 99.6, 101.25)])
    assert found.pnl == 125 * SCALE
    assert not found.closed
    assert "still open" in found.note


@pytest.mark.parametrize(
    ("bars", "entry", "atr"),
    [
        ([(0.0, 0, 0, 0), CALM], 0, 1.0),
        ([CALM], 3, 1.0),
        ([CALM, CALM], 0, float("nan")),
        ([CALM, CALM], 0, 0.0),
    ],
)
def test_what_cannot_be_told_is_unknown_and_never_zero(bars: Bars, entry: int, atr: float) -> None:
    found = travel(path(bars, atr=atr), venue(), [Entry(entry, 100)], 1)
    assert found.pnl is None
    assert found.note


def test_a_session_without_a_bar_trades_nothing() -> None:
    gone = (0.0, 0.0, 0.0, 0.0)
    assert go([CALM, gone, (97.0, 98, 96, 97)]).pnl == -300 * SCALE


def test_an_addition_joins_an_open_position_alone() -> None:
    bars = [CALM, CALM, CALM, (100, 103, 99.6, 103)]
    both = travel(path(bars), venue(), [Entry(0, 100), Entry(2, 50)], 1)
    assert both.pnl == 150 * 25_000
    late = travel(path([CALM, (97, 98, 96, 97), CALM]), venue(), [Entry(0, 100), Entry(2, 50)], 1)
    assert late.pnl == -300 * SCALE


def test_a_path_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        Path(**{**{f: getattr(path([CALM]), f) for f in Path.__slots__}, "open": np.ones(2)})
    with pytest.raises(ValueError, match="days"):
        Path(**{**{f: getattr(path([CALM, CALM]), f) for f in Path.__slots__}, "days": np.ones(2)})
    with pytest.raises(ValueError, match="prices"):
        path([(100, 99, 101, 100)])


moves = st.lists(st.floats(-0.05, 0.05), min_size=2, max_size=30)


@given(moves=moves, sign=st.sampled_from([1, -1]), units=st.integers(1, 10_000))
def test_sizes_scale_what_costs_nothing(moves: list[float], sign: int, units: int) -> None:
    closes = np.round(100 * np.exp(np.cumsum(moves)), 2)
    opens = np.concatenate([[100.0], closes[:-1]])
    bars = [(o, max(o, c) + 0.01, min(o, c) - 0.01, c) for o, c in zip(opens, closes, strict=True)]
    one = travel(path(bars), venue(), [Entry(0, 1)], sign)
    many = travel(path(bars), venue(), [Entry(0, units)], sign)
    assert one.pnl is not None
    assert many.pnl == units * one.pnl
    assert (many.row, many.leg, many.closed) == (one.row, one.leg, one.closed)


@given(moves=moves, sign=st.sampled_from([1, -1]))
def test_costs_never_help(moves: list[float], sign: int) -> None:
    closes = np.round(100 * np.exp(np.cumsum(moves)), 2)
    opens = np.concatenate([[100.0], closes[:-1]])
    bars = [(o, max(o, c), min(o, c), c) for o, c in zip(opens, closes, strict=True)]
    # A decided exit on the last bar; levels out of reach, so that both leave at the same time.
    far = venue()._replace(rule=stop_rule(Stops(initial=50, target=50, activation=50)))
    built = path(bars, leave=(len(bars) - 1,))
    cheap = travel(built, far, [Entry(0, 100)], sign).pnl
    dear = travel(built, far._replace(rates=rates(Costs())), [Entry(0, 100)], sign).pnl
    assert cheap is not None
    assert dear is not None
    assert dear < cheap
