"""How every engine is measured: same bytes, same clock, one JSON object on stdout."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from data import count_bars, load

Data = dict[str, np.ndarray]
BRIEF = 0.5  # seconds that runs are repeated for: one of some milliseconds tells little


def measured(
    run: Callable[[Data], int],
    *,
    what: str | Callable[[], str],
    prepare: Callable[[Data], Data] | None = None,
    repeat: bool = False,
    input_bytes: Callable[[Data], int] | None = None,
    sessions: int = 0,
    within_ms: Callable[[], tuple[float, float]] | None = None,
) -> None:
    """Time `run` on the data folder of the command line and print what came of it.

    Every page of the data is read before the clock starts. Imports, reading and `prepare` aren't
    timed: `prepare` only turns the arrays into the form an engine wants. With `repeat` the
    first run isn't counted, so that compilation isn't; it is reported beside the others. Runs
    are repeated until `BRIEF` is over, and the one in the middle is reported.
    `peak_rss_mb` is the process's largest resident set up to its end, interpreter, libraries
    and mapped data included; `input_mb` what the arrays handed to `run` hold.

    Parameters
    ----------
    run : callable
        Takes the data and returns the number of round trips or entries it made.
    what : str or callable
        What the engine simulates, for the row of the results; a callable is asked after the run.
    prepare : callable, optional
        Turns the data into what `run` takes.
    repeat : bool
        Run once before what is timed.
    input_bytes : callable, optional
        What `run` is handed, in bytes; without it the data's arrays.
    sessions : int
        The first so many only; 0 takes all.
    within_ms : callable, optional
        Of an engine that makes many calls: within how many milliseconds 99.9 % of them were,
        and 99.9 % of what the same calls took in the middle of several passes.
    """
    data = _data(sessions)
    bars, symbols = count_bars(data), data["close"].shape[1]
    held = sum(field.nbytes for field in data.values())
    if prepare is not None:
        data = prepare(data)
    if input_bytes is not None:
        held = input_bytes(data)
    first = _timed(run, data)
    times = [] if repeat else [first]
    while sum(each.seconds for each in times) < BRIEF:
        times.append(_timed(run, data))
    last = sorted(times, key=lambda each: each.seconds)[len(times) // 2]
    found = {
        "seconds": last.seconds,
        "cpu_seconds": last.cpu_seconds,
        "first_seconds": first.seconds,
        "repeated": repeat,
        "trades": last.trades,
        "bars": bars,
        "symbols": symbols,
        "peak_rss_mb": _peak_rss_mb(),
        "input_mb": held / 2**20,
        "within_ms": within_ms() if within_ms else None,
        "what_it_simulates": what if isinstance(what, str) else what(),
    }
    sys.stdout.write(json.dumps(found) + "\n")


def _data(sessions: int) -> Data:
    """The arrays the command line names, every page of them read."""
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    options.add_argument("form", nargs="?", help="read by engines that have more than one")
    options.add_argument("--symbols", type=int, default=0, help="the first so many only")
    chosen = options.parse_args()
    data = load(chosen.folder)
    if chosen.symbols:
        data = {k: v[:, : chosen.symbols] for k, v in data.items()}
    if sessions:
        data = {k: v[:sessions] for k, v in data.items()}
    for field in data.values():
        float(np.nansum(field))
    return data


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of the wall clock and of the processor, and what the run returned."""

    seconds: float
    cpu_seconds: float
    trades: int


def _timed(run: Callable[[Data], int], data: Data) -> Timed:
    begun, cpu = time.perf_counter(), time.process_time()
    trades = int(run(data))
    return Timed(time.perf_counter() - begun, time.process_time() - cpu, trades)


def _peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024.0 * 1024.0 if sys.platform == "darwin" else 1024.0)
