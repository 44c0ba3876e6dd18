"""The page made of the rows: table, ratios, and what was measured how."""

from __future__ import annotations

import statistics
from typing import Any

Row = dict[str, Any]
HEAD = """# Benchmarks

`make bench` runs every engine on the same bars with the same rule and writes `results.json` and
this page. The peers have an environment of their own (`.venv-bench`, from `requirements.txt`).

- **Bars**: `12k` are the real daily bars of the `sample` feed (AAPL, FB, GOOG, IBM, MSFT,
  2000–2013); the others are simulated (geometric random walks, seeded; `data.py`): 50 × 2,000,
  500 × 2,000 and 500 × 20,000 symbols × sessions, and 5,000 × 1,300 for the live path, which is
  timed call by call in one process. Convictions are simulated for all of them.
- **Rule**: buy at a score of 0.67 or more, sell at 0.33 or less, stop 1.8 ATR below the entry and
  target 2.5 ATR above it. What an engine can't do of it, and what it does beyond it, is in the
  last table: the engines do **not** do the same work.
- **Seconds**: from convictions and bars to trades. Imports, reading, and turning the arrays into
  an engine's own form aren't counted. A run is repeated in its process until half a second is
  over, and the one in the middle counts; where an engine compiles, not the first, which is stated.
- **Rounds**: one engine after the other, then again, so that a machine whose speed changes
  changes for all; ratios are medians of the rounds', with the least and the most. An engine that
  takes more than a minute runs once.
- **Shares**: an engine that would take more than five minutes at a size runs some of the symbols,
  and `bars run` is what it really ran. What it spends on a session as such is then spread over
  fewer bars.
- **Memory**: the largest resident set of the process, with interpreter, libraries and the mapped
  bars (`getrusage`, nothing subtracted).

Beside it, `api.json` (the server while a session runs: `api.py`) and `desk.json` (what an operator
waits for: `desk.py`) are written by the same command.
"""
TARGETS = (
    "at least 10 M bars/s at 1 M bars",
    "at least 3 × vectorbt at 1 M bars",
    "plain form at least 10 × backtesting.py at 1 M bars",
    "cost per bar within ±30 % from 100 k to 10 M bars",
    "peak memory at most 2 × the input arrays at 10 M bars",
    "decision alone over 5,000 names: 99.9 % within 0.5 ms",
    "one whole step over 5,000 names: 99.9 % within 5 ms",
)


def readme(results: list[Row], *, machine: str, repetitions: int) -> str:
    """The page.

    Parameters
    ----------
    results : list of dict
        Rows of `results.json`, and beside them `size`, `cpu`, `work`, `first`, `spread`,
        `rounds`, `within_ms` and `input_mb`.
    machine : str
        Where they were measured.
    repetitions : int
        Processes behind each row.
    """
    times = "one process" if repetitions == 1 else f"the median of {repetitions} rounds"
    parts = [HEAD, f"Measured on {machine}; each row is {times}.\n", _figures(results)]
    parts += ["## Ratios\n", _ratios(results), "## What each simulates\n", _works(results)]
    return "\n".join(parts)


def _figures(results: list[Row]) -> str:
    lines = [
        "| bars of | engine | bars run | symbols | seconds | CPU s | spread | first run | bars/s "
        "| ns/bar | peak MB | trades |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in results:
        if r["seconds"] is None:
            cells = ["not run"] + [""] * 9
        else:
            cells = [f"{r['bars']:,}", str(r["symbols"]), f"{r['seconds']:.3f}"]
            cells += [
                f"{r['cpu']:.3f}",
                f"{r['spread']:.0%}",
                _first(r),
                f"{r['bars_per_s']:,}",
                f"{_cost(r):,.0f}",
            ]
            cells += [f"{r['peak_rss_mb']:,.0f}", f"{r['trades']:,}"]
        lines.append(f"| {r['size']} | {r['engine']} | " + " | ".join(cells) + " |")
    note = (
        "`CPU s` is the processor's time for the same work, which other processes don't lengthen. "
        "`spread` is the slowest process over the fastest, less one: the noise of the machine. "
        "`first run` is the first one in a process, where the second is timed: its least and most "
        "seconds, between which lies what a cache of machine code saves."
    )
    return "\n".join(lines) + f"\n\n{note}\n"


def _ratios(results: list[Row]) -> str:
    at = {(r["engine"], r["size"]): r for r in results if r["seconds"] is not None}
    ours, plain = "hybridnb-compiled", "hybridnb-plain"
    found = [
        _speed(at.get((ours, "1M"))),
        "; ".join(
            f"{_times(at, (ours, '1M'), (peer, '1M'))} against {peer}"
            for peer in ("vectorbt", "vectorbt-rust")
        ),
        _times(at, (plain, "1M"), ("backtesting.py", "1M")),
        _flat([at.get((ours, size)) for size in ("100k", "1M", "10M")]),
        _memory(at.get((ours, "10M"))),
        _calls(at, "hybridnb-live-decide"),
        _calls(at, "hybridnb-live-step"),
    ]
    lines = ["| to reach | measured |", "|---|---|"]
    lines += [f"| {wanted} | {had} |" for wanted, had in zip(TARGETS, found, strict=True)]
    return "\n".join(lines) + "\n"


def _cost(row: Row) -> float:
    return 1e9 * float(row["seconds"]) / float(row["bars"])


def _first(row: Row) -> str:
    return "" if row["first"] is None else "{:.2f} – {:.2f}".format(*row["first"])


def _speed(row: Row | None) -> str:
    return "not run" if row is None else f"{row['bars_per_s'] / 1e6:.1f} M bars/s"


def _times(at: dict[Any, Row], mine: tuple[str, str], peer: tuple[str, str]) -> str:
    if mine not in at or peer not in at:
        return "not run"
    pairs = zip(at[mine]["rounds"], at[peer]["rounds"], strict=False)
    ratios = [theirs / own for own, theirs in pairs]
    return f"{statistics.median(ratios):.1f} × ({min(ratios):.1f} to {max(ratios):.1f})"


def _flat(rows: list[Row | None]) -> str:
    """How far the costs lie from the middle between the least and the most."""
    costs = [_cost(row) for row in rows if row is not None]
    if len(costs) < len(rows):
        return "not run"
    least, most = min(costs), max(costs)
    each = ", ".join(f"{cost:.0f}" for cost in costs)
    return f"{each} ns a bar (±{(most - least) / (most + least):.0%} of their middle)"


def _calls(at: dict[Any, Row], name: str) -> str:
    """Where few names act, and where two in five do."""
    few, many = at.get((f"{name}-few", "live")), at.get((name, "live"))
    if few is None or many is None:
        return "not run"
    words = "{:.2f} ms ({:.2f} of each call's median over the passes) where "
    return (
        f"{words.format(*few['within_ms'])}one name in 250 acts; "
        f"{words.format(*many['within_ms'])}two in five do"
    )


def _memory(row: Row | None) -> str:
    if row is None:
        return "not run"
    share = row["peak_rss_mb"] / row["input_mb"]
    return f"{row['peak_rss_mb']:,.0f} MB for inputs of {row['input_mb']:,.0f} MB ({share:.2f} ×)"


def _works(results: list[Row]) -> str:
    """One line an engine and sentence; sizes that share it together."""
    lines: dict[tuple[str, str], list[str]] = {}
    for r in results:
        lines.setdefault((r["engine"], r["work"]), []).append(r["size"])
    rows = [f"| {e} | {', '.join(sizes)} | {what} |" for (e, what), sizes in lines.items()]
    return "\n".join(["| engine | bars of | what it simulates |", "|---|---|---|", *rows]) + "\n"
