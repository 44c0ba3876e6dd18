"""`hybridnb gates`: a model's newest verdict, figure by figure, and the presets beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.success import success_frame
from hybridnb.app.views import gates as gate_frame
from hybridnb.domain import Status
from hybridnb.errors import Missing
from hybridnb.gates.evidence import Check, Figure, Gate, as_dict
from hybridnb.gates.presets import Measured, Review, Success, review
from hybridnb.gates.presets import success as kept
from hybridnb.gates.rules import SENTINEL
from hybridnb.gates.verdict import is_valid

Row = Mapping[str, Any]


def read_gates(model_id: str = "") -> dict[str, Any]:
    """The newest verdict on a model, or of all.

    Returns
    -------
    dict
        model_version, session, status, ordinal, valid_until, valid (it was a PASS as recorded),
        gates, regimes (calibration by regime), presets.

    Raises
    ------
    Missing
        When there is none.
    """
    ledger = open_ledger()
    match = {"model_version": model_id} if model_id else {}
    found = ledger.rows("operations", kind="verdict", **match)
    if not found:
        known = sorted({r["model_version"] for r in ledger.rows("operations", kind="verdict")})
        raise Missing(
            f"no verdict on {model_id or 'any model'} is recorded",
            remedy=f"Take one of: {', '.join(known)}." if known else "Run `hybridnb day` first.",
        )
    row = found[-1]
    shown = ("model_version", "feed", "session", "status", "ordinal", "valid_until", "gates")
    valid = is_valid(row, model_version=row["model_version"], ordinal=int(row["ordinal"]))
    return {
        **{name: row[name] for name in shown},
        "valid": valid,
        "regimes": list(row.get("regimes", [])),
        "presets": as_dict(presets(row)),
    }


def presets(row: Row) -> tuple[Gate, Gate]:
    """A verdict's figures against the bars of a review, and of success.

    What a verdict doesn't hold isn't known: a latency, the drawdown of paper trading (its own is
    the backtest's), the hit rate on liquid names (its win rate is of all).
    """
    every = {f["name"]: f for gate in row["gates"] for f in gate["figures"]}

    def told(name: str) -> Measured | None:
        found = every.get(name)
        known = found is not None and found["value"] is not None
        return Measured(found["value"], found["n"]) if found and known else None

    scores = {r["regime"]: Measured(r["brier"], r["n"]) for r in row.get("regimes", [])}
    return (
        review(
            Review(
                sharpe=told("Sharpe"),
                brier={name: score for name, score in scores.items() if name != "pooled"},
                sentinel=_sentinel(every.values()),
            )
        ),
        kept(
            Success(
                sharpe=told("Sharpe"),
                drawdown=told("drawdown"),
                pbo=told("PBO"),
            )
        ),
    )


def _sentinel(figures: Any) -> list[Check]:
    status = {True: Status.PASS, False: Status.FAIL, None: Status.INSUFFICIENT_EVIDENCE}
    return [
        Check(f["name"], status[f["passed"]], f["source"], f["n"], f["value"], f["threshold"])
        for f in figures
        if f["name"] in SENTINEL
    ]


def gates_text(done: Mapping[str, Any]) -> str:
    """The verdict for a terminal."""
    span = f"sessions {done['ordinal']} to {done['valid_until']}"
    parts = [
        f"{done['model_version']} on {done['feed']}, reviewed for {done['session']}:"
        f" {done['status']}" + (f", holds for {span}" if done["valid"] else ": no live order"),
        gate_frame(done).round(4).fillna("–").to_string(index=False),
    ]
    if done["regimes"]:
        parts.append("calibration by regime\n" + _table(done["regimes"]))
    for preset in done["presets"]:
        title = f"preset {preset['name']}: {preset['status']} ({preset['reason']})"
        parts.append(f"{title}\n{_figures(preset['figures'])}")
    return "\n\n".join(parts)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    return pd.DataFrame(rows).round(4).fillna("–").to_string(index=False)


def _figures(figures: Sequence[Mapping[str, Any]]) -> str:
    return success_frame([Figure(**f) for f in figures]).to_string(index=False)
