"""The trading step: what a session does with a book, stated on markets made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.records import orders_digest
from hybridnb.app.session import NO_RL_ALERT
from hybridnb.app.state import first_state, restored
from hybridnb.book import equity
from hybridnb.canonical import plain
from hybridnb.domain import SCALE, Leg, Mode
from hybridnb.policy import Policy, validated
from hybridnb.risk import KILL_ALERT

Make = Callable[..., Any]
T = 300


def kinds(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


def flat(n: int = 2, t: int = T) -> np.ndarray:
    # A few basis points of movement, so that tail risk is defined and small.
    wave = 1.0 + 0.0005 * np.sin(np.arange(t))[:, None]
    return np.full((t, n), 100.0) * wave


def test_a_bullish_score_buys_at_the_open_within_the_per_name_cap(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    panel, setup = panel_of(flat()), setup_of(2)
    state, (rows,) = run(panel, setup, 270, 270)
    cap = setup.policy.clamps.name_core
    fills = kinds(rows, "fill")
    assert {f["symbol"] for f in fills} == {"A", "B"}
    day = panel.day(270)
    for fill in fills:
        assert fill["reference"] == day.bars[fill["symbol"]].open
        value = fill["quantity"] * day.last[fill["symbol"]]
        assert value <= cap * setup.policy.opening_cash * SCALE
    for position in state.book.positions.values():
        assert position.stop < position.entry < position.target


def test_a_neutral_score_trades_nothing(panel_of: Make, setup_of: Make, run: Make) -> None:
    panel, setup = panel_of(flat(), score=0.5), setup_of(2, hint=0.0)
    state, (rows,) = run(panel, setup, 270, 270)
    assert state.book.cash == round(setup.policy.opening_cash * SCALE)
    assert kinds(rows, "order") == [] and len(kinds(rows, "decision")) == 2


def test_every_open_position_has_a_live_stop_of_its_full_size(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    rng = np.random.default_rng(3)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (T, 4)), 0))
    panel, setup = panel_of(closes, score=rng.random((T, 4))), setup_of(4, hint=0.5)
    state = first_state(setup.policy)
    seen = 0
    for i in range(260, T):
        state, _ = run(panel, setup, i, i, state)
        stops = {o.symbol: o.left for o in state.working if o.leg is Leg.STOP}
        leaving = {o.symbol for o in state.working if o.leg in (Leg.EXIT, Leg.FLATTEN)}
        for symbol, position in state.book.positions.items():
            assert symbol in leaving or stops[symbol] == abs(position.quantity)
            seen += 1
    assert seen > 20


@given(seed=st.integers(0, 2**31), drift=st.floats(-0.02, 0.02))
def test_cash_and_shares_are_conserved(
    panel_of: Make, setup_of: Make, run: Make, seed: int, drift: float
) -> None:
    rng = np.random.default_rng(seed)
    closes = 50 * np.exp(np.cumsum(rng.normal(drift / 10, 0.02, (270, 3)), 0))
    panel, setup = panel_of(closes, score=rng.random((270, 3))), setup_of(3)
    state, sessions = run(panel, setup, 262, 269)
    cash = round(setup.policy.opening_cash * SCALE)
    units = dict.fromkeys("ABC", 0)
    for fill in (f for rows in sessions for f in kinds(rows, "fill")):
        sign = 1 if fill["side"] == "BUY" else -1
        cash -= sign * fill["quantity"] * fill["price"] + fill["commission"]
        units[fill["symbol"]] += sign * fill["quantity"]
    assert cash == state.book.cash
    held = {s: p.quantity for s, p in state.book.positions.items()}
    assert {s: q for s, q in units.items() if q} == held


def test_a_crash_trips_the_switch_flattens_and_leaves_into_demo(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    # One name may hold 1.5 %, so a −2.5 % day needs many names that gap through their stops.
    n = 26
    closes = flat(n, 280)
    closes[272:] *= 0.05
    opens = np.vstack([closes[:1], closes[:-1]])
    opens[272] = closes[272]
    scores = np.full((280, n), 0.95)
    scores[272:] = 0.5
    policy = Policy.model_validate(
        {"sizing": {"heat_limit": 50.0, "var_limit": 1.0, "es_limit": 1.0}}
    )
    panel = panel_of(closes, score=scores, opens=opens)
    setup = replace(setup_of(n, policy=policy), verdict_valid=True)
    state = first_state(policy)
    state = replace(state, risk=replace(state.risk, mode=Mode.LIVE))
    state, sessions = run(panel, setup, 271, 272, state)
    assert state.risk.killed and state.book.positions == {}
    assert KILL_ALERT in [row["text"] for row in kinds(sessions[-1], "alert")]
    assert kinds(sessions[-1], "session_opened")[0]["mode"] == Mode.LIVE
    state, (rows,) = run(panel, setup, 273, 273, state)
    assert kinds(rows, "session_opened")[0]["mode"] == Mode.DEMO
    assert not state.risk.killed


def test_an_entry_is_withheld_when_the_opening_mark_trips_the_switch(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    n, late = 26, set("UVWXYZ")
    closes = flat(n, 280)
    closes[273:] *= 0.05
    opens = np.vstack([closes[:1], closes[:-1]])
    opens[273] = closes[273]
    scores = np.full((280, n), 0.95)
    scores[271, 20:] = 0.5  # the last six are wanted only on the day that opens with the fall
    policy = Policy.model_validate(
        {"sizing": {"heat_limit": 50.0, "var_limit": 1.0, "es_limit": 1.0}}
    )
    panel = panel_of(closes, score=scores, opens=opens)
    state, sessions = run(panel, setup_of(n, policy=policy), 272, 273)
    assert state.risk.killed
    entries = [r for r in kinds(sessions[-1], "order") if r["leg"] == Leg.ENTRY]
    assert {r["symbol"] for r in entries} == late
    assert all("KILL_SWITCH" in r["refusals"] for r in entries)
    assert not late & set(state.book.positions)


def test_missed_sessions_run_the_brackets_and_decide_nothing(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    closes = flat(1, 280)
    closes[273:] = 90.0
    panel, setup = panel_of(closes), setup_of(1)
    state, _ = run(panel, setup, 271, 271)
    assert "A" in state.book.positions
    state, sessions = run(panel, replace(setup, entries=False), 272, 274, state)
    rows = [row for session in sessions for row in session]
    assert kinds(rows, "decision") == []
    assert state.book.positions == {}
    assert [t["exit_leg"] for t in kinds(rows, "trade")] == [Leg.STOP]


def test_the_profit_sweep_accrues_one_percent_from_the_minimum(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    closes = flat(1, 280)
    closes[273:] = 130.0
    panel, setup = panel_of(closes), setup_of(1)
    state, sessions = run(panel, setup, 271, 273)
    trade = kinds(sessions[-1], "trade")[0]
    assert trade["pnl"] > 100 * SCALE
    assert state.book.sip_carry == round(0.01 * trade["pnl"])


def test_a_session_is_a_function_of_its_inputs(panel_of: Make, setup_of: Make, run: Make) -> None:
    rng = np.random.default_rng(5)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (T, 3)), 0))
    scores = rng.random((T, 3))
    one = run(panel_of(closes, score=scores), setup_of(3), 280, 290)
    two = run(panel_of(closes, score=scores), setup_of(3), 280, 290)
    assert plain(one) == plain(two)
    assert orders_digest(one[1][-1]) == orders_digest(two[1][-1])


def test_nothing_after_the_day_reaches_its_decision(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    rng = np.random.default_rng(6)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (T, 3)), 0))
    changed = closes.copy()
    changed[281:] *= 1.5
    one = run(panel_of(closes), setup_of(3), 280, 280)
    two = run(panel_of(changed), setup_of(3), 280, 280)
    assert plain(one) == plain(two)


@given(seed=st.integers(0, 2**31))
def test_a_state_survives_the_ledger(panel_of: Make, setup_of: Make, run: Make, seed: int) -> None:
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.03, (270, 2)), 0))
    state, _ = run(panel_of(closes, score=rng.random((270, 2))), setup_of(2), 262, 268)
    assert restored(plain(state)) == state


def test_marks_agree_with_the_book(panel_of: Make, setup_of: Make, run: Make) -> None:
    panel, setup = panel_of(flat()), setup_of(2)
    state, (rows,) = run(panel, setup, 270, 270)
    closing = kinds(rows, "session_closed")[0]
    assert closing["equity"] == equity(state.book, closing["prices"], None)
    assert closing["equity"] == pytest.approx(kinds(rows, "mark")[-1]["equity"])


@pytest.mark.parametrize(
    ("change", "mode", "code"),
    [
        ({"multiplier": 100}, Mode.LIVE_MICRO, "MODE_EXCLUDED"),
        ({"delta": 0.5}, Mode.LIVE_MICRO, "MODE_EXCLUDED"),
        ({"currency": "EUR"}, Mode.DEMO, "CURRENCY"),
    ],
)
def test_an_instrument_may_refuse_its_own_entries(
    panel_of: Make, setup_of: Make, run: Make, change: dict[str, Any], mode: Mode, code: str
) -> None:
    panel = panel_of(flat())
    instruments = panel.instruments | {"A": replace(panel.instruments["A"], **change)}
    setup = replace(setup_of(2), verdict_valid=True)
    state = first_state(setup.policy)
    state = replace(state, risk=replace(state.risk, mode=mode))
    _, (rows,) = run(replace(panel, instruments=instruments), setup, 270, 270, state)
    refused = {r["symbol"]: r["refusals"] for r in kinds(rows, "decision")}
    assert refused["A"] == (code,) or refused["A"] == [code]
    assert not refused["B"]


def test_a_name_without_trades_at_the_close_before_is_halted(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    panel = panel_of(flat())
    prices = panel.prices.copy()
    prices[4, 269, 0] = 0
    _, (rows,) = run(replace(panel, prices=prices), setup_of(2), 270, 270)
    refused = {r["symbol"]: list(r["refusals"]) for r in kinds(rows, "decision")}
    assert refused == {"A": ["HALTED"], "B": []}


def alerts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in kinds(rows, "alert")]


def test_without_any_size_hint_sizes_are_halved_and_one_alert_says_so(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    panel = panel_of(flat(3))
    _, sessions = run(panel, setup_of(3, hint=np.nan), 270, 271)
    assert [alerts(rows) for rows in sessions] == [[NO_RL_ALERT], [NO_RL_ALERT]]
    assert NO_RL_ALERT == "RL models unavailable—reduced position sizing"
    decisions = kinds(sessions[0], "decision")
    assert {d["m_posture"] for d in decisions} == {0.5}
    assert kinds(sessions[0], "fill"), "it trades on, smaller"


def test_a_hint_that_is_there_that_nobody_wants_or_nobody_could_use_is_no_alert(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    panel, nothing = panel_of(flat()), setup_of(2, hint=np.nan)
    some = replace(nothing, hints=lambda day, state: np.array([np.nan, 1.0]))
    unweighted = validated(Policy, {"blend": {"weight_rl": 0.0}})
    blind = panel_of(flat(), score=np.nan)
    for market, setup in (
        (panel, setup_of(2)),
        (panel, some),
        (panel, setup_of(2, hint=np.nan, policy=unweighted)),
        (blind, nothing),
        (panel, replace(nothing, entries=False)),
    ):
        _, (rows,) = run(market, setup, 270, 270)
        assert alerts(rows) == []
