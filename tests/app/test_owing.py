"""A kill asks for flat: what a venue cancels of its exits is sent anew, until nothing is held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hybridnb.app.desk import TRIES, Desk, Setup
from hybridnb.app.owing import Owing
from hybridnb.app.panel import Panel
from hybridnb.app.state import State, first_state, restored
from hybridnb.canonical import plain
from hybridnb.domain import Leg, Mode, Order, OrderState
from hybridnb.execution.brackets import unprotected
from hybridnb.execution.faults import NO_FAULTS, Faults
from hybridnb.execution.orders import flatten
from hybridnb.policy import Policy, validated

FALL = 272  # the session whose open, or whose close, is 2 % below: far from every stop
CUT = Faults(filled=0.3)
Make = Callable[..., Any]
Rows = list[dict[str, Any]]
POLICY = validated(
    Policy,
    {
        "risk": {"kill_day_pnl": -0.0003},
        "sizing": {"heat_limit": 100.0, "var_limit": 1.0, "es_limit": 1.0},
        "stops": {"initial": 20.0, "trailing": 20.0, "activation": 20.0, "target": 40.0},
    },
)


@pytest.fixture(params=["open", "close"])
def at(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Scene:
    """Two names held, and a fall at an open or a close that trips the switch."""

    def __init__(self, panel_of: Make, setup_of: Make, run: Make, at: str) -> None:
        closes = np.full((300, 2), 100.0) * (1 + 0.0005 * np.sin(np.arange(300))[:, None])
        closes[FALL:] *= 0.98
        opens = np.vstack([closes[:1], closes[:-1]])
        if at == "open":
            opens[FALL] = closes[FALL]
        score = np.full((300, 2), 0.9)
        score[FALL:] = 0.5
        self.panel: Panel = panel_of(closes, score=score, opens=opens)
        self.setup: Setup = setup_of(2, policy=POLICY)
        self._run = run
        self.state, _ = run(self.panel, self.setup, FALL - 1, FALL - 1)
        self.held = {s: p.quantity for s, p in self.state.book.positions.items()}
        assert len(self.held) == 2 and min(self.held.values()) > 50
        self.before: State = self.state

    def session(self, row: int, faults: Faults = CUT, **changes: Any) -> Rows:
        setup = replace(self.setup, faults=faults, **changes)
        state, (rows,) = self._run(self.panel, setup, row, row, self.state)
        self.state = restored(plain(state))
        return rows

    def left(self) -> dict[str, int]:
        return {s: p.quantity for s, p in self.state.book.positions.items()}

    def exits(self) -> dict[str, int]:
        return {o.symbol: o.left for o in self.state.working if o.leg is Leg.FLATTEN}


@pytest.fixture
def scene(panel_of: Make, setup_of: Make, run: Make, at: str) -> Scene:
    return Scene(panel_of, setup_of, run, at)


def of(rows: Rows, kind: str, leg: Leg = Leg.FLATTEN) -> Rows:
    return [r for r in rows if r["kind"] == kind and r["leg"] == leg]


def killed(scene: Scene, at: str, faults: Faults) -> Rows:
    """The sessions in which the switch trips and its orders meet their first open."""
    rows = scene.session(FALL, faults)
    assert scene.state.risk.killed
    return rows if at == "open" else scene.session(FALL + 1, faults)


def test_orders_that_the_venue_cuts_are_sent_anew_until_all_is_flat(scene: Scene, at: str) -> None:
    rows = killed(scene, at, CUT)
    assert scene.left() == {} and scene.state.working == ()
    sold = dict.fromkeys(scene.held, 0)
    for fill in of(rows, "fill"):
        most = max(1, int(0.3 * (scene.held[fill["symbol"]] - sold[fill["symbol"]])))
        sold[fill["symbol"]] += fill["quantity"]
        assert fill["quantity"] == most
    assert sold == scene.held
    sent = [r["client_id"] for r in of(rows, "order") if r["state"] == "accepted"]
    assert len(sent) == len(set(sent)) > 10
    assert not [r for r in rows if r.get("refusals")]


def test_it_does_the_same_twice(panel_of: Make, setup_of: Make, run: Make, at: str) -> None:
    one, two = (killed(Scene(panel_of, setup_of, run, at), at, CUT) for _ in range(2))
    assert plain(one) == plain(two)


def test_a_venue_that_cuts_nothing_is_sent_one_order_a_name(scene: Scene, at: str) -> None:
    rows = killed(scene, at, NO_FAULTS)
    assert scene.left() == {}
    fills = of(rows, "fill")
    assert {f["symbol"]: f["quantity"] for f in fills} == scene.held and len(fills) == 2
    day, held = scene.panel.day(FALL).session, scene.before.book.positions
    first = {flatten(day, position).client_id for position in held.values()}
    assert {f["client_id"] for f in fills} == first


def test_a_venue_that_lets_nothing_go_is_sent_one_order_that_stays_at_work(
    scene: Scene, at: str
) -> None:
    stuck = Faults(no_exits=True)
    rows = scene.session(FALL, stuck)
    assert scene.exits() == scene.left() == scene.held
    assert len(of(rows, "order")) == 2
    for row in range(FALL + 1, FALL + 4):
        assert of(scene.session(row, stuck), "order") == []
        assert scene.exits() == scene.left() == scene.held
    scene.session(FALL + 4, NO_FAULTS)
    assert scene.left() == {}


def test_a_venue_that_fills_a_unit_an_order_is_asked_so_often_and_again_the_next_day(
    scene: Scene, at: str
) -> None:
    unit = Faults(filled=1e-6)
    killed(scene, at, unit)
    start = FALL + (at == "close")
    sold, row = TRIES + 1, start
    while scene.left():
        assert scene.left() == {s: n - sold for s, n in scene.held.items()} == scene.exits()
        assert unprotected(scene.state.book.positions, scene.state.working) == {}
        row, sold = row + 1, sold + TRIES + 1
        rows = scene.session(row, unit)
        assert not scene.state.risk.killed and not [r for r in rows if r.get("refusals")]
        assert of(rows, "order", Leg.ENTRY) == of(rows, "order", Leg.EXIT) == []
    assert row > start and scene.state.working == ()


def without_exits(scene: Scene) -> None:
    """The kill's orders are gone: the venue cancelled them after the close, or never had them."""
    assert scene.state.risk.killed
    rest = tuple(o for o in scene.state.working if o.leg is not Leg.FLATTEN)
    scene.state = replace(scene.state, working=rest)


@pytest.mark.parametrize("entries", [True, False])
def test_the_next_opening_closes_what_a_kill_left_whatever_is_decided(
    panel_of: Make, setup_of: Make, run: Make, entries: bool
) -> None:
    scene = Scene(panel_of, setup_of, run, "close")
    scene.panel.columns["p_short"][:] = scene.panel.columns["p_mid"][:] = 0.9  # it would buy more
    scene.session(FALL)
    without_exits(scene)
    rows = scene.session(FALL + 1, entries=entries)
    opened = next(r for r in rows if r["kind"] == "session_opened")
    assert opened["mode"] == Mode.DEMO and opened["state"] == "ACTIVE"
    assert scene.left() == {}
    assert of(rows, "order", Leg.ENTRY) == of(rows, "order", Leg.EXIT) == []
    first = next(r for r in rows if r["kind"] in ("mark", "order"))
    assert first["kind"] == "order" and first["leg"] == Leg.FLATTEN


@pytest.mark.parametrize("symbol", ["", "A"])
def test_what_an_operator_withdraws_at_the_opening_stays_with_its_stop(
    panel_of: Make, setup_of: Make, run: Make, symbol: str
) -> None:
    scene = Scene(panel_of, setup_of, run, "close")
    scene.session(FALL)
    action = {"id": "1", "action": "cancel-all", "symbol": symbol, "reason": "r"}
    scene.session(FALL + 1, actions=(action,))
    stays = {s: n for s, n in scene.held.items() if symbol in ("", s)}
    assert scene.left() == stays and scene.exits() == {}
    assert unprotected(scene.state.book.positions, scene.state.working) == {}
    scene.session(FALL + 2, entries=False)
    assert scene.left() == stays


def test_an_exit_never_closes_more_than_a_cut_stop_has_left(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    scene = Scene(panel_of, setup_of, run, "open")
    stop = scene.state.book.positions["A"].stop
    scene.panel.prices[2, FALL : FALL + 2] = stop - 100  # the low of each bar is below it
    unit = Faults(filled=1e-6)
    rows = scene.session(FALL, unit)
    assert len(of(rows, "fill", Leg.STOP)) == 2
    left = {s: n - TRIES - 2 for s, n in scene.held.items()}
    assert scene.exits() == scene.left() == left
    scene.session(FALL + 1, unit)
    assert scene.left() == {}


def test_a_switch_that_sends_nothing_anew_leaves_positions(
    scene: Scene, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "finish", lambda self: False)
    killed(scene, at, CUT)
    assert {s: n - int(0.3 * n) for s, n in scene.held.items()} == scene.left()
    assert scene.exits() == {}


# What is owed


def state_of(scene: Scene, *, latched: bool, working: tuple[Order, ...] = ()) -> State:
    risk = replace(scene.state.risk, killed=latched)
    return replace(scene.state, risk=risk, working=working)


def test_what_is_owed_is_what_a_kill_left_or_an_exit_at_work_tells(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    scene = Scene(panel_of, setup_of, run, "open")
    calm = state_of(scene, latched=False)
    position = scene.state.book.positions["B"]
    exit_of_b = replace(flatten("2015-01-01", position), state=OrderState.ACCEPTED)
    assert Owing(calm).of(calm) == set()
    assert Owing(calm).of(state_of(scene, latched=True)) == {"A", "B"}
    assert Owing(state_of(scene, latched=True)).of(calm) == {"A", "B"}
    assert Owing(state_of(scene, latched=False, working=(exit_of_b,))).of(calm) == {"B"}
    assert Owing(state_of(scene, latched=True)).of(first_state(POLICY)) == set()


def test_ids_are_the_session_s_own_and_the_same_again(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    scene = Scene(panel_of, setup_of, run, "open")
    named = []
    for _ in range(2):
        owing = Owing(scene.state)
        positions = [scene.state.book.positions[s] for s in "AB"]
        asked = [flatten(f"2015-01-0{d}", p) for d in (1, 2) for p in positions]
        named.append([owing.named(order) for _ in range(4) for order in asked])
    ids = [order.client_id for order in named[0]]
    assert named[0] == named[1] and len(set(ids)) == len(ids)
    assert ids[:2] == [flatten("2015-01-01", p).client_id for p in positions]
