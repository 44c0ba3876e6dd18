"""Eight stress scenarios, each stepped through the real decision and the paper venue.

A stretch of sessions that the models and the size hint never saw is stepped once as it was and
once in each scenario; a scenario with a window starts from the base's own state, since until then
the two are one. The predictors' outputs stay those of the base, see `stress_worlds`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.backtest import Rows
from hybridnb.app.context import Context
from hybridnb.app.desk import Hints, Setup
from hybridnb.app.panel import Panel
from hybridnb.app.progress import Say
from hybridnb.app.stress_runs import Run, Scenario, fills, run, scenario
from hybridnb.domain import Leg, OrderState
from hybridnb.errors import UsageError
from hybridnb.gates.courses import Course, course, loss_bps
from hybridnb.gates.evidence import Check
from hybridnb.gates.rules import SCENARIOS
from hybridnb.gates.shocks import SHOCKS, Shocks
from hybridnb.gates.stress import judged

# A year: long enough for a Sharpe ratio to mean something, short enough for nine runs.
SESSIONS = 252
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stressed:
    """What the scenarios came to.

    Attributes
    ----------
    checks : tuple of Check
        One a scenario, in the order of `SCENARIOS`.
    courses : mapping of str to Course
    windows : mapping of str to tuple
        The first and the last session of each scenario; none where no place for it was found.
    equity : DataFrame
        Account units at each close, by session; `base` and a column a scenario. NaN after a
        session that broke.
    seed : int
        Of the places.
    """

    checks: tuple[Check, ...]
    base: Course
    courses: Mapping[str, Course]
    windows: Mapping[str, tuple[str, str]]
    equity: pd.DataFrame
    seed: int

    def frame(self) -> pd.DataFrame:
        """The base and each scenario in a line: figures, kill switch, verdict and why."""
        lines = [_line("base", self.base) | {"verdict": "–", "why": "–"}]
        for check in self.checks:
            found = self.courses.get(check.name)
            told = _line(check.name, found) if found else {"scenario": check.name}
            lines.append(told | {"verdict": str(check.status), "why": check.detail})
        return pd.DataFrame(lines)


def _line(name: str, each: Course) -> dict[str, Any]:
    held = "held" if not each.unheld else f"didn't hold: {each.unheld[0]}"
    return {
        "scenario": name,
        "P&L": round(each.pnl, 2),
        "Sharpe": round(each.sharpe, 4),
        "drawdown": round(each.max_drawdown, 6),
        "trades": each.trades,
        "loss bps": round(each.loss_bps, 4),
        "touched": each.touched,
        "limits": "held" if not each.breaches else f"{len(each.breaches)} broken",
        "kill switch": f"{held}, {each.kills} trips" if each.kills else held,
    }


def stress(
    context: Context,
    panel: Panel,
    hints: Hints,
    *,
    rows: Rows,
    model_version: str,
    seed: int,
    say: Say,
    shocks: Shocks = SHOCKS,
) -> Stressed:
    """Step the last sessions of `rows` as they were, and in each of the eight scenarios.

    Parameters
    ----------
    panel : Panel
        Of the whole of `context.market`, with predictions.
    rows : ndarray, shape (k,)
        Held-out rows of the panel, in order; the last `SESSIONS` are stepped, from a new account
        in DEMO: what is tested is the decision, not the permission to trade live.
    seed : int
        Of the places at which a scenario with a window begins: any session before which the base
        held something, for stuck exits any in which it closed something.

    Raises
    ------
    UsageError
        Without a row, or with one that has no session before it, lies after the panel's last or
        not after the one before it.
    """
    rows = np.asarray(rows, np.int64)[-SESSIONS:]
    inside = len(rows) > 0 and rows[0] >= 1 and rows[-1] < len(panel.sessions)
    if not inside or np.any(rows[1:] <= rows[:-1]):
        raise UsageError(
            "a stress replay needs sessions of the panel in order, with one before them"
        )
    setup = Setup("stress", context.settings.policy, "stress", model_version, hints)
    whole = Scenario(panel, setup, 0, len(rows) - 1)
    say(f"stress: {len(rows)} sessions as they were")
    base = run(whole, rows)
    runs: dict[str, tuple[Scenario, Run]] = {}
    for n, name in enumerate(SCENARIOS):
        rng = np.random.default_rng([seed, n])
        found = scenario(name, context, whole, base, rows, rng=rng, shocks=shocks)
        if found is not None:
            say(f"stress: {name}, {panel.sessions[rows[found.first]]:%Y-%m-%d}")
            runs[name] = found, run(found, rows, since=base)
    sessions = panel.sessions[np.concatenate([rows[:1] - 1, rows])]
    return _stressed(sessions, context.settings.policy.opening_cash, base, runs, seed=seed)


def _stressed(
    sessions: pd.DatetimeIndex,
    cash: float,
    base: Run,
    runs: Mapping[str, tuple[Scenario, Run]],
    *,
    seed: int,
) -> Stressed:
    """Figures, verdicts and curves; `sessions` begins with the one before the first stepped."""
    plain = base.equity(cash)
    first = _course(plain, base, touched=_trades(base))
    courses, windows = {}, {}
    curves = {"base": plain}
    for name, (each, found) in runs.items():
        curve = found.equity(cash)
        a, b = each.first, min(each.last + 1, len(plain) - 2)
        whole = len(curve) == len(plain) == len(sessions)
        # One session more than it lasts: what a scenario held up happens in that one.
        loss = loss_bps(plain, curve, first=a + 1, last=b + 1) if whole else math.nan
        touched = _touched(name, each, found, base)
        courses[name] = _course(curve, found, touched=touched, loss=loss)
        windows[name] = (f"{sessions[a + 1]:%Y-%m-%d}", f"{sessions[each.last + 1]:%Y-%m-%d}")
        curves[name] = curve
    frame = pd.DataFrame({n: pd.Series(c, index=sessions[: len(c)]) for n, c in curves.items()})
    return Stressed(judged(first, courses), first, courses, windows, frame, seed)


def _course(equity: Floats, found: Run, *, touched: int, loss: float = 0.0) -> Course:
    return course(
        equity,
        trades=_trades(found),
        touched=touched,
        loss=loss,
        breaches=found.breaches,
        kills=sum(step.killed for step in found.steps),
        unheld=found.unheld,
        error=found.error,
    )


def _trades(found: Run) -> int:
    return len({row["client_id"] for row in fills(found.steps) if row["leg"] == Leg.ENTRY})


def _touched(name: str, each: Scenario, found: Run, base: Run) -> int:
    """What the scenario bore on: see `Course.touched`."""
    if name == "partial fills":
        orders = (row for step in found.steps for row in step.rows if row["kind"] == "order")
        return sum(row["state"] == OrderState.CANCELLED and row["filled"] > 0 for row in orders)
    if name in ("liquidity gone", "fee spike"):
        paid = "slippage" if name == "liquidity gone" else "commission"
        return sum(row[paid] > 0 for row in fills(found.steps))
    if name == "stuck position":  # exits that the base could make, and this one couldn't
        made = fills(base.steps[each.first : each.last + 1])
        return sum(Leg(row["leg"]).reduces for row in made)
    states = found.states[each.first : each.last + 1]
    return sum(len(state.book.positions) for state in states)
