"""Schema versions (Alembic). A migration never loses a row."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from hybridnb.errors import Refused

VERSIONS = ("0001", "0002", "0003")
HEAD = VERSIONS[-1]
LOCK = 6_829_401_553  # PostgreSQL's advisory lock of this schema: any number of our own


def current(connection: Connection) -> bool:
    """Whether a database has the newest schema.

    Raises
    ------
    Refused
        When a later release made it.
    """
    found = _version(connection)
    if found is not None and found not in VERSIONS:
        raise Refused(
            f"the ledger's schema {found} is of a later release; this one knows {HEAD}",
            remedy="Install the release that wrote it; nothing was changed.",
        )
    return found == HEAD


def upgrade(connection: Connection, *, to: str = HEAD) -> None:
    """Bring a database to a schema version, all or nothing, in the caller's transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    if current(connection):
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    place = str(Path(__file__).parent)
    config.set_main_option("script_location", place.replace("%", "%%"))  # it interpolates
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
