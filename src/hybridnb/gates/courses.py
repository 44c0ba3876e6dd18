"""What a stretch of sessions came to, as figures: equity curves and counts, nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hybridnb import metrics


@dataclass(frozen=True, slots=True)
class Course:
    """Figures of one stretch of sessions.

    Attributes
    ----------
    sessions : int
    pnl : float
        Net, account units, from the opening equity to the last close.
    sharpe : float
        Annualised, of daily net returns; NaN without variation.
    max_drawdown : float
        Share of the peak, from closes.
    trades : int
        Entries that filled, in whole or in part: an exit in pieces makes no more trades of it.
    loss_bps : float
        The most the scenario lay behind the base at a close of its window, basis points of the
        equity before it (`loss_bps`); 0 of the base itself.
    touched : int
        Holdings, orders or fills that the scenario bore on; of the base its trades. A scenario
        that bore on nothing proves nothing.
    breaches : tuple of str
        Hard limits that didn't hold, in words.
    kills : int
        Sessions in which the kill switch tripped.
    unheld : tuple of str
        Where the kill switch didn't act as it has to, in words.
    error : str
        What broke; empty where nothing did.
    """

    sessions: int
    pnl: float
    sharpe: float
    max_drawdown: float
    trades: int
    loss_bps: float = 0.0
    touched: int = 0
    breaches: tuple[str, ...] = ()
    kills: int = 0
    unheld: tuple[str, ...] = ()
    error: str = ""


def course(
    equity: ArrayLike,
    *,
    trades: int,
    touched: int,
    loss: float = 0.0,
    breaches: Sequence[str] = (),
    kills: int = 0,
    unheld: Sequence[str] = (),
    error: str = "",
) -> Course:
    """The figures of an equity curve.

    Parameters
    ----------
    equity : array_like, shape (sessions + 1,)
        Account units: before the first session, then at each close.
    loss : float
        Basis points (`loss_bps`).

    Raises
    ------
    ValueError
        When the curve is empty, not finite, or not above zero.
    """
    e = np.asarray(equity, np.float64)
    if len(e) == 0 or not np.isfinite(e).all() or (e <= 0.0).any():
        raise ValueError("an equity curve has at least one point, all finite and above zero")
    return Course(
        sessions=len(e) - 1,
        pnl=float(e[-1] - e[0]),
        sharpe=metrics.sharpe(e[1:] / e[:-1] - 1.0) if len(e) > 2 else math.nan,
        max_drawdown=metrics.max_drawdown(e),
        trades=trades,
        loss_bps=loss,
        touched=touched,
        breaches=tuple(breaches),
        kills=kills,
        unheld=tuple(unheld),
        error=error,
    )


def loss_bps(base: ArrayLike, stressed: ArrayLike, *, first: int, last: int) -> float:
    """What a scenario cost: the most the book lay behind the base at a close of the window.

    Against the base, because the two are one until the window opens: whatever lies between them
    then is the scenario's doing, and what the market did anyway isn't.

    Parameters
    ----------
    base, stressed : array_like, shape (t + 1,)
        Equity before the first session, then at each close.
    first, last : int
        The window's sessions, counted from 1.

    Returns
    -------
    float
        Basis points of the equity before the window; 0 where the book never lay behind.

    Raises
    ------
    ValueError
        When the curves aren't of one length, or the window lies outside of them.
    """
    a, b = np.asarray(base, np.float64), np.asarray(stressed, np.float64)
    if a.shape != b.shape or not 1 <= first <= last < len(a):
        raise ValueError("two curves of one length, and a window inside of them")
    behind = (a - b)[first : last + 1]
    return 1e4 * max(0.0, float(behind.max())) / float(b[first - 1])
