"""What a session didn't bring about itself, or can't see: strangers, late fills, lost quotes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scenes import (
    PRICE,
    Act,
    Died,
    DiesCancelling,
    Gapped,
    Make,
    Row,
    Scene,
    beside,
    bought,
    die,
    quiet,
)

from hybridnb.app.live_desk import LIVE
from hybridnb.app.state import State
from hybridnb.domain import Bucket, Fill, Instrument, Order, OrderState, TradingState
from hybridnb.errors import Missing, Refused
from hybridnb.testing.wild_broker import WildBroker

HIGH = 1_045_000  # its trailing stop is in profit
FALLEN = 960_000  # below the stop


def by_an_order(scene: Scene) -> None:
    scene.exchange.place("hand", symbol="A", side="SELL", quantity=scene.held(), type="MARKET")
    with beside(scene, lambda o: o.client_id != "hand"):
        scene.world.trade("A", PRICE, 10_000)


def untold(scene: Scene) -> None:
    scene.exchange.hold("A", -scene.held())


@pytest.mark.parametrize("sell", [by_an_order, untold])
def test_what_somebody_sold_by_hand_no_stop_sells_again(
    scene: Scene, sell: Callable[[Scene], None]
) -> None:
    minutes: list[Act] = [quiet] * 300  # both accounts are compared each minute
    sale = [lambda: sell(scene), *minutes, scene.trade(10_000, FALLEN)]
    after = scene.session(open=[scene.trade(10_000)], range=sale)
    assert scene.held() == 0 and scene.resting() == {}
    assert after.risk.state is TradingState.REDUCING and scene.of("foreign")


@pytest.mark.parametrize("symbol", ["A", "B"])
def test_what_somebody_bought_by_hand_is_told_and_nothing_is_entered(
    scene: Scene, symbol: str
) -> None:
    minutes: list[Act] = [quiet] * 300
    by_hand = lambda: scene.exchange.hold(symbol, 50, PRICE)  # noqa: E731
    after = scene.session(open=[scene.trade(10_000)], range=[by_hand, *minutes])
    assert after.risk.state is TradingState.REDUCING
    (told,) = scene.of("foreign")
    assert [(w["symbol"], w["what"]) for w in told["differences"]] == [(symbol, "quantity")]
    assert scene.resting()["stop"] == 149, "ours is as it was"


def without_range(scene: Scene) -> None:
    scene.panel.columns["atr"][281, 0] = np.nan


def without_symbol(scene: Scene) -> None:
    symbols = ("Q", "B")
    known = {s: Instrument(s, Bucket.CORE, "USD") for s in symbols}
    scene.panel = replace(scene.panel, symbols=symbols, instruments=known)


@pytest.mark.parametrize("lose", [without_range, without_symbol])
def test_a_late_fill_that_the_feed_cant_book_is_refused_by_name(
    scene: Scene, lose: Callable[[Scene], None]
) -> None:
    with pytest.raises(Died):
        scene.session(open=[quiet, die])
    bought(scene, 149)
    scene.past += scene.rows
    whole = deepcopy(scene.panel)
    lose(scene)
    for _ in range(2):  # each start says the same
        with pytest.raises(Refused, match=r"fill of A: ours no range in the feed"):
            scene.session(282, entries=False)
        assert not scene.of("fill") and not any(row["filled"] for row in scene.of("order"))
    scene.panel = whole
    scene.session(282, entries=False)
    assert scene.of("fill")[-1]["quantity"] == 149 == scene.of("order", leg="entry")[-1]["filled"]
    assert scene.resting()["stop"] == 149


class Full:
    """A disk that is full while it is said to be."""

    now = False

    def keep(self, _: list[Row]) -> None:
        if self.now:
            raise Missing("the disk is full")


class TestAnExitSentWhileTheDiskWasFull:
    """It fills before the next start, which knows it by its name."""

    def filled(self, scene: Scene, leg: str, price: int, *, before: Act, blind: Act) -> State:
        full = Full()
        scene.store = full.keep
        with pytest.raises(Missing):
            scene.session(open=[before, quiet, lambda: setattr(full, "now", True), blind, quiet])
        assert leg in scene.resting()
        scene.world.trade("A", price, 10_000)
        full.now = False
        after = scene.session()
        assert scene.held() == 0 and scene.resting() == {} and after.book.positions == {}
        assert scene.of("fill")[-1]["leg"] == leg
        return after

    def test_by_a_kill(self, panel_of: Make, setup_of: Make) -> None:
        scene = Scene(panel_of, setup_of, risk={"kill_day_pnl": -0.0001})
        fall = lambda: scene.prices.update(A=970_000)  # noqa: E731
        buy = scene.trade(10_000)
        assert self.filled(scene, "flatten", 970_000, before=buy, blind=fall).risk.killed

    def test_as_a_stop(self, scene: Scene) -> None:
        buy = lambda: bought(scene, 50)  # noqa: E731
        assert not self.filled(scene, "stop", FALLEN, before=quiet, blind=buy).risk.killed


@pytest.mark.parametrize("dies", [False, True])
def test_without_bars_a_stop_trails_by_live_prices_over_a_restart(scene: Scene, dies: bool) -> None:
    def quoted(price: int) -> Act:
        return lambda: scene.prices.update(A=price)

    scene.session(open=[scene.trade(10_000)])
    rise: list[Act] = [quoted(HIGH), quiet, quoted(HIGH - 10_000), quiet]
    if dies:
        with pytest.raises(Died):
            scene.session(282, entries=False, open=[*rise, die])
        rise = []
    after = scene.session(282, entries=False, open=rise)
    held = after.book.positions["A"]
    assert [row["price"] for row in scene.of("best_price", symbol="A")] == [held.best] == [HIGH]
    assert held.stop > held.entry
    assert [o.stop for o in scene.exchange.working if o.stop] == [held.stop]


def test_without_bars_the_sip_is_bought_at_a_price_that_it_asks_for(
    panel_of: Make, setup_of: Make
) -> None:
    scene = Scene(panel_of, setup_of, sip={"symbol": "B", "rate": 1.0})
    scene.watch = lambda symbols: scene.prices.update(dict.fromkeys(symbols, PRICE))
    scene.session(open=[scene.trade(10_000)])
    profit = scene.trade(10_000, scene.state.book.positions["A"].target)
    sweep = scene.trade(10_000, symbol="B")
    after = scene.session(282, entries=False, range=[profit], close=[sweep])
    assert after.book.sip_units == scene.held("B") > 0


def test_units_of_the_sip_without_a_price_in_the_feed_are_refused_by_name(
    panel_of: Make, setup_of: Make
) -> None:
    scene = Scene(panel_of, setup_of, sip={"symbol": "Q"})
    scene.state = replace(scene.state, book=replace(scene.state.book, sip_units=5))
    with pytest.raises(Refused, match="without a price in the feed: Q"):
        scene.session()


def test_a_loss_stays_when_its_quote_goes(scene: Scene) -> None:
    scene.session(open=[scene.trade(10_000)])
    found: list[Any] = []
    scene.show = lambda desk: found.append(desk.day_pnl(LIVE)[1])

    def quoted(**prices: int) -> Act:
        return lambda: setattr(scene, "prices", {"B": PRICE, **prices})

    scene.session(282, entries=False, range=[quoted(A=970_000), quoted(), quiet])
    assert found[0] == 0.0 and found[-1] == min(found) < 0.0


class Doubting(WildBroker):
    """The first withdrawal of legs is never answered, nor done."""

    doubted = False

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        ids = list(client_ids)
        if self.doubted or not any("-stop-" in i for i in ids):
            return super().cancel(ids)
        self.doubted = True
        self._doubt |= set(ids)
        there = [self.world.exchange.find(i) for i in ids]
        return [replace(self._order(t), state=OrderState.UNKNOWN) for t in there if t]


class TestADecidedExitThatWaits:
    """Its target trades meanwhile: the exit is of what is left."""

    def target(self, scene: Scene) -> None:
        with beside(scene, lambda o: o.type != "LIMIT"):
            scene.world.trade("A", scene.state.book.positions["A"].target, 40)

    def test_for_a_restart_closes_the_rest(self, scene: Scene) -> None:
        scene.session(open=[scene.trade(10_000)])
        scene.make = lambda: DiesCancelling(scene.world)
        with pytest.raises(Died):
            scene.session(282)
        self.target(scene)
        scene.make = lambda: WildBroker(scene.world)
        scene.session(282, open=[quiet, scene.trade(10_000)])
        assert scene.held() == 0

    def test_for_its_legs_closes_the_rest(self, scene: Scene) -> None:
        scene.session(open=[scene.trade(10_000)])
        broker = Doubting(scene.world)
        scene.make = lambda: broker
        sold = [quiet, quiet, scene.trade(10_000), quiet, scene.trade(10_000)]
        scene.session(282, open=[lambda: self.target(scene), *sold])
        assert broker.doubted and scene.held() == 0


def test_a_target_at_the_market_grows_with_its_position(scene: Scene) -> None:
    scene.world.locks, scene.prices = True, {"A": PRICE}
    refuse: set[str] = set()
    scene.make = lambda: Gapped(scene.world, [], refuse)
    touched = lambda: scene.prices.update(A=1_060_000)  # noqa: E731

    def more() -> None:
        refuse.add("stop")
        bought(scene, 9)

    found: list[tuple[int, dict[str, int]]] = []
    look = lambda: found.append((scene.held(), scene.resting()))  # noqa: E731
    scene.session(open=[lambda: bought(scene, 140), quiet, touched, quiet, more, quiet, look])
    assert found == [(149, {"target": 149})]


class Corrected(WildBroker):
    """The commission of the account's first execution is told anew."""

    def _fill(self, number: int) -> Fill:
        fill = super()._fill(number)
        return replace(fill, commission=fill.commission + 500_000 * (number == 1))


def test_a_late_commission_is_no_fee_of_a_later_position(scene: Scene) -> None:
    scene.session(open=[scene.trade(10_000)])
    scene.session(282, open=[scene.trade(10_000)])
    assert scene.held() == 0
    scene.panel.columns["p_short"][282:] = scene.panel.columns["p_mid"][282:] = 0.9
    for row in (283, 284):
        scene.session(row, open=[scene.trade(10_000)])
    fees = scene.state.book.positions["A"].fees
    scene.exchange.cash -= 500_000
    scene.make = lambda: Corrected(scene.world)
    after = scene.session(285, entries=False)
    assert after.book.positions["A"].fees == fees and after.book.cash == scene.exchange.cash
    assert [row["more"] for row in scene.of("commission")] == [500_000]
