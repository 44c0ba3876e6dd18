"""The tables, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()
ENTRIES = Table(
    "entries",
    METADATA,
    Column("chain", String(16), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(64), nullable=False),
    Column("book", String(128), nullable=False),
    Column("session", String(32), nullable=False),
    Column("payload", Text, nullable=False),
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("entries_by_session", "chain", "book", "session"),
    Index("entries_by_kind", "chain", "kind"),
)
