"""The seams: what one room receives from another, as types.

Folders never import each other; `app/` builds these values in one room and hands them to the
next. Frames are pandas, long form, sorted by (symbol, session), with a RangeIndex.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hybridnb.domain import Bar, Basis, Fill, Instrument, Order

if TYPE_CHECKING:
    import pandas as pd

# Columns of a bars frame. `session` is a normalised naive datetime64; the rest float64.
BAR_COLUMNS = ("symbol", "session", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a quality check: `severity` is warning, error or critical."""

    check: str
    severity: str
    symbol: str
    session: str
    detail: str


@dataclass(frozen=True, slots=True)
class MarketData:
    """A feed's history after its contracts held: the only form in which bars travel.

    Attributes
    ----------
    feed, calendar, currency : str
        Feed's name, exchange_calendars code, currency of the prices.
    basis : Basis
        Whether the bars have all four prices or the close alone.
    bars : pandas.DataFrame
        Columns `BAR_COLUMNS`; prices in `currency`, volume in units (NaN: the feed has none).
    index : pandas.Series
        Closing level of the market by session: the feed's index, or the equal-weighted
        cumulative return of its names.
    instruments : mapping of str to Instrument
    headlines : pandas.DataFrame or None
        Columns symbol, text, available_at; None when the feed has no news.
    findings : tuple of Finding
        What the quality checks found.
    excluded : mapping of str to str
        Symbols a quality error took out, with the reason.
    digest : str
        SHA-256 of the bars' canonical bytes.
    source : str
        What a reader may look up: file name or package.
    notes : tuple of str
        What was done to read it ("the file was not sorted").
    """

    feed: str
    calendar: str
    currency: str
    basis: Basis
    bars: pd.DataFrame
    index: pd.Series[float]
    instruments: Mapping[str, Instrument]
    digest: str
    source: str
    headlines: pd.DataFrame | None = None
    findings: tuple[Finding, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Feed(Protocol):
    """A source of bars. Entry point group: `hybridnb.feeds`."""

    name: str

    def load(self) -> MarketData:
        """Read everything, check the contracts, assess the quality.

        Raises
        ------
        InputError
            When a contract is broken: file, row, rule.
        """


class Predictor(Protocol):
    """A fitted model of the probability that the price is higher after its horizon."""

    name: str

    def predict(self, features: pd.DataFrame) -> Any:
        """Probabilities in [0, 1], one a row; NaN where the row lacks its warm-up."""

    def digest(self) -> str:
        """Canonical content digest: arrays and parameters, not file bytes."""


class Ledger(Protocol):
    """An append-only, hash-chained record."""

    def append(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Append rows in one commit group; the new head."""

    def rows(self, **match: str) -> Sequence[Mapping[str, Any]]:
        """Payloads in order, filtered by equal top-level fields."""


class Broker(Protocol):
    """Where orders go. Entry point group: `hybridnb.brokers`."""

    name: str

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        """Take orders; each comes back accepted or rejected with a reason."""

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        """Withdraw working orders."""

    def run(self, bars: Mapping[str, Bar], phase: str) -> tuple[list[Order], list[Fill]]:
        """Let the market move: orders that changed and their fills."""


def session_text(session: dt.date | dt.datetime) -> str:
    """A session's name: its ISO date."""
    return session.strftime("%Y-%m-%d")
