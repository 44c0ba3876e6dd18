"""A session's escalations as its post-mortem tells them: who was asked, who answered, what differs.

Everything comes from recorded rows: it costs no call, and is the same each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybridnb.app.reply_words import began, sandboxed, valued, view
from hybridnb.app.replying import stands
from hybridnb.app.views import Rows, of_kind
from hybridnb.escalation.applying import compose
from hybridnb.escalation.calls import Call
from hybridnb.escalation.changes import Change, Training
from hybridnb.escalation.facts import Fact, FactTable, Sense, Unit, exact
from hybridnb.escalation.grounding import ground
from hybridnb.escalation.prose import sanitised
from hybridnb.market.features import FEATURES
from hybridnb.policy import Policy, validated

Row = Mapping[str, Any]
MANUAL = "escalation_asked"  # an operator's own, of the operations chain
KINDS = (MANUAL, "reply", "analysis", "frontier_answered", "asked_local", "alert")
_ATTEMPTS = ("frontier_answered", "asked_local")
_SHARES = ("max_drawdown_5d", "gross_drawdown_5d", "ensemble_accuracy", "accuracy_baseline")
_PLAIN = (
    *("volatility_zscore", "correlation_breakdown", "correlation_floor", "sharpe_ratio"),
    *("put_call_ratio", "news_sentiment"),
)
_NAMES = {"max_drawdown_5d": "5-day drawdown"}
_NAMES |= {"gross_drawdown_5d": "5-day drawdown of gross exposure"}
_NAMES |= {"volatility_zscore": "volatility z", "correlation_breakdown": "average correlation"}
APPLIED, OPEN, PASSED, REFUSED = "applied", "waits for a person", "passed over", "not taken"


@dataclass(frozen=True, slots=True)
class Diff:
    """One thing that a reply asks for, as people read it; `status` is what becomes of it."""

    key: str
    before: str
    after: str
    status: str
    expires: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Event:
    """One escalation of a session, and what became of it.

    Attributes
    ----------
    id, trigger, call, at : str
    conditions : tuple of str
        What began to hold.
    by, label : str
        Who answered: `frontier`, `local` or `rules`, and its name; empty while nobody has.
    sentences : tuple of str
        What differs in the reply's view, with the ids of facts.
    diffs : tuple of Diff
    attempts : tuple of mapping
        One a try on the wire: by, model, outcome, seconds, detail.
    advice : tuple of str
        The local reasoner's analysis: sentences that the facts bear out.
    unfounded : int
        Sentences of it that they don't.
    alerts : tuple of str
    """

    id: str
    trigger: str
    call: str
    at: str
    conditions: tuple[str, ...]
    by: str
    label: str
    sentences: tuple[str, ...]
    diffs: tuple[Diff, ...]
    attempts: tuple[Row, ...]
    advice: tuple[str, ...]
    unfounded: int
    alerts: tuple[str, ...]


class _Table:
    """A table that goes on where the session's facts ended."""

    def __init__(self, facts: FactTable) -> None:
        self._facts, self._currency = list(facts), facts.currency

    def add(self, name: str, value: Any, unit: Unit = Unit.TEXT) -> str:
        fact_id = f"F{len(self._facts) + 1}"
        held = value if unit is Unit.TEXT else exact(value)
        places = 2 if unit is Unit.SHARE else 0
        self._facts.append(Fact(fact_id, name, held, unit, "", places, Sense.LEVEL))
        return fact_id

    def table(self) -> FactTable:
        return FactTable(self._facts, currency=self._currency)


@dataclass(frozen=True, slots=True)
class _Given:
    """What a reply is held against, and where its facts go."""

    policy: Policy
    training: Training
    dates: Mapping[int, str]
    table: _Table


def events_of(
    rows: Rows,
    replies: Rows,
    *,
    facts: FactTable,
    dates: Mapping[int, str],
    training: Training,
) -> tuple[tuple[Event, ...], FactTable]:
    """Every escalation of a session, and the session's facts with those of its escalations.

    Parameters
    ----------
    rows : sequence of mapping
        The session's.
    replies : sequence of mapping
        Of the operations chain: `KINDS`; those about other escalations are passed over.
    dates : mapping of int to str
        Sessions by ordinal, as far as they are known: when a change ends.
    training : Training
        The operator's own.
    """
    asked = [*of_kind(rows, "escalation"), *of_kind(replies, MANUAL)]
    table = _Table(facts)
    if not asked:
        return (), facts
    _portfolio(rows, table)
    policy = validated(Policy, of_kind(rows, "policy")[0]["values"], file="the ledger's policy")
    drafts = [_draft(row, replies, _Given(policy, training, dates, table)) for row in asked]
    whole = table.table()
    return tuple(_with_advice(draft, replies, whole) for draft in drafts), whole


def _portfolio(rows: Rows, table: _Table) -> None:
    found = of_kind(rows, "facts")
    known: Row = found[-1]["facts"] if found else {}
    for name in (n for n in _SHARES if known.get(n) is not None):
        table.add(_NAMES.get(name, name.replace("_", " ")), known[name], Unit.SHARE)
    for name in (n for n in _PLAIN if known.get(n) is not None):
        table.add(_NAMES.get(name, name.replace("_", " ")), f"{known[name]:.4g}")
    if found and found[-1]["unknown"]:
        table.add("facts unknown at the close", ", ".join(found[-1]["unknown"]))


def _draft(row: Row, replies: Rows, given: _Given) -> Event:
    call = Call(row["call"])
    manual = row["kind"] == MANUAL
    trigger = "an operator's wish" if manual else row["trigger"].replace("_", " ")
    about = [r for r in replies if r.get("escalation") == row["id"] or r.get("about") == row["id"]]
    answered = of_kind(about, "reply")
    shown = f"{trigger} at {row['at'][11:16]} UTC"
    fired = given.table.add("trigger", shown)
    causes = tuple(began(name) for name in row["conditions"])
    what = f"an operator asked: {sanitised(row['reason'])}" if manual else " and ".join(causes)
    lines = [f"At {row['at'][11:16]} UTC {what.rstrip('.')} [{fired}]."]
    diffs: tuple[Diff, ...] = ()
    if answered:
        diffs = _diffs(answered[-1], given)
        lines += _answer(answered[-1], diffs)
    else:
        lines.append("No reply is recorded yet.")
    return Event(
        id=row["id"],
        trigger=trigger,
        call=call.label,
        at=row["at"],
        conditions=causes,
        by=answered[-1]["by"] if answered else "",
        label=sanitised(answered[-1]["label"]) if answered else "",
        sentences=tuple(lines),
        diffs=diffs,
        attempts=tuple(_attempt(r) for r in about if r["kind"] in _ATTEMPTS),
        advice=(),
        unfounded=0,
        alerts=tuple(sanitised(r["text"]) for r in of_kind(about, "alert")),
    )


def _diffs(row: Row, given: _Given) -> tuple[Diff, ...]:
    """What one reply alone asks for, held against the operator's policy of the day."""
    if not row["reply"]:
        return ()
    found = compose(
        given.policy,
        (stands(row),),
        session=row["from_session"],
        features=frozenset(FEATURES),
        training=given.training,
    )
    until = _until(row, given.dates)
    kinds: Iterable[tuple[str, Sequence[Change]]] = (
        (APPLIED if row["taken"] else REFUSED, found.changes),
        (OPEN if row["taken"] else REFUSED, found.proposals),
        (PASSED, found.passed_over),
    )
    made = []
    for status, changes in kinds:
        for change in changes:
            before, after = valued(change.before), valued(change.after)
            evidence = given.table.add(change.key, f"{before} to {after}")
            ends = until if status == APPLIED else "–"
            made.append(Diff(change.key, before, after, status, ends, evidence))
    return tuple(made)


def _until(row: Row, dates: Mapping[int, str]) -> str:
    last = row["expires"] - 1
    count = row["expires"] - row["from_session"]
    return f"after {dates[last]}" if last in dates else f"after {count} sessions"


def _answer(row: Row, diffs: Sequence[Diff]) -> list[str]:
    """Who answered, what differs in its view, and what became of it."""
    who, why = sanitised(row["label"]), sanitised(row["why"]).rstrip(".")
    lines = [f"Answered by {who}{f', because {why}' if why else ''}."]
    if row["reply"]:
        lines += view(stands(row).reply)
    applied = [d for d in diffs if d.status == APPLIED]
    waiting = [d for d in diffs if d.status == OPEN]
    if applied:
        count = f"{len(applied)} change{'s' if len(applied) > 1 else ''}"
        verb, they = ("hold", "they expire") if len(applied) > 1 else ("holds", "it expires")
        ends = applied[0].expires
        ids = ", ".join(d.evidence for d in applied)
        lines.append(f"{count} {verb} from the next session on; {they} {ends} [{ids}].")
    elif row["taken"]:
        lines.append("Nothing changes: every limit stays as the operator set it.")
    else:
        lines.append("Nothing of it was taken.")
    if waiting:
        ids = ", ".join(d.evidence for d in waiting)
        count = f"{len(waiting)} proposal{'s' if len(waiting) > 1 else ''}"
        wait = "wait" if len(waiting) > 1 else "waits"
        lines.append(
            f"{count} that would loosen a setting {wait} for a person [{ids}];"
            " `hybridnb replies` lists what is open."
        )
    return [*lines, *sandboxed(row["sandbox"])]


def _attempt(row: Row) -> Row:
    return {
        "by": sanitised(str(row.get("by") or "")),
        "model": sanitised(str(row.get("model") or "")),
        "outcome": str(row.get("outcome") or ""),
        "seconds": row.get("seconds"),
        "detail": sanitised(str(row.get("detail") or "")),
    }


def _with_advice(event: Event, replies: Rows, table: FactTable) -> Event:
    """The event with what the local reasoner made of it, as far as the facts bear it out."""
    found = [r for r in of_kind(replies, "analysis") if r["escalation"] == event.id]
    if not found or not found[-1]["advice"]:
        return event
    advice = found[-1]["advice"]
    said = [advice["root_cause"], *advice["immediate_actions"], *advice["monitoring"]]
    said += [f"{a['setting']}, {a['direction']}: {a['reason']}" for a in advice["adjustments"]]
    checked = ground("\n".join(said), table, fallback="")
    return replace(event, advice=checked.kept, unfounded=len(checked.removed))
