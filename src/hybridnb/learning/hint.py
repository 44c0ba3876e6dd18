"""The trained size hint as arrays: what a session needs of it, without PyTorch.

The actor is two hidden layers of tanh; the hint is 4 × its mean action, clipped to [−1, 1].
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridnb.canonical import canonical

Floats = NDArray[np.float64]
REGIMES = ("trend", "breakout", "range", "crisis", "unknown")
OBSERVATION = (
    *("p_short", "p_short_known", "p_mid", "p_mid_known"),
    *("win_long", "volatility", "atr", "volatility_z", "trend_strength"),
    *(f"regime_{name}" for name in REGIMES),
    *("held", "unrealised"),
)
SCALE_ACTION = 4.0


def observe(
    *,
    p_short: ArrayLike,
    p_mid: ArrayLike,
    win_long: ArrayLike,
    annual_volatility: ArrayLike,
    atr_share: ArrayLike,
    volatility_z: float,
    trend_strength: float,
    regime: str,
    held: ArrayLike,
    unrealised: ArrayLike,
) -> NDArray[np.float32]:
    """What the actor sees of n names at once, each element in [−1, 1].

    Parameters
    ----------
    p_short, p_mid, win_long : array_like, shape (n,)
        Convictions and the calibrated probability; NaN is 0 with the flag beside it 0.
    annual_volatility, atr_share : array_like, shape (n,)
        Volatility a year; ATR over the price.
    held : array_like, shape (n,)
        Signed share of the per-name cap.
    unrealised : array_like, shape (n,)
        Profit over the risk to the initial stop.

    Returns
    -------
    ndarray of float32, shape (n, len(OBSERVATION))
    """
    short, mid = np.atleast_1d(np.asarray(p_short, float)), np.atleast_1d(np.asarray(p_mid, float))
    seen = np.zeros((len(short), len(OBSERVATION)))
    columns: tuple[ArrayLike, ...] = (
        2.0 * short - 1.0,
        np.isfinite(short),
        2.0 * mid - 1.0,
        np.isfinite(mid),
        4.0 * (np.asarray(win_long) - 0.4),
        np.asarray(annual_volatility) / 0.4 - 1.0,
        np.asarray(atr_share) / 0.04 - 1.0,
        volatility_z / 3.0,
        2.0 * trend_strength - 1.0,
        *(float(regime == name) for name in REGIMES),
        held,
        np.asarray(unrealised) / 3.0,
    )
    for n, column in enumerate(columns):
        seen[:, n] = column
    seen[np.isnan(seen)] = 0.0
    return np.minimum(np.maximum(seen, -1.0), 1.0).astype(np.float32)


@dataclass(frozen=True)
class Hint:
    """The actor's layers as (weights, bias) pairs, and the mean reward by update."""

    layers: tuple[tuple[Floats, Floats], ...]
    curve: tuple[float, ...] = ()

    def hints(self, observations: NDArray[np.float32]) -> Floats:
        """Hints of n names in [−4, 4], shape (n,)."""
        x = observations.astype(np.float64)
        for n, (weights, bias) in enumerate(self.layers):
            # einsum sums in one order whatever the number of rows; a BLAS product may not.
            x = np.einsum("ni,oi->no", x, weights, optimize=False) + bias
            x = np.tanh(x) if n < len(self.layers) - 1 else x
        return SCALE_ACTION * np.clip(x[:, 0], -1.0, 1.0)

    def digest(self) -> str:
        """SHA-256 over the arrays and the observation's definition."""
        found = hashlib.sha256(canonical(list(OBSERVATION)).encode())
        for weights, bias in self.layers:
            found.update(np.ascontiguousarray(weights, "<f8").tobytes())
            found.update(np.ascontiguousarray(bias, "<f8").tobytes())
        return found.hexdigest()

    def to_bytes(self) -> bytes:
        """The arrays as safetensors, the curve in the metadata."""
        from safetensors.numpy import save

        arrays = {
            f"{kind}{n}": np.ascontiguousarray(values)
            for n, layer in enumerate(self.layers)
            for kind, values in zip("wb", layer, strict=True)
        }
        return bytes(save(arrays, metadata={"curve": json.dumps(list(self.curve))}))

    @classmethod
    def from_bytes(cls, data: bytes) -> Hint:
        """Read what `to_bytes` wrote."""
        from safetensors.numpy import load

        size = int.from_bytes(data[:8], "little")
        curve = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["curve"])
        arrays = load(data)
        layers = tuple((arrays[f"w{n}"], arrays[f"b{n}"]) for n in range(len(arrays) // 2))
        return cls(layers, tuple(curve))
