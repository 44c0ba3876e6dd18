"""A desk whose venue is a broker: checks before every order, marks and operators in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybridnb.app.desk import Desk, Setup
from hybridnb.app.panel import Day
from hybridnb.app.records import Recorder
from hybridnb.app.state import State
from hybridnb.domain import Bar, Order, TradingState
from hybridnb.execution.paper import OPEN
from hybridnb.execution.safety import Facts, Standing, check
from hybridnb.execution.sent import Sent, executed, observe
from hybridnb.execution.wire import Wire
from hybridnb.ports import Broker

LIVE = "live"  # a mark between the open and the close


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
    actions : callable
        What operators asked for since the last call.
    """

    broker: Broker
    pace: Callable[[str], Iterator[None]]
    clock: Callable[[], float]
    bars: Callable[[], Mapping[str, Bar]] = dict
    prices: Callable[[], Mapping[str, int]] = dict
    actions: Callable[[], Sequence[Mapping[str, Any]]] = tuple


class LiveDesk(Desk):
    """A desk whose venue is a broker."""

    venue: Wire

    def __init__(
        self, state: State, day: Day, setup: Setup, record: Recorder, *, floor: Floor
    ) -> None:
        self.floor, self.sent = floor, Sent()
        wire = Wire(floor.broker, check=self._checked, journal=self._journal, pace=floor.pace)
        wire.remember(state.working)
        super().__init__(state, day, setup, record, wire)

    def _journal(self, orders: Sequence[Order]) -> None:
        for order in orders:
            self.record.order(order)
        self.record.commit()

    def _checked(self, orders: Sequence[Order], amend: bool) -> list[Order]:
        self.sent, out = check(
            self.sent,
            self.setup.policy.safety,
            orders,
            at=self.floor.clock(),
            facts=self._facts(orders),
            standing=self._standing(),
            amend=amend,
        )
        return out

    def _facts(self, orders: Sequence[Order]) -> dict[str, Facts]:
        day, now = self.day, self.floor.prices()
        liquidity = day.liquidity()
        held = self.state.book.positions
        return {
            o.symbol: Facts(
                day.instruments[o.symbol],
                now.get(o.symbol, day.last.get(o.symbol)),
                reference=day.last.get(o.symbol),
                adv_units=liquidity[o.symbol].adv_units if o.symbol in liquidity else None,
                held=held[o.symbol].quantity if o.symbol in held else 0,
            )
            for o in orders
            if o.symbol in day.instruments
        }

    def _standing(self) -> Standing:
        book, risk = self.state.book, self.state.risk
        value = self.opening_equity or book.cash
        gross = sum(
            abs(p.quantity) * p.multiplier * self.day.last.get(s, p.best)
            for s, p in book.positions.items()
        )
        lists = self.setup.policy.lists
        return Standing(
            equity=value,
            exposure=gross,
            available=max(book.cash, 0),
            state=risk.state,
            killed=risk.killed,
            restricted=lists.do_not_trade,
        )

    def heard(self) -> None:
        """After each time of listening: mark, and do what operators asked for."""
        self.sent = observe(self.sent, self.venue.orders.values())
        self.sent = executed(
            self.sent,
            self.setup.policy.safety,
            list(self.venue.booked.values())[-self.setup.policy.safety.repeat_fills :],
            at=self.floor.clock(),
        )
        if self.floor.prices():
            self.mark(LIVE)
        for action in self.floor.actions():
            self.obey(action)
        self.record.commit()

    def obey(self, action: Mapping[str, Any]) -> None:
        """Do what an operator asked for, and record it."""
        self.record.add("operator", **action)
        what = action["action"]
        if what == "cancel-all":
            wanted = action.get("symbol")
            ids = [o.client_id for o in self.venue.working if wanted in (None, "", o.symbol)]
            for order in self.venue.cancel(ids):
                self.record.order(order)
        self.stand(what)

    def stand(self, action: str) -> None:
        """The trading state an operator's action leaves; no action takes it back by itself."""
        state = {"reduce": TradingState.REDUCING, "resume": TradingState.ACTIVE}.get(action)
        if action in ("halt", "cancel-all"):
            state = TradingState.HALTED
        risk = self.state.risk
        if state is not None and not (risk.killed and state is TradingState.ACTIVE):
            self.state = replace(self.state, risk=replace(risk, state=state))

    def fills(self, phase: str) -> None:
        super().fills(phase)
        self.day = replace(self.day, bars=self.floor.bars() or self.day.bars)

    def _day_pnl(self, at: str) -> tuple[int, float | None]:
        now = self.floor.prices()
        if at == OPEN or not now:
            return super()._day_pnl(at)
        here = {s: p for s, p in now.items() if s not in self.day.bars}
        day = self.day
        try:
            self.day = replace(day, last={**day.last, **here})
            return super()._day_pnl(at)
        finally:
            self.day = day
