"""From a stranger's file to a raw table, with the line of the file that each row stands on.

Nothing is interpreted here but the container: CSV cells stay text, Parquet columns keep their
types. What isn't a table at all is refused with the rule `not a table`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from hybridnb.errors import Breach, InputError, Missing

KEPT = 1000  # breaches kept of one file; the rest are counted
SUFFIXES = (".csv", ".parquet", ".pq")

Lines: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class RawTable:
    """A table as the file has it.

    Attributes
    ----------
    file : str
        Name that breaches carry.
    frame : pandas.DataFrame
        CSV: every cell text, "" where empty. Parquet: the file's own types.
    lines : numpy.ndarray of int64, shape (rows,)
        CSV: line of the file as an editor counts (header 1). Parquet: data row, from 1.
    notes : tuple of str
        What was left out.
    """

    file: str
    frame: pd.DataFrame
    lines: Lines
    notes: tuple[str, ...] = ()


def table_paths(path: Path) -> list[Path]:
    """The files a user meant: the file itself, or a folder's CSV and Parquet files by name.

    Raises
    ------
    Missing
        When nothing is there.
    InputError
        When a folder holds neither CSV nor Parquet.
    """
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        if not found:
            raise _refused(str(path), "not a table", "the folder has no .csv or .parquet file")
        return found
    if not path.exists():
        raise Missing(f"{path}: no such file or folder", remedy="Name a file of bars that exists.")
    return [path]


def read_table(path: Path) -> RawTable:
    """Read one file; Parquet by its magic bytes or its name, anything else as CSV.

    Raises
    ------
    InputError
        `unreadable file`, `not a table`, `empty`, or `row length` with the line.
    """
    file = path.name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _refused(file, "unreadable file", error.strerror or "cannot be read") from None
    if not data.strip():
        raise _refused(file, "empty", "the file has no content")
    if data[:4] == b"PAR1" or path.suffix.lower() in (".parquet", ".pq"):
        return _parquet(file, data)
    return _csv(file, data)


def _parquet(file: str, data: bytes) -> RawTable:
    try:
        table = pq.read_table(pa.BufferReader(data))
        # Without the pandas metadata an index written by pandas is a column like any other.
        frame = table.to_pandas(ignore_metadata=True, date_as_object=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        detail = f"no readable Parquet: {str(error).splitlines()[0][:120]}"
        raise _refused(file, "not a table", detail) from None
    if not len(frame):
        raise _refused(file, "empty", "the table has no rows")
    return RawTable(file, frame, np.arange(1, len(frame) + 1, dtype=np.int64))


def _csv(file: str, data: bytes) -> RawTable:
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in data:
        raise _refused(file, "not a table", "the file has NUL bytes: binary, or not UTF-8")
    body = data.lstrip(b"\r\n")
    above = len(data[: len(data) - len(body)].splitlines())
    bad: list[tuple[int, int]] = []
    try:
        body.decode()  # the parser's own note of a row that isn't text would be lost
        names = next(csv.reader([body.splitlines()[0].decode()], strict=True))
        table = _parse(body, len(names), bad)
    except UnicodeDecodeError:
        raise _refused(file, "not a table", "the file isn't UTF-8 text") from None
    except (pa.ArrowException, csv.Error) as error:
        detail = f"no readable CSV: {str(error).splitlines()[0][:120]}"
        raise _refused(file, "not a table", detail) from None
    if bad:
        raise InputError(_lengths(file, bad, width=len(names), above=above))
    frame = table.to_pandas()
    frame.columns = pd.Index(names)
    lines = np.arange(2, len(frame) + 2, dtype=np.int64) + above
    return _without_blanks(file, frame, lines)


def _parse(data: bytes, width: int, bad: list[tuple[int, int]]) -> pa.Table:
    """The cells as text; rows of another width go to `bad` as (line, width)."""
    names = [f"c{i}" for i in range(width)]

    def note(row: pyarrow.csv.InvalidRow) -> str:
        if row.text.strip():
            bad.append((row.number or 0, row.actual_columns))
        return "skip"

    table = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        # One thread: with more the line of a bad row is unknown.
        read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
        parse_options=pyarrow.csv.ParseOptions(
            ignore_empty_lines=False, invalid_row_handler=note, newlines_in_values=True
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )
    if b'"' in data and any(pc.any(pc.match_substring(c, "\n")).as_py() for c in table.columns):
        raise pa.ArrowInvalid("a quoted field runs over a line's end")
    return table


def _without_blanks(file: str, frame: pd.DataFrame, lines: Lines) -> RawTable:
    """Rows without any text are no rows; the others keep the line they stand on."""
    blank = (frame.iloc[:, 0] == "").to_numpy(dtype=bool, copy=True)
    blank[blank] = (frame[blank] == "").all(axis=1).to_numpy(dtype=bool)
    if blank.all():
        raise _refused(file, "empty", "the table has a header and no rows")
    notes = (f"{file}: {blank.sum()} empty rows were left out",) if blank.any() else ()
    return RawTable(file, frame[~blank].reset_index(drop=True), lines[~blank], notes)


def _lengths(file: str, bad: list[tuple[int, int]], *, width: int, above: int) -> list[Breach]:
    kept = [
        Breach(file, line + above, "row length", f"{found} fields where the header has {width}")
        for line, found in bad[:KEPT]
    ]
    if len(bad) > KEPT:
        kept.append(Breach(file, None, "row length", f"{len(bad)} rows in all"))
    return kept


def _refused(file: str, rule: str, detail: str) -> InputError:
    return InputError([Breach(file, None, rule, detail)])
