"""The yearly self-assessment (T3): every control with its test and its evidence, what changed and
who approved it, incidents and how fast they were seen, stress tests, availability.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from hybridnb.app import loadtest
from hybridnb.app.assessment_controls import evidence
from hybridnb.app.changes import Change, changes
from hybridnb.app.control_tests import list_controls
from hybridnb.app.crises import REPLAYED
from hybridnb.app.index import table
from hybridnb.app.period import Period
from hybridnb.app.period_sections import UNKNOWN, contacts_table
from hybridnb.app.placing import Body, banner, cards, section
from hybridnb.app.success import success, success_frame
from hybridnb.gates.rules import SCENARIOS

MONTH = 7  # characters of an ISO month
SHOWN = 200  # changes on the page; all of them are in its record
_UNTESTED = "not tested here"


def assessment_body(period: Period) -> Body:
    """Markup and figures of the self-assessment over a period."""
    controls = list_controls(period.ledger)
    found = evidence(period)
    mine = [c for c in changes(period.ledger) if c.session in period.span]
    acked = _acknowledgement(period)
    facts = {
        "first": period.span.first,
        "last": period.span.last,
        "controls": {
            c["id"]: {"result": c["result"], "evidence": found[c["id"]]} for c in controls
        },
        "changes": [
            {name: getattr(c, name) for name in ("id", "session", "what", "approved")} for c in mine
        ],
        "alerts": acked,
        "availability": _availability(period),
    }
    parts = [
        _headline(period, controls, mine, acked),
        section(
            "Controls",
            _controls(controls, found),
            source="the controls' own list; `controls_tested` rows; evidence from both chains",
        ),
        section(
            "Material changes",
            _changes(mine),
            source="`policy` and `inputs` rows of neighbouring sessions; `change_approved` rows",
        ),
        section(
            "Incidents", _incidents(period), source="`session_closed`, `halted`, `operator` rows"
        ),
        section(
            "Alerts and how fast they were acknowledged",
            _alerts(period, acked),
            source="alerts of both chains, `acknowledged` rows",
        ),
        section(
            "Stress tests",
            _stress(period),
            source=f"`verdict`, `{REPLAYED}`, `{loadtest.TESTED}` rows",
        ),
        section(
            "Availability",
            table(pd.DataFrame(facts["availability"]), empty="No session was closed."),
            source="sessions opened and decided, of those the exchange held",
        ),
        *_books(period),
        section("Whom to call", contacts_table(), source="params/contacts.yml"),
    ]
    return "".join(parts), facts


def _headline(
    period: Period,
    controls: list[dict[str, Any]],
    mine: list[Change],
    acked: Mapping[str, Any],
) -> str:
    passed = sum(c["result"] == "passed" for c in controls)
    failed = [c["id"] for c in controls if c["result"] not in (None, "passed")]
    untested = sum(c["result"] is None for c in controls)
    open_ones = sum(not c.approved for c in mine)
    told = []
    if failed:
        told.append(f"the tests of {', '.join(failed)} failed")
    if untested:
        told.append(f"{untested} controls were not tested (`hybridnb controls --test`)")
    if open_ones:
        told.append(f"{open_ones} material changes are not approved (`hybridnb changes`)")
    if acked["waiting"]:
        told.append(f"{acked['waiting']} alerts wait for an acknowledgement")
    shown = [
        ("year", f"{period.span.first} to {period.span.last}"),
        ("controls tested and held", f"{passed} of {len(controls)}"),
        ("sessions closed", str(len(period.sessions))),
        ("material changes", str(len(mine))),
        ("alerts", str(acked["alerts"])),
    ]
    words = "; ".join(told)
    return (banner(words[0].upper() + words[1:] + ".") if words else "") + cards(shown)


def _controls(controls: list[dict[str, Any]], found: Mapping[str, str]) -> str:
    rows = [
        {
            "id": c["id"],
            "control": c["what"],
            "result": c["result"] or _UNTESTED,
            "tested": (c["tested"] or "–")[:10],
            "evidence in the period": found[c["id"]],
            "test": c["test"].replace("::", " :: "),
        }
        for c in controls
    ]
    return f"<div class='wrap'>{table(pd.DataFrame(rows), empty='')}</div>"


def _changes(mine: list[Change]) -> str:
    rows = [
        {
            "session": c.session,
            "book": c.book,
            "what": c.what,
            "before": c.before,
            "after": c.after,
            "approved by, and why": c.approved or "NOT APPROVED",
        }
        for c in mine[-SHOWN:]
    ]
    cut = f"<p>{len(mine) - SHOWN} earlier ones are in report.json.</p>" * (len(mine) > SHOWN)
    return cut + table(pd.DataFrame(rows), empty="Nothing material changed.")


def _incidents(period: Period) -> str:
    rows = [
        {"session": r["session"], "book": r["book"], "incident": "kill switch", "told": _kill(r)}
        for r in period.closed
        if r["snapshot"]["risk"]["killed"]
    ]
    rows += [
        {
            "session": r["session"],
            "book": r["book"],
            "incident": "halted",
            "told": str(r.get("cause", UNKNOWN)),
        }
        for r in period.session("halted")
    ]
    rows += [
        {
            "session": r["session"],
            "book": r["book"],
            "incident": f"{r['symbol']} disabled",
            "told": r["reason"],
        }
        for r in period.session("disabled")
    ]
    rows += [
        {
            "session": r["at"][:10],
            "book": r.get("about") or "all",
            "incident": f"operator: {r['action']}",
            "told": r["reason"],
        }
        for r in period.operations("operator")
        if r["action"] in ("halt", "cancel-all", "reduce", "brake-on", "demo")
    ]
    rows.sort(key=lambda row: str(row["session"]))
    return table(pd.DataFrame(rows), empty="No incident is recorded.")


def _kill(row: Mapping[str, Any]) -> str:
    held = len(row["snapshot"]["book"]["positions"])
    since = row["snapshot"]["risk"]["killed_since"] or UNKNOWN
    return f"day {row['day_pnl']:+.2%}, since {since}, {held} positions at the close"


def _acknowledgement(period: Period) -> dict[str, Any]:
    """How many alerts, and the hours until they were acknowledged where both times are known."""
    hours = []
    for alert in period.alerts:
        seen = alert["acknowledged"]
        if seen is not None and "T" in alert["at"]:
            hours.append((_time(seen["at"]) - _time(alert["at"])).total_seconds() / 3600)
    known = pd.Series(hours, dtype=float)
    return {
        "alerts": len(period.alerts),
        "waiting": sum(a["acknowledged"] is None for a in period.alerts),
        "timed": len(hours),
        "median_hours": float(known.median()) if len(known) else None,
        "longest_hours": float(known.max()) if len(known) else None,
    }


def _time(text: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _alerts(period: Period, acked: Mapping[str, Any]) -> str:
    def hours(value: float | None) -> str:
        return UNKNOWN if value is None else f"{value:,.1f} h"

    shown = [
        ("alerts", str(acked["alerts"])),
        ("not acknowledged", str(acked["waiting"])),
        ("median time to it", hours(acked["median_hours"])),
        ("longest", hours(acked["longest_hours"])),
    ]
    counts = Counter(alert["text"].partition(";")[0][:80] for alert in period.alerts)
    rows = [{"alert": text, "times": str(n)} for text, n in counts.most_common(30)]
    return cards(shown) + table(pd.DataFrame(rows), empty="No alert.")


def _stress(period: Period) -> str:
    rows: list[dict[str, str]] = []
    for verdict in period.verdicts:
        every = [f for gate in verdict["gates"] for f in gate["figures"]]
        mine = [f for f in every if f["name"].partition(",")[0] in SCENARIOS]
        if mine:
            passed = sum(f["passed"] is True for f in mine)
            told = f"{passed} of {len(mine)} scenarios held, {verdict['model_version'][:16]}"
            rows.append({"at": verdict["session"], "test": "eight scenarios", "result": told})
    for row in period.operations(REPLAYED):
        told = f"{row['first']} to {row['last']}: {row['kills']} kills, {row['events']} escalations"
        rows.append({"at": str(row.get("at", "–"))[:10], "test": "crisis replayed", "result": told})
    for row in period.operations(loadtest.TESTED):
        held = sum(row["checks"].values())
        told = f"{row['messages']} messages, {held} of {len(row['checks'])} checks held"
        rows.append({"at": row["at"][:10], "test": "twice the busiest load", "result": told})
    return table(pd.DataFrame(rows), empty="No stress test was run in the period.")


def _availability(period: Period) -> list[dict[str, Any]]:
    """Sessions decided of those the exchange held between the first and last, by book and month."""
    rows = []
    for book in period.books:
        closed = period.session("session_closed", book)
        decided = {
            row["session"] for row in period.session("session_opened", book) if row["decided"]
        }
        months: dict[str, list[int]] = {}
        before: int | None = None
        for row in closed:
            ordinal = row["snapshot"]["risk"]["ordinal"]
            held = 1 if before is None else ordinal - before
            count = months.setdefault(row["session"][:MONTH], [0, 0])
            count[0] += row["session"] in decided
            count[1] += held
            before = ordinal
        rows += [
            {
                "book": book,
                "month": month,
                "sessions held": str(held),
                "decided": str(done),
                "availability": f"{done / held:.2%}",
            }
            for month, (done, held) in months.items()
        ]
    return rows


def _books(period: Period) -> list[str]:
    return [
        section(
            f"Success metrics and service levels: {book}",
            table(success_frame(success(period.ledger, book)), empty="No session."),
            source="each figure's last column; over the whole book",
        )
        for book in period.books
    ]
