"""The four tasks of the local reasoner: what is asked, what may come back, what came back.

Types first: each task's strict schema is generated from its reply's type, and a reply is checked
by the type again, since a schema sent along guarantees nothing. A reply is advice for a person or
for a test on held-out data; nothing here changes a limit or a decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from hybridnb.canonical import canonical, plain, sha256
from hybridnb.domain import Outcome
from hybridnb.escalation.calls import Feature, Label, Line, Wire
from hybridnb.escalation.schemas import strict_schema
from hybridnb.ports import Answer, Question, Reasoner

LONGEST_TEXT = 300  # characters of any one text among the facts
LONGEST_NAME = 64  # characters of any key
CUT = "… [cut]"

# One line, without characters that act on a terminal or a page.
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,%d}$"
Paragraph = Annotated[str, Field(pattern=_PRINTABLE % 600)]
Text = Annotated[str, Field(pattern=_PRINTABLE % 300)]
FactId = Annotated[str, Field(pattern=r"^F[1-9][0-9]{0,5}$")]
Lines = Annotated[tuple[Line, ...], Field(max_length=5, strict=False)]


class Task(StrEnum):
    """What the local reasoner is asked; the value names its prompt and its schema."""

    EXPLAIN_CONFLICT = "explain_conflict"
    PROPOSE_FEATURES = "propose_features"
    ANALYSE_ESCALATION = "analyse_escalation"
    WRITE_POST_MORTEM = "write_post_mortem"


class ConflictReply(Wire):
    explanation: Paragraph
    scenario: Literal["trend", "reversal", "event", "noise", "unknown"]
    action: Literal["keep", "reduce", "stand_aside"] = Field(description="never more risk")
    risks: Lines


class NewFeature(Wire):
    name: Feature
    reason: Line


class WeightChange(Wire):
    feature: Feature
    factor: float = Field(ge=0.5, le=1.5, description="of the feature's weight")
    reason: Line


class FeaturesReply(Wire):
    disable: Annotated[tuple[Feature, ...], Field(max_length=3, strict=False)]
    add: Annotated[tuple[NewFeature, ...], Field(max_length=3, strict=False)]
    weight_changes: Annotated[tuple[WeightChange, ...], Field(max_length=5, strict=False)]


class Adjustment(Wire):
    setting: Label
    direction: Literal["tighten", "keep"]
    reason: Line


class EscalationReply(Wire):
    root_cause: Paragraph
    immediate_actions: Lines
    adjustments: Annotated[tuple[Adjustment, ...], Field(max_length=5, strict=False)]
    monitoring: Lines


class Sentence(Wire):
    """A sentence of a post-mortem with the facts that it rests on."""

    text: Text
    fact_ids: Annotated[tuple[FactId, ...], Field(min_length=1, max_length=6, strict=False)]


Sentences = Annotated[tuple[Sentence, ...], Field(max_length=6, strict=False)]


class PostMortemReply(Wire):
    what_happened: Sentences
    root_causes: Sentences
    what_worked: Sentences
    what_failed: Sentences
    recommendations: Sentences


AdvisorReply = ConflictReply | FeaturesReply | EscalationReply | PostMortemReply

REPLY_TYPES: Mapping[Task, type[AdvisorReply]] = {
    Task.EXPLAIN_CONFLICT: ConflictReply,
    Task.PROPOSE_FEATURES: FeaturesReply,
    Task.ANALYSE_ESCALATION: EscalationReply,
    Task.WRITE_POST_MORTEM: PostMortemReply,
}
# Seconds and tokens of each; a post-mortem is written at night, when there is time.
TIMEOUTS: Mapping[Task, float] = dict.fromkeys(Task, 30.0) | {Task.WRITE_POST_MORTEM: 180.0}
CEILINGS: Mapping[Task, int] = {
    Task.EXPLAIN_CONFLICT: 700,
    Task.PROPOSE_FEATURES: 900,
    Task.ANALYSE_ESCALATION: 1_200,
    Task.WRITE_POST_MORTEM: 2_400,
}


@dataclass(frozen=True, slots=True)
class Advice:
    """What came of a task.

    Attributes
    ----------
    outcome : Outcome
        The answer's, or WRONG_SHAPE where the reply breaks its type.
    reply : AdvisorReply or None
        Only where the outcome is OK.
    detail : str
        What went wrong.
    answer : Answer
        As the record keeps it.
    prompt_sha256, schema_sha256 : str
        Of the instructions and of the schema that were sent.
    """

    task: Task
    outcome: Outcome
    reply: AdvisorReply | None
    detail: str
    answer: Answer
    prompt_sha256: str
    schema_sha256: str


def prompt(task: Task) -> str:
    """The instructions of a task: a file of the package."""
    folder = resources.files("hybridnb.escalation") / "prompts"
    return (folder / f"{task}.md").read_text(encoding="utf-8")


def question(task: Task, facts: Mapping[str, Any]) -> Question:
    """A task as a question.

    Parameters
    ----------
    task : Task
    facts : mapping
        Whatever `canonical` takes; NaN is null. Each text in it is cut at `LONGEST_TEXT`
        characters and says so; nothing else is left out, and what is then too long for a
        reasoner's context it refuses.

    Returns
    -------
    Question
        The facts are canonical JSON, data without authority.
    """
    return Question(
        task=task.value,
        instructions=prompt(task),
        facts=canonical(limited(facts)),
        schema=strict_schema(REPLY_TYPES[task]),
        max_tokens=CEILINGS[task],
        timeout_s=TIMEOUTS[task],
    )


def limited(value: Any) -> Any:
    """A plain value in which no text is longer than `LONGEST_TEXT`, no key than `LONGEST_NAME`.

    Raises
    ------
    ValueError
        When two keys of a mapping are the same once they are cut.
    """
    return _limited(plain(value))


def _limited(value: Any) -> Any:
    if isinstance(value, str):
        return _cut(value, LONGEST_TEXT)
    if isinstance(value, dict):
        short = {_cut(key, LONGEST_NAME): _limited(part) for key, part in value.items()}
        if len(short) < len(value):
            raise ValueError("two names of facts are the same in their first characters")
        return short
    return [_limited(part) for part in value] if isinstance(value, list) else value


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - len(CUT)] + CUT


def read(task: Task, answer: Answer, *, asked: Question) -> Advice:
    """An answer as advice: its reply must be of the task's type, to the last key."""
    reply, outcome, detail = None, answer.outcome, answer.detail
    if outcome is Outcome.OK:
        try:
            reply = REPLY_TYPES[task].model_validate(answer.reply)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])[:100] or "the reply"
            outcome, detail = Outcome.WRONG_SHAPE, f"{where}: {first['msg']}"[:500]
    return Advice(
        task=task,
        outcome=outcome,
        reply=reply,
        detail=detail,
        answer=answer,
        prompt_sha256=sha256(asked.instructions),
        schema_sha256=sha256(asked.schema),
    )


def advise(reasoner: Reasoner, task: Task, facts: Mapping[str, Any]) -> Advice:
    """Ask a reasoner one task, once."""
    asked = question(task, facts)
    return read(task, reasoner.ask(asked), asked=asked)


def cited(sentences: Sequence[Sentence]) -> frozenset[str]:
    """Ids of the facts that sentences rest on."""
    return frozenset(fact for sentence in sentences for fact in sentence.fact_ids)
