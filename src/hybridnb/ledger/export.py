"""Both chains as Parquet or CSV."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import pandas as pd

from hybridnb.ledger.chain import CHAINS, Entry
from hybridnb.ledger.store import Ledger


def export(
    ledger: Ledger, folder: Path, *, format: Literal["parquet", "csv"] = "parquet"
) -> list[Path]:
    """One file a chain: every column as stored, the payload as canonical JSON.

    Returns
    -------
    list of Path
        The files, written whole or not at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names, written = list(Entry.__dataclass_fields__), []
    for chain in CHAINS:
        frame = pd.DataFrame([asdict(e) for e in ledger.entries(chain)], columns=names)
        path = folder / f"{chain}.{format}"
        fresh = path.with_suffix(f".{os.getpid()}")
        if format == "parquet":
            frame.to_parquet(fresh, index=False)
        else:
            frame.to_csv(fresh, index=False)
        os.replace(fresh, path)
        written.append(path)
    return written
