"""A ledger's rows in memory, kept up as it grows: for those who ask many times a second."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hybridnb.ledger.chain import CHAINS
from hybridnb.ledger.store import Ledger

HEAVY = frozenset({"decision", "universe", "order", "fill"})  # most of a ledger: read where asked


class Mirror(Ledger):
    """Reads as a `Ledger` does; rows that were read once aren't read from the database again.

    Both chains only ever grow, so that what is new is what follows the last row that is known.
    Where the last one isn't there any more as it was, another database took its place (it was
    restored), and everything is read anew.

    Rows are shared between callers: they must not be changed.
    """

    def __init__(self, url: str, *, heads: Path) -> None:
        super().__init__(url, heads=heads)
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, list[dict[str, Any]]]] = {chain: {} for chain in CHAINS}
        self._seen: dict[str, tuple[int, str]] = dict.fromkeys(CHAINS, (0, ""))

    def rows(self, chain: str, **match: str) -> Sequence[dict[str, Any]]:
        """As `Ledger.rows`; from memory where a kind is asked for that is kept."""
        kind = match.get("kind", "")
        if not kind or kind in HEAVY:
            return super().rows(chain, **match)
        with self._lock:
            self._refresh(chain)
            found = self._known[chain].get(kind, [])
            return [r for r in found if all(r.get(k) == v for k, v in match.items())]

    def _refresh(self, chain: str) -> None:
        seq, last = self._seen[chain]
        new = iter(self.entries(chain, after=max(0, seq - 1)))
        if seq and ((first := next(new, None)) is None or first.hash != last):
            self._known[chain], self._seen[chain] = {}, (0, "")
            new = iter(self.entries(chain))
        for entry in new:
            if entry.kind not in HEAVY:
                self._known[chain].setdefault(entry.kind, []).append(json.loads(entry.payload))
            self._seen[chain] = entry.seq, entry.hash
