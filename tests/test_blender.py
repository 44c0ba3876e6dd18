"""The blend: known answers, bounds, missing views, and two forms that agree to the last bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hybridnb.blender import Score, blend, blend_arrays, liquidity_score, sigmoid
from hybridnb.decide import DECISION, INPUT
from hybridnb.domain import Mode
from hybridnb.limits import Limits, limits
from hybridnb.policy import Policy, validated

NAN = float("nan")
CALM = {
    "volatility_z": 0.0,
    "sentiment": 0.0,
    "liquidity": 1.0,
    "correlation": 0.5,
    "correlation_floor": 0.3,
}
STORM = {
    "volatility_z": 2.1,
    "sentiment": -0.31,
    "liquidity": 0.49,
    "correlation": 0.2,
    "correlation_floor": 0.3,
}
SUBTRACT = limits(Policy(), Mode.DEMO)
SHRINK = limits(validated(Policy, {"blend": {"penalty_rule": "shrink"}}), Mode.DEMO)


def scored(p_short: float, p_mid: float, hint: float, **over: Any) -> Score:
    lim = over.pop("lim", SUBTRACT)
    return blend(lim, p_short=p_short, p_mid=p_mid, rl=sigmoid(hint), **(CALM | over))


@pytest.mark.parametrize(
    ("views", "facts", "lim", "score", "action"),
    [
        ((0.8, 0.7, 0.5), {}, SUBTRACT, 0.716738, 1),
        ((0.8, 0.7, 0.5), {"volatility_z": 2.5}, SUBTRACT, 0.566738, 0),
        ((0.1, 0.2, -2.0), {}, SUBTRACT, 0.135761, -1),
        ((0.5, 0.5, 0.0), {}, SUBTRACT, 0.5, 0),
        ((0.5, 0.5, 0.0), STORM, SUBTRACT, 0.12, -1),
        ((0.5, 0.5, 0.0), STORM, SHRINK, 0.5, 0),
    ],
)
def test_known_answers(
    views: tuple[float, float, float],
    facts: dict[str, float],
    lim: Limits,
    score: float,
    action: int,
) -> None:
    found = scored(*views, lim=lim, **facts)
    assert found.score == pytest.approx(score, abs=5e-7)
    assert found.action == action


@pytest.mark.parametrize(
    ("views", "distance"), [((0.8, 0.7, 0.5), 0.433476), ((0.1, 0.2, -2.0), 0.728478)]
)
def test_known_distances(views: tuple[float, float, float], distance: float) -> None:
    assert 2 * abs(scored(*views).score - 0.5) == pytest.approx(distance, abs=5e-7)


def exactly(score: float) -> Limits:
    """One view only, weight 1: the score is that view, to the last bit."""
    alone = SUBTRACT._replace(weight_short=1.0, weight_mid=0.0, weight_rl=0.0)
    assert blend(alone, p_short=score, p_mid=0.5, rl=0.5, **CALM).score == score
    return alone


@pytest.mark.parametrize(
    ("score", "action"),
    [
        (0.67, 1),
        (math.nextafter(0.67, 0), 0),
        (math.nextafter(0.67, 1), 1),
        (0.33, -1),
        (math.nextafter(0.33, 1), 0),
        (math.nextafter(0.33, 0), -1),
        (0.0, -1),
        (1.0, 1),
    ],
)
def test_both_bounds_are_inclusive(score: float, action: int) -> None:
    lim = exactly(score)
    assert blend(lim, p_short=score, p_mid=0.5, rl=0.5, **CALM).action == action
    assert both_forms(lim, p_short=score, p_mid=0.5, rl=0.5, **CALM)["action"] == action


@pytest.mark.parametrize(
    ("fact", "at_the_bar", "beyond", "field", "charge"),
    [
        ("volatility_z", 2.0, math.nextafter(2.0, 3), "volatility", 0.15),
        ("sentiment", -0.3, math.nextafter(-0.3, -1), "news", 0.10),
        ("liquidity", 0.5, math.nextafter(0.5, 0), "liquidity", 0.05),
    ],
)
def test_a_penalty_is_due_beyond_its_bar_only(
    fact: str, at_the_bar: float, beyond: float, field: str, charge: float
) -> None:
    for value, due in ((at_the_bar, 0.0), (beyond, charge), (NAN, 0.0)):
        found = scored(0.8, 0.7, 0.5, **{fact: value})
        assert getattr(found, field) == due
        assert found.score == pytest.approx(found.base - due, abs=1e-15)


@pytest.mark.parametrize(
    ("correlation", "floor", "due"),
    [
        (0.39, 0.395, 0.08),
        (0.39, 0.39, 0.0),
        (0.39, 0.30, 0.0),
        (0.40, 0.50, 0.0),
        (NAN, 0.5, 0.0),
        (0.1, NAN, 0.0),
    ],
)
def test_a_breakdown_needs_both_bars(correlation: float, floor: float, due: float) -> None:
    """Below 0.4 and below the 5 % quantile of its own past."""
    found = scored(0.8, 0.7, 0.5, correlation=correlation, correlation_floor=floor)
    assert found.correlation == due


def test_the_penalties_add_up() -> None:
    found = scored(0.8, 0.7, 0.5, **STORM)
    charged = (found.volatility, found.news, found.liquidity, found.correlation)
    assert charged == (0.15, 0.10, 0.05, 0.08)
    assert found.score == pytest.approx(found.base - 0.38, abs=1e-15)


@pytest.mark.parametrize(
    ("base", "subtract", "shrink"),
    [(0.9, 0.52, 0.52), (0.7, 0.32, 0.5), (0.5, 0.12, 0.5), (0.3, 0.0, 0.5), (0.1, 0.0, 0.48)],
)
def test_the_two_rules(base: float, subtract: float, shrink: float) -> None:
    for lim, answer in ((SUBTRACT, subtract), (SHRINK, shrink)):
        alone = lim._replace(weight_short=1.0, weight_mid=0.0, weight_rl=0.0)
        found = blend(alone, p_short=base, p_mid=0.5, rl=0.5, **STORM)
        assert found.score == pytest.approx(answer, abs=1e-12)


def test_without_the_hint_the_weights_are_four_and_three_sevenths() -> None:
    found = blend(SUBTRACT, p_short=0.8, p_mid=0.6, rl=NAN, **CALM)
    assert found.base == pytest.approx(4 / 7 * 0.8 + 3 / 7 * 0.6, abs=1e-15)
    assert found.confidence == pytest.approx(0.5 + found.score - 0.5, abs=1e-15)


@pytest.mark.parametrize(
    ("p_short", "p_mid", "hint", "base"),
    [
        (NAN, 0.7, 0.0, (0.3 * 0.7 + 0.3 * 0.5) / 0.6),
        (0.8, NAN, 0.0, (0.4 * 0.8 + 0.3 * 0.5) / 0.7),
        (0.8, NAN, NAN, 0.8),
        (NAN, 0.2, NAN, 0.2),
    ],
)
def test_a_missing_view_leaves_its_weight_to_the_others(
    p_short: float, p_mid: float, hint: float, base: float
) -> None:
    assert scored(p_short, p_mid, hint).base == pytest.approx(base, abs=1e-15)


@pytest.mark.parametrize("hint", [-3.0, 0.0, 4.0, NAN])
def test_without_both_predictors_it_is_hold(hint: float) -> None:
    for lim in (SUBTRACT, SHRINK):
        found = scored(NAN, NAN, hint, lim=lim)
        assert math.isnan(found.score)
        assert math.isnan(found.base)
        assert (found.action, found.confidence) == (0, 0.0)


@pytest.mark.parametrize(
    ("views", "share"),
    [
        ((0.9, 0.8, 1.0), 1.0),
        ((1.0, 0.9, -0.5), 0.7),
        ((1.0, 0.4, 1.0), 0.7),
        ((0.0, 0.1, 0.5), 0.7),
        ((0.0, 0.5, 0.0), 0.4),
        ((0.5, 0.5, 0.0), 0.0),
    ],
)
def test_confidence_is_the_share_of_weights_on_the_actions_side(
    views: tuple[float, float, float], share: float
) -> None:
    found = scored(*views)
    answer = share * (0.5 + abs(found.score - 0.5))
    assert found.confidence == pytest.approx(answer, abs=1e-15)


@pytest.mark.parametrize(
    ("hint", "answer"),
    [
        (0.0, 0.5),
        (0.5, 0.6224593312018546),
        (-2.0, 0.11920292202211755),
        (800.0, 1.0),
        (-800.0, 0.0),
        (math.inf, 1.0),
        (-math.inf, 0.0),
    ],
)
def test_sigmoid(hint: float, answer: float) -> None:
    assert sigmoid(hint) == pytest.approx(answer, rel=1e-15)


def test_sigmoid_of_nan_is_nan() -> None:
    assert math.isnan(sigmoid(NAN))


@given(st.floats(-700, 700), st.floats(-700, 700))
def test_sigmoid_is_symmetric_and_rises(a: float, b: float) -> None:
    assert sigmoid(a) + sigmoid(-a) == pytest.approx(1.0, abs=1e-15)
    assert sigmoid(min(a, b)) <= sigmoid(max(a, b))


@pytest.mark.parametrize(
    ("median", "order", "answer"),
    [
        (1_500_000.0, 15_000.0, 1.0),
        (1_499_999.0, 15_000.0, 1_499_999 / 1_500_000),
        (750_000.0, 15_000.0, 0.5),
        (9e9, 15_000.0, 1.0),
        (0.0, 15_000.0, 0.0),
    ],
)
def test_liquidity(median: float, order: float, answer: float) -> None:
    assert liquidity_score(median, order) == answer


@pytest.mark.parametrize(("median", "order"), [(NAN, 1.0), (1.0, NAN), (1.0, 0.0), (-1.0, 1.0)])
def test_liquidity_is_unknown_without_volume(median: float, order: float) -> None:
    assert math.isnan(liquidity_score(median, order))


FIELDS = ("base", "volatility", "news", "illiquid", "decorrelated", "score", "action", "confidence")


def both_forms(lim: Limits, **facts: float) -> Any:
    """The array form's record, after it was found equal to the scalar form's, bit for bit."""
    rows = np.zeros(3, INPUT)
    for name, value in facts.items():
        rows[name] = value
    rows["p_short"][0] = 0.123  # neighbours must not leak into a row
    rows["p_mid"][2] = NAN
    out = np.zeros(3, DECISION)
    with np.errstate(all="ignore"):
        blend_arrays(lim, rows, out)
    one = blend(lim, **facts)
    for name, value in zip(FIELDS, one, strict=True):
        assert np.array([value], out[name].dtype).tobytes() == out[name][1].tobytes(), name
    return out[1]


VIEW = st.one_of(
    st.just(NAN), st.sampled_from([0.0, 0.5, 1.0, 5e-324, 0.67, 0.33]), st.floats(0, 1)
)
FACT = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)
WEIGHT = st.one_of(st.just(0.0), st.floats(0, 1, allow_subnormal=True))


@given(
    lim=st.sampled_from([SUBTRACT, SHRINK]),
    weights=st.tuples(WEIGHT, WEIGHT, WEIGHT),
    views=st.tuples(VIEW, VIEW, VIEW),
    facts=st.tuples(FACT, FACT, FACT, FACT, FACT),
)
@example(SUBTRACT, (0.4, 0.3, 0.3), (0.5, 0.5, 0.5), (3.0, -1.0, 0.0, 0.1, 0.2))
@example(SHRINK, (5e-324, 0.0, 1.0), (5e-324, NAN, 1.0), (3.0, -1.0, 0.0, 0.1, 0.2))
def test_scalar_and_array_agree_and_stay_in_bounds(
    lim: Limits,
    weights: tuple[float, float, float],
    views: tuple[float, float, float],
    facts: tuple[float, ...],
) -> None:
    w_short, w_mid, w_rl = weights
    lim = lim._replace(weight_short=w_short, weight_mid=w_mid, weight_rl=w_rl)
    named = dict(zip(("p_short", "p_mid", "rl", *CALM), (*views, *facts), strict=True))
    found = both_forms(lim, **named)
    assert 0.0 <= found["confidence"] <= 1.0 + 1e-15
    if math.isnan(found["score"]):
        assert found["action"] == 0
        assert (w_short == 0 or math.isnan(views[0])) and (w_mid == 0 or math.isnan(views[1]))
        return
    assert 0.0 <= found["score"] <= 1.0
    if lim.shrink:
        assert abs(found["score"] - 0.5) <= abs(found["base"] - 0.5)
        assert (found["score"] - 0.5) * (found["base"] - 0.5) >= 0.0
    else:
        assert found["score"] <= min(found["base"], 1.0)


@given(
    lim=st.sampled_from([SUBTRACT, SHRINK]),
    views=st.tuples(FACT, FACT, FACT),
    facts=st.tuples(FACT, FACT, FACT, FACT, FACT),
)
def test_the_forms_agree_even_on_views_that_are_no_probability(
    lim: Limits, views: tuple[float, float, float], facts: tuple[float, ...]
) -> None:
    named = dict(zip(("p_short", "p_mid", "rl", *CALM), (*views, *facts), strict=True))
    both_forms(lim, **named)
