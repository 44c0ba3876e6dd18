"""A broker as the desk's venue: what is meant is written down before it is sent.

Every order passes the safety checks, is recorded as submitted and made durable, and only then
leaves; answers and executions are taken once each. A process that dies at any point leaves
enough behind to find out what became of every order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from hybridnb.domain import Bar, Fill, Leg, Order, OrderState
from hybridnb.execution.lifecycle import advance, report_of, unseen
from hybridnb.execution.reconcile import Arrears, arrears
from hybridnb.ports import Broker, Events, Statement

Check = Callable[[Sequence[Order], bool], list[Order]]
Pace = Callable[[str], Iterator[None]]
Changes = tuple[list[Order], list[Fill]]
END = "end"


class Wire:
    """A broker behind the interface of the paper venue.

    Parameters
    ----------
    broker : Broker
    check : callable
        `(orders, amend) -> orders`: the pre-trade checks; refused ones come back rejected.
    journal : callable
        Takes orders about to be sent and makes them durable before it returns.
    pace : callable
        `(phase) -> iterator`: yields whenever it is time to listen again, ends with the phase.
    prices : callable
        `() -> prices` now by symbol, in 1/10,000; empty where the venue doesn't tell.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        check: Check,
        journal: Callable[[Sequence[Order]], None],
        pace: Pace,
        prices: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self.broker, self.prices = broker, prices
        self.orders: dict[str, Order] = {}
        self.booked: dict[str, Fill] = {}
        self._check, self._journal, self._pace = check, journal, pace

    @property
    def working(self) -> list[Order]:
        """Orders that can still fill, in the order they came."""
        return [order for order in self.orders.values() if order.state.open]

    def remember(self, orders: Iterable[Order] = (), fills: Iterable[Fill] = ()) -> None:
        """Take over what the ledger knows."""
        self.orders |= {order.client_id: order for order in orders}
        self.booked |= {fill.fill_id: fill for fill in fills}

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        """Send what passes the checks; an id that was sent before isn't sent again."""
        new = [o for o in orders if self._unsent(o.client_id)]
        checked = self._check(new, False)
        sent = [replace(o, state=OrderState.SUBMITTED) for o in checked if o.state.open]
        self._write(sent)
        answers = self.broker.submit(sent) if sent else []
        return [o for o in checked if not o.state.open] + self._take(answers)

    def _unsent(self, client_id: str) -> bool:
        known = self.orders.get(client_id)
        return known is None or known.state is OrderState.CREATED

    def amend(self, orders: Sequence[Order]) -> list[Order]:
        """Make working orders have this quantity left and these prices; send unknown ones."""
        wanted = []
        for order in orders:
            known = self.orders.get(order.client_id)
            filled = known.filled if known is not None else 0
            new = replace(
                order, state=OrderState.SUBMITTED, filled=filled, quantity=order.quantity + filled
            )
            if known is None or not _stands(known, new):
                wanted.append(new)
        checked = self._check(wanted, True)
        sent = [o for o in checked if o.state.open]
        self._write(sent)
        left = [replace(o, quantity=o.left, filled=0, state=OrderState.CREATED) for o in sent]
        return self._adopt(self.broker.amend(left)) if left else []

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        """Withdraw working orders, all at once."""
        ids = [i for i in client_ids if i in self.orders and self.orders[i].state.open]
        return self._take(self.broker.cancel(ids)) if ids else []

    def play(self, bars: Mapping[str, Bar], phase: str) -> Iterator[Changes]:
        """Listen for as long as a phase lasts: orders that changed, and fills, as they come."""
        if phase == END:
            yield self.cancel([o.client_id for o in self.working if not o.leg.reduces]), []
        for _ in self._pace(phase):
            yield self.heard(self.broker.poll())
            if any(o.state is OrderState.UNKNOWN for o in self.working):
                found = self.settled(self.broker.statement())
                yield list(found.orders), list(found.fills)
                yield self._again(found.lost), []

    def _again(self, lost: Sequence[Order]) -> list[Order]:
        """Send what never arrived, under the same ids."""
        legs = [o for o in lost if o.leg in (Leg.STOP, Leg.TARGET)]
        rest = [self.orders[o.client_id] for o in lost if o not in legs]
        left = [replace(o, quantity=o.left, filled=0) for o in legs]
        return self.submit(rest) + (self.amend(left) if left else [])

    def heard(self, events: Events) -> Changes:
        """Events as news: each fill once, each order as it stands."""
        fills = self._fresh(events.fills)
        return self._take(events.orders), fills

    def settled(self, statement: Statement) -> Arrears:
        """What a statement tells beyond what is known; it is known from then on.

        An order that never arrived is one that is yet to be sent.
        """
        found = arrears(self.orders, self.booked, statement)
        lost = tuple(replace(order, state=OrderState.CREATED) for order in found.lost)
        self.remember([*found.orders, *lost], found.fills)
        return replace(found, lost=lost)

    def _fresh(self, fills: Iterable[Fill]) -> list[Fill]:
        mine = [
            replace(f, leg=self.orders[f.client_id].leg)
            for f in fills
            if f.client_id in self.orders
        ]
        fresh = list(unseen(self.booked, mine))
        self.booked |= {fill.fill_id: fill for fill in fresh}
        return fresh

    def _write(self, orders: Sequence[Order]) -> None:
        if orders:
            self._journal(orders)
            self.remember(orders)

    def _take(self, answers: Iterable[Order]) -> list[Order]:
        changed = []
        for answer in answers:
            known = self.orders.get(answer.client_id)
            if known is None:
                continue
            after = advance(known, report_of(answer))
            if after != known:
                self.orders[answer.client_id] = after
                changed.append(after)
        return changed

    def _adopt(self, answers: Iterable[Order]) -> list[Order]:
        """Amended orders as the venue has them now; one it wouldn't amend keeps its old terms."""
        changed = []
        for answer in answers:
            known = self.orders.get(answer.client_id)
            if known is None:
                continue
            after = replace(
                known,
                quantity=answer.quantity,
                limit=answer.limit,
                stop=answer.stop,
                state=answer.state,
                refusals=answer.refusals,
                note=answer.note,
            )
            self.orders[answer.client_id] = after
            changed.append(after)
        return changed


def _stands(known: Order, new: Order) -> bool:
    """Whether an order is at the venue already as it is wanted."""
    there = known.state.open and known.state is not OrderState.CREATED
    terms = (known.left, known.limit, known.stop)
    return there and terms == (new.left, new.limit, new.stop)
