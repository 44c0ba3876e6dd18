"""The picture of a stress replay: the base against each scenario, one small panel each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hybridnb.app.canvas import ACCENT, CALM, DOWN, INK, Picture, drawing, picture
from hybridnb.app.stressing import Stressed
from hybridnb.gates.evidence import Check

COLUMNS = 2


def stress_curves(stressed: Stressed) -> Picture:
    """Equity of the base and of each scenario, basis points of the opening equity.

    All panels have one scale; the sessions that a scenario bears on are shaded where they aren't
    the whole stretch.
    """
    from matplotlib.dates import AutoDateLocator

    lines = -(-len(stressed.checks) // COLUMNS)
    moved = (stressed.equity / stressed.equity["base"].iloc[0] - 1.0) * 1e4
    with drawing(9.6, 0.6 + 1.75 * lines) as (figure, _):
        figure.clear()
        grid = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False)
        for axes, check in zip(grid.flat, stressed.checks, strict=False):
            _panel(axes, check, moved, stressed.windows.get(check.name))
        for axes in grid.flat[len(stressed.checks) :]:
            axes.set_visible(False)
        figure.supylabel("bps of the opening equity", fontsize=10, color=INK)
        handles, names = grid.flat[0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="outside lower center", ncols=3, frameon=False, labelcolor=INK
        )
        grid.flat[0].xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=6))
        return picture(figure, _alt(stressed), _table(stressed, moved))


def _panel(axes: Any, check: Check, moved: pd.DataFrame, window: tuple[str, str] | None) -> None:
    axes.plot(moved.index, moved["base"], color=CALM, linewidth=1.6, label="base")
    if check.name in moved:
        curve = moved[check.name]
        axes.plot(moved.index, curve, color=ACCENT, linewidth=1.2, label="scenario")
    if window is not None:
        first, last = (pd.Timestamp(day) for day in window)
        whole = first <= moved.index[1] and last >= moved.index[-1]
        if not whole:
            at = moved.index[max(0, int(moved.index.searchsorted(first)) - 1)]
            axes.axvspan(at, last, color=DOWN, alpha=0.22, linewidth=2.0, label="window")
    axes.axhline(0.0, color=INK, linewidth=0.6)
    axes.set_title(f"{check.name}: {check.status.replace('_', ' ')}", fontsize=10, loc="left")


def _alt(stressed: Stressed) -> str:
    passed = sum(check.status == "PASS" for check in stressed.checks)
    return (
        f"Equity in {len(stressed.checks)} stress scenarios against the base; {passed} of them pass"
    )


def _table(stressed: Stressed, moved: pd.DataFrame) -> pd.DataFrame:
    """By scenario: window, lowest and last value of its curve, verdict."""
    lines = []
    for check in stressed.checks:
        first, last = stressed.windows.get(check.name, ("–", "–"))
        known = moved[check.name].dropna() if check.name in moved else pd.Series([np.nan])
        lines.append(
            {
                "scenario": check.name,
                "first": first,
                "last": last,
                "lowest bps": round(float(known.min()), 2),
                "end bps": round(float(known.iloc[-1]), 2),
                "base end bps": round(float(moved["base"].iloc[-1]), 2),
                "verdict": str(check.status),
            }
        )
    return pd.DataFrame(lines)
