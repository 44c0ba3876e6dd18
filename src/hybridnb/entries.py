"""Sizing one entry: its caps, multipliers and clamps, with the book that the names before it left.

Records are those of `decide.INPUT` and `decide.DECISION`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnb.clamps import FNO, Room, clamp
from hybridnb.domain import Refusal
from hybridnb.limits import BUCKETS, Limits, loop_form
from hybridnb.sizing import (
    Capped,
    Scaled,
    cap_size,
    kelly,
    scale_size,
    tail_risk_with,
    wanted_size,
)

_MARGIN_BOUND, _REFUSED_BOUND = 5, 6  # positions in domain.Bound after the four caps
_BUCKETS = len(BUCKETS)
_KELLY, _NO_ROOM, _TAIL_UNKNOWN, _MARGIN, _BELOW_MINIMUM, _NO_SHORTS, _NOT_FINITE, _LOW = (
    int(Refusal[name])
    for name in (
        *("KELLY", "NO_ROOM", "TAIL_UNKNOWN", "MARGIN", "BELOW_MINIMUM"),
        *("NO_SHORTS", "NOT_FINITE", "LOW_CONFIDENCE"),
    )
)


class Account(NamedTuple):
    """What the book gives to every decision; `margin_available` is a share of equity."""

    equity: float
    margin_available: float
    crisis: bool


class Context(NamedTuple):
    """The book when a name's turn comes, in shares of equity.

    `bucket`, `gross`, `margin` and `risk` are sums over the other names; `returns`, shape (t,),
    are the daily returns of the whole book as it is held now, the name included.
    """

    bucket: float
    gross: float
    margin: float
    risk: float
    returns: NDArray[np.float64]


class Others(NamedTuple):
    """The sums of `Context` alone: enough for all but the tail."""

    bucket: float
    gross: float
    margin: float
    risk: float


class Totals(NamedTuple):
    """The book with every name in it, kept up as entries are sized.

    `bucket` has the gross of each bucket; `sums` gross, margin and open risk; `returns`, shape
    (t,), the book's daily returns.
    """

    bucket: NDArray[np.float64]
    sums: NDArray[np.float64]
    returns: NDArray[np.float64]


def totals_of(
    rows: NDArray[Any],
    held: NDArray[np.float64],
    risk: NDArray[np.float64],
    returns: NDArray[np.float64],
    window: tuple[int, int],
) -> Totals:
    """The book's totals from holdings and open risks, shape (n,), and returns, shape (n, t).

    `window` is the stretch of the returns to use, first and one past the last. Every sum runs in
    the order of the names, one after the other.
    """
    some = np.flatnonzero(held)
    size, code = np.abs(held[some]), rows["bucket"][some]
    margin = np.where(code == FNO, size * rows["margin_rate"][some], 0.0)
    sums = [np.cumsum(each)[-1] if len(some) else 0.0 for each in (size, margin, risk[some])]
    moves = held[some, None] * np.ascontiguousarray(returns[some, window[0] : window[1]])
    # Of nothing, bincount gives integers, whatever the weights: they couldn't take up shares.
    bucket = np.bincount(code, size, _BUCKETS).astype(np.float64)
    return Totals(bucket, np.array(sums), moves.sum(axis=0))


def _totals_loop(
    rows: NDArray[Any],
    held: NDArray[np.float64],
    risk: NDArray[np.float64],
    returns: NDArray[np.float64],
    window: tuple[int, int],
) -> Totals:
    first, stop = window
    totals = Totals(np.zeros(_BUCKETS), np.zeros(3), np.zeros(stop - first))
    for j in range(len(held)):
        if held[j] != 0.0:
            grow(totals, rows[j], returns[j, first:stop], held[j], risk[j])
    return totals


loop_form(totals_of, _totals_loop)


def grow(
    totals: Totals, row: Any, returns: NDArray[np.float64], more: float, more_risk: float
) -> None:
    """Count `more` of a name, a signed share of equity of its position's sign."""
    size = abs(more)
    totals.bucket[row["bucket"]] += size
    totals.sums[0] += size
    if row["bucket"] == FNO:
        totals.sums[1] += size * row["margin_rate"]
    totals.sums[2] += more_risk
    add_scaled(totals.returns, more, returns)


def add_scaled(into: NDArray[np.float64], more: float, returns: NDArray[np.float64]) -> None:
    """`into += more × returns`, shape (t,)."""
    into += more * returns


def _add_scaled_loop(into: NDArray[np.float64], more: float, returns: NDArray[np.float64]) -> None:
    for t in range(len(into)):
        into[t] += more * returns[t]


loop_form(add_scaled, _add_scaled_loop)


def context_of(totals: Totals, row: Any, held: float, risk: float) -> Context:
    """The book without one name's own holding and risk."""
    others = others_of(totals.bucket, totals.sums, row, held, risk)
    return Context(others.bucket, others.gross, others.margin, others.risk, totals.returns)


def others_of(
    bucket: NDArray[np.float64], sums: NDArray[np.float64], row: Any, held: float, risk: float
) -> Others:
    """The sums of `Totals` without one name's own holding and risk."""
    own = abs(held)
    margin = own * row["margin_rate"] if own > 0.0 and row["bucket"] == FNO else 0.0
    return Others(
        bucket[row["bucket"]] - own,
        sums[0] - own,
        sums[1] - margin,
        sums[2] - (risk if own > 0.0 else 0.0),
    )


def size_row(
    lim: Limits,
    account: Account,
    row: Any,
    dec: Any,
    context: Context,
    returns: NDArray[np.float64],
) -> None:
    """Size one entry and write every step into its record: caps, multipliers, clamps."""
    cap_row(lim, row, dec, context)
    more = dec["action"] * max(dec["capped"], abs(row["held"])) - row["held"]
    dec["var"], dec["es"] = tail_risk_with(context.returns, more, returns)
    scale_row(lim, account, row, dec, context)


def cap_row(lim: Limits, row: Any, dec: Any, context: Context) -> None:
    """Wanted size, caps and the refusals that follow from them."""
    code = row["bucket"]
    refused = row["refused"] | _own_refusals(lim, row, dec)
    wanted = wanted_size(dec["score"], lim.bucket[code])
    win = row["win_long"] if dec["action"] > 0 else row["win_short"]
    quarter = lim.kelly_fraction * kelly(win, lim.payoff)
    cap = cap_entry(lim, code, wanted, quarter, context)
    dec["size_pre"], dec["quarter_kelly"] = wanted, quarter
    dec["headroom"] = lim.bucket[code] - context.bucket
    dec["capped"], dec["bound"] = cap.capped, cap.bound
    if not quarter > 0.0:
        refused |= _KELLY
    elif not cap.capped > 0.0:
        refused |= _NO_ROOM
    dec["refused"] = refused


def cap_entry(lim: Limits, code: int, wanted: float, quarter: float, context: Any) -> Capped:
    """The smallest of the wanted size, a quarter of Kelly's and the room in the book."""
    return cap_size(
        wanted,
        name=lim.name[code],
        headroom=lim.bucket[code] - context.bucket,
        quarter_kelly=quarter,
        leverage=lim.max_leverage - context.gross,
    )


class Fit(NamedTuple):
    """A size after multipliers and clamps, and what took part of it."""

    size: float
    refused: int
    by_margin: bool
    heat: float
    scaled: Scaled


def scale_row(lim: Limits, account: Account, row: Any, dec: Any, context: Context) -> None:
    """Multipliers and clamps, from the capped size and the tail of the book with the order."""
    tail, refused = (dec["var"], dec["es"]), dec["refused"]
    fit = fit_entry(lim, account, row, context, capped=dec["capped"], tail=tail, refused=refused)
    scaled = fit.scaled
    dec["heat"], dec["m_posture"] = fit.heat, scaled.posture
    dec["m_volatility"], dec["m_var"], dec["m_es"] = scaled.volatility, scaled.var, scaled.es
    dec["m_heat"], dec["m_crisis"] = scaled.heat, scaled.crisis
    if fit.by_margin:
        dec["bound"] = _MARGIN_BOUND
    if fit.refused:
        dec["bound"] = _REFUSED_BOUND
    dec["refused"] = fit.refused
    dec["size_post_risk"] = dec["action"] * fit.size if fit.size > 0.0 else 0.0


def fit_entry(
    lim: Limits,
    account: Account,
    row: Any,
    context: Any,
    *,
    capped: float,
    tail: tuple[float, float],
    refused: int,
) -> Fit:
    """A capped size after its multipliers and clamps.

    Any `tail` (VaR and ES) at or below the limits gives the same size.
    """
    code, own_risk = row["bucket"], max(row["risk"], stop_risk(lim, row, capped))
    heat = (context.risk + own_risk) / lim.loss_limit
    scaled = scale_size(
        lim,
        capped,
        annual_volatility=row["annual_volatility"],
        var=tail[0],
        es=tail[1],
        heat=heat,
        crisis=account.crisis,
        posture=row["posture"] * (lim.no_rl_factor if row["rl"] != row["rl"] else 1.0),
    )
    if tail[0] != tail[0]:
        refused |= _TAIL_UNKNOWN
    margin_rate = row["margin_rate"] if code == FNO else 0.0
    room = Room(
        lim.name[code],
        lim.bucket[code] - context.bucket,
        lim.max_leverage - context.gross,
        account.margin_available - context.margin,
    )
    size = clamp(scaled.size, room, margin_rate=margin_rate, refusals=refused)
    by_margin = 0.0 < size < scaled.size and margin_rate > 0.0
    if size + refused == 0 and not (margin_rate <= 0.0 or room.margin / margin_rate > 0.0):
        refused |= _MARGIN
    if not size * account.equity >= lim.min_order_value and refused == 0:
        size, refused = 0.0, _BELOW_MINIMUM
    return Fit(size, refused, by_margin, heat, scaled)


def known(*, price: Any, atr: Any, volatility: Any, held: Any, risk: Any) -> Any:
    """Whether what an entry is sized by is finite and makes sense; of floats or of columns."""
    finite = abs(price + atr + volatility + held + risk) < np.inf
    return finite & (price > 0.0) & (atr > 0.0) & (volatility >= 0.0)


def stop_risk(lim: Limits, row: Any, size: float) -> float:
    """Share of equity between entry and stop of a size, itself a share; NaN without a price."""
    return size * lim.stop_atr * row["atr"] / row["price"] if row["price"] > 0.0 else np.nan


def _own_refusals(lim: Limits, row: Any, dec: Any) -> int:
    bits = 0
    if dec["action"] < 0 and lim.allow_short == 0.0:
        bits |= _NO_SHORTS
    price, atr, volatility = row["price"], row["atr"], row["annual_volatility"]
    if not known(price=price, atr=atr, volatility=volatility, held=row["held"], risk=row["risk"]):
        bits |= _NOT_FINITE
    if dec["confidence"] < lim.confidence_threshold:
        bits |= _LOW
    return bits
