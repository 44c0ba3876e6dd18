"""A small exchange in memory: orders, trades, positions and cash of one account.

What a stub server of a broker puts behind its wire. Orders rest until `trade` says that the
market traded: nothing moves by itself, so that a test decides what fills and when. Prices, cash
and commissions are integers of 1/10,000, quantities are whole units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

MARKET, LIMIT, STOP, STOP_LIMIT = "MARKET", "LIMIT", "STOP", "STOP_LIMIT"
BUY, SELL = "BUY", "SELL"
WORKING, FILLED, CANCELLED, REJECTED = "working", "filled", "cancelled", "rejected"
# What can go wrong with the next order; a server decides what each looks like on its wire.
FAULTS = frozenset(
    {"reject", "timeout", "lost", "duplicate", "late", "disconnect", "disconnect_before"}
)

Commission = Callable[[int, int], int]


def per_share(quantity: int, price: int) -> int:
    """0.01 a unit, at least 1.00 an order, in 1/10,000; the price doesn't matter."""
    del price
    return max(100 * quantity, 10_000)


@dataclass(slots=True)
class Resting:
    """An order as the exchange keeps it; `fault` is what it suffers, `owner` who placed it."""

    order_id: int
    client_id: str
    symbol: str
    side: str
    quantity: int
    type: str
    limit: int | None = None
    stop: int | None = None
    filled: int = 0
    state: str = WORKING
    triggered: bool = False
    charged: int = 0
    fault: str = ""
    words: str = ""
    owner: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Units that can still fill."""
        return self.quantity - self.filled

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self.side == BUY else -1

    def meets(self, price: int) -> bool:
        """Whether the order trades at this price; a stop that is touched stays triggered."""
        if self.stop is not None and (price - self.stop) * self.sign >= 0:
            self.triggered = True
        if self.stop is not None and not self.triggered:
            return False
        return self.limit is None or (self.limit - price) * self.sign >= 0


@dataclass(frozen=True, slots=True)
class Execution:
    """Units that traded: `number` counts the exchange's executions from 1."""

    number: int
    order_id: int
    client_id: str
    symbol: str
    side: str
    quantity: int
    price: int
    commission: int
    cumulative: int


@dataclass(slots=True)
class Held:
    """A position: signed units, what they cost and the commissions of opening, in 1/10,000."""

    quantity: int = 0
    cost: float = 0.0
    fees: float = 0.0

    @property
    def average(self) -> float:
        """Average price of a unit in 1/10,000, 0 where nothing is held."""
        return self.cost / self.quantity if self.quantity else 0.0


class Exchange:
    """One account at an exchange.

    Parameters
    ----------
    cash : int
        In 1/10,000 of `currency`.
    currency : str
    commission : callable
        (units of the order filled so far, price) to what the order owes in all, in 1/10,000;
        an execution is charged what wasn't charged before.
    """

    def __init__(
        self, cash: int = 1_000_000_0000, currency: str = "USD", commission: Commission = per_share
    ) -> None:
        self.cash = cash
        self.currency = currency
        self.orders: dict[int, Resting] = {}
        self.executions: list[Execution] = []
        self.holdings: dict[str, Held] = {}
        self.faults: list[str] = []
        self._commission = commission

    @property
    def working(self) -> list[Resting]:
        """Orders that can still fill, in the order they came."""
        return [order for order in self.orders.values() if order.state == WORKING]

    def find(self, client_id: str) -> Resting | None:
        """The latest order with this client id."""
        same = [order for order in self.orders.values() if order.client_id == client_id]
        return same[-1] if same else None

    def fault(self, name: str) -> None:
        """Let the next order suffer.

        Raises
        ------
        ValueError
            For a name that isn't in `FAULTS`.
        """
        if name not in FAULTS:
            raise ValueError(f"{name!r} is none of {', '.join(sorted(FAULTS))}")
        self.faults.append(name)

    def place(
        self,
        client_id: str,
        *,
        symbol: str,
        side: str,
        quantity: int,
        type: str,
        limit: int | None = None,
        stop: int | None = None,
        owner: dict[str, Any] | None = None,
    ) -> Resting:
        """Book a new order; the fault that waits, if any, is taken by it.

        The exchange itself doesn't refuse a client id that it knows: that is the server's rule,
        or none, as at venues that leave it to the client.
        """
        fault = self.faults.pop(0) if self.faults else ""
        order = Resting(
            order_id=len(self.orders) + 1,
            client_id=client_id,
            symbol=symbol,
            side=side,
            quantity=quantity,
            type=type,
            limit=limit,
            stop=stop,
            fault=fault,
            owner=owner or {},
        )
        if fault == "reject":
            order.state, order.words = REJECTED, "Order rejected - reason: the venue says no"
        self.orders[order.order_id] = order
        return order

    def amend(
        self, order_id: int, *, quantity: int, limit: int | None = None, stop: int | None = None
    ) -> Resting | None:
        """Set the total quantity and the prices of a working order; None where it isn't working.

        One whose new total is filled already is done.
        """
        order = self.orders.get(order_id)
        if order is None or order.state != WORKING:
            return None
        order.quantity = max(quantity, order.filled)
        if order.stop != stop:
            order.triggered = False
        order.limit, order.stop = limit, stop
        if not order.left:
            order.state = FILLED
        return order

    def cancel(self, order_id: int) -> Resting | None:
        """Withdraw a working order; None where it isn't working."""
        order = self.orders.get(order_id)
        if order is None or order.state != WORKING:
            return None
        order.state = CANCELLED
        return order

    def trade(self, symbol: str, price: int, quantity: int) -> list[Execution]:
        """The market trades: working orders that meet the price fill, first come first served.

        Parameters
        ----------
        symbol : str
        price : int
            Every execution is at this price, in 1/10,000.
        quantity : int
            Units that trade with our orders at most.
        """
        done = []
        for order in self.working:
            if order.symbol != symbol or not order.meets(price):
                continue
            units = min(order.left, quantity)
            if units > 0:
                quantity -= units
                done.append(self._execute(order, price, units))
        return done

    def hold(self, symbol: str, quantity: int, price: int = 0) -> None:
        """Put units into the account that no order bought; cash stays as it is."""
        self._move(symbol, quantity, price)

    def _execute(self, order: Resting, price: int, units: int) -> Execution:
        order.filled += units
        due = self._commission(order.filled, price)
        charge, order.charged = due - order.charged, due
        if not order.left:
            order.state = FILLED
        self.cash -= order.sign * units * price + charge
        self._move(order.symbol, order.sign * units, price, fees=charge)
        execution = Execution(
            number=len(self.executions) + 1,
            order_id=order.order_id,
            client_id=order.client_id,
            symbol=order.symbol,
            side=order.side,
            quantity=units,
            price=price,
            commission=charge,
            cumulative=order.filled,
        )
        self.executions.append(execution)
        return execution

    def _move(self, symbol: str, units: int, price: int, *, fees: int = 0) -> None:
        held = self.holdings.setdefault(symbol, Held())
        if held.quantity * units >= 0:
            held.cost, held.fees = held.cost + units * price, held.fees + fees
        elif abs(units) <= abs(held.quantity):
            # What is left keeps the average it was bought at.
            share = 1 + units / held.quantity
            held.cost, held.fees = held.cost * share, held.fees * share
        else:
            held.cost, held.fees = float((held.quantity + units) * price), float(fees)
        held.quantity += units
        if not held.quantity:
            del self.holdings[symbol]

    def dump(self) -> dict[str, Any]:
        """Everything the exchange knows, as values that JSON has."""
        return {
            "cash": self.cash,
            "currency": self.currency,
            "orders": [asdict(order) for order in self.orders.values()],
            "executions": [asdict(execution) for execution in self.executions],
            "holdings": {symbol: asdict(held) for symbol, held in self.holdings.items()},
            "faults": list(self.faults),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `dump` gave."""
        self.cash, self.currency = state["cash"], state["currency"]
        self.orders = {row["order_id"]: Resting(**row) for row in state["orders"]}
        self.executions = [Execution(**row) for row in state["executions"]]
        self.holdings = {symbol: Held(**row) for symbol, row in state["holdings"].items()}
        self.faults = list(state["faults"])
