"""Pictures for notebooks and reports: drawn once, readable in light, dark and print.

Each returns a `Picture`: SVG for people, the table behind it as plain text for terminals and
for notebook tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.app.canvas import ACCENT, CALM, DOWN, GRID, INK, UP, Picture, drawing, picture
from hybridnb.domain import SCALE

__all__ = [
    "Picture",
    "brackets",
    "causes",
    "curves",
    "equity_curve",
    "reliability",
    "scores",
    "usage",
    "waterfall",
]

WIDEST = 44  # characters of a cause's name


def scores(decisions: pd.DataFrame, *, buy: float, sell: float, most: int = 24) -> Picture:
    """Scores of a session against the thresholds, the furthest from 0.5 first.

    Parameters
    ----------
    decisions : DataFrame
        Columns symbol, score, action.
    """
    known = decisions.dropna(subset=["score"])
    far = (known["score"] - 0.5).abs().sort_values(ascending=False, kind="stable").index[:most]
    shown = known.loc[far].iloc[::-1]
    with drawing(8.0, 1.0 + 0.3 * max(len(shown), 2)) as (figure, (axes,)):
        colours = shown["action"].map({"BUY": UP, "SELL": DOWN}).fillna(CALM)
        axes.barh(shown["symbol"], shown["score"] - 0.5, left=0.5, color=colours, height=0.62)
        for level, name in ((buy, "BUY"), (sell, "SELL")):
            axes.axvline(level, color=INK, linewidth=1, linestyle="--")
            axes.annotate(
                name,
                (level, 1.0),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="bottom",
                fontsize=9,
            )
        for y, value in enumerate(shown["score"]):
            side = 1 if value >= 0.5 else -1
            axes.annotate(
                f"{value:.3f}",
                (value, y),
                xytext=(4 * side, 0),
                va="center",
                ha="left" if side > 0 else "right",
                textcoords="offset points",
            )
        axes.set_xlim(0, 1)
        axes.set_xlabel("score")
        axes.grid(axis="y", visible=False)
        table = shown[["symbol", "score", "action"]].iloc[::-1].reset_index(drop=True)
        alt = f"Scores of {len(known)} symbols; BUY from {buy:g}, SELL to {sell:g}"
        return picture(figure, alt, table)


def equity_curve(equity: pd.Series[float], *, title: str) -> Picture:
    """Equity by session, and its drawdown beneath.

    Parameters
    ----------
    equity : Series
        Account units, indexed by session.
    """
    drawdown = equity / equity.cummax() - 1.0
    with drawing(9.0, 4.2, rows=2) as (figure, (top, low)):
        marker = "o" if len(equity) < 3 else None
        top.plot(equity.index, equity.to_numpy(), color=ACCENT, linewidth=1.4, marker=marker)
        top.set_ylabel("equity")
        top.yaxis.set_major_formatter(lambda v, _: f"{v:,.0f}")
        low.fill_between(drawdown.index, 100 * drawdown.to_numpy(), 0, color=DOWN, alpha=0.45)
        low.set_ylabel("drawdown %")
        worst = float(drawdown.min())
        alt = (
            f"{title}: equity from {equity.iloc[0]:,.0f} to {equity.iloc[-1]:,.0f}, "
            f"worst drawdown {worst:.2%}"
        )
        table = pd.DataFrame({"equity": equity, "drawdown": drawdown})
        return picture(figure, alt, table)


def reliability(bins: pd.DataFrame) -> Picture:
    """Reliability curve of the calibrated probability.

    Parameters
    ----------
    bins : DataFrame
        Columns count, predicted, observed; empty bins left out.
    """
    with drawing(5.2, 4.4) as (figure, (axes,)):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
        size = 20 + 180 * bins["count"] / max(float(bins["count"].max()), 1.0)
        axes.plot(bins["predicted"], bins["observed"], color=ACCENT, linewidth=1)
        axes.scatter(bins["predicted"], bins["observed"], s=size, color=ACCENT, alpha=0.75)
        axes.set(
            xlabel="calibrated probability of the target before the stop",
            ylabel="how often it came",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        return picture(figure, f"Reliability in {len(bins)} bins", bins.reset_index(drop=True))


def usage(used: Mapping[str, float], limit: Mapping[str, float]) -> Picture:
    """Bucket exposure against its limit, shares of equity; the warning line is at 80 %."""
    names = list(limit)
    share = [used.get(n, 0.0) / limit[n] if limit[n] else 0.0 for n in names]
    with drawing(8.0, 0.9 + 0.42 * len(names)) as (figure, (axes,)):
        y = np.arange(len(names))[::-1]
        axes.barh(y, [100.0] * len(names), color=GRID, height=0.5)
        colours = [DOWN if s > 0.8 else ACCENT for s in share]
        axes.barh(y, [100 * s for s in share], color=colours, height=0.5)
        axes.axvline(80, color=INK, linewidth=1, linestyle="--")
        axes.set_yticks(y, [f"{n}  {used.get(n, 0.0):.2%} of {limit[n]:.2%}" for n in names])
        axes.set_xlim(0, 105)
        axes.set_xlabel("% of the limit (dashed: 80 % warning)")
        axes.grid(axis="y", visible=False)
        table = pd.DataFrame(
            {"used": [used.get(n, 0.0) for n in names], "limit": [limit[n] for n in names]},
            index=names,
        )
        return picture(figure, "Bucket usage against limits", table)


def brackets(bars: pd.DataFrame, levels: Sequence[tuple[str, float]], *, symbol: str) -> Picture:
    """The last bars of a symbol with its entry, stop and target.

    Parameters
    ----------
    bars : DataFrame
        Columns session, open, high, low, close of one symbol.
    levels : sequence of (name, price)
        Drawn as horizontal lines; a name with "stop" in it is drawn as a loss, "target" as a win.
    """
    with drawing(8.0, 3.4) as (figure, (axes,)):
        x = np.arange(len(bars))
        rose = (bars["close"] >= bars["open"]).to_numpy()
        colours = np.where(rose, UP, DOWN)
        axes.vlines(x, bars["low"], bars["high"], color=colours, linewidth=1)
        body = (bars["close"] - bars["open"]).to_numpy()
        thin = np.where(np.abs(body) < 1e-9, (bars["high"] - bars["low"]).to_numpy() / 50, body)
        axes.bar(x, thin, bottom=bars["open"], color=colours, width=0.62)
        for name, price in levels:
            colour = DOWN if "stop" in name else UP if "target" in name else ACCENT
            axes.axhline(price, color=colour, linewidth=1.2, linestyle="--")
            axes.annotate(
                f"{name} {price:,.2f}",
                (1.0, price),
                color=colour,
                fontsize=9,
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
            )
        ticks = x[:: max(1, len(x) // 6)]
        axes.set_xticks(ticks, [f"{bars['session'].iloc[i]:%d %b}" for i in ticks])
        axes.set_title(symbol, loc="left")
        shown = ", ".join(f"{name} {price:,.2f}" for name, price in levels)
        alt = f"{symbol}: last {len(bars)} bars with {shown}"
        return picture(figure, alt, bars.tail(5).reset_index(drop=True))


def curves(lines: Mapping[str, Sequence[float]], *, x: str, y: str) -> Picture:
    """Several series over their step number, for instance losses by epoch."""
    with drawing(7.0, 3.2) as (figure, (axes,)):
        for (name, values), colour in zip(
            lines.items(), (ACCENT, UP, DOWN, CALM, "#8a63d2"), strict=False
        ):
            marker = "o" if len(values) < 40 else None
            steps = range(1, len(values) + 1)
            axes.plot(steps, values, label=name, color=colour, marker=marker, markersize=3)
        axes.set(xlabel=x, ylabel=y)
        if len(lines) > 1:
            axes.legend(frameon=False)
        table = pd.DataFrame({k: pd.Series(list(v)) for k, v in lines.items()})
        return picture(figure, f"{y} by {x}: {', '.join(lines)}", table)


def waterfall(terms: Sequence[tuple[str, float]], *, title: str) -> Picture:
    """How terms add up to a score: bars that start where the last one ended."""
    start = 0.0
    with drawing(8.0, 3.2) as (figure, (axes,)):
        for i, (name, value) in enumerate(terms):
            total = name.startswith("=")
            bottom, height = (0.0, value) if total else (start, value)
            colour = ACCENT if total else UP if value >= 0 else DOWN
            axes.bar(i, height, bottom=bottom, color=colour, width=0.6)
            axes.annotate(
                f"{value:+.3f}" if not total else f"{value:.3f}",
                (i, max(bottom, bottom + height)),
                ha="center",
                va="bottom",
            )
            start = value if total else start + value
        axes.set_xticks(range(len(terms)), [name.lstrip("= ") for name, _ in terms])
        axes.set_ylim(0, 1.05)
        axes.set_title(title, loc="left")
        table: Any = pd.DataFrame(terms, columns=["term", "value"])
        return picture(figure, f"{title}: how the terms make the score", table)


def causes(found: Sequence[tuple[str, int, str]], *, currency: str, title: str) -> Picture:
    """What made the day's profit or loss: bars that start where the last one ended.

    Each bar has its name above it, its signed amount, and the ids of the facts that show it.

    Parameters
    ----------
    found : sequence of (name, amount, evidence)
        Amounts in 1/10,000, signed, in the order to draw; their sum is the last bar.
    currency : str
        Of the account.
    """
    total = sum(amount for _, amount, _ in found)
    bars = [*found, ("= day P&L", total, "")]
    with drawing(5.4, 0.75 + 0.5 * len(bars)) as (figure, (axes,)):
        start, across = 0, axes.get_yaxis_transform()
        for i, (name, amount, evidence) in enumerate(bars):
            last = i == len(bars) - 1
            begin = 0 if last else start
            colour = ACCENT if last else UP if amount > 0 else DOWN if amount < 0 else CALM
            axes.barh(i + 0.2, amount / SCALE, left=begin / SCALE, color=colour, height=0.4)
            said: dict[str, Any] = {"transform": across, "va": "center", "parse_math": False}
            said["in_layout"] = False  # a long name doesn't squeeze the bars
            weight = "bold" if last else "normal"
            shown = name.removeprefix("= ")[:WIDEST] + (f" [{evidence}]" if evidence else "")
            axes.text(0.01, i - 0.2, shown, ha="left", weight=weight, **said)
            axes.text(1.0, i - 0.2, _signed(amount), ha="right", weight="bold", **said)
            start = begin + amount
            if i < len(bars) - 2:  # a thread from where this one ended to where the next begins
                axes.plot(
                    [start / SCALE] * 2, [i + 0.4, i + 1.0], color=INK, linewidth=0.7, alpha=0.6
                )
        axes.axvline(0.0, color=INK, linewidth=1)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_yticks([])
        low, high = axes.get_xlim()
        axes.set_xlim(low, high + 0.2 * (high - low))  # where the amounts stand
        axes.xaxis.set_major_formatter(lambda v, _: f"{v:,.0f}" if abs(v) >= 10 else f"{v:g}")
        axes.xaxis.set_major_locator(_few())
        axes.set_xlabel(f"running total, {currency}", parse_math=False)
        axes.spines["left"].set_visible(False)
        table = pd.DataFrame(
            [(name, amount / SCALE, evidence) for name, amount, evidence in bars],
            columns=["cause", "amount", "evidence"],
        )
        alt = (
            f"{title}: {len(found)} causes, largest first, that sum to {_signed(total)} {currency}"
        )
        return picture(figure, alt, table)


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)


def _signed(amount: int) -> str:
    """Money with its sign; below one unit with all four places."""
    places = 4 if 0 < abs(amount) < SCALE else 2
    return f"{amount / SCALE:+,.{places}f}" if amount else "0.00"
