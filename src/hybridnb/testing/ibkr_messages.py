"""Messages of the TWS API, server version 178, as a gateway sends and reads them.

The order of the fields is the protocol: a message is its fields, each ended by a zero byte,
after four bytes of its length. Fields that are written as constants here are the ones of orders
we never place (combinations, volatility, scale, hedges); a client must still find them.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from hybridnb.testing.exchange import (
    CANCELLED,
    FILLED,
    LIMIT,
    MARKET,
    REJECTED,
    SELL,
    STOP,
    STOP_LIMIT,
    WORKING,
    Execution,
    Resting,
)

SERVER_VERSION = 178
SCALE = 10_000
TYPES = {MARKET: "MKT", LIMIT: "LMT", STOP: "STP", STOP_LIMIT: "STP LMT"}
KINDS = {there: ours for ours, there in TYPES.items()}
UNSET = "1.7976931348623157E308"
UNSET_INT = "2147483647"


class Malformed(ValueError):
    """A request that can't be read."""


def frame(*fields: Any) -> bytes:
    """One message: its length, then its fields."""
    body = "".join(f"{_text(field)}\0" for field in fields).encode()
    return struct.pack(">I", len(body)) + body


def _text(field: Any) -> str:
    if isinstance(field, bool):
        return "1" if field else "0"
    return "" if field is None else str(field)


def money(scaled: float | None) -> str:
    """1/10,000 as a decimal number; a price that an order doesn't have is 0, as TWS says it."""
    return "0" if scaled is None else f"{(Decimal(str(scaled)) / SCALE).normalize():f}"


def scaled(text: str) -> int | None:
    """A price in 1/10,000; None for the empty field and for zero."""
    if not text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise Malformed(f"{text!r} is no price") from None
    if not number.is_finite():
        raise Malformed(f"{text!r} is no price")
    return int(number * SCALE) or None


@dataclass(frozen=True, slots=True)
class Request:
    """What a client wants placed: a new order, or new terms of one."""

    order_id: int
    contract: list[str]
    side: str
    quantity: int
    type: str
    limit: int | None
    stop: int | None
    tif: str
    account: str
    ref: str

    @property
    def symbol(self) -> str:
        return self.contract[1]

    @property
    def currency(self) -> str:
        return self.contract[9]


def read_order(fields: Sequence[str]) -> Request:
    """A placeOrder message.

    Raises
    ------
    Malformed
        For a field that is none of its kind.
    """
    try:
        order_id, contract = int(fields[1]), list(fields[2:14])
        side, units, kind, limit, stop, tif = fields[16:22]
        quantity = Decimal(units)
        if kind not in KINDS or side not in ("BUY", "SELL") or quantity != int(quantity):
            raise Malformed(f"no such order: {side} {units} {kind}")
    except (ValueError, IndexError, InvalidOperation) as error:
        raise Malformed(f"Error reading request: {error}") from error
    return Request(
        order_id=order_id,
        contract=contract,
        side=side,
        quantity=int(quantity),
        type=KINDS[kind],
        limit=scaled(limit) if kind in ("LMT", "STP LMT") else None,
        stop=scaled(stop) if kind in ("STP", "STP LMT") else None,
        tif=tif,
        account=fields[23],
        ref=fields[26],
    )


def status_of(order: Resting) -> str:
    """An order's state in TWS's words; a stop that wasn't touched is PreSubmitted."""
    waits = order.stop is not None and not order.triggered
    return {
        WORKING: "PreSubmitted" if waits else "Submitted",
        FILLED: "Filled",
        CANCELLED: "Cancelled",
        REJECTED: "Inactive",
    }[order.state]


def perm_id(order: Resting) -> int:
    """The gateway's own number of an order."""
    return 1_900_000_000 + order.order_id


def _contract(order: Resting) -> list[str]:
    con_id, symbol, kind, last, strike, right, times, place, _, currency, local, trading = (
        order.owner["contract"]
    )
    return [con_id, symbol, kind, last, strike, right, times, place, currency, local, trading]


def open_order(order: Resting) -> bytes:
    """The openOrder message (5)."""
    return frame(5, order.owner["order"], *_contract(order), *_terms(order))


def completed_order(order: Resting) -> bytes:
    """The completedOrder message (101): much of openOrder, in an order of its own."""
    # TWS tells no total of an order that is done, only what it filled.
    side, _, *common = _common(order)
    head = [side, 0, *common, perm_id(order), 0, 0, 0, "", "", "", ""]
    middle = ["", "", "", UNSET, "", 0, "", -1, UNSET, UNSET, UNSET, UNSET, UNSET, 0]
    middle += [0, 0, UNSET_INT, 0, 0, UNSET, UNSET_INT, "", UNSET]  # sweep .. delta neutral
    middle += [0, UNSET_INT, UNSET, UNSET, "", 0, 0, 0]  # .. legs and parameters: none
    middle += [UNSET_INT, UNSET_INT, UNSET, "", "", "", 0, 0, ""]  # scale, hedge, clearing, algo
    end = [0, status_of(order), 0, 0, 0]  # solicited, status, random size and price, conditions
    end += [UNSET, UNSET, UNSET, 0, 0, "", order.filled, 0, 0, "", 0, 0, 0]
    end += ["", order.words or status_of(order), UNSET_INT, UNSET_INT, UNSET, UNSET, UNSET]
    return frame(101, *_contract(order), *head, *middle, *end)


def _common(order: Resting) -> list[Any]:
    owner = order.owner
    kind, limit, stop = TYPES[order.type], money(order.limit), money(order.stop)
    ends = [owner["tif"], "", owner["account"], "", 0, owner["ref"]]
    return [order.side, order.quantity, kind, limit, stop, *ends]


def _terms(order: Resting) -> Iterator[Any]:
    yield from _common(order)
    yield order.owner["client"]
    yield from (perm_id(order), 0, 0, 0, "", "", "", "", "")  # .. fa group, method, percentage
    yield from ("", "", "", UNSET, "", 0, "", -1, 0, UNSET, UNSET, UNSET, UNSET, UNSET)
    # display size .. delta neutral price
    yield from (0, 0, 0, 0, UNSET_INT, 0, 0, 0, UNSET, 0, 0, UNSET, UNSET_INT, "", UNSET)
    yield from (0, UNSET_INT, UNSET, UNSET, UNSET, UNSET_INT, "", 0, 0, 0)  # .. no legs
    yield from (UNSET_INT, UNSET_INT, UNSET, "", 0, "", "", 0, 0, "")  # scale .. algo
    yield from (0, 0, status_of(order), *(UNSET,) * 9, UNSET, UNSET, UNSET, "", "", 0, 0)
    yield 0  # conditions
    yield from ("", UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, 0, "", "", "", UNSET, 0, 0, 0, 0)
    yield from (UNSET_INT, UNSET_INT, 0)  # duration, post to ATS, auto cancel parent
    yield from (UNSET_INT, UNSET_INT, UNSET, UNSET, UNSET)


def order_status(order: Resting, *, status: str = "", price: int = 0) -> bytes:
    """The orderStatus message (3)."""
    owner, average = order.owner, money(price)
    head = [3, owner["order"], status or status_of(order), order.filled, order.left, average]
    return frame(*head, perm_id(order), 0, average, owner["client"], "", 0)


def execution_id(execution: Execution, revision: int = 1) -> str:
    """An execution's id; its last part counts corrections."""
    return f"0000e0d5.{execution.number:08x}.01.{revision:02d}"


def exec_details(
    order: Resting,
    execution: Execution,
    *,
    request: int = -1,
    at: float = 0.0,
    revision: int = 1,
    price: int | None = None,
) -> bytes:
    """The execDetails message (11); `price` is that of a correction."""
    owner = order.owner
    when = dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y%m%d %H:%M:%S UTC")
    paid = money(execution.price if price is None else price)
    head = [execution_id(execution, revision), when, owner["account"], _contract(order)[7]]
    head += ["SLD" if execution.side == SELL else "BOT", execution.quantity, paid]
    tail = [perm_id(order), owner["client"], 0, execution.cumulative, paid, owner["ref"]]
    return frame(11, request, owner["order"], *_contract(order), *head, *tail, "", "", "", 2, 0)


def commission_report(execution: Execution, currency: str, *, revision: int = 1) -> bytes:
    """The commissionReport message (59)."""
    paid = money(execution.commission)
    return frame(59, 1, execution_id(execution, revision), paid, currency, UNSET, UNSET, "")


def position(account: str, contract: Sequence[Any], quantity: int, cost: float) -> bytes:
    """The position message (61); `cost` is of one unit, in 1/10,000."""
    return frame(61, 3, account, *contract, quantity, money(cost))


def error(about: int, code: int, words: str) -> bytes:
    """The error message (4); `about` is an order's id or a request's, -1: neither."""
    return frame(4, 2, about, code, words, "")


# Tick types, live and delayed: bid, its size, ask, its size, last, its size, close.
BID, ASK, LAST, CLOSE = (1, 66), (2, 67), (4, 68), (9, 75)
SIZES = {BID: (0, 69), ASK: (3, 70), LAST: (5, 71)}


def tick_price(request: int, kind: int, price: float, size: int = 0) -> bytes:
    """The tickPrice message (1); `price` in 1/10,000, -10,000 says -1: there is none."""
    return frame(1, 6, request, kind, money(price), size, 0)


def tick_size(request: int, kind: int, size: int) -> bytes:
    """The tickSize message (2)."""
    return frame(2, 6, request, kind, size)


def tick_parameters(request: int, tick: int = 100) -> bytes:
    """The tickReqParams message (81): the smallest step of a price, in 1/10,000."""
    return frame(81, request, money(tick), "9c0001", 3)


def market_data_type(request: int, kind: int) -> bytes:
    """The marketDataType message (58): 1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""
    return frame(58, 1, request, kind)


def historical_data(request: int, bars: Sequence[Sequence[Any]]) -> bytes:
    """The historicalData message (17) of bars: date as 20260105, four prices, volume.

    Each bar's average price and number of trades, which nobody here knows, are its close and 1.
    """
    ends = [f"{bar[0]} 00:00:00 US/Eastern" for bar in (*bars[:1], *bars[-1:])] or ["", ""]
    return frame(17, request, *ends, len(bars), *(x for bar in bars for x in (*bar, bar[4], 1)))
