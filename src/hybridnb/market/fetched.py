"""Bars that a server tells: asked for once a session, kept as they came, checked like a file's."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from hybridnb.domain import Bucket
from hybridnb.errors import Missing
from hybridnb.market import calendar as exchange
from hybridnb.market.assemble import assemble
from hybridnb.market.contracts import check_bars
from hybridnb.market.feeds import FeedRequest
from hybridnb.market.instruments import instruments
from hybridnb.ports import MarketData

FILE = "feeds.yml"
COLUMNS = ("symbol", "date", "open", "high", "low", "close", "volume")
Fetch = Callable[[pd.Timestamp], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Source:
    """Where bars are fetched from.

    Attributes
    ----------
    feed, calendar, currency : str
    told_by : str
        For people: whose bars they are.
    asked : mapping
        All that the bars depend on: other values are asked for anew.
    fetch : callable
        `(last) -> DataFrame`: columns `COLUMNS`, dates as ISO text, through the session `last`
        at least.
    settles : timedelta
        After the close, until a session's bars are taken for final.
    bucket : Bucket
        Class of a symbol that nothing else tells of.
    notes : tuple of str
    """

    feed: str
    calendar: str
    currency: str
    told_by: str
    asked: Mapping[str, Any]
    fetch: Fetch
    settles: dt.timedelta = dt.timedelta(0)
    bucket: Bucket = Bucket.UNKNOWN
    notes: tuple[str, ...] = ()


def market_of(source: Source, request: FeedRequest) -> MarketData:
    """The bars of a source through its exchange's last session that is over.

    The bars of a session in progress aren't final, and nothing may be decided on them. What was
    fetched is kept in `request.store`, if there is one, until the next session is over: every
    notebook of a day reads the same bars, and the server is asked once. An answer that lacks the
    last session, or breaks a contract, isn't kept.

    Raises
    ------
    InputError
        When what came breaks a contract.
    Missing
        When nobody answers.
    """
    last = last_over(source.calendar, pd.Timestamp.now(tz="UTC") - source.settles)
    path = _path(source, last, request.store)
    raw = pd.read_parquet(path) if path is not None and path.is_file() else source.fetch(last)
    checked = check_bars(
        raw[raw["date"] <= f"{last:%Y-%m-%d}"],
        file=source.told_by,
        calendar=source.calendar,
        currency=source.currency,
    )
    market = assemble(
        checked.bars,
        feed=source.feed,
        calendar=source.calendar,
        currency=source.currency,
        instruments=instruments(
            checked.bars["symbol"].unique(),
            lists=request.lists,
            sip_symbol=request.sip_symbol,
            currency=source.currency,
            given=request.symbols,
            default=source.bucket,
        ),
        source=source.told_by,
        notes=(*source.notes, *checked.notes),
    )
    if path is not None and raw["date"].max() >= f"{last:%Y-%m-%d}":
        keep(raw, path)
    return market


def last_over(calendar: str, now: pd.Timestamp) -> pd.Timestamp:
    """The last session that has closed at a time, which has a zone."""
    today = now.tz_convert(exchange.zone(calendar)).tz_localize(None).normalize()
    if exchange.is_session(calendar, today) and exchange.closes_at(calendar, today) <= now:
        return today
    return exchange.previous_session(calendar, today)


def needs(feed: str, library: str) -> None:
    """Refuse where a feed's library isn't installed.

    Raises
    ------
    Missing
        With the command that installs it.
    """
    if find_spec(library) is None:
        raise Missing(f"the feed {feed} needs {library}", remedy=f"pip install 'hybridnb[{feed}]'")


def _path(source: Source, last: pd.Timestamp, store: Path | None) -> Path | None:
    words = json.dumps([source.feed, source.calendar, dict(source.asked)], sort_keys=True)
    name = hashlib.sha256(words.encode()).hexdigest()[:16]
    return store and store / f"{source.feed}-{name}-{last:%Y-%m-%d}.parquet"


def keep(frame: pd.DataFrame, target: Path) -> None:
    """Write a table whole or not at all; what is there already is the same by its name."""
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(f".{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            frame.to_parquet(file, index=False)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
