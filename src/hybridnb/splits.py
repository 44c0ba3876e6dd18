"""Purged, embargoed splits: walk-forward and combinatorial, by rows or by label interval.

López de Prado, Advances in Financial Machine Learning (2018), ch. 7 and 12: a training row whose
label reaches into the test sessions is purged, and an embargo after a test keeps serial
correlation out of what is trained later.

`PurgedWalkForward` and `CombinatorialPurged` are cross-validators in scikit-learn's sense: give
one as `cv` to `cross_val_score` or `GridSearchCV`. By rows they expect rows in time order, one a
time. With `starts` and `ends`, the closed interval of time that each row's label looks at, rows
may come in any order and several may share a time: rows of one time are never split.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Rows = NDArray[np.int64]
PURGE = 100  # rows, where nothing is known of the labels
EMBARGO = 0.01  # share of the rows


@dataclass(frozen=True, slots=True)
class Fold:
    """One split: train on sessions [0, train_end), test on [test_start, test_end)."""

    train_end: int
    test_start: int
    test_end: int


def walk_forward(
    sessions: int, *, splits: int = 5, purge: int, embargo: float = 0.01, min_train: int
) -> list[Fold]:
    """Folds whose tests are disjoint, in order, and end with the last session.

    Parameters
    ----------
    sessions : int
        Number of sessions, in order.
    splits : int
        Number of folds wanted.
    purge : int
        Sessions between the end of a training and its test: at least the label's horizon.
    embargo : float
        Share of all sessions kept out beside the purge.
    min_train : int
        Sessions that the first training must have.

    Returns
    -------
    list of Fold
        Fewer than `splits` never; an empty list where the history is too short for all of them.

    Raises
    ------
    ValueError
        For a number that can't be meant.
    """
    if splits < 1 or purge < 0 or min_train < 1 or not 0.0 <= embargo < 1.0:
        raise ValueError("splits ≥ 1, purge ≥ 0, min_train ≥ 1, 0 ≤ embargo < 1")
    apart = purge + math.ceil(embargo * sessions)
    first = min_train + apart
    if sessions - first < splits:
        return []
    bounds = [first + (sessions - first) * k // splits for k in range(splits + 1)]
    return [Fold(start - apart, start, end) for start, end in pairwise(bounds)]


@dataclass(frozen=True, slots=True)
class _Times:
    """Rows on a line of distinct times: where each row stands, and where its label ends.

    `last` is the number of the last time that the label's closed interval holds; `reach` is how
    many times beyond its own a label ordinarily looks, which is what is purged.
    """

    n: int
    row: Rows
    last: Rows
    reach: int


def _times(rows: int, purge: int, starts: ArrayLike | None, ends: ArrayLike | None) -> _Times:
    if (starts is None) != (ends is None):
        raise ValueError("starts and ends come together")
    if starts is None or ends is None:
        own = np.arange(rows, dtype=np.int64)
        return _Times(rows, own, own + purge, purge)
    first, last = np.asarray(starts), np.asarray(ends)
    if first.shape != (rows,) or last.shape != (rows,):
        raise ValueError(
            f"{rows} rows, but starts and ends have the shapes {first.shape} and {last.shape}"
        )
    if (first != first).any() or (last != last).any():
        raise ValueError("a row whose label has no start or no end can't be purged: leave it out")
    if (last < first).any():
        raise ValueError(f"the label of row {int(np.argmax(last < first))} ends before it starts")
    times, row = np.unique(first, return_inverse=True)
    # A label that ends between two times touches the earlier one only.
    end = np.searchsorted(times, last, side="right") - 1
    reach = int(np.median(end - row)) if rows else 0
    return _Times(len(times), row.astype(np.int64), end.astype(np.int64), reach)


def _size(X: Any) -> int:
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)


@dataclass(frozen=True, slots=True)
class PurgedWalkForward:
    """Train on the past, test on what follows it, purge and embargo between them.

    Parameters
    ----------
    n_splits : int
        Tests; they are disjoint, in order, and end with the last row.
    purge : int
        Rows kept out before a test, at least the label's horizon; not used with intervals.
    embargo : float
        Share of all times kept out beside the purge.
    min_train : int or None
        Times before the first purge; None: what an (n_splits + 1)th part of all is.
    starts, ends : array-like, shape (n,), optional
        Each row's label interval, both ends included: numbers or datetimes, never missing. A row
        trains only where its label ends before the embargo of the test begins.
    """

    n_splits: int = 5
    purge: int = PURGE
    embargo: float = EMBARGO
    min_train: int | None = None
    starts: ArrayLike | None = None
    ends: ArrayLike | None = None

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of (train, test) pairs."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Rows, Rows]]:
        """Row numbers to train on and to test on, one pair a split.

        Raises
        ------
        ValueError
            Where the history is too short, or a training would have no row.
        """
        times = _times(_size(X), self.purge, self.starts, self.ends)
        least = max(1, times.n // (self.n_splits + 1)) if self.min_train is None else self.min_train
        folds = walk_forward(
            times.n,
            splits=self.n_splits,
            purge=times.reach,
            embargo=self.embargo,
            min_train=least,
        )
        if not folds:
            raise ValueError(
                f"{times.n} times are too few for {self.n_splits} splits behind a purge of"
                f" {times.reach}, an embargo of {self.embargo:g} and a training of {least}"
            )
        for fold in folds:
            quiet = fold.test_start - math.ceil(self.embargo * times.n)
            tested = (times.row >= fold.test_start) & (times.row < fold.test_end)
            yield _filled(np.flatnonzero(times.last < quiet), np.flatnonzero(tested))


def _filled(train: Rows, test: Rows) -> tuple[Rows, Rows]:
    if not len(train):
        raise ValueError("every training row is purged: the labels reach too far for these folds")
    return train, test


@dataclass(frozen=True, slots=True)
class CombinatorialPurged:
    """Every choice of `n_test_folds` of `n_folds` consecutive folds is tested once.

    The tests of all splits recombine into several backtest paths, each of which tests every row
    once (`paths`, `recombine`).

    Parameters
    ----------
    n_folds, n_test_folds : int
        Folds of equal size (the last one has what is left), and how many of them a split tests.
    purge : int
        Rows kept out before and after a test, at least the label's horizon; not used with
        intervals.
    embargo : float
        Share of all times kept out after the purge that follows a test.
    starts, ends : array-like, shape (n,), optional
        Each row's label interval, both ends included: numbers or datetimes, never missing. A row
        whose interval meets one of the test's is purged.
    """

    n_folds: int = 6
    n_test_folds: int = 2
    purge: int = PURGE
    embargo: float = EMBARGO
    starts: ArrayLike | None = None
    ends: ArrayLike | None = None

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of (train, test) pairs: n_folds over n_test_folds."""
        return math.comb(self.n_folds, self.n_test_folds)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Rows, Rows]]:
        """Row numbers to train on and to test on, in ascending order, one pair a split.

        Raises
        ------
        ValueError
            For folds that can't be meant, fewer times than folds, or a training without a row.
        """
        times, fold = self._folds(_size(X))
        embargo = math.ceil(self.embargo * times.n)
        for chosen in combinations(range(self.n_folds), self.n_test_folds):
            tested = np.isin(fold, chosen)
            train = ~tested
            for block in _runs(chosen):
                inside = np.isin(fold, block)
                first, last = int(times.row[inside].min()), int(times.last[inside].max())
                train &= (times.last < first) | (times.row > last + embargo)
            yield _filled(np.flatnonzero(train), np.flatnonzero(tested))

    def paths(self) -> Rows:
        """The number of the split that tests a fold on a path, shape (paths, n_folds)."""
        chosen = list(combinations(range(self.n_folds), self.n_test_folds))
        return np.array(
            [[k for k, c in enumerate(chosen) if f in c] for f in range(self.n_folds)], np.int64
        ).T

    def recombine(self, outputs: Sequence[ArrayLike]) -> NDArray[np.float64]:
        """The outputs of every split's test rows as backtest paths.

        Parameters
        ----------
        outputs : sequence of array-like, shape (test rows of the split,)
            In the order of `split`, each in the order of its test rows.

        Returns
        -------
        ndarray, shape (paths, n)
        """
        each = self.n_folds / self.n_test_folds / self.get_n_splits()
        rows = round(sum(len(np.asarray(o)) for o in outputs) * each)
        _, fold = self._folds(rows)
        whole = np.full((self.get_n_splits(), rows), np.nan)
        for k, chosen in enumerate(combinations(range(self.n_folds), self.n_test_folds)):
            whole[k, np.isin(fold, chosen)] = np.asarray(outputs[k], np.float64)
        return whole[self.paths()[:, fold], np.arange(rows)]

    def _folds(self, rows: int) -> tuple[_Times, Rows]:
        if not 1 <= self.n_test_folds < self.n_folds or self.purge < 0 or not 0 <= self.embargo < 1:
            raise ValueError("1 ≤ n_test_folds < n_folds, purge ≥ 0, 0 ≤ embargo < 1")
        times = _times(rows, self.purge, self.starts, self.ends)
        if times.n < self.n_folds:
            raise ValueError(f"{times.n} times are too few for {self.n_folds} folds")
        return times, np.minimum(times.row // (times.n // self.n_folds), self.n_folds - 1)


def _runs(chosen: Sequence[int]) -> list[list[int]]:
    """Folds that follow each other are one test: nothing is purged inside it."""
    runs: list[list[int]] = []
    for fold in chosen:
        if runs and runs[-1][-1] == fold - 1:
            runs[-1].append(fold)
        else:
            runs.append([fold])
    return runs
