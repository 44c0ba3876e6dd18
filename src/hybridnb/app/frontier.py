"""One attempt at a reasoner, with its quota, its breaker and its record in the operations chain."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from hybridnb.app.escalation_params import EscalationParams, ReasonerParams
from hybridnb.app.reasoners import open_reasoner
from hybridnb.canonical import plain, sha256
from hybridnb.domain import Outcome
from hybridnb.errors import Missing
from hybridnb.escalation.breaker import ANSWERED, answered_row, breaker, finished
from hybridnb.escalation.calls import Call, Reply, WrongShape, read_reply
from hybridnb.escalation.quota import Ask, Denial, reserve
from hybridnb.ledger.store import Ledger
from hybridnb.ports import Answer, Question, Reasoner

Now = Callable[[], dt.datetime]
ASKED_LOCAL = "asked_local"
UNAVAILABLE = "GPT-5 unavailable—using local reasoner"
OFFLINE = "Local reasoner offline—using RL-only mode"
_SILENT = frozenset({Outcome.UNREACHABLE, Outcome.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Tried:
    """What one link of the chain came to.

    Attributes
    ----------
    reply : Reply or None
    label : str
        Who answered, for people.
    why : str
        Why there is no reply.
    quiet : bool
        Nothing failed: it wasn't to be asked.
    offline : bool
        It could not be reached.
    """

    reply: Reply | None = None
    label: str = ""
    why: str = ""
    quiet: bool = False
    offline: bool = False


def alerted(ledger: Ledger, text: str, *, at: dt.datetime, about: str = "") -> None:
    """Record an alert of the operations chain."""
    when = at.astimezone(dt.UTC).isoformat()
    row = {"kind": "alert", "text": text, "at": when, "about": about}
    ledger.append("operations", [row | {"id": sha256(row)[:16]}])


def ask_frontier(
    ledger: Ledger, params: EscalationParams, ask: Ask, question: Question, *, zone: str, now: Now
) -> Tried:
    """Ask the frontier once, if quota, breaker and date allow it.

    The attempt is in the ledger before a socket opens, and what became of it after. Whatever the
    server does is a value; only a ledger that can't be written raises.
    """
    try:
        reasoner = open_reasoner(params.frontier)
    except Missing as error:
        return Tried(why=str(error))
    if reasoner is None:
        return Tried(why="no frontier is configured", quiet=True)
    ended = finished(ledger.rows("operations", kind=ANSWERED))
    moment = now()
    granted = reserve(
        ledger,
        ask,
        moment,
        zone=ZoneInfo(zone),
        params=params.quota,
        breaker=breaker(ended, moment, params=params.breaker),
    )
    if isinstance(granted, Denial):
        return Tried(why=granted.value, quiet=granted is Denial.DATED)
    alerted(ledger, granted.alert, at=moment, about=ask.attempt)
    if not granted.holds(now()):
        return Tried(why="the reservation ran out before it could be sent")
    answer, reply = _asked(reasoner, ask.call, question)
    record = {
        **_record(answer, question, reasoner.name),
        "escalation": ask.attempt,
        "used_before": granted.number - 1,
        "used_after": granted.number,
    }
    ledger.append(
        "operations", [answered_row(ask.attempt, answer.outcome, at=now(), record=record)]
    )
    return _tried(reply, answer, f"frontier: {answer.model}")


def ask_local(
    ledger: Ledger, params: ReasonerParams, call: Call, question: Question, *, about: str, now: Now
) -> Tried:
    """Ask the local reasoner the same question; it has no quota."""
    reasoner = open_reasoner(params)
    if reasoner is None:
        return Tried(why="no local reasoner is configured", quiet=True)
    answer, reply = _asked(reasoner, call, question)
    record_local(ledger, answer, question, name=reasoner.name, about=about, at=now())
    return _tried(reply, answer, f"local reasoner: {answer.model}")


def record_local(
    ledger: Ledger, answer: Answer, question: Question, *, name: str, about: str, at: dt.datetime
) -> None:
    """Record an attempt of the local reasoner."""
    row = {
        "kind": ASKED_LOCAL,
        "escalation": about,
        "task": question.task,
        "outcome": answer.outcome,
        "at": at.astimezone(dt.UTC).isoformat(),
        **_record(answer, question, name),
    }
    ledger.append("operations", [plain(row)])


def silent(answer: Answer) -> bool:
    """Whether nobody answered at all."""
    return answer.outcome in _SILENT


def _asked(reasoner: Reasoner, call: Call, question: Question) -> tuple[Answer, Reply | None]:
    """The answer, its outcome after its shape was checked, and the reply if it is one."""
    try:
        answer = reasoner.ask(question)
    finally:
        reasoner.close()
    if answer.outcome is not Outcome.OK or answer.reply is None:
        return answer, None
    try:
        return answer, read_reply(call, answer.reply)
    except WrongShape as error:
        return replace(answer, outcome=Outcome.WRONG_SHAPE, detail=str(error)), None


def _tried(reply: Reply | None, answer: Answer, label: str) -> Tried:
    if reply is not None:
        return Tried(reply, label)
    why = f"{label}: {answer.outcome}" + (f" ({answer.detail})" if answer.detail else "")
    return Tried(why=why, offline=silent(answer))


def _record(answer: Answer, question: Question, name: str) -> Mapping[str, Any]:
    """What is kept of an attempt; never a secret."""
    return {
        "by": name,
        "model": answer.model,
        "digest": answer.digest,
        "request": answer.request.decode("utf-8", "replace"),
        "response": answer.response.decode("utf-8", "replace"),
        "status": answer.status,
        "usage": dict(answer.usage),
        "seconds": answer.seconds,
        "detail": answer.detail,
        "prompt_sha256": sha256(question.instructions),
        "schema_sha256": sha256(question.schema),
    }
