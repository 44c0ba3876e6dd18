"""Sizing a session's entries over arrays, name by name, by the functions that size them live.

What no order can come of is spared: a size that doesn't grow even with no tail risk at all, and
the exact tail of the book where it can't pass its limits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hybridnb.domain import SCALE
from hybridnb.entries import Account, cap_entry, fit_entry, stop_risk
from hybridnb.limits import Limits, loop_form
from hybridnb.replay.tape import ANNUAL_VOLATILITY, ATR, PRICE, World
from hybridnb.sizing import tail_beyond, whole_lots
from hybridnb.totals import Totals, count_book, grow, others_of


class Turn(NamedTuple):
    """A session's sizing in progress: its opening, the account, how many returns the book has."""

    opening: int
    account: Account
    returns: int


def turn_of(w: World, window: tuple[int, int], opening: int) -> Turn:
    """Count the book at the opening in shares of equity, with its returns in a window."""
    a, length, s = w.arrays, window[1] - window[0], window[1] - 1
    totals = Totals(a.book_bucket, a.book_sums, a.book_returns[:length])
    count_book(totals, w.rows, a.share, a.open_risk, a.returns, window)
    crisis = bool(w.crisis[s]) or w.correlation[s] > w.crisis_correlation
    return Turn(opening, Account(opening / SCALE, w.margin, crisis), length)


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


def size_name(w: World, t: int, lim: Limits, turn: Turn, i: int) -> int:
    """Size the i-th that acts, count it in the book for those after it; its signed units or 0."""
    j, action, row, s = w.names[i], w.action[i], w.row[0], t - 1
    held, risk = w.share[j], w.open_risk[j]
    row["risk"], row["posture"], row["rl"] = risk, 1.0, w.rl[s, j]
    row["price"], row["atr"] = w.facts[s, j, PRICE], w.facts[s, j, ATR]
    row["annual_volatility"] = w.facts[s, j, ANNUAL_VOLATILITY]
    row["margin_rate"], row["bucket"] = w.margin_rate[j], w.bucket[j]
    others = others_of(w.book_bucket, w.book_sums, row, held, risk)
    capped = cap_entry(lim, row["bucket"], w.wanted[i], w.quarter[i], others).capped
    before = abs(held)
    if capped <= before:
        return 0
    # The book's tail can only shrink a size, and figures within the limits leave it as it is.
    account, within = turn.account, (0.0, 0.0)
    size = fit_entry(lim, account, row, others, capped=capped, tail=within, refused=0).size
    if size <= before:
        return 0
    returns, book = w.arrays.returns[j, t - turn.returns : t], w.arrays.book_returns[: turn.returns]
    more = action * capped - held
    tail = tail_beyond(book, more, returns, lim.var_limit, lim.es_limit)
    if tail != within:
        size = fit_entry(lim, account, row, others, capped=capped, tail=tail, refused=0).size
        if size <= before:
            return 0
    own = max(risk, stop_risk(lim, row, size))
    totals = Totals(w.book_bucket, w.book_sums, book)
    grow(totals, row, returns, action * size - held, own - risk)
    units: int = action * units_of(w, lim, turn.opening, j, size)
    return units


def units_of(w: World, lim: Limits, opening: int, j: int, size: float) -> int:
    """Units to add for a size; 0 where they are worth less than an order."""
    price, multiplier = w.last[j], w.multiplier[j]
    units = whole_lots(
        size, equity=opening, price=price, delta=w.delta[j], multiplier=multiplier, lot=w.lot[j]
    )
    more = units - abs(w.quantity[j])
    least = max(1.0, lim.min_order_value * SCALE)
    return int(more) if more * price * multiplier >= least else 0
