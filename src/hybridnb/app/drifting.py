"""Drift of a day's features, and the trainings that it blocks."""

from __future__ import annotations

import pandas as pd

from hybridnb.app.context import Context
from hybridnb.app.progress import Say
from hybridnb.domain import Status
from hybridnb.gates.drift import drift
from hybridnb.gates.evidence import Check
from hybridnb.market.features import FEATURES, WARM_UP

PRESENT = 250  # sessions that are compared with those before them


def drifts(context: Context, *, to: pd.Timestamp | None = None) -> list[Check]:
    """The last sessions against those before, on market-wide means of each feature.

    One row a session: names of one session aren't independent of each other.

    Parameters
    ----------
    to : Timestamp, optional
        The last session that is looked at; the context's by default.
    """
    reference, current = compared(context, to=to)
    return list(drift(reference, current, seed=context.seed))


def compared(
    context: Context, *, to: pd.Timestamp | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two stretches that `drifts` compares: one row a session, one column a feature."""
    return _two(_means(context), to)


def training_end(context: Context, to: pd.Timestamp, say: Say) -> pd.Timestamp:
    """The last session that a training may see: `to`, or the last one before a critical drift.

    A drift that has lasted for `PRESENT` sessions blocks no longer: nothing would be left that
    a model could be trained on. The gate of drift keeps that model out of the live modes.

    Parameters
    ----------
    to : Timestamp
        An aligned session.
    """
    if not context.settings.day.drift_blocks_training:
        return to
    means, latest = _means(context), ""
    rows = [row for row in context.aligned if context.sessions[row] <= to]
    last = rows[-1]
    for row in reversed(rows):
        if last - row > PRESENT:
            break
        end = pd.Timestamp(context.sessions[row])
        drifted = _critical(context, means, end)
        if not drifted:
            if end < to:
                say(f"critical drift of {latest}: the model of {end:%Y-%m-%d} stays")
            return end
        latest = latest or drifted
    say(f"critical drift of {latest} for {PRESENT} sessions: trained across it, for DEMO only")
    return to


def _critical(context: Context, means: pd.DataFrame, to: pd.Timestamp) -> str:
    """The first feature that drifted critically by a session; empty without any."""
    reference, current = _two(means, to)
    for name in reference.columns:  # one after another: mostly the first says enough
        (check,) = drift(reference[[name]], current[[name]], seed=context.seed)
        if check.status is Status.FAIL:
            return check.name
    return ""


def _means(context: Context) -> pd.DataFrame:
    mean = context.features.groupby("session")[list(FEATURES)].mean()
    return mean.drop(columns=["rank_5", "rank_20"])  # their mean over names is constant


def _two(means: pd.DataFrame, to: pd.Timestamp | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The sessions before the last, from the first whose features are whole; the last."""
    seen = means if to is None else means.loc[:to]
    seen = seen.loc[:, seen.std() > 0.0]
    start = max(0, len(seen) - PRESENT)
    return seen.iloc[WARM_UP:start], seen.iloc[start:]
