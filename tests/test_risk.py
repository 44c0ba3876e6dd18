"""The control plane: kill switch, quarantine, soft halt, protections, and what a restart keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hybridnb.canonical import plain
from hybridnb.domain import Leg, Mode, TradingState
from hybridnb.policy import Policy
from hybridnb.risk import (
    ALL,
    KILL_ALERT,
    QUARANTINE_ALERT,
    SOFT_HALT_ALERT,
    UNKNOWN_PNL_ALERT,
    Closed,
    Lock,
    RiskState,
    cleared,
    marked,
    moved,
    opened,
    settled,
)

RISK = Policy().risk
LIVE = RiskState(mode=Mode.LIVE, ordinal=100)


def killed_at(state: RiskState, *ordinals: int) -> tuple[RiskState, tuple[str, ...]]:
    """The state after a kill in each of these sessions, an operator back in LIVE each time."""
    alerts: tuple[str, ...] = ()
    for ordinal in ordinals:
        state, _ = opened(state, ordinal)
        state, alerts = marked(replace(state, mode=Mode.LIVE), RISK, -0.03, at="t")
    return state, alerts


@pytest.mark.parametrize(
    ("day_pnl", "killed"),
    [(-0.025, True), (-0.0250001, True), (-0.0249999, False), (-1.0, True), (0.5, False)],
)
def test_the_switch_trips_at_exactly_the_limit(day_pnl: float, killed: bool) -> None:
    after, alerts = marked(LIVE, RISK, day_pnl, at="2013-03-01")
    assert after.killed is killed
    assert (after.state is TradingState.HALTED) is killed
    assert alerts == ((KILL_ALERT,) if killed else ())
    assert after.kills == ((100,) if killed else ())
    assert after.killed_since == ("2013-03-01" if killed else "")


def test_minus_infinity_trips_too() -> None:
    assert marked(LIVE, RISK, float("-inf"), at="")[0].killed


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_a_day_pnl_that_cant_be_computed_halts(unknown: float | None) -> None:
    after, alerts = marked(LIVE, RISK, unknown, at="")
    assert after.state is TradingState.HALTED
    assert not after.killed
    assert alerts == (UNKNOWN_PNL_ALERT,)


def test_the_latch_holds_through_the_session() -> None:
    killed, _ = marked(LIVE, RISK, -0.03, at="t")
    for day_pnl in (0.5, -0.5, None):
        assert marked(killed, RISK, day_pnl, at="u") == (killed, ())
    assert opened(killed, 100) == (killed, ())
    assert opened(killed, 99) == (killed, ())


def test_the_next_opening_clears_the_latch_into_demo() -> None:
    killed, _ = marked(LIVE, RISK, -0.03, at="t")
    after, alerts = opened(killed, 101)
    assert (after.killed, after.state, after.mode) == (False, TradingState.ACTIVE, Mode.DEMO)
    assert (after.killed_since, after.kills, alerts) == ("", (100,), ())
    assert opened(after, 102)[0].mode is Mode.DEMO


def test_an_ordinary_opening_keeps_the_mode_and_lifts_the_halt() -> None:
    halted, _ = marked(LIVE, RISK, None, at="")
    after, alerts = opened(halted, 101)
    assert (after.mode, after.state, alerts) == (Mode.LIVE, TradingState.ACTIVE, ())


def test_a_restart_keeps_everything() -> None:
    state, _ = killed_at(LIVE, 101, 103)
    trades = [Closed(103, "A", Leg.STOP, -5)] * 3
    state = settled(replace(state, brake=True, warnings=2), RISK, equity=7, trades=trades)
    again = TypeAdapter(RiskState).validate_python(plain(state))
    assert again == state
    assert again.killed and again.locks
    assert opened(again, 103) == (again, ())


@pytest.mark.parametrize(
    ("kills", "quarantined"),
    [
        ((101, 102, 103), True),
        ((101, 105, 110), True),
        ((101, 105, 111), False),
        ((101, 102), False),
        ((101, 111, 112), False),
        ((101, 102, 111, 112), False),
        ((101, 104, 112, 113), True),
    ],
)
def test_three_kills_in_the_last_ten_sessions(kills: tuple[int, ...], quarantined: bool) -> None:
    state, alerts = killed_at(LIVE, *kills)
    found = QUARANTINE_ALERT in alerts
    expected = sum(k > kills[-1] - 10 for k in kills) >= 3
    assert found is expected is quarantined
    assert state.quarantine_until == (kills[-1] + 7 if quarantined else 0)


def test_a_quarantine_lasts_seven_sessions_in_demo() -> None:
    state, _ = killed_at(LIVE, 101, 102, 103)
    for ordinal, left in zip(range(104, 111), range(7, 0, -1), strict=True):
        state, alerts = opened(state, ordinal)
        assert alerts == (f"Demo quarantine active—{left} days remaining",)
        assert state.mode is Mode.DEMO and state.quarantined
        state = replace(state, mode=Mode.LIVE)  # whoever sets it: the next opening takes it back
    state, alerts = opened(replace(state, mode=Mode.DEMO), 111)
    assert (alerts, state.quarantined, state.mode) == ((), False, Mode.DEMO)


def test_kills_before_a_quarantines_end_dont_count_again() -> None:
    state, _ = killed_at(LIVE, 101, 102, 103)
    assert state.quarantine_until == 110
    during, alerts = killed_at(state, 108, 109, 110)
    assert (during.quarantine_until, alerts) == (110, (KILL_ALERT,))
    twice, alerts = killed_at(during, 111, 112)
    assert alerts == (KILL_ALERT,)
    _, alerts = killed_at(twice, 113)
    assert alerts == (KILL_ALERT, QUARANTINE_ALERT)


def test_demo_kills_count() -> None:
    state, alerts = RiskState(ordinal=0), ()
    for ordinal in (1, 2, 3):
        state, _ = opened(state, ordinal)
        assert state.mode is Mode.DEMO
        state, alerts = marked(state, RISK, -0.03, at="")
    assert alerts == (KILL_ALERT, QUARANTINE_ALERT)


def test_a_soft_halt_needs_three_confirmations_in_a_row() -> None:
    state = LIVE
    for day_pnl in (-0.021, -0.0201, -0.0199, -0.0201, -0.024):
        state, alerts = marked(state, RISK, day_pnl, at="")
        assert (state.state, alerts) == (TradingState.ACTIVE, ())
    state, alerts = marked(state, RISK, -0.0201, at="")
    assert (state.state, alerts) == (TradingState.REDUCING, (SOFT_HALT_ALERT,))
    state, alerts = marked(state, RISK, -0.0201, at="")
    assert (state.state, alerts) == (TradingState.REDUCING, ())
    state, _ = marked(state, RISK, 0.01, at="")
    assert (state.state, state.warnings) == (TradingState.REDUCING, 0)
    assert opened(state, 101)[0].state is TradingState.ACTIVE


def test_a_soft_halt_never_lifts_a_hard_one() -> None:
    state, _ = marked(LIVE, RISK, None, at="")
    for _ in range(4):
        state, alerts = marked(state, RISK, -0.021, at="")
        assert (state.state, alerts) == (TradingState.HALTED, ())


def closed(ordinal: int, symbol: str = "A", *, leg: Leg = Leg.STOP, pnl: int = 1) -> Closed:
    return Closed(ordinal, symbol, leg, pnl)


def locks(state: RiskState) -> dict[tuple[str, str], int]:
    return {(lock.name, lock.symbol): lock.until for lock in state.locks}


def after_sessions(*sessions: tuple[int, int, list[Closed]]) -> RiskState:
    state = LIVE
    for ordinal, value, trades in sessions:
        state, _ = opened(state, ordinal)
        state = settled(state, RISK, equity=value, trades=trades)
    return state


@pytest.mark.parametrize(("first", "due"), [(106, True), (105, False)])
def test_three_stops_in_five_sessions_lock_two(first: int, due: bool) -> None:
    state = after_sessions(
        (first, 100, [closed(first, "A")]),
        (108, 100, [closed(108, "B")]),
        (110, 100, [closed(110, "C")]),
    )
    assert locks(state).get(("stop_guard", ALL)) == (112 if due else None)
    assert bool(state.locked("D")) is due
    if due:
        assert opened(state, 112)[0].locked("D")
        assert not opened(state, 113)[0].locked("D")


def test_targets_are_no_stops() -> None:
    wins = [closed(110, s, leg=Leg.TARGET) for s in "ABC"]
    assert ("stop_guard", ALL) not in locks(after_sessions((110, 100, wins)))


@pytest.mark.parametrize(
    ("peak_at", "value", "due"),
    [(101, 95_000, True), (101, 95_001, False), (100, 50_000, False), (109, 95_000, True)],
)
def test_five_percent_in_ten_sessions_lock_five(peak_at: int, value: int, due: bool) -> None:
    state = after_sessions((100, 40_000, []), (peak_at, 100_000, []), (110, value, []))
    assert locks(state) == ({("drawdown_guard", ALL): 115} if due else {})
    if due:
        assert opened(state, 115)[0].locked("A")
        assert not opened(state, 116)[0].locked("A")


def test_cooldown_is_one_session_and_of_the_symbol_only() -> None:
    state = after_sessions((110, 100, [closed(110, leg=Leg.TARGET)]))
    assert locks(state) == {("cooldown", "A"): 111}
    assert opened(state, 111)[0].locked("A")
    assert not opened(state, 111)[0].locked("B")
    assert not opened(state, 112)[0].locked("A")


@pytest.mark.parametrize(
    ("pnls", "due"),
    [
        ([5, -5, 5, -5, -1], True),
        ([5, -5, 5, -5, 0], False),
        ([-9, -9, -9, -9], False),
        ([-100, 1, 1, 1, 1, 1], False),
        ([100, -1, -1, -1, -1, -1], True),
    ],
)
def test_low_profit_of_the_last_five_trades(pnls: list[int], due: bool) -> None:
    state = LIVE
    for step, pnl in enumerate(pnls):
        state, _ = opened(state, 110 + 10 * step)
        trades = [closed(state.ordinal, leg=Leg.TARGET, pnl=pnl)]
        state = settled(state, RISK, equity=100, trades=trades)
    found = locks(state).get(("low_profit", "A"))
    assert found == (state.ordinal + 5 if due else None)


def test_a_lock_says_why_and_names_who_it_holds() -> None:
    state = replace(LIVE, locks=(Lock("cooldown", "A", 100, "x"), Lock("stop_guard", "B", 99, "y")))
    assert state.locked("A") == Lock("cooldown", "A", 100, "x")
    assert state.locked("B") is None
    assert opened(state, 101)[0].locks == ()


def test_a_cleared_quarantine_ends_at_once_in_demo_and_its_kills_dont_count_again() -> None:
    state, _ = killed_at(LIVE, 101, 102, 103)
    state, _ = opened(state, 105)
    after = cleared(state, 110)
    assert (after.quarantined, after.mode, after.quarantine_until) == (False, Mode.DEMO, 104)
    assert opened(after, 106) == (replace(after, ordinal=106), ())
    twice, alerts = killed_at(after, 105, 106)
    assert alerts == (KILL_ALERT,)
    assert killed_at(twice, 107)[1] == (KILL_ALERT, QUARANTINE_ALERT)


def test_only_the_quarantine_that_is_meant_is_cleared_and_none_with_the_switch_latched() -> None:
    latched, _ = killed_at(LIVE, 101, 102, 103)
    assert cleared(latched, 110) == latched
    state, _ = opened(latched, 104)
    assert cleared(state, 109) == state
    over, _ = opened(state, 111)
    assert cleared(over, 110) == over


@pytest.mark.parametrize("mode", [Mode.LIVE_MICRO, Mode.LIVE_LIMITED, Mode.LIVE])
def test_a_live_mode_is_had_neither_latched_nor_in_quarantine(mode: Mode) -> None:
    latched, _ = killed_at(LIVE, 101)
    assert moved(latched, mode) == latched
    demo, _ = opened(latched, 102)
    assert moved(demo, mode) == replace(demo, mode=mode)
    state, _ = opened(killed_at(LIVE, 101, 102, 103)[0], 104)
    assert moved(state, mode) == state
    assert moved(cleared(state, 110), mode).mode is mode


def test_demo_may_always_be_had() -> None:
    latched, _ = killed_at(LIVE, 101)
    assert moved(latched, Mode.DEMO) == replace(latched, mode=Mode.DEMO)
    assert moved(LIVE, Mode.DEMO).mode is Mode.DEMO


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(0, 3)),
        st.tuples(st.just("mark"), st.sampled_from([-0.03, 0.0, None])),
        st.tuples(st.just("clear"), st.integers(-1, 1)),
        st.tuples(st.just("move"), st.sampled_from(list(Mode))),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_is_asked_the_latch_holds_its_session_and_a_quarantine_is_demo(
    steps: list[tuple[str, object]],
) -> None:
    state = RiskState(mode=Mode.LIVE, ordinal=1)
    for what, value in steps:
        before = state
        match what, value:
            case "open", int(further):
                state, _ = opened(state, state.ordinal + further)
            case "mark", pnl:
                state, _ = marked(state, RISK, pnl, at="t")  # type: ignore[arg-type]
            case "clear", int(off):
                state = cleared(state, state.quarantine_until + off)
                assert state == before or (off == 0 and before.quarantined and not before.killed)
            case "move", Mode() as mode:
                state = moved(state, mode)
                assert state.mode is mode or (before.killed or before.quarantined)
        if before.killed and state.ordinal == before.ordinal:
            assert state.killed and state.state is TradingState.HALTED
            assert state.mode in (before.mode, Mode.DEMO)
        if state.quarantined and not state.killed:
            assert state.mode is Mode.DEMO
        assert state.kills[: len(before.kills)] == before.kills
        state = TypeAdapter(RiskState).validate_python(plain(state))


MARKS = st.lists(
    st.one_of(st.none(), st.just(float("nan")), st.floats(-0.06, 0.05)), min_size=1, max_size=6
)


@given(st.lists(MARKS, max_size=30), st.sampled_from(list(Mode)))
def test_no_sequence_of_marks_loses_the_latch(days: list[list[float | None]], mode: Mode) -> None:
    state, kills = RiskState(mode=mode, ordinal=0), []
    for ordinal, marks in enumerate(days, 1):
        state, _ = opened(state, ordinal)
        assert not state.killed
        for day_pnl in marks:
            before = state
            state, alerts = marked(state, RISK, day_pnl, at="t")
            trips = day_pnl is not None and day_pnl <= RISK.kill_day_pnl
            assert state.killed == (before.killed or trips)
            if trips and not before.killed:
                kills.append(ordinal)
                assert KILL_ALERT in alerts
            if before.state is TradingState.HALTED:
                assert state.state is TradingState.HALTED
        assert state.kills == tuple(kills)
        if kills:
            assert opened(state, ordinal + 1)[0].mode is Mode.DEMO
        state = TypeAdapter(RiskState).validate_python(plain(state))


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=40))
def test_after_a_kill_only_an_operator_leaves_demo(days: list[tuple[int, bool]]) -> None:
    state, ordinal, ever = replace(LIVE, ordinal=0), 0, False
    for sessions, loses in days:
        ordinal += sessions
        state, _ = opened(state, ordinal)
        assert (state.mode is Mode.DEMO) is ever
        if loses:
            state, _ = marked(state, RISK, -0.03, at="t")
            ever = True
