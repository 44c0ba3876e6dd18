"""A stretch of history stepped with its triggers watched, and scripted replies to what fires.

The scripted replies only tighten: they stand for a cautious reasoner, and say nothing of what a
real one would have answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from hybridnb.app.deciding import decider
from hybridnb.app.desk import Setup
from hybridnb.app.hinting import live_hints
from hybridnb.app.history import History
from hybridnb.app.kernels import MODE
from hybridnb.app.panel import Day
from hybridnb.app.sandbox import audit
from hybridnb.app.state import State
from hybridnb.app.stretch import Stepped, new_account, stepped
from hybridnb.app.watching import Hours, Watching
from hybridnb.escalation.applying import compose
from hybridnb.escalation.calls import (
    AuditorReply,
    Call,
    CapsDelta,
    EngineerReply,
    JudgeReply,
    LiveChanges,
    Reply,
    RewardCoefficients,
    TurnoverPenalties,
    WeightsDelta,
)
from hybridnb.escalation.changes import InForce, Standing, Training, standing
from hybridnb.market import calendar
from hybridnb.market.features import FEATURES
from hybridnb.policy import Policy

CUTS = CapsDelta(penny=-0.01, fno=-0.02, core=-0.30)  # of the buckets' caps, shares of equity
POSITION = 0.005  # the judge's largest position, share of equity
# Facts shown with an event; the day's P&L is that of its mark.
SHOWN = (
    *("volatility_zscore", "correlation_breakdown", "max_drawdown_5d", "gross_drawdown_5d"),
    *("ensemble_accuracy", "accuracy_baseline"),
)


@dataclass(frozen=True, slots=True)
class Course:
    """A stretch under one policy; `events` are what fired in it, in order.

    Each event has session, at, trigger, joined, call, conditions and facts; where it was answered
    also reply, changes, and breaches: why the sandbox refused it.
    """

    steps: Sequence[Stepped]
    events: Sequence[Mapping[str, Any]]


def course(history: History, policy: Policy, *, replies: bool) -> Course:
    """Step a history's sessions from a new account, triggers watched.

    Parameters
    ----------
    policy : Policy
        In place of the history's own.
    replies : bool
        Whether each event gets its scripted reply: from the next session on, unless the sandbox
        refuses it together with those already in force.
    """
    context = replace(history.context, settings=replace(history.context.settings, policy=policy))
    hours = hours_of(context.market.calendar)
    setup = Setup(
        "crisis",
        policy,
        "crisis",
        history.model.version,
        live_hints(history.model.hint, context),
        verdict_valid=True,
        decide=decider(len(history.panel.symbols), context.home.kernels),
        watching=Watching(context.settings.escalation.triggers, hours),
    )
    state, steps, events = new_account(policy, MODE), [], []
    known: tuple[Standing, ...] = ()
    for i in range(history.start, history.stop):
        day = history.panel.day(i)
        now = under(policy, known, day.ordinal)
        state, one = stepped(state, day, replace(setup, in_force=now))
        steps.append(one)
        for row in (r for r in one.rows if r["kind"] == "escalation"):
            event = _event(one, row)
            if replies:
                call = Call(row["call"])
                reply = standing(row["id"], call, scripted(call, state, day), session=day.ordinal)
                told, taken = _tried(history, setup, known, reply, day)
                event, known = event | told, (*known, reply) if taken else known
            events.append(event)
    return Course(steps, events)


def under(policy: Policy, known: Sequence[Standing], ordinal: int) -> InForce | None:
    """What replies make of the session of this ordinal; None where none holds."""
    if not any(each.holds(ordinal) for each in known):
        return None
    return _composed(policy, known, ordinal)


def _composed(policy: Policy, known: Sequence[Standing], ordinal: int) -> InForce:
    features = frozenset(FEATURES)
    return compose(policy, known, session=ordinal, features=features, training=Training())


def _tried(
    history: History, setup: Setup, known: tuple[Standing, ...], reply: Standing, day: Day
) -> tuple[dict[str, Any], bool]:
    """A reply through the sandbox: what is told of it, and whether it is taken."""
    own = _composed(setup.policy, (reply,), reply.from_session)
    whole = _composed(setup.policy, (*known, reply), reply.from_session)
    escalation = history.context.settings.escalation
    found = audit(
        history.panel,
        setup.policy,
        whole,
        mode=MODE,
        hints=setup.hints,
        cache=history.context.home.kernels,
        sessions=escalation.sandbox_sessions,
        to=day.session,
        params=escalation.triggers,
    )
    changes = [{"key": c.key, "before": c.before, "after": c.after} for c in own.changes]
    told = {"changes": changes, "audited": found.sessions, "breaches": found.breaches}
    return told, found.ok


def scripted(call: Call, state: State, day: Day) -> Reply:
    """The scripted reply to a call, after the session `day` left the book as it stands.

    The auditor sees a crisis, cuts the buckets by `CUTS` and bars the position that has lost most;
    the engineer weighs drawdown more, which the next training would read; the judge keeps demo and
    no position above `POSITION`.
    """
    if call is Call.REGIME_AUDITOR:
        worst = worst_position(state, day)
        return AuditorReply(
            regime_label="crisis",
            blend_weights_delta=WeightsDelta(short=0.0, mid=0.0, rl=0.0),
            bucket_caps_delta=CUTS,
            do_not_trade_list=(worst,) if worst else (),
        )
    if call is Call.SANITY_JUDGE:
        changes = LiveChanges(max_position_pct=POSITION, stop_multipliers=None)
        return JudgeReply(stay_demo=True, live_changes=changes)
    return EngineerReply(
        reward_coefficients=RewardCoefficients(returns=0.5, turnover=0.2, drawdown=0.3),
        turnover_penalties=TurnoverPenalties(penalty_rate=0.02),
        disabled_features=(),
    )


def worst_position(state: State, day: Day) -> str:
    """The open position with the largest unrealised loss at the last prices; empty without one."""
    losses = {}
    for symbol, held in state.book.positions.items():
        price = day.bars[symbol].close if symbol in day.bars else day.last[symbol]
        losses[symbol] = held.quantity * held.multiplier * price - held.cost
    worst = min(sorted(losses), key=lambda symbol: losses[symbol], default="")
    return worst if worst and losses[worst] < 0 else ""


def _event(step: Stepped, row: Mapping[str, Any]) -> dict[str, Any]:
    mark = [r for r in step.rows if r["kind"] == "mark" and r["n"] < row["n"]][-1]
    facts = next(r["facts"] for r in step.rows if r["kind"] == "facts")
    return {
        "session": step.session,
        "at": mark["at"],
        **{name: row[name] for name in ("trigger", "joined", "call", "conditions")},
        "facts": {"day_pnl": mark["day_pnl"]} | {name: facts[name] for name in SHOWN},
    }


def hours_of(code: str) -> Hours:
    """Opening and close of an exchange's sessions."""
    opens: Callable[..., Any] = lru_cache(maxsize=None)(calendar.opens_at)
    closes: Callable[..., Any] = lru_cache(maxsize=None)(calendar.closes_at)
    return lambda session: (
        opens(code, session).to_pydatetime(),
        closes(code, session).to_pydatetime(),
    )
