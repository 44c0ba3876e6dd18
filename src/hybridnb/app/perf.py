"""`hybridnb perf`: what this machine does now, beside the benchmarks that ship with a checkout.

A quick measurement of three parts that a live order passes: a decision over a few names, the
pre-trade controls with the venue, a durable commit of the ledger. It takes seconds, in a
temporary folder; `make bench` measures everything.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hybridnb.app.home import checkout, shipped
from hybridnb.app.loadtest import orders
from hybridnb.app.settings import settings
from hybridnb.canonical import plain
from hybridnb.decide import INPUT, decide
from hybridnb.domain import SCALE, Bucket, Instrument, Mode
from hybridnb.entries import Account
from hybridnb.errors import Breach, InputError
from hybridnb.execution.paper import PaperVenue
from hybridnb.execution.safety import Facts, Standing, check
from hybridnb.execution.sent import Sent
from hybridnb.gates.presets import SERVICE
from hybridnb.ledger.store import Ledger
from hybridnb.limits import CODE, limits

NAMES = 5  # decided at once
WARM = 20  # calls before any is timed
TIMES = {"decision": 2000, "order": 500, "commit": 100}
PERCENTILES = (50.0, 99.0, 99.9)
_LEAST = {50.0: 2, 99.0: 100, 99.9: 1000}  # calls below which a percentile isn't known


def measure(*, times: Mapping[str, int] = TIMES, seed: int = 7) -> dict[str, Any]:
    """The quick measurement, and the recorded benchmarks where there is a checkout.

    Returns
    -------
    dict
        machine, load (of the machine, 1 minute), measured: by part its calls and milliseconds at
        each percentile (None where the calls are too few for it), bars: the service levels
        beside them, benchmarks.
    """
    with tempfile.TemporaryDirectory(prefix="hybridnb-perf-") as name:
        parts = {
            "decision": _decision(seed),
            "order": _order(WARM + times["order"]),
            "commit": _commit(Path(name)),
        }
        found = {part: _timed(call, times[part]) for part, call in parts.items()}
    bars = {bar.key: bar for bar in SERVICE}
    limit = {"decision": bars["latency"].threshold, "order": bars["orders"].threshold}
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}",
        "load": round(os.getloadavg()[0], 2),
        "measured": found,
        "bars_ms": limit,
        "benchmarks": benchmarks(),
    }


def _timed(call: Callable[[int], None], times: int) -> dict[str, Any]:
    for n in range(WARM):
        call(n)
    taken = np.empty(times)
    for n in range(times):
        start = time.perf_counter()
        call(WARM + n)
        taken[n] = 1e3 * (time.perf_counter() - start)
    told = {
        f"p{p:g}": round(float(np.percentile(taken, p)), 4) if times >= _LEAST[p] else None
        for p in PERCENTILES
    }
    return {"calls": times, "ms": told}


def _decision(seed: int) -> Callable[[int], None]:
    """A decision over a few names, each with a year of returns."""
    lim = limits(settings(shipped("params")).policy, Mode.DEMO)
    rows = np.zeros(NAMES, INPUT)
    values = {"p_short": 0.8, "p_mid": 0.7, "rl": 0.6, "liquidity": 1.0, "correlation": 0.5}
    values |= {"correlation_floor": 0.3, "price": 100.0, "atr": 1.0, "annual_volatility": 0.2}
    values |= {"win_long": 0.6, "win_short": 0.4, "posture": 1.0, "bucket": CODE[Bucket.CORE]}
    for name, value in values.items():
        rows[name] = value
    returns = np.random.default_rng(seed).normal(0.0, 0.01, (252, NAMES))
    account = Account(equity=1e6, margin_available=1.0, crisis=False)

    def call(n: int) -> None:
        decide(lim, account, rows, returns)

    return call


def _order(number: int) -> Callable[[int], None]:
    """An entry with its stop, through the controls to the venue; one pair a call."""
    policy = settings(shipped("params")).policy
    instruments = {"A": Instrument("A", Bucket.CORE, "CAD")}
    facts = {"A": Facts(instruments["A"], SCALE, SCALE)}
    standing = Standing(equity=10**12, exposure=0, available=10**12)
    venue = PaperVenue(policy.costs, instruments)
    pairs = orders(2 * number, ["A"], units=1, price=SCALE)

    def call(n: int) -> None:
        batch = pairs[2 * n : 2 * n + 2]
        _, checked = check(Sent(), policy.safety, batch, at=0.0, facts=facts, standing=standing)
        venue.submit(checked)

    return call


def _commit(folder: Path) -> Callable[[int], None]:
    """A commit group of ten rows, on disk when it returns."""
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}", heads=folder / "heads.json")
    (one,) = orders(1, ["A"], units=1, price=SCALE)
    row = {"kind": "order", "book": "perf", "session": "2000-01-03", **plain(one)}

    def call(n: int) -> None:
        ledger.append("session", [row | {"n": n} for _ in range(10)])

    return call


def benchmarks() -> list[dict[str, Any]]:
    """Rows of `benchmarks/results.json` of this product; none outside a checkout.

    Raises
    ------
    InputError
        When the file is there and can't be read.
    """
    root = checkout()
    path = root / "benchmarks" / "results.json" if root else None
    if path is None or not path.is_file():
        return []
    names = ("engine", "bars", "symbols", "seconds", "bars_per_s", "peak_rss_mb")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [{n: r[n] for n in names} for r in rows if r["engine"].startswith("hybridnb")]
    except (ValueError, KeyError, TypeError) as error:
        breach = Breach(str(path), None, "benchmarks", f"can't be read: {error}")
        raise InputError([breach]) from None


def perf_text(done: Mapping[str, Any]) -> str:
    """A line a part, then a line a benchmark."""
    lines = [f"{done['machine']}, load {done['load']:.2f}"]
    for part, found in done["measured"].items():
        shown = ", ".join(
            f"{name} {'unknown' if ms is None else f'{ms:.3f} ms'}"
            for name, ms in found["ms"].items()
        )
        bar = done["bars_ms"].get(part)
        limit = f" (bar {bar:g} ms)" if bar is not None else ""
        lines.append(f"{part:<9} {shown}{limit}, {found['calls']:,} calls")
    if done["benchmarks"]:
        lines.append("recorded by `make bench`:")
    for row in done["benchmarks"]:
        lines.append(
            f"  {row['engine']:<26} {row['bars']:>12,} bars  {row['bars_per_s']:>12,} bars/s"
            f"  {row['peak_rss_mb']:>8,.0f} MB"
        )
    return "\n".join(lines)
