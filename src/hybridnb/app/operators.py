"""What operators ask for: recorded in the operations chain, applied once by each book.

A running live session applies an action when it next listens, any other book at its next
opening; what bears on the mode or a quarantine waits for an opening. Each application is an
`operator` row of the session chain, before anything is decided.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.standing import AT_OPENINGS, STATES, Action, leaves_state
from hybridnb.canonical import sha256
from hybridnb.errors import UsageError
from hybridnb.ledger.store import Ledger

ACTIONS = (*STATES, "unlock", "enable", "brake-on", "brake-off", *AT_OPENINGS)
_BODY = ("id", "action", "symbol", "lock", "reason", "at")
# Of an action on the mode or a quarantine: its book, what it asks for, what its operator knew
# (the book's last session and kill), and the judge's reply that it rests on.
_MORE = ("about", "mode", "ordinal", "kill", "until", "quarantine", "reply")


def told(reason: str) -> str:
    """An operator's reason, without blanks around it.

    Raises
    ------
    UsageError
        When there is nothing in it.
    """
    if not reason.strip():
        raise UsageError("an operator's action needs a reason", remedy="Give --reason TEXT.")
    return reason.strip()


def wall_time() -> str:
    """Now, in UTC: when something was done that the operations chain tells of."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")


def act(
    action: str, *, reason: str, symbol: str = "", lock: str = "", **more: str | int
) -> dict[str, Any]:
    """Record what an operator asks for.

    Parameters
    ----------
    **more : str or int
        Of actions on the mode or a quarantine; with `about` only that book applies it.

    Raises
    ------
    UsageError
        Without a reason.
    """
    if action not in ACTIONS or not more.keys() <= set(_MORE):
        raise ValueError(f"no action {action!r} with {sorted(more)}")
    body = {"action": action, "symbol": symbol, "lock": lock, "reason": told(reason)}
    body["at"] = wall_time()
    row: dict[str, Any] = {"kind": "operator", "id": sha256(body | more)[:16], **body, **more}
    open_ledger().append("operations", [row])
    return row


def asked(ledger: Ledger) -> list[dict[str, Any]]:
    """Everything that was ever asked for, in order."""
    rows = ledger.rows("operations", kind="operator")
    return [_bare(row) for row in rows]


def _bare(row: Action) -> dict[str, Any]:
    return {name: row[name] for name in (*_BODY, *_MORE, "standing") if name in row}


def pending(ledger: Ledger, book: str) -> list[dict[str, Any]]:
    """What a book hasn't applied yet, in order.

    What rests on a reply that was withdrawn meanwhile isn't applied any more.
    """
    applied = {row["id"] for row in ledger.rows("session", kind="operator", book=book)}
    withdrawn = {row["reply"] for row in ledger.rows("operations", kind="reply_withdrawn")}
    return [
        action
        for action in asked(ledger)
        if action["id"] not in applied
        and action.get("about", book) == book
        and action.get("reply") not in withdrawn
    ]


def at_opening(ledger: Ledger, book: str, session: str) -> list[dict[str, Any]]:
    """What a session opens with: the state that an operator left in force, then what is new.

    The same whenever it is asked for the same session: rows the session holds already come first.
    """
    rows = ledger.rows("session", kind="operator", book=book)
    mine = [_bare(row) for row in rows]
    now = [m for m, row in zip(mine, rows, strict=True) if row["session"] == session]
    if now or ledger.rows("session", kind="session_opened", book=book, session=session):
        return now
    before = [m for m, row in zip(mine, rows, strict=True) if row["session"] < session]
    left = [action for action in before if leaves_state(action)][-1:]
    kept = [a | {"standing": True} for a in left if a["action"] != "resume"]
    return [*kept, *pending(ledger, book)]


def listener(ledger: Ledger, book: str) -> Callable[[], Sequence[Action]]:
    """What a running session asks at each listening: actions that it hasn't been told yet.

    Those on the mode or a quarantine wait for its next opening.
    """
    known: set[str] = set()
    read = -1

    def actions() -> Sequence[Action]:
        nonlocal read
        before, read = read, ledger.count("operations")
        if read == before:
            return ()
        waiting = [a for a in pending(ledger, book) if a["action"] not in AT_OPENINGS]
        fresh = [action for action in waiting if action["id"] not in known]
        known.update(action["id"] for action in fresh)
        return fresh

    return actions
