"""`hybridnb power`: truth is planted, and each detector is asked what it sees.

In made data, then in the real bars of the feeds asked for. A seed decides everything drawn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.app.again import bare_panel
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.home import home, reports_folder
from hybridnb.app.power_calibration import measure_calibration
from hybridnb.app.power_kill import measure_kill
from hybridnb.app.power_page import Found, power_page, power_text
from hybridnb.app.progress import Say, timed
from hybridnb.app.runner import write_atomically
from hybridnb.canonical import plain, sha256
from hybridnb.gates.evidence import Floats
from hybridnb.gates.planted_leaks import ALARMS, CLEAN, LATE, measure_leaks
from hybridnb.gates.planted_overfit import Power, measure_drift, measure_dsr, measure_pbo, power

Holds = Callable[[float, float], bool]
Parts = Sequence[tuple[str, Callable[[], Sequence[Power]]]]
MADE = "made data"
ROWS = 2_000  # bars of a name, the most that stretches of real returns are drawn from


def measure_power(
    requests: Sequence[Request], *, seeds: int, first: int, say: Say
) -> dict[str, Any]:
    """Measure every detector, and write the page.

    Parameters
    ----------
    requests : sequence of Request
        Whose real bars truth is planted into as well.
    seeds : int
        How many, from `first` on.

    Returns
    -------
    dict
        seeds, rows (one a measurement), missed (how many that have a bar don't reach it), report.
    """
    numbers = range(first, first + seeds)
    contexts = [open_day(request) for request in requests]
    found = [(MADE, each) for each in _made(numbers, say)]
    for context in contexts:
        feed = context.market.feed
        found += [(f"{feed}, real bars", each) for each in _real(context, numbers, say)]
    rows: Any = plain([{"in": where, **_values(each)} for where, each in found])
    content = {"seeds": seeds, "first": first, "rows": rows}
    folder = reports_folder(home()) / f"power-{sha256(content)[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "power.json", json.dumps(content, indent=1, ensure_ascii=False))
    write_atomically(folder / "index.html", power_page(found, seeds=seeds))
    missed = sum(each.reached is False for _, each in found)
    return {**content, "missed": missed, "report": str(folder / "index.html")}


def _values(each: Power) -> dict[str, Any]:
    return {name: getattr(each, name) for name in Power.__slots__}


def read_power(done: dict[str, Any]) -> str:
    """The table of a measurement, and where its page lies."""
    found: Found = [(row["in"], _power(row)) for row in done["rows"]]
    return f"{power_text(found)}\n\nopen {done['report']}"


def _power(row: dict[str, Any]) -> Power:
    return Power(**{name: row[name] for name in Power.__slots__})


def _made(seeds: Sequence[int], say: Say) -> list[Power]:
    parts: Parts = [
        ("leaks", lambda: _leaks(measure_leaks(seeds, say=say))),
        ("drift", lambda: measure_drift(seeds)),
        ("PBO", lambda: measure_pbo(seeds)),
        ("DSR", lambda: measure_dsr(seeds)),
        ("calibration", lambda: measure_calibration(seeds)),
        ("kill switch", lambda: _kills(measure_kill(seeds, say))),
    ]
    return _timed(parts, MADE, say)


def _real(context: Context, seeds: Sequence[int], say: Say) -> list[Power]:
    bars, returns = context.market.bars, real_returns(context.market.bars)
    series = real_feature(context)
    parts: Parts = [
        ("leaks", lambda: _leaks(measure_leaks(seeds, bars, say=say))),
        ("drift", lambda: measure_drift(seeds, real=series)),
        ("PBO", lambda: measure_pbo(seeds, real=returns)),
        ("DSR", lambda: measure_dsr(seeds, real=returns)),
        ("kill switch", lambda: _kills(measure_kill(seeds, say, panel=bare_panel(context)))),
    ]
    return _timed(parts, context.market.feed, say)


def _timed(parts: Parts, where: str, say: Say) -> list[Power]:
    found: list[Power] = []
    for name, measure in parts:
        with timed(f"{name}, {where}", say):
            found += measure()
    return found


def real_returns(bars: pd.DataFrame) -> Floats:
    """Daily returns of the names over sessions in which all have one, shape (t, names).

    Names with the shortest histories are left out until `ROWS` sessions are common to the rest,
    or two names are left.
    """
    wide = bars.pivot(index="session", columns="symbol", values="close").pct_change()
    order = wide.notna().sum().sort_values(kind="stable").index
    for k in range(max(1, len(order) - 1)):
        common = wide[order[k:]].dropna()
        if len(common) >= ROWS:
            break
    common = common.loc[:, common.std() > 0.0]
    return np.asarray(common.tail(ROWS).to_numpy(np.float64))


def real_feature(context: Context) -> Floats:
    """The daily log return of the feed's names on average, in deviations: a real feature."""
    mean = context.features.groupby("session")["return_1"].mean().dropna()
    return np.asarray((mean / mean.std()).to_numpy(np.float64))


def _leaks(counted: dict[str, tuple[int, int]]) -> list[Power]:
    """A row a kind of leak, and one for honest features."""
    bars = {
        ALARMS: ("leaks", "honest features", "at most 5 %", _at_most(0.05)),
        LATE: ("stamps", LATE, "all refused", _exactly(1.0)),
    }
    found = []
    for kind, (count, tried) in counted.items():
        if kind == CLEAN:  # those of the false alarms, counted the other way round
            continue
        hits = [True] * count + [False] * (tried - count)
        name, plant, bar, holds = bars.get(kind, ("leaks", kind, "at least 95 %", _at_least(0.95)))
        found.append(power(name, plant, hits, bar=bar, holds=holds))
    return found


def _kills(rows: Sequence[dict[str, Any]]) -> list[Power]:
    """The switch must do all of what it must, and none of what it mustn't."""
    found = []
    for row in rows:
        hits = [True] * row["caught"] + [False] * (row["tried"] - row["caught"])
        bar, holds = "always" if row["wanted"] else "never", _exactly(row["wanted"])
        found.append(power(row["detector"], row["plant"], hits, bar=bar, holds=holds))
    return found


def _exactly(wanted: float) -> Holds:
    return lambda share, _: share == wanted


def _at_least(wanted: float) -> Holds:
    return lambda share, _: share >= wanted


def _at_most(wanted: float) -> Holds:
    return lambda share, _: share <= wanted
