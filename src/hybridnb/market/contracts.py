"""Data contracts: from a raw table to clean bars, or every breach with file, row and rule.

Nothing is repaired: a file that breaks a rule is refused as a whole. What is done without
changing a value (sorting, leaving columns out, capitals) is said in the notes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.domain import SCALE, Basis
from hybridnb.errors import Breach, InputError
from hybridnb.market import calendar as exchange
from hybridnb.market.columns import Floats, Mask, as_text, bad_symbols, numbers, role, times
from hybridnb.market.tables import KEPT, Lines
from hybridnb.ports import BAR_COLUMNS

ROUNDING = 1e-6  # relative: vendors round the four prices apart
# Prices become integers of 1/SCALE: outside of these they would be zero, or inexact in a float.
LEAST_PRICE = 0.5 / SCALE
MOST_PRICE = 2.0**53 / SCALE
PER_RULE = KEPT // 10

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True)
class Checked:
    """Bars that keep every contract.

    Attributes
    ----------
    bars : pandas.DataFrame
        Columns `ports.BAR_COLUMNS`, sorted by (symbol, session), RangeIndex.
    lines : numpy.ndarray of int64, shape (rows,)
        Where each bar stood in its file.
    notes : tuple of str
        What was done to read it.
    """

    bars: pd.DataFrame
    lines: Lines
    notes: tuple[str, ...]


def check_bars(
    raw: pd.DataFrame,
    *,
    file: str,
    calendar: str,
    zone: str | None = None,
    currency: str | None = None,
    symbol: str | None = None,
    lines: Lines | None = None,
    basis: Basis = Basis.OHLCV,
) -> Checked:
    """Check a raw table against every rule, on every row.

    Parameters
    ----------
    raw : pandas.DataFrame, shape (rows, columns)
        Any of the usual column names in any case; text or typed cells.
    file : str
        Named in each breach.
    calendar : str
        exchange_calendars code whose sessions the dates must be.
    zone : str or None
        IANA zone of times without one; None refuses them.
    currency : str or None
        What a `currency` column, if there is one, must say on every row.
    symbol : str or None
        The symbol of every row where the table has no such column.
    lines : array of int64 or None
        Row of the file by row of `raw`; None: the data row, from 1. For CSV it is the line an
        editor shows (the header is line 1), for Parquet the data row from 1.
    basis : Basis
        CLOSE needs no volume: it is NaN in the result.

    Raises
    ------
    InputError
        With at most 1,000 breaches, in the order of the file, and a count of the rest.
    """
    if lines is None:
        lines = np.arange(1, len(raw) + 1, dtype=np.int64)
    roles, notes = _roles([str(c) for c in raw.columns], file=file, symbol=symbol, basis=basis)
    raw = raw.set_axis(pd.RangeIndex(len(raw.columns)), axis=1).reset_index(drop=True)
    if not len(raw):
        raise InputError([Breach(file, None, "empty", "the table has no rows")])
    sheet = _Sheet(file, lines)
    names = _symbols(raw, roles, sheet, symbol=symbol)
    session = _sessions(raw[roles["session"]], sheet, calendar=calendar, zone=zone)
    values = {name: _price(raw[roles[name]], sheet, name) for name in PRICES}
    values["volume"] = _volume(raw, roles, sheet)
    _order(values, sheet)
    _currency(raw, roles, sheet, currency=currency)
    upper = names.str.upper()
    _keys(upper, session, sheet)
    sheet.refuse()
    if not upper.equals(names):
        notes.append(f"{file}: symbols were written in capitals")
    bars = pd.DataFrame({"symbol": upper.astype("str"), "session": session} | values)
    return _sorted(bars[list(BAR_COLUMNS)], lines, [*notes], file=file)


class _Sheet:
    """Collects the breaches of one file."""

    def __init__(self, file: str, lines: Lines) -> None:
        self.file, self.lines = file, lines
        self.kept: list[Breach] = []
        self.counts: list[Breach] = []

    def breach(self, broken: Mask, rule: str, detail: Callable[[int], str]) -> None:
        """Every row in `broken` breaks `rule`; details are made for the rows that are kept."""
        where = np.flatnonzero(broken)
        for i in where[:PER_RULE]:
            self.kept.append(Breach(self.file, int(self.lines[i]), rule, detail(int(i))))
        if where.size > PER_RULE:
            self.counts.append(Breach(self.file, None, rule, f"{where.size} rows in all"))

    def refuse(self) -> None:
        if self.kept:
            self.kept.sort(key=lambda b: b.row or 0)
            raise InputError(self.kept[: KEPT - len(self.counts)] + self.counts)


def _roles(
    titles: list[str], *, file: str, symbol: str | None, basis: Basis
) -> tuple[dict[str, int], list[str]]:
    """Position of the column by role, and notes on the others."""
    found: dict[str, int] = {}
    breaches, extra = [], []
    for position, title in enumerate(titles):
        name = role(title)
        if not name:
            extra.append(title)
        elif name in found:
            detail = f"{titles[found[name]]!r} and {title!r} both are the {name}"
            breaches.append(Breach(file, None, "duplicate column", detail))
        else:
            found[name] = position
    needed = [c for c in BAR_COLUMNS if not (c == "volume" and basis is Basis.CLOSE)]
    missing = [c for c in needed if c not in found and not (c == "symbol" and symbol)]
    if not found:
        detail = f"no column of bars among {', '.join(map(repr, titles[:10]))[:120]}"
        raise InputError([Breach(file, None, "not a table", detail)])
    breaches += [Breach(file, None, "missing column", f"there is no {c} column") for c in missing]
    if breaches:
        raise InputError(breaches)
    notes = []
    if extra:
        notes.append(f"{file}: columns left out: {', '.join(extra)[:200]}")
    if "adj_close" in found:
        notes.append(f"{file}: the raw Close is traded; {titles[found['adj_close']]} is left out")
    return found, notes


def _shown(raw: pd.Series[Any]) -> Callable[[int], str]:
    return lambda i: repr(str(raw.iloc[i]))[:60]


def _symbols(
    raw: pd.DataFrame, roles: dict[str, int], sheet: _Sheet, *, symbol: str | None
) -> pd.Series[str]:
    if "symbol" not in roles:
        names = pd.Series([symbol or ""]).repeat(len(raw)).reset_index(drop=True).astype("str")
    else:
        names = as_text(raw[roles["symbol"]]).reset_index(drop=True).astype("str")
    text = "is no symbol: 1 to 32 letters, digits and . - _ ^ = / : &"
    shown = _shown(names)
    sheet.breach(bad_symbols(names), "symbol", lambda i: f"{shown(i)} {text}")
    spellings = pd.Series(names.unique())
    twice = spellings[spellings.str.upper().duplicated(keep=False)]
    if len(twice):
        two_ways = (names.isin(twice) & (names != names.str.upper())).to_numpy(dtype=bool)
        sheet.breach(two_ways, "symbol", lambda i: f"{shown(i)} is also written in other capitals")
    return names


def _sessions(
    column: pd.Series[Any], sheet: _Sheet, *, calendar: str, zone: str | None
) -> pd.DatetimeIndex:
    shown = _shown(column)
    read = times(column, exchange_zone=exchange.zone(calendar), zone=zone)
    sheet.breach(
        read.zoneless, "time without a zone", lambda i: f"{shown(i)}: name the zone it is in"
    )
    sheet.breach(
        read.unreadable, "unreadable time", lambda i: f"{shown(i)}: write 2024-03-28, or with zone"
    )
    sheet.breach(
        read.mixed, "mixed times", lambda i: f"{shown(i)}: dates, or times with a zone, not both"
    )
    days = read.session
    known = days[days.notna()]
    out = np.zeros(len(days), dtype=bool)
    if len(known):
        first = max(known.min(), pd.Timestamp(f"{exchange.FIRST_YEAR}-01-01"))
        last = min(known.max(), exchange.known_until(calendar))
        valid = exchange.sessions(calendar, first, max(first, last)) if first <= last else known[:0]
        out = np.asarray(days.notna() & ~days.isin(valid))
    until = f"{exchange.known_until(calendar):%Y-%m-%d}"
    sheet.breach(
        out,
        "no session",
        lambda i: f"{days[i]:%Y-%m-%d} is no session of {calendar} (known until {until})",
    )
    return pd.DatetimeIndex(days.where(~out)).as_unit("ns")


def _price(column: pd.Series[Any], sheet: _Sheet, name: str) -> Floats:
    values, text = numbers(column)
    shown = _shown(column)
    finite = np.isfinite(values)
    positive = values >= LEAST_PRICE
    sheet.breach(text, "text in a number", lambda i: f"{name} is {shown(i)}")
    sheet.breach(np.isnan(values) & ~text, "price missing", lambda i: f"{name} is {shown(i)}")
    sheet.breach(np.isinf(values), "price not finite", lambda i: f"{name} is {shown(i)}")
    sheet.breach(finite & ~positive, "price not positive", lambda i: f"{name} is {shown(i)}")
    sheet.breach(
        finite & (values > MOST_PRICE), "price out of range", lambda i: f"{name} is {shown(i)}"
    )
    return np.where(finite & positive & (values <= MOST_PRICE), values, np.nan)


def _volume(raw: pd.DataFrame, roles: dict[str, int], sheet: _Sheet) -> Floats:
    if "volume" not in roles:
        return np.full(len(raw), np.nan)
    column = raw[roles["volume"]]
    values, text = numbers(column)
    shown = _shown(column)
    sheet.breach(text, "text in a number", lambda i: f"volume is {shown(i)}")
    sheet.breach(np.isnan(values) & ~text, "volume missing", lambda i: f"volume is {shown(i)}")
    broken = (values < 0) | (values > 2.0**53)  # beyond, units aren't exact in a float
    sheet.breach(broken, "volume out of range", lambda i: f"volume is {shown(i)}")
    return values


def _order(values: dict[str, Floats], sheet: _Sheet) -> None:
    o, h, low, c = (values[name] for name in PRICES)
    whole = ~np.isnan(o + h + low + c)
    with np.errstate(invalid="ignore"):
        over = np.maximum(np.maximum(o, c), low) > h * (1 + ROUNDING)
        under = np.minimum(np.minimum(o, c), h) < low * (1 - ROUNDING)
    sheet.breach(
        whole & (over | under),
        "high ≥ all ≥ low",
        lambda i: f"open {o[i]:g}, high {h[i]:g}, low {low[i]:g}, close {c[i]:g}",
    )


def _currency(
    raw: pd.DataFrame, roles: dict[str, int], sheet: _Sheet, *, currency: str | None
) -> None:
    if "currency" not in roles or currency is None:
        return
    text = as_text(raw[roles["currency"]]).str.strip().str.upper()
    other = (text != currency).to_numpy(dtype=bool)
    sheet.breach(other, "currency", lambda i: f"{text.iloc[i][:20]!r} where {currency} is read")


def _keys(names: pd.Series[str], session: pd.DatetimeIndex, sheet: _Sheet) -> None:
    keys = pd.DataFrame({"symbol": names, "session": session})
    again = (keys.duplicated() & keys["session"].notna()).to_numpy(dtype=bool)
    if not again.any():
        return
    line = pd.Series(sheet.lines)
    first = line.groupby([keys["symbol"], keys["session"]]).transform("first")
    sheet.breach(
        again,
        "duplicate key",
        lambda i: f"{names.iloc[i]} {session[i]:%Y-%m-%d} stands in row {first[i]:.0f} already",
    )


def _sorted(bars: pd.DataFrame, lines: Lines, notes: list[str], *, file: str) -> Checked:
    by_time = bars.groupby("symbol", sort=False)["session"].is_monotonic_increasing
    if not by_time.all():
        notes.append(f"{file}: the file was not sorted by time; it was sorted to be read")
    order = bars.sort_values(["symbol", "session"], kind="stable").index.to_numpy()
    clean = bars.iloc[order].reset_index(drop=True)
    return Checked(clean, lines[order], tuple(notes))
