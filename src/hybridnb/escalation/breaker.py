"""The circuit breaker: after failures in a row the frontier is left alone for a while.

Pure: its state is what the recorded attempts say at a moment, so that every process agrees and a
restart forgets nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import Field

from hybridnb.domain import Outcome
from hybridnb.policy import Params, Positive

ANSWERED = "frontier_answered"  # kind of the row that says what became of an attempt
# A question too long for the model is a mistake of ours and says nothing about the server.
_NEUTRAL = frozenset({Outcome.TOO_LONG})


class BreakerParams(Params):
    """When the breaker opens, and for how long."""

    failures: int = Field(3, ge=1, description="in a row, that open it")
    pause_minutes: Positive = Field(30.0, description="after the last, until one may try")


class Breaker(StrEnum):
    """Half open: the pause is over and the next attempt decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt that came to something, and when."""

    at: dt.datetime
    outcome: Outcome


def answered_row(
    attempt: str, outcome: Outcome, *, at: dt.datetime, record: Mapping[str, Any]
) -> dict[str, Any]:
    """The operations row of what became of a reserved attempt.

    Parameters
    ----------
    at : datetime
        With its time zone; a ValueError without.
    record : mapping
        Whatever else is kept of it; a ValueError for a key that the row has itself.
    """
    if at.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    own = {
        "kind": ANSWERED,
        "attempt": attempt,
        "outcome": outcome.value,
        "at": at.astimezone(dt.UTC).isoformat(),
    }
    if taken := sorted(own.keys() & record.keys()):
        raise ValueError(f"the row itself has {', '.join(taken)}")
    return own | dict(record)


def finished(rows: Iterable[Mapping[str, Any]]) -> tuple[Finished, ...]:
    """The attempts that rows tell the end of, by time; other rows are passed over."""
    found = (
        Finished(dt.datetime.fromisoformat(str(row["at"])), Outcome(row["outcome"]))
        for row in rows
        if row.get("kind") == ANSWERED
    )
    return tuple(sorted(found, key=lambda f: f.at))


def breaker(attempts: Iterable[Finished], now: dt.datetime, *, params: BreakerParams) -> Breaker:
    """The breaker at a moment.

    Open from the last of so many failures in a row until the pause after it is over; then half
    open, until a success closes it or a failure opens it again. An attempt without an end (its
    process died) counts as neither.
    """
    row = 0
    last = now
    for attempt in sorted(attempts, key=lambda a: a.at):
        if attempt.outcome in _NEUTRAL:
            continue
        row = 0 if attempt.outcome is Outcome.OK else row + 1
        last = attempt.at
    if row < params.failures:
        return Breaker.CLOSED
    over = now - last >= dt.timedelta(minutes=params.pause_minutes)
    return Breaker.HALF_OPEN if over else Breaker.OPEN
