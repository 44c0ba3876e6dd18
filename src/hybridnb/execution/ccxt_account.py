"""What is known of an account at a crypto exchange: its orders, its trades, its coins."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from hybridnb.domain import Fill, Order
from hybridnb.errors import BrokerDown, ParamsError
from hybridnb.execution.ccxt_deals import Deals, rows_of, sure
from hybridnb.execution.ccxt_rows import (
    Tracked,
    blank,
    body,
    fills_of,
    learn,
    name_of,
    unwire,
    view,
)
from hybridnb.execution.ccxt_wire import (
    ARCHIVED,
    NO_ORDER,
    CcxtSettings,
    Denied,
    Line,
    Market,
    Unanswered,
    market_of,
    number,
    text,
    whole,
)


class Account:
    """The adapter's memory; it survives nothing, everything in it is asked for again."""

    def __init__(self, line: Line, settings: CcxtSettings, known: Iterable[Order]) -> None:
        self._line = line
        self._known = {body(order.client_id): order for order in known}
        self.markets = self._load(settings)
        self.tracked: dict[str, Tracked] = {}
        self._owner: dict[tuple[str, int], str] = {}
        self.deals = Deals(line, self.markets, settings.quote)
        for market in self.markets.values():
            self.deals.read_recent(market)
        # What was traded before we came is the statement's to tell, not news.
        self._base = {m.id: max(self.deals.by_id[s], default=0) for s, m in self.markets.items()}
        self._told: set[str] = set()
        self.deals.fresh.clear()

    def _load(self, settings: CcxtSettings) -> dict[str, Market]:
        ids = {symbol: symbol.replace("/", "") for symbol in sorted(settings.unit)}
        names = json.dumps(list(ids.values()), separators=(",", ":"))
        try:
            answer = sure(self._line.call, "publicGetExchangeInfo", symbols=names)
        except Denied as denied:
            allowed = f"the exchange says: {denied.words}"
            raise ParamsError("unit", sorted(settings.unit), allowed) from None
        rows = {row.get("symbol"): row for row in answer.get("symbols", [])}
        markets = {}
        for symbol, name in ids.items():
            row = rows.get(name)
            if row is None or row.get("quoteAsset") != settings.quote:
                allowed = f"allowed: spot symbols of the exchange quoted in {settings.quote}"
                raise ParamsError("unit", symbol, allowed)
            markets[symbol] = sure(market_of, symbol, settings.unit[symbol], row)
        return markets

    def learn(self, market: Market, row: Any) -> Tracked:
        """Take in an order's row, of whatever reply; `Unanswered` where it isn't understood."""
        if not isinstance(row, dict):
            raise Unanswered("the exchange's answer holds no order")
        name = name_of(row)
        ours = unwire(name)
        stem = ours[0] if ours else name
        tracked = self.tracked.get(stem)
        if tracked is None:
            tracked = blank(row, market, self._known)
        learn(tracked, row, market)
        self.tracked[stem] = tracked
        self._owner[(market.symbol, whole(row, "orderId"))] = stem
        return tracked

    def ask(self, market: Market, name: str) -> dict[str, Any] | None:
        """The newest order with this id on the wire; None where the exchange has none."""
        return self._order(market, origClientOrderId=name)

    def _order(self, market: Market, **which: Any) -> dict[str, Any] | None:
        try:
            row = sure(self._line.call, "privateGetOrder", symbol=market.id, **which)
        except Denied as denied:
            if denied.code in (NO_ORDER, ARCHIVED):
                return None
            raise BrokerDown(f"the exchange refuses to tell an order: {denied.words}") from denied
        return dict(row)

    def on(self, market: Market) -> list[Tracked]:
        """The orders on a symbol, in the order they were met."""
        return [t for t in self.tracked.values() if t.order.symbol == market.symbol]

    def open_orders(self, market: Market) -> list[Tracked]:
        """The exchange's open orders on a symbol, others' included, in the order they came."""
        rows = rows_of(self._line, "privateGetOpenOrders", symbol=market.id)
        rows.sort(key=lambda row: sure(whole, row, "orderId"))
        found = [sure(self.learn, market, row) for row in rows]
        for tracked in found:
            if not tracked.foreign:
                self._complete(tracked, market)
        return list({t.stem: t for t in found}.values())

    def _complete(self, tracked: Tracked, market: Market) -> None:
        """Earlier revisions of an order met anew: what they filled counts."""
        for revision in range(tracked.revision):
            if revision not in tracked.seen:
                row = self.ask(market, tracked.name(revision))
                if row is None:
                    tracked.seen[revision] = -1
                else:
                    sure(self.learn, market, row)

    def find(self, market: Market, stem: str) -> Tracked | None:
        """An order by its body: from memory, or from the exchange, open or not."""
        if stem not in self.tracked:
            self.open_orders(market)
        if stem not in self.tracked:
            row = self.ask(market, f"{stem}:0")
            if row is not None:
                found = sure(self.learn, market, row)
                found.told = self.view(found)
        return self.tracked.get(stem)

    def refresh(self, tracked: Tracked) -> None:
        """Ask how an order stands; a replacement that is void and left no trace never was.

        A new order that left none stays in flight: the statement tells.
        """
        market = self.markets[tracked.order.symbol]
        for revision in dict.fromkeys((tracked.sent, tracked.revision)):
            if revision < 0 or tracked.seen.get(revision) == -1:
                continue
            row = self.ask(market, tracked.name(revision))
            if row is not None:
                sure(self.learn, market, row)
                break
        if tracked.doubt and tracked.row is not None and self.void(tracked):
            tracked.seen[tracked.sent], tracked.doubt = -1, False

    def void(self, tracked: Tracked) -> bool:
        """Whether what was sent last, and isn't there, can't be taken any more."""
        return tracked.doubt and self._line.now >= tracked.at + self._line.window

    def view(self, tracked: Tracked) -> Order:
        """An order as it stands, with a note on fees that couldn't be counted."""
        market = self.markets[tracked.order.symbol]
        unpaid = {self.deals.unpaid.get((market.symbol, n), "") for n in tracked.done} - {""}
        note = "; ".join(f"fee in {asset} not counted: no rate" for asset in sorted(unpaid))
        return view(tracked, market, note=note)

    def last_price(self, market: Market) -> Decimal:
        """The market's last price in quote currency a coin."""
        try:
            row = sure(self._line.call, "publicGetTickerPrice", symbol=market.id)
        except Denied as denied:
            raise BrokerDown(f"the exchange refuses to tell a price: {denied.words}") from denied
        return Decimal(sure(number, row, "price"))

    def balances(self) -> dict[str, Decimal]:
        """Coins and quote currency in the account, locked ones included."""
        try:
            answer = sure(self._line.call, "privateGetAccount", omitZeroBalances="true")
        except Denied as denied:
            raise BrokerDown(f"the exchange refuses the account: {denied.words}") from denied
        rows = answer.get("balances") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise BrokerDown("the exchange's answer holds no balances")
        return {
            sure(text, row, "asset"): sure(number, row, "free") + sure(number, row, "locked")
            for row in rows
        }

    def fills(self, market: Market, *, since: int) -> list[Fill]:
        """Fills of every order that traded since a time (the exchange's milliseconds)."""
        ids = {d.order for d in self.deals.by_id[market.symbol].values() if d.at >= since}
        return self._fills(market, ids)

    def fresh_fills(self, market: Market) -> list[Fill]:
        """Fills not told yet."""
        ids = {order for symbol, order in self.deals.fresh if symbol == market.symbol}
        for n in sorted(ids):
            tracked = self._owner_of(market, n)
            if (
                self._traded(market, n) > tracked.done[n]
            ):  # it traded after it was read, or after it had ended
                row = self._order(market, orderId=n)
                if row is not None:
                    sure(self.learn, market, row)
        first = self._base[market.id]
        fills = [f for f in self._fills(market, ids) if int(f.fill_id.rpartition("-")[2]) > first]
        return [f for f in fills if f.fill_id not in self._told]

    def forget_fresh(self, fills: Iterable[Fill]) -> None:
        """These have been told."""
        self._told |= {f.fill_id for f in fills}
        self.deals.fresh.clear()

    def _fills(self, market: Market, ids: Iterable[int]) -> list[Fill]:
        owners = {self._owner_of(market, n).stem for n in sorted(ids)}
        fills: list[Fill] = []
        for stem in sorted(owners):
            tracked = self.tracked[stem]
            for number_there, coins in tracked.done.items():  # units are counted from the first
                if self._traded(market, number_there) < coins:
                    self.deals.read_all_of(market, number_there)
            deals = [d for d in self.deals.by_id[market.symbol].values() if d.order in tracked.done]
            fills += fills_of(tracked.order, deals, market)
        return fills

    def _traded(self, market: Market, number_there: int) -> Decimal:
        deals = self.deals.by_id[market.symbol].values()
        return sum((d.coins for d in deals if d.order == number_there), Decimal(0))

    def _owner_of(self, market: Market, number_there: int) -> Tracked:
        stem = self._owner.get((market.symbol, number_there))
        if stem is not None:
            return self.tracked[stem]
        row = self._order(market, orderId=number_there)
        if row is None:
            raise BrokerDown(f"the exchange doesn't know the order of its trade: {number_there}")
        met = len(self.tracked)
        found: Tracked = sure(self.learn, market, row)
        if len(self.tracked) > met and not self.view(found).state.open:
            found.told = self.view(found)  # it ended before we came: no news
        return found
