"""One column of a raw table at a time: whose role it plays, its numbers, its times, its symbols.

Every function looks at all rows at once and returns masks, so that a file with a million broken
rows is refused as fast as one with a single one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from hybridnb.errors import UsageError

Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

# Names a role goes by, in lower case without spaces, dots, dashes and underscores.
ROLES = {
    "symbol": "symbol",
    "ticker": "symbol",
    "date": "session",
    "timestamp": "session",
    "datetime": "session",
    "time": "session",
    "session": "session",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "adjclose": "adj_close",
    "adjustedclose": "adj_close",
    "closeadj": "adj_close",
    "volume": "volume",
    "currency": "currency",
}
SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-_^=/:&]{0,31}")
NO_VALUE = ("", "nan", "na", "n/a", "null", "none")

DATE = r"\d{4}-\d{2}-\d{2}"
CLOCK = DATE + r"[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?"
ZONED = CLOCK + r" ?(?:Z|[+-]\d{2}:?\d{2})"


@dataclass(frozen=True, slots=True)
class Times:
    """Times read from a column; `session` is NaT where a mask is set."""

    session: pd.DatetimeIndex
    unreadable: Mask
    zoneless: Mask
    mixed: Mask


def role(name: object) -> str:
    """The role a column's name stands for, or "" for a column nobody needs."""
    return ROLES.get(re.sub(r"[\s._\-]+", "", str(name)).lower(), "")


def as_text(column: pd.Series[Any]) -> pd.Series[str]:
    """Any column as text, "" where it has no value."""
    if isinstance(column.dtype, pd.StringDtype) and not column.hasnans:
        return column
    return column.astype(object).where(column.notna(), "").astype(str)


def numbers(column: pd.Series[Any]) -> tuple[Floats, Mask]:
    """A column as float64, and where it holds text that is no number.

    A cell without a value (empty, NaN, null, None, NA, n/a) is NaN and no text. `1,234.5`,
    `0x1A`, `1_000`, booleans and dates are text. Infinity is a number here; the price and volume
    rules refuse it.
    """
    none = np.zeros(len(column), dtype=bool)
    if pd.api.types.is_bool_dtype(column.dtype):
        return np.full(len(column), np.nan), ~none
    if pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c":
        return column.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0, none
    text = as_text(column)
    # "1d5" is a number to pandas and a slip of the pen to everyone else.
    odd = text.str.contains("[dD_]", regex=True).to_numpy(dtype=bool)
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64).copy()
    values[odd] = np.nan
    broken = np.isnan(values)
    broken[broken] = ~text[broken].str.strip().str.lower().isin(NO_VALUE).to_numpy(dtype=bool)
    return values + 0.0, broken


def times(column: pd.Series[Any], *, exchange_zone: str, zone: str | None) -> Times:
    """Dates and times as sessions: the date at the exchange.

    Parameters
    ----------
    column : pandas.Series
        ISO 8601 text, or datetimes. A date alone names a session; datetimes without a zone that
        are all at midnight are dates. A time with a zone falls into the exchange's date.
    exchange_zone : str
        IANA zone of the exchange.
    zone : str or None
        What the user says times without a zone are in; None: they are refused.

    Raises
    ------
    UsageError
        When `zone` is no IANA zone.
    """
    if zone is not None:
        _known(zone)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _typed(column, exchange_zone=exchange_zone, zone=zone)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _times(pd.Series(pd.NaT, index=column.index, dtype="datetime64[us]"))
    text = as_text(column).str.strip()
    dated = _matches(text, DATE)
    zoned = np.zeros(len(text), dtype=bool)
    naive = zoned.copy()
    if not dated.all():
        zoned, naive = _matches(text, ZONED), _matches(text, CLOCK)
    out = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us]")
    out[dated] = _iso(text[dated])
    out[zoned] = _at(_iso(text[zoned], utc=True), exchange_zone)
    if zone is not None:
        out[naive] = _at(_in_zone(_iso(text[naive]), zone), exchange_zone)
    kinds = np.select([dated, naive, zoned], [1, 2, 3], default=0)
    readable = kinds[kinds > 0]
    mixed = (kinds > 0) & (kinds != readable[0]) if readable.size else naive & False
    zoneless = naive if zone is None else naive & False
    return _times(out, zoneless=zoneless, mixed=mixed)


def bad_symbols(text: pd.Series[str]) -> Mask:
    """Where a symbol isn't one: empty, spaces, control or other characters, over 32 of them."""
    codes, unique = pd.factorize(text)
    broken = np.array([SYMBOL.fullmatch(str(u).upper()) is None for u in unique], dtype=bool)
    return broken[codes]


def _typed(column: pd.Series[Any], *, exchange_zone: str, zone: str | None) -> Times:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _times(_at(column, exchange_zone))
    naive = column.astype("datetime64[us]")
    clocked = ((naive != naive.dt.normalize()) & naive.notna()).to_numpy(dtype=bool)
    if not clocked.any():
        return _times(naive)
    if zone is None:
        return _times(naive.mask(clocked), zoneless=clocked)
    return _times(_at(_in_zone(naive, zone), exchange_zone))


def _times(
    session: pd.Series[Any], *, zoneless: Mask | None = None, mixed: Mask | None = None
) -> Times:
    none = np.zeros(len(session), dtype=bool)
    zoneless = none if zoneless is None else zoneless
    unreadable = session.isna().to_numpy(dtype=bool) & ~zoneless
    days = pd.DatetimeIndex(session.to_numpy(dtype="datetime64[us]")).normalize()
    return Times(days, unreadable, zoneless, none if mixed is None else mixed & ~zoneless)


def _matches(text: pd.Series[str], pattern: str) -> Mask:
    return text.str.fullmatch(pattern).to_numpy(dtype=bool)


def _iso(text: pd.Series[str], *, utc: bool = False) -> pd.Series[Any]:
    return pd.to_datetime(text, format="ISO8601", errors="coerce", utc=utc)


def _in_zone(naive: pd.Series[Any], zone: str) -> pd.Series[Any]:
    # An hour that the clock skips or repeats names no moment: it becomes NaT, unreadable.
    return pd.Series(naive.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT"))


def _at(moments: pd.Series[Any], exchange_zone: str) -> pd.Series[Any]:
    there = moments.dt.tz_convert(exchange_zone).dt.tz_localize(None)
    return pd.Series(there.dt.normalize().astype("datetime64[us]"))


def _known(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):  # unknown, malformed, a folder of zones
        raise UsageError(
            f"{zone!r} is no time zone", remedy="Name an IANA zone, such as America/Toronto."
        ) from None
