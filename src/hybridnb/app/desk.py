"""The desk: a session in progress, advanced phase by phase against its venue.

It books fills, re-sizes the brackets after each, watches the kill switch at each mark, and
records all of it. What to trade is decided elsewhere (`session.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

from hybridnb.app.owing import Owing
from hybridnb.app.panel import Day
from hybridnb.app.records import Recorder, Trade
from hybridnb.app.setup import Decide, Hints, Setup
from hybridnb.app.state import State
from hybridnb.app.watching import gross_of, look
from hybridnb.book import Closing, apply_fill, equity
from hybridnb.domain import SCALE, Fill, Leg, Order, Position
from hybridnb.execution import orders as make
from hybridnb.execution.brackets import legs, standing, unprotected
from hybridnb.execution.oco import OcoRule
from hybridnb.execution.paper import CLOSE, END, OPEN, PaperVenue
from hybridnb.execution.wire import Wire
from hybridnb.risk import Closed, marked
from hybridnb.stops import protect, stop_rule, trail
from hybridnb.values import replace

__all__ = ["Decide", "Desk", "Hints", "Setup"]
TRIES = 64  # times at most that exits which the venue cut are sent anew in an opening
SWEEP_ROOM = 0.01  # share of a unit's price kept for slippage and commission


class Desk:
    """The session in progress: a state, a venue and a recorder, advanced phase by phase."""

    def __init__(
        self,
        state: State,
        day: Day,
        setup: Setup,
        record: Recorder,
        venue: PaperVenue | Wire | None = None,
    ) -> None:
        self.day, self.setup, self.record = day, setup, record
        self.state = state
        stops = setup.traded_policy.stops
        self._rule, self._oco = stop_rule(stops), OcoRule(stops.oco)
        self.venue = venue or _paper(state, day, setup)
        self.closed: list[Closed] = []
        self.opening_equity = 0
        self.gross = 0  # what is held, as of the last mark
        self.owing = Owing(state)

    def fills(self, phase: str) -> None:
        """Let the venue run one phase and book what happened, legs re-sized after every fill.

        A venue may fill an order in part and cancel the rest. What a switch still has to close
        is sent anew while the opening lasts; what is left then is at work for the next one.
        """
        self._play(phase)
        tries = TRIES
        while phase == OPEN and self.finish() and tries:
            self._play(phase)
            tries -= 1

    def _play(self, phase: str) -> None:
        for changed, fills in self.venue.play(self.day.bars, phase):
            for order in changed:
                self.record.order(order)
            for fill in fills:
                self._book(fill)
            self.heard()

    def heard(self) -> None:
        """The venue has told what it had to tell; a live desk looks around here."""

    def _book(self, fill: Fill) -> None:
        closing = self.applied(fill)
        self.record.fill(fill)
        for order in self._protected(fill):
            self.record.order(order)
        if closing is not None:
            self.closed_trade(fill, closing)

    def applied(self, fill: Fill) -> Closing | None:
        """Take a fill into the book, with the levels it asks for; what it realised."""
        day = self.day
        instrument = day.instruments[fill.symbol]
        held = self.state.book.positions.get(fill.symbol)
        atr = float(day.columns["atr"][day.place[fill.symbol]]) if held is None else held.atr
        book, closing = apply_fill(
            self.state.book,
            fill,
            atr=atr,
            multiplier=instrument.multiplier,
            decision_id=held.decision_id if held else self.record.decision_id(fill.symbol),
            at=day.session,
        )
        position = book.positions.get(fill.symbol)
        if position is not None and fill.leg is Leg.ENTRY:
            position = protect(position, self._rule, tick=instrument.tick)
            book = replace(book, positions={**book.positions, fill.symbol: position})
        self.state = replace(self.state, book=book)
        return closing

    def _protected(self, fill: Fill) -> list[Order]:
        """Legs of a position's full size; without one, nothing of the symbol left at work."""
        position = self.state.book.positions.get(fill.symbol)
        mine = self.venue.working_of(fill.symbol)
        if position is None:
            return self.venue.cancel([o.client_id for o in mine if o.leg.reduces])
        return self._shrunk(position, mine) + self._bracketed(fill, position, mine)

    def _shrunk(self, position: Position, mine: Sequence[Order]) -> list[Order]:
        """Market exits at work that would close more than a leg has left."""
        held = abs(position.quantity)
        over = [o for o in mine if o.leg in (Leg.EXIT, Leg.FLATTEN) and o.left > held]
        return self.venue.amend([replace(o, quantity=held, filled=0) for o in over])

    def _bracketed(self, fill: Fill, position: Position, mine: Sequence[Order]) -> list[Order]:
        if self._oco is not OcoRule.ALLOW_PARTIAL_THEN_CANCEL or fill.leg is Leg.ENTRY:
            return self.venue.amend(legs(position))
        ended = []
        if fill.leg in (Leg.STOP, Leg.TARGET):
            ended = self.venue.cancel([o.client_id for o in mine if o.leg is Leg.TARGET])
        return ended + self.venue.amend(self._standing_legs(position))

    def _standing_legs(self, position: Position) -> tuple[Order, ...]:
        """Both legs, or the stop alone where a partial fill has cancelled the target."""
        stop, target = legs(position)
        if self._oco is not OcoRule.ALLOW_PARTIAL_THEN_CANCEL:
            return stop, target
        working = self.venue.working_of(position.symbol)
        left = any(o.client_id == target.client_id for o in working)
        return (stop, target) if left else (stop,)

    def closed_trade(self, fill: Fill, closing: Closing) -> None:
        """Record what a reducing fill realised."""
        origin = self.state.origins[fill.symbol]
        held, entry = closing.position.quantity, closing.position.entry
        self.closed.append(Closed(self.day.ordinal, fill.symbol, fill.leg, closing.pnl))
        self.record.trade(
            Trade(
                timestamp=self.day.session,
                mode=self.state.risk.mode,
                symbol=fill.symbol,
                direction="long" if held > 0 else "short",
                quantity=fill.quantity,
                size_pre=origin.size_pre,
                size_post_risk=origin.size_post_risk,
                entry_price=entry / SCALE,
                exit_price=fill.price / SCALE,
                pnl=closing.pnl,
                exit_leg=fill.leg,
                reason_tags=origin.reason_tags,
                policy_id=origin.policy_id,
                experiment_id=origin.experiment_id,
                model_version=origin.model_version,
                order_id=origin.order_id,
                decision_id=origin.decision_id,
            )
        )

    def submit(self, orders: Sequence[Order]) -> None:
        """Send orders and record what the venue answered."""
        for order in self.venue.submit(orders):
            self.record.order(order)

    def mark(self, at: str) -> int:
        """Equity at the open or the close, and what the kill switch makes of it."""
        value, pnl = self.day_pnl(at)
        risk, alerts = marked(self.state.risk, self.setup.policy.risk, pnl, at=self.day.session)
        tripped = risk.killed and not self.state.risk.killed
        self.state = replace(self.state, risk=risk)
        self.record.mark(at=at, equity=value, day_pnl=pnl, risk=risk)
        for alert in alerts:
            self.record.alert(alert)
        look(self, at, value, pnl)
        if tripped:
            self._withdraw_entries()
            self.flatten(sorted(self.state.book.positions))
        return value

    def day_pnl(self, at: str) -> tuple[int, float | None]:
        bars, last, sip = self.day.bars, self.day.last, self.setup.policy.sip.symbol
        prices = {}
        for s in (*self.state.book.positions, sip):
            bar = bars.get(s)
            known = last.get(s) if bar is None else bar.open if at == OPEN else bar.close
            if known is not None:
                prices[s] = known
        self.gross = gross_of(self.state, self.day, prices)
        try:
            value = equity(self.state.book, prices, prices.get(sip))
        except KeyError:
            return self.opening_equity, None
        return value, (value - self.opening_equity) / self.opening_equity

    def moment(self, at: str) -> dt.datetime:
        """When a mark is: at the exchange's opening or close, unless a clock times it."""
        assert self.setup.watching is not None
        opening, close = self.setup.watching.hours(self.day.session)
        return opening if at == OPEN else close

    def _withdraw_entries(self, symbols: Collection[str] | None = None) -> None:
        """Those of some symbols, or all."""
        entries = [o for o in self.venue.working if not o.leg.reduces]
        mine = [o.client_id for o in entries if symbols is None or o.symbol in symbols]
        for order in self.venue.cancel(mine):
            self.record.order(order)

    def flatten(self, symbols: Sequence[str]) -> None:
        """Close positions at the market, those that aren't being closed already."""
        positions = self.state.book.positions
        leaving = self.leaving()
        asked = [make.flatten(self.day.session, positions[s]) for s in symbols if s not in leaving]
        self.submit([self._named(order) for order in asked])

    def _named(self, order: Order) -> Order:
        return self.owing.named(order)

    def finish(self) -> bool:
        """Close at the market what is owed and isn't being closed; whether orders are at work."""
        owed = self.owing.of(self.state)
        if not owed:
            return False
        left = owed - self.leaving()
        self.flatten(sorted(left))
        return not left.isdisjoint(self.leaving())

    def leaving(self) -> set[str]:
        """Symbols with a market exit at work."""
        return {o.symbol for o in self.venue.working if o.leg in (Leg.EXIT, Leg.FLATTEN)}

    def trail(self) -> None:
        """After the range, move the stops of what is still open; they hold from the next bar.

        A position without a live stop of its full size can't leave this method: it is alerted
        and flattened.
        """
        positions = dict(self.state.book.positions)
        for symbol in sorted(positions):
            bar = self.day.bars.get(symbol)
            if bar is None:
                continue
            tick = self.day.instruments[symbol].tick
            moved = trail(positions[symbol], self._rule, high=bar.high, low=bar.low, tick=tick)
            positions[symbol] = moved
            if standing(moved, self.venue.working_of(symbol), tick=tick):
                continue
            for order in self.venue.amend(self._standing_legs(moved)):
                self.record.order(order)
        self.state = replace(self.state, book=replace(self.state.book, positions=positions))
        for symbol, units in unprotected(positions, self.venue.working).items():
            self.record.alert(f"{units} units of {symbol} without a stop—flattening")
            self.flatten([symbol])

    def sweep(self) -> None:
        """Accrue the SIP's share of the day's realised profit; buy whole units when affordable."""
        self.accrue()
        self.spend()

    def accrue(self) -> None:
        """Set the share of a good day's profit apart."""
        sip = self.setup.policy.sip
        profit = sum(trade.pnl for trade in self.closed)
        if profit >= sip.min_profit * SCALE:
            accrued = min(round(sip.rate * profit), round(sip.max_per_day * SCALE))
            book = self.state.book
            self.state = replace(self.state, book=replace(book, sip_carry=book.sip_carry + accrued))
            self.record.sip(accrued, self.state.book.sip_carry)

    def spend(self) -> None:
        """Buy whole units for what was set apart."""
        carry = self.state.book.sip_carry
        price = self.sip_price() if carry > 0 else None
        # A unit costs its close, slippage and commission; this room keeps the sweep in the carry.
        units = 0 if price is None else int(carry / (price * (1.0 + SWEEP_ROOM)))
        if units > 0:
            self.submit([make.sweep(self.day.session, self.setup.policy.sip.symbol, units)])
            self.fills(CLOSE)

    def sip_price(self) -> int | None:
        """What a unit of the SIP costs at the close; None where nothing tells."""
        bar = self.day.bars.get(self.setup.policy.sip.symbol)
        return None if bar is None else bar.close

    def end(self) -> None:
        """The bar is over: what is left of the entries expires."""
        self.fills(END)


def _paper(state: State, day: Day, setup: Setup) -> PaperVenue:
    oco = OcoRule(setup.policy.stops.oco)
    costs, faults = setup.policy.costs, setup.faults
    venue = PaperVenue(costs, day.instruments, state.working, oco=oco, faults=faults)
    venue.liquidity = day.liquidity
    return venue
