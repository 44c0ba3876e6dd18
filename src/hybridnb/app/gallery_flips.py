"""What would have changed a decision: one input turned at a time, the whole decision made again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pandas as pd

from hybridnb.app.again import Recorded
from hybridnb.app.recorded_inputs import redecided

Row = Mapping[str, Any]
STEPS = 24  # looks on each side of a value
PRECISION = 1e-7  # of where a decision turns
# Inputs that a what-if turns: lowest and highest value, and what calm is where nothing is known.
TURNED = {
    **dict.fromkeys(("p_short", "p_mid", "rl", "win_long", "win_short"), (0.0, 1.0, 0.5)),
    "volatility_z": (-4.0, 8.0, 0.0),
    "sentiment": (-1.0, 1.0, 0.0),
    "liquidity": (0.0, 1.0, 1.0),
    "correlation": (-1.0, 1.0, 0.6),
    "annual_volatility": (0.01, 4.0, 0.2),
    "posture": (0.0, 1.0, 1.0),
}


def flips_of(one: Recorded, row: Row) -> pd.DataFrame:
    """As `Explored.flips`: input, was, at, becomes; one row a side on which something changes."""
    # Names that neither act nor are held take no room: without them a what-if costs less.
    kept = {
        symbol: each
        for symbol, each in one.decisions.items()
        if each["action"] != "HOLD" or each["inputs"]["held"] or symbol == row["symbol"]
    }
    calm = {n: 0.0 for n in ("var", "es") if row[n] is None}
    small = replace(one, rows=[r for r in one.rows if r["kind"] in _READ])
    asked = _Asked(small, kept, {**row, **calm})
    now, found = asked.outcome({}), []
    for name, (low, high, quiet) in TURNED.items():
        was = row["inputs"][name]
        start = quiet if was is None else was
        for end in (low, high):
            at = _nearest(asked, name, start, end, now)
            if at is not None:
                found.append((name, _nan(was), at, _said(asked.outcome({name: at}))))
    return pd.DataFrame(found, columns=["input", "was", "at", "becomes"])


_READ = ("session_opened", "policy", "inputs")


@dataclass(frozen=True)
class _Asked:
    """A decision that is made again with other inputs, among the others of its session."""

    one: Recorded
    kept: Mapping[str, Row]
    row: Row

    def outcome(self, changed: Mapping[str, float]) -> tuple[str, bool, str]:
        """Action, whether an order follows, and what bound or refused it."""
        mine = {**self.row, "inputs": {**self.row["inputs"], **changed}}
        rows = [mine if s == mine["symbol"] else each for s, each in self.kept.items()]
        again, _ = redecided(replace(self.one, rows=[*self.one.rows, *rows]))
        made = next(r for r in again if r["decision_id"] == mine["decision_id"])
        sized = made["size_post_risk"] or 0.0
        moves = made["action"] != "HOLD" and sized != (mine["inputs"]["held"] or 0.0)
        why = ", ".join(made["refusals"]) if made["refusals"] else f"{sized:.2%} of equity"
        return str(made["action"]), moves, why


def _nearest(
    asked: _Asked, name: str, start: float, end: float, now: tuple[str, bool, str]
) -> float | None:
    """The value between start and end, nearest to start, at which the outcome is another."""

    def other(value: float) -> bool:
        return asked.outcome({name: value})[:2] != now[:2]

    looks = [start + (end - start) * k / STEPS for k in range(STEPS + 1)]
    found = next((pair for pair in pairwise(looks) if other(pair[1])), None)
    if found is None:
        return None
    near, far = found
    while abs(far - near) > PRECISION:
        middle = (near + far) / 2.0
        near, far = (near, middle) if other(middle) else (middle, far)
    return far


def _said(outcome: tuple[str, bool, str]) -> str:
    action, moves, why = outcome
    if action == "HOLD":
        return "HOLD"
    return f"{action}, an order follows" if moves else f"{action}, nothing done: {why}"


def _nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
