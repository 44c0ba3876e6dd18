"""A recorded session run again, as far as what it was made of is still there.

Three ways, from the most to the least:

- computed: bars, features, facts, predictions and the hint, through the step that traded;
- predicted: the model is gone, so that predictions and the hint's view are the recorded ones, and
  everything else goes through the step;
- inputs: the bars are gone too; each decision is made again from its recorded inputs alone, with
  the recorded tail of the book.

What a broker did can't be done again: its fills are taken from the record and booked again, and
the decision and the orders it asked for are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from hybridnb.app.again import (
    Recorded,
    bare_panel,
    day_of,
    recorded_hints,
    served_model,
    setup_of,
)
from hybridnb.app.context import Context
from hybridnb.app.desk import Desk, Setup
from hybridnb.app.hinting import live_hints
from hybridnb.app.history import predicted_panel
from hybridnb.app.panel import Day
from hybridnb.app.rebooking import rebook
from hybridnb.app.recorded_inputs import redecided
from hybridnb.app.records import Recorder
from hybridnb.app.session import decided, open_desk, step
from hybridnb.app.setting_up import watching_of
from hybridnb.app.trading import detail_of, inputs_of
from hybridnb.app.verdicts import find_verdict
from hybridnb.canonical import plain, sha256
from hybridnb.policy import policy_values

Row = Mapping[str, Any]
# Facts that no bars tell: they come of predictions, news and a file.
_TOLD = ("ensemble_accuracy", "accuracy_baseline", "news_sentiment", "put_call_ratio")
# Of the session's settings only what bears on its rows is compared: the policy has its own row.
_SETTINGS = (
    *("inputs.learning", "inputs.schedule", "inputs.seed", "inputs.symbols", "inputs.policy"),
    *("inputs.facts", "inputs.broker", "inputs.data_through"),
)
# What only a model's outputs make: rows of the triggers, and outputs before they were ranked.
_UNKNOWN = (*("facts", "triggers", "escalation", "session_closed.snapshot.watch", "decision.raw."),)


class Way(StrEnum):
    """How much of a session could be made again."""

    COMPUTED = "computed again from the bars and the model"
    PREDICTED = "computed again from the bars; predictions and the hint's view as recorded"
    INPUTS = "decisions made again from their recorded inputs alone"


@dataclass(frozen=True)
class Rerun:
    """A session made again.

    Attributes
    ----------
    recorded, again : sequence of mapping
        Rows that are held against each other.
    skipped : tuple of str
        Dotted prefixes of `kind.field` that aren't compared.
    notes : tuple of str
        What couldn't be compared, and why.
    """

    way: Way
    recorded: Sequence[Row]
    again: Sequence[Row]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def rerun(context: Context | None, one: Recorded) -> Rerun:
    """Run a session again.

    Parameters
    ----------
    context : Context or None
        Opened at the session, or at a later one of the same feed; None: there are no bars.
    """
    why = _unfit(context, one)
    if context is None or why:
        return _from_inputs(one, why)
    if context.settings.policy != one.policy:  # what is computed already is kept otherwise
        context = replace(context, settings=replace(context.settings, policy=one.policy))
    model = served_model(context, one.model_version) if one.decisions else None
    found = predicted_panel(context, model) if model else bare_panel(context)
    day = found.day(found.position(one.session)) if model else _as_recorded(found, one)
    hints = live_hints(model.hint, context) if model else recorded_hints(one)
    setup, notes = setup_of(context, one, hints)
    if model or not one.decisions:
        verdict = find_verdict(context, model) if model else None
        setup = replace(setup, watching=watching_of(context, verdict))
    setup = replace(setup, experiment_id=sha256([setup.policy_id, setup.model_version])[:16])
    way = Way.COMPUTED if model or not one.decisions else Way.PREDICTED
    skipped = _skipped(way)
    notes += _other_settings(context, one)
    if way is Way.PREDICTED:
        notes += ("predictions, news and the hint's view: their model isn't there any more",)
    if one.broker:
        return _through_broker(context, one, day, setup, Rerun(way, (), (), skipped, notes))
    return Rerun(way, one.rows, _stepped(context, one, day, setup), skipped, notes)


def _unfit(context: Context | None, one: Recorded) -> str:
    """Why the bars at hand can't be the session's; empty where they may be."""
    if context is None:
        return "no bars were given"
    row = one.of_kind("inputs")[0]
    if row["feed"] != context.market.feed:
        return f"the feed at hand is {context.market.feed}, it was {row['feed']}"
    if one.session not in context.sessions.strftime("%Y-%m-%d"):
        return "the history at hand has no such session"
    return ""


def _other_settings(context: Context, one: Recorded) -> tuple[str, ...]:
    """Settings at hand that aren't the session's; its policy is taken from its own row."""
    row = one.of_kind("inputs")[0]
    other = [name for name, value in context.inputs.items() if row.get(name, value) != value]
    told = ", ".join(name for name in other if name != "policy")
    return (f"settings at hand differ from the session's: {told}",) if told else ()


def _as_recorded(found: Any, one: Recorded) -> Day:
    """The day with facts and prices of the bars, and the recorded predictions."""
    made, told = found.day(found.position(one.session)), day_of(found, one)
    kept = {name: values for name, values in told.columns.items() if name in _BARS}
    facts = {n: v if n in _TOLD else made.facts.get(n, np.nan) for n, v in told.facts.items()}
    columns = {**told.columns, **{name: made.columns[name] for name in kept}}
    return replace(told, columns=columns, facts=facts, regime=made.regime)


_BARS = ("close", "atr", "annual_volatility")


def _skipped(way: Way) -> tuple[str, ...]:
    return _SETTINGS if way is Way.COMPUTED else (*_SETTINGS, *_UNKNOWN)


def _stepped(context: Context, one: Recorded, day: Day, setup: Setup) -> list[dict[str, Any]]:
    record = _record(context, one, day, setup)
    step(one.state, day, setup, record)
    return record.rows


def _record(context: Context, one: Recorded, day: Day, setup: Setup) -> Recorder:
    """A recorder in memory, with the rows that open every session."""
    stamp = {
        "policy_id": setup.policy_id,
        "experiment_id": setup.experiment_id,
        "model_version": setup.model_version,
    }
    detail = detail_of(context, day) if setup.entries else None
    record = Recorder(book=one.book, session=one.session, stamp=stamp, detail=detail)
    facts = inputs_of(context, day, setup)
    record.add("inputs", feed=context.market.feed, **facts)
    policy = setup.traded_policy
    record.add("policy", policy_id=policy.id, values=policy_values(policy))
    return record


def _through_broker(context: Context, one: Recorded, day: Day, setup: Setup, told: Rerun) -> Rerun:
    """Decisions and the orders they asked for; fills booked again from the record."""
    first = next((r["n"] for r in one.rows if r["kind"] in ("decision", "universe")), None)
    before = [row for row in one.of_kind("operator") if first is None or row["n"] < first]
    actions = [action for action in setup.actions if action["id"] in {r["id"] for r in before}]
    setup = replace(setup, actions=actions)
    record = _record(context, one, day, setup)
    desk = Desk(one.state, replace(day, bars={}), setup, record)
    open_desk(desk)
    orders = decided(desk) if setup.entries else []
    kinds = ("session_opened", "policy", "decision", "universe", "decided_twice", "in_force")
    again = [row for row in record.rows if row["kind"] in kinds]
    again += [meant(plain(order)) for order in orders]
    recorded = [row for row in one.rows if row["kind"] in kinds]
    recorded += [meant(row) for row in first_orders(one)]
    then, now, notes = rebook(one)
    note = f"fills are {one.broker}'s: taken from the record, booked again"
    return replace(
        told,
        recorded=[*recorded, *then],
        again=[*again, *now],
        notes=(*told.notes, note, *notes),
    )


def first_orders(one: Recorded) -> list[Row]:
    """Orders that the session's decisions asked for, as they were meant: the first row of each."""
    asked: dict[str, Row] = {}
    for row in one.of_kind("order"):
        if row["leg"] in ("entry", "exit") and f"-{one.session}-" in row["decision_id"]:
            asked.setdefault(row["client_id"], row)
    return list(asked.values())


def meant(order: Row) -> dict[str, Any]:
    """What an order says of the decision, without what became of it."""
    names = ("client_id", "symbol", "side", "quantity", "type", "leg", "decision_id")
    return {"kind": "order", **{name: order[name] for name in names}}


def _from_inputs(one: Recorded, why: str) -> Rerun:
    """Decisions from their inputs; fills booked again."""
    again, fields = redecided(one)
    recorded = [{k: row[k] for k in ("kind", *fields)} for row in one.decisions.values()]
    then, now, notes = rebook(one)
    lost = "orders, fills and marks need the bars, inputs and the tail need the model and the bars"
    return Rerun(
        Way.INPUTS,
        [*recorded, *then],
        [*again, *now],
        notes=(f"{why}: {lost}", *notes),
    )
