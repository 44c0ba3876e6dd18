"""Where a result lies among what could have been, and the grade of that place."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Grade(StrEnum):
    """Of a decision score: from .8, .6, .4, .2 and below; or of none."""

    EXCELLENT = "EXCELLENT"
    GOOD = "GOOD"
    AVERAGE = "AVERAGE"
    POOR = "POOR"
    VERY_POOR = "VERY POOR"
    UNKNOWN = "UNKNOWN"


_FROM = {Grade.EXCELLENT: 0.8, Grade.GOOD: 0.6, Grade.AVERAGE: 0.4, Grade.POOR: 0.2}


def place_between(actual: float, others: Sequence[float]) -> float:
    """Where a result lies between the worst (0) and the best (1) of all, itself included.

    NaN among the others is left out; NaN comes back without any, or where all are equal.
    """
    known = [x for x in others if x == x]
    worst, best = min([actual, *known]), max([actual, *known])
    return (actual - worst) / (best - worst) if best > worst else float("nan")


def grade_of(score: float) -> Grade:
    """The grade of a decision score; UNKNOWN for NaN.

    Raises
    ------
    ValueError
        For a score outside [0, 1].
    """
    if score != score:
        return Grade.UNKNOWN
    if not 0.0 <= score <= 1.0:
        raise ValueError(f"a decision score lies in [0, 1], not at {score}")
    return next((grade for grade, least in _FROM.items() if score >= least), Grade.VERY_POOR)
