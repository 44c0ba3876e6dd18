"""The power page: what each detector caught of planted truth, against what it has to reach."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd

from hybridnb.app.canvas import CALM, DOWN, INK, UP, Picture, drawing, picture
from hybridnb.app.html import page
from hybridnb.app.index import table
from hybridnb.gates.planted_overfit import Power

Found = Sequence[tuple[str, Power]]  # where the truth was planted, and what came of it
WORDS = {True: "reached", False: "missed", None: "shown only"}
_COLOURS = {True: UP, False: DOWN, None: CALM}
_SIGNS = {True: "o", False: "X", None: "D"}  # colour isn't the only one


def frame_of(found: Found) -> pd.DataFrame:
    """One row a measurement."""
    return pd.DataFrame(
        [
            {
                "detector": each.detector,
                "plant": each.plant,
                "in": where,
                "alarms": f"{each.caught} of {each.tried}",
                "share": f"{each.share:.3f}",
                "95 % interval": f"{each.low:.3f} to {each.high:.3f}",
                "mean figure": "–" if each.mean is None else f"{each.mean:.4g}",
                "to reach": each.bar or "–",
                "state": WORDS[each.reached],
            }
            for where, each in found
        ],
        columns=[
            *("detector", "plant", "in", "alarms", "share"),
            *("95 % interval", "mean figure", "to reach", "state"),
        ],
    )


def chart(found: Found) -> Picture:
    """Each share as a point on its interval."""
    with drawing(9.5, 1.0 + 0.27 * len(found)) as (figure, (axes,)):
        for y, (_, each) in enumerate(found[::-1]):
            axes.plot([each.low, each.high], [y, y], color=INK, linewidth=1.4, alpha=0.7)
            sign, colour = _SIGNS[each.reached], _COLOURS[each.reached]
            axes.scatter([each.share], [y], color=colour, marker=sign, s=36, zorder=3)
        names = [f"{each.detector}: {each.plant}" for _, each in found[::-1]]
        axes.set_yticks(np.arange(len(found)), names, fontsize=8, parse_math=False)
        for y, (_, each) in enumerate(found[::-1]):
            axes.annotate(
                each.bar,
                (1.01, y),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8,
                color=INK,
            )
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.7, len(found) - 0.3)
        axes.set_xlabel("share of alarms with its 95 % interval; at the right what has to be")
        missed = sum(each.reached is False for _, each in found)
        alt = f"{len(found)} measurements on planted truth, {missed} short of what they must reach"
        return picture(figure, alt, frame_of(found))


def power_page(found: Found, *, seeds: int) -> str:
    """The whole page."""
    bound = [(where, each) for where, each in found if each.reached is not None]
    missed = [(where, each) for where, each in bound if not each.reached]
    if missed:
        told = "; ".join(f"{each.detector}, {each.plant} ({where})" for where, each in missed)
        banner = f"<p class='banner bad' role='alert'>{len(missed)} fall short: {escape(told)}</p>"
    else:
        banner = f"<p class='banner'>All {len(bound)} that have a bar reach it.</p>"
    body = (
        f"{banner}<p>Truth is planted with {seeds} seeds, in made data and in real bars, and each"
        " detector is asked through the functions that the gates call. An alarm where nothing was"
        " planted is a false one. Intervals are exact (Clopper and Pearson).</p>"
        + "".join(_place(where, found) for where in dict.fromkeys(where for where, _ in found))
    )
    return page("What the gates' detectors catch", body)


def _place(where: str, found: Found) -> str:
    here = [(place, each) for place, each in found if place == where]
    shown = table(frame_of(here).drop(columns="in"), empty="Nothing was measured.")
    title = f"<h2>Planted in {escape(where)}</h2>"
    return f"<section>{title}<figure>{chart(here).svg}</figure>{shown}</section>"


def power_text(found: Found) -> str:
    """The table for a terminal."""
    return frame_of(found).to_string(index=False)
