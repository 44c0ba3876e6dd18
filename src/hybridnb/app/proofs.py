"""Evidence about a day's model: leaks, drift, noise, overfitting, outcomes of its probabilities."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.context import Context
from hybridnb.app.history import History
from hybridnb.app.panel import Panel
from hybridnb.app.predicting import outcomes
from hybridnb.app.progress import Say
from hybridnb.app.rivals import rivals
from hybridnb.app.training import Model
from hybridnb.domain import Status
from hybridnb.gates import leakage
from hybridnb.gates.evidence import Check
from hybridnb.gates.overfit import pbo_check
from hybridnb.gates.sentinel import Material, ridge, sentinel
from hybridnb.learning.labels import forward_up
from hybridnb.market.assemble import until
from hybridnb.market.features import FEATURES, WARM_UP, features
from hybridnb.splits import walk_forward

RECENT = 400  # sessions on which the windowing check computes features again
SENTINEL_ROWS = 10_000  # latest rows that the sentinel shuffles: hundreds of fits stay seconds


def calibration(
    context: Context, panel: Panel, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.str_]]:
    """Outcomes, calibrated probabilities and regimes of the held-out sessions, in time order."""
    frame = context.features[["symbol", "session"]].assign(
        y=outcomes(context, context.features, context.market.bars, side="long")
    )
    wide = frame.pivot(index="session", columns="symbol", values="y")
    wide = wide.reindex(index=panel.sessions[rows], columns=list(panel.symbols))
    y, p = wide.to_numpy(np.float64).ravel(), panel.columns["win_long"][rows].ravel()
    regime = np.repeat(np.array(panel.regimes, "U")[rows], len(panel.symbols))
    known = np.isfinite(y) & np.isfinite(p)
    return y[known], p[known], regime[known]


def leaks(context: Context, model: Model) -> list[Check]:
    """The five checks of the features, labels, folds and scaling behind a model."""
    market, period = context.market, context.settings.policy.stops.atr_period
    keys = context.features[["symbol", "session"]]
    cut = context.sessions[max(0, len(context.sessions) - RECENT - WARM_UP)]
    recent = market.bars[market.bars["session"] >= cut].reset_index(drop=True)
    small = replace(market, bars=recent)

    def compute(session: pd.Timestamp) -> pd.DataFrame:
        return features(until(small, session), atr_period=period)[["symbol", "session", *FEATURES]]

    whole = compute(recent["session"].max())
    found = [leakage.time_order(market.bars), leakage.windowing(compute, whole)]
    for which in ("short", "mid"):
        params = context.learning
        horizon = getattr(params, which).horizon
        checked = leakage.label_alignment(keys, forward_up(market.bars, horizon), horizon)
        found.append(_named(checked, which))
        folds = [
            (_number(context, f["train_end"]) + 1, _number(context, f["test_start"]))
            for f in model.meta["folds"][which]
        ]
        embargo = math.floor(params.walk_forward.embargo * (len(context.sessions) - 2 * WARM_UP))
        found.append(_named(leakage.cut_off(folds, horizon=horizon, embargo=embargo), which))
    return [*found, _scaling(context, model)]


def _number(context: Context, session: str) -> int:
    return int(context.sessions.get_indexer_for(pd.DatetimeIndex([session]))[0])


def _scaling(context: Context, model: Model) -> Check:
    """The recurrent network was standardised by its labelled training rows and no others."""
    fitted, given = [], []
    for which in ("short", "mid"):
        network = model.predictor(which)
        if not hasattr(network, "mean"):
            continue
        seen = context.features["session"] <= pd.Timestamp(model.trained_to)
        bars = context.market.bars[seen.to_numpy()]
        known = np.isfinite(forward_up(bars, getattr(context.learning, which).horizon))
        rows = context.features.loc[seen.to_numpy(), list(FEATURES)][known]
        fitted.append(np.asarray(network.mean))
        given.append(np.nanmean(rows.to_numpy(np.float64), axis=0))
    return leakage.scaling(fitted, given)


def _named(check: Check, which: str) -> Check:
    return replace(check, name=f"{check.name}, {which}")


def noise(context: Context, *, say: Say) -> list[Check]:
    """The sentinel over features, labels and splits of the short predictor, with a fast probe."""
    horizon = context.learning.short.horizon
    every, bars = context.features, context.market.bars
    sizes = every.groupby("session").size()[::-1].cumsum()
    first = sizes.index[sizes <= SENTINEL_ROWS].min()
    rows = (every["session"] >= first).to_numpy()
    sessions = every.loc[rows, "session"].to_numpy("datetime64[D]")
    later = bars.groupby("symbol", sort=False)["close"].shift(-horizon)
    given = Material(
        features=every.loc[rows, list(FEATURES)].to_numpy(np.float64),
        labels=forward_up(bars, horizon)[rows],
        forward=(later / bars["close"] - 1.0).to_numpy(np.float64)[rows],
        sessions=sessions,
        symbols=every.loc[rows, "symbol"].to_numpy(dtype="U"),
        folds=_folds(context, sessions, horizon),
        horizon=horizon,
    )
    return list(sentinel(ridge, given, seed=context.seed, say=say))


def _folds(
    context: Context, sessions: NDArray[np.datetime64], horizon: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to train and to test on, apart as the predictors' own folds are."""
    walk = context.learning.walk_forward
    days, at = np.unique(sessions, return_inverse=True)
    found = walk_forward(
        len(days),
        splits=walk.splits,
        purge=max(walk.purge, horizon),
        embargo=walk.embargo,
        min_train=min(walk.min_train, max(50, len(days) // 3)),
    )
    return [
        (
            np.flatnonzero(at < fold.train_end),
            np.flatnonzero((at >= fold.test_start) & (at < fold.test_end)),
        )
        for fold in found
    ]


def overfitting(history: History, tested: pd.Series[float], *, say: Say) -> Check:
    """PBO among the policy and its rivals, once the replay of the policy gives the backtest.

    Parameters
    ----------
    tested : Series
        Daily net returns of the backtest, over the history's sessions.
    """
    found = rivals(history, say=say)
    if found.note:
        return Check("PBO", Status.INSUFFICIENT_EVIDENCE, found.note, 0)
    own = found.returns[found.operator].to_numpy()
    apart = np.abs(own - tested.to_numpy()).max() if len(own) == len(tested) else math.inf
    if apart > 1e-12:  # of a return: both are ratios of whole numbers
        why = "the replay of the policy isn't its backtest: `hybridnb compare` shows where"
        return Check("PBO", Status.FAIL, why, len(own))
    return pbo_check(found.returns.to_numpy())
