"""The ledger: two chains in one database, their heads also outside of it.

SQLite in WAL mode by default, PostgreSQL by URL. Writers take a lock for a whole commit group,
so that groups follow each other in commit order, and write the heads file after the commit: a
database behind its heads was cut, one ahead of them was killed in between.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, Engine, create_engine, event, func, insert, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from hybridnb.canonical import canonical
from hybridnb.errors import LedgerBroken, Missing, Refused, UsageError
from hybridnb.ledger.chain import CHAINS, COPIED, Entry, broken, entries, genesis
from hybridnb.ledger.migrations import upgrade
from hybridnb.ledger.schema import ENTRIES

Row = Mapping[str, Any]
BATCH = 2000  # rows read or written at a time
BUSY_MS = 30_000  # a writer waits this long for another


@dataclass(frozen=True, slots=True)
class Appended:
    """The chain's head after `ensure`, and how many rows were new."""

    head: str
    written: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What recomputing both chains found."""

    ok: bool
    rows: int
    heads: Mapping[str, str]
    first_broken: dict[str, Any] | None


class Ledger:
    """Both chains of one database.

    Parameters
    ----------
    url : str
        SQLAlchemy URL.
    heads : Path
        JSON file of both heads, outside the database.
    """

    def __init__(self, url: str, *, heads: Path) -> None:
        self._heads = heads
        heads.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(heads.with_suffix(".lock"))
        self._engine = _engine(url)
        with self._lock, self._connected() as connection:
            upgrade(connection)

    def append(self, chain: str, rows: Iterable[Row]) -> str:
        """Append rows in one commit group; the new head.

        Raises
        ------
        ValueError
            For a value without a canonical form; nothing was written.
        """
        with self._lock, self._connected() as connection:
            head = self._add(connection, chain, rows)[1]
        return head

    def ensure(self, chain: str, rows: Sequence[Row], *, book: str, session: str) -> Appended:
        """Append what of a session isn't there yet.

        Rows already there are compared with the given ones, in order, and never written twice.

        Raises
        ------
        Refused
            When a row that is there differs: the first key in which it does is named.
        """
        with self._lock, self._connected() as connection:
            where = {"book": book, "session": session}
            there = [e.payload for e in self._read(connection, chain, where)]
            for old, new in zip(there, rows, strict=False):
                if old != canonical(new):
                    raise _differs(json.loads(old), json.loads(canonical(new)))
            missing = rows[len(there) :]
            if not missing:
                return Appended(self._last(connection, chain)[1], 0)
            _, head = self._add(connection, chain, missing)
        return Appended(head, len(missing))

    def rows(self, chain: str, **match: str) -> Sequence[dict[str, Any]]:
        """Payloads in order, filtered by equal top-level fields."""
        where = {k: v for k, v in match.items() if k in COPIED}
        rest = {k: v for k, v in match.items() if k not in COPIED}
        with self._connected() as connection:
            found = [json.loads(e.payload) for e in self._read(connection, chain, where)]
        return [row for row in found if all(row.get(k) == v for k, v in rest.items())]

    def entries(self, chain: str) -> Sequence[Entry]:
        """Stored rows in order, as they stand."""
        with self._connected() as connection:
            return list(self._read(connection, chain, {}))

    def head(self, chain: str) -> str:
        """Hash of the last row; the chain's genesis while it is empty."""
        with self._connected() as connection:
            return self._last(connection, chain)[1]

    def count(self, chain: str) -> int:
        """Number of rows."""
        with self._connected() as connection:
            return self._last(connection, chain)[0]

    def verify(self) -> Verification:
        """Recompute both chains and compare them with the heads outside the database."""
        total, heads = 0, {}
        try:
            outside = self._outside()
            with self._connected() as connection:
                for chain in CHAINS:
                    seq, head, why = self._check(connection, chain, outside.get(chain))
                    total, heads[chain] = total + seq, head
                    if why:
                        at = {"chain": chain, "seq": seq + 1, "why": why}
                        return Verification(False, total, heads, at)
        except LedgerBroken as error:
            return Verification(False, total, heads, error.first_broken)
        return Verification(True, total, heads, None)

    def _check(
        self, connection: Connection, chain: str, outside: Mapping[str, Any] | None
    ) -> tuple[int, str, str]:
        """Number and hash of the last sound row, and why the next isn't."""
        seq, head, seen = 0, genesis(chain), None
        for entry in self._read(connection, chain, {}):
            why = broken(entry, seq=seq, head=head)
            if why:
                return seq, head, why
            seq, head = entry.seq, entry.hash
            if outside and seq == outside["seq"]:
                seen = head
        if outside and outside["seq"] > seq:
            return seq, head, f"the chain was cut: its head was row {outside['seq']}"
        if outside and outside["seq"] and seen != outside["hash"]:
            return outside["seq"] - 1, head, "its hash differs from the head kept outside"
        return seq, head, ""

    def _read(
        self, connection: Connection, chain: str, where: Mapping[str, str]
    ) -> Iterator[Entry]:
        query = select(ENTRIES).where(ENTRIES.c.chain == chain).order_by(ENTRIES.c.seq)
        for name, value in where.items():
            query = query.where(ENTRIES.c[name] == value)
        streamed = connection.execution_options(yield_per=BATCH).execute(query)
        for row in streamed:
            yield Entry(**row._mapping)

    def _last(self, connection: Connection, chain: str) -> tuple[int, str]:
        top = select(func.max(ENTRIES.c.seq)).where(ENTRIES.c.chain == chain).scalar_subquery()
        query = select(ENTRIES.c.seq, ENTRIES.c.hash)
        query = query.where(ENTRIES.c.chain == chain, ENTRIES.c.seq == top)
        found = connection.execute(query).first()
        return (0, genesis(chain)) if found is None else (int(found[0]), str(found[1]))

    def _add(self, connection: Connection, chain: str, rows: Iterable[Row]) -> tuple[int, str]:
        if chain not in CHAINS:
            raise ValueError(f"no chain {chain!r}")
        if connection.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE entries IN EXCLUSIVE MODE"))
        seq, head = self._last(connection, chain)
        new = list(entries(chain, rows, seq=seq, head=head))
        for start in range(0, len(new), BATCH):
            connection.execute(insert(ENTRIES), [asdict(e) for e in new[start : start + BATCH]])
        connection.commit()
        seq, head = (new[-1].seq, new[-1].hash) if new else (seq, head)
        self._keep(chain, seq, head)
        return seq, head

    def _outside(self) -> dict[str, Any]:
        if not self._heads.is_file():
            return {}
        try:
            found = json.loads(self._heads.read_text(encoding="utf-8"))
            return {c: {"seq": int(h["seq"]), "hash": str(h["hash"])} for c, h in found.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            at = {"chain": "", "seq": 0, "why": f"the heads file {self._heads.name} is unreadable"}
            raise LedgerBroken(at["why"], first_broken=at) from None

    def _keep(self, chain: str, seq: int, head: str) -> None:
        """Write the head outside the database, atomically and durably."""
        heads = self._outside() | {chain: {"seq": seq, "hash": head}}
        fresh = self._heads.with_suffix(f".{os.getpid()}")
        with fresh.open("w", encoding="utf-8") as out:
            json.dump(heads, out, indent=1, sort_keys=True)
            out.flush()
            os.fsync(out.fileno())
        os.replace(fresh, self._heads)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A transaction; the database's own failures become ours."""
        try:
            with self._engine.connect() as connection, connection.begin():
                yield connection
        except OperationalError as error:
            raise Missing(
                f"the ledger's database can't be used: {error.orig}",
                remedy="Check that it runs, that its folder is writable and the disk not full.",
            ) from None
        except DBAPIError as error:
            why = f"the database can't be read: {error.orig}"
            raise LedgerBroken(why, first_broken={"chain": "", "seq": 0, "why": why}) from None


def _differs(old: Row, new: Row) -> Refused:
    keys = [k for k in {**new, **old} if old.get(k) != new.get(k)]
    return Refused(
        f"session {old.get('session')} of {old.get('book')} was recorded with another"
        f" {keys[0]} ({old.get('kind')} row {old.get('n')}):"
        f" {str(old.get(keys[0]))[:60]}, now {str(new.get(keys[0]))[:60]}",
        remedy="Use another HYBRIDNB_HOME to trade the session with other inputs.",
    )


def _engine(url: str) -> Engine:
    try:
        engine = create_engine(url)
    except (ArgumentError, ImportError) as error:
        raise UsageError(
            f"the ledger's URL can't be used: {error}",
            remedy="sqlite:///PATH, or postgresql+psycopg://… with the extra `postgres`.",
        ) from None
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _configure(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # we begin transactions ourselves
            for pragma in (f"busy_timeout={BUSY_MS}", "journal_mode=WAL", "synchronous=FULL"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

    return engine
