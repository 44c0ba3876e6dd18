"""The `folder` feed: a user's own bars, one file or a folder of them, any market.

Nothing is repaired. A split-sized jump or a suspected bad tick refuses the file, since its owner
can still mend it; a symbol that lacks sessions is left out and named.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.domain import Bucket
from hybridnb.errors import Breach, InputError, UsageError
from hybridnb.market.assemble import assemble
from hybridnb.market.columns import as_text, role
from hybridnb.market.contracts import check_bars
from hybridnb.market.feeds import FeedRequest
from hybridnb.market.fetched import keep
from hybridnb.market.instruments import instruments
from hybridnb.market.tables import KEPT, RawTable, read_table, table_paths
from hybridnb.ports import BAR_COLUMNS, MarketData

CANADIAN = (".TO", ".V")
CURRENCIES = {"XTSE": "CAD", "XNYS": "USD", "XNAS": "USD", "XLON": "GBP", "XFRA": "EUR"}


@dataclass(frozen=True, slots=True)
class _Bars:
    """All files' bars in one frame, with where each row came from."""

    bars: pd.DataFrame
    files: tuple[str, ...]
    file: np.ndarray[Any, np.dtype[np.int64]]
    line: np.ndarray[Any, np.dtype[np.int64]]
    notes: tuple[str, ...]

    def locate(self, i: int) -> tuple[str, int | None]:
        return self.files[self.file[i]], int(self.line[i])


def load(request: FeedRequest) -> MarketData:
    """Read and check every file.

    Raises
    ------
    InputError
        File, row and rule of what is broken.
    Missing
        When nothing is there.
    UsageError
        Without `data`, or when the calendar is none whose currency is known and none is given.
    """
    if request.data is None:
        raise UsageError(
            "the feed folder needs bars", remedy="Give --data a CSV or Parquet file, or a folder."
        )
    tables = [read_table(path) for path in table_paths(request.data)]
    symbols = _symbols(tables)
    calendar = request.calendar or calendar_of(symbols)
    currency = request.currency or currency_of(calendar)
    found = _together(tables, request, calendar=calendar, currency=currency)
    return assemble(
        found.bars,
        feed="folder",
        calendar=calendar,
        currency=currency,
        instruments=instruments(
            found.bars["symbol"].unique(),
            lists=request.lists,
            sip_symbol=request.sip_symbol,
            currency=currency,
            given=request.symbols,
            default=Bucket.UNKNOWN,
        ),
        source=request.data.name or str(request.data),
        notes=found.notes,
        locate=found.locate,
        jumps_refuse=True,
    )


def _together(
    tables: Sequence[RawTable], request: FeedRequest, *, calendar: str, currency: str
) -> _Bars:
    """Check each table, then that no two files hold the same bar."""
    checked = [
        check_bars(
            table.frame,
            file=table.file,
            calendar=calendar,
            zone=request.zone,
            currency=currency,
            symbol=_stem(table),
            lines=table.lines,
        )
        for table in tables
    ]
    bars = pd.concat([c.bars for c in checked], ignore_index=True)
    file = np.repeat(np.arange(len(checked)), [len(c.bars) for c in checked])
    line = np.concatenate([c.lines for c in checked])
    order = np.lexsort((file, bars["session"].to_numpy(), bars["symbol"].to_numpy(dtype="U")))
    notes = [n for t, c in zip(tables, checked, strict=True) for n in (*t.notes, *c.notes)]
    found = _Bars(
        bars.iloc[order].reset_index(drop=True),
        tuple(t.file for t in tables),
        file[order],
        line[order],
        tuple(notes),
    )
    _refuse_repeats(found)
    return found


def _refuse_repeats(found: _Bars) -> None:
    twice = np.flatnonzero(found.bars.duplicated(["symbol", "session"]).to_numpy())
    if not len(twice):
        return
    breaches = []
    for i in twice[: KEPT - 1].tolist():
        symbol, session = found.bars.loc[i, "symbol"], found.bars.loc[i, "session"]
        # Each file holds a bar once, so the row before is the same bar in an earlier file.
        there, row = found.locate(i - 1)
        detail = f"{symbol} {session:%Y-%m-%d} stands in {there}, row {row} already"
        breaches.append(Breach(*found.locate(i), "duplicate key", detail))
    if len(twice) >= KEPT:
        file, _ = found.locate(int(twice[0]))
        breaches.append(Breach(file, None, "duplicate key", f"{len(twice)} rows in all"))
    raise InputError(breaches)


def _has_symbols(table: RawTable) -> bool:
    return any(role(name) == "symbol" for name in table.frame.columns)


def _stem(table: RawTable) -> str | None:
    """The symbol of a file without such a column: its name."""
    return None if _has_symbols(table) else Path(table.file).stem


def _symbols(tables: Sequence[RawTable]) -> set[str]:
    found: set[str] = set()
    for table in tables:
        column = [name for name in table.frame.columns if role(name) == "symbol"]
        values = as_text(table.frame[column[0]]).unique() if column else [Path(table.file).stem]
        found |= {str(value).strip().upper() for value in values}
    return found


def calendar_of(symbols: Collection[str]) -> str:
    """XTSE for a file of Canadian names, else XNYS."""
    canadian = sum(s.endswith(CANADIAN) for s in symbols)
    return "XTSE" if 2 * canadian >= len(symbols) else "XNYS"


def currency_of(calendar: str) -> str:
    """The currency of an exchange's prices.

    Raises
    ------
    UsageError
        For one that isn't known here.
    """
    if calendar not in CURRENCIES:
        raise UsageError(
            f"the currency of {calendar} is unknown", remedy="Name it, for instance --currency USD."
        )
    return CURRENCIES[calendar]


def ingest(
    path: Path, *, calendar: str | None, zone: str | None, currency: str | None, store: Path
) -> dict[str, Any]:
    """Check bars and keep a copy named by its digest; the same bars are stored once.

    Parameters
    ----------
    store : Path
        Folder of the copies, made if absent.

    Returns
    -------
    dict
        rows, symbols, first, last, calendar, currency, digest, stored, findings, excluded, notes.

    Raises
    ------
    InputError
        When a contract is broken; nothing was stored.
    """
    market = load(FeedRequest(data=path, calendar=calendar, zone=zone, currency=currency))
    # "24/7" is a calendar too, and no folder.
    target = store / f"{market.calendar.replace('/', '-')}-{market.digest[:16]}.parquet"
    keep(market.bars[list(BAR_COLUMNS)], target)
    sessions = market.bars["session"]
    return {
        "rows": len(market.bars),
        "symbols": sorted(market.bars["symbol"].unique()),
        "first": f"{sessions.min():%Y-%m-%d}",
        "last": f"{sessions.max():%Y-%m-%d}",
        "calendar": market.calendar,
        "currency": market.currency,
        "digest": market.digest,
        "stored": str(target),
        "findings": [f"{f.severity}: {f.check}: {f.symbol} {f.detail}" for f in market.findings],
        "excluded": dict(market.excluded),
        "notes": list(market.notes),
    }
