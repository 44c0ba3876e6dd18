"""Kill switch, quarantine, soft halt and protections, at and beside every boundary."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Leg, Mode, TradingState
from hybridnb.policy import Risk
from hybridnb.risk import (
    KILL_ALERT,
    QUARANTINE_ALERT,
    SOFT_HALT_ALERT,
    UNKNOWN_PNL_ALERT,
    Closed,
    RiskState,
    marked,
    opened,
    settled,
)

RULES = Risk()
LIVE = RiskState(mode=Mode.LIVE, ordinal=100)


def killed(state: RiskState, ordinal: int) -> tuple[RiskState, tuple[str, ...]]:
    """A session with that ordinal, opened and killed."""
    return marked(opened(state, ordinal)[0], RULES, -0.03, at="s")


def test_exactly_the_limit_trips() -> None:
    state, alerts = marked(LIVE, RULES, -0.025, at="2024-01-02")
    assert state.killed
    assert state.state is TradingState.HALTED
    assert state.killed_since == "2024-01-02"
    assert alerts == (KILL_ALERT,)


def test_just_above_the_limit_only_warns() -> None:
    state, alerts = marked(LIVE, RULES, -0.0249999, at="s")
    assert not state.killed
    assert (state.warnings, alerts) == (1, ())


@pytest.mark.parametrize("pnl", [None, float("nan")])
def test_a_pnl_that_is_unknown_halts(pnl: float | None) -> None:
    state, alerts = marked(LIVE, RULES, pnl, at="s")
    assert state.state is TradingState.HALTED
    assert not state.killed
    assert alerts == (UNKNOWN_PNL_ALERT,)


def test_the_latch_survives_a_restart_and_is_cleared_into_demo() -> None:
    state, _ = marked(LIVE, RULES, -0.03, at="s")
    assert opened(state, 100) == (state, ())
    state, _ = opened(state, 101)
    assert (state.killed, state.mode, state.state) == (False, Mode.DEMO, TradingState.ACTIVE)


def test_a_latched_switch_stays_whatever_the_marks_say() -> None:
    state, _ = marked(LIVE, RULES, -0.03, at="s")
    assert marked(state, RULES, 0.5, at="t") == (state, ())


def test_three_kills_in_ten_sessions_are_a_quarantine_of_seven() -> None:
    state, _ = killed(LIVE, 101)
    state, _ = killed(state, 105)
    state, alerts = killed(state, 110)
    assert alerts == (KILL_ALERT, QUARANTINE_ALERT)
    for ordinal in range(111, 118):
        state, daily = opened(state, ordinal)
        assert state.quarantined
        assert state.mode is Mode.DEMO
        assert daily == (f"Demo quarantine active—{118 - ordinal} days remaining",)
    state, daily = opened(state, 118)
    assert not state.quarantined
    assert daily == ()


def test_a_third_kill_one_session_later_is_none() -> None:
    state, _ = killed(LIVE, 101)
    state, _ = killed(state, 105)
    assert killed(state, 111)[1] == (KILL_ALERT,)


def test_kills_before_a_quarantine_s_end_don_t_count_again() -> None:
    state = LIVE
    for ordinal in (101, 102, 103):
        state, _ = killed(state, ordinal)
    assert state.quarantine_until == 110
    for ordinal in (109, 111, 112):
        state, alerts = killed(state, ordinal)
        assert alerts == (KILL_ALERT,), ordinal
    assert killed(state, 113)[1] == (KILL_ALERT, QUARANTINE_ALERT)


def test_the_soft_halt_needs_three_marks_in_a_row() -> None:
    state = LIVE
    for pnl, alerts in (
        (-0.0201, ()),
        (-0.021, ()),
        (-0.01, ()),  # one calm mark starts the count anew
        (-0.0201, ()),
        (-0.0201, ()),
        (-0.0201, (SOFT_HALT_ALERT,)),
        (-0.0201, ()),
    ):
        state, raised = marked(state, RULES, pnl, at="s")
        assert raised == alerts
    assert state.state is TradingState.REDUCING


def stop(ordinal: int, symbol: str = "A", pnl: int = -1) -> Closed:
    return Closed(ordinal, symbol, Leg.STOP, pnl)


def names(state: RiskState) -> dict[tuple[str, str], int]:
    return {(lock.name, lock.symbol): lock.until for lock in state.locks}


def closed_over(*ordinals: int, symbol: str = "A", pnl: int = -1) -> RiskState:
    state = RiskState()
    for ordinal in range(min(ordinals), max(ordinals) + 1):
        state, _ = opened(state, ordinal)
        trades = [stop(ordinal, symbol, pnl)] if ordinal in ordinals else []
        state = settled(state, RULES, equity=1_000, trades=trades)
    return state


def test_three_stops_in_five_sessions_lock_everything_for_two() -> None:
    assert names(closed_over(1, 3, 5))["stop_guard", "*"] == 7
    assert ("stop_guard", "*") not in names(closed_over(1, 3, 6))


def test_the_cooldown_is_one_session_for_the_symbol() -> None:
    state = closed_over(10)
    assert opened(state, 11)[0].locked("A")
    assert not opened(state, 11)[0].locked("B")
    assert not opened(state, 12)[0].locked("A")


def test_five_trades_with_a_mean_below_zero_lock_the_symbol() -> None:
    lost = closed_over(1, 10, 20, 30, 40)
    assert names(lost)["low_profit", "A"] == 45
    won = closed_over(1, 10, 20, 30, 40, pnl=1)
    assert ("low_profit", "A") not in names(won)


@pytest.mark.parametrize(("last", "locked"), [(950, True), (951, False)])
def test_a_drawdown_of_five_percent_in_ten_sessions_locks_for_five(last: int, locked: bool) -> None:
    state, _ = opened(RiskState(), 1)
    state = settled(state, RULES, equity=1_000, trades=[])
    state, _ = opened(state, 10)
    state = settled(state, RULES, equity=last, trades=[])
    assert (names(state).get(("drawdown_guard", "*")) == 15) is locked


@given(st.lists(st.one_of(st.none(), st.floats(-0.06, 0.06)), max_size=40))
def test_no_sequence_of_marks_leaves_a_killed_session_trading(marks: list[float | None]) -> None:
    state, tripped = LIVE, False
    for pnl in marks:
        state, _ = marked(state, RULES, pnl, at="s")
        tripped |= pnl is not None and pnl <= RULES.kill_day_pnl
        assert state.killed is tripped
        if tripped:
            assert state.state is TradingState.HALTED


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=40))
def test_after_a_kill_only_an_operator_leaves_demo(days: list[tuple[int, bool]]) -> None:
    state, ordinal, ever = replace(LIVE, ordinal=0), 0, False
    for step, loses in days:
        ordinal += step
        state, _ = opened(state, ordinal)
        assert (state.mode is Mode.DEMO) is ever
        if loses:
            state, _ = marked(state, RULES, -0.03, at="s")
            ever = True
