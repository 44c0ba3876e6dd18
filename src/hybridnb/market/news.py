"""News: headlines that say when they were available, scored by an offline lexicon (VADER)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.errors import Breach, InputError
from hybridnb.market import calendar as exchange
from hybridnb.market.columns import CLOCK, DATE, ZONED, Mask, as_text, bad_symbols
from hybridnb.market.tables import KEPT, RawTable, read_table

Broken: TypeAlias = "dict[str, tuple[Mask, pd.Series[str]]]"  # by rule: where, and the cells
COLUMNS = ("symbol", "text", "available_at")
SESSIONS = 3  # a headline counts in this many sessions


def read_headlines(path: Path) -> pd.DataFrame:
    """Headlines from CSV or Parquet.

    Returns
    -------
    DataFrame
        symbol, text, available_at (UTC), sorted by the last.

    Raises
    ------
    InputError
        For a missing or doubled column, no symbol, an empty text, or a stamp that is absent,
        unreadable or without a zone: a fact that doesn't say when it was known can't be joined.
    """
    table = read_table(path)
    frame = table.frame.rename(columns=lambda name: str(name).strip().lower())
    one_each(frame, COLUMNS, file=table.file)
    symbols = as_text(frame["symbol"]).str.strip().str.upper()
    texts = as_text(frame["text"]).str.strip()
    known, broken = moments(frame["available_at"])
    refuse(
        table,
        {
            "symbol": (bad_symbols(symbols), symbols),
            "empty text": ((texts == "").to_numpy(dtype=bool), texts),
            **broken,
        },
    )
    out = pd.DataFrame({"symbol": symbols, "text": texts, "available_at": known})
    return out.sort_values("available_at", kind="stable").reset_index(drop=True)


def one_each(frame: pd.DataFrame, columns: Sequence[str], *, file: str) -> None:
    """Refuse a table in which one of these columns is missing or stands there twice."""
    counts = {name: int((frame.columns == name).sum()) for name in columns}
    breaches = [
        Breach(file, None, "duplicate column", f"{name} stands there {count} times")
        if count
        else Breach(file, None, "missing column", f"there is no {name} column")
        for name, count in counts.items()
        if count != 1
    ]
    if breaches:
        raise InputError(breaches)


def moments(column: pd.Series[Any]) -> tuple[pd.Series[Any], Broken]:
    """Stamps in UTC, NaT where one isn't a whole date and time with its zone, and which those are.

    Only ISO 8601 is read: looser readers fill what is missing from today's date.
    """
    stamps = as_text(column).str.strip()
    found: pd.Series[Any]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        found = column.dt.tz_convert("UTC")
    else:
        zoned = stamps.where(stamps.str.fullmatch(ZONED))
        found = pd.to_datetime(zoned, utc=True, format="ISO8601", errors="coerce")
    unknown = found.isna().to_numpy(dtype=bool)
    zoneless = unknown & stamps.str.fullmatch(f"(?:{DATE})|(?:{CLOCK})").to_numpy(dtype=bool)
    return found, {
        "time without a zone": (zoneless, stamps),
        "unreadable time": (unknown & ~zoneless, stamps),
    }


def refuse(table: RawTable, broken: Broken) -> None:
    """Refuse a table in which a rule is broken anywhere: each row with the cell it is about."""
    breaches = [
        Breach(table.file, int(table.lines[i]), rule, f"{str(shown.iloc[i])[:40]!r}")
        for rule, (mask, shown) in broken.items()
        for i in np.flatnonzero(mask)[:KEPT]
    ]
    if breaches:
        raise InputError(sorted(breaches, key=lambda b: b.row or 0)[:KEPT])


def sentiment(
    headlines: pd.DataFrame,
    sessions: pd.DatetimeIndex,
    symbols: Sequence[str],
    *,
    calendar: str,
) -> pd.DataFrame:
    """Mean VADER compound of a symbol's headlines of the last three sessions.

    A headline counts from the first session whose close is at or after its `available_at`: what
    comes a second after a close counts from the next session. Source: Hutto and Gilbert, VADER
    (ICWSM 2014).

    Parameters
    ----------
    headlines : DataFrame
        symbol, text, available_at (with a zone).
    sessions : DatetimeIndex, shape (t,)
        Consecutive sessions of the exchange, in order.
    calendar : str
        The exchange, for the closes.

    Returns
    -------
    DataFrame
        symbol, session, sentiment in [−1, 1]; only where there is a headline.

    Raises
    ------
    InputError
        When a headline doesn't say when it was available.
    """
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    _stamped(headlines)
    known = headlines[headlines["symbol"].isin(list(symbols))].reset_index(drop=True)
    score = SentimentIntensityAnalyzer().polarity_scores
    compound = np.array([score(text)["compound"] for text in known["text"]], dtype=np.float64)
    first = first_sessions(known["available_at"], sessions, calendar=calendar)
    place = first[:, None] + np.arange(SESSIONS)
    row, column = np.nonzero((place >= 0) & (place < len(sessions)))
    frame = pd.DataFrame(
        {
            "symbol": known["symbol"].iloc[row].reset_index(drop=True),
            "session": sessions[place[row, column]],
            "sentiment": compound[row],
        }
    )
    return frame.groupby(["symbol", "session"])["sentiment"].mean().reset_index()


def _stamped(headlines: pd.DataFrame) -> None:
    if "available_at" not in headlines:
        rule = "there is no available_at column"
    elif not isinstance(headlines["available_at"].dtype, pd.DatetimeTZDtype):
        rule = "the times have no zone"
    elif headlines["available_at"].isna().any():
        rule = f"{int(headlines['available_at'].isna().sum())} headlines have no time"
    else:
        return
    raise InputError([Breach("headlines", None, "available_at", rule)])


def first_sessions(
    stamps: pd.Series[Any], sessions: pd.DatetimeIndex, *, calendar: str, earlier: int = SESSIONS
) -> NDArray[np.int64]:
    """Position of the first session to know each stamp, its close at or after it.

    Parameters
    ----------
    earlier : int
        Sessions before the first one asked for that are told apart.

    Returns
    -------
    ndarray of int64, shape (n,)
        `-earlier` for a stamp that was known then or before, len(sessions) for one that none
        of the sessions knows.
    """
    if not len(stamps) or not len(sessions):
        return np.full(len(stamps), -earlier, dtype=np.int64)
    before: list[pd.Timestamp] = [sessions[0]]
    for _ in range(earlier):  # a fact may be older than the first session asked for
        before.insert(0, exchange.previous_session(calendar, before[0]))
    every = pd.DatetimeIndex(before[:-1]).append(sessions)
    # A session closes less than two days from its date: only closes near the stamps are asked.
    dates = stamps.dt.tz_localize(None).dt.normalize()
    start = int(every.searchsorted(dates.min() - pd.Timedelta(days=2)))
    end = int(every.searchsorted(dates.max() + pd.Timedelta(days=2))) + 1
    closes = exchange.closes(calendar, pd.DatetimeIndex(every[start:end]))
    if not len(closes):
        return np.full(len(stamps), len(sessions), dtype=np.int64)
    found = closes.searchsorted(pd.DatetimeIndex(stamps).tz_convert("UTC"))
    return np.asarray(found, dtype=np.int64) + start - earlier
