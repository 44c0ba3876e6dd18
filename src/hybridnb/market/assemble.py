"""From clean bars to `MarketData`: quality, exclusions, the index and the digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from hybridnb.domain import Basis, Instrument
from hybridnb.market import calendar as exchange
from hybridnb.market.quality import Locate, assess
from hybridnb.ports import MarketData

_NUMBERS = ("open", "high", "low", "close", "volume")


def digest(bars: pd.DataFrame) -> str:
    """SHA-256 of the bars' values: equal for equal bars whatever their dtypes and index.

    Parameters
    ----------
    bars : DataFrame
        Columns `ports.BAR_COLUMNS`, sorted by (symbol, session). NaN is one value.
    """
    found = hashlib.sha256()
    names, codes = np.unique(bars["symbol"].to_numpy(dtype="U"), return_inverse=True)
    found.update("\x00".join(names.tolist()).encode())
    found.update(codes.astype("<i8").tobytes())
    found.update(bars["session"].to_numpy("datetime64[D]").astype("<i8").tobytes())
    for name in _NUMBERS:
        values = bars[name].to_numpy(np.float64)
        found.update(np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8").tobytes())
    return found.hexdigest()


def assemble(
    bars: pd.DataFrame,
    *,
    feed: str,
    calendar: str,
    currency: str,
    instruments: Mapping[str, Instrument],
    source: str,
    basis: Basis = Basis.OHLCV,
    index: pd.Series[float] | None = None,
    headlines: pd.DataFrame | None = None,
    notes: tuple[str, ...] = (),
    locate: Locate | None = None,
    jumps_refuse: bool = False,
) -> MarketData:
    """Assess the quality, take out what has an error, and put a market together.

    Parameters
    ----------
    bars : DataFrame
        As `contracts.check_bars` returns them.
    index : Series or None
        Level of the market by session; None: the equal-weighted return of its names.
    locate, jumps_refuse
        As for `quality.assess`.

    Raises
    ------
    InputError
        When a finding is critical, or too many symbols have an error.
    """
    found = assess(
        bars,
        calendar=calendar,
        basis=basis,
        locate=locate,
        source=source,
        jumps_refuse=jumps_refuse,
    )
    kept = bars[~bars["symbol"].isin(list(found.excluded))].reset_index(drop=True)
    return MarketData(
        feed=feed,
        calendar=calendar,
        currency=currency,
        basis=basis,
        bars=kept,
        index=equal_weighted(kept) if index is None else index,
        instruments=instruments,
        digest=digest(kept),
        source=source,
        headlines=headlines,
        findings=found.findings,
        excluded=found.excluded,
        notes=notes,
    )


def equal_weighted(bars: pd.DataFrame) -> pd.Series[float]:
    """Cumulative product of the names' mean daily return, 100 at the first session."""
    returns = bars.groupby("symbol", sort=False)["close"].pct_change()
    mean = returns.groupby(bars["session"]).mean().fillna(0.0)
    return (100.0 * (1.0 + mean).cumprod()).rename("index")


def until(market: MarketData, session: pd.Timestamp) -> MarketData:
    """The market as it was known at a session's close: no later bar, level or headline.

    Findings and exclusions stay as loaded: they say which names the whole file lets anyone trade.

    Parameters
    ----------
    session : Timestamp
        A session of the market's calendar.
    """
    bars = market.bars[market.bars["session"] <= session].reset_index(drop=True)
    index = market.index[market.index.index <= session]
    headlines = market.headlines
    if headlines is not None:
        known = headlines["available_at"] <= exchange.closes_at(market.calendar, session)
        headlines = headlines[known].reset_index(drop=True)
    return replace(market, bars=bars, index=index, headlines=headlines, digest=digest(bars))
