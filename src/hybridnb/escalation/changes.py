"""Diffs, the replies on record, what they come to in a session, and how to undo them: values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybridnb.escalation.calls import Call, Reply
from hybridnb.policy import Policy, validated

SESSIONS = 5  # for which a reply stays in force unless renewed

# Keys of changes whose home isn't the policy.
CRISIS = "account.crisis"
STAY_DEMO = "control.stay_demo"
FEATURES_OFF = "features.disabled"
TRAINING = "training"
_ELSEWHERE = frozenset({"account", "control", "features", "training"})


@dataclass(frozen=True, slots=True)
class Change:
    """One diff: a dotted key of the policy (or of the homes above), before, after, why.

    Values are numbers, truth values, or sorted tuples of text.
    """

    key: str
    before: Any
    after: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A reply on record, and the sessions it holds for.

    In force in every session whose ordinal `s` has `from_session <= s < expires`. `source` names
    its record, such as the ledger row of the attempt.
    """

    source: str
    call: Call
    reply: Reply
    from_session: int
    expires: int

    def holds(self, session: int) -> bool:
        """Whether it is in force in the session of this ordinal."""
        return self.from_session <= session < self.expires


@dataclass(frozen=True, slots=True)
class Training:
    """What the next training reads: coefficients of the reward, and the price of turnover."""

    returns: float = 0.6
    turnover: float = 0.2
    drawdown: float = 0.2
    penalty_rate: float = 0.01


@dataclass(frozen=True, slots=True)
class InForce:
    """A session under its replies.

    Attributes
    ----------
    policy : Policy
        The operator's with the changes; the same where nothing changes it.
    crisis : bool
        A reply switches the crisis factor on; False leaves it to the market's facts.
    stay_demo : bool
        A judge wants demo kept; False leaves it to the control plane, it never lifts anything.
    disabled : tuple of str
        Features to leave out, sorted.
    training : Training
        For the next training only.
    changes : tuple of Change
        Every diff from the operator's values.
    proposals : tuple of Change
        What would loosen: nothing of it is applied.
    passed_over : tuple of Change
        What was asked and has no effect, with the reason; `after` is what was asked.
    sources : tuple of str
        The replies that hold, oldest first.
    """

    policy: Policy
    crisis: bool
    stay_demo: bool
    disabled: tuple[str, ...]
    training: Training
    changes: tuple[Change, ...]
    proposals: tuple[Change, ...]
    passed_over: tuple[Change, ...]
    sources: tuple[str, ...] = ()

    @property
    def bears(self) -> bool:
        """Whether any change bears on decisions, not on a later training or the mode alone."""
        return any(c.key != STAY_DEMO and not c.key.startswith(TRAINING) for c in self.changes)


def standing(source: str, call: Call, reply: Reply, *, session: int) -> Standing:
    """A reply received in the session of this ordinal: in force from the next one on."""
    return Standing(source, call, reply, session + 1, session + 1 + SESSIONS)


def renewed(reply: Standing, *, session: int) -> Standing:
    """The same reply, renewed in this session; its expiry is never brought forward."""
    return replace(reply, expires=max(reply.expires, session + 1 + SESSIONS))


def rolled_back(replies: Iterable[Standing], source: str) -> tuple[Standing, ...]:
    """The replies without one of them; composed again, nothing of it is left."""
    return tuple(r for r in replies if r.source != source)


def inverse(changes: Sequence[Change], reason: str) -> tuple[Change, ...]:
    """The changes that undo these, in the opposite order."""
    return tuple(Change(c.key, c.after, c.before, reason) for c in reversed(changes))


def changed(policy: Policy, changes: Iterable[Change]) -> Policy:
    """A policy with diffs applied and validated as a whole; those of other homes don't bear on it.

    Raises
    ------
    ParamsError
        When a key is unknown or the result isn't a policy.
    """
    values = policy.model_dump()
    for change in changes:
        section, _, name = change.key.partition(".")
        part = values.get(section)
        if section in _ELSEWHERE:
            continue
        if isinstance(part, dict):
            values[section] = {**part, name: change.after}
        else:
            values[change.key] = change.after
    return validated(Policy, values)
