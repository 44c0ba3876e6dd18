"""A session through a broker in calm weather: what the test makes happen, and nothing else."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from scenes import (
    PRICE,
    STAMP,
    Act,
    Died,
    Gapped,
    Make,
    Row,
    Scene,
    beside,
    bought,
    die,
    quiet,
)
from sqlalchemy import event

from hybridnb.app.home import Home
from hybridnb.app.live_prices import CLOCK
from hybridnb.app.live_view import LiveView, seen
from hybridnb.app.records import Recorder
from hybridnb.app.session import step
from hybridnb.app.state import State, first_state, restored
from hybridnb.book import equity
from hybridnb.canonical import plain
from hybridnb.domain import Order, OrderState, Position, TradingState, refusal_names
from hybridnb.domain import Refusal as Code
from hybridnb.errors import Missing, Refused
from hybridnb.execution.oco import OcoRule
from hybridnb.ledger.store import Ledger
from hybridnb.ports import Statement
from hybridnb.risk import disabled
from hybridnb.testing.exchange import Resting
from hybridnb.testing.wild_broker import WildBroker

RULES = list(OcoRule)


class TestAStopThatTheVenueRefuses:
    def begun(self, scene: Scene, refuse: set[str]) -> list[Order]:
        asked: list[Order] = []
        scene.make = lambda: Gapped(scene.world, asked, refuse)
        return asked

    def terms(self, asked: Sequence[Order], leg: str) -> list[tuple[int, int | None]]:
        return [(o.left, o.stop) for o in asked if o.leg == leg]

    def test_is_asked_for_once_and_the_position_closed(self, scene: Scene) -> None:
        asked, seen = self.begun(scene, {"stop"}), []
        entry = [scene.trade(10_000), *[quiet] * 5, lambda: seen.append(scene.resting())]
        scene.session(open=entry, range=[quiet] * 5)
        held = scene.held()
        assert len(self.terms(asked, "stop")) == 1 and held > 0
        assert self.terms(asked, "flatten") == [(held, None)]
        assert seen == [{"flatten": held}] and scene.resting() == {"flatten": held}
        assert scene.alerts("without its stop") == 1

    def test_grown_by_a_fill_it_is_asked_for_once_more(self, scene: Scene) -> None:
        asked = self.begun(scene, {"stop"})
        buys = [lambda: bought(scene, 40), quiet, lambda: bought(scene, 30), quiet]
        scene.session(open=buys, range=[quiet] * 4)
        assert len(set(self.terms(asked, "stop"))) == len(self.terms(asked, "stop")) == 2
        assert scene.held() == 70 == scene.resting()["flatten"]
        assert scene.alerts("without its stop") == 1

    def test_has_its_turn_again_when_the_exit_is_gone(self, scene: Scene) -> None:
        refuse = {"stop", "flatten"}
        asked = self.begun(scene, refuse)
        mended = [quiet, quiet, refuse.clear]
        scene.session(open=[scene.trade(10_000), *mended], range=[quiet] * 3)
        stops, exits = self.terms(asked, "stop"), self.terms(asked, "flatten")
        assert len(set(stops)) == 1 and len(stops) == len(exits) + 1, "one for each exit refused"
        assert scene.resting() == {"stop": scene.held(), "target": scene.held()}
        assert scene.alerts("without its stop") == 1


class Stuck(Gapped):
    """No stop there may be moved."""

    def _amend(self, order: Order, there: Resting) -> Order:
        self.asked.append(order)
        return replace(self._order(there), refusals=refusal_names(Code.VENUE))


@pytest.mark.parametrize("through", [False, True])
def test_a_trailed_stop_that_the_venue_refuses_closes_once_the_price_is_through_it(
    scene: Scene, through: bool
) -> None:
    scene.session(open=[scene.trade(10_000)])
    held, stop = scene.held(), scene.state.book.positions["A"].stop
    asked: list[Order] = []
    scene.make = lambda: Stuck(scene.world, asked, set())
    bar = replace(scene.panel.day(282).bars["A"], high=1_040_000)

    def fall() -> None:
        scene.prices = {"A": stop + 100 if through else 1_040_000}

    after = scene.session(282, entries=False, bars={"A": bar}, end=[fall, quiet, quiet])
    moved = after.book.positions["A"].stop
    assert [o.stop for o in asked if o.leg == "stop"] == [moved] and moved > stop + 100
    assert scene.resting() == ({"flatten": held} if through else {"stop": held, "target": held})
    assert scene.alerts("without its stop") == through


def test_the_kill_switch_at_the_close_leaves_no_position_without_a_stop(
    panel_of: Make, setup_of: Make
) -> None:
    scene = Scene(panel_of, setup_of, risk={"kill_day_pnl": -0.0001})
    scene.make = lambda: Gapped(scene.world, [], {"flatten"})
    bar = scene.panel.day(281).bars["A"]
    low = replace(bar, high=bar.open, low=980_000, close=980_000)
    after = scene.session(open=[scene.trade(10_000)], bars={"A": low})
    assert after.risk.killed and scene.of("order", leg="flatten", state="rejected")
    assert scene.resting() == {"stop": scene.held(), "target": scene.held()}


class TestWhatAKillLeft:
    """The switch tripped at a close at which the venue wouldn't have its orders."""

    @pytest.fixture
    def left(self, panel_of: Make, setup_of: Make) -> Scene:
        scene = Scene(panel_of, setup_of, risk={"kill_day_pnl": -0.0001})
        scene.make = lambda: Gapped(scene.world, [], {"flatten"})
        bar = scene.panel.day(281).bars["A"]
        low = replace(bar, high=bar.open, low=980_000, close=980_000)
        after = scene.session(open=[scene.trade(10_000)], bars={"A": low})
        assert after.risk.killed and set(scene.resting()) == {"stop", "target"}
        scene.make = lambda: WildBroker(scene.world)
        return scene

    def cut(self, scene: Scene, seen: list[int] | None = None) -> Act:
        """A third of the exit trades, and the venue cancels the rest of it."""

        def act() -> None:
            scene.world.trade("A", PRICE, max(1, scene.held() // 3))
            for order in scene.exchange.working:
                if order.type == "MARKET" and order.filled:
                    scene.exchange.cancel(order.order_id)
            if seen is not None:
                seen.append(scene.held())

        return act

    def exits(self, scene: Scene) -> list[Resting]:
        return [o for o in scene.exchange.orders.values() if "-flatten-" in o.client_id]

    @pytest.mark.parametrize("entries", [True, False])
    def test_is_closed_at_the_next_opening_however_often_it_is_cut(
        self, left: Scene, entries: bool
    ) -> None:
        held, seen = left.held(), []
        cuts = [act for _ in range(40) for act in (self.cut(left, seen), quiet)]
        after = left.session(282, entries=entries, open=cuts)
        assert not after.risk.killed and after.risk.state is TradingState.ACTIVE
        assert seen[0] == held - held // 3 and seen[-1] == 0
        assert left.held() == 0 and left.resting() == {} and after.book.positions == {}
        sent = self.exits(left)
        assert len({o.client_id for o in sent}) == len(sent) > 5
        assert not left.of("order", leg="exit") and not left.of("order", leg="entry", symbol="A")

    def test_that_is_cut_at_the_close_is_closed_at_the_opening_after_it(self, left: Scene) -> None:
        after = left.session(282, entries=False, end=[quiet, self.cut(left)])
        assert left.held() > 0 and not after.risk.killed
        assert left.resting() == {"flatten": left.held()}
        left.session(283, entries=False, open=[quiet, left.trade(10_000)])
        assert left.held() == 0

    def test_is_closed_after_a_restart(self, left: Scene) -> None:
        with pytest.raises(Died):
            left.session(282, entries=False, open=[self.cut(left), die])
        assert left.held() > 0
        left.session(282, entries=False, open=[self.cut(left)])
        assert left.resting() == {"flatten": left.held()} and left.held() > 0
        left.session(283, entries=False, open=[quiet, left.trade(10_000)])
        assert left.held() == 0
        sent = self.exits(left)
        assert len({o.client_id for o in sent}) == len(sent) >= 3

    @pytest.mark.parametrize("dies", [False, True])
    def test_stays_with_its_stop_where_an_operator_withdraws_its_exit(
        self, left: Scene, dies: bool
    ) -> None:
        units, asked = left.held(), {"action": "cancel-all", "operator": "ann", "reason": "hers"}

        def ask() -> None:
            left.actions = [{"id": "1", "symbol": "", **asked}]

        if dies:
            with pytest.raises(Died):
                left.session(282, entries=False, open=[ask, quiet, die])
            left.session(282, entries=False)
        else:
            left.session(282, entries=False, open=[ask])
        assert left.resting() == {"stop": units, "target": units} and left.held() == units


def test_a_kill_whose_orders_are_cut_in_its_own_session_is_flat_before_the_next(
    panel_of: Make, setup_of: Make
) -> None:
    scene = Scene(panel_of, setup_of, risk={"kill_day_pnl": -0.0001})
    cut = TestWhatAKillLeft().cut(scene)

    def fall() -> None:
        scene.prices = {"A": 980_000, "B": PRICE}

    cuts = [act for _ in range(40) for act in (cut, quiet)]
    after = scene.session(open=[scene.trade(10_000)], range=[fall, quiet, *cuts])
    assert after.risk.killed and after.book.positions == {} and scene.held() == 0
    assert len(scene.of("fill", leg="flatten")) > 5


# What happens after the entry: which levels a session's bar reaches.
BARS = [{"target"}, {"target"}, {"stop", "target"}, {"stop"}]
UNITS = 20  # trade of ours in a bar
# At one level after the other: where a bar doesn't tell which was first, the rule does.
PATH = {
    rule: ("target", "stop") if rule == "PREFER_LIMIT" else ("stop", "target") for rule in RULES
}


def rounded(legs: Sequence[Order]) -> list[tuple[str, int, int | None, int | None]]:
    return sorted((str(o.leg), o.left, o.stop, o.limit) for o in legs)


class OnPaper:
    """The same book on the paper venue, bar by bar."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.state = scene, first_state(scene.setup.policy)

    def bar(self, row: int, levels: set[str]) -> dict[str, Any]:
        """A bar from 100 to 100 that reaches these levels of the position."""
        bar, held = self.scene.panel.day(row).bars["A"], self.state.book.positions.get("A")
        at = PRICE if held is None else (held.stop + held.target) // 2
        high = held.target if held and "target" in levels else at
        low = held.stop if held and "stop" in levels else at
        volume = 10 * UNITS if held else 10**7
        return {"A": replace(bar, open=at, high=high, low=low, close=at, volume=volume)}

    def session(self, row: int, bars: Mapping[str, Any], *, entries: bool) -> list[Row]:
        day = replace(self.scene.panel.day(row), bars=dict(bars))
        record = Recorder(book="book", session=day.session, stamp=STAMP)
        setup = replace(self.scene.setup, entries=entries)
        self.state = restored(plain(step(self.state, day, setup, record)))
        return [r for r in record.rows if r["kind"] == "fill"]


def reached(
    scene: Scene, held: Position | None, levels: Sequence[str], fills: Sequence[Row]
) -> dict[str, list[Act]]:
    """A bar as a path: the entry at its open, then the levels, as far as its volume goes."""
    if held is None:
        return {"open": [scene.trade(10_000, fills[0]["price"])]}
    at = {"stop": held.stop, "target": held.target}

    def reach(price: int) -> None:
        done = sum(e.quantity for e in scene.exchange.executions[scene.world.day :])
        scene.world.trade("A", price, UNITS - done)

    return {"range": [partial(reach, at[level]) for level in levels]}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_trades_as_on_paper(panel_of: Make, setup_of: Make, rule: OcoRule) -> None:
    scene = Scene(panel_of, setup_of, stops={"oco": str(rule)})
    paper, legs = OnPaper(scene), []
    for row, levels in enumerate([set(), *BARS], 281):
        held = paper.state.book.positions.get("A")
        bars, first = paper.bar(row, levels), held is None
        fills = paper.session(row, bars, entries=first)
        scene.world.day = len(scene.exchange.executions)
        script = reached(scene, held, [n for n in PATH[rule] if n in levels], fills)
        scene.session(row, entries=first, bars=bars, **script)
        told = [(f["leg"], f["quantity"]) for f in scene.of("fill")]
        assert told == [(f["leg"], f["quantity"]) for f in fills]
        assert rounded(scene.state.working) == rounded(paper.state.working)
        assert scene.resting() == {str(o.leg): o.left for o in scene.state.working}
        legs += [leg for leg, _ in told[:1]]
    assert (
        legs
        == {
            "FIRST_TRIGGERED_WINS": ["entry", "target", "target", "stop", "stop"],
            "PREFER_LIMIT": ["entry", "target", "target", "target", "stop"],
            "ALLOW_PARTIAL_THEN_CANCEL": ["entry", "target", "stop", "stop"],
            "BOTH_MUST_TRIGGER": ["entry", "stop", "stop"],
        }[rule]
    )


class TestATargetThatAPartialFillCancelled:
    @pytest.fixture
    def shrunk(self, panel_of: Make, setup_of: Make) -> Scene:
        made = Scene(panel_of, setup_of, stops={"oco": "ALLOW_PARTIAL_THEN_CANCEL"})
        made.session(open=[made.trade(10_000)])
        assert set(made.resting()) == {"stop", "target"}
        return made

    def reached(self, scene: Scene) -> Act:
        return scene.trade(20, scene.state.book.positions["A"].target)

    def test_stays_away_when_the_stop_is_mended_and_trailed(self, shrunk: Scene) -> None:
        def gone() -> None:
            (stop,) = [o for o in shrunk.exchange.working if o.type == "STOP"]
            shrunk.exchange.cancel(stop.order_id)  # by somebody else

        bar = replace(shrunk.panel.day(282).bars["A"], high=1_040_000)
        stop = shrunk.state.book.positions["A"].stop
        script = [self.reached(shrunk), quiet, gone]
        shrunk.session(282, entries=False, bars={"A": bar}, range=script)
        assert shrunk.resting() == {"stop": shrunk.held()}
        assert shrunk.state.book.positions["A"].stop > stop, "it was trailed"

    @pytest.mark.parametrize("dies", ["before", "after"])
    def test_stays_away_after_a_restart(self, shrunk: Scene, dies: str) -> None:
        class Mortal(WildBroker):
            def cancel(self, client_ids: Any) -> list[Order]:
                answer = super().cancel(client_ids) if dies == "after" else []
                raise Died(answer)

        shrunk.make = lambda: Mortal(shrunk.world)
        with pytest.raises(Died):
            shrunk.session(282, entries=False, range=[self.reached(shrunk)])
        shrunk.make = lambda: WildBroker(shrunk.world)
        shrunk.session(282, entries=False)
        assert shrunk.resting() == {"stop": shrunk.held()}
        shrunk.session(283, entries=False)
        assert shrunk.resting() == {"stop": shrunk.held()}

    def test_comes_back_with_an_entry(self, panel_of: Make, setup_of: Make) -> None:
        scene = Scene(panel_of, setup_of, stops={"oco": "ALLOW_PARTIAL_THEN_CANCEL"})
        seen: list[dict[str, int]] = []

        def target() -> None:
            (leg,) = [o for o in scene.exchange.working if o.type == "LIMIT"]
            with beside(scene, lambda o: o is not leg):
                scene.world.trade("A", leg.limit, 15)

        look = lambda: seen.append(scene.resting())  # noqa: E731
        acts = [lambda: bought(scene, 40), look, target, look, lambda: bought(scene, 30), look]
        scene.session(open=[act for each in acts for act in (each, quiet)])
        legs = [{k: n for k, n in each.items() if k != "entry"} for each in seen]
        assert legs == [{"stop": 40, "target": 40}, {"stop": 25}, {"stop": 55, "target": 55}]


def test_a_venue_that_would_let_the_stop_trade_alone_cant_have_both_trigger(
    panel_of: Make, setup_of: Make
) -> None:
    scene = Scene(panel_of, setup_of, stops={"oco": "BOTH_MUST_TRIGGER"})
    scene.world.oco = ""
    with pytest.raises(Refused, match="doesn't hold legs back") as caught:
        scene.session()
    assert "stops.oco" in caught.value.remedy and not scene.exchange.orders


class TestMoney:
    def told(self, scene: Scene, **news: Any) -> None:
        class Telling(WildBroker):
            def statement(self) -> Statement:
                return replace(super().statement(), **news)

        scene.make = lambda: Telling(scene.world)

    def test_cash_that_moved_refuses_with_both_figures(self, scene: Scene) -> None:
        scene.exchange.cash -= 1_000_0000
        scene.session(entries=False)  # 0.1 %: what a session's ordinary charges may come to
        scene.exchange.cash -= 1_0000
        with pytest.raises(Refused, match=r"cash of USD: ours 1000000.00, .* 998999.00") as caught:
            scene.session(282)
        assert "hybridnb adopt" in caught.value.remedy and not scene.exchange.orders
        assert scene.of("reconciled")[-1]["differences"][0]["what"] == "cash"

    def test_realised_profit_that_nobody_here_made_refuses(self, scene: Scene) -> None:
        self.told(scene, realised=-1_001_0000)
        with pytest.raises(Refused, match=r"realised of USD: ours 0.00, the broker's -1001.00"):
            scene.session()
        assert not scene.exchange.orders

    def test_what_a_session_realised_is_what_the_venue_says(self, scene: Scene) -> None:
        down = scene.trade(10_000, 900_000)
        scene.session(open=[scene.trade(10_000)], range=[down])
        lost = sum(t["pnl"] for t in scene.of("trade"))
        assert lost < -1_000_0000, "beyond the tolerance"
        assert scene.of("reconciled")[-1]["differences"] == []
        scene.rows = scene.rows[:-1]  # it was killed before its end
        scene.past, scene.state = [], first_state(scene.setup.policy)
        self.told(scene, realised=0)
        with pytest.raises(Refused, match="realised"):
            scene.session()

    def test_what_the_broker_cant_tell_is_not_compared(self, scene: Scene) -> None:
        self.told(scene, cash=None, realised=None)
        scene.exchange.cash //= 2
        scene.session(open=[scene.trade(10_000)])
        assert scene.held() > 0


class Doubting(WildBroker):
    """The first entry isn't answered: what became of it is in the statement alone."""

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        answers = super().submit(orders)
        self._doubt |= {o.client_id for o in orders}
        return [replace(o, state=OrderState.UNKNOWN) for o in answers]


class TestStrangers:
    def foreign(self, scene: Scene) -> Act:
        return lambda: scene.exchange.place(
            "hand-1", symbol="B", side="BUY", quantity=5, type="LIMIT", limit=500_000
        )

    @pytest.mark.parametrize("filled", [False, True])
    def test_are_alerted_once_and_stop_entries(self, scene: Scene, filled: bool) -> None:
        scene.make = lambda: Doubting(scene.world)

        def by_hand() -> None:
            self.foreign(scene)()
            scene.world.trade("B", 500_000, 5 * filled)

        after = scene.session(open=[by_hand, quiet, quiet, quiet])
        assert after.risk.state is TradingState.REDUCING
        assert scene.alerts("not of this book") == 1 and scene.held() == 0
        assert "entry" not in scene.resting(), "withdrawn"
        (row,) = scene.of("foreign")
        assert [d["what"] for d in row["differences"]] == (["fill"] if filled else ["order"])

    def test_an_operator_decides(self, scene: Scene) -> None:
        scene.make = lambda: Doubting(scene.world)

        def resume() -> None:
            scene.actions = [{"action": "resume", "operator": "ann", "reason": "hers"}]

        after = scene.session(open=[self.foreign(scene), quiet, quiet, resume, quiet])
        assert after.risk.state is TradingState.ACTIVE and scene.alerts("not of this book") == 1

    def test_a_restart_remembers_that_entries_are_stopped(self, scene: Scene) -> None:
        scene.make = lambda: Doubting(scene.world)
        with pytest.raises(Died):
            scene.session(open=[self.foreign(scene), quiet, quiet, die])
        (theirs,) = [o for o in scene.exchange.working if o.client_id == "hand-1"]
        scene.exchange.cancel(theirs.order_id)
        after = scene.session(open=[scene.trade(10_000)])
        assert after.risk.state is TradingState.REDUCING and scene.held() == 0


class Racing(WildBroker):
    """The stop trades beside an amendment of it, and the answer knows nothing of that."""

    units, resting, way = 0, 0, ""

    def _amend(self, order: Order, there: Resting) -> Order:
        units, self.units = self.units, 0
        if order.leg != "stop" or not units:
            return super()._amend(order, there)
        if self.way != "back":
            self.world.trade("A", there.stop, units)
        # Either the venue works so much more from now on, or so much in all.
        total = order.quantity + (there.filled if self.way == "there, more" else 0)
        self.world.exchange.amend(there.order_id, quantity=total, stop=order.stop)
        if self.way == "back":
            self.world.trade("A", there.stop, units)
        self.resting = there.left
        return replace(self._order(there), filled=0, state=OrderState.ACCEPTED)


@pytest.mark.parametrize("units", [1, 30])
@pytest.mark.parametrize("way", ["there, more", "there, in all", "back"])
def test_what_fills_beside_an_amendment_is_taken_off_within_one_hearing(
    scene: Scene, units: int, way: str
) -> None:
    broker = Racing(scene.world)
    scene.make = lambda: broker
    seen: list[tuple[int, dict[str, int]]] = []

    def look() -> None:
        seen.append((scene.held(), scene.resting()))

    def race() -> None:
        """The target fills in part; the stop is amended after that, and fills beside it."""
        broker.units, broker.way = units, way
        (target,) = [o for o in scene.exchange.working if o.type == "LIMIT"]
        scene.world.trade("A", target.limit, 20)

    after = scene.session(open=[scene.trade(10_000)], range=[look, race, look, look])
    full, left = seen[0][0], seen[0][0] - 20 - units
    assert seen[0] == (full, {"stop": full, "target": full})
    assert broker.resting == left + (units if way == "there, more" else 0)
    assert seen[1][0] == left and seen[1][1]["stop"] == left
    assert seen[2] == (left, {"stop": left, "target": left})
    assert not scene.of("alert") and after.book.positions["A"].quantity == left


class TestAClockThatGoesBack:
    def set_back(self, scene: Scene, seconds: float = 3600.0) -> Act:
        def act() -> None:
            scene.back += seconds

        return act

    @pytest.fixture
    def late(self, scene: Scene) -> Scene:
        """It is a while after the epoch, so that there is a before."""
        scene.back = -100_000.0
        return scene

    def test_halts_withdraws_entries_and_keeps_what_protects(self, late: Scene) -> None:
        seen: list[dict[str, int]] = []
        look = lambda: seen.append(late.resting())  # noqa: E731
        back = self.set_back(late)
        begun = [lambda: bought(late, 50), quiet, look, back, quiet, look]
        after = late.session(open=begun, range=[late.trade(10_000)])
        assert seen[0]["entry"] > 0 and "entry" not in seen[1]
        assert seen[1] == {"stop": 50, "target": 50} and late.held() == 50
        assert after.risk.state is TradingState.HALTED
        assert late.alerts(CLOCK) == 1 and "time server" in CLOCK and "hybridnb resume" in CLOCK
        assert [row["cause"] for row in late.of("halted")] == ["the clock moved back"]

    def test_a_stop_is_still_trailed_and_still_closes(self, late: Scene) -> None:
        fallen = late.trade(10_000, PRICE * 9 // 10)
        open_ = [lambda: bought(late, 50), quiet, self.set_back(late)]
        late.session(open=open_, range=[fallen, quiet])
        assert late.held() == 0
        assert {row["exit_leg"] for row in late.of("trade")} == {"stop"}

    def test_a_correction_is_no_jump(self, late: Scene) -> None:
        late.session(open=[late.trade(50), self.set_back(late, 1.0)], range=[quiet])
        assert late.alerts(CLOCK) == 0 and late.of("halted") == []

    def test_a_restart_remembers_it(self, late: Scene) -> None:
        with pytest.raises(Died):
            late.session(open=[self.set_back(late), quiet, die])
        assert late.session(open=[late.trade(50)]).risk.state is TradingState.HALTED
        assert late.held() == 0 and late.alerts(CLOCK) == 1

    def test_an_operator_resumes(self, late: Scene) -> None:
        def resume() -> None:
            late.actions = [{"action": "resume", "operator": "ann", "reason": "set right"}]

        after = late.session(open=[self.set_back(late), quiet, resume, quiet])
        assert after.risk.state is TradingState.ACTIVE and late.alerts(CLOCK) == 1


class TestASymbolThatTradesTooOften:
    enabling = MappingProxyType(
        {"action": "enable", "symbol": "A", "operator": "ann", "reason": "looked at it"}
    )

    @pytest.fixture
    def busy(self, panel_of: Make, setup_of: Make) -> Scene:
        """Wanted again on the second day."""
        often = {"order_value": 1e6, "repeat_fills": 3, "repeat_seconds": 600.0}
        made = Scene(panel_of, setup_of, safety=often)
        made.panel.columns["p_short"][281:] = made.panel.columns["p_mid"][281:] = 0.9
        return made

    def parts(self, scene: Scene, count: int) -> list[Act]:
        return [act for _ in range(count) for act in (lambda: bought(scene, 10), quiet)]

    def enable(self, scene: Scene) -> Act:
        def act() -> None:
            scene.actions = [self.enabling]

        return act

    def test_is_disabled_alerted_once_and_its_entry_withdrawn(self, busy: Scene) -> None:
        after = busy.session(open=self.parts(busy, 5), range=[busy.trade(10_000)])
        assert busy.held() == 30 and busy.resting() == {"stop": 30, "target": 30}
        assert [row["symbol"] for row in busy.of("disabled")] == ["A"]
        assert busy.alerts("hybridnb enable A") == 1
        assert disabled(after.risk) == {"A"} and after.risk.state is TradingState.ACTIVE

    def test_below_the_limit_it_goes_on(self, busy: Scene) -> None:
        after = busy.session(open=self.parts(busy, 2))
        assert busy.held() == 20 and not disabled(after.risk) and not busy.of("disabled")

    def test_what_a_statement_tells_counts_as_well(self, busy: Scene) -> None:
        with pytest.raises(Died):
            busy.session(open=[quiet, die])
        for _ in range(3):
            bought(busy, 10)
        after = busy.session()
        assert disabled(after.risk) == {"A"} and "entry" not in busy.resting()

    @pytest.mark.parametrize("enabled", [False, True])
    def test_a_restart_and_the_next_session_remember_until_a_person_decides(
        self, busy: Scene, enabled: bool
    ) -> None:
        with pytest.raises(Died):
            busy.session(open=[*self.parts(busy, 3), die])
        after = busy.session(open=[self.enable(busy)] * enabled, range=[quiet])
        assert disabled(after.risk) == (set() if enabled else {"A"})
        assert busy.alerts("hybridnb enable A") == 1
        down = busy.trade(10_000, PRICE * 9 // 10)  # its stop goes on trading
        busy.session(282, open=[down, quiet, busy.trade(10_000)])
        assert len(busy.of("order", leg="entry", state="filled")) == enabled
        assert busy.of("trade")[0]["exit_leg"] == "stop"

    def test_an_operator_enables_it_between_two_sessions(self, busy: Scene) -> None:
        busy.session(open=self.parts(busy, 3))
        busy.setup = replace(busy.setup, actions=(self.enabling,))
        assert not disabled(busy.session(282).risk)


class Disk:
    """A ledger in a file whose disk can be filled to the last page."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}", heads=folder / "heads.json")
        self._full = False
        event.listen(self.ledger._engine, "connect", self._limit)

    def _limit(self, connection: Any, _: object) -> None:
        if self._full:
            connection.execute("PRAGMA max_page_count = 1")  # as many as there are: not one more

    def keep(self, rows: Sequence[Row]) -> None:
        self.ledger.ensure("session", rows, book="book", session=rows[0]["session"])

    def fill(self) -> None:
        self._full = True
        self.ledger.close()
        with pytest.raises(Missing, match="disk is full"):
            self.grow()

    def grow(self) -> None:
        for n in itertools.count():
            self.ledger.append("operations", [{"kind": "filler", "n": n}])

    def free(self) -> None:
        self._full = False
        self.ledger.close()


class TestALedgerThatCantBeWritten:
    @pytest.fixture
    def disk(self, scene: Scene, tmp_path: Path) -> Disk:
        made = Disk(tmp_path)
        scene.store = made.keep
        return made

    def begun(self, scene: Scene, disk: Disk) -> list[Act]:
        """Half of an entry filled, then a full disk, then news to be written down."""
        news = lambda: scene.prices.update(A=PRICE + 50_000)  # noqa: E731
        return [lambda: bought(scene, 50), quiet, disk.fill, news, quiet]

    def test_a_full_disk_halts_and_names_cause_and_remedy(self, scene: Scene, disk: Disk) -> None:
        with pytest.raises(Missing, match="disk is full—halted: entries were withdrawn") as caught:
            scene.session(open=self.begun(scene, disk))
        assert "disk" in caught.value.remedy
        assert set(scene.resting()) == {"stop", "target"}

    def test_a_position_opened_meanwhile_gets_its_stop_all_the_same(
        self, scene: Scene, disk: Disk
    ) -> None:
        def bought_blind() -> None:
            disk.fill()
            bought(scene, 50)

        with pytest.raises(Missing, match="disk is full—halted"):
            scene.session(open=[bought_blind, quiet])
        assert scene.held() == 50
        assert scene.resting() == {"stop": 50, "target": 50}
        disk.free()
        after = scene.session()
        assert after.book.positions["A"].quantity == 50
        assert scene.resting() == {"stop": 50, "target": 50}

    def test_with_room_again_the_session_goes_on(self, scene: Scene, disk: Disk) -> None:
        with pytest.raises(Missing):
            scene.session(open=self.begun(scene, disk))
        disk.free()
        after = scene.session()
        assert scene.held() == 50 == after.book.positions["A"].quantity
        assert set(scene.resting()) == {"stop", "target"}


class Late(WildBroker):
    """The stop trades while the last statement is asked for."""

    units = 0

    def statement(self) -> Statement:
        units, self.units = self.units, 0
        for stop in [o for o in self.world.exchange.working if o.type == "STOP"]:
            self.world.trade("A", stop.stop or 0, units)
        return super().statement()


def test_what_the_last_statement_tells_shrinks_both_legs(scene: Scene) -> None:
    broker = Late(scene.world)
    scene.make = lambda: broker
    after = scene.session(open=[scene.trade(10_000)], end=[lambda: setattr(broker, "units", 16)])
    held = scene.held()
    assert [f["quantity"] for f in scene.of("fill", leg="stop")] == [16]
    assert after.book.positions["A"].quantity == held
    assert scene.resting() == {"stop": held, "target": held}


def test_a_position_that_its_target_is_closing_is_not_sold_by_a_decision_too(
    panel_of: Make, setup_of: Make
) -> None:
    scene = Scene(panel_of, setup_of)
    scene.world.locks = True  # the target waits here
    scene.session(open=[scene.trade(10_000)])
    held, target = scene.held(), scene.state.book.positions["A"].target
    scene.prices = {"A": target}
    scene.session(282, open=[scene.trade(10_000, target)])
    (order,) = [r for r in scene.of("order", leg="exit") if r["state"] != "created"]
    assert (order["state"], order["refusals"]) == ("cancelled", [])
    assert [(f["leg"], f["quantity"]) for f in scene.of("fill")] == [("target", held)]


class TestSweep:
    """1 % of a profit of the day buys whole units of B at the close."""

    @pytest.fixture
    def rich(self, panel_of: Make, setup_of: Make) -> Scene:
        sip = {"symbol": "B", "rate": 1.0, "max_per_day": 1_000.0}
        made = Scene(panel_of, setup_of, sip=sip)
        made.session(open=[made.trade(10_000)])
        self.asked: list[Order] = []
        made.make = lambda: Gapped(made.world, self.asked, set())
        return made

    def traded(self, scene: Scene, *close: Act) -> State:
        target = scene.state.book.positions["A"].target if scene.state.book.positions else PRICE
        bar = scene.panel.day(282).bars["B"]
        bars = {"B": replace(bar, open=PRICE, high=PRICE, low=PRICE, close=PRICE)}
        sold = [scene.trade(10_000, target)]
        return scene.session(282, entries=False, bars=bars, range=sold, close=close)

    def bought(self, scene: Scene) -> list[int]:
        """Units by order; each was asked for once."""
        assert len([o for o in self.asked if o.leg == "sweep"]) == 1
        return [o.quantity for o in scene.exchange.orders.values() if o.symbol == "B"]

    def test_is_bought_once(self, rich: Scene) -> None:
        after = self.traded(rich, rich.trade(10_000, symbol="B"))
        assert self.bought(rich) == [after.book.sip_units] and after.book.sip_units > 1
        assert rich.held("B") == after.book.sip_units
        (row,) = rich.of("sip")
        paid = sum(
            f["quantity"] * f["price"] + f["commission"] for f in rich.of("fill", leg="sweep")
        )
        assert after.book.sip_carry == row["carry"] - paid >= 0

    @pytest.mark.parametrize("fills", [True, False])
    def test_is_bought_once_though_the_process_dies_before_the_fill_is_heard(
        self, rich: Scene, fills: bool
    ) -> None:
        def end() -> None:
            if fills:
                rich.world.trade("B", PRICE, 10_000)
            die()

        with pytest.raises(Died):
            self.traded(rich, end)
        assert len(self.bought(rich)) == 1 and not rich.of("fill", leg="sweep")
        after = self.traded(rich, rich.trade(10_000, symbol="B"))
        assert self.bought(rich) == [after.book.sip_units] == [rich.held("B")]
        assert len(rich.of("sip")) == 1 and after.book.sip_carry >= 0


class TestWhatItShows:
    def test_the_book_at_the_last_prices_after_each_time_of_listening(self, scene: Scene) -> None:
        found: list[Row] = []
        scene.show = lambda desk: found.append(seen(desk))
        scene.prices = {"A": PRICE}

        def fall() -> None:
            scene.prices = {"A": PRICE * 98 // 100}

        scene.session(open=[scene.trade(10_000), quiet], range=[fall, quiet, quiet])
        last = found[-1]
        (held,) = last["snapshot"]["book"]["positions"].values()
        assert held["quantity"] == scene.held() > 0
        assert last["prices"] == {"A": PRICE * 98 // 100} and last["buckets"] == {"A": "CORE"}
        book = restored({"book": last["snapshot"]["book"]}).book
        assert last["equity"] == equity(book, last["prices"])
        opening = scene.of("session_opened")[0]["equity"]
        assert last["day_pnl"] == pytest.approx(last["equity"] / opening - 1.0, abs=1e-12)
        assert last["drawdown"] == pytest.approx(-last["day_pnl"], abs=1e-9)
        assert last["working"] == 2, "stop and target"
        assert json.loads(json.dumps(last)) == last

    def test_a_book_without_a_price_for_its_position_has_its_last_close(self, scene: Scene) -> None:
        found: list[Row] = []
        scene.show = lambda desk: found.append(seen(desk))
        scene.session(open=[scene.trade(10_000), quiet])
        assert found[-1]["prices"]["A"] == scene.panel.last[280, 0]

    def test_a_view_that_cant_be_written_stops_nothing(self, scene: Scene, tmp_path: Path) -> None:
        view = LiveView(Home(tmp_path), "book")
        scene.session(281)  # without a view
        shutil.rmtree(tmp_path / "live")
        (tmp_path / "live").write_text("no folder any more")
        scene.show = view
        scene.session(282)
        assert scene.of("session_closed")
