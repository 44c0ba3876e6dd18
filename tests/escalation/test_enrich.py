from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Outcome
from hybridnb.escalation.enrich import Counts, Enricher, event_key
from hybridnb.escalation.ollama_api import OllamaReasoner
from hybridnb.escalation.ollama_settings import OllamaSettings
from hybridnb.ports import Answer, Question
from hybridnb.testing.ollama_server import OllamaServer
from hybridnb.testing.reasoners import ScriptedReasoner, question

LONG = 20.0  # seconds; a bound on a broken test, never waited for in a good one


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """A reasoner that answers each question when it is let to."""

    name = "gate"

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.began = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.threads: set[int] = set()

    def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        self.threads.add(threading.get_ident())
        self.began.release()
        assert self.may_end.acquire(timeout=LONG)
        return Answer(outcome=Outcome.OK, reply={"facts": question.facts})

    def close(self) -> None:
        pass


def event(n: int) -> Question:
    return question(facts={"n": n})


def order(asked: list[Question]) -> list[str]:
    return [q.facts for q in asked]


@contextmanager
def gated(**settings: int) -> Iterator[tuple[Enricher, Gate, Clock]]:
    gate, clock = Gate(), Clock()
    with Enricher(gate, clock=clock, **settings) as enricher:
        try:
            yield enricher, gate, clock
        finally:
            gate.may_end.release(10_000)


def asked_and_done(enricher: Enricher, asked: Question) -> str:
    key = enricher.offer(asked)
    assert enricher.settle(LONG)
    return key


# --- known answers ---


def test_an_answer_is_there_once_it_came() -> None:
    with gated() as (enricher, gate, _):
        key = enricher.offer(event(1))
        assert gate.began.acquire(timeout=LONG)
        assert enricher.look_up(key) is None  # returns while the model still thinks
        gate.may_end.release()
        assert enricher.settle(LONG)
        found = enricher.look_up(key)
        assert found is not None
        assert found.reply == {"facts": event(1).facts}
        assert enricher.counts == Counts(offered=1, answered=1, hits=1, misses=1)


def test_a_full_queue_drops_the_oldest_and_counts() -> None:
    with gated(capacity=3) as (enricher, gate, _):
        enricher.offer(event(0))
        assert gate.began.acquire(timeout=LONG)  # it is being asked: the queue is empty
        for n in range(1, 6):
            enricher.offer(event(n))
        assert enricher.counts.dropped == 2
        gate.may_end.release(4)
        assert enricher.settle(LONG)
        assert order(gate.asked) == order([event(n) for n in (0, 3, 4, 5)])
        assert enricher.look_up(event_key(event(1))) is None


def test_one_thread_asks_and_it_is_not_the_caller_s() -> None:
    with gated() as (enricher, gate, _):
        gate.may_end.release(5)
        for n in range(5):
            enricher.offer(event(n))
        assert enricher.settle(LONG)
        assert len(gate.threads) == 1
        assert threading.get_ident() not in gate.threads


def test_the_same_event_is_asked_once_waiting_asked_or_answered() -> None:
    with gated() as (enricher, gate, _):
        enricher.offer(event(0))
        assert gate.began.acquire(timeout=LONG)
        enricher.offer(event(0))  # in progress
        enricher.offer(event(1))
        enricher.offer(event(1))  # waits
        gate.may_end.release(2)
        assert enricher.settle(LONG)
        enricher.offer(event(0))  # in the cache
        assert enricher.settle(LONG)
        assert len(gate.asked) == 2
        assert enricher.counts.known == 3


def test_a_question_gets_five_seconds_at_most() -> None:
    with gated() as (enricher, gate, _):
        gate.may_end.release(2)
        asked_and_done(enricher, replace(event(1), timeout_s=30.0))
        asked_and_done(enricher, replace(event(2), timeout_s=1.5))
        assert [q.timeout_s for q in gate.asked] == [5.0, 1.5]


def test_answers_are_good_for_300_seconds() -> None:
    clock = Clock()
    scripted = ScriptedReasoner()
    with Enricher(scripted, clock=clock) as enricher:
        key = asked_and_done(enricher, event(1))
        clock.now += 299.999
        assert enricher.look_up(key) is not None
        clock.now += 0.001
        assert enricher.look_up(key) is None
        asked_and_done(enricher, event(1))
        assert scripted.requests == 2
        assert enricher.look_up(key) is not None


def test_a_thousand_answers_are_kept_and_the_oldest_leaves_first() -> None:
    with Enricher(ScriptedReasoner(), clock=Clock(), capacity=2_000) as enricher:
        keys = [enricher.offer(event(n)) for n in range(1_001)]
        assert enricher.settle(LONG)
        found = [enricher.look_up(key) is not None for key in keys]
    assert found == [False] + [True] * 1_000


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.NOT_JSON, Outcome.UNREACHABLE])
def test_a_failure_is_counted_and_not_kept(outcome: Outcome) -> None:
    scripted = ScriptedReasoner(lambda _: outcome)
    with Enricher(scripted, clock=Clock()) as enricher:
        key = asked_and_done(enricher, event(1))
        assert enricher.look_up(key) is None
        asked_and_done(enricher, event(1))
        assert scripted.requests == 2
        assert enricher.counts.failed == 2


def test_stopping_drops_what_waits_and_lets_the_question_in_progress_end() -> None:
    gate = Gate()
    enricher = Enricher(gate, clock=Clock())
    enricher.__enter__()
    key = enricher.offer(event(0))
    assert gate.began.acquire(timeout=LONG)
    enricher.offer(event(1))
    enricher.offer(event(2))
    stopper = threading.Thread(target=enricher.stop)
    stopper.start()
    assert enricher.settle(0) is False  # the first is still being asked
    gate.may_end.release()
    stopper.join(LONG)
    assert not stopper.is_alive()
    assert order(gate.asked) == [event(0).facts]
    assert enricher.look_up(key) is not None
    enricher.offer(event(3))  # too late
    assert enricher.counts.dropped == 3
    enricher.stop()  # twice is harmless


def test_no_thread_outlives_it() -> None:
    before = threading.active_count()
    with Enricher(ScriptedReasoner(), clock=Clock()) as enricher:
        asked_and_done(enricher, event(1))
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_mistake_of_the_reasoner_is_raised_at_the_end() -> None:
    def broken(_: Question) -> Answer:
        raise RuntimeError("a mistake")

    enricher = Enricher(ScriptedReasoner(broken), clock=Clock())
    enricher.__enter__()
    key = asked_and_done(enricher, event(1))
    assert enricher.look_up(key) is None
    enricher.offer(event(2))
    assert enricher.counts == Counts(offered=2, failed=1, dropped=1, misses=1)
    with pytest.raises(RuntimeError, match="a mistake"):
        enricher.stop()
    enricher.stop()  # told once


@pytest.mark.parametrize("wrong", ["capacity", "entries", "timeout_s", "ttl_s"])
def test_sizes_are_positive(wrong: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        Enricher(ScriptedReasoner(), clock=Clock(), **{wrong: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda q: replace(q, timeout_s=9.0), True),
        (lambda q: replace(q, facts="{}"), False),
        (lambda q: replace(q, task="other"), False),
        (lambda q: replace(q, instructions="Other."), False),
        (lambda q: replace(q, schema={"type": "object"}), False),
        (lambda q: replace(q, max_tokens=1), False),
    ],
)
def test_what_makes_two_events_the_same(
    change: Callable[[Question], Question], *, same: bool
) -> None:
    assert (event_key(change(event(1))) == event_key(event(1))) is same


# --- properties ---


@given(
    st.lists(st.integers(0, 6), max_size=30), st.integers(1, 5), st.sampled_from(["ok", "fails"])
)
def test_every_offer_is_accounted_for(numbers: list[int], capacity: int, end: str) -> None:
    answers = None if end == "ok" else (lambda _: Outcome.TIMEOUT)
    scripted = ScriptedReasoner(answers)
    with Enricher(scripted, clock=Clock(), capacity=capacity) as enricher:
        for n in numbers:
            enricher.offer(event(n))
        assert enricher.settle(LONG)
    c = enricher.counts
    assert c.offered == len(numbers) == c.known + c.dropped + c.answered + c.failed
    assert c.answered + c.failed == scripted.requests


# --- with a server ---


def test_a_server_that_hangs_holds_up_nobody_but_its_own_thread() -> None:
    with OllamaServer() as server:
        server.behave("stall")
        reasoner = OllamaReasoner(OllamaSettings(host=server.host))
        with Enricher(reasoner, clock=Clock(), timeout_s=0.3) as enricher:
            keys = [enricher.offer(event(n)) for n in range(3)]
            assert [enricher.look_up(key) for key in keys] == [None] * 3
            assert enricher.settle(LONG)
            assert enricher.counts.failed == 3
            server.behave("healthy")
            key = asked_and_done(enricher, replace(event(0), timeout_s=0.3))
            assert server.requests == 4
            assert (enricher.look_up(key) is None) == (enricher.counts.answered == 0)
