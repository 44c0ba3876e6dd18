"""The hash chain: what links a row to the one before, and how a chain is checked.

`hash = SHA-256(previous hash ‖ canonical JSON)`, both as text in UTF-8.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hybridnb.canonical import canonical

ALGORITHM = "sha256"
CHAINS = ("session", "operations")
# Columns that a database may index; each is compared with the payload it came from.
COPIED = ("kind", "book", "session")


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored row: `payload` is the canonical JSON, hashed as it stands."""

    chain: str
    seq: int
    kind: str
    book: str
    session: str
    payload: str
    prev_hash: str
    hash: str


def genesis(chain: str) -> str:
    """What the first row links to: of the chain's own, so that chains can't be exchanged."""
    return hashlib.sha256(f"hybridnb {chain} chain, {ALGORITHM}, 1".encode()).hexdigest()


def link(prev_hash: str, payload: str) -> str:
    """The hash of a row."""
    return hashlib.sha256(f"{prev_hash}{payload}".encode()).hexdigest()


def entries(
    chain: str, rows: Iterable[Mapping[str, Any]], *, seq: int, head: str
) -> Iterator[Entry]:
    """Rows as entries that follow number `seq` with hash `head`.

    Raises
    ------
    ValueError
        For a value without a canonical form.
    """
    for row in rows:
        payload = canonical(row)
        seq, prev = seq + 1, head
        head = link(prev, payload)
        copied = {name: str(row.get(name) or "") for name in COPIED}
        yield Entry(chain=chain, seq=seq, **copied, payload=payload, prev_hash=prev, hash=head)


def broken(entry: Entry, *, seq: int, head: str) -> str:
    """Why an entry doesn't follow number `seq` with hash `head`; empty where it does."""
    if entry.seq != seq + 1:
        return f"row {seq + 1} is missing: the next one is {entry.seq}"
    if entry.prev_hash != head:
        return "it doesn't link to the row before"
    if link(entry.prev_hash, entry.payload) != entry.hash:
        return "its hash differs from its content"
    try:
        payload = json.loads(entry.payload)
        # The canonical form of what JSON can hold already, without reducing it first.
        text = json.dumps(
            payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        whole = isinstance(payload, dict) and text == entry.payload
    except ValueError:
        whole = False
    if not whole:
        return "its payload is no canonical JSON"
    for name in COPIED:
        if str(payload.get(name) or "") != getattr(entry, name):
            return f"its column {name} differs from its payload"
    return ""
