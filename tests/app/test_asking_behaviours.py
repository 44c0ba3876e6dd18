"""Whatever a reasoner does, the session's orders stay, and the next ones only shrink."""

from __future__ import annotations

import os
from pathlib import Path

import behaviours
import pytest

from hybridnb.app.frontier import OFFLINE, UNAVAILABLE
from hybridnb.testing.ollama_faults import OLLAMA_FAULTS
from hybridnb.testing.openai_server import BEHAVIOURS, KEY

FULL = os.environ.get("HYBRIDNB_EVIDENCE") == "1"
FRONTIER = BEHAVIOURS if FULL else ("healthy", "stall", "reset", "refusal", "instructions")
LOCAL = OLLAMA_FAULTS if FULL else ("healthy", "stall", "thinking")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return behaviours.escalated(tmp_path_factory.mktemp("behaviours"))


@pytest.fixture(scope="module")
def bare(start: Path) -> behaviours.Seen:
    return behaviours.unanswered(start)


@pytest.fixture(scope="module")
def ruled(start: Path) -> behaviours.Seen:
    return behaviours.seen(start, "nobody is configured")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def check(found: behaviours.Seen, bare: behaviours.Seen, ruled: behaviours.Seen) -> None:
    assert found.first == bare.first
    assert all(size <= bare.sizes[symbol] for symbol, size in found.sizes.items())
    assert found.label
    if found.by == "rules":
        assert found.second == ruled.second


@pytest.mark.parametrize("name", FRONTIER)
def test_whatever_the_frontier_does(
    start: Path, bare: behaviours.Seen, ruled: behaviours.Seen, name: str
) -> None:
    found = behaviours.of_the_frontier(start, name)
    check(found, bare, ruled)
    assert found.quota == 1
    assert found.alerts[0] == "Escalation to GPT-5: Regime Auditor (1/3)"
    assert (UNAVAILABLE in found.alerts) == (found.by != "frontier")


@pytest.mark.parametrize("name", LOCAL)
def test_whatever_the_local_reasoner_does(
    start: Path, bare: behaviours.Seen, ruled: behaviours.Seen, name: str
) -> None:
    found = behaviours.of_the_local(start, name)
    check(found, bare, ruled)
    assert found.quota == 0
    assert (OFFLINE in found.alerts) == (OLLAMA_FAULTS[name] in ("unreachable", "timeout"))


@pytest.mark.parametrize("name", behaviours.LIES)
def test_whatever_a_reply_says(
    start: Path, bare: behaviours.Seen, ruled: behaviours.Seen, name: str
) -> None:
    check(behaviours.of_a_lie(start, name), bare, ruled)


def test_with_nobody_there(start: Path, bare: behaviours.Seen, ruled: behaviours.Seen) -> None:
    found = behaviours.of_both_gone(start)
    check(found, bare, ruled)
    assert (found.by, found.alerts[1:]) == ("rules", (UNAVAILABLE, OFFLINE))
