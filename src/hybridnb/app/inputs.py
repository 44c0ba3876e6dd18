"""What a decision reads, gathered from the day, the book and the control plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.desk import Setup
from hybridnb.app.panel import Day
from hybridnb.app.state import State
from hybridnb.blender import liquidity_score, sigmoid
from hybridnb.clamps import entry_refusals, state_refusals
from hybridnb.decide import INPUT
from hybridnb.domain import SCALE, Instrument, Mode, Refusal
from hybridnb.entries import Account
from hybridnb.limits import CODE, Limits


def account(day: Day, setup: Setup, opening_equity: int) -> Account:
    """What the book gives to every decision of the day."""
    crisis = day.regime == "crisis"
    crisis |= day.facts.get("correlation", np.nan) > setup.policy.sizing.crisis_correlation
    return Account(opening_equity / SCALE, setup.policy.clamps.bucket_fno, bool(crisis))


def inputs(state: State, day: Day, setup: Setup, lim: Limits, *, equity_units: int) -> NDArray[Any]:
    """One row of INPUT a symbol: predictions, facts, holdings and refusals as of the opening."""
    rows = np.zeros(len(day.symbols), INPUT)
    for name in ("p_short", "p_mid", "win_long", "win_short", "sentiment"):
        rows[name] = day.columns[name]
    for name in ("atr", "annual_volatility"):
        rows[name] = day.columns[name]
    rows["price"] = day.columns["close"]
    rows["volatility_z"] = day.facts.get("volatility_zscore", np.nan)
    rows["correlation"] = day.facts.get("correlation", np.nan)
    rows["correlation_floor"] = day.facts.get("correlation_floor", np.nan)
    rows["rl"] = [sigmoid(float(h)) for h in setup.hints(day, state)]
    rows["posture"] = 1.0
    common = state_refusals(
        mode=state.risk.mode,
        state=state.risk.state,
        killed=state.risk.killed,
        quarantined=state.risk.quarantined,
        brake=state.risk.brake,
        verdict_valid=setup.verdict_valid,
    )
    for i, symbol in enumerate(day.symbols):
        instrument = day.instruments[symbol]
        code = CODE[instrument.bucket]
        position = state.book.positions.get(symbol)
        if position is not None:
            exposure = instrument.delta * position.quantity * position.multiplier
            risk = abs(position.quantity) * position.multiplier
            risk *= abs(day.last[symbol] - position.stop)
            rows["held"][i] = exposure * day.last[symbol] / equity_units
            rows["risk"][i] = risk / equity_units
        rows["bucket"][i] = code
        rows["margin_rate"][i] = instrument.margin_rate
        rows["liquidity"][i] = liquidity_score(
            float(day.columns["median_value"][i]), lim.name[code] * equity_units / SCALE
        )
        locked = Refusal.LOCKED if state.risk.locked(symbol) else 0
        rows["refused"][i] = (
            common
            | locked
            | (Refusal.HALTED if day.halted[i] else 0)
            | own_refusals(instrument, currency=day.currency, mode=state.risk.mode)
            | entry_refusals(
                setup.policy.clamps,
                bucket=instrument.bucket,
                price=float(rows["price"][i]),
                adv=float(day.columns["adv"][i]),
                listed_do_not_trade=symbol in setup.policy.lists.do_not_trade,
                stale=bool(day.stale[i]),
                bad_quality=symbol in day.excluded,
            )
        )
    return rows


def own_refusals(instrument: Instrument, *, currency: str, mode: Mode) -> int:
    """What refuses entries of this instrument whatever its price and its book."""
    bits = 0
    if instrument.currency != currency:
        bits |= Refusal.CURRENCY
    # A contract on something else: its exposure isn't its quantity times its price.
    derivative = instrument.multiplier != 1 or abs(instrument.delta) != 1.0
    if mode is Mode.LIVE_MICRO and derivative:
        bits |= Refusal.MODE_EXCLUDED
    return int(bits)
