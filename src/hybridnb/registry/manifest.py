"""The manifest of a run: everything needed to say what it was, and to repeat it."""

from __future__ import annotations

import hashlib
import json
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
from hybridnb.policy import Finite, Params

SCHEMA = 1
_RUN = r"run_\d{8}_\d{6}_[0-9a-f]{6}"


class Manifest(Params):
    """What ran, on what, with what, and how it ended."""

    id: str = Field(pattern=f"^{_RUN}$", description="time in UTC and six random digits")
    job: str = Field(min_length=1, description="name of the notebook")
    status: str = Field(description="completed, failed, timed_out, killed, out_of_memory")
    git: dict[str, Any] | None = Field(None, description="commit, branch, dirty, diff hash")
    parameters: dict[str, Any] = Field(default_factory=dict)
    policy_id: str = Field("", description="policy in force")
    feature_set: str = Field("", description="definition of the features")
    data: dict[str, Any] = Field(default_factory=dict, description="source, digest, rows, range")
    environment: dict[str, Any] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    results: dict[str, Any] = Field(default_factory=dict)
    runtime: dict[str, Finite] = Field(default_factory=dict, description="seconds")
    errors: list[str] = Field(default_factory=list)
    schema_version: int = Field(SCHEMA, ge=1, le=SCHEMA)

    def values(self) -> dict[str, Any]:
        """As plain values."""
        return dict(plain(self.model_dump(mode="python")))

    def write(self, path: Path) -> None:
        """Write atomically; what is read back has the same plain values.

        Raises
        ------
        ValueError
            For a value without a canonical form.
        """
        text = json.dumps(self.values(), indent=1, ensure_ascii=False, allow_nan=False)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with fresh.open("w", encoding="utf-8") as out:
                out.write(text + "\n")
                out.flush()
                os.fsync(out.fileno())
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)

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
    """Commit, branch and digest of uncommitted work; None outside a checkout.

    Returns
    -------
    dict or None
        commit, branch ("HEAD" when detached), dirty, diff_sha256: over the changes to tracked
        files and the content of files that git neither tracks nor ignores; None when clean.
    """
    if folder is None or not (folder / ".git").exists():
        return None
    try:
        commit, branch = _git(folder, "rev-parse", "HEAD", "--abbrev-ref", "HEAD").split()
        # Whatever the user's settings, equal changes give equal bytes.
        plainly = ("--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames")
        prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
        diff = _git(folder, "diff", "HEAD", *plainly, *prefixes)
        new = _git(folder, "ls-files", "--others", "--exclude-standard", "-z")
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    changed = hashlib.sha256(diff)
    for name in sorted(filter(None, new.split(b"\0"))):
        changed.update(name + b"\0" + _content(folder / os.fsdecode(name)))
    dirty = bool(diff or new)
    return {
        "commit": commit.decode(),
        "branch": branch.decode(),
        "dirty": dirty,
        "diff_sha256": changed.hexdigest() if dirty else None,
    }


def _git(folder: Path, *command: str) -> bytes:
    call = ["git", "-C", str(folder), *command]
    return subprocess.run(call, capture_output=True, timeout=30, check=True).stdout


def _content(path: Path) -> bytes:
    """Digest of a file; of a link, where it points; nothing of what went away meanwhile."""
    try:
        if path.is_symlink():
            return os.fsencode(path.readlink())
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").digest()
    except OSError:  # removed since git listed it, a nested checkout, or unreadable
        return b""


def environment() -> dict[str, Any]:
    """Python, platform, and the version of hybridnb and of every direct dependency.

    A dependency of an extra that isn't installed has the version None.
    """
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": dict(_versions(["hybridnb", *(requires("hybridnb") or [])])),
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
