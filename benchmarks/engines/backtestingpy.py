"""backtesting.py: one `Strategy` with stop and target, one symbol after another."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy, __version__
from data import RULE, score

from engines.report import Data, measured

WHAT = (
    f"backtesting.py {__version__}, one symbol after another, each with its own cash: market "
    "orders at the next open, stop and target in ATR, proportional commission, half spread as "
    "its spread, whole units; no shared cash, partial fills, caps, kill switch or trailing; "
    "its statistics table is part of its run"
)


class Thresholds(Strategy):
    """Buys and sells at the thresholds of the score."""

    def init(self) -> None:
        # `I` would compute nothing here and copy the columns once more.
        self.score, self.atr = self.data.df["Score"].to_numpy(), self.data.df["Atr"].to_numpy()

    def next(self) -> None:
        now = len(self.data) - 1
        value = self.score[now]
        if self.position:
            if value <= RULE["sell"]:
                self.position.close()
        elif value >= RULE["buy"] and not self.orders:
            close, atr = self.data.Close[-1], self.atr[now]
            stop, target = close - RULE["stop"] * atr, close + RULE["target"] * atr
            units = int(RULE["value"] / close)
            if units > 0 and 0 < stop < target:
                self.buy(size=units, sl=stop, tp=target)


def prepare(data: Data) -> Any:
    """A frame a symbol, its bars alone, with the columns the package asks for."""
    frames = []
    for i in range(data["close"].shape[1]):
        there = np.isfinite(data["close"][:, i])
        columns = {
            name.title(): data[name][there, i]
            for name in ("open", "high", "low", "close", "volume")
        }
        columns["P_short"], columns["P_mid"] = data["p_short"][there, i], data["p_mid"][there, i]
        columns["Atr"] = data["atr"][there, i]
        index = pd.date_range("1900-01-01", periods=int(there.sum()), freq="D")
        frames.append(pd.DataFrame(columns, index=index))
    return frames


def run(frames: Any) -> int:
    """Run each symbol; the number of trades."""
    trades = 0
    for frame in frames:
        scored = frame.assign(Score=score(frame["P_short"], frame["P_mid"]))
        test = Backtest(
            scored,
            Thresholds,
            cash=RULE["cash"],
            commission=RULE["fee"],
            spread=2.0 * RULE["slippage"],
            finalize_trades=True,
        )
        trades += int(test.run()["# Trades"])
    return trades


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # that a stop moved to the other side of the open, and the like
    measured(run, what=WHAT, prepare=prepare)
