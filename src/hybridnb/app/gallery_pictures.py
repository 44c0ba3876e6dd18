"""Pictures of one decision: its score, its size, and how far each input was from a flip."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from hybridnb.app.canvas import ACCENT, CALM, DOWN, GRID, INK, UP, Picture, drawing, picture

NAMES = {
    "p_short": "short\npredictor",
    "p_mid": "mid\npredictor",
    "rl": "size hint",
    "volatility": "volatility\nspike",
    "news": "negative\nnews",
    "illiquid": "low\nliquidity",
    "decorrelated": "correlation\nbreakdown",
}


def score_picture(
    terms: pd.DataFrame, score: float, *, buy: float, sell: float, title: str
) -> Picture:
    """How the terms add up to a score: bars that start where the last one ended.

    Parameters
    ----------
    terms : DataFrame
        Columns term and adds, as `Explored.terms`.
    score : float
        NaN: unknown, and not drawn.
    buy, sell : float
        Drawn as dashed lines with the action they lead to.
    """
    bars = [(str(n), float(v)) for n, v in zip(terms["term"], terms["adds"], strict=True)]
    with drawing(8.0, 3.4) as (figure, (axes,)):
        start = 0.0
        for i, (_, value) in enumerate(bars):
            colour = CALM if value == 0.0 else UP if value > 0.0 else DOWN
            axes.bar(i, value, bottom=start, color=colour, width=0.6)
            _above(axes, i, max(start, start + value), f"{value:+.3f}")
            axes.plot([i + 0.3, i + 0.7], [start + value] * 2, color=INK, linewidth=0.7, alpha=0.6)
            start += value
        if math.isfinite(score):
            axes.bar(len(bars), score, color=ACCENT, width=0.6)
            _above(axes, len(bars), score, f"{score:.3f}")
        for level, name in ((buy, "BUY from"), (sell, "SELL to")):
            axes.axhline(level, color=INK, linewidth=1, linestyle="--")
            axes.annotate(
                f"{name} {level:g}",
                (1.01, level),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=9,
            )
        labels = [NAMES.get(name, name) for name, _ in bars]
        axes.set_xticks(range(len(bars) + 1), [*labels, "score"])
        axes.set_ylim(0.0, 1.08)
        axes.grid(axis="x", visible=False)
        axes.set_title(title, loc="left", parse_math=False)
        table = terms[["term", "value", "weight", "adds"]].round(6).reset_index(drop=True)
        told = "unknown" if math.isnan(score) else f"{score:.3f}"
        return picture(figure, f"{title}: the terms of its score, {told}", table)


def _above(axes: object, x: float, y: float, text: str) -> None:
    axes.annotate(  # type: ignore[attr-defined]
        text, (x, y), xytext=(0, 2), textcoords="offset points", ha="center", va="bottom"
    )


def size_picture(clamps: pd.DataFrame, *, bound: str, title: str) -> Picture:
    """From the wanted size through its caps to what was left, shares of equity.

    Parameters
    ----------
    clamps : DataFrame
        As `Explored.clamps`; a multiplier of 1 took nothing and is in the table alone.
    bound : str
        Name of the cap that bound: drawn in the colour of a loss.
    """
    shown = [
        (str(step), _only(size, limit), not math.isnan(size))
        for step, size, limit in zip(
            clamps["step"], clamps["size"], clamps["limit or factor"], strict=True
        )
        if not str(step).startswith("m_")
    ]
    factors = [
        f"{str(step)[2:]} × {factor:.3g}"
        for step, factor in zip(clamps["step"], clamps["limit or factor"], strict=True)
        if str(step).startswith("m_") and factor < 1.0
    ]
    with drawing(8.0, 0.9 + 0.36 * len(shown)) as (figure, (axes,)):
        for y, (name, value, is_size) in enumerate(shown):
            colour = ACCENT if is_size else DOWN if name == bound else GRID
            axes.barh(y, max(0.0, 100.0 * _zero(value)), color=colour, height=0.6)
            said = "unknown" if math.isnan(value) else f"{value:.2%}"
            mark = "  ← bound" if name == bound else ""
            also = f"   after {', '.join(factors)}" if name == "size_post_risk" and factors else ""
            axes.annotate(
                said + mark + also,
                (max(0.0, 100.0 * _zero(value)), y),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
        axes.set_yticks(range(len(shown)), [name.replace("_", " ") for name, _, _ in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlim(0.0, 1.45 * max([1e-3, *(100.0 * _zero(v) for _, v, _ in shown)]))
        axes.set_xlabel("% of equity (blue: the size, grey: a limit)")
        axes.grid(axis="y", visible=False)
        axes.set_title(title, loc="left", parse_math=False)
        table = clamps[["step", "size", "limit or factor"]].round(6)
        return picture(figure, f"{title}: the size from step to step, bound by {bound}", table)


def _only(size: float, limit: float) -> float:
    return limit if math.isnan(size) else abs(size)


def _zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def flips_picture(flips: pd.DataFrame, *, title: str) -> Picture:
    """One line an input: where it stood, and where another decision would have begun.

    Parameters
    ----------
    flips : DataFrame
        Columns input, was, at, becomes, as `Explored.flips`.
    """
    names = list(dict.fromkeys(flips["input"]))
    with drawing(8.0, 1.2 + 0.5 * max(len(names), 1)) as (figure, (axes,)):
        for y, name in enumerate(names):
            mine = flips[flips["input"] == name]
            was, low, high = float(mine["was"].iloc[0]), *_range(mine)
            axes.plot([0.0, 1.0], [y, y], color=GRID, linewidth=5, solid_capstyle="round")
            if math.isfinite(was):
                axes.scatter([(was - low) / (high - low)], [y], color=ACCENT, s=46, zorder=3)
            for at, becomes in zip(mine["at"], mine["becomes"], strict=True):
                x = (at - low) / (high - low)
                colour = UP if becomes.startswith("BUY") else DOWN if "SELL" in becomes else CALM
                axes.scatter([x], [y], color=colour, marker="|", s=170, linewidths=3, zorder=4)
                axes.annotate(
                    f"{at:.3g}: {becomes}",
                    (x, y),
                    xytext=(0, 8),
                    textcoords="offset points",
                    ha="left" if x < 0.25 else "right" if x > 0.75 else "center",
                    fontsize=8,
                    parse_math=False,
                )
        if not names:
            axes.annotate("no single input", (0.5, 0.5), xycoords="axes fraction", ha="center")
        axes.set_yticks(range(len(names)), [_label(n, flips) for n in names])
        axes.set_ylim(len(names) - 0.4, -0.7)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.set_title(f"{title} (dot: as it was; mark: where it turns)", loc="left", fontsize=10)
        alt = f"{title}: {len(names)} inputs that alone would have changed it"
        return picture(figure, alt, flips.round(4).reset_index(drop=True))


def _range(mine: pd.DataFrame) -> tuple[float, float]:
    """Ends of an input's line: [0, 1] for a share, else what was seen with a margin."""
    seen = np.array([*mine["at"], *mine["was"].dropna()], np.float64)
    low, high = float(seen.min()), float(seen.max())
    if low >= 0.0 and high <= 1.0:
        return 0.0, 1.0
    margin = 0.25 * max(high - low, 1.0)
    return low - margin, high + margin


def _label(name: str, flips: pd.DataFrame) -> str:
    was = float(flips.loc[flips["input"] == name, "was"].iloc[0])
    return f"{name} {'unknown' if math.isnan(was) else f'{was:.3g}'}"
