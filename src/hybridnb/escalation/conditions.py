"""Facts of the portfolio, and what they say: the conditions that make a trigger fire.

A condition has three values: it holds, it doesn't, or it can't be told because a fact is unknown
(Kleene's logic: "both" is already false when one of two is, whatever the other may be).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from hybridnb.policy import Count, Finite, Params, Policy, Positive, Share

_ROUNDING = 1e-9  # differences of decimals: 0.60 - 0.53 is a little less than 0.07
Correlation = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


class TriggerParams(Params):
    """Bars of the triggers; that of the kill switch is the policy's `risk.kill_day_pnl`, that of
    a correlation breakdown its `blend.correlation`.
    """

    drawdown_5d: Share = Field(0.08, description="5-day drawdown, share of equity, above which")
    gross_drawdown_5d: Share = Field(0.08, description="the same, share of gross exposure")
    day_loss: Share = Field(0.025, description="loss of the day, share of equity, above which")
    volatility_z: Positive = Field(2.0, description="absolute volatility z above which")
    spike: Correlation = Field(0.6, description="average correlation above which it is a spike")
    spike_rise: Positive = Field(0.3, description="rise in 20 sessions that is a spike too")
    put_call: Positive = Field(1.6, description="put/call open-interest ratio above which")
    accuracy_drop: Positive = Field(0.07, description="accuracy under its baseline by this much")
    sharpe: Finite = Field(0.6, description="annualised Sharpe ratio below which it has decayed")
    sharpe_sessions: int = Field(60, ge=2, description="sessions it is measured over, at least")
    sharpe_p: Share = Field(0.05, description="p-value against the validated one below which")
    cooldown_minutes: Count = Field(60, description="after firing; none for the kill switch")


class Condition(StrEnum):
    """What makes a trigger fire, any one of its own."""

    KILL = "kill"
    DRAWDOWN = "drawdown_5d"
    GROSS_DRAWDOWN = "gross_drawdown_5d"
    DAY_LOSS = "day_loss"
    BREAKDOWN = "correlation_breakdown"
    SPIKE = "correlation_spike"
    PUT_CALL = "put_call"
    ACCURACY = "accuracy"
    SHARPE = "sharpe"


@dataclass(frozen=True, slots=True)
class PortfolioFacts:
    """What is known of the portfolio at a moment; None, NaN and infinity all mean unknown.

    Attributes
    ----------
    session : date
        The exchange's session that the day's figures belong to.
    net_liquidity : float
        Equity, account units.
    daily_pnl : float
        Signed, fraction of the session's opening equity.
    max_drawdown_5d, gross_drawdown_5d : float
        Positive fraction of equity, and of gross exposure.
    volatility_zscore : float
        20-day realised volatility of the index against its previous 252 sessions.
    correlation_breakdown : float
        Average pairwise 20-day correlation: low means broken down.
    correlation_floor : float
        5 % quantile of its previous 252 sessions.
    correlation_before : float
        The same average 20 sessions earlier.
    ensemble_accuracy, accuracy_baseline : float
        Share of the last 100 resolved predictions that were right, and what it is held against.
    sharpe_ratio, sharpe_sessions, sharpe_p : float, int, float
        Annualised and net, the sessions it is measured over, and its one-sided p-value against
        the validated one.
    put_call_ratio : float
        By open interest.
    news_sentiment : float
        In [-1, 1].
    macro_events : tuple of str or None
        Empty: there are none. None: nobody knows.
    sector_dispersion, bucket_usage, pnl_decomposition, turnover_stats, feature_performance : map
        By name; a name that isn't there is unknown.
    """

    session: dt.date
    net_liquidity: float | None = None
    daily_pnl: float | None = None
    max_drawdown_5d: float | None = None
    gross_drawdown_5d: float | None = None
    volatility_zscore: float | None = None
    correlation_breakdown: float | None = None
    correlation_floor: float | None = None
    correlation_before: float | None = None
    ensemble_accuracy: float | None = None
    accuracy_baseline: float | None = None
    sharpe_ratio: float | None = None
    sharpe_sessions: int | None = None
    sharpe_p: float | None = None
    put_call_ratio: float | None = None
    news_sentiment: float | None = None
    macro_events: tuple[str, ...] | None = None
    sector_dispersion: Mapping[str, float] = field(default_factory=dict)
    bucket_usage: Mapping[str, float] = field(default_factory=dict)
    pnl_decomposition: Mapping[str, float] = field(default_factory=dict)
    turnover_stats: Mapping[str, float] = field(default_factory=dict)
    feature_performance: Mapping[str, float] = field(default_factory=dict)


def unknown(facts: PortfolioFacts) -> tuple[str, ...]:
    """Names of the facts that aren't known, in the type's order; what a reader is shown."""
    missing = []
    for name in (f.name for f in fields(facts) if f.name != "session"):
        value = getattr(facts, name)
        empty = isinstance(value, Mapping) and not value
        if value is None or empty or (isinstance(value, float) and not math.isfinite(value)):
            missing.append(name)
    return tuple(missing)


def conditions(
    facts: PortfolioFacts, policy: Policy, params: TriggerParams
) -> dict[Condition, bool | None]:
    """Whether each condition holds; None where an unknown fact leaves it open.

    Bars are crossed as the specification's signs say: the kill switch trips at exactly its
    limit, a drop in accuracy and a rise in correlation count from exactly theirs, every other
    bar must be passed.
    """
    pnl, z = _known(facts.daily_pnl), _known(facts.volatility_zscore)
    rho, floor = _known(facts.correlation_breakdown), _known(facts.correlation_floor)
    before = _known(facts.correlation_before)
    hit, base = _known(facts.ensemble_accuracy), _known(facts.accuracy_baseline)
    wild = _above(None if z is None else abs(z), params.volatility_z)
    low = _both(_below(rho, policy.blend.correlation), _lower(rho, floor))
    high = _either(_above(rho, params.spike), _risen(before, rho, params.spike_rise))
    sessions = _known(facts.sharpe_sessions)
    long_enough = None if sessions is None else sessions >= params.sharpe_sessions
    weak = _both(_below(_known(facts.sharpe_ratio), params.sharpe), long_enough)
    return {
        Condition.KILL: None if pnl is None else pnl <= policy.risk.kill_day_pnl,
        Condition.DRAWDOWN: _above(_known(facts.max_drawdown_5d), params.drawdown_5d),
        Condition.GROSS_DRAWDOWN: _above(_known(facts.gross_drawdown_5d), params.gross_drawdown_5d),
        Condition.DAY_LOSS: _below(pnl, -params.day_loss),
        Condition.BREAKDOWN: _both(wild, low),
        Condition.SPIKE: _both(wild, high),
        Condition.PUT_CALL: _above(_known(facts.put_call_ratio), params.put_call),
        Condition.ACCURACY: _risen(hit, base, params.accuracy_drop),
        Condition.SHARPE: _both(weak, _below(_known(facts.sharpe_p), params.sharpe_p)),
    }


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _above(value: float | None, bar: float) -> bool | None:
    return None if value is None else value > bar


def _below(value: float | None, bar: float) -> bool | None:
    return None if value is None else value < bar


def _lower(value: float | None, other: float | None) -> bool | None:
    return None if value is None or other is None else value < other


def _risen(low: float | None, high: float | None, by: float) -> bool | None:
    """Whether `high` lies above `low` by this much or more."""
    return None if low is None or high is None else high - low >= by - _ROUNDING


def _both(one: bool | None, other: bool | None) -> bool | None:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _either(one: bool | None, other: bool | None) -> bool | None:
    if one or other:
        return True
    return None if one is None or other is None else False
