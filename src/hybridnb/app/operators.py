"""What operators ask for: recorded in the operations chain, applied once by each book.

A running live session applies an action when it next listens, any other book at its next
opening. Each application is an `operator` row of the session chain, before anything is decided.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.standing import STATES, Action, leaves_state
from hybridnb.canonical import sha256
from hybridnb.errors import UsageError
from hybridnb.ledger.store import Ledger

ACTIONS = (*STATES, "unlock", "enable", "brake-on", "brake-off")
_BODY = ("id", "action", "symbol", "lock", "reason", "at")


def act(action: str, *, reason: str, symbol: str = "", lock: str = "") -> dict[str, Any]:
    """Record what an operator asks for.

    Raises
    ------
    UsageError
        Without a reason.
    """
    if action not in ACTIONS:
        raise ValueError(f"no action {action!r}")
    if not reason.strip():
        raise UsageError("an operator's action needs a reason", remedy="Give --reason TEXT.")
    at = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
    body = {"action": action, "symbol": symbol, "lock": lock, "reason": reason.strip(), "at": at}
    row = {"kind": "operator", "id": sha256(body)[:16], **body}
    open_ledger().append("operations", [row])
    return row


def asked(ledger: Ledger) -> list[dict[str, Any]]:
    """Everything that was ever asked for, in order."""
    rows = ledger.rows("operations", kind="operator")
    return [{name: row[name] for name in _BODY} for row in rows]


def pending(ledger: Ledger, book: str) -> list[dict[str, Any]]:
    """What a book hasn't applied yet, in order."""
    applied = {row["id"] for row in ledger.rows("session", kind="operator", book=book)}
    return [action for action in asked(ledger) if action["id"] not in applied]


def at_opening(ledger: Ledger, book: str, session: str) -> list[dict[str, Any]]:
    """What a session opens with: the state that an operator left in force, then what is new.

    The same whenever it is asked for the same session: rows the session holds already come first.
    """
    rows = ledger.rows("session", kind="operator", book=book)
    mine = [{k: v for k, v in row.items() if k in (*_BODY, "standing")} for row in rows]
    now = [m for m, row in zip(mine, rows, strict=True) if row["session"] == session]
    if now or ledger.rows("session", kind="session_opened", book=book, session=session):
        return now
    before = [m for m, row in zip(mine, rows, strict=True) if row["session"] < session]
    left = [action for action in before if leaves_state(action)][-1:]
    kept = [a | {"standing": True} for a in left if a["action"] != "resume"]
    return [*kept, *pending(ledger, book)]


def listener(ledger: Ledger, book: str) -> Callable[[], Sequence[Action]]:
    """What a running session asks at each listening: actions that it hasn't been told yet."""
    told: set[str] = set()
    read = -1

    def actions() -> Sequence[Action]:
        nonlocal read
        before, read = read, ledger.count("operations")
        if read == before:
            return ()
        fresh = [action for action in pending(ledger, book) if action["id"] not in told]
        told.update(action["id"] for action in fresh)
        return fresh

    return actions
