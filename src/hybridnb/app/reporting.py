"""`hybridnb report`: one page over the last sessions of every book."""

from __future__ import annotations

from html import escape
from typing import Any

import pandas as pd

from hybridnb.app import figures
from hybridnb.app.home import home, reports_folder
from hybridnb.app.html import page
from hybridnb.app.index import table
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.runner import write_atomically
from hybridnb.app.success import success, success_frame
from hybridnb.app.views import Rows, of_kind
from hybridnb.domain import SCALE
from hybridnb.errors import Refused
from hybridnb.ledger.store import Ledger


def report_days(days: int) -> dict[str, Any]:
    """Write the page; its name holds the ledger's head, so that a report is never rewritten.

    Raises
    ------
    Refused
        When no session was traded yet.
    """
    ledger = open_ledger()
    closed = ledger.rows("session", kind="session_closed")
    if not closed:
        raise Refused("no session was traded yet", remedy="Run `hybridnb day` first.")
    books = sorted({row["book"] for row in closed})
    last = max(row["session"] for row in closed)
    body = "".join(_book(ledger, book, days) for book in books) + _verdicts(ledger)
    name = f"last-{days}-to-{last}-{ledger.head('session')[:8]}"
    path = reports_folder(home()) / name / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page(f"The last {days} sessions to {last}", body))
    return {"report": str(path), "books": books, "sessions": min(days, len(closed))}


def _book(ledger: Ledger, book: str, days: int) -> str:
    closed = ledger.rows("session", kind="session_closed", book=book)[-days:]
    first = closed[0]["session"]
    rows: Rows = [r for r in ledger.rows("session", book=book) if r["session"] >= first]
    equity = pd.Series({pd.Timestamp(r["session"]): r["equity"] / SCALE for r in closed})
    sessions = pd.DataFrame(
        {
            "session": [r["session"] for r in closed],
            "equity": [r["equity"] / SCALE for r in closed],
            "day P&L %": [100 * r["day_pnl"] for r in closed],
            "drawdown %": [100 * r["drawdown"] for r in closed],
            "fills": [_count(rows, "fill", r["session"]) for r in closed],
            "closed trades": [_count(rows, "trade", r["session"]) for r in closed],
            "alerts": [_count(rows, "alert", r["session"]) for r in closed],
        }
    )
    alerts = pd.DataFrame(
        [(r["session"], r["text"]) for r in of_kind(rows, "alert")], columns=["session", "alert"]
    )
    return (
        f"<section><h2>{escape(book)}</h2>"
        f"<figure>{figures.equity_curve(equity, title=book).svg}</figure>"
        f"{table(sessions, empty='No session.')}"
        f"{table(alerts, empty='No alert.')}"
        "<h3>Success metrics and service levels, over the whole book</h3>"
        f"{table(success_frame(success(ledger, book)), empty='No session.')}</section>"
    )


def _count(rows: Rows, kind: str, session: str) -> int:
    return sum(row["session"] == session for row in of_kind(rows, kind))


def _verdicts(ledger: Ledger) -> str:
    found = ledger.rows("operations", kind="verdict")
    columns = ["session", "model_version", "status", "valid_until"]
    frame = pd.DataFrame([{c: r.get(c) for c in columns} for r in found], columns=columns)
    return f"<section><h2>Verdicts</h2>{table(frame, empty='No verdict yet.')}</section>"
