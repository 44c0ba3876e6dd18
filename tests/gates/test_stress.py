"""Verdicts of the stress scenarios: each bar at its boundary, and evidence that proves nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Status
from hybridnb.gates.rules import SCENARIOS
from hybridnb.gates.stress import Bars, Course, course, judge, judged, loss_bps

PASS, FAIL, UNKNOWN = Status.PASS, Status.FAIL, Status.INSUFFICIENT_EVIDENCE
BASE = Course(sessions=252, pnl=1000.0, sharpe=2.0, max_drawdown=0.05, trades=100, touched=100)
SAME = replace(BASE, loss_bps=0.0)


@pytest.mark.parametrize(
    ("name", "holds", "breaks"),
    [
        ("flash crash", {"sharpe": 1.0}, {"sharpe": 0.999}),
        ("flash crash", {"max_drawdown": 0.30}, {"max_drawdown": 0.3001}),
        ("flash crash", {"loss_bps": 499.9}, {"loss_bps": 500.0}),
        ("stuck position", {"max_drawdown": 0.25}, {"max_drawdown": 0.2501}),
        ("stuck position", {"loss_bps": 299.9}, {"loss_bps": 300.0}),
        ("partial fills", {"pnl": 150.0}, {"pnl": 149.9}),
        ("exchange halt", {"max_drawdown": 0.30}, {"max_drawdown": 0.3001}),
        ("funding flip", {"pnl": 0.01}, {"pnl": 0.0}),
        ("liquidity gone", {"loss_bps": 99.9}, {"loss_bps": 100.0}),
        ("liquidity gone", {"loss_bps": 900.0, "trades": 69}, {"loss_bps": 900.0, "trades": 70}),
        ("fee spike", {"pnl": 0.01}, {"pnl": 0.0}),
        ("fee spike", {"pnl": -9.0, "trades": 49}, {"pnl": -9.0, "trades": 50}),
        ("data gap", {"sharpe": 0.01}, {"sharpe": 0.0}),
    ],
)
def test_each_bar_at_its_boundary(
    name: str, holds: dict[str, float], breaks: dict[str, float]
) -> None:
    assert judge(name, BASE, replace(SAME, **holds)).status is PASS
    found = judge(name, BASE, replace(SAME, **breaks))
    assert found.status is FAIL
    assert found.value is not None and found.threshold is not None and found.n == 252


def test_all_terms_of_the_crash_must_hold() -> None:
    bad = [{"sharpe": 0.1}, {"max_drawdown": 0.9}, {"loss_bps": 9e3}]
    assert all(judge("flash crash", BASE, replace(SAME, **b)).status is FAIL for b in bad)


def test_the_figure_that_fails_is_the_one_told() -> None:
    found = judge("flash crash", BASE, replace(SAME, loss_bps=700.0))
    assert (found.value, found.threshold) == (700.0, 500.0)
    assert "loss in bps 700 < 500" in found.detail
    either = judge("liquidity gone", BASE, replace(SAME, loss_bps=50.0))
    assert (either.value, either.threshold) == (50.0, 100.0)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize(
    "base",
    [replace(BASE, pnl=0.0), replace(BASE, pnl=-1.0), replace(BASE, sharpe=0.0)],
)
def test_a_base_that_earns_nothing_is_a_fail_by_itself(name: str, base: Course) -> None:
    assert judge(name, base, SAME).status is FAIL


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize(
    ("base", "stressed"),
    [
        (replace(BASE, trades=0), SAME),
        (replace(BASE, sharpe=math.nan), SAME),
        (replace(BASE, pnl=math.nan), SAME),
        (replace(BASE, sharpe=math.inf), SAME),
        (BASE, replace(SAME, touched=0)),
        (BASE, replace(SAME, sharpe=math.nan, pnl=math.nan, max_drawdown=math.nan)),
        (course([1e6], trades=0, touched=0), course([1e6], trades=0, touched=0)),
        (course([1e6, 1e6], trades=1, touched=1), SAME),
        (course([1e6] * 9, trades=1, touched=1), SAME),
    ],
)
def test_what_proves_nothing_is_insufficient(name: str, base: Course, stressed: Course) -> None:
    assert judge(name, base, stressed).status is UNKNOWN


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize(
    "broken",
    [
        {"error": "KeyError"},
        {"breaches": ("A: above its cap",)},
        {"unheld": ("it didn't trip",)},
        {"breaches": ("A",), "touched": 0},
    ],
)
def test_a_limit_a_switch_or_a_step_that_broke_fails_whatever_the_figures_say(
    name: str, broken: dict[str, object]
) -> None:
    assert judge(name, BASE, replace(SAME, **broken)).status is FAIL
    assert judge(name, replace(BASE, **broken), SAME).status is FAIL


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="earthquake"):
        judge("earthquake", BASE, SAME)
    with pytest.raises(ValueError, match="earthquake"):
        judged(BASE, {"earthquake": SAME})


def test_all_eight_are_judged_and_one_that_is_missing_is_no_pass() -> None:
    whole = judged(BASE, dict.fromkeys(SCENARIOS, SAME))
    assert [c.name for c in whole] == list(SCENARIOS)
    assert {c.status for c in whole} == {PASS}
    part = judged(BASE, {name: SAME for name in SCENARIOS if name != "fee spike"})
    assert [c.name for c in part if c.status is UNKNOWN] == ["fee spike"]


def test_another_bar_is_another_verdict() -> None:
    late = replace(SAME, loss_bps=450.0)
    assert judge("flash crash", BASE, late).status is PASS
    assert judge("flash crash", BASE, late, bars=Bars(crash_loss=400.0)).status is FAIL


def test_the_figures_of_a_curve() -> None:
    found = course([100.0, 110.0, 99.0, 105.0], trades=3, touched=2)
    returns = np.array([0.1, -0.1, 105 / 99 - 1])
    assert found.sessions == 3 and found.pnl == pytest.approx(5.0)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(252))
    assert found.max_drawdown == pytest.approx(0.1)


@pytest.mark.parametrize("curve", [[], [1.0, math.nan], [1.0, 0.0], [1.0, math.inf]])
def test_a_curve_that_is_none_is_refused(curve: list[float]) -> None:
    with pytest.raises(ValueError, match="equity"):
        course(curve, trades=1, touched=1)


def test_the_loss_is_the_most_the_book_lay_behind_inside_the_window() -> None:
    base = [100.0, 100.0, 102.0, 103.0, 103.0]
    stressed = [100.0, 100.0, 97.0, 101.0, 40.0]
    assert loss_bps(base, stressed, first=2, last=3) == pytest.approx(500.0)
    assert loss_bps(base, stressed, first=3, last=3) == pytest.approx(1e4 * 2 / 97)
    assert loss_bps(base, base, first=1, last=4) == 0.0
    assert loss_bps(base, [100.0, 105.0, 109.0, 110.0, 111.0], first=1, last=4) == 0.0


@pytest.mark.parametrize(("first", "last"), [(0, 2), (3, 2), (1, 3)])
def test_a_window_outside_of_the_curves_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="window"):
        loss_bps([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], first=first, last=last)
    with pytest.raises(ValueError, match="length"):
        loss_bps([1.0, 1.0], [1.0], first=1, last=1)


@given(
    seed=st.integers(0, 2**31),
    worse=st.floats(0.0, 0.5),
    name=st.sampled_from(SCENARIOS),
)
def test_a_worse_course_never_passes_where_a_better_one_fails(
    seed: int, worse: float, name: str
) -> None:
    rng = np.random.default_rng(seed)
    good = replace(
        SAME,
        pnl=float(rng.normal(500, 800)),
        sharpe=float(rng.normal(1, 1)),
        max_drawdown=float(rng.uniform(0, 0.4)),
        loss_bps=float(rng.uniform(0, 700)),
    )
    bad = replace(
        good,
        pnl=good.pnl - 1000 * worse,
        sharpe=good.sharpe - worse,
        max_drawdown=good.max_drawdown + worse,
        loss_bps=good.loss_bps * (1 + worse),
    )
    if judge(name, BASE, bad).status is PASS:
        assert judge(name, BASE, good).status is PASS
