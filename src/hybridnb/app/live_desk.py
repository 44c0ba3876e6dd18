"""A live session in progress: marks, operators and guards between what the broker tells."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hybridnb.app.broker_desk import BrokerDesk, Floor
from hybridnb.app.desk import Setup
from hybridnb.app.live_prices import CLOCK, Vigil
from hybridnb.app.panel import Day
from hybridnb.app.records import Recorder
from hybridnb.app.replying import kept_in_demo
from hybridnb.app.session import withdraw
from hybridnb.app.standing import stood, wanted
from hybridnb.app.state import State
from hybridnb.canonical import plain
from hybridnb.domain import Leg, Order, OrderState, OrderType, TradingState
from hybridnb.execution.paper import CLOSE, OPEN
from hybridnb.execution.reconcile import uncovered
from hybridnb.execution.safety import Standing
from hybridnb.execution.sent import enabled
from hybridnb.risk import disabled, marked
from hybridnb.stops import trail

__all__ = ["Floor", "LiveDesk"]

LIVE = "live"  # a mark between the open and the close
MOVE = 0.001  # change of the day's P&L, share of equity, that is worth a row
TRIES = 3  # times a stop is asked for before its position is given up
SETTLES = 10  # comparisons at the close, until one brings no news


class LiveDesk(BrokerDesk):
    """A desk whose venue is a broker, and what it does while the session lasts."""

    def __init__(
        self, state: State, day: Day, setup: Setup, record: Recorder, *, floor: Floor
    ) -> None:
        self._prices: Mapping[str, int] = {}
        self._pnl = 0.0  # of the last mark that was recorded
        self._given_up: set[str] = set()  # positions whose stop couldn't be had
        self._strangers: set[str] = set()  # orders and fills that aren't ours, once alerted
        hours = setup.watching.hours(day.session) if setup.watching else None
        self.vigil = Vigil(floor.prices, hours, floor.clock())
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
        if prices and prices != self._prices:
            self._prices = dict(prices)
            self.mark(LIVE)
        self.estranged()
        for action in self.floor.actions():
            self.obey(action)
        self.guard()
        self.commit()
        self.floor.show(self)

    def relied(self, prices: Mapping[str, int]) -> None:
        """While the feed is interrupted nothing new is sent; a clock that went back halts."""
        for alert in self.vigil.look(prices, self.floor.clock()):
            if alert == CLOCK:
                self.record.add("halted", cause="the clock moved back")
                self.reduce(TradingState.HALTED)
            self.record.alert(alert)

    def _standing(self) -> Standing:
        found = super()._standing()
        holds = self.vigil.interrupted and found.state is TradingState.ACTIVE
        return replace(found, state=TradingState.REDUCING) if holds else found

    def estranged(self) -> None:
        """Somebody else trades on the account: no entries until an operator decides."""
        ids = {each.theirs.partition(": ")[0]: each for each in self.venue.foreign}
        news = [each for i, each in ids.items() if i not in self._strangers]
        if news:
            self._strangers |= set(ids)
            self.record.add("foreign", differences=[plain(each) for each in news])
            told = "; ".join(str(each) for each in news)
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
            withdraw(self, wanted(action))

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

    def guard(self) -> None:
        """What must hold after everything that is heard.

        With the switch latched nothing is held, nor what an earlier one had to close; in any state
        but ACTIVE, without the feed, or of a disabled symbol, no entry works; a target that can't
        rest at the venue is closed at the market when it is touched; every position has its live
        stop of full size.
        """
        barred = self.vigil.interrupted or self.state.risk.state is not TradingState.ACTIVE
        self._withdraw_entries(None if barred else disabled(self.state.risk))
        self.finish()
        if not self.venue.both_legs:
            self.submit(self._touched())
        self.mend()

    def _touched(self) -> list[Order]:
        """Market orders for the positions whose target the price has reached."""
        now, leaving = self.floor.prices(), self.leaving()
        orders = []
        for symbol, position in sorted(self.state.book.positions.items()):
            side = 1 if position.quantity > 0 else -1
            price = now.get(symbol)
            if price is None or symbol in leaving or (price - position.target) * side < 0:
                continue
            for target in self._standing_legs(position)[1:]:
                orders.append(replace(target, type=OrderType.MARKET, limit=None))
        return orders

    def leaving(self) -> set[str]:
        mine = (o for o in self.venue.working if o.leg is Leg.TARGET)
        return super().leaving() | {o.symbol for o in mine if o.type is OrderType.MARKET}

    def mend(self) -> None:
        """Give every position its live stop of full size; take away what goes beyond it.

        What the venue is in doubt about is left alone until it is known. A position whose stop
        the venue won't have is alerted, once, and flattened.
        """
        self.record_all(self.venue.cancel(self._stray()))
        positions = self.state.book.positions
        for _ in range(TRIES):
            for symbol in sorted({*self._bare(), *(o.symbol for o in self._too_large())}):
                self.record_all(self.venue.amend(self._standing_legs(positions[symbol])))
        self.record_all(self.venue.cancel([o.client_id for o in self._too_large()]))
        bare = sorted({*self._bare(), *self._gapped()})
        for symbol in bare:
            if symbol not in self._given_up:
                self.record.alert(f"{symbol} without its stop—flattening")
        self._given_up = {*bare, *(self._given_up & self.leaving())}
        self.flatten(bare)
        self._grow_exits(bare)

    def _stray(self) -> list[str]:
        """Ids of legs that no position wants; where the venue is in doubt about one, none yet."""
        protective = [o for o in self.venue.working if o.leg in (Leg.STOP, Leg.TARGET)]
        doubtful = {o.symbol for o in protective if o.state is OrderState.UNKNOWN}
        sure = (o for o in protective if o.symbol not in doubtful)
        return [o.client_id for o in sure if not self._is_wanted(o)]

    def _grow_exits(self, symbols: Sequence[str]) -> None:
        """A position may have grown while it was being flattened: its exit grows with it."""
        held = {s: abs(self._held(s)) for s in symbols}
        exits = (o for o in self.venue.working if o.leg is Leg.FLATTEN)
        short = [o for o in exits if o.left < held.get(o.symbol, 0) - self.venue.unheard(o.symbol)]
        terms = [replace(o, quantity=held[o.symbol], filled=0) for o in short]
        self.record_all(self.venue.amend(terms))
        # The new terms may have ended one that had filled meanwhile.
        self.flatten(sorted({o.symbol for o in short}.intersection(self._bare())))

    def _bare(self) -> list[str]:
        """Symbols that lack their stop for sure."""
        return sorted(uncovered(self.state.book.positions, self.venue.working) - self._unsure())

    def _gapped(self) -> set[str]:
        """Symbols whose trailed stop the venue refused, and whose price has gone through it.

        Until then the stop it has, of full size at its old price, covers the position.
        """
        now, found = self.floor.prices(), set()
        for symbol, position in self.state.book.positions.items():
            price, (_, refused) = now.get(symbol), self.venue.refused.get(symbol, (0, None))
            if price is not None and refused is not None and refused == position.stop:
                side = 1 if position.quantity > 0 else -1
                found |= {symbol} if (price - refused) * side <= 0 else set()
        return found - self._unsure() - self.leaving()

    def _too_large(self) -> list[Order]:
        """Targets that would close more than is held."""
        targets = (o for o in self.venue.working if o.leg is Leg.TARGET)
        over = [o for o in targets if 0 < abs(self._held(o.symbol)) < o.left]
        return [o for o in over if o.symbol not in self._unsure()]

    def _unsure(self) -> set[str]:
        """Symbols of which something is in doubt, or yet to be told."""
        orders = self.venue.orders
        doubtful = {o.symbol for o in self.venue.working if o.state is OrderState.UNKNOWN}
        return doubtful | {orders[i].symbol for i in self.venue.behind()}

    def trail(self) -> None:
        """After the range, move the stops of what is still open, and see that they hold."""
        positions = dict(self.state.book.positions)
        for symbol, held in positions.items():
            bar = self.day.bars.get(symbol)
            if bar is not None:
                tick = self.day.instruments[symbol].tick
                positions[symbol] = trail(held, self._rule, high=bar.high, low=bar.low, tick=tick)
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
        now = self.floor.prices()
        if at == OPEN or not now:
            return super().day_pnl(at)
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

    def _settle(self) -> None:
        for _ in range(SETTLES):
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
        self.commit()
