"""What periodic reports tell that isn't one book's: alerts, jobs, calls, records, contacts."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from hybridnb.app.alert_pages import page_of
from hybridnb.app.contacts import contact_rows, read_contacts, who
from hybridnb.app.home import shipped
from hybridnb.app.index import table
from hybridnb.app.period import Period
from hybridnb.app.placing import cards, section
from hybridnb.escalation.quota import RESERVED

UNKNOWN = "unknown"


def common_sections(period: Period) -> Iterator[str]:
    """What isn't one book's: alerts, verdicts, jobs, calls, records, contacts."""
    yield section("Alerts", alerts_table(period), source="alerts of both chains, `acknowledged`")
    yield section("Verdicts", _verdicts(period), source="`verdict` rows, operations chain")
    yield section("Jobs", _jobs(period), source="the schedule's table; `run` rows")
    yield section("Calls to reasoners", _calls(period), source=f"`{RESERVED}`, `asked_local` rows")
    yield section("Lineage and records", _lineage(period), source="ledger, `backup` rows")
    yield section("Whom to call", contacts_table(), source="params/contacts.yml")


def alerts_table(period: Period) -> str:
    """Every alert with its acknowledgement, what to do about it, and whom to call."""
    known = read_contacts(shipped("params"))
    rows = []
    for alert in period.alerts:
        seen, found = alert["acknowledged"], page_of(alert["text"])
        rows.append(
            {
                "at": alert["at"][:19].replace("T", " "),
                "book": alert["book"] or "–",
                "alert": alert["text"],
                "acknowledged": f"{seen['at'][:16]}: {seen['reason']}" if seen else "no",
                "what to do": found.act.replace("`", "") if found else "–",
                "call": who(known, found.call) if found else "–",
            }
        )
    return f"<div class='wrap'>{table(pd.DataFrame(rows), empty='No alert.')}</div>"


def _verdicts(period: Period) -> str:
    columns = ["session", "feed", "model_version", "status", "valid_until"]
    rows = [
        {c: row.get(c) for c in columns}
        | {
            "not passed": ", ".join(g["name"] for g in row["gates"] if g["status"] != "PASS")
            or "none"
        }
        for row in period.verdicts
    ]
    return table(pd.DataFrame(rows), empty="No gate was reviewed in this week.")


def _jobs(period: Period) -> str:
    slots = [
        {
            "job": slot.job,
            "session": slot.session,
            "status": slot.status,
            "attempts": slot.attempts,
            "seconds": slot.seconds,
            "why": slot.error[:160] or "–",
        }
        for slot in period.jobs
    ]
    runs = [
        {"notebook": row["job"], "at": row["at"][:16], "status": row["status"], "run": row["id"]}
        for row in period.operations("run")
    ]
    return (
        table(pd.DataFrame(slots), empty="Nothing was scheduled in this week.")
        + "<h3>Runs of notebooks, by the wall clock</h3>"
        + table(pd.DataFrame(runs), empty="No run in this week.")
    )


def _calls(period: Period) -> str:
    reserved, local = period.operations(RESERVED), period.operations("asked_local")
    replies = period.operations("reply")
    days = pd.Series([row["session"] for row in reserved], dtype=str).value_counts()
    most = int(days.max()) if len(days) else 0
    shown = [
        ("frontier, attempts", str(len(reserved))),
        ("most in a day (limit 3)", str(most)),
        ("local reasoner, attempts", str(len(local))),
        ("replies", str(len(replies))),
    ]
    rows = [
        {
            "session": row["session"],
            "call": row["call"],
            "by": row["label"],
            "taken": "yes" if row["taken"] else "no",
            "why": str(row["why"])[:160] or "–",
        }
        for row in replies
    ]
    return cards(shown) + table(pd.DataFrame(rows), empty="No reply.")


def _lineage(period: Period) -> str:
    ledger = period.ledger
    found = ledger.verify()
    backups = ledger.rows("operations", kind="backup")
    rows = [
        ("both chains", f"{found.rows:,} rows verify" if found.ok else str(found.first_broken)),
        ("head of the session chain", ledger.head("session")),
        ("head of the operations chain", ledger.head("operations")),
        ("newest backup", backups[-1]["at"][:19] if backups else "none"),
        ("its SHA-256", backups[-1]["sha256"] if backups else "–"),
    ]
    return table(pd.DataFrame(rows, columns=["record", "value"]), empty="")


def contacts_table() -> str:
    """Who is called."""
    rows = contact_rows(read_contacts(shipped("params")))
    columns = ["role", "name", "addresses", "hours"]
    return table(pd.DataFrame(rows, columns=columns), empty="")
