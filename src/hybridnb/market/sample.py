"""The `sample` feed: daily bars of five US names 2000–2013 that ship inside packages.

Prices of bokeh_sampledata are raw; they are split-adjusted once from the table below. The
index is the S&P 500 of arch's sample data.
"""

from __future__ import annotations

import pandas as pd

from hybridnb.domain import Bucket
from hybridnb.market.assemble import assemble
from hybridnb.market.contracts import check_bars
from hybridnb.market.feeds import FeedRequest, packaged
from hybridnb.market.instruments import instruments
from hybridnb.ports import MarketData

CALENDAR, CURRENCY = "XNYS", "USD"
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
# symbol, first session at the new price, new units for one old
SPLITS = (("AAPL", "2000-06-21", 2.0), ("AAPL", "2005-02-28", 2.0), ("MSFT", "2003-02-18", 2.0))


def load(request: FeedRequest) -> MarketData:
    """Read, adjust for splits, check."""
    checked = check_bars(
        _adjusted(_raw()), file="bokeh_sampledata", calendar=CALENDAR, currency=CURRENCY
    )
    splits = ", ".join(f"{s} {day}" for s, day, _ in SPLITS)
    return assemble(
        checked.bars,
        feed="sample",
        calendar=CALENDAR,
        currency=CURRENCY,
        instruments=instruments(
            SYMBOLS,
            lists=request.lists,
            sip_symbol=request.sip_symbol,
            currency=CURRENCY,
            given=request.symbols,
            default=Bucket.CORE,
        ),
        source="bokeh_sampledata (stocks), arch (S&P 500)",
        index=_index(checked.bars),
        notes=(f"split-adjusted 2:1: {splits}",),
    )


def _raw() -> pd.DataFrame:
    raw = pd.read_csv(packaged("bokeh_sampledata", "_data/stocks.csv.gz"))
    raw = raw.rename(columns=str.lower).rename(columns={"ticker": "symbol"})
    raw["date"] = pd.to_datetime(raw["date"])
    return raw[["symbol", "date", "open", "high", "low", "close", "volume"]]


def _adjusted(raw: pd.DataFrame) -> pd.DataFrame:
    """Prices before a split divided by its ratio, volumes multiplied by it."""
    out = raw.astype({"volume": float})
    for symbol, day, ratio in SPLITS:
        old = (out["symbol"] == symbol) & (out["date"] < pd.Timestamp(day))
        out.loc[old, ["open", "high", "low", "close"]] /= ratio
        out.loc[old, "volume"] *= ratio
    return out


def _index(bars: pd.DataFrame) -> pd.Series[float]:
    level = pd.read_csv(packaged("arch", "data/sp500/sp500.csv.gz"), index_col=0, parse_dates=True)
    sessions = pd.DatetimeIndex(sorted(bars["session"].unique()))
    return level["Adj Close"].reindex(sessions).ffill().rename("index").astype(float)
