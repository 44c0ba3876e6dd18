"""Pictures of counterfactuals: a trade among its alternatives, and bounds by what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from hybridnb.app.canvas import ACCENT, CALM, DOWN, INK, UP, Picture, drawing, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 12  # trades in one picture
EDGE = 0.12  # share of the width kept free on either side, for the figures


def alternatives_picture(
    trades: pd.DataFrame, alternatives: pd.DataFrame, *, most: int = MOST
) -> Picture:
    """One line a trade: what it came to, among what it could have come to.

    Parameters
    ----------
    trades : DataFrame
        As `Counterfactuals.trades`; the first `most` that were reproduced are drawn.
    alternatives : DataFrame
        As `Counterfactuals.alternatives`; those without a P&L are left out, those that weren't
        open at the time are hollow.
    """
    shown = trades[trades["reproduced"].astype(bool)].head(most)
    known = alternatives.dropna(subset=["pnl"])
    rows = shown.to_dict("records")
    names = [f"{row['symbol']}  {row['entered']}" for row in rows]
    with drawing(8.0, 1.4 + 0.38 * max(len(shown), 2)) as (figure, (axes,)):
        for y, trade in enumerate(rows):
            mine, pnl = known[known["decision_id"] == trade["decision_id"]], trade["pnl"]
            rest = mine[~mine["alternative"].isin(["as traded"])]
            axes.plot(
                [min(rest["pnl"].min(), pnl), max(rest["pnl"].max(), pnl)],
                [y, y],
                color=CALM,
                linewidth=1,
                zorder=1,
            )
            for chosen, face in ((True, CALM), (False, "none")):
                part = rest[rest["open"].astype(bool) == chosen]
                axes.scatter(
                    part["pnl"], [y] * len(part), s=26, facecolors=face, edgecolors=CALM, zorder=2
                )
            best = rest[rest["alternative"] == trade["best"]]
            axes.scatter(best["pnl"], [y] * len(best), s=42, color=ACCENT, zorder=3)
            axes.scatter([pnl], [y], s=64, color=UP if pnl > 0 else DOWN, zorder=4)
        axes.axvline(0.0, color=INK, linewidth=1, linestyle="--")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5 if names else 0.5, -0.5)
        axes.set_xlabel("net P&L, account units")
        axes.grid(axis="y", visible=False)
        _legend(axes)
        columns = ["symbol", "entered", "pnl", "best", "opportunity_cost", "score", "grade"]
        table = shown[columns].round({"pnl": 2, "opportunity_cost": 2, "score": 3})
        alt = f"{len(shown)} of {len(trades)} closed trades among their alternatives"
        return picture(figure, alt, table.reset_index(drop=True))


def _legend(axes: Axes) -> None:
    marks = (
        ("as traded, gain", UP, UP, 8.0),
        ("as traded, loss", DOWN, DOWN, 8.0),
        ("best that was open", ACCENT, ACCENT, 6.5),
        ("alternative", CALM, CALM, 5.0),
        ("not open then", "none", CALM, 5.0),
    )
    for name, face, edge, size in marks:
        axes.plot(
            [],
            [],
            linestyle="none",
            marker="o",
            markersize=size,
            markerfacecolor=face,
            markeredgecolor=edge,
            label=name,
        )
    axes.legend(
        frameon=False, ncols=5, loc="lower left", bbox_to_anchor=(0.0, 1.0), fontsize=8,
        handletextpad=0.1, columnspacing=0.9, borderaxespad=0.2,
    )  # fmt: skip


def bounds_picture(bounds: pd.DataFrame) -> Picture:
    """What each bound cost (to the right) or saved (to the left) over the stretch.

    Parameters
    ----------
    bounds : DataFrame
        As `Counterfactuals.bounds`. Bounds that changed nothing, and those of which nothing is
        known, are in the table alone.
    """
    moved = bounds[bounds["effect"].isin(["cost", "saved"])]
    shown = moved.sort_values("difference", kind="stable")
    with drawing(8.0, 1.2 + 0.36 * max(len(shown), 2)) as (figure, (axes,)):
        colours = [DOWN if value > 0 else UP for value in shown["difference"]]
        axes.barh(shown["bound"], shown["difference"], color=colours, height=0.62)
        reach = float(shown["difference"].abs().max()) if len(shown) else 1.0
        for y, value in enumerate(shown["difference"]):
            side = 1 if value >= 0 else -1
            axes.annotate(
                f"{'cost' if value > 0 else 'saved'} {abs(value):,.2f}",
                (value, y),
                xytext=(4 * side, 0),
                va="center",
                ha="left" if side > 0 else "right",
                textcoords="offset points",
            )
        axes.axvline(0.0, color=INK, linewidth=1)
        low = min(0.0, float(shown["difference"].min()) if len(shown) else 0.0)
        high = max(0.0, float(shown["difference"].max()) if len(shown) else 0.0)
        axes.set_xlim(low - 3 * EDGE * reach, high + 3 * EDGE * reach)
        axes.set_xlabel("P&L without the bound, less the P&L as traded; account units")
        axes.grid(axis="y", visible=False)
        columns = ["bound", "kind", "effect", "difference", "drawdown_change", "trades_change"]
        table = bounds[columns].round({"difference": 2, "drawdown_change": 6})
        alt = f"What {len(shown)} of {len(bounds)} bounds cost or saved"
        return picture(figure, alt, table.reset_index(drop=True))
