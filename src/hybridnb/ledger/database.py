"""The door to the database: how each kind is opened, locked, and what its errors mean."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, OperationalError

from hybridnb.errors import Missing, UsageError

WAIT = 30.0  # seconds that a writer waits for another
# PostgreSQL: no such table, no such column, corrupted data, corrupted index.
DAMAGE = frozenset({"42P01", "42703", "XX001", "XX002"})


def engine_of(url: str) -> Engine:
    """The engine of a URL; SQLite in WAL mode, durable at each commit.

    A connection with the execution option `writes` begins as a writer, so that what it reads
    is still so when it writes.

    Raises
    ------
    UsageError
        When the URL is none.
    Missing
        When its driver isn't installed.
    """
    try:
        engine = create_engine(url)
    except ArgumentError as error:
        raise UsageError(
            f"the ledger's URL can't be used: {error}",
            remedy="Give sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME.",
        ) from None
    except ImportError as error:
        raise Missing(
            f"the ledger's database has no driver: {error}",
            remedy="Install hybridnb with its extra: pip install 'hybridnb[postgres]'.",
        ) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    connection.text_factory = _text
    for pragma in (f"busy_timeout={WAIT * 1000:.0f}", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _text(stored: bytes) -> str:
    """Text as stored; bytes that are no UTF-8 come through, so that the chain finds them."""
    return stored.decode("utf-8", "surrogateescape")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def lock_writers(connection: Connection) -> None:
    """Keep other writers of the chains out until the transaction ends; readers go on."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE entries IN EXCLUSIVE MODE"))


def damaged(error: DBAPIError) -> bool:
    """Whether the content is at fault, rather than the way to it."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in DAMAGE
    if isinstance(error, OperationalError):
        return str(error.orig).startswith(("no such table", "no such column"))
    return isinstance(error, DatabaseError)


def unusable(error: BaseException | None) -> Missing:
    """The ledger can't be reached or written."""
    return Missing(
        f"the ledger can't be used: {error}",
        remedy="Check that its database runs, its folder is writable and the disk not full.",
    )
