"""`hybridnb backup`: the ledger, its heads, models, records and parameters in one file.

The ledger is packed row by row, whatever database holds it: rows are never rewritten, so a copy
up to two heads read under the writers' lock is whole while sessions go on, and goes into either
kind of database again. Secrets live in the environment; a file that holds one isn't packed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import select

from hybridnb import __version__
from hybridnb.app.archive import PIECE
from hybridnb.app.home import Home, home, shipped
from hybridnb.app.ledgers import open_ledger, verify_ledger
from hybridnb.app.logs import secrets
from hybridnb.app.operators import wall_time
from hybridnb.app.packing import Packer, finish, new_archive
from hybridnb.ledger.chain import CHAINS
from hybridnb.ledger.heads import Head, Heads
from hybridnb.ledger.schema import ENTRIES, METADATA
from hybridnb.ledger.store import Ledger

# What of a home is kept. Caches, locks, unfinished trainings and anything hidden are not.
FOLDERS = ("models", "predictions", "runs", "data", "paper", "reports")
FILES = ("ledger/identity",)
BACKUPS = "backups"
KIND = "backup"  # of the row that records one


def make_backup(out: str | None = None) -> dict[str, Any]:
    """Pack the home in force.

    Parameters
    ----------
    out : str or None
        File to write; by default a new one in the folder `HOME-backups` beside the home.

    Returns
    -------
    dict
        file, sha256 (of the file), bytes, files, rows, heads, at.

    Raises
    ------
    LedgerBroken
        When the ledger doesn't verify: a backup of it would hide that.
    CheckFailed
        When a file holds a secret.
    Refused, Missing
        When the file is there already or can't be written.
    """
    where = home()
    verify_ledger()
    ledger, at = open_ledger(), wall_time()
    heads = _heads(where, ledger)
    path = Path(out).expanduser().resolve() if out else _fresh(where, at)
    with new_archive(path, secrets()) as packer:
        for chain in CHAINS:
            packer.add(chain_file(chain), _rows(ledger, chain, heads[chain].seq))
        for name, lines in _side_tables(ledger):
            packer.add(name, lines)
        pack_files(packer, where)
        facts = {
            "product": "hybridnb",
            "version": __version__,
            "made_at": at,
            "database": where.ledger_url.partition(":")[0].partition("+")[0],
            "heads": {chain: {"seq": h.seq, "hash": h.hash} for chain, h in heads.items()},
        }
        contents = finish(packer, facts)
    done = {
        "file": str(path),
        "sha256": file_digest(path),
        "bytes": path.stat().st_size,
        "files": len(contents.files),
        "rows": sum(head.seq for head in heads.values()),
        "heads": {chain: head.hash for chain, head in heads.items()},
        "at": at,
    }
    ledger.append("operations", [{"kind": KIND, **done, "file": path.name}])
    return done


def backup_text(done: dict[str, Any]) -> str:
    """What was packed, in a sentence."""
    return (
        f"{done['rows']:,} rows and {done['files']} files in {done['file']}"
        f" ({done['bytes'] / 1e6:.1f} MB)\nSHA-256 {done['sha256']}"
    )


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def chain_file(chain: str) -> str:
    """Where an archive has a chain."""
    return f"ledger/{chain}.jsonl"


def side_file(table: str) -> str:
    """Where an archive has a table that is beside the chains."""
    return f"ledger/beside/{table}.jsonl"


def kept_files(where: Home) -> Iterator[tuple[str, Path]]:
    """Files of a home that a backup holds, with their names in it, in order."""
    found = [(name, where.root / name) for name in FILES]
    for folder in FOLDERS:
        for path in sorted((where.root / folder).rglob("*")):
            name = path.relative_to(where.root).as_posix()
            if not any(part.startswith(".") for part in name.split("/")):
                found.append((name, path))
    return ((name, path) for name, path in found if path.is_file() and not path.is_symlink())


def pack_files(packer: Packer, where: Home) -> None:
    """Models, records, and the parameters in force."""
    for name, path in kept_files(where):
        packer.add_file(name, path)
    for path in sorted(shipped("params").glob("*.yml")):
        if path.is_file() and not path.name.startswith("."):
            packer.add_file(f"params/{path.name}", path)


def _fresh(where: Home, at: str) -> Path:
    stamp = re.sub(r"[^0-9T]", "", at)[:15]
    folder = where.root.parent / f"{where.root.name}-{BACKUPS}"
    return folder / f"hybridnb-{stamp}.zip"


def _heads(where: Home, ledger: Ledger) -> dict[str, Head]:
    """Both ends at one moment: writers of either chain wait meanwhile."""
    with Heads(where.heads).locked():
        return {chain: Head(ledger.count(chain), ledger.head(chain)) for chain in CHAINS}


def _rows(ledger: Ledger, chain: str, last: int) -> Iterator[bytes]:
    """The payloads through row `last`, a line each, in pieces."""
    held: list[str] = []
    size = 0
    for entry in ledger.entries(chain):
        if entry.seq > last:
            break
        held.append(entry.payload + "\n")
        size += len(entry.payload)
        if size > PIECE:
            yield "".join(held).encode()
            held, size = [], 0
    yield "".join(held).encode()


def _side_tables(ledger: Ledger) -> Iterator[tuple[str, list[bytes]]]:
    """What the database holds beside the chains: no evidence, but of use."""
    with ledger.beside() as connection:
        for table in METADATA.sorted_tables:
            if table.name == ENTRIES.name:
                continue
            query = select(table).order_by(*table.primary_key)
            rows = [dict(row._mapping) for row in connection.execute(query)]
            lines = [(json.dumps(row, default=_text) + "\n").encode() for row in rows]
            yield side_file(table.name), lines


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else str(value)
