"""How long an operator waits: `python benchmarks/desk.py [--times 5] [--out F]`.

On a new home with one traded book, in a real Chromium: seconds until a server is ready, until the
dashboard is live (of an operator, whose kernel is cold, and of a viewer, whose kernel is warm),
until a fact of another process is on the page; then a scheduled notebook of ten empty cells, all of
whose seconds are overhead.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "app"))  # its book and its servers are made there

from chronicle import Chronicle
from served import TOKEN, Served, start

from hybridnb.app.dashboard.shot import QUIET
from hybridnb.app.operators import act
from hybridnb.app.pdf import browser

CELLS = 10
BARS = {"ready_s": 3.0, "live_s": 4.0, "viewer_live_s": 2.5, "change_s": 1.0, "overhead_s": 4.0}


def summary(times: list[float]) -> dict[str, float]:
    picked = {"median": statistics.median(times), "max": max(times)}
    return {"times": len(times)} | {name: round(value, 2) for name, value in picked.items()}


def begun(home: Path, *words: str) -> tuple[Served, float]:
    before = time.perf_counter()
    return start(home, *words), time.perf_counter() - before


def live(served: Served, chromium: Browser) -> float:
    """Seconds of one opening in a profile that has seen nothing."""
    page = chromium.new_context().new_page()
    before = time.perf_counter()
    page.goto(f"{served.url}/?token={TOKEN}", wait_until="commit")
    page.wait_for_selector("html.ready")
    took = time.perf_counter() - before
    page.context.close()
    time.sleep(3.0)  # the next one's kernel is not started beside it
    return took


def changes(served: Served, chromium: Browser, times: int) -> list[float]:
    """Seconds from a row of the ledger to the page that shows it."""
    page = chromium.new_context().new_page()
    page.goto(f"{served.url}/?token={TOKEN}")
    page.wait_for_selector("html.ready")
    found = []
    for number in range(times):
        time.sleep(1.3)
        act("reduce", reason=f"change number {number} of many")
        before = time.perf_counter()
        page.get_by_text(f"change number {number} of many").wait_for()
        found.append(time.perf_counter() - before)
    page.context.close()
    return found


def scheduled(folder: Path, times: int) -> dict[str, Any]:
    """Seconds of a job and of the whole pass, for a notebook whose cells do nothing."""
    jobs, commands = [], []
    cells = [nbformat.v4.new_code_cell("", id=f"cell-{n}") for n in range(CELLS)]
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata["kernelspec"] = {"name": "hybridnb", "display_name": "hybridnb"}
    for cell in cells[1:]:
        cell.source = "0"
    cells[0].source, cells[0].metadata["tags"] = "n: int = 0", ["parameters"]
    nbformat.write(book, folder / "empty.ipynb")
    for number in range(times):
        params, home = folder / f"params-{number}", folder / f"home-{number}"
        shutil.copytree(ROOT / "params", params)
        first = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=7)
        (params / "schedule.yml").write_text(
            f"calendar: XTSE\nstart: {first}\njobs:\n  - name: empty\n    kind: notebook\n"
            f"    run: {folder / 'empty.ipynb'}\n    catch_up: latest\n",
            encoding="utf-8",
        )
        env = os.environ | {"HYBRIDNB_HOME": str(home), "HYBRIDNB_REPORTS": str(home / "reports")}
        line = [sys.executable, "-m", "hybridnb.app.cli"]
        told = {"capture_output": True, "text": True, "env": env}
        before = time.perf_counter()
        subprocess.run([*line, "run-due", "--params", str(params), "--json"], check=True, **told)
        commands.append(time.perf_counter() - before)
        shown = subprocess.run(
            [*line, "schedule", "--params", str(params), "--json"], check=True, **told
        )
        (ran,) = (row for row in json.loads(shown.stdout)["ran"] if row["status"] == "done")
        jobs.append(ran["seconds"])
    return {"cells": CELLS, "job": summary(jobs), "command": summary(commands)}


def measured(times: int) -> dict[str, Any]:
    """Every figure, with what is to be reached."""
    found: dict[str, Any] = {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
    with tempfile.TemporaryDirectory(prefix="hnb-") as name, sync_playwright() as play:
        home = Path(name) / "home"
        os.environ["HYBRIDNB_HOME"] = str(home)
        Chronicle().trade(0.01)
        chromium = play.chromium.launch(executable_path=browser(), args=list(QUIET))
        for command, figure in (("serve", "live_s"), ("view", "viewer_live_s")):
            words = (command, "--no-schedule") if command == "serve" else (command,)
            served, ready = begun(home, *words)
            try:
                found[f"{command}_ready_s"] = round(ready, 2)
                time.sleep(5.0)  # Lab loads, the viewers' kernels warm up
                found[figure] = summary([live(served, chromium) for _ in range(times)])
                if command == "serve":
                    found["change_s"] = summary(changes(served, chromium, 2 * times))
            finally:
                served.stop()
        chromium.close()
        found["scheduled_notebook_s"] = scheduled(Path(name), min(times, 3))
    return found | {"to_reach_s": BARS}


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--times", type=int, default=5)
    given.add_argument("--out", default="")
    options = given.parse_args()
    text = json.dumps(measured(options.times), indent=1)
    sys.stdout.write(f"{text}\n")
    if options.out:
        Path(options.out).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
