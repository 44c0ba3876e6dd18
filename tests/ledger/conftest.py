"""A ledger on each database that the product supports, each test with one of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from hybridnb.ledger.store import Ledger

OWNER = "postgres"  # the server refuses to run as root


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL server of our own, on a Unix socket, gone afterwards."""
    pytest.importorskip("psycopg", reason="install hybridnb with its extra `postgres`")
    binaries = _binaries()
    root = Path(tempfile.mkdtemp(prefix="hybridnb-pg-"))
    as_owner: dict[str, Any] = {"cwd": root, "check": True, "capture_output": True, "timeout": 120}
    if os.geteuid() == 0:
        owner = pwd.getpwnam(OWNER)
        os.chown(root, owner.pw_uid, owner.pw_gid)
        as_owner |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    data, control = str(root / "data"), [str(binaries / "pg_ctl"), "-D", str(root / "data"), "-w"]
    make = ["-D", data, "-U", OWNER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    listen = f"-c listen_addresses='' -k {root} -c fsync=off"
    try:
        subprocess.run([str(binaries / "initdb"), *make], **as_owner)
        subprocess.run([*control, "-o", listen, "-l", str(root / "log"), "start"], **as_owner)
        try:
            yield f"postgresql+psycopg://{OWNER}@/postgres?host={root}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **as_owner)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    named = shutil.which("pg_ctl")
    if not found and named is None:
        pytest.skip("PostgreSQL isn't installed; get it with: apt-get install postgresql")
    return (found[-1] if found else Path(str(named))).parent


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Each call gives the URL of another empty database of this kind."""
    if request.param == "sqlite":
        yield lambda: f"sqlite:///{tmp_path / uuid.uuid4().hex}.db"
        return
    server = make_url(request.getfixturevalue("postgres"))
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def new() -> str:
        made.append(f"ledger_{uuid.uuid4().hex}")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {made[-1]}"))
        return server.set(database=made[-1]).render_as_string(hide_password=False)

    yield new
    with engine.connect() as connection:
        for name in made:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    """An empty database."""
    return new_url()


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """Where the ledger under test keeps its heads."""
    return tmp_path / "heads.json"


@pytest.fixture
def ledger(url: str, heads: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = Ledger(url, heads=heads)
    yield opened
    opened.close()
