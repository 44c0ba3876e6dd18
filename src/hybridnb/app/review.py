"""The gate review of a day's model: evidence gathered, gates asked, the verdict recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridnb import metrics
from hybridnb.app.backtest import Backtest, backtest, held_out
from hybridnb.app.books import find_book
from hybridnb.app.consistency import live_consistency
from hybridnb.app.context import Context
from hybridnb.app.desk import Hints
from hybridnb.app.drifting import drifts
from hybridnb.app.history import History
from hybridnb.app.panel import Panel
from hybridnb.app.progress import Say, timed, to_log
from hybridnb.app.proofs import calibration, leaks, noise, overfitting
from hybridnb.app.stressing import Stressed, stress
from hybridnb.app.training import Model
from hybridnb.app.trials import configuration, tried
from hybridnb.canonical import plain, sha256
from hybridnb.gates.calibration import POOLED, Report, calibrated_report
from hybridnb.gates.evidence import Evidence
from hybridnb.gates.rules import review as reviewed
from hybridnb.gates.verdict import verdict
from hybridnb.registry.artifacts import files_digest

RECENT = 400  # sessions on which the windowing check computes features again
DRIFT_SESSIONS = 250  # sessions of the present that are compared with the training's


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A verdict with the curves behind it."""

    verdict: Mapping[str, Any]
    backtest: Backtest
    stressed: Stressed
    calibrated: Report | None

    @property
    def reliability(self) -> pd.DataFrame:
        """Filled bins of all rows pooled: count, predicted, observed."""
        return reliability(self.calibrated)

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
            "stress": self.stressed.frame().to_dict("records"),
            "regimes": regimes(self.calibrated),
        }


def review(context: Context, panel: Panel, model: Model, hints: Hints, *, say: Say) -> Reviewed:
    """Gather the evidence, ask the gates, and record the verdict once."""
    rows = held_out(context, panel, to=model.trained_to)
    with timed(f"backtest of {len(rows)} sessions", say):
        tested = backtest(context, panel, hints, rows=rows, model_version=model.version, say=say)
    under = stressed(context, panel, model, hints, say=say)
    history = History(context, model, panel, int(rows[0]), int(rows[-1]) + 1)
    with timed("overfitting", say):
        overfit = overfitting(history, tested.returns, say=say)
    with timed("leakage, sentinel and drift", say):
        leaked, noisy, drifted = leaks(context, model), noise(context, say=say), drifts(context)
    y, p, regime = calibration(context, panel, rows)
    trials, variance = _trials(context, metrics.sharpe(tested.returns, per_year=1))
    book = find_book(context.ledger(), context)
    share, lived = live_consistency(context.ledger(), book, tested.returns, before=context.session)
    evidence = Evidence(
        returns=np.asarray(tested.returns, np.float64),
        pnl=tested.pnl,
        outcomes=y,
        probabilities=p,
        trials=trials,
        trial_variance=variance,
        pbo=overfit,
        stress=under.checks,
        leakage=leaked,
        sentinel=noisy,
        drift=drifted,
        live_share=share,
        live_sessions=lived,
    )
    report = calibrated_report(y, p, regime, seed=context.seed) if len(y) else None
    found = _verdict(context, model, evidence)
    _record(context, found, report)
    return Reviewed(found, tested, under, report)


def stressed(
    context: Context, panel: Panel, model: Model, hints: Hints, *, say: Say = to_log
) -> Stressed:
    """The eight scenarios over the held-out sessions."""
    with timed("stress, eight scenarios", say):
        return stress(
            *(context, panel, hints),
            rows=held_out(context, panel, to=model.trained_to),
            model_version=model.version,
            seed=context.seed,
            say=say,
        )


def _verdict(context: Context, model: Model, evidence: Evidence) -> dict[str, Any]:
    return verdict(
        reviewed(evidence, seed=context.seed),
        model_version=model.version,
        session=context.session,
        ordinal=int(context.ordinals[-1]),
        digests={
            "model": files_digest(model.files),
            "data": context.market.digest,
            "features": context.feature_set,
            "policy": context.settings.policy.id,
            "code": _code(),
            "configuration": configuration(context, context.settings.policy.id),
        },
    )


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


def _record(context: Context, found: Mapping[str, Any], report: Report | None) -> None:
    ledger = context.ledger()
    if not ledger.rows("operations", kind="verdict", id=found["id"]):
        curve: Any = plain(reliability(report).to_dict("records"))
        row = {"kind": "verdict", "feed": context.market.feed, "regimes": regimes(report)}
        ledger.append("operations", [row | {"reliability": curve} | dict(found)])


def reliability(report: Report | None) -> pd.DataFrame:
    """Filled bins of all rows pooled: count, predicted, observed."""
    names = ["count", "predicted", "observed"]
    if report is None:
        return pd.DataFrame(columns=names, dtype=float)
    every = report.curve_frame()
    pooled = every[(every["regime"] == POOLED) & (every["count"] > 0)]
    return pooled[names].reset_index(drop=True)


def regimes(report: Report | None) -> list[dict[str, Any]]:
    """Calibration by regime as plain values: None where a bound couldn't be drawn."""
    if report is None:
        return []
    frame = report.frame().astype(object)
    found: Any = plain(frame.where(frame.notna(), None).to_dict("records"))
    return list(found)
