"""Importing the package does no work; the command line answers before anything heavy loads."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "mlflow", "papermill", "openai", "ollama", "pandas", "sklearn", "matplotlib"}
HEAVY |= {"stable_baselines3", "gymnasium", "sqlalchemy", "talib", "nbformat", "nbconvert"}


def loaded(statement: str) -> set[str]:
    """Top-level packages in a fresh process after a statement."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def test_the_package_loads_nothing() -> None:
    found = loaded("import hybridnb")
    assert "hybridnb" in found and not found & (HEAVY | {"numpy", "pydantic"})


def test_the_core_loads_numpy_and_pydantic_only() -> None:
    found = loaded("import hybridnb.decide, hybridnb.policy, hybridnb.ports, hybridnb.book")
    assert {"numpy", "pydantic"} <= found and not found & HEAVY


@pytest.mark.parametrize("module", ["cli", "runner", "html"])
def test_the_commands_and_the_runner_load_nothing_heavy(module: str) -> None:
    assert not loaded(f"import hybridnb.app.{module}") & HEAVY
