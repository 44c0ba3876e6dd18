"""The post-mortem of a session: facts from the ledger, and the sentences that they bear out.

The report is deterministic and stands without any model. A local reasoner may write prose over
its facts; what the facts don't bear out is removed, and with too much removed, or without an
answer, the report stands and says why. What was written is recorded the first time and read from
the record ever after: nobody is asked twice about the same session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import Any

from hybridnb.app.escalated import Event, events_of
from hybridnb.app.frontier import silent
from hybridnb.app.records import decision_rows
from hybridnb.app.views import Rows
from hybridnb.canonical import sha256
from hybridnb.escalation.advisor import Advice, PostMortemReply, Sentence, Task, question, read
from hybridnb.escalation.changes import Training
from hybridnb.escalation.facts import Fact, FactTable, Unit
from hybridnb.escalation.grounding import Grounding, Verdict, ground
from hybridnb.escalation.prose import sanitised
from hybridnb.escalation.report import HEADINGS, Report, report
from hybridnb.ports import Answer, Reasoner

REPORT, PROSE = "deterministic report", "local reasoner"
ABSENT = "No local reasoner is configured."
# Of the facts that a reasoner is shown, in bytes: with the instructions and the longest reply they
# have to fit the specified context of 8,192 tokens, a byte at most a token each.
ROOM = 4_000
_CITED = re.compile(r"F[1-9][0-9]{0,5}")
_WORD = re.compile(r"[^\W\d_]{2}")  # without one there is nothing to read
_PARTS = ("what_happened", "root_causes", "what_worked", "what_failed", "recommendations")


@dataclass(frozen=True, slots=True)
class Removal:
    """What the grounding check took out: sentences, of how many, and each with its reason."""

    count: int = 0
    sentences: int = 0
    each: tuple[Mapping[str, str], ...] = ()

    @property
    def share(self) -> float:
        """Of the sentences that were written."""
        return self.count / self.sentences if self.sentences else 0.0


@dataclass(frozen=True, slots=True)
class PostMortem:
    """A session's post-mortem as people see it.

    Attributes
    ----------
    report : Report
        The deterministic one: causes by money, facts, sentences.
    table : FactTable
        Its facts, and those of the session's escalations.
    sections : mapping of str to tuple of str
        Sentences by heading, as shown.
    writer : str
        `deterministic report`, or `local reasoner` with its model's name.
    why : str
        Why the report stands; what was removed of a text; empty where neither.
    removed : Removal
    frontier : tuple of str
        What differs in the view of who was asked, from recorded replies.
    events : tuple of Event
        The escalations behind it.
    outcome : str
        Of the attempt; empty where none was made.
    attempt : mapping or None
        What the operations chain keeps of it.
    offline : bool
        A reasoner is configured and was silent.
    """

    report: Report
    table: FactTable
    sections: Mapping[str, tuple[str, ...]]
    writer: str = REPORT
    why: str = ""
    removed: Removal = field(default_factory=Removal)
    frontier: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    outcome: str = ""
    attempt: Mapping[str, Any] | None = None
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """The sections with everything that is recorded of their making."""

    sections: Mapping[str, tuple[str, ...]]
    writer: str = REPORT
    why: str = ""
    removed: Removal = field(default_factory=Removal)
    outcome: str = ""
    attempt: Mapping[str, Any] | None = None
    offline: bool = False


def write_post_mortem(
    rows: Rows,
    before: Mapping[str, Any] | None,
    *,
    currency: str,
    multipliers: Mapping[str, int],
    local: Reasoner | None,
    replies: Rows = (),
    dates: Mapping[int, str] | None = None,
    recorded: Mapping[str, Any] | None = None,
    absent: str = ABSENT,
    training: Training | None = None,
) -> PostMortem:
    """The post-mortem of one session.

    Parameters
    ----------
    rows : sequence of mapping
        The session's rows, to its close.
    before : mapping or None
        The `session_closed` row of the book's session before; None for its first.
    currency : str
        Of the account.
    multipliers : mapping of str to int
        Of contracts, by symbol.
    local : Reasoner or None
        Asked once, for at most the task's own time; None asks nobody.
    replies : sequence of mapping
        Rows of the operations chain about this session (`about`).
    dates : mapping of int to str, optional
        Sessions by ordinal, for when changes end.
    recorded : mapping, optional
        The `post_mortem` row of an earlier time: its text is shown again and nobody is asked.
    absent : str
        Why there is no reasoner, where there is none.
    training : Training, optional
        The operator's own coefficients; by default the specification's.

    Raises
    ------
    ValueError
        When the rows aren't those of one whole session.
    """
    others = [row for row in rows if row["kind"] not in ("decision", "universe")]
    single = [*others, *decision_rows(rows)]
    made = report(single, before, currency=currency, multipliers=multipliers)
    events, table = events_of(
        rows,
        replies,
        facts=made.table,
        dates=dates or {},
        training=training or Training(),
    )
    written = recalled(recorded, made) if recorded else _asked(made, local, absent)
    told: dict[str, Any] = {f.name: getattr(written, f.name) for f in fields(written)}
    frontier = tuple(chain.from_iterable(event.sentences for event in events))
    return PostMortem(report=made, table=table, events=events, frontier=frontier, **told)


def shown_facts(made: Report) -> dict[str, Any]:
    """The facts that a reasoner is shown: those that the report cites first, as many as fit.

    A text of the ledger's rows comes last: an alert never takes a figure's place.
    """
    lines = made.table.text().split("\n")
    head, each = lines[0], dict(zip((f.id for f in made.table), lines[1:], strict=True))
    cited = set(_CITED.findall(made.text))

    def rank(fact: Fact) -> tuple[bool, bool, int]:
        return fact.unit is Unit.TEXT, fact.id not in cited, int(fact.id[1:])

    kept, left = set(), ROOM
    for fact in sorted(made.table, key=rank):
        left -= len(each[fact.id].encode()) + 3  # quotes and a comma
        if left < 0:
            break
        kept.add(fact.id)
    return {"facts": [head, *(line for fact_id, line in each.items() if fact_id in kept)]}


def _asked(made: Report, local: Reasoner | None, absent: str) -> Written:
    if local is None:
        return Written(made.sections, why=absent)
    asked = question(Task.WRITE_POST_MORTEM, shown_facts(made))
    advice = read(Task.WRITE_POST_MORTEM, local.ask(asked), asked=asked)
    attempt = _attempt(local.name, advice.answer) | {
        "outcome": str(advice.outcome),
        "detail": advice.detail,
        "prompt_sha256": advice.prompt_sha256,
        "schema_sha256": advice.schema_sha256,
    }
    if not isinstance(advice.reply, PostMortemReply):
        why = f"The local reasoner was asked and gave nothing to use: {_failure(advice)}."
        if silent(advice.answer):
            why = f"The local reasoner is offline: {_failure(advice)}."
        return Written(
            made.sections,
            why=why,
            outcome=str(advice.outcome),
            attempt=attempt,
            offline=silent(advice.answer),
        )
    sections, checked = _grounded(advice.reply, made)
    removed = Removal(
        len(checked.removed),
        checked.sentences,
        tuple({"sentence": r.sentence, "reason": r.reason} for r in checked.removed),
    )
    told = sanitised(advice.answer.model)
    return Written(
        sections=made.sections if checked.verdict is Verdict.REPLACED else sections,
        writer=REPORT if checked.verdict is Verdict.REPLACED else f"{PROSE} ({told})",
        why=checked.note,
        removed=removed,
        outcome=str(advice.outcome),
        attempt=attempt,
    )


def _failure(advice: Advice) -> str:
    told = sanitised(advice.detail).rstrip(".")
    outcome = str(advice.outcome).replace("_", " ")
    return f"{outcome} ({told})" if told else outcome


def _attempt(name: str, answer: Answer) -> dict[str, Any]:
    """What is kept of an attempt, bytes as sent and received."""
    return {
        "by": name,
        "model": answer.model,
        "digest": answer.digest,
        "request": answer.request.decode(errors="replace"),
        "response": answer.response.decode(errors="replace"),
        "status": answer.status,
        "usage": dict(answer.usage),
        "seconds": answer.seconds,
    }


def _grounded(reply: PostMortemReply, made: Report) -> tuple[dict[str, tuple[str, ...]], Grounding]:
    """The sections as the facts bear them out, and the check of the whole."""
    told = {
        head: "\n".join(_line(each) for each in getattr(reply, part) if _WORD.search(each.text))
        for head, part in zip(HEADINGS, _PARTS, strict=True)
    }
    whole = ground("\n".join(told.values()), made.table, fallback=made.text)
    kept = {head: ground(text, made.table, fallback="").kept for head, text in told.items()}
    return {head: lines for head, lines in kept.items() if lines}, whole


def _line(sentence: Sentence) -> str:
    """A sentence with the ids that it rests on, where it doesn't have them in its text."""
    ids = [i for i in dict.fromkeys(sentence.fact_ids) if i not in _CITED.findall(sentence.text)]
    text = sentence.text.strip()
    if not ids:
        return text
    stop = "." if text.endswith(".") else ""
    return f"{text.removesuffix('.')} [{', '.join(ids)}]{stop}"


def facts_digest(made: Report) -> str:
    """SHA-256 of the facts that a text was written over."""
    return sha256(made.table.text())


def recalled(row: Mapping[str, Any], made: Report) -> Written:
    """What was written the first time, from its row."""
    if row["facts_sha256"] != facts_digest(made):
        why = "The recorded text was written over other facts than these rows give now."
        return Written(made.sections, why=why, outcome=row["outcome"], attempt=row["attempt"])
    removed = row["removed"]
    return Written(
        sections={section["heading"]: tuple(section["sentences"]) for section in row["sections"]},
        writer=row["writer"],
        why=row["why"],
        removed=Removal(removed["count"], removed["sentences"], tuple(removed["each"])),
        outcome=row["outcome"],
        attempt=row["attempt"],
    )
