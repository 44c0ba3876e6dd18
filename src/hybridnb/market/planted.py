"""The `planted` feed: a synthetic Canadian market whose truth is known.

Each name has a hidden state, up or down, that persists (a two-state Markov chain), and a daily
drift that follows it; prices move with a common factor beside. Names with an open trend in the
last session are planted in every class, so that a session at the end has something to find.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.domain import Bucket
from hybridnb.market import calendar as exchange
from hybridnb.market.assemble import assemble
from hybridnb.market.contracts import check_bars
from hybridnb.market.feeds import FeedRequest
from hybridnb.market.instruments import SymbolParams, instruments
from hybridnb.ports import MarketData

CALENDAR, CURRENCY = "XTSE", "CAD"
FIRST, LAST = "2018-01-02", "2023-12-29"
SIP = "VFV.TO"
CORE = tuple(f"CORE{i:02d}.TO" for i in range(1, 13))
PENNY = tuple(f"PEN{i}.V" for i in range(1, 5))
FNO = tuple(f"FNO{i}.TO" for i in range(1, 4))
SYMBOLS = tuple(sorted((*CORE, *PENNY, *FNO, SIP)))
RISING = ("CORE01.TO", "CORE02.TO", "FNO1.TO", "FNO2.TO", "PEN1.V", "PEN2.V")


@dataclass(frozen=True, slots=True)
class Truth:
    """Numbers of the market: a day's figures, unless said otherwise.

    `stay` is the chance that a state lasts another session; `open_trend` how many sessions the
    names in `RISING` have been up at the end.
    """

    stay: float = 0.98
    drift: float = 0.004
    noise_core: float = 0.008
    noise_penny: float = 0.011
    market: float = 0.004
    gap: float = 0.002
    range: float = 0.006
    open_trend: int = 30
    value_core: float = 4.0e7
    value_penny: float = 1.5e6


def planted_truth(seed: int) -> pd.DataFrame:
    """The hidden states: 1 up, −1 down; indexed by session, one column a symbol.

    The state of session t sets the drift of session t.
    """
    sessions = exchange.sessions(CALENDAR, FIRST, LAST)
    rng = np.random.default_rng([seed, 0])
    truth = Truth()
    turns = rng.random((len(sessions), len(SYMBOLS))) > truth.stay
    first = np.where(rng.random(len(SYMBOLS)) < 0.5, 1, -1)
    states = first * np.where(np.cumsum(turns, axis=0) % 2 == 0, 1, -1)
    rising = [SYMBOLS.index(s) for s in RISING]
    states[-truth.open_trend :, rising] = 1
    return pd.DataFrame(states, index=sessions, columns=list(SYMBOLS))


def load(request: FeedRequest) -> MarketData:
    """Simulate, then check like any other feed."""
    sessions = exchange.sessions(CALENDAR, FIRST, LAST)
    checked = check_bars(
        _simulated(request.seed, sessions), file="planted", calendar=CALENDAR, currency=CURRENCY
    )
    given = {s: SymbolParams(bucket=Bucket.FNO) for s in FNO} | dict(request.symbols)
    return assemble(
        checked.bars,
        feed="planted",
        calendar=CALENDAR,
        currency=CURRENCY,
        instruments=instruments(
            SYMBOLS,
            lists=request.lists,
            sip_symbol=request.sip_symbol,
            currency=CURRENCY,
            given=given,
        ),
        source=f"simulation, seed {request.seed}",
        notes=("a synthetic market: its figures say nothing about a real one",),
    )


def _simulated(seed: int, sessions: pd.DatetimeIndex) -> pd.DataFrame:
    rng, truth = np.random.default_rng([seed, 1]), Truth()
    t, n = len(sessions), len(SYMBOLS)
    states = planted_truth(seed).to_numpy(np.float64)
    penny = np.array([s in PENNY for s in SYMBOLS])
    noise = np.where(penny, truth.noise_penny, truth.noise_core)
    common = truth.market * rng.standard_normal((t, 1))
    returns = truth.drift * states + common + noise * rng.standard_normal((t, n))
    returns -= returns.mean(axis=0)  # a name's states needn't balance; its price should stay sane
    close = np.exp(np.cumsum(returns, axis=0))
    close *= np.where(penny, 1.5, 60.0) / np.exp(np.log(close).mean(axis=0))
    before = np.vstack([close[:1], close[:-1]])
    opened = before * np.exp(truth.gap * rng.standard_normal((t, n)))
    reach = truth.range * np.abs(rng.standard_normal((2, t, n)))
    high = np.maximum(opened, close) * np.exp(reach[0])
    low = np.minimum(opened, close) * np.exp(-reach[1])
    value = np.where(penny, truth.value_penny, truth.value_core)
    volume = value / close * np.exp(0.3 * rng.standard_normal((t, n)))
    prices = [_cents(p, penny) for p in (opened, high, low, close)]
    return _long(sessions, [*prices, np.round(volume)])


def _cents(price: NDArray[np.float64], penny: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Whole cents from 0.50 on, half cents below: the exchange's own ticks."""
    small = np.round(price * 200) / 200
    return np.where(penny & (price < 0.5), small, np.round(price, 2))


def _long(sessions: pd.DatetimeIndex, wide: list[NDArray[Any]]) -> pd.DataFrame:
    names = ("open", "high", "low", "close", "volume")
    n, t = len(SYMBOLS), len(sessions)
    columns = {name: values.T.ravel() for name, values in zip(names, wide, strict=True)}
    keys = {"symbol": np.repeat(SYMBOLS, t), "date": np.tile(sessions.to_numpy(), n)}
    return pd.DataFrame(keys | columns)
