"""Signal-only NumPy: what a vectorised research notebook computes, and no more."""

from __future__ import annotations

import numpy as np
from data import RULE, score

from engines.report import Data, measured

WHAT = (
    "signals only: positions held between the two thresholds, entered at the next open, returns "
    "open to open less a cost per change; no stops, sizes, cash, caps or fills"
)


def run(data: Data) -> int:
    """Positions, net returns and equity of an equally weighted book; the number of entries."""
    blended = score(data["p_short"], data["p_mid"])
    signal = np.where(blended >= RULE["buy"], 1, np.where(blended <= RULE["sell"], -1, 0))
    rows = np.arange(len(signal), dtype=np.int32)[:, None]
    last = np.maximum.accumulate(np.where(signal != 0, rows, 0), axis=0)
    held = np.take_along_axis(signal, last, axis=0) > 0
    opened = data["open"]
    returns = opened[2:] / opened[1:-1] - 1.0  # of what was bought at the open after the signal
    changes = np.diff(held[:-1].astype(np.int8), axis=0, prepend=np.int8(0))[:-1]
    cost = RULE["fee"] + RULE["slippage"]
    net = np.where(held[:-2], returns, 0.0) - cost * np.abs(changes)
    equity = np.cumprod(1.0 + np.nan_to_num(net).mean(axis=1))
    if not np.isfinite(equity).all():
        raise ValueError("equity isn't finite")
    return int((changes > 0).sum())


if __name__ == "__main__":
    measured(run, what=WHAT)
