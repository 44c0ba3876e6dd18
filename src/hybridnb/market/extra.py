"""Other facts of the market: put/call open interest, macro events, headlines, dividends.

One file in long form, `name, symbol, value, available_at`. Each row says when it was available,
and counts from the first session whose close is at or after that, as headlines do. What no row
tells is unknown, never zero.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.canonical import sha256
from hybridnb.market.columns import Mask, as_text, bad_symbols, numbers
from hybridnb.market.news import Broken, first_sessions, moments, one_each, refuse
from hybridnb.market.tables import RawTable, read_table
from hybridnb.ports import MarketData

COLUMNS = ("name", "symbol", "value", "available_at")
PUT_CALL, MACRO, HEADLINE, DIVIDEND = "put_call_ratio", "macro_event", "headline", "dividend"
NAMES = (DIVIDEND, HEADLINE, MACRO, PUT_CALL)
_NUMBERS = (PUT_CALL, DIVIDEND)  # the other values are text
_OF_A_SYMBOL = (HEADLINE, DIVIDEND)  # the others are of the market as a whole
FRESH = 5  # sessions after the first to know it, for which a put/call ratio is held to be current
EVENTS = 20  # macro events of one session, the latest
LONGEST = 200  # characters of a macro event
# What acts on a terminal or a page: control characters and line separators.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Extra:
    """The facts of a file, each frame sorted by `available_at` (UTC); an empty one has no rows.

    Attributes
    ----------
    source : str
        The file's name.
    put_call : DataFrame
        value (puts / calls by open interest), available_at.
    macro : DataFrame
        text, available_at.
    headlines : DataFrame
        symbol, text, available_at: as `news.read_headlines` returns them.
    dividends : DataFrame
        symbol, value (account units a share), available_at. Checked and kept; no price is
        adjusted by them.
    """

    source: str
    put_call: pd.DataFrame
    macro: pd.DataFrame
    headlines: pd.DataFrame
    dividends: pd.DataFrame


def read_extra(path: Path) -> Extra:
    """Facts from CSV or Parquet.

    Raises
    ------
    InputError
        With file, row and rule, for a missing or doubled column, a name that isn't one of
        `NAMES`, a symbol where the fact is of the whole market or none where it is of one name,
        a value that is no number above zero or an empty text, a stamp without a zone or
        unreadable, and two put/call ratios of one moment.
    """
    table = read_table(path)
    frame = table.frame.rename(columns=lambda name: str(name).strip().lower())
    one_each(frame, COLUMNS, file=table.file)
    names = as_text(frame["name"]).str.strip().str.lower()
    symbols = as_text(frame["symbol"]).str.strip().str.upper()
    texts = _plain(as_text(frame["value"]))
    known, broken = moments(frame["available_at"])
    values, _ = numbers(texts)
    refuse(table, _rules(names, symbols, texts, values) | broken)
    rows = pd.DataFrame({"symbol": symbols, "text": texts, "value": values, "available_at": known})
    rows = rows.assign(name=names).sort_values("available_at", kind="stable")
    _refuse_twice(table, rows)

    def of(name: str, *columns: str) -> pd.DataFrame:
        found = rows.loc[rows["name"] == name, [*columns, "available_at"]]
        return found.reset_index(drop=True)

    macro = of(MACRO, "text")
    return Extra(
        source=table.file,
        put_call=of(PUT_CALL, "value"),
        macro=macro.assign(text=macro["text"].map(_cut)),
        headlines=of(HEADLINE, "symbol", "text"),
        dividends=of(DIVIDEND, "symbol", "value"),
    )


def _plain(texts: pd.Series[str]) -> pd.Series[str]:
    """Texts without characters that act on a terminal or a page, and without outer spaces."""
    return texts.str.replace(_CONTROL, " ", regex=True).str.strip()


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _rules(
    names: pd.Series[str], symbols: pd.Series[str], texts: pd.Series[str], values: Any
) -> Broken:
    def among(*wanted: str) -> Mask:
        return names.isin(wanted).to_numpy(dtype=bool)

    number, one = among(*_NUMBERS), among(*_OF_A_SYMBOL)
    known = among(*NAMES)
    empty = (texts == "").to_numpy(dtype=bool)
    wide = known & ~one & (symbols != "").to_numpy(dtype=bool)
    return {
        f"unknown name (known: {', '.join(NAMES)})": (~known, names),
        "symbol": (one & bad_symbols(symbols), symbols),
        "symbol of a fact of the whole market": (wide, symbols),
        "number above zero": (number & ~(np.isfinite(values) & (values > 0.0)), texts),
        "empty text": (known & ~number & empty, texts),
    }


def _refuse_twice(table: RawTable, rows: pd.DataFrame) -> None:
    """Two ratios of one moment: nobody can tell which holds."""
    twice = (rows["name"] == PUT_CALL) & rows.duplicated(["name", "available_at"])
    places = np.zeros(len(rows), dtype=bool)
    places[rows.index[twice]] = True
    stamps = rows["available_at"].astype(str).sort_index()
    refuse(table, {"two put/call ratios of one moment": (places, stamps)})


def known_at(extra: Extra, moment: pd.Timestamp) -> Extra:
    """What of the facts was available at a moment (with a zone)."""
    kept = {}
    for each in fields(extra):
        part = getattr(extra, each.name)
        if isinstance(part, pd.DataFrame):
            part = part[part["available_at"] <= moment].reset_index(drop=True)
        kept[each.name] = part
    return Extra(**kept)


def with_extra(market: MarketData, extra: Extra) -> MarketData:
    """The market with the facts' headlines beside its own, in the order they were available."""
    if len(extra.dividends):
        told = f"{len(extra.dividends)} dividends of {extra.source} were checked; no price is"
        market = replace(market, notes=(*market.notes, f"{told} adjusted by them"))
    if not len(extra.headlines):
        return market
    every = extra.headlines
    if market.headlines is not None:
        every = pd.concat([market.headlines, every], ignore_index=True)
        every = every.sort_values("available_at", kind="stable", ignore_index=True)
    return replace(market, headlines=every)


def digest(extra: Extra) -> str:
    """SHA-256 of the facts' values, whatever the file that held them."""
    parts = {}
    for each in fields(extra):
        part = getattr(extra, each.name)
        if isinstance(part, pd.DataFrame):
            stamps = part["available_at"].map(lambda moment: moment.isoformat())
            parts[each.name] = part.assign(available_at=stamps).to_numpy(dtype=object).tolist()
    return sha256(parts)


def put_call(extra: Extra, sessions: pd.DatetimeIndex, *, calendar: str) -> NDArray[np.float64]:
    """The put/call ratio that was known at each session's close, shape (t,).

    NaN where none is, or the last one is more than `FRESH` sessions old.

    Parameters
    ----------
    sessions : DatetimeIndex, shape (t,)
        Consecutive sessions of the exchange, in order.
    """
    stamps = extra.put_call["available_at"]
    first = first_sessions(stamps, sessions, calendar=calendar, earlier=FRESH + 1)
    rows = np.arange(len(sessions))
    last = np.searchsorted(first, rows, side="right") - 1
    told = np.flatnonzero(last >= 0)
    told = told[rows[told] - first[last[told]] <= FRESH]
    out = np.full(len(sessions), np.nan)
    out[told] = extra.put_call["value"].to_numpy(np.float64)[last[told]]
    return out


def macro_events(
    extra: Extra, sessions: pd.DatetimeIndex, *, calendar: str
) -> tuple[tuple[str, ...] | None, ...]:
    """The events that became known between the close before and each session's close, length t.

    The latest `EVENTS` of a session, in order. None before the file's first event, and
    throughout where it has none: nobody watched.
    """
    stamps = extra.macro["available_at"]
    first = first_sessions(stamps, sessions, calendar=calendar)
    if not len(first):
        return (None,) * len(sessions)
    told: list[tuple[str, ...] | None] = [
        None if t < first[0] else () for t in range(len(sessions))
    ]
    texts = extra.macro["text"].tolist()
    for t in np.unique(first[(first >= 0) & (first < len(sessions))]):
        start, stop = np.searchsorted(first, [t, t + 1])
        told[t] = tuple(texts[start:stop][-EVENTS:])
    return tuple(told)
