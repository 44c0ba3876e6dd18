"""What a running session shows of itself: the book at the last prices, in a file of the home.

The ledger has marks only when they matter, and no price of the day. This file is for looking: no
decision reads it, and one that is left by a session that was killed is as old as it says.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridnb.app.home import Home
from hybridnb.app.live_desk import LIVE, LiveDesk
from hybridnb.app.runner import write_atomically
from hybridnb.canonical import plain

FOLDER = "live"
EVERY = 0.2  # seconds between two writings at least


class LiveView:
    """Writes what a desk holds, each time it has listened.

    Parameters
    ----------
    where : Home
    book : str
        Names the file.
    """

    def __init__(self, where: Home, book: str) -> None:
        self._path = where.folder(FOLDER) / f"{book}.json"
        self._last = 0.0

    def __call__(self, desk: LiveDesk) -> None:
        """Write the file anew, unless that was just done."""
        if time.monotonic() - self._last < EVERY:
            return
        self._last = time.monotonic()
        with contextlib.suppress(OSError):  # a full disk stops the ledger, which halts
            write_atomically(self._path, json.dumps(seen(desk), ensure_ascii=False))


def seen(desk: LiveDesk) -> dict[str, Any]:
    """A desk as a `session_closed` row has it, with the classes of its names and the time."""
    value, pnl = desk.day_pnl(LIVE)
    state, day = desk.state, desk.day
    held = state.book.positions
    prices = {**day.last, **{s: b.close for s, b in day.bars.items()}, **desk.floor.prices()}
    snapshot = {"book": state.book, "risk": state.risk, "peak": max(state.peak, value)}
    return {
        "book": desk.setup.book,
        "session": day.session,
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "equity": value,
        "day_pnl": pnl,
        "drawdown": 1.0 - value / max(state.peak, value),
        "prices": {s: int(prices[s]) for s in held if s in prices},
        "buckets": {s: str(day.instruments[s].bucket.value) for s in held},
        "snapshot": plain(snapshot),
        "working": len(desk.venue.working),
    }


def live_rows(where: Home, closed: Mapping[str, Mapping[str, Any]]) -> Sequence[dict[str, Any]]:
    """What sessions show that the ledger hasn't closed.

    Parameters
    ----------
    closed : mapping
        The last `session_closed` row of each book.
    """
    found = []
    for path in sorted((where.root / FOLDER).glob("*.json")):
        row = _read(path)
        before = closed.get(row.get("book", ""), {}).get("session", "")
        if row and row["session"] > before:
            found.append(row)
    return found


def live_stamp(where: Home) -> int:
    """Changes whenever a session shows something new; nanoseconds."""
    return sum(path.stat().st_mtime_ns for path in (where.root / FOLDER).glob("*.json"))


def _read(path: Path) -> dict[str, Any]:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it went away meanwhile, or isn't ours
        return {}
    return row if isinstance(row, dict) and {"book", "session", "snapshot"} <= row.keys() else {}
