"""Commands that keep records: reports, backups, the orderly end, and the tests of controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hybridnb.app.cli_options import reported, say
from hybridnb.errors import Missing


@click.command()
@click.option("--days", default=7, type=click.IntRange(1, 3650), help="Sessions to cover.")
@click.option("--weekly", "kind", flag_value="weekly", help="The week to a session, kept.")
@click.option("--yearly", "kind", flag_value="yearly", help="The self-assessment of a year, kept.")
@click.option("--session", default="", help="Session that it ends with; the last by default.")
@click.option("--pdf", is_flag=True, help="Also as PDF, printed by Chromium.")
@reported
def report(days: int, kind: str | None, session: str, pdf: bool) -> Any:
    """Write a page over the last sessions, a week, or a year: result, orders, alerts, controls."""
    from hybridnb.app.pdf import print_pdf
    from hybridnb.app.reporting import report_days, self_assessment, weekly_report

    kept = {"weekly": weekly_report, "yearly": self_assessment}
    done = kept[kind](session or None) if kind else report_days(days)
    if pdf:
        done["pdf"] = str(print_pdf(Path(done["report"])))
    return done, f"open {done.get('pdf', done['report'])}"


@click.command()
@click.option("--out", type=click.Path(dir_okay=False), help="File; HOME-backups/ by default.")
@reported
def backup(out: str | None) -> Any:
    """Pack ledger, heads, models, records and parameters into one file of digests."""
    from hybridnb.app.backup import backup_text, make_backup

    done = make_backup(out)
    return done, backup_text(done)


@click.command()
@click.argument("file", type=click.Path())
@click.option("--reason", required=True, help="Why, for the record.")
@click.option("--replace", is_flag=True, help="Also where the home holds more: it is kept aside.")
@click.option("--sha256", default="", help="The file's digest, as its backup printed it.")
@reported
def restore(file: str, **given: Any) -> Any:
    """Verify a backup whole, then put it in the home's place; the old home is kept aside."""
    from hybridnb.app.restore import restore_backup, restore_text

    done = restore_backup(file, **given)
    return done, restore_text(done)


@click.command()
@click.option("--reason", required=True, help="Why, for the record.")
@click.option("--wait", default=30.0, type=click.FloatRange(0, 600), help="Seconds for a session.")
@reported
def shutdown(reason: str, wait: float) -> Any:
    """End in order: halt, withdraw entries, keep stops, verify the ledger, pack a backup."""
    from hybridnb.app.shutdown import shut_down, shutdown_text

    done = shut_down(reason=reason, wait=wait, say=say)
    return done, shutdown_text(done)


@click.command()
@reported
def loadtest() -> Any:
    """Send twice the busiest load of six months through controls and paper venue, in a sandbox."""
    from hybridnb.app.loadtest import load_test, load_text

    done = load_test()
    return done, load_text(done)


@click.command()
@click.argument("names", nargs=-1, metavar="[ID]...")
@click.option("--test", is_flag=True, help="Run their tests and record the result; minutes.")
@reported
def controls(names: tuple[str, ...], test: bool) -> Any:
    """Show every control with its newest test; or test them. Exit 1 where one doesn't hold."""
    from hybridnb.app.control_tests import controls_text, list_controls, run_controls

    done = run_controls(names, say=say) if test else {}
    listed = [each for each in list_controls() if not names or each["id"] in names]
    return done | {"controls": listed}, controls_text(listed)


@click.command()
@click.option("--unapproved", is_flag=True, help="Those alone that nobody approved.")
@reported
def changes(unapproved: bool) -> Any:
    """List material changes between sessions: policy, parameters, models; who approved them."""
    from hybridnb.app.changes import changes_text, list_changes

    found = list_changes(unapproved=unapproved)
    return {"changes": found}, changes_text(found)


@click.command("approve-change")
@click.argument("change")
@click.option("--by", required=True, help="Who approves.")
@click.option("--reason", required=True, help="Why, for the record.")
@reported
def approve_change(change: str, by: str, reason: str) -> Any:
    """Approve a material change by its id, by name and with a reason."""
    from hybridnb.app.changes import approve_change as approve

    done = approve(change, by=by, reason=reason)
    state = "approved" if done["changed"] else "was approved before"
    return done, f"{done['what']}: {state} ({done['approved']})"


@click.command()
@reported
def perf() -> Any:
    """Measure decisions, orders and commits on this machine; show the recorded benchmarks."""
    from hybridnb.app.perf import measure, perf_text

    done = measure()
    return done, perf_text(done)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@reported
def completion(shell: str) -> Any:
    """Print a script that completes commands and options in a shell."""
    from click.shell_completion import get_completion_class

    from hybridnb.app.cli import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise Missing(f"click completes no {shell}")
    script = kind(cli, {}, "hybridnb", "_HYBRIDNB_COMPLETE").source()
    return {"shell": shell, "script": script}, script


COMMANDS = (
    *(report, backup, restore, shutdown),
    *(loadtest, controls, changes, approve_change, perf, completion),
)
