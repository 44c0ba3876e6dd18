"""Commands that serve: the whole server, and the dashboard alone for viewers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from hybridnb.app.cli_options import Command, reported, say


def _bound(command: Command) -> Command:
    for option in reversed(
        [
            click.option("--ip", default="127.0.0.1", help="Another one demands a token and TLS."),
            click.option("--certfile", default="", type=click.Path(), help="Certificate, for TLS."),
            click.option("--keyfile", default="", type=click.Path(), help="Its private key."),
        ]
    ):
        command = option(command)
    return command


def _announce(told: Mapping[str, Any]) -> None:
    """Once, when the server answers: an object, or a line with an address to open."""
    if click.get_current_context().params["as_json"]:
        click.echo(json.dumps(told))
        return
    query = f"?token={told['token']}" if "token" in told else ""
    click.echo(f"{told['url']}{query}")
    say("Control-C ends the server and every kernel of it.")


def _port(default: int) -> Callable[[Command], Command]:
    whole = click.IntRange(0, 65535)
    return click.option("--port", default=default, type=whole, show_default=True, help="0: any.")


@click.command()
@_port(8051)
@_bound
@click.option("--no-schedule", is_flag=True, help="Leave the scheduled jobs to others.")
@reported
def serve(no_schedule: bool, **given: Any) -> Any:
    """Serve dashboard (/), Lab (/lab), API, metrics and reports; run what is due."""
    from hybridnb.app.server.serving import serve as serving

    serving(**given, schedule=not no_schedule, say=say, ready=_announce)
    raise SystemExit(0)


@click.command()
@_port(8052)
@_bound
@reported
def view(**given: Any) -> Any:
    """Serve the dashboard alone, for viewers: no controls, no Lab, no API."""
    from hybridnb.app.server.viewing import view as viewing

    viewing(**given, ready=_announce)
    raise SystemExit(0)


COMMANDS = (serve, view)
