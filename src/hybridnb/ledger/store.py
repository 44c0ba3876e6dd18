"""The ledger: two chains in one database, their heads also outside of it.

SQLite in WAL mode by default, PostgreSQL by URL. Writers take a lock for a whole commit group,
so that groups follow each other in commit order, and write the heads file after the commit: a
database behind its heads was cut, one ahead of them was killed in between.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from hybridnb.errors import LedgerBroken, Refused
from hybridnb.ledger import beats
from hybridnb.ledger.beats import Beat
from hybridnb.ledger.chain import CHAINS, COPIED, Entry, entries, genesis, payload_text, recompute
from hybridnb.ledger.database import damaged, engine_of, lock_writers, unusable
from hybridnb.ledger.heads import Head, Heads
from hybridnb.ledger.migrations import current, upgrade
from hybridnb.ledger.schema import ENTRIES

Row = Mapping[str, Any]
BATCH = 2000  # rows read or written at a time


@dataclass(frozen=True, slots=True)
class Appended:
    """The chain's head after `ensure`, and how many rows were new."""

    head: str
    written: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What recomputing both chains found: `rows` sound ones, and the first that isn't.

    `first_broken` has chain, seq and why.
    """

    ok: bool
    rows: int
    heads: Mapping[str, str]
    first_broken: dict[str, Any] | None


class Ledger:
    """Both chains of one database, made or migrated when it is opened.

    Parameters
    ----------
    url : str
        SQLAlchemy URL.
    heads : Path
        JSON file of both heads, outside the database.

    Raises
    ------
    Missing
        When the database or the heads file can't be reached or written.
    LedgerBroken
        When the file is no database.
    Refused
        When a later release made it.
    """

    def __init__(self, url: str, *, heads: Path) -> None:
        self._engine = engine_of(url)
        self._heads = Heads(heads)
        with self._heads.locked():
            with self._connected() as connection:
                ready = current(connection)
            if not ready:
                with self._connected(write=True) as connection:
                    upgrade(connection)
            if not self._heads.there() and not any(self.count(chain) for chain in CHAINS):
                # From now on a heads file that isn't there was taken away.
                self._heads.write({chain: Head(0, genesis(chain)) for chain in CHAINS})

    def close(self) -> None:
        """Give the connections back; the next use opens new ones."""
        self._engine.dispose()

    def append(self, chain: str, rows: Iterable[Row]) -> str:
        """Append rows in one commit group; the new head.

        Raises
        ------
        ValueError
            For a value without a canonical form, NaN included; nothing was written.
        LedgerBroken
            When the database is behind the head kept outside: appending would hide the cut.
        """
        return self._group(chain, lambda _: rows).head

    def ensure(self, chain: str, rows: Sequence[Row], *, book: str, session: str) -> Appended:
        """Append what of a session isn't there yet, in one commit group.

        Rows already there are compared with the given ones, in order, and never written twice.

        Raises
        ------
        Refused
            When a row that is there differs: the first key in which it does is named.
        """
        if any(row.get("book") != book or row.get("session") != session for row in rows):
            raise ValueError(f"every row must be of book {book!r} and session {session!r}")
        where = {"book": book, "session": session}

        def missing(connection: Connection) -> Sequence[Row]:
            there = [e.payload for e in self._read(connection, chain, where)]
            for old, new in zip(there, rows, strict=False):
                if old != payload_text(new):
                    raise _differs(old, payload_text(new))
            return rows[len(there) :]

        return self._group(chain, missing)

    def rows(self, chain: str, **match: str) -> Sequence[dict[str, Any]]:
        """Payloads in order, filtered by equal top-level fields."""
        where = {k: v for k, v in match.items() if k in COPIED}
        rest = {k: v for k, v in match.items() if k not in COPIED}
        with self._connected() as connection:
            found = [json.loads(e.payload) for e in self._read(connection, chain, where)]
        return [row for row in found if all(row.get(k) == v for k, v in rest.items())]

    def entries(self, chain: str, *, after: int = 0) -> Iterator[Entry]:
        """Stored rows after that number, in order, as they stand, a batch in memory at a time."""
        with self._connected() as connection:
            yield from self._read(connection, chain, {}, after)

    def head(self, chain: str) -> str:
        """Hash of the last row; the chain's genesis while it is empty."""
        with self._connected() as connection:
            return self._last(connection, chain).hash

    def count(self, chain: str) -> int:
        """Number of rows."""
        with self._connected() as connection:
            return self._last(connection, chain).seq

    def beat(self, beat: Beat) -> None:
        """Keep a run's heartbeat, beside the chains."""
        with self._connected(write=True) as connection:
            beats.put(connection, beat)

    def beats(self, run: str = "") -> list[Beat]:
        """Heartbeats of a run by cell; without a run, of all runs by time."""
        with self._connected() as connection:
            return beats.of_run(connection, run)

    def beside(self, *, write: bool = False) -> AbstractContextManager[Connection]:
        """A transaction on the tables beside the chains, which no hash covers."""
        return self._connected(write=write)

    def verify(self) -> Verification:
        """Recompute both chains and compare them with the heads outside the database."""
        total, heads = 0, {}
        try:
            outside = self._heads.read()  # first, so that a writer meanwhile can only be ahead
            with self._connected() as connection:
                _has_its_table(connection)
                for chain in CHAINS:
                    last, why = self._check(connection, chain, outside.get(chain))
                    total, heads[chain] = total + last.seq, last.hash
                    if why:
                        raise _broken(chain, last.seq + 1, why)
                self._no_other_chain(connection)
            if total and not outside:
                raise _broken("", 0, f"the heads file {self._heads.path.name} is gone")
        except LedgerBroken as error:
            return Verification(False, total, heads, error.first_broken)
        return Verification(True, total, heads, None)

    def _check(self, connection: Connection, chain: str, outside: Head | None) -> tuple[Head, str]:
        """The last sound row, and why the next isn't."""
        last = before = Head(0, genesis(chain))
        outside = outside or last
        seen = last.hash if outside.seq == 0 else ""
        try:
            for seq, found, why in recompute(chain, self._read(connection, chain, {})):
                if why:
                    return Head(seq, found), why
                if seq == outside.seq:
                    before, seen = last, found
                last = Head(seq, found)
        except DBAPIError as error:
            if damaged(error):
                return last, f"it, or one soon after, can't be read: {error.orig}"
            raise
        if outside.seq > last.seq:
            return last, f"the chain was cut: its head was row {outside.seq}"
        if seen != outside.hash:
            return before, "its hash differs from the head kept outside"
        return last, ""

    def _no_other_chain(self, connection: Connection) -> None:
        query = select(ENTRIES.c.chain, ENTRIES.c.seq).where(ENTRIES.c.chain.not_in(CHAINS))
        found = connection.execute(query.limit(1)).first()
        if found is not None:
            raise _broken(str(found[0]), found[1], "there is no such chain")

    def _read(
        self, connection: Connection, chain: str, where: Mapping[str, str], after: int = 0
    ) -> Iterator[Entry]:
        query = select(ENTRIES).where(ENTRIES.c.chain == chain).order_by(ENTRIES.c.seq)
        query = query.where(ENTRIES.c.seq > after) if after else query
        for name, value in where.items():
            query = query.where(ENTRIES.c[name] == value)
        for row in connection.execute(query, execution_options={"yield_per": BATCH}):
            yield Entry(*row)

    def _last(self, connection: Connection, chain: str) -> Head:
        top = select(func.max(ENTRIES.c.seq)).where(ENTRIES.c.chain == chain).scalar_subquery()
        query = select(ENTRIES.c.seq, ENTRIES.c.hash)
        query = query.where(ENTRIES.c.chain == chain, ENTRIES.c.seq == top)
        found = connection.execute(query).first()
        return Head(0, genesis(chain)) if found is None else Head(int(found[0]), str(found[1]))

    def _group(self, chain: str, choose: Callable[[Connection], Iterable[Row]]) -> Appended:
        """One commit group: choose the rows under the lock, write them, then the head outside."""
        if chain not in CHAINS:
            raise ValueError(f"no chain {chain!r}")
        with self._heads.locked():
            with self._connected(write=True) as connection:
                lock_writers(connection)
                outside = self._heads.read()
                last = self._last(connection, chain)
                self._agree(connection, chain, last, outside)
                new = list(entries(chain, choose(connection), seq=last.seq, head=last.hash))
                names = ENTRIES.c.keys()
                for start in range(0, len(new), BATCH):
                    group = [{n: getattr(e, n) for n in names} for e in new[start : start + BATCH]]
                    connection.execute(insert(ENTRIES), group)
            head = Head(new[-1].seq, new[-1].hash) if new else last
            if outside.get(chain) != head:
                self._heads.write({**outside, chain: head})
        return Appended(head.hash, len(new))

    def _agree(
        self, connection: Connection, chain: str, last: Head, outside: Mapping[str, Head]
    ) -> None:
        """Refuse to append where that would overwrite the trace of a cut."""
        if not outside:  # it is there from the first opening on
            raise _broken("", 0, f"the heads file {self._heads.path.name} is gone")
        kept = outside.get(chain)
        if kept is None or kept.seq == 0:
            return
        if kept.seq > last.seq:
            raise _broken(chain, last.seq + 1, f"the chain was cut: its head was row {kept.seq}")
        same = (ENTRIES.c.chain == chain) & (ENTRIES.c.seq == kept.seq)
        if connection.execute(select(ENTRIES.c.hash).where(same)).scalar() != kept.hash:
            raise _broken(chain, kept.seq, "its hash differs from the head kept outside")

    @contextmanager
    def _connected(self, *, write: bool = False) -> Iterator[Connection]:
        """A transaction; the database's own failures become ours."""
        try:
            with self._engine.connect() as opened:
                connection = opened.execution_options(writes=write)
                with connection.begin():
                    yield connection
        except DBAPIError as error:
            if damaged(error):
                raise _broken("", 0, f"the database can't be read: {error.orig}") from None
            raise unusable(error.orig) from None


def _has_its_table(connection: Connection) -> None:
    if not inspect(connection).has_table(ENTRIES.name):
        raise _broken(CHAINS[0], 1, f"the table {ENTRIES.name} is gone")


def _broken(chain: str, seq: int, why: str) -> LedgerBroken:
    at = {"chain": chain, "seq": seq, "why": why}
    where = f"the {chain} chain's row {seq}: " if chain else ""
    return LedgerBroken(f"{where}{why}", first_broken=at)


def _differs(stored: str, given: str) -> Refused:
    old, new = json.loads(stored), json.loads(given)
    nothing = object()
    keys = {**new, **old}
    # Their texts, because 1, 1.0 and true are equal and yet not the same.
    unequal = (k for k in keys if repr(old.get(k, nothing)) != repr(new.get(k, nothing)))
    key = next(unequal, "text")
    return Refused(
        f"session {old.get('session')} of {old.get('book')} was recorded with another"
        f" {key} ({old.get('kind')} row {old.get('n')}):"
        f" {str(old.get(key))[:60]}, now {str(new.get(key))[:60]}",
        remedy="Use another HYBRIDNB_HOME to trade the session with other inputs.",
    )
