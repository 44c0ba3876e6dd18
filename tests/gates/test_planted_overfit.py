"""The plants are what they say, and what is counted is what the detectors said."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hybridnb import metrics
from hybridnb.gates import planted_overfit as po
from hybridnb.gates.planted_overfit import (
    ROWS,
    TRIALS,
    deflated,
    measure_drift,
    measure_dsr,
    measure_pbo,
    power,
    trials,
)

FEW = range(12)


def real(seed: int = 1) -> np.ndarray:
    """Returns of four names with heavy tails, clusters and a trend of their own."""
    rng = np.random.default_rng(seed)
    swing = np.exp(0.5 * np.sin(np.arange(1500) / 40.0))[:, None]
    return np.asarray(0.01 * swing * rng.standard_t(4, (1500, 4)) + 0.002, np.float64)


@pytest.mark.parametrize("source", [None, real()], ids=["made", "real"])
def test_one_trial_of_fifty_has_the_planted_sharpe_ratio(source: np.ndarray | None) -> None:
    """The sample's ratio has a standard error of about 1/√5; the mean of 40 one of 0.07."""
    best, rest = [], []
    for seed in range(40):
        bare, table = trials(seed, 0.0, real=source), trials(seed, 2.5, real=source)
        assert table.shape == (ROWS, TRIALS)
        moved = np.flatnonzero((table != bare).any(axis=0))
        assert len(moved) == 1
        best.append(metrics.sharpe(table[:, moved[0]]))
        rest.append(metrics.sharpe(bare[:, (moved[0] + 1) % TRIALS]))
    assert np.mean(best) == pytest.approx(2.5, abs=0.25)
    assert np.mean(rest) == pytest.approx(0.0, abs=0.25)


def test_real_returns_keep_their_tails_and_lose_their_trend() -> None:
    table = trials(3, 0.0, real=real())
    assert metrics.moments(table[:, 0])[1] > 4.0
    assert abs(table.mean()) < 0.0005
    centred = np.round(real() - real().mean(axis=0), 12)
    assert np.isin(np.round(table, 12), centred).all()


@pytest.mark.parametrize(
    "bad", [np.full(100, np.nan), np.zeros(100), np.ones((10, 3)), np.empty(0)]
)
def test_what_isn_t_returns_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="real returns"):
        trials(1, 0.0, real=bad)


def test_the_deflated_ratio_judges_the_best_trial_by_all_of_them() -> None:
    table = trials(4, 3.0)
    ratios = np.array([metrics.sharpe(c, per_year=1) for c in table.T])
    best = int(ratios.argmax())
    skew, kurtosis = metrics.moments(table[:, best])
    hurdle = ratios.std(ddof=1) * metrics.expected_maximum(TRIALS)
    expected = metrics.psr(ratios[best], hurdle, n=ROWS, skew=skew, kurtosis=kurtosis)
    assert deflated(table) == pytest.approx(expected)


@pytest.mark.parametrize("source", [None, real()], ids=["made", "real"])
def test_the_gate_lets_skill_pass_and_noise_not(source: np.ndarray | None) -> None:
    found = {row.plant: row for row in measure_dsr(range(50), real=source)}
    assert found["noise"].reached
    assert found["noise"].share <= 0.05
    assert found["Sharpe 2.5 among 50"].share >= 0.75
    assert found["Sharpe 2 among 50"].reached is None
    assert (
        found["noise"].share < found["Sharpe 2 among 50"].share < found["Sharpe 2.5 among 50"].share
    )


def test_pbo_tells_planted_skill_from_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(po, "cscv", lambda table: _fewer_blocks(table))
    noise, skill = measure_pbo(FEW)
    assert noise.mean == pytest.approx(0.5, abs=0.15)
    assert skill.reached
    assert (skill.caught, skill.tried) == (12, 12)
    assert skill.mean is not None
    assert skill.mean < 0.1


def test_the_bar_on_planted_skill_is_on_the_bound_of_the_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reached(odd: float, of: int) -> bool | None:
        figures = iter([0.5] * 50 + [odd] * of + [0.0] * (50 - of))
        monkeypatch.setattr(po, "cscv", lambda _: SimpleNamespace(pbo=next(figures)))
        return measure_pbo(range(50))[1].reached

    assert reached(0.2, 2)  # mean .008: two draws above .1 are no miss of the detector
    assert not reached(0.6, 8)  # mean .096, and its bound above .1


def _fewer_blocks(table: np.ndarray) -> object:
    from hybridnb.gates.overfit import cscv

    return cscv(table, 8)


def test_the_monitor_sees_steps_and_leaves_what_persists_alone() -> None:
    rows = {(row.detector, row.plant): row for row in measure_drift(range(8))}
    step = rows["drift monitor", "step of 0.75 deviations in white noise"]
    assert step.caught >= 7
    assert step.mean is not None
    assert 10.0 < step.mean < 45.0  # rows from the step to the alarm
    for plant in ("white noise", "AR(0.97)", "AR(0.99) under noise"):
        row = rows["drift monitor", f"{plant}, unchanged"]
        assert row.reached, row
    assert rows["drift check (PSI)", "AR(0.97), unchanged"].caught <= 2
    assert rows["drift check (PSI)", "step of 0.75 deviations in white noise"].caught == 8


def test_in_real_returns_a_step_is_seen_and_no_change_is_left_alone() -> None:
    step, unchanged = measure_drift(range(8), real=real()[:, 0])
    assert step.plant == "step of 0.75 deviations in real returns"
    assert step.caught >= 7
    assert unchanged.plant == "real returns, unchanged"
    assert unchanged.reached


@pytest.mark.parametrize("bad", [np.full(100, np.nan), np.empty(0), real()])
def test_what_isn_t_one_series_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="real series"):
        measure_drift([1], real=bad)


def test_a_detector_that_never_speaks_reaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(po, "deflated", lambda table: 0.0)
    rows = {row.plant: row for row in measure_dsr(range(2))}
    assert rows["Sharpe 2.5 among 50"].reached is False


def test_a_power_row_counts_and_knows_its_interval() -> None:
    row = power(
        "x",
        "y",
        [True] * 19 + [False],
        figures=[1.0, 3.0],
        bar="≥ 90 %",
        holds=lambda share, _: share >= 0.9,
    )
    assert (row.caught, row.tried, row.share, row.mean, row.reached) == (19, 20, 0.95, 2.0, True)
    assert row.low < 0.95 < row.high
