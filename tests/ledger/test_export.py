"""What is exported is what is stored."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest

import hybridnb.ledger.export as exporting
from hybridnb.errors import LedgerBroken, Missing
from hybridnb.ledger.chain import Entry, genesis, recompute
from hybridnb.ledger.export import export
from hybridnb.ledger.store import Ledger

AWKWARD = 'a "quoted", comma\r\nline\n\ttab, é, 漢, \\, \u2028, end '
Format = Literal["parquet", "csv"]


def read(path: Path) -> list[Entry]:
    """The file's rows, by a reader that isn't the writer's own."""
    found: list[dict[str, Any]]
    if path.suffix == ".parquet":
        found = pq.read_table(path).to_pylist()
    else:
        with path.open(encoding="utf-8", newline="") as opened:
            found = [row | {"seq": int(row["seq"])} for row in csv.DictReader(opened)]
    return [Entry(**row) for row in found]


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    same = {"book": "b", "session": "2024-01-02"}
    rows = [{"kind": "mark", "n": n, "text": AWKWARD, "none": None} | same for n in range(25)]
    ledger.append("session", rows)
    ledger.append("operations", [{"kind": "run", "id": "run_1"}])
    return ledger


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_both_chains_come_out_as_stored_and_still_verify(
    filled: Ledger, tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "BATCH", 10)  # more than one
    out = tmp_path / "new" / "folder"
    files = export(filled, out, format=kind)
    assert files == [out / f"session.{kind}", out / f"operations.{kind}"]
    assert sorted(out.iterdir()) == sorted(files)
    for chain, path in zip(("session", "operations"), files, strict=True):
        rows = read(path)
        assert rows == list(filled.entries(chain))
        *_, last = recompute(chain, rows)
        assert last == (len(rows), filled.head(chain), "")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_an_empty_ledger_gives_files_without_rows(
    ledger: Ledger, tmp_path: Path, kind: Format
) -> None:
    for path in export(ledger, tmp_path / "out", format=kind):
        assert read(path) == []
        if kind == "csv":
            assert path.read_text().strip().replace('"', "") == ",".join(Entry.__slots__)
        else:
            assert pq.read_table(path).column_names == list(Entry.__slots__)
    assert ledger.head("session") == genesis("session")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_an_export_that_fails_leaves_the_files_of_the_last(
    filled: Ledger, tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in export(filled, out, format=kind)}
    filled.append("session", [{"kind": "mark"}])

    def cut(chain: str) -> Any:
        yield Entry(chain, 1, "", "", "", "{}", "", "")
        raise LedgerBroken("cut", first_broken={})

    monkeypatch.setattr(filled, "entries", cut)
    with pytest.raises(LedgerBroken):
        export(filled, out, format=kind)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_folder_that_cant_be_written_is_missing(filled: Ledger, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Missing, match="can't be written") as caught:
        export(filled, tmp_path / "file" / "out")
    assert caught.value.remedy
