"""The `ccxt` feed: daily bars of a crypto exchange, in the units that its orders are made in."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from hybridnb.errors import Missing, ParamsError
from hybridnb.market.feeds import FeedRequest
from hybridnb.market.fetched import COLUMNS, FILE, Source, market_of, needs
from hybridnb.policy import Params, validated
from hybridnb.ports import MarketData

CALENDAR = "24/7"
PAGE = 1000  # the most bars the exchange gives at once
DAY = 86_400_000  # milliseconds


class CcxtFeed(Params):
    """Which exchange's bars, and what one unit of ours is there: as in `params/brokers.yml`."""

    exchange: Literal["binance", "binanceus"] = Field(
        "binance", description="exchange class of ccxt; both speak the same protocol"
    )
    base_url: str | None = Field(
        None, pattern=r"^https?://[^/\s]+$", description="null: the exchange's public address"
    )
    timeout_s: float = Field(10.0, gt=0, le=60, description="seconds to wait for an answer")
    quote: str = Field("USDT", min_length=1, description="quote currency: the feed's")
    days: int = Field(1500, ge=1, le=5000, description="of history")
    unit: dict[str, str] = Field(
        min_length=1, description="symbol, like BTC/USDT, to coins of one unit, a decimal"
    )


def load(request: FeedRequest) -> MarketData:
    """Fetch and check: whole UTC days, which need no key.

    Raises
    ------
    Missing
        Without the library or an answer, or for a symbol that the exchange doesn't have.
    ParamsError
        For a unit that is none, or a symbol of another currency.
    InputError
        When a contract is broken.
    """
    needs("ccxt", "ccxt")
    chosen = validated(CcxtFeed, dict(request.section), file=FILE)
    units = {symbol: _unit(symbol, coins, chosen.quote) for symbol, coins in chosen.unit.items()}
    source = Source(
        feed="ccxt",
        calendar=CALENDAR,
        currency=chosen.quote,
        told_by=chosen.exchange,
        asked=chosen.model_dump(exclude={"timeout_s", "quote"}),
        fetch=lambda last: _fetch(chosen, units, last),
        notes=("a session is a day of UTC",),
    )
    return market_of(source, request)


def _unit(symbol: str, coins: str, quote: str) -> Decimal:
    if not symbol.endswith(f"/{quote}"):
        raise ParamsError(f"ccxt.unit.{symbol}", coins, f"allowed: pairs with {quote}", file=FILE)
    try:
        unit = Decimal(coins)
    except ArithmeticError:
        unit = Decimal(0)
    if not unit.is_finite() or unit <= 0:
        allowed = "allowed: a positive decimal of coins, like 0.01"
        raise ParamsError(f"ccxt.unit.{symbol}", coins, allowed, file=FILE)
    return unit


def _fetch(chosen: CcxtFeed, units: dict[str, Decimal], last: pd.Timestamp) -> pd.DataFrame:
    import ccxt  # type: ignore[import-untyped]

    api = getattr(ccxt, chosen.exchange)(
        {"enableRateLimit": True, "timeout": int(chosen.timeout_s * 1000)}
    )
    if chosen.base_url is not None:
        api.urls["api"] = {"public": f"{chosen.base_url}/api/v3"}
    first = last - pd.Timedelta(days=chosen.days - 1)
    begin, end = (int(day.tz_localize("UTC").timestamp() * 1000) for day in (first, last))
    rows: list[tuple[Any, ...]] = []
    try:
        for symbol, unit in units.items():
            rows += _bars(api, symbol, unit, begin, end)
    except ccxt.BaseError as error:
        raise Missing(
            f"{chosen.exchange} tells no bars of {symbol}: {error}"[:300],
            remedy=f"See the network, and the symbols in params/{FILE}; then run it again.",
        ) from None
    finally:
        api.session.close()
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _bars(api: Any, symbol: str, unit: Decimal, begin: int, end: int) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    while begin <= end:
        asked = {"symbol": symbol.replace("/", ""), "interval": "1d", "limit": PAGE}
        page = api.publicGetKlines(asked | {"startTime": begin, "endTime": end + DAY - 1})
        found = [_bar(symbol, unit, row) for row in page] if isinstance(page, list) else None
        if found is None or None in found:
            raise Missing(f"{api.id}'s bars of {symbol} can't be read", remedy="Try again later.")
        rows += [bar for bar in found if bar is not None]
        if len(page) < PAGE:
            break
        begin = int(page[-1][0]) + DAY
    return rows


def _bar(symbol: str, unit: Decimal, row: Any) -> tuple[Any, ...] | None:
    """A bar of whole units; None for what is no bar. Exact: prices come as decimal text."""
    try:
        date = dt.datetime.fromtimestamp(int(row[0]) // 1000, dt.UTC).date().isoformat()
        prices = [float(Decimal(str(price)) * unit) for price in row[1:5]]
        return symbol, date, *prices, float(Decimal(str(row[5])) / unit)
    except (ArithmeticError, ValueError, TypeError, LookupError, OSError):
        return None
