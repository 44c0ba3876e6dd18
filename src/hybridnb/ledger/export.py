"""Both chains as Parquet or CSV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pyarrow import csv, parquet

from hybridnb.errors import Missing
from hybridnb.ledger.chain import CHAINS, Entry
from hybridnb.ledger.store import Ledger

BATCH = 10_000  # rows in memory at a time
SCHEMA = pa.schema(
    [(f.name, pa.int64() if f.name == "seq" else pa.string()) for f in fields(Entry)]
)


def export(
    ledger: Ledger, folder: Path, *, format: Literal["parquet", "csv"] = "parquet"
) -> list[Path]:
    """One file a chain: every column as stored, the payload as canonical JSON.

    Returns
    -------
    list of Path
        The files, each written whole or not at all.

    Raises
    ------
    Missing
        When the folder can't be written.
    """
    written = []
    for chain in CHAINS:
        path = folder / f"{chain}.{format}"
        fresh = folder / f".{path.name}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(fresh, _batches(ledger, chain), format)
            os.replace(fresh, path)
        except OSError as error:
            raise Missing(
                f"{path} can't be written: {error.strerror or error}",
                remedy="Name a folder that you can write to, with room on its disk.",
            ) from None
        finally:
            if folder.is_dir():
                fresh.unlink(missing_ok=True)
        written.append(path)
    return written


def _batches(ledger: Ledger, chain: str) -> Iterator[Any]:
    rows = ledger.entries(chain)
    while group := list(islice(rows, BATCH)):
        columns = {name: [getattr(e, name) for e in group] for name in SCHEMA.names}
        yield pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def _write(path: Path, batches: Iterator[Any], format: str) -> None:
    opened: Any = parquet.ParquetWriter if format == "parquet" else csv.CSVWriter
    with path.open("wb") as out:
        with opened(out, SCHEMA) as writer:
            for batch in batches:
                writer.write_batch(batch)
        out.flush()
        os.fsync(out.fileno())
