"""Slots of the schedule: claimed by one, held by a lease, settled by who holds it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hybridnb.ledger import slots
from hybridnb.ledger.slots import Claim, Instant, Slot
from hybridnb.ledger.store import Ledger

NOW = "2026-01-05T22:00:00+00:00"
BOOT = Instant("boot", 100.0)


def slot(job: str = "report", session: str = "2026-01-05", **more: object) -> Slot:
    return Slot(**{"job": job, "session": session, "due_at": "2026-01-05T21:30:00+00:00", **more})


def claimed(ledger: Ledger, of: Slot, owner: str, *, now: Instant, lease: float = 60.0) -> bool:
    with ledger.beside(write=True) as connection:
        by = Claim(owner, lease, NOW)
        return slots.claim(connection, of, by=by, now=slots.instant(connection, now))


def stored(ledger: Ledger) -> dict[str, Slot]:
    with ledger.beside() as connection:
        return {s.job: s for s in slots.of_sessions(connection, ["2026-01-05"])}


def put(ledger: Ledger, *new: Slot) -> None:
    with ledger.beside(write=True) as connection:
        slots.put(connection, new)


def test_a_row_is_written_once_and_stays(ledger: Ledger) -> None:
    put(ledger, slot(status="done", seconds=1.5, report="x"), slot("other"))
    put(ledger, slot(), slot("third"))
    assert stored(ledger)["report"] == slot(status="done", seconds=1.5, report="x")
    assert set(stored(ledger)) == {"report", "other", "third"}


def test_the_first_word_on_a_start_stays(ledger: Ledger) -> None:
    with ledger.beside(write=True) as connection:
        assert slots.start(connection, {"a": "2026-01-02"}) == {"a": "2026-01-02"}
        found = slots.start(connection, {"a": "2027-01-01", "b": "2026-02-02"})
    assert found == {"a": "2026-01-02", "b": "2026-02-02"}


def test_of_many_that_ask_at_once_one_gets_each_slot(url: str, heads: Path, ledger: Ledger) -> None:
    jobs = [f"job_{i}" for i in range(12)]
    put(ledger, *[slot(job) for job in jobs])
    got: dict[str, list[str]] = {job: [] for job in jobs}
    ready = threading.Barrier(4)

    def ask(owner: str) -> None:
        mine = Ledger(url, heads=heads)
        ready.wait()
        for job in jobs:
            if claimed(mine, slot(job), owner, now=BOOT):
                got[job].append(owner)
        mine.close()

    threads = [threading.Thread(target=ask, args=(f"owner_{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(owners) == 1 for owners in got.values()), got
    assert {j: s.owner for j, s in stored(ledger).items()} == {j: o[0] for j, o in got.items()}


def test_what_changed_since_it_was_read_isn_t_taken(ledger: Ledger) -> None:
    put(ledger, slot())
    assert claimed(ledger, slot(), "first", now=BOOT)
    assert not claimed(ledger, slot(), "second", now=BOOT)
    with ledger.beside(write=True) as connection:
        end = {"status": "done", "at": NOW}
        assert slots.settle(connection, slot(), by=Claim("first", 0, NOW), end=end)
    done = stored(ledger)["report"]
    assert (done.status, done.attempts, done.owner) == ("done", 1, "")
    assert not claimed(ledger, done, "second", now=Instant("another boot", 0.0))


@pytest.fixture
def lapse(url: str) -> Callable[[Ledger], Instant]:
    """Let every lease lapse, as far as this database's clock allows; the machine's time then."""

    def lapsed(ledger: Ledger) -> Instant:
        if url.startswith("sqlite"):
            return Instant("boot", BOOT.seconds + 61.0)
        with ledger.beside(write=True) as connection:
            from sqlalchemy import update

            connection.execute(update(slots.SLOTS).values(until=slots.SLOTS.c.until - 61.0))
        return BOOT

    return lapsed


def test_a_lease_that_lapsed_is_taken_over_and_its_holder_can_t_settle(
    ledger: Ledger, lapse: Callable[[Ledger], Instant]
) -> None:
    put(ledger, slot())
    assert claimed(ledger, slot(), "first", now=BOOT)
    held = stored(ledger)["report"]
    assert not claimed(ledger, held, "second", now=Instant("boot", BOOT.seconds + 59.0))
    later = lapse(ledger)
    held = stored(ledger)["report"]
    assert claimed(ledger, held, "second", now=later)
    with ledger.beside(write=True) as connection:
        first, end = Claim("first", 60.0, NOW), {"status": "done"}
        now = slots.instant(connection, later)
        assert not slots.renew(connection, held, by=first, now=now)
        assert not slots.settle(connection, held, by=first, end=end)
        assert slots.renew(connection, held, by=Claim("second", 60.0, NOW), now=now)
        assert slots.settle(connection, held, by=Claim("second", 60.0, NOW), end=end)
    assert stored(ledger)["report"].attempts == 2


def test_a_renewed_lease_holds_longer(ledger: Ledger, lapse: Callable[[Ledger], Instant]) -> None:
    put(ledger, slot())
    assert claimed(ledger, slot(), "first", now=BOOT)
    later = lapse(ledger)
    with ledger.beside(write=True) as connection:
        now = slots.instant(connection, later)
        assert slots.renew(connection, slot(), by=Claim("first", 60.0, NOW), now=now)
    assert not claimed(ledger, stored(ledger)["report"], "second", now=later)


def test_a_lease_of_another_boot_is_worth_nothing_on_the_machine_itself(
    ledger: Ledger, url: str
) -> None:
    put(ledger, slot())
    assert claimed(ledger, slot(), "first", now=Instant("boot", 1e9))
    taken = claimed(ledger, stored(ledger)["report"], "second", now=Instant("next boot", 1.0))
    assert taken == url.startswith("sqlite")  # a server's clock goes on, and its word counts


def test_a_pause_keeps_a_slot_until_it_is_over(
    ledger: Ledger, lapse: Callable[[Ledger], Instant]
) -> None:
    put(ledger, slot())
    assert claimed(ledger, slot(), "first", now=BOOT)
    with ledger.beside(write=True) as connection:
        now = slots.instant(connection, BOOT)
        end = {"status": "due", "failures": 1, "epoch": now.epoch, "until": now.seconds + 30.0}
        assert slots.settle(connection, slot(), by=Claim("first", 60.0, NOW), end=end)
    paused = stored(ledger)["report"]
    assert not claimed(ledger, paused, "first", now=BOOT)
    later = lapse(ledger)
    assert claimed(ledger, stored(ledger)["report"], "first", now=later)


def test_unsettled_is_what_has_something_left_to_do(ledger: Ledger) -> None:
    put(
        ledger,
        slot("due"),
        slot("running", status="running", owner="x"),
        slot("done", status="done"),
        slot("skipped", status="skipped"),
        slot("told", status="failed", told=1),
        slot("untold", status="failed"),
        slot("early", status="failed", told=1, due_at="2026-01-06T00:00:00+00:00"),
        slot("early_done", status="done", due_at="2026-01-06T00:00:00+00:00"),
        slot("far", session="2025-12-01", due_at="2025-12-01T21:30:00+00:00"),
    )
    with ledger.beside() as connection:
        found = [s.job for s in slots.unsettled(connection, now=NOW)]
        assert slots.newest(connection)["far"] == "2025-12-01"
        assert slots.changed(connection, most=9) == []
    assert found == ["far", "due", "running", "untold", "early"]


def test_a_change_rests_on_the_row_as_it_was_read(ledger: Ledger) -> None:
    put(ledger, slot())
    with ledger.beside(write=True) as connection:
        assert not slots.change(connection, slot(status="failed"), told=1)
        assert slots.change(connection, slot(), status="skipped", at=NOW)
        assert [s.job for s in slots.changed(connection, most=9)] == ["report"]
