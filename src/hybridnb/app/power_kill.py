"""The kill switch on planted truth: flat on the next bar, never before the limit, latched.

Random books are stepped as a session is traded, on bars whose prices are planted to the last
1/10,000 so that the day's P&L at a chosen mark is what a trial wants: at the limit, beyond it, or
just short of it. After every session the state is written as JSON and read back, as after a
restart. The bars around the plant are a random walk's, or real ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridnb.app.desk import Setup
from hybridnb.app.panel import Panel
from hybridnb.app.power_books import STEP, planted, random_book, random_market, some_sessions
from hybridnb.app.progress import Say
from hybridnb.app.state import State, restored
from hybridnb.app.stretch import Stepped, stepped
from hybridnb.book import equity
from hybridnb.canonical import plain
from hybridnb.domain import Leg
from hybridnb.execution.paper import CLOSE, OPEN
from hybridnb.policy import Policy
from hybridnb.risk import opened

MARKS = (OPEN, CLOSE)
SHORT = 0.02499 / 0.025  # of the limit: the last hundredth of it isn't reached
BEYOND = (1.0001, 4.0)  # of the limit
QUIET = (-0.8, 0.999)  # losses of all other marks, of the limit


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the switch did in one trial.

    Attributes
    ----------
    tripped, late : bool
        At the planted mark; only after it.
    early : bool
        Before it, or an order to flatten came before it.
    flat : bool
        All that was held is gone at the open of the next bar, by the switch's own orders.
    latched : bool
        After the state was written as JSON and read back, and the session opened again.
    """

    tripped: bool
    late: bool
    early: bool
    flat: bool
    latched: bool


def measure_kill(
    seeds: Sequence[int], say: Say, *, panel: Panel | None = None, policy: Policy | None = None
) -> list[dict[str, Any]]:
    """How often the switch does what it must, and what it mustn't.

    Each seed makes four trials: the loss reaches the limit (to the 1/10,000 in every other one)
    or stops short of it (by 1/10,000 in every other one), at the open and at the close, after up
    to three sessions whose marks come near it.

    Parameters
    ----------
    seeds : sequence of int
    panel : Panel or None
        Real bars to plant in; None: a random walk.
    policy : Policy or None
        With the switch's limit; None: the default.

    Returns
    -------
    list of dict
        detector, plant, caught, tried, wanted (the share of `tried` that `caught` must be).
    """
    policy = policy or Policy()
    crossed: list[Outcome] = []
    short: list[Outcome] = []
    for n, seed in enumerate(seeds):
        for m, at in enumerate(MARKS):
            for reached, kept in ((True, crossed), (False, short)):
                rng, edge = np.random.default_rng([seed, m, int(reached)]), (seed + m) % 2 == 0
                market = random_market(rng) if panel is None else some_sessions(rng, panel)
                kept.append(trial(rng, market, policy, at=at, reached=reached, edge=edge))
        if n % 10 == 9:
            say(f"kill switch: {n + 1} of {len(seeds)} seeds")
    counted = (
        ("loss to the limit or beyond: tripped at that mark", [o.tripped for o in crossed], 1.0),
        ("loss to the limit or beyond: flat on the next bar", [o.flat for o in crossed], 1.0),
        ("latched after its state was written and read", [o.latched for o in crossed], 1.0),
        ("loss that stops short of the limit: tripped", [o.tripped or o.late for o in short], 0.0),
        ("marks before the planted one: tripped", [o.early for o in crossed + short], 0.0),
    )
    return [
        {"detector": "kill switch", "plant": plant, "caught": sum(found), "tried": len(found)}
        | {"wanted": wanted}
        for plant, found, wanted in counted
    ]


def trial(
    rng: np.random.Generator, market: Panel, policy: Policy, *, at: str, reached: bool, edge: bool
) -> Outcome:
    """One book through quiet sessions, the planted one and the next.

    Parameters
    ----------
    at : str
        The mark at which the loss is planted; bars that have only a close have one mark.
    reached : bool
        Whether it reaches the limit; with `edge` just so, or all but 1/10,000.
    """
    setup = Setup("plant", policy, "plant", "m", lambda day, state: np.full(len(day.symbols), 0.0))
    state, limit = random_book(rng, market, policy), -policy.risk.kill_day_pnl
    quiet = int(rng.integers(0, 4))
    states, steps = [state], []
    for n in range(quiet + 2):
        before = equity(state.book, {s: int(market.last[n, i]) for s, i in market.place.items()})
        losses = {mark: _whole(limit * before * rng.uniform(*QUIET)) for mark in MARKS}
        if n == quiet:
            share = rng.uniform(*BEYOND) if reached else SHORT
            first = _least(before, limit)
            far = first - (not reached) if edge else int(share * limit * before)
            losses[at] = far
            if _closes_only(market):
                losses = dict.fromkeys(MARKS, far)
        market = planted(market, state.book, n + 1, losses)
        state, step = stepped(state, market.day(n + 1), setup, compact=True)
        state = _read_back(state)
        states.append(state)
        steps.append(step)
    where = (quiet, OPEN if _closes_only(market) else at)
    return _outcome(states, steps, *where)


def _whole(loss: float) -> int:
    """A loss that leaves an equity which divides by `STEP` so."""
    return round(loss / STEP) * STEP


def _least(equity_before: int, limit: float) -> int:
    """The least whole loss that is at the limit or beyond it."""
    loss = int(limit * equity_before) - 2
    while -loss / equity_before > -limit:
        loss += 1
    return loss


def _closes_only(market: Panel) -> bool:
    held = market.prices[:4, :, market.present.all(axis=0)]
    return bool((held == held[0]).all())


def _read_back(state: State) -> State:
    return restored(json.loads(json.dumps(plain(state))))


def _outcome(states: Sequence[State], steps: Sequence[Stepped], n: int, at: str) -> Outcome:
    """What happened around mark `at` of session `n`; `states` begin before the first."""
    marks = [(k, row) for k, s in enumerate(steps) for row in s.rows if row["kind"] == "mark"]
    planted_at = next(i for i, (k, row) in enumerate(marks) if (k, row["at"]) == (n, at))
    early = any(row["killed"] for _, row in marks[:planted_at])
    early |= any(_flattened(step) for step in steps[:n])
    tripped = bool(marks[planted_at][1]["killed"])
    after = any(row["killed"] for _, row in marks[planted_at:])
    held, closing = states[n].book.positions, n if at == OPEN else n + 1
    closed = _flattened(steps[closing])
    units = {row["symbol"]: row["quantity"] for row in closed}
    flat = tripped and not states[closing + 1].book.positions
    flat &= units == {s: abs(p.quantity) for s, p in held.items()}
    flat &= all(row["leg"] == Leg.FLATTEN for row in closed)
    risk = states[n + 1].risk
    again, alerts = opened(risk, risk.ordinal)
    return Outcome(
        tripped=tripped,
        late=after and not tripped,
        early=early,
        flat=flat,
        latched=tripped and risk.killed and again.killed and not alerts,
    )


def _flattened(step: Stepped) -> list[Mapping[str, Any]]:
    """Executions of a session; the book's only orders besides its legs are the switch's."""
    return [row for row in step.rows if row["kind"] == "fill"]
