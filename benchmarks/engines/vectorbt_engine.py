"""vectorbt: `Portfolio.from_signals` over all symbols in one portfolio; `numba` or `rust`.

Numba is what a plain installation runs; the Rust engine comes with the extra `vectorbt[rust]`.
"""

from __future__ import annotations

import sys

import numpy as np
import vectorbt as vbt
from data import RULE, score

from engines.report import Data, measured

ENGINE = "rust" if "rust" in sys.argv else "numba"
WHAT = (
    f"vectorbt {vbt.__version__} ({ENGINE} engine), one portfolio with shared cash: entries and "
    "exits at the next open, stop and target per bar in ATR from its own stop logic, proportional "
    "fees and slippage, equal money per entry; no partial fills, volume or exposure caps, kill "
    "switch, trailing or lots; portfolio values not computed; the first run in a process, "
    "which compiles, isn't counted"
)


def run(data: Data) -> int:
    """Signals and orders; the number of entries filled."""
    blended = score(data["p_short"], data["p_mid"])
    distance = _after(data["atr"] / data["close"], np.nan)
    portfolio = vbt.Portfolio.from_signals(
        data["close"],
        entries=_after(blended >= RULE["buy"], False),
        exits=_after(blended <= RULE["sell"], False),
        open=data["open"],
        high=data["high"],
        low=data["low"],
        price=data["open"],
        stop_entry_price="fillprice",
        sl_stop=RULE["stop"] * distance,
        tp_stop=RULE["target"] * distance,
        size=RULE["value"],
        size_type="value",
        allow_partial=False,
        init_cash=RULE["cash"],
        fees=RULE["fee"],
        slippage=RULE["slippage"],
        group_by=True,
        cash_sharing=True,
        freq="1D",
        engine=ENGINE,
    )
    return int((portfolio.order_records["side"] == 0).sum())


def _after(values: np.ndarray, first: float) -> np.ndarray:
    """What was known at the close of the bar before, shape kept."""
    out = np.empty_like(values)
    out[0], out[1:] = first, values[:-1]
    return out


if __name__ == "__main__":
    measured(run, what=WHAT, repeat=True)
