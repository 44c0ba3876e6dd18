"""Parameter sweeps: every combination of policy values replayed over one history.

One task is one combination. Names are never split over tasks, because caps and the kill switch
couple them. The tasks run through `joblib.Parallel`: on this machine's cores with the history as
memory maps, or on a Dask cluster that holds it once a worker.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import joblib
import numpy as np
import pandas as pd

from hybridnb import metrics
from hybridnb.app.kernels import MODE, kernel, ready, writable
from hybridnb.app.progress import Say
from hybridnb.app.workers import Workers, workers
from hybridnb.canonical import plain as reduced
from hybridnb.domain import SCALE
from hybridnb.errors import CheckFailed, ParamsError, UsageError
from hybridnb.policy import Policy, policy_values, validated
from hybridnb.replay.run import Hints, Replay, replay, rules
from hybridnb.replay.tape import Names, Tape

Grid = Mapping[str, Sequence[Any]]
FIGURES = ("equity", "sharpe", "max_drawdown", "trades", "fees", "slippage")
# What a history was made with, and what only a broker is sent past: trials of another value
# would be trials of the same.
UNREAD = ("mode", "lists.", "sip.symbol", "stops.atr_period", "safety.")


class SweepFailed(CheckFailed):
    """Some combinations failed; `frame` holds those that were finished."""

    def __init__(self, failed: Sequence[tuple[Mapping[str, Any], str]], frame: pd.DataFrame):
        self.frame = frame
        lines = [f"{shown(values)}: {why}" for values, why in failed]
        super().__init__(
            f"{len(failed)} of {len(failed) + len(frame)} combinations failed:\n"
            + "\n".join(lines),
            remedy="Leave these values out, or mend what they say; the others are finished.",
            details={
                "failed": [reduced({"values": values, "why": why}) for values, why in failed],
                "configurations": reduced(frame.to_dict("records")),
            },
        )


@dataclass(frozen=True)
class Task:
    """One combination and what its replay needs besides the history."""

    values: Mapping[str, Any]
    policy: Policy
    start: int
    stop: int
    plain: bool


@dataclass(frozen=True)
class Outcome:
    """What a combination came to, or why it came to nothing."""

    figures: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


def combinations(base: Policy, grid: Grid) -> list[tuple[dict[str, Any], Policy]]:
    """Every combination of the grid's values, the last key's changing fastest, as a policy.

    Raises
    ------
    UsageError
        For an empty grid.
    ParamsError
        For the first key that is unknown or that no replay reads, or a value out of range.
    """
    if not grid or not all(len(values) for values in grid.values()):
        raise UsageError(
            "a sweep needs at least one key with values",
            remedy="Give for instance --set stops.initial=1.5,1.8,2.1.",
        )
    for key, values in grid.items():
        if any(key == name or (name[-1] == "." and key.startswith(name)) for name in UNREAD):
            allowed = "a replay of a history that is made doesn't read it"
            raise ParamsError(key, list(values), allowed)
    rows = itertools.product(*grid.values())
    return [_policy(base, dict(zip(grid, row, strict=True))) for row in rows]


def _policy(base: Policy, values: dict[str, Any]) -> tuple[dict[str, Any], Policy]:
    nested = policy_values(base)
    for key, value in values.items():
        *path, last = key.split(".")
        at = nested
        for part in path:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise ParamsError(key, value, f"{part} has no keys")
        at[last] = value
    return values, validated(Policy, nested)


def sweep(
    tape: Tape,
    names: Names,
    base: Policy,
    grid: Grid,
    *,
    jobs: int = 1,
    dask: str = "",
    start: int = 1,
    stop: int | None = None,
    hints: Callable[[Policy], Hints] | None = None,
    plain: bool = False,
    say: Say,
) -> pd.DataFrame:
    """Replay a history under every combination of policy values, each from a new account.

    Predictions, calibrated probabilities and features stay those of the history.

    Parameters
    ----------
    tape, names, base
        Not changed; `base` gives every value that the grid doesn't.
    grid : mapping of str to sequence
        Values by dotted key, for instance "stops.initial".
    jobs : int
        Processes on this machine, -1 for one a core. 1 is this process.
    dask : str
        Address of a scheduler; its workers take the tasks, whatever `jobs` says.
    start, stop : int
        Rows to trade, as for `hybridnb.replay.run.replay`.
    hints : callable, optional
        `policy -> Hints`, sent to the workers.

    Returns
    -------
    DataFrame
        One row a combination in the order of `combinations`, the same for any number of
        processes: the grid's keys, the policy's id, `figures`.

    Raises
    ------
    UsageError, ParamsError
        Before anything is replayed.
    SweepFailed
        After the others are finished: it names the values that failed.
    Missing
        When `distributed` isn't installed, or no scheduler with workers answers.
    """
    stop = len(tape.days) if stop is None else stop
    chosen = combinations(base, grid)
    tasks = [Task(values, policy, start, stop, plain) for values, policy in chosen]
    tape = writable(tape)
    with workers(tape, jobs=jobs, dask=dask) as pool:
        if not plain and not dask:  # or every process would compile for itself
            run = kernel(plain=False, say=say)
            ready(run, tape, names, rules(base, MODE, verdict_valid=False))
        calls = (joblib.delayed(tried)(tape, names, hints, task) for task in tasks)
        outcomes = list(_gathered(pool, calls, tasks, say))
    return _frame(tasks, outcomes)


def tried(tape: Tape, names: Names, hints: Callable[[Policy], Hints] | None, task: Task) -> Outcome:
    """Replay one combination; an error is its outcome, so that the others go on."""
    try:
        tape = writable(tape)
        if hints is not None:  # a replay writes the views; the tape serves other tasks as well
            tape = replace(tape, rl=tape.rl.copy())
        cash = round(task.policy.opening_cash * SCALE)
        done = replay(
            tape,
            names,
            rules(task.policy, MODE, verdict_valid=False),
            cash=cash,
            start=task.start,
            stop=task.stop,
            hints=None if hints is None else hints(task.policy),
            run=kernel(plain=task.plain, say=lambda text: None),
        )
        return Outcome(figures(done, cash=cash, start=task.start, stop=task.stop))
    except Exception as error:  # noqa: BLE001 - told with the combination's values by the sweep
        return Outcome(error=f"{type(error).__name__}: {error}")


def figures(done: Replay, *, cash: int, start: int, stop: int) -> dict[str, Any]:
    """What a replay of rows `start` to before `stop` came to.

    Equity at the last close, fees and slippage in account units; sharpe a year, NaN where equity
    never changes; max_drawdown in [0, 1]; trades; sha256 of all that happened.
    """
    equity = np.concatenate([[cash], done.equity[start:stop]]) / SCALE
    fees, slippage = (int(done.fills[:, column].sum()) / SCALE for column in (7, 8))
    return {
        "equity": float(equity[-1]),
        "sharpe": metrics.sharpe(equity[1:] / equity[:-1] - 1.0),
        "max_drawdown": metrics.max_drawdown(equity),
        "trades": len(done.trades),
        "fees": fees,
        "slippage": slippage,
        "sha256": done.sha256,
    }


def shown(values: Mapping[str, Any]) -> str:
    """A combination in one line."""
    return ", ".join(f"{key} = {value}" for key, value in values.items())


def _gathered(
    pool: Workers, calls: Iterator[Any], tasks: Sequence[Task], say: Say
) -> Iterator[Outcome]:
    """Outcomes in the order of the tasks; those that died with their worker say so."""
    done = 0
    try:
        for task, outcome in zip(tasks, pool(calls), strict=True):
            done += 1
            came = outcome.error or f"equity {outcome.figures['equity']:,.2f}"
            say(f"sweep {done} of {len(tasks)}: {shown(task.values)}: {came}")
            yield outcome
    except pool.lost as error:
        why = f"not finished, because a worker died: {str(error).splitlines()[0]}"
        yield from (Outcome(error=why) for _ in tasks[done:])


def _frame(tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> pd.DataFrame:
    pairs = list(zip(tasks, outcomes, strict=True))
    columns = [*tasks[0].values, "policy", *FIGURES, "sha256"]
    rows = [{**t.values, "policy": t.policy.id, **o.figures} for t, o in pairs if not o.error]
    frame = pd.DataFrame(rows, columns=columns)
    failed = [(task.values, outcome.error) for task, outcome in pairs if outcome.error]
    if failed:
        raise SweepFailed(failed, frame)
    return frame
