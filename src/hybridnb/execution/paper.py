"""The paper venue: deterministic fills from bars, or from a book where a feed has one.

Market orders fill at the bar's open, exits before entries; protective legs run through its
range; at most `participation` of a bar's volume trades with us; what is left of an entry at the
end of the bar expires, what is left of an exit keeps working. A bar without volume is a halt:
nothing fills. Bars that hold only a close are traded at that close.

A symbol with quotes or depth is traded on them instead: an order walks the levels and takes what
they offer, so that neither the assumed spread nor the assumed impact is charged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from hybridnb.costs import rates
from hybridnb.domain import Bar, Fill, Instrument, Leg, Order, OrderState, OrderType, Refusal
from hybridnb.execution.depth import Depth, walk
from hybridnb.execution.faults import NO_FAULTS, Faults
from hybridnb.execution.lifecycle import refused
from hybridnb.execution.matching import (
    BITS,
    Legs,
    Liquidity,
    assumed_price,
    first_in_bar,
    first_in_book,
    in_bar,
    in_book,
    reached,
    wrong_with,
)
from hybridnb.execution.oco import OcoRule
from hybridnb.execution.paper_account import Account, Snapshot
from hybridnb.execution.working import Orders
from hybridnb.fills import most_fillable
from hybridnb.policy import Costs
from hybridnb.ports import Events, Statement
from hybridnb.values import replace

__all__ = ["CLOSE", "END", "OPEN", "RANGE", "Faults", "Liquidity", "PaperVenue"]
OPEN, RANGE, CLOSE, END = "open", "range", "close", "end"


class PaperVenue:
    """A venue in memory, for one book; also a broker, see `ports.Broker`.

    Parameters
    ----------
    costs : Costs
    instruments : mapping of str to Instrument
    working : iterable of Order
        Orders still open from earlier sessions.
    account : Snapshot
        What the venue knew when it was last asked for its `snapshot`.
    clock : callable
        Seconds; a client id stays taken, and an execution remembered, for 24 hours of them.
    oco : OcoRule
        How the two legs of a position bear on each other.
    faults : Faults
        What the venue fails at; nothing unless told.
    """

    name = "paper"

    def __init__(
        self,
        costs: Costs,
        instruments: Mapping[str, Instrument],
        working: Iterable[Order] = (),
        *,
        account: Snapshot = Snapshot(),  # noqa: B008 - it is frozen
        clock: Callable[[], float] = float,
        oco: OcoRule = OcoRule.FIRST_TRIGGERED_WINS,
        faults: Faults = NO_FAULTS,
    ) -> None:
        self._rates, self._rule, working = rates(costs), oco.code, tuple(working)
        self._instruments, self._faults = instruments, faults
        self._orders = Orders((*account.orders, *working))
        self._used = dict(account.used)
        self.account = Account(account, clock, working)
        self._news: tuple[list[Order], list[Fill]] = ([], [])
        self.liquidity: Callable[[str], Liquidity] = lambda symbol: Liquidity(0.0, 0.0)
        self.books: Mapping[str, Depth] = {}

    @property
    def working(self) -> list[Order]:
        """Orders that can still fill, in the order they came."""
        return self._orders.open()

    def working_of(self, symbol: str) -> list[Order]:
        """A symbol's orders that can still fill, in the order they came."""
        return self._orders.of(symbol)

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        """Accept new orders; a client id taken within 24 hours is refused as a duplicate."""
        return [self._submit(order) for order in orders]

    def _submit(self, order: Order) -> Order:
        wrong = wrong_with(order, self._instruments.get(order.symbol))
        if wrong:
            return refused(replace(order, note=wrong), Refusal.INVALID)
        if self.account.taken(order.client_id) or self._orders.is_open(order.client_id):
            return refused(order, Refusal.DUPLICATE)
        self.account.take(order.client_id)
        return self._put(replace(order, state=OrderState.ACCEPTED))

    def amend(self, orders: Sequence[Order]) -> list[Order]:
        """Set quantity and prices of working orders by client id, or accept them as new."""
        changed = []
        for order in orders:
            old = self._orders.get(order.client_id)
            wrong = wrong_with(order, self._instruments.get(order.symbol))
            if wrong:  # a working order stays what it is
                told = refused(replace(old or order, note=wrong), Refusal.INVALID)
                changed.append(replace(told, state=old.state) if old else told)
                continue
            filled, note = (old.filled, old.note) if old is not None else (0, order.note)
            total = order.quantity + filled
            new = replace(
                order, state=OrderState.ACCEPTED, filled=filled, quantity=total, note=note
            )
            self.account.take(order.client_id)
            if old != new:
                changed.append(self._put(new))
        return changed

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        """Withdraw working orders; ids that aren't working are passed over."""
        return [self._end(i, OrderState.CANCELLED) for i in client_ids if self._orders.is_open(i)]

    def poll(self) -> Events:
        """What changed since the last call, each fill exactly once."""
        orders, fills = self._news
        self._news = ([], [])
        return Events(tuple(orders), tuple(fills))

    def statement(self) -> Statement:
        """The account now, with the executions of the last 24 hours."""
        return self.account.statement(self.working)

    def close(self) -> None:
        """Nothing is held open: what the venue knows is in its snapshot."""

    def snapshot(self) -> Snapshot:
        """Everything a venue that takes this one's place must know."""
        return self.account.snapshot(self._orders.values(), self._used)

    def _end(self, client_id: str, state: OrderState) -> Order:
        return self._put(replace(self._orders[client_id], state=state))

    def _put(self, order: Order) -> Order:
        self._orders.put(order)
        self._news[0].append(order)
        return order

    def play(self, bars: Mapping[str, Bar], phase: str) -> Iterator[tuple[list[Order], list[Fill]]]:
        """The same, as a venue that is listened to: one answer a phase."""
        yield self.run(bars, phase)

    def run(self, bars: Mapping[str, Bar], phase: str) -> tuple[list[Order], list[Fill]]:
        """Let one phase of the bars happen; orders that changed, and the fills.

        Parameters
        ----------
        phase : str
            `open`: market orders fill, at the open or on the symbol's book. `range`: at most one
            protective leg of each symbol, then entries and exits that wait for a price. `close`:
            sweeps. `end`: entries expire, volume used is forgotten.
        """
        if phase == END:
            self._used = {}
            self.account.next_session(self.working)
            ids = [o.client_id for o in self.working if not o.leg.reduces]
            return [self._end(i, OrderState.EXPIRED) for i in ids], []
        changed: list[Order] = []
        fills: list[Fill] = []
        if phase == RANGE:
            self._protect(bars, changed, fills)
        wanted = (Leg.SWEEP,) if phase == CLOSE else (Leg.FLATTEN, Leg.EXIT, Leg.ENTRY)
        waits = phase == RANGE
        asked = [order for order in self.working if order.leg in wanted]
        for order in sorted(asked, key=lambda each: wanted.index(each.leg)):
            bar = bars.get(order.symbol)
            if bar is None or (order.type is not OrderType.MARKET) is not waits:
                continue
            reference = bar.close if phase == CLOSE else in_bar(order, bar)[0]
            if phase == OPEN and order.symbol in self.books:
                done = self._walk(order, self.books[order.symbol], bar.session.isoformat())
            else:
                done = self._execute(order, bar, reference)
            changed += [self._orders[order.client_id]] if done else []
            fills += done
        return changed, fills

    def _protect(self, bars: Mapping[str, Bar], changed: list[Order], fills: list[Fill]) -> None:
        legs_at_work = (o for o in self.working if o.leg is Leg.STOP or o.leg is Leg.TARGET)
        asked = {order.symbol for order in legs_at_work if reached(order, bars)}
        for symbol in sorted(asked):
            legs, bar = {order.leg: order for order in self._orders.of(symbol)}, bars[symbol]
            if bar.volume == 0:
                continue
            leg, reference, notes = first_in_bar(self._rule, legs, bar)
            changed += [self._put(order) for order in notes]
            if leg is None:
                continue
            order = self._orders[legs[leg].client_id]
            done = self._execute(order, bar, reference)
            changed += [self._orders[order.client_id]] if done else []
            fills += done

    def trade(self, books: Mapping[str, Depth], *, at: str) -> tuple[list[Order], list[Fill]]:
        """Let working orders meet what a feed quotes now; orders that changed, and the fills.

        Each has its turn; of a position at most one leg trades at once.

        Parameters
        ----------
        books : mapping of str to Depth
        at : str
            The session, or a time in it: the fills' own.
        """
        changed: list[Order] = []
        fills: list[Fill] = []
        for symbol in sorted(books):
            depth = books[symbol]
            mine = self._orders.of(symbol)
            legs: Legs = {o.leg: o for o in mine if o.leg in BITS}
            leg, notes = first_in_book(self._rule, legs, depth)
            changed += [self._put(order) for order in notes]
            for order in mine:
                waits = order.leg is not leg if order.leg in BITS else not in_book(order, depth)
                done = [] if waits else self._walk(self._orders[order.client_id], depth, at)
                depth = depth.without(order.side.sign, sum(f.quantity for f in done))
                changed += [self._orders[order.client_id]] if done else []
                fills += done
        return changed, fills

    def _walk(self, order: Order, depth: Depth, at: str) -> list[Fill]:
        taken = walk(depth, order.side.sign, self._faults.most(order), order.limit)
        return self._cut([self._fill(order.client_id, n, p, depth.middle, at) for p, n in taken])

    def _cut(self, fills: list[Fill]) -> list[Fill]:
        """An order's fills; where the venue fills orders in part, what is left ends with them."""
        self.cancel([fill.client_id for fill in fills[-1:] if self._faults.cuts])
        return fills

    def _execute(self, order: Order, bar: Bar, reference: int) -> list[Fill]:
        used = self._used.get(order.symbol, 0)
        most = most_fillable(bar, self._rates.participation, used)
        quantity = min(self._faults.most(order), most) if reference else 0
        if quantity <= 0:
            return []
        price = reference
        if order.limit is None:  # one with a limit waits for it, and doesn't cross the spread
            price = assumed_price(
                self._rates,
                bar,
                sign=order.side.sign,
                quantity=quantity,
                reference=reference,
                bucket=self._instruments[order.symbol].bucket,
                liquidity=self.liquidity(order.symbol),
            )
        at = bar.session.isoformat()
        return self._cut([self._fill(order.client_id, quantity, price, reference, at)])

    def _fill(self, client_id: str, quantity: int, price: int, reference: int, at: str) -> Fill:
        order = self._orders[client_id]
        self._used[order.symbol] = self._used.get(order.symbol, 0) + quantity
        multiplier = self._instruments[order.symbol].multiplier
        filled = order.filled + quantity
        fill = Fill(
            fill_id=f"{client_id}-{filled}",
            client_id=client_id,
            symbol=order.symbol,
            side=order.side,
            leg=order.leg,
            quantity=quantity,
            price=price,
            reference=reference,
            commission=self.account.charge(
                self._rates, order, quantity=quantity, price=price * multiplier
            ),
            slippage=abs(price - reference) * quantity * multiplier,
            at=at,
        )
        state = OrderState.FILLED if filled == order.quantity else OrderState.PARTIALLY_FILLED
        self._put(replace(order, filled=filled, state=state))
        self.account.book(fill, multiplier)
        self._news[1].append(fill)
        self._forget_touches(order)
        return fill

    def _forget_touches(self, order: Order) -> None:
        """An entry places the legs anew."""
        for each in self._orders.of(order.symbol) if order.leg is Leg.ENTRY else ():
            if each.leg in BITS and each.note:
                self._put(replace(each, note=""))
