"""Where escalation stands: the day's calls, cooldowns, and what replies make of the sessions.

Read from both chains and the parameters; the clock is given by who asks. Part of the read-model
of `status.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from hybridnb.app.settings import Settings
from hybridnb.escalation.breaker import ANSWERED, Breaker, breaker, finished
from hybridnb.escalation.calls import Call
from hybridnb.escalation.quota import BOOK, CHAIN, Ask, Denial, exchange_date, used
from hybridnb.escalation.triggers import Trigger
from hybridnb.ledger.store import Ledger
from hybridnb.policy import Policy

Row = Mapping[str, Any]
_LAST = ("call", "at", "outcome", "model", "escalation", "detail")


def exchange_zone(known: Settings) -> dt.tzinfo:
    """Time zone of the exchange by whose date the quota is counted."""
    from hybridnb.market import calendar

    return ZoneInfo(calendar.zone(known.day.calendar or "XTSE"))


def denial(
    ledger: Ledger, known: Settings, session: str, now: dt.datetime, *, spend: bool = False
) -> Denial | None:
    """Why the judge can't be asked by hand about a session now; None where it can.

    Parameters
    ----------
    spend : bool
        Of a session that is over too.
    """
    today = exchange_date(now, exchange_zone(known))
    about = dt.date.fromisoformat(session)
    if about < today and not spend:
        return Denial.DATED
    ended = finished(ledger.rows(CHAIN, kind=ANSWERED))
    if breaker(ended, now, params=known.escalation.breaker) is Breaker.OPEN:
        return Denial.BREAKER
    wanted = Ask("", Call.SANITY_JUDGE, about, manual=True)
    return used(ledger, today).denial(wanted, known.escalation.quota)


def read_escalation(ledger: Ledger, known: Settings, now: dt.datetime) -> dict[str, Any]:
    """The block that dashboard, API and command line show of escalation.

    Parameters
    ----------
    now : datetime
        The wall clock, with its time zone.
    """
    zone, quota = exchange_zone(known), known.escalation.quota
    today = exchange_date(now, zone)
    calls = used(ledger, today)
    attempts = ledger.rows(CHAIN, kind=ANSWERED)
    last = {row["book"]: row for row in ledger.rows("session", kind="session_closed")}
    return {
        "calls_today": calls.total,
        "daily_limit": quota.per_day,
        "remaining": max(0, quota.per_day - calls.total),
        "kept_for_judge": min(quota.judges, max(0, quota.per_day - calls.total)),
        "last_call": _last_call(ledger, attempts),
        "resets_at": _midnight(today, zone).isoformat(),
        "provider": known.escalation.frontier.reasoner or None,
        "local": known.escalation.local.reasoner or None,
        "breaker": str(breaker(finished(attempts), now, params=known.escalation.breaker)),
        "waiting": _waiting(ledger),
        "cooldowns": [c for row in last.values() for c in _cooldowns(row, known, now)],
        "in_force": [
            each for row in last.values() for each in _in_force(ledger, row, known.policy)
        ],
        "proposals": _proposals(ledger, last, known.policy),
        "post_mortem": _writer(ledger),
    }


def _midnight(today: dt.date, zone: dt.tzinfo) -> dt.datetime:
    return dt.datetime.combine(today + dt.timedelta(days=1), dt.time(), zone).astimezone(dt.UTC)


def _last_call(ledger: Ledger, attempts: Any) -> dict[str, Any] | None:
    """The last attempt on the wire; without an outcome while none is recorded."""
    reserved = ledger.rows(CHAIN, book=BOOK)
    if not reserved:
        return None
    row = reserved[-1]
    ends = [a for a in attempts if a["attempt"] == row["attempt"]]
    known = {name: end[name] for end in ends for name in _LAST if name in end}
    return {"call": row["call"], "at": row["at"], "outcome": None} | known


def _waiting(ledger: Ledger) -> int:
    """Escalations that nobody has answered yet."""
    replied = {row["escalation"] for row in ledger.rows(CHAIN, kind="reply")}
    asked = ledger.rows("session", kind="escalation"), ledger.rows(CHAIN, kind="escalation_asked")
    return sum(row["id"] not in replied for rows in asked for row in rows)


def _cooldowns(row: Row, known: Settings, now: dt.datetime) -> list[dict[str, Any]]:
    """Triggers of a book that fired so lately that they can't fire again yet."""
    fired = row["snapshot"].get("watch", {}).get("triggers", {}).get("fired", {})
    length = dt.timedelta(minutes=known.escalation.triggers.cooldown_minutes)
    ends = {t: dt.datetime.fromisoformat(at) + length for t, at in fired.items()}
    return [
        {"book": row["book"], "trigger": trigger, "until": until.isoformat()}
        for trigger, until in sorted(ends.items())
        if trigger != Trigger.KILL_SWITCH and now < until
    ]


def _in_force(ledger: Ledger, row: Row, policy: Policy) -> list[dict[str, Any]]:
    """What replies change at the book's next opening, each with the sessions it is left."""
    from hybridnb.app.replies import effects, standing_rows

    coming = row["snapshot"]["risk"]["ordinal"] + 1
    found = []
    for reply in standing_rows(ledger, row["book"], ordinal=coming):
        for change in effects(reply, policy).changes:
            what = {"book": row["book"], "reply": reply["id"], "by": reply["label"]}
            shown = {"key": change.key, "before": change.before, "after": change.after}
            left = {"sessions_left": reply["expires"] - coming, "reason": change.reason}
            found.append(what | shown | left)
    return found


def _proposals(ledger: Ledger, last: Mapping[str, Row], policy: Policy) -> list[dict[str, Any]]:
    from hybridnb.app.replies import proposals

    every = [each for book in last for each in proposals(ledger, book, policy=policy)]
    return [each for each in every if not each["approved"]]


def _writer(ledger: Ledger) -> dict[str, Any] | None:
    """Who wrote the last post-mortem, and of what session."""
    rows = ledger.rows(CHAIN, kind="post_mortem")
    return {name: rows[-1][name] for name in ("book", "session", "writer", "at")} if rows else None


def escalation_lines(block: Mapping[str, Any]) -> list[str]:
    """The block as lines for a terminal."""
    lines = [
        f"escalation: {block['calls_today']} of {block['daily_limit']} calls today,"
        f" {block['remaining']} left ({block['kept_for_judge']} kept for the judge),"
        f" anew at {block['resets_at'][:16]} UTC;"
        f" frontier {block['provider'] or 'nobody'}, breaker {block['breaker']}"
    ]
    if (call := block["last_call"]) is not None:
        outcome = call["outcome"] or "its end isn't recorded"
        lines.append(f"  last call {call['call']} at {call['at'][:16]}: {outcome}")
    if (text := block["post_mortem"]) is not None:
        lines.append(f"  last post-mortem: {text['session']}, by {text['writer']}")
    if block["waiting"]:
        lines.append(f"  {block['waiting']} escalations wait for an answer")
    lines += [
        f"  {c['book']}: {c['trigger']} cools down until {c['until'][:16]}"
        for c in block["cooldowns"]
    ]
    lines += [
        f"  {c['book']}: {c['key']} {c['before']} → {c['after']}, {c['sessions_left']} sessions"
        f" left ({c['by']}, reply {c['reply']})"
        for c in block["in_force"]
    ]
    lines += [
        f"  {p['book']}: proposal {p['id']}: {p['key']} {p['before']} → {p['after']}"
        for p in block["proposals"]
    ]
    return lines
