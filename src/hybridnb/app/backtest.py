"""The same step over the out-of-fold sessions that the size hint never saw.

Daily net returns, closed trades and the decisions behind them are the evidence of the gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.app.context import Context
from hybridnb.app.desk import Hints, Setup
from hybridnb.app.panel import Panel
from hybridnb.app.progress import Say
from hybridnb.app.records import Recorder
from hybridnb.app.session import step
from hybridnb.app.state import first_state
from hybridnb.domain import SCALE, Mode


@dataclass(frozen=True, slots=True)
class Backtest:
    """A stretch of sessions stepped in memory.

    Attributes
    ----------
    equity : Series
        Account units at each close, the opening cash first; indexed by session.
    rows : sequence of mapping
        Trades, fills and session rows, as the ledger would hold them.
    """

    equity: pd.Series[float]
    rows: Sequence[Mapping[str, Any]]

    @property
    def returns(self) -> pd.Series[float]:
        """Daily net returns."""
        return self.equity.pct_change().dropna()

    @property
    def pnl(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Net P&L of each closed trade, account units."""
        return np.array([r["pnl"] / SCALE for r in self.rows if r["kind"] == "trade"])


def held_out(context: Context, panel: Panel, *, to: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows of the sessions to backtest: the last share of those with both predictions.

    The first of them is at least two: a session decides on the one before.
    """
    known = np.isfinite(panel.columns["p_short"]) & np.isfinite(panel.columns["p_mid"])
    rows = np.flatnonzero(known.any(axis=1) & (panel.sessions <= pd.Timestamp(to)))
    first = int(len(rows) * (1.0 - context.settings.day.holdout))
    return rows[first:][1:]


def backtest(
    context: Context, panel: Panel, hints: Hints, *, rows: Any, model_version: str, say: Say
) -> Backtest:
    """Step the sessions in `rows` of the panel from a new account.

    The mode is DEMO: what is tested is the decision, not the permission to trade live.
    """
    policy = context.settings.policy
    setup = Setup("backtest", policy, "backtest", model_version, hints)
    state = first_state(policy)
    state = replace(state, risk=replace(state.risk, mode=Mode.DEMO))
    start = panel.sessions[rows[0] - 1]
    equity, kept = {start: policy.opening_cash}, []
    for n, i in enumerate(rows):
        day = panel.day(int(i))
        record = Recorder(book=setup.book, session=day.session, stamp={})
        state = step(state, day, setup, record)
        kept += [r for r in record.rows if r["kind"] in ("trade", "fill", "alert")]
        equity[panel.sessions[i]] = record.rows[-1]["equity"] / SCALE
        if n % 250 == 249:
            say(f"backtest: {n + 1} of {len(rows)} sessions, to {day.session}")
    return Backtest(pd.Series(equity, name="equity", dtype=float), kept)
