"""The manifest of a run: everything needed to say what it was, and to repeat it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from hybridnb.canonical import plain
from hybridnb.errors import Breach, InputError
from hybridnb.policy import Params

SCHEMA = 1
_RUN = r"run_\d{8}_\d{6}_[0-9a-f]{6}"


class Manifest(Params):
    """What ran, on what, with what, and how it ended."""

    id: str = Field(pattern=f"^{_RUN}$", description="time in UTC and six random digits")
    job: str = Field(min_length=1, description="name of the notebook")
    status: str = Field(description="completed, failed, timed_out or killed")
    git: dict[str, Any] | None = Field(None, description="commit, branch, dirty, diff hash")
    parameters: dict[str, Any] = Field(default_factory=dict)
    policy_id: str = Field("", description="policy in force")
    feature_set: str = Field("", description="definition of the features")
    data: dict[str, Any] = Field(default_factory=dict, description="source, digest, rows, range")
    environment: dict[str, Any] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    results: dict[str, Any] = Field(default_factory=dict)
    runtime: dict[str, float] = Field(default_factory=dict, description="seconds")
    errors: list[str] = Field(default_factory=list)
    schema_version: int = Field(SCHEMA, ge=1, le=SCHEMA)

    def values(self) -> dict[str, Any]:
        """As plain values."""
        return dict(plain(self.model_dump(mode="python")))

    def write(self, path: Path) -> None:
        """Write atomically."""
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(self.model_dump_json(indent=1), encoding="utf-8")
        os.replace(fresh, path)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest.

        Raises
        ------
        InputError
            When the file is none, or of a later schema.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise InputError([Breach(str(path), None, "manifest", str(error))]) from None


def git_state(folder: Path | None) -> dict[str, Any] | None:
    """Commit, branch and digest of uncommitted changes; None outside a checkout."""
    if folder is None or not (folder / ".git").exists():
        return None

    def ask(*command: str) -> bytes | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *command], capture_output=True, timeout=30, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout

    commit, branch = ask("rev-parse", "HEAD"), ask("rev-parse", "--abbrev-ref", "HEAD")
    diff = ask("diff", "HEAD", "--no-ext-diff")
    if commit is None or branch is None or diff is None:
        return None
    return {
        "commit": commit.decode().strip(),
        "branch": branch.decode().strip(),
        "dirty": bool(diff),
        "diff_sha256": hashlib.sha256(diff).hexdigest() if diff else None,
    }


def environment() -> dict[str, Any]:
    """Python, platform, and the version of every direct dependency."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": dict(_versions(requires("hybridnb") or [])),
    }


def _versions(requirements: list[str]) -> Mapping[str, str | None]:
    found: dict[str, str | None] = {}
    for requirement in requirements:
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return dict(sorted(found.items()))
