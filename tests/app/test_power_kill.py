"""The measure of the kill switch: right about one that works, never fooled by one that doesn't."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app import power_kill
from hybridnb.app.desk import Setup
from hybridnb.app.panel import Panel
from hybridnb.app.power_books import planted, random_book, random_market, some_sessions
from hybridnb.app.power_kill import measure_kill
from hybridnb.app.state import restored
from hybridnb.app.stretch import stepped
from hybridnb.book import equity
from hybridnb.domain import SCALE
from hybridnb.errors import UsageError
from hybridnb.policy import Policy, validated
from hybridnb.risk import marked

SEEDS = range(2)
TRIPPED, FLAT, LATCHED, SHORT, EARLY = range(5)


def quiet(text: str) -> None:
    """Nothing is said."""


def shares(**given: Any) -> list[float]:
    rows = measure_kill(SEEDS, quiet, **given)
    assert [r["tried"] for r in rows] == [4, 4, 4, 4, 8]
    return [r["caught"] / r["tried"] for r in rows]


def test_the_switch_is_flat_on_the_next_bar_never_early_and_latched() -> None:
    rows = measure_kill(SEEDS, quiet)
    assert [r["caught"] / r["tried"] for r in rows] == [r["wanted"] for r in rows]
    assert {r["detector"] for r in rows} == {"kill switch"}
    assert measure_kill(SEEDS, quiet) == rows  # the same seeds, the same counts


def test_another_limit_is_kept_too() -> None:
    one = validated(Policy, {"risk": {"kill_day_pnl": -0.01}})
    assert shares(policy=one) == [1.0, 1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("closes_only", [False, True])
def test_plants_in_given_bars_are_judged_alike(
    panel_of: Callable[..., Panel], closes_only: bool
) -> None:
    assert shares(panel=walk(panel_of, closes_only=closes_only)) == [1.0, 1.0, 1.0, 0.0, 0.0]


def walk(panel_of: Callable[..., Panel], *, closes_only: bool = False) -> Panel:
    rng = np.random.default_rng(8)
    closes = 40.0 * np.exp(np.cumsum(rng.normal(0, 0.02, (60, 5)), axis=0))
    found = panel_of(closes)
    found.present[rng.random((60, 5)) < 0.02] = False
    if closes_only:
        found.prices[:3], found.prices[4] = found.prices[3], -1
    return found


def test_a_switch_that_never_trips_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridnb.app.desk.marked", lambda state, *_, **__: (state, ()))
    assert shares()[: LATCHED + 1] == [0.0, 0.0, 0.0]


def test_a_switch_that_trips_a_hair_too_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def beyond(state: Any, risk: Any, pnl: float, *, at: str) -> Any:
        return marked(state, risk, None if pnl == risk.kill_day_pnl else pnl, at=at)

    monkeypatch.setattr("hybridnb.app.desk.marked", beyond)
    assert 0.0 < shares()[TRIPPED] < 1.0  # where the loss is the limit to the last 1/10,000


def test_a_switch_that_trips_a_hair_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def nervous(state: Any, risk: Any, pnl: float, *, at: str) -> Any:
        return marked(state, risk, pnl * 1.0005, at=at)

    monkeypatch.setattr("hybridnb.app.desk.marked", nervous)
    found = shares()
    assert found[TRIPPED] == 1.0 and found[SHORT] == 1.0


def test_a_switch_that_trips_before_the_plant_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def early(state: Any, risk: Any, pnl: float, *, at: str) -> Any:
        return marked(state, risk, pnl - 0.02, at=at)

    monkeypatch.setattr("hybridnb.app.desk.marked", early)
    assert shares()[EARLY] > 0.3


def test_a_switch_that_closes_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridnb.app.desk.Desk.flatten", lambda self, symbols: None)
    found = shares()
    assert found[TRIPPED] == 1.0 and found[FLAT] == 0.0


def test_a_latch_that_a_restart_loses_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(snapshot: Any) -> Any:
        state = restored(snapshot)
        return replace(state, risk=replace(state.risk, killed=False))

    monkeypatch.setattr(power_kill, "restored", forgetful)
    found = shares()
    assert found[TRIPPED] == 1.0 and found[LATCHED] == 0.0


@given(seed=st.integers(0, 2**31), loss=st.floats(-0.05, 0.1))
def test_a_planted_loss_is_the_day_s_to_the_last_unit(seed: int, loss: float) -> None:
    rng = np.random.default_rng(seed)
    market = random_market(rng)
    state = random_book(rng, market, Policy())
    last = {s: int(market.last[0, i]) for s, i in market.place.items()}
    before = equity(state.book, last)
    asked = {"open": int(loss * before), "close": int(loss * before / 2) + 1}
    found = planted(market, state.book, 1, asked)
    assert (found.prices[:, 2:] == market.prices[:, 2:]).all()
    opens, high, low, closes = found.prices[:4, 1]
    assert (low <= np.minimum(opens, closes)).all() and (np.maximum(opens, closes) <= high).all()
    setup = Setup("b", Policy(), "e", "m", lambda day, state: np.zeros(len(day.symbols)))
    _, step = stepped(state, found.day(1), setup)
    marks = {r["at"]: r["equity"] for r in step.rows if r["kind"] == "mark"}
    assert before - marks["open"] == asked["open"]
    if not step.killed:
        assert before - marks["close"] == asked["close"]
    gross = sum(abs(p.cost) for p in state.book.positions.values())
    assert 0.3 * before < gross < 0.96 * before and before == 100_000 * SCALE


def test_bars_without_two_names_that_trade_through_are_refused(
    panel_of: Callable[..., Panel],
) -> None:
    bars = walk(panel_of)
    bars.present[::3] = False
    with pytest.raises(UsageError, match="two names"):
        some_sessions(np.random.default_rng(0), bars)
