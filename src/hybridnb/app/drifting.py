"""Drift of a day's features, and what an operator may have it stop."""

from __future__ import annotations

import pandas as pd

from hybridnb.app.context import Context
from hybridnb.domain import Status
from hybridnb.errors import Refused
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
    every = context.features
    seen = every if to is None else every[every["session"] <= to]
    mean = seen.groupby("session")[list(FEATURES)].mean()
    mean = mean.drop(columns=["rank_5", "rank_20"])  # their mean over names is constant
    mean = mean.loc[:, mean.std() > 0.0]
    start = len(mean) - PRESENT
    return list(drift(mean.iloc[WARM_UP:start], mean.iloc[start:], seed=context.seed))


def refuse_drifted(context: Context, to: pd.Timestamp) -> None:
    """Refuse a training across a critical drift, where the operator asks for it.

    Raises
    ------
    Refused
        Naming the features.
    """
    if not context.settings.day.drift_blocks_training:
        return
    critical = [check.name for check in drifts(context, to=to) if check.status is Status.FAIL]
    if critical:
        raise Refused(
            f"critical drift of {', '.join(critical)} to {to:%Y-%m-%d}: nothing is trained",
            remedy="Look into their source; drift_blocks_training: false in params/day.yml trains.",
        )
