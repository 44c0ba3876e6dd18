"""A broker in memory that misbehaves at random: for simulating restarts by the thousand.

The venue is an `Exchange` that lives on when an adapter is thrown away. Everything that a real
line does to an order may happen: refused, answered never (booked or not), cut off in the middle,
filled before the answer, told twice, told late, or in the wrong order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hybridnb.domain import Fill, Leg, Order, OrderState, OrderType, Refusal, Side, refusal_names
from hybridnb.errors import BrokerDown
from hybridnb.ports import Events, Holding, Statement
from hybridnb.testing.exchange import CANCELLED, FILLED, REJECTED, WORKING, Resting
from hybridnb.testing.wild_market import World

__all__ = ["WildBroker", "World"]

_STATES = {
    FILLED: OrderState.FILLED,
    CANCELLED: OrderState.CANCELLED,
    REJECTED: OrderState.REJECTED,
}


class WildBroker:
    """An adapter: it remembers what it told, and nothing else; a new one knows what there is."""

    name = "wild"

    def __init__(self, world: World, known: Iterable[Order] = ()) -> None:
        self.world, self.both_legs, self.oco = world, not world.locks, world.oco
        self._known = {order.client_id: order for order in known}
        self._doubt: set[str] = set()
        self._told = {o.client_id: self._state(o) for o in world.exchange.orders.values()}
        self._fills = len(world.exchange.executions)

    # Requests.

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        """Send new orders; see `ports.Broker`."""
        return [self._submit(order) for order in orders]

    def _submit(self, order: Order) -> Order:
        world, rng = self.world, self.world.rng
        there = world.exchange.find(order.client_id)
        if there is not None and there.state != REJECTED:
            codes = refusal_names(Refusal.DUPLICATE)
            return replace(order, state=OrderState.REJECTED, refusals=codes)
        self._known[order.client_id] = order
        if world.happens("cut before"):
            raise BrokerDown("the line broke before the order was booked")
        if world.happens("lost"):
            self._doubt.add(order.client_id)
            return replace(order, state=OrderState.UNKNOWN)
        if world.happens("reject") or self._locked(order):
            world.exchange.faults.append("reject")
        booked = world.exchange.place(
            order.client_id,
            symbol=order.symbol,
            side=order.side.value,
            quantity=order.quantity,
            type=order.type.value,
            limit=order.limit,
            stop=order.stop,
        )
        if booked.state == REJECTED:
            codes = refusal_names(Refusal.VENUE)
            self._told[order.client_id] = self._state(booked)
            return replace(order, state=OrderState.REJECTED, refusals=codes, note=booked.words)
        world.move()
        if world.happens("cut after"):
            raise BrokerDown("the line broke after the order was booked")
        if world.happens("timeout"):
            self._doubt.add(order.client_id)
            return replace(order, state=OrderState.UNKNOWN)
        if rng.random() < 0.5:  # the answer may know of fills that weren't told yet
            return self._tell(booked)
        self._told[order.client_id] = (WORKING, 0, order.quantity)
        return replace(order, state=OrderState.ACCEPTED)

    def _locked(self, order: Order, freed: int = 0) -> bool:
        if not self.world.locks or order.side is Side.BUY:
            return False
        mine = [o for o in self.world.exchange.working if o.symbol == order.symbol and o.sign < 0]
        held = self.world.exchange.holdings.get(order.symbol)
        free = (held.quantity if held else 0) - sum(o.left for o in mine) + freed
        return order.quantity > free

    def amend(self, orders: Sequence[Order]) -> list[Order]:
        """Give working orders new terms; see `ports.Broker`."""
        answers = []
        for order in orders:
            there = self.world.exchange.find(order.client_id)
            if there is None or there.state == REJECTED:
                answers.append(self._submit(order))
                continue
            self.world.move()
            terms = (there.left, there.limit, there.stop)
            same = terms == (order.quantity, order.limit, order.stop)
            if there.state != WORKING or order.client_id in self._doubt or same:
                continue
            answers.append(self._amend(order, there))
        return answers

    def _amend(self, order: Order, there: Resting) -> Order:
        world = self.world
        if world.happens("amend refused") or self._locked(order, there.left):
            codes = refusal_names(Refusal.VENUE)
            return replace(self._tell(there), refusals=codes, note="the venue says no")
        lost = world.happens("amend lost")
        heard = self._told.get(order.client_id, (WORKING, 0, 0))[1]
        # The venue works so much more from now on; or so much in all, with what we heard of.
        before = heard if world.tosses() else there.filled
        if not lost:
            total = before + order.quantity
            world.exchange.amend(there.order_id, quantity=total, limit=order.limit, stop=order.stop)
        world.move()
        if lost or world.happens("amend timeout"):
            self._doubt.add(order.client_id)
            return replace(self._tell(there), state=OrderState.UNKNOWN)
        if there.state == WORKING and world.tosses():
            # What filled beside the amendment is told later.
            state = OrderState.PARTIALLY_FILLED if heard else OrderState.ACCEPTED
            return replace(self._order(there), state=state, filled=heard)
        return self._tell(there)

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        """Withdraw working orders; see `ports.Broker`."""
        answers = []
        for client_id in client_ids:
            self.world.move()
            there = self.world.exchange.find(client_id)
            if there is None or there.state != WORKING:
                continue
            lost = self.world.happens("cancel lost")
            if not lost:
                self.world.exchange.cancel(there.order_id)
            if lost or self.world.happens("cancel timeout"):
                self._doubt.add(client_id)
                answers.append(replace(self._tell(there), state=OrderState.UNKNOWN))
            else:
                answers.append(self._tell(there))
        return answers

    # What is told.

    def poll(self) -> Events:
        """What changed; now and then the fills come late, twice, or before their orders."""
        world = self.world
        for _ in range(4):
            world.move(chance=0.9)
        if world.happens("cut"):
            raise BrokerDown("the line broke")
        executions = world.exchange.executions[self._fills :]
        if executions and world.happens("late"):
            executions = executions[: len(executions) // 2]
        self._fills += len(executions)
        fills = [self._fill(e.number) for e in executions]
        if fills and world.happens("twice"):
            fills.append(fills[-1])
        changed = []
        if not world.happens("orders late"):
            latest = {o.client_id: o for o in world.exchange.orders.values()}
            for there in latest.values():
                mine = there.client_id not in self._doubt and there.client_id in self._known
                if mine and self._told.get(there.client_id) != self._state(there):
                    changed.append(self._tell(there))
        return Events(orders=tuple(changed), fills=tuple(fills))

    def statement(self) -> Statement:
        """The account as it is."""
        world = self.world
        world.move()
        if world.happens("no statement"):
            raise BrokerDown("the line broke")
        self._doubt.clear()
        return Statement(
            orders=tuple(self._order(o) for o in world.exchange.working),
            fills=tuple(self._fill(e.number) for e in world.exchange.executions),
            holdings={
                s: Holding(h.quantity, h.average) for s, h in world.exchange.holdings.items()
            },
            cash=world.exchange.cash,
            currency=world.exchange.currency,
            realised=world.realised(),
        )

    def close(self) -> None:
        """Nothing is held."""

    def _state(self, there: Resting) -> tuple[str, int, int]:
        return there.state, there.filled, there.quantity

    def _tell(self, there: Resting) -> Order:
        self._told[there.client_id] = self._state(there)
        return self._order(there)

    def _order(self, there: Resting) -> Order:
        known = self._known.get(there.client_id)
        working = OrderState.PARTIALLY_FILLED if there.filled else OrderState.ACCEPTED
        return Order(
            client_id=there.client_id,
            symbol=there.symbol,
            side=Side(there.side),
            quantity=there.quantity,
            type=OrderType(there.type),
            leg=known.leg if known else _leg(there.client_id),
            state=_STATES.get(there.state, working),
            decision_id=known.decision_id if known else "",
            limit=there.limit,
            stop=there.stop,
            filled=there.filled,
            refusals=refusal_names(Refusal.VENUE) if there.state == REJECTED else (),
        )

    def _fill(self, number: int) -> Fill:
        done = self.world.exchange.executions[number - 1]
        return Fill(
            fill_id=f"wild-{number}",
            client_id=done.client_id,
            symbol=done.symbol,
            side=Side(done.side),
            leg=_leg(done.client_id),
            quantity=done.quantity,
            price=done.price,
            reference=done.price,
            commission=done.commission,
            slippage=0,
            at=str(number),
        )


def _leg(client_id: str) -> Leg:
    return next((leg for leg in Leg if f"-{leg}-" in client_id), Leg.ENTRY)
