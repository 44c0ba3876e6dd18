"""Answers from memory: never older than promised, never from before a change made here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chronicle import Chronicle

from hybridnb.app.server.snapshots import AGED, FRESH, MOST, STALE, Snapshots
from hybridnb.errors import UsageError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """A read that tells how often it was computed."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, reader: Any) -> dict[str, Any]:
        self.times += 1
        return {"times": self.times, "rows": reader.ledger.count("session")}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def snapshots(clock: Clock) -> Iterator[Snapshots]:
    made = Snapshots(clock)
    yield made
    made.close()


async def settled(snapshots: Snapshots) -> None:
    """Wait until nothing is being made any more."""
    while snapshots._making:
        await asyncio.gather(*snapshots._making.values(), return_exceptions=True)
        await asyncio.sleep(0)


def asked(snapshots: Snapshots, read: Callable[[Any], Any], key: str = "k") -> int:
    async def ask() -> int:
        kept = await snapshots.get(key, read)
        await settled(snapshots)
        return int(kept.answer["times"])

    return asyncio.run(ask())


def test_nothing_is_computed_again_while_nothing_changes(
    clock: Clock, snapshots: Snapshots
) -> None:
    read = Counted()
    found = []
    for clock.now in (0.0, FRESH / 2, FRESH, STALE, 4.0):
        found.append(asked(snapshots, read))
    assert found == [1] * 5 and read.times == 1
    clock.now = AGED
    asked(snapshots, read)
    assert read.times == 2


def test_a_change_elsewhere_is_told_within_what_was_promised(
    clock: Clock, snapshots: Snapshots
) -> None:
    read, book = Counted(), Chronicle()
    asked(snapshots, read)
    book.trade()
    clock.now = FRESH / 2
    assert asked(snapshots, read) == 1  # young: as it is
    clock.now = FRESH
    assert asked(snapshots, read) == 1  # as it is, and a new one was made meanwhile
    assert read.times == 2
    assert asked(snapshots, read) == 2
    book.trade()
    clock.now += STALE
    assert asked(snapshots, read) == 3  # too old to be given


def test_after_a_change_made_here_nothing_older_is_given(
    clock: Clock, snapshots: Snapshots
) -> None:
    read = Counted()
    asked(snapshots, read)
    snapshots.forget()
    assert asked(snapshots, read) == 2


def test_what_was_begun_before_a_change_is_not_kept(clock: Clock, snapshots: Snapshots) -> None:
    begun, go = threading.Event(), threading.Event()
    read = Counted()

    def slow(reader: Any) -> dict[str, Any]:
        begun.set()
        assert go.wait(10)
        return read(reader)

    async def meanwhile() -> tuple[int, int]:
        early = asyncio.ensure_future(snapshots.get("k", slow))
        await asyncio.get_running_loop().run_in_executor(None, begun.wait)
        snapshots.forget()
        late = asyncio.ensure_future(snapshots.get("k", read))
        go.set()
        first, second = await early, await late
        return first.answer["times"], second.answer["times"]

    assert asyncio.run(meanwhile()) == (1, 2)
    assert asked(snapshots, read) == 2


def test_many_who_ask_at_once_share_one_reading(snapshots: Snapshots) -> None:
    read = Counted()

    async def many() -> list[int]:
        found = await asyncio.gather(*(snapshots.get("k", read) for _ in range(50)))
        return [kept.answer["times"] for kept in found]

    assert asyncio.run(many()) == [1] * 50


def test_an_error_is_raised_and_not_kept(snapshots: Snapshots) -> None:
    def fails(reader: Any) -> dict[str, Any]:
        raise UsageError("no")

    with pytest.raises(UsageError):
        asked(snapshots, fails)
    assert asked(snapshots, Counted()) == 1


def test_only_so_many_answers_are_kept(snapshots: Snapshots) -> None:
    read = Counted()
    for n in range(MOST + 5):
        asked(snapshots, read, str(n))
    assert len(snapshots._kept) == MOST
