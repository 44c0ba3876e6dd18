"""The book's totals as its entries are sized, one after the other, and what they leave a name.

Records are those of `decide.INPUT`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnb.clamps import FNO
from hybridnb.limits import BUCKETS, loop_form

_BUCKETS = len(BUCKETS)


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
    totals = Totals(np.empty(_BUCKETS), np.empty(3), np.empty(window[1] - window[0]))
    count_book(totals, rows, held, risk, returns, window)
    return totals


def count_book(
    totals: Totals,
    rows: NDArray[Any],
    held: NDArray[np.float64],
    risk: NDArray[np.float64],
    returns: NDArray[np.float64],
    window: tuple[int, int],
) -> None:
    """`totals_of` into totals there are, whatever they held."""
    some = np.flatnonzero(held)
    size, code = np.abs(held[some]), rows["bucket"][some]
    margin = np.where(code == FNO, size * rows["margin_rate"][some], 0.0)
    sums = [np.cumsum(each)[-1] if len(some) else 0.0 for each in (size, margin, risk[some])]
    moves = held[some, None] * np.ascontiguousarray(returns[some, window[0] : window[1]])
    totals.bucket[:] = np.bincount(code, size, _BUCKETS)
    totals.sums[:] = sums
    moves.sum(axis=0, out=totals.returns)


def _count_loop(
    totals: Totals,
    rows: NDArray[Any],
    held: NDArray[np.float64],
    risk: NDArray[np.float64],
    returns: NDArray[np.float64],
    window: tuple[int, int],
) -> None:
    first, stop = window
    totals.bucket[:] = 0.0
    totals.sums[:] = 0.0
    totals.returns[:] = 0.0
    for j in range(len(held)):
        if held[j] != 0.0:
            grow(totals, rows[j], returns[j, first:stop], held[j], risk[j])


loop_form(count_book, _count_loop)


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
