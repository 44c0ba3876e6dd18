"""What a session's result owes to each assumption of the paper venue: stepped again, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from hybridnb.app.desk import Setup
from hybridnb.app.panel import Day
from hybridnb.app.records import Recorder
from hybridnb.app.session import step
from hybridnb.app.state import State
from hybridnb.domain import SCALE
from hybridnb.policy import Costs

# Assumption, and the cost parameters that make it up.
ASSUMPTIONS: Mapping[str, tuple[str, ...]] = {
    "half spread": ("half_spread_core", "half_spread_fno", "half_spread_penny"),
    "impact": ("impact",),
    "latency": ("latency_ms",),
    "participation": ("participation",),
    "commission": ("commission_per_share", "commission_minimum"),
}


def sensitivity(state: State, day: Day, setup: Setup) -> pd.DataFrame:
    """The session again with each assumption at half and at twice its value, one at a time.

    Parameters
    ----------
    state : State
        Before the session.

    Returns
    -------
    DataFrame
        One row an assumption: its first parameter's value, and what the closing equity would
        have gained, in account units and in basis points of it.
    """
    base = _equity(state, day, setup)
    rows = []
    for name, parts in ASSUMPTIONS.items():
        row: dict[str, Any] = {"assumption": name, "value": getattr(setup.policy.costs, parts[0])}
        for title, factor in (("half", 0.5), ("twice", 2.0)):
            gained = _equity(state, day, _with(setup, parts, factor)) - base
            row[title] = gained / SCALE
            row[f"{title}_bps"] = 1e4 * gained / base
        rows.append(row)
    return pd.DataFrame(rows)


def _with(setup: Setup, parts: tuple[str, ...], factor: float) -> Setup:
    costs = setup.policy.costs.model_dump()
    changed = {name: costs[name] * factor for name in parts}
    if "participation" in changed:
        changed["participation"] = min(1.0, changed["participation"])
    policy = setup.policy.model_copy(update={"costs": Costs(**(costs | changed))})
    return replace(setup, policy=policy)


def _equity(state: State, day: Day, setup: Setup) -> int:
    record = Recorder(book="what-if", session=day.session, stamp={})
    step(state, day, setup, record)
    return int(record.rows[-1]["equity"])
