"""Alerts of both chains as one list, and their acknowledgement.

The session chain's are timed by the session's clock, the operations chain's by the wall clock.
Acknowledging is a row of the operations chain; it changes nothing in what was alerted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import told, wall_time
from hybridnb.errors import UsageError
from hybridnb.ledger.store import Ledger

Alert = dict[str, Any]
_SHOWN = 5  # ids that a refusal names


def alerts(ledger: Ledger, book: str = "") -> list[Alert]:
    """Every alert, oldest first.

    Parameters
    ----------
    book : str
        Alerts of this book only; those of the operations chain belong to the book of the
        escalation that they are about.

    Returns
    -------
    list of dict
        id, text, at (ISO; the session's date where no clock timed it), session, book, chain,
        acknowledged: None, or reason and at.
    """
    done = acknowledged(ledger)
    found = [*_of_sessions(ledger), *_of_operations(ledger)]
    # Ids of equal times keep the order of their chain: sorting is stable.
    found.sort(key=lambda alert: alert["at"])
    return [a | {"acknowledged": done.get(a["id"])} for a in found if book in ("", a["book"])]


def _of_sessions(ledger: Ledger) -> list[Alert]:
    return [
        {
            "id": f"{row['book']}-{row['session']}-{row['n']}",
            "text": row["text"],
            "at": row.get("at") or row["session"],
            "session": row["session"],
            "book": row["book"],
            "chain": "session",
        }
        for row in ledger.rows("session", kind="alert")
    ]


def _of_operations(ledger: Ledger) -> list[Alert]:
    about = {
        row["id"]: {"book": row["book"], "session": row["session"]}
        for row in ledger.rows("session", kind="escalation")
    }
    about |= {  # by hand
        row["id"]: {"book": row["book"], "session": row["about"]}
        for row in ledger.rows("operations", kind="escalation_asked")
    }
    unknown = {"book": "", "session": ""}
    return [
        {name: row[name] for name in ("id", "text", "at")}
        | about.get(row["about"], unknown)
        | {"chain": "operations"}
        for row in ledger.rows("operations", kind="alert")
    ]


def acknowledged(ledger: Ledger) -> dict[str, dict[str, str]]:
    """The first acknowledgement of each alert: its reason and time."""
    found: dict[str, dict[str, str]] = {}
    for row in ledger.rows("operations", kind="acknowledged"):
        found.setdefault(row["alert"], {"reason": row["reason"], "at": row["at"]})
    return found


def acknowledge(alert: str, *, reason: str) -> dict[str, Any]:
    """Record that an operator has seen an alert; done before, it changes nothing.

    Returns
    -------
    dict
        The alert, with `changed`.

    Raises
    ------
    UsageError
        Without a reason, or when there is no such alert.
    """
    reason, ledger = told(reason), open_ledger()
    known = {each["id"]: each for each in alerts(ledger)}
    if alert not in known:
        waiting = [i for i, each in known.items() if each["acknowledged"] is None]
        named = ", ".join(waiting[-_SHOWN:]) or "none"
        raise UsageError(
            f"there is no alert {alert!r}",
            remedy=f"`hybridnb alerts` lists them; the newest unacknowledged: {named}.",
        )
    if known[alert]["acknowledged"] is not None:
        return known[alert] | {"changed": False}
    made = {"alert": alert, "reason": reason, "at": wall_time()}
    ledger.append("operations", [{"kind": "acknowledged", **made}])
    return known[alert] | {
        "acknowledged": {"reason": reason, "at": made["at"]},
        "changed": True,
    }


def acknowledged_text(done: Mapping[str, Any]) -> str:
    """What became of an acknowledgement, in a sentence."""
    seen = done["acknowledged"]
    if done["changed"]:
        return f"{done['id']} acknowledged: {done['text']}"
    return f"{done['id']} was acknowledged at {seen['at']} ({seen['reason']}): nothing was changed"


def alerts_text(found: list[Alert]) -> str:
    """A line an alert, newest first."""
    lines = []
    for alert in reversed(found):
        seen = alert["acknowledged"]
        mark = "" if seen is None else f" [acknowledged {seen['at'][:16]}: {seen['reason']}]"
        where = " ".join(filter(None, (alert["book"], alert["session"])))
        where = f" ({where})" if where else ""
        lines.append(f"{alert['id']}  {alert['at'][:19]}  {alert['text']}{where}{mark}")
    return "\n".join(lines) if lines else "no alert waits"
