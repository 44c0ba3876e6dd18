"""The tables, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text

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
# Beside the chains: what a run's wall clock said. Never hashed, since it never repeats.
RUN_BEATS = Table(
    "run_beats",
    METADATA,
    Column("run", String(64), primary_key=True),
    Column("cell", Integer, primary_key=True, autoincrement=False),
    Column("cells", Integer, nullable=False),
    Column("at", String(32), nullable=False),
    Column("seconds", Float, nullable=False),
)
# One row a job and session: who works on it until when, how often it was tried, how it ended.
# `until` is a reading of the clock named `epoch`: the lease's end, or the next attempt's start.
SCHEDULE_STARTS = Table(
    "schedule_starts",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("since", String(10), nullable=False),
)
SCHEDULE_SLOTS = Table(
    "schedule_slots",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("session", String(10), primary_key=True),
    Column("due_at", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("epoch", String(64), nullable=False),
    Column("until", Float, nullable=False),
    Column("at", String(32), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("report", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("told", Integer, nullable=False),
    Index("schedule_slots_by_status", "status"),
)
