"""`hybridnb shutdown` (B1): the orderly end. Entries are withdrawn, stops stay, all is packed.

Starting again is the one path that a crash takes too: every session reconciles first. The halt
holds until `hybridnb resume`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from hybridnb.app.backup import make_backup
from hybridnb.app.home import Home, home
from hybridnb.app.ledgers import open_ledger, verify_ledger
from hybridnb.app.operators import act, pending, told, wall_time
from hybridnb.app.progress import Say
from hybridnb.errors import Refused
from hybridnb.ledger.store import Ledger

KIND = "shutdown"  # of the row
WAIT = 30.0  # seconds that a running session has to apply it
_POLL = 0.25


def shut_down(
    *, reason: str, say: Say, wait: float = WAIT, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """Halt with a reason, withdraw entries, keep stops, verify the ledger, pack a backup.

    Parameters
    ----------
    wait : float
        Seconds that running sessions have to apply the halt.

    Returns
    -------
    dict
        action, books: what each holds and whether it applied the halt, rows, backup, at.

    Raises
    ------
    LedgerBroken
        When the ledger doesn't verify; the halt is in force all the same.
    UsageError
        Without a reason.
    """
    reason, where = told(reason), home()
    action = act("cancel-all", reason=reason)
    say(f"halt asked for as {action['id']}: entries are withdrawn, stops stay")
    running = _runs(where)
    ledger = open_ledger()
    if running:
        say(f"a session is running: up to {wait:g} s for it to apply the halt")
        _waited(ledger, str(action["id"]), wait, sleep)
    books = _books(ledger, str(action["id"]))
    found = verify_ledger()
    say(f"{found['rows']:,} rows verify")
    row = {"kind": KIND, "action": action["id"], "reason": reason, "at": wall_time()}
    ledger.append("operations", [row | {"books": books, "running": running}])
    backup = make_backup()
    say(f"backup {backup['file']}")
    return {
        "action": action["id"],
        "running": running,
        "books": books,
        "rows": found["rows"],
        "backup": {name: backup[name] for name in ("file", "sha256", "bytes")},
        "at": row["at"],
    }


def _runs(where: Home) -> bool:
    """Whether a session holds its lock."""
    try:
        with where.locked("session"):
            return False
    except Refused:
        return True


def _waited(ledger: Ledger, action: str, wait: float, sleep: Callable[[float], None]) -> None:
    end = time.monotonic() + wait
    while time.monotonic() < end:
        if any(row["id"] == action for row in ledger.rows("session", kind="operator")):
            return
        sleep(_POLL)


def _books(ledger: Ledger, action: str) -> list[dict[str, Any]]:
    """What each book holds when it stops; what isn't applied yet is at its next opening."""
    last = {row["book"]: row for row in ledger.rows("session", kind="session_closed")}
    found = []
    for book, row in sorted(last.items()):
        held = row["snapshot"]["book"]["positions"]
        found.append(
            {
                "book": book,
                "session": row["session"],
                "positions": len(held),
                "without_stop": sorted(s for s, p in held.items() if not p["stop"]),
                "applied": action not in {each["id"] for each in pending(ledger, book)},
            }
        )
    return found


def shutdown_text(done: Mapping[str, Any]) -> str:
    """What was done, and how to start again."""
    lines = [f"halted by {done['action']}; {done['rows']:,} rows verify"]
    for book in done["books"]:
        state = "applied" if book["applied"] else "applied at its next opening"
        bare = f", without a stop: {', '.join(book['without_stop'])}" * bool(book["without_stop"])
        lines.append(f"{book['book']}: {book['positions']} positions{bare}; the halt is {state}")
    lines += [
        f"backup {done['backup']['file']}",
        "stop the server and the scheduler now; protective orders rest at the broker",
        "start again: `hybridnb doctor`, then the server; `hybridnb resume --reason TEXT` trades",
    ]
    return "\n".join(lines)
