"""The size hint wired to the house: its training data from the panel, its view of a day."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.backtest import predicted_rows
from hybridnb.app.context import Context
from hybridnb.app.desk import Hints, Setup
from hybridnb.app.inputs import inputs
from hybridnb.app.panel import Day, Panel, panel
from hybridnb.app.progress import Say
from hybridnb.app.state import State, first_state
from hybridnb.book import equity
from hybridnb.domain import SCALE, Mode
from hybridnb.learning.hint import Hint, observe
from hybridnb.learning.trading_env import EpisodeData
from hybridnb.limits import CODE, limits
from hybridnb.market.assemble import until


def live_hints(hint: Hint, context: Context) -> Hints:
    """The hint of every name of a day, from what the book holds in it."""
    policy = context.settings.policy

    def hints(day: Day, state: State) -> NDArray[np.float64]:
        lim = limits(policy, state.risk.mode)
        held, unrealised = np.zeros(len(day.symbols)), np.zeros(len(day.symbols))
        value_of_book = equity(state.book, day.last, day.last.get(policy.sip.symbol))
        for i, symbol in enumerate(day.symbols):
            position = state.book.positions.get(symbol)
            if position is None:
                continue
            cap = lim.name[CODE[day.instruments[symbol].bucket]]
            value = position.quantity * position.multiplier * day.last[symbol]
            held[i] = value / value_of_book / cap if cap > 0.0 else 0.0
            sign = 1 if position.quantity > 0 else -1
            risk = policy.stops.initial * position.atr * SCALE
            unrealised[i] = sign * (day.last[symbol] - position.entry) / risk
        columns = day.columns
        seen = observe(
            p_short=columns["p_short"],
            p_mid=columns["p_mid"],
            win_long=columns["win_long"],
            annual_volatility=columns["annual_volatility"],
            atr_share=columns["atr"] / columns["close"],
            volatility_z=day.facts.get("volatility_zscore", np.nan),
            trend_strength=day.facts.get("trend_strength", np.nan),
            regime=day.regime,
            held=held,
            unrealised=unrealised,
        )
        return hint.hints(seen)

    return hints


def train_hint(
    context: Context, to: pd.Timestamp, predictions: pd.DataFrame, *, checkpoint: Path, say: Say
) -> Hint:
    """Train on the earlier out-of-fold sessions; the held-out share is never seen."""
    from hybridnb.learning.ppo import train_ppo

    upto = context.sessions <= to
    found = panel(
        until(context.market, to),
        sessions=context.sessions[upto],
        ordinals=context.ordinals[upto],
        features=context.features,
        facts=context.facts,
        predictions=predictions,
    )
    rows = predicted_rows(found)
    rows = rows[: int(len(rows) * (1.0 - context.settings.day.holdout))]
    policy = context.settings.policy
    return train_ppo(
        episode_data(context, found, rows),
        policy,
        limits(policy, Mode.DEMO),
        context.learning.ppo,
        seed=context.seed,
        checkpoint=checkpoint,
        say=say,
    )


def episode_data(context: Context, found: Panel, rows: NDArray[np.int64]) -> EpisodeData:
    """The panel's sessions `rows` as the environment reads them: row t is known at its close."""
    policy = context.settings.policy
    nothing = np.zeros(len(found.symbols))
    setup = Setup("training", policy, "training", "training", lambda day, state: nothing)
    state = first_state(policy)
    state = replace(state, risk=replace(state.risk, mode=Mode.DEMO))
    lim, cash = limits(policy, Mode.DEMO), state.book.cash
    # The inputs of a decision at the close of row r are those of the day that follows it.
    kept: list[Any] = []
    for r in rows:
        if r + 1 < len(found.sessions):
            kept.append(inputs(state, found.day(int(r) + 1), setup, lim, equity_units=cash))
    use = rows[: len(kept)]
    close = found.columns["close"][use]
    return EpisodeData(
        rows=np.stack(kept),
        prices=np.where(found.present[use], found.prices[:4, use], 0),
        returns=found.returns[use],
        volatility=found.columns["daily_volatility"][use],
        adv=found.columns["adv"][use] / close,
        volatility_z=found.facts["volatility_zscore"].to_numpy(np.float64)[use],
        trend_strength=found.facts["trend_strength"].to_numpy(np.float64)[use],
        regimes=tuple(str(r) for r in found.facts["regime"].iloc[use]),
    )
