"""zipline-reloaded: its own algorithm loop over bars in memory, without a bundle."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import pandas as pd
from data import RULE, score
from zipline import __version__
from zipline.algorithm import TradingAlgorithm
from zipline.api import cancel_order, order, set_commission, set_slippage, sid
from zipline.assets import AssetDBWriter, AssetFinder
from zipline.data.data_portal import DataPortal
from zipline.data.in_memory_daily_bars import InMemoryDailyBarReader
from zipline.finance.commission import PerDollar
from zipline.finance.execution import LimitOrder, MarketOrder, StopOrder
from zipline.finance.slippage import FixedBasisPointsSlippage
from zipline.finance.trading import SimulationParameters
from zipline.utils.calendar_utils import get_calendar

from engines.report import Data, measured

WHAT = (
    f"zipline-reloaded {__version__}, one portfolio in daily mode: market orders at the next "
    "close (zipline knows no other fill of a daily bar), stop and limit orders in ATR checked "
    "against closes and cancelled by the strategy (no OCO), partial fills at most 10 % of the "
    "volume, proportional commission and slippage, its default performance figures; no exposure "
    "caps, kill switch or trailing; bars from memory, not from a bundle"
)
CALENDAR, FIRST = "XNYS", "1930-01-02"


class Memory(InMemoryDailyBarReader):
    """Bars by position; the base class looks a value up by label, which doesn't work."""

    def __init__(self, frames: dict[str, pd.DataFrame], calendar: Any, codes: Any) -> None:
        super().__init__(frames, calendar, codes)
        self._row = {day: i for i, day in enumerate(self._sessions)}

    @property
    def last_available_dt(self) -> pd.Timestamp:
        return self._sessions[-1]

    def get_value(self, sid: Any, dt: pd.Timestamp, field: str) -> float:
        return self._values[field][self._row[dt], int(sid)]

    def get_last_traded_dt(self, asset: Any, dt: pd.Timestamp) -> pd.Timestamp:
        there = np.isfinite(self._values["close"][: self._row[dt] + 1, int(asset)])
        return self._sessions[np.flatnonzero(there)[-1]] if there.any() else pd.NaT


class Thresholds:
    """Buys and sells at the thresholds of the score; a stop and a target for what is held."""

    def __init__(self, data: Data, count: int) -> None:
        blended = score(data["p_short"], data["p_mid"])
        self.buy, self.sell = blended >= RULE["buy"], blended <= RULE["sell"]
        self.close, self.atr, self.count = data["close"], data["atr"], count
        self.now, self.bought, self.risk = -1, 0, np.zeros(count)
        self.entering: dict[int, str] = {}
        self.legs: dict[int, tuple[str, str]] = {}

    def start(self, context: Any) -> None:
        self.assets = [sid(i) for i in range(self.count)]
        set_commission(us_equities=PerDollar(cost=RULE["fee"]))
        set_slippage(
            us_equities=FixedBasisPointsSlippage(
                basis_points=RULE["slippage"] * 1e4, volume_limit=0.10
            )
        )

    def step(self, context: Any, bar: Any) -> None:
        self.now += 1
        now, positions = self.now, context.portfolio.positions
        held = {int(asset): position for asset, position in positions.items() if position.amount}
        for i in self.legs.keys() - held.keys():
            self._withdraw(i)
        for i in self.entering.keys() & held.keys():
            self.entering.pop(i)
            self._protect(i, held[i])
            self.bought += 1
        for i in np.flatnonzero(self.sell[now]):
            if i in held and i in self.legs:
                self._withdraw(i)
                order(self.assets[i], -held[i].amount, style=MarketOrder())
        room = context.portfolio.cash
        for i in np.flatnonzero(self.buy[now] & np.isfinite(self.atr[now])):
            units = int(RULE["value"] / self.close[now, i])
            if i not in held and i not in self.entering and units and room > RULE["value"]:
                self.entering[i] = order(self.assets[i], units, style=MarketOrder())
                self.risk[i] = self.atr[now, i]
                room -= RULE["value"]

    def _protect(self, i: int, position: Any) -> None:
        entry, atr = position.cost_basis, self.risk[i]
        stop = max(0.01, entry - RULE["stop"] * atr)
        target = entry + RULE["target"] * atr
        units, asset = -position.amount, self.assets[i]
        self.legs[i] = (
            order(asset, units, style=StopOrder(stop)),
            order(asset, units, style=LimitOrder(target)),
        )

    def _withdraw(self, i: int) -> None:
        for leg in self.legs.pop(i):
            cancel_order(leg)


def prepare(data: Data) -> Any:
    """Frames, assets and the calendar."""
    days, symbols = data["close"].shape
    calendar = get_calendar(CALENDAR, start=pd.Timestamp(FIRST))
    sessions = calendar.sessions[:days]
    frames = {
        name: pd.DataFrame(data[name], index=sessions, columns=range(symbols))
        for name in ("open", "high", "low", "close", "volume")
    }
    first = [sessions[np.flatnonzero(np.isfinite(data["close"][:, i]))[0]] for i in range(symbols)]
    equities = pd.DataFrame(
        {
            "symbol": [f"S{i}" for i in range(symbols)],
            "asset_name": [f"S{i}" for i in range(symbols)],
            "start_date": first,
            "end_date": sessions[-1],
            "exchange": "NYSE",
        },
        index=range(symbols),
    )
    exchanges = pd.DataFrame(
        {"exchange": ["NYSE"], "canonical_name": ["NYSE"], "country_code": ["US"]}
    )
    return data, calendar, sessions, frames, equities, exchanges


def run(prepared: Any) -> int:
    """Run the algorithm; the number of entries."""
    data, calendar, sessions, frames, equities, exchanges = prepared
    from sqlalchemy import create_engine

    engine = create_engine("sqlite:///:memory:")
    AssetDBWriter(engine).write(equities=equities, exchanges=exchanges)
    codes = pd.Series("USD", index=equities.index)
    portal = DataPortal(
        AssetFinder(engine),
        trading_calendar=calendar,
        first_trading_day=sessions[0],
        equity_daily_reader=Memory(frames, calendar, codes),
    )
    strategy = Thresholds(data, len(equities))
    TradingAlgorithm(
        sim_params=SimulationParameters(
            sessions[0], sessions[-1], calendar, capital_base=RULE["cash"]
        ),
        data_portal=portal,
        initialize=strategy.start,
        handle_data=strategy.step,
        benchmark_returns=pd.Series(0.0, index=sessions),
    ).run()
    return strategy.bought


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # figures of the first days divide by zero
    logging.disable(logging.WARNING)  # one line for each order past its bar
    measured(run, what=WHAT, prepare=prepare)
