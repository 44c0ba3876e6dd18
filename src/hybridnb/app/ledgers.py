"""What the command line does with the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from hybridnb.app.home import home
from hybridnb.errors import LedgerBroken
from hybridnb.ledger.store import Ledger


def open_ledger() -> Ledger:
    """The ledger of the home in force."""
    where = home()
    return Ledger(where.ledger_url, heads=where.heads)


def verify_ledger() -> dict[str, Any]:
    """Both chains recomputed; `head` is the session chain's.

    Raises
    ------
    LedgerBroken
        With the first broken row.
    """
    found = open_ledger().verify()
    if not found.ok:
        first = found.first_broken or {}
        raise LedgerBroken(f"the ledger is broken at {first}", first_broken=first)
    heads = dict(found.heads)
    return {"ok": True, "rows": found.rows, "head": heads["session"], "heads": heads}


def export_ledger(folder: Path, kind: Literal["parquet", "csv"]) -> dict[str, Any]:
    """Both chains as files."""
    from hybridnb.ledger.export import export

    files = export(open_ledger(), folder, format=kind)
    return {"files": [str(path) for path in files]}
