"""How fast the server answers while a session runs, and how much it slows the session.

`python benchmarks/api.py [--home HOME] [--clients 20] [--seconds 20] [--out F]`

A server over a new home, or a copy of yours; beside it a process steps through sessions of 30 names
on the paper venue, each written to that home's ledger, four a second. Three stretches: the steps
alone, the clients alone, both. Figures: seconds until the server is ready, percentiles of the reads
in milliseconds, and the median seconds of a step and its rows with and without the clients.
"""

from __future__ import annotations

import argparse
import asyncio
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

import httpx

PATHS = ("/api/risk-status", "/api/gpt5-status", "/api/model-stats", "/api/alerts", "/api/runs")
TOKEN = "benchmark"
TESTS = Path(__file__).resolve().parents[1] / "tests" / "app"  # its market is built there
PYTHON = sys.executable


def command(*words: str) -> list[str]:
    return [PYTHON, "-m", "hybridnb.app.cli", *words]


def started(env: dict[str, str]) -> tuple[subprocess.Popen[str], dict[str, Any], float]:
    """The server, what it told, and the seconds until it did."""
    begun = time.perf_counter()
    words = command("serve", "--no-schedule", "--port", "0", "--json")
    server = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    )
    assert server.stdout is not None
    told = json.loads(server.stdout.readline())
    return server, told, time.perf_counter() - begun


async def asked(url: str, clients: int, seconds: float, rate: float) -> list[float]:
    """Milliseconds of every read of so many clients, each asking `rate` times a second."""
    found: list[float] = []

    headers = {"Authorization": f"token {TOKEN}"}
    # Made before the clock starts: what a client spends on itself is no time of the server's.
    made = [httpx.AsyncClient(base_url=url, headers=headers, timeout=30) for _ in range(clients)]

    async def client(number: int) -> None:
        async with made[number] as connection:
            for turn in range(int(seconds * rate)):
                due = start + (number / clients + turn) / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                before = time.perf_counter()
                answer = await connection.get(PATHS[(turn + number) % len(PATHS)])
                answer.raise_for_status()
                found.append(1000 * (time.perf_counter() - before))

    start = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return found


def percentiles(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=1000, method="inclusive")
    picked = {"p50": cuts[499], "p95": cuts[949], "p99": cuts[989], "max": max(times)}
    return {"reads": len(times)} | {name: round(value, 2) for name, value in picked.items()}


STEPS = """
import statistics, sys, time
import numpy as np
from conftest import build_panel, build_setup
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.records import Recorder
from hybridnb.app.session import step
from hybridnb.app.state import first_state

rng, ledger = np.random.default_rng(1), open_ledger()
closes = 50 * np.exp(rng.normal(0, 0.01, (4000, 30)).cumsum(0))
panel, setup = build_panel(closes, score=rng.uniform(0.3, 0.9, closes.shape)), build_setup(30)
state, row = first_state(setup.policy), 300

def once():
    global state, row
    begun, day, row = time.perf_counter(), panel.day(row), row + 1
    record = Recorder(book="benchmark", session=day.session, stamp={})
    state = step(state, day, setup, record)
    ledger.ensure("session", record.rows, book="benchmark", session=day.session)
    return time.perf_counter() - begun

for _ in range(20):
    once()
print("ready", flush=True)
for line in sys.stdin:
    end, found = time.perf_counter() + float(line), []
    while time.perf_counter() < end:
        found.append(once())
        time.sleep(0.25)
    print(len(found), statistics.median(found), flush=True)
"""


class Session:
    """A process that steps through sessions when it is told to."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [PYTHON, "-c", STEPS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env | {"PYTHONPATH": str(TESTS)},
        )
        assert self.line() == "ready", "the session didn't begin"

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def begin(self, seconds: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def ended(self) -> dict[str, float]:
        count, median = self.line().split()
        return {"steps": int(count), "median_s": round(float(median), 4)}

    def close(self) -> None:
        self._process.communicate(timeout=60)


def measured(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """Every figure."""
    env = os.environ | {"HYBRIDNB_HOME": str(home), "JUPYTER_TOKEN": TOKEN}
    session = Session(env)
    server, told, ready = started(env)
    url, seconds = told["url"], options.seconds
    try:
        asyncio.run(asked(url, 2, 4, 2))  # what loads at the first question has loaded
        session.begin(seconds)
        alone = session.ended()
        quiet = percentiles(asyncio.run(asked(url, options.clients, seconds, options.rate)))
        session.begin(seconds)
        busy = percentiles(asyncio.run(asked(url, options.clients, seconds, options.rate)))
        beside = session.ended()
    finally:
        session.close()
        server.terminate()
        server.wait(timeout=30)
    return {
        "cpus": os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()],
        "clients": options.clients,
        "reads_a_second_of_each": options.rate,
        "ready_s": round(ready, 2),
        "reads_ms": {"alone": quiet, "beside_a_session": busy},
        "session": {"alone": alone, "beside_clients": beside},
        "session_slowed": round(beside["median_s"] / alone["median_s"] - 1.0, 3),
    }


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--home", default="")
    given.add_argument("--clients", type=int, default=20)
    given.add_argument("--rate", type=float, default=4.0, help="reads a second of a client")
    given.add_argument("--seconds", type=float, default=20.0)
    given.add_argument("--out", default="")
    options = given.parse_args()
    with tempfile.TemporaryDirectory(prefix="hybridnb-bench-") as folder:
        home = Path(folder) / "home"
        if options.home:
            shutil.copytree(options.home, home)
        text = json.dumps(measured(options, home), indent=1)
    sys.stdout.write(f"{text}\n")
    if options.out:
        Path(options.out).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
