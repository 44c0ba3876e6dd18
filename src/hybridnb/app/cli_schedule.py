"""Commands of the schedule: one pass, what ran and is due, and another try."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import click

from hybridnb.app.cli_options import Command, reported, say
from hybridnb.errors import UsageError

_params = click.option("--params", default="", type=click.Path(), help="Folder of parameters.")


def _timed(command: Command) -> Command:
    return _params(
        click.option("--now", default="", help="ISO time; by default the clock's.")(command)
    )


@click.command("run-due")
@_timed
@reported
def run_due(params: str, now: str) -> Any:
    """Run what is due: one pass, for cron, systemd or Airflow. Exit 1 when a job is given up."""
    from hybridnb.app.schedule import passing

    done = passing.run_due(_folder(params), now=_moment(now), say=say)
    ran = f"{len(done['ran'])} ran" if done["ran"] else "nothing was due"
    return done, f"{ran}; {done['waiting']} wait"


@click.command()
@_timed
@reported
def schedule(params: str, now: str) -> Any:
    """Show what ran and what is due next."""
    from hybridnb.app.home import shipped
    from hybridnb.app.ledgers import open_ledger
    from hybridnb.app.schedule.actions import FUNCTIONS
    from hybridnb.app.schedule.board import board_text, jobs_board
    from hybridnb.app.schedule.params import read_schedule
    from hybridnb.app.schedule.passing import utc_now

    known = read_schedule(Path(_folder(params) or shipped("params")), known=FUNCTIONS)
    board = jobs_board(open_ledger(), _moment(now) or utc_now(), schedule=known)
    return board, board_text(board)


@click.command()
@click.argument("job")
@click.argument("session")
@click.option("--reason", required=True, help="Why, for the record.")
@reported
def retry(job: str, session: str, reason: str) -> Any:
    """Let a job that was given up run again, from the next pass on."""
    from hybridnb.app.schedule import passing

    done = passing.retry(job, session, reason=reason)
    return done, f"{job} of {session} is due again"


def _folder(params: str) -> str:
    return str(Path(params).resolve()) if params else ""


def _moment(text: str) -> dt.datetime | None:
    if not text:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time", remedy="Write 2026-01-02T21:30:00Z.") from None
    if found.tzinfo is None:
        raise UsageError(f"{text} names no zone", remedy="Write 2026-01-02T21:30:00Z.")
    return found


COMMANDS = (run_due, schedule, retry)
