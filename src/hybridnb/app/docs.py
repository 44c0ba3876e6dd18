"""Documents compiled from the code: `python -m hybridnb.app.docs` rewrites their tables in place.

A table stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; a test fails where the text
and the code differ.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from hybridnb.app.alert_pages import alert_rows
from hybridnb.app.cli import EXIT_CODES, cli
from hybridnb.app.contacts import contact_rows, read_contacts
from hybridnb.app.controls import CONTROLS
from hybridnb.app.home import checkout, shipped
from hybridnb.app.postures import POSTURES
from hybridnb.app.schedule.actions import FUNCTIONS
from hybridnb.app.schedule.params import read_schedule, rows
from hybridnb.domain import Refusal
from hybridnb.errors import Missing
from hybridnb.escalation.examples import examples_markdown
from hybridnb.limits import MODE_CAPS
from hybridnb.policy import Policy

DOCUMENTS = ("README.md", "RUNBOOK.md")
EVERYDAY = frozenset(
    {"day", "doctor", "explain", "gates", "ingest", "replay"}
    | {"run", "schedule", "serve", "status"}
)
_BLOCK = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def compiled(text: str) -> str:
    """A document with every marked table made anew.

    Raises
    ------
    KeyError
        When a document asks for a table that nobody makes.
    """
    return _BLOCK.sub(lambda m: f"{m[1]}{TABLES[m[2]]()}\n{m[3]}", text)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def exit_codes() -> str:
    """Exit codes of the command line."""
    return _table(("code", "meaning"), ((str(c), text) for c, text in EXIT_CODES.items()))


def commands() -> str:
    """Every command with its own words."""
    return _table(("command", "what it does"), _commands(cli, "hybridnb"))


def everyday() -> str:
    """The commands that a newcomer needs first."""
    found = (row for row in _commands(cli, "hybridnb") if row[0].split()[1].strip("`") in EVERYDAY)
    return _table(("command", "what it does"), found)


def _commands(group: click.Group, prefix: str) -> Iterator[tuple[str, str]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix} {name}")
            continue
        given = [p for p in command.params if isinstance(p, click.Argument)]
        usage = " ".join([prefix, name, *(p.make_metavar(click.Context(command)) for p in given)])
        yield f"`{usage}`", str(command.help).split("\n", 1)[0]


def refusals() -> str:
    """Reason codes of refused entries."""
    return _table(("code", "why"), ((f"`{r.name}`", r.text) for r in Refusal))


def modes() -> str:
    """Caps by trading mode."""
    rows = ((f"`{mode}`", *(f"{share:.0%}" for share in caps)) for mode, caps in MODE_CAPS.items())
    return _table(("mode", "penny", "F&O", "core"), rows)


def policy() -> str:
    """Every number of the policy."""
    return _table(("key of `params/policy.yml`", "default", "meaning"), _policy(Policy, ""))


def _policy(model: Any, prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if hasattr(inner, "model_fields"):
            yield from _policy(inner, f"{name}.")
            continue
        value = field.default
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        shown = "–" if isinstance(value, frozenset) else shown
        yield f"`{prefix}{name}`", shown, str(field.description)


def controls() -> str:
    """Controls of trading, where they are and what shows them."""
    rows = (
        (c.id, c.what, f"`src/hybridnb/{c.place.partition(':')[0]}`", f"`tests/{c.test}`")
        for c in CONTROLS
    )
    return _table(("id", "control", "where", "test"), rows)


def postures() -> str:
    """What is done and said when a part fails."""
    rows = (
        (p.failure, p.posture, f"`{p.alert}`" if p.alert else "names the cause and the remedy")
        for p in POSTURES
    )
    return _table(("failure", "posture", "alert"), rows)


def calls() -> str:
    """The three calls to a reasoner: an example of each request and reply, and the schemas."""
    return examples_markdown()


def alerts() -> str:
    """Every alert with its page: what it means, what to do, whom to call."""
    return _table(("alert", "what it means", "what to do", "call"), iter(alert_rows()))


def contacts() -> str:
    """Whom to call."""
    rows = iter(contact_rows(read_contacts(shipped("params"))))
    return _table(("role", "name", "addresses", "hours"), rows)


def schedule() -> str:
    """The shipped schedule, a job a line."""
    known = read_schedule(shipped("params"), known=FUNCTIONS)
    head = ("job", "runs", "when", "sessions", "after", "missed sessions", "attempts")
    keys = ("job", "runs", "at", "sessions", "after", "catch_up", "attempts")
    found = (tuple(str(row[key] or "–") for key in keys) for row in rows(known))
    return _table(head, ((f"`{name}`", *rest) for name, *rest in found))


def endpoints() -> str:
    """Every address of the API, who may call it, and what it does."""
    from hybridnb.app.server.table import ENDPOINTS

    head = ("address", "takes", "what it answers or does", "without a token, on loopback")
    rows = (
        (
            f"`{e.method} {e.path}`",
            ", ".join(
                f"`{name}`" + ("" if each.is_required() else "?")
                for name, each in e.takes.model_fields.items()
            )
            or "–",
            e.what,
            ", ".join(f"`{name}`" for name in e.reduced) or "–",
        )
        for e in ENDPOINTS
    )
    return _table(head, rows)


TABLES: dict[str, Callable[[], str]] = {
    f.__name__: f
    for f in (
        *(exit_codes, commands, everyday, refusals, modes, policy, controls, postures, calls),
        *(alerts, contacts, schedule, endpoints),
    )
}


def main() -> None:
    """Rewrite the documents of the checkout."""
    root = checkout()
    if root is None:
        raise Missing("documents are compiled in a checkout only")
    for name in DOCUMENTS:
        path = Path(root, name)
        path.write_text(compiled(path.read_text(encoding="utf-8")), encoding="utf-8")
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
