"""`hybridnb sweep`: policy values tried on a feed's predicted history, each a recorded trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from hybridnb.app.context import Request, open_day
from hybridnb.app.history import History, open_history
from hybridnb.app.home import dask_address
from hybridnb.app.progress import Say, timed
from hybridnb.app.sweeping import FIGURES, Grid, SweepFailed, combinations, shown, sweep
from hybridnb.app.trials import record_trials, trial_rows
from hybridnb.canonical import plain as reduced
from hybridnb.errors import UsageError


def sweep_history(
    request: Request,
    choices: Sequence[str],
    *,
    first: str,
    last: str,
    jobs: int | None,
    dask: str,
    plain: bool,
    say: Say,
) -> dict[str, Any]:
    """Replay the predicted sessions under every combination of the choices.

    Parameters
    ----------
    choices : sequence of str
        "KEY=V1,V2,…": the policy's key, its values as in YAML.
    jobs : int, optional
        Processes; one a core where not given.
    dask : str
        Address of a scheduler; `HYBRIDNB_DASK` where empty.

    Returns
    -------
    dict
        feed, sessions (first and last), model, trials (rows new in the ledger), configurations
        (one record a combination).

    Raises
    ------
    UsageError, ParamsError, Missing
        Before anything is replayed.
    SweepFailed
        When a combination failed; the trials of the others are recorded.
    """
    context = open_day(request)
    policy, grid = context.settings.policy, parsed(choices)
    count = len(combinations(policy, grid))  # a mistake is told before the history is loaded
    history = open_history(context, first=first, last=last, say=say)
    with timed(f"{count} combinations", say):
        frame, written = _swept(
            history, grid, jobs=jobs or -1, dask=dask_address(dask), plain=plain, say=say
        )
    return {
        "feed": context.market.feed,
        "sessions": list(history.sessions),
        "model": history.model.version,
        "trials": written,
        "configurations": reduced(frame.to_dict("records")),
    }


def _swept(history: History, grid: Grid, **how: Any) -> tuple[pd.DataFrame, int]:
    """The finished combinations, and how many of them are new trials: recorded in any case."""
    context = history.context
    try:
        frame = sweep(
            history.tape,
            history.names,
            context.settings.policy,
            grid,
            start=history.start,
            stop=history.stop,
            hints=history.hints.under,
            **how,
        )
    except SweepFailed as error:
        record_trials(context, trial_rows(history, list(grid), error.frame))
        raise
    return frame, record_trials(context, trial_rows(history, list(grid), frame))


def parsed(choices: Sequence[str]) -> dict[str, list[Any]]:
    """The grid that the command line gives.

    Raises
    ------
    UsageError
        For a choice without a key, given twice, or whose values are no YAML.
    """
    import yaml

    grid: dict[str, list[Any]] = {}
    for choice in choices:
        key, equals, text = choice.partition("=")
        remedy = "Write it as --set stops.initial=1.5,1.8,2.1."
        if not key or not equals:
            raise UsageError(f"--set {choice!r} has no KEY=VALUES", remedy=remedy)
        if key in grid:
            raise UsageError(f"--set gives {key} twice", remedy="Give all its values at once.")
        try:
            grid[key] = yaml.safe_load(f"[{text}]")
        except yaml.YAMLError:
            raise UsageError(f"--set {choice!r} has unreadable values", remedy=remedy) from None
    return grid


def sweep_text(done: dict[str, Any]) -> str:
    """The combinations as a table, and how to keep one of them."""
    frame = pd.DataFrame(done["configurations"])
    table = frame.drop(columns=["policy", "sha256"]).round(4).to_string(index=False)
    best = frame.iloc[int(frame["sharpe"].astype(float).fillna(-math.inf).argmax())]
    keys = [c for c in frame.columns if c not in {"policy", "sha256", *FIGURES}]
    return (
        f"{table}\n\nhighest Sharpe ratio of {len(frame)}:"
        f" {shown({key: best[key] for key in keys})}."
        " The gates count every one of them as a trial."
    )
