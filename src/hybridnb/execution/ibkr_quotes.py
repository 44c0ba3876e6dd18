"""Last prices from IB Gateway: a line of market data for each symbol that is followed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ib_async import Ticker

from hybridnb.domain import SCALE
from hybridnb.execution.ibkr_book import Book
from hybridnb.execution.ibkr_line import Line
from hybridnb.execution.ibkr_rows import Contracts, stock_of

RETRY = 60.0  # seconds until a line that was refused is asked for again
# What is said of a line that goes on: only a part is subscribed, or delayed data are shown.
_NOTICES = frozenset({10090, 10167})
_DELAYED = frozenset({3, 4})


@dataclass(frozen=True, slots=True)
class Subscription:
    """A line of market data: the request's number, when it was asked for, what it told."""

    request: int
    since: float
    ticker: Ticker


class Quotes:
    """Market data of what is held, at work or watched; only to be used on the line's loop.

    IB lets a login have about a hundred lines at once, so that one is asked for when a symbol
    begins to be followed and cancelled when it ends. A line that the gateway refuses leaves the
    price missing; it is asked for again after `RETRY` seconds.

    Parameters
    ----------
    line : Line
    contracts : Contracts
    book : Book
    """

    def __init__(self, line: Line, contracts: Contracts, book: Book) -> None:
        self._line, self._contracts, self._book = line, contracts, book
        self._lines: dict[str, Subscription] = {}
        self._refused: dict[str, tuple[float, str]] = {}
        self._watched: set[str] = set()
        self._epoch = -1

    async def prices(self) -> dict[str, int]:
        """Last prices in 1/10,000 of the symbols that have one; see `price_of`."""
        self._follow()
        found = {s: self._price(line) for s, line in sorted(self._lines.items())}
        return {symbol: price for symbol, price in found.items() if price is not None}

    async def watch(self, symbols: Iterable[str]) -> None:
        """Follow these as well, until the next call; wait for what their lines tell first."""
        self._watched = set(symbols)
        self._follow()
        await self._line.until(self._told)

    def _told(self) -> bool:
        self._hear()
        return all(
            traded_or_offered(self._lines[s].ticker) is not None
            for s in self._watched & self._lines.keys()
        )

    async def heard(self) -> float | None:
        """When a line last told anything, seconds since 1970; None before any did."""
        times = [line.ticker.timestamp for line in self._lines.values()]
        return max((at for at in times if at is not None), default=None)

    async def missing(self) -> dict[str, str]:
        """Why a symbol that is followed has no price: refused, or nothing came in time."""
        if self._epoch != self._line.epoch:
            return {}
        self._hear()
        late = self._now() - self._line.settings.timeout_s
        told = {symbol: words for symbol, (_, words) in self._refused.items()}
        for symbol, line in self._lines.items():
            if line.since <= late and self._price(line) is None:
                told.setdefault(symbol, "no price came")
        return dict(sorted(told.items()))

    def _follow(self) -> None:
        """Have a line of each symbol that matters, and of no other."""
        mine = self._book.active() | self._watched
        wanted = mine & self._contracts.instruments.keys()
        if self._epoch != self._line.epoch:  # the gateway knows nothing of the lines before
            self._epoch = self._line.epoch
            self._lines, self._refused = {}, {}
            client: Any = self._line.ib.client
            client.reqMarketDataType(self._line.settings.market_data_type)
        self._refused = {s: told for s, told in self._refused.items() if s in wanted}
        for symbol in [s for s in self._lines if s not in wanted]:
            self._cancel(symbol)
        self._hear()
        now = self._now()
        for symbol in sorted(wanted - self._lines.keys()):
            if symbol not in self._refused or now - self._refused[symbol][0] >= RETRY:
                self._ask(symbol)

    def _ask(self, symbol: str) -> None:
        # The library's own request names a ticker by IB's number of the contract, which isn't
        # known before something of it is held: the contract is sent as orders send it.
        ib, contract = self._line.ib, stock_of(self._contracts.instruments[symbol])
        request = ib.client.getReqId()
        ticker = Ticker(contract=contract, defaults=ib.wrapper.defaults)
        ib.wrapper.reqId2Ticker[request] = ticker
        self._lines[symbol] = Subscription(request, self._now(), ticker)
        self._line.said.pop(request, None)
        client: Any = ib.client
        client.reqMktData(request, contract, "", False, False, [])

    def _cancel(self, symbol: str) -> None:
        client: Any = self._line.ib.client
        client.cancelMktData(self._lines.pop(symbol).request)

    def _hear(self) -> None:
        """Take the gateway's refusals; a line that gives prices is no longer refused."""
        for symbol, line in list(self._lines.items()):
            code, words = self._line.said.get(line.request, (0, ""))
            if code and code not in _NOTICES and not 2100 <= code < 2200:
                self._cancel(symbol)
                self._refused[symbol] = (self._now(), f"{code}: {words}")
            elif symbol in self._refused and self._price(line) is not None:
                del self._refused[symbol]

    def _price(self, line: Subscription) -> int | None:
        late = line.ticker.marketDataType in _DELAYED
        allowed = self._line.settings.market_data_type in _DELAYED
        return None if late and not allowed else price_of(line.ticker)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def price_of(ticker: Ticker) -> int | None:
    """The last price of a ticker in 1/10,000, else the middle of bid and ask, else the close.

    NaN, -1 and whatever else is no positive price are missing; None where nothing is left.
    """
    price = traded_or_offered(ticker)
    return _scaled(ticker.close) if price is None else price


def traded_or_offered(ticker: Ticker) -> int | None:
    """The last price of a ticker in 1/10,000, else the middle of bid and ask; None without."""
    last, bid, ask = (_scaled(p) for p in (ticker.last, ticker.bid, ticker.ask))
    if last is None and bid is not None and ask is not None:
        return (bid + ask) // 2
    return last


def _scaled(price: float) -> int | None:
    scaled = price * SCALE
    return (round(scaled) or None) if math.isfinite(scaled) and 0.0 < scaled < 2**53 else None
