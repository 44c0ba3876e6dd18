"""Heartbeats and durations of runs: an operational table beside the chains."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select

from hybridnb.ledger.schema import RUN_BEATS


@dataclass(frozen=True, slots=True)
class Beat:
    """A run reached cell `cell` of `cells` at wall-clock time `at` (UTC, ISO), `seconds` in."""

    run: str
    cell: int
    cells: int
    at: str
    seconds: float


def put(connection: Connection, beat: Beat) -> None:
    """Keep a beat; one of the same run and cell is replaced."""
    same = (RUN_BEATS.c.run == beat.run) & (RUN_BEATS.c.cell == beat.cell)
    connection.execute(delete(RUN_BEATS).where(same))
    connection.execute(insert(RUN_BEATS), [asdict(beat)])


def of_run(connection: Connection, run: str) -> list[Beat]:
    """The beats of a run by cell; without a run, of all runs by time."""
    query = select(RUN_BEATS).order_by(RUN_BEATS.c.at, RUN_BEATS.c.cell)
    if run:
        query = query.where(RUN_BEATS.c.run == run)
    return [Beat(**row._mapping) for row in connection.execute(query)]
