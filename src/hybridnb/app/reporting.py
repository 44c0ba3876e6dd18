"""`hybridnb report`: pages over the last sessions, a week, or a year."""

from __future__ import annotations

from html import escape
from typing import Any

import pandas as pd

from hybridnb.app import figures
from hybridnb.app.assessment import assessment_body
from hybridnb.app.home import home, reports_folder
from hybridnb.app.html import page
from hybridnb.app.index import table
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.period import Period, last_session, week_to, year_to
from hybridnb.app.placing import placed
from hybridnb.app.reports_index import write_reports_index
from hybridnb.app.runner import write_atomically
from hybridnb.app.success import success, success_frame
from hybridnb.app.views import Rows, of_kind
from hybridnb.app.weekly import weekly_body
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
    nav = [("All reports", "../index.html")]
    write_atomically(path, page(f"The last {days} sessions to {last}", body, nav=nav))
    write_reports_index(path.parents[1])
    return {"report": str(path), "books": books, "sessions": min(days, len(closed))}


def weekly_report(session: str | None = None) -> dict[str, Any]:
    """The report over the week to a session, made once.

    Parameters
    ----------
    session : str or None
        ISO date; the last session closed by default.

    Returns
    -------
    dict
        report (its page), session, job, reused, index.

    Raises
    ------
    UsageError, Refused
        For what is no date, or when no session was closed yet.
    """
    ledger = open_ledger()
    last = last_session(ledger, session)
    period = Period(ledger, week_to(last))
    return placed(
        "weekly_report",
        last,
        f"The week to {last}",
        lambda: weekly_body(period),
        links=period.sessions,
    )


def self_assessment(session: str | None = None) -> dict[str, Any]:
    """The self-assessment over the year to a session, made once; as `weekly_report`."""
    ledger = open_ledger()
    last = last_session(ledger, session)
    period = Period(ledger, year_to(last))
    title = f"Self-assessment, the year to {last}"
    return placed("self_assessment", last, title, lambda: assessment_body(period))


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
