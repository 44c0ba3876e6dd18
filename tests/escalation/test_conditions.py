"""What facts say when some of them are unknown: yes, no, or nothing."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.errors import ParamsError
from hybridnb.escalation.conditions import (
    Condition,
    PortfolioFacts,
    TriggerParams,
    conditions,
    unknown,
)
from hybridnb.policy import Policy, validated

POLICY, PARAMS = Policy(), TriggerParams()
DAY = dt.date(2026, 3, 16)


def of(**known: float) -> dict[Condition, bool | None]:
    return conditions(PortfolioFacts(DAY, **known), POLICY, PARAMS)  # type: ignore[arg-type]


def test_nothing_known_leaves_everything_open() -> None:
    assert set(of().values()) == {None} and list(of()) == list(Condition)
    assert unknown(PortfolioFacts(DAY)) == tuple(
        f.name for f in fields(PortfolioFacts) if f.name != "session"
    )


def test_a_fact_is_unknown_when_it_is_no_finite_number() -> None:
    seen = PortfolioFacts(
        DAY,
        net_liquidity=1e6,
        daily_pnl=math.nan,
        put_call_ratio=math.inf,
        macro_events=(),
        bucket_usage={"core": 0.5},
    )
    known = {"net_liquidity", "macro_events", "bucket_usage"}
    names = {f.name for f in fields(PortfolioFacts)} - {"session"}
    assert set(unknown(seen)) == names - known
    for value in (math.nan, math.inf, -math.inf):
        assert of(daily_pnl=value, put_call_ratio=value) == of()


def test_one_false_half_settles_it_whatever_the_other() -> None:
    assert of(volatility_zscore=1.0)[Condition.BREAKDOWN] is False
    assert of(volatility_zscore=3.0)[Condition.BREAKDOWN] is None
    assert of(correlation_breakdown=0.5)[Condition.BREAKDOWN] is False
    assert of(volatility_zscore=3.0, correlation_breakdown=0.3)[Condition.BREAKDOWN] is None
    assert of(volatility_zscore=-3.0, correlation_breakdown=0.7)[Condition.SPIKE] is True
    assert of(volatility_zscore=3.0, correlation_breakdown=0.5)[Condition.SPIKE] is None
    assert of(sharpe_ratio=0.1, sharpe_sessions=60)[Condition.SHARPE] is None
    assert of(sharpe_ratio=0.1, sharpe_sessions=59)[Condition.SHARPE] is False
    assert of(sharpe_p=0.5)[Condition.SHARPE] is False


def test_bars_are_the_operators() -> None:
    params = validated(TriggerParams, {"put_call": 2.0})
    facts = PortfolioFacts(DAY, put_call_ratio=1.9)
    assert conditions(facts, POLICY, params)[Condition.PUT_CALL] is False
    for values in ({"put_call": 0}, {"put_call": math.nan}, {"put_calls": 1.6}):
        with pytest.raises(ParamsError):
            validated(TriggerParams, values)


numbers = st.none() | st.floats(-5, 5)
NAMES = [f.name for f in fields(PortfolioFacts) if f.type in ("float | None", "int | None")]


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, numbers)), st.sampled_from(NAMES))
def test_learning_a_fact_never_changes_what_was_settled(
    known: dict[str, float | None], hidden: str
) -> None:
    """What is told without a fact is told with any value of it."""
    whole = conditions(PortfolioFacts(DAY, **known), POLICY, PARAMS)  # type: ignore[arg-type]
    less = known | {hidden: None}
    partly = conditions(PortfolioFacts(DAY, **less), POLICY, PARAMS)  # type: ignore[arg-type]
    for condition, holds in partly.items():
        if holds is not None:
            assert whole[condition] is holds
