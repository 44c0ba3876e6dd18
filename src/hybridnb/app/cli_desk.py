"""Commands of the trading desk: sessions through a broker, and what operators ask for."""

from __future__ import annotations

from typing import Any

import click

from hybridnb.app.cli_options import Command, day_options, reported, request_of, say


def _broker_options(command: Command) -> Command:
    return click.option("--broker", required=True, help="paper, ibkr, ccxt, or an installed one.")(
        day_options(command)
    )


@click.command()
@_broker_options
@click.option("--for", "seconds", type=click.FloatRange(min=1), help="Seconds; by default all day.")
@reported
def trade(broker: str, seconds: float | None, **given: Any) -> Any:
    """Trade a session through a broker, until its exchange closes."""
    from hybridnb.app.live_trading import trade_broker

    done = trade_broker(request_of(**given), broker, seconds=seconds, say=say)
    return done, (
        f"{done['session']} through {broker}: {done['orders']} orders, {done['fills']} fills,"
        f" equity {done['equity']:,.2f}"
    )


@click.command()
@_broker_options
@reported
def reconcile(broker: str, **given: Any) -> Any:
    """Compare a broker's account with the book; nothing is sent. Exit 3 where they differ."""
    from hybridnb.app.live_account import compare_account, comparison_text

    done = compare_account(request_of(**given), broker)
    return done, comparison_text(done)


@click.command()
@_broker_options
@click.option("--reason", required=True, help="Why, for the record.")
@reported
def adopt(broker: str, reason: str, **given: Any) -> Any:
    """Take a broker's positions over as they are, recorded; ends the session."""
    from hybridnb.app.live_account import adopt_account, comparison_text

    done = adopt_account(request_of(**given), broker, reason=reason)
    return done, comparison_text(done)


def _asked(action: str, **given: str) -> Any:
    from hybridnb.app.operators import act

    done = act(action, **given)
    return done, f"{action} recorded as {done['id']}: applied at the next listening or opening"


def _reasoned(command: Command) -> Command:
    return click.option("--reason", required=True, help="Why, for the record.")(reported(command))


_symbol = click.option("--symbol", default="", help="One symbol; all by default.")


@click.command("cancel-all")
@_symbol
@_reasoned
def cancel_all(**given: str) -> Any:
    """Withdraw all working orders, or one symbol's; protective stops stay with positions."""
    return _asked("cancel-all", **given)


@click.command()
@_reasoned
def reduce(**given: str) -> Any:
    """Let positions only shrink, until resumed."""
    return _asked("reduce", **given)


@click.command()
@_reasoned
def halt(**given: str) -> Any:
    """Stop entries and decided exits, until resumed; protective exits go on."""
    return _asked("halt", **given)


@click.command()
@_reasoned
def resume(**given: str) -> Any:
    """Back to ACTIVE; a latched kill switch stays latched."""
    return _asked("resume", **given)


@click.command()
@click.argument("name")
@_symbol
@_reasoned
def unlock(name: str, **given: str) -> Any:
    """Take a protection lock away: stop_guard, drawdown_guard, cooldown or low_profit."""
    return _asked("unlock", lock=name, **given)


@click.command()
@click.argument("symbol")
@_reasoned
def enable(**given: str) -> Any:
    """Let a symbol trade again that repeated executions disabled."""
    return _asked("enable", **given)


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@_reasoned
def brake(state: str, **given: str) -> Any:
    """Put the emergency brake on (no entries) or off."""
    return _asked(f"brake-{state}", **given)


COMMANDS = (trade, reconcile, adopt, cancel_all, reduce, halt, resume, unlock, enable, brake)
