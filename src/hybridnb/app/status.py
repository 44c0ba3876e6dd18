"""The one read-model: what dashboard, API and command line show of the present state."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

from hybridnb.app.alerts import alerts, alerts_text
from hybridnb.app.escalation_state import escalation_lines, read_escalation
from hybridnb.app.home import home, shipped
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import pending
from hybridnb.app.records import decision_rows
from hybridnb.app.settings import settings
from hybridnb.domain import SCALE, Mode
from hybridnb.limits import BUCKETS, limits

ALERTS = 10  # unacknowledged ones that are shown


def read_status() -> dict[str, Any]:
    """Mode, trading state, kill switch, quarantine and usage of limits of each book.

    With the newest unacknowledged alerts, and where escalation stands.
    """
    ledger, known = open_ledger(), settings(shipped("params"))
    policy = known.policy
    waiting = [alert for alert in alerts(ledger) if alert["acknowledged"] is None]
    last = {row["book"]: row for row in ledger.rows("session", kind="session_closed")}
    instruments = {
        (row["book"], row["symbol"]): row["bucket"]
        for row in decision_rows(
            [*ledger.rows("session", kind="decision"), *ledger.rows("session", kind="universe")]
        )
    }
    return {
        "home": str(home().root),
        "policy_id": policy.id,
        "asked_mode": str(policy.mode),
        "ledger": {
            "rows": {chain: ledger.count(chain) for chain in ("session", "operations")},
            "head": ledger.head("session"),
        },
        "operators": [
            {"book": book, **action} for book in sorted(last) for action in pending(ledger, book)
        ],
        "heartbeat": asdict(beats[-1]) if (beats := ledger.beats()) else None,
        "books": [_book(row, instruments, policy) for _, row in sorted(last.items())],
        "verdicts": [
            {k: row.get(k) for k in ("session", "model_version", "status", "valid_until")}
            for row in ledger.rows("operations", kind="verdict")[-3:]
        ],
        "alerts": {"unacknowledged": len(waiting), "newest": waiting[: -ALERTS - 1 : -1]},
        "escalation": read_escalation(ledger, known, dt.datetime.now(dt.UTC)),
    }


def _book(row: Any, instruments: Any, policy: Any) -> dict[str, Any]:
    risk, equity = row["snapshot"]["risk"], row["equity"]
    lim = limits(policy, Mode(risk["mode"]))
    used = {str(b.value): 0.0 for b in BUCKETS}
    for symbol, held in row["snapshot"]["book"]["positions"].items():
        bucket = instruments[row["book"], symbol]
        units = abs(held["quantity"]) * held["multiplier"]
        used[bucket] += units * row["prices"][symbol] / equity
    return {
        "book": row["book"],
        "session": row["session"],
        "mode": risk["mode"],
        "trading_state": risk["state"],
        "kill_switch": "latched" if risk["killed"] else "ready",
        "killed_since": risk["killed_since"],
        "quarantine_until": risk["quarantine_until"] or None,
        "quarantine_left": max(0, risk["quarantine_until"] - risk["ordinal"]),
        "equity": equity / SCALE,
        "day_pnl": row["day_pnl"],
        "drawdown": row["drawdown"],
        "positions": len(row["snapshot"]["book"]["positions"]),
        "usage": {
            name: {"used": used[name], "limit": lim.bucket[i]}
            for i, name in enumerate(str(b.value) for b in BUCKETS)
            if lim.bucket[i] > 0.0
        },
        "locks": [f"{lock['name']}: {lock['reason']}" for lock in risk["locks"]],
    }


def _quarantine(book: dict[str, Any]) -> str:
    left = book["quarantine_left"]
    return f", in quarantine for {left} more sessions" if left else ""


def status_text(status: dict[str, Any]) -> str:
    """The read-model as lines for a terminal."""
    lines = [
        f"home {status['home']}",
        f"policy {status['policy_id'][:16]}, asked mode {status['asked_mode']}",
        f"ledger {sum(status['ledger']['rows'].values()):,} rows, head {status['ledger']['head']}",
    ]
    for book in status["books"]:
        lines += [
            "",
            f"{book['book']} after {book['session']}: {book['mode']}, {book['trading_state']},"
            f" kill switch {book['kill_switch']}{_quarantine(book)}",
            f"  equity {book['equity']:,.2f}, day {book['day_pnl']:+.3%},"
            f" drawdown {book['drawdown']:.3%}, {book['positions']} positions",
            *(
                f"  {name}: {u['used']:.2%} of {u['limit']:.2%}"
                for name, u in book["usage"].items()
            ),
            *(f"  locked {lock}" for lock in book["locks"]),
        ]
    for action in status["operators"]:
        what = " ".join(filter(None, (action["action"], action["lock"], action["symbol"])))
        lines.append(f"asked of {action['book']}, not applied yet: {what} ({action['reason']})")
    if (beat := status["heartbeat"]) is not None:
        lines += [
            "",
            f"last run {beat['run']}: cell {beat['cell']} of {beat['cells']}, {beat['at']}",
        ]
    for verdict in status["verdicts"]:
        lines.append(f"verdict of {verdict['session']}: {verdict['status']}")
    if not status["books"]:
        lines.append("no session was traded yet")
    return "\n".join([*lines, "", *escalation_lines(status["escalation"]), *_alert_lines(status)])


def _alert_lines(status: dict[str, Any]) -> list[str]:
    waiting = status["alerts"]
    if not waiting["unacknowledged"]:
        return []
    head = f"{waiting['unacknowledged']} alerts to acknowledge (`hybridnb ack ID --reason TEXT`)"
    return ["", head, *(f"  {line}" for line in alerts_text(waiting["newest"][::-1]).split("\n"))]
