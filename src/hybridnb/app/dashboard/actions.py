"""What the dashboard does: the same functions as the commands, with a reason, or not at all.

Asking a reasoner loads the day's whole context, so it runs as the command itself, in a process of
its own: the page stays light and live meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys

from hybridnb.app.dashboard.entry import READ_ONLY, read_only
from hybridnb.errors import HybridnbError, Refused

MINUTES = 15  # that a reasoner may take, local ones included


class CommandFailed(HybridnbError):
    """A command that ended in an error of its own words."""


def _may_act() -> None:
    if read_only():
        raise Refused(
            "this is the viewers' dashboard: it does nothing",
            remedy=f"Open the dashboard of `hybridnb serve`, without {READ_ONLY}.",
        )


def force_demo(*, reason: str, book: str = "", which: str = "") -> str:
    """DEMO from the next opening on."""
    from hybridnb.app.book_state import granted
    from hybridnb.app.modes import force_demo

    _may_act()
    return granted(force_demo(reason=reason, book=book))[1]


def brake(*, reason: str, book: str = "", which: str = "on") -> str:
    """The emergency brake on or off."""
    return _asked(f"brake-{which}", reason=reason)


def entries(*, reason: str, book: str = "", which: str = "halt") -> str:
    """Halt, reduce or resume."""
    return _asked(which, reason=reason)


def cancel_all(*, reason: str, book: str = "", which: str = "") -> str:
    """Withdraw all working orders, or one symbol's."""
    return _asked("cancel-all", reason=reason, symbol=which)


def _asked(action: str, *, reason: str, symbol: str = "") -> str:
    from hybridnb.app.operators import act

    _may_act()
    done = act(action, reason=reason, symbol=symbol)
    return f"{action} recorded as {done['id']}: applied at the next listening or opening"


def acknowledge(*, reason: str, book: str = "", which: str) -> str:
    """Record that an alert was seen."""
    from hybridnb.app.alerts import acknowledge, acknowledged_text

    _may_act()
    return acknowledged_text(acknowledge(which, reason=reason))


def approve(*, reason: str, book: str = "", which: str) -> str:
    """Approve a proposal."""
    from hybridnb.app.replies import approve

    _may_act()
    return str(approve(which, reason=reason)["text"])


def withdraw_reply(*, reason: str, book: str = "", which: str) -> str:
    """Take a reply out, from the next opening on."""
    from hybridnb.app.replies import withdraw_reply

    _may_act()
    return str(withdraw_reply(which, reason=reason)["text"])


def clear_quarantine(*, reason: str, book: str = "", which: str = "") -> str:
    """End a quarantine, with the judge's word where one is needed."""
    done = _command("clear-quarantine", f"--book={book}", f"--reason={reason}")
    return str(done["text"])


def escalate(*, reason: str, book: str = "", which: str) -> str:
    """Ask a reasoner about the book's last session."""
    done = _command("escalate", which, f"--book={book}", f"--reason={reason}")
    taken = "taken" if done["taken"] else f"not taken: {done['refused']}"
    return f"reply {done['id']} by {done['label']}: {taken}"


def _command(*words: str) -> dict[str, object]:
    """A command's own JSON.

    Raises
    ------
    CommandFailed
        With the command's sentence and remedy.
    """
    _may_act()
    line = [sys.executable, "-m", "hybridnb.app.cli", *words, "--json"]
    try:
        ended = subprocess.run(
            line,
            check=False,
            capture_output=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=60 * MINUTES,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(
            f"`hybridnb {words[0]}` did not end within {MINUTES} minutes and was stopped",
            remedy="Look at `hybridnb replies` before asking again.",
        ) from None
    try:
        done: dict[str, object] = json.loads(ended.stdout)
    except ValueError:
        said = ended.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise CommandFailed(
            f"`hybridnb {words[0]}` ended with exit code {ended.returncode}: {said[0]}",
            remedy="Run it in a terminal to see all of it.",
        ) from None
    if ended.returncode:
        raise CommandFailed(str(done.get("message", "")), remedy=str(done.get("remedy", "")))
    return done
