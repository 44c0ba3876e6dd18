"""What must hold of a live session after everything that is heard."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from hybridnb.app.broker_desk import BrokerDesk, Floor
from hybridnb.app.desk import Setup
from hybridnb.app.live_prices import Vigil
from hybridnb.app.panel import Day
from hybridnb.app.records import Recorder
from hybridnb.app.state import State
from hybridnb.domain import Leg, Order, OrderState, OrderType, TradingState
from hybridnb.errors import BrokerDown, CheckFailed
from hybridnb.execution.reconcile import leaves, uncovered
from hybridnb.ports import Statement
from hybridnb.risk import disabled

TRIES = 3  # times a stop is asked for before its position is given up


class GuardedDesk(BrokerDesk):
    """A desk that gives every position its live stop, and takes away what may not work."""

    def __init__(
        self, state: State, day: Day, setup: Setup, record: Recorder, *, floor: Floor
    ) -> None:
        self._given_up: set[str] = set()  # positions whose stop couldn't be had
        self._disowned: set[str] = set()  # ids of what an operator or an opening withdrew
        self._told_left: set[str] = set()  # symbols whose entries may still work, once alerted
        hours = setup.watching.hours(day.session) if setup.watching else None
        self.vigil = Vigil(floor.prices, hours, floor.clock())
        super().__init__(state, day, setup, record, floor=floor)

    def guard(self) -> None:
        """What must hold after everything that is heard.

        With the switch latched nothing is held, nor what an earlier one had to close; in any state
        but ACTIVE, with the brake on, without the feed, or of a disabled symbol, no entry works; a
        target that can't rest at the venue is closed at the market when it is touched; every
        position has its live stop of full size.
        """
        risk = self.state.risk
        barred = self.vigil.interrupted or risk.brake or risk.state is not TradingState.ACTIVE
        self._withdraw_entries(None if barred else disabled(risk))
        self.take_back()
        self.finish()
        if not self.venue.both_legs:
            self.submit(self._touched())
        self.mend()

    def disown(self, symbol: str) -> None:
        """An operator withdraws what is open, of a symbol or, empty, of all; legs stay."""
        self.owing.excuse(symbol)
        rest = (o for o in self.venue.working if o.leg not in (Leg.STOP, Leg.TARGET))
        self._disowned |= {o.client_id for o in rest if symbol in ("", o.symbol)}

    def disown_entries(self) -> None:
        """Entries that an earlier session left at work are nobody's decision any more."""
        entries = (o.client_id for o in self.venue.working if not o.leg.reduces)
        self._disowned |= {i for i in entries if not i.startswith(self.day.session)}

    def leave(self) -> None:
        """Nobody will listen from now on: entries are withdrawn, and what may still work is told.

        The ledger may hold nothing of it yet, the line may be down: as far as it goes.
        """
        with contextlib.suppress(BrokerDown, CheckFailed):
            self._withdraw_entries()
        self.tell_left()

    def tell_left(self) -> None:
        """Alert the entries that couldn't be withdrawn."""
        left = {o.symbol for o in self.venue.working if not o.leg.reduces}
        for symbol in sorted(left - self._told_left):
            self.record.alert(f"{symbol}: an entry may still work—withdraw it at the broker")
        self._told_left |= left

    def take_back(self) -> None:
        """Withdraw what is disowned, as often as it is heard of: also after a restart."""
        mine = [o.client_id for o in self.venue.working if o.client_id in self._disowned]
        self.record_all(self.venue.cancel(mine))

    def astray(self, statement: Statement, symbols: Sequence[str]) -> dict[str, int]:
        """Units of these symbols' positions that aren't at the broker, where there are any."""
        found = {}
        for symbol in symbols:
            held, there = self._held(symbol), statement.holdings.get(symbol)
            sign = 1 if held > 0 else -1
            left = max(0, there.quantity * sign) if there is not None else 0
            found[symbol] = max(0, abs(held) - left)
        return {symbol: units for symbol, units in found.items() if units}

    def put_back(self) -> None:
        """Bring stops to their positions' levels, as a session starts: they rested elsewhere.

        Somebody moved them at the venue, or it refused where they were trailed to.
        """
        for symbol, position in sorted(self.state.book.positions.items()):
            stops = [o for o in self.venue.working_of(symbol) if o.leg is Leg.STOP]
            if any(o.stop != position.stop for o in stops if o.state is not OrderState.UNKNOWN):
                self.record.alert(f"{symbol}: its stop rested elsewhere than the book has it—moved")
                self.record_all(self.venue.amend(self._standing_legs(position)))

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
        exits = (o for o in self.venue.working if leaves(o))
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
        return doubtful | {orders[i].symbol for i in self.venue.behind()} | self.venue.gone.keys()
