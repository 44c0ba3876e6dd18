"""The controls of trading: each place and test is there; and those tested nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnb.app.controls import CONTROLS, Control
from hybridnb.app.desk import Setup
from hybridnb.app.live import trade_live
from hybridnb.app.live_desk import Floor
from hybridnb.app.panel import Panel
from hybridnb.app.records import Recorder
from hybridnb.app.session import step
from hybridnb.app.standing import stood
from hybridnb.app.state import State, first_state
from hybridnb.domain import Leg, Mode, OrderState, OrderType, Side, TradingState
from hybridnb.domain import Order as AnOrder
from hybridnb.errors import LedgerBroken, ParamsError
from hybridnb.execution.lifecycle import Report, advance
from hybridnb.execution.paper import PaperVenue
from hybridnb.execution.paper_account import Snapshot
from hybridnb.policy import Policy, policy_values, validated
from hybridnb.replay.run import rules
from hybridnb.risk import UNKNOWN_PNL_ALERT, Lock, RiskState, marked

ROOT = Path(__file__).resolve().parents[2]
IDS = [*(f"K{n}" for n in range(1, 4)), *(f"P{n}" for n in range(1, 12))]
IDS += [*(f"M{n}" for n in range(1, 4)), *(f"N{n}" for n in range(1, 8))]
IDS += [*(f"T{n}" for n in range(1, 6)), "B1"]
FIRST = 300
Make = Callable[..., Any]


def test_every_control_is_in_the_table_once() -> None:
    assert [control.id for control in CONTROLS] == IDS


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: c.id)
def test_every_place_and_every_test_is_there(control: Control) -> None:
    file, _, name = control.place.partition(":")
    assert name in names(ROOT / "src" / "hybridnb" / file)
    file, *path = control.test.split("::")
    assert path and path[-1] in names(ROOT / "tests" / file)


def names(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


# A small market through the paper venue behind a broker's wire.


@pytest.fixture
def market(panel_of: Make) -> Panel:
    moves = np.random.default_rng(3).normal(0.0, 0.01, (FIRST + 12, 4))
    found: Panel = panel_of(np.round(50 * np.exp(np.cumsum(moves, 0)), 2))
    return found


class Room:
    """Sessions through the paper venue as a broker; rows are durable when the sink has them."""

    def __init__(self, panel: Panel, setup: Setup) -> None:
        self.panel, self.setup = panel, setup
        self.state: State = first_state(setup.policy)
        self.venue = PaperVenue(
            setup.policy.costs, panel.instruments, account=Snapshot(self.state.book.cash, "USD")
        )
        self.durable: list[Mapping[str, Any]] = []
        self.past: list[Mapping[str, Any]] = []
        self.seen: list[tuple[str, int]] = []

    def session(
        self, i: int, *, fails_at: int = -1, actions: Callable[[], Sequence[Any]] = tuple
    ) -> list[dict[str, Any]]:
        day, commits = self.panel.day(i), 0
        self.venue.liquidity = day.liquidity
        kept: list[Mapping[str, Any]] = []

        def sink(rows: Sequence[Mapping[str, Any]]) -> None:
            nonlocal commits
            if commits == fails_at:
                raise LedgerBroken("the ledger can't be written", first_broken={})
            commits += 1
            kept[:] = list(rows)
            self.durable = kept

        def pace(phase: str) -> Any:
            self.venue.run(day.bars, phase)
            booked = len([r for r in kept if r["kind"] == "fill"])
            self.seen.append((phase, booked))
            yield
            # After listening, and before the next time of it: what was told is durable.
            self.seen.append((f"{phase} heard", len([r for r in kept if r["kind"] == "fill"])))
            yield

        record = Recorder(book="book", session=day.session, stamp=STAMP, sink=sink)
        floor = Floor(self.venue, pace, float, bars=lambda: day.bars, actions=actions)
        self.state = trade_live(self.state, day, self.setup, record, floor=floor, past=self.past)
        self.past += record.rows
        return record.rows


STAMP = {"policy_id": "p", "experiment_id": "e", "model_version": "m"}


@pytest.fixture
def room(market: Panel, setup_of: Make) -> Room:
    return Room(market, setup_of(4))


def of(rows: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


# K


def test_k1_one_action_withdraws_all_or_one_symbols_orders(market: Panel, setup_of: Make) -> None:
    setup = setup_of(4)
    orders = tuple(
        AnOrder(f"x{s}", s, Side.SELL, 10, OrderType.MARKET, Leg.EXIT, OrderState.ACCEPTED, "d")
        for s in "ABC"
    )
    state = replace(first_state(setup.policy), working=orders)
    for symbol, gone in (("", "ABC"), ("B", "B")):
        action = {"id": "1", "action": "cancel-all", "symbol": symbol, "reason": "r"}
        record = Recorder(book="book", session="s", stamp={})
        day = replace(market.day(FIRST), bars={})
        step(state, day, replace(setup, actions=(action,), entries=False), record)
        ended = [r["symbol"] for r in of(record.rows, "order") if r["state"] == "cancelled"]
        assert ended == list(gone)
        kinds = [row["kind"] for row in record.rows]
        assert kinds.index("operator") == kinds.index("order") - 1


def test_k1_in_a_session_in_progress(room: Room) -> None:
    asked = [{"id": "1", "action": "cancel-all", "symbol": "", "reason": "r"}]

    def once() -> Sequence[Any]:
        told, asked[:] = list(asked), []
        return told

    rows = room.session(FIRST, actions=once)
    at = next(row["n"] for row in rows if row["kind"] == "operator")
    later = [r for r in of(rows, "order") if r["n"] > at and r["leg"] == "entry"]
    assert all(r["state"] != "submitted" for r in later)
    assert room.state.risk.state is TradingState.HALTED


def test_k2_every_order_leads_to_policy_model_experiment_and_decision(room: Room) -> None:
    rows = [row for i in range(FIRST, FIRST + 4) for row in room.session(i)]
    decisions = {r["decision_id"]: r for r in of(rows, "decision")}
    orders = of(rows, "order")
    assert len(orders) > 20
    for order in orders:
        decision = decisions[order["decision_id"]]
        assert {k: decision[k] for k in STAMP} == STAMP
        assert decision["symbol"] == order["symbol"]


def test_k3_a_latched_switch_cant_be_resumed(market: Panel, setup_of: Make) -> None:
    killed, _ = marked(RiskState(mode=Mode.LIVE), Policy().risk, -0.025, at="s")
    assert stood(killed, {"action": "resume"}) == killed
    assert killed.state is TradingState.HALTED


@pytest.mark.parametrize(
    ("action", "state"),
    [("halt", "HALTED"), ("reduce", "REDUCING"), ("resume", "ACTIVE"), ("cancel-all", "HALTED")],
)
def test_an_operator_sets_the_trading_state(action: str, state: str) -> None:
    before = RiskState(state=TradingState.REDUCING)
    assert stood(before, {"action": action}).state == state


def test_an_operator_takes_locks_and_the_brake_away() -> None:
    locks = tuple(Lock(n, s, 9, "r") for n, s in (("cooldown", "A"), ("cooldown", "B"), ("x", "*")))
    risk = RiskState(locks=locks)
    assert stood(risk, {"action": "unlock", "lock": "cooldown", "symbol": "A"}).locks == locks[1:]
    assert stood(risk, {"action": "unlock", "lock": "cooldown", "symbol": ""}).locks == locks[2:]
    braked = stood(risk, {"action": "brake-on"})
    assert braked.brake and not stood(braked, {"action": "brake-off"}).brake
    assert stood(risk, {"action": "enable", "symbol": "A"}) == risk


# P


def test_p11_a_changed_limit_is_another_policy_and_recorded(market: Panel, setup_of: Make) -> None:
    values = policy_values(Policy())
    values["safety"]["order_value"] = 50_000.0
    changed = validated(Policy, values)
    assert changed.id != Policy().id
    with pytest.raises(Exception, match="frozen"):
        changed.safety.order_value = 1.0
    record = Recorder(book="book", session="s", stamp={"policy_id": changed.id})
    step(first_state(changed), market.day(FIRST), setup_of(4, policy=changed), record)
    assert {r["policy_id"] for r in of(record.rows, "decision")} == {changed.id}


def test_a_replay_refuses_a_rule_that_only_the_session_knows() -> None:
    policy = validated(Policy, {"stops": {"oco": "PREFER_LIMIT"}})
    with pytest.raises(ParamsError, match="oco"):
        rules(policy, Mode.DEMO, verdict_valid=False)


# M


def test_m1_an_alert_is_recorded_with_the_mark_that_raised_it(
    panel_of: Make, setup_of: Make
) -> None:
    closes = np.full((FIRST + 2, 4), 50.0) + np.arange(FIRST + 2)[:, None] % 2 * 0.01
    closes[FIRST + 1 :] = 20.0
    crash, setup = panel_of(closes, opens=closes), setup_of(4)
    state = first_state(setup.policy)
    for i in (FIRST, FIRST + 1):
        record = Recorder(book="book", session="s", stamp={})
        state = step(state, crash.day(i), setup, record)
    mark = next(r for r in of(record.rows, "mark") if r["killed"])
    alerts = [r for r in of(record.rows, "alert") if r["text"].startswith("Kill-switch armed")]
    assert [a["n"] for a in alerts] == [mark["n"] + 1]


def test_m2_fills_are_durable_when_they_were_heard(room: Room) -> None:
    rows = room.session(FIRST)
    fills = len(of(rows, "fill"))
    told = dict(room.seen)
    assert fills > 0 and told["open"] == 0
    assert (
        told["open heard"]
        == told["range"]
        == len([r for r in of(rows, "fill") if r["leg"] == "entry"])
    )


# N


def test_n2_a_timeout_is_in_flight_until_it_is_known() -> None:
    order = AnOrder("x", "A", Side.BUY, 10, OrderType.MARKET, Leg.ENTRY, OrderState.SUBMITTED, "d")
    doubtful = advance(order, Report("x", OrderState.UNKNOWN, 0))
    assert doubtful.state is OrderState.UNKNOWN and doubtful.state.open
    late = advance(doubtful, Report("x", OrderState.ACCEPTED, 0))
    assert late.state is OrderState.UNKNOWN
    known = advance(doubtful, Report("x", OrderState.ACCEPTED, 0, reconciled=True))
    assert known.state is OrderState.ACCEPTED


def test_n3_the_four_invariants_hold_after_sessions_through_a_broker(room: Room) -> None:
    for i in range(FIRST, FIRST + 8):
        rows = room.session(i)
        assert all(row["differences"] == [] for row in of(rows, "reconciled"))
    book, told = room.state.book, room.venue.statement()
    assert {s: p.quantity for s, p in book.positions.items()} == {
        s: h.quantity for s, h in told.holdings.items()
    }
    for symbol, held in told.holdings.items():
        assert held.price == pytest.approx(book.positions[symbol].entry, rel=1e-4)
    assert told.cash == book.cash  # and so the P&L is equal
    assert {o.client_id for o in told.orders} == {o.client_id for o in room.state.working}


@pytest.mark.parametrize("fails_at", [0, 1, 2, 3])
def test_n5_a_ledger_that_cant_be_written_stops_before_anything_is_sent(
    room: Room, fails_at: int
) -> None:
    with pytest.raises(LedgerBroken):
        room.session(FIRST, fails_at=fails_at)
    recorded = {r["client_id"] for r in of(room.durable, "order") if r["state"] != "created"}
    known = {order.client_id for order in room.venue.snapshot().orders}
    assert known <= recorded  # nothing is at the venue that isn't in the ledger
    submitted = [r for r in of(room.durable, "order") if r["state"] == "submitted"]
    assert bool(known) == bool(submitted)


def test_n6_a_mark_that_cant_be_computed_halts(market: Panel, setup_of: Make) -> None:
    risk, alerts = marked(RiskState(), Policy().risk, None, at="s")
    assert (risk.state, alerts) == (TradingState.HALTED, (UNKNOWN_PNL_ALERT,))
    # In a session: something is held that has no price at all.
    state, setup = first_state(Policy()), setup_of(4)
    record = Recorder(book="book", session="s", stamp={})
    state = step(state, market.day(FIRST), setup, record)
    day = market.day(FIRST + 1)
    held = sorted(state.book.positions)[0]
    blind = replace(
        day,
        last={s: p for s, p in day.last.items() if s != held},
        bars={s: b for s, b in day.bars.items() if s != held},
    )
    with pytest.raises(KeyError):  # not even an opening equity: no session begins
        step(state, blind, setup, Recorder(book="book", session="s", stamp={}))
