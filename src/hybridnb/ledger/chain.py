"""The hash chain: what links a row to the one before, and how a chain is checked.

`hash = SHA-256(previous hash ‖ canonical JSON)`, both as text in UTF-8.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from hybridnb.canonical import canonical, plain

ALGORITHM = "sha256"
CHAINS = ("session", "operations")
# Columns that a database may index, with their widths; each is compared with the payload.
COPIED = {"kind": 64, "book": 128, "session": 32}


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


def payload_text(row: Mapping[str, Any]) -> str:
    """Canonical JSON of a row, as it is stored and hashed.

    Raises
    ------
    ValueError
        For NaN, infinity, or a value without a canonical form. A figure that is missing is
        written as None by whoever knows that it is.
    """
    if (where := _nan(row)) is not None:
        raise ValueError(f"NaN may not be recorded: row{where}")
    return canonical(row)


def _nan(value: Any) -> str | None:
    """Where in a value the first NaN is; None without one."""
    kind = type(value)
    if kind is str or kind is int or value is None:
        return None
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else None
    for name, inner in _inside(value):
        if (where := _nan(inner)) is not None:
            return f"[{name!r}]{where}"
    return None


def _inside(value: Any) -> Iterable[tuple[Any, Any]]:
    """What a value is made of, each part with its name or place; nothing for a plain one."""
    if isinstance(value, dict | Mapping):
        return value.items()
    if isinstance(value, list | tuple | np.ndarray):
        return enumerate(value)
    if is_dataclass(value):
        return [(f.name, getattr(value, f.name)) for f in fields(value)]
    return ()


def entries(
    chain: str, rows: Iterable[Mapping[str, Any]], *, seq: int, head: str
) -> Iterator[Entry]:
    """Rows as entries that follow number `seq` with hash `head`.

    Raises
    ------
    ValueError
        For a value without a canonical form, or a kind, book or session that no column holds.
    """
    for row in rows:
        payload = payload_text(row)
        seq, prev = seq + 1, head
        head = link(prev, payload)
        copied = _copied({name: plain(row.get(name)) for name in COPIED})
        for name, value in copied.items():
            if len(value) > COPIED[name] or "\0" in value:
                raise ValueError(f"{name} is at most {COPIED[name]} characters: {value[:80]!r}")
        yield Entry(chain=chain, seq=seq, **copied, payload=payload, prev_hash=prev, hash=head)


def _copied(payload: Mapping[str, Any]) -> dict[str, str]:
    return {name: "" if payload.get(name) is None else str(payload[name]) for name in COPIED}


def recompute(chain: str, rows: Iterable[Entry]) -> Iterator[tuple[int, str, str]]:
    """Follow a chain from its genesis.

    Yields
    ------
    tuple of int, str and str
        For each sound row its number, its hash and ""; for the first that isn't, the number
        and the hash of the row before and why. Nothing follows it.
    """
    seq, head = 0, genesis(chain)
    for entry in rows:
        why = broken(entry, seq=seq, head=head)
        if why:
            yield seq, head, why
            return
        seq, head = entry.seq, entry.hash
        yield seq, head, ""


def broken(entry: Entry, *, seq: int, head: str) -> str:
    """Why an entry doesn't follow number `seq` with hash `head`; empty where it does."""
    if entry.seq != seq + 1:
        return f"row {seq + 1} is missing: the next one is {entry.seq}"
    if entry.prev_hash != head:
        return "it doesn't link to the row before"
    try:
        whole = link(entry.prev_hash, entry.payload) == entry.hash
    except UnicodeEncodeError:  # bytes that are no UTF-8 arrive as lone surrogates
        whole = False
    if not whole:
        return "its hash differs from its content"
    payload = _parsed(entry.payload)
    if payload is None:
        return "its payload is no canonical JSON"
    for name, value in _copied(payload).items():
        if value != getattr(entry, name):
            return f"its column {name} differs from its payload"
    return ""


def _parsed(text: str) -> dict[str, Any] | None:
    """The object that a canonical text holds; None for any other text."""
    try:
        payload = json.loads(text)
        if not isinstance(payload, dict):
            return None
        # What JSON holds needs no reducing, except for the one number with two texts.
        again = canonical(payload) if "-0.0" in text else _ENCODE(payload)
    except (ValueError, RecursionError):
        return None
    return payload if again == text else None


_ENCODE = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode
