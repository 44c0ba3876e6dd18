"""News: headlines that say when they were available, scored by an offline lexicon (VADER)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.errors import Breach, InputError
from hybridnb.market import calendar as exchange
from hybridnb.market.tables import read_table

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
        For a missing column, an empty text, or a stamp that is absent, unreadable or without a
        zone: a fact that doesn't say when it was known can't be joined.
    """
    table = read_table(path)
    frame = table.frame.rename(columns=lambda name: str(name).strip().lower())
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise InputError(
            [Breach(table.file, None, "missing column", f"{name} is needed") for name in missing]
        )
    stamps, breaches = [], []
    for line, text, stamp in zip(table.lines, frame["text"], frame["available_at"], strict=True):
        moment = _moment(stamp)
        if moment is None:
            detail = f"available_at {str(stamp)[:40]!r} is no time with a zone"
            breaches.append(Breach(table.file, int(line), "available_at", detail))
        if not str(text).strip():
            breaches.append(Breach(table.file, int(line), "text", "the headline is empty"))
        stamps.append(moment)
    if breaches:
        raise InputError(breaches)
    out = pd.DataFrame(
        {
            "symbol": frame["symbol"].astype(str).str.strip().str.upper(),
            "text": frame["text"].astype(str),
            "available_at": pd.DatetimeIndex(stamps),
        }
    )
    return out.sort_values("available_at", kind="stable").reset_index(drop=True)


def _moment(stamp: object) -> pd.Timestamp | None:
    try:
        found: Any = pd.Timestamp(stamp)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return None
    return None if found is pd.NaT or found.tzinfo is None else found.tz_convert("UTC")


def sentiment(
    headlines: pd.DataFrame,
    sessions: pd.DatetimeIndex,
    symbols: Sequence[str],
    *,
    calendar: str,
) -> pd.DataFrame:
    """Mean VADER compound of a symbol's headlines of the last three sessions.

    A headline counts from the first session whose close is at or after its `available_at`.

    Returns
    -------
    DataFrame
        symbol, session, sentiment in [−1, 1]; only where there is a headline.
    """
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    score = SentimentIntensityAnalyzer().polarity_scores
    closes = pd.DatetimeIndex([exchange.closes_at(calendar, s) for s in sessions], tz="UTC")
    known = headlines[headlines["symbol"].isin(list(symbols))]
    first = closes.searchsorted(pd.DatetimeIndex(known["available_at"]).tz_convert("UTC"))
    compound = np.array([score(text)["compound"] for text in known["text"]])
    rows = [
        (symbol, sessions[i], value)
        for symbol, start, value in zip(known["symbol"], first.tolist(), compound, strict=True)
        for i in range(start, min(start + SESSIONS, len(sessions)))
    ]
    frame = pd.DataFrame(rows, columns=["symbol", "session", "sentiment"])
    return frame.groupby(["symbol", "session"])["sentiment"].mean().reset_index()
