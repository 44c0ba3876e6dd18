"""What a decision reads, gathered from the day, the book and the control plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.desk import Setup
from hybridnb.app.panel import Day, Traits
from hybridnb.app.state import State
from hybridnb.blender import liquidity_scores, sigmoid
from hybridnb.clamps import penny_refusals, state_refusals
from hybridnb.decide import INPUT
from hybridnb.domain import SCALE, Bucket, Instrument, Mode, Position, Refusal
from hybridnb.entries import Account
from hybridnb.limits import CODE, Limits
from hybridnb.risk import ALL
from hybridnb.stops import levels, stop_rule, tighter, trailed


def account(day: Day, setup: Setup, opening_equity: int) -> Account:
    """What the book gives to every decision of the day."""
    crisis = day.regime == "crisis"
    crisis |= day.facts.get("correlation", np.nan) > setup.policy.sizing.crisis_correlation
    return Account(opening_equity / SCALE, setup.policy.clamps.bucket_fno, bool(crisis))


def inputs(state: State, day: Day, setup: Setup, lim: Limits, *, equity_units: int) -> NDArray[Any]:
    """One row of INPUT a symbol: predictions, facts, holdings and refusals as of the opening."""
    one = np.zeros(1, INPUT)  # what all names share is written at once
    one["volatility_z"] = day.facts.get("volatility_zscore", np.nan)
    one["correlation"] = day.facts.get("correlation", np.nan)
    one["correlation_floor"] = day.facts.get("correlation_floor", np.nan)
    one["rl"], one["posture"] = np.nan, 1.0
    rows = np.repeat(one, len(day.symbols))
    for name in ("p_short", "p_mid", "win_long", "win_short", "sentiment"):
        rows[name] = day.columns[name]
    for name in ("atr", "annual_volatility"):
        rows[name] = day.columns[name]
    rows["price"] = day.columns["close"]
    hints = setup.hints(day, state)
    told = np.flatnonzero(hints == hints)
    rows["rl"][told] = [sigmoid(h) for h in hints[told].tolist()]
    rows["bucket"], rows["margin_rate"] = day.traits.bucket, day.traits.margin_rate
    order_value = np.array(lim.name)[day.traits.bucket] * equity_units / SCALE
    rows["liquidity"] = liquidity_scores(day.columns["median_value"], order_value)
    for symbol, position in state.book.positions.items():
        i = day.place[symbol]
        exposure = abs(day.instruments[symbol].delta) * position.quantity * position.multiplier
        risk = abs(position.quantity) * position.multiplier
        risk *= abs(day.last[symbol] - _stop(position, day.instruments[symbol], setup))
        rows["held"][i] = exposure * day.last[symbol] / equity_units
        rows["risk"][i] = risk / equity_units
    rows["refused"] = _refusals(state, day, setup)
    return rows


def _stop(position: Position, instrument: Instrument, setup: Setup) -> int:
    """A position's stop; with replies in force, the operator's where that is farther away.

    A nearer stop would leave more heat for entries.
    """
    if not setup.bound:
        return position.stop
    sign, rule = 1 if position.quantity > 0 else -1, stop_rule(setup.policy.stops)
    entry, atr, best = position.entry, position.atr, position.best
    first, _ = levels(rule, entry, atr, sign, instrument.tick)
    own = tighter(first, trailed(rule, entry, atr, best, sign, instrument.tick), sign)
    return min(own, position.stop) if sign > 0 else max(own, position.stop)


def _refusals(state: State, day: Day, setup: Setup) -> NDArray[np.int64]:
    """Bits of `Refusal` of each symbol's entry that its size has no part in."""
    risk, clamps = state.risk, setup.policy.clamps
    bits = fixed_refusals(day.traits, risk.mode)
    bits |= state_refusals(
        mode=risk.mode,
        state=risk.state,
        killed=risk.killed,
        quarantined=risk.quarantined,
        brake=risk.brake,
        verdict_valid=setup.verdict_valid,
    )
    bits |= penny_refusals(
        clamps, bucket=day.traits.bucket, price=day.columns["close"], adv=day.columns["adv"]
    )
    bits |= np.where(day.stale, int(Refusal.STALE_DATA), 0)
    bits |= np.where(day.halted, int(Refusal.HALTED), 0)
    for symbol in setup.policy.lists.do_not_trade & day.place.keys():
        bits[day.place[symbol]] |= int(Refusal.DO_NOT_TRADE)
    for lock in risk.locks:
        if lock.until >= risk.ordinal:
            one = day.place.get(lock.symbol, len(bits))
            bits[slice(None) if lock.symbol == ALL else slice(one, one + 1)] |= int(Refusal.LOCKED)
    return bits


def fixed_refusals(traits: Traits, mode: Mode) -> NDArray[np.int64]:
    """What refuses entries of instruments whatever their prices and the book, shape (n,)."""
    sip, unknown = CODE[Bucket.SIP], CODE[Bucket.UNKNOWN]
    bits = np.where(traits.currency, int(Refusal.CURRENCY), 0)
    bits |= np.where(traits.excluded, int(Refusal.BAD_QUALITY), 0)
    bits |= np.where(traits.bucket == sip, int(Refusal.SIP_ONLY), 0)
    bits |= np.where(traits.bucket == unknown, int(Refusal.UNKNOWN_CLASS), 0)
    if mode is Mode.LIVE_MICRO:
        bits |= np.where(traits.derivative, int(Refusal.MODE_EXCLUDED), 0)
    return bits
