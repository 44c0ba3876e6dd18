"""What the tests of the trading commands stand on: bars, parameters, and a model that is sure.

`python commands_driver.py trade --broker ibkr ...` is the command line with that model, in a
process of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from hybridnb.app import live_trading
from hybridnb.app.cli import cli
from hybridnb.app.context import Context
from hybridnb.app.panel import PREDICTIONS, panel
from hybridnb.app.progress import Say
from hybridnb.app.setting_up import Prepared
from hybridnb.market import calendar

SESSIONS = 320  # of history
TICKS = {
    "ibkr": {"AAPL": 100, "IBM": 100, "MSFT": 100},
    "ccxt": {"BTC/USDT": 1, "ETH/USDT": 500},
}
UNIT = {"BTC/USDT": "0.01", "ETH/USDT": "0.5"}
CALENDAR = {"ibkr": "XNYS", "ccxt": "24/7"}
CURRENCY = {"ibkr": "USD", "ccxt": "USDT"}
POLICY = {
    "sizing": {
        **{"heat_limit": 100.0, "var_limit": 1.0, "es_limit": 1.0},
        **{"kelly_fraction": 1.0, "volatility_target": 1.0},
    },
    "safety": {"repeat_fills": 100_000, "order_value": 1e6},
}


class SureLab:
    """Stands for `Lab`: everything is expected to rise, without hours of training."""

    def __init__(self, context: Context, say: Say) -> None:
        bars = context.market.bars
        frame = bars[["symbol", "session"]].assign(
            **dict.fromkeys(PREDICTIONS, 0.9) | {"win_long": 0.6, "win_short": 0.4}
        )
        found = panel(
            context.market,
            sessions=context.sessions,
            ordinals=context.ordinals,
            features=context.features,
            facts=context.facts,
            predictions=frame,
        )
        hints = lambda day, state: np.full(len(day.symbols), 4.0)  # noqa: E731
        self.prepared = Prepared(found, hints, "sure", None, lambda features: found)


# What a test's session has instead of a trained model, and instead of a second of patience.
STANDS_FOR = {"Lab": SureLab, "LISTEN": 0.2}


def upcoming(kind: str, count: int) -> list[pd.Timestamp]:
    """The next sessions after today: a broker trades the one in progress, or a later one."""
    found, after = [], pd.Timestamp.now(tz="UTC").tz_localize(None).normalize()
    for _ in range(count):
        after = calendar.next_session(CALENDAR[kind], after)
        found.append(after)
    return found


def write_bars(path: Path, kind: str, through: pd.Timestamp, last: pd.Timestamp) -> dict[str, int]:
    """Bars of calm names around 100 until `through`, of a history that ends at `last`.

    Returns the last closes, in 1/10,000.
    """
    dates = calendar.sessions(CALENDAR[kind], last - pd.Timedelta(days=2 * SESSIONS), last)
    dates = dates[-SESSIONS:]
    rng, parts = np.random.default_rng(3), []
    for symbol, units in TICKS[kind].items():
        tick = units / 10_000
        step = rng.normal(0.0003, 0.006, len(dates))
        closes = np.round(100 * np.exp(np.cumsum(step - step.mean())) / tick) * tick
        opens = np.concatenate([closes[:1], closes[:-1]])
        reach = np.ceil(0.004 * closes / tick) * tick
        parts.append(
            pd.DataFrame(
                {
                    "symbol": symbol,
                    "date": dates.strftime("%Y-%m-%d"),
                    "open": opens,
                    "high": np.maximum(opens, closes) + reach,
                    "low": np.minimum(opens, closes) - reach,
                    "close": closes,
                    "volume": 10_000_000,
                }
            ).round(4)
        )
    bars = pd.concat(parts)
    bars = bars[bars["date"] <= through.strftime("%Y-%m-%d")]
    bars.to_csv(path, index=False)
    ends = bars.groupby("symbol")["close"].last()
    return {str(symbol): round(price * 10_000) for symbol, price in ends.items()}


def write_params(folder: Path, kind: str, broker: dict[str, Any], **policy: Any) -> None:
    """A folder of parameters whose broker is the stub."""
    folder.mkdir(exist_ok=True)
    day = {"feed": "folder", "calendar": CALENDAR[kind], "currency": CURRENCY[kind]}
    symbols = {symbol: {"tick": tick, "bucket": "CORE"} for symbol, tick in TICKS[kind].items()}
    files = {"policy": POLICY | policy, "symbols": symbols, "day": day, "brokers": {kind: broker}}
    for name, values in files.items():
        (folder / f"{name}.yml").write_text(yaml.safe_dump(values))
    learning = Path(__file__).parents[2] / "params" / "learning.yml"
    (folder / "learning.yml").write_text(learning.read_text())


def main(words: Iterable[str]) -> None:
    """The command line, with the model that is sure."""
    for name, value in STANDS_FOR.items():
        setattr(live_trading, name, value)
    cli(list(words))


if __name__ == "__main__":
    main(sys.argv[1:])
