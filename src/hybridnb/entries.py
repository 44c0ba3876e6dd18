"""Sizing one entry: its caps, multipliers and clamps, with the book that the names before it left.

Records are those of `decide.INPUT` and `decide.DECISION`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnb.clamps import FNO, Room, clamp
from hybridnb.domain import Refusal
from hybridnb.limits import Limits
from hybridnb.sizing import (
    Capped,
    Scaled,
    cap_size,
    kelly,
    scale_size,
    tail_risk_with,
    wanted_size,
)
from hybridnb.totals import Context

_MARGIN_BOUND, _REFUSED_BOUND = 5, 6  # positions in domain.Bound after the four caps
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
