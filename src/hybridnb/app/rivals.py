"""Rivals of the operator's policy on the sessions no model saw: what PBO is measured on.

The rivals are the policy's neighbours on a small grid and every policy of an earlier sweep that
can be made again from the operator's. Each is replayed under the same predictions, and each is a
recorded trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.app.history import History
from hybridnb.app.kernels import MODE, kernel
from hybridnb.app.progress import Say
from hybridnb.app.sweeping import combinations, figures
from hybridnb.app.trials import record_trials, trial_rows
from hybridnb.domain import SCALE
from hybridnb.errors import ParamsError
from hybridnb.policy import Policy, policy_values
from hybridnb.replay.run import replay, rules

# Multiples of the operator's own values: near enough to have been chosen instead.
NEIGHBOURS: Mapping[str, tuple[float, ...]] = {
    "stops.initial": (0.8, 1.0, 1.25),
    "blend.buy": (0.97, 1.0, 1.03),
}
MOST = 64  # policies replayed: the neighbours, then the latest of earlier sweeps
PLAIN = 2_000_000  # bars of all replays together, up to which compiling wouldn't pay

Chosen = tuple[dict[str, Any], Policy]


@dataclass(frozen=True)
class Rivals:
    """Daily net returns of each policy over the same sessions, and which one is the operator's.

    Attributes
    ----------
    returns : DataFrame, shape (sessions, policies)
        Columns are policy ids.
    values : mapping
        Values by key that make each policy differ from the operator's.
    note : str
        Why there are no rivals, where there are none.
    """

    returns: pd.DataFrame
    values: Mapping[str, Mapping[str, Any]]
    operator: str
    note: str = ""


def rivals(history: History, *, say: Say) -> Rivals:
    """Replay the operator's policy and its rivals over the history's sessions; record the trials.

    A policy whose rules a replay doesn't know has no rivals, and the note says so.
    """
    operator = history.context.settings.policy
    try:
        rules(operator, MODE, verdict_valid=False)
    except ParamsError as error:
        return Rivals(pd.DataFrame(), {}, operator.id, str(error))
    chosen = _chosen(history, operator)
    plain = history.bars * len(chosen) <= PLAIN
    returns: dict[str, Any] = {}
    trials: list[dict[str, Any]] = []
    for n, (values, policy) in enumerate(chosen, 1):
        equity, came = _replayed(history, policy, plain=plain, say=say)
        returns[policy.id] = equity[1:] / equity[:-1] - 1.0
        frame = pd.DataFrame([{**values, "policy": policy.id, **came}])
        trials += trial_rows(history, list(values), frame)
        if n % 10 == 0 or n == len(chosen):
            say(f"policies replayed: {n} of {len(chosen)}")
    record_trials(history.context, trials)
    sessions = history.panel.sessions[history.start : history.stop]
    table = pd.DataFrame(returns, index=sessions)
    return Rivals(table, {policy.id: values for values, policy in chosen}, operator.id)


def _chosen(history: History, operator: Policy) -> list[Chosen]:
    """The operator's policy first, then the others, none twice."""
    found: dict[str, Chosen] = {operator.id: ({}, operator)}
    for values, policy in _neighbours(operator) + _swept(history, operator):
        found.setdefault(policy.id, (values, policy))
    return list(found.values())[:MOST]


def _neighbours(operator: Policy) -> list[Chosen]:
    """All combinations of neighbouring values that make a valid policy."""
    given = policy_values(operator)
    grid: dict[str, list[float]] = {}
    for key, factors in NEIGHBOURS.items():
        section, name = key.split(".")
        value = float(given[section][name])
        grid[key] = [v for v in (round(value * f, 6) for f in factors) if _valid(operator, key, v)]
    return combinations(operator, grid)


def _valid(operator: Policy, key: str, value: float) -> bool:
    try:
        combinations(operator, {key: [value]})
    except ParamsError:
        return False
    return True


def _swept(history: History, operator: Policy) -> list[Chosen]:
    """Policies of earlier sweeps on the feed, the latest first, where they can be made again."""
    rows: Sequence[Mapping[str, Any]] = history.context.ledger().rows(
        "operations", kind="trial", feed=history.context.market.feed
    )
    found: list[Chosen] = []
    for row in rows[::-1]:
        if not row["values"]:
            continue
        try:
            made = combinations(operator, {key: [value] for key, value in row["values"].items()})
        except ParamsError:  # a key or a range of an earlier version
            continue
        found += [each for each in made if each[1].id == row["policy"]]
    return found


def _replayed(
    history: History, policy: Policy, *, plain: bool, say: Say
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], dict[str, Any]]:
    """Equity from the opening cash on, shape (sessions + 1,), and the figures of a trial."""
    cash = round(policy.opening_cash * SCALE)
    done = replay(
        history.tape,
        history.names,
        rules(policy, MODE, verdict_valid=False),
        cash=cash,
        start=history.start,
        stop=history.stop,
        hints=history.hints.under(policy),
        run=kernel(plain=plain, say=say),
    )
    equity = np.concatenate([[cash], done.equity[history.start : history.stop]]) / SCALE
    return equity, figures(done, cash=cash, start=history.start, stop=history.stop)
