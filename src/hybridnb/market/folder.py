"""The `folder` feed: a user's own bars, one file or a folder of them, any market.

Nothing is repaired. A split-sized jump or a suspected bad tick refuses the file, since its owner
can still mend it; a symbol that lacks sessions is left out and named.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.domain import Bucket
from hybridnb.errors import Breach, InputError
from hybridnb.market.assemble import assemble
from hybridnb.market.columns import as_text, role
from hybridnb.market.contracts import check_bars
from hybridnb.market.feeds import FeedRequest
from hybridnb.market.instruments import instruments
from hybridnb.market.tables import RawTable, read_table, table_paths
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
    """
    if request.data is None:
        raise ValueError("the folder feed needs data")
    tables = [read_table(path) for path in table_paths(request.data)]
    symbols = _symbols(tables)
    calendar = request.calendar or _calendar(symbols)
    currency = request.currency or CURRENCIES.get(calendar, "USD")
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
        source=request.data.name,
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
    if len(twice):
        shown = found.bars.iloc[twice]
        raise InputError(
            [
                Breach(*found.locate(int(i)), "duplicate key", f"{symbol} {session:%Y-%m-%d}")
                for i, symbol, session in zip(twice, shown["symbol"], shown["session"], strict=True)
            ][:1000]
        )


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


def _calendar(symbols: set[str]) -> str:
    """XTSE for a file of Canadian names, else XNYS."""
    canadian = sum(s.endswith(CANADIAN) for s in symbols)
    return "XTSE" if 2 * canadian >= len(symbols) else "XNYS"


def ingest(
    path: Path, *, calendar: str | None, zone: str | None, currency: str | None, store: Path
) -> dict[str, Any]:
    """Check bars and keep a copy named by its digest; the same bars are stored once.

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
    target = store / f"{market.calendar}-{market.digest[:16]}.parquet"
    if not target.is_file():
        fresh = target.with_suffix(f".{os.getpid()}")
        market.bars[list(BAR_COLUMNS)].to_parquet(fresh, index=False)
        fresh.replace(target)
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
