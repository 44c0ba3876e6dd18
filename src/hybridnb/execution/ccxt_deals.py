"""Trades of ours at a crypto exchange, each once, with what they cost in quote currency."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hybridnb.domain import Side
from hybridnb.errors import BrokerDown
from hybridnb.execution.ccxt_rows import Deal
from hybridnb.execution.ccxt_wire import Denied, Line, Market, Unanswered, number, text, whole

DAY, MINUTE = 86_400_000, 60_000
_PAGE = 1000  # the most rows the exchange gives at once


def sure(function: Any, *args: Any, **named: Any) -> Any:
    """What reading gives; a reply that doesn't come or can't be read is a line that is down."""
    try:
        return function(*args, **named)
    except Unanswered as silence:
        raise BrokerDown(str(silence)) from None


def rows_of(line: Line, method: str, /, **request: Any) -> list[dict[str, Any]]:
    """A list of rows; `BrokerDown` where the exchange gives none."""
    try:
        rows = sure(line.call, method, **request)
    except Denied as denied:
        raise BrokerDown(f"the exchange refuses to tell: {denied.words}") from denied
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BrokerDown(f"the exchange's answer to {method} is no list of rows")
    return rows


class Deals:
    """The trades known, by symbol and trade id.

    Attributes
    ----------
    by_id : dict
        Symbol to trade id to `Deal`.
    fresh : set of (str, int)
        Symbol and exchange order id of trades that no poll has told.
    unpaid : dict
        (symbol, exchange order id) to the coin of a fee that has no rate.
    """

    def __init__(self, line: Line, markets: Mapping[str, Market], quote: str) -> None:
        self._line, self._quote = line, quote
        self.by_id: dict[str, dict[int, Deal]] = {symbol: {} for symbol in markets}
        self.fresh: set[tuple[str, int]] = set()
        self.unpaid: dict[tuple[str, int], str] = {}

    def read_recent(self, market: Market) -> None:
        """The last 1,000 trades, or those of the last 24 hours where they are more."""
        rows = rows_of(self._line, "privateGetMyTrades", symbol=market.id, limit=_PAGE)
        since = self._line.now - DAY
        full = len(rows) == _PAGE
        if full and min(sure(whole, row, "time") for row in rows) > since:
            rows = rows_of(
                self._line, "privateGetMyTrades", symbol=market.id, startTime=since, limit=_PAGE
            )
        self._store(market, rows)
        if full:
            self.read_new(market)

    def read_all_of(self, market: Market, order: int) -> None:
        """Every trade of one order: a page may have begun in its middle."""
        start = 0
        while True:
            request = {"symbol": market.id, "orderId": order, "fromId": start, "limit": _PAGE}
            rows = rows_of(self._line, "privateGetMyTrades", **request)
            self._store(market, rows)
            if len(rows) < _PAGE:
                return
            start = max(sure(whole, row, "id") for row in rows) + 1

    def read_new(self, market: Market) -> bool:
        """Trades after the last one known; whether there were any."""
        known = self.by_id[market.symbol]
        before = len(known)
        while True:
            request = {"symbol": market.id, "limit": _PAGE, "fromId": max(known, default=-1) + 1}
            rows = rows_of(self._line, "privateGetMyTrades", **request)
            grown = self._store(market, rows)
            if len(rows) < _PAGE or not grown:
                return len(known) > before

    def _store(self, market: Market, rows: list[dict[str, Any]]) -> bool:
        known = self.by_id[market.symbol]
        before = len(known)
        for row in rows:
            # The same trade told again has the same id.
            if sure(whole, row, "id") not in known:
                deal = sure(self._deal, market, row)
                known[deal.id] = deal
                self.fresh.add((market.symbol, deal.order))
        return len(known) > before

    def _deal(self, market: Market, row: dict[str, Any]) -> Deal:
        price, asset, at = number(row, "price"), text(row, "commissionAsset"), whole(row, "time")
        order, paid = whole(row, "orderId"), number(row, "commission")
        rate = Decimal(1)
        if asset == market.base:
            rate = price
        elif asset != self._quote and paid:
            known = self._rate(asset, at)
            if known is None:
                self.unpaid[(market.symbol, order)] = asset
            rate = known or Decimal(0)
        if not isinstance(row.get("isBuyer"), bool):
            raise Unanswered("the exchange's answer doesn't say whether we bought")
        return Deal(
            id=whole(row, "id"),
            order=order,
            price=price,
            coins=number(row, "qty"),
            side=Side.BUY if row["isBuyer"] else Side.SELL,
            fee=paid * rate,
            at=at,
        )

    def _rate(self, asset: str, at: int) -> Decimal | None:
        """Quote currency for one coin when its minute opened: the same whenever it is asked."""
        request = {"symbol": f"{asset}{self._quote}", "interval": "1m", "limit": 1}
        try:
            rows = sure(self._line.call, "publicGetKlines", startTime=at - at % MINUTE, **request)
        except Denied:
            return None
        return number({"open": rows[0][1]}, "open") if rows else None
