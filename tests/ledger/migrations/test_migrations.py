"""Every schema version reaches the newest one, with every row it held."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

import hybridnb.ledger.migrations as migrations
from hybridnb.errors import Refused
from hybridnb.ledger.beats import Beat
from hybridnb.ledger.chain import Entry, entries, genesis
from hybridnb.ledger.database import engine_of
from hybridnb.ledger.heads import Head, Heads
from hybridnb.ledger.migrations import HEAD, VERSIONS, upgrade
from hybridnb.ledger.schema import METADATA
from hybridnb.ledger.store import Ledger

ROWS = [{"kind": "mark", "book": "b", "session": "2024-01-02", "n": n, "t": "é"} for n in range(30)]


def old_database(url: str, heads: Path, version: str) -> list[Entry]:
    """A database as a release with that schema left it."""
    made = list(entries("session", ROWS, seq=0, head=genesis("session")))
    engine = engine_of(url)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        upgrade(connection, to=version)
        for entry in made:
            columns = {name: getattr(entry, name) for name in Entry.__slots__}
            names, marks = ", ".join(columns), ", ".join(f":{name}" for name in columns)
            connection.execute(text(f"INSERT INTO entries ({names}) VALUES ({marks})"), columns)
    engine.dispose()
    Heads(heads).write({"session": Head(made[-1].seq, made[-1].hash)})
    return made


def tables(url: str) -> set[str]:
    engine = create_engine(url)
    found = set(inspect(engine).get_table_names())
    engine.dispose()
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_database_keeps_every_row(url: str, heads: Path, version: str) -> None:
    made = old_database(url, heads, version)
    assert ("run_beats" in tables(url)) == (version != "0001")
    ledger = Ledger(url, heads=heads)
    assert list(ledger.entries("session")) == made
    assert ledger.verify().ok
    (next_one,) = entries("session", [{"kind": "mark"}], seq=30, head=made[-1].hash)
    assert ledger.append("session", [{"kind": "mark"}]) == next_one.hash
    ledger.beat(Beat("run_1", 1, 2, "2024-01-02T10:00:00+00:00", 0.5))
    assert len(ledger.beats("run_1")) == 1
    ledger.close()


def test_the_migrations_lead_to_the_schema(url: str, heads: Path) -> None:
    Ledger(url, heads=heads).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        for name, table in METADATA.tables.items():  # which alembic doesn't compare
            keys = inspect(connection).get_pk_constraint(name)["constrained_columns"]
            assert keys == [column.name for column in table.primary_key.columns]
    engine.dispose()


def test_the_versions_are_the_files() -> None:
    files = sorted((Path(migrations.__file__).parent / "versions").glob("*.py"))
    assert tuple(f.name[:4] for f in files) == VERSIONS and VERSIONS[-1] == HEAD


def test_a_chain_has_each_number_once(url: str, heads: Path) -> None:
    old_database(url, heads, HEAD)
    engine = create_engine(url)
    with engine.begin() as connection, pytest.raises(Exception, match=r"(?i)unique"):
        connection.execute(
            text("INSERT INTO entries VALUES ('session', 30, '', '', '', '{}', '', '')")
        )
    engine.dispose()


def test_a_database_of_a_later_release_is_refused_and_untouched(url: str, heads: Path) -> None:
    Ledger(url, heads=heads).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Refused, match="schema 9999 is of a later release"):
        Ledger(url, heads=heads)
    with engine.connect() as connection:
        assert (
            connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
        )
    engine.dispose()


def test_a_migration_that_fails_leaves_the_database_as_it_was(url: str, heads: Path) -> None:
    made = old_database(url, heads, "0001")
    engine = engine_of(url)
    with engine.begin() as connection:  # in the way of 0002
        connection.execute(text("CREATE TABLE run_beats (x INTEGER)"))
    with pytest.raises(Exception, match="run_beats"):
        Ledger(url, heads=heads)
    with engine.begin() as connection:
        assert (
            connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0001"
        )
        connection.execute(text("DROP TABLE run_beats"))
    engine.dispose()
    ledger = Ledger(url, heads=heads)
    assert list(ledger.entries("session")) == made
    ledger.close()


def test_it_works_from_any_folder(tmp_path: Path) -> None:
    """As an installed package has it: elsewhere, with a path that a configuration would mangle."""
    place = tmp_path / "100%d packages"
    package = Path(migrations.__file__).parents[2]
    shutil.copytree(package, place / "hybridnb", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "import hybridnb; assert hybridnb.__file__.startswith(sys.argv[1]), hybridnb.__file__;"
        "from hybridnb.ledger.store import Ledger;"
        "ledger = Ledger('sqlite:///ledger.db', heads=Path('heads.json'));"
        "ledger.append('session', [{'kind': 'mark'}]); assert ledger.verify().rows == 1"
    )
    subprocess.run([sys.executable, "-c", script, str(place)], cwd=tmp_path, check=True)


def opened_at_once(url: str, *places: Path) -> None:
    """One process for each heads file, all opening the ledger at the same moment."""
    script = (
        "import sys; from pathlib import Path; from hybridnb.ledger.store import Ledger;"
        "import alembic.command; print('ready', flush=True); sys.stdin.readline();"
        "Ledger(sys.argv[1], heads=Path(sys.argv[2]))"
    )
    opened = [
        subprocess.Popen(
            [sys.executable, "-c", script, url, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for place in places
    ]
    for process in opened:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in opened:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in opened:
        process.communicate(timeout=60)
    assert [process.returncode for process in opened] == [0] * len(places)


def test_two_processes_make_one_database(url: str, heads: Path) -> None:
    opened_at_once(url, heads, heads)
    ledger = Ledger(url, heads=heads)
    ledger.append("session", ROWS)
    assert ledger.verify().rows == len(ROWS)
    ledger.close()


@pytest.mark.parametrize("new_url", ["postgresql"], indirect=True)
def test_a_second_home_waits_for_the_first_one_to_migrate(url: str, heads: Path) -> None:
    """They share no lock file; only the server can keep them apart."""
    engine = engine_of(url)
    with ThreadPoolExecutor(1) as pool, engine.connect() as connection:
        with connection.begin():
            upgrade(connection)
            second = pool.submit(Ledger, url, heads=heads)
            with pytest.raises(TimeoutError):
                second.result(timeout=1.5)
        ledger = second.result(timeout=60)
    engine.dispose()
    ledger.append("session", ROWS)
    assert ledger.verify().rows == len(ROWS)
    ledger.close()
