"""A broker as the desk's venue: what is meant is written down before it is sent.

Every order passes the safety checks, is recorded as submitted and made durable, and only then
leaves; answers and executions are taken once each. A process that dies at any point leaves
enough behind to find out what became of every order.

An order's `filled` counts the fills that were booked, never more: a report that runs ahead of
them waits for them, so that orders and positions always tell the same story.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from hybridnb.domain import Bar, Fill, Leg, Order, OrderState
from hybridnb.execution.known import Known
from hybridnb.execution.orders import another
from hybridnb.execution.reconcile import Arrears, arrears, leaves
from hybridnb.ports import Broker, Events, Statement

Check = Callable[[Sequence[Order], bool], list[Order]]
Pace = Callable[[str], Iterator[None]]
Changes = tuple[list[Order], list[Fill]]
END = "end"
TRIES = 3  # times an amendment is corrected by what filled while it was on its way
_LEGS = (Leg.STOP, Leg.TARGET)
CREATED, SUBMITTED = OrderState.CREATED, OrderState.SUBMITTED
CANCELLED, REJECTED, UNKNOWN = OrderState.CANCELLED, OrderState.REJECTED, OrderState.UNKNOWN


class Wire(Known):
    """A broker behind the interface of the paper venue.

    A market order that closes a position takes the position's protective orders away first, so
    that they can't both trade: exchanges that lock the coins of every open sale wouldn't take it
    otherwise. It waits, `created`, until they are gone.

    Parameters
    ----------
    broker : Broker
        Its `both_legs` (True where it has none) says whether a stop and a target, each of the
        full position, may rest there together; where not, the stop rests alone.
    check : callable
        `(orders, amend) -> orders`: the pre-trade checks; refused ones come back rejected.
    journal : callable
        Takes orders about to be sent and makes them durable before it returns.
    pace : callable
        `(phase) -> iterator`: yields whenever it is time to listen again, ends with the phase.
    held : callable
        `(symbol) -> units`: the book's signed position.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        check: Check,
        journal: Callable[[Sequence[Order]], None],
        pace: Pace,
        held: Callable[[str], int],
    ) -> None:
        super().__init__()
        self.broker = broker
        self.both_legs = bool(getattr(broker, "both_legs", True))
        self._check, self._journal, self._pace, self._held = check, journal, pace, held

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        """Send what passes the checks; an id that was sent before isn't sent again."""
        again = (Leg.FLATTEN, Leg.TARGET)  # a decided exit is sent once
        named = [self._named(o) if o.leg in again else o for o in orders]
        return self._send([o for o in named if self._unsent(o.client_id)], again=False)

    def _unsent(self, client_id: str) -> bool:
        known = self.orders.get(client_id)
        return known is None or known.state in (CREATED, REJECTED)

    def _named(self, order: Order) -> Order:
        """The order under an id that can still be worked: one that ended is never used again."""
        tries, known = 1, self.orders.get(order.client_id)
        named = order
        while known is not None and not known.state.open and known.state is not REJECTED:
            tries += 1
            named = another(order, tries)
            known = self.orders.get(named.client_id)
        return named

    def _send(self, orders: Sequence[Order], *, again: bool) -> list[Order]:
        orders = [self._shrunk(order) for order in orders]
        checked = self._check(orders, again) if orders else []
        sent = [replace(o, state=SUBMITTED) for o in checked if o.state.open]
        out = [o for o in checked if not o.state.open]
        legs = self._cleared(sent)
        answers = [self._ready(order) for order in sent]
        ready = [o for o in answers if o.state is SUBMITTED]
        out += [o for o in answers if o.state is not SUBMITTED]
        self.remember(out)
        self._write(ready)
        return legs + out + (self.answered(self.broker.submit(ready)) if ready else [])

    def _cleared(self, sent: Sequence[Order]) -> list[Order]:
        """Take protective orders away before what closes their positions."""
        symbols = {o.symbol for o in sent if leaves(o)}
        mine = {o.client_id for o in sent}
        return self.cancel(
            o.client_id
            for o in self.working
            if o.symbol in symbols and o.leg in _LEGS and o.client_id not in mine
        )

    def _ready(self, order: Order) -> Order:
        """A closing order waits for the legs to be gone, and closes no more than is there."""
        if not leaves(order):
            return order
        others = [o for o in self.working if o.symbol == order.symbol and o.leg.reduces]
        if any(o.leg in _LEGS and o.client_id != order.client_id for o in others):
            return replace(order, state=CREATED)
        if self._at_hand(order.symbol) <= 0:
            return replace(order, state=CANCELLED, note="nothing was left to close")
        return self._shrunk(order)

    def _shrunk(self, order: Order) -> Order:
        """A closing order of no more than there is to close, if there is anything."""
        left = min(order.left, self._at_hand(order.symbol))
        small = leaves(order) and 0 < left < order.left
        return replace(order, quantity=order.filled + left) if small else order

    def _at_hand(self, symbol: str) -> int:
        """Units of a position, less what filled and no fill has told."""
        return abs(self._held(symbol)) - self.unheard(symbol)

    def amend(self, orders: Sequence[Order]) -> list[Order]:
        """Make working orders have this quantity left and these prices; send unknown ones.

        A stop that the venue refused isn't asked for again on the same terms: the market has
        gone through it, and the position has to be closed instead.
        """
        wanted = [new for order in orders if (new := self._wanted(order)) is not None]
        checked = self._check(wanted, True) if wanted else []
        sent = [o for o in checked if o.state.open]
        self._write(sent)
        refused = [o for o in checked if not o.state.open]
        self.remember(o for o in refused if o.client_id not in self.orders)
        for order in refused:
            self.would_not(order)
        return refused + self._amended(sent)

    def _amended(self, wanted: Sequence[Order]) -> list[Order]:
        """Brokers are told what is left to fill: what filled unheard meanwhile is taken off."""
        changed: list[Order] = []
        for again in range(TRIES):
            left = [o for order in wanted if (o := self._left_of(order)).quantity > 0]
            if again:  # a message more
                left = [o for o in self._check(left, True) if o.state.open]
            changed += self.adopted(left, self.broker.amend(left)) if left else []
            news = self.behind() & {o.client_id for o in left}
            wanted = [o for o in wanted if o.client_id in news and self._is_over(o)]
            if not wanted:
                break
        over = [o.client_id for o in wanted if self._is_over(o)]
        return changed + (self.cancel(over) if over else [])

    def _left_of(self, order: Order) -> Order:
        heard = max(order.filled, self.reported.get(order.client_id, 0))
        return replace(order, quantity=order.quantity - heard, filled=0, state=CREATED)

    def _is_over(self, order: Order) -> bool:
        """Whether the venue works more than is wanted, with all that filled."""
        known = self.orders[order.client_id]
        return known.state.open and known.state is not UNKNOWN and known.quantity > order.quantity

    def _wanted(self, order: Order) -> Order | None:
        """The order as it is to be; None where it is so already, or can't be changed now."""
        if order.leg is Leg.TARGET and not self.both_legs and not leaves(order):
            return None
        order = self._named(order)
        known = self.orders.get(order.client_id)
        if known is not None and known.state is UNKNOWN:
            return None
        others = (o for o in self.working if o.client_id != order.client_id)
        leaving = sum(o.left for o in others if o.symbol == order.symbol and leaves(o))
        leaving += self.unheard(order.symbol, but=order.client_id)  # gone, though no fill told it
        left, filled = order.quantity - leaving, known.filled if known is not None else 0
        refused = order.leg is Leg.STOP and self.refused.get(order.symbol) == (left, order.stop)
        if left <= 0 or refused:
            return None
        new = replace(order, state=SUBMITTED, filled=filled, quantity=left + filled)
        return None if known is not None and _stands(known, new) else new

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        """Withdraw working orders, all at once; one that waits to be sent is never sent."""
        mine = [self.orders[i] for i in client_ids if i in self.orders]
        waiting = [replace(o, state=CANCELLED) for o in mine if o.state is CREATED]
        self.remember(waiting)
        ids = [o.client_id for o in mine if o.state.open and o.state is not CREATED]
        return waiting + (self.take(self.broker.cancel(ids)) if ids else [])

    def play(self, bars: Mapping[str, Bar], phase: str) -> Iterator[Changes]:
        """Listen for as long as a phase lasts: orders that changed, and fills, as they come."""
        if phase == END:
            yield self.cancel([o.client_id for o in self.working if not o.leg.reduces]), []
        for _ in self._pace(phase):
            before, events = self.behind(), self.broker.poll()
            strange = any(fill.client_id not in self.orders for fill in events.fills)
            yield self.heard(events)
            doubtful = any(o.state is UNKNOWN for o in self.working)
            if strange or doubtful or before & self.behind():
                found = self.settled(self.broker.statement())
                yield list(found.orders), list(found.fills)
            waiting = [o for o in self.working if o.state is CREATED]
            if waiting:
                yield self._send(waiting, again=True), []

    def heard(self, events: Events) -> Changes:
        """Events as news: each fill once, each order as it stands."""
        before = dict(self.orders)
        fills = self.fresh(events.fills)
        self.take([*self.held_back.values(), *events.orders])
        changed = [o for i, o in self.orders.items() if before.get(i) != o]
        return changed, fills

    def settled(self, statement: Statement) -> Arrears:
        """What a statement tells beyond what is known; it is known from then on.

        A leg that never arrived is forgotten, any other lost order waits to be sent again. One
        whose id the broker knows, and which is neither open nor filled, was cancelled there.
        """
        before = dict(self.orders)
        fills = self.fresh(statement.fills)
        found = arrears(self.orders, self.booked, statement, there=self.there)
        self.foreign = found.foreign
        self.remember(found.orders)
        there = [o for o in found.lost if o.client_id in self.there]
        lost = [replace(o, state=CREATED) for o in found.lost if o.client_id not in self.there]
        self.remember(replace(o, state=CANCELLED) for o in there)
        self.remember(lost)
        for order in lost:
            if order.leg in _LEGS:
                del self.orders[order.client_id]
        self.settle_reports()
        news = [o for i, o in self.orders.items() if before.get(i) != o]
        news += [o for o in lost if o.client_id not in self.orders]
        return replace(found, fills=tuple(fills), orders=tuple(news), lost=tuple(lost))

    def unsent(self) -> list[Order]:
        """Take out the orders that were decided, or lost on their way, and are yet to be sent."""
        waiting = [o for o in self.working if o.state is CREATED]
        for order in waiting:
            del self.orders[order.client_id]
        return waiting

    def _write(self, orders: Sequence[Order]) -> None:
        if orders:
            self._journal(orders)
            self.remember(orders)


def _stands(known: Order, new: Order) -> bool:
    """Whether an order is at the venue already as it is wanted."""
    there = known.state.open and known.state is not CREATED
    terms = (known.left, known.limit, known.stop)
    return there and terms == (new.left, new.limit, new.stop)
