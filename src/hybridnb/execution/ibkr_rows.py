"""IB's contracts, orders and executions as ours, and ours as theirs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ib_async import Contract, OrderStatus, Stock, Trade
from ib_async import Fill as Execution
from ib_async import Order as Wire

from hybridnb.domain import (
    SCALE,
    Fill,
    Instrument,
    Leg,
    Order,
    OrderState,
    OrderType,
    Refusal,
    Side,
)
from hybridnb.errors import BrokerDown, ParamsError

_TYPES = {
    OrderType.MARKET: "MKT",
    OrderType.LIMIT: "LMT",
    OrderType.STOP: "STP",
    OrderType.STOP_LIMIT: "STP LMT",
}
_KINDS = {there: ours for ours, there in _TYPES.items()}
# Which prices a type has: limit, stop.
_PRICES = {
    OrderType.MARKET: (False, False),
    OrderType.LIMIT: (True, False),
    OrderType.STOP: (False, True),
    OrderType.STOP_LIMIT: (True, True),
}
WAITING = frozenset({"PendingSubmit", "ApiPending"})
# Errors that are no reject: none, cancelled as asked, too late to be cancelled, and warnings about
# an order that works on (a message of the venue, shares to be located).
_CANCELS = frozenset({0, 161, 202, 399, 404, 10147, 10148})


@dataclass(frozen=True, slots=True)
class Contracts:
    """Which contract is which symbol of ours: by IB's symbol and currency."""

    instruments: Mapping[str, Instrument]
    symbols: Mapping[tuple[str, str], str]

    def symbol_of(self, contract: Contract) -> str:
        """Our symbol; a contract that isn't ours keeps a name nobody of ours has."""
        key = (contract.symbol, contract.currency)
        if contract.secType == "STK" and key in self.symbols:
            return self.symbols[key]
        return f"{contract.secType}:{contract.localSymbol or contract.symbol}.{contract.currency}"


def contracts_of(instruments: Mapping[str, Instrument]) -> Contracts:
    """The table both ways.

    Raises
    ------
    ParamsError
        For two symbols that are one contract.
    """
    symbols: dict[tuple[str, str], str] = {}
    for symbol, instrument in instruments.items():
        stock = stock_of(instrument)
        other = symbols.setdefault((stock.symbol, stock.currency), symbol)
        if other != symbol:
            raise ParamsError("symbol", symbol, f"{other} is the same contract at IB")
    return Contracts(dict(instruments), symbols)


def stock_of(instrument: Instrument) -> Stock:
    """The contract of a symbol: `.TO` trades at TSE, `.V` at VENTURE, any other name at SMART.

    A class or unit after a hyphen is written with a dot in Canada (BBD-B.TO is BBD.B) and with
    a space in the United States (BRK-B is BRK B), as IB does.
    """
    name, exchange, joint = instrument.symbol, "SMART", " "
    for suffix, place in ((".TO", "TSE"), (".V", "VENTURE")):
        if name.endswith(suffix):
            name, exchange, joint = name.removesuffix(suffix), place, "."
    return Stock(name.replace("-", joint), exchange, instrument.currency)


def wrong_with(order: Order, instrument: Instrument | None) -> str:
    """What keeps an order from being sent; empty where nothing does."""
    if instrument is None:
        return "not a symbol of this broker"
    quantity = order.quantity
    # Callers may hand over a float or NaN against the types: neither passes here.
    if not isinstance(quantity, int) or quantity <= 0 or quantity % instrument.lot:
        return f"quantity must be a positive multiple of {instrument.lot}"
    for price, needed in zip((order.limit, order.stop), _PRICES[order.type], strict=True):
        if (price is not None) != needed:
            return f"prices don't go with {order.type}"
        if price is None:
            continue
        if not isinstance(price, int) or price <= 0 or price % instrument.tick:
            return f"a price must be a positive multiple of {instrument.tick}/10,000"
    return ""


def rejected(order: Order, why: Refusal, note: str = "") -> Order:
    """The order refused with one code."""
    return replace(order, state=OrderState.REJECTED, refusals=(why.name or "",), note=note)


def wire_of(order: Order, *, total: int, account: str, order_id: int = 0) -> Wire:
    """The order as IB takes it; protective legs live until cancelled, the rest for the day."""
    wire = Wire(
        orderId=order_id,
        action=order.side.value,
        totalQuantity=float(total),
        orderType=_TYPES[order.type],
        tif="GTC" if order.leg in (Leg.STOP, Leg.TARGET) else "DAY",
        account=account,
        orderRef=order.client_id,
    )
    if order.limit is not None:
        wire.lmtPrice = order.limit / SCALE
    if order.stop is not None:
        wire.auxPrice = order.stop / SCALE
    return wire


def same_terms(trade: Trade, wire: Wire) -> bool:
    """Whether the gateway has confirmed these terms of the order."""
    there = trade.order
    same = there.totalQuantity == wire.totalQuantity and there.orderType == wire.orderType
    limited, stopped = _PRICES[_KINDS[wire.orderType]]
    same = same and (not limited or there.lmtPrice == wire.lmtPrice)
    return same and (not stopped or there.auxPrice == wire.auxPrice)


def amount(value: Any, what: str) -> int:
    """An amount of money in 1/10,000.

    Raises
    ------
    BrokerDown
        For what is no finite number: a gateway that says such a thing can't be traded with.
    """
    return round(finite(value, what) * SCALE)


def finite(value: Any, what: str) -> float:
    """A number that is one; see `amount`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or abs(number) >= 2**53:
        raise BrokerDown(f"IB Gateway tells a {what} that is no number: {value!r}")
    return number


def shares_of(there: Execution) -> int:
    """Whole shares of an execution; 0 where a correction took it back. See `amount`."""
    shares = finite(there.execution.shares, "quantity")
    if shares < 0:
        raise BrokerDown(f"IB Gateway tells a quantity that can't be: {shares!r}")
    return round(shares)


def revisions(executions: Iterable[Execution]) -> tuple[dict[str, Execution], set[str]]:
    """Executions by id without their revision, the latest of each; ids that were corrected.

    The last part of an execution's id counts its corrections: `0001.5f.01.02` replaces
    `0001.5f.01.01`.
    """
    latest: dict[str, tuple[int, Execution]] = {}
    corrected: set[str] = set()
    for execution in executions:
        base, _, part = execution.execution.execId.rpartition(".")
        revision = int(part) if part.isdigit() else 0
        base = base if part.isdigit() and base else execution.execution.execId
        if base in latest and latest[base][0] != revision:
            corrected.add(base)
        if base not in latest or latest[base][0] <= revision:
            latest[base] = (revision, execution)
    return {base: execution for base, (_, execution) in latest.items()}, corrected


def client_id_of(ref: str, perm_id: int) -> str:
    """Our id of an order; one that carries none (a person's, at TWS) is named by IB's number."""
    return ref or f"perm-{perm_id}"


def fill_of(fill_id: str, there: Execution, leg: Leg | None, symbol: str) -> Fill:
    """One execution; the price before slippage isn't known, so the reference is the price."""
    execution = there.execution
    price = amount(execution.price, "price")
    if price <= 0:
        raise BrokerDown(f"IB Gateway tells a price that can't be: {execution.price!r}")
    client_id = client_id_of(execution.orderRef, execution.permId)
    side = Side.BUY if execution.side == "BOT" else Side.SELL
    return Fill(
        fill_id=fill_id,
        client_id=client_id,
        symbol=symbol,
        side=side,
        leg=leg or leg_of(client_id, side),
        quantity=shares_of(there),
        price=price,
        reference=price,
        commission=amount(there.commissionReport.commission, "commission"),
        slippage=0,
        at=execution.time.isoformat(),
    )


def state_of(trade: Trade, filled: int, code: int) -> OrderState:
    """Where an order stands: `filled` as its executions say, `code` of the last error about it."""
    # Of an order that was completed before we came, the total is told as 0.
    status, total = trade.orderStatus.status, trade.order.totalQuantity
    if status == "Filled" or 0 < total <= filled:
        return OrderState.FILLED
    if status in OrderStatus.DoneStates:
        refused = status == "Inactive" or code not in _CANCELS
        return OrderState.REJECTED if refused and not filled else OrderState.CANCELLED
    if status == "PendingCancel":
        return OrderState.UNKNOWN
    if status in WAITING:
        return OrderState.SUBMITTED if acknowledged(trade) else OrderState.UNKNOWN
    return OrderState.PARTIALLY_FILLED if filled else OrderState.ACCEPTED


def acknowledged(trade: Trade) -> bool:
    """Whether the gateway has taken the order: it gives each a number of its own."""
    return bool(trade.order.permId or trade.orderStatus.permId)


def order_of(
    trade: Trade, ours: Order | None, *, filled: int, symbol: str, said: tuple[int, str], note: str
) -> Order:
    """An order as it stands, over what we know of it ourselves (leg, decision).

    Parameters
    ----------
    filled : int
        Units that its executions filled.
    said : tuple
        Code and words of the last error about it; the code is 0 where there was none.
    note : str
        What else is to be said of it.
    """
    wire = trade.order
    limited, stopped = _PRICES[_KINDS.get(wire.orderType, OrderType.MARKET)]
    if wire.orderType not in _KINDS:  # TRAIL, REL, ...: a person's; the prices say what it is
        limited, stopped = _given(wire.lmtPrice), _given(wire.auxPrice)
    kind = next(k for k, prices in _PRICES.items() if prices == (limited, stopped))
    side = Side.BUY if wire.action == "BUY" else Side.SELL
    client_id = client_id_of(wire.orderRef, wire.permId)
    # Of an order that was completed before we came, IB tells only what it filled.
    done = wire.filledQuantity if _given(wire.filledQuantity) else 0
    filled = max(filled, *(round(finite(n, "quantity")) for n in (done, trade.orderStatus.filled)))
    state = state_of(trade, filled, said[0])
    total = round(finite(wire.totalQuantity, "quantity")) or (ours.quantity if ours else 0)
    order = Order(
        client_id=client_id,
        symbol=symbol,
        side=side,
        quantity=max(total, filled),
        type=kind,
        leg=ours.leg if ours else leg_of(client_id, side),
        state=state,
        decision_id=ours.decision_id if ours else "",
        limit=amount(wire.lmtPrice, "limit") if limited else None,
        stop=amount(wire.auxPrice, "stop") if stopped else None,
        filled=filled,
    )
    if state is OrderState.REJECTED:
        words = f"{said[0]}: {said[1]}" if said[0] else "IB holds it inactive and says no reason"
        return rejected(order, Refusal.VENUE, "; ".join(w for w in (words, note) if w))
    return replace(order, note=note)


def _given(number: Any) -> bool:
    return number is not None and 0 < float(number) < 2**53


def leg_of(client_id: str, side: Side) -> Leg:
    """The leg that our ids name; an id that names none enters by buying, leaves by selling."""
    named = [leg for leg in Leg if f"-{leg}-" in client_id]
    return named[0] if named else Leg.ENTRY if side is Side.BUY else Leg.EXIT
