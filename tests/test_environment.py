"""One list of requirements: pyproject, constraints, Makefile, conda environment, wheel agree."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hybridnb.market.feeds import BUILT_IN

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
DIRECT = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRAS = {
    name: [Requirement(text) for text in texts]
    for name, texts in PROJECT["optional-dependencies"].items()
}
MANDATED = {"jupyterlab", "papermill", "nbconvert", "ipywidgets", "voila", "pandas", "numpy"}
MANDATED |= {"torch", "stable-baselines3", "ollama", "openai", "scikit-learn", "nbval", "pytest"}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split("\n")
    found = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if line]
    assert all(found), "every line of constraints.txt is NAME==VERSION, without a local part"
    return {canonicalize_name(m[1]): m[2] for m in found if m}


def test_the_mandated_packages_are_requirements() -> None:
    assert {canonicalize_name(r.name) for r in DIRECT} >= MANDATED


def test_constraints_pin_every_direct_requirement_within_its_bounds() -> None:
    pinned = pins()
    for requirement in [*DIRECT, *(r for found in EXTRAS.values() for r in found)]:
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"make constraints: {name} has no pin"
        assert requirement.specifier and pinned[name] in requirement.specifier, name
    assert "hybridnb" not in pinned


def test_what_the_source_imports_is_required() -> None:
    owners = packages_distributions()
    required = {canonicalize_name(r.name) for r in DIRECT}
    ours = {"hybridnb", *sys.stdlib_module_names}
    optional = {canonicalize_name(r.name) for found in EXTRAS.values() for r in found}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [n.name for n in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            else:
                continue
            for top in {name.split(".")[0] for name in names} - ours:
                owned = {canonicalize_name(o) for o in owners.get(top, [])}
                assert owned & (required | optional), f"{path.name} imports {top}: not required"


def test_makefile_and_conda_install_the_same_extras() -> None:
    extras = re.search(r"^EXTRAS := (.*)$", MAKEFILE, re.MULTILINE)
    assert extras and set(extras[1].split(",")) == set(EXTRAS)
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (nested,) = [d["pip"] for d in conda["dependencies"] if isinstance(d, dict)]
    assert nested == ["-c constraints.txt", f"-e .[{extras[1]}]"]
    assert conda["channels"] == ["conda-forge"]
    (python,) = [d for d in conda["dependencies"] if str(d).startswith("python=")]
    assert python.removeprefix("python=") in PROJECT["requires-python"]


def test_entry_points_name_what_exists() -> None:
    groups = PROJECT["entry-points"] | {"scripts": PROJECT["scripts"]}
    for names in groups.values():
        for target in names.values():
            module, _, attribute = target.partition(":")
            path = ROOT / "src" / f"{module.replace('.', '/')}.py"
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert attribute in {n.name for n in body if isinstance(n, ast.FunctionDef)}, target
    assert set(groups["hybridnb.feeds"]) == set(BUILT_IN)


def test_makefile_has_every_target_and_names_what_is_missing() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make: install the package make")
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony and {"day", "test", "evidence", "lint", "constraints", "clean"} <= set(
        phony[1].split()
    )
    done = subprocess.run(
        [make, "constraints", "PYTHON=python-that-is-not-there"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0 and "needs Python 3.11 or later" in done.stderr


def test_the_wheel_carries_notebooks_parameters_and_templates(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
        env=os.environ | {"PIP_NO_INDEX": "1"},
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    for folder, pattern in (("notebooks", "*.ipynb"), ("params", "*.yml")):
        shipped = {p.name for p in (ROOT / folder).glob(pattern)}
        assert shipped and shipped <= {
            name.rpartition("/")[2]
            for name in held
            if name.startswith(f"hybridnb/_share/{folder}/")
        }
    package = ROOT / "src" / "hybridnb"
    kept = [p for p in package.rglob("*") if p.suffix in {".py", ".css", ".j2", ".json"}]
    assert {f"hybridnb/{p.relative_to(package).as_posix()}" for p in kept} <= held
    assert not [name for name in held if "__pycache__" in name or name.startswith("tests/")]
