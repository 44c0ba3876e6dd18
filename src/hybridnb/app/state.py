"""What is carried from one session to the next, and how the ledger gives it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hybridnb.book import Book
from hybridnb.domain import SCALE, Order
from hybridnb.escalation.triggers import TriggerState
from hybridnb.policy import Policy
from hybridnb.risk import RiskState


@dataclass(frozen=True, slots=True)
class Origin:
    """What a closed trade must tell of the decision that opened it."""

    decision_id: str
    order_id: str
    size_pre: float
    size_post_risk: float
    reason_tags: tuple[str, ...]
    policy_id: str
    experiment_id: str
    model_version: str


@dataclass(frozen=True, slots=True)
class Watch:
    """What the triggers remember; `gross` are (ordinal, exposure in 1/10,000) of the closes."""

    triggers: TriggerState = field(default_factory=TriggerState)
    gross: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Book, control plane, orders still working, and the origin of each open position.

    `owed` are positions that a kill wanted flat, and that the venue hasn't let go yet.
    """

    book: Book
    risk: RiskState = field(default_factory=RiskState)
    working: tuple[Order, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    peak: int = 0
    watch: Watch = field(default_factory=Watch)
    owed: tuple[str, ...] = ()


def first_state(policy: Policy) -> State:
    """A new account: cash only, in the mode the operator asked for."""
    cash = round(policy.opening_cash * SCALE)
    return State(book=Book(cash=cash), risk=RiskState(mode=policy.mode), peak=cash)


def restored(snapshot: Mapping[str, Any]) -> State:
    """The state that a `session_closed` row recorded.

    Raises
    ------
    pydantic.ValidationError
        When the snapshot isn't one: a broken program, since the chain verified.
    """
    from pydantic import TypeAdapter

    return TypeAdapter(State).validate_python(snapshot)
