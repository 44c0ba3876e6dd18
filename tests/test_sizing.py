"""From a score to a share of equity: known answers, then what must hold for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Bound, Bucket, Mode
from hybridnb.limits import CODE, limits
from hybridnb.policy import Policy
from hybridnb.sizing import MIN_TAIL_ROWS, cap_size, kelly, scale_size, tail_risk, wanted_size

NAN, INF = float("nan"), float("inf")
LIM = limits(Policy(), Mode.DEMO)
CORE = CODE[Bucket.CORE]
BOUNDS = list(Bound)
CALM = {"annual_volatility": 0.2, "var": 0.0, "es": 0.0, "heat": 0.0, "posture": 1.0}
ANY = st.floats(allow_nan=True, allow_infinity=True)
SHARE = st.floats(0, 1, allow_subnormal=True)


def test_a_core_name_at_point_eight_is_bound_by_its_cap() -> None:
    wanted = wanted_size(0.80, LIM.bucket[CORE])
    assert wanted == pytest.approx(0.54, abs=1e-15)
    capped, bound = cap_size(
        wanted, name=LIM.name[CORE], headroom=0.9, quarter_kelly=0.25, leverage=1.0
    )
    assert capped == 0.015
    assert BOUNDS[bound] is Bound.NAME
    assert scale_size(LIM, capped, crisis=False, **CALM).size == 0.015


def test_forty_percent_volatility_in_a_crisis_is_a_quarter_of_it() -> None:
    scaled = scale_size(LIM, 0.015, crisis=True, **(CALM | {"annual_volatility": 0.4}))
    assert (scaled.volatility, scaled.crisis) == (0.5, 0.5)
    assert scaled.size == pytest.approx(0.00375, abs=1e-18)


@pytest.mark.parametrize(
    ("p", "payoff", "answer"),
    [
        (0.45, 2.5 / 1.8, 0.054),
        (0.40, 2.5 / 1.8, -0.032),
        (0.60, 1.0, 0.20),
        (0.5, 1.0, 0.0),
        (1.0, 2.0, 1.0),
        (0.0, 2.0, -0.5),
    ],
)
def test_kelly(p: float, payoff: float, answer: float) -> None:
    assert kelly(p, payoff) == pytest.approx(answer, abs=1e-15)


def test_quarter_kelly_binds_below_the_cap() -> None:
    quarter = LIM.kelly_fraction * kelly(0.45, LIM.payoff)
    assert quarter == pytest.approx(0.0135, abs=1e-15)
    capped, bound = cap_size(
        0.54, name=LIM.name[CORE], headroom=0.9, quarter_kelly=quarter, leverage=1.0
    )
    assert (capped, BOUNDS[bound]) == (quarter, Bound.KELLY)


def test_a_negative_kelly_leaves_nothing() -> None:
    quarter = LIM.kelly_fraction * kelly(0.40, LIM.payoff)
    assert quarter < 0.0
    capped, bound = cap_size(0.54, name=0.015, headroom=0.9, quarter_kelly=quarter, leverage=1.0)
    assert (capped, BOUNDS[bound]) == (0.0, Bound.KELLY)


def test_kelly_of_an_unknown_probability_is_unknown() -> None:
    assert math.isnan(kelly(NAN, 1.0))


@pytest.mark.parametrize(
    ("score", "answer"), [(0.5, 0.0), (1.0, 0.9), (0.0, 0.9), (0.67, 0.306), (0.33, 0.306)]
)
def test_wanted_size(score: float, answer: float) -> None:
    assert wanted_size(score, 0.9) == pytest.approx(answer, abs=1e-15)


@pytest.mark.parametrize(
    ("caps", "answer", "bound"),
    [
        ((1.0, 1.0, 1.0, 1.0), 0.5, Bound.NONE),
        ((0.5, 0.5, 0.5, 0.5), 0.5, Bound.NONE),
        ((0.1, 0.2, 0.3, 0.4), 0.1, Bound.NAME),
        ((0.4, 0.1, 0.2, 0.3), 0.1, Bound.BUCKET),
        ((0.4, 0.3, 0.1, 0.2), 0.1, Bound.KELLY),
        ((0.4, 0.3, 0.2, 0.1), 0.1, Bound.LEVERAGE),
        ((0.1, 0.1, 1.0, 1.0), 0.1, Bound.NAME),
        ((1.0, -0.1, 1.0, 1.0), 0.0, Bound.BUCKET),
        ((1.0, 1.0, NAN, 1.0), 0.0, Bound.KELLY),
        ((1.0, 1.0, 1.0, -INF), 0.0, Bound.LEVERAGE),
    ],
)
def test_the_smallest_cap_binds(caps: tuple[float, ...], answer: float, bound: Bound) -> None:
    name, headroom, quarter_kelly, leverage = caps
    capped, code = cap_size(
        0.5, name=name, headroom=headroom, quarter_kelly=quarter_kelly, leverage=leverage
    )
    assert (capped, BOUNDS[code]) == (answer, bound)


@given(SHARE, ANY, ANY, ANY, ANY)
def test_no_cap_is_passed(wanted: float, a: float, b: float, c: float, d: float) -> None:
    capped, code = cap_size(wanted, name=a, headroom=b, quarter_kelly=c, leverage=d)
    assert 0.0 <= capped <= wanted
    if any(math.isnan(x) or x < 0.0 for x in (a, b, c, d)):
        assert capped == 0.0
    else:
        assert capped == min(wanted, a, b, c, d)
    if code:
        cap = (a, b, c, d)[code - 1]
        assert not cap >= wanted and capped == (cap if cap > 0.0 else 0.0)
    else:
        assert capped == wanted


@pytest.mark.parametrize(
    ("name", "value", "multiplier"),
    [
        ("annual_volatility", 0.2, 1.0),
        ("annual_volatility", 0.25, 0.8),
        ("annual_volatility", 0.0, 1.0),
        ("var", 0.02, 1.0),
        ("var", 0.04, 0.5),
        ("es", 0.03, 1.0),
        ("es", 0.04, 0.75),
        ("heat", 0.0, 1.0),
        ("heat", 0.4, 0.5),
        ("heat", 0.8, 0.0),
        ("heat", 2.0, 0.0),
        ("posture", 0.5, 0.5),
        ("posture", 0.0, 0.0),
        ("posture", 1.5, 1.0),
        ("posture", -1.0, 0.0),
    ],
)
def test_multipliers_one_by_one(name: str, value: float, multiplier: float) -> None:
    scaled = scale_size(LIM, 0.01, crisis=False, **(CALM | {name: value}))
    assert scaled.size == pytest.approx(0.01 * multiplier, abs=1e-18)


@pytest.mark.parametrize("name", list(CALM))
def test_an_unknown_risk_leaves_nothing(name: str) -> None:
    assert scale_size(LIM, 0.01, crisis=False, **(CALM | {name: NAN})).size == 0.0


@given(SHARE, ANY, ANY, ANY, ANY, ANY, st.booleans())
def test_multipliers_only_shrink(
    capped: float, vol: float, var: float, es: float, heat: float, posture: float, crisis: bool
) -> None:
    scaled = scale_size(
        LIM,
        capped,
        annual_volatility=vol,
        var=var,
        es=es,
        heat=heat,
        crisis=crisis,
        posture=posture,
    )
    assert all(0.0 <= m <= 1.0 for m in scaled[:-1])
    assert 0.0 <= scaled.size <= capped
    if any(math.isnan(x) for x in (vol, var, es, heat, posture)):
        assert scaled.size == 0.0


def returns(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(0.0, 0.01, count)


@pytest.mark.parametrize("count", [60, 61, 80, 99, 100, 250, 252])
def test_var_is_the_quantile_of_the_returns(count: int) -> None:
    """Historical VaR: the smallest return with at least 5 % of them at or below it."""
    book = returns(count)
    var, es = tail_risk(book)
    at = np.quantile(book, 0.05, method="inverted_cdf")
    assert var == -at
    assert es == pytest.approx(-book[book <= at].mean(), rel=1e-12)
    assert es >= var > 0.0


def test_a_tail_by_hand() -> None:
    book = np.full(100, 0.01)
    book[[3, 14, 15, 92, 65]] = [-0.05, -0.01, -0.04, -0.02, -0.03]
    assert tail_risk(book) == pytest.approx((0.01, 0.03), abs=1e-15)


def test_a_tail_that_gains_is_no_loss() -> None:
    assert tail_risk(np.full(100, 0.01)) == (0.0, 0.0)
    assert tail_risk(np.zeros(100)) == (0.0, 0.0)


def test_a_tail_needs_sixty_sessions() -> None:
    book = returns(MIN_TAIL_ROWS + 2)
    book[[0, 7]] = [NAN, INF]
    known = np.delete(book, [0, 7])
    assert tail_risk(book) == tail_risk(known)
    assert not math.isnan(tail_risk(book)[0])
    book[8] = NAN
    assert all(math.isnan(x) for x in tail_risk(book))
    assert all(math.isnan(x) for x in tail_risk(np.array([])))


@given(st.lists(st.floats(-1, 1), min_size=60, max_size=120), st.randoms())
def test_the_tail_is_that_of_the_set_of_returns(values: list[float], random: object) -> None:
    book = np.array(values)
    mixed = list(values)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    var, es = tail_risk(book)
    assert (var, es) == tail_risk(np.array(mixed))
    assert var == max(0.0, -np.quantile(book, 0.05, method="inverted_cdf"))
    assert es >= var - 1e-15
    worse = tail_risk(book - 0.01)
    assert worse[0] >= var and worse[1] >= es - 1e-15
