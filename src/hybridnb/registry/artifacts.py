"""Sealed artefacts: files that are written once, with their digests, and never again."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridnb.canonical import plain, sha256
from hybridnb.errors import Breach, InputError, Missing, Refused

MANIFEST = "manifest.json"


def seal(folder: Path, files: Mapping[str, bytes], meta: Mapping[str, Any]) -> str:
    """Write files with a manifest of their digests, all at once.

    Parameters
    ----------
    folder : Path
        Must not be there, or hold the same files.

    Returns
    -------
    str
        SHA-256 of the manifest.

    Raises
    ------
    Refused
        When the folder holds something else.
    ValueError
        When a file's name is no plain name, or the manifest's.
    """
    if strange := [name for name in files if not _plain_name(name)]:
        raise ValueError(f"not the name of a sealed file: {strange[0]!r}")
    digests = {name: sha256(data) for name, data in sorted(files.items())}
    manifest = {"files": digests, "meta": plain(meta)}
    manifest["digest"] = _digest(manifest)
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    if folder.exists():
        if (folder / MANIFEST).is_file() and (folder / MANIFEST).read_text("utf-8") == text:
            return sha256(text)
        raise Refused(f"{folder} is sealed with other content", remedy="A seal is never rewritten.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    fresh.mkdir()
    try:
        for name, data in {**files, MANIFEST: text.encode()}.items():
            _durable(fresh / name, data)
        fresh.replace(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return sha256(text)


def files_digest(files: Mapping[str, bytes]) -> str:
    """Of every byte of an artefact's files: what a verdict is bound to."""
    return sha256({name: sha256(data) for name, data in files.items()})


def _plain_name(name: str) -> bool:
    return name == Path(name).name and name not in ("", "..", MANIFEST)


def _digest(manifest: Mapping[str, Any]) -> str:
    """Of the manifest without its own digest, so that a changed meta is found too."""
    return sha256({"files": manifest["files"], "meta": manifest["meta"]})


def _durable(path: Path, data: bytes) -> None:
    with path.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def open_sealed(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The meta and the files of a sealed folder, every digest checked.

    Raises
    ------
    Missing
        When there is no such folder.
    InputError
        When a file or the manifest was changed, or a file is missing or was added.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise Missing(f"{folder} holds no sealed artefact", remedy="Train it again.")
    remedy = f"Remove {folder} and train again; the seal was broken."
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        expected, meta = dict(manifest["files"]), dict(manifest["meta"])
        whole = manifest["digest"] == _digest(manifest)
    except (ValueError, KeyError, TypeError) as error:
        breach = Breach(str(path), None, "manifest", f"can't be read: {error}")
        raise InputError([breach], remedy=remedy) from None
    if not whole:
        raise InputError([Breach(str(path), None, "digest", "was changed")], remedy=remedy)
    files: dict[str, bytes] = {}
    broken = [
        Breach(str(folder / extra), None, "files", "is not among the sealed ones")
        for extra in sorted({p.name for p in folder.iterdir()} - {*expected, MANIFEST})
    ]
    for name, digest in expected.items():
        part = folder / name
        files[name] = part.read_bytes() if part.is_file() else b""
        if not part.is_file() or sha256(files[name]) != digest:
            broken.append(Breach(str(part), None, "digest", "differs from the sealed one"))
    if broken:
        raise InputError(broken, remedy=remedy)
    return meta, files
