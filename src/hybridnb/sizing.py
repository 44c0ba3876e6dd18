"""From a score to a share of equity: wanted size, caps, risk multipliers.

Every function takes and returns floats and uses + − × ÷ min max sqrt only, so that scalar,
array and compiled callers agree to the last bit. Sizes are shares of equity, not negative;
the sign belongs to the caller. NaN never passes: an unknown input gives a size of zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnb.limits import Limits, loop_form

MIN_TAIL_ROWS = 60  # sessions of joint history below which a tail figure is unknown
TAIL_SHARE = 0.05  # VaR95 and its expected shortfall
_COUNTABLE = 2.0**53  # beyond it one unit more or less is the same float
_SURELY = 1.0 - 1e-9  # below a limit by more than any rounding


class Capped(NamedTuple):
    """`capped` is the smallest of the caps; `bound` the position of its cap in `domain.Bound`."""

    capped: float
    bound: int


class Scaled(NamedTuple):
    """The multipliers in the order they are applied, and the capped size after them."""

    volatility: float
    var: float
    es: float
    heat: float
    crisis: float
    posture: float
    size: float


def wanted_size(score: Any, bucket_limit: Any) -> Any:
    """`size_pre = bucket_limit × 2 × abs(score − 0.5)`; of floats or of columns."""
    return bucket_limit * 2.0 * abs(score - 0.5)


def kelly(p: Any, payoff: float) -> Any:
    """Kelly's share for a bet that wins `payoff` with probability p and loses 1 otherwise.

    `f = (p·b − (1 − p)) / b` (Kelly 1956). Negative: no edge. NaN stays NaN.
    """
    return (p * payoff - (1.0 - p)) / payoff


def cap_size(
    wanted: float, *, name: float, headroom: float, quarter_kelly: float, leverage: float
) -> Capped:
    """The smallest of the wanted size and the caps, with the cap that bound it.

    A cap of NaN or below zero gives zero: what isn't known leaves no room.
    """
    capped, bound = wanted, 0
    for code, cap in ((1, name), (2, headroom), (3, quarter_kelly), (4, leverage)):
        if not cap >= capped:
            capped, bound = (cap if cap > 0.0 else 0.0), code
    return Capped(capped, bound)


def tail_risk(returns: NDArray[np.float64]) -> tuple[float, float]:
    """One-day historical VaR95 and expected shortfall of a book's returns.

    Parameters
    ----------
    returns : ndarray, shape (t,)
        Daily returns of the present book, as a share of equity; sessions with NaN are left out.

    Returns
    -------
    tuple of float
        (VaR, ES) as positive losses, 0 where the tail is a gain; (NaN, NaN) with fewer than
        `MIN_TAIL_ROWS` finite rows. VaR is the ⌈0.05·t⌉-th smallest return, ES the mean up to it.
    """
    finite = np.sort(returns[np.isfinite(returns)])
    if finite.size < MIN_TAIL_ROWS:
        return np.nan, np.nan
    k = int(np.ceil(TAIL_SHARE * finite.size))
    total, worst = 0.0, finite[:k].tolist()
    for each in worst:
        total += each
    return max(0.0, -worst[-1]), max(0.0, -total / k)


def tail_risk_with(
    book: NDArray[np.float64], more: float, returns: NDArray[np.float64]
) -> tuple[float, float]:
    """`tail_risk` of a book with `more` of a name: returns `book + more × returns`, shape (t,)."""
    return tail_risk(book + more * returns)


def _tail_risk_loop(
    book: NDArray[np.float64], more: float, returns: NDArray[np.float64]
) -> tuple[float, float]:
    """The same for a compiler: the k smallest kept in order, instead of sorting all."""
    n = 0
    for t in range(len(book)):
        n += np.isfinite(book[t] + more * returns[t])
    if n < MIN_TAIL_ROWS:
        return np.nan, np.nan
    k = int(np.ceil(TAIL_SHARE * n))
    worst = np.full(k, np.inf)
    for t in range(len(book)):
        value = book[t] + more * returns[t]
        if value < worst[k - 1] and np.isfinite(value):
            at = k - 1
            while at > 0 and worst[at - 1] > value:
                worst[at] = worst[at - 1]
                at -= 1
            worst[at] = value
    total = 0.0
    for i in range(k):
        total += worst[i]
    return max(0.0, -worst[k - 1]), max(0.0, -total / k)


loop_form(tail_risk_with, _tail_risk_loop)


def tail_beyond(
    book: NDArray[np.float64],
    more: float,
    returns: NDArray[np.float64],
    var_limit: float,
    es_limit: float,
) -> tuple[float, float]:
    """`tail_risk_with`, but (0, 0) where both figures lie within their limits."""
    var, es = tail_risk_with(book, more, returns)
    return (0.0, 0.0) if var <= var_limit and es <= es_limit else (var, es)


def _tail_beyond_loop(
    book: NDArray[np.float64],
    more: float,
    returns: NDArray[np.float64],
    var_limit: float,
    es_limit: float,
) -> tuple[float, float]:
    if _surely_within(book, more, returns, var_limit, es_limit):
        return 0.0, 0.0
    var, es = tail_risk_with(book, more, returns)
    return (0.0, 0.0) if var <= var_limit and es <= es_limit else (var, es)


def _surely_within(
    book: NDArray[np.float64],
    more: float,
    returns: NDArray[np.float64],
    var_limit: float,
    es_limit: float,
) -> bool:
    """Whether both figures lie within their limits, as far as a bound tells.

    VaR does if fewer returns than its rank lie beyond the limit. ES is at most `c` and the mean
    of what the losses are beyond c, for any c (Rockafellar & Uryasev 2000); here c is the limit
    of VaR. False where a return isn't finite.
    """
    beyond, known, n = 0, 0, len(book)
    rank = int(np.ceil(TAIL_SHARE * n))
    for t in range(n):
        value = book[t] + more * returns[t]
        known += abs(value) < np.inf
        beyond += value < -var_limit
    if n < MIN_TAIL_ROWS or known < n or beyond >= rank:
        return False
    excess = 0.0
    for t in range(n if beyond > 0 else 0):
        value = book[t] + more * returns[t]
        if value < -var_limit:
            excess += -value - var_limit
    return var_limit + excess / rank <= es_limit * _SURELY


loop_form(tail_beyond, _tail_beyond_loop)


def scale_size(
    lim: Limits,
    capped: float,
    *,
    annual_volatility: float,
    var: float,
    es: float,
    heat: float,
    crisis: bool,
    posture: float,
) -> Scaled:
    """Shrink a capped size by the risk multipliers, each in [0, 1].

    Parameters
    ----------
    capped : float
        Share of equity after the caps.
    annual_volatility : float
        Of the symbol, a fraction a year.
    var, es : float
        Of the book with the order at its capped size, a fraction of equity a day.
    heat : float
        Open risk to the stops with the order at its capped size, a share of the day's limit.
    crisis : bool
        Crisis regime, or correlation above its bar.
    posture : float
        Product of the other multipliers in [0, 1]: missing RL model, size agent, subsystem.

    Returns
    -------
    Scaled
        With NaN in an input its multiplier is 0.
    """
    m_vol = _limit_ratio(lim.volatility_target, annual_volatility)
    m_var = _limit_ratio(lim.var_limit, var)
    m_es = _limit_ratio(lim.es_limit, es)
    m_heat = min(1.0, max(0.0, 1.0 - heat / lim.heat_limit)) if heat == heat else 0.0
    m_crisis = lim.crisis_factor if crisis else 1.0
    m_posture = min(1.0, max(0.0, posture)) if posture == posture else 0.0
    size = capped * m_vol * m_var * m_es * m_heat * m_crisis * m_posture
    return Scaled(m_vol, m_var, m_es, m_heat, m_crisis, m_posture, size)


def _limit_ratio(limit: float, value: float) -> float:
    """`min(1, limit / value)`; 1 at or below zero, 0 for NaN."""
    if value <= limit:
        return 1.0
    return limit / value if value > limit else 0.0


def whole_lots(
    share: float, *, equity: int, price: int, delta: float, multiplier: int, lot: int
) -> int:
    """Whole lots whose exposure stays within a share of equity.

    Parameters
    ----------
    share : float
        Not negative; NaN gives 0.
    equity, price : int
        In 1/10,000.
    delta : float
        Exposure of a unit in units of its underlying.

    Returns
    -------
    int
        Units, rounded down: `abs(delta) × units × multiplier × price ≤ share × equity`; 0 where
        they would be more than a float counts one by one (2⁵³), as with a delta of next to nothing.
    """
    exposure = abs(delta) * multiplier * price
    if not (share > 0.0 and exposure > 0.0 and share * equity / exposure < _COUNTABLE):
        return 0
    units = int(share * equity / exposure)
    while units > 0 and units * exposure > share * equity:  # the quotient may have rounded up
        units -= 1
    return units // lot * lot
