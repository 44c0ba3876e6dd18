"""The `yfinance` feed: daily bars of Yahoo Finance, for a user whom its terms allow them."""

from __future__ import annotations

import datetime as dt
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from hybridnb.errors import Missing, ParamsError
from hybridnb.market import calendar as exchange
from hybridnb.market.feeds import FeedRequest
from hybridnb.market.fetched import COLUMNS, FILE, Source, market_of, needs
from hybridnb.market.folder import calendar_of, currency_of
from hybridnb.policy import Params, validated
from hybridnb.ports import MarketData

NOTES = (
    "prices are adjusted for splits, not for dividends",
    "Yahoo's data is for personal use; its terms are for you to read",
)
SETTLES = dt.timedelta(minutes=30)  # its prices are up to 15 minutes late
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)  # yfinance, of a strange answer

Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9.^=&-]{1,32}$")]


class YahooFeed(Params):
    """Whose bars, and how many."""

    symbols: tuple[Symbol, ...] = Field(
        min_length=1, description="as Yahoo writes them: SHOP.TO, ABC.V, AAPL"
    )
    years: int = Field(10, ge=1, le=50, description="of history")
    timeout_s: float = Field(30.0, gt=0, le=300, description="seconds to wait for an answer")


def load(request: FeedRequest) -> MarketData:
    """Fetch and check: as Yahoo tells the bars, but for those without prices.

    Raises
    ------
    Missing
        Without the library or an answer, or for a symbol that Yahoo doesn't have.
    ParamsError
        For a symbol that is quoted in another currency.
    UsageError
        When no currency is known for the calendar.
    InputError
        When a contract is broken.
    """
    needs("yfinance", "yfinance")
    chosen = validated(YahooFeed, dict(request.section), file=FILE)
    calendar = request.calendar or calendar_of(chosen.symbols)
    currency = request.currency or currency_of(calendar)
    source = Source(
        feed="yfinance",
        calendar=calendar,
        currency=currency,
        told_by="Yahoo",
        asked=chosen.model_dump(exclude={"timeout_s"}) | {"currency": currency},
        fetch=lambda last: _fetch(chosen, calendar, currency, last),
        settles=SETTLES,
        notes=NOTES,
    )
    market = market_of(source, request)
    return replace(market, notes=(*market.notes, *_left_out(market)))


def _left_out(market: MarketData) -> tuple[str, ...]:
    """How many bars between a symbol's first and last have no prices; of kept bars, too."""
    spans = market.bars.groupby("symbol")["session"].agg(["min", "max", "size"])
    known = exchange.sessions(market.calendar, spans["min"].min(), spans["max"].max())
    sessions = known.searchsorted(spans["max"]) - known.searchsorted(spans["min"]) + 1
    missing = int(sessions.sum() - spans["size"].sum())
    return (f"{missing} bars are left out: Yahoo has no prices of them",) if missing else ()


def _fetch(chosen: YahooFeed, calendar: str, currency: str, last: pd.Timestamp) -> pd.DataFrame:
    asked = {
        "start": f"{last - pd.DateOffset(years=chosen.years):%Y-%m-%d}",
        "end": f"{last + pd.Timedelta(days=1):%Y-%m-%d}",
        "auto_adjust": False,
        "actions": False,
        "timeout": chosen.timeout_s,
    }
    found, unknown = [], []
    with _yfinance() as library:
        for symbol in chosen.symbols:
            try:
                ticker = library.Ticker(symbol)
                ticker._tz = exchange.zone(calendar)  # or it asks Yahoo, symbol by symbol
                found.append(_bars(ticker, currency, asked))
            except library.exceptions.YFTickerMissingError as error:
                unknown.append(f"{symbol}: {error.rationale}")
            except (library.exceptions.YFException, OSError) as error:
                raise _missing(f"{symbol}: {error}") from None
            except UNREADABLE:
                raise _missing(f"{symbol}: the answer can't be read") from None
    if unknown:
        raise _missing("; ".join(unknown))
    return pd.concat(found, ignore_index=True)


def _missing(detail: str) -> Missing:
    return Missing(
        f"Yahoo tells no bars of {detail}"[:300],
        remedy=f"See the network, and the symbols in params/{FILE}; then run it again.",
    )


@contextmanager
def _yfinance() -> Iterator[Any]:
    """The library, set to raise its errors and to keep nothing: it would keep bad answers too."""
    import yfinance  # type: ignore[import-untyped]
    from yfinance.data import YfData  # type: ignore[import-untyped]

    yfinance.set_tz_cache_location(os.devnull)  # no folder, so it writes no file
    YfData.cache_get.cache_clear()
    debug = yfinance.config.debug
    hidden, debug.hide_exceptions = debug.hide_exceptions, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # between it and pandas
            yield yfinance
    finally:
        debug.hide_exceptions = hidden


def _bars(ticker: Any, currency: str, asked: dict[str, Any]) -> pd.DataFrame:
    told = ticker.history(**asked).dropna(subset=["Open", "High", "Low", "Close"])
    quoted = ticker.history_metadata["currency"]
    if quoted != currency:
        allowed = f"the feed is in {currency}, and Yahoo quotes it in {quoted}"
        raise ParamsError("yfinance.symbols", ticker.ticker, allowed, file=FILE)
    if told.empty:
        raise _missing(f"{ticker.ticker}: all of them are without prices")
    values = {name: told[name.capitalize()].to_numpy() for name in COLUMNS[2:]}
    return pd.DataFrame({"symbol": ticker.ticker, "date": told.index.strftime("%Y-%m-%d")} | values)
