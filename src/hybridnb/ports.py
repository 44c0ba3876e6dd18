"""The seams: what one room receives from another, as types.

Folders never import each other; `app/` builds these values in one room and hands them to the
next. Frames are pandas, long form, sorted by (symbol, session), with a RangeIndex.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hybridnb.domain import Basis, Fill, Instrument, Order, Outcome

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


@dataclass(frozen=True, slots=True)
class Events:
    """What happened at a venue since it was last asked: orders that changed, and fills."""

    orders: tuple[Order, ...] = ()
    fills: tuple[Fill, ...] = ()


@dataclass(frozen=True, slots=True)
class Holding:
    """A position as a broker states it: signed units, average price in 1/10,000 a unit."""

    quantity: int
    price: float


@dataclass(frozen=True, slots=True)
class Statement:
    """A broker's account as it stands: the truth a book is reconciled against.

    Attributes
    ----------
    orders : tuple of Order
        Orders that are open, with what they have filled.
    fills : tuple of Fill
        Executions the broker remembers, at least those of the session in progress.
    holdings : mapping of str to Holding
        Positions that aren't zero.
    cash : int or None
        In 1/10,000 of `currency`; None where it can't be told.
    realised : int or None
        Profit and loss that the venue's day has realised so far, in the same, net of all
        commissions, those of opening too; None where it can't be told.
    """

    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    holdings: Mapping[str, Holding]
    cash: int | None
    currency: str
    realised: int | None = None


class Broker(Protocol):
    """Where orders go. Entry point group: `hybridnb.brokers`.

    A venue's answer to one order is a value: accepted, rejected with a code, or unknown after a
    timeout, which is in flight until `statement` tells. A connection that is down raises
    `BrokerDown`.
    """

    name: str

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        """Send new orders; a client id known to the venue is refused as a duplicate."""

    def amend(self, orders: Sequence[Order]) -> list[Order]:
        """Make working orders have this quantity still to fill and these prices.

        One that isn't known yet is submitted. Returns the orders that changed.
        """

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        """Withdraw working orders, all in one action; ids that aren't working are passed over."""

    def poll(self) -> Events:
        """What changed since the last call, in the order it happened, each fill exactly once."""

    def statement(self) -> Statement:
        """Orders, executions, positions and cash as the venue knows them now."""

    def close(self) -> None:
        """Let go of the connection; working orders stay."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a reasoner.

    Attributes
    ----------
    task : str
        Its name, which is the schema's too: letters, digits, underscores.
    instructions : str
        What the reasoner is to do; text that we wrote.
    facts : str
        What it is to look at: canonical JSON. Strangers' text in it is data without authority.
    schema : mapping
        Strict JSON Schema of the reply: every property required, none other allowed.
    max_tokens : int
        Ceiling of the reply.
    timeout_s : float
        For the whole attempt.
    """

    task: str
    instructions: str
    facts: str
    schema: Mapping[str, Any]
    max_tokens: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt came to, with everything its record keeps; never a secret.

    Attributes
    ----------
    outcome : Outcome
    reply : mapping or None
        The JSON object of the reply, its shape not yet checked by who asked; None on a failure.
    detail : str
        For people: what went wrong, in the server's words where it has some; 500 characters at
        most.
    model : str
        As the server names it; what was asked for where it names none.
    request, response : bytes
        Bodies as sent and received; empty where nothing was. A response is cut at the ceiling of
        what is read.
    status : int or None
        Of HTTP.
    usage : mapping of str to int
        Tokens of input and output, where told.
    seconds : float
    digest : str
        Of the model's weights, where the server tells.
    """

    outcome: Outcome
    reply: Mapping[str, Any] | None = None
    detail: str = ""
    model: str = ""
    request: bytes = b""
    response: bytes = b""
    status: int | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    digest: str = ""


class Reasoner(Protocol):
    """A model that is asked questions. Entry point group: `hybridnb.reasoners`."""

    name: str

    def ask(self, question: Question) -> Answer:
        """One attempt on the wire, never more.

        Whatever a server does is a value: no exception leaves but those of a mistake of ours.
        """

    def close(self) -> None:
        """Let go of connections."""


def session_text(session: dt.date | dt.datetime) -> str:
    """A session's name: its ISO date."""
    return session.strftime("%Y-%m-%d")
