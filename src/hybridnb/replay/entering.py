"""Sizing a session's entries over arrays, name by name, by the functions that size them live.

What no order can come of is spared: a size that doesn't grow even with no tail risk at all, and
the exact tail of the book where it can't pass its limits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hybridnb.domain import SCALE
from hybridnb.entries import (
    Account,
    Totals,
    cap_row,
    context_of,
    grow,
    scale_row,
    stop_risk,
    totals_of,
)
from hybridnb.limits import Limits, loop_form
from hybridnb.replay.tape import ANNUAL_VOLATILITY, ATR, PRICE, WIN_LONG, WIN_SHORT, World
from hybridnb.sizing import tail_risk_with, tail_within, whole_lots


class Turn(NamedTuple):
    """A session's sizing in progress."""

    opening: int
    account: Account
    totals: Totals


def turn_of(w: World, t: int, opening: int) -> Turn:
    """The book at the opening in shares of equity."""
    shares(w, opening)
    window = (max(0, t - w.window), t)
    totals = light(totals_of(w.rows, w.share, w.open_risk, w.returns, window))
    crisis = bool(w.crisis[t - 1]) or w.correlation[t - 1] > w.crisis_correlation
    return Turn(opening, Account(opening / SCALE, w.margin, crisis), totals)


def light(totals: Totals) -> Totals:
    """The same with its few sums as what Python reads faster than arrays."""
    return Totals(totals.bucket.tolist(), totals.sums.tolist(), totals.returns)


def _as_they_are(totals: Totals) -> Totals:
    return totals


loop_form(light, _as_they_are)


def shares(w: World, opening: int) -> None:
    """Set holdings, signed, and open risks to the stops, in shares of equity, shape (n,)."""
    w.share[:] = np.abs(w.delta) * w.quantity * w.multiplier * w.last / opening
    w.open_risk[:] = np.abs(w.quantity) * w.multiplier * np.abs(w.last - w.stop) / opening


def _shares_loop(w: World, opening: int) -> None:
    for j in range(len(w.quantity)):
        quantity = w.quantity[j]
        w.share[j] = w.open_risk[j] = 0.0
        if quantity != 0:
            multiplier, last = w.multiplier[j], w.last[j]
            w.share[j] = abs(w.delta[j]) * quantity * multiplier * last / opening
            w.open_risk[j] = abs(quantity) * multiplier * abs(last - w.stop[j]) / opening


loop_form(shares, _shares_loop)


def size_name(w: World, t: int, lim: Limits, turn: Turn, j: int) -> int:
    """Size one entry, count it in the book for the names after it; its signed units or 0."""
    row, dec, s = w.row[0], w.dec[0], t - 1
    held, risk = float(w.share[j]), float(w.open_risk[j])
    row["held"], row["risk"], row["posture"], row["refused"] = held, risk, 1.0, 0
    row["rl"], row["price"], row["atr"] = (
        float(w.rl[s, j]),
        float(w.facts[s, j, PRICE]),
        float(w.facts[s, j, ATR]),
    )
    row["annual_volatility"] = float(w.facts[s, j, ANNUAL_VOLATILITY])
    row["win_long"], row["win_short"] = (
        float(w.facts[s, j, WIN_LONG]),
        float(w.facts[s, j, WIN_SHORT]),
    )
    row["margin_rate"], row["bucket"] = float(w.margin_rate[j]), int(w.bucket[j])
    context = context_of(turn.totals, row, held, risk)
    cap_row(lim, row, dec, context)
    before = abs(held)
    if dec["refused"] != 0 or dec["capped"] <= before:
        return 0
    # Its tail can only shrink a size, and figures within the limits leave it as it is.
    dec["var"] = dec["es"] = 0.0
    scale_row(lim, turn.account, row, dec, context)
    if abs(dec["size_post_risk"]) <= before:
        return 0
    returns = w.returns[j, max(0, t - w.window) : t]
    more = dec["action"] * dec["capped"] - held
    if not tail_within(turn.totals.returns, more, returns, lim.var_limit, lim.es_limit):
        dec["var"], dec["es"] = tail_risk_with(turn.totals.returns, more, returns)
        scale_row(lim, turn.account, row, dec, context)
    target = dec["size_post_risk"]
    if abs(target) <= before:
        return 0
    own = max(risk, stop_risk(lim, row, abs(target)))
    grow(turn.totals, row, returns, target - held, own - risk)
    return entry_units(w, lim, turn, j)


def entry_units(w: World, lim: Limits, turn: Turn, j: int) -> int:
    """Signed units that a sized decision asks for; 0 where they are worth less than an order."""
    dec, held, price = w.dec[0], abs(int(w.quantity[j])), int(w.last[j])
    units = whole_lots(
        abs(dec["size_post_risk"]),
        equity=turn.opening,
        price=price,
        delta=float(w.delta[j]),
        multiplier=int(w.multiplier[j]),
        lot=int(w.lot[j]),
    )
    more = units - held
    least = max(1.0, lim.min_order_value * SCALE)
    return int(dec["action"]) * more if more * price * int(w.multiplier[j]) >= least else 0
