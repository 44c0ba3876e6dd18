"""The paper venue's account: cash, positions, executions and the ids that are taken.

An account is rebuilt whole from its snapshot, a frozen value of plain parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from hybridnb.costs import Rates, commission
from hybridnb.domain import Fill, Order
from hybridnb.ports import Holding, Statement

DAY = 86_400.0  # seconds that a client id stays taken, and an execution is remembered


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a paper venue knows; `canonical.plain` writes it, pydantic reads it back.

    Attributes
    ----------
    cash : int
        In 1/10,000 of `currency`.
    orders : tuple of Order
        Open ones, and those that ended within a day.
    seen, executed : mapping of str to float
        When a client id was taken and a fill made, seconds of the venue's clock.
    paid, charged : mapping of str to int
        Units whose commission earlier sessions charged, and what this one charged, by client id.
    used : mapping of str to int
        Units traded of each symbol in the bar in progress.
    fees : mapping of str to int
        Commissions that opening the holdings cost.
    realised : int
        Profit and loss realised, net of commissions, since whoever keeps the snapshot set it 0.
    """

    cash: int = 0
    currency: str = ""
    holdings: Mapping[str, Holding] = field(default_factory=dict)
    orders: tuple[Order, ...] = ()
    seen: Mapping[str, float] = field(default_factory=dict)
    fills: tuple[Fill, ...] = ()
    executed: Mapping[str, float] = field(default_factory=dict)
    paid: Mapping[str, int] = field(default_factory=dict)
    charged: Mapping[str, int] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    fees: Mapping[str, int] = field(default_factory=dict)
    realised: int = 0


def recent(times: Mapping[str, float], now: float) -> dict[str, float]:
    """Ids of the last 24 hours."""
    return {name: at for name, at in times.items() if now - at < DAY}


def moved(held: Holding | None, fill: Fill) -> Holding | None:
    """A holding after a fill, None when nothing is left; its price is the average of entries.

    A reduction leaves the average as it is; what goes through zero starts at the fill's price.
    """
    signed = fill.side.sign * fill.quantity
    if held is None:
        return Holding(signed, float(fill.price))
    quantity = held.quantity + signed
    if quantity == 0:
        return None
    if held.quantity * signed > 0:
        return Holding(quantity, (held.price * held.quantity + fill.price * signed) / quantity)
    return Holding(quantity, held.price if held.quantity * quantity > 0 else float(fill.price))


class Account:
    """Cash, holdings, executions and taken ids, changed by fills; money in 1/10,000.

    Parameters
    ----------
    snapshot : Snapshot
    clock : callable
        Seconds.
    working : iterable of Order
        Orders of earlier sessions: what they filled has paid its commission there.
    """

    def __init__(
        self, snapshot: Snapshot, clock: Callable[[], float], working: Iterable[Order]
    ) -> None:
        self._clock, self._currency, self.cash = clock, snapshot.currency, snapshot.cash
        self.holdings: dict[str, Holding] = dict(snapshot.holdings)
        self._fills, self._executed = list(snapshot.fills), dict(snapshot.executed)
        self._seen = {order.client_id: clock() for order in working} | dict(snapshot.seen)
        self._paid = {order.client_id: order.filled for order in working} | dict(snapshot.paid)
        self._charged = dict(snapshot.charged)
        self._fees, self._realised = dict(snapshot.fees), snapshot.realised

    def taken(self, client_id: str) -> bool:
        """Whether an id was used within 24 hours."""
        at = self._seen.get(client_id)
        return at is not None and self._clock() - at < DAY

    def take(self, client_id: str) -> None:
        """From now on the id is used."""
        if not self.taken(client_id):
            self._seen[client_id] = self._clock()

    def charge(self, rates: Rates, order: Order, *, quantity: int, price: int) -> int:
        """Commission of another fill of an order: what its earlier fills were charged counts.

        So partial fills of a session pay one minimum. `price` is times the multiplier.
        """
        charged = self._charged.get(order.client_id, 0)
        units = order.filled + quantity - self._paid.get(order.client_id, 0)
        due = max(0, commission(rates, quantity=units, price=price) - charged)
        self._charged[order.client_id] = charged + due
        return due

    def next_session(self, working: Iterable[Order]) -> None:
        """Orders that go on working pay by the session."""
        self._charged = {}
        self._paid = {order.client_id: order.filled for order in working}

    def book(self, fill: Fill, multiplier: int) -> None:
        """Take a fill into cash and holdings."""
        value = fill.price * fill.quantity * multiplier
        self.cash -= fill.side.sign * value + fill.commission
        self._realise(fill, multiplier)
        left = moved(self.holdings.pop(fill.symbol, None), fill)
        if left is not None:
            self.holdings[fill.symbol] = left
        self._fills.append(fill)
        self._executed[fill.fill_id] = self._clock()

    def _realise(self, fill: Fill, multiplier: int) -> None:
        """What a fill closes is realised, less its share of what opening cost."""
        held = self.holdings.get(fill.symbol, Holding(0, 0.0))
        due, sign = fill.commission, fill.side.sign
        closed = min(fill.quantity, abs(held.quantity)) if held.quantity * sign < 0 else 0
        if closed:
            fees = self._fees.get(fill.symbol, 0) * closed // abs(held.quantity)
            self._fees[fill.symbol] = self._fees.get(fill.symbol, 0) - fees
            gain = round((held.price - fill.price) * closed * multiplier) * sign
            paid = due * closed // fill.quantity
            self._realised, due = self._realised + gain - fees - paid, due - paid
        if closed < fill.quantity:
            self._fees[fill.symbol] = self._fees.get(fill.symbol, 0) + due

    def statement(self, working: Iterable[Order]) -> Statement:
        """The account now, with the executions of the last 24 hours."""
        return Statement(
            orders=tuple(working),
            fills=self._remembered(),
            holdings=dict(self.holdings),
            cash=self.cash,
            currency=self._currency,
            realised=self._realised,
        )

    def _remembered(self) -> tuple[Fill, ...]:
        known = recent(self._executed, self._clock())
        return tuple(fill for fill in self._fills if fill.fill_id in known)

    def snapshot(self, orders: Iterable[Order], used: Mapping[str, int]) -> Snapshot:
        """Everything an account that takes this one's place must know."""
        now = self._clock()
        seen, executed = recent(self._seen, now), recent(self._executed, now)
        left = tuple(o for o in orders if o.state.open or o.client_id in seen)
        ids = {order.client_id for order in left}
        return Snapshot(
            cash=self.cash,
            currency=self._currency,
            holdings=dict(self.holdings),
            orders=left,
            seen=seen,
            fills=self._remembered(),
            executed=executed,
            paid={i: units for i, units in self._paid.items() if i in ids},
            charged={i: due for i, due in self._charged.items() if i in ids},
            used=dict(used),
            fees={symbol: self._fees.get(symbol, 0) for symbol in self.holdings},
            realised=self._realised,
        )
