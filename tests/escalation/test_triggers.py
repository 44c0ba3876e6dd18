"""Five triggers: what fires, in which order, once, and again only after it has ended."""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.canonical import canonical
from hybridnb.escalation.calls import Call
from hybridnb.escalation.conditions import Condition, PortfolioFacts, TriggerParams
from hybridnb.escalation.triggers import (
    CALLS,
    CONDITIONS,
    Fired,
    Trigger,
    TriggerState,
    advance,
    read_state,
    state_values,
)
from hybridnb.policy import Policy

POLICY, PARAMS = Policy(), TriggerParams()
DAY = dt.date(2026, 3, 16)
NOON = dt.datetime(2026, 3, 16, 16, tzinfo=dt.UTC)
CALM: dict[str, Any] = {
    "daily_pnl": 0.001,
    "max_drawdown_5d": 0.01,
    "gross_drawdown_5d": 0.01,
    "volatility_zscore": 0.5,
    "correlation_breakdown": 0.5,
    "correlation_floor": 0.2,
    "correlation_before": 0.5,
    "ensemble_accuracy": 0.56,
    "accuracy_baseline": 0.55,
    "sharpe_ratio": 1.2,
    "sharpe_sessions": 60,
    "sharpe_p": 0.5,
    "put_call_ratio": 1.0,
}
BROKEN_DOWN = {"volatility_zscore": 2.5, "correlation_breakdown": 0.1}


def facts(session: dt.date = DAY, **known: Any) -> PortfolioFacts:
    return PortfolioFacts(session, **(CALM | known))


def look(
    state: TriggerState, at: PortfolioFacts, minutes: float = 0
) -> tuple[TriggerState, tuple[Fired, ...]]:
    moment = NOON + dt.timedelta(minutes=minutes)
    return advance(state, at, moment, policy=POLICY, params=PARAMS)


def fires(**known: Any) -> list[Trigger]:
    """Triggers of a first look at calm facts with these changed."""
    return [f.trigger for f in look(TriggerState(), facts(**known))[1]]


def test_calm_facts_and_unknown_facts_fire_nothing() -> None:
    assert fires() == []
    nothing = PortfolioFacts(DAY)
    assert look(TriggerState(), nothing) == (TriggerState("2026-03-16", frozenset(), {}), ())


def test_each_trigger_asks_for_its_call() -> None:
    seen = {
        Trigger.KILL_SWITCH: {"daily_pnl": -0.03},
        Trigger.RISK: {"max_drawdown_5d": 0.09},
        Trigger.REGIME: BROKEN_DOWN,
        Trigger.EVENT_HEAT: {"put_call_ratio": 1.7},
        Trigger.MODEL_DECAY: {"ensemble_accuracy": 0.4},
    }
    calls = ["SANITY_JUDGE", "REWARD_ENGINEER", "REGIME_AUDITOR", "REGIME_AUDITOR"]
    assert [str(CALLS[t]) for t in seen] == [*calls, "REWARD_ENGINEER"]
    for trigger, known in seen.items():
        (fired,) = look(TriggerState(), facts(**known))[1]
        assert (fired.trigger, fired.call, fired.joined) == (trigger, CALLS[trigger], ())
        assert set(fired.conditions) <= CONDITIONS[trigger]
        assert fired.at == "2026-03-16T16:00:00+00:00"


def test_at_exactly_the_kill_limit_the_judge_is_asked_and_no_one_else() -> None:
    """D5, D8."""
    assert fires(daily_pnl=-0.025) == [Trigger.KILL_SWITCH]
    assert fires(daily_pnl=-0.0251) == [Trigger.KILL_SWITCH]
    assert fires(daily_pnl=-0.0249) == []


def test_a_loss_that_grows_past_the_limit_stays_one_event() -> None:
    state, first = look(TriggerState(), facts(daily_pnl=-0.025))
    assert [f.call for f in first] == [Call.SANITY_JUDGE]
    for minutes, pnl in enumerate([-0.026, -0.04, -0.0251], start=1):
        state, fired = look(state, facts(daily_pnl=pnl), minutes)
        assert fired == ()


def test_the_days_loss_asks_the_engineer_where_the_kill_limit_lies_lower() -> None:
    policy = POLICY.model_copy(
        update={"risk": POLICY.risk.model_copy(update={"kill_day_pnl": -0.05})}
    )
    state, seen = TriggerState(), []
    for minutes, pnl in enumerate([-0.025, -0.03, -0.06, -0.04]):
        at = NOON + dt.timedelta(minutes=100 * minutes)
        state, fired = advance(state, facts(daily_pnl=pnl), at, policy=policy, params=PARAMS)
        seen.append([f.trigger for f in fired])
    assert seen == [[], [Trigger.RISK], [Trigger.KILL_SWITCH], []]


def test_a_drawdown_beside_the_kill_switch_is_an_event_of_its_own() -> None:
    assert fires(daily_pnl=-0.03, max_drawdown_5d=0.09) == [Trigger.KILL_SWITCH, Trigger.RISK]
    state, _ = look(TriggerState(), facts(daily_pnl=-0.03))
    _, later = look(state, facts(daily_pnl=-0.03, max_drawdown_5d=0.09), 1)
    assert [(f.trigger, f.conditions) for f in later] == [(Trigger.RISK, (Condition.DRAWDOWN,))]


@pytest.mark.parametrize(
    ("at_the_bar", "beyond"),
    [
        ({"max_drawdown_5d": 0.08}, {"max_drawdown_5d": 0.0800001}),
        ({"gross_drawdown_5d": 0.08}, {"gross_drawdown_5d": 0.0800001}),
        (BROKEN_DOWN | {"volatility_zscore": 2.0}, BROKEN_DOWN | {"volatility_zscore": 2.0001}),
        (BROKEN_DOWN | {"volatility_zscore": -2.0}, BROKEN_DOWN | {"volatility_zscore": -2.0001}),
        (BROKEN_DOWN | {"correlation_floor": 0.1}, BROKEN_DOWN | {"correlation_floor": 0.1001}),
        (
            BROKEN_DOWN | {"correlation_breakdown": 0.4, "correlation_floor": 0.5},
            BROKEN_DOWN | {"correlation_breakdown": 0.3999, "correlation_floor": 0.5},
        ),
        (
            {"volatility_zscore": 3.0, "correlation_breakdown": 0.6},
            {"volatility_zscore": 3.0, "correlation_breakdown": 0.6001},
        ),
        ({"put_call_ratio": 1.6}, {"put_call_ratio": 1.6001}),
        (
            {"sharpe_ratio": 0.6, "sharpe_p": 0.01},
            {"sharpe_ratio": 0.5999, "sharpe_p": 0.01},
        ),
        ({"sharpe_ratio": 0.1, "sharpe_p": 0.05}, {"sharpe_ratio": 0.1, "sharpe_p": 0.0499}),
        (
            {"sharpe_ratio": 0.1, "sharpe_p": 0.01, "sharpe_sessions": 59},
            {"sharpe_ratio": 0.1, "sharpe_p": 0.01, "sharpe_sessions": 60},
        ),
        ({"ensemble_accuracy": 0.49}, {"ensemble_accuracy": 0.48}),
        (
            {"volatility_zscore": 3.0, "correlation_before": 0.21},
            {"volatility_zscore": 3.0, "correlation_before": 0.2},
        ),
    ],
)
def test_a_bar_is_passed_and_not_just_reached(
    at_the_bar: dict[str, Any], beyond: dict[str, Any]
) -> None:
    assert fires(**at_the_bar) == []
    assert len(fires(**beyond)) == 1


def test_seven_points_of_accuracy_count_whatever_the_floats_say() -> None:
    assert 0.60 - 0.53 < 0.07
    assert fires(ensemble_accuracy=0.53, accuracy_baseline=0.60) == [Trigger.MODEL_DECAY]


def test_low_correlation_alone_is_the_normal_state_of_stocks() -> None:
    """D40: below 0.4 on most days; it must also be low for itself, and the market wild."""
    assert fires(volatility_zscore=3.0, correlation_breakdown=0.3, correlation_floor=0.2) == []
    assert fires(volatility_zscore=1.0, correlation_breakdown=0.1, correlation_floor=0.2) == []


def test_a_spike_of_correlation_in_a_wild_market_is_a_regime_too() -> None:
    """2008 and 2020: everything falls together."""
    for known in ({"correlation_breakdown": 0.8}, {"correlation_before": 0.1}):
        (fired,) = look(TriggerState(), facts(volatility_zscore=4.0, **known))[1]
        assert (fired.trigger, fired.conditions) == (Trigger.REGIME, (Condition.SPIKE,))


def test_triggers_of_one_call_in_one_moment_are_one_event() -> None:
    (fired,) = look(TriggerState(), facts(**BROKEN_DOWN, put_call_ratio=2.0))[1]
    assert (fired.trigger, fired.joined) == (Trigger.REGIME, (Trigger.EVENT_HEAT,))
    assert fired.conditions == (Condition.BREAKDOWN, Condition.PUT_CALL)


def test_precedence_orders_the_calls() -> None:
    worst = BROKEN_DOWN | {"daily_pnl": -0.2, "max_drawdown_5d": 0.3, "put_call_ratio": 3.0}
    _, fired = look(TriggerState(), facts(**worst, ensemble_accuracy=0.1))
    assert [f.call for f in fired] == [
        Call.SANITY_JUDGE,
        Call.REWARD_ENGINEER,
        Call.REGIME_AUDITOR,
    ]
    assert fired[1].joined == (Trigger.MODEL_DECAY,)


def test_a_trigger_fires_on_its_edge_and_again_only_after_the_cooldown() -> None:
    hot, calm = facts(put_call_ratio=2.0), facts()
    state, fired = look(TriggerState(), hot)
    assert len(fired) == 1
    path = [(1, hot), (100, hot), (101, calm), (102, hot), (103, calm), (104, hot)]
    seen = []
    for minutes, at in path:
        state, fired = look(state, at, minutes)
        seen.append(len(fired))
    assert seen == [0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(("minutes", "again"), [(59.99, 0), (60, 1)])
def test_the_cooldown_is_over_at_sixty_minutes(minutes: float, again: int) -> None:
    state, _ = look(TriggerState(), facts(put_call_ratio=2.0))
    state, _ = look(state, facts(), 1)
    assert len(look(state, facts(put_call_ratio=2.0), minutes)[1]) == again


def test_what_began_while_cooling_down_has_to_end_first() -> None:
    state, _ = look(TriggerState(), facts(put_call_ratio=2.0))
    state, _ = look(state, facts(), 1)
    state, fired = look(state, facts(put_call_ratio=2.0), 30)
    assert fired == ()
    state, fired = look(state, facts(put_call_ratio=2.0), 90)
    assert fired == ()
    state, _ = look(state, facts(), 91)
    assert len(look(state, facts(put_call_ratio=2.0), 92)[1]) == 1


def test_the_kill_switch_needs_no_rest() -> None:
    state, _ = look(TriggerState(), facts(daily_pnl=-0.03))
    state, _ = look(state, facts(daily_pnl=-0.02), 1)
    assert [f.trigger for f in look(state, facts(daily_pnl=-0.03), 2)[1]] == [Trigger.KILL_SWITCH]


def test_a_new_session_is_a_new_day_for_the_days_loss_alone() -> None:
    """A gap at the opening is an event, though the last look of yesterday was as bad."""
    bad = {"daily_pnl": -0.03, "put_call_ratio": 2.0}
    state, _ = look(TriggerState(), facts(**bad))
    tomorrow = facts(DAY + dt.timedelta(days=1), **bad)
    assert [f.trigger for f in look(state, tomorrow, 24 * 60)[1]] == [Trigger.KILL_SWITCH]


@pytest.mark.parametrize("gap", [None, math.nan, math.inf])
def test_a_gap_in_the_facts_neither_fires_nor_arms_again(gap: float | None) -> None:
    state, _ = look(TriggerState(), facts(put_call_ratio=2.0))
    state, fired = look(state, facts(put_call_ratio=gap), 100)
    assert fired == ()
    state, fired = look(state, facts(put_call_ratio=2.0), 200)
    assert fired == ()
    calm, _ = look(TriggerState(), facts())
    calm, fired = look(calm, facts(put_call_ratio=gap))
    assert fired == ()
    assert len(look(calm, facts(put_call_ratio=2.0))[1]) == 1


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        advance(TriggerState(), facts(), dt.datetime(2026, 3, 16), policy=POLICY, params=PARAMS)


def test_a_state_with_names_of_no_one_is_refused() -> None:
    values = state_values(look(TriggerState(), facts(put_call_ratio=2.0))[0])
    with pytest.raises(ValueError, match="greed"):
        read_state(values | {"standing": ["greed"]})
    with pytest.raises(ValueError, match="greed"):
        read_state(values | {"fired": {"greed": ""}})


def shaken(draw: st.DrawFn) -> PortfolioFacts:
    ranges = {
        "daily_pnl": (-0.05, 0.02),
        "max_drawdown_5d": (0.0, 0.15),
        "gross_drawdown_5d": (0.0, 0.15),
        "volatility_zscore": (-4.0, 4.0),
        "correlation_breakdown": (0.0, 1.0),
        "correlation_floor": (0.0, 0.6),
        "correlation_before": (0.0, 1.0),
        "ensemble_accuracy": (0.4, 0.6),
        "accuracy_baseline": (0.5, 0.6),
        "sharpe_ratio": (-1.0, 2.0),
        "sharpe_p": (0.0, 0.1),
        "put_call_ratio": (1.0, 2.0),
    }
    known = {k: draw(st.none() | st.floats(*ends)) for k, ends in ranges.items()}
    return PortfolioFacts(DAY + dt.timedelta(days=draw(st.integers(0, 2))), **known)


@st.composite
def paths(draw: st.DrawFn) -> list[tuple[int, PortfolioFacts]]:
    """Looks at rising moments; sessions in order."""
    looks = sorted((shaken(draw) for _ in range(draw(st.integers(1, 8)))), key=lambda f: f.session)
    steps = [draw(st.integers(0, 90)) for _ in looks]
    return [(sum(steps[: i + 1]), at) for i, at in enumerate(looks)]


def walk(path: list[tuple[int, PortfolioFacts]], *, restarts: bool) -> list[tuple[Fired, ...]]:
    state, seen = TriggerState(), []
    for minutes, at in path:
        state, fired = look(state, at, minutes)
        if restarts:
            state = read_state(json.loads(canonical(state_values(state))))
        seen.append(fired)
    return seen


@given(paths())
def test_restarts_change_nothing(path: list[tuple[int, PortfolioFacts]]) -> None:
    assert walk(path, restarts=True) == walk(path, restarts=False)


@given(paths(), st.integers(0, 8))
def test_looking_twice_at_the_same_facts_fires_nothing_more(
    path: list[tuple[int, PortfolioFacts]], at: int
) -> None:
    doubled = path[: at + 1] + path[at : at + 1] + path[at + 1 :]
    once, twice = walk(path, restarts=False), walk(doubled, restarts=False)
    if at < len(path):
        assert twice[at + 1] == ()
        del twice[at + 1]
    assert twice == once


@given(paths(), st.integers(0, 8))
def test_a_look_that_sees_nothing_changes_nothing_within_a_session(
    path: list[tuple[int, PortfolioFacts]], at: int
) -> None:
    if at >= len(path):
        return
    minutes, seen = path[at]
    blind = (minutes, PortfolioFacts(seen.session))
    whole = walk([*path[: at + 1], blind, *path[at + 1 :]], restarts=False)
    assert whole[at + 1] == ()
    assert whole[: at + 1] + whole[at + 2 :] == walk(path, restarts=False)


@given(paths())
def test_cooldowns_hold_and_a_call_is_asked_once_a_moment(
    path: list[tuple[int, PortfolioFacts]],
) -> None:
    last: dict[Trigger, int] = {}
    order = list(Trigger)
    for (minutes, at), fired in zip(path, walk(path, restarts=False), strict=True):
        assert len({f.call for f in fired}) == len(fired)
        assert [f.trigger for f in fired] == sorted((f.trigger for f in fired), key=order.index)
        for trigger in (t for f in fired for t in (f.trigger, *f.joined)):
            if trigger is not Trigger.KILL_SWITCH:
                assert minutes - last.get(trigger, -60) >= 60
            last[trigger] = minutes
        killed = [f for f in fired if f.trigger is Trigger.KILL_SWITCH]
        if killed:
            assert at.daily_pnl is not None and at.daily_pnl <= -0.025
            assert not any(Condition.DAY_LOSS in f.conditions for f in fired)


@given(paths())
def test_no_event_without_a_known_fact_that_holds(
    path: list[tuple[int, PortfolioFacts]],
) -> None:
    """Taking away every fact of a fired condition takes away the event."""
    for _, at in path:
        for fired in look(TriggerState(), at)[1]:
            blind = replace(
                at,
                daily_pnl=None,
                max_drawdown_5d=None,
                gross_drawdown_5d=None,
                volatility_zscore=None,
                put_call_ratio=None,
                ensemble_accuracy=None,
                sharpe_ratio=None,
            )
            assert fired.conditions
            assert look(TriggerState(), blind)[1] == ()
