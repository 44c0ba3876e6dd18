"""Whether a day's probabilities mean what they say: before and after calibration, by regime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.backtest import held_out
from hybridnb.app.canvas import ACCENT, CALM, INK, Picture, drawing, picture
from hybridnb.app.context import Context
from hybridnb.app.panel import Panel
from hybridnb.app.predicting import combined_raw
from hybridnb.app.proofs import calibration
from hybridnb.app.training import Model
from hybridnb.gates.calibration import Bars, Report, calibrated_report
from hybridnb.gates.rates import rate

FIGURES = ("brier", "log_loss", "ece", "skill")
WAYS = ("before", "after")
COLUMNS = 2
LEAST = 5  # rows of a bin below which it is in the table alone


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The same outcomes against the predictors' outputs, and against the calibrated ones.

    `before` are the outputs that calibration starts from: of a higher close, so that they were
    never meant for the target before the stop. Held-out sessions of both, the same rows.
    """

    before: Report
    after: Report
    rows: int
    sessions: tuple[str, str]

    def table(self) -> pd.DataFrame:
        """Brier score, log loss, ECE and skill by regime, before and after, with intervals."""
        parts = [
            report.frame().assign(outputs=way)
            for way, report in zip(WAYS, (self.before, self.after), strict=True)
        ]
        every = pd.concat(parts, ignore_index=True)
        order = {part.regime: i for i, part in enumerate(self.after.parts)}
        every = every.sort_values(
            "regime", key=lambda column: column.map(order), kind="stable"
        ).reset_index(drop=True)
        return pd.DataFrame(
            {
                "regime": every["regime"],
                "outputs": every["outputs"],
                "n": every["n"],
                **{name: every[name].round(4) for name in FIGURES},
                **{
                    f"{name} 95 %": [
                        _interval(low, high)
                        for low, high in zip(
                            every[f"{name}_low"], every[f"{name}_high"], strict=True
                        )
                    ]
                    for name in ("brier", "ece", "skill")
                },
                "grade": every["grade"],
            }
        )

    def gate(self) -> pd.DataFrame:
        """The checks of the calibration gate, after calibration."""
        return pd.DataFrame(
            [
                {
                    "check": check.name,
                    "status": str(check.status),
                    "value": check.value,
                    "bar": check.threshold,
                    "n": check.n,
                    "why": check.detail,
                }
                for check in self.after.checks
            ]
        ).round(4)

    def picture(self) -> Picture:
        """Reliability before and after, all rows pooled."""
        return reliability_pictures(
            [("before", self.before, 0, CALM), ("after", self.after, 0, ACCENT)],
            title="Reliability before and after calibration",
        )

    def regimes(self) -> Picture:
        """Reliability by regime, after calibration."""
        return reliability_pictures(
            [(part.regime, self.after, i, ACCENT) for i, part in enumerate(self.after.parts)],
            title="Reliability by regime",
        )

    def scores(self) -> Picture:
        """Brier score and ECE with their intervals, before and after, against the gate's bars."""
        return scores_picture(self)


def calibrations(
    context: Context, panel: Panel, model: Model, *, bars: Bars | None = None
) -> Calibrations:
    """Both reports on the held-out sessions.

    Raises
    ------
    ValueError
        Where no held-out row has an outcome and both probabilities.
    """
    rows = held_out(context, panel, to=model.trained_to)
    raw = combined_raw(
        context, {"short": panel.columns["short_raw"], "mid": panel.columns["mid_raw"]}
    )
    # Where either is unknown, neither is asked: the same rows on both sides.
    both = np.isfinite(raw) & np.isfinite(panel.columns["win_long"])
    reports = [
        calibrated_report(
            *_of(context, panel, rows, np.where(both, p, np.nan)), seed=context.seed, bars=bars
        )
        for p in (raw, panel.columns["win_long"])
    ]
    days = panel.sessions[rows].strftime("%Y-%m-%d")
    return Calibrations(reports[0], reports[1], reports[1].parts[0].n, (days[0], days[-1]))


def _of(context: Context, panel: Panel, rows: NDArray[np.int64], p: NDArray[np.float64]) -> Any:
    return calibration(context, replace(panel, columns={**panel.columns, "win_long": p}), rows)


def _interval(low: float, high: float) -> str:
    return "–" if np.isnan(low) or np.isnan(high) else f"{low:.3f} to {high:.3f}"


def bins_of(report: Report, part: int) -> pd.DataFrame:
    """Filled bins of one regime: count, predicted, observed, and the observed rate's interval.

    The interval (Clopper & Pearson) takes rows for independent: with overlapping outcomes it is
    rather too narrow.
    """
    curve = report.parts[part].curve
    found = []
    for low, high, n, predicted, observed in zip(
        curve.edges[:-1], curve.edges[1:], curve.count, curve.predicted, curve.observed, strict=True
    ):
        if n:
            _, least, most = rate(round(observed * n), int(n))
            found.append((f"{low:.1f}–{high:.1f}", int(n), predicted, observed, least, most))
    return pd.DataFrame(
        found, columns=["bin", "count", "predicted", "observed", "observed low", "observed high"]
    )


def reliability_pictures(panels: list[tuple[str, Report, int, str]], *, title: str) -> Picture:
    """One small picture a report: how often it came, against what was said, with intervals.

    Parameters
    ----------
    panels : list of (name, report, number of the report's part, colour)
    """
    lines = -(-len(panels) // COLUMNS)
    tables = []
    with drawing(8.6, 0.5 + 3.1 * lines) as (figure, _):
        figure.clear()
        grid = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False)
        for axes, (name, report, part, colour) in zip(grid.flat, panels, strict=False):
            bins = bins_of(report, part)
            _reliability(axes, bins, colour)
            found = report.parts[part]
            axes.set_title(
                f"{name}: ECE {found.ece.value:.3f}, n {found.n:,}", fontsize=10, loc="left"
            )
            tables.append(bins.round(4).assign(of=name))
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        figure.supxlabel("probability of the target before the stop", fontsize=10, color=INK)
        figure.supylabel("how often it came, 95 % interval", fontsize=10, color=INK)
        table = pd.concat(tables, ignore_index=True)
        names = ", ".join(name for name, *_ in panels)
        return picture(figure, f"{title}: {names}", table[["of", *table.columns[:-1]]])


def _reliability(axes: Any, bins: pd.DataFrame, colour: str) -> None:
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
    shown = bins[bins["count"] >= LEAST]
    x, y = shown["predicted"].to_numpy(), shown["observed"].to_numpy()
    below = y - shown["observed low"].to_numpy()
    above = shown["observed high"].to_numpy() - y
    axes.errorbar(x, y, yerr=[below, above], color=colour, fmt="none", elinewidth=1.2, capsize=2)
    size = 16 + 150 * shown["count"] / max(float(bins["count"].max()), 1.0)
    axes.plot(x, y, color=colour, linewidth=1)
    axes.scatter(x, y, s=size, color=colour, alpha=0.75)
    axes.set(xlim=(0, 1), ylim=(0, 1))


def scores_picture(found: Calibrations) -> Picture:
    """Brier score and ECE of each regime, before and after, with their intervals."""
    bars, regimes = Bars(), [part.regime for part in found.after.parts]
    shown = [("brier", "Brier score", bars.brier), ("ece", "ECE", bars.ece)]
    with drawing(8.6, 1.4 + 0.5 * len(regimes)) as (figure, _):
        figure.clear()
        grid = figure.subplots(1, 2, sharey=True)
        for axes, (name, label, bar) in zip(grid, shown, strict=True):
            for shift, colour, way, report in (
                (-0.14, CALM, "before", found.before),
                (0.14, ACCENT, "after", found.after),
            ):
                parts = {part.regime: getattr(part, name) for part in report.parts}
                for y, regime in enumerate(regimes):
                    if regime in parts:
                        each = parts[regime]
                        axes.plot([each.low, each.high], [y + shift] * 2, color=colour)
                        said = way if y == 0 else None
                        axes.scatter([each.value], [y + shift], color=colour, label=said)
            axes.axvline(bar, color=INK, linewidth=1, linestyle="--")
            axes.set_xlabel(f"{label} (dashed: the gate's bar)")
            axes.set_yticks(range(len(regimes)), regimes)
        grid[0].set_ylim(len(regimes) - 0.5, -0.5)
        grid[1].legend(frameon=False, labelcolor=INK, loc="lower right")
        table = found.table()[["regime", "outputs", "n", "brier", "brier 95 %", "ece", "ece 95 %"]]
        alt = f"Brier score and ECE of {len(regimes)} regimes, before and after calibration"
        return picture(figure, alt, table)
