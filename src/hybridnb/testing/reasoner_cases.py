"""The conformance suite of reasoners: numbered cases that every adapter must hold.

A case gets a `ReasonerBench`: how to make the adapter, and a hand on the server behind it. A
third party's adapter is tested by giving `check_reasoner`, or each of `CASES`, a bench of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hybridnb.canonical import canonical
from hybridnb.domain import Outcome
from hybridnb.ports import Answer, Reasoner
from hybridnb.testing.reasoners import FAULTS, HOSTILE, SCHEMA, question

MOST_KEPT = 4 << 20  # bytes of a response that a record may hold


class Controls(Protocol):
    """A hand on the server behind an adapter."""

    @property
    def requests(self) -> int:
        """Attempts that reached the wire since the server started."""

    def behave(self, name: str) -> None:
        """Answer every request from now on like this: a name of `FAULTS`."""


@dataclass(frozen=True, slots=True)
class ReasonerBench:
    """An adapter and a hand on its server.

    Attributes
    ----------
    make : callable
        A new adapter, connected to that server.
    server : Controls
    secrets : tuple of str
        What no answer, and no text of the adapter, may hold.
    timeout_s : float
        Of the questions whose answers never end; short, since the cases wait for it.
    """

    make: Callable[[], Reasoner]
    server: Controls
    secrets: tuple[str, ...] = ()
    timeout_s: float = 0.4


ENOUGH = 20.0  # seconds for an answer that ends
Case = Callable[[ReasonerBench], None]
CASES: dict[str, Case] = {}


def _case(function: Case) -> Case:
    CASES[f"R{len(CASES) + 1:02d} {function.__name__}"] = function
    return function


def check_reasoner(bench: ReasonerBench) -> None:
    """Run every case.

    Raises
    ------
    AssertionError
        From the first case that doesn't hold.
    """
    for case in CASES.values():
        case(bench)


def _seconds(bench: ReasonerBench, name: str) -> float:
    """Short for what never ends; what ends has time enough, also on a busy machine."""
    return bench.timeout_s if FAULTS[name] is Outcome.TIMEOUT else max(bench.timeout_s, ENOUGH)


def _ask(bench: ReasonerBench, name: str, **asked: Any) -> Answer:
    bench.server.behave(name)
    with closing(bench.make()) as reasoner:
        return reasoner.ask(question(timeout_s=_seconds(bench, name), **asked))


@_case
def every_fault_has_its_label(bench: ReasonerBench) -> None:
    for name, outcome in FAULTS.items():
        answer = _ask(bench, name)
        assert answer.outcome is outcome, f"{name}: {answer.outcome}, {answer.detail}"
        assert (answer.reply is not None) == (outcome is Outcome.OK), name


@_case
def one_ask_is_one_attempt(bench: ReasonerBench) -> None:
    for name in FAULTS:
        before = bench.server.requests
        _ask(bench, name)
        assert bench.server.requests == before + 1, name


@_case
def a_healthy_reply_has_the_shape(bench: ReasonerBench) -> None:
    reply = _ask(bench, "healthy").reply
    assert reply is not None
    assert set(reply) == set(SCHEMA["required"])


@_case
def a_failure_leaves_the_adapter_usable(bench: ReasonerBench) -> None:
    with closing(bench.make()) as reasoner:
        for name in FAULTS:
            bench.server.behave(name)
            reasoner.ask(question(timeout_s=_seconds(bench, name)))
            bench.server.behave("healthy")
            after = reasoner.ask(question(timeout_s=ENOUGH))
            assert after.outcome is Outcome.OK, f"after {name}: {after.detail}"


@_case
def details_are_short_and_present_on_failure(bench: ReasonerBench) -> None:
    for name, outcome in FAULTS.items():
        detail = _ask(bench, name).detail
        assert len(detail) <= 500, name
        assert outcome is Outcome.OK or detail, name


@_case
def a_record_is_bounded(bench: ReasonerBench) -> None:
    assert len(_ask(bench, "enormous").response) <= MOST_KEPT


@_case
def the_request_holds_the_facts_and_is_the_same_twice(bench: ReasonerBench) -> None:
    asked = {"headline": f'{HOSTILE} "}} ``` \u2028 é'}
    first, second = (_ask(bench, "healthy", facts=asked) for _ in range(2))
    assert first.request == second.request != b""
    assert canonical(asked) in _told(first.request)


@_case
def secrets_stay_inside(bench: ReasonerBench) -> None:
    for name in FAULTS:
        bench.server.behave(name)
        with closing(bench.make()) as reasoner:
            answer = reasoner.ask(question(timeout_s=_seconds(bench, name)))
            shown = f"{answer!r} {reasoner!r} {vars_of(reasoner)!r}"
        assert not [s for s in bench.secrets if s in shown], name


@_case
def threads_get_their_own_answers(bench: ReasonerBench) -> None:
    bench.server.behave("healthy")
    asked = [replace(question(facts={"n": n}), timeout_s=ENOUGH) for n in range(4)]
    with closing(bench.make()) as reasoner, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(reasoner.ask, asked))
    assert [a.outcome for a in answers] == [Outcome.OK] * 4
    for sent, answer in zip(asked, answers, strict=True):
        assert sent.facts in _told(answer.request)


@_case
def closing_twice_is_harmless(bench: ReasonerBench) -> None:
    reasoner = bench.make()
    reasoner.close()
    reasoner.close()


def vars_of(value: object) -> dict[str, Any]:
    """An object's attributes, whether it has slots or a dictionary."""
    names = [*getattr(value, "__slots__", ()), *getattr(value, "__dict__", {})]
    return {name: getattr(value, name, None) for name in names}


def _told(request: bytes) -> str:
    """The text of a request, whether or not its facts have angle brackets escaped."""
    text = _strings(json.loads(request))
    return text.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&")


def _strings(value: Any) -> str:
    """All the text in a JSON value, one piece a line."""
    if isinstance(value, dict):
        return "\n".join(_strings(part) for part in value.values())
    if isinstance(value, list):
        return "\n".join(_strings(part) for part in value)
    return value if isinstance(value, str) else ""
