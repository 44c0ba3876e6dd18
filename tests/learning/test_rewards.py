"""The reward: hand-computed steps of every mix, and what must never pay."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.learning.params import PpoParams
from hybridnb.learning.rewards import CLIFF, MIXES, Outcome, mix_of, reward

# 50 bps gained at a drawdown of 4 %, 3 bps of fees, 5 of slippage where 2 were expected.
STEP = Outcome(
    pnl=50.0,
    drawdown=4.0,
    fees=3.0,
    slippage=5.0,
    slippage_mean=2.0,
    sharpe=2.5,
    regime="trend",
    matched=True,
    turnover=2.0,
)
FIGURES = ("pnl", "drawdown", "fees", "slippage", "slippage_mean", "sharpe", "turnover")

figure = st.floats(-1e4, 1e4)
share = st.floats(0.0, 100.0)
outcomes = st.builds(
    Outcome,
    pnl=figure,
    drawdown=share,
    fees=share,
    slippage=share,
    slippage_mean=share,
    sharpe=st.floats(-10.0, 10.0),
    regime=st.sampled_from(["trend", "breakout", "range", "crisis", "low_liquidity", "unknown"]),
    matched=st.booleans(),
    turnover=st.floats(0.0, 2.0),
)
mixes = st.sampled_from(sorted(MIXES))


@pytest.mark.parametrize(
    ("mix", "terms"),
    [
        # P&L, drawdown, cost, slippage beyond its mean, Sharpe, regime, turnover
        ("balanced", (50.0, -1.2, -1.6, -0.3, 0.5, 0.10, -0.02)),
        ("aggressive", (50.0, -0.4, -0.8, -0.15, 0.3, 0.0, -0.02)),
        ("conservative", (35.0, -2.0, -2.4, -0.45, 0.8, 0.20, -0.02)),
        ("sharpe", (40.0, -1.6, -2.0, -0.375, 0.5, 0.15, -0.02)),
    ],
)
def test_a_step_by_hand(mix: str, terms: tuple[float, ...]) -> None:
    assert reward(MIXES[mix], STEP) == pytest.approx(math.fsum(terms), abs=1e-12)


@pytest.mark.parametrize(
    ("regime", "penalty"),
    [("range", 0.3), ("crisis", 0.5), ("low_liquidity", 0.7), ("trend", 0.2), ("unknown", 0.2)],
)
def test_a_mismatch_costs_half_its_penalty_in_place_of_the_bonus(
    regime: str, penalty: float
) -> None:
    matched = reward(MIXES["balanced"], STEP)
    missed = reward(MIXES["balanced"], replace(STEP, regime=regime, matched=False))
    assert matched - missed == pytest.approx(0.10 + 0.5 * penalty, abs=1e-12)


@pytest.mark.parametrize(
    ("mix", "limit"),
    [("balanced", 15.0), ("aggressive", 25.0), ("conservative", 10.0), ("sharpe", 12.0)],
)
def test_the_cliff_comes_past_the_limit_on_top_of_the_linear_term(mix: str, limit: float) -> None:
    at = reward(MIXES[mix], replace(STEP, drawdown=limit))
    past = reward(MIXES[mix], replace(STEP, drawdown=limit + 1.0))
    assert at - past == pytest.approx(10.0 + MIXES[mix].risk, abs=1e-9)


@given(mixes, outcomes, share)
def test_a_deeper_drawdown_is_never_better(mix: str, outcome: Outcome, other: float) -> None:
    shallow, deep = sorted((outcome.drawdown, other))
    better = reward(MIXES[mix], replace(outcome, drawdown=shallow))
    worse = reward(MIXES[mix], replace(outcome, drawdown=deep))
    assert worse <= better
    limit = MIXES[mix].drawdown_limit
    if shallow <= limit < deep:
        assert better - worse >= CLIFF - 1e-6


@given(mixes, outcomes, st.sampled_from(["fees", "slippage", "turnover"]), share)
def test_costs_never_pay(mix: str, outcome: Outcome, name: str, more: float) -> None:
    dearer: Any = {name: getattr(outcome, name) + more}
    assert reward(MIXES[mix], replace(outcome, **dearer)) <= reward(MIXES[mix], outcome) + 1e-9


@given(mixes, outcomes, share, st.floats(-10.0, 10.0))
def test_profit_and_sharpe_never_hurt(
    mix: str, outcome: Outcome, more: float, sharpe: float
) -> None:
    assert reward(MIXES[mix], replace(outcome, pnl=outcome.pnl + more)) >= reward(
        MIXES[mix], outcome
    )
    low, high = sorted((outcome.sharpe, sharpe))
    better = reward(MIXES[mix], replace(outcome, sharpe=high))
    assert better >= reward(MIXES[mix], replace(outcome, sharpe=low))


def test_a_sharpe_below_the_target_neither_pays_nor_costs() -> None:
    at = reward(MIXES["sharpe"], replace(STEP, sharpe=2.0))
    assert reward(MIXES["sharpe"], replace(STEP, sharpe=-3.0)) == at


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_not_finite_is_refused(name: str, value: float) -> None:
    broken: Any = {name: value}
    with pytest.raises(ValueError, match="finite"):
        reward(MIXES["balanced"], replace(STEP, **broken))


@pytest.mark.parametrize("name", sorted(MIXES))
def test_neutral_coefficients_leave_a_mix_as_it_is(name: Any) -> None:
    assert mix_of(PpoParams(mix=name)) == MIXES[name]


def test_coefficients_scale_their_weights_and_nothing_else() -> None:
    given_mix = mix_of(PpoParams(mix="balanced", returns=0.3, turnover=0.4, drawdown=0.1))
    assert given_mix.pnl == pytest.approx(0.5)
    assert given_mix.cost == pytest.approx(0.4)
    assert given_mix.risk == pytest.approx(0.15)
    unscaled = replace(MIXES["balanced"], pnl=0.0, cost=0.0, risk=0.0)
    assert replace(given_mix, pnl=0.0, cost=0.0, risk=0.0) == unscaled


def test_turnover_is_charged_at_the_penalty_rate() -> None:
    cheap, dear = (mix_of(PpoParams(penalty_rate=rate)) for rate in (0.0, 0.05))
    assert reward(cheap, STEP) - reward(dear, STEP) == pytest.approx(0.05 * 2.0, abs=1e-12)
