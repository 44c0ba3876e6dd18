"""Writing a backup's archive: whole or not at all, and never with a secret in it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridnb.app.archive import FORMAT, MANIFEST, PIECE, Contents, Packed
from hybridnb.errors import CheckFailed, Missing, Refused


@dataclass(slots=True)
class Packer:
    """Files on their way into an archive; `secrets` are values that may be in none of them."""

    archive: zipfile.ZipFile
    secrets: Mapping[str, bytes]
    files: list[Packed] = field(default_factory=list)

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Pack one file.

        Raises
        ------
        CheckFailed
            When it holds the value of a secret.
        """
        digest, size, tail = hashlib.sha256(), 0, b""
        longest = max(map(len, self.secrets.values()), default=0)
        with self.archive.open(_info(name), "w", force_zip64=True) as out:
            for piece in pieces:
                window = tail + piece
                for variable, value in self.secrets.items():
                    if value in window:
                        raise CheckFailed(
                            f"{name} holds the value of {variable}: nothing was packed",
                            remedy=f"Take the secret out of {name}, and change it.",
                        )
                tail = window[-longest:] if longest else b""
                digest.update(piece)
                size += len(piece)
                out.write(piece)
        self.files.append(Packed(name=name, size=size, sha256=digest.hexdigest()))

    def add_file(self, name: str, path: Path) -> None:
        """Pack a file as it stands."""
        with path.open("rb") as opened:
            self.add(name, iter(lambda: opened.read(PIECE), b""))


def _info(name: str) -> zipfile.ZipInfo:
    """The same files give the same bytes: members have no time of their own."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (stat.S_IFREG | 0o600) << 16
    return info


@contextmanager
def new_archive(path: Path, secrets: Mapping[str, bytes]) -> Iterator[Packer]:
    """Write an archive whole or not at all; the caller calls `finish` last.

    Raises
    ------
    Refused
        When there is such a file already.
    Missing
        When it can't be written.
    """
    taken = Refused(f"{path} is there already", remedy="Give another --out.")
    if path.exists():
        raise taken
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("xb") as out:
            os.fchmod(out.fileno(), 0o600)
            with zipfile.ZipFile(out, "w") as archive:
                yield Packer(archive, secrets)
            out.flush()
            os.fsync(out.fileno())
        os.link(fresh, path)  # unlike a rename, it never takes the place of another file
    except FileExistsError:
        raise taken from None
    except OSError as error:
        raise Missing(
            f"{path} can't be written: {error.strerror}", remedy="Give another --out."
        ) from None
    finally:
        fresh.unlink(missing_ok=True)


def finish(packer: Packer, facts: Mapping[str, Any]) -> Contents:
    """Write the manifest."""
    found = Contents.model_validate({**facts, "format": FORMAT, "files": packer.files})
    text = json.dumps(found.model_dump(mode="json"), indent=1, sort_keys=True)
    packer.archive.writestr(_info(MANIFEST), text)
    return found
