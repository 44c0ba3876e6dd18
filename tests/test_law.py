"""Files decide, folders do, only `app/` knows everyone."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "hybridnb"
ROOT_FILES = sorted(PACKAGE.glob("*.py"))
ROOT_NAMES = {p.stem for p in ROOT_FILES} - {"__init__"}
FOLDERS = sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and any(p.rglob("*.py")))
FOLDER_FILES = sorted(p for f in FOLDERS if f != "app" for p in (PACKAGE / f).rglob("*.py"))
OUTSIDE = {"numpy", "pydantic"}  # what a root file may import beyond the standard library


def imports(path: Path, *, typing_too: bool = True) -> Iterator[str]:
    """Dotted names of everything imported, at any depth; relative imports are made absolute."""
    here = ("hybridnb", *path.relative_to(PACKAGE).parent.parts)

    def walk(node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Import(names=names):
                yield from (n.name for n in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = list(here[: len(here) - level + 1]) if level else []
                stem = ".".join([*base, *([module] if module else [])])
                # `from hybridnb import market` imports the folder.
                whole = stem == "hybridnb"
                yield from ([f"{stem}.{n.name}" for n in names] if whole else [stem])
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) if not typing_too:
                for child in node.orelse:
                    yield from walk(child)
            case _:
                for child in ast.iter_child_nodes(node):
                    yield from walk(child)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")))


def own(name: str) -> str | None:
    """The part of `hybridnb` that an import names: a root file's or a folder's name."""
    parts = name.split(".")
    return parts[1] if parts[0] == "hybridnb" and len(parts) > 1 else None


def test_the_house_is_there() -> None:
    assert {"domain", "errors", "policy", "ports", "limits"} <= ROOT_NAMES
    assert "app" in FOLDERS and not ROOT_NAMES & set(FOLDERS)


@pytest.mark.parametrize("path", ROOT_FILES, ids=lambda p: p.stem)
def test_root_files_import_each_other_numpy_and_pydantic(path: Path) -> None:
    for name in imports(path, typing_too=False):
        top, part = name.split(".")[0], own(name)
        if top == "hybridnb":
            assert part is None or part in ROOT_NAMES, f"{path.name} imports {name}"
        else:
            assert top in sys.stdlib_module_names or top in OUTSIDE, f"{path.name} imports {name}"
    typed = set(imports(path)) - set(imports(path, typing_too=False))
    for name in typed:
        assert name.split(".")[0] in {"pandas", "hybridnb", *sys.stdlib_module_names}
        assert own(name) is None or own(name) in ROOT_NAMES, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FOLDER_FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_folders_import_root_files_and_themselves(path: Path) -> None:
    here = path.relative_to(PACKAGE).parts[0]
    for name in imports(path):
        part = own(name)
        if part is not None and part != "__version__":
            assert part in ROOT_NAMES | {here}, f"{path.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("path", ROOT_FILES, ids=lambda p: p.stem)
def test_root_files_read_no_clock_no_environment_and_no_global_chance(path: Path) -> None:
    forbidden = {"os.environ", "os.getenv", "time.time", "datetime.now", "datetime.utcnow"}
    forbidden |= {"date.today", "datetime.today", "time.perf_counter", "time.monotonic"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            assert not any(text == f or text.endswith(f".{f}") for f in forbidden), text
            drawn = text.startswith("np.random.")
            typed = {"np.random.Generator", "np.random.default_rng", "np.random.SeedSequence"}
            assert not drawn or text in typed, text
    assert not {"random", "secrets"} & set(imports(path))
