"""A stress scenario put into a stretch of sessions, and the stretch stepped with it.

What a scenario does is in the bars, in the venue's rates or in its faults, so that the book pays
for it in the step that trades: nothing is added to a P&L afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.backtest import Rows
from hybridnb.app.context import Context
from hybridnb.app.desk import Setup
from hybridnb.app.panel import Panel
from hybridnb.app.state import State
from hybridnb.app.stress_checks import NOTHING_OWED, Owed, broken_limits, kill_faults
from hybridnb.app.stress_worlds import stressed_panel, world_of
from hybridnb.app.stretch import Stepped, new_account, stepped
from hybridnb.domain import Leg, Mode
from hybridnb.errors import HybridnbError
from hybridnb.execution.faults import NO_FAULTS, Faults
from hybridnb.gates.shocks import (
    SHOCKS,
    Shocks,
    World,
    data_gap,
    exchange_halt,
    flash_crash,
    funding_flip,
)
from hybridnb.policy import Costs

# What a broken step may raise; anything else is no finding about the step.
_BREAKS = (HybridnbError, ArithmeticError, AssertionError, LookupError, TypeError, ValueError)
# The venue assumes one spread of a class, which is its median too.
_SPREADS = ("half_spread_core", "half_spread_fno", "half_spread_penny")
_FEES = ("commission_per_share", "commission_minimum", "commission_maximum")


@dataclass(frozen=True, slots=True)
class Scenario:
    """How one scenario is stepped.

    Attributes
    ----------
    panel : Panel
        Its bars and what comes of them.
    setup : Setup
        With its policy and the venue's faults.
    first, last : int
        The sessions of the stretch it bears on, counted from 0; faults hold in them only.
    """

    panel: Panel
    setup: Setup
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch stepped to its end, or to where it broke.

    `states` are those before each session and after the last, `owed` what a tripped switch still
    had to close then; the rest is as in `Course`.
    """

    states: tuple[State, ...]
    owed: tuple[Owed, ...]
    steps: tuple[Stepped, ...]
    breaches: tuple[str, ...] = ()
    unheld: tuple[str, ...] = ()
    error: str = ""

    def equity(self, cash: float) -> NDArray[np.float64]:
        """Account units: the opening cash, then each close."""
        return np.array([cash, *(step.equity for step in self.steps)])


def run(each: Scenario, rows: Rows, *, since: Run | None = None) -> Run:
    """Step a scenario; with the base given from its state at the scenario's first session on."""
    start = each.first if since is not None else 0
    account = new_account(each.setup.policy, Mode.DEMO)
    states = list(since.states[: start + 1]) if since else [account]
    owed = list(since.owed[: start + 1]) if since else [NOTHING_OWED]
    steps = list(since.steps[:start]) if since else []
    breaches: list[str] = []
    unheld: list[str] = []
    calm, error = replace(each.setup, faults=NO_FAULTS), ""
    for k in range(start, len(rows)):
        setup = each.setup if each.first <= k <= each.last else calm
        day = each.panel.day(int(rows[k]))
        try:
            state, step = stepped(states[-1], day, setup, compact=True)
        except _BREAKS as problem:
            error = f"{day.session}: {type(problem).__name__}: {problem}"
            break
        faults, left = kill_faults(states[-1], state, step, day, setup, owed[-1])
        breaches += broken_limits(state, step)
        unheld += faults
        owed.append(left)
        states.append(state)
        steps.append(step)
    return Run(tuple(states), tuple(owed), tuple(steps), tuple(breaches), tuple(unheld), error)


def fills(steps: Sequence[Stepped]) -> list[Mapping[str, Any]]:
    """Rows of all executions of some sessions."""
    return [row for step in steps for row in step.rows if row["kind"] == "fill"]


def scenario(
    name: str,
    context: Context,
    whole: Scenario,
    base: Run,
    rows: Rows,
    *,
    rng: np.random.Generator,
    shocks: Shocks,
) -> Scenario | None:
    """A scenario put into the base's stretch; None where no session can take its window."""
    if name == "partial fills":
        return replace(whole, setup=replace(whole.setup, faults=Faults(filled=shocks.filled)))
    if name == "liquidity gone":
        return replace(whole, setup=_dearer(whole.setup, _SPREADS, shocks.spread))
    if name == "fee spike":
        return replace(whole, setup=_dearer(whole.setup, _FEES, shocks.fees))
    length = window(name, shocks)
    first = _place(base, length, exits=name == "stuck position", rng=rng)
    if first is None:
        return None
    placed = replace(whole, first=first, last=first + length - 1)
    if name == "stuck position":
        return replace(placed, setup=replace(whole.setup, faults=Faults(no_exits=True)))
    bars = _bars(name, whole.panel, base.states[first], int(rows[first]), shocks)
    return replace(placed, panel=stressed_panel(context, whole.panel, bars))


def window(name: str, shocks: Shocks = SHOCKS) -> int:
    """Sessions of a scenario that doesn't last the whole stretch."""
    return {
        "flash crash": shocks.fall_bars + shocks.rise_bars,
        "stuck position": shocks.stuck,
        "exchange halt": shocks.halt,
        "funding flip": 1,
        "data gap": shocks.gap,
    }[name]


def _place(base: Run, length: int, *, exits: bool, rng: np.random.Generator) -> int | None:
    """A random session of those that a window may begin with: one follows it, for what it held up.

    Before it the base held something; with `exits` the base also closed something in it.
    """
    fit = range(len(base.steps) - length)
    held = [k for k in fit if base.states[k].book.positions]
    if exits:
        held = [k for k in held if _exits(base.steps[k : k + 1])]
    return int(rng.choice(held)) if held else None


def _bars(name: str, panel: Panel, state: State, row: int, given: Shocks) -> World:
    world = world_of(panel)
    if name == "flash crash":
        return flash_crash(world, row, shocks=given)
    if name == "exchange halt":
        return exchange_halt(world, row, shocks=given)
    if name == "data gap":
        return data_gap(world, row, shocks=given)
    held = state.book.positions
    signs = [np.sign(held[s].quantity) if s in held else 0 for s in panel.symbols]
    return funding_flip(world, row, signs, shocks=given)


def _exits(steps: Sequence[Stepped]) -> bool:
    return any(Leg(row["leg"]).reduces for row in fills(steps))


def _dearer(setup: Setup, parts: Sequence[str], factor: float) -> Setup:
    """The venue's rates in `parts` multiplied; a share of a value can't be above 1."""
    costs = setup.policy.costs.model_dump()
    changed = {name: costs[name] * factor for name in parts}
    if "commission_maximum" in changed:
        changed["commission_maximum"] = min(1.0, changed["commission_maximum"])
    dear = setup.policy.model_copy(update={"costs": Costs(**(costs | changed))})
    return replace(setup, policy=dear)
