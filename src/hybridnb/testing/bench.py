"""A bench for brokers: an adapter, a hand on its venue, and what the cases of the suite share."""

from __future__ import annotations

from typing import Any, Protocol

from hybridnb.domain import Fill, Leg, Order, OrderState, OrderType, Side
from hybridnb.ports import Broker

# Faults a bench can inject into the next submit; it names those its venue can have.
FAULTS = ("reject", "timeout", "duplicate", "late", "disconnect")


class Bench(Protocol):
    """An adapter and a hand on its venue. Prices in 1/10,000, `symbol` is tradable there."""

    broker: Broker
    symbol: str
    lot: int
    tick: int
    price: int
    faults: frozenset[str]

    def trade(self, price: int, quantity: int) -> None:
        """Let the market trade at a price, at most `quantity` units of it with our orders."""

    def fault(self, name: str) -> None:
        """Let the adapter's next submit suffer: rejected, answered never, told twice (its fill's
        message), filled although a cancel was confirmed first, cut off in mid-order.
        """

    def restart(self) -> Broker:
        """Throw the adapter away as a crash would; a new one against the same venue."""

    def hold(self, quantity: int) -> None:
        """Put a position into the account that no order of ours made."""


def order(bench: Bench, n: int, *, side: Side = Side.BUY, lots: int = 10, **prices: Any) -> Order:
    """A new order number n; with a price it is a limit, a stop or a stop-limit order."""
    kind = {
        (False, False): OrderType.MARKET,
        (True, False): OrderType.LIMIT,
        (False, True): OrderType.STOP,
        (True, True): OrderType.STOP_LIMIT,
    }["limit" in prices, "stop" in prices]
    leg = Leg.STOP if "stop" in prices else Leg.ENTRY if side is Side.BUY else Leg.TARGET
    return Order(
        client_id=f"conformance-{n:04d}",
        symbol=bench.symbol,
        side=side,
        quantity=lots * bench.lot,
        type=kind,
        leg=leg,
        state=OrderState.CREATED,
        decision_id="conformance",
        **prices,
    )


def settle(bench: Bench, rounds: int = 50) -> tuple[dict[str, Order], list[Fill]]:
    """Poll until nothing more comes: the last word on each order, and every fill."""
    orders: dict[str, Order] = {}
    fills: list[Fill] = []
    quiet = 0
    for _ in range(rounds):
        events = bench.broker.poll()
        orders |= {o.client_id: o for o in events.orders}
        fills += events.fills
        quiet = 0 if events.orders or events.fills else quiet + 1
        if quiet == 3:
            break
    return orders, fills


def held(bench: Bench) -> int:
    holding = bench.broker.statement().holdings.get(bench.symbol)
    return holding.quantity if holding else 0


def buy(bench: Bench) -> None:
    bench.broker.submit([order(bench, 1)])
    bench.trade(bench.price, 100 * bench.lot)
    assert sum(f.quantity for f in settle(bench)[1]) == 10 * bench.lot
