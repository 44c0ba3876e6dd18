"""Bad evidence is never a pass: whatever it is, whichever gate or detector it is put before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybridnb.domain import Status
from hybridnb.errors import UsageError
from hybridnb.gates.calibration import calibrated_report
from hybridnb.gates.drift import drift
from hybridnb.gates.evidence import Check, Evidence, Floats
from hybridnb.gates.leakage import available_at, label_alignment, time_order
from hybridnb.gates.lookahead import audit
from hybridnb.gates.monitor import monitor_check
from hybridnb.gates.overfit import pbo_check
from hybridnb.gates.planted_leaks import synthetic_bars
from hybridnb.gates.rules import LEAKAGE, SCENARIOS, SENTINEL, review
from hybridnb.gates.sentinel import Material, ridge, sentinel

BAD = ("empty", "two rows", "constant", "NaN", "infinite")
EMPTY = np.array([])
Refused = (ValueError, UsageError)


def spoilt(kind: str, rows: int = 600) -> Floats:
    """A series that no detector can say anything good about."""
    noise = np.random.default_rng(3).normal(0.001, 0.01, rows)
    return {
        "empty": EMPTY,
        "two rows": noise[:2],
        "constant": np.full(rows, 0.01),
        "NaN": np.where(np.arange(rows) == rows // 2, np.nan, noise),
        "infinite": np.where(np.arange(rows) == rows // 2, np.inf, noise),
    }[kind]


def measured(measure: Callable[[], Any]) -> tuple[Any, str]:
    """What came of it, or the error that refused the input."""
    try:
        return measure(), ""
    except Refused as error:
        return None, str(error) or "an error without a word"


def never_passes(measure: Callable[[], Iterable[Check]]) -> None:
    """Every check lacks evidence or fails, or the input is refused by an error that says why."""
    found, why = measured(lambda: list(measure()))
    assert why != "an error without a word"
    if found is not None:
        assert found and all(check.status is not Status.PASS for check in found), found


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("field", ["returns", "pnl", "outcomes", "probabilities"])
def test_no_gate_passes_on_a_spoilt_field_of_its_evidence(field: str, kind: str) -> None:
    evidence = replace(sound(), **{field: spoilt(kind)})
    if field in ("outcomes", "probabilities"):  # the two are of one length
        other = "probabilities" if field == "outcomes" else "outcomes"
        kept = np.resize(getattr(sound(), other), len(getattr(evidence, field)))
        evidence = replace(evidence, **{other: kept})
    reads = {"returns": "performance", "pnl": "performance"}.get(field, "calibration")
    gates, why = measured(lambda: {g.name: g.status for g in review(evidence, seed=1)})
    assert "finite" in why or "[0, 1]" in why if gates is None else gates[reads] != Status.PASS


def sound() -> Evidence:
    rng = np.random.default_rng(5)
    chances = rng.uniform(0.1, 0.9, 1500)
    made = {name: Check(name, Status.PASS, "", 60, 0.0, 0.0) for name in LEAKAGE + SENTINEL}
    return Evidence(
        returns=rng.normal(0.0012, 0.008, 750),
        pnl=np.tile([2.0, 2.0, -1.0], 40),
        outcomes=(rng.random(1500) < chances).astype(float),
        probabilities=chances,
        trials=20,
        trial_variance=0.0004,
        pbo=Check("PBO", Status.PASS, "", 750, 0.2, 0.5),
        stress=[Check(name, Status.PASS, "", 252) for name in SCENARIOS],
        leakage=[made[name] for name in LEAKAGE],
        sentinel=[made[name] for name in SENTINEL],
        drift=[Check("feature", Status.PASS, "NONE", 250, 0.03, 0.20)],
        live_share=0.9,
        live_sessions=60,
    )


def test_the_evidence_that_is_spoilt_below_would_pass_every_gate() -> None:
    assert {gate.status for gate in review(sound(), seed=1)} == {Status.PASS}


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_outcomes_of_one_class_calibrate_nothing(outcome: float) -> None:
    evidence = replace(sound(), outcomes=np.full(1500, outcome))
    gates = {gate.name: gate.status for gate in review(evidence, seed=1)}
    assert gates["calibration"] is not Status.PASS


@pytest.mark.parametrize("kind", BAD)
def test_drift_is_never_ruled_out_on_bad_columns(kind: str) -> None:
    fine = pd.DataFrame({"x": np.random.default_rng(1).normal(size=1000)})
    bad = pd.DataFrame({"x": spoilt(kind, 200)})
    never_passes(lambda: drift(fine, bad, seed=1))
    never_passes(lambda: drift(bad, fine, seed=1))


@pytest.mark.parametrize("kind", ["empty", "two rows", "constant"])
def test_a_monitor_that_could_see_nothing_is_not_quiet(kind: str) -> None:
    fine = np.random.default_rng(1).normal(size=1000)
    never_passes(lambda: [monitor_check("x", spoilt(kind), fine, seed=1)])
    if kind != "constant":  # a series that stops moving is a change, and alarms
        never_passes(lambda: [monitor_check("x", fine, spoilt(kind), seed=1)])


@pytest.mark.parametrize("kind", BAD)
def test_overfitting_is_never_ruled_out_on_bad_returns(kind: str) -> None:
    column = spoilt(kind)
    never_passes(lambda: [pbo_check(np.column_stack([column, column]))])


@pytest.mark.parametrize("kind", ["empty", "NaN", "infinite"])
def test_probabilities_that_are_none_are_refused(kind: str) -> None:
    p = spoilt(kind)
    with pytest.raises(ValueError, match=r"finite|length"):
        calibrated_report(np.zeros(len(p)), p, seed=1)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_a_report_of_one_class_or_of_two_rows_passes_nothing_it_cannot_tell(outcome: float) -> None:
    one = calibrated_report(np.full(600, outcome), np.full(600, 0.5), seed=1)
    assert any(check.status is not Status.PASS for check in one.checks)
    two = calibrated_report(np.array([0.0, 1.0]), np.array([0.1, 0.9]), seed=1)
    assert all(check.status is Status.INSUFFICIENT_EVIDENCE for check in two.checks)


@pytest.mark.parametrize("kind", BAD)
def test_a_sentinel_is_never_quiet_on_bad_features_or_labels(kind: str) -> None:
    rng = np.random.default_rng(2)
    column = spoilt(kind)
    n = len(column)
    fine, labels = rng.normal(size=(n, 3)), (rng.random(n) > 0.5).astype(float)
    halves = [(np.arange(n // 2), np.arange(n // 2, n))]
    days = np.arange(n)
    spoil = np.nan if kind in ("NaN", "infinite") else 0.0
    whole = np.full(n, spoil)
    for features, target in ((whole[:, None], labels), (fine, whole)):
        given = Material(features, target, fine[:, 0] if n else whole, days, halves)
        never_passes(lambda given=given: sentinel(ridge, given, seed=1))


def test_an_audit_of_too_few_bars_never_says_clean() -> None:
    bars = synthetic_bars(1)
    honest = lambda given: given[["symbol", "session"]].assign(x=given["close"])  # noqa: E731
    few = bars[bars["session"] < bars["session"].unique()[5]]
    for part in (few, bars.head(0)):
        found, why = measured(lambda part=part: audit(honest, part, seed=1))
        assert why if found is None else found.status is not Status.PASS


def test_dates_to_come_and_dates_that_are_none_fail() -> None:
    decided = pd.Series(pd.to_datetime(["2020-01-02", "2020-01-03"]))
    late = pd.Series(pd.to_datetime(["2020-01-02", "2099-01-01"]))
    none = pd.Series(pd.to_datetime(["2020-01-02", None]))
    assert available_at(late, decided).status is Status.FAIL
    assert available_at(none, decided).status is Status.FAIL
    assert available_at(late.head(0), decided.head(0)).status is Status.INSUFFICIENT_EVIDENCE
    bars = pd.DataFrame({"symbol": ["A", "A"], "session": none})
    assert time_order(bars).status is Status.FAIL
    assert time_order(bars.head(0)).status is Status.INSUFFICIENT_EVIDENCE
    known = label_alignment(pd.DataFrame({"symbol": ["A"] * 3}), np.array([1.0, 0.0, 1.0]), 1)
    assert known.status is Status.FAIL  # the last outcome lies in the future
