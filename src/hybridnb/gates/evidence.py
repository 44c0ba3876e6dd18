"""What the gates read. A field that is None is evidence that doesn't exist yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.domain import Status

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Check:
    """A finding about leakage or drift: passed, failed, or not decidable."""

    name: str
    status: Status
    detail: str
    n: int
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything known of a model. An empty array is evidence that doesn't exist, as None is.

    Attributes
    ----------
    returns : ndarray, shape (t,)
        Daily net returns of the backtest.
    pnl : ndarray, shape (trades,)
        Net P&L of its closed trades.
    outcomes, probabilities : ndarray, shape (n,)
        Whether the target came before the stop, and what was said of it.
    trials : int or None
        Configurations tried, as the registry counted them; None: nobody counted.
    trial_variance : float or None
        Variance of the trials' Sharpe ratios, per period; not needed for a single trial.
    pbo : Check or None
        Probability of backtest overfitting, among the configurations that were tried.
    stress : sequence of Check, or None
        One a scenario, by its name.
    leakage, drift : sequence of Check, or None
    sentinel : sequence of Check or None
        Permutation test and planted leak.
    live_share : float or None
        Live Sharpe ratio over the backtest's, from `live_sessions` sessions.
    """

    returns: Floats
    pnl: Floats
    outcomes: Floats
    probabilities: Floats
    trials: int | None = None
    trial_variance: float | None = None
    pbo: Check | None = None
    stress: Sequence[Check] | None = None
    leakage: Sequence[Check] | None = None
    sentinel: Sequence[Check] | None = None
    drift: Sequence[Check] | None = None
    live_share: float | None = None
    live_sessions: int = 0


@dataclass(frozen=True, slots=True)
class Figure:
    """One number beside its bar; `passed` None where it can't be computed.

    `n` is the size of the sample and `source` says what the number was computed from.
    """

    name: str
    value: float | None
    comparison: str
    threshold: float | None
    n: int
    passed: bool | None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate's outcome and every figure behind it."""

    name: str
    status: Status
    figures: tuple[Figure, ...]
    reason: str


def as_dict(gates: Sequence[Gate]) -> list[dict[str, Any]]:
    """Gates as plain values; an infinite figure has no value."""
    from hybridnb.canonical import plain

    def finite(figure: Figure) -> dict[str, Any]:
        found = {name: getattr(figure, name) for name in Figure.__slots__}
        if found["value"] is not None and not np.isfinite(found["value"]):
            found["value"] = None
        return found

    return [
        dict(plain({"name": g.name, "status": g.status, "reason": g.reason}))
        | {"figures": [plain(finite(f)) for f in g.figures]}
        for g in gates
    ]
