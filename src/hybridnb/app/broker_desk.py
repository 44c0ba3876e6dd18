"""A desk whose venue is a broker: every order checked before it leaves, every fill booked once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybridnb.app.checking import facts_of, standing_of, unbookable
from hybridnb.app.desk import Desk, Setup
from hybridnb.app.panel import Day
from hybridnb.app.records import Recorder
from hybridnb.app.state import Origin, State
from hybridnb.book import Closing
from hybridnb.canonical import plain
from hybridnb.domain import Bar, Fill, Leg, Order, Position, TradingState
from hybridnb.errors import CheckFailed
from hybridnb.execution.brackets import is_alone, legs
from hybridnb.execution.oco import OcoRule
from hybridnb.execution.reconcile import Difference, differences, money
from hybridnb.execution.safety import Facts, Standing, check
from hybridnb.execution.sent import Sent, claimed, executed, observe, repeated
from hybridnb.execution.wire import Wire
from hybridnb.ports import Broker, Statement
from hybridnb.risk import disable, disabled

EVERY = 60.0  # seconds between two comparisons of both accounts


@dataclass(frozen=True, slots=True)
class Floor:
    """What a live session gets from outside: the broker, and time.

    Attributes
    ----------
    broker : Broker
    pace : callable
        `(phase) -> iterator`: yields when it is time to listen, ends with the phase.
    clock : callable
        Seconds.
    bars : callable
        The session's bars so far by symbol; empty until the feed has them.
    prices : callable
        Last prices by symbol, in 1/10,000; empty where nobody tells.
    watch : callable or None
        Has prices of these symbols told too; None where nobody tells any: last closes count.
    actions : callable
        What operators asked for since the last call.
    every : float
        Seconds between two comparisons of both accounts.
    show : callable
        Gets the desk after each time of listening, to be looked at.
    """

    broker: Broker
    pace: Callable[[str], Iterator[None]]
    clock: Callable[[], float]
    bars: Callable[[], Mapping[str, Bar]] = dict
    prices: Callable[[], Mapping[str, int]] = dict
    watch: Callable[[Sequence[str]], None] | None = None
    actions: Callable[[], Sequence[Mapping[str, Any]]] = tuple
    every: float = EVERY
    show: Callable[[Any], None] = lambda _: None


class BrokerDesk(Desk):
    """A desk whose venue is a broker."""

    venue: Wire

    def __init__(
        self, state: State, day: Day, setup: Setup, record: Recorder, *, floor: Floor
    ) -> None:
        self.floor, self.sent, self.accrued = floor, Sent(), False
        self._kept = 0  # rows that are durable
        self.seen: dict[str, int] = {}  # last prices of this session: fills, and what was told
        wire = Wire(
            floor.broker,
            check=self.checked,
            journal=self._journal,
            pace=floor.pace,
            held=self._held,
        )
        wire.remember(state.working)
        super().__init__(state, day, setup, record, wire)

    def _named(self, order: Order) -> Order:
        """The wire names orders: it knows those that ended before a restart as well."""
        return order

    def commit(self) -> None:
        """Make what is new durable."""
        if len(self.record.rows) > self._kept:
            self.record.commit()
            self._kept = len(self.record.rows)

    def _held(self, symbol: str) -> int:
        position = self.state.book.positions.get(symbol)
        return position.quantity if position is not None else 0

    def _journal(self, orders: Sequence[Order]) -> None:
        self.record_all(orders)
        self.commit()

    def record_all(self, orders: Sequence[Order]) -> None:
        """Record orders as they stand."""
        for order in orders:
            self.record.order(order)

    def checked(self, orders: Sequence[Order], amend: bool) -> list[Order]:
        """The orders after the pre-trade checks; what passes counts as sent.

        Where prices are told, an entry without one is refused: a last close would let the collar
        pass whatever has happened since.
        """
        entered = {o.symbol for o in orders if not o.leg.reduces}
        if self.floor.watch is not None and entered - self.floor.prices().keys():
            self.floor.watch(sorted(entered))
        known = self.day.last if self.floor.watch is None else {}
        self.sent, out = check(
            observe(self.sent, self.venue.orders.values()),
            self.setup.policy.safety,
            orders,
            at=self.floor.clock(),
            facts=self._facts(orders, known),
            standing=self._standing(),
            amend=amend,
        )
        return out

    def claim(self, orders: Sequence[Order]) -> None:
        """What works at the venue already counts against the limits from the start."""
        self.sent = claimed(self.sent, orders, self._facts(orders, self.day.last))

    def _facts(self, orders: Sequence[Order], known: Mapping[str, int]) -> dict[str, Facts]:
        return facts_of(orders, self.day, {**known, **self.floor.prices()}, held=self._held)

    def _standing(self) -> Standing:
        return standing_of(self.state, self.day, self.setup, {**self.seen, **self.floor.prices()})

    def take(self, fills: Sequence[Fill]) -> None:
        """Book what was told at once, then give each position its legs."""
        for fill in fills:
            self.book_live(fill)
        self.count(fills)
        for symbol in dict.fromkeys(fill.symbol for fill in fills):
            self.record_all(self._legs_of(symbol))

    def count(self, fills: Sequence[Fill]) -> None:
        """Count executions; too many of one symbol in too short a time disable it."""
        safety = self.setup.policy.safety
        self.sent = executed(self.sent, safety, fills, at=self.floor.clock())
        for symbol in repeated(self.sent, safety):
            if symbol not in disabled(self.state.risk):
                reason = f"{len(self.sent.fills[symbol])} fills in {safety.repeat_seconds:g} s"
                self.record.add("disabled", symbol=symbol, reason=reason)
                self.record.alert(
                    f"{symbol} disabled after {reason}—see `hybridnb enable {symbol}`"
                )
                self.disable(symbol, reason)

    def disable(self, symbol: str, reason: str) -> None:
        """No entry and no decided exit of a symbol from now on, until a person enables it."""
        self.state = replace(self.state, risk=disable(self.state.risk, symbol, reason))

    def _legs_of(self, symbol: str) -> list[Order]:
        """Legs of the position's full size; without one, nothing that reduces left at work."""
        position = self.state.book.positions.get(symbol)
        mine = [o for o in self.venue.working if o.symbol == symbol and o.leg.reduces]
        if position is None or abs(position.quantity) <= self.venue.gone.get(symbol, 0):
            return self.venue.cancel([o.client_id for o in mine])
        over = self.venue.cancel([o.client_id for o in mine if not self._is_wanted(o)])
        return over + self.venue.amend(self._standing_legs(position))

    def _is_wanted(self, order: Order) -> bool:
        """False for legs without a position, of one before it, or ended by a partial fill."""
        position = self.state.book.positions.get(order.symbol)
        standing = self._standing_legs(position) if position is not None else ()
        mine = any((o.leg, o.decision_id) == (order.leg, order.decision_id) for o in standing)
        return mine or order.leg not in (Leg.STOP, Leg.TARGET)

    def _standing_legs(self, position: Position) -> tuple[Order, ...]:
        """Both legs, or the stop alone where a partial fill has cancelled the target.

        The fills tell which, so that a restart knows it as well.
        """
        partial = self._oco is OcoRule.ALLOW_PARTIAL_THEN_CANCEL
        alone = partial and is_alone(position.symbol, self.venue.booked.values())
        return legs(position)[: 1 if alone else 2]

    def book_live(self, fill: Fill) -> None:
        if unbookable([fill], self.day, self._held):
            raise CheckFailed(
                f"{fill.symbol}, fill {fill.fill_id}, can't be booked: the feed has no range of it",
                remedy="Bring the symbol back into the feed, or close the position at the broker.",
            )
        over = self._beyond(fill)
        closing = self.applied(fill)
        self.record.fill(fill)
        if closing is not None:
            self.closed_trade(fill, closing)
        if over:
            told = f"{over} units of {fill.symbol} were closed beyond the position—halted"
            self.record.alert(told)

    def _beyond(self, fill: Fill) -> int:
        held = self._held(fill.symbol)
        against = held * fill.side.sign < 0
        return max(0, fill.quantity - (abs(held) if against else 0)) if fill.leg.reduces else 0

    def applied(self, fill: Fill) -> Closing | None:
        """Take a fill into the book, as far as there is a position to close.

        Both legs may have traded before one could be withdrawn: that halts, the next start
        refuses, and of what is opened in the same news as much isn't there.
        """
        over = self._beyond(fill)
        self.seen[fill.symbol] = fill.price
        if over:
            self.venue.gone[fill.symbol] = self.venue.gone.get(fill.symbol, 0) + over
            risk = replace(self.state.risk, state=TradingState.HALTED)
            self.state = replace(self.state, risk=risk)
            fill = replace(fill, quantity=fill.quantity - over)
        return super().applied(fill) if fill.quantity else None

    def closed_trade(self, fill: Fill, closing: Closing) -> None:
        if fill.symbol not in self.state.origins:
            origin = self._nameless(closing)
            self.state = replace(self.state, origins={**self.state.origins, fill.symbol: origin})
        super().closed_trade(replace(fill, quantity=closing.quantity), closing)

    def _nameless(self, closing: Closing) -> Origin:
        """Of a position whose entry was told after its session was over."""
        return Origin(
            decision_id=closing.position.decision_id,
            order_id="",
            size_pre=0.0,
            size_post_risk=0.0,
            reason_tags=("late_fill",),
            policy_id=self.setup.policy_id,
            experiment_id=self.setup.experiment_id,
            model_version=self.setup.model_version,
        )

    def recost(self, fill_id: str, symbol: str, more: int) -> None:
        """A commission that was told after its fill."""
        book = replace(self.state.book, cash=self.state.book.cash - more)
        held = book.positions.get(symbol)
        order = self.venue.orders.get(self.venue.booked[fill_id].client_id)
        opened = order if order and order.leg is Leg.ENTRY else None
        if held and opened and opened.decision_id == held.decision_id:
            held = replace(held, fees=held.fees + more)
            book = replace(book, positions={**book.positions, symbol: held})
        self.state = replace(self.state, book=book)

    def recosted(self) -> None:
        """Book the commissions that were told anew."""
        for fill, more in self.venue.costs():
            self.record.add(
                "commission",
                fill_id=fill.fill_id,
                symbol=fill.symbol,
                commission=fill.commission,
                more=more,
            )
            self.recost(fill.fill_id, fill.symbol, more)

    def compare(self, statement: Statement) -> list[Difference]:
        """Book what a statement explains, and record it with what it doesn't."""
        before = dict(self.venue.orders)
        found = self.venue.settled(statement)
        wrong, strange = list(found.foreign), unbookable(found.fills, self.day, self._held)
        for fill in (f for f in found.fills if f.symbol in strange):  # found again until it can be
            del self.venue.booked[fill.fill_id]
            self.venue.orders[fill.client_id] = before[fill.client_id]
            wrong.append(Difference("fill", fill.symbol, "no range in the feed", fill.fill_id))
        self.record_all([o for o in found.orders if o.symbol not in strange])
        late = [fill for fill in found.fills if fill.symbol not in strange]
        for fill in late:
            self.book_live(fill)
        self.count(late)
        self.recosted()
        sip = self.setup.policy.sip.symbol
        wrong += differences(self.state.book.positions, statement, ignore=[sip])
        holding = statement.holdings.get(sip)
        ours, theirs = self.state.book.sip_units, holding.quantity if holding else 0
        if ours != theirs:
            wrong.append(Difference("quantity", sip, str(ours), str(theirs)))
        book, realised = self.state.book, sum(trade.pnl for trade in self.closed)
        wrong += money(book.cash, realised, book.positions, statement)
        self.record.add(
            "reconciled",
            broker=self.floor.broker.name,
            fills=[f.fill_id for f in late],
            orders=[o.client_id for o in found.orders],
            lost=[o.client_id for o in found.lost],
            differences=[plain(d) for d in wrong],
            cash=statement.cash,
        )
        return wrong
