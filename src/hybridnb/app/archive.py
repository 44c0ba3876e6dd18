"""The file of a backup: a zip of plain files under a manifest of their sizes and digests.

It is read as a stranger's: every name, size and digest is checked against the manifest before
and while a byte is written, and links, other members and anything beyond the bounds are refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import Field, ValidationError

from hybridnb.errors import Breach, InputError, Missing, Refused
from hybridnb.policy import Params

FORMAT = 1
MANIFEST = "manifest.json"
PIECE = 1 << 20  # bytes read or written at a time
MOST_FILES = 200_000
MOST_BYTES = 64 << 30  # of all files together
MOST_MANIFEST = 64 << 20
PLAIN_BYTES = 64 << 20  # up to here any ratio of compression is believed
RATIO = 200  # beyond it nothing that we pack is compressed as much
_SHA256 = r"^[0-9a-f]{64}$"
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class Packed(Params):
    """A file of the archive."""

    name: str = Field(min_length=1, max_length=500)
    size: int = Field(ge=0, le=MOST_BYTES)
    sha256: str = Field(pattern=_SHA256)


class ChainEnd(Params):
    """The last row of a chain in the archive."""

    seq: int = Field(ge=0)
    hash: str = Field(pattern=_SHA256)


class Contents(Params):
    """`manifest.json`."""

    format: int = Field(ge=1)
    product: str = Field(pattern="^hybridnb$")
    version: str = Field(max_length=64)
    made_at: str = Field(max_length=40)
    database: str = Field(max_length=32, description="what kind the ledger was in")
    heads: dict[str, ChainEnd]
    files: list[Packed] = Field(max_length=MOST_FILES)

    @property
    def by_name(self) -> dict[str, Packed]:
        return {file.name: file for file in self.files}


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive whose names and sizes have been checked; its bytes are checked as they come."""

    path: Path
    opened: zipfile.ZipFile
    contents: Contents

    @contextmanager
    def member(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with self.opened.open(name) as source:
                yield source
        except _DAMAGE as error:
            raise _bad(self.path, "damaged", f"{name}: {error}") from None

    def pieces(self, name: str) -> Iterator[bytes]:
        """A file's bytes.

        Raises
        ------
        InputError
            As soon as they are more than the manifest says, or, at the end, others.
        """
        expected = self.contents.by_name[name]
        digest, size = hashlib.sha256(), 0
        with self.member(name) as source:
            while piece := source.read(PIECE):
                size += len(piece)
                if size > expected.size:
                    break
                digest.update(piece)
                yield piece
        if size != expected.size or digest.hexdigest() != expected.sha256:
            raise _bad(self.path, "digest", f"{name} isn't what the manifest says")

    def lines(self, name: str) -> Iterator[str]:
        """A file's lines, without their ends.

        Raises
        ------
        InputError
            As `pieces` does, and for bytes that are no UTF-8.
        """
        rest = b""
        try:
            for piece in self.pieces(name):
                *whole, rest = (rest + piece).split(b"\n")
                yield from (line.decode("utf-8") for line in whole)
        except UnicodeDecodeError:
            raise _bad(self.path, "text", f"{name} is no UTF-8") from None
        if rest:
            raise _bad(self.path, "text", f"the last line of {name} has no end")

    def extract(self, name: str, to: Path) -> None:
        """Write a file, durably."""
        to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with to.open("xb") as out:
            for piece in self.pieces(name):
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a backup and check what it says it holds.

    Raises
    ------
    Missing
        When there is no such file.
    InputError
        When it is none of ours, is damaged, or has a member that no backup has.
    Refused
        When a later release made it.
    """
    try:
        opened = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise Missing(f"{path} isn't there", remedy="Give the file of a backup.") from None
    except OSError as error:
        raise Missing(f"{path} can't be read: {error.strerror}") from None
    except _DAMAGE as error:
        raise _bad(path, "archive", str(error)) from None
    with opened:
        contents = _contents(path, opened)
        _checked(path, opened, contents)
        yield Archive(path, opened, contents)


def _contents(path: Path, opened: zipfile.ZipFile) -> Contents:
    try:
        if opened.getinfo(MANIFEST).file_size > MOST_MANIFEST:
            raise _bad(path, "manifest", "it is too large")
        with opened.open(MANIFEST) as source:
            text = source.read(MOST_MANIFEST)
        form = json.loads(text).get("format")
        if isinstance(form, int) and form > FORMAT:
            raise Refused(
                f"{path.name} has format {form}; this release reads {FORMAT}",
                remedy="Restore it with the release that made it, or a later one.",
            )
        return Contents.model_validate_json(text)
    except KeyError:
        raise _bad(path, "manifest", f"it has no {MANIFEST}") from None
    except _DAMAGE as error:
        raise _bad(path, "manifest", f"damaged: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _bad(path, "manifest", f"{where}: {first['msg']}") from None
    except (ValueError, AttributeError, RecursionError):
        raise _bad(path, "manifest", "it is no JSON object") from None


def _checked(path: Path, opened: zipfile.ZipFile, contents: Contents) -> None:
    """Names, kinds and sizes of the members, before any of them is read."""
    members = opened.infolist()
    expected = contents.by_name
    names = [member.filename for member in members]
    if len(set(names)) != len(names) or len(expected) != len(contents.files):
        raise _bad(path, "members", "a name is there twice")
    if set(names) != {*expected, MANIFEST}:
        other = sorted(set(names) ^ {*expected, MANIFEST})[0]
        raise _bad(path, "members", f"{other!r} is in the archive or its manifest, not in both")
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or not plain_path(member.filename):
            raise _bad(path, "members", f"{member.filename!r} is no plain file of a backup")
        if member.filename in expected and member.file_size != expected[member.filename].size:
            raise _bad(path, "members", f"{member.filename} isn't as large as the manifest says")
    total = sum(file.size for file in contents.files)
    packed = path.stat().st_size
    if total > MOST_BYTES or (total > PLAIN_BYTES and total > RATIO * packed):
        raise _bad(path, "size", f"{packed:,} bytes would become {total:,}")


def plain_path(name: str) -> bool:
    """Whether a name stays inside the folder that it is put in, on any system."""
    parts = PurePosixPath(name).parts
    return (
        name == "/".join(parts)
        and not name.startswith("/")
        and not any(part == ".." or part.startswith(".") for part in parts)
        and "\\" not in name
        and name.isprintable()
    )


def _bad(path: Path, rule: str, detail: str) -> InputError:
    return InputError(
        [Breach(path.name, None, rule, detail)],
        remedy="Nothing was used. Take another copy of the backup, or an earlier one.",
    )
