"""Notebooks are thin, stripped, and take the parameters that the day gives them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DAY = {"feed", "data", "session", "seed", "profile", "params"}


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def test_the_mandated_ones_are_there() -> None:
    names = {p.stem for p in NOTEBOOKS}
    assert names >= {"training", "gate_review", "live_session", "post_mortem", "quickstart"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_thin(path: Path) -> None:
    cells = code(path)
    assert len(cells) <= 10
    for cell in cells:
        assert len(cell.source.splitlines()) <= 15
        defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        assert not any(isinstance(node, defined) for node in ast.walk(ast.parse(cell.source)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stripped_with_readable_ids(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))
    for cell in nbformat.read(path, as_version=4).cells:
        assert re.fullmatch(r"[a-z][a-z_-]+", cell.id)
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
            assert set(cell.metadata) <= {"tags"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_executed_copy_is_of_this_source(path: Path) -> None:
    copy = [c for c in code(ROOT / "tests" / "notebooks" / path.name) if c.id != "injected"]
    assert [c.source for c in copy] == [c.source for c in code(path)], (
        "run: python tests/execute_notebooks.py"
    )
    assert all(output.output_type != "error" for c in copy for output in c.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_one_typed_parameters_cell(path: Path) -> None:
    tagged = [c for c in code(path) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    body = ast.parse(tagged[0].source).body
    assert all(isinstance(node, ast.AnnAssign) and node.value is not None for node in body)
    assert {node.target.id for node in body if isinstance(node, ast.AnnAssign)} == DAY
