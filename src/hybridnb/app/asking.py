"""Answering what a session has escalated: frontier, then local reasoner, then rules; audited.

It runs when the session is over, or beside it in another process: nothing here reaches a session
that has begun. Each event gets one reply, whatever happens and however often this is run; it is in
force from the next session on, if the sandbox finds nothing against it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from hybridnb.app.briefing import (
    book_rows,
    fired_of,
    full_facts,
    left_out,
    question_of,
    request_of,
)
from hybridnb.app.context import Context
from hybridnb.app.events import MANUAL, Event, elapsed, pending
from hybridnb.app.frontier import (
    OFFLINE,
    UNAVAILABLE,
    Now,
    Tried,
    alerted,
    ask_frontier,
    ask_local,
    record_local,
    silent,
)
from hybridnb.app.progress import Say, to_people
from hybridnb.app.reasoners import open_reasoner
from hybridnb.app.replying import REPLY, standing_replies, stands
from hybridnb.app.sandbox import audit
from hybridnb.app.setting_up import Prepared
from hybridnb.app.watching import read_facts
from hybridnb.canonical import plain, sha256
from hybridnb.domain import Mode
from hybridnb.escalation.advisor import Task, advise, question
from hybridnb.escalation.applying import compose
from hybridnb.escalation.calls import Call, wire_values
from hybridnb.escalation.changes import SESSIONS
from hybridnb.escalation.quota import Ask
from hybridnb.escalation.rules import rule_reply
from hybridnb.escalation.triggers import CALLS
from hybridnb.ledger.store import Ledger
from hybridnb.market import calendar
from hybridnb.market.features import FEATURES


@dataclass(frozen=True)
class Asking:
    """Who asks for a book, as of a day.

    Attributes
    ----------
    ready : callable
        What the day's session needs: made when something is to be asked.
    now : callable
        The wall clock, with its time zone.
    spend : bool
        An operator spends quota on a session that is over.
    """

    context: Context
    ledger: Ledger
    book: str
    ready: Callable[[], Prepared]
    now: Now
    spend: bool = False


def asking_of(
    context: Context,
    book: str,
    *,
    ready: Callable[[], Prepared] | None = None,
    spend: bool = False,
) -> Asking:
    """Who asks for a book as of a day, by this machine's clock."""

    @cache  # a model is read once, however many events wait
    def prepared() -> Prepared:
        from hybridnb.app.lab import Lab

        return Lab(context, to_people).prepared

    def now() -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    return Asking(context, context.ledger(), book, ready or prepared, now, spend)


def answer_pending(asking: Asking, say: Say) -> list[dict[str, Any]]:
    """Answer every event that waits; the new `reply` rows.

    Raises
    ------
    Refused
        When another process is answering.
    """
    if not pending(asking.ledger, asking.book):
        return []
    with asking.context.home.locked("asking"):
        return [_answered(asking, event, say) for event in pending(asking.ledger, asking.book)]


def ask_now(asking: Asking, call: Call, *, reason: str, say: Say) -> dict[str, Any]:
    """An operator's escalation, answered at once: it counts, and never takes the judge's call.

    Returns
    -------
    dict
        The `reply` row.
    """
    trigger = next(t for t, c in CALLS.items() if c is call)
    at = asking.now().astimezone(dt.UTC).isoformat()
    fired = {"trigger": trigger, "call": call, "at": at, "conditions": (), "joined": ()}
    row = {
        "kind": MANUAL,
        "book": asking.book,
        "about": asking.context.session,
        "reason": reason,
        **fired,
    }
    row = plain(row | {"id": f"{asking.book}-asked-{sha256(row)[:16]}"})
    asking.ledger.append("operations", [row])
    event = Event(row["id"], fired_of(row), asking.context.session, manual=True)
    with asking.context.home.locked("asking"):
        return _answered(asking, event, say)


def _answered(asking: Asking, event: Event, say: Say) -> dict[str, Any]:
    """Ask down the chain, audit what comes back, and record it."""
    if since := elapsed(event, asking.context.sessions):
        return _lapsed(asking, event, since, say)
    ledger, params = asking.ledger, asking.context.settings.escalation
    ready = asking.ready()
    call = event.fired.call
    rows = book_rows(ledger, asking.book, event.session)
    facts = full_facts(_facts(asking, event), rows=rows, panel=ready.panel, context=asking.context)
    request = request_of(event.fired, facts, rows=rows, context=asking.context, at=asking.now())
    put = [
        question_of(call, request, max_tokens=each.max_tokens, timeout_s=each.timeout_s)
        for each in (params.frontier, params.local)
    ]
    zone = calendar.zone(asking.context.market.calendar)
    day = dt.date.fromisoformat(event.session)
    ask = Ask(event.id, call, day, manual=event.manual, ask_frontier=asking.spend)
    first = ask_frontier(ledger, params, ask, put[0], zone=zone, now=asking.now)
    tried, by = [first], "frontier"
    if first.reply is None:
        if not first.quiet:
            alerted(ledger, UNAVAILABLE, at=asking.now(), about=event.id)
        by = "local"
        tried.append(ask_local(ledger, params.local, call, put[1], about=event.id, now=asking.now))
    offline = _analysed(asking, event, plain(wire_values(request)), tried[-1])
    if offline:
        alerted(ledger, OFFLINE, at=asking.now(), about=event.id)
    last = tried[-1]
    if last.reply is None:
        by, last = "rules", _ruled(asking, event, last)
    row = _row(asking, event, by) | {
        "label": last.label,
        "why": "; ".join(each.why for each in tried if each.why),
        "reply": wire_values(last.reply) if last.reply is not None else None,
        "toggles_frozen": offline,
        "left_out": left_out(facts, rows, call),
    }
    return _kept(asking, row | _audited(asking, row, ready, say), say)


def _row(asking: Asking, event: Event, by: str) -> dict[str, Any]:
    return {
        "kind": REPLY,
        "id": sha256([event.id, by])[:16],
        "escalation": event.id,
        "book": asking.book,
        "session": event.session,
        "ordinal": _ordinal(asking),
        "call": event.fired.call,
        "by": by,
        "from_session": _ordinal(asking) + 1,
        "expires": _ordinal(asking) + 1 + SESSIONS,
        "taken": True,
    }


def _kept(asking: Asking, row: Mapping[str, Any], say: Say) -> dict[str, Any]:
    asking.ledger.append("operations", [plain(row)])
    word = "taken" if row["taken"] else f"not taken: {row['refused']}"
    say(f"{row['call'].label}, {row['session']}: answered by {row['label']}; {word}")
    return dict(plain(row))


def _lapsed(asking: Asking, event: Event, since: int, say: Say) -> dict[str, Any]:
    """Nobody is asked about what is long over: it would bind a market it never saw."""
    row = _row(asking, event, "nobody") | {"label": "nobody", "reply": None, "left_out": {}}
    why = f"its session is {since} sessions ago, and a reply holds for {SESSIONS}"
    row |= {"why": why, "toggles_frozen": False, "taken": False, "sandbox": None, "refused": why}
    return _kept(asking, row, say)


def _ordinal(asking: Asking) -> int:
    return int(asking.context.ordinals[-1])


def _facts(asking: Asking, event: Event) -> Any:
    """The facts of the event's session, at its close if it has one; else the last known."""
    rows = asking.ledger.rows("session", kind="facts", book=asking.book)
    known = [row for row in rows if row["session"] <= event.session]
    return read_facts(known[-1]["facts"] if known else {"session": event.session})


def _ruled(asking: Asking, event: Event, last: Tried) -> Tried:
    own = asking.context.own_training
    reply = rule_reply(event.fired.call, event.fired.conditions, own)
    return Tried(reply, "deterministic rules", last.why)


def _analysed(asking: Asking, event: Event, request: Mapping[str, Any], last: Tried) -> bool:
    """Have the local reasoner analyse the event, for people; whether it is offline."""
    params = asking.context.settings.escalation.local
    if last.offline or params.reasoner == "":
        return last.offline
    reasoner = open_reasoner(params)
    if reasoner is None:
        return False
    given = {"event": asdict(event.fired), "facts": request}
    try:
        advice = advise(reasoner, Task.ANALYSE_ESCALATION, plain(given))
    finally:
        reasoner.close()
    put = question(Task.ANALYSE_ESCALATION, plain(given))
    record_local(
        asking.ledger,
        advice.answer,
        put,
        name=reasoner.name,
        about=event.id,
        at=asking.now(),
    )
    if advice.reply is not None:
        row = {
            "kind": "analysis",
            "escalation": event.id,
            "book": asking.book,
            "session": event.session,
            "advice": advice.reply.model_dump(mode="json"),
        }
        asking.ledger.append("operations", [row])
    return silent(advice.answer)


def _audited(asking: Asking, row: Mapping[str, Any], ready: Prepared, say: Say) -> dict[str, Any]:
    """The sandbox's word on a reply, together with those that will be in force with it."""
    context, policy = asking.context, asking.context.settings.policy
    first = int(row["from_session"])
    known = [*standing_replies(asking.ledger, asking.book), stands(row)]
    made = compose(
        policy,
        known,
        session=first,
        features=frozenset(FEATURES),
        training=context.own_training,
    )
    if not made.bears:
        return {"sandbox": None, "refused": ""}
    say(f"sandbox: {context.settings.escalation.sandbox_sessions} sessions under the reply")
    found = audit(
        ready.panel,
        policy,
        made,
        mode=Mode.DEMO,
        hints=ready.hints,
        cache=context.home.kernels,
        sessions=context.settings.escalation.sandbox_sessions,
        to=context.session,
        params=context.settings.escalation.triggers,
    )
    refused = "; ".join(found.breaches)
    return {"sandbox": found.values(), "taken": found.ok, "refused": refused}
