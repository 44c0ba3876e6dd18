"""Schedulers and jobs killed at random, clocks that jump, days of downtime: nothing is lost."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import exchange_calendars as xc
import psutil
import pytest
from chaos_job import page_of

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.schedule.reconcile import iso
from hybridnb.ledger import slots
from hybridnb.ledger.store import Ledger

HERE = Path(__file__).parents[1]
EVIDENCE = os.environ.get("HYBRIDNB_EVIDENCE") == "1"
KILLS = 200 if EVIDENCE else 3
FIRST = "2024-10-01" if EVIDENCE else "2024-12-20"
LAST = "2024-12-30"
DOWN = ("2024-12-24", "2024-12-30")  # no scheduler runs in between
SCHEDULE = f"""
calendar: XTSE
start: {FIRST}
jobs:
  - {{name: early, kind: function, run: deed, anchor: open, offset: -60, HOW}}
  - {{name: late, kind: function, run: deed, offset: 30, after: [early], HOW}}
  - {{name: week, kind: function, run: deed, offset: 60, sessions: weekly, after: [late], HOW}}
"""
HOW = "attempts: 1000, backoff: 0.1, lease: 2, parameters: {seconds: 0.3}"
UTC = dt.UTC


class Chaos:
    """Two schedulers with a clock each, and their murderer."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.params = folder / "params"
        self.params.mkdir()
        text = SCHEDULE.replace("HOW", HOW)
        (self.params / "schedule.yml").write_text(text, encoding="utf-8")
        self.clocks = [folder / f"clock_{i}" for i in range(2)]
        self.schedulers: list[subprocess.Popen[bytes] | None] = [None, None]
        self.log = (folder / "log.txt").open("ab")
        self.kills: Counter[str] = Counter()

    def tell(self, i: int, moment: dt.datetime) -> None:
        fresh = self.clocks[i].with_suffix(".new")
        fresh.write_text(moment.isoformat(), encoding="ascii")
        fresh.replace(self.clocks[i])

    def tell_all(self, moment: dt.datetime) -> None:
        for i in range(2):
            self.tell(i, moment)

    def revive(self) -> None:
        for i, one in enumerate(self.schedulers):
            if one is None or one.poll() is not None:
                command = [sys.executable, str(HERE / "chaos_scheduler.py")]
                command += [str(self.params), str(self.clocks[i])]
                self.schedulers[i] = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def kill(self) -> None:
        """Kill a scheduler, or a job that one of them runs, if there is any."""
        alive = [s for s in self.schedulers if s is not None and s.poll() is None]
        jobs = [c for s in alive for c in children(s.pid)]
        if jobs and self.random.random() < 0.6:
            end(self.random.choice(jobs).pid)
            self.kills["job"] += 1
        elif alive:
            end(self.random.choice(alive).pid)
            self.kills["scheduler"] += 1

    def stop(self) -> None:
        for one in self.schedulers:
            if one is not None:
                one.kill()
                one.wait()
        self.schedulers = [None, None]


def children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself meanwhile


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    made = Chaos(tmp_path, seed=20_241_224)
    yield made
    made.stop()
    made.log.close()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """The home's, with a trigger of the database that counts how often each slot became done."""
    opened = open_ledger()
    with opened.beside(write=True) as connection:
        connection.exec_driver_sql("CREATE TABLE ends (job TEXT, session TEXT)")
        connection.exec_driver_sql(
            "CREATE TRIGGER ended AFTER UPDATE OF status ON schedule_slots"
            " WHEN NEW.status = 'done'"
            " BEGIN INSERT INTO ends VALUES (NEW.job, NEW.session); END"
        )
    yield opened
    opened.close()


def expected() -> set[tuple[str, str]]:
    """Which sessions each job has, from the calendar itself."""
    known = xc.get_calendar("XTSE", start="2024-09-01", end="2025-03-01")
    days = [f"{d:%Y-%m-%d}" for d in known.sessions_in_range(FIRST, LAST)]
    week = {dt.date.fromisoformat(d).isocalendar()[:2]: d for d in days if d < "2024-12-28"}
    every = {(job, day) for job in ("early", "late") for day in days}
    return every | {("week", day) for day in week.values()}


def settled(ledger: Ledger) -> bool:
    with ledger.beside() as connection:
        return not slots.unsettled(connection, now="2025-01-01T00:00:00+00:00")


def moments() -> Iterator[dt.datetime]:
    """The evenings of days one after another, without those of the downtime."""
    day, last = dt.date.fromisoformat(FIRST), dt.date.fromisoformat(LAST)
    while day <= last:
        if not DOWN[0] < day.isoformat() < DOWN[1]:
            yield dt.datetime.combine(day, dt.time(23), UTC)
        day += dt.timedelta(days=1)


def test_kills_jumps_and_downtime_lose_nothing_and_run_nothing_twice(
    chaos: Chaos, ledger: Ledger
) -> None:
    days = list(moments())
    for n, moment in enumerate(days, 1):
        if iso(moment)[:10] == DOWN[1]:
            chaos.stop()  # both were down since the evening before the holidays
        chaos.tell_all(moment)
        if n % 3 == 0:  # one clock jumps ahead for a day, or back
            jump = dt.timedelta(hours=chaos.random.choice([20, 47, -30]))
            chaos.tell(1, min(moment + jump, days[-1]))
        chaos.revive()
        while sum(chaos.kills.values()) < KILLS * n / len(days):
            time.sleep(chaos.random.uniform(0.05, 1.5))
            chaos.kill()
            chaos.revive()
    chaos.tell_all(days[-1])
    limit = time.monotonic() + (1200 if EVIDENCE else 180)
    while not settled(ledger) or len(rows(ledger)) < len(expected()):
        assert time.monotonic() < limit, Path(chaos.log.name).read_text(encoding="utf-8")[-4000:]
        chaos.revive()
        time.sleep(0.2)
    chaos.stop()

    found = rows(ledger)
    assert set(found) == expected()
    assert {s.status for s in found.values()} == {"done"}
    with ledger.beside() as connection:
        ends = Counter(map(tuple, connection.exec_driver_sql("SELECT job, session FROM ends")))
    assert ends == Counter(expected())
    deeds = ledger.rows("operations", kind="deed")
    assert Counter((d["job"], d["session"]) for d in deeds) == Counter(expected())
    for job, session in expected():
        page = Path(os.environ["HYBRIDNB_REPORTS"], session, f"{job}.html")
        assert page.read_text(encoding="utf-8") == page_of(job, session)
    assert found["late", "2024-12-24"].due_at == "2024-12-24T18:30:00+00:00"  # it closed at 13:00
    assert ("late", "2024-12-25") not in found
    assert ("late", "2024-12-27") in found  # from the days when nobody ran
    assert ledger.verify().ok
    assert sum(chaos.kills.values()) >= KILLS
    left = Path(os.environ["HYBRIDNB_HOME"], "schedule")
    assert not list(left.glob("*.json"))


def rows(ledger: Ledger) -> dict[tuple[str, str], slots.Slot]:
    with ledger.beside() as connection:
        found = slots.of_sessions(connection, {session for _, session in expected()})
    return {(s.job, s.session): s for s in found}
