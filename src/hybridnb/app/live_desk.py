"""A live session in progress: marks, operators and guards between what the broker tells."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hybridnb.app.broker_desk import Floor
from hybridnb.app.desk import Setup
from hybridnb.app.guarding import GuardedDesk
from hybridnb.app.live_prices import CLOCK
from hybridnb.app.panel import Day
from hybridnb.app.records import Recorder
from hybridnb.app.replying import kept_in_demo
from hybridnb.app.standing import stood, wanted
from hybridnb.app.state import State
from hybridnb.canonical import plain
from hybridnb.domain import Leg, Order, OrderState, TradingState
from hybridnb.execution.paper import CLOSE
from hybridnb.execution.reconcile import Difference
from hybridnb.execution.safety import Standing
from hybridnb.execution.sent import enabled
from hybridnb.risk import disabled, marked
from hybridnb.stops import trail

__all__ = ["Floor", "LiveDesk"]

LIVE = "live"  # a mark between the open and the close
MOVE = 0.001  # change of a price, or of the day's P&L as a share of equity, that is worth a row
SETTLES = 10  # comparisons at the close, until one brings no news


class LiveDesk(GuardedDesk):
    """A desk whose venue is a broker, and what it does while the session lasts."""

    def __init__(
        self, state: State, day: Day, setup: Setup, record: Recorder, *, floor: Floor
    ) -> None:
        self._marked: tuple[Mapping[str, int], int] = ({}, 0)  # prices and fills that were marked
        self._pnl = 0.0  # of the last mark that was recorded
        self._best: dict[str, int] = {}  # best prices that were recorded
        self._strangers: set[str] = set()  # orders and fills that aren't ours, once alerted
        self._compared = floor.clock()  # when both accounts last were
        self._wrong: list[Difference] = []  # what differed then
        self._agreed: list[Difference] = []  # what differed for sure, once alerted
        super().__init__(state, day, setup, record, floor=floor)

    def fills(self, phase: str) -> None:
        for changed, fills in self.venue.play(self.day.bars, phase):
            self.record_all(changed)
            self.take(fills)
            self.heard()
        self.day = replace(self.day, bars=self.floor.bars() or self.day.bars)

    def heard(self) -> None:
        """After each time of listening: mark, do what operators asked for, guard positions."""
        self.recosted()
        prices = self.floor.prices()
        self.relied(prices)
        self.seen |= prices
        self.follow(prices)
        facts = (dict(prices), len(self.venue.booked))
        if facts != self._marked and not (self.day.bars and not prices):
            self._marked = facts
            self.mark(LIVE)
        self.estranged()
        for action in self.floor.actions():
            self.obey(action)
        self.guard()
        self.commit()
        self.floor.show(self)

    def follow(self, prices: Mapping[str, int]) -> None:
        """Keep the best prices of what is held, where no bar will tell them: stops trail by them.

        Each is a row when it has moved enough, so that a restart goes on from there.
        """
        positions = dict(self.state.book.positions)
        for symbol in sorted(positions.keys() & prices.keys() - self.day.bars.keys()):
            held, price = positions[symbol], prices[symbol]
            if (price - held.best) * held.quantity <= 0:
                continue
            positions[symbol] = replace(held, best=price)
            if abs(price - self._best.get(symbol, held.best)) >= MOVE * price:
                self._best[symbol] = price
                self.record.add("best_price", symbol=symbol, price=price)
        self.state = replace(self.state, book=replace(self.state.book, positions=positions))

    def relied(self, prices: Mapping[str, int]) -> None:
        """While the feed is interrupted nothing new is sent; a clock that went back halts."""
        for alert in self.vigil.look(prices, self.floor.clock()):
            if alert == CLOCK:
                self.record.add("halted", cause="the clock moved back")
                self.reduce(TradingState.HALTED)
            self.record.alert(alert)

    def _standing(self) -> Standing:
        found = super()._standing()
        barred = self.vigil.interrupted or self.state.risk.brake
        holds = barred and found.state is TradingState.ACTIVE
        return replace(found, state=TradingState.REDUCING) if holds else found

    def estranged(self) -> None:
        """Somebody else trades on the account: no entries until an operator decides."""
        ids = {each.theirs.partition(": ")[0]: each for each in self.venue.foreign}
        news = [each for i, each in ids.items() if i not in self._strangers]
        if news:
            self._strangers |= set(ids)
            self._tell_foreign(news)
        if news or abs(self.floor.clock() - self._compared) >= self.floor.every:
            self.strayed({each.symbol for each in news if each.what == "fill"})

    def strayed(self, traded: Collection[str]) -> None:
        """Compare positions with the broker's: what somebody else closed no leg may close again.

        It may have traded between the parts of a statement: what isn't sure counts when the next
        one says the same; of symbols that somebody else is known to have traded it is.
        """
        statement = self.floor.broker.statement()
        wrong = [each for each in self.compare(statement) if each.what == "quantity"]
        agreed, self._wrong = bool(traded) or wrong == self._wrong, wrong
        self._compared = self.floor.clock() if agreed else -self.floor.every
        if not agreed or wrong == self._agreed:
            return
        self._agreed = wrong
        self.venue.gone = self.astray(statement, [w.symbol for w in wrong])
        if untold := [each for each in wrong if each.symbol not in traded]:
            self._tell_foreign(untold)
        for symbol in sorted(self.venue.gone):
            self.record_all(self._legs_of(symbol))

    def _tell_foreign(self, found: Sequence[Difference]) -> None:
        self.record.add("foreign", differences=[plain(each) for each in found])
        told = "; ".join(str(each) for each in found)
        self.record.alert(f"not of this book, no entries until an operator resumes: {told}")
        self.reduce()

    def reduce(self, to: TradingState = TradingState.REDUCING) -> None:
        """No entries from now on; a halt stays a halt."""
        if self.state.risk.state is not TradingState.HALTED:
            self.state = replace(self.state, risk=replace(self.state.risk, state=to))

    def mark(self, at: str) -> int:
        """As every mark; between the open and the close only what matters is recorded."""
        if at == LIVE:
            value, pnl = self.day_pnl(at)
            risk, _ = marked(self.state.risk, self.setup.policy.risk, pnl, at=self.day.session)
            moved = abs((pnl or 0.0) - self._pnl)
            if risk == self.state.risk and moved < MOVE:
                return value
            self._pnl = pnl or 0.0
        killed = self.state.risk.killed
        value = super().mark(at)
        if at == CLOSE and self.state.risk.killed and not killed:
            self._settle()  # positions were flattened after the accounts had been compared
        return value

    def moment(self, at: str) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.floor.clock(), dt.UTC)

    def obey(self, action: Mapping[str, Any]) -> None:
        """Do what an operator asked for, and record it before."""
        self.record.add("operator", **action)
        self.stand(action)
        self.commit()
        if action["action"] == "cancel-all":
            self.disown(wanted(action))
            self.take_back()

    def stand(self, action: Mapping[str, Any]) -> None:
        """What an operator's action makes of the control plane and of disabled symbols."""
        before = self.state.risk
        self.state = replace(self.state, risk=kept_in_demo(stood(before, action), self.setup))
        for symbol in disabled(before) - disabled(self.state.risk):
            self.sent = enabled(self.sent, symbol)

    def submit(self, orders: Sequence[Order]) -> None:
        """As every submit; a position whose exit the venue wouldn't have gets its stop back.

        What is being closed already isn't closed by a decision too.
        """
        leaving = self.leaving()
        late = [o for o in orders if o.leg is Leg.EXIT and o.symbol in leaving]
        over, why = OrderState.CANCELLED, "its position was leaving already"
        self.record_all([replace(o, state=over, note=why) for o in late])
        super().submit([o for o in orders if o not in late])
        if any(order.leg is Leg.EXIT for order in orders):
            self.mend()

    def trail(self) -> None:
        """After the range, move the stops of what is still open, and see that they hold."""
        positions = dict(self.state.book.positions)
        for symbol, held in positions.items():
            bar, tick = self.day.bars.get(symbol), self.day.instruments[symbol].tick
            high, low = (bar.high, bar.low) if bar is not None else (held.best, held.best)
            positions[symbol] = trail(held, self._rule, high=high, low=low, tick=tick)
        self.state = replace(self.state, book=replace(self.state.book, positions=positions))
        for symbol in sorted(positions):
            self.record_all(self.venue.amend(self._standing_legs(positions[symbol])))
        self.guard()

    def accrue(self) -> None:
        """Once a session, however often it was started."""
        if not self.accrued:
            self.accrued = True
            super().accrue()

    def day_pnl(self, at: str) -> tuple[int, float | None]:
        # What isn't quoted is worth what was last seen of it; else its last close.
        now = {**self.seen, **self.floor.prices()}
        here = {s: p for s, p in now.items() if s not in self.day.bars}
        day = self.day
        try:
            self.day = replace(day, last={**day.last, **here})
            return super().day_pnl(at)
        finally:
            self.day = day

    def end(self) -> None:
        """What is left of the entries is withdrawn; then both accounts are compared once more.

        What still waits to be sent no longer is: the stops rest instead.
        """
        super().end()
        self._settle()
        self.day = replace(self.day, last={**self.day.last, **self.seen})

    def sip_price(self) -> int | None:
        """Its close, or its price now, where the broker tells one when it is asked."""
        symbol, close = self.setup.policy.sip.symbol, super().sip_price()
        if close is None and self.floor.watch is not None:
            self.floor.watch([symbol])
        return self.floor.prices().get(symbol) if close is None else close

    def _settle(self) -> None:
        for _ in range(SETTLES):
            self._withdraw_entries()
            before = len(self.record.rows)
            wrong = self.compare(self.floor.broker.statement())
            if len(self.record.rows) > before + 1:  # one row is the comparison's own
                self.finish()  # an exit may have ended, the rest of it cancelled
            waiting = [o for o in self.venue.working if o.state is OrderState.CREATED]
            self.record_all(self.venue.cancel([o.client_id for o in waiting]))
            self.mend()
            doubtful = any(o.state is OrderState.UNKNOWN for o in self.venue.working)
            news = len(self.record.rows) - before - 1
            if not doubtful and not self.venue.behind() and not news:
                break  # nothing was heard, nor sent that could have traded since
        for each in wrong:
            self.record.alert(f"at the close, {each}")
        self.tell_left()
        self.commit()
