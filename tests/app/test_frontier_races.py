"""Never more than three attempts a day reach the frontier, whoever races, dies or waits."""

from __future__ import annotations

import datetime as dt
import importlib.util
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from races import AUDITOR, JUDGE, LIMIT, ZONES, Track, raced, track
from sqlalchemy import create_engine, make_url, text

EVIDENCE = os.environ.get("HYBRIDNB_EVIDENCE") == "1"
RACES, POSTGRES_RACES = (1000, 100) if EVIDENCE else (20, 4)

_spec = importlib.util.spec_from_file_location(
    "ledger_fixtures", Path(__file__).parents[1] / "ledger" / "conftest.py"
)
assert _spec is not None
assert _spec.loader is not None
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)
postgres = _shared.postgres  # the fixture of the tests of the ledger: a server of our own


@pytest.fixture
def databases(postgres: str) -> Iterator[Callable[[int], str]]:
    server = make_url(postgres)
    engine = create_engine(server, isolation_level="AUTOCOMMIT")

    def new(number: int) -> str:
        name = f"races_{number}_{uuid.uuid4().hex}"
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        return server.set(database=name).render_as_string(hide_password=False)

    yield new
    engine.dispose()


def test_two_processes_race_for_the_last_calls_of_days_of_all_kinds(tmp_path: Path) -> None:
    found = raced(RACES, tmp_path)
    assert found.races >= RACES
    assert max(found.reached.values()) == max(found.reserved.values()) == LIMIT
    assert found.killed >= 1
    assert {"SENT", "KEPT", "SPENT", "MIDNIGHT", "TAKEN"} <= set(found.outcomes)
    assert not [word for word in found.outcomes if word.startswith("?")]


def test_with_postgresql_too(tmp_path: Path, databases: Callable[[int], str]) -> None:
    found = raced(POSTGRES_RACES, tmp_path, new_url=databases)
    assert max(found.reached.values()) == max(found.reserved.values()) == LIMIT


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Track]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with track(url, tmp_path / "heads.json", ZONES[0], 0) as made:
        yield made


def test_the_ledger_that_both_share_writes_ahead_and_the_server_counts_for_itself(
    one: Track, tmp_path: Path
) -> None:
    day = one.at(dt.date(2026, 11, 1), "12:00")
    assert [one.once(call, day) for call in (AUDITOR, JUDGE)] == ["SENT", "SENT"]
    assert one.reached == {"2026-11-01": 2}
    assert one.server.requests == one.server.connections == 2
    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    engine.dispose()
