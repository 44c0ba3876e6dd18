"""History as aligned arrays: what a session's step reads, one slice a session.

Rows are sessions, columns the symbols in alphabetical order. Prices are integers of 1/10,000;
a symbol without a bar in a session keeps its last price and is marked absent.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.domain import SCALE, Bar, Instrument
from hybridnb.execution.paper import Liquidity
from hybridnb.limits import CODE
from hybridnb.ports import MarketData

Floats = NDArray[np.float64]
RETURN_ROWS = 252  # sessions of daily returns behind value at risk
PREDICTIONS = ("short_raw", "mid_raw", "p_short", "p_mid", "win_long", "win_short")
_FEATURES = ("close", "atr", "annual_volatility", "adv", "median_value", "daily_volatility")
_FACTS = (
    *("volatility_zscore", "correlation", "correlation_floor", "correlation_before"),
    *("trend_strength", "ensemble_accuracy", "accuracy_baseline", "put_call_ratio"),
    "news_sentiment",
)


@dataclass(frozen=True, slots=True)
class Traits:
    """The instruments as arrays, shape (n,); `currency` is True where another one is the feed's.

    `derivative` marks contracts on something else: their exposure isn't quantity times price.
    """

    bucket: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    tick: NDArray[np.int64]
    lot: NDArray[np.int64]
    delta: Floats
    margin_rate: Floats
    currency: NDArray[np.bool_]
    derivative: NDArray[np.bool_]
    excluded: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Day:
    """One session as its step sees it: decided on `seen` (the session before), traded in `bars`.

    Arrays have shape (n,), NaN where unknown; `returns` has shape (t, n) and ends at `seen`.
    `macro` are the events that became known in `seen`; None: nobody watched.
    """

    session: str
    seen: str
    ordinal: int
    symbols: tuple[str, ...]
    instruments: Mapping[str, Instrument]
    bars: Mapping[str, Bar]
    last: Mapping[str, int]
    stale: NDArray[np.bool_]
    halted: NDArray[np.bool_]
    columns: Mapping[str, Floats]
    facts: Mapping[str, float]
    regime: str
    returns: Floats
    excluded: Mapping[str, str]
    currency: str
    traits: Traits
    place: Mapping[str, int]
    macro: tuple[str, ...] | None = None

    def liquidity(self, symbol: str) -> Liquidity:
        """What the venue assumes of a symbol, from what was known before the session."""
        i = self.place[symbol]
        adv, close = float(self.columns["adv"][i]), float(self.columns["close"][i])
        units = adv / close if close > 0 else 0.0
        volatility = float(self.columns["daily_volatility"][i])
        return Liquidity(_known(units), _known(volatility))


@dataclass(frozen=True)
class Panel:
    """All sessions of a market with features, facts and predictions, ready to be stepped."""

    sessions: pd.DatetimeIndex
    ordinals: NDArray[np.int64]
    symbols: tuple[str, ...]
    instruments: Mapping[str, Instrument]
    prices: NDArray[np.int64]
    present: NDArray[np.bool_]
    last: NDArray[np.int64]
    columns: Mapping[str, Floats]
    facts: pd.DataFrame
    returns: Floats
    excluded: Mapping[str, str]
    currency: str
    macro: tuple[tuple[str, ...] | None, ...] = ()  # a session's events; empty: nobody watched

    @cached_property
    def known(self) -> Mapping[str, list[float]]:
        """The facts that a day is told, by name: one a session, NaN where unknown."""
        told = [name for name in _FACTS if name in self.facts]
        return {name: self.facts[name].to_numpy(np.float64).tolist() for name in told}

    @cached_property
    def regimes(self) -> list[str]:
        """Regime of each session."""
        return [str(regime) for regime in self.facts["regime"]]

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Column of each symbol."""
        return {symbol: i for i, symbol in enumerate(self.symbols)}

    @cached_property
    def traits(self) -> Traits:
        """The instruments as arrays."""
        known = [self.instruments[symbol] for symbol in self.symbols]
        delta = np.array([i.delta for i in known], np.float64)
        multiplier = np.array([i.multiplier for i in known], np.int64)
        return Traits(
            bucket=np.array([CODE[i.bucket] for i in known], np.int64),
            multiplier=multiplier,
            tick=np.array([i.tick for i in known], np.int64),
            lot=np.array([i.lot for i in known], np.int64),
            delta=delta,
            margin_rate=np.array([i.margin_rate for i in known], np.float64),
            currency=np.array([i.currency != self.currency for i in known], np.bool_),
            derivative=(multiplier != 1) | (np.abs(delta) != 1.0),
            excluded=np.array([s in self.excluded for s in self.symbols], np.bool_),
        )

    def position(self, session: str) -> int:
        """Row of a session; -1 when the history has no such session."""
        return int(self.sessions.get_indexer_for(pd.DatetimeIndex([session]))[0])

    def day(self, i: int) -> Day:
        """The session in row i; row i − 1 is what its decision may know."""
        seen = i - 1
        return Day(
            session=self.sessions[i].strftime("%Y-%m-%d"),
            seen=self.sessions[seen].strftime("%Y-%m-%d"),
            ordinal=int(self.ordinals[i]),
            symbols=self.symbols,
            instruments=self.instruments,
            bars=_Bars(self, i),
            last=_Last(self, seen),
            stale=~self.present[seen],
            halted=self.present[seen] & (self.prices[4, seen] == 0),
            columns={name: values[seen] for name, values in self.columns.items()},
            facts={name: values[seen] for name, values in self.known.items()},
            regime=self.regimes[seen],
            returns=self.returns[max(0, i - RETURN_ROWS) : i],
            excluded=self.excluded,
            currency=self.currency,
            traits=self.traits,
            place=self.place,
            macro=self.macro[seen] if self.macro else None,
        )


class _Last(Mapping[str, int]):
    """Last known prices by symbol, read from a panel's row when asked for."""

    def __init__(self, panel: Panel, row: int) -> None:
        self._symbols, self._place, self._prices = panel.symbols, panel.place, panel.last[row]

    def __getitem__(self, symbol: str) -> int:
        price = int(self._prices[self._place[symbol]])
        if price <= 0:
            raise KeyError(symbol)
        return price

    def get(self, symbol: str, default: Any = None) -> Any:
        i = self._place.get(symbol)
        price = 0 if i is None else int(self._prices[i])
        return price if price > 0 else default

    def __iter__(self) -> Iterator[str]:
        return (self._symbols[i] for i in np.flatnonzero(self._prices > 0))

    def __len__(self) -> int:
        return int(np.count_nonzero(self._prices > 0))


class _Bars(Mapping[str, Bar]):
    """A session's bars by symbol, made from a panel's row when asked for, once each."""

    def __init__(self, panel: Panel, row: int) -> None:
        self._symbols, self._place = panel.symbols, panel.place
        self._session: dt.date = panel.sessions[row].date()
        self._prices, self._present = panel.prices[:, row], panel.present[row]
        self._made: dict[str, Bar] = {}

    def __getitem__(self, symbol: str) -> Bar:
        made = self._made.get(symbol)
        if made is None:
            i = self._place[symbol]
            if not self._present[i]:
                raise KeyError(symbol)
            made = Bar(symbol, self._session, *self._prices[:, i].tolist())
            self._made[symbol] = made
        return made

    def get(self, symbol: str, default: Any = None) -> Any:
        """A bar is asked for several times a session, by positions and by their orders."""
        made = self._made.get(symbol)
        if made is not None:
            return made
        i = self._place.get(symbol)
        return default if i is None or not self._present[i] else self[symbol]

    def __iter__(self) -> Iterator[str]:
        return (self._symbols[i] for i in np.flatnonzero(self._present))

    def __len__(self) -> int:
        return int(np.count_nonzero(self._present))


def _known(value: float) -> float:
    return value if math.isfinite(value) else float(np.nan_to_num(value))


def panel(
    market: MarketData,
    *,
    sessions: pd.DatetimeIndex,
    ordinals: NDArray[np.int64],
    features: pd.DataFrame,
    facts: pd.DataFrame,
    predictions: pd.DataFrame,
    sentiment: pd.DataFrame | None = None,
) -> Panel:
    """Align a market and what was computed from it.

    Parameters
    ----------
    sessions : DatetimeIndex, shape (t,)
        The exchange's sessions to align on, in order.
    ordinals : ndarray, shape (t,)
        Their ordinals in the exchange calendar.
    features, predictions, sentiment : DataFrame
        Long, one row a (symbol, session); what is absent stays NaN.
    facts : DataFrame
        Indexed by session.

    Returns
    -------
    Panel
    """
    symbols = tuple(sorted(market.bars["symbol"].unique()))

    def wide(frame: pd.DataFrame, column: str) -> Floats:
        table = frame.pivot(index="session", columns="symbol", values=column)
        return table.reindex(index=sessions, columns=list(symbols)).to_numpy(np.float64)

    raw = {name: wide(market.bars, name) for name in ("open", "high", "low", "close", "volume")}
    present = np.isfinite(raw["close"])
    units = [np.rint(np.nan_to_num(raw[n]) * SCALE) for n in ("open", "high", "low", "close")]
    volume = np.where(np.isfinite(raw["volume"]), np.rint(np.nan_to_num(raw["volume"])), -1.0)
    last = pd.DataFrame(np.where(present, units[3], np.nan)).ffill().fillna(0.0).to_numpy()
    close = pd.DataFrame(raw["close"])
    columns = {name: wide(features, name) for name in _FEATURES}
    columns |= {name: wide(predictions, name) for name in PREDICTIONS}
    nothing = np.full(raw["close"].shape, np.nan)
    columns["sentiment"] = nothing if sentiment is None else wide(sentiment, "sentiment")
    return Panel(
        sessions=sessions,
        ordinals=ordinals,
        symbols=symbols,
        instruments=market.instruments,
        prices=np.stack([*units, volume]).astype(np.int64),
        present=present,
        last=last.astype(np.int64),
        columns=columns,
        facts=_with_regime(facts.reindex(sessions)),
        # Column by column: a name's history lies together.
        returns=np.asfortranarray((close / close.shift(1) - 1.0).to_numpy(np.float64)),
        excluded=market.excluded,
        currency=market.currency,
    )


def _with_regime(facts: pd.DataFrame) -> pd.DataFrame:
    known: Any = facts["regime"]
    return facts.assign(regime=known.where(known.notna(), "unknown"))
