"""A sweep on two Dask workers of this machine against the same sweep in one process.

Run it with the product's own environment: `python benchmarks/dask_sweep.py`. It writes
`dask.json` beside it. The history is that of the size `1M`: 500 names over 2,000 sessions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Before NumPy loads, here and in every worker: one thread each.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

GRID = {
    "stops.initial": [1.5, 1.8, 2.1, 2.4],
    "sizing.kelly_fraction": [0.15, 0.2, 0.25],
    "blend.buy": [0.67, 0.7],
}
WORKERS = 2


def main() -> None:
    """Measure and write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--symbols", type=int, default=500)
    options.add_argument("--sessions", type=int, default=2_000)
    options.add_argument("--repeat", type=int, default=3, help="the least of so many is kept")
    given = options.parse_args()
    if "HYBRIDNB_HOME" in os.environ:
        found = measured(given)
    else:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["HYBRIDNB_HOME"] = folder
            found = measured(given)
    path = Path(__file__).with_name("dask.json")
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(path.read_text(encoding="utf-8"))


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each way, and what a task costs besides its work."""
    import distributed

    from hybridnb.app.kernels import MODE, kernel, ready
    from hybridnb.policy import Policy
    from hybridnb.replay.run import rules

    big = history(given.symbols, given.sessions)
    small = history(5, 30)  # its tasks take a millisecond: the rest of their time is overhead
    run = kernel(plain=False, say=_say)
    ready(run, *big, rules(Policy(), MODE, verdict_valid=False))
    load = os.getloadavg()[0]  # of a machine that should have nothing else to do
    one, frame = best(big, given.repeat, jobs=1)
    tiny, _ = best(small, given.repeat, jobs=1)
    loky, same = best(big, given.repeat, jobs=WORKERS)
    assert same.equals(frame), "two processes must give what one gives"
    with distributed.LocalCluster(
        n_workers=WORKERS,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        address = cluster.scheduler_address
        first = time.perf_counter()
        swept(big, dask=address)
        first = time.perf_counter() - first
        dask, same = best(big, given.repeat, dask=address)
        assert same.equals(frame), "a cluster must give what one process gives"
        small_dask, _ = best(small, given.repeat, dask=address)
    count = len(frame)
    return {
        "what": f"{count} policies over {given.symbols} names x {given.sessions} sessions",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}",
        "distributed": distributed.__version__,
        "load_before": round(load, 2),
        "bars": given.symbols * given.sessions * count,
        "history_mib": round(mib(big[0]), 1),
        "one_process_s": round(one, 3),
        "two_processes_s": round(loky, 3),
        "two_dask_workers_s": round(dask, 3),
        # New workers first load the compiled step, once each.
        "two_new_dask_workers_s": round(first, 3),
        "ratio": round(one / dask, 3),
        "bars_per_s": {
            "one_process": round(given.symbols * given.sessions * count / one),
            "two_dask_workers": round(given.symbols * given.sessions * count / dask),
        },
        # Worker seconds that aren't replay, the history's way to the workers among them.
        "overhead_a_task_s": round((WORKERS * dask - one) / count, 4),
        # The same for a history of nothing: schedule, send, gather.
        "overhead_a_task_of_a_small_history_s": round((small_dask - tiny) / count, 4),
    }


def history(symbols: int, sessions: int) -> tuple[Any, Any]:
    """A simulated history as a replay takes it, and its names."""
    from data import simulated
    from engines.hybridnb_engine import tape_of

    return tape_of(simulated(symbols, sessions)), names_of(symbols)


def names_of(symbols: int) -> Any:
    """Core names in units of one, ticks of 0.01."""
    import numpy as np

    from hybridnb.decide import INPUT
    from hybridnb.domain import Bucket
    from hybridnb.limits import CODE
    from hybridnb.replay.tape import Names

    rows = np.zeros(symbols, INPUT)
    rows["bucket"], rows["margin_rate"] = CODE[Bucket.CORE], 1.0
    return Names(
        rows=rows,
        bucket=rows["bucket"].copy(),
        multiplier=np.ones(symbols, np.int64),
        tick=np.full(symbols, 100),
        lot=np.ones(symbols, np.int64),
        delta=np.ones(symbols),
        margin_rate=rows["margin_rate"].copy(),
        key=np.arange(symbols),
        fixed=np.zeros((2, symbols), np.int64),
        penny=np.zeros(symbols, np.bool_),
        sip=-1,
    )


def best(given: tuple[Any, Any], repeat: int, **how: Any) -> tuple[float, Any]:
    """The least seconds of several sweeps, and the frame they give."""
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        frame = swept(given, **how)
        seconds.append(time.perf_counter() - began)
    return min(seconds), frame


def swept(given: tuple[Any, Any], **how: Any) -> Any:
    """One sweep."""
    from hybridnb.app.sweeping import sweep
    from hybridnb.policy import Policy

    tape, names = given
    return sweep(tape, names, Policy(), GRID, say=lambda text: None, **how)


def mib(tape: Any) -> float:
    """MiB of a tape's arrays, each counted once."""
    from engines.hybridnb_engine import bytes_of

    return float(bytes_of(tape)) / 2**20


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
