"""The review of a day: evidence counted, a verdict recorded once, trials never forgotten."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from hybridnb.app.backtest import held_out
from hybridnb.app.context import Request, open_day
from hybridnb.app.history import History
from hybridnb.app.home import Home
from hybridnb.app.lab import Lab
from hybridnb.app.proofs import overfitting
from hybridnb.app.rivals import rivals
from hybridnb.app.sweeping import combinations
from hybridnb.app.training import find_model, model_folder, trained_to
from hybridnb.app.trials import record_trials, trial_rows
from hybridnb.app.verdicts import find_verdict
from hybridnb.domain import Status
from hybridnb.errors import InputError
from hybridnb.gates.evidence import Gate
from hybridnb.gates.rules import GATES
from hybridnb.gates.verdict import verdict
from hybridnb.metrics import sharpe
from hybridnb.policy import Policy, policy_values, validated
from hybridnb.registry.artifacts import files_digest


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def first(home: Home) -> Lab:
    return reviewed(home, 1)


def reviewed(home: Home, seed: int) -> Lab:
    request = Request(feed="sample", session="2004-03-01", profile="smoke", seed=seed)
    lab = Lab(replace(open_day(request), home=home), quiet)
    assert lab.reviewed
    return lab


def quiet(text: str) -> None:
    """Nothing is said."""


def figure(lab: Lab, name: str) -> dict[str, Any]:
    found = [f for g in lab.reviewed.verdict["gates"] for f in g["figures"] if f["name"] == name]
    assert len(found) == 1
    return dict(found[0])


def test_every_policy_tried_is_a_trial_and_one_reviewed_twice_is_one(
    home: Home, first: Lab
) -> None:
    again, second = reviewed(home, 1), reviewed(home, 2)
    tried = len(first.context.ledger().rows("operations", kind="trial")) // 2
    assert tried > 1  # the policy and its neighbours, each a row
    assert f"{tried} trials counted" in figure(first, "deflated Sharpe")["source"]
    assert again.reviewed.verdict == first.reviewed.verdict
    assert f"{2 * tried} trials counted" in figure(second, "deflated Sharpe")["source"]
    kept = first.context.ledger().rows("operations", kind="verdict")
    assert len(kept) == 2
    curve = first.reviewed.reliability.to_dict("records")
    assert curve and kept[0]["reliability"] == curve


def test_a_verdict_names_its_data_code_and_configuration_by_digest(first: Lab) -> None:
    digests = first.reviewed.verdict["digests"]
    for name in ("data", "code", "policy", "configuration"):
        assert re.fullmatch(r"[0-9a-f]{64}", digests[name]), name


def test_missing_evidence_is_no_pass_and_lets_nothing_trade_live(first: Lab) -> None:
    statuses = {g["name"]: g["status"] for g in first.reviewed.verdict["gates"]}
    assert tuple(statuses) == GATES
    assert statuses["stress"] != "PASS"
    assert statuses["live consistency"] == "INSUFFICIENT_EVIDENCE"
    assert first.reviewed.verdict["status"] != "PASS"
    assert find_verdict(first.context, first.model) is None


def test_no_check_finds_a_leak_in_the_house_s_own_features(first: Lab) -> None:
    leaks = {c["name"]: c["passed"] for c in gate(first, "leakage")}
    for name in ("time order", "windowing", "label alignment, short", "cut-off, mid", "scaling"):
        assert leaks[name] is True, name


def passing(lab: Lab) -> Mapping[str, Any]:
    """A verdict of this very model in which every gate passes, recorded as a review records it."""
    gates = [Gate(name, Status.PASS, (), "planted") for name in GATES]
    found = verdict(
        gates,
        model_version=lab.model.version,
        session=lab.context.session,
        ordinal=int(lab.context.ordinals[-1]),
        digests={"model": files_digest(lab.model.files)},
    )
    lab.context.ledger().append("operations", [{"kind": "verdict", "feed": "sample", **found}])
    return found


def test_a_live_order_needs_a_pass_for_the_very_bytes_of_its_model(first: Lab) -> None:
    lab = first
    assert lab.prepared.verdict is None
    recorded = passing(lab)
    assert find_verdict(lab.context, lab.model)["id"] == recorded["id"]
    assert lab.prepared.verdict is not None
    # One byte of one file, the seal as it was: the model doesn't load, nothing is decided with it.
    folder = model_folder(lab.context, trained_to(lab.context))
    whole = (folder / "short").read_bytes()
    data = bytearray(whole)
    data[len(data) // 2] ^= 1
    (folder / "short").write_bytes(data)
    with pytest.raises(InputError, match="sealed"):
        find_model(lab.context)
    (folder / "short").write_bytes(whole)
    # The same byte under a seal that fits it, version and all: another model, without a verdict.
    forged = replace(lab.model, files={**lab.model.files, "short": bytes(data)})
    assert forged.version == lab.model.version
    assert find_verdict(lab.context, forged) is None


def history_of(lab: Lab, stops: Mapping[str, Any] | None = None) -> History:
    """The held-out sessions, under the operator's policy or one with other stops."""
    context, known = lab.context, lab.context.settings
    if stops:
        policy = validated(Policy, policy_values(known.policy) | {"stops": stops})
        context = replace(context, settings=replace(known, policy=policy))
    rows = held_out(context, lab.panel, to=lab.model.trained_to)
    return History(context, lab.model, lab.panel, int(rows[0]), int(rows[-1]) + 1)


def test_the_rivals_replay_the_sessions_of_the_backtest_and_each_is_a_trial(first: Lab) -> None:
    history = history_of(first)
    before = {row["id"] for row in first.context.ledger().rows("operations", kind="trial")}
    found = rivals(history, say=quiet)
    after = {row["id"] for row in first.context.ledger().rows("operations", kind="trial")}
    tested = first.reviewed.backtest.returns
    own = found.returns[found.operator]
    assert own.to_list() == pytest.approx(tested.to_list(), abs=1e-12)
    assert list(own.index) == list(tested.index)
    assert found.values[found.operator] == {}
    assert len(found.values) == found.returns.shape[1] > 4
    assert before == after  # the review had tried them all
    ratios = [sharpe(found.returns[policy]) for policy in found.returns]
    assert len({round(ratio, 6) for ratio in ratios}) > 1


def test_a_policy_of_an_earlier_sweep_is_a_rival(first: Lab) -> None:
    history = history_of(first)
    choice = {"stops.target": 3.75}
    ((values, policy),) = combinations(history.context.settings.policy, {"stops.target": [3.75]})
    figures = {"equity": 1.0, "sharpe": 0.1, "max_drawdown": 0.0, "trades": 1}
    frame = pd.DataFrame(
        [{**values, "policy": policy.id, **figures, "fees": 0.0, "slippage": 0.0, "sha256": "x"}]
    )
    assert policy.id not in rivals(history, say=quiet).values
    record_trials(history.context, trial_rows(history, list(choice), frame))
    assert rivals(history, say=quiet).values[policy.id] == choice


def test_stops_that_no_replay_knows_leave_overfitting_untold(first: Lab) -> None:
    found = overfitting(
        history_of(first, {"oco": "PREFER_LIMIT"}), first.reviewed.backtest.returns, say=quiet
    )
    assert found.status is Status.INSUFFICIENT_EVIDENCE and "FIRST_TRIGGERED_WINS" in found.detail


def test_a_replay_that_is_not_the_backtest_fails(first: Lab) -> None:
    other = first.reviewed.backtest.returns + 1e-6
    found = overfitting(history_of(first), other, say=quiet)
    assert found.status is Status.FAIL and "hybridnb compare" in found.detail


def gate(lab: Lab, name: str) -> list[dict[str, object]]:
    return next(g["figures"] for g in lab.reviewed.verdict["gates"] if g["name"] == name)
