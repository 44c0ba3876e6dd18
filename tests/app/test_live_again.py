"""What a restart, an operator's word or the next session must not lose of a live session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scenes import (
    PRICE,
    SIZING,
    Act,
    Died,
    DiesCancelling,
    Gapped,
    Make,
    Scene,
    bought,
    die,
    left_unfinished,
    quiet,
)

from hybridnb.app.live_prices import BACK, STALLED
from hybridnb.domain import (
    Bucket,
    Instrument,
    Mode,
    Order,
    OrderState,
    Refusal,
    TradingState,
    refusal_names,
)
from hybridnb.errors import Refused
from hybridnb.policy import Policy, validated
from hybridnb.risk import disabled, opened
from hybridnb.testing.exchange import Resting
from hybridnb.testing.wild_broker import WildBroker

TINY = {"kill_day_pnl": -0.0001}


def asks(scene: Scene, action: str, symbol: str = "") -> Act:
    def act() -> None:
        body = {"id": "1", "action": action, "symbol": symbol, "operator": "ann", "reason": "r"}
        scene.actions = [body]

    return act


class DiesSending(WildBroker):
    def submit(self, orders: Sequence[Order]) -> list[Order]:
        raise Died


class TestTheSwitch:
    @pytest.mark.parametrize("prices", [{}, {"B": PRICE}])
    def test_sees_what_fills_realise_though_nothing_is_quoted(
        self, panel_of: Make, setup_of: Make, prices: Mapping[str, int]
    ) -> None:
        scene, seen = Scene(panel_of, setup_of, risk=TINY), []
        scene.prices = dict(prices)
        scene.show = lambda desk: seen.append((desk.state.risk.killed, bool(desk.closed)))
        fall = scene.trade(10_000, PRICE * 9 // 10)
        scene.session(open=[scene.trade(10_000)], range=[fall, quiet])
        assert (True, True) in seen and (False, True) not in seen

    @pytest.mark.parametrize("quoted", [True, False])
    def test_a_restart_doesnt_value_what_was_bought_at_an_older_close(
        self, panel_of: Make, setup_of: Make, quoted: bool
    ) -> None:
        up = PRICE * 104 // 100  # the opening is above the last close
        scene = Scene(panel_of, setup_of, risk={"kill_day_pnl": -0.0005})
        scene.prices = {"A": up} if quoted else {}
        with pytest.raises(Died):
            scene.session(open=[scene.trade(10_000, up), quiet, die])
        held = scene.held()
        after = scene.session(range=[quiet])
        assert not after.risk.killed and scene.held() == held > 0

    def test_a_restart_sees_what_was_lost_before_anything_is_sent(
        self, panel_of: Make, setup_of: Make
    ) -> None:
        scene = Scene(panel_of, setup_of, risk=TINY)
        scene.session(open=[scene.trade(10_000)])
        scene.panel.columns["p_short"][281:] = scene.panel.columns["p_mid"][281:] = 0.9
        scene.prices = {"A": PRICE * 98 // 100}
        after = scene.session(282)
        assert after.risk.killed and not scene.of("order", leg="entry", state="accepted")


class TestAnOperatorsWord:
    @pytest.mark.parametrize("action", ["halt", "reduce", "cancel-all", "brake-on"])
    def test_given_while_the_process_is_down_comes_before_the_orders(
        self, scene: Scene, action: str
    ) -> None:
        scene.make = lambda: DiesSending(scene.world)
        with pytest.raises(Died):
            scene.session()
        scene.make = lambda: WildBroker(scene.world)
        asks(scene, action)()
        scene.session(open=[scene.trade(10_000)])
        assert not scene.exchange.orders and scene.held() == 0

    @pytest.mark.parametrize("symbol", ["A", ""])
    def test_that_withdraws_an_order_is_kept_through_a_kill(
        self, scene: Scene, symbol: str
    ) -> None:
        scene.make = lambda: DiesCancelling(scene.world)
        with pytest.raises(Died):
            scene.session(open=[asks(scene, "cancel-all", symbol), quiet])
        assert "entry" in scene.resting()
        scene.make = lambda: WildBroker(scene.world)
        scene.session(open=[scene.trade(10_000)])
        assert scene.held() == 0 and len(scene.of("operator")) == 1

    def test_that_withdraws_an_order_in_doubt_isnt_undone_by_a_statement(
        self, scene: Scene
    ) -> None:
        lost: list[Order] = []

        class Losing(WildBroker):
            def submit(self, orders: Sequence[Order]) -> list[Order]:
                if lost:
                    return super().submit(orders)
                lost.extend(orders)
                self._doubt |= {o.client_id for o in orders}
                return [replace(o, state=OrderState.UNKNOWN) for o in orders]

        scene.make = lambda: Losing(scene.world)
        scene.session(open=[asks(scene, "cancel-all", "A"), quiet, quiet, scene.trade(10_000)])
        assert lost and not scene.exchange.orders and scene.held() == 0

    def test_for_the_brake_stops_an_entry_that_works(self, scene: Scene) -> None:
        after = scene.session(open=[asks(scene, "brake-on"), quiet, scene.trade(10_000)])
        assert after.risk.brake and scene.held() == 0
        assert after.risk.state is TradingState.ACTIVE, "the brake alone"

    def test_of_an_earlier_session_doesnt_excuse_a_later_kill(
        self, panel_of: Make, setup_of: Make
    ) -> None:
        scene = left_by_a_kill(panel_of, setup_of)
        scene.make = lambda: WildBroker(scene.world)
        asks(scene, "cancel-all")()
        standing, scene.actions = {**scene.actions[0], "standing": True}, []
        scene.setup = replace(scene.setup, actions=(standing,))
        after = scene.session(282, entries=False, open=[quiet, scene.trade(10_000)])
        assert scene.held() == 0 and after.risk.state is TradingState.HALTED


def left_by_a_kill(panel_of: Make, setup_of: Make) -> Scene:
    """The switch latched at the close, and the venue wouldn't let the position go."""
    scene = Scene(panel_of, setup_of, risk=TINY)
    scene.make = lambda: Gapped(scene.world, [], {"flatten"})
    bar = scene.panel.day(281).bars["A"]
    fallen = replace(bar, high=bar.open, low=980_000, close=980_000)
    scene.session(open=[scene.trade(10_000)], bars={"A": fallen})
    assert scene.state.risk.killed and scene.held() > 0
    return scene


def test_what_a_kill_must_close_is_owed_until_the_venue_lets_it_go(
    panel_of: Make, setup_of: Make
) -> None:
    scene = left_by_a_kill(panel_of, setup_of)
    for row in (282, 283):
        assert scene.session(row, entries=False).owed == ("A",) and scene.held() > 0
    scene.make = lambda: WildBroker(scene.world)
    after = scene.session(284, entries=False, open=[quiet, scene.trade(10_000)])
    assert scene.held() == 0 and after.owed == ()


def test_executions_before_a_restart_count_with_those_after_it(
    panel_of: Make, setup_of: Make
) -> None:
    often = {"order_value": 1e6, "repeat_fills": 3, "repeat_seconds": 600.0}
    scene = Scene(panel_of, setup_of, safety=often)
    two = [lambda: bought(scene, 10), quiet, lambda: bought(scene, 10), quiet]
    with pytest.raises(Died):
        scene.session(open=[*two, die])
    assert not scene.of("disabled")
    after = scene.session(open=[lambda: bought(scene, 10), quiet])
    assert disabled(after.risk) == {"A"} and scene.held() == 30
    again = Scene(panel_of, setup_of, safety=often)
    with pytest.raises(Died):
        again.session(
            open=[*[lambda: bought(again, 10), quiet] * 3, asks(again, "enable", "A"), quiet, die]
        )
    assert len(again.of("disabled")) == 1 and again.of("operator")
    assert disabled(again.session(open=[lambda: bought(again, 10)]).risk) == set(), "forgiven"


class TestASessionThatNobodyClosed:
    def test_leaves_its_kill_its_brake_and_its_disabled_symbols(
        self, panel_of: Make, setup_of: Make
    ) -> None:
        often = {"order_value": 1e6, "repeat_fills": 2, "repeat_seconds": 600.0}
        scene = Scene(panel_of, setup_of, risk=TINY, safety=often)
        parts = [lambda: bought(scene, 10), quiet, lambda: bought(scene, 10), quiet]
        fall = lambda: scene.prices.update(A=900_000)  # noqa: E731
        with pytest.raises(Died):
            scene.session(open=[*parts, asks(scene, "brake-on"), quiet, fall, quiet, die])
        risk = left_unfinished(scene).risk
        assert risk.killed and risk.kills == (scene.panel.day(281).ordinal,)
        assert risk.brake and disabled(risk) == {"A"}
        assert opened(risk, risk.ordinal + 1)[0].mode is Mode.DEMO

    def test_leaves_no_leg_that_only_the_venue_knows(self, scene: Scene) -> None:
        with pytest.raises(Died):
            scene.session(open=[scene.trade(10_000), quiet, quiet, die])
        assert scene.resting() == {"stop": scene.held(), "target": scene.held()}
        scene.past += scene.rows
        scene.exchange.holdings.clear()  # closed by hand; cash with it
        scene.exchange.cash = 10**10
        scene.exchange.realised = 0
        scene.session(282, entries=False)
        assert scene.resting() == {}, "withdrawn"


def test_an_interrupted_feed_is_interrupted_after_a_restart(scene: Scene) -> None:
    scene.prices = {"A": PRICE}
    with pytest.raises(Died):
        scene.session(open=[*[quiet] * 500, die])
    assert scene.alerts(STALLED) == 1 and "entry" not in scene.resting()
    scene.prices, seen = {}, []
    scene.show = lambda desk: seen.append(desk.vigil.interrupted)
    scene.session(open=[quiet])
    assert all(seen) and scene.alerts(BACK) == 0 and scene.alerts(STALLED) == 1


class TestEntries:
    def test_of_an_earlier_session_are_withdrawn_at_the_opening(self, scene: Scene) -> None:
        scene.make = lambda: DiesCancelling(scene.world)
        with pytest.raises(Died):
            scene.session(open=[quiet])
        assert "entry" in scene.resting()
        scene.past += scene.rows
        scene.make = lambda: WildBroker(scene.world)
        scene.session(282, entries=False, open=[scene.trade(10_000)])
        assert scene.held() == 0

    def test_end_with_their_session_though_the_venue_was_in_doubt(self, scene: Scene) -> None:
        doubted: list[str] = []

        class Doubting(WildBroker):
            def cancel(self, client_ids: Iterable[str]) -> list[Order]:
                ids = list(client_ids)
                entries = [i for i in ids if "-entry-" in i and not doubted]
                doubted.extend(entries)
                self._doubt |= set(entries)
                there = [self.world.exchange.find(i) for i in entries]
                told = [replace(self._order(t), state=OrderState.UNKNOWN) for t in there if t]
                return told + super().cancel([i for i in ids if i not in entries])

        scene.make = lambda: Doubting(scene.world)
        after = scene.session(open=[lambda: bought(scene, 10)])
        assert doubted and scene.resting() == {"stop": 10, "target": 10}
        assert {o.leg for o in after.working} == {"stop", "target"}

    def test_at_work_at_a_restart_all_count_against_the_limits(
        self, panel_of: Make, setup_of: Make
    ) -> None:
        names = tuple(f"S{i:02d}" for i in range(30))
        panel = replace(
            panel_of(np.full((300, 30), 100.0), score=0.9),
            symbols=names,
            instruments={name: Instrument(name, Bucket.CORE, "USD") for name in names},
        )
        scene = Scene(lambda *_, **__: panel, lambda _, policy: setup_of(30, policy=policy))
        scene.world.prices = dict.fromkeys(names, PRICE)
        with pytest.raises(Died):
            scene.session(open=[quiet, die])
        working = {o.client_id for o in scene.exchange.working}
        assert len(working) > 5
        few = {"sizing": SIZING, "safety": {"order_value": 1e6, "messages": 5}}
        scene.setup = replace(scene.setup, policy=validated(Policy, few))
        claims: list[set[str]] = []
        scene.show = lambda desk: claims.append(set(desk.sent.claims))
        scene.session(open=[quiet])
        assert claims[0] == working


class DiesAmending(WildBroker):
    def amend(self, orders: Sequence[Order]) -> list[Order]:
        raise Died


def test_a_stop_that_somebody_loosened_is_put_back_by_a_restart(scene: Scene) -> None:
    scene.session(open=[scene.trade(10_000)])
    level = scene.state.book.positions["A"].stop

    def stops() -> list[Any]:
        return [o.stop for o in scene.exchange.working if o.type == "STOP"]

    def loosen() -> None:
        (stop,) = [o for o in scene.exchange.working if o.type == "STOP"]
        scene.exchange.amend(stop.order_id, quantity=stop.quantity, stop=level * 8 // 10)

    with pytest.raises(Died):
        scene.session(282, entries=False, range=[loosen, die])
    scene.make = lambda: DiesAmending(scene.world)
    with pytest.raises(Died):
        scene.session(282, entries=False)
    assert stops() == [level * 8 // 10] == [scene.of("order", leg="stop")[0]["stop"]]
    scene.make = lambda: WildBroker(scene.world)
    seen: list[Any] = []
    after = scene.session(282, entries=False, range=[quiet, lambda: seen.extend(stops())])
    assert seen == [level] == [after.book.positions["A"].stop]
    assert scene.alerts("its stop rested elsewhere") >= 1


def test_a_trailed_stop_that_was_refused_is_asked_for_again_and_closes(scene: Scene) -> None:
    refuse = {"stop"}

    class Stuck(WildBroker):
        """No stop there may be moved, while the market is through it."""

        def _amend(self, order: Order, there: Resting) -> Order:
            if order.leg in refuse and order.stop != there.stop:
                codes, note = refusal_names(Refusal.VENUE), "would trigger immediately"
                return replace(self._order(there), refusals=codes, note=note)
            return super()._amend(order, there)

    scene.session(open=[scene.trade(10_000)])
    old = scene.state.book.positions["A"].stop
    scene.make = lambda: Stuck(scene.world)
    scene.prices = {"A": 1_040_000}
    higher = replace(scene.panel.day(282).bars["A"], high=1_040_000)
    scene.session(282, entries=False, bars={"A": higher})
    level = scene.state.book.positions["A"].stop
    assert level > old and {o.stop for o in scene.exchange.working if o.stop} == {old}
    scene.prices = {"A": level - 1_000}  # below the stop that the book has
    seen: list[dict[str, int]] = []
    scene.session(283, entries=False, range=[quiet, lambda: seen.append(scene.resting())])
    assert set(seen[0]) == {"flatten"}


def test_what_is_held_without_a_price_in_the_feed_refuses_and_is_named(scene: Scene) -> None:
    scene.session(open=[scene.trade(10_000)])
    position = scene.state.book.positions["A"]
    book = replace(scene.state.book, positions={"Q": replace(position, symbol="Q")})
    scene.state = replace(scene.state, book=book)
    with pytest.raises(Refused, match=r"without a price in the feed: Q"):
        scene.session(282)
    assert not scene.rows
