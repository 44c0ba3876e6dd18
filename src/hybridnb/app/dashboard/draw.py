"""Small drawings in SVG that fill any width: lines stretch, their words stand beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

POINTS = 400  # of a line: more than a screen can tell apart
_HEIGHT = 100.0
_WIDTH = 1000.0


def thinned(values: Sequence[float], most: int = POINTS) -> list[tuple[int, float]]:
    """Positions and values of a line, at most about `most`: of each stretch its two extremes.

    A peak or a trough is never lost, and the first and last points stay. NaN is left out.
    """
    found = [(at, v) for at, v in enumerate(values) if math.isfinite(v)]
    if len(found) <= most:
        return found
    step = max(1, math.ceil(2 * len(found) / most))
    kept = {found[0], found[-1]}
    for first in range(0, len(found), step):
        stretch = found[first : first + step]
        kept.add(min(stretch, key=_value))
        kept.add(max(stretch, key=_value))
    return sorted(kept)


def _value(point: tuple[int, float]) -> float:
    return point[1]


def line(values: Sequence[float], *, label: str, floor: float | None = None) -> Markup:
    """A line from left to right, top to bottom between its extremes.

    Parameters
    ----------
    values : sequence of float
        Evenly spaced.
    label : str
        What it says, for those who don't see it.
    floor : float, optional
        Draws an area that hangs from zero at the top down to here, for what is lost below a peak.
    """
    points = thinned(values)
    if not points:
        return Markup("")
    low, high = _range([v for _, v in points]) if floor is None else (floor, 0.0)
    across = max(1, len(values) - 1)
    path = " ".join(
        f"{_WIDTH * at / across:.1f},{_HEIGHT * (high - v) / (high - low):.2f}" for at, v in points
    )
    drawn = Markup('<polyline points="{}"/>').format(path)
    if floor is not None:
        last = _WIDTH * points[-1][0] / across
        drawn = Markup('<polygon points="0,0 {} {:.1f},0"/>').format(path, last) + drawn
    return _svg(drawn, "line", label)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    # A flat line stands in the middle.
    return (low, high) if low < high else (low - 1.0, high + 1.0)


def bars(counts: Sequence[int], *, label: str, at: Sequence[float] = ()) -> Markup:
    """Columns side by side; `at` marks places between 0 and 1 with a dashed line."""
    most, width = max([1, *counts]), _WIDTH / max(1, len(counts))
    columns = [
        Markup('<rect x="{:.1f}" y="{:.2f}" width="{:.1f}" height="{:.2f}"/>').format(
            n * width + 1.0, _HEIGHT * (1 - count / most), width - 2.0, _HEIGHT * count / most
        )
        for n, count in enumerate(counts)
        if count
    ]
    lines = [
        Markup('<line x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="100"/>').format(_WIDTH * place)
        for place in at
        if 0.0 <= place <= 1.0
    ]
    return _svg(Markup("").join([*columns, *lines]), "columns", label)


def dots(points: Sequence[tuple[float, float]], *, label: str) -> Markup:
    """Places in the unit square, with its diagonal."""
    drawn = [
        Markup('<line x1="{0:.1f}" x2="{0:.1f}" y1="{1:.2f}" y2="{1:.2f}"/>').format(
            _WIDTH * x, _HEIGHT * (1.0 - y)
        )
        for x, y in points
    ]
    diagonal = Markup('<polyline points="0,100 1000,0"/>')
    return _svg(Markup("").join([diagonal, *drawn]), "dotted", label)


def _svg(drawn: Markup, kind: str, label: str) -> Markup:
    return Markup(
        '<svg class="{}" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>'
    ).format(kind, label, drawn)


def binned(values: Sequence[float], *, low: float, high: float, bins: int) -> list[int]:
    """How many values fall into each of equal bins; those outside count at the ends."""
    counts = [0] * bins
    for value in values:
        if math.isfinite(value):
            at = int((value - low) / (high - low) * bins)
            counts[min(max(at, 0), bins - 1)] += 1
    return counts
