"""The heads file: each chain's last row, outside the database, and the lock of its writers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from hybridnb.errors import LedgerBroken, Missing
from hybridnb.ledger.database import WAIT, unusable

POLL = 0.002  # seconds between two tries of the lock


@dataclass(frozen=True, slots=True)
class Head:
    """Number and hash of a chain's last row; 0 and the genesis while it is empty."""

    seq: int
    hash: str


class Heads:
    """The file at `path`; the lock lies beside it. A killed process holds no lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(error) from None
        self._lock = FileLock(path.with_suffix(".lock"), timeout=WAIT, poll_interval=POLL)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One writer at a time.

        Raises
        ------
        Missing
            When another holds the lock for too long, or it can't be made.
        """
        try:
            self._lock.acquire()
        except Timeout:
            raise Missing(
                f"another process has been writing the ledger for {WAIT:g} seconds",
                remedy="Wait for it or end it, and run the command again.",
            ) from None
        except OSError as error:
            raise unusable(error) from None
        try:
            yield
        finally:
            self._lock.release()

    def there(self) -> bool:
        return self.path.exists()

    def read(self) -> dict[str, Head]:
        """Both heads; empty when there is no file.

        Raises
        ------
        LedgerBroken
            When the file holds anything else.
        """
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            return {c: Head(int(h["seq"]), str(h["hash"])) for c, h in found.items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise unusable(error) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            why = f"the heads file {self.path.name} is unreadable"
            raise LedgerBroken(why, first_broken={"chain": "", "seq": 0, "why": why}) from None

    def write(self, heads: Mapping[str, Head]) -> None:
        """Replace the file, atomically and durably; called under the lock."""
        fresh = self.path.with_suffix(f".{os.getpid()}")
        values = {chain: asdict(head) for chain, head in heads.items()}
        try:
            with fresh.open("w", encoding="utf-8") as out:
                json.dump(values, out, indent=1, sort_keys=True)
                out.flush()
                os.fsync(out.fileno())
            os.replace(fresh, self.path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise unusable(error) from None
