"""Run every engine on the same bars, each in a process of its own; write figures and table.

`python benchmarks/run.py [--quick] [--engines A B] [--sizes 12k 1M] [--repetitions 3]`

Each engine runs so many times at each size, in rounds, so that a machine whose speed changes
changes for all of them; one that takes more than a minute runs once. The row is the median of
the seconds and the largest of the peaks. `results.json` holds the rows, `README.md` the table
made of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data import LIVE, SIZES
from table import readme

HERE = Path(__file__).resolve().parent
OURS, PEERS = HERE.parent / ".venv/bin/python", HERE.parent / ".venv-bench/bin/python"
LIMIT = 900  # seconds a process may take; one that takes longer has a row that says so
SLOW = 60.0  # seconds from which an engine runs once
KEYS = ("engine", "bars", "symbols", "seconds", "bars_per_s")
KEYS += ("peak_rss_mb", "trades", "what_it_simulates")


@dataclass(frozen=True, slots=True)
class Engine:
    """A script in `engines/` and its arguments.

    `shares` names the symbols run where all of them would take more than five minutes. Engines
    of the live path have a size of their own, `live`, and make many calls in one process.
    """

    module: str
    arguments: tuple[str, ...] = ()
    ours: bool = False
    shares: dict[str, int] = field(default_factory=dict)
    live: bool = False


ENGINES = {
    "numpy-signals": Engine("numpy_signal"),
    "vectorbt": Engine("vectorbt_engine", ("numba",)),
    "vectorbt-rust": Engine("vectorbt_engine", ("rust",)),
    "backtesting.py": Engine("backtestingpy", shares={"10M": 50}),
    "zipline-reloaded": Engine("zipline_engine", shares={"10M": 100}),
    "hybridnb-plain": Engine("hybridnb_engine", ("plain",), ours=True),
    "hybridnb-compiled": Engine("hybridnb_engine", ("compiled",), ours=True),
    "hybridnb-live-decide": Engine("hybridnb_live", ("decide",), ours=True, live=True),
    "hybridnb-live-decide-few": Engine("hybridnb_live", ("decide-few",), ours=True, live=True),
    "hybridnb-live-step": Engine("hybridnb_live", ("step",), ours=True, live=True),
    "hybridnb-live-step-few": Engine("hybridnb_live", ("step-few",), ours=True, live=True),
}


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="hybridnb-bench-") as made:
        folder = options.data or Path(made)
        results = []
        for size in options.sizes:
            _say(f"{size}: bars")
            _data(size, folder, options)
            names = [n for n in options.engines if ENGINES[n].live == (size == LIVE)]
            for row in measure(names, size, folder / size, options):
                results.append(row)
                _say(f"{size}: {_line(row)}")
            _write(results, options.repetitions)
    return int(any(r["seconds"] is None and ENGINES[r["engine"]].ours for r in results))


def _write(results: list[dict[str, Any]], repetitions: int) -> None:
    """Both files, after each size, so that a long run that is cut short leaves what it has."""
    rows = [{key: result[key] for key in KEYS} for result in results]
    (HERE / "results.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    text = readme(results, machine=_machine(), repetitions=repetitions)
    (HERE / "README.md").write_text(text, encoding="utf-8")


def measure(names: list[str], size: str, folder: Path, options: Any) -> list[dict[str, Any]]:
    """Rows of engines at a size, each with the size and what the ratios need beside it."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    absent: dict[str, str] = {}
    for round_ in range(options.repetitions):
        for name, engine in ((name, ENGINES[name]) for name in names):
            if name in absent or (runs[name] and _once(engine, runs[name][0])):
                continue
            _say(f"{size}: {name}, round {round_ + 1}")
            found = _process(engine, folder, engine.shares.get(size, 0), options)
            if isinstance(found, str):
                absent[name] = found
            else:
                runs[name].append(found)
    return [
        _absent(name, size, absent[name]) if name in absent else _row(name, size, runs[name])
        for name in names
    ]


def _once(engine: Engine, first: dict[str, Any]) -> bool:
    return engine.live or bool(first["seconds"] > SLOW)


def _row(name: str, size: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    seconds, one = statistics.median(r["seconds"] for r in runs), runs[-1]
    what = one["what_it_simulates"]
    if one["symbols"] < SIZES[size][0]:
        what += f"; only the first {one['symbols']} of {SIZES[size][0]} symbols were run"
    work, firsts = what, [r["first_seconds"] for r in runs]
    if one["repeated"]:
        what += f"; first runs in a process took {min(firsts):.2f} to {max(firsts):.2f} s"
    return {
        "engine": name,
        "size": size,
        "bars": one["bars"],
        "symbols": one["symbols"],
        "seconds": round(seconds, 6),
        "bars_per_s": round(one["bars"] / seconds),
        "peak_rss_mb": round(max(r["peak_rss_mb"] for r in runs), 1),
        "trades": one["trades"],
        "what_it_simulates": what,
        "cpu": statistics.median(r["cpu_seconds"] for r in runs),
        "work": work,
        "first": (min(firsts), max(firsts)) if one["repeated"] else None,
        "input_mb": one["input_mb"],
        "within_ms": one["within_ms"],
        "rounds": [r["seconds"] / r["bars"] for r in runs],
        "spread": max(r["seconds"] for r in runs) / min(r["seconds"] for r in runs) - 1.0,
    }


def _process(engine: Engine, folder: Path, share: int, options: Any) -> dict[str, Any] | str:
    """What the engine printed, or why there is nothing."""
    command = [str(options.ours if engine.ours else options.peers), "-m"]
    command += [f"engines.{engine.module}", str(folder), *engine.arguments]
    command += ["--symbols", str(share)] if share else []
    # Progress bars cost time and would spoil the figures of who draws them.
    environment = os.environ | {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(
            command,
            cwd=HERE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"took more than {LIMIT} s"
    except OSError as error:
        return f"didn't start: {error.strerror}"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        named = [line for line in lines if line[:1].isalpha() and "Error" in line.split(":")[0]]
        return (named or lines)[-1].replace(str(HERE.parent), ".")[:300]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _absent(name: str, size: str, reason: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("seconds", "bars_per_s", "peak_rss_mb", "trades", "input_mb"))
    symbols, sessions = SIZES[size]
    why = f"not run: {reason}"
    bars = symbols * sessions or None
    head = {"engine": name, "size": size, "bars": bars, "symbols": symbols}
    return head | nothing | {"spread": None, "first": None, "work": why, "what_it_simulates": why}


def _data(size: str, folder: Path, options: Any) -> None:
    """Make the bars in a process of its own: a child's peak would count its parent's memory."""
    if not (folder / size).is_dir():
        command = [str(options.ours), str(HERE / "data.py"), size, str(folder)]
        subprocess.run(command, check=True, cwd=HERE)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="12k and 100k bars only")
    parser.add_argument("--engines", nargs="+", choices=[*ENGINES], default=[*ENGINES])
    parser.add_argument("--sizes", nargs="+", choices=[*SIZES], default=[*SIZES])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--ours", type=Path, default=OURS, help="Python that has hybridnb")
    parser.add_argument("--peers", type=Path, default=PEERS, help="Python that has the peers")
    parser.add_argument("--data", type=Path, help="a folder that keeps the bars between runs")
    options = parser.parse_args()
    if options.quick:
        options.sizes = [size for size in options.sizes if size in ("12k", "100k")]
    return options


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores"


def _line(result: dict[str, Any]) -> str:
    if result["seconds"] is None:
        return f"{result['engine']}: {result['what_it_simulates']}"
    return f"{result['engine']}: {result['seconds']:.3f} s, {result['bars_per_s']:,} bars/s"


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
