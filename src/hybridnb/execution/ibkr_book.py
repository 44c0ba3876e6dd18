"""What the gateway has told of orders and executions, as orders and fills of ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ib_async import Fill as Execution
from ib_async import OrderStatus, Trade

from hybridnb.domain import Fill, Order, OrderState
from hybridnb.execution.ibkr_line import Line
from hybridnb.execution.ibkr_rows import (
    WAITING,
    Contracts,
    acknowledged,
    client_id_of,
    fill_of,
    order_of,
    revisions,
    shares_of,
)
from hybridnb.ports import Events

NOTHING = (0, "")


class Book:
    """Views over the library's trades and executions, and what the caller was told of them.

    Parameters
    ----------
    line : Line
    contracts : Contracts
    known : iterable of Order
        Orders the ledger knows: they give back leg and decision after a restart.
    """

    def __init__(self, line: Line, contracts: Contracts, known: Iterable[Order]) -> None:
        self._line = line
        self._contracts = contracts
        self.known = {order.client_id: order for order in known}
        self.told: dict[str, Order] = {}
        self._told_fills: set[str] = set()
        self._void: dict[int, Trade] = {}
        self._account = ""

    def trades(self) -> dict[str, Trade]:
        """The gateway's orders by our id; the last with an id, and a live one before any other."""
        found: dict[str, Trade] = {}
        for trade in self._line.ib.trades():
            if id(trade) in self._void and not acknowledged(trade):
                continue
            if trade.order.account not in ("", self._account):
                continue
            client_id = client_id_of(trade.order.orderRef, trade.order.permId)
            if client_id not in found or found[client_id].isDone() or not trade.isDone():
                found[client_id] = trade
        return found

    def forget(self, client_id: str, trade: Trade | None) -> None:
        """Let go of an order that was sent and never arrived."""
        if trade is not None:
            self._void[id(trade)] = trade
        self.told.pop(client_id, None)

    def executions(self) -> tuple[dict[str, Execution], set[str]]:
        """Executions by id, the latest revision of each; ids that were corrected."""
        fills = self._line.ib.fills()
        return revisions(f for f in fills if f.execution.acctNumber == self._account)

    def views(self) -> dict[str, Order]:
        """Every order that the gateway knows, or knew when it was last asked, as it stands."""
        latest, corrected = self.executions()
        filled: dict[str, int] = {}
        notes: dict[str, str] = {}
        for base, there in latest.items():
            execution = there.execution
            client_id = client_id_of(execution.orderRef, execution.permId)
            filled[client_id] = filled.get(client_id, 0) + shares_of(there)
            if base in corrected:
                notes[client_id] = f"execution {base} was corrected"
        views = {}
        for client_id, trade in self.trades().items():
            views[client_id] = order_of(
                trade,
                self.told.get(client_id, self.known.get(client_id)),
                filled=filled.get(client_id, 0),
                symbol=self._contracts.symbol_of(trade.contract),
                said=self.said(trade),
                note=notes.get(client_id, ""),
            )
        for client_id, order in self.told.items():
            if client_id not in views and order.state.open:
                views[client_id] = _gone(order, filled.get(client_id, 0))
        return views

    def said(self, trade: Trade) -> tuple[int, str]:
        """Code and words of the last error about an order."""
        ours = trade.order.clientId == self._line.settings.client_id
        return self._line.said.get(trade.order.orderId, NOTHING) if ours else NOTHING

    def answered(self, trade: Trade) -> bool:
        """Whether the gateway has said what becomes of a new order."""
        waiting = trade.orderStatus.status in WAITING
        return not waiting or bool(self.said(trade)[0])

    def fills(self) -> list[Fill]:
        """Every execution that the gateway remembers, in the order of their times."""
        fills = []
        for base, there in self.executions()[0].items():
            execution = there.execution
            client_id = client_id_of(execution.orderRef, execution.permId)
            ours = self.known.get(client_id)
            symbol = self._contracts.symbol_of(there.contract)
            if shares_of(there):
                fills.append(fill_of(base, there, ours.leg if ours else None, symbol))
        return sorted(fills, key=lambda fill: fill.at)

    def seen(self) -> set[str]:
        """Ids of orders that exist, were done today, or may be on their way."""
        views = self.told | self.views()
        executed = {e.execution.orderRef for e in self._line.ib.fills()}
        return executed | {i for i, o in views.items() if o.state is not OrderState.REJECTED}

    def priced(self) -> bool:
        """Whether the commission of every fill that wasn't told yet has come."""
        latest, _ = self.executions()
        return all(
            there.commissionReport.execId or base in self._told_fills or not _ours(there)
            for base, there in latest.items()
        )

    def begin(self, account: str) -> None:
        """Take what there is for told: what happened before us is in the statement."""
        self._account = account
        self.told = self.views()
        self._told_fills = set(self.executions()[0])

    async def resolve(self, there: Sequence[Trade]) -> None:
        """Orders in doubt are open, were done today, or never arrived."""
        views, trades = self.views(), self.trades()
        doubtful = [i for i, order in views.items() if order.state is OrderState.UNKNOWN]
        doubtful = [i for i in doubtful if not any(trades.get(i) is trade for trade in there)]
        if not doubtful:
            return
        completed = await self._line.ask(lambda: self._line.ib.reqCompletedOrdersAsync(False))
        done = {trade.order.orderRef: trade.orderStatus.status for trade in completed}
        for client_id in doubtful:
            trade = trades.get(client_id)
            if client_id not in done and (trade is None or not acknowledged(trade)):
                self.forget(client_id, trade)
            elif trade is not None:
                trade.orderStatus.status = done.get(client_id, OrderStatus.Cancelled)

    def active(self) -> set[str]:
        """Symbols that are held or have an order at work."""
        held = (p.contract for p in self._line.ib.positions(self._account) if p.position)
        working = {order.symbol for order in self.views().values() if order.state.open}
        return working | {self._contracts.symbol_of(contract) for contract in held}

    def events(self) -> Events:
        """What changed since the caller was told last; of others' orders the fills alone."""
        views = self.views()
        mine = {i: o for i, o in views.items() if not i.startswith("perm-")}
        changed = tuple(o for i, o in mine.items() if self.told.get(i) != o)
        fills = tuple(fill for fill in self.fills() if fill.fill_id not in self._told_fills)
        self.told |= mine
        self._told_fills |= {fill.fill_id for fill in fills}
        return Events(orders=changed, fills=fills)


def live(trade: Trade) -> bool:
    """Whether the order can still fill."""
    return trade.orderStatus.status not in OrderStatus.DoneStates


def _ours(there: Execution) -> bool:
    return bool(there.execution.orderRef)


def _gone(order: Order, filled: int) -> Order:
    """An order that was open before the connection broke and isn't among open or done ones."""
    filled = max(filled, order.filled)
    if order.state is OrderState.UNKNOWN and not filled:
        return order
    if filled >= order.quantity:
        return replace(order, state=OrderState.FILLED, filled=order.quantity)
    note = "the gateway no longer knows the order"
    return replace(order, state=OrderState.EXPIRED, filled=filled, note=note)


def as_was(order: Order, refused: Order) -> Order:
    """The order as it stands, with why what was asked of it was refused."""
    return replace(order, refusals=refused.refusals, note=refused.note)
