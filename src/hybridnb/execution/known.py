"""What is known of orders and fills at a broker, from the ledger and from what it tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hybridnb.domain import Fill, Leg, Order, OrderState, Refusal, refusal_names
from hybridnb.execution.lifecycle import Report, advance, report_of, unseen
from hybridnb.execution.reconcile import Difference, leaves

FILLED, PARTLY = OrderState.FILLED, OrderState.PARTIALLY_FILLED
_DUPLICATE = refusal_names(Refusal.DUPLICATE)


class Known:
    """Orders by client id, fills by fill id.

    Attributes
    ----------
    reported : dict
        Units the broker says are filled, where that is more than was booked.
    held_back : dict
        Reports of whole orders whose fills haven't been told yet.
    there : set
        Ids that the broker knows for sure.
    refused : dict
        By symbol the terms of a stop that the venue wouldn't have: units left and price. They
        count until the exit that takes the stop's place is over.
    foreign : tuple of Difference
        Orders and executions of the last statement that aren't ours.
    gone : dict
        By symbol units of a position that aren't at the broker: closed by somebody else, or twice.
    """

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.booked: dict[str, Fill] = {}
        self.reported: dict[str, int] = {}
        self.held_back: dict[str, Order] = {}
        self.there: set[str] = set()
        self.refused: dict[str, tuple[int, int | None]] = {}
        self.foreign: tuple[Difference, ...] = ()
        self.gone: dict[str, int] = {}
        self._costs: list[tuple[Fill, int]] = []

    @property
    def working(self) -> list[Order]:
        """Orders that can still fill, in the order they came."""
        return [order for order in self.orders.values() if order.state.open]

    def working_of(self, symbol: str) -> list[Order]:
        """A symbol's orders that are at work."""
        return [o for o in self.working if o.symbol == symbol]

    def remember(self, orders: Iterable[Order] = (), fills: Iterable[Fill] = ()) -> None:
        """Take over what the ledger knows."""
        for order in orders:
            self._put(order)
        self.booked |= {fill.fill_id: fill for fill in fills}

    def _put(self, order: Order) -> None:
        self.orders[order.client_id] = order
        if order.state in (OrderState.ACCEPTED, PARTLY):
            self.there.add(order.client_id)
        self._forget_refusal(order)

    def _forget_refusal(self, order: Order) -> None:
        """An exit at the market that is over leaves its position to the stop again."""
        if leaves(order) and not order.state.open:
            self.refused.pop(order.symbol, None)

    def would_not(self, order: Order) -> None:
        """The venue refused these terms: units left and price."""
        if order.leg is Leg.STOP:
            self.refused[order.symbol] = (order.left, order.stop)

    def behind(self) -> set[str]:
        """Ids of orders that filled more than we were told fills of."""
        known = self.orders
        return {i for i, units in self.reported.items() if units > known[i].filled}

    def unheard(self, symbol: str, *, but: str = "") -> int:
        """Units of a position that are gone and no fill has told: by closing orders but one."""
        mine = [self.orders[i] for i in self.behind() if i != but]
        return self.gone.get(symbol, 0) + sum(
            self.reported[o.client_id] - o.filled
            for o in mine
            if o.symbol == symbol and o.leg.reduces
        )

    def settle_reports(self) -> None:
        """A statement has told every fill there is: what was said beyond them counts no more."""
        self.reported.clear()
        self.held_back.clear()

    def costs(self) -> list[tuple[Fill, int]]:
        """Booked fills whose commission was told anew, and by how much more; told once."""
        found, self._costs = self._costs, []
        return found

    def fresh(self, fills: Iterable[Fill]) -> list[Fill]:
        """Fills of ours that weren't booked; they are from now on, and their orders advance."""
        mine = [
            replace(f, leg=self.orders[f.client_id].leg)
            for f in fills
            if f.client_id in self.orders
        ]
        found = list(unseen(self.booked, mine))
        for fill in found:
            self.booked[fill.fill_id] = fill
            known = self.orders[fill.client_id]
            filled = known.filled + fill.quantity
            report = Report(fill.client_id, PARTLY, filled, quantity=max(filled, known.quantity))
            if known.state is OrderState.REJECTED or known.state is OrderState.CREATED:
                # It was said never to have worked there, and it traded: the trade is the fact.
                known = replace(known, state=OrderState.SUBMITTED, refusals=())
            self.orders[fill.client_id] = advance(known, report)
            self._forget_refusal(self.orders[fill.client_id])
        for fill in mine:
            self._recost(fill)
        return found

    def _recost(self, fill: Fill) -> None:
        known = self.booked[fill.fill_id]
        if fill.commission != known.commission and fill.commission:
            self.booked[fill.fill_id] = fill
            self._costs.append((fill, fill.commission - known.commission))

    def take(self, answers: Iterable[Order]) -> list[Order]:
        """Orders as the broker tells them, where that is news."""
        changed = []
        for answer in answers:
            known = self.orders.get(answer.client_id)
            if known is None or self._never_was(known, answer):
                continue
            told = self._told(known, answer)
            after = known if told is None else advance(known, report_of(told))
            if after != known:
                self._put(after)
                changed.append(after)
        return changed

    def _never_was(self, known: Order, answer: Order) -> bool:
        """The broker rejected what was withdrawn here before it was heard of: over either way."""
        ended = not known.state.open and not known.filled and known.client_id not in self.there
        return ended and answer.state is OrderState.REJECTED and not answer.filled

    def _told(self, known: Order, answer: Order) -> Order | None:
        """A report without the fills that are yet to be told; None where it must wait for them."""
        self.reported[answer.client_id] = max(self.reported.get(answer.client_id, 0), answer.filled)
        self.held_back.pop(answer.client_id, None)
        if answer.filled > known.filled and answer.state is FILLED:
            self.held_back[answer.client_id] = answer
            return None
        state = answer.state
        if state is PARTLY and not known.filled:
            state = OrderState.ACCEPTED
        return replace(answer, state=state, filled=known.filled)

    def answered(self, answers: Sequence[Order]) -> list[Order]:
        """Answers to new orders; one whose id the broker knows arrived earlier, somehow."""
        return self.take(self._doubted(answer) for answer in answers)

    def _doubted(self, answer: Order) -> Order:
        if answer.state is not OrderState.REJECTED or answer.refusals != _DUPLICATE:
            return answer
        self.there.add(answer.client_id)
        return replace(answer, state=OrderState.UNKNOWN, filled=0, refusals=())

    def adopted(self, sent: Sequence[Order], answers: Sequence[Order]) -> list[Order]:
        """Amended orders as the venue has them now; one it wouldn't amend keeps its old terms.

        One it doesn't answer for is known there, and done, in doubt, or as it was wanted.
        """
        changed = []
        told = {answer.client_id: self._doubted(answer) for answer in answers}
        for order in sent:
            known = self.orders[order.client_id]
            answer = told.get(order.client_id)
            if answer is None:
                self.there.add(order.client_id)
                after = replace(known, state=OrderState.UNKNOWN)
            else:
                after = self._as_amended(known, answer)
                if answer.refusals:
                    self.would_not(order)
            self._put(after)
            changed.append(after)
        return changed

    def _as_amended(self, known: Order, answer: Order) -> Order:
        state = answer.state
        if state is not OrderState.REJECTED:
            heard = self._told(known, answer)
            state = OrderState.ACCEPTED if heard is None else heard.state
        if state is OrderState.ACCEPTED and known.filled:
            state = PARTLY
        return replace(
            known,
            quantity=max(answer.quantity, known.filled),
            limit=answer.limit,
            stop=answer.stop,
            state=state,
            refusals=answer.refusals,
            note=answer.note,
        )
