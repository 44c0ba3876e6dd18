"""What a session has to close at the market, whoever decided anything else, until it is flat."""

from __future__ import annotations

from hybridnb.app.state import State
from hybridnb.domain import Leg, Order
from hybridnb.execution.orders import another


class Owing:
    """Positions that a kill switch, or a flattening of an earlier session, has to close.

    A venue may fill an order in part and cancel the rest: what was asked for is asked for again.
    A switch that was latched wanted all that is held flat, and the opening that clears the latch
    doesn't change that, nor does a session in which the venue let nothing go. An order to flatten
    that is still at work tells the same of its symbol.

    Parameters
    ----------
    state : State
        As the last session left it.
    """

    def __init__(self, state: State) -> None:
        left = {order.symbol for order in state.working if order.leg is Leg.FLATTEN}
        self._symbols = set(state.book.positions) if state.risk.killed else left | {*state.owed}
        self._tries: dict[str, int] = {}  # by decision

    def of(self, state: State) -> set[str]:
        """Symbols to close, as the book is now: with the switch latched all that is held."""
        held = set(state.book.positions)
        return held if state.risk.killed else held & self._symbols

    def excuse(self, symbol: str) -> None:
        """An operator withdrew the exits of a symbol, empty for all: so they stay."""
        self._symbols -= {symbol} if symbol else set(self._symbols)

    def named(self, order: Order) -> Order:
        """An order under an id that none of this session had before it."""
        tries = self._tries[order.decision_id] = self._tries.get(order.decision_id, 0) + 1
        return another(order, tries)
