"""The orders a venue knows, with those that can still fill at hand: all, or one symbol's."""

from __future__ import annotations

from collections.abc import Iterable, ValuesView

from hybridnb.domain import Order


class Orders:
    """Orders by client id, in the order they came.

    What is open is kept up with every change, so that asking for it costs what it holds, not
    what the venue has ever seen.
    """

    def __init__(self, orders: Iterable[Order] = ()) -> None:
        self._all: dict[str, Order] = {}
        self._open: dict[str, Order] = {}
        self._of: dict[str, dict[str, Order]] = {}
        for order in orders:
            self.put(order)

    def __getitem__(self, client_id: str) -> Order:
        return self._all[client_id]

    def get(self, client_id: str) -> Order | None:
        """An order, open or not."""
        return self._all.get(client_id)

    def values(self) -> ValuesView[Order]:
        """All of them."""
        return self._all.values()

    def put(self, order: Order) -> None:
        """Take an order, or what it is now; it keeps its place."""
        client_id = order.client_id
        old = self._all.get(client_id)
        self._all[client_id] = order
        if old is not None and old.symbol != order.symbol:
            self._index()
        elif not order.state.open:
            if self._open.pop(client_id, None) is not None:
                del self._of[order.symbol][client_id]
        elif old is None or client_id in self._open:
            self._open[client_id] = order
            self._of.setdefault(order.symbol, {})[client_id] = order
        else:  # it works again, in the place it had
            self._index()

    def _index(self) -> None:
        self._open = {name: each for name, each in self._all.items() if each.state.open}
        self._of = {}
        for name, each in self._open.items():
            self._of.setdefault(each.symbol, {})[name] = each

    def is_open(self, client_id: str) -> bool:
        """Whether an order can still fill."""
        return client_id in self._open

    def open(self) -> list[Order]:
        """Those that can still fill, in the order they came."""
        return list(self._open.values())

    def of(self, symbol: str) -> list[Order]:
        """A symbol's that can still fill, in the order they came."""
        return list(self._of.get(symbol, {}).values())
