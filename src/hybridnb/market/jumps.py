"""Large moves between bars, and what they may be: a split, a bad tick, or a move.

A robust deviation is 1.4826 × the median absolute deviation of the symbol's log returns; where
that is zero (most bars unchanged) it is taken over the returns that aren't.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from hybridnb.domain import Basis
from hybridnb.market.columns import Floats, Mask

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of the checks; shares are of 1, moves are relative, `calm` is in bars.

    `split_open` and `split_close` are log distances from the ratio. A split takes effect before
    the open, so the open is compared with the close before it; 2.5 % leaves room for an ordinary
    night. AAPL's real fall of 2000-09-29 (open × 0.527, close × 0.481) is 5.2 % and 3.8 % away
    from 2:1 and stays a move. Bars that have only a close carry a day's move as well, and real
    crashes come within 1.1 % of 3:2 (BBY 1991-12-19): there only 1 % counts as equal.
    """

    missing_error: float = 0.05
    missing_critical: float = 0.20
    gap: int = 5
    move: float = 0.10
    deviations: float = 8.0
    reversal: float = 0.10
    calm: int = 10
    split_open: float = 0.025
    split_close: float = 0.01
    volume: float = 100.0
    coverage: float = 0.95
    ended: int = 20
    error_share: float = 0.05
    splits: tuple[float, ...] = (1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0)


class Panel:
    """Clean bars as arrays, and where each symbol begins.

    Attributes
    ----------
    code : shape (rows,)
        Number of the row's symbol in `names`.
    start, stop : shape (symbols,)
        First row of a symbol, and the one after its last.
    first : shape (rows,)
        True on a symbol's first row.
    before, move : shape (rows,)
        Close of the bar before, and the log return from it; NaN on a symbol's first row.
    """

    def __init__(self, bars: pd.DataFrame, basis: Basis) -> None:
        self.basis = basis
        codes, names = pd.factorize(bars["symbol"])
        self.code: np.ndarray[Any, np.dtype[np.intp]] = codes
        self.names = [str(n) for n in names]
        self.session = pd.DatetimeIndex(bars["session"])
        self.start = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
        self.stop = np.r_[self.start[1:], len(codes)]
        self.open, self.high, self.low, self.close, self.volume = (
            bars[c].to_numpy(dtype=np.float64) for c in ("open", "high", "low", "close", "volume")
        )
        self.first = np.zeros(len(codes), dtype=bool)
        self.first[self.start] = True
        before = np.r_[np.nan, self.close[:-1]]
        self.before = np.where(self.first, np.nan, before)
        self.move = np.log(self.close / self.before)

    @property
    def span(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        return self.session.min(), self.session.max()

    def median(self, values: Floats) -> Floats:
        """Median by symbol (NaN left out), one value a row."""
        out = pd.Series(values).groupby(self.code).transform("median")
        return np.asarray(out, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Jumps:
    """Masks over the rows; a row is in one of them at most. `ratio` is above 1 at a split."""

    split: Mask
    bad: Mask
    plain: Mask
    ratio: Floats


def find_jumps(frame: Panel, rules: Rules) -> Jumps:
    """Sort every move that is large in itself and for its symbol.

    A split equals a ratio and neither is taken back nor takes the bar before back. A bad tick is
    taken back by the next bar, to 10 % of it or 2 robust deviations, and stands out of the bars
    around it; the leg back is no move of its own.
    """
    spread, centre = _deviation(frame)
    size = np.abs(np.expm1(frame.move))
    large = (size > rules.move) & (np.abs(frame.move - centre) > rules.deviations * spread)
    after = np.where(np.r_[frame.first[1:], True], np.nan, np.r_[frame.move[1:], np.nan])
    before = np.where(frame.first, np.nan, np.r_[np.nan, frame.move[:-1]])
    back = np.maximum(rules.reversal * np.abs(frame.move), 2 * spread)
    returned = np.abs(after + frame.move) <= back
    returning = np.abs(before + frame.move) <= back
    ratio = _split(frame, rules)
    split = large & ~returned & ~returning & (ratio > 0)
    suspects = np.flatnonzero(large & returned)
    bad = np.zeros(len(large), dtype=bool)
    bad[suspects] = _isolated(frame, suspects, rules)
    return Jumps(split, bad, large & ~split & ~bad & ~np.r_[False, bad[:-1]], ratio)


def _deviation(frame: Panel) -> tuple[Floats, Floats]:
    """Robust deviation and median of a symbol's log returns, one value a row."""
    centre = frame.median(frame.move)
    spread = 1.4826 * frame.median(np.abs(frame.move - centre))
    still = spread == 0
    if still.any():
        moved = np.where(frame.move == 0, np.nan, frame.move)
        middle = frame.median(moved)
        spread = np.where(still, 1.4826 * frame.median(np.abs(moved - middle)), spread)
    return np.nan_to_num(spread), np.nan_to_num(centre)


def _split(frame: Panel, rules: Rules) -> Floats:
    """The split ratio a jump equals (above 1), 0 where it equals none."""
    steps = np.log(np.array(rules.splits))
    close = np.abs(frame.move)
    night = np.abs(np.log(frame.open / frame.before))
    out = np.zeros(len(close))
    for step in steps:
        if frame.basis is Basis.CLOSE:
            equal = np.abs(close - step) <= rules.split_close
        else:
            nearest = np.minimum(np.abs(close - step), np.abs(night - step))
            # Both ends of the bar are far away: a night's jump that the day undoes is no split.
            equal = (nearest <= rules.split_open) & (close > step / 2) & (night > step / 2)
        out = np.where(equal & (out == 0), np.exp(step), out)
    return out


def _isolated(frame: Panel, at: Rows, rules: Rules) -> Mask:
    """Whether each move stands out of the bars around it, not of the symbol's history alone.

    In a crash week, and for names that trade a few ticks up and down, bars take each other back
    all the time; a bad tick comes out of a calm market.
    """
    reach = np.arange(1, rules.calm + 1)
    where = at[:, None] + np.r_[-reach, reach + 1][None, :]
    inside = np.clip(where, 0, len(frame.code) - 1)
    same = (inside == where) & (frame.code[inside] == frame.code[at][:, None])
    around = np.where(same, frame.move[inside], np.nan)
    spread = _spread(around)
    spread = np.where(spread == 0, _spread(np.where(around == 0, np.nan, around)), spread)
    return np.asarray(np.abs(frame.move[at]) > rules.deviations * spread)


def _spread(rows: Floats) -> Floats:
    """Robust deviation of each row, NaN left out; 0 for a row of NaN only."""
    return np.nan_to_num(1.4826 * _row_median(np.abs(rows - _row_median(rows)[:, None])))


def _row_median(rows: Floats) -> Floats:
    # numpy.nanmedian takes a second for ten thousand short rows and warns of empty ones.
    ordered = np.sort(rows, axis=1)  # NaN last
    count = (~np.isnan(rows)).sum(axis=1)
    line = np.arange(len(rows))
    low, high = ordered[line, np.maximum(count - 1, 0) // 2], ordered[line, count // 2]
    return np.asarray((low + high) / 2, dtype=np.float64)
