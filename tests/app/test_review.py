"""The review of a day: evidence counted, a verdict recorded once, trials never forgotten."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from hybridnb.app.context import Request, open_day
from hybridnb.app.home import Home
from hybridnb.app.lab import Lab
from hybridnb.app.review import find_verdict
from hybridnb.gates.rules import GATES


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


def reviewed(home: Home, seed: int) -> Lab:
    request = Request(feed="sample", session="2004-03-01", profile="smoke", seed=seed)
    lab = Lab(replace(open_day(request), home=home))
    assert lab.reviewed
    return lab


def figure(lab: Lab, name: str) -> dict[str, float]:
    found = [f for g in lab.reviewed.verdict["gates"] for f in g["figures"] if f["name"] == name]
    assert len(found) == 1
    return dict(found[0])


def test_two_configurations_are_two_trials_and_one_reviewed_twice_is_one(home: Home) -> None:
    first, again, second = reviewed(home, 1), reviewed(home, 1), reviewed(home, 2)
    assert figure(first, "PBO")["n"] == 1
    assert again.reviewed.verdict == first.reviewed.verdict
    assert figure(second, "PBO")["n"] == 2
    assert len(first.context.ledger().rows("operations", kind="verdict")) == 2


def test_a_verdict_names_its_data_code_and_configuration_by_digest(home: Home) -> None:
    digests = reviewed(home, 1).reviewed.verdict["digests"]
    for name in ("data", "code", "policy", "configuration"):
        assert re.fullmatch(r"[0-9a-f]{64}", digests[name]), name


def test_missing_evidence_is_no_pass_and_lets_nothing_trade_live(home: Home) -> None:
    lab = reviewed(home, 1)
    statuses = {g["name"]: g["status"] for g in lab.reviewed.verdict["gates"]}
    assert tuple(statuses) == GATES
    assert statuses["stress"] != "PASS"
    assert statuses["live consistency"] == "INSUFFICIENT_EVIDENCE"
    assert lab.reviewed.verdict["status"] != "PASS"
    assert find_verdict(lab.context, lab.model) is None


def test_no_check_finds_a_leak_in_the_house_s_own_features(home: Home) -> None:
    leaks = {c["name"]: c["passed"] for c in gate(reviewed(home, 1), "leakage")}
    for name in ("time order", "windowing", "label alignment, short", "cut-off, mid", "scaling"):
        assert leaks[name] is True, name


def gate(lab: Lab, name: str) -> list[dict[str, object]]:
    return next(g["figures"] for g in lab.reviewed.verdict["gates"] if g["name"] == name)
