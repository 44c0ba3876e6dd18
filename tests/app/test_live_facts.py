"""A session through each broker's stub, fact by fact: what rests there, and what the book says."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ib_async", reason="the optional package ib_async isn't installed")
pytest.importorskip("ccxt", reason="the optional package ccxt isn't installed")

from hybridnb.app.live import trade_live
from hybridnb.app.live_desk import Floor
from hybridnb.app.records import Recorder
from hybridnb.app.state import State, first_state, restored
from hybridnb.canonical import plain
from hybridnb.domain import OrderState, TradingState
from hybridnb.errors import BrokerDown, Refused
from hybridnb.policy import Policy, validated
from hybridnb.testing import binance_server, ibkr_server
from hybridnb.testing.binance_api import Api, Fault
from hybridnb.testing.exchange import Exchange
from hybridnb.testing.ibkr_gateway import Gateway

_SPEC = importlib.util.spec_from_file_location(
    "live_driver", Path(__file__).with_name("live_driver.py")
)
driver = importlib.util.module_from_spec(_SPEC)
sys.modules["live_driver"] = driver
_SPEC.loader.exec_module(driver)

PRICE = 1_000_000  # 100.00 a unit
Row = dict[str, Any]


class IbkrHand:
    kind, first, lost = "ibkr", "AAPL", "lost"

    def __init__(self) -> None:
        self.gateway = Gateway(Exchange())

    @contextmanager
    def serving(self) -> Iterator[str]:
        with ibkr_server.running(self.gateway) as (port, _):
            yield str(port)

    def trade(self, symbol: str, price: int, units: int) -> None:
        with self.gateway.lock:
            self.gateway.trade(symbol, price, units)

    def fault(self, name: str) -> None:
        self.gateway.exchange.fault(name)

    def hold(self, symbol: str, units: int) -> None:
        self.gateway.hold(symbol, units, PRICE)

    def resting(self, symbol: str) -> dict[str, int]:
        kinds = {"MARKET": "market", "STOP": "stop", "LIMIT": "target"}
        mine = [o for o in self.gateway.exchange.working if o.symbol == symbol]
        return {kinds[o.type]: o.left for o in mine}

    def held(self) -> dict[str, int]:
        return {s: h.quantity for s, h in self.gateway.exchange.holdings.items()}

    def sent(self) -> list[str]:
        return [o.client_id for o in self.gateway.exchange.orders.values()]

    def foreign(self, symbol: str) -> None:
        owner = {"client": 99, "order": 7, "tif": "GTC", "account": "DU1234567", "ref": ""}
        name = [symbol, "STK", "", "0.0", "", "", "SMART", "", "USD", symbol, symbol]
        owner["contract"] = [7, *name]
        self.gateway.exchange.place(
            "", symbol=symbol, side="BUY", quantity=5, type="LIMIT", limit=500_000, owner=owner
        )


class CcxtHand:
    kind, first, lost = "ccxt", "ETH/USDT", "cut"

    def __init__(self) -> None:
        self.api = Api()

    @contextmanager
    def serving(self) -> Iterator[str]:
        with binance_server.running(self.api) as server:
            for symbol in driver.UNIT:
                self.trade(symbol, PRICE, 1)
            yield server.url

    def trade(self, symbol: str, price: int, units: int) -> None:
        unit = Decimal(driver.UNIT[symbol])
        with self.api.lock:
            self.api.venue.trade(
                symbol.replace("/", ""), Decimal(price) / 10_000 / unit, unit * units
            )

    def fault(self, name: str) -> None:
        self.api.faults.append(Fault(name))

    def hold(self, symbol: str, units: int) -> None:
        coins = str(Decimal(driver.UNIT[symbol]) * units)
        with self.api.lock:
            self.api.control({"do": "hold", "coin": symbol[:3], "quantity": coins})

    def resting(self, symbol: str) -> dict[str, int]:
        kinds = {"MARKET": "market", "STOP_LOSS": "stop", "LIMIT": "target"}
        unit = Decimal(driver.UNIT[symbol])
        return {
            kinds[o["type"]]: int((Decimal(o["origQty"]) - Decimal(o["executedQty"])) / unit)
            for o in self.api.venue.working(symbol.replace("/", ""))
        }

    def held(self) -> dict[str, int]:
        coins = self.api.venue.coins
        units = {s: int(coins.get(s[:3], Decimal(0)) / Decimal(u)) for s, u in driver.UNIT.items()}
        return {s: n for s, n in units.items() if n}

    def sent(self) -> list[str]:
        return [o["clientOrderId"] for o in self.api.venue.orders.values()]

    def foreign(self, symbol: str) -> None:
        with self.api.lock:
            self.api.venue.place(
                {
                    **{"symbol": symbol.replace("/", ""), "side": "BUY", "type": "LIMIT"},
                    **{"quantity": "1", "price": "50", "timeInForce": "GTC"},
                }
            )


class Scene:
    """A book at a venue; a script says what happens at each time of listening."""

    def __init__(self, hand: Any, address: str, *, kill_at: float = -0.025) -> None:
        self.hand, self.address = hand, address
        self.panel = driver.market(hand.kind)
        policy = validated(Policy, driver.POLICY | {"risk": {"kill_day_pnl": kill_at}})
        n = len(self.panel.symbols)
        setup = driver.build_setup(n, policy=policy)
        self.setup = replace(setup, hints=lambda day, state: np.full(len(day.symbols), 4.0))
        self.state, self.past = first_state(policy), []
        self.rows: list[Row] = []
        self.prices: dict[str, int] = {}
        self.actions: list[Mapping[str, Any]] = []

    def session(self, row: int = 281, **script: list[Callable[[], Any]]) -> State:
        """Trade; the rows of the session so far are taken up again."""
        day = replace(self.panel.day(row), bars={})
        self.rows = [r for r in self.rows if r["session"] == day.session]

        def sink(rows: list[Row]) -> None:
            self.rows = list(rows)

        record = Recorder(
            book="book", session=day.session, stamp=driver.STAMP, sink=sink, rows=self.rows
        )

        def pace(phase: str) -> Iterator[None]:
            for act in (*script.get(phase, ()), *[lambda: None] * 3):
                act()
                yield

        def actions() -> list[Mapping[str, Any]]:
            taken, self.actions = self.actions, []
            return taken

        clock = itertools.count(1.0, 0.5)
        broker = driver.connect(self.hand.kind, self.address, self.panel.instruments)
        floor = Floor(
            broker=broker,
            pace=pace,
            clock=lambda: next(clock),
            prices=lambda: dict(self.prices),
            actions=actions,
        )
        try:
            after = trade_live(self.state, day, self.setup, record, floor=floor, past=self.past)
        finally:
            broker.close()
        self.past += self.rows
        self.state = restored(plain(after))
        return self.state

    def fill(self, symbol: str, units: int = 10_000, price: int = PRICE) -> Callable[[], None]:
        return lambda: self.hand.trade(symbol, price, units)

    def fill_all(self) -> None:
        for symbol in self.panel.symbols:
            self.hand.trade(symbol, PRICE, 10_000)

    def of(self, kind: str, **match: Any) -> list[Row]:
        mine = (r for r in self.rows if r["kind"] == kind)
        return [r for r in mine if all(r[k] == v for k, v in match.items())]


@pytest.fixture(params=[IbkrHand, CcxtHand], ids=["ibkr", "ccxt"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    hand = request.param()
    with hand.serving() as address:
        yield Scene(hand, address)


def test_brackets_follow_every_fill_and_the_next_session_goes_on(scene: Scene) -> None:
    hand, first = scene.hand, scene.hand.first
    seen: list[dict[str, int]] = []
    look = lambda: seen.append(hand.resting(first))  # noqa: E731
    quiet = lambda: None  # noqa: E731
    script = [scene.fill(first, 40), quiet, look, scene.fill(first, 20), quiet, look]
    after = scene.session(open=[*script, scene.fill_all, quiet, look])
    full = after.book.positions[first].quantity
    assert [s["stop"] for s in seen] == [40, 60, full] and hand.held()[first] == full
    both = hand.kind == "ibkr"
    assert [s.get("target", 0) for s in seen] == ([40, 60, full] if both else [0, 0, 0])
    legs = {o.client_id: o for o in after.working}
    assert {o.leg.value for o in legs.values()} == ({"stop", "target"} if both else {"stop"})
    (closing,) = scene.of("session_closed")
    assert {o["client_id"] for o in closing["snapshot"]["working"]} == set(legs)
    assert scene.of("reconciled")[-1]["differences"] == []
    sent = len(hand.sent())
    again = scene.session(282)
    assert again.book.positions[first].quantity == full
    assert not scene.of("fill") and hand.resting(first)["stop"] == full
    assert len([i for i in hand.sent()[sent:] if "entry" in i]) <= len(scene.panel.symbols)


def test_a_stop_that_fills_ends_the_position(scene: Scene) -> None:
    first, hand = scene.hand.first, scene.hand
    down = [scene.fill(first, 30, 900_000), scene.fill(first, 10_000, 900_000)]
    after = scene.session(open=[scene.fill_all], range=down)
    assert first not in after.book.positions and first not in hand.held()
    assert hand.resting(first) == {}
    trades = scene.of("trade", symbol=first)
    assert {t["exit_leg"] for t in trades} == {"stop"} and all(t["pnl"] < 0 for t in trades)
    entry = scene.of("fill", symbol=first, leg="entry")
    out = scene.of("fill", symbol=first, leg="stop")
    assert sum(f["quantity"] for f in entry) == sum(f["quantity"] for f in out)


def test_a_target_that_fills_in_part_leaves_a_stop_of_the_rest(scene: Scene) -> None:
    first, hand = scene.hand.first, scene.hand

    def up() -> None:
        scene.prices = {first: 1_100_000}

    script = [up, lambda: None, scene.fill(first, 30, 1_100_000)]
    after = scene.session(open=[scene.fill_all], range=script)
    assert {t["exit_leg"] for t in scene.of("trade")} == {"target"}
    left = after.book.positions[first].quantity
    assert hand.held()[first] == left > 0
    rest = hand.resting(first)
    # Where both can't rest, the market order that takes the profit is still at work.
    assert rest == ({"stop": left, "target": left} if hand.kind == "ibkr" else {"market": left})


def test_the_kill_switch_flattens_at_the_venue_and_outlives_a_restart(scene: Scene) -> None:
    hand, first = scene.hand, scene.hand.first
    scene.setup = replace(
        scene.setup, policy=validated(Policy, driver.POLICY | {"risk": {"kill_day_pnl": -0.0002}})
    )
    broken = {"now": True}

    def crash() -> None:
        scene.prices = dict.fromkeys(scene.panel.symbols, 950_000)

    def stop() -> None:
        if broken.pop("now", False):
            raise KeyboardInterrupt

    fills = [scene.fill(first, 60), lambda: None, crash, lambda: None, stop]
    with pytest.raises(KeyboardInterrupt):
        scene.session(open=fills)
    assert scene.of("mark")[-1]["killed"]
    entries = [i for s in scene.panel.symbols for i in scene.hand.resting(s).items()]
    assert entries == [("market", 60)], "entries withdrawn, the position on its way out"
    sell = lambda: [hand.trade(s, 950_000, 10_000) for s in scene.panel.symbols]  # noqa: E731
    after = scene.session(open=[sell])
    assert hand.held() == {} == after.book.positions
    assert after.risk.killed and after.risk.state is TradingState.HALTED
    assert {t["exit_leg"] for t in scene.of("trade")} == {"flatten"}
    alerts = [r["text"] for r in scene.of("alert")]
    assert sum("Kill-switch armed" in text for text in alerts) == 1
    bought = {i for i in hand.sent() if "entry" in i}
    scene.session(range=[sell])  # the same session once more: nothing is bought again
    assert {i for i in hand.sent() if "entry" in i} == bought and hand.held() == {}


@pytest.mark.parametrize(
    ("action", "state", "entries"),
    [
        ("cancel-all", TradingState.HALTED, 0),
        ("halt", TradingState.HALTED, 0),
        ("reduce", TradingState.REDUCING, 0),
        ("resume", TradingState.ACTIVE, 1),
    ],
)
def test_an_operators_word(scene: Scene, action: str, state: TradingState, entries: int) -> None:
    first, hand, seen = scene.hand.first, scene.hand, []

    def ask() -> None:
        scene.actions = [{"action": action, "operator": "ann", "reason": "drill"}]

    def look() -> None:
        seen.append({s: hand.resting(s) for s in scene.panel.symbols})

    quiet = lambda: None  # noqa: E731
    after = scene.session(open=[scene.fill(first, 40), quiet, ask, quiet, look])
    assert after.risk.state is state
    (row,) = scene.of("operator")
    assert (row["action"], row["operator"]) == (action, "ann")
    # What is held keeps its stop, whoever withdrew the last one.
    assert seen[0][first]["stop"] == 40 and ("market" in seen[0][first]) is bool(entries)
    others = [seen[0][s] for s in scene.panel.symbols if s != first]
    assert all(bool(o) is bool(entries) for o in others)


@pytest.mark.parametrize("fault", ["timeout", "lost"])
def test_an_order_without_an_answer_is_resolved_by_the_statement(scene: Scene, fault: str) -> None:
    hand = scene.hand
    hand.fault(fault)
    quiet = [lambda: None] * 3
    later = [lambda: setattr(hand.api.venue, "skew", 60_000)] if hand.kind == "ccxt" else []
    states = scene.session(open=[*later, *quiet, scene.fill_all, *quiet])
    doubtful = scene.of("order", state="unknown", leg="entry")
    assert len({r["client_id"] for r in doubtful}) == 1
    name = doubtful[0]["client_id"]
    assert [i.partition(":")[0] for i in hand.sent()].count(name) == 1
    assert sorted(states.book.positions) == sorted(scene.panel.symbols)
    assert scene.of("order", client_id=name)[-1]["state"] == "filled"


def test_a_line_that_breaks_leaves_the_ledger_whole(scene: Scene) -> None:
    scene.hand.fault("disconnect")
    with pytest.raises(BrokerDown) as caught:
        scene.session()
    assert caught.value.exit_code == 4 and scene.of("alert")
    assert {r["state"] for r in scene.of("order", leg="entry")} == {"created", "submitted"}
    after = scene.session(open=[scene.fill_all])
    names = [i for i in scene.hand.sent() if "entry" in i]
    assert len(names) == len(set(names)) == len(scene.panel.symbols)
    assert sorted(after.book.positions) == sorted(scene.panel.symbols) == sorted(scene.hand.held())


class TestNotReconciled:
    def refused(self, scene: Scene, row: int = 281) -> Refused:
        sent = len(scene.hand.sent())
        with pytest.raises(Refused) as caught:
            scene.session(row)
        assert caught.value.exit_code == 3 and "hybridnb adopt" in caught.value.remedy
        assert len(scene.hand.sent()) == sent, "nothing was sent"
        assert scene.of("alert") and scene.of("reconciled")[-1]["differences"]
        return caught.value

    def test_a_position_that_nobody_here_decided(self, scene: Scene) -> None:
        scene.hand.hold(scene.hand.first, 7)
        told = f"quantity of {scene.hand.first}: ours 0, the broker's 7"
        assert told in str(self.refused(scene))
        self.refused(scene)  # also the second time
        scene.hand.hold(scene.hand.first, -7)
        after = scene.session(open=[scene.fill_all])  # mended by a person
        assert sorted(after.book.positions) == sorted(scene.panel.symbols)

    @pytest.mark.parametrize("manual", [-5, 5])
    def test_a_manual_trade_overnight(self, scene: Scene, manual: int) -> None:
        first = scene.hand.first
        held = scene.session(open=[scene.fill_all]).book.positions[first].quantity
        scene.hand.hold(first, manual)
        assert f"ours {held}, the broker's {held + manual}" in str(self.refused(scene, 282))

    def test_a_split_overnight(self, scene: Scene) -> None:
        first = scene.hand.first
        held = scene.session(open=[scene.fill_all]).book.positions[first].quantity
        scene.hand.hold(first, held)
        assert f"ours {held}, the broker's {2 * held}" in str(self.refused(scene, 282))

    def test_a_foreign_order(self, scene: Scene) -> None:
        scene.hand.foreign(scene.hand.first)
        assert f"order of {scene.hand.first}: ours none" in str(self.refused(scene))


def test_both_legs_traded_halts_and_the_next_start_refuses() -> None:
    hand = IbkrHand()
    with hand.serving() as address:
        scene = Scene(hand, address)

        def both() -> None:
            hand.trade("AAPL", 900_000, 10_000)
            hand.trade("AAPL", 1_100_000, 30)

        after = scene.session(open=[scene.fill_all], range=[both])
        assert hand.held()["AAPL"] == -30 and "AAPL" not in after.book.positions
        assert any("30 units of AAPL were closed beyond" in r["text"] for r in scene.of("alert"))
        assert after.risk.state is TradingState.HALTED
        with pytest.raises(Refused, match="ours 0, the broker's -30"):
            scene.session(282)


def test_a_commission_told_late_reaches_the_cash() -> None:
    hand = IbkrHand()
    with hand.serving() as address:
        scene = Scene(hand, address)
        hand.gateway.knobs["commissions"] = False
        on = lambda: hand.gateway.knobs.__setitem__("commissions", True)  # noqa: E731
        after = scene.session(open=[scene.fill_all], end=[on])
        assert {f["commission"] for f in scene.of("fill")} == {0}
        told = scene.of("commission")
        assert len(told) == len(scene.of("fill")) and all(r["more"] >= 10_000 for r in told)
        paid = hand.gateway.exchange.cash - Exchange().cash
        assert after.book.cash - 1_000_000_0000 == paid
        assert all(o.state is not OrderState.UNKNOWN for o in after.working)
