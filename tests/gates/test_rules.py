"""The seven gates: both sides of every bar, and no pass without evidence."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb import metrics
from hybridnb.domain import Status
from hybridnb.gates.evidence import Check, Evidence, Figure, Gate, as_dict
from hybridnb.gates.rules import (
    GATES,
    LEAKAGE,
    SCENARIOS,
    SENTINEL,
    Thresholds,
    overall,
    review,
)

EMPTY = np.array([])
SEED = 11


def passing(name: str) -> Check:
    return Check(name, Status.PASS, "looked at everything", 60, 0.0, 0.0)


def overfit(value: float) -> Check:
    return Check("PBO", Status.PASS, "12,870 combinations", 750, value, 0.5)


def strong() -> Evidence:
    """Evidence that passes every gate with room to spare."""
    rng = np.random.default_rng(5)
    chances = rng.uniform(0.1, 0.9, 1500)
    return Evidence(
        returns=rng.normal(0.0012, 0.008, 750),
        pnl=np.tile([2.0, 2.0, -1.0], 40),
        outcomes=(rng.random(1500) < chances).astype(float),
        probabilities=chances,
        trials=20,
        trial_variance=0.0004,
        pbo=overfit(0.2),
        stress=[passing(name) for name in SCENARIOS],
        leakage=[passing(name) for name in LEAKAGE],
        sentinel=[passing(name) for name in SENTINEL],
        drift=[Check("feature", Status.PASS, "NONE", 250, 0.03, 0.20)],
        live_share=0.9,
        live_sessions=60,
    )


def figures(evidence: Evidence, **bars: Any) -> dict[str, Figure]:
    gates = review(evidence, seed=SEED, bars=Thresholds(**bars))
    return {figure.name: figure for gate in gates for figure in gate.figures}


def gate(evidence: Evidence, name: str, **bars: Any) -> Gate:
    return next(g for g in review(evidence, seed=SEED, bars=Thresholds(**bars)) if g.name == name)


def test_the_bars_are_the_specified_ones() -> None:
    found = figures(strong())
    assert {name: (f.comparison, f.threshold) for name, f in found.items() if f.comparison} == {
        "Sharpe": (">=", 1.0),
        "win rate": (">=", 0.50),
        "profit factor": (">=", 1.5),
        "trades": (">=", 30),
        "deflated Sharpe": (">=", 0.95),
        "PBO": ("<=", 0.5),
        "drawdown": ("<=", 0.15),
        "volatility": ("<=", 0.30),
        "longest losing run": ("<=", metrics.losing_run_limit(120, 2.0 / 3.0)),
        "Brier": ("<=", 0.25),
        "Brier skill, lower bound": (">", 0.0),
        "ECE": ("<=", 0.10),
        "base P&L": (">", 0.0),
        "base Sharpe": (">", 0.0),
        **dict.fromkeys(SCENARIOS, ("against", 0.0)),
        **dict.fromkeys((*LEAKAGE, *SENTINEL), ("<=", 0.0)),
        "feature": ("<=", 0.20),
        "live / backtest Sharpe": (">=", 0.70),
    }
    assert len(SCENARIOS) == 8 and len(GATES) == 7


def test_strong_evidence_passes_all_seven() -> None:
    gates = review(strong(), seed=SEED)
    assert tuple(g.name for g in gates) == GATES
    assert [g.status for g in gates] == [Status.PASS] * 7, [g.reason for g in gates]
    assert overall(gates) is Status.PASS
    assert all(f.source and f.n > 0 for g in gates for f in g.figures)


def test_the_same_seed_gives_the_same_gates() -> None:
    assert as_dict(review(strong(), seed=SEED)) == as_dict(review(strong(), seed=SEED))


BARS = {
    "Sharpe": ("performance", "sharpe"),
    "win rate": ("performance", "win_rate"),
    "profit factor": ("performance", "profit_factor"),
    "deflated Sharpe": ("performance", "deflated_sharpe"),
    "PBO": ("performance", "pbo"),
    "drawdown": ("risk", "drawdown"),
    "volatility": ("risk", "volatility"),
    "Brier": ("calibration", "brier"),
    "ECE": ("calibration", "ece"),
    "live / backtest Sharpe": ("live consistency", "live_share"),
}


@pytest.mark.parametrize("name", BARS)
def test_a_figure_at_its_bar_passes_and_beyond_it_fails(name: str) -> None:
    where, bar = BARS[name]
    at = figures(strong())[name]
    assert at.value is not None
    beyond = at.value * (1.0 + 1e-9 if at.comparison == ">=" else 1.0 - 1e-9)
    assert gate(strong(), where, **{bar: at.value}).status is Status.PASS
    failed = gate(strong(), where, **{bar: beyond})
    assert failed.status is Status.FAIL and name in failed.reason


# One quantity set to its bar exactly as an operator would read it, and a step beyond.
def with_worst_day(loss: float) -> dict[str, Any]:
    return {"returns": np.array([0.01, -loss, 0.01, 0.02, 0.03, 0.02, 0.05])}


def with_run(losses: int) -> dict[str, Any]:
    return {"pnl": np.concatenate([np.full(100, 1.0), np.full(losses, -1.0), np.full(100, 1.0)])}


@pytest.mark.parametrize(
    ("name", "at", "beyond"),
    [
        ("win rate", {"pnl": np.tile([2.0, -1.0], 20)}, {"pnl": np.tile([2.0, -1.0, -1.0], 20)}),
        ("profit factor", {"pnl": np.tile([3.0, -2.0], 20)}, {"pnl": np.tile([2.9, -2.0], 20)}),
        ("PBO", {"pbo": overfit(0.5)}, {"pbo": overfit(0.5001)}),
        ("drawdown", with_worst_day(0.15), with_worst_day(0.1501)),
        ("longest losing run", with_run(5), with_run(6)),
        ("live / backtest Sharpe", {"live_share": 0.70}, {"live_share": 0.6999}),
    ],
)
def test_the_bars_hold_on_raw_evidence(
    name: str, at: dict[str, Any], beyond: dict[str, Any]
) -> None:
    assert figures(replace(strong(), **at))[name].passed is True
    assert figures(replace(strong(), **beyond))[name].passed is False


def test_too_few_trades_are_no_evidence_rather_than_a_failure() -> None:
    thirty, fewer = (replace(strong(), pnl=np.resize([2.0, 2.0, -1.0], n)) for n in (30, 29))
    assert gate(thirty, "performance").status is Status.PASS
    assert gate(fewer, "performance").status is Status.INSUFFICIENT_EVIDENCE


def test_a_constant_half_fails_the_skill_though_its_brier_is_a_quarter() -> None:
    e = strong()
    found = figures(replace(e, probabilities=np.full(len(e.outcomes), 0.5)))
    assert found["Brier"].passed is True and found["Brier"].value == 0.25
    assert found["Brier skill, lower bound"].passed is False


def test_noise_has_no_skill_even_where_its_point_estimate_is_above_zero() -> None:
    passed, positive = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y = (rng.random(400) < 0.5).astype(float)
        p = np.clip(0.5 + rng.normal(0.0, 0.02, 400), 0.0, 1.0)
        positive += metrics.brier_skill(y, p) > 0.0
        found = figures(replace(strong(), outcomes=y, probabilities=p), bootstraps=200)
        passed += bool(found["Brier skill, lower bound"].passed)
    assert positive >= 3 and passed <= 2


def test_outcomes_of_one_kind_have_no_skill_to_measure() -> None:
    e = strong()
    found = gate(replace(e, outcomes=np.ones(len(e.outcomes))), "calibration")
    skill = next(f for f in found.figures if f.name.startswith("Brier skill"))
    assert skill.value is None and skill.passed is None and found.status is not Status.PASS


def test_an_infinite_profit_factor_passes_and_is_recorded_without_a_value() -> None:
    gates = review(replace(strong(), pnl=np.arange(1.0, 41.0)), seed=SEED)
    found = next(f for f in as_dict(gates)[0]["figures"] if f["name"] == "profit factor")
    assert found["value"] is None and found["passed"] is True
    assert gates[0].status is Status.PASS


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_must_be_there_and_pass(name: str) -> None:
    scenarios = [passing(each) for each in SCENARIOS]
    for status in (Status.FAIL, Status.INSUFFICIENT_EVIDENCE):
        worse = [replace(c, status=status) if c.name == name else c for c in scenarios]
        assert gate(replace(strong(), stress=worse), "stress").status is status
    missing = replace(strong(), stress=[c for c in scenarios if c.name != name])
    assert gate(missing, "stress").status is Status.INSUFFICIENT_EVIDENCE


def test_a_failed_scenario_of_another_name_isnt_overlooked() -> None:
    scenarios = [passing(each) for each in (*SCENARIOS, "meteor")]
    assert gate(replace(strong(), stress=scenarios), "stress").status is Status.PASS
    failed = [*scenarios[:-1], replace(scenarios[-1], status=Status.FAIL)]
    assert gate(replace(strong(), stress=failed), "stress").status is Status.FAIL


def test_an_overfitting_that_could_not_be_told_is_not_a_pass() -> None:
    unknown = Check("PBO", Status.INSUFFICIENT_EVIDENCE, "99 periods", 99, 0.1, 0.5)
    found = gate(replace(strong(), pbo=unknown), "performance")
    assert found.status is Status.INSUFFICIENT_EVIDENCE and "PBO" in found.reason


@pytest.mark.parametrize("stress", [None, [passing(name) for name in SCENARIOS]])
def test_a_base_that_loses_fails_the_stress_gate_by_itself(
    stress: list[Check] | None,
) -> None:
    losing = replace(strong(), returns=-strong().returns, stress=stress)
    assert gate(losing, "stress").status is Status.FAIL


@pytest.mark.parametrize("name", [*LEAKAGE, *SENTINEL])
def test_every_check_for_leakage_must_be_made_and_pass(name: str) -> None:
    field = "leakage" if name in LEAKAGE else "sentinel"
    checks = list(getattr(strong(), field))
    bad = [replace(c, status=Status.FAIL) if c.name == name else c for c in checks]
    rest = [c for c in checks if c.name != name]
    both = [c if c.name != name else replace(c, name=f"{name}, short") for c in checks]
    assert gate(replace(strong(), **{field: bad}), "leakage").status is Status.FAIL
    short = gate(replace(strong(), **{field: rest}), "leakage")
    assert short.status is Status.INSUFFICIENT_EVIDENCE and name in short.reason
    assert gate(replace(strong(), **{field: both}), "leakage").status is Status.PASS


@pytest.mark.parametrize("status", [Status.FAIL, Status.INSUFFICIENT_EVIDENCE])
def test_one_column_decides_the_drift_gate(status: Status) -> None:
    checks = [*(strong().drift or ()), Check("other", status, "CRITICAL", 250, 0.5, 0.2)]
    assert gate(replace(strong(), drift=checks), "drift").status is status


def test_trials_that_nobody_counted_deflate_nothing_and_pass_nothing() -> None:
    for missing in ({"trials": None}, {"trials": 0}, {"trial_variance": None}):
        found = gate(replace(strong(), **missing), "performance")
        assert found.status is Status.INSUFFICIENT_EVIDENCE and "deflated" in found.reason
    single = figures(replace(strong(), trials=1, trial_variance=None))["deflated Sharpe"]
    ratio = metrics.sharpe(strong().returns, per_year=1)
    skew, kurtosis = metrics.moments(strong().returns)
    assert single.value == metrics.psr(ratio, 0.0, n=750, skew=skew, kurtosis=kurtosis)


def test_a_constant_gain_has_no_sharpe_and_doesnt_pass() -> None:
    found = gate(replace(strong(), returns=np.full(750, 0.001)), "performance")
    assert found.status is Status.INSUFFICIENT_EVIDENCE


MISSING: dict[str, Any] = {
    **dict.fromkeys(("returns", "pnl", "outcomes", "probabilities"), EMPTY),
    **dict.fromkeys(("trials", "pbo", "stress", "leakage", "sentinel", "drift", "live_share")),
}


def test_every_field_of_the_evidence_can_be_missing() -> None:
    # Without a variance a single trial still deflates; the number of live sessions is a size.
    assert set(MISSING) | {"trial_variance", "live_sessions"} == {f.name for f in fields(Evidence)}


@given(st.sets(st.sampled_from(sorted(MISSING)), min_size=1))
def test_missing_evidence_never_passes_and_fails_nothing(names: set[str]) -> None:
    gates = review(replace(strong(), **{name: MISSING[name] for name in names}), seed=SEED)
    assert overall(gates) is Status.INSUFFICIENT_EVIDENCE
    assert all(g.status is not Status.FAIL for g in gates)
    for found in gates:
        unknown = any(f.passed is None for f in found.figures)
        assert (found.status is Status.INSUFFICIENT_EVIDENCE) == unknown


def test_nothing_at_all_passes_nothing() -> None:
    gates = review(Evidence(EMPTY, EMPTY, EMPTY, EMPTY), seed=SEED)
    assert [g.status for g in gates] == [Status.INSUFFICIENT_EVIDENCE] * 7


def test_a_nan_is_no_value() -> None:
    found = gate(replace(strong(), live_share=math.nan), "live consistency")
    assert found.status is Status.INSUFFICIENT_EVIDENCE and found.figures[0].value is None


@given(st.lists(st.sampled_from(list(Status)), min_size=1, max_size=7))
def test_fail_dominates_and_missing_evidence_dominates_a_pass(statuses: list[Status]) -> None:
    found = overall([Gate("a gate", status, (), "") for status in statuses])
    ranks = [Status.PASS, Status.INSUFFICIENT_EVIDENCE, Status.FAIL]
    assert found is max(statuses, key=ranks.index)


def test_a_failure_and_a_missing_figure_in_one_gate_are_a_failure() -> None:
    found = gate(replace(strong(), pbo=None, pnl=np.tile([1.0, -2.0], 30)), "performance")
    assert found.status is Status.FAIL and "win rate" not in found.reason
    assert "profit factor" in found.reason
