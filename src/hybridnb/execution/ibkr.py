"""The broker `ibkr`: stocks at TSX, TSXV and in the United States through IB Gateway or TWS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ib_async import Order as Wire
from ib_async import Trade

from hybridnb.domain import Instrument, Order, OrderState, Refusal
from hybridnb.errors import ParamsError
from hybridnb.execution.ibkr_account import cash_of, holdings_of
from hybridnb.execution.ibkr_book import Book, as_was, live
from hybridnb.execution.ibkr_line import IbkrSettings, Line
from hybridnb.execution.ibkr_quotes import Quotes
from hybridnb.execution.ibkr_rows import (
    contracts_of,
    rejected,
    same_terms,
    stock_of,
    wire_of,
    wrong_with,
)
from hybridnb.ports import Events, Statement

__all__ = ["IbkrBroker", "IbkrSettings"]


class IbkrBroker:
    """Orders, fills and the account of one login at IB; see `ports.Broker`.

    Our client id travels as the order's reference and comes back with every order and execution.
    IB itself doesn't refuse one that it has seen: that is done here, from its open orders, what
    was completed today, and today's executions. Only the API client that placed an order can
    change or cancel it, so `client_id` of the settings must stay the same. One unit is one share.

    Parameters
    ----------
    settings : IbkrSettings
    instruments : mapping of str to Instrument
        What may be traded: `.TO` is the TSX, `.V` the TSXV, any other name is routed by SMART.
    known : iterable of Order
        Orders the ledger knows: they give back leg and decision after a restart.

    Raises
    ------
    ParamsError
        For an account that the login doesn't have, or two symbols that are one contract.
    BrokerDown
        No connection, or the client id is in use.
    """

    name = "ibkr"

    def __init__(
        self,
        settings: IbkrSettings,
        *,
        instruments: Mapping[str, Instrument],
        known: Iterable[Order] = (),
    ) -> None:
        self._contracts = contracts_of(instruments)
        self._line = Line(settings)
        self._book = Book(self._line, self._contracts, known)
        self._quotes = Quotes(self._line, self._contracts, self._book)
        try:
            self._account, self._currency = self._line.call(self._begin)
        except BaseException:
            self._line.close()
            raise

    @property
    def account(self) -> str:
        """The account that orders go to."""
        return self._account

    async def _begin(self) -> tuple[str, str]:
        accounts = self._line.ib.managedAccounts()
        wanted = self._line.settings.account
        if wanted not in accounts and (wanted or len(accounts) != 1):
            raise ParamsError("account", wanted, f"allowed: {', '.join(accounts)}")
        account = wanted or accounts[0]
        _, currency = cash_of(self._line.ib.accountValues(account), account)
        self._book.begin(account)
        return account, currency

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        """Send new orders; a client id known to the gateway is refused as a duplicate."""
        return self._line.call(lambda: self._submit(orders))

    async def _submit(self, orders: Sequence[Order]) -> list[Order]:
        answers: list[Order] = []
        sent: dict[int, Trade] = {}
        seen = self._book.seen()
        for order in orders:
            refused = self._refused(order, seen)
            if refused is None:
                seen.add(order.client_id)
                self._book.known[order.client_id] = order
                wire = wire_of(order, total=order.quantity, account=self._account)
                sent[len(answers)] = self._place(order, wire)
            answers.append(refused or order)
        book, trades = self._book, list(sent.values())
        await self._line.until(lambda: all(book.answered(trade) for trade in trades))
        if any(book.said(trade)[0] or not live(trade) for trade in trades):
            await self._line.catch_up()  # why it was rejected may come after that it was
        views = book.views()
        for index in sent:
            answers[index] = self._accepted(answers[index], views[answers[index].client_id])
        return answers

    def _refused(self, order: Order, seen: set[str]) -> Order | None:
        instrument = self._contracts.instruments.get(order.symbol)
        wrong = wrong_with(order, instrument)
        if wrong or instrument is None:
            return rejected(order, Refusal.INVALID, wrong)
        if instrument.currency != self._currency:
            return rejected(order, Refusal.CURRENCY)
        return rejected(order, Refusal.DUPLICATE) if order.client_id in seen else None

    def _place(self, order: Order, wire: Wire) -> Trade:
        return self._line.place(stock_of(self._contracts.instruments[order.symbol]), wire)

    def _accepted(self, order: Order, view: Order) -> Order:
        """The answer to a new order; what it filled meanwhile is told by `poll`."""
        if view.state is OrderState.UNKNOWN:
            note = f"no answer within {self._line.settings.timeout_s:g} s"
            answer = replace(order, state=OrderState.UNKNOWN, note=note)
        elif view.state.open or view.filled:
            state = view.state if view.state is OrderState.SUBMITTED else OrderState.ACCEPTED
            answer = replace(order, state=state)
        else:
            answer = replace(order, state=view.state, refusals=view.refusals, note=view.note)
        self._book.told[order.client_id] = replace(
            view, state=answer.state, filled=0, note=view.note
        )
        return answer

    def amend(self, orders: Sequence[Order]) -> list[Order]:
        """Send new terms under the order's number; the total is what filled and what is left.

        One that is done, or in doubt, is passed over.
        """
        return self._line.call(lambda: self._amend(orders))

    async def _amend(self, orders: Sequence[Order]) -> list[Order]:
        views, trades = self._book.views(), self._book.trades()
        refused_once = [i for i, view in views.items() if view.state is OrderState.REJECTED]
        new = [o for o in orders if o.client_id not in views or o.client_id in refused_once]
        answers = []
        sent: list[tuple[Order, Trade, Wire]] = []
        for order in (o for o in orders if o.client_id in views):
            view, trade = views[order.client_id], trades.get(order.client_id)
            terms = (view.left, view.limit, view.stop)
            if trade is None or view.state is OrderState.UNKNOWN or not view.state.open:
                continue
            if terms == (order.quantity, order.limit, order.stop):
                continue
            wrong = wrong_with(order, self._contracts.instruments.get(order.symbol))
            refused = rejected(order, Refusal.INVALID, wrong) if wrong else None
            refused = refused or self._foreign(order, trade)
            if refused is not None:
                # A working order stays what it is when what was asked of it can't be done.
                answers.append(as_was(view, refused))
                continue
            wire = wire_of(
                replace(order, side=view.side),
                total=view.filled + order.quantity,
                account=self._account,
                order_id=trade.order.orderId,
            )
            self._line.said.pop(trade.order.orderId, None)
            sent.append((order, self._place(order, wire), wire))
        answers += await self._amended(sent)
        return answers + (await self._submit(new) if new else [])

    def _foreign(self, order: Order, trade: Trade) -> Order | None:
        owner = trade.order.clientId
        if owner == self._line.settings.client_id and trade.order.orderId > 0:
            return None
        return rejected(order, Refusal.VENUE, f"the order belongs to API client {owner}")

    async def _amended(self, sent: Sequence[tuple[Order, Trade, Wire]]) -> list[Order]:
        book = self._book
        await self._line.until(
            lambda: all(
                same_terms(t, wire) or book.said(t)[0] or not live(t) for _, t, wire in sent
            )
        )
        if any(book.said(trade)[0] for _, trade, _ in sent):
            # The library takes an order whose change failed for gone: hear what is open.
            await self._line.open_trades()
        views, answers = book.views(), []
        for order, trade, wire in sent:
            view = views[order.client_id]
            code, words = book.said(trade)
            self._line.said.pop(trade.order.orderId, None)  # it isn't about the order's end
            book.told[order.client_id] = view
            if same_terms(trade, wire) or not view.state.open:
                answers.append(view)
            elif code:
                answers.append(as_was(view, rejected(order, Refusal.VENUE, f"{code}: {words}")))
            else:
                note = f"no answer within {self._line.settings.timeout_s:g} s"
                answers.append(replace(view, state=OrderState.UNKNOWN, note=note))
        return answers

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        """Withdraw working orders, in one go; an order of another API client stays, and says so.

        IB's global cancel is no way to do it: it takes other clients' and people's orders too.
        """
        wanted = list(dict.fromkeys(client_ids))
        return self._line.call(lambda: self._cancel(wanted))

    async def _cancel(self, wanted: Sequence[str]) -> list[Order]:
        book, trades, before = self._book, self._book.trades(), self._book.views()
        mine = {i: trades[i] for i in wanted if i in trades and live(trades[i])}
        refused = {i: r for i, t in mine.items() if (r := self._foreign(before[i], t))}
        sent = [trade for i, trade in mine.items() if i not in refused]
        for trade in sent:
            self._line.said.pop(trade.order.orderId, None)
            self._line.ib.cancelOrder(trade.order)
        await self._line.until(lambda: all(not live(t) or book.said(t)[0] for t in sent))
        if any(book.said(trade)[0] not in (0, 202) for trade in sent):
            # The library takes an order that can't be cancelled for gone, also when it is filled.
            await self._line.open_trades()
            await self._line.executions()
        views = book.views()
        changed = [views[i] for i in mine if i not in refused and views[i] != book.told.get(i)]
        book.told |= {order.client_id: order for order in changed}
        return changed + [as_was(views[i], why) for i, why in refused.items()]

    def poll(self) -> Events:
        """Orders that changed and new fills; each execution counts once, whatever its revision."""
        return self._line.call(self._poll)

    async def _poll(self) -> Events:
        # A commission comes after its execution. One that doesn't come in time is told as 0 here;
        # the statement has it when it is there.
        await self._line.until(self._book.priced)
        return self._book.events()

    def statement(self) -> Statement:
        """The account now. What was sent, not answered and isn't there never was."""
        return self._line.call(self._statement)

    async def _statement(self) -> Statement:
        line, book = self._line, self._book
        for _ in range(3):  # until nothing traded while we were reading
            count = len(line.ib.fills())
            there = await line.open_trades()
            await line.executions()
            positions = await line.positions(self._account)
            if len(line.ib.fills()) == count:
                break
        await book.resolve(there)
        views, trades = book.views(), book.trades()
        fills = book.fills()
        cash, currency = cash_of(line.ib.accountValues(self._account), self._account)
        orders = tuple(
            view
            for client_id, view in views.items()
            if view.state.open and any(trades.get(client_id) is trade for trade in there)
        )
        return Statement(
            orders=orders,
            fills=tuple(fills),
            holdings=holdings_of(positions, fills, self._contracts),
            cash=cash,
            currency=currency,
        )

    def watch(self, symbols: Iterable[str]) -> None:
        """Have prices of these symbols too, of what is about to be entered; see `Quotes`."""
        self._line.call(lambda: self._quotes.watch(symbols))

    def prices(self) -> dict[str, int]:
        """Last prices by symbol, in 1/10,000, of what is held, at work or watched; see `Quotes`.

        A symbol without market data is left out; `unpriced` says why.
        """
        return self._line.call(self._quotes.prices)

    def unpriced(self) -> dict[str, str]:
        """Symbols that matter and have no price, each with the reason."""
        return self._line.call(self._quotes.missing)

    def quoted(self) -> float | None:
        """When market data last told anything, prices that stayed the same included."""
        return self._line.call(self._quotes.heard)

    def close(self) -> None:
        """Let go of the connection; working orders stay."""
        self._line.close()
