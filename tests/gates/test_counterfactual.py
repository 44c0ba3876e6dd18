"""Alternatives of a closed trade: known answers, what was open, and the score between them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.costs import rates
from hybridnb.domain import SCALE, Mode
from hybridnb.gates.counterfactual import (
    Alternative,
    Closed,
    Judged,
    alternatives,
    other_side,
)
from hybridnb.gates.grading import Grade, grade_of, place_between
from hybridnb.gates.trip import Entry, Path, Venue
from hybridnb.limits import limits
from hybridnb.policy import Costs, Policy, Stops
from hybridnb.stops import stop_rule

FREE = Costs(
    commission_per_share=0.0,
    commission_minimum=0.0,
    half_spread_core=0.0,
    impact=0.0,
    latency="none",
)
VENUE = Venue(rates(FREE), stop_rule(Stops()), bucket=2)
CALM = (100.0, 100.5, 99.5, 100.0)
DOWN = (100.0, 100.2, 97.5, 97.8)  # stops a long at 98.2
BARS = [CALM, DOWN, (98, 98.5, 97.5, 98), CALM, CALM, (100, 100.5, 99.6, 100), (100, 103, 100, 103)]
FACTS = {
    "rl": 0.5,
    "volatility_z": 0.0,
    "sentiment": math.nan,
    "liquidity": 1.0,
    "correlation": 0.5,
    "correlation_floor": 0.2,
}


def path(bars: list[tuple[float, float, float, float]], *, leave: tuple[int, ...] = ()) -> Path:
    n = len(bars)
    prices = np.rint(np.array(bars, float).T * SCALE).astype(np.int64)
    return Path(
        symbol="A",
        days=np.arange(735_000, 735_000 + n),
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        volume=np.full(n, -1),
        atr=np.ones(n),
        adv_units=np.full(n, 1e6),
        daily_volatility=np.full(n, 0.01),
        leave=np.isin(np.arange(n), leave),
    )


def judged(pnl: int = -180 * SCALE, **how: object) -> Judged:
    """A long of 100 units that was stopped in the second bar."""
    closed = Closed(1, (Entry(0, 100),), pnl, **how)  # type: ignore[arg-type]
    return alternatives(path(BARS), VENUE, closed)


def by_name(found: Judged) -> dict[str, float]:
    return {str(each.name): each.pnl for each in found.outcomes}


def test_every_alternative_of_a_stopped_long() -> None:
    found = judged(other=-1)
    assert found.reproduced
    assert by_name(found) == {
        "as traded": -180.0,
        "no trade": 0.0,
        "opposite": 250.0,  # 100 − 2.5, reached by the low of the second bar
        "half": -90.0,
        "double": -360.0,
        "delayed by 1 bar": -180.0,
        "delayed by 5 bars": 250.0,
        "stop × 0.5": -90.0,
        "stop × 1.5": 250.0,  # 97.3 isn't touched; 102.5 is, on the last bar
        "target × 0.5": -180.0,
        "target × 1.5": -180.0,
        "other engine": 250.0,
    }
    assert found.opportunity_cost == 430.0
    assert found.regret == 430.0
    assert found.best is Alternative.OPPOSITE
    assert found.score == pytest.approx(180 / 610)
    assert found.grade is Grade.POOR


def test_what_was_not_open_bears_on_nothing() -> None:
    found = judged(most=100, shorts=False)
    shut = {str(each.name) for each in found.outcomes if not each.open}
    assert shut == {"opposite", "double"}
    assert found.best in (Alternative.DELAYED_5, Alternative.STOP_FAR)
    assert found.score == 0.0  # nothing that was open came to less
    assert judged(most=200).score > 0.0  # twice the size was open, and worse


def test_a_trade_that_is_not_reproduced_has_no_alternatives() -> None:
    found = judged(pnl=-181 * SCALE)
    assert not found.reproduced
    assert len(found.outcomes) == 1
    assert "-180.00 instead of -181.00" in found.why
    assert math.isnan(found.score)
    assert found.grade is Grade.UNKNOWN


def test_the_bar_is_a_cent() -> None:
    assert judged(pnl=-180 * SCALE + 99).reproduced
    assert not judged(pnl=-180 * SCALE + 100).reproduced


def test_a_trade_still_open_in_the_replay_is_not_the_real_one() -> None:
    closed = Closed(1, (Entry(0, 100),), 0)
    found = alternatives(path([CALM, CALM]), VENUE, closed)
    assert not found.reproduced
    assert "still open" in found.why


def test_alternatives_cut_off_by_the_end_are_marked() -> None:
    found = alternatives(path(BARS[:3]), VENUE, Closed(1, (Entry(0, 100),), -180 * SCALE))
    told = {each.name: each.trip for each in found.outcomes}
    assert told[Alternative.STOP_FAR].closed is False
    assert told[Alternative.STOP_FAR].pnl == -200 * SCALE
    assert "still open" in told[Alternative.STOP_FAR].note
    late = told[Alternative.DELAYED_5]
    assert late.pnl is None  # never 0
    assert late.note == "the bars end before the entry"


def test_what_is_left_before_a_late_entry_is_never_entered() -> None:
    bars = [CALM, CALM, (101.0, 101.2, 100.5, 101.0), CALM, CALM, CALM, CALM]
    found = alternatives(path(bars, leave=(2,)), VENUE, Closed(1, (Entry(0, 100),), 100 * SCALE))
    told = {each.name: each.trip for each in found.outcomes}
    assert told[Alternative.DELAYED_1].pnl == 100 * SCALE
    assert told[Alternative.DELAYED_5].pnl == 0
    assert told[Alternative.DELAYED_5].note == "left at the market before the entry"


def test_half_a_lot_is_no_order() -> None:
    venue, closed = VENUE._replace(lot=100), Closed(1, (Entry(0, 100),), -180 * SCALE)
    told = {e.name: e.trip for e in alternatives(path(BARS), venue, closed).outcomes}
    assert told[Alternative.HALF].pnl is None
    assert told[Alternative.DOUBLE].pnl == -360 * SCALE


def test_the_other_engine_buys_sells_or_waits() -> None:
    other = {side: by_name(judged(other=side))["other engine"] for side in (1, 0, -1)}
    assert other == {1: -180.0, 0: 0.0, -1: 250.0}
    assert math.isnan(by_name(judged())["other engine"])
    assert by_name(judged(other=-1, shorts=False))["other engine"] == 0.0


def test_its_side_comes_of_the_decisions_own_rules() -> None:
    lim = limits(Policy(), Mode.DEMO)
    said = [other_side(lim, FACTS, probability=p) for p in (0.9, 0.5, 0.1, math.nan)]
    assert said == [1, 0, -1, None]
    stormy = {**FACTS, "volatility_z": 3.0}
    assert other_side(lim, stormy, probability=0.8) == 0  # the penalty holds for it too


@pytest.mark.parametrize("closed", [Closed(0, (Entry(0, 1),), 0), Closed(1, (), 0)])
def test_no_side_or_no_entry_is_no_trade(closed: Closed) -> None:
    with pytest.raises(ValueError, match="side"):
        alternatives(path(BARS), VENUE, closed)


def test_without_bars_nothing_is_graded() -> None:
    empty = path(BARS)
    blank = Path(**{**{f: getattr(empty, f) for f in Path.__slots__}, "close": np.zeros(7, int)})
    found = alternatives(blank, VENUE, Closed(1, (Entry(0, 100),), 0))
    assert not found.reproduced
    assert found.grade is Grade.UNKNOWN


@pytest.mark.parametrize(
    ("score", "grade"),
    [
        (1.0, "EXCELLENT"),
        (0.8, "EXCELLENT"),
        (0.79, "GOOD"),
        (0.6, "GOOD"),
        (0.4, "AVERAGE"),
        (0.2, "POOR"),
        (0.19, "VERY POOR"),
        (0.0, "VERY POOR"),
        (math.nan, "UNKNOWN"),
    ],
)
def test_grades(score: float, grade: str) -> None:
    assert grade_of(score) == grade


@pytest.mark.parametrize("score", [-0.1, 1.1, math.inf])
def test_no_grade_outside_of_the_scale(score: float) -> None:
    with pytest.raises(ValueError, match="score"):
        grade_of(score)


results = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12)


@given(actual=st.floats(-1e6, 1e6), others=results)
def test_a_place_lies_in_0_1_and_is_1_for_the_best(actual: float, others: list[float]) -> None:
    place = place_between(actual, others)
    if all(x == actual for x in others):
        assert math.isnan(place)
        return
    assert 0.0 <= place <= 1.0
    assert (place == 1.0) == (actual >= max(others)) or place == pytest.approx(1.0)
    assert (place == 0.0) == (actual <= min(others)) or place == pytest.approx(0.0)


def test_what_is_unknown_has_no_place() -> None:
    assert math.isnan(place_between(1.0, []))
    assert math.isnan(place_between(1.0, [math.nan]))
    assert place_between(1.0, [math.nan, 0.0]) == 1.0
