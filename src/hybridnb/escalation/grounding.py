"""The grounding check of a post-mortem: what isn't borne out by a fact doesn't stay in.

A model's prose is read sentence by sentence. A sentence with a number, symbol or date that isn't
in the facts is removed and counted; a text that loses more than a fifth of its sentences is
replaced by the deterministic report. What is kept is plain text without markup: who puts it into
a page still escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hybridnb.escalation.claims import fault
from hybridnb.escalation.facts import Fact, FactBuilder, FactTable, Sense, Unit
from hybridnb.escalation.prose import sanitised, sentences

__all__ = [
    "Fact",
    "FactBuilder",
    "FactTable",
    "Grounding",
    "Removed",
    "Sense",
    "Unit",
    "Verdict",
    "ground",
]

MOST_REMOVED = 5  # one sentence in so many may go; with more the text isn't worth mending
MAX_TEXT = 50_000  # characters; nobody reads a post-mortem of this length


class Verdict(StrEnum):
    """What became of a text."""

    GROUNDED = "grounded"
    TRIMMED = "trimmed"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Removed:
    """A sentence that was taken out (at most 300 characters, nothing hidden in them), and why."""

    sentence: str
    reason: str


@dataclass(frozen=True, slots=True)
class Grounding:
    """The outcome of the check.

    Attributes
    ----------
    text : str
        What may be published: the sentences kept, or the note and the deterministic report.
    kept : tuple of str
        Grounded sentences, also of a text that was replaced.
    removed : tuple of Removed
    sentences : int
        Kept and removed.
    verdict : Verdict
    note : str
        What a reader is told of the check; "" where nothing was removed.
    """

    text: str
    kept: tuple[str, ...]
    removed: tuple[Removed, ...]
    sentences: int
    verdict: Verdict
    note: str = ""

    @property
    def share_removed(self) -> float:
        """Share of the sentences that were removed; 1.0 where there were none."""
        return len(self.removed) / self.sentences if self.sentences else 1.0


def ground(text: str, table: FactTable, *, fallback: str) -> Grounding:
    """Hold a text against the facts.

    Parameters
    ----------
    text : str
        A model's prose; may be anything.
    table : FactTable
        The only source of what may be said.
    fallback : str
        The deterministic report, put in place of a text with more than 20 % removed, of an empty
        one, and of one longer than 50,000 characters.

    Returns
    -------
    Grounding
        Equal for equal arguments. Time is linear in the text.
    """
    if len(text) > MAX_TEXT:
        gone = Removed(sanitised(text), f"longer than {MAX_TEXT:,} characters")
        return _replaced((), (gone,), fallback)
    kept, removed, lines = [], [], []
    for line in sentences(text):
        good: list[str] = []
        for sentence in line:
            reason = fault(sentence, table)
            if reason:
                removed.append(Removed(sanitised(sentence), sanitised(reason)))
            else:
                good.append(sentence)
        kept += good
        lines += [" ".join(good)] if good else []
    count = len(kept) + len(removed)
    if not kept or len(removed) * MOST_REMOVED > count:
        return _replaced(tuple(kept), tuple(removed), fallback)
    verdict = Verdict.TRIMMED if removed else Verdict.GROUNDED
    note = f"{len(removed)} of {count} sentences were not grounded and were removed."
    return Grounding(
        "\n".join(lines), tuple(kept), tuple(removed), count, verdict, note if removed else ""
    )


def _replaced(kept: tuple[str, ...], removed: tuple[Removed, ...], fallback: str) -> Grounding:
    count = len(kept) + len(removed)
    why = f"{len(removed)} of {count} sentences were not grounded" if count else "it was empty"
    note = f"The model's text was replaced by the deterministic report: {why}."
    return Grounding(f"{note}\n\n{fallback}", kept, removed, count, Verdict.REPLACED, note)
