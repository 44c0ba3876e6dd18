"""Several processes on one ledger, and processes that are killed while they write."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hybridnb.ledger.chain import entries, genesis
from hybridnb.ledger.store import Ledger

# Ensures ever longer prefixes of a book's session, one more row each time, then waits.
WRITER = """
import sys, time
from pathlib import Path
from hybridnb.ledger.store import Ledger
url, heads, book, number, linger = sys.argv[1:]
ledger = Ledger(url, heads=Path(heads))
same = {"book": book, "session": "2024-01-02"}
rows = [{"kind": "mark", "n": n, "equity": n / 7} | same for n in range(int(number))]
print("ready", flush=True)
sys.stdin.readline()
for n in range(1, len(rows) + 1):
    ledger.ensure("session", rows[:n], **same)
    if n % 5 == 0:
        ledger.append("operations", [{"kind": "note", "book": book, "n": n}])
print("done", flush=True)
time.sleep(float(linger))
"""

# Sees an empty session, waits, then ensures a row of its own in the first place.
RIVAL = """
import sys
from pathlib import Path
from hybridnb.errors import Refused
from hybridnb.ledger.store import Ledger
url, heads, name = sys.argv[1:]
ledger = Ledger(url, heads=Path(heads))
print("ready", flush=True)
for line in sys.stdin:
    same = {"book": "turns", "session": line.strip()}
    row = {"kind": "turn", "n": 0, "who": name} | same
    try:
        written = ledger.ensure("operations", [row], **same).written
    except Refused:
        written = 0
    print(written, flush=True)
"""


def rows_of(book: str, number: int) -> list[dict[str, Any]]:
    same = {"book": book, "session": "2024-01-02"}
    return [{"kind": "mark", "n": n, "equity": n / 7} | same for n in range(number)]


def start(url: str, heads: Path, book: str, *, number: int, linger: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, url, str(heads), book, str(number), str(linger)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def go(*writers: subprocess.Popen[str]) -> None:
    """Wait until each is ready, then let all of them write."""
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()


@pytest.mark.parametrize("apart", [False, True], ids=["one home", "two homes"])
def test_concurrent_writers_interleave_and_lose_nothing(
    ledger: Ledger, url: str, heads: Path, apart: bool
) -> None:
    """Writers of two homes share no lock but the database's own."""
    number, books = 40, ("one", "two")
    places = [heads, heads.with_name("other.json") if apart else heads]
    writers = [
        start(url, place, book, number=number, linger=0)
        for book, place in zip(books, places, strict=True)
    ]
    go(*writers)
    for writer in writers:
        assert writer.communicate(timeout=120)[0] == "done\n" and writer.returncode == 0
    assert ledger.count("session") == 2 * number
    for book in books:
        assert ledger.rows("session", book=book) == rows_of(book, number)
    assert Counter(row["book"] for row in ledger.rows("operations")) == {"one": 8, "two": 8}
    assert ledger.verify().ok
    other = Ledger(url, heads=places[1])
    assert other.verify().ok
    other.close()


def test_two_writers_of_one_session_write_each_row_once(
    ledger: Ledger, url: str, heads: Path
) -> None:
    writers = [start(url, heads, "one", number=40, linger=0) for _ in range(2)]
    go(*writers)
    for writer in writers:
        assert writer.communicate(timeout=120)[0] == "done\n" and writer.returncode == 0
    assert ledger.rows("session") == rows_of("one", 40)
    assert ledger.verify().ok


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_writer_leaves_a_ledger_that_verifies_and_completes(
    ledger: Ledger, url: str, heads: Path, seed: int
) -> None:
    moments, number = random.Random(seed), 400
    for _ in range(2):
        writer = start(url, heads, "one", number=number, linger=600)
        go(writer)
        time.sleep(moments.uniform(0, 0.4))
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=60)
        assert writer.returncode == -signal.SIGKILL
        found = ledger.verify()
        assert found.ok, found.first_broken
        there = ledger.rows("session")
        assert there == rows_of("one", number)[: len(there)]
    rows = rows_of("one", number)
    *_, last = entries("session", rows, seq=0, head=genesis("session"))
    done = ledger.ensure("session", rows, book="one", session="2024-01-02")
    assert done.head == ledger.head("session") == last.hash
    assert ledger.verify().ok


@pytest.mark.parametrize("apart", [False, True], ids=["one home", "two homes"])
def test_of_two_that_ensure_different_rows_in_one_place_one_gets_in(
    ledger: Ledger, url: str, heads: Path, apart: bool
) -> None:
    """What a quota is counted by: a session's rows say who was first, and for good."""
    places = [heads, heads.with_name("other.json") if apart else heads]
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", RIVAL, url, str(place), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, place in zip(("one", "two"), places, strict=True)
    ]
    for rival in rivals:
        assert rival.stdout is not None and rival.stdout.readline() == "ready\n"
    won = []
    for turn in range(20):
        for rival in rivals:
            assert rival.stdin is not None
            rival.stdin.write(f"{turn}\n")
            rival.stdin.flush()
        written = [int(rival.stdout.readline()) for rival in rivals if rival.stdout]
        assert sorted(written) == [0, 1]
        won.append(("one", "two")[written.index(1)])
    for rival in rivals:
        rival.communicate(timeout=60)
    turns = ledger.rows("operations", book="turns")
    assert [(row["session"], row["who"]) for row in turns] == [
        (str(turn), name) for turn, name in enumerate(won)
    ]
    assert ledger.verify().ok
