"""The wire between desk and broker: written before sent, told once, never more than is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hybridnb.domain import Fill, Leg, Order, OrderState, OrderType, Side
from hybridnb.execution.wire import Wire
from hybridnb.ports import Events, Holding, Statement
from hybridnb.testing.exchange import Exchange
from hybridnb.testing.wild_broker import WildBroker, World

S = OrderState


def order(leg: Leg = Leg.ENTRY, *, quantity: int = 10, n: int = 1, **more: Any) -> Order:
    side = Side.BUY if leg is Leg.ENTRY else Side.SELL
    kind = {Leg.STOP: OrderType.STOP, Leg.TARGET: OrderType.LIMIT}.get(leg, OrderType.MARKET)
    prices = {OrderType.STOP: {"stop": 900_000}, OrderType.LIMIT: {"limit": 1_100_000}}
    values = {"symbol": "A", "decision_id": f"d{n}", **prices.get(kind, {})} | more
    return Order(
        client_id=f"2020-01-01-{leg}-{n:012d}",
        side=side,
        quantity=quantity,
        type=kind,
        leg=leg,
        state=S.CREATED,
        **values,
    )


class Calm(World):
    """Only the test trades."""

    def move(self, *, chance: float | None = None) -> None:
        pass


class Desk:
    """A wire at a calm venue, with what it wrote and what is held."""

    def __init__(self, *, locks: bool = False) -> None:
        self.exchange = Exchange()
        rng = np.random.default_rng(0)
        prices = {"A": 1_000_000}
        self.world = Calm(self.exchange, prices, rng, chaos=0.0, locks=locks)
        self.broker = WildBroker(self.world)
        self.written: list[Order] = []
        self.log: list[str] = []
        self.held = 0
        self.refuse: Callable[[Order], bool] = lambda order: False
        self.amends: list[bool] = []
        self.wire = Wire(
            self._watched(),
            check=self._check,
            journal=self._journal,
            pace=lambda phase: iter([None]),
            held=lambda symbol: self.held,
        )

    def _watched(self) -> Any:
        outer = self

        class Watched:
            name, both_legs = "watched", outer.broker.both_legs

            def __getattr__(self, name: str) -> Any:
                outer.log.append(name)
                return getattr(outer.broker, name)

        return Watched()

    def _check(self, orders: Sequence[Order], amend: bool) -> list[Order]:
        self.amends.append(amend)
        return [replace(o, state=S.REJECTED) if self.refuse(o) else o for o in orders]

    def _journal(self, orders: Iterable[Order]) -> None:
        self.log.append("journal")
        self.written += orders

    def trade(self, units: int, price: int = 1_000_000) -> None:
        self.exchange.trade("A", price, units)

    def listen(self) -> tuple[list[Order], list[Fill]]:
        """One time of listening; what is held follows the fills."""
        changed, fills = [], []
        for orders, told in self.wire.play({}, "range"):
            changed += orders
            fills += told
            self.held += sum(f.side.sign * f.quantity for f in told)
        return changed, fills

    def enter(self, units: int = 10) -> None:
        self.wire.submit([order(quantity=units)])
        self.trade(units)
        self.listen()

    def resting(self) -> dict[str, int]:
        return {o.client_id: o.left for o in self.exchange.working}


@pytest.fixture
def desk() -> Desk:
    return Desk()


class TestSubmit:
    def test_written_before_sent(self, desk: Desk) -> None:
        (answer,) = desk.wire.submit([order()])
        assert desk.log == ["journal", "submit"]
        assert [o.state for o in desk.written] == [S.SUBMITTED] and answer.state is S.ACCEPTED

    def test_refused_ones_are_neither_written_nor_sent(self, desk: Desk) -> None:
        desk.refuse = lambda o: True
        (answer,) = desk.wire.submit([order()])
        assert answer.state is S.REJECTED and desk.log == [] and not desk.exchange.orders

    def test_an_id_is_sent_once(self, desk: Desk) -> None:
        desk.wire.submit([order()])
        assert desk.wire.submit([order()]) == [] and len(desk.exchange.orders) == 1

    def test_an_id_that_the_broker_knows_is_asked_for(self, desk: Desk) -> None:
        """A process before us sent it, and died before it heard the answer."""
        desk.exchange.place(
            "2020-01-01-entry-000000000001", symbol="A", side="BUY", quantity=10, type="MARKET"
        )
        (answer,) = desk.wire.submit([order()])
        assert answer.state is S.UNKNOWN
        changed, _ = desk.listen()
        assert changed[-1].state is S.ACCEPTED and len(desk.exchange.orders) == 1

    def test_one_that_the_broker_knows_and_that_is_over_is_cancelled(self, desk: Desk) -> None:
        there = desk.exchange.place(
            "2020-01-01-entry-000000000001", symbol="A", side="BUY", quantity=10, type="MARKET"
        )
        desk.exchange.cancel(there.order_id)
        desk.wire.submit([order()])
        desk.listen()
        assert [o.state for o in desk.wire.orders.values()] == [S.CANCELLED]


class TestLost:
    def test_sent_again_under_the_same_id(self, desk: Desk) -> None:
        desk.wire.orders |= {(o := replace(order(), state=S.UNKNOWN)).client_id: o}
        desk.listen()
        assert desk.resting() == {order().client_id: 10}
        assert desk.amends == [True], "the checks know that the id comes a second time"

    def test_a_leg_that_never_arrived_is_forgotten(self, desk: Desk) -> None:
        desk.wire.remember([replace(order(Leg.STOP), state=S.SUBMITTED)])
        found = desk.wire.settled(desk.broker.statement())
        assert [o.leg for o in found.lost] == [Leg.STOP] and desk.wire.orders == {}

    def test_one_that_was_there_ended(self, desk: Desk) -> None:
        """Its withdrawal wasn't answered: that it was accepted once is in the ledger."""
        accepted = replace(order(Leg.STOP), state=S.ACCEPTED)
        desk.wire.remember([accepted, replace(accepted, state=S.UNKNOWN)])
        (after,) = desk.wire.settled(desk.broker.statement()).orders
        assert after.state is S.CANCELLED


class TestFills:
    def test_each_once_whoever_tells_it(self, desk: Desk) -> None:
        desk.wire.submit([order()])
        desk.trade(4)
        told = desk.broker.statement().fills
        assert len(desk.wire.settled(desk.broker.statement()).fills) == 1
        assert desk.wire.heard(Events(fills=(*told, *told)))[1] == []
        assert desk.listen()[1] == [] and len(desk.wire.booked) == 1
        (known,) = desk.wire.orders.values()
        assert (known.filled, known.left, known.state) == (4, 6, S.PARTIALLY_FILLED)

    def test_a_whole_order_waits_for_its_fills(self, desk: Desk) -> None:
        desk.wire.submit([order()])
        desk.trade(10)
        told = replace(order(), state=S.FILLED, filled=10)
        changed, _ = desk.wire.heard(Events(orders=(told,)))
        assert not changed and desk.wire.behind() == {order().client_id}
        _, fills = desk.listen()
        assert sum(f.quantity for f in fills) == 10 and not desk.wire.behind()
        assert desk.wire.orders[order().client_id].state is S.FILLED

    def test_fills_that_do_not_come_are_asked_for(self, desk: Desk) -> None:
        desk.wire.submit([order()])
        desk.trade(10)
        desk.broker.poll()  # told to somebody else
        desk.wire.heard(Events(orders=(replace(order(), state=S.FILLED, filled=10),)))
        _, fills = desk.listen()
        assert sum(f.quantity for f in fills) == 10 and "statement" in desk.log

    def test_a_commission_that_is_told_later(self, desk: Desk) -> None:
        desk.wire.submit([order()])
        desk.trade(10)
        (fill,) = desk.broker.statement().fills
        desk.wire.heard(Events(fills=(replace(fill, commission=0),)))
        assert desk.wire.costs() == []
        desk.wire.settled(desk.broker.statement())
        ((again, more),) = desk.wire.costs()
        assert (again.fill_id, more) == (fill.fill_id, fill.commission) and not desk.wire.costs()

    def test_strangers_fills_are_not_ours(self, desk: Desk) -> None:
        theirs = Fill("x", "perm-1", "A", Side.BUY, Leg.ENTRY, 5, 1, 1, 0, 0, "t")
        assert desk.wire.heard(Events(fills=(theirs,))) == ([], [])
        found = desk.wire.settled(Statement((), (theirs,), {"A": Holding(5, 1.0)}, 0, "USD"))
        assert [d.what for d in found.foreign] == ["fill"]


class TestLegs:
    def test_the_size_at_the_venue_is_the_size_that_is_wanted(self, desk: Desk) -> None:
        desk.enter()
        stop, target = order(Leg.STOP), order(Leg.TARGET)
        desk.wire.amend([stop, target])
        assert desk.resting() == {stop.client_id: 10, target.client_id: 10}
        desk.trade(4, 1_100_000)
        desk.listen()
        desk.wire.amend([replace(stop, quantity=6), replace(target, quantity=6)])
        assert desk.resting() == {stop.client_id: 6, target.client_id: 6}

    def test_what_stands_is_not_sent_again(self, desk: Desk) -> None:
        desk.enter()
        desk.wire.amend([order(Leg.STOP)])
        before = list(desk.log)
        assert desk.wire.amend([order(Leg.STOP)]) == [] and desk.log == before

    def test_what_filled_unheard_is_taken_off(self, desk: Desk) -> None:
        """The stop trades while an amendment asks for it in the position's old size."""
        desk.enter()
        desk.wire.amend([order(Leg.STOP)])
        desk.trade(3, 900_000)  # not heard
        desk.amends.clear()
        desk.wire.amend([replace(order(Leg.STOP), stop=910_000)])
        assert desk.amends == [True, True], "both messages were checked"
        assert desk.resting() == {order(Leg.STOP).client_id: 7}
        desk.listen()
        assert desk.held == 7 == sum(o.left for o in desk.wire.working)

    def test_a_leg_that_ended_is_replaced_under_another_id(self, desk: Desk) -> None:
        desk.enter()
        desk.wire.amend([order(Leg.STOP)])
        desk.wire.cancel([order(Leg.STOP).client_id])
        desk.wire.amend([order(Leg.STOP)])
        (name,) = desk.resting()
        assert name != order(Leg.STOP).client_id and "-stop-" in name
        assert len(name) <= 36 and name.startswith("2020-01-01-stop-")
        again = Desk()
        again.wire.remember(desk.wire.orders.values())
        assert again.wire.amend([order(Leg.STOP)]) == [], "the same id after a restart"

    def test_where_both_can_not_rest_the_stop_rests_alone(self) -> None:
        desk = Desk(locks=True)
        desk.enter()
        desk.wire.amend([order(Leg.STOP), order(Leg.TARGET)])
        assert desk.resting() == {order(Leg.STOP).client_id: 10}


class TestClosing:
    @pytest.mark.parametrize("locks", [False, True])
    def test_the_legs_go_before_the_position_does(self, locks: bool) -> None:
        desk = Desk(locks=locks)
        desk.enter()
        desk.wire.amend([order(Leg.STOP), order(Leg.TARGET)])
        desk.log.clear()
        desk.wire.submit([order(Leg.FLATTEN)])
        assert desk.log == ["cancel", "journal", "submit"]
        assert desk.resting() == {order(Leg.FLATTEN).client_id: 10}
        desk.wire.amend([order(Leg.STOP)])
        assert len(desk.resting()) == 1, "no leg comes back while the position is leaving"

    def test_no_more_is_closed_than_the_stop_left(self, desk: Desk) -> None:
        desk.enter()
        desk.wire.amend([order(Leg.STOP)])
        desk.trade(4, 900_000)  # not heard
        desk.wire.submit([order(Leg.FLATTEN)])
        assert desk.resting() == {order(Leg.FLATTEN).client_id: 6}

    def test_nothing_is_closed_twice(self, desk: Desk) -> None:
        desk.enter()
        desk.wire.amend([order(Leg.STOP)])
        desk.trade(10, 900_000)  # the stop did it all, and nobody heard
        answers = desk.wire.submit([order(Leg.FLATTEN)])
        assert answers[-1].state is S.CREATED and not desk.resting()
        desk.listen()
        assert desk.held == 0 and desk.exchange.holdings == {} and not desk.wire.working

    def test_an_exit_that_the_venue_refuses_may_be_sent_again(self, desk: Desk) -> None:
        desk.enter()
        desk.exchange.fault("reject")
        assert desk.wire.submit([order(Leg.FLATTEN)])[-1].state is S.REJECTED
        assert desk.wire.submit([order(Leg.FLATTEN)])[-1].state is S.ACCEPTED


def test_the_end_withdraws_entries_and_leaves_the_legs(desk: Desk) -> None:
    desk.wire.submit([order(quantity=10)])
    desk.trade(4)
    desk.listen()
    desk.wire.amend([order(Leg.STOP, quantity=4)])
    changes = list(desk.wire.play({}, "end"))
    assert [o.state for o in changes[0][0]] == [S.CANCELLED]
    assert desk.resting() == {order(Leg.STOP).client_id: 4}
