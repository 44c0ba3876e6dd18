"""The size hint's reward: P&L, drawdown, cost, Sharpe and regime terms in four mixes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hybridnb.learning.params import PpoParams

# What the coefficients of an escalation reply are relative to.
RETURNS, TURNOVER, DRAWDOWN = 0.6, 0.2, 0.2
CLIFF = 10.0  # charged once the drawdown is past its limit, on top of the linear term
MISMATCH = {"range": 0.3, "crisis": 0.5, "low_liquidity": 0.7}
OTHER_MISMATCH = 0.2
TRENDING = ("trend", "breakout")


@dataclass(frozen=True, slots=True)
class RewardMix:
    """Weights of the terms; `drawdown_limit` in percent, `target_sharpe` a year."""

    pnl: float
    risk: float
    cost: float
    sharpe: float
    regime_bonus: float
    drawdown_limit: float
    target_sharpe: float
    penalty_rate: float = 0.01


MIXES = {
    "balanced": RewardMix(1.0, 0.3, 0.2, 0.5, 0.10, 15.0, 1.5),
    "aggressive": RewardMix(1.0, 0.1, 0.1, 0.3, 0.0, 25.0, 1.5),
    "conservative": RewardMix(0.7, 0.5, 0.3, 0.8, 0.20, 10.0, 1.5),
    "sharpe": RewardMix(0.8, 0.4, 0.25, 1.0, 0.15, 12.0, 2.0),
}


def mix_of(params: PpoParams) -> RewardMix:
    """The named mix with its P&L, cost and risk weights scaled by the policy's coefficients."""
    mix = MIXES[params.mix]
    return replace(
        mix,
        pnl=mix.pnl * (params.returns / RETURNS),
        cost=mix.cost * (params.turnover / TURNOVER),
        risk=mix.risk * (params.drawdown / DRAWDOWN),
        penalty_rate=params.penalty_rate,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did: P&L before costs, fees and slippage in bps, drawdown in percent.

    `slippage_mean` is the exponential mean before the step; `matched` whether the position
    suited the regime; `turnover` in units of the position's cap.
    """

    pnl: float
    drawdown: float
    fees: float
    slippage: float
    slippage_mean: float
    sharpe: float
    regime: str
    matched: bool
    turnover: float


def reward(mix: RewardMix, outcome: Outcome) -> float:
    """The reward of a step (the drawdown cliff comes on top of the linear term).

    Raises
    ------
    ValueError
        When a figure isn't finite.
    """
    o = outcome
    figures = (o.pnl, o.drawdown, o.fees, o.slippage, o.slippage_mean, o.sharpe, o.turnover)
    if not all(map(math.isfinite, figures)):
        raise ValueError(f"a reward needs finite figures: {outcome}")
    cliff = CLIFF if o.drawdown > mix.drawdown_limit else 0.0
    regime = mix.regime_bonus if o.matched else -0.5 * MISMATCH.get(o.regime, OTHER_MISMATCH)
    return (
        mix.pnl * o.pnl
        - mix.risk * o.drawdown
        - cliff
        - mix.cost * (o.fees + o.slippage)
        - 0.5 * mix.cost * max(0.0, o.slippage - o.slippage_mean)
        + mix.sharpe * max(0.0, o.sharpe - mix.target_sharpe)
        + regime
        - mix.penalty_rate * o.turnover
    )
