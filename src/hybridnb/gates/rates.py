"""A share of successes and what it could as well be: exact binomial intervals."""

from __future__ import annotations

import math


def rate(caught: int, tried: int, *, confidence: float = 0.95) -> tuple[float, float, float]:
    """Share of successes and its two-sided interval (Clopper & Pearson, 1934).

    Parameters
    ----------
    caught, tried : int
        0 ≤ caught ≤ tried, or a ValueError.
    confidence : float
        In (0, 1): the interval covers the true share at least this often.

    Returns
    -------
    share, low, high : float
        NaN, 0 and 1 where nothing was tried.
    """
    from scipy.stats import beta

    if not 0 <= caught <= tried:
        raise ValueError(f"{caught} caught of {tried} tried")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"a confidence in (0, 1), not {confidence}")
    if tried == 0:
        return math.nan, 0.0, 1.0
    tail = (1.0 - confidence) / 2.0
    low = float(beta.ppf(tail, caught, tried - caught + 1)) if caught else 0.0
    high = float(beta.isf(tail, caught + 1, tried - caught)) if caught < tried else 1.0
    return caught / tried, low, high
