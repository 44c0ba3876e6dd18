"""Three attempts a day on the wire, whoever races, dies or waits for midnight."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridnb.errors import LedgerBroken, Missing, ParamsError
from hybridnb.escalation.breaker import Breaker
from hybridnb.escalation.calls import Call
from hybridnb.escalation.quota import (
    Ask,
    Denial,
    QuotaParams,
    Reservation,
    Usage,
    exchange_date,
    reserve,
    used,
)
from hybridnb.ledger.store import Appended, Ledger
from hybridnb.policy import validated

EVIDENCE = os.environ.get("HYBRIDNB_EVIDENCE") == "1"
RACES = 1000 if EVIDENCE else 12
DEATHS = 24 if EVIDENCE else 4

NEW_YORK = ZoneInfo("America/New_York")
PARAMS = QuotaParams()
NOON = dt.datetime(2026, 3, 16, 16, tzinfo=dt.UTC)
JUDGE, AUDITOR, ENGINEER = Call.SANITY_JUDGE, Call.REGIME_AUDITOR, Call.REWARD_ENGINEER


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", heads=tmp_path / "heads.json")
    yield opened
    opened.close()


Try = Callable[..., Reservation | Denial]


@pytest.fixture
def attempt(ledger: Ledger) -> Try:
    """Ask for one attempt after another, each with an id of its own."""
    made = Counter[str]()

    def ask(
        call: Call,
        *,
        now: dt.datetime = NOON,
        manual: bool = False,
        breaker: Breaker = Breaker.CLOSED,
    ) -> Reservation | Denial:
        made["ids"] += 1
        question = Ask(f"a{made['ids']}", call, now.astimezone(NEW_YORK).date(), manual=manual)
        return reserve(ledger, question, now, zone=NEW_YORK, params=PARAMS, breaker=breaker)

    return ask


def granted(result: Reservation | Denial) -> bool:
    return isinstance(result, Reservation)


def test_two_for_anyone_and_one_for_the_judge(attempt: Try) -> None:
    first, second = attempt(AUDITOR), attempt(ENGINEER)
    assert granted(first) and granted(second)
    assert attempt(AUDITOR) is Denial.KEPT
    assert granted(attempt(JUDGE))
    assert [attempt(c) for c in Call] == [Denial.SPENT] * 3


def test_the_judge_may_take_what_is_left(attempt: Try) -> None:
    assert [granted(attempt(JUDGE)) for _ in range(4)] == [True, True, True, False]


def test_after_the_judge_two_others_remain(attempt: Try) -> None:
    assert granted(attempt(JUDGE))
    assert [granted(attempt(AUDITOR)) for _ in range(3)] == [True, True, False]


def test_an_operator_cannot_take_the_judges_not_even_in_its_name(attempt: Try) -> None:
    assert granted(attempt(JUDGE, manual=True)) and granted(attempt(AUDITOR, manual=True))
    assert attempt(JUDGE, manual=True) is Denial.KEPT
    assert granted(attempt(JUDGE))


def test_the_reservation_says_which_it_is_and_the_ledger_keeps_it(
    ledger: Ledger, attempt: Try
) -> None:
    found = [attempt(AUDITOR), attempt(JUDGE)]
    alerts = [f.alert for f in found if isinstance(f, Reservation)]
    assert alerts[0] == "Escalation to GPT-5: Regime Auditor (1/3)"
    assert alerts[1] == "Escalation to GPT-5: Sanity Judge (2/3)"
    rows = ledger.rows("operations", kind="frontier_reserved")
    assert [(r["used_before"], r["used_after"], r["call"]) for r in rows] == [
        (0, 1, "REGIME_AUDITOR"),
        (1, 2, "SANITY_JUDGE"),
    ]
    assert used(ledger, dt.date(2026, 3, 16)) == Usage(2, 1)
    assert ledger.verify().ok


def test_an_attempt_is_reserved_once_on_any_day(ledger: Ledger) -> None:
    ask = Ask("a", JUDGE, dt.date(2026, 3, 17))
    for hours, expected in [(0, True), (0, False), (24, False)]:
        now = NOON + dt.timedelta(hours=hours)
        result = reserve(ledger, ask, now, zone=NEW_YORK, params=PARAMS)
        assert granted(result) is expected
        assert expected or result is Denial.TAKEN


def test_a_session_that_is_over_asks_nobody_unless_told(ledger: Ledger) -> None:
    old = Ask("a", JUDGE, dt.date(2020, 3, 16))
    assert reserve(ledger, old, NOON, zone=NEW_YORK, params=PARAMS) is Denial.DATED
    assert ledger.count("operations") == 0
    told = Ask("b", JUDGE, dt.date(2020, 3, 16), ask_frontier=True)
    assert granted(reserve(ledger, told, NOON, zone=NEW_YORK, params=PARAMS))
    assert used(ledger, dt.date(2026, 3, 16)).total == 1
    assert used(ledger, dt.date(2020, 3, 16)).total == 0


def test_an_open_breaker_denies_and_a_half_open_one_lets_through(attempt: Try) -> None:
    assert attempt(JUDGE, breaker=Breaker.OPEN) is Denial.BREAKER
    assert granted(attempt(JUDGE, breaker=Breaker.HALF_OPEN))


def test_the_day_ends_at_the_exchanges_midnight(attempt: Try) -> None:
    evening = dt.datetime(2026, 3, 17, 3, 59, 49, tzinfo=dt.UTC)  # 23:59:49 on the 16th
    assert [granted(attempt(JUDGE, now=evening)) for _ in range(4)] == [True, True, True, False]
    for seconds in (1, 10):
        assert attempt(JUDGE, now=evening + dt.timedelta(seconds=seconds)) is Denial.MIDNIGHT
    assert granted(attempt(JUDGE, now=evening + dt.timedelta(seconds=11)))


def test_no_reservation_can_be_sent_on_another_day(ledger: Ledger) -> None:
    evening = dt.datetime(2026, 3, 17, 3, 59, 20, tzinfo=dt.UTC)
    ask = Ask("a", JUDGE, dt.date(2026, 3, 16))
    found = reserve(ledger, ask, evening, zone=NEW_YORK, params=PARAMS)
    assert isinstance(found, Reservation)
    assert found.holds(evening) and found.holds(evening + dt.timedelta(seconds=29))
    assert not found.holds(evening + dt.timedelta(seconds=30))


def test_a_lease_runs_out_at_noon_too(attempt: Try) -> None:
    found = attempt(JUDGE)
    assert isinstance(found, Reservation)
    assert found.holds(NOON + dt.timedelta(seconds=59))
    assert not found.holds(NOON + dt.timedelta(seconds=60))


def test_the_day_of_the_clock_change_has_twenty_five_hours_and_three_attempts(
    attempt: Try,
) -> None:
    """America/New_York, 1 November 2026: half past one comes twice."""
    start = dt.datetime(2026, 11, 1, 4, tzinfo=dt.UTC)  # midnight, still summer time
    hours = [start + dt.timedelta(hours=h) for h in range(25)]
    assert {exchange_date(h, NEW_YORK) for h in hours} == {dt.date(2026, 11, 1)}
    assert exchange_date(start + dt.timedelta(hours=25), NEW_YORK) == dt.date(2026, 11, 2)
    assert [granted(attempt(JUDGE, now=h)) for h in hours] == [True] * 3 + [False] * 22
    last = start + dt.timedelta(hours=25, seconds=-5)
    assert attempt(JUDGE, now=last) is Denial.MIDNIGHT
    for fold in (0, 1):
        twice = dt.datetime(2026, 11, 1, 1, 30, fold=fold, tzinfo=NEW_YORK)
        assert attempt(JUDGE, now=twice) is Denial.SPENT
    assert granted(attempt(JUDGE, now=start + dt.timedelta(hours=25)))


def test_a_moment_without_a_zone_and_more_than_three_a_day_are_refused(attempt: Try) -> None:
    with pytest.raises(ValueError, match="time zone"):
        exchange_date(dt.datetime(2026, 3, 16), NEW_YORK)
    for values in ({"per_day": 4}, {"per_day": 1, "judges": 2}, {"a_day": 3}):
        with pytest.raises(ParamsError):
            validated(QuotaParams, values)


def test_a_ledger_that_was_cut_grants_nothing(ledger: Ledger, attempt: Try, tmp_path: Path) -> None:
    assert granted(attempt(AUDITOR))
    (tmp_path / "heads.json").unlink()
    with pytest.raises(LedgerBroken):
        attempt(JUDGE)


def test_a_ledger_that_cannot_be_written_grants_nothing(
    ledger: Ledger, attempt: Try, tmp_path: Path
) -> None:
    assert granted(attempt(AUDITOR))
    ledger.close()
    for left in tmp_path.glob("ledger.db*"):
        left.unlink()
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises((Missing, LedgerBroken)):
        attempt(JUDGE)


class Overtaken:
    """A ledger in which another gets in between our reading and our writing, once."""

    def __init__(self, ledger: Ledger, rival: Callable[[], object]) -> None:
        self._ledger, self._rivals = ledger, [rival]

    def rows(self, chain: str, **match: str) -> Sequence[Mapping[str, Any]]:
        return self._ledger.rows(chain, **match)

    def ensure(
        self, chain: str, rows: Sequence[Mapping[str, Any]], *, book: str, session: str
    ) -> Appended:
        while self._rivals:
            self._rivals.pop()()
        return self._ledger.ensure(chain, rows, book=book, session=session)


@pytest.mark.parametrize(
    ("ours", "theirs", "before", "expected"),
    [("a", "b", 0, 2), ("a", "b", 2, Denial.SPENT), ("a", "a", 0, Denial.TAKEN)],
    ids=["room for both", "the last one", "the same attempt"],
)
def test_who_was_overtaken_looks_again(
    ledger: Ledger,
    attempt: Try,
    ours: str,
    theirs: str,
    before: int,
    expected: int | Denial,
) -> None:
    for _ in range(before):
        assert granted(attempt(JUDGE))
    day = dt.date(2026, 3, 16)

    def rival() -> None:
        ask = Ask(theirs, JUDGE, day)
        assert granted(reserve(ledger, ask, NOON, zone=NEW_YORK, params=PARAMS))

    slow, ask = Overtaken(ledger, rival), Ask(ours, JUDGE, day)
    found = reserve(slow, ask, NOON, zone=NEW_YORK, params=PARAMS)
    assert (found.number if isinstance(found, Reservation) else found) == expected
    assert used(ledger, day).total == {0: 2, 2: 3}[before] - (theirs == ours)


asks = st.tuples(st.sampled_from(list(Call)), st.booleans(), st.integers(0, 40 * 3600))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(asks, max_size=12))
def test_whatever_is_asked_the_days_hold(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[Call, bool, int]]
) -> None:
    """Also with a clock that jumps back and forth."""
    home = tmp_path_factory.mktemp("quota")
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}", heads=home / "heads.json")
    days, ordinary = Counter[dt.date](), Counter[dt.date]()
    for i, (call, manual, seconds) in enumerate(wanted):
        now = NOON + dt.timedelta(seconds=seconds)
        ask = Ask(str(i), call, dt.date(2026, 3, 30), manual=manual)
        left = PARAMS.per_day - days[exchange_date(now, NEW_YORK)]
        result = reserve(ledger, ask, now, zone=NEW_YORK, params=PARAMS)
        if isinstance(result, Reservation):
            assert result.number == PARAMS.per_day - left + 1
            assert exchange_date(result.until, NEW_YORK) == result.date
            days[result.date] += 1
            ordinary[result.date] += not ask.judge
        elif ask.judge:
            assert left == 0 or result is Denial.MIDNIGHT
    assert max(days.values(), default=0) <= 3 and max(ordinary.values(), default=0) <= 2
    for day, number in days.items():
        assert used(ledger, day) == Usage(number, ordinary[day])
    ledger.close()


# Reserves at the moments it is told, and opens a socket for each grant: sends the exchange's
# date, and waits for the reply that it is told to wait for.
ASKER = """
import datetime as dt, socket, sys
from pathlib import Path
from zoneinfo import ZoneInfo
from hybridnb.escalation.calls import Call
from hybridnb.escalation.quota import Ask, QuotaParams, Reservation, reserve
from hybridnb.ledger.store import Ledger
url, heads, name, port = sys.argv[1:]
ledger, zone, params = Ledger(url, heads=Path(heads)), ZoneInfo("America/New_York"), QuotaParams()
print("ready", flush=True)
for n, line in enumerate(sys.stdin):
    call, moment = line.split()
    now = dt.datetime.fromisoformat(moment)
    ask = Ask(f"{name}-{n}", Call(call), now.astimezone(zone).date())
    found = reserve(ledger, ask, now, zone=zone, params=params)
    if not isinstance(found, Reservation):
        print(found.name, flush=True)
        continue
    assert found.holds(now)
    with socket.create_connection(("127.0.0.1", int(port))) as wire:
        wire.sendall(f"{found.date}\\n".encode())
        wire.recv(16)
    print("SENT", flush=True)
"""


class Server:
    """Counts what reaches it by date, and answers unless it is told to hang."""

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.hangs = False
        self.came = threading.Semaphore(0)
        self._held: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                wire, _ = self._listener.accept()
            except OSError:  # closed: the test is over
                return
            try:
                self._answer(wire)
            except OSError:  # the asker was killed
                wire.close()
            self.came.release()

    def _answer(self, wire: socket.socket) -> None:
        with wire.makefile("r") as lines:
            text = lines.readline().strip()
        if text:  # empty: the asker was killed before it had said anything
            self.arrived.append(text)
        if self.hangs:
            self._held.append(wire)
        else:
            wire.sendall(b"ok")
            wire.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)
        for wire in self._held:
            wire.close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


class Asker:
    """One process that asks."""

    def __init__(self, home: Path, name: str, server: Server) -> None:
        url, heads = f"sqlite:///{home / 'ledger.db'}", str(home / "heads.json")
        command = [sys.executable, "-c", ASKER, url, heads, name, str(server.port)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def told(self, call: Call, now: dt.datetime) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{call} {now.isoformat()}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Close its input and wait; kill it where that isn't enough."""
        try:
            self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def asker(ledger: Ledger, tmp_path: Path, server: Server) -> Iterator[Callable[[str], Asker]]:
    started: list[Asker] = []

    def start(name: str) -> Asker:
        started.append(Asker(tmp_path, name, server))
        assert started[-1].heard() == "ready"
        return started[-1]

    yield start
    for one in started:
        one.end()


def test_two_processes_racing_for_the_last_call_get_one_grant(
    ledger: Ledger, server: Server, asker: Callable[[str], Asker]
) -> None:
    """Each race is another day, in the night or a minute before midnight."""
    pair = [asker("one"), asker("two")]
    outcomes = Counter[tuple[str, ...]]()
    for race in range(RACES):
        day = dt.date(2024, 10, 27) + dt.timedelta(days=race)
        call = (JUDGE, AUDITOR)[race % 2]
        for n in range(2 if call is JUDGE else 1):
            first = dt.datetime.combine(day, dt.time(0, 1), NEW_YORK)
            ask = Ask(f"before-{race}-{n}", AUDITOR, day)
            assert granted(reserve(ledger, ask, first, zone=NEW_YORK, params=PARAMS))
        clock = dt.time(1, 30) if race % 4 < 2 else dt.time(23, 59)
        now = dt.datetime.combine(day, clock, NEW_YORK)
        for one in pair:
            one.told(call, now)
        outcomes[tuple(sorted(one.heard() for one in pair))] += 1
    assert outcomes == {
        ("SENT", "SPENT"): (RACES + 1) // 2,
        ("KEPT", "SENT"): RACES // 2,
    }
    assert len(server.arrived) == len(set(server.arrived)) == RACES
    for text in server.arrived:
        assert used(ledger, dt.date.fromisoformat(text)).total <= 3
    assert ledger.verify().ok


def test_two_processes_that_ask_all_day_and_across_midnight_send_three_a_day(
    server: Server, asker: Callable[[str], Asker]
) -> None:
    """From the evening before to the morning after the clocks change."""
    pair = [asker("one"), asker("two")]
    start = dt.datetime(2026, 11, 1, 3, 59, 30, tzinfo=dt.UTC)  # 23:59:30 on 31 October
    moments = [start + dt.timedelta(seconds=s) for s in (0, 10, 19, 21, 29, 30, 31)]
    moments += [start + dt.timedelta(hours=h) for h in (1, 2, 3, 24, 25, 25.01, 26, 30)]
    for now in moments:
        for one in pair:
            one.told(JUDGE, now)
        for one in pair:
            assert one.heard() in ("SENT", "SPENT", "MIDNIGHT")
    assert Counter(server.arrived) == {"2026-10-31": 3, "2026-11-01": 3, "2026-11-02": 3}


def test_a_process_killed_before_the_reply_has_used_its_attempt(
    ledger: Ledger, server: Server, asker: Callable[[str], Asker]
) -> None:
    """kill -9 after the request has left, again and again on the same day."""
    server.hangs = True
    for death in range(3):
        one = asker(f"dies-{death}")
        one.told(JUDGE, NOON)
        assert server.came.acquire(timeout=30)
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(timeout=30)
    assert used(ledger, dt.date(2026, 3, 16)).total == 3
    last = asker("lives")
    last.told(JUDGE, NOON)
    assert last.heard() == "SPENT"
    assert server.arrived == ["2026-03-16"] * 3
    assert ledger.verify().ok


def test_kills_at_any_moment_never_free_an_attempt(
    ledger: Ledger, server: Server, asker: Callable[[str], Asker]
) -> None:
    """The kill may come before, during or after the commit; what arrived was reserved."""
    moments = random.Random(7)
    for death in range(DEATHS):
        one = asker(f"dies-{death}")
        first = NOON + dt.timedelta(days=death // 2 * 5)  # two deaths share their days
        for hours in range(0, 96, 8):
            one.told(JUDGE, first + dt.timedelta(hours=hours))
        time.sleep(moments.uniform(0.0, 0.2))
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(timeout=30)
        days = Counter(server.arrived)
        assert max(days.values(), default=0) <= 3
        for day, number in days.items():
            assert number <= used(ledger, dt.date.fromisoformat(day)).total <= 3
        assert ledger.verify().ok
    assert server.arrived
