"""Notebooks are thin, stripped, and take the parameters that the day gives them."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DAY = {"feed", "data", "session", "seed", "profile", "params"}
OWN = {"decision_explorer": {"decision"}, "drift": {"feature"}}  # beside those of the day
# Shows the present, and goes on showing it: it has no executed copy and no day's parameters.
LIVE = {"dashboard": {"book", "stale_minutes", "stale_days"}}
EXECUTED = [path for path in NOTEBOOKS if path.stem not in LIVE]


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


@pytest.mark.parametrize("path", EXECUTED, ids=lambda p: p.stem)
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
    named = {node.target.id for node in body if isinstance(node, ast.AnnAssign)}
    assert named == LIVE.get(path.stem, DAY | OWN.get(path.stem, set()))


@pytest.mark.parametrize("path", EXECUTED, ids=lambda p: p.stem)
def test_people_are_told_why_and_shown_a_picture_or_a_table(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    for before, cell in pairwise(cells):
        alone = before.cell_type == "markdown" and cell.cell_type == "code"
        if alone and "parameters" not in cell.metadata.get("tags", []):
            said = re.sub(r"^#.*$", "", before.source, flags=re.MULTILINE).strip()
            assert len(re.findall(r"[.!?](?:\s|$)", said)) >= 2, f"{path.stem}: {before.id}"
    copy = code(ROOT / "tests" / "notebooks" / path.name)
    shown = [o for c in copy for o in c.outputs if o.output_type == "execute_result"]
    assert any("image/svg+xml" in output.data for output in shown), path.stem
