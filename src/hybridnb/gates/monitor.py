"""A sequential monitor of one series: an alarm when its level has moved since the reference.

A two-sided CUSUM (Page, "Continuous Inspection Schemes", 1954) of normal scores: each value is
ranked among the reference's and becomes the normal deviate of that rank. Without memory the
scores of an unchanged series have the same law whatever the series' distribution, so that heavy
tails can't alarm; one wild value adds no more than the reference's own extremes.

The decision interval is the quantile of the CUSUM's maximum over five unchanged years, found by
simulation of the whole procedure, reference and its estimation included, on series as persistent
as the reference (`memory`). A textbook interval (Siegmund, 1985) holds for known parameters and
no memory: at a memory of a month it would alarm every few weeks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hybridnb.domain import Status
from hybridnb.gates.evidence import Check, Floats
from hybridnb.gates.memory import Memory, memory


@dataclass(frozen=True, slots=True)
class Bars:
    """What the monitor is to see, and how seldom it may be wrong.

    Attributes
    ----------
    shift : float
        Step of the level, in deviations, that it is tuned to; the allowance is half of it (Page).
    false_alarms : float
        Share of unchanged series that alarm within `horizon` rows.
    horizon : int
        Five years of sessions.
    draws : int
        Simulated series behind the interval.
    reference, current : int
        Rows below which there is no evidence (D11; the rows in which `shift` shows).
    missing : float
        Share of the current rows that may lack a value.
    blind : int
        Rows after which even a move beyond all of the reference must have shown.
    """

    shift: float = 0.75
    false_alarms: float = 0.20
    horizon: int = 1260
    draws: int = 400
    reference: int = 250
    current: int = 60
    missing: float = 0.2
    blind: int = 250


@dataclass(frozen=True, slots=True)
class Monitored:
    """The chart of the current rows.

    Attributes
    ----------
    alarms : tuple of int
        Positions in `current` at which the statistic passed the interval; it restarts after each.
    up, down : ndarray, shape (n,)
        CUSUM for a rise and for a fall, in deviations; a row without a value leaves them.
    threshold : float
        The decision interval.
    memory : Memory
        Of the reference's scores; none where insignificant.
    slowest : float
        Rows that even a move beyond all of the reference takes to alarm.
    rows : int
        Values in the reference.
    """

    alarms: tuple[int, ...]
    up: Floats
    down: Floats
    threshold: float
    memory: Memory
    slowest: float
    rows: int

    @property
    def statistic(self) -> Floats:
        """The larger of the two charts, shape (n,)."""
        return np.maximum(self.up, self.down)


def monitor(
    reference: ArrayLike, current: ArrayLike, *, seed: int = 0, bars: Bars | None = None
) -> Monitored:
    """Watch `current`, row by row, for a change of the reference's level.

    Parameters
    ----------
    reference, current : array, shapes (m,), (n,)
        In time order; where they are Series by date, that is checked. NaN: no value; an infinite
        one counts as the reference's extreme.
    seed : int
        Of the simulation behind the interval.

    Raises
    ------
    ValueError
        Where the reference has fewer than 250 values, or only one value again and again; where
        dates don't rise, or the current ones don't follow the reference's.
    """
    t = bars or Bars()
    _in_order(reference, current)
    known, now = _known(reference), np.asarray(current, np.float64).ravel()
    if len(known) < t.reference:
        raise ValueError(f"{len(known)} rows of reference, {t.reference} needed")
    if known[0] == known[-1]:
        raise ValueError("the reference is constant: no level to move from")
    found = memory(_scores(known, _known(reference, ordered=False)))
    threshold = decision_interval(len(known), found, seed=seed, bars=t)
    alarms, up, down = _chart(_scores(known, now), threshold, t.shift / 2.0)
    extreme = float(_deviates(len(known))[-1])
    slowest = threshold / (extreme - t.shift / 2.0)
    return Monitored(alarms, up, down, threshold, found, slowest, len(known))


def _in_order(reference: ArrayLike, current: ArrayLike) -> None:
    """A reference that reaches into what it is to judge would hide the change."""
    dates = [
        side.index
        for side in (reference, current)
        if isinstance(side, pd.Series) and isinstance(side.index, pd.DatetimeIndex) and len(side)
    ]
    if any(not index.is_monotonic_increasing or index.has_duplicates for index in dates):
        raise ValueError("the dates don't rise from row to row")
    if len(dates) == 2 and dates[1][0] <= dates[0][-1]:
        raise ValueError(f"the reference ends on {dates[0][-1]:%Y-%m-%d}, after the current begin")


def _known(values: ArrayLike, *, ordered: bool = True) -> Floats:
    found = np.asarray(values, np.float64).ravel()
    found = found[~np.isnan(found)]
    return np.sort(found) if ordered else found


def _deviates(rows: int) -> Floats:
    """Normal deviate of each half position 0, 0.5, …, rows among `rows` sorted values."""
    from scipy.special import ndtri

    return np.asarray(ndtri((np.arange(2 * rows + 1) / 2.0 + 0.5) / (rows + 1.0)), np.float64)


def _scores(ordered: Floats, values: Floats) -> Floats:
    """Normal score of each value among the sorted reference, ties at their middle; NaN stays."""
    left = np.searchsorted(ordered, values, side="left")
    right = np.searchsorted(ordered, values, side="right")
    return np.where(np.isnan(values), np.nan, _deviates(len(ordered))[left + right])


def decision_interval(
    rows: int, unchanged: Memory, *, seed: int = 0, bars: Bars | None = None
) -> float:
    """CUSUM level that a share `bars.false_alarms` of unchanged series passes in the horizon.

    Parameters
    ----------
    rows : int
        Length of the reference.
    unchanged : Memory
        Of the series. It was estimated: each draw has the memory that such a series would be
        found to have.
    """
    t, rng = bars or Bars(), np.random.default_rng([seed, rows])
    again = t.draws // 4 if unchanged.share else 0
    likely = [memory(unchanged.draw(rows, rng)) for _ in range(again)] or [unchanged]
    deviates, highest = _deviates(rows), np.empty(t.draws)
    for i in range(t.draws):
        series = likely[i % len(likely)].draw(rows + t.horizon, rng)
        # Values of a continuous law don't tie, so that one search finds both sides of the rank.
        scores = deviates[2 * np.searchsorted(np.sort(series[:rows]), series[rows:])]
        up, down = (_cusum(side - t.shift / 2.0) for side in (scores, -scores))
        highest[i] = max(up.max(), down.max())
    return float(np.quantile(highest, 1.0 - t.false_alarms, method="weibull"))


def _cusum(steps: Floats) -> Floats:
    """max(0, S + step) from S = 0, without a loop: the walk above its lowest point so far."""
    walk = np.cumsum(steps)
    return np.asarray(walk - np.minimum(np.minimum.accumulate(walk), 0.0), np.float64)


def _chart(
    scores: Floats, threshold: float, allowance: float
) -> tuple[tuple[int, ...], Floats, Floats]:
    """Alarms and both charts; a row without a score adds nothing."""
    charts = np.zeros((2, len(scores)))
    alarms: list[int] = []
    steps = np.stack([scores, -scores]) - allowance
    steps[:, np.isnan(scores)] = 0.0
    start = 0
    while start < len(scores):
        charts[:, start:] = [_cusum(side) for side in steps[:, start:]]
        passed = np.flatnonzero(charts[:, start:].max(axis=0) > threshold)
        if not len(passed):
            break
        start += int(passed[0]) + 1
        alarms.append(start - 1)
    return tuple(alarms), charts[0], charts[1]


def monitor_check(
    name: str,
    reference: ArrayLike,
    current: ArrayLike,
    *,
    seed: int = 0,
    bars: Bars | None = None,
) -> Check:
    """FAIL once the chart has alarmed, PASS where it hasn't and could have.

    `value` is the largest statistic and `threshold` the decision interval. INSUFFICIENT_EVIDENCE
    where the reference is short, constant or so persistent that nothing could show within a year,
    and, without an alarm, where the current rows are few, constant, or lack many values.
    """
    t = bars or Bars()
    now = np.asarray(current, np.float64).ravel()
    known = now[~np.isnan(now)]
    try:
        found = monitor(reference, current, seed=seed, bars=t)
    except ValueError as error:
        return Check(name, Status.INSUFFICIENT_EVIDENCE, str(error), len(known))
    doubt = _doubt(found, now, known, t)
    status = Status.FAIL if found.alarms else Status.PASS
    if doubt and not found.alarms:
        status = Status.INSUFFICIENT_EVIDENCE
    first = f"first at row {found.alarms[0]}" if found.alarms else doubt or "level unchanged"
    detail = (
        f"{len(found.alarms)} alarms, {first}; {found.rows} rows of reference, lag-1 "
        f"autocorrelation {found.memory.rho:.2f}; {t.false_alarms:.0%} of unchanged series "
        f"alarm in {t.horizon} rows"
    )
    value = float(found.statistic.max()) if len(known) else None
    return Check(name, status, detail, len(known), value, found.threshold)


def _doubt(found: Monitored, now: Floats, known: Floats, t: Bars) -> str:
    """Why silence would mean nothing; empty where it means something."""
    if len(known) < t.current:
        return f"{len(known)} rows so far, {t.current} needed"
    if len(known) < (1.0 - t.missing) * len(now):
        return f"{1.0 - len(known) / len(now):.0%} of the rows lack a value"
    if known.min() == known.max():
        return "constant since the reference, which wasn't"
    if found.slowest > t.blind:
        return f"so persistent that no move shows within {t.blind} rows"
    return ""
