"""Labels shuffled by blocks of whole sessions, so that what hangs together stays together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridnb.errors import UsageError

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grid:
    """Usable rows as places of sessions and symbols.

    Attributes
    ----------
    rows : int
        All rows, usable or not.
    session, symbol : ndarray, shape (usable rows,)
        The place of each usable row, in their order.
    row : ndarray, shape (sessions, symbols)
        The usable row at a place, −1 without one.
    block : int
        Sessions that move together.
    """

    rows: int
    session: Rows
    symbol: Rows
    row: Rows
    block: int


def make_grid(
    sessions: NDArray[np.generic],
    symbols: NDArray[np.generic] | None,
    usable: NDArray[np.bool_],
    *,
    horizon: int,
) -> Grid:
    """The places of the usable rows.

    Parameters
    ----------
    sessions, symbols : ndarray, shape (n,)
        Without symbols every row is of the same one.
    usable : ndarray of bool, shape (n,)
    horizon : int
        Sessions over which a label looks ahead.

    Raises
    ------
    UsageError
        When a symbol has two rows in one session.
    """
    names = np.zeros(len(usable), np.int64) if symbols is None else symbols
    times, session = np.unique(sessions[usable], return_inverse=True)
    known, symbol = np.unique(names[usable], return_inverse=True)
    row = np.full((len(times), len(known)), -1, np.int64)
    row[session, symbol] = np.flatnonzero(usable)
    if int((row >= 0).sum()) != int(usable.sum()):
        raise UsageError("a symbol has two rows in one session: say which symbol each row is of")
    # Labels of neighbouring sessions share most of their horizon. Three horizons together keep
    # two thirds of that overlap; ten sessions keep what else persists from day to day.
    block = max(10, 3 * horizon)
    return Grid(len(usable), session.astype(np.int64), symbol.astype(np.int64), row, block)


def shuffled(grid: Grid, rng: np.random.Generator) -> Rows:
    """For each row the row whose label it gets, −1 for none; shape (n,).

    Sessions move as a whole, so that what the names of a day have in common stays together, and
    in blocks, so that the overlap of labels stays; the blocks begin anywhere. A name without a
    row in the session that it is given from is left out of this shuffle.
    """
    n = len(grid.row)
    turned = np.roll(np.arange(n), -int(rng.integers(n)))
    blocks = np.array_split(turned, max(1, n // grid.block))
    order = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
    given = np.full(grid.rows, -1, np.int64)
    given[grid.row[grid.session, grid.symbol]] = grid.row[order][grid.session, grid.symbol]
    return given
