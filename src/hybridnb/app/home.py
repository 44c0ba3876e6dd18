"""Where state lives: `HYBRIDNB_HOME`, by default the platform's data directory, private (0700).

Reports go to `reports/` of the checkout, else under the home; `HYBRIDNB_REPORTS` overrides both.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hybridnb.errors import Missing, Refused

VARIABLE = "HYBRIDNB_HOME"
REPORTS = "HYBRIDNB_REPORTS"
LEDGER = "HYBRIDNB_LEDGER"  # URL of the ledger's database; SQLite in the home by default
DASK = "HYBRIDNB_DASK"  # address of a scheduler that takes sweeps over


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one installation; each is made when first asked for."""

    root: Path

    def folder(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @property
    def ledger_url(self) -> str:
        """The database in force; a password belongs in PGPASSFILE, never in the URL."""
        if given := os.environ.get(LEDGER):
            return given
        return f"sqlite:///{self.folder('ledger') / 'ledger.db'}"

    @property
    def heads(self) -> Path:
        return self.folder("ledger") / "heads.json"

    @property
    def kernels(self) -> Path:
        """Machine code of compiled kernels: may be deleted, and is made again."""
        return self.folder("cache/kernels")

    @property
    def identity(self) -> str:
        """A random name given once to this home's ledger: reports of two homes never mix."""
        path = self.folder("ledger") / "identity"
        if not path.is_file():
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_text(secrets.token_hex(8), encoding="ascii")
            if not path.is_file():
                fresh.replace(path)
            fresh.unlink(missing_ok=True)
        return path.read_text(encoding="ascii")

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Only one process at a time does `what`; a second is told so at once.

        Raises
        ------
        Refused
            When another process holds the lock. A killed process holds none.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder("locks") / f"{what}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise Refused(
                f"another process runs the {what} of this home",
                remedy="Wait for it to end, or use another HYBRIDNB_HOME.",
            ) from None
        try:
            yield
        finally:
            lock.release()


def home() -> Home:
    """The home in force, made if absent.

    Raises
    ------
    Missing
        When it can't be made or written.
    """
    import platformdirs

    given = os.environ.get(VARIABLE)
    root = Path(given) if given else Path(platformdirs.user_data_dir("hybridnb"))
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
    except OSError as error:
        raise Missing(
            f"the home {root} can't be written: {error.strerror}",
            remedy=f"Set {VARIABLE} to a folder that you own.",
        ) from None
    return Home(root.resolve())


def dask_address(given: str = "") -> str:
    """The Dask scheduler asked for, `HYBRIDNB_DASK` by default; empty for none."""
    return given or os.environ.get(DASK, "")


def checkout() -> Path | None:
    """The checkout this package runs from, None for an installed wheel."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def shipped(name: str) -> Path:
    """`notebooks` or `params` as shipped: the checkout's, else the wheel's own copy."""
    root = checkout()
    return root / name if root else Path(__file__).resolve().parents[1] / "_share" / name


def reports_folder(where: Home) -> Path:
    """Where reports go."""
    given = os.environ.get(REPORTS)
    root = checkout()
    return Path(given) if given else root / "reports" if root else where.folder("reports")
