"""The manifest of a run, and what it says of the code and its surroundings."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hybridnb.canonical import sha256
from hybridnb.errors import InputError
from hybridnb.registry.manifest import SCHEMA, Manifest, environment, git_state

ID = "run_20240102_093000_0a1b2c"
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"))
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def manifest(**given: Any) -> Manifest:
    return Manifest(**({"id": ID, "job": "market_open", "status": "completed"} | given))


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    made = manifest(
        git={"commit": "0" * 40, "branch": "main", "dirty": False, "diff_sha256": None},
        parameters={"feed": "sample", "seed": 7},
        policy_id="p",
        feature_set="f",
        data={
            "rows": np.int64(12),
            "first": pd.Timestamp("2024-01-02"),
            "last": dt.datetime(2024, 1, 3, 9, 30, tzinfo=dt.UTC),
            "symbols": ("RY.TO", "VFV.TO"),
        },
        environment=environment(),
        seeds={"seed": 7},
        results={"sharpe": math.nan, "scores": np.array([0.25, 0.5])},
        runtime={"seconds": 1.25},
        errors=["ValueError: no"],
    )
    path = tmp_path / f"{ID}.json"
    made.write(path)
    again = Manifest.read(path)
    assert again.values() == made.values() == json.loads(path.read_text(encoding="utf-8"))
    assert sha256(again.values()) == sha256(made.values())  # the digest the ledger holds
    assert again.data["first"] == "2024-01-02T00:00:00"
    assert again.results == {"sharpe": None, "scores": [0.25, 0.5]}
    assert again.schema_version == SCHEMA
    assert list(tmp_path.iterdir()) == [path]


@given(results=st.dictionaries(st.text(st.characters(codec="utf-8")), plain_values, max_size=4))
def test_any_plain_results_come_back(
    tmp_path_factory: pytest.TempPathFactory, results: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("runs") / "run.json"
    made = manifest(results=results)
    made.write(path)
    assert sha256(Manifest.read(path).values()) == sha256(made.values())


def test_a_value_that_cant_be_recorded_leaves_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    manifest().write(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="infinity"):
        manifest(results={"a": math.inf}).write(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "run_2024_1"},
        {"id": f"{ID}\n"},
        {"id": ID.upper()},
        {"id": "run_20240102_093000_0a1b2g"},
        {"job": ""},
        {"schema_version": SCHEMA + 1},
        {"schema_version": 0},
        {"runtime": {"seconds": math.nan}},
        {"seeds": {"seed": "x"}},
        {"extra": 1},
    ],
    ids=str,
)
def test_what_a_manifest_may_not_hold(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        manifest(**wrong)
    path = tmp_path / "run.json"
    values = manifest().values() | wrong
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(InputError, match="manifest"):
        Manifest.read(path)


@pytest.mark.parametrize(
    "rubbish", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"\0" * 10, b"[" * 100_000], ids=repr
)
def test_rubbish_is_refused_with_the_files_name(tmp_path: Path, rubbish: bytes) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(rubbish)
    with pytest.raises(InputError) as caught:
        Manifest.read(path)
    assert caught.value.breaches[0].file == str(path) and caught.value.exit_code == 2


def test_a_file_that_isnt_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Manifest.read(tmp_path / "none.json")
    with pytest.raises(InputError):
        Manifest.read(tmp_path)


def git(folder: Path, *command: str) -> str:
    who = ("-c", "user.name=n", "-c", "user.email=e@localhost", "-c", "commit.gpgsign=false")
    call = ["git", "-C", str(folder), *who, *command]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [n for n in os.environ if n.startswith("GIT_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=trunk")
    (folder / "code.py").write_text("x = 1\n")
    (folder / ".gitignore").write_text("reports/\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return folder


def test_a_clean_checkout(checkout: Path) -> None:
    assert git_state(checkout) == {
        "commit": git(checkout, "rev-parse", "HEAD"),
        "branch": "trunk",
        "dirty": False,
        "diff_sha256": None,
    }
    (checkout / "reports").mkdir()
    (checkout / "reports" / "page.html").write_text("ignored")
    assert git_state(checkout)["dirty"] is False  # type: ignore[index]


def test_each_change_has_a_digest_of_its_own_and_the_same_one_again(checkout: Path) -> None:
    def change(name: str, content: bytes | None) -> Any:
        path = checkout / name
        before = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        found = git_state(checkout)
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
        assert found is not None and found["dirty"] is True
        return found["diff_sha256"]

    changes = [
        ("code.py", b"x = 2\n"),
        ("code.py", b"x = 3\n"),
        ("code.py", None),
        ("code.py", b"\0\1"),
        ("code.py", b"\0\2"),
        ("new.py", b"y = 1\n"),
        ("new.py", b"y = 2\n"),
        ("other é.py", b"y = 1\n"),
    ]
    digests = [change(*each) for each in changes]
    assert len(set(digests)) == len(changes) and None not in digests
    git(checkout, "config", "diff.noprefix", "true")  # the reader's taste changes nothing
    git(checkout, "config", "color.ui", "always")
    git(checkout, "config", "diff.external", "false")
    assert [change(*each) for each in changes] == digests
    assert git_state(checkout)["dirty"] is False  # type: ignore[index]


def test_staged_changes_and_a_detached_head(checkout: Path) -> None:
    git(checkout, "checkout", "--quiet", "--detach")
    (checkout / "code.py").write_text("x = 2\n")
    git(checkout, "add", ".")
    found = git_state(checkout)
    assert found is not None and (found["branch"], found["dirty"]) == ("HEAD", True)


def test_outside_git_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_state(None) is None and git_state(tmp_path) is None
    (tmp_path / ".git").mkdir()  # no repository
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert git_state(tmp_path) is None


def test_the_environment_names_every_direct_dependency() -> None:
    found = environment()
    assert found["python"] == ".".join(map(str, sys.version_info[:3])) and found["platform"]
    packages = found["packages"]
    for name in ("hybridnb", "numpy", "pandas", "scikit-learn", "torch", "pydantic", "alembic"):
        assert packages[name] == version(name)
    assert not any(set(name) & set(" []<>=;!") for name in packages)
