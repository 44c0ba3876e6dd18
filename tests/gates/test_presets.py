"""Presets: each bar at its boundary, and nothing that is missing passes."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Status
from hybridnb.gates import presets as ps
from hybridnb.gates.evidence import Check, Gate
from hybridnb.gates.presets import Bar, Canary, Live, Measured, Review, Success

MANY = 100_000
QUIET = tuple(
    Check(name, Status.PASS, "", 200, 0.4, 0.05) for name in ("permutation test", "planted leak")
)
GOOD = {
    "review": Review(
        sharpe=Measured(2.1, 252),
        drawdown=Measured(0.049, 60),
        latency=Measured(9.9, 10_000),
        brier={r: Measured(0.19, 30) for r in ("trend", "range", "crisis", "breakout")},
        sentinel=QUIET,
    ),
    "canary": Canary(
        latency=Measured(10.0, 10_000),
        errors=Measured(0.001, 1000),
        drawdown=Measured(0.02, 100),
        sharpe=Measured(0.9, 100),
        champion=Measured(1.0, 100),
        paired=Measured(-0.001, 100),
    ),
    "live": Live(
        streak=Measured(10, 10),
        sharpe=Measured(0.81, 60),
        drawdown=Measured(0.079, 60),
        kills=Measured(0, 60),
        escalations=Measured(0.99, 60),
    ),
    "success": Success(
        sharpe=Measured(0.91, 252),
        hit_rate=Measured(0.521, 30),
        drawdown=Measured(0.099, 252),
        pbo=Measured(0.5, 252),
    ),
}
JUDGES = {"review": ps.review, "canary": ps.canary, "live": ps.live, "success": ps.success}
BARS = {"review": ps.REVIEW, "canary": ps.CANARY, "live": ps.LIVE, "success": ps.SUCCESS}


def judge(preset: str, **changes: object) -> Gate:
    return JUDGES[preset](replace(GOOD[preset], **changes))


@pytest.mark.parametrize("preset", GOOD)
def test_what_clears_every_bar_passes(preset: str) -> None:
    gate = judge(preset)
    assert (gate.name, gate.status) == (preset, Status.PASS)
    assert all(figure.passed for figure in gate.figures)


@pytest.mark.parametrize("preset", GOOD)
def test_nothing_measured_is_no_pass(preset: str) -> None:
    gate = JUDGES[preset](type(GOOD[preset])())
    assert gate.status is Status.INSUFFICIENT_EVIDENCE
    assert len(gate.figures) == len(judge(preset).figures)


@pytest.mark.parametrize(
    ("preset", "key"), [(name, f.name) for name, good in GOOD.items() for f in fields(good)]
)
def test_each_figure_that_lacks_is_missed(preset: str, key: str) -> None:
    assert judge(preset, **{key: None}).status is Status.INSUFFICIENT_EVIDENCE


@pytest.mark.parametrize(
    ("preset", "bar"), [(name, bar) for name, bars in BARS.items() for bar in bars], ids=str
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_passes_nothing(preset: str, bar: Bar, value: float) -> None:
    gate = judge(preset, **{bar.key: Measured(value, MANY)})
    assert gate.status is Status.INSUFFICIENT_EVIDENCE


@pytest.mark.parametrize(
    ("preset", "bar"), [(name, bar) for name, bars in BARS.items() for bar in bars], ids=str
)
def test_a_bar_parts_at_its_threshold(preset: str, bar: Bar) -> None:
    step = 1e-6 * max(1.0, abs(bar.threshold))
    better = step if ">" in bar.comparison else -step
    said = {
        move: judge(preset, **{bar.key: Measured(bar.threshold + move, MANY)}).status
        for move in (better, 0.0, -better)
    }
    assert said[better] is Status.PASS
    assert said[-better] is Status.FAIL
    assert said[0.0] is (Status.PASS if "=" in bar.comparison else Status.FAIL)


@pytest.mark.parametrize(
    ("preset", "bar"), [(name, bar) for name, bars in BARS.items() for bar in bars], ids=str
)
def test_a_small_sample_passes_nothing_and_fails_only_what_doesn_t_heal(
    preset: str, bar: Bar
) -> None:
    good = getattr(GOOD[preset], bar.key)
    few = judge(preset, **{bar.key: replace(good, n=bar.least - 1)})
    assert few.status is Status.INSUFFICIENT_EVIDENCE
    worse = bar.threshold + (-1.0 if ">" in bar.comparison else 1.0)
    missed = judge(preset, **{bar.key: Measured(worse, bar.least - 1)})
    assert missed.status is (Status.FAIL if bar.at_once else Status.INSUFFICIENT_EVIDENCE)


def test_the_named_bars_are_those_of_the_decisions() -> None:
    """D10: each of the many Sharpe and drawdown bars is a number of its own."""
    found = {(name, bar.key): bar.threshold for name, bars in BARS.items() for bar in bars}
    assert [found[name, "sharpe"] for name in ("live", "success", "review")] == [0.8, 0.9, 2.0]
    assert [found[name, "drawdown"] for name in ("canary", "review", "live", "success")] == [
        *(0.02, 0.05, 0.08, 0.10),
    ]
    assert ps.BRIER.threshold == 0.20
    assert all(bar.source and bar.unit for bars in (*BARS.values(), ps.SERVICE) for bar in bars)


@pytest.mark.parametrize("regime", ["trend", "range", "crisis", "breakout"])
def test_review_wants_the_brier_score_of_every_regime(regime: str) -> None:
    scores = {r: Measured(0.19, 30) for r in ("trend", "range", "crisis", "breakout")}
    assert judge("review", brier=scores | {regime: Measured(0.20, 30)}).status is Status.FAIL
    few = scores | {regime: Measured(0.1, 29)}
    assert judge("review", brier=few).status is Status.INSUFFICIENT_EVIDENCE
    left = {name: score for name, score in scores.items() if name != regime}
    assert judge("review", brier=left).status is Status.INSUFFICIENT_EVIDENCE


def test_review_judges_a_regime_of_another_name_too() -> None:
    scores = GOOD["review"].brier | {"pooled": Measured(0.3, 900)}
    assert judge("review", brier=scores).reason == "below the bar: Brier, pooled"


def test_review_wants_both_sentinels_quiet() -> None:
    loud = (replace(QUIET[0], status=Status.FAIL), QUIET[1])
    assert judge("review", sentinel=loud).status is Status.FAIL
    assert judge("review", sentinel=QUIET[:1]).status is Status.INSUFFICIENT_EVIDENCE
    unsure = (QUIET[0], replace(QUIET[1], status=Status.INSUFFICIENT_EVIDENCE))
    assert judge("review", sentinel=unsure).status is Status.INSUFFICIENT_EVIDENCE


@pytest.mark.parametrize(
    ("sharpe", "champion", "paired", "status"),
    [
        (0.81, 1.0, -0.1, Status.PASS),  # not a fifth below
        (0.80, 1.0, -0.1, Status.FAIL),  # exactly a fifth, and no chance
        (0.10, 1.0, 0.01, Status.PASS),  # far below, but perhaps by chance
        (2.00, 1.0, -0.1, Status.PASS),
        (-1.1, -1.0, -0.1, Status.PASS),
        (-1.3, -1.0, -0.1, Status.FAIL),
        (0.5, 0.0, -0.1, Status.INSUFFICIENT_EVIDENCE),  # a fifth of nothing
        (0.5, 1.0, math.nan, Status.INSUFFICIENT_EVIDENCE),
    ],
)
def test_the_canary_s_trigger_against_the_champion(
    sharpe: float, champion: float, paired: float, status: Status
) -> None:
    figures = {"sharpe": sharpe, "champion": champion, "paired": paired}
    gate = judge("canary", **{key: Measured(value, 100) for key, value in figures.items()})
    assert gate.status is status
    few = judge("canary", **{key: Measured(value, 99) for key, value in figures.items()})
    assert few.status is Status.INSUFFICIENT_EVIDENCE


def test_the_canary_names_the_trigger_that_fires() -> None:
    gate = judge("canary", errors=Measured(0.0011, 1000))
    assert gate.reason == "below the bar: error rate"


@given(st.data())
def test_a_failed_bar_is_never_outweighed(data: st.DataObject) -> None:
    preset = data.draw(st.sampled_from(sorted(BARS)))
    bar = data.draw(st.sampled_from(BARS[preset]))
    worse = bar.threshold + (-1.0 if ">" in bar.comparison else 1.0)
    others = {b.key: None for b in BARS[preset] if b.key != bar.key and data.draw(st.booleans())}
    assert judge(preset, **others, **{bar.key: Measured(worse, MANY)}).status is Status.FAIL


def test_service_judges_every_metric_of_the_operation() -> None:
    eased = {
        bar.key: Measured(bar.threshold + (1.0 if ">" in bar.comparison else -1.0), MANY)
        for bar in ps.SERVICE
    }
    assert ps.service(eased).status is Status.PASS
    assert ps.service({}).status is Status.INSUFFICIENT_EVIDENCE
    for bar in ps.SERVICE:
        worse = bar.threshold + (-1.0 if ">" in bar.comparison else 1.0)
        assert ps.service(eased | {bar.key: Measured(worse, MANY)}).status is Status.FAIL
    with pytest.raises(ValueError, match="mood"):
        ps.service({"mood": Measured(1.0, 1)})
