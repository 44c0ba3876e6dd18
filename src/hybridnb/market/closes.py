"""The `closes` feed: adjusted closes of twenty S&P names and the index, 1990–2022, from skfolio.

There is one price a session: every bar has open = high = low = close and no volume.
"""

from __future__ import annotations

import pandas as pd

from hybridnb.domain import Basis, Bucket
from hybridnb.market.assemble import assemble
from hybridnb.market.contracts import PRICES, check_bars
from hybridnb.market.feeds import FeedRequest, packaged
from hybridnb.market.instruments import instruments
from hybridnb.ports import MarketData

CALENDAR, CURRENCY = "XNYS", "USD"


def load(request: FeedRequest) -> MarketData:
    """Read and check."""
    closes = _wide("sp500_dataset.csv.gz")
    raw = (
        closes.rename_axis(index="date")
        .reset_index()
        .melt("date", var_name="symbol", value_name="close")
    )
    for name in PRICES:
        raw[name] = raw["close"]
    checked = check_bars(
        raw, file="skfolio", calendar=CALENDAR, currency=CURRENCY, basis=Basis.CLOSE
    )
    return assemble(
        checked.bars,
        feed="closes",
        calendar=CALENDAR,
        currency=CURRENCY,
        instruments=instruments(
            closes.columns,
            lists=request.lists,
            sip_symbol=request.sip_symbol,
            currency=CURRENCY,
            given=request.symbols,
            default=Bucket.CORE,
        ),
        source="skfolio (sp500_dataset, sp500_index)",
        basis=Basis.CLOSE,
        index=_wide("sp500_index.csv.gz").iloc[:, 0].rename("index"),
        notes=("bars have only a close: trades fill at the close",),
    )


def _wide(name: str) -> pd.DataFrame:
    path = packaged("skfolio", f"datasets/data/{name}")
    table = pd.read_csv(path, index_col=0, parse_dates=True).astype(float)
    table.index = pd.DatetimeIndex(table.index).astype("datetime64[ns]")
    return table
