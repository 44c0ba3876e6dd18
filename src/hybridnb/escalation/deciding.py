"""Deciding twice while a reply is in force: under the operator's policy and under the replied one.

Tightening one limit can loosen what follows from it: a nearer stop leaves more heat for size, a
moved weight turns HOLD into BUY. So what both decisions ask for is done, and no more: an entry
needs the same action in both and takes the smaller size, an exit needs only one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.decide import by_conviction
from hybridnb.domain import Bound, Mode, Refusal
from hybridnb.limits import Limits, limits
from hybridnb.policy import Policy

_REFUSED = tuple(Bound).index(Bound.REFUSED)
_NOT_FINITE = int(Refusal.NOT_FINITE)
# Fields of a decision that say nothing when it is HOLD, as `decide` leaves them.
_ZERO = ("size_pre", "capped", "m_volatility", "m_var", "m_es", "m_heat", "m_crisis", "m_posture")
_UNKNOWN = ("quarter_kelly", "headroom", "var", "es", "heat")


def replied_limits(operator: Policy, replied: Policy, mode: Mode) -> Limits:
    """Limits of the second decision: the replied policy's, with the operator's stop and payoff.

    Heat measures an entry's risk by the distance of its stop, Kelly its odds by target and stop:
    both use the stop as it was before a reply. For the same reason the open risk of positions
    (`risk` of `decide.INPUT`) is to be measured to the stop that the operator's policy sets.
    """
    own = limits(operator, mode)
    return limits(replied, mode)._replace(stop_atr=own.stop_atr, payoff=own.payoff)


def tighter_decision(
    operator: NDArray[Any], replied: NDArray[Any], held: NDArray[np.float64]
) -> NDArray[Any]:
    """What both decisions allow.

    Parameters
    ----------
    operator, replied : structured array of DECISION, shape (n,)
        The same names in the same order, with the same book.
    held : ndarray, shape (n,)
        Signed share of equity held, as in `decide.INPUT`.

    Returns
    -------
    structured array of DECISION, shape (n,)
        Each row one of the two decisions: the one that closes, of equal entries the smaller with
        the refusals of both, else the HOLD. A BUY against a SELL with nothing held is a HOLD.
        A size that isn't finite becomes 0, refused. `rank` is counted anew.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    if not operator.shape == replied.shape == held.shape:
        raise ValueError("two decisions and the holdings of one universe have one shape")
    a, b = operator["action"], replied["action"]
    closes, closes_too = a * held < 0.0, b * held < 0.0
    opens = ~closes & ~closes_too
    both = opens & (a == b) & (a != 0)
    smaller = np.abs(replied["size_post_risk"]) < np.abs(operator["size_post_risk"])
    take = np.where(opens, np.where(both, smaller, b == 0), ~closes)
    out = operator.copy()
    out[take] = replied[take]
    _join_refusals(out, operator, replied, both)
    _hold(out, opens & (a != b) & (a != 0) & (b != 0), held)
    acting = np.flatnonzero(out["action"])
    out["rank"] = -1
    out["rank"][acting[by_conviction(out["score"][acting])]] = np.arange(len(acting))
    return out


def _join_refusals(
    out: NDArray[Any], operator: NDArray[Any], replied: NDArray[Any], both: NDArray[np.bool_]
) -> None:
    known = np.isfinite(operator["size_post_risk"] + replied["size_post_risk"])
    bits = operator["refused"] | replied["refused"] | np.where(known, 0, _NOT_FINITE)
    refused = both & (bits != 0)
    out["refused"][both] = bits[both]
    out["bound"][refused] = _REFUSED
    out["size_post_risk"][refused] = 0.0


def _hold(out: NDArray[Any], rows: NDArray[np.bool_], held: NDArray[np.float64]) -> None:
    for name in (*_ZERO, "action", "bound", "refused"):
        out[name][rows] = 0
    for name in _UNKNOWN:
        out[name][rows] = np.nan
    out["size_post_risk"][rows] = held[rows]
