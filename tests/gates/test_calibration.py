"""Calibration by regime: what scikit-learn finds, and intervals that know how little is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from hybridnb import metrics
from hybridnb.domain import Status
from hybridnb.gates.calibration import POOLED, Bars, Report, calibrated_report, grade

QUICK = Bars(draws=100)


def honest(seed: int, n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes that come as often as was said."""
    rng = np.random.default_rng(seed)
    p = rng.beta(2.0, 2.0, n)
    return (rng.uniform(size=n) < p).astype(np.float64), p


def boastful(p: np.ndarray) -> np.ndarray:
    """The same opinion, said with three times the certainty."""
    return np.asarray(1.0 / (1.0 + ((1.0 - p) / p) ** 3.0), np.float64)


def checks(report: Report) -> dict[str, Status]:
    return {check.name: check.status for check in report.checks}


@given(seed=st.integers(0, 10_000))
def test_the_figures_are_scikit_learn_s(seed: int) -> None:
    y, p = honest(seed, 300)
    part = calibrated_report(y, p, seed=1, bars=Bars(draws=2)).parts[0]
    assert part.brier.value == pytest.approx(brier_score_loss(y, p), rel=1e-12)
    assert part.log_loss.value == pytest.approx(log_loss(y, p), rel=1e-9)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="uniform")
    filled = part.curve.count > 0
    np.testing.assert_allclose(part.curve.observed[filled], observed)
    np.testing.assert_allclose(part.curve.predicted[filled], predicted)
    assert part.curve.count.sum() == 300
    weight = part.curve.count[filled] / 300
    assert part.ece.value == pytest.approx(float(weight @ np.abs(observed - predicted)))


def test_honest_probabilities_are_good_and_boastful_ones_poor() -> None:
    y, p = honest(1, 4000)
    good = calibrated_report(y, p, seed=1, bars=QUICK)
    poor = calibrated_report(y, boastful(p), seed=1, bars=QUICK)
    assert good.parts[0].grade == "good"
    assert set(checks(good).values()) == {Status.PASS}
    assert poor.parts[0].grade == "poor"
    assert checks(poor)["ECE, pooled"] is Status.FAIL
    assert good.parts[0].brier.value < poor.parts[0].brier.value


def test_only_the_regime_that_is_off_fails() -> None:
    y, p = honest(2, 4000)
    regime = np.tile(["trend", "range", "crisis", "breakout"], 1000)
    said = np.where(regime == "crisis", boastful(p), p)
    report = calibrated_report(y, said, regime, seed=1, bars=QUICK)
    assert [part.regime for part in report.parts] == [
        *(POOLED, "trend", "range", "crisis", "breakout"),
    ]
    off = [part.regime for part in report.parts if part.grade == "poor"]
    assert off == ["crisis"]
    assert checks(report)["ECE, crisis"] is Status.FAIL
    assert checks(report)["ECE, trend"] is Status.PASS
    own = regime == "crisis"
    assert report.parts[3].brier.value == metrics.brier(y[own], said[own])
    assert report.parts[3].n == 1000


def test_thirty_rows_have_a_calibration_of_their_own_and_twenty_nine_are_pooled() -> None:
    y, p = honest(3, 400)
    regime = np.full(400, "range", "U8")
    regime[:30], regime[30:59] = "crisis", "trend"
    report = calibrated_report(y, p, regime, seed=1, bars=QUICK)
    assert [part.regime for part in report.parts] == [POOLED, "range", "crisis"]
    assert report.pooled_only == (("trend", 29),)
    assert report.parts[0].n == 400
    assert checks(report)["ECE, trend"] is Status.INSUFFICIENT_EVIDENCE


def test_the_brier_interval_covers_as_often_as_it_says() -> None:
    """The truth is known: of p ~ Beta(2, 2) an honest Brier score is E p(1 − p) = 1/5."""
    covered, bars = 0, Bars(draws=100, confidence=0.9)
    for seed in range(40):
        y, p = honest(seed, 300)
        found = calibrated_report(y, p, seed=seed, bars=bars).parts[0].brier
        covered += found.low <= 0.2 <= found.high
    assert 30 <= covered <= 40  # 36 expected; fewer than 30 has chance 0.2 %


def test_fewer_rows_make_a_wider_interval() -> None:
    widths = []
    for n in (250, 4000):
        y, p = honest(4, n)
        found = calibrated_report(y, p, seed=1, bars=QUICK).parts[0].brier
        widths.append(found.high - found.low)
    assert widths[0] > 2.0 * widths[1]


def test_neighbours_that_are_alike_widen_the_interval_too() -> None:
    """Each outcome fifty times over says no more than once."""
    y, p = honest(5, 40)
    few = calibrated_report(y, p, seed=1).parts[0].brier
    many = calibrated_report(np.repeat(y, 50), np.repeat(p, 50), seed=1).parts[0].brier
    assert many.high - many.low > 0.5 * (few.high - few.low)


def test_the_base_rate_itself_has_no_skill_and_fails() -> None:
    y, _ = honest(6)
    report = calibrated_report(y, np.full(1000, y.mean()), seed=1, bars=QUICK)
    assert report.parts[0].skill.value == pytest.approx(0.0, abs=1e-12)
    assert checks(report)["Brier skill, pooled"] is Status.FAIL
    assert checks(report)["ECE, pooled"] is Status.PASS


@pytest.mark.parametrize(
    ("ece", "said"),
    [(0.0, "good"), (0.05, "moderate"), (0.0999, "moderate"), (0.1, "poor"), (1.0, "poor")],
)
def test_grades(ece: float, said: str) -> None:
    assert grade(ece) == said


def test_no_grade_without_an_ece() -> None:
    with pytest.raises(ValueError, match="ECE"):
        grade(float("nan"))


def test_one_class_has_no_skill_to_show() -> None:
    report = calibrated_report(np.ones(300), np.full(300, 0.9), seed=1, bars=QUICK)
    assert checks(report)["Brier skill, pooled"] is Status.INSUFFICIENT_EVIDENCE
    assert np.isnan(report.parts[0].skill.value)


def test_two_rows_are_no_evidence() -> None:
    report = calibrated_report([0.0, 1.0], [0.1, 0.9], ["crisis", "trend"], seed=1)
    assert set(checks(report).values()) == {Status.INSUFFICIENT_EVIDENCE}


BAD = {
    "nothing": ([], [], None),
    "a hole": ([0.0, np.nan], [0.1, 0.2], None),
    "a probability above one": ([0.0, 1.0], [0.1, 1.2], None),
    "lengths": ([0.0, 1.0], [0.1], None),
    "half an outcome": ([0.0, 0.5], [0.1, 0.2], None),
    "regimes": ([0.0, 1.0], [0.1, 0.2], ["trend"]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_evidence_is_refused(name: str) -> None:
    y, p, regime = BAD[name]
    with pytest.raises(ValueError, match=r"\w"):
        calibrated_report(y, p, regime, seed=1)


def test_the_frames_hold_what_the_parts_hold() -> None:
    y, p = honest(7, 600)
    report = calibrated_report(y, p, np.tile(["trend", "range"], 300), seed=1, bars=QUICK)
    table = report.frame()
    assert table["regime"].tolist() == [POOLED, "trend", "range"]
    assert table["n"].tolist() == [600, 300, 300]
    assert table.loc[1, "ece"] == report.parts[1].ece.value
    assert table.loc[2, "brier_low"] == report.parts[2].brier.low
    curve = report.curve_frame()
    assert len(curve) == 30
    assert curve.groupby("regime")["count"].sum().to_dict() == {
        **{POOLED: 600, "trend": 300, "range": 300}
    }


def test_a_seed_gives_the_same_bounds() -> None:
    y, p = honest(8, 300)
    found = [calibrated_report(y, p, seed=s, bars=QUICK).parts[0].ece for s in (3, 3, 4)]
    assert found[0] == found[1]
    assert found[0].low != found[2].low
