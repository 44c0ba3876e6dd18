"""Binance's symbols, filters and errors, as the stub exchange words them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)
PLACES = Decimal("1e-8")
_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
TYPES = ("LIMIT", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT")


class Error(Exception):
    """An error as the exchange words it."""

    def __init__(self, code: int, msg: str, *, status: int = 400, **more: Any) -> None:
        super().__init__(msg)
        self.status = status
        self.body = {"code": code, "msg": msg, **more}


def eight(amount: Decimal) -> str:
    """Eight decimals, as the exchange writes every amount."""
    return f"{amount.quantize(PLACES):f}"


@dataclass(frozen=True, slots=True)
class Spec:
    """A symbol and its filters."""

    base: str
    quote: str
    tick: Decimal
    step: Decimal
    least: Decimal = Decimal(5)

    @property
    def id(self) -> str:
        return self.base + self.quote

    def row(self) -> dict[str, Any]:
        """The symbol's row of exchangeInfo."""
        price = {"minPrice": eight(self.tick), "maxPrice": "1000000.00000000"}
        lot = {"minQty": eight(self.step), "maxQty": "9000.00000000"}
        return {
            "symbol": self.id,
            "status": "TRADING",
            "baseAsset": self.base,
            "baseAssetPrecision": 8,
            "quoteAsset": self.quote,
            "quoteAssetPrecision": 8,
            "orderTypes": list(TYPES),
            "cancelReplaceAllowed": True,
            "isSpotTradingAllowed": True,
            "filters": [
                {"filterType": "PRICE_FILTER", **price, "tickSize": eight(self.tick)},
                {"filterType": "LOT_SIZE", **lot, "stepSize": eight(self.step)},
                {
                    "filterType": "NOTIONAL",
                    "minNotional": eight(self.least),
                    "applyMinToMarket": True,
                    "maxNotional": "9000000.00000000",
                    "applyMaxToMarket": False,
                    "avgPriceMins": 5,
                },
            ],
        }


SPECS = (
    Spec("BTC", "USDT", Decimal("0.01"), Decimal("0.00001")),
    Spec("ETH", "USDT", Decimal("0.10"), Decimal("0.01")),
)


def filtered(
    spec: Spec, asked: Mapping[str, str], last: Decimal | None
) -> tuple[Decimal, Decimal | None, Decimal | None]:
    """Quantity, price and stop of an order that passes its symbol's filters."""
    kind = asked.get("type", "")
    if kind not in TYPES:
        raise Error(-1116, "Invalid orderType.")
    if asked.get("side") not in ("BUY", "SELL"):
        raise Error(-1117, "Invalid side.")
    if not _ID.fullmatch(asked.get("newClientOrderId", "auto")):
        legal = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
        what = "Illegal characters found in parameter 'newClientOrderId'"
        raise Error(-1100, f"{what}; legal range is '{legal}'.")
    quantity = _positive(asked, "quantity")
    price = _positive(asked, "price") if "LIMIT" in kind else None
    stop = _positive(asked, "stopPrice") if "STOP" in kind else None
    if "LIMIT" in kind and asked.get("timeInForce") not in ("GTC", "IOC", "FOK"):
        raise Error(-1102, _missing("timeInForce"))
    if quantity % spec.step:
        raise Error(-1013, "Filter failure: LOT_SIZE")
    if any(p is not None and p % spec.tick for p in (price, stop)):
        raise Error(-1013, "Filter failure: PRICE_FILTER")
    worth = quantity * (price or stop or last or Decimal("Infinity"))
    if worth < spec.least:
        raise Error(-1013, "Filter failure: NOTIONAL")
    return quantity, price, stop


def _missing(name: str) -> str:
    return f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


def _positive(asked: Mapping[str, str], name: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", asked.get(name, "")):
        raise Error(-1102, _missing(name))
    amount = Decimal(asked[name])
    if amount.normalize().as_tuple().exponent < -8:  # type: ignore[operator]
        raise Error(-1111, f"Parameter '{name}' has too much precision.")
    if not amount:
        raise Error(-1013, f"Invalid {name}.")
    return amount
