"""The endpoints of the stub exchange: what Binance answers to a request, and a hand on it."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from hybridnb.testing.binance_filters import ZERO, Error, eight, filtered
from hybridnb.testing.binance_venue import Venue

KEY, SECRET = "stub-key", "stub-secret"
ORDER = "POST /api/v3/order"
_OPEN = ("/api/v3/time", "/api/v3/exchangeInfo", "/api/v3/ticker/price", "/api/v3/klines")
Asked = dict[str, str]


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next requests on a path; an empty path is any."""

    name: str
    on: str = ORDER
    times: int = 1
    retry_after: float = 1.0


@dataclass(slots=True)
class Api:
    """The endpoints over a venue: one request at a time, as the venue's matching engine does."""

    venue: Venue = field(default_factory=Venue)
    faults: list[Fault] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    days: dict[str, list[list[Any]]] = field(default_factory=dict)  # daily bars by symbol
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, line: str) -> Fault | None:
        """The fault for this request, used up."""
        for fault in self.faults:
            if fault.on in ("", line):
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def answer(self, line: str, query: str, key: str) -> Any:
        """The body that answers a request.

        Raises
        ------
        Error
            In the exchange's words.
        """
        asked = dict(parse_qsl(query, keep_blank_values=True))
        if line.split()[1] not in _OPEN:
            self._signed(query, asked, key)
        route = _ROUTES.get(line)
        if route is None:
            raise Error(-1000, "No such path.", status=404)
        return route(self, asked)

    def _signed(self, query: str, asked: Asked, key: str) -> None:
        if not key:
            raise Error(-2014, "API-key format invalid.", status=401)
        if key != KEY:
            words = "Invalid API-key, IP, or permissions for action."
            raise Error(-2015, words, status=401)
        payload, _, signature = query.rpartition("&signature=")
        right = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right, signature):
            raise Error(-1022, "Signature for this request is not valid.")
        sent, window = int(asked.get("timestamp", 0)), int(asked.get("recvWindow", 5000))
        if sent >= self.venue.now + 1000:
            words = "Timestamp for this request was 1000ms ahead of the server's time."
            raise Error(-1021, words)
        if self.venue.now - sent > window:
            raise Error(-1021, "Timestamp for this request is outside of the recvWindow.")

    def time(self, _: Asked) -> Any:
        return {"serverTime": self.venue.now}

    def info(self, asked: Asked) -> Any:
        names = json.loads(asked.get("symbols", "null")) or list(self.venue.specs)
        rows = [self.venue.spec(name).row() for name in names]
        return {"timezone": "UTC", "serverTime": self.venue.now, "symbols": rows}

    def ticker(self, asked: Asked) -> Any:
        spec = self.venue.spec(asked.get("symbol", ""))
        return {"symbol": spec.id, "price": eight(self.venue.last.get(spec.id, Decimal(1)))}

    def klines(self, asked: Asked) -> Any:
        if asked.get("interval") == "1d":
            return self._days(asked)
        rate = self.venue.rates.get(asked.get("symbol", ""))
        if rate is None:
            raise Error(-1121, "Invalid symbol.")
        start, price = int(asked["startTime"]), eight(rate)
        return [[start, price, price, price, price, "1.0", start + 59_999]]

    def _days(self, asked: Asked) -> Any:
        """Whole days: those of `days`, in the order of time, at most so many at once."""
        if asked.get("symbol", "") not in self.days:
            raise Error(-1121, "Invalid symbol.")
        begin, end = int(asked.get("startTime", 0)), int(asked.get("endTime", 2**53))
        rows = [row for row in self.days[asked["symbol"]] if begin <= row[0] <= end]
        return rows[: min(1000, int(asked.get("limit", 500)))]

    def account(self, _: Asked) -> Any:
        venue = self.venue
        rows = [
            {"asset": a, "free": eight(venue.free(a)), "locked": eight(venue.locked(a))}
            for a, amount in sorted(venue.coins.items())
            if amount
        ]
        return {"accountType": "SPOT", "canTrade": True, "balances": rows, "permissions": ["SPOT"]}

    def new_order(self, asked: Asked) -> Any:
        row = self.venue.place(asked)
        return {**row, "transactTime": row["time"], "fills": []}

    def get_order(self, asked: Asked) -> Any:
        spec, name = self.venue.spec(asked.get("symbol", "")), asked.get("origClientOrderId")
        for row in reversed(self.venue.orders.values()):
            wanted = (row["clientOrderId"], str(row["orderId"]))
            if row["symbol"] == spec.id and (name or asked.get("orderId")) in wanted:
                return row
        raise Error(-2013, "Order does not exist.")

    def cancel(self, asked: Asked) -> Any:
        symbol = self.venue.spec(asked.get("symbol", "")).id
        name, number = asked.get("origClientOrderId", ""), int(asked.get("orderId", 0))
        return self.venue.cancel(symbol, name=name, number=number)

    def cancel_all(self, asked: Asked) -> Any:
        working = self.venue.working(self.venue.spec(asked.get("symbol", "")).id)
        if not working:
            raise Error(-2011, "Unknown order sent.")
        return [self.venue.cancel(o["symbol"], number=o["orderId"]) for o in working]

    def replace(self, asked: Asked) -> Any:
        # The real exchange, too, looks at the filters before it cancels.
        spec = self.venue.spec(asked.get("symbol", ""))
        filtered(spec, asked, self.venue.last.get(spec.id))
        name = asked.get("cancelOrigClientOrderId", "")
        data: dict[str, Any] = {"cancelResult": "SUCCESS", "newOrderResult": "SUCCESS"}
        try:
            data["cancelResponse"] = self.venue.cancel(spec.id, name=name)
        except Error as error:
            data = {"cancelResult": "FAILURE", "newOrderResult": "NOT_ATTEMPTED"}
            data |= {"cancelResponse": error.body, "newOrderResponse": None}
            words = "Order cancel-replace failed."
            raise Error(-2022, words, data=data) from None
        try:
            data["newOrderResponse"] = self.new_order(asked)
        except Error as error:
            data |= {"newOrderResult": "FAILURE", "newOrderResponse": error.body}
            words = "Order cancel-replace partially failed."
            raise Error(-2021, words, status=409, data=data) from None
        return data

    def open_orders(self, asked: Asked) -> Any:
        return self.venue.working(asked.get("symbol", ""))

    def all_orders(self, asked: Asked) -> Any:
        spec = self.venue.spec(asked.get("symbol", ""))
        rows = [o for o in self.venue.orders.values() if o["symbol"] == spec.id]
        return rows[-int(asked.get("limit", 500)) :]

    def my_trades(self, asked: Asked) -> Any:
        spec, limit = self.venue.spec(asked.get("symbol", "")), int(asked.get("limit", 500))
        rows = [t for t in self.venue.trades if t["symbol"] == spec.id]
        if "orderId" in asked:
            rows = [t for t in rows if t["orderId"] == int(asked["orderId"])]
        if "startTime" in asked:
            rows = [t for t in rows if t["time"] >= int(asked["startTime"])][:limit]
        if "fromId" in asked:
            rows = [t for t in rows if t["id"] >= int(asked["fromId"])][:limit]
        told = [[t, t] if t["orderId"] in self.venue.twice else [t] for t in rows[-limit:]]
        return [t for pair in told for t in pair]

    def control(self, asked: dict[str, Any]) -> Any:
        """A hand on the venue: see `binance_server`."""
        venue = self.venue
        match asked.pop("do", None):
            case "trade":
                venue.trade(asked["symbol"], Decimal(asked["price"]), Decimal(asked["quantity"]))
            case "fault":
                self.faults.append(Fault(**asked))
            case "hold":
                coin = asked["coin"]
                venue.coins[coin] = venue.coins.get(coin, ZERO) + Decimal(asked["quantity"])
            case "set":
                for name in ("fees", "skew", "instant"):
                    setattr(venue, name, asked.get(name, getattr(venue, name)))
            case "state":
                coins = {a: eight(amount) for a, amount in venue.coins.items()}
                orders = list(venue.orders.values())
                return {"orders": orders, "trades": venue.trades, "coins": coins, "log": self.log}
            case other:
                raise Error(-1000, f"unknown: {other!r}")
        return {}


_ROUTES: dict[str, Callable[[Api, Asked], Any]] = {
    "GET /api/v3/time": Api.time,
    "GET /api/v3/exchangeInfo": Api.info,
    "GET /api/v3/ticker/price": Api.ticker,
    "GET /api/v3/klines": Api.klines,
    "GET /api/v3/account": Api.account,
    ORDER: Api.new_order,
    "GET /api/v3/order": Api.get_order,
    "DELETE /api/v3/order": Api.cancel,
    "POST /api/v3/order/cancelReplace": Api.replace,
    "GET /api/v3/openOrders": Api.open_orders,
    "DELETE /api/v3/openOrders": Api.cancel_all,
    "GET /api/v3/allOrders": Api.all_orders,
    "GET /api/v3/myTrades": Api.my_trades,
}
