"""A spot exchange in memory with Binance's rows, filters and words; `binance_server` serves it.

Trades happen when `trade` says so. The real exchange fills a market order at once; here it rests
until then, so that a test decides when and how far it fills, unless `instant` is set.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

from hybridnb.costs import tier_bps
from hybridnb.testing.binance_filters import PLACES, SPECS, ZERO, Error, Spec, eight, filtered

_WORKING = ("NEW", "PARTIALLY_FILLED")


@dataclass(slots=True)
class Venue:
    """Orders, trades and one account. `fees` is `quote`, `received` or the name of a coin."""

    specs: dict[str, Spec] = field(default_factory=lambda: {s.id: s for s in SPECS})
    orders: dict[int, dict[str, Any]] = field(default_factory=dict)
    trades: list[dict[str, Any]] = field(default_factory=list)
    coins: dict[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(1_000_000)})
    locks: dict[int, Decimal] = field(default_factory=dict)  # what an open order holds back
    last: dict[str, Decimal] = field(default_factory=dict)
    rates: dict[str, Decimal] = field(default_factory=lambda: {"BNBUSDT": Decimal(500)})
    late: dict[int, list[list[str]]] = field(default_factory=dict)  # trades not told yet
    twice: set[int] = field(default_factory=set)
    fees: str = "quote"
    instant: bool = False
    skew: int = 0
    file: Path | None = None

    @property
    def now(self) -> int:
        return time.time_ns() // 1_000_000 + self.skew

    def spec(self, symbol: str) -> Spec:
        if symbol not in self.specs:
            raise Error(-1121, "Invalid symbol.")
        return self.specs[symbol]

    def place(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Book a new order, or refuse it in the exchange's words."""
        spec = self.spec(asked.get("symbol", ""))
        quantity, price, stop = filtered(spec, asked, self.last.get(spec.id))
        name = asked.get("newClientOrderId") or f"auto{len(self.orders) + 1}"
        if any(o["clientOrderId"] == name for o in self.working(spec.id)):
            raise Error(-2010, "Duplicate order sent.")
        buy = asked["side"] == "BUY"
        last = self.last.get(spec.id, price or stop or ZERO)
        if stop and spec.id in self.last and (last >= stop if buy else last <= stop):
            raise Error(-2010, "Stop price would trigger immediately.")
        lock = quantity * (price or stop or last) if buy else quantity
        if lock > self.free(spec.quote if buy else spec.base):
            raise Error(-2010, "Account has insufficient balance for requested action.")
        number, now = len(self.orders) + 1, self.now
        self.orders[number] = {
            "symbol": spec.id,
            "orderId": number,
            "orderListId": -1,
            "clientOrderId": name,
            "price": eight(price or ZERO),
            "origQty": eight(quantity),
            "executedQty": eight(ZERO),
            "cummulativeQuoteQty": eight(ZERO),
            "origQuoteOrderQty": eight(ZERO),
            "status": "NEW",
            "timeInForce": asked.get("timeInForce", "GTC"),
            "type": asked["type"],
            "side": asked["side"],
            "stopPrice": eight(stop or ZERO),
            "time": now,
            "updateTime": now,
            "isWorking": not stop,
            "selfTradePreventionMode": "EXPIRE_MAKER",
        }
        self.locks[number] = lock
        if self.instant and asked["type"] == "MARKET" and last:
            self._fill(self.orders[number], last, quantity)
        return self.orders[number]

    def working(self, symbol: str = "") -> list[dict[str, Any]]:
        """Open orders, in the order they came."""
        rows = (o for o in self.orders.values() if o["status"] in _WORKING)
        return [o for o in rows if symbol in ("", o["symbol"])]

    def free(self, asset: str) -> Decimal:
        return self.coins.get(asset, ZERO) - self.locked(asset)

    def locked(self, asset: str) -> Decimal:
        """What open orders hold back of an asset: money of buyers, coins of sellers."""
        held = ZERO
        for number, lock in self.locks.items():
            order = self.orders[number]
            spec = self.specs[order["symbol"]]
            held += lock if asset == (spec.quote if order["side"] == "BUY" else spec.base) else ZERO
        return held

    def cancel(self, symbol: str, *, name: str = "", number: int = 0) -> dict[str, Any]:
        """Withdraw one open order; what it was, with the cancel's own id."""
        found = [o for o in self.working(symbol) if number in (0, o["orderId"])]
        found = [o for o in found if name in ("", o["clientOrderId"])]
        if not found or not (name or number):
            raise Error(-2011, "Unknown order sent.")
        order = found[0]
        order["status"], order["updateTime"] = "CANCELED", self.now
        del self.locks[order["orderId"]]
        told = {**order, "origClientOrderId": order["clientOrderId"]}
        told["clientOrderId"] = f"cancel{order['orderId']}"
        for price, quantity in self.late.pop(order["orderId"], []):
            self._fill(order, Decimal(price), Decimal(quantity))
        return told

    def trade(self, symbol: str, price: Decimal, quantity: Decimal) -> None:
        """Let the market trade at a price, at most this many coins of it with our orders."""
        self.last[symbol] = price
        left = quantity
        for order in self.working(symbol):
            number = order["orderId"]
            buy, stop = order["side"] == "BUY", Decimal(order["stopPrice"])
            if stop and (price >= stop if buy else price <= stop):
                order["isWorking"] = True
            limit = Decimal(order["price"])
            away = limit and (price > limit if buy else price < limit)
            told = sum((Decimal(q) for _, q in self.late.get(number, [])), ZERO)
            open_ = Decimal(order["origQty"]) - Decimal(order["executedQty"]) - told
            part = min(left, open_)
            if away or not order["isWorking"] or part <= 0:
                continue
            left -= part
            if number in self.late:
                self.late[number].append([str(price), str(part)])
            else:
                self._fill(order, price, part)

    def _fill(self, order: dict[str, Any], price: Decimal, quantity: Decimal) -> None:
        spec, number = self.specs[order["symbol"]], order["orderId"]
        buy, resting = order["side"] == "BUY", order["status"] in _WORKING
        if number in self.locks:
            rest = Decimal(order["origQty"]) - Decimal(order["executedQty"])
            self.locks[number] *= (rest - quantity) / rest
        if buy:  # as far as the money lasts; what is left of it expires, as a market order does
            can = (self.free(spec.quote) / price).quantize(spec.step, ROUND_DOWN)
            quantity, short = min(quantity, can), can < quantity
        else:
            short = False
        if quantity > 0:
            self._book(order, spec, price, quantity)
        full = Decimal(order["executedQty"]) == Decimal(order["origQty"])
        if resting:
            order["status"] = "FILLED" if full else "EXPIRED" if short else "PARTIALLY_FILLED"
            if full or short:
                self.locks.pop(number, None)
        order["updateTime"] = self.now

    def _book(self, order: dict[str, Any], spec: Spec, price: Decimal, qty: Decimal) -> None:
        buy, maker = order["side"] == "BUY", order["type"] in ("LIMIT", "STOP_LOSS_LIMIT")
        sign, worth = (1 if buy else -1), price * qty
        self.coins[spec.base] = self.coins.get(spec.base, ZERO) + sign * qty
        self.coins[spec.quote] = self.coins.get(spec.quote, ZERO) - sign * worth
        order["executedQty"] = eight(Decimal(order["executedQty"]) + qty)
        order["cummulativeQuoteQty"] = eight(Decimal(order["cummulativeQuoteQty"]) + worth)
        rate = Decimal(tier_bps(0.0, maker=maker)) / 10_000
        # The real exchange takes its fee from the coin received, or in BNB where the account
        # says so and holds some; the testnet takes none.
        asset = {"quote": spec.quote, "received": spec.base if buy else spec.quote}.get(
            self.fees, self.fees
        )
        each = price if asset == spec.base else self.rates.get(asset + spec.quote, Decimal(1))
        fee = (worth * rate / (Decimal(1) if asset == spec.quote else each)).quantize(PLACES)
        self.coins[asset] = self.coins.get(asset, ZERO) - fee
        self.trades.append(
            {
                "symbol": spec.id,
                "id": len(self.trades) + 1,
                "orderId": order["orderId"],
                "orderListId": -1,
                "price": eight(price),
                "qty": eight(qty),
                "quoteQty": eight(worth),
                "commission": eight(fee),
                "commissionAsset": asset,
                "time": self.now,
                "isBuyer": buy,
                "isMaker": maker,
                "isBestMatch": True,
            }
        )


_TABLES = ("coins", "last", "rates", "locks")


def save(venue: Venue) -> None:
    """Write the state to the venue's file, if it has one; atomically."""
    if venue.file is None:
        return
    state: dict[str, Any] = {
        name: {str(k): str(v) for k, v in getattr(venue, name).items()} for name in _TABLES
    }
    state |= {"orders": list(venue.orders.values()), "trades": venue.trades, "fees": venue.fees}
    state |= {"late": {str(k): v for k, v in venue.late.items()}, "twice": sorted(venue.twice)}
    beside = venue.file.with_suffix(".part")
    beside.write_text(json.dumps(state), encoding="utf-8")
    os.replace(beside, venue.file)


def load(venue: Venue) -> None:
    """Read the state back, if the venue's file is there."""
    if venue.file is None or not venue.file.exists():
        return
    state = json.loads(venue.file.read_text(encoding="utf-8"))
    for name in _TABLES:
        key = int if name == "locks" else str
        setattr(venue, name, {key(k): Decimal(v) for k, v in state[name].items()})
    venue.orders = {row["orderId"]: row for row in state["orders"]}
    venue.trades, venue.fees = state["trades"], state["fees"]
    venue.late = {int(k): v for k, v in state["late"].items()}
    venue.twice = set(state["twice"])
