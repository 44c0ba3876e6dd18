"""Calibration's pictures and tables say what the gate's report says, of planted probabilities."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybridnb.app.gallery_calibration import (
    LEAST,
    Calibrations,
    bins_of,
    calibrations,
    reliability_pictures,
)
from hybridnb.app.home import shipped
from hybridnb.app.settings import settings
from hybridnb.gates.calibration import Bars, calibrated_report
from hybridnb.gates.rates import rate

FAST = Bars(draws=60)
REGIMES = np.repeat(["range", "trend", "crisis"], [500, 400, 10])


def planted(seed: int = 1, *, shift: float = 0.25) -> tuple[Any, Any, Any]:
    """Outcomes of true chances, and outputs that are right, or wrong by `shift`."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.2, 0.7, len(REGIMES))
    return (rng.random(len(REGIMES)) < truth).astype(float), truth, truth + shift


@pytest.fixture(scope="module")
def found() -> Calibrations:
    y, truth, wrong = planted()
    before = calibrated_report(y, wrong, REGIMES, seed=1, bars=FAST)
    after = calibrated_report(y, truth, REGIMES, seed=1, bars=FAST)
    return Calibrations(before, after, len(y), ("2013-01-01", "2013-02-28"))


def test_the_table_has_both_sides_of_each_regime_and_their_intervals(found: Calibrations) -> None:
    table = found.table()
    assert list(table["regime"]) == ["pooled", "pooled", "trend", "trend", "range", "range"]
    assert list(table["outputs"]) == ["before", "after"] * 3
    for regime in ("pooled", "range", "trend"):
        mine = table[table["regime"] == regime].set_index("outputs")
        assert mine.loc["before", "ece"] == pytest.approx(0.25, abs=0.06)
        assert mine.loc["after", "ece"] < 0.1 < mine.loc["before", "ece"]
        assert mine.loc["after", "brier"] < mine.loc["before", "brier"]
    part = found.after.parts[0]
    assert table.iloc[1]["ece"] == round(part.ece.value, 4)
    assert table.iloc[1]["ece 95 %"] == f"{part.ece.low:.3f} to {part.ece.high:.3f}"


def test_a_regime_with_few_rows_has_no_picture_of_its_own_and_is_no_pass(
    found: Calibrations,
) -> None:
    gate = found.gate().set_index("check")
    assert gate.loc["ECE, crisis", "status"] == "INSUFFICIENT_EVIDENCE"
    assert "crisis" not in found.regimes().alt and "trend" in found.regimes().alt


def test_bins_are_the_report_s_with_exact_intervals(found: Calibrations) -> None:
    bins, curve = bins_of(found.after, 0), found.after.parts[0].curve
    filled = curve.count > 0
    assert list(bins["count"]) == list(curve.count[filled])
    np.testing.assert_array_equal(bins["observed"], curve.observed[filled])
    for row in bins.to_dict("records"):
        share, low, high = rate(round(row["observed"] * row["count"]), row["count"])
        assert (row["observed low"], row["observed high"]) == (low, high)
        assert low <= share <= high
    covered = (bins["observed low"] <= bins["predicted"]) & (
        bins["predicted"] <= bins["observed high"]
    )
    assert covered.mean() >= 0.8  # true chances lie within their intervals


def test_pictures_are_the_same_each_time_and_leave_tiny_bins_to_the_table(
    found: Calibrations,
) -> None:
    y, truth, _ = planted()
    few = calibrated_report(np.r_[y, 1.0, 0.0], np.r_[truth, 0.95, 0.96], seed=1, bars=FAST)
    bins = bins_of(few, 0)
    assert bins["count"].iloc[-1] == 2 < LEAST
    one, two = (reliability_pictures([("x", few, 0, "#123456")], title="T") for _ in range(2))
    assert one.svg == two.svg and len(one.table) == len(bins)
    for picture in (found.picture(), found.regimes(), found.scores()):
        assert picture.alt in repr(picture) and picture.svg.startswith("<svg")


def test_both_sides_are_asked_about_the_same_rows(panel_of: Any) -> None:
    closes = 10.0 * np.cumprod(1.0 + np.random.default_rng(3).normal(0, 0.02, (260, 3)), axis=0)
    panel = panel_of(closes)
    chance = np.random.default_rng(4).uniform(0.2, 0.8, closes.shape)
    chance[:, 2] = np.nan  # one name was never calibrated
    raw = np.full(closes.shape, 0.9)
    raw[50:, 1] = np.nan  # another has no output any more
    panel = replace(
        panel,
        columns={**panel.columns, "win_long": chance, "short_raw": raw, "mid_raw": raw},
    )
    keys = pd.MultiIndex.from_product([panel.symbols, panel.sessions], names=["symbol", "session"])
    prices = closes.T.ravel()
    bars = pd.DataFrame(
        {"open": prices, "high": prices * 1.01, "low": prices * 0.99, "close": prices}, index=keys
    ).reset_index()
    frame = bars[["symbol", "session"]].assign(atr=bars["close"] * 0.02)
    chosen = settings(shipped("params"))
    context: Any = SimpleNamespace(
        features=frame,
        market=SimpleNamespace(bars=bars),
        settings=chosen,
        learning=chosen.learning("smoke"),
        seed=7,
    )
    model: Any = SimpleNamespace(trained_to=f"{panel.sessions[-1]:%Y-%m-%d}")
    found = calibrations(context, panel, model, bars=FAST)
    assert found.before.parts[0].n == found.after.parts[0].n == found.rows
    held = len(panel.sessions) * (1.0 - chosen.day.holdout)
    assert 0 < found.rows <= len(panel.sessions) - int(held)  # of one name alone
    assert found.before.parts[0].curve.count[9] == found.rows  # the outputs as they were: 0.9
    assert found.sessions[1] == f"{panel.sessions[-1]:%Y-%m-%d}"
