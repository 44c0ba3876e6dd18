"""A panel as the tape of a replay, and the replay it gives."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.inputs import fixed_refusals
from hybridnb.app.panel import RETURN_ROWS, Panel
from hybridnb.clamps import PENNY
from hybridnb.decide import INPUT
from hybridnb.domain import Mode, Refusal
from hybridnb.policy import Policy
from hybridnb.replay.tape import Names, Tape, facts_of


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
        facts=facts_of({**columns, "price": columns["close"]}),
        volatility_z=fact("volatility_zscore"),
        correlation=fact("correlation"),
        correlation_floor=fact("correlation_floor"),
        crisis=(facts["regime"] == "crisis").to_numpy(np.bool_),
        returns=np.ascontiguousarray(panel.returns.T),
        window=RETURN_ROWS,
    )


def names_of(panel: Panel, policy: Policy, mode: Mode) -> Names:
    """The panel's names as numbers, with what refuses their entries whatever the day."""
    traits, sip = panel.traits, policy.sip.symbol
    rows = np.zeros(len(panel.symbols), INPUT)
    rows["bucket"], rows["margin_rate"] = traits.bucket, traits.margin_rate
    fixed = np.stack([fixed_refusals(traits, each) for each in (mode, Mode.DEMO)])
    for symbol in policy.lists.do_not_trade & panel.place.keys():
        fixed[:, panel.place[symbol]] |= int(Refusal.DO_NOT_TRADE)
    return Names(
        rows=rows,
        bucket=traits.bucket,
        multiplier=traits.multiplier,
        tick=traits.tick,
        lot=traits.lot,
        delta=traits.delta,
        margin_rate=traits.margin_rate,
        key=np.array([crc32(s.encode()) for s in panel.symbols], np.int64),
        fixed=fixed,
        penny=traits.bucket == PENNY,
        sip=panel.place.get(sip, -1),
    )
