"""`%load_ext hybridnb`: the command line's commands in a notebook, shown rich, and completed.

`%hybridnb status`, `%hybridnb explain SYMBOL`, `%hybridnb day --feed sample`: the same words, the
same checks, the same record as in a terminal. What comes back keeps its values in `.result`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from hybridnb.app import displays
from hybridnb.errors import CheckFailed, HybridnbError, UsageError

if TYPE_CHECKING:  # every kernel loads this file: the command line comes with the first command
    import click

NAME = "hybridnb"
# Commands that keep on running until they are stopped: a kernel would answer nothing else.
ENDLESS = frozenset({"serve", "view"})


class Told(HybridnbError):
    """An error of a command as a notebook shows it: message and remedy, without a traceback."""

    def __init__(self, error: HybridnbError) -> None:
        super().__init__(str(error), remedy=error.remedy)
        self.exit_code = error.exit_code

    def _render_traceback_(self) -> list[str]:
        remedy = [f"remedy: {self.remedy}"] if self.remedy else []
        return [f"error: {self}", *remedy]


@dataclass(frozen=True)
class Answer:
    """What a command came to.

    Attributes
    ----------
    result : object
        What it prints with `--json`.
    text : str
        What it prints without.
    """

    command: str
    result: Any
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        forms = {"status": _status, "explain": _explained}
        rich = forms.get(self.command)
        body = rich(self.result) if rich else ""
        said = f"<pre style='white-space:pre-wrap'>{escape(self.text)}</pre>"
        if not body:
            return said
        return f"{body}<details><summary>as the command prints it</summary>{said}</details>"


def _status(result: dict[str, Any]) -> str:
    """The books in a table, and what waits for somebody."""
    rows = [
        {
            "book": book["book"],
            "session": book["session"],
            "mode": book["mode"],
            "state": book["trading_state"],
            "kill switch": book["kill_switch"],
            "equity": book["equity"],
            "day": displays.share(book["day_pnl"]),
            "drawdown": displays.share(book["drawdown"]),
            "positions": book["positions"],
        }
        for book in result["books"]
    ]
    waiting = result["alerts"]["unacknowledged"]
    note = f"{waiting} alerts to acknowledge" if waiting else ""
    return displays.html_of(displays.table_of("Books", rows, note=note))


def _explained(result: dict[str, Any]) -> str:
    """The decision with its picture."""
    from hybridnb.app.gallery_decisions import explored
    from hybridnb.app.ledgers import open_ledger

    row = result["decision"]
    found = explored(
        open_ledger(), book=row["book"], session=row["session"], decision=row["decision_id"]
    )
    return displays.html_of(displays.shown(found))


def answer(line: str) -> Answer:
    """Do what a line asks, as the command line would.

    Raises
    ------
    Told
        With the message and the remedy of whatever the command refused or couldn't do.
    """
    import click

    try:
        words = shlex.split(line)
        path, command, rest = _found(words)
        return _asked(path, command, rest)
    except HybridnbError as error:
        raise Told(error) from None
    except (click.ClickException, ValueError) as error:
        said = error.format_message() if isinstance(error, click.ClickException) else str(error)
        remedy = f"`%{NAME} --help` lists the commands, `%{NAME} COMMAND --help` their options."
        raise Told(UsageError(said, remedy=remedy)) from None


def _found(words: Sequence[str]) -> tuple[str, click.Command, list[str]]:
    """The command that the first words name, and the words that are left."""
    import click

    from hybridnb.app.cli import cli

    group: click.Command = cli
    taken: list[str] = []
    for word in words:
        if not isinstance(group, click.Group) or word not in group.commands:
            break
        group = group.commands[word]
        taken.append(word)
    return " ".join(taken), group, list(words[len(taken) :])


def _asked(path: str, command: click.Command, rest: list[str]) -> Answer:
    import click

    name = f"{NAME} {path}".rstrip()
    if isinstance(command, click.Group):
        if rest and rest[0] not in ("-h", "--help"):
            known = ", ".join(sorted(command.commands))
            raise UsageError(f"no command {rest[0]!r}", remedy=f"Commands: {known}.")
        rest = ["--help"]
    if {"-h", "--help"} & set(rest):
        text = command.get_help(click.Context(command, info_name=name))
        return Answer("help", {"help": text}, text)
    if path in ENDLESS:
        raise UsageError(
            f"`{name}` runs until it is stopped", remedy=f"Run `{name}` in a terminal."
        )
    return _done(path, command, command.make_context(name, rest))


def _done(path: str, command: click.Command, context: click.Context) -> Answer:
    """The command's own function, without what prints its result and ends the process."""
    given = dict(context.params)
    given.pop("as_json", None)
    inner = getattr(command.callback, "__wrapped__", None)
    if inner is None:
        raise UsageError(f"`{path}` has no form for notebooks", remedy="Run it in a terminal.")
    with context:
        result, text, *code = inner(**given)
    if any(code):
        raise CheckFailed(text)
    return Answer(path, result, text)


def completions(line: str) -> list[str]:
    """What may follow in a line that begins with the magic's name.

    Parameters
    ----------
    line : str
        Up to the cursor.
    """
    import click

    words = line.lstrip().lstrip("%").split(" ")
    before, begun = [word for word in words[1:-1] if word], words[-1]
    _, command, rest = _found(before)
    found = [o for p in command.params for o in p.opts if o.startswith("--")]
    if isinstance(command, click.Group):
        found = [] if rest else sorted(command.commands)
    return [word for word in found if word.startswith(begun)]


def load(shell: Any) -> None:
    """Put magic, completion and rich displays into an IPython shell."""
    displays.register(shell)
    shell.register_magic_function(answer, magic_kind="line", magic_name=NAME)
    shell.set_hook("complete_command", lambda _, event: completions(event.line), str_key=f"%{NAME}")


def unload(shell: Any) -> None:
    """Take them out again."""
    displays.unregister(shell)
    shell.magics_manager.magics["line"].pop(NAME, None)
