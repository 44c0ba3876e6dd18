"""Overfitting by selection: PBO from combinatorially symmetric cross-validation, and tests of
superior ability that know how many models were compared.

Sources: Bailey, Borwein, López de Prado & Zhu, "The Probability of Backtest Overfitting" (2017);
White, "A Reality Check for Data Snooping" (2000); Hansen, "A Test for Superior Predictive
Ability" (2005).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridnb.domain import Status
from hybridnb.gates.evidence import Check, Floats
from hybridnb.gates.rules import Thresholds

BLOCKS = 16  # the paper's choice: 12,870 combinations
PBO = Thresholds().pbo
ROWS = 250  # returns below which nothing is said, as for drift
CHUNK = 2048  # combinations judged at a time, to bound the memory
STILL = 1e-12  # a variance below this share of its mean square is rounding


@dataclass(frozen=True, slots=True)
class CSCV:
    """What choosing the best of N in one half of the rows is worth in the other half.

    Attributes
    ----------
    pbo : float
        Share of combinations in which the chosen one ranks at or below the median out of sample.
    logits : ndarray, shape (combinations,)
        ln(ω / (1 − ω)), ω = rank / (N + 1) of the chosen one out of sample, N the best.
    inside, outside : ndarray, shape (combinations,)
        Sharpe ratio a period of the chosen one, in and out of sample.
    chosen : ndarray, shape (combinations,)
        Its column.
    loss : float
        Share of combinations in which it loses out of sample.
    slope : float
        Of `outside` on `inside` by least squares: below 0, what looked better did worse. NaN
        where `inside` doesn't vary.
    combinations, rows, configurations : int
        `configurations` counts those that differ from each other.
    """

    pbo: float
    logits: Floats
    inside: Floats
    outside: Floats
    chosen: NDArray[np.int64]
    loss: float
    slope: float
    combinations: int
    rows: int
    configurations: int


def cscv(returns: ArrayLike, blocks: int = BLOCKS) -> CSCV:
    """Combinatorially symmetric cross-validation of a choice by Sharpe ratio.

    The rows are cut into `blocks` stretches of equal length (within one row); every half of them
    is in sample once, the other half out of sample.

    Parameters
    ----------
    returns : array, shape (T, N)
        Returns a period of N configurations over the same T periods, in time order.
    blocks : int
        Even, from 2 to 20.

    Returns
    -------
    CSCV
        Ties share the mean of their ranks; of several that are best in sample the one that does
        worst out of sample counts as chosen. A configuration without variation in a half (one
        that never trades) has a Sharpe ratio of 0 there.

    Raises
    ------
    ValueError
        On NaN or infinity, fewer than two configurations that differ, fewer than two rows a
        block, or an odd number of blocks.
    """
    table = _table(returns, blocks)
    # Copies tie exactly only if they are computed once: a matrix product rounds by position.
    distinct, first, copies = np.unique(table, axis=1, return_index=True, return_inverse=True)
    if distinct.shape[1] < 2:
        raise ValueError("overfitting needs two configurations that differ, or more")
    halves = _halves(blocks)
    spread = _Sums.of(distinct, blocks)
    n, copies = table.shape[1], copies.ravel()
    times = np.bincount(copies, minlength=distinct.shape[1]).astype(np.float64)
    parts = [
        _judge(*spread.sharpes(halves[at : at + CHUNK]), times=times)
        for at in range(0, len(halves), CHUNK)
    ]
    rank, inside, outside, chosen = (np.concatenate(side) for side in zip(*parts, strict=True))
    share = rank / (n + 1.0)
    return CSCV(
        pbo=float((share <= 0.5).mean()),
        logits=np.asarray(np.log(share / (1.0 - share)), np.float64),
        inside=np.asarray(inside, np.float64),
        outside=np.asarray(outside, np.float64),
        chosen=np.asarray(first[chosen], np.int64),
        loss=float((outside < 0.0).mean()),
        slope=_slope(inside, outside),
        combinations=len(halves),
        rows=len(table),
        configurations=distinct.shape[1],
    )


def _table(returns: ArrayLike, blocks: int) -> Floats:
    table = np.asarray(returns, np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError("returns of shape (T, N) with two configurations or more")
    if not np.isfinite(table).all():
        raise ValueError("returns have holes: NaN or infinity; fill or drop those periods first")
    if blocks % 2 or not 2 <= blocks <= 20:
        raise ValueError(f"{blocks} blocks; an even number from 2 to 20")
    if len(table) < 2 * blocks:
        raise ValueError(f"{len(table)} rows; {blocks} blocks need {2 * blocks} or more")
    return table


def _halves(blocks: int) -> Floats:
    """Every choice of half the blocks as a row of ones and zeros."""
    at = np.array([*combinations(range(blocks), blocks // 2)])
    out = np.zeros((len(at), blocks))
    np.put_along_axis(out, at, 1.0, axis=1)
    return out


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums by block of standardised returns, so that any union of blocks is one product."""

    rows: Floats  # (blocks,)
    first: Floats  # (blocks, N), of values
    second: Floats  # (blocks, N), of squares
    level: Floats  # (N,), the mean that was taken off, in deviations

    @classmethod
    def of(cls, table: Floats, blocks: int) -> _Sums:
        """Centred and scaled by column: squares of uncentred values would cancel badly."""
        mean, spread = table.mean(axis=0), table.std(axis=0)
        still = np.ptp(table, axis=0) <= STILL * np.abs(table).max(axis=0)
        scale = np.where(still, 1.0, spread)
        z = np.where(still, 0.0, (table - mean) / scale)
        edges = np.linspace(0, len(table), blocks + 1).astype(int)
        return cls(
            rows=np.diff(edges).astype(np.float64),
            first=np.add.reduceat(z, edges[:-1], axis=0),
            second=np.add.reduceat(z**2, edges[:-1], axis=0),
            level=np.where(still, 0.0, mean / scale),
        )

    def sharpes(self, halves: Floats) -> tuple[Floats, Floats]:
        """Sharpe ratios a period in these blocks and in the others, each (combinations, N)."""
        return self._ratio(halves), self._ratio(1.0 - halves)

    def _ratio(self, pick: Floats) -> Floats:
        n, total, squares = (pick @ self.rows)[:, None], pick @ self.first, pick @ self.second
        variance = (squares - total**2 / n) / (n - 1.0)
        moves = variance > STILL * np.maximum(squares / n, STILL)
        deviation = np.sqrt(np.where(moves, variance, 1.0))
        return np.where(moves, (total / n + self.level) / deviation, 0.0)


def _judge(
    inside: Floats, outside: Floats, *, times: Floats
) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """Rank out of sample of the best in sample (1 the worst), its two ratios and its column.

    `times` counts the copies of each column.
    """
    best = inside == inside.max(axis=1, keepdims=True)
    chosen = np.where(best, outside, np.inf).argmin(axis=1)
    row = np.arange(len(inside))
    found = outside[row, chosen]
    below = (outside < found[:, None]) @ times
    level = (outside == found[:, None]) @ times
    return below + (level + 1.0) / 2.0, inside[row, chosen], found, chosen


def _slope(inside: Floats, outside: Floats) -> float:
    x = inside - inside.mean()
    total = float(x @ x)
    return float(x @ outside) / total if total > STILL else math.nan


def pbo_check(returns: ArrayLike, *, blocks: int = BLOCKS, bar: float = PBO) -> Check:
    """Whether the probability of backtest overfitting stays at or below the bar.

    INSUFFICIENT_EVIDENCE, never a pass, where `cscv` has nothing to say of these returns or they
    are fewer than 250 periods.
    """
    rows = len(table) if (table := np.asarray(returns, np.float64)).ndim else 0
    if rows < ROWS:
        return _unknown(f"{rows} periods, {ROWS} needed", rows)
    try:
        found = cscv(table, blocks)
    except ValueError as error:
        return _unknown(str(error), rows)
    status = Status.PASS if found.pbo <= bar else Status.FAIL
    detail = (
        f"{found.combinations} combinations of {blocks} blocks, {found.configurations} different "
        f"configurations; loses out of sample in {found.loss:.0%}, slope {found.slope:.2f}"
    )
    return Check("PBO", status, detail, rows, found.pbo, bar)


def _unknown(why: str, rows: int) -> Check:
    return Check("PBO", Status.INSUFFICIENT_EVIDENCE, why, rows)


@dataclass(frozen=True, slots=True)
class Superiority:
    """p-values of "no model beats the benchmark"; a small one says that the best model does.

    Attributes
    ----------
    lower, consistent, upper : float
        Hansen's three: poor models are counted out, counted out where clearly poor, counted in.
    models : int
        Compared; one that never differs from the benchmark isn't.
    rows, block, draws : int
        Periods, mean block length of the stationary bootstrap, and its draws.
    """

    lower: float
    consistent: float
    upper: float
    models: int
    rows: int
    block: int
    draws: int


def reality_check(
    benchmark: ArrayLike, models: ArrayLike, *, seed: int, draws: int = 1000
) -> Superiority:
    """White's reality check: his p-value is `upper`, where every model counts.

    Parameters
    ----------
    benchmark, models : array, shapes (T,) and (T, N)
        Returns a period; their losses are the negative returns. A ValueError for NaN or infinity,
        fewer than 250 periods, or no model that differs from the benchmark.
    """
    return _superior(benchmark, models, seed=seed, draws=draws, studentise=False)


def spa(benchmark: ArrayLike, models: ArrayLike, *, seed: int, draws: int = 1000) -> Superiority:
    """Hansen's test of superior predictive ability, studentised: read `consistent`.

    Parameters as for `reality_check`.
    """
    return _superior(benchmark, models, seed=seed, draws=draws, studentise=True)


def _superior(
    benchmark: ArrayLike, models: ArrayLike, *, seed: int, draws: int, studentise: bool
) -> Superiority:
    from arch.bootstrap import SPA, StationaryBootstrap

    base, table = np.asarray(benchmark, np.float64), np.asarray(models, np.float64)
    if base.ndim != 1 or table.ndim != 2 or len(table) != len(base) or len(base) < ROWS:
        raise ValueError(f"a benchmark of shape (T,) and models of shape (T, N), T ≥ {ROWS}")
    if not (np.isfinite(base).all() and np.isfinite(table).all()):
        raise ValueError("returns have holes: NaN or infinity")
    gap = table - base[:, None]
    size = np.abs(table).max(axis=0, initial=0.0) + np.abs(base).max()
    differs = np.ptp(gap, axis=0) > STILL * size
    if not differs.any():
        raise ValueError("no model differs from the benchmark by more than a constant")
    block = math.ceil(math.sqrt(len(base)))  # arch's default: it outlasts daily returns' memory
    gain = gap[:, differs]
    if studentise:  # arch takes the word but leaves the differences as they are
        means = StationaryBootstrap(block, gain, seed=seed).apply(_means, draws)
        gain = gain / (math.sqrt(len(base)) * means.std(axis=0))
    test = SPA(np.zeros(len(base)), -gain, block_size=block, reps=draws, seed=seed)
    test.compute()
    p = test.pvalues
    return Superiority(
        *(float(p["lower"]), float(p["consistent"]), float(p["upper"])),
        *(int(differs.sum()), len(base), block, draws),
    )


def _means(values: Floats) -> Floats:
    return np.asarray(values.mean(axis=0), np.float64)
