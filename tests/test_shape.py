"""Small files, small functions, and nothing in the repository that names a machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LINES, FUNCTION, COMPLEXITY = 300, 60, 10
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    """Every function of a file, inner ones and methods included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def ident(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=ident)
def test_a_file_is_at_most_300_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES


@pytest.mark.parametrize("path", SOURCES, ids=ident)
def test_a_function_is_short(path: Path) -> None:
    for function in functions(path):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= FUNCTION, f"{function.name}: {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=ident)
def test_a_file_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "no docstring"


def test_no_function_forks_more_than_ten_times() -> None:
    rule = [
        "--isolated",
        "--select",
        "C901",
        "--config",
        f"lint.mccabe.max-complexity={COMPLEXITY}",
    ]
    command = [sys.executable, "-m", "ruff", "check", *rule, "--output-format", "concise", "src"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_tests_mirror_the_sources() -> None:
    general = {"law", "shape", "imports", "environment", "docs", "known_answers", "notebooks"}
    for path in (p for p in TESTS if p.name.startswith("test_")):
        place, name = path.parent.relative_to(ROOT / "tests"), path.stem.removeprefix("test_")
        mirrored = ROOT / "src" / "hybridnb" / place
        stems = {p.stem for p in mirrored.glob("*.py")} | {mirrored.name}
        assert name in general or any(name.startswith(s) for s in stems), f"{ident(path)}: of what?"
    assert not list((ROOT / "tests").rglob("__init__.py"))


def tracked() -> list[Path]:
    """What git keeps, or would keep; without git everything that isn't made."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return [*SOURCES, *TESTS, *ROOT.glob("*.*")]
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def test_no_machine_path_and_no_registry_in_the_repository() -> None:
    machine = re.compile(r"(?<![\w.])/(?:root|home|opt|work|Users)/[\w.-]+")
    registry = re.compile(
        r"https?://[\w.-]*(?:pypi|pythonhosted|download\.pytorch|conda\.anaconda)"
    )
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for pattern in (machine, registry):
            found = pattern.search(text)
            assert found is None, f"{ident(path)}: {found.group() if found else ''}"
