"""What a stress scenario does to bars: pure functions from price arrays to price arrays.

A `World` has `prices`, shape (5, T, n): open, high, low, close in 1/10,000 and the volume in
units (-1 where a feed has none), and `present`, shape (T, n), which bars exist. Sessions before
`start` are never touched. A bar that doesn't exist stays so, whatever its numbers say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
BPS = 1e-4


class World(NamedTuple):
    """Bars of T sessions and n names."""

    prices: Ints
    present: Bools


@dataclass(frozen=True, slots=True)
class Shocks:
    """Sizes of the scenarios.

    On daily bars the 30 minutes of a scenario, six bars of five minutes, are six sessions, and
    its 60 minutes twelve.

    Attributes
    ----------
    fall, rise : float
        Moves of the whole market in a flash crash, signed fractions; `fall_bars`, `rise_bars`
        are the sessions each takes.
    stuck, halt, gap : int
        Sessions without exits, of a halt, and of missing bars.
    swing : float
        Basis points against the book.
    filled : float
        Share of each order that fills; the rest of it is cancelled.
    spread, fees : float
        Multiples of what the venue assumes.
    """

    fall: float = -0.20
    fall_bars: int = 5
    rise: float = 0.10
    rise_bars: int = 3
    stuck: int = 6
    halt: int = 12
    gap: int = 6
    swing: float = 100.0
    filled: float = 0.30
    spread: float = 10.0
    fees: float = 10.0


SHOCKS = Shocks()


def scaled(world: World, start: int, factors: ArrayLike) -> World:
    """Bars multiplied from a session on; the last factor stays to the end.

    The whole bar moves, so that its prices keep their order and a move arrives as a gap at the
    open: a stop on the way fills behind its level, not at it.

    Parameters
    ----------
    start : int
        Session of the first factor, in [0, T).
    factors : array_like, shape (k,) or (k, n)
        Positive and finite.

    Raises
    ------
    ValueError
        Where a factor isn't, or the session isn't one.
    """
    each = np.asarray(factors, np.float64)
    if not (np.isfinite(each).all() and (each > 0.0).all() and len(each)):
        raise ValueError("factors must be positive and finite, at least one")
    _inside(world, start)
    t, n = world.present.shape
    columns = each if each.ndim == 2 else np.repeat(each[:, None], n, axis=1)
    path = np.ones((t, n))
    path[start:] = columns[-1]
    path[start : start + len(columns)] = columns[: t - start]
    prices = world.prices.copy()
    moved = np.maximum(np.rint(prices[:4] * path), 1.0)
    prices[:4] = np.where(world.present & (path != 1.0), moved, prices[:4])
    return World(prices, world.present)


def crash_path(shocks: Shocks = SHOCKS) -> Floats:
    """Level of the market through a flash crash, as a multiple: equal moves down, then up."""
    down = (1.0 + shocks.fall) ** (np.arange(1, shocks.fall_bars + 1) / shocks.fall_bars)
    up = (1.0 + shocks.rise) ** (np.arange(1, shocks.rise_bars + 1) / shocks.rise_bars)
    return np.concatenate([down, down[-1] * up])


def flash_crash(world: World, start: int, *, shocks: Shocks = SHOCKS) -> World:
    """Every name falls with the market and recovers a part; what is lost then stays lost."""
    return scaled(world, start, crash_path(shocks))


def funding_flip(world: World, start: int, signs: ArrayLike, *, shocks: Shocks = SHOCKS) -> World:
    """A swing against the book at a session's open: what it is long falls, what it is short rises.

    Parameters
    ----------
    signs : array_like, shape (n,)
        Sign of each name's holding; 0 leaves a name alone.
    """
    side = np.sign(np.asarray(signs, np.float64))
    return scaled(world, start, (1.0 - side * shocks.swing * BPS)[None, :])


def exchange_halt(world: World, start: int, *, shocks: Shocks = SHOCKS) -> World:
    """Nothing trades: each bar is the last close before, without volume; then the truth is back.

    A name without any bar before has none in the halt either.
    """
    _inside(world, start)
    prices, present = world.prices.copy(), world.present.copy()
    stop = start + shocks.halt
    known = world.present[:start]
    row = start - 1 - np.argmax(known[::-1], axis=0) if start else np.zeros(0, np.int64)
    had = known.any(axis=0)
    last = np.zeros(present.shape[1], np.int64)
    last[had] = world.prices[3, row[had], np.flatnonzero(had)] if start else 0
    present[start:stop] &= had
    frozen = present[start:stop]
    prices[:4, start:stop] = np.where(frozen, last, prices[:4, start:stop])
    prices[4, start:stop] = np.where(frozen, 0, prices[4, start:stop])
    return _emptied(World(prices, present))


def data_gap(world: World, start: int, *, shocks: Shocks = SHOCKS) -> World:
    """No bar of any name reaches the product."""
    _inside(world, start)
    present = world.present.copy()
    present[start : start + shocks.gap] = False
    return _emptied(World(world.prices, present))


def _emptied(world: World) -> World:
    """Absent bars hold no price and no volume."""
    prices = world.prices.copy()
    prices[:4, ~world.present], prices[4, ~world.present] = 0, -1
    return World(prices, world.present)


def _inside(world: World, start: int) -> None:
    if not 0 <= start < len(world.present):
        raise ValueError(f"session {start} of {len(world.present)}")
