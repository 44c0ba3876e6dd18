"""The `ibkr` feed: daily bars of stocks from IB Gateway, for those who trade there."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import math
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pandas as pd
from pydantic import Field, field_validator

from hybridnb.errors import Missing, ParamsError
from hybridnb.market.feeds import FeedRequest
from hybridnb.market.fetched import COLUMNS, FILE, Source, market_of, needs
from hybridnb.market.folder import CURRENCIES, calendar_of
from hybridnb.policy import Params, validated
from hybridnb.ports import MarketData

Row = tuple[str, str, float, float, float, float, float]
Symbol = Annotated[str, Field(max_length=32, pattern=r"^[A-Z0-9][A-Z0-9.-]*$")]
NOTES = (
    "prices are adjusted for splits and not for dividends",
    "volumes leave out trades away from the market, like blocks and combinations",
)
SETTLES = dt.timedelta(minutes=15)  # closing auctions print after the close
# Data farms are connected, idle until somebody asks, or connecting: nothing is wrong.
_WELL = frozenset({2104, 2106, 2107, 2108, 2119, 2158})
_UNKNOWN = -1.0  # IB's word for a volume that it doesn't know


class IbkrFeed(Params):
    """Where the gateway listens, as whom it is asked, and whose bars are wanted."""

    host: str = Field("127.0.0.1", min_length=1, description="host of IB Gateway or TWS")
    port: int = Field(
        4002, gt=0, lt=65536, description="4002: gateway, paper; 4001: gateway, live; 7497, 7496"
    )
    client_id: int = Field(2, ge=1, lt=2**31, description="another one than the ibkr broker's")
    timeout_s: float = Field(30.0, gt=0, le=600, description="seconds to wait for each answer")
    years: int = Field(10, ge=1, le=30, description="of history")
    symbols: tuple[Symbol, ...] = Field(
        min_length=1, description="capitals; SHOP.TO: Toronto, ABC.V: Venture, AAPL: United States"
    )

    @field_validator("symbols")
    @classmethod
    def _once(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(symbols)) < len(symbols):
            raise ValueError("each symbol once")
        return symbols


def load(request: FeedRequest) -> MarketData:
    """Fetch and check bars of regular trading hours; the gateway is only read from.

    Raises
    ------
    Missing
        Without the library, the gateway or its answer, or for a symbol that it refuses.
    ParamsError
        For a setting that can't be, or a symbol that isn't quoted in the feed's currency.
    InputError
        When a contract is broken.
    """
    needs("ibkr", "ib_async")
    chosen = validated(IbkrFeed, dict(request.section), file=FILE)
    calendar = request.calendar or calendar_of(chosen.symbols)
    # Of a calendar that isn't listed, US dollars: no other bars come in below.
    currency = request.currency or CURRENCIES.get(calendar, "USD")
    for symbol in chosen.symbols:
        quoted = stock_of(symbol)[2]
        if quoted != currency:
            allowed = f"it is quoted in {quoted}, the feed is in {currency}"
            raise ParamsError("ibkr.symbols", symbol, allowed, file=FILE)
    source = Source(
        feed="ibkr",
        calendar=calendar,
        currency=currency,
        told_by="IB Gateway",
        asked={"symbols": sorted(chosen.symbols), "years": chosen.years},
        fetch=lambda _: pd.DataFrame(_finished(_ask(chosen)), columns=list(COLUMNS)),
        settles=SETTLES,
        notes=NOTES,
    )
    return market_of(source, request)


def stock_of(symbol: str) -> tuple[str, str, str]:
    """Name, exchange and currency of a symbol at IB, as the ibkr broker has them."""
    for ending, exchange in ((".TO", "TSE"), (".V", "VENTURE")):
        if symbol.endswith(ending):
            return symbol.removesuffix(ending).replace("-", "."), exchange, "CAD"
    return symbol.replace("-", " "), "SMART", "USD"


def _finished(work: Coroutine[Any, Any, list[Row]]) -> list[Row]:
    """What the work returns, on a thread of its own: a notebook's thread runs a loop already."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    with contextlib.closing(loop), ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(loop.run_until_complete, task).result()
        except BaseException:  # after Ctrl-C the thread would go on, and be waited for
            loop.call_soon_threadsafe(task.cancel)
            raise


async def _ask(chosen: IbkrFeed) -> list[Row]:
    """Every symbol's bars, one symbol after another; the connection is closed at the end."""
    from ib_async import IB, RequestError, StartupFetch

    library = logging.getLogger("ib_async")
    if not library.handlers:  # what it logs is for those who configure logging, not for stderr
        library.addHandler(logging.NullHandler())
    rows: list[Row] = []
    symbol = said = ""

    def hear(_about: int, code: int, words: str, _contract: object) -> None:
        nonlocal said
        if code not in _WELL:
            said = f"; {code}: {words}"

    ib = IB()
    ib.RaiseRequestErrors = True
    ib.errorEvent += hear
    try:
        async with asyncio.timeout(chosen.timeout_s):
            await ib.connectAsync(
                host=chosen.host,
                port=chosen.port,
                clientId=chosen.client_id,
                timeout=0,  # the limit is ours
                readonly=True,
                fetchFields=StartupFetch(0),
            )
        for symbol in chosen.symbols:
            async with asyncio.timeout(chosen.timeout_s):
                rows += await _bars(ib, symbol, chosen.years)
    except RequestError as error:
        raise _refused(symbol, f"{error.code}: {error.message}") from None
    except OSError as error:  # no connection, a broken one, or no answer in time
        about = f" about {symbol}" if symbol else ""
        words = (str(error) or "no answer in time") + said
        raise Missing(
            f"IB Gateway at {chosen.host}:{chosen.port}{about}: {words}"[:300],
            remedy=f"Start IB Gateway, log in, allow API clients on port {chosen.port}; client id "
            f"{chosen.client_id} must be free, then run the command again.",
        ) from None
    finally:
        if ib.client.conn.transport is not None:
            ib.client.conn.transport.abort()
        await asyncio.sleep(0)  # the socket closes in the loop's next turn
    return rows


async def _bars(ib: Any, symbol: str, years: int) -> list[Row]:
    from ib_async import Stock

    bars = await ib.reqHistoricalDataAsync(
        Stock(*stock_of(symbol)),
        endDateTime="",
        durationStr=f"{years} Y",
        barSizeSetting="1 day",
        whatToShow="TRADES",
        useRTH=True,
        formatDate=1,
        timeout=0,  # its own limit would make no bars of no answer
    )
    if not bars:
        raise _refused(symbol, "it has none")
    return [
        (
            symbol,
            f"{bar.date:%Y-%m-%d}",
            *(bar.open, bar.high, bar.low, bar.close),
            math.nan if bar.volume == _UNKNOWN else bar.volume,
        )
        for bar in bars
    ]


def _refused(symbol: str, words: str) -> Missing:
    return Missing(
        f"IB Gateway tells no bars of {symbol}: {words}"[:300],
        remedy=f"See the symbol in params/{FILE}, and which market data the login may have; "
        "then run it again.",
    )
