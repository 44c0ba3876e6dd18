"""Market data of a stub IB Gateway: who listens to what, and what each is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hybridnb.testing import ibkr_messages as tws
from hybridnb.testing.ibkr_messages import error

LIVE, DELAYED, NONE, COMPETING = "live", "delayed", "none", "competing"
SILENT, CUT = "silent", "cut"
LINES = 100  # at once, of a login
EMPTY = -10_000  # -1: there is no price
SIZE = 100
_TICKS = {"bid": tws.BID, "ask": tws.ASK, "last": tws.LAST, "close": tws.CLOSE}
_WORDS = {
    354: "Requested market data is not subscribed.Check API status by selecting the Account menu "
    "then under Management choose Market Data Subscription Manager and/or availability of delayed "
    "data.",
    10168: "Requested market data is not subscribed. Delayed market data is not enabled.",
    10197: "No market data during competing live session",
}


class Listener(Protocol):
    """A connected API client."""

    def send(self, *messages: bytes) -> None:
        """Send messages, in this order."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One line of market data: the request's number, what it is of, its data type."""

    listener: Listener
    request: int
    symbol: str
    kind: int


@dataclass(slots=True)
class Feeds:
    """Lines of market data, and bars of the past.

    Attributes
    ----------
    permission : str
        Which lines the login may have: `live`, `delayed`, `none`, or `competing`, when another
        session of the login takes the data.
    quotes : dict
        Prices by symbol and name: bid, ask, last, close.
    history : dict
        Daily bars by symbol, told as they are: date as 20260105, four prices, volume (-1: unknown).
        A symbol without is no contract (error 200).
    refusals : dict
        Code and words of the error that a question about a symbol's bars gets.
    history_fault : str
        Such questions are never answered (`silent`), or cut off in the middle of it (`cut`).
    """

    permission: str = LIVE
    quotes: dict[str, dict[str, int]] = field(default_factory=dict)
    history: dict[str, Sequence[Sequence[Any]]] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    history_fault: str = ""
    lines: list[Feed] = field(default_factory=list)
    _kinds: dict[int, int] = field(default_factory=dict)  # data type by listener

    def choose(self, listener: Listener, kind: int) -> None:
        """The data type of the requests that follow."""
        self._kinds[id(listener)] = kind

    def subscribe(self, listener: Listener, fields: Sequence[str], symbol: str) -> None:
        """A reqMktData message; what is known of the symbol is told at once."""
        request, kind = int(fields[2]), self._kinds.get(id(listener), 1)
        if len([f for f in self.lines if f.listener is listener]) >= LINES:
            listener.send(error(request, 101, "Max number of tickers has been reached"))
            return
        feed = Feed(listener, request, symbol, kind)
        if self._refused(feed):
            return
        if self._delayed(feed):
            words = "Requested market data is not subscribed. Displaying delayed market data."
            listener.send(error(request, 10167, words))
        self.lines.append(feed)
        shown = 3 if self._delayed(feed) else 1
        listener.send(tws.tick_parameters(request), tws.market_data_type(request, shown))
        quote = {"bid": EMPTY, "ask": EMPTY} | self.quotes.get(symbol, {})
        self._tell(feed, quote)

    def cancel(self, listener: Listener, fields: Sequence[str]) -> None:
        """A cancelMktData message."""
        request = int(fields[2])
        kept = [f for f in self.lines if (f.listener, f.request) != (listener, request)]
        if len(kept) == len(self.lines):
            listener.send(error(request, 300, f"Can't find EId with tickerId:{request}"))
        self.lines = kept

    def past(self, listener: Listener, fields: Sequence[str], symbol: str) -> bool:
        """A reqHistoricalData message; False: the client is to be cut off."""
        request, bars = int(fields[1]), self.history.get(symbol)
        if self.history_fault == SILENT:
            return True
        if symbol in self.refusals:
            listener.send(error(request, *self.refusals[symbol]))
        elif bars is None:
            words = "No security definition has been found for the request"
            listener.send(error(request, 200, words))
        else:
            told = tws.historical_data(request, bars)
            whole = self.history_fault != CUT
            listener.send(told if whole else told[: len(told) // 2])
            return whole
        return True

    def leave(self, listener: Listener) -> None:
        """The client is gone with its lines."""
        self.lines = [f for f in self.lines if f.listener is not listener]
        self._kinds.pop(id(listener), None)

    def quote(self, symbol: str, prices: dict[str, int]) -> None:
        """Prices changed: those who listen are told.

        Raises
        ------
        ValueError
            For a name of a price that there isn't.
        """
        if unknown := prices.keys() - _TICKS.keys():
            raise ValueError(f"no such prices: {sorted(unknown)}")
        self.quotes[symbol] = self.quotes.get(symbol, {}) | prices
        for feed in self.lines:
            if feed.symbol == symbol:
                self._tell(feed, prices)

    def permit(self, permission: str) -> None:
        """What the login may have from now on; lines that it may not have end with an error.

        Raises
        ------
        ValueError
            For a permission that there isn't.
        """
        if permission not in (LIVE, DELAYED, NONE, COMPETING):
            raise ValueError(f"no such permission: {permission!r}")
        self.permission = permission
        self.lines = [feed for feed in self.lines if not self._refused(feed)]

    def _delayed(self, feed: Feed) -> bool:
        return self.permission == DELAYED and feed.kind in (3, 4)

    def _refused(self, feed: Feed) -> bool:
        code = {LIVE: 0, COMPETING: 10197, NONE: 354}.get(self.permission, 10168)
        if not code or self._delayed(feed):
            return False
        feed.listener.send(error(feed.request, code, _WORDS[code]))
        return True

    def _tell(self, feed: Feed, prices: dict[str, int]) -> None:
        late = int(self._delayed(feed))
        for name, price in prices.items():
            ticks = _TICKS[name]
            size = SIZE if name != "close" and price > 0 else 0
            feed.listener.send(tws.tick_price(feed.request, ticks[late], price, size))
            if size:
                kind = tws.SIZES[ticks][late]
                feed.listener.send(tws.tick_size(feed.request, kind, size))
