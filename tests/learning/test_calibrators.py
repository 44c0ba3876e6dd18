"""Calibrated probabilities mean what they say, and knew nothing of what came later."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.learning.calibrators import Kind, expanding_calibration, fit_calibrator

KINDS: tuple[Any, ...] = get_args(Kind)
NAN = np.nan


def sharp(n: int, *, slope: float, shift: float = 0.0, seed: int = 0) -> Any:
    """Outputs whose logits are `slope` times too large and shifted, and their outcomes."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0.0, 0.7, n)
    y = (rng.random(n) < 1.0 / (1.0 + np.exp(-logit))).astype(float)
    return 1.0 / (1.0 + np.exp(-(slope * logit + shift))), y


def ece(p: np.ndarray, y: np.ndarray) -> float:
    """Expected calibration error, 10 equal bins."""
    place = np.minimum((p * 10).astype(int), 9)
    gaps = [abs(p[place == b].sum() - y[place == b].sum()) for b in range(10)]
    return float(sum(gaps) / len(p))


def panel(sessions: int, symbols: int, *, seed: int = 0, **over: Any) -> Any:
    """Keys, outputs, outcomes and regimes of a panel, sorted by (symbol, session)."""
    days = pd.bdate_range("2020-01-01", periods=sessions)
    keys = pd.DataFrame(
        {"symbol": np.repeat(list("ABCDEFGH")[:symbols], sessions), "session": [*days] * symbols}
    )
    p, y = sharp(len(keys), seed=seed, **({"slope": 3.0} | over))
    regime = pd.Series(np.where(keys["session"].dt.month % 2 == 1, "trend", "range"))
    return keys, p, y, regime


@pytest.mark.parametrize("kind", KINDS)
def test_planted_miscalibration_is_mended(kind: Kind) -> None:
    p, y = sharp(4000, slope=3.0)
    fresh, truth = sharp(4000, slope=3.0, seed=1)
    assert ece(fresh, truth) > 0.10
    assert ece(fit_calibrator(kind, p, y)(fresh), truth) < 0.03


def test_platt_and_temperature_find_the_planted_numbers() -> None:
    p, y = sharp(40_000, slope=2.0, shift=1.0)
    logit = lambda q: np.log(q / (1 - q))  # noqa: E731
    found = logit(fit_calibrator("platt", p, y)(np.array([0.5, 0.8])))
    wanted = (logit(np.array([0.5, 0.8])) - 1.0) / 2.0
    np.testing.assert_allclose(found, wanted, atol=0.05)
    p, y = sharp(40_000, slope=2.0)
    found = logit(fit_calibrator("temperature", p, y)(np.array([0.8])))
    np.testing.assert_allclose(found, logit(0.8) / 2.0, atol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_order_is_kept(kind: Kind) -> None:
    p, y = sharp(1000, slope=1.5)
    q = fit_calibrator(kind, p, y)(np.linspace(0.0, 1.0, 101))
    assert (np.diff(q) >= 0.0).all()
    assert (q > 0.0).all()
    assert (q < 1.0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_outcomes_of_one_kind_give_laplace_s_rate(kind: Kind) -> None:
    p = np.linspace(0.3, 0.7, 8)
    np.testing.assert_allclose(fit_calibrator(kind, p, np.ones(8))(p), 9 / 10)
    np.testing.assert_allclose(fit_calibrator(kind, p, np.zeros(8))(p), 1 / 10)
    np.testing.assert_allclose(fit_calibrator(kind, np.full(8, 0.4), np.arange(8) % 2)(p), 1 / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_expanding_calibration_mends_what_comes_after(kind: Kind) -> None:
    keys, raw, y, regime = panel(500, 5)
    found = expanding_calibration(keys, raw, y, 5, kind=kind, regime=regime)
    known = np.isfinite(found)
    assert known.mean() > 0.8
    assert ece(found[known], y[known]) < 0.4 * ece(raw[known], y[known])


def test_nothing_before_enough_outcomes_were_known() -> None:
    keys, raw, y, _ = panel(100, 2)
    found = expanding_calibration(keys, raw, y, 10, kind="platt", refit_every=20, min_rows=60)
    at = np.tile(np.arange(100), 2)
    # Two symbols: after session s, 2·(s − 10) outcomes are known; 60 of them at the refit of 40.
    assert np.isnan(found[at < 40]).all()
    assert np.isfinite(found[at >= 40]).all()


def test_an_unknown_output_has_no_probability() -> None:
    keys, raw, y, _ = panel(200, 2)
    holes = np.arange(len(raw)) % 3 == 0
    found = expanding_calibration(keys, np.where(holes, NAN, raw), y, 5, kind="platt", min_rows=50)
    assert np.isnan(found[holes]).all()
    assert np.isfinite(found[~holes]).sum() > 100


def test_a_regime_with_enough_rows_has_its_own() -> None:
    keys, raw, y, regime = panel(500, 4)
    trend = (regime == "trend").to_numpy()
    y = np.where(trend, y, 1.0 - y)  # in a range the outputs are upside down
    found = expanding_calibration(keys, raw, y, 5, kind="platt", regime=regime)
    pooled = expanding_calibration(keys, raw, y, 5, kind="platt")
    late = np.isfinite(found) & (keys["session"] > "2020-09-01").to_numpy()
    assert np.corrcoef(raw[late & trend], found[late & trend])[0, 1] > 0.9
    assert np.corrcoef(raw[late & ~trend], found[late & ~trend])[0, 1] < -0.9
    assert np.mean((found - y)[late] ** 2) < np.mean((pooled - y)[late] ** 2)


def test_a_regime_with_few_rows_is_pooled() -> None:
    keys, raw, y, _ = panel(300, 3)
    rare = pd.Series(np.where(keys["session"].dt.day == 1, "crisis", "range"))
    named = expanding_calibration(keys, raw, y, 5, kind="platt", regime=rare)
    pooled = expanding_calibration(keys, raw, y, 5, kind="platt")
    crisis = (rare == "crisis").to_numpy() & np.isfinite(pooled)
    assert crisis.any()
    np.testing.assert_array_equal(named[crisis], pooled[crisis])


@given(cut=st.integers(30, 110), kind=st.sampled_from(KINDS), seed=st.integers(0, 9))
def test_what_comes_later_changes_nothing_earlier(cut: int, kind: Kind, seed: int) -> None:
    keys, raw, y, regime = panel(120, 3, seed=seed)
    at, horizon = np.tile(np.arange(120), 3), 7
    rng = np.random.default_rng(seed + 100)
    other_raw = np.where(at > cut, rng.random(len(raw)), raw)
    # At the close of session `cut`, outcomes of rows from `cut − horizon` on aren't all known.
    other_y = np.where(at >= cut - horizon, 1.0 - y, y)
    over: dict[str, Any] = {"kind": kind, "regime": regime, "min_rows": 40, "refit_every": 10}
    before = expanding_calibration(keys, raw, y, horizon, **over)
    after = expanding_calibration(keys, other_raw, other_y, horizon, **over)
    np.testing.assert_array_equal(before[at <= cut], after[at <= cut])


def test_more_history_changes_nothing_already_said() -> None:
    keys, raw, y, regime = panel(400, 3)
    early = (keys["session"] <= "2021-03-01").to_numpy()
    cut = [v[early].reset_index(drop=True) for v in (keys, regime)]
    labels = np.where(np.isfinite(y), y, NAN)
    whole = expanding_calibration(keys, raw, labels, 5, kind="platt", regime=regime)
    part = expanding_calibration(cut[0], raw[early], labels[early], 5, kind="platt", regime=cut[1])
    assert np.isfinite(part).any()
    np.testing.assert_array_equal(part, whole[early])
