"""Drift: what moved is named, what only persists isn't."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter
from scipy.stats import ks_2samp

from hybridnb.domain import Status
from hybridnb.gates.drift import CORRELATION, Bars, drift, effective_size
from hybridnb.gates.evidence import Check

ROWS, NOW = 1500, 250
SEEDS = range(40)


def persistent(phi: float, n: int, *, seed: int) -> np.ndarray:
    """A stationary first-order autoregression of unit variance."""
    noise = np.random.default_rng(seed).normal(size=n + 500)
    whole = lfilter([np.sqrt(1.0 - phi**2)], [1.0, -phi], noise)
    return np.asarray(whole[500:], np.float64)


def one(reference: np.ndarray, current: np.ndarray, *, seed: int = 1) -> Check:
    return drift(pd.DataFrame({"x": reference}), pd.DataFrame({"x": current}), seed=seed)[0]


def level(check: Check) -> str:
    return check.detail.partition(":")[0]


@pytest.mark.parametrize(("phi", "beyond_the_plain_bar"), [(0.0, 0), (0.9, 5), (0.95, 15)])
def test_an_unchanged_series_seldom_alarms_though_its_psi_is_beyond_the_plain_bar(
    phi: float, beyond_the_plain_bar: int
) -> None:
    found = []
    for seed in SEEDS:
        series = persistent(phi, ROWS + NOW, seed=seed)
        found.append(one(series[:ROWS], series[ROWS:]))
    beyond = [c for c in found if c.value is not None and c.value > 0.20]
    assert len(beyond) >= beyond_the_plain_bar
    assert all(c.threshold is not None and c.threshold >= 0.20 for c in beyond)
    # A few per cent: the null is itself estimated from one stretch of the series.
    assert sum(check.status is not Status.PASS for check in found) <= 2
    assert sum(level(check) == "HIGH" for check in found) <= 2


@pytest.mark.parametrize(("phi", "least"), [(0.0, 20), (0.7, 20), (0.9, 19)])
def test_a_shift_of_two_deviations_is_critical(phi: float, least: int) -> None:
    caught = 0
    for seed in range(20):
        series = persistent(phi, ROWS + NOW, seed=seed)
        caught += one(series[:ROWS], series[ROWS:] + 2.0).status is Status.FAIL
    assert caught >= least


def test_a_change_of_spread_alone_is_critical() -> None:
    rng = np.random.default_rng(2)
    assert one(rng.normal(size=ROWS), rng.normal(0.0, 3.0, NOW)).status is Status.FAIL
    assert one(rng.normal(size=ROWS), rng.normal(0.0, 0.3, NOW)).status is Status.FAIL


@pytest.mark.parametrize(("rows", "status"), [(249, "INSUFFICIENT_EVIDENCE"), (250, "PASS")])
def test_fewer_than_250_rows_on_either_side_are_no_evidence(rows: int, status: str) -> None:
    rng = np.random.default_rng(3)
    many, few = rng.normal(size=ROWS), rng.normal(size=rows)
    assert one(many, few).status == status and one(many, few).n == rows
    # Missing rows don't count; the other side is judged alike.
    assert one(many, np.append(few, np.full(100, np.nan))).n == rows
    assert (one(few, rng.normal(size=ROWS)).status is Status.INSUFFICIENT_EVIDENCE) == (rows < 250)


def moved_psi(target: float) -> tuple[np.ndarray, np.ndarray]:
    """Ten equal bins, and a present that moves rows from the fifth to the sixth one.

    Both stay inside the range; each bin holds `1000` evenly spread values.
    """
    reference = np.arange(10_000) / 10_000.0
    low, high = 0, 1000
    while low < high:  # the fewest moved rows that reach the target
        k = (low + high) // 2
        share = np.array([0.1 - k / 10_000, 0.1 + k / 10_000])
        reached = float(((share - 0.1) * np.log(np.maximum(share, 1e-4) / 0.1)).sum())
        low, high = (low, k) if reached >= target else (k + 1, high)
    current = reference.copy()
    current[4000 : 4000 + low] += 0.1
    return reference, current


@pytest.mark.parametrize(
    ("psi", "ks", "expected"),
    [
        (0.04, 1.0, "NONE"),
        (0.06, 1.0, "LOW"),
        (0.12, 0.5, "MODERATE"),
    ],
)
def test_levels_by_psi(psi: float, ks: float, expected: str) -> None:
    """A move between neighbouring bins shows in PSI; the KS bar decides if it is HIGH."""
    reference, current = moved_psi(psi)
    rng = np.random.default_rng(0)
    check = drift(
        pd.DataFrame({"x": rng.permutation(reference)}),
        pd.DataFrame({"x": rng.permutation(current)}),
        seed=1,
        bars=Bars(ks=0.0),
    )[0]
    assert check.value == pytest.approx(psi, abs=0.003) and level(check) == expected
    high = drift(
        pd.DataFrame({"x": rng.permutation(reference)}),
        pd.DataFrame({"x": rng.permutation(current)}),
        seed=1,
        bars=Bars(ks=1.0),
    )[0]
    assert level(high) == ("HIGH" if psi >= 0.10 else expected)


@pytest.mark.parametrize(
    ("inside", "expected"), [(0.81, "NONE"), (0.79, "HIGH"), (0.51, "HIGH"), (0.49, "CRITICAL")]
)
def test_levels_by_coverage(inside: float, expected: str) -> None:
    """Rows just outside the range hardly move PSI's open bins; coverage sees them."""
    reference = np.random.default_rng(4).permutation(np.repeat([0.0, 1.0], ROWS // 2))
    current = np.repeat([0.0, 1.0], 500)
    outside = round((1.0 - inside) * 1000 / 2)
    current[:outside], current[-outside:] = -1e-9, 1.0 + 1e-9
    bars = Bars(critical=99.0, ks=0.0, low=98.0, moderate=98.5)
    check = drift(pd.DataFrame({"x": reference}), pd.DataFrame({"x": current}), seed=1, bars=bars)[
        0
    ]
    assert f"coverage {inside:.2f}" in check.detail and level(check) == expected
    assert (check.status is Status.FAIL) == (expected == "CRITICAL")


@pytest.mark.parametrize(("missing", "expected"), [(0.15, "PASS"), (0.25, "HIGH"), (0.6, "FAIL")])
def test_what_went_missing_isnt_covered(missing: float, expected: str) -> None:
    rng = np.random.default_rng(5)
    reference, current = rng.normal(size=5000), rng.normal(size=1000)
    reference[[0, 1]] = -9.0, 9.0  # so that nothing lies outside
    current[: int(1000 * missing)] = np.nan
    check = one(reference, current)
    assert f"missing {missing:.2f}" in check.detail
    assert level(check) == "HIGH" if expected == "HIGH" else check.status == expected
    # A column that always had holes has lost nothing.
    reference[: int(5000 * missing)] = np.nan
    assert level(one(reference, current)) in ("NONE", "LOW")


def test_a_column_that_vanished_is_no_evidence() -> None:
    reference = pd.DataFrame({"x": np.random.default_rng(6).normal(size=ROWS)})
    found = drift(reference, pd.DataFrame({"y": np.ones(NOW)}), seed=1)
    assert [(c.name, c.status) for c in found] == [("x", Status.INSUFFICIENT_EVIDENCE)]


def test_the_effective_size_of_independent_rows_is_their_number() -> None:
    white, slow = persistent(0.0, 20_000, seed=1), persistent(0.9, 20_000, seed=1)
    assert effective_size(white) == pytest.approx(20_000, rel=0.05)
    assert effective_size(slow) == pytest.approx(20_000 * 0.1 / 1.9, rel=0.1)
    assert effective_size(np.ones(10)) == 10.0 and effective_size(np.arange(10.0)) >= 2.0
    assert effective_size(np.resize([1.0, -1.0], 100)) == 100.0


def test_the_ks_test_of_independent_rows_is_scipys() -> None:
    rng = np.random.default_rng(8)
    reference, current = rng.normal(size=4000), rng.normal(0.1, 1.0, 1000)
    found = float(one(reference, current).detail.partition("KS p ")[2].partition(",")[0])
    assert found == pytest.approx(ks_2samp(reference, current, method="asymp").pvalue, abs=0.01)


def pair(correlation: float, n: int, *, seed: int) -> pd.DataFrame:
    x, e = np.random.default_rng(seed).normal(size=(2, n))
    return pd.DataFrame({"x": x, "y": correlation * x + np.sqrt(1.0 - correlation**2) * e})


def test_a_change_of_correlation_is_measured_and_named() -> None:
    same = drift(pair(0.6, ROWS, seed=1), pair(0.6, NOW, seed=2), seed=3)[-1]
    turned = drift(pair(0.6, ROWS, seed=1), pair(-0.6, NOW, seed=2), seed=3)
    assert same.name == CORRELATION and level(same) == "NONE"
    assert turned[-1].value == pytest.approx(1.2, abs=0.1) and level(turned[-1]) == "HIGH"
    # The columns themselves haven't moved, and correlation alone blocks nothing.
    assert all(check.status is Status.PASS for check in turned)


def test_unchanged_correlation_seldom_alarms() -> None:
    found = [drift(pair(0.3, 800, seed=s), pair(0.3, NOW, seed=s + 99), seed=1) for s in SEEDS[:20]]
    assert sum(level(checks[-1]) == "HIGH" for checks in found) <= 2


def test_a_constant_column_has_no_correlation_but_others_do() -> None:
    reference, current = pair(0.5, ROWS, seed=1), pair(0.5, NOW, seed=2)
    found = drift(reference.assign(c=1.0), current.assign(c=1.0), seed=1)
    assert found[-1].value == drift(reference, current, seed=1)[-1].value
    alone = drift(reference[["x"]].assign(c=1.0), current[["x"]].assign(c=1.0), seed=1)
    assert alone[-1].status is Status.INSUFFICIENT_EVIDENCE


def test_the_same_seed_gives_the_same_findings() -> None:
    series = persistent(0.95, ROWS + NOW, seed=4)
    first, second, other = (one(series[:ROWS], series[ROWS:] + 1.0, seed=s) for s in (1, 1, 2))
    assert first == second and first.threshold != other.threshold
