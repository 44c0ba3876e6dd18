"""The command line. Every command prints for people, or one JSON object with `--json`.

Heavy parts load inside the commands that use them, so that `--help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from hybridnb import __version__
from hybridnb.app import (
    cli_desk,
    cli_escalation,
    cli_evidence,
    cli_reports,
    cli_schedule,
    cli_server,
)
from hybridnb.app.cli_options import Command, day_options, reported, request_of, say

EXIT_CODES = {
    0: "done",
    1: "a check failed",
    2: "bad usage or bad input",
    3: "refused (risk, gate, quota, another book)",
    4: "something outside is missing",
    5: "internal",
}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hybridnb")
def cli() -> None:
    """A notebook-native control plane for trading."""


@cli.command()
@day_options
@click.option("--ask-frontier", is_flag=True, help="Spend today's quota on an earlier session.")
@reported
def day(ask_frontier: bool, **given: Any) -> Any:
    """Run the main job: check data, train if needed, review gates, trade, report."""
    from hybridnb.app.day import run_day

    done = run_day(request_of(**given), say=say, spend=ask_frontier)
    return done, f"{done['session']}: open {done['reports'][0]}"


def _stretch_options(command: Command) -> Command:
    for option in reversed(
        [
            click.option("--from", "first", default="", help="First session; by default all."),
            click.option("--to", "last", default="", help="Last session; by default all."),
            click.option("--plain", is_flag=True, help="Without the compiler: slow, same result."),
        ]
    ):
        command = option(command)
    return command


@cli.command()
@day_options
@_stretch_options
@reported
def replay(first: str, last: str, plain: bool, **given: Any) -> Any:
    """Trade a feed's whole predicted history again from a new account."""
    from hybridnb.app.replay_command import replay_history, replay_text

    done = replay_history(request_of(**given), first=first, last=last, plain=plain, say=say)
    return done, replay_text(done)


@cli.command()
@day_options
@_stretch_options
@click.option("--set", "choices", multiple=True, help="KEY=V1,V2,… of the policy, repeatable.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Processes; one a core by default.")
@click.option("--dask", default="", help="Scheduler, tcp://HOST:PORT; HYBRIDNB_DASK by default.")
@reported
def sweep(choices: tuple[str, ...], first: str, last: str, **given: Any) -> Any:
    """Replay the history under every combination of policy values; each is a recorded trial."""
    from hybridnb.app.sweep_command import sweep_history, sweep_text

    how = {name: given.pop(name) for name in ("jobs", "dask", "plain")}
    done = sweep_history(request_of(**given), choices, first=first, last=last, **how, say=say)
    return done, sweep_text(done)


@cli.command()
@click.argument("notebook")
@click.option("-f", "--file", "file", type=click.Path(), help="YAML of parameters.")
@click.option("-p", "--parameter", "given", multiple=True, help="NAME=VALUE, repeatable.")
@click.option("--out", type=click.Path(), help="Folder of the result; the reports by default.")
@click.option("--pdf", is_flag=True, help="Also as PDF, printed by Chromium.")
@reported
def run(notebook: str, file: str | None, given: tuple[str, ...], out: str | None, pdf: bool) -> Any:
    """Run one notebook with parameters, as the schedule does."""
    from hybridnb.app.jobs import run_one
    from hybridnb.app.pdf import browser, print_pdf

    if pdf:
        browser()  # without one it is told before the run, not after
    done = run_one(notebook, file=file, given=given, out=out, say=say)
    if pdf:
        done["pdf"] = str(print_pdf(Path(done["report"])))
    return done, f"{done['status']}: {done.get('pdf', done['report'])}"


@cli.command()
@click.argument("path", type=click.Path())
@click.option("--calendar", default="", help="Exchange calendar, for instance XTSE.")
@click.option("--zone", default="", help="Time zone of times that name none.")
@click.option("--currency", default="", help="Currency of the prices.")
@reported
def ingest(path: str, **given: str) -> Any:
    """Check a file or folder of bars and store it; nothing is written if a rule is broken."""
    from hybridnb.app.ingesting import ingest_path

    done = ingest_path(Path(path), **given)
    return done, (
        f"{done['rows']:,} bars of {len(done['symbols'])} symbols,"
        f" {done['first']} to {done['last']}, stored in {done['stored']}"
    )


@cli.command()
@reported
def status() -> Any:
    """Show mode, trading state, kill switch, limits and the last session of each book."""
    from hybridnb.app.status import read_status, status_text

    done = read_status()
    return done, status_text(done)


@cli.group()
def ledger() -> None:
    """Verify or export the ledger."""


@ledger.command()
@reported
def verify() -> Any:
    """Recompute both chains; exit 1 with the first broken row."""
    from hybridnb.app.ledgers import verify_ledger

    done = verify_ledger()
    return done, f"{done['rows']:,} rows hold; head {done['head']}"


@ledger.command()
@click.option("--format", "kind", type=click.Choice(["parquet", "csv"]), default="parquet")
@click.option("--out", required=True, type=click.Path(), help="Folder to write to.")
@reported
def export(kind: Literal["parquet", "csv"], out: str) -> Any:
    """Write both chains as Parquet or CSV."""
    from hybridnb.app.ledgers import export_ledger

    done = export_ledger(Path(out), kind)
    return done, "\n".join(done["files"])


@cli.command()
@click.argument("decision")
@reported
def explain(decision: str) -> Any:
    """Print every term of a decision back to its input rows. DECISION is an id or a symbol."""
    from hybridnb.app.explain import explain_decision

    return explain_decision(decision)


@cli.command()
@reported
def doctor() -> Any:
    """Check keys, Ollama, disk, calendar and permissions; say the remedy of what is wrong."""
    from hybridnb.app.doctor import examine

    return examine()


for _command in (
    *cli_desk.COMMANDS,
    *cli_escalation.COMMANDS,
    *cli_evidence.COMMANDS,
    *cli_reports.COMMANDS,
    *cli_schedule.COMMANDS,
    *cli_server.COMMANDS,
):
    cli.add_command(_command)


def main() -> None:
    """Entry point; anything unforeseen ends with exit code 5 and where to look."""
    cli(prog_name="hybridnb")


if __name__ == "__main__":
    main()
