"""What every picture is drawn on: one style, one form of SVG, and the table behind it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GRID = "#7a8594", "#7a859440"
UP, DOWN, CALM, ACCENT = "#1f9d78", "#d2553f", "#8a94a3", "#3f7fd6"
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "hybridnb",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG with its alternative text, and the table it was drawn from."""

    svg: str
    alt: str
    table: pd.DataFrame

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"{self.alt}\n{self.table.to_string(max_rows=20)}"


@contextmanager
def drawing(width: float, height: float, rows: int = 1) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of so many inches and its axes, one below the other."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        ratios = [2.2] + [1.0] * (rows - 1)
        axes = figure.subplots(rows, 1, sharex=rows > 1, height_ratios=ratios, squeeze=False)
        yield figure, list(axes[:, 0])


def picture(figure: Figure, alt: str, table: pd.DataFrame) -> Picture:
    """A drawn figure as a picture: the same bytes each time."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    label = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return Picture(text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1), alt, table)
