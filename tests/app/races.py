"""Two processes that race for the day's last calls to the frontier, against a loopback server.

`python tests/app/races.py 1000` runs that many races and prints what came of them.

A day is one of these: a plain one, one on which the clocks go back, one at whose end the two stand
on both sides of midnight, one on which a process is killed while the server keeps it waiting, one
on which it is killed at any moment. The server counts what reaches it by the date that the request
itself says.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hybridnb.canonical import canonical
from hybridnb.escalation.calls import Call, wire_values
from hybridnb.escalation.examples import EXAMPLE_REPLIES
from hybridnb.escalation.quota import RESERVED
from hybridnb.ledger.store import Ledger
from hybridnb.testing.openai_server import KEY, OpenAiServer

DRIVER = Path(__file__).with_name("race_driver.py")
ZONES = ("America/New_York", "America/Toronto")
JUDGE, AUDITOR, ENGINEER = Call.SANITY_JUDGE, Call.REGIME_AUDITOR, Call.REWARD_ENGINEER
LIMIT = 3
DAYS_A_LEDGER = 40
PATIENCE_S = 120.0

Clock = tuple[dt.datetime, dt.datetime]  # at the reservation, and right before the socket opens


@dataclass
class Figures:
    """What came of races; the sum over several ledgers."""

    races: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reached: Counter[tuple[int, str]] = field(default_factory=Counter)  # by ledger and day
    reserved: Counter[tuple[int, str]] = field(default_factory=Counter)
    killed: int = 0
    verified: int = 0

    def text(self) -> str:
        days = Counter(self.reached.values())
        lines = [
            f"races: {self.races}",
            f"attempts: {sum(self.outcomes.values())}, {dict(sorted(self.outcomes.items()))}",
            f"killed: {self.killed}",
            f"reserved: {sum(self.reserved.values())}, a day at most {max(self.reserved.values())}",
            f"reached the server: {sum(self.reached.values())}",
            f"reached it a day, at most: {max(self.reached.values())}",
            f"days by how many reached it: {dict(sorted(days.items()))}",
            f"ledgers that verify: {self.verified}",
        ]
        return "\n".join(lines)


class Racer:
    """One process."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._start()

    def _start(self) -> None:
        # Unbuffered, so that `select` sees every line that wasn't read.
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=os.environ | {"OPENAI_API_KEY": KEY},
        )
        self._ready = False

    @property
    def out(self) -> Any:
        return self.process.stdout

    def tell(self, attempt: str, call: Call, clock: Clock, session: dt.date) -> None:
        if not self._ready:
            assert self._line() == "ready"
            self._ready = True
        told = {
            "attempt": attempt,
            "call": call,
            "clock": [reading.isoformat() for reading in clock],
            "session": session.isoformat(),
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(told).encode() + b"\n")

    def wait_ready(self) -> None:
        if not self._ready:
            assert self._line() == "ready"
            self._ready = True

    def hear(self) -> str:
        return self._line()

    def _line(self) -> str:
        readable, _, _ = select.select([self.out], [], [], PATIENCE_S)
        assert readable, "a racer says nothing"
        line: bytes = self.out.readline()
        assert line, "a racer died"
        return line.decode().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
        self._start()

    def end(self) -> None:
        try:
            self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def sent_on(body: Mapping[str, Any], zone: ZoneInfo) -> str:
    """The date at the exchange that a request says it was sent on."""
    text = body["input"][0]["content"][0]["text"]
    facts = json.loads(text.removeprefix("<facts>\n").removesuffix("\n</facts>"))
    return dt.datetime.fromisoformat(facts["timestamp"]).astimezone(zone).date().isoformat()


def example(body: Mapping[str, Any]) -> str:
    return canonical(wire_values(EXAMPLE_REPLIES[Call(body["text"]["format"]["name"])]))


class Track:
    """One ledger, one server, two racers."""

    def __init__(self, url: str, heads: Path, zone: str, seed: int) -> None:
        self.zone, self.seed = ZoneInfo(zone), random.Random(seed)
        self.ledger = Ledger(url, heads=heads)
        self.server = OpenAiServer(reply=example)
        self.reached: Counter[str] = Counter()
        self.arrived = 0
        self.stalls = False
        self.figures = Figures()
        self._numbers = 0
        self.server.choose(self._answer)
        self.server.__enter__()
        command = [sys.executable, str(DRIVER), url, str(heads), self.server.url, zone]
        self.pair = Racer(command), Racer(command)

    def _answer(self, _number: int, body: Mapping[str, Any]) -> str:
        self.reached[sent_on(body, self.zone)] += 1
        self.arrived += 1
        self.server.changed.notify_all()
        return "stall" if self.stalls else "healthy"

    def close(self) -> None:
        for racer in self.pair:
            racer.end()
        self.server.__exit__(None, None, None)
        self.ledger.close()

    def at(self, day: dt.date, clock: str, *, fold: int = 0) -> Clock:
        moment = dt.datetime.combine(day, dt.time.fromisoformat(clock), self.zone)
        moment = moment.replace(fold=fold).astimezone(dt.UTC)
        return moment, moment

    def attempt(self) -> str:
        self._numbers += 1
        return f"a{self._numbers}"

    def tell(self, racer: Racer, call: Call, clock: Clock, attempt: str = "") -> str:
        """Have one attempt made; its id. Its session is the day that the attempt is made on."""
        attempt = attempt or self.attempt()
        racer.tell(attempt, call, clock, clock[1].astimezone(self.zone).date())
        return attempt

    def hear(self, racer: Racer) -> str:
        word = racer.hear()
        self.figures.outcomes[word] += 1
        return word

    def once(self, call: Call, clock: Clock) -> str:
        self.tell(self.pair[0], call, clock)
        return self.hear(self.pair[0])

    def race(self, call: Call, *clocks: Clock) -> tuple[str, ...]:
        """Both at once; what came of each, in order of the alphabet."""
        self.figures.races += 1
        for racer in self.pair:
            racer.wait_ready()
        for racer, clock in zip(self.pair, (*clocks, *clocks), strict=False):
            self.tell(racer, call, clock)
        return tuple(sorted(self.hear(racer) for racer in self.pair))


def expect(found: tuple[str, ...], *allowed: tuple[str, ...]) -> None:
    assert found in allowed, f"{found}, not one of {allowed}"


def to_the_last(track: Track, day: dt.date, clock: str) -> None:
    """Use a day's two ordinary attempts: one alone, the other in a race."""
    assert track.once(AUDITOR, track.at(day, clock)) == "SENT"
    call = track.seed.choice([AUDITOR, ENGINEER])
    expect(track.race(call, track.at(day, clock)), ("KEPT", "SENT"))


def plain(track: Track, number: int) -> None:
    day = dt.date(2026, 1, 5) + dt.timedelta(days=3 * number)
    clock = track.seed.choice(["00:00", "09:30", "12:00", "15:59", "23:58:30"])
    to_the_last(track, day, clock)
    expect(track.race(JUDGE, track.at(day, clock)), ("SENT", "SPENT"))
    expect(track.race(JUDGE, track.at(day, "23:00")), ("SPENT", "SPENT"))


def autumn(number: int) -> dt.date:
    """The day of a year on which the clocks go back: the first Sunday of November."""
    first = dt.date(2026 + number, 11, 1)
    return first + dt.timedelta(days=(6 - first.weekday()) % 7)


def clocks_back(track: Track, number: int) -> None:
    """Half past one comes twice; the day has an hour more, and not an attempt more."""
    day = autumn(number)
    to_the_last(track, day, "00:30")
    first, second = track.at(day, "01:30"), track.at(day, "01:30", fold=1)
    assert second[0] - first[0] == dt.timedelta(hours=1)
    expect(track.race(JUDGE, first, second), ("SENT", "SPENT"))
    expect(track.race(JUDGE, second, track.at(day, "23:30")), ("SPENT", "SPENT"))


def across(track: Track, day: dt.date) -> None:
    """Around midnight: an attempt counts for the day that it is sent on, or isn't sent."""
    after = day + dt.timedelta(days=1)
    assert track.once(AUDITOR, track.at(day, "20:00")) == "SENT"
    evening, morning = track.at(day, "23:59:49"), track.at(after, "00:00:00")
    slow = evening[0], morning[0] + dt.timedelta(seconds=1)
    expect(track.race(ENGINEER, slow, evening), ("KEPT", "LATE"), ("KEPT", "SENT"))
    expect(track.race(JUDGE, track.at(day, "23:59:50")), ("MIDNIGHT", "MIDNIGHT"))
    expect(track.race(JUDGE, evening, morning), ("SENT", "SENT"))
    expect(track.race(JUDGE, evening, morning), ("SENT", "SPENT"))
    expect(track.race(JUDGE, morning), ("SENT", "SPENT"))


def midnight(track: Track, number: int) -> None:
    across(track, dt.date(2026, 1, 6) + dt.timedelta(days=3 * number))


def midnight_clocks_back(track: Track, number: int) -> None:
    """The night before the clocks go back, or the one after."""
    across(track, autumn(100 + number) - dt.timedelta(days=number % 2))


def killed_waiting(track: Track, number: int) -> None:
    """kill -9 between reservation and reply: the attempt is used, asked again or not."""
    day = dt.date(2026, 1, 5) + dt.timedelta(days=3 * number)
    noon = track.at(day, "12:00")
    to_the_last(track, day, "11:00")
    track.figures.races += 1
    for racer in track.pair:
        racer.wait_ready()
    before, track.stalls = track.arrived, True
    ids = {racer: track.tell(racer, JUDGE, noon) for racer in track.pair}
    assert track.server.wait(lambda: track.arrived > before, timeout_s=PATIENCE_S)
    readable, _, _ = select.select([racer.out for racer in track.pair], [], [], PATIENCE_S)
    (loser,) = [racer for racer in track.pair if racer.out in readable]
    assert track.hear(loser) == "SPENT"
    (winner,) = [racer for racer in track.pair if racer is not loser]
    winner.kill()
    track.figures.killed += 1
    track.figures.outcomes["killed"] += 1
    track.stalls = False
    track.tell(winner, JUDGE, noon, ids[winner])
    assert track.hear(winner) == "TAKEN"
    expect(track.race(JUDGE, noon), ("SPENT", "SPENT"))


def killed_anywhere(track: Track, number: int) -> None:
    """kill -9 at any moment: before the reservation is durable, between, or after the reply."""
    day = dt.date(2026, 1, 5) + dt.timedelta(days=3 * number)
    noon = track.at(day, "12:00")
    to_the_last(track, day, "11:00")
    track.figures.races += 1
    for racer in track.pair:
        racer.wait_ready()
    victim, other = track.seed.sample(track.pair, 2)
    attempt = track.tell(victim, JUDGE, noon)
    track.tell(other, JUDGE, noon)
    time.sleep(track.seed.uniform(0.0, 0.15))
    victim.kill()
    track.figures.killed += 1
    track.figures.outcomes["killed"] += 1
    found = track.hear(other)
    track.tell(victim, JUDGE, noon, attempt)
    again = track.hear(victim)
    expect((found, again), ("SENT", "SPENT"), ("SPENT", "TAKEN"))
    expect(track.race(JUDGE, noon), ("SPENT", "SPENT"))


KINDS: tuple[Callable[[Track, int], None], ...] = (
    *(plain, clocks_back, midnight, killed_waiting),
    *(plain, midnight_clocks_back, clocks_back, killed_anywhere),
)


@contextmanager
def track(url: str, heads: Path, zone: str, seed: int) -> Iterator[Track]:
    made = Track(url, heads, zone, seed)
    try:
        yield made
    finally:
        made.close()


def raced(races: int, folder: Path, *, new_url: Callable[[int], str] | None = None) -> Figures:
    """Run this many races or a few more, and check every day of every ledger.

    Parameters
    ----------
    new_url : callable, optional
        URL of the empty database of a number; by default SQLite's in the folder.
    """
    total, number = Figures(), 0
    while total.races < races:
        heads = folder / f"heads-{number}.json"
        url = new_url(number) if new_url else f"sqlite:///{folder / f'ledger-{number}.db'}"
        with track(url, heads, ZONES[number % 2], number) as one:
            for i in range(DAYS_A_LEDGER):
                if total.races + one.figures.races >= races:
                    break
                KINDS[i % len(KINDS)](one, i)
            check(one, number, total)
        number += 1
    return total


def check(one: Track, number: int, total: Figures) -> None:
    """The ledger tells at least what the server saw, and neither more than three a day."""
    rows = one.ledger.rows("operations", kind=RESERVED)
    reserved = Counter(str(row["session"]) for row in rows)
    assert max(reserved.values()) <= LIMIT
    assert max(one.reached.values()) <= LIMIT
    assert all(count <= reserved[day] for day, count in one.reached.items())
    assert one.ledger.verify().ok
    total.verified += 1
    total.races += one.figures.races
    total.killed += one.figures.killed
    total.outcomes += one.figures.outcomes
    total.reached += Counter({(number, day): count for day, count in one.reached.items()})
    total.reserved += Counter({(number, day): count for day, count in reserved.items()})


def main() -> None:
    races = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = raced(races, Path(folder))
    print(found.text())
    print(f"seconds: {time.monotonic() - started:.0f}")


if __name__ == "__main__":
    main()
