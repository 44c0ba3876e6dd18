"""The same step over the out-of-fold sessions that the size hint never saw.

Daily net returns, closed trades and the decisions behind them are the evidence of the gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.context import Context
from hybridnb.app.desk import Hints, Setup
from hybridnb.app.panel import Panel
from hybridnb.app.progress import Say
from hybridnb.app.records import Recorder
from hybridnb.app.session import step
from hybridnb.app.state import first_state
from hybridnb.domain import SCALE, Mode

Rows = NDArray[np.int64]


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
    def pnl(self) -> NDArray[np.float64]:
        """Net P&L of each closed trade, account units."""
        return np.array([r["pnl"] / SCALE for r in self.rows if r["kind"] == "trade"])


def predicted_rows(panel: Panel) -> Rows:
    """Rows of the panel in which some name has both predictions."""
    known = np.isfinite(panel.columns["p_short"]) & np.isfinite(panel.columns["p_mid"])
    return np.flatnonzero(known.any(axis=1))


def held_out(context: Context, panel: Panel, *, to: str) -> Rows:
    """Rows to backtest: the last share of the predicted sessions through `to`.

    The size hint was trained on the earlier share; one session lies between, since each decides
    on the one before.
    """
    rows = predicted_rows(panel)
    rows = rows[panel.sessions[rows] <= pd.Timestamp(to)]
    return rows[int(len(rows) * (1.0 - context.settings.day.holdout)) :][1:]


def backtest(
    context: Context, panel: Panel, hints: Hints, *, rows: Rows, model_version: str, say: Say
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
