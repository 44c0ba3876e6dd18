"""The picture of a session run again: what was compared, and how much of it differs."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from hybridnb.app.canvas import ACCENT, DOWN, Picture, drawing, picture
from hybridnb.app.consistency import Comparison


def compared_picture(found: Comparison) -> Picture:
    """Rows held against each other, by kind; those that differ in the colour of a loss.

    A row counts once, however many of its fields differ.
    """
    differ = Counter(kind for kind, _ in {(d.kind, d.key) for d in found.differences})
    kinds = sorted(found.compared, key=lambda kind: (-found.compared[kind], kind))
    table = pd.DataFrame(
        {
            "kind": kinds,
            "compared": [found.compared[kind] for kind in kinds],
            "differ": [differ[kind] for kind in kinds],
        }
    )
    with drawing(8.0, 0.9 + 0.32 * max(len(kinds), 2)) as (figure, (axes,)):
        for y, row in enumerate(table.to_dict("records")):
            equal = max(0, row["compared"] - row["differ"])
            axes.barh(y, equal, color=ACCENT, height=0.6)
            if row["differ"]:
                axes.barh(y, row["differ"], left=equal, color=DOWN, height=0.6)
            said = f"{row['differ']} of {row['compared']} differ" if row["differ"] else "all equal"
            axes.annotate(
                said,
                (equal + row["differ"], y),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
        axes.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
        axes.set_ylim(len(kinds) - 0.5 if kinds else 0.5, -0.5)
        axes.set_xlim(0, 1.25 * max([1, *table["compared"]]))
        axes.set_xlabel("rows compared (red: that differ)")
        axes.grid(axis="y", visible=False)
        total, apart = int(table["compared"].sum()), int(table["differ"].sum())
        alt = f"{found.session}: {total} rows compared, {apart} differ"
        return picture(figure, alt, table)
