"""A panel as the tape of a replay, and the replay it gives."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.inputs import own_refusals
from hybridnb.app.panel import RETURN_ROWS, Panel
from hybridnb.clamps import entry_refusals
from hybridnb.decide import INPUT
from hybridnb.domain import Bucket, Mode
from hybridnb.limits import CODE
from hybridnb.policy import Policy
from hybridnb.replay.tape import Names, Tape


def tape_of(panel: Panel, rl: NDArray[np.float64] | None = None) -> Tape:
    """All sessions of a panel; `rl`, shape (T, n), is NaN where not given."""
    opens, high, low, close, volume = panel.prices
    present = panel.present
    columns = panel.columns
    facts = panel.facts
    nothing = np.full(close.shape, np.nan)

    def fact(name: str) -> NDArray[np.float64]:
        known = facts[name] if name in facts else pd.Series(np.nan, facts.index)
        return np.ascontiguousarray(known.to_numpy(np.float64))

    def column(name: str) -> NDArray[np.float64]:
        return np.ascontiguousarray(columns[name], np.float64)

    return Tape(
        days=np.array([day.toordinal() for day in panel.sessions.date], np.int64),
        ordinals=panel.ordinals.astype(np.int64),
        open=np.ascontiguousarray(opens),
        high=np.ascontiguousarray(high),
        low=np.ascontiguousarray(low),
        close=np.where(present, close, 0),
        volume=np.ascontiguousarray(volume),
        p_short=column("p_short"),
        p_mid=column("p_mid"),
        rl=nothing if rl is None else rl,
        sentiment=column("sentiment"),
        median_value=column("median_value"),
        price=column("close"),
        atr=column("atr"),
        annual_volatility=column("annual_volatility"),
        daily_volatility=column("daily_volatility"),
        adv=column("adv"),
        win_long=column("win_long"),
        win_short=column("win_short"),
        volatility_z=fact("volatility_zscore"),
        correlation=fact("correlation"),
        correlation_floor=fact("correlation_floor"),
        crisis=(facts["regime"] == "crisis").to_numpy(np.bool_),
        returns=np.ascontiguousarray(panel.returns.T),
        window=RETURN_ROWS,
    )


def names_of(panel: Panel, policy: Policy, mode: Mode) -> Names:
    """The panel's names as numbers, with what refuses their entries whatever the day."""
    known = [panel.instruments[symbol] for symbol in panel.symbols]
    fixed = [
        [_fixed(panel, policy, symbol, each) for symbol in panel.symbols]
        for each in (mode, Mode.DEMO)
    ]
    sip = policy.sip.symbol
    rows = np.zeros(len(known), INPUT)
    rows["bucket"] = [CODE[i.bucket] for i in known]
    rows["margin_rate"] = [i.margin_rate for i in known]
    return Names(
        rows=rows,
        bucket=rows["bucket"].copy(),
        multiplier=np.array([i.multiplier for i in known], np.int64),
        tick=np.array([i.tick for i in known], np.int64),
        lot=np.array([i.lot for i in known], np.int64),
        delta=np.array([i.delta for i in known], np.float64),
        margin_rate=rows["margin_rate"].copy(),
        key=np.array([crc32(s.encode()) for s in panel.symbols], np.int64),
        fixed=np.array(fixed, np.int64),
        penny=np.array([i.bucket is Bucket.PENNY for i in known], np.bool_),
        sip=panel.symbols.index(sip) if sip in panel.symbols else -1,
    )


def _fixed(panel: Panel, policy: Policy, symbol: str, mode: Mode) -> int:
    instrument = panel.instruments[symbol]
    bits = own_refusals(instrument, currency=panel.currency, mode=mode)
    return bits | entry_refusals(
        policy.clamps,
        bucket=instrument.bucket,
        price=np.inf,
        adv=np.inf,
        listed_do_not_trade=symbol in policy.lists.do_not_trade,
        stale=False,
        bad_quality=symbol in panel.excluded,
    )
