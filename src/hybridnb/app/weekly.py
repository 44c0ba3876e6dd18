"""The weekly report: what a week earned, kept and broke, each figure with its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from hybridnb.app import figures
from hybridnb.app.checklist import checklist
from hybridnb.app.home import home, shipped
from hybridnb.app.index import table
from hybridnb.app.learning_status import learning_status, trained_to
from hybridnb.app.period import Period
from hybridnb.app.period_sections import UNKNOWN, common_sections
from hybridnb.app.placing import Body, banner, cards, section
from hybridnb.app.session_gates import GATES, gated
from hybridnb.app.settings import settings
from hybridnb.app.success import success, success_frame
from hybridnb.domain import SCALE

MARKS = {True: "✓", False: "✗", None: "?"}
PICTURED = 60  # sessions of the equity curve


def weekly_body(period: Period) -> Body:
    """Markup and figures of the report over a period."""
    parts, facts = [], []
    for book in period.books:
        markup, found = _book(period, book)
        parts.append(markup)
        facts.append(found)
    body = "".join(
        [
            _headline(period, facts),
            *parts,
            *common_sections(period),
        ]
    )
    return body, {"first": period.span.first, "last": period.span.last, "books": facts}


def _headline(period: Period, facts: list[dict[str, Any]]) -> str:
    waiting = sum(alert["acknowledged"] is None for alert in period.alerts)
    failed = [slot for slot in period.jobs if slot.status == "failed"]
    kills = sum(found["kills"] for found in facts)
    told = []
    if not period.sessions:
        told.append("no session was closed in this week")
    if kills:
        told.append(f"the kill switch latched in {kills} sessions")
    if failed:
        told.append(f"{len(failed)} scheduled jobs failed")
    if waiting:
        told.append(f"{waiting} alerts wait for an acknowledgement")
    shown = [
        ("week", f"{period.span.first} to {period.span.last}"),
        ("sessions closed", str(len(period.sessions))),
        ("books", str(len(period.books))),
        ("alerts", str(len(period.alerts))),
        (
            "jobs failed",
            f"{len(failed)} of {len(period.jobs)}" if period.jobs else "none scheduled",
        ),
    ]
    words = "; ".join(told)
    return (banner(words[0].upper() + words[1:] + ".") if words else "") + cards(shown)


def _book(period: Period, book: str) -> tuple[str, dict[str, Any]]:
    ledger = period.ledger
    closed = period.session("session_closed", book)
    every = ledger.rows("session", kind="session_closed", book=book)
    upto = [row for row in every if row["session"] <= period.span.last][-PICTURED:]
    equity = pd.Series({pd.Timestamp(r["session"]): r["equity"] / SCALE for r in upto}, dtype=float)
    trades, fills = period.session("trade", book), period.session("fill", book)
    start = closed[0]["equity"] / (1.0 + closed[0]["day_pnl"])
    found = {
        "book": book,
        "sessions": len(closed),
        "equity": closed[-1]["equity"] / SCALE,
        "pnl": closed[-1]["equity"] / start - 1.0,
        "drawdown": max(row["drawdown"] for row in closed),
        "trades": len(trades),
        "won": sum(row["pnl"] > 0 for row in trades),
        "fills": len(fills),
        "kills": sum(row["snapshot"]["risk"]["killed"] for row in closed),
    }
    won = f"{found['won']} of {len(trades)}" if trades else UNKNOWN
    shown = [
        ("equity", f"{found['equity']:,.2f}"),
        ("week's P&L", f"{found['pnl']:+.3%}"),
        ("worst drawdown", f"{found['drawdown']:.3%}"),
        ("trades won", won),
        ("fills", str(len(fills))),
        ("mode", str(closed[-1]["snapshot"]["risk"]["mode"])),
    ]
    measured = success(ledger, book)
    parts = [
        cards(shown),
        f"<figure><figcaption>Equity, the last {len(upto)} sessions</figcaption>"
        f"{figures.equity_curve(equity, title=book).svg}</figure>",
        table(_sessions(period, book), empty="No session."),
        "<h3>Success metrics and service levels, over the whole book</h3>",
        table(success_frame(measured), empty="No session."),
        "<h3>Daily checklist</h3>",
        f"<div class='wrap'>{table(_checks(period, book), empty='No session.')}</div>",
        "<p class='quiet'>✓ holds, ✗ doesn't, ? can't be told from what is recorded</p>",
        "<h3>Risk gates by session</h3>",
        f"<div class='wrap'>{table(_risk(period, book), empty='No session.')}</div>",
        "<h3>Model card</h3>",
        table(_model_card(period, book), empty="No model."),
    ]
    source = "session chain: `session_closed`, `fill`, `trade`, `mark`, `facts` rows"
    return section(book, *parts, source=source), found | {
        "service": {f.name: {"value": f.value, "passed": f.passed, "n": f.n} for f in measured}
    }


def _sessions(period: Period, book: str) -> pd.DataFrame:
    def count(kind: str, session: str) -> int:
        return sum(row["session"] == session for row in period.session(kind, book))

    return pd.DataFrame(
        [
            {
                "session": row["session"],
                "equity": row["equity"] / SCALE,
                "day P&L %": 100 * row["day_pnl"],
                "drawdown %": 100 * row["drawdown"],
                "fills": count("fill", row["session"]),
                "closed trades": count("trade", row["session"]),
                "alerts": count("alert", row["session"]),
                "mode": row["snapshot"]["risk"]["mode"],
                "state": row["snapshot"]["risk"]["state"],
            }
            for row in period.session("session_closed", book)
        ]
    )


def _checks(period: Period, book: str) -> pd.DataFrame:
    """A line a check, a column a session."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for line in checklist(period, book):
        shown = rows.setdefault((line.when, line.what), {"when": line.when, "check": line.what})
        shown[line.session] = f"{MARKS[line.ok]} {line.told}"
    return pd.DataFrame(list(rows.values()))


def _risk(period: Period, book: str) -> pd.DataFrame:
    closed = period.ledger.rows("session", kind="session_closed", book=book)
    since = sum(row["session"] >= period.span.first for row in closed)
    found = [g for g in gated(period.ledger, book, last=since) if g.session in period.span]
    return pd.DataFrame(
        [
            {
                "session": g.session,
                **{name: f"{MARKS[g.gates[name].ok]} {g.gates[name].detail}" for name in GATES},
            }
            for g in found
        ]
    )


def _model_card(period: Period, book: str) -> pd.DataFrame:
    found = learning_status(period.ledger, settings(shipped("params")), book)
    verdict: Mapping[str, Any] = found["verdict"] or {}
    off = [each["name"] for each in found["features"] if not each["on"]]
    rows = [
        ("model", found["model_version"]),
        ("trained on sessions through", trained_to(home(), found["model_version"])),
        ("policy", found["policy_version"]),
        ("policy in force since", found["policy_at"]),
        ("weights", ", ".join(f"{k} {v:g}" for k, v in found["weights"].items())),
        ("features", f"{len(found['features'])}, of them off: {', '.join(off) or 'none'}"),
        ("accuracy of the last sessions", _share(found["accuracy"])),
        ("its baseline", _share(found["accuracy_baseline"])),
        ("hit rate, unseen sessions", _share(found["hit_rate"])),
        ("Sharpe ratio, unseen sessions", _number(found["sharpe"])),
        ("verdict", verdict.get("status")),
        ("verdict of session", verdict.get("session")),
    ]
    shown = [(name, UNKNOWN if value in (None, "") else str(value)) for name, value in rows]
    return pd.DataFrame(shown, columns=["of the last session in the ledger", "value"])


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"
