"""What the blend and Kelly read, from raw outputs: conviction and calibrated probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.context import Context
from hybridnb.learning.calibrators import expanding_calibration
from hybridnb.learning.conviction import conviction
from hybridnb.learning.labels import triple_barrier

Floats = NDArray[np.float64]


def predicted(
    context: Context, frame: pd.DataFrame, raw: Mapping[str, Floats], *, bars: pd.DataFrame
) -> pd.DataFrame:
    """Conviction and calibrated probabilities from raw outputs, each as of its session."""
    keys = frame[["symbol", "session"]]
    out = keys.assign(**{f"{name}_raw": values for name, values in raw.items()})
    out["p_short"] = conviction(keys, raw["short"])
    out["p_mid"] = conviction(keys, raw["mid"])
    combined = combined_raw(context, raw)
    for side, given in (("long", combined), ("short", 1.0 - combined)):
        labels = outcomes(context, frame, bars, side=side)
        out[f"win_{side}"] = expanding_calibration(
            keys,
            given,
            labels,
            context.learning.barrier_horizon,
            kind=context.learning.calibration,
            regime=keys["session"].map(context.facts["regime"]),
        )
    return out


def combined_raw(context: Context, raw: Mapping[str, Floats]) -> Floats:
    """The predictors' outputs in the blend's proportion."""
    blend = context.settings.policy.blend
    weight = blend.weight_short / (blend.weight_short + blend.weight_mid)
    return weight * raw["short"] + (1.0 - weight) * raw["mid"]


def outcomes(context: Context, frame: pd.DataFrame, bars: pd.DataFrame, *, side: Any) -> Floats:
    """Triple-barrier labels with the policy's stop and target: 1 where the target came first."""
    stops = context.settings.policy.stops
    return triple_barrier(
        bars,
        frame["atr"].to_numpy(),
        side=side,
        stop=stops.initial,
        target=stops.target,
        horizon=context.learning.barrier_horizon,
    )
