"""What the commands of the command line share: their options, and how they report."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hybridnb.app.logs import event, set_up
from hybridnb.errors import HybridnbError

Command = Callable[..., Any]


def say(text: str) -> None:
    """A line for people, on standard error."""
    click.echo(text, err=True)


def reported(command: Command) -> Command:
    """Add `--json`; print the result; turn an error into its exit code, sentence and remedy.

    A command returns its result and the text for people, and an exit code where it isn't 0.
    """

    @click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
    @functools.wraps(command)
    def run(*args: Any, as_json: bool, **kwargs: Any) -> None:
        try:
            if set_up():
                event("command", command=click.get_current_context().command_path)
            result, text, *code = command(*args, **kwargs)
        except HybridnbError as error:
            if as_json:
                click.echo(json.dumps(error.as_dict(), ensure_ascii=False))
            say(f"error: {error}")
            if error.remedy:
                say(f"remedy: {error.remedy}")
            event("refused", **error.as_dict(), exit=error.exit_code)
            sys.exit(error.exit_code)
        click.echo(json.dumps(result, ensure_ascii=False, allow_nan=False) if as_json else text)
        if any(code):
            sys.exit(code[0])

    return run


def day_options(command: Command) -> Command:
    """Which day, on which data."""
    for option in reversed(
        [
            click.option("--feed", default="", help="Feed; params/day.yml's by default."),
            click.option("--data", default="", type=click.Path(), help="Bars for --feed folder."),
            click.option("--date", "session", default="", help="Session; the last by default."),
            click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Of every choice."),
            click.option("--profile", default="", help="Training profile of params/learning.yml."),
            click.option("--params", default="", type=click.Path(), help="Folder of parameters."),
        ]
    ):
        command = option(command)
    return command


def request_of(**given: Any) -> Any:
    """The request that these options make."""
    from hybridnb.app.context import Request

    given["data"] = str(Path(given["data"]).resolve()) if given.get("data") else ""
    given["params"] = str(Path(given["params"]).resolve()) if given.get("params") else ""
    return Request(**given)
