"""The gate review of a day's model: evidence gathered, gates asked, the verdict recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb import metrics
from hybridnb.app.backtest import Backtest, backtest, held_out
from hybridnb.app.context import Context
from hybridnb.app.desk import Hints
from hybridnb.app.panel import Panel
from hybridnb.app.progress import Say, timed
from hybridnb.app.training import Model, outcomes
from hybridnb.app.trials import configuration, tried
from hybridnb.canonical import sha256
from hybridnb.gates import leakage
from hybridnb.gates.drift import drift
from hybridnb.gates.evidence import Check, Evidence
from hybridnb.gates.rules import review as reviewed
from hybridnb.gates.verdict import is_valid, verdict
from hybridnb.learning.labels import forward_up
from hybridnb.market.assemble import until
from hybridnb.market.features import FEATURES, WARM_UP, features

RECENT = 400  # sessions on which the windowing check computes features again
DRIFT_SESSIONS = 250  # sessions of the present that are compared with the training's


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A verdict with the curves behind it."""

    verdict: Mapping[str, Any]
    backtest: Backtest
    reliability: pd.DataFrame

    def statuses(self) -> pd.DataFrame:
        """One row a gate."""
        return pd.DataFrame(
            [{k: g[k] for k in ("name", "status", "reason")} for g in self.verdict["gates"]]
        )

    def export(self) -> dict[str, Any]:
        """What the day's index page shows of it."""
        equity = self.backtest.equity
        return {
            "verdict": dict(self.verdict),
            "equity": {
                "session": [f"{s:%Y-%m-%d}" for s in equity.index],
                "value": [round(float(v), 2) for v in equity],
            },
            "reliability": self.reliability.to_dict("list"),
        }


def review(context: Context, panel: Panel, model: Model, hints: Hints, *, say: Say) -> Reviewed:
    """Gather the evidence, ask the gates, and record the verdict once."""
    rows = held_out(context, panel, to=model.trained_to)
    with timed(f"backtest of {len(rows)} sessions", say):
        tested = backtest(context, panel, hints, rows=rows, model_version=model.version, say=say)
    y, p = _calibration(context, panel, rows)
    with timed("leakage and drift", say):
        leaks, drifts = _leakage(context, model), _drift(context, model)
    trials, variance = _trials(context, metrics.sharpe(tested.returns, per_year=1))
    evidence = Evidence(
        returns=np.asarray(tested.returns, np.float64),
        pnl=tested.pnl,
        outcomes=y,
        probabilities=p,
        trials=trials,
        trial_variance=variance,
        leakage=leaks,
        drift=drifts,
    )
    found = verdict(
        reviewed(evidence, seed=context.seed),
        model_version=model.version,
        session=context.session,
        ordinal=int(context.ordinals[-1]),
        digests={
            "data": context.market.digest,
            "features": context.feature_set,
            "policy": context.settings.policy.id,
            "code": _code(),
            "configuration": configuration(context, context.settings.policy.id),
        },
    )
    _record(context, found)
    return Reviewed(found, tested, _curve(y, p))


def _code() -> str:
    """Digest of every source file of the package, so that a verdict names the code it judged."""
    root = Path(__file__).resolve().parents[1]
    files = sorted(root.rglob("*.py"))
    return sha256([[str(f.relative_to(root)), sha256(f.read_bytes())] for f in files])


def _trials(context: Context, ratio: float) -> tuple[int, float | None]:
    """Configurations that were tried so far, this one included, and their Sharpe variance.

    Counted in the ledger: a trial that was reviewed or swept can't be forgotten.
    """
    found = tried(context) | {configuration(context, context.settings.policy.id): ratio}
    known = np.array([r for r in found.values() if math.isfinite(r)])
    return len(found), float(known.var(ddof=1)) if len(known) > 1 else None


def _record(context: Context, found: Mapping[str, Any]) -> None:
    ledger = context.ledger()
    if not ledger.rows("operations", kind="verdict", id=found["id"]):
        ledger.append("operations", [{"kind": "verdict", "feed": context.market.feed, **found}])


def find_verdict(context: Context, model: Model) -> Mapping[str, Any] | None:
    """The last recorded verdict that lets this model trade live on the day; None without one."""
    ordinal = int(context.ordinals[-1])
    found = context.ledger().rows("operations", kind="verdict", model_version=model.version)
    valid = [v for v in found if is_valid(v, model_version=model.version, ordinal=ordinal)]
    return valid[-1] if valid else None


def _calibration(
    context: Context, panel: Panel, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Outcomes and calibrated probabilities of the held-out sessions, in time order."""
    frame = context.features[["symbol", "session"]].assign(
        y=outcomes(context, context.features, context.market.bars, side="long")
    )
    wide = frame.pivot(index="session", columns="symbol", values="y")
    wide = wide.reindex(index=panel.sessions[rows], columns=list(panel.symbols))
    y, p = wide.to_numpy(np.float64).ravel(), panel.columns["win_long"][rows].ravel()
    known = np.isfinite(y) & np.isfinite(p)
    return y[known], p[known]


def _curve(y: NDArray[np.float64], p: NDArray[np.float64]) -> pd.DataFrame:
    if len(y) == 0:
        return pd.DataFrame({"count": [], "predicted": [], "observed": []}, dtype=float)
    bins = metrics.reliability(y, p)
    frame = pd.DataFrame(
        {"count": bins.count, "predicted": bins.predicted, "observed": bins.observed}
    )
    return frame[frame["count"] > 0].reset_index(drop=True)


def _leakage(context: Context, model: Model) -> list[Check]:
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


def _drift(context: Context, model: Model) -> list[Check]:
    """The last sessions against the training's, on market-wide means of each feature.

    One row a session: names of one session aren't independent of each other.
    """
    mean = context.features.groupby("session")[list(FEATURES)].mean()
    mean = mean.drop(columns=["rank_5", "rank_20"])  # their mean over names is constant
    mean = mean.loc[:, mean.std() > 0.0]
    start = len(mean) - DRIFT_SESSIONS
    return list(drift(mean.iloc[WARM_UP:start], mean.iloc[start:], seed=context.seed))
