"""Purged, embargoed walk-forward splits over ordered sessions.

López de Prado, Advances in Financial Machine Learning (2018), ch. 7: a training row whose label
reaches into the test sessions is purged, and an embargo after a test keeps serial correlation
out of what is trained later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise


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
