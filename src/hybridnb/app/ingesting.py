"""`hybridnb ingest`: check a stranger's bars and keep a copy, or say what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hybridnb.app.home import home
from hybridnb.errors import Missing
from hybridnb.market.folder import ingest


def ingest_path(path: Path, *, calendar: str, zone: str, currency: str) -> dict[str, Any]:
    """Check a file or folder of bars and store it in the home.

    Raises
    ------
    Missing
        When there is nothing at `path`.
    InputError
        File, row and rule of what is broken; nothing was stored.
    """
    if not path.exists():
        raise Missing(f"{path} isn't there", remedy="Give a CSV or Parquet file, or a folder.")
    return ingest(
        path,
        calendar=calendar or None,
        zone=zone or None,
        currency=currency or None,
        store=home().folder("data"),
    )
