"""What a crypto exchange is asked for, and what is never asked: bad numbers stop here."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hybridnb.domain import Order, OrderState, OrderType, Refusal
from hybridnb.execution.ccxt_rows import TYPES
from hybridnb.execution.ccxt_wire import Market

_PRICES = {
    OrderType.MARKET: (False, False),
    OrderType.LIMIT: (True, False),
    OrderType.STOP: (False, True),
    OrderType.STOP_LIMIT: (True, True),
}


def wrong_with(order: Order, market: Market | None) -> str:
    """What keeps an order from being sent; empty where nothing does."""
    if market is None:
        return "not a symbol of this broker"
    quantity = order.quantity
    # Callers may hand over a float or NaN against the types: neither passes here.
    if not isinstance(quantity, int) or quantity <= 0 or quantity % market.lot:
        return f"quantity must be a positive multiple of {market.lot}"
    for price, needed in zip((order.limit, order.stop), _PRICES[order.type], strict=True):
        if (price is not None) != needed:
            return f"prices don't go with {order.type}"
        if price is not None and (not isinstance(price, int) or price <= 0 or price % market.tick):
            return f"a price must be a positive multiple of {market.tick}/10,000"
    return ""


def rejected(order: Order, why: Refusal, note: str = "") -> Order:
    """The order refused with one code."""
    codes = (why.name or "",)
    return replace(order, state=OrderState.REJECTED, refusals=codes, note=note)


def request_of(order: Order, market: Market, coins: Decimal, name: str) -> dict[str, Any]:
    """What the exchange asks of a new order; numbers as its exact decimals."""
    request: dict[str, Any] = {
        "symbol": market.id,
        "side": order.side.value,
        "type": TYPES[order.type],
        "quantity": f"{coins.normalize():f}",
        "newClientOrderId": name,
        "newOrderRespType": "RESULT",
    }
    if order.limit is not None:
        request |= {"price": market.to_wire(order.limit), "timeInForce": "GTC"}
    if order.stop is not None:
        request["stopPrice"] = market.to_wire(order.stop)
    return request
