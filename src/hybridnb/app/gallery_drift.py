"""Drift as an analyst looks at it: levels, PSI and its null, the monitor's chart, histograms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.app.canvas import ACCENT, CALM, DOWN, INK, Picture, drawing, picture
from hybridnb.app.context import Context
from hybridnb.app.drifting import compared, drifts
from hybridnb.domain import Status
from hybridnb.gates.evidence import Check
from hybridnb.gates.monitor import Monitored, monitor, monitor_check

COLUMNS = 3
MOST = 6  # distributions in one picture
BINS = 24


@dataclass(frozen=True, slots=True)
class Drifts:
    """A day's features against those of the sessions before, on means over the names.

    Attributes
    ----------
    reference, current : DataFrame
        One row a session, one column a feature.
    checks : tuple of Check
        As the gate of drift has them.
    """

    reference: pd.DataFrame
    current: pd.DataFrame
    checks: tuple[Check, ...]
    seed: int

    def table(self) -> pd.DataFrame:
        """Level, PSI and the threshold in force of each feature, the gravest first."""
        rows = [
            {
                "feature": check.name,
                "level": level_of(check),
                "PSI": _nan(check.value),
                "critical above": _nan(check.threshold),
                "of it": _share(check),
                "sessions": check.n,
                "why": check.detail.partition(": ")[2] or check.detail,
            }
            for check in self.checks
        ]
        table = pd.DataFrame(rows)
        return table.sort_values("of it", ascending=False, kind="stable", ignore_index=True)

    @property
    def foremost(self) -> str:
        """The feature that is nearest to its threshold."""
        known = [c for c in self.checks if c.name in self.current and not math.isnan(_share(c))]
        return max(known, key=_share).name if known else str(self.current.columns[0])

    def levels(self) -> Picture:
        """PSI of each feature against the threshold that its own null sets."""
        return psi_picture(self.table())

    def watch(self, feature: str = "") -> tuple[str, Monitored]:
        """The monitor of one feature, by default the foremost."""
        name = feature or self.foremost
        return name, monitor(self.reference[name], self.current[name], seed=self.seed)

    def chart(self, feature: str = "") -> Picture:
        """The monitor's CUSUM of one feature, with its decision interval and its alarms."""
        name, found = self.watch(feature)
        return cusum_picture(found, self.current.index, name=name)

    def monitored(self, *features: str) -> pd.DataFrame:
        """What the monitor says of some features, by default of the foremost."""
        names = features or (self.foremost,)
        checks = [
            monitor_check(name, self.reference[name], self.current[name], seed=self.seed)
            for name in names
        ]
        return pd.DataFrame(
            [
                {
                    "feature": c.name,
                    "status": str(c.status),
                    "largest CUSUM": _nan(c.value),
                    "interval": _nan(c.threshold),
                    "why": c.detail,
                }
                for c in checks
            ]
        )

    def distributions(self, most: int = MOST) -> Picture:
        """Old and new values of the features that moved most."""
        names = [n for n in self.table()["feature"] if n in self.current][:most]
        return distributions_picture(self.reference, self.current, names)


def drift_of(context: Context) -> Drifts:
    """A day's drift."""
    reference, current = compared(context)
    return Drifts(reference, current, tuple(drifts(context)), context.seed)


def level_of(check: Check) -> str:
    """NONE, LOW, MODERATE, HIGH or CRITICAL; a dash where there is no evidence."""
    return "–" if check.status is Status.INSUFFICIENT_EVIDENCE else check.detail.partition(":")[0]


def _share(check: Check) -> float:
    """How much of its threshold a PSI has reached; NaN without one."""
    return check.value / check.threshold if check.value and check.threshold else math.nan


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def psi_picture(table: pd.DataFrame) -> Picture:
    """Each feature's PSI as a bar, and where it would be critical as a mark.

    Parameters
    ----------
    table : DataFrame
        As `Drifts.table`; rows without a threshold are in the table alone.
    """
    shown = table.dropna(subset=["PSI", "critical above"])
    with drawing(8.0, 1.0 + 0.32 * max(len(shown), 2)) as (figure, (axes,)):
        for y, row in enumerate(shown.to_dict("records")):
            colour = DOWN if row["level"] == "CRITICAL" else ACCENT
            axes.barh(y, row["PSI"], color=colour, height=0.6)
            axes.scatter(
                [row["critical above"]],
                [y],
                color=DOWN,
                marker="|",
                s=150,
                linewidths=2.5,
                zorder=3,
            )
            axes.annotate(
                row["level"],
                (1.01, y),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8,
            )
        axes.set_xscale("log")
        axes.set_yticks(range(len(shown)), list(shown["feature"]))
        axes.set_ylim(len(shown) - 0.5 if len(shown) else 0.5, -0.5)
        axes.set_xlabel("PSI (mark: critical above, at least the 99 % quantile of its own null)")
        axes.grid(axis="y", visible=False)
        columns = ["feature", "level", "PSI", "critical above"]
        alt = f"PSI of {len(shown)} features against where it would be critical"
        return picture(figure, alt, table[columns].round(4))


def cusum_picture(found: Monitored, sessions: Any, *, name: str) -> Picture:
    """Both sides of the CUSUM by session; a fall is drawn downwards."""
    with drawing(8.6, 3.2) as (figure, (axes,)):
        axes.plot(sessions, found.up, color=ACCENT, linewidth=1.3, label="rise")
        axes.plot(sessions, -found.down, color=CALM, linewidth=1.3, label="fall")
        for level in (found.threshold, -found.threshold):
            axes.axhline(level, color=DOWN, linewidth=1, linestyle="--")
        axes.axhline(0.0, color=INK, linewidth=0.6)
        for at in found.alarms:
            axes.axvline(sessions[at], color=DOWN, alpha=0.35, linewidth=2)
        axes.set_ylabel("CUSUM, deviations")
        axes.set_title(
            f"{name}: {len(found.alarms)} alarms (dashed: decision interval)", loc="left"
        )
        axes.legend(frameon=False, labelcolor=INK, ncols=2, loc="best")
        table = pd.DataFrame({"rise": found.up, "fall": found.down}, index=sessions).round(3)
        alt = (
            f"CUSUM of {name} over {len(sessions)} sessions, interval {found.threshold:.2f}, "
            f"{len(found.alarms)} alarms"
        )
        return picture(figure, alt, table)


def distributions_picture(
    reference: pd.DataFrame, current: pd.DataFrame, names: list[str]
) -> Picture:
    """Histograms of the same features in both stretches, each of area 1."""
    lines = max(1, -(-len(names) // COLUMNS))
    with drawing(9.0, 0.6 + 2.0 * lines) as (figure, _):
        figure.clear()
        grid = figure.subplots(lines, COLUMNS, squeeze=False)
        for axes, name in zip(grid.flat, names, strict=False):
            old, new = reference[name].dropna(), current[name].dropna()
            edges = np.histogram_bin_edges(np.concatenate([old, new]), BINS)
            axes.hist(old, edges, density=True, color=CALM, alpha=0.55, label="before")
            axes.hist(
                new, edges, density=True, histtype="step", color=ACCENT, linewidth=1.6, label="now"
            )
            axes.set_title(name, fontsize=10, loc="left")
            axes.set_yticks([])
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        if names:
            handles, labels = grid.flat[0].get_legend_handles_labels()
            figure.legend(
                handles, labels, loc="outside lower center", ncols=2, frameon=False, labelcolor=INK
            )
        table = pd.DataFrame(
            [
                {
                    "feature": n,
                    "mean before": reference[n].mean(),
                    "mean now": current[n].mean(),
                    "deviation before": reference[n].std(),
                    "deviation now": current[n].std(),
                }
                for n in names
            ]
        ).round(4)
        return picture(figure, f"Distributions of {len(names)} features, before and now", table)
