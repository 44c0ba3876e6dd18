"""When a reasoner is asked: five triggers that watch the portfolio's facts.

A trigger fires when the first of its conditions begins to hold, and then cools down. A condition
that can't be told stays as it was last known: a gap in the facts neither begins an event (what is
missing never fires) nor ends one (or else the same event would fire again after every gap).

Pure: the state is a value that the ledger keeps, so a restart goes on where it was.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hybridnb.escalation.calls import Call
from hybridnb.escalation.conditions import Condition, PortfolioFacts, TriggerParams, conditions
from hybridnb.policy import Policy


class Trigger(StrEnum):
    """The five, in order of precedence."""

    KILL_SWITCH = "kill_switch"
    RISK = "risk"
    REGIME = "regime"
    EVENT_HEAT = "event_heat"
    MODEL_DECAY = "model_decay"


CALLS: Mapping[Trigger, Call] = {
    Trigger.KILL_SWITCH: Call.SANITY_JUDGE,
    Trigger.RISK: Call.REWARD_ENGINEER,
    Trigger.REGIME: Call.REGIME_AUDITOR,
    Trigger.EVENT_HEAT: Call.REGIME_AUDITOR,
    Trigger.MODEL_DECAY: Call.REWARD_ENGINEER,
}


CONDITIONS: Mapping[Trigger, frozenset[Condition]] = {
    Trigger.KILL_SWITCH: frozenset({Condition.KILL}),
    Trigger.RISK: frozenset(
        {Condition.DRAWDOWN, Condition.GROSS_DRAWDOWN, Condition.DAY_LOSS},
    ),
    Trigger.REGIME: frozenset({Condition.BREAKDOWN, Condition.SPIKE}),
    Trigger.EVENT_HEAT: frozenset({Condition.PUT_CALL}),
    Trigger.MODEL_DECAY: frozenset({Condition.ACCURACY, Condition.SHARPE}),
}
# The day's P&L begins anew with each session, and so do they.
_OF_THE_DAY = frozenset({Condition.KILL, Condition.DAY_LOSS})


@dataclass(frozen=True, slots=True)
class TriggerState:
    """The triggers between two looks at the facts.

    Attributes
    ----------
    session : str
        ISO date of the last facts; empty before any.
    standing : frozenset of Condition
        Those that held when they were last known.
    fired : mapping of Trigger to str
        When each last fired: ISO, UTC.
    """

    session: str = ""
    standing: frozenset[Condition] = frozenset()
    fired: Mapping[Trigger, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fired:
    """One event: one call.

    Attributes
    ----------
    trigger : Trigger
    call : Call
    at : str
        ISO, UTC.
    conditions : tuple of Condition
        What began to hold, of the joined triggers too, in the enum's order.
    joined : tuple of Trigger
        Triggers of lower precedence that fired in the same moment and ask for the same call.
    """

    trigger: Trigger
    call: Call
    at: str
    conditions: tuple[Condition, ...]
    joined: tuple[Trigger, ...] = ()


def advance(
    state: TriggerState,
    facts: PortfolioFacts,
    at: dt.datetime,
    *,
    policy: Policy,
    params: TriggerParams,
) -> tuple[TriggerState, tuple[Fired, ...]]:
    """One look at the facts.

    A trigger fires when none of its conditions stood and one begins to; it doesn't while it
    cools down, and what began meanwhile has to end before it can begin again. While the kill
    switch's condition stands, the day's loss is the same event and the judge's alone. Triggers
    that fire at once and ask for the same call are one event.

    Parameters
    ----------
    at : datetime
        With its time zone; a ValueError without.

    Returns
    -------
    tuple
        The next state, and the events in order of precedence.
    """
    if at.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    moment, session = at.astimezone(dt.UTC), facts.session.isoformat()
    before = state.standing if session == state.session else state.standing - _OF_THE_DAY
    held = conditions(facts, policy, params)
    now = frozenset(c for c, holds in held.items() if holds or (holds is None and c in before))
    fired = dict(state.fired)
    rising: dict[Trigger, frozenset[Condition]] = {}
    for trigger, own in CONDITIONS.items():
        began = _events(now, own) - before
        cooled = _cooled(trigger, fired.get(trigger), moment, params.cooldown_minutes)
        if began and cooled and not _events(before, own):
            rising[trigger] = began
            fired[trigger] = moment.isoformat()
    return TriggerState(session, now, fired), _one_a_call(rising, moment.isoformat())


def _events(standing: frozenset[Condition], own: frozenset[Condition]) -> frozenset[Condition]:
    """A trigger's own conditions that stand and are no part of the kill switch's event."""
    covered = {Condition.DAY_LOSS} if Condition.KILL in standing else set()
    return (standing & own) - covered


def _cooled(trigger: Trigger, last: str | None, moment: dt.datetime, minutes: int) -> bool:
    if last is None or trigger is Trigger.KILL_SWITCH:
        return True
    return moment - dt.datetime.fromisoformat(last) >= dt.timedelta(minutes=minutes)


def _one_a_call(rising: Mapping[Trigger, frozenset[Condition]], at: str) -> tuple[Fired, ...]:
    by_call: dict[Call, list[Trigger]] = {}
    for trigger in rising:
        by_call.setdefault(CALLS[trigger], []).append(trigger)
    return tuple(
        Fired(
            triggers[0],
            call,
            at,
            tuple(c for c in Condition if any(c in rising[t] for t in triggers)),
            tuple(triggers[1:]),
        )
        for call, triggers in by_call.items()
    )


def state_values(state: TriggerState) -> dict[str, Any]:
    """A state as JSON values, equal states to equal text: a ledger row's content."""
    return {
        "session": state.session,
        "standing": sorted(str(c) for c in state.standing),
        "fired": {str(t): at for t, at in sorted(state.fired.items())},
    }


def read_state(values: Mapping[str, Any]) -> TriggerState:
    """The state that `state_values` wrote; a ValueError for a name that is none."""
    return TriggerState(
        str(values["session"]),
        frozenset(Condition(c) for c in values["standing"]),
        {Trigger(t): str(at) for t, at in values["fired"].items()},
    )
