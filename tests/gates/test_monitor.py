"""The monitor: a step is seen within a quarter, and what only persists is left alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Status
from hybridnb.gates.memory import Memory
from hybridnb.gates.monitor import Bars, decision_interval, monitor, monitor_check

ROWS, YEARS = 1000, 1260
QUICK = Bars(draws=80)


def series(seed: int, rows: int, planted: Memory | None = None) -> np.ndarray:
    return (planted or Memory()).draw(rows, np.random.default_rng(seed))


def page(steps: np.ndarray, threshold: float) -> tuple[list[float], list[int]]:
    """Page's recursion a row at a time, with its restarts."""
    found, alarms, level = [], [], 0.0
    for at, step in enumerate(steps):
        level = max(0.0, level + step)
        found.append(level)
        if level > threshold:
            alarms.append(at)
            level = 0.0
    return found, alarms


def siegmund(threshold: float, allowance: float) -> float:
    """Average run length of a two-sided chart of standard normals with known level."""
    b = 2.0 * allowance * (threshold + 1.166)
    return float((np.exp(b) - b - 1.0) / (2.0 * allowance**2)) / 2.0


def test_a_long_reference_of_white_noise_has_siegmund_s_interval() -> None:
    """Alarms are rare and nearly independent: 20 % in 1,260 rows are one in 5,650."""
    found = decision_interval(8_000, Memory(), bars=Bars(draws=800))
    assert siegmund(found, 0.375) == pytest.approx(-YEARS / np.log(1.0 - 0.20), rel=0.35)


def test_the_chart_is_page_s_recursion_of_normal_scores() -> None:
    """On a normal reference of many rows the scores are the values, but for the last digits."""
    reference, current = series(1, 100_000), series(2, 300) + np.repeat([0.0, 1.0], 150)
    found = monitor(reference, current, bars=Bars(draws=20))
    up, alarms = page(current - 0.375, found.threshold)
    first = found.alarms[0]
    assert first == alarms[0]
    np.testing.assert_allclose(found.up[: first + 1], up[: first + 1], atol=0.2)
    assert found.statistic[first] > found.threshold
    assert found.up[first + 1] == pytest.approx(max(0.0, current[first + 1] - 0.375), abs=0.05)
    assert len(found.alarms) == pytest.approx(len(alarms), abs=2)


def test_a_fall_is_seen_as_a_rise_is() -> None:
    reference, current = series(3, ROWS), series(4, 100) + 1.0
    rise, fall = monitor(reference, current), monitor(-reference, -current)
    assert rise.alarms == fall.alarms
    np.testing.assert_allclose(fall.down, rise.up, atol=1e-9)


def test_a_step_of_three_quarters_in_white_noise_alarms_within_sixty_rows() -> None:
    caught = 0
    for seed in range(30):
        whole = series(seed, ROWS + 60)
        caught += bool(monitor(whole[:ROWS], whole[ROWS:] + 0.75, bars=QUICK).alarms)
    assert caught >= 28


@pytest.mark.parametrize(
    "planted", [Memory(), Memory(1.0, 0.97), Memory(0.5, 0.99)], ids=["white", "AR", "under noise"]
)
def test_an_unchanged_series_alarms_less_than_once_in_five_years(planted: Memory) -> None:
    alarms = []
    for seed in range(12):
        whole = series(seed, ROWS + YEARS, planted)
        alarms.append(len(monitor(whole[:ROWS], whole[ROWS:], bars=QUICK).alarms))
    assert np.mean(alarms) <= 1.0


def test_heavy_tails_alarm_no_more_than_normal_ones() -> None:
    alarms = []
    for seed in range(12):
        whole = np.random.default_rng(seed).standard_cauchy(ROWS + YEARS)
        alarms.append(bool(monitor(whole[:ROWS], whole[ROWS:], bars=QUICK).alarms))
    assert sum(alarms) <= 6  # of 12 at 20 %: more than 6 has chance 0.4 %


def test_a_large_move_of_a_persistent_series_is_seen_within_a_year() -> None:
    caught = 0
    for seed in range(10):
        whole = series(seed, ROWS + 250, Memory(1.0, 0.9))
        caught += bool(monitor(whole[:ROWS], whole[ROWS:] + 2.0, bars=QUICK).alarms)
    assert caught >= 9


@given(seed=st.integers(0, 1000), power=st.sampled_from([1.0, 3.0]))
def test_any_rising_transformation_leaves_the_chart_as_it_is(seed: int, power: float) -> None:
    whole = series(seed, 300, Memory(0.5, 0.9))
    bars = Bars(draws=5)
    found = monitor(whole[:250], whole[250:], bars=bars)
    other = monitor(np.exp(whole[:250]) ** power, np.exp(whole[250:]) ** power, bars=bars)
    np.testing.assert_array_equal(found.up, other.up)
    assert found.threshold == other.threshold


@given(seed=st.integers(0, 1000))
def test_what_comes_later_changes_no_earlier_alarm(seed: int) -> None:
    whole = series(seed, 500) + np.repeat([0.0, 0.8], [300, 200])
    bars = Bars(draws=5)
    all_of_it = monitor(whole[:250], whole[250:], bars=bars)
    first = monitor(whole[:250], whole[250:400], bars=bars)
    assert first.alarms == tuple(at for at in all_of_it.alarms if at < 150)
    np.testing.assert_array_equal(first.up, all_of_it.up[:150])


def test_a_row_without_a_value_leaves_the_chart_as_it_was() -> None:
    reference, current = series(5, ROWS), series(6, 80) + 0.3
    holed = np.insert(current, 40, [np.nan, np.nan])
    found, other = (monitor(reference, c, bars=QUICK) for c in (current, holed))
    assert other.up[40] == other.up[41] == found.up[39]
    np.testing.assert_array_equal(np.delete(other.up, [40, 41]), found.up)


def test_a_longer_memory_takes_a_higher_interval() -> None:
    found = [
        decision_interval(ROWS, planted, bars=QUICK)
        for planted in (Memory(), Memory(1.0, 0.5), Memory(1.0, 0.9), Memory(1.0, 0.97))
    ]
    assert found == sorted(found)
    assert found[-1] > 10.0 * found[0]


def test_a_seed_gives_the_same_interval() -> None:
    found = [decision_interval(300, Memory(1.0, 0.5), seed=s, bars=QUICK) for s in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        (np.empty(0), "250 needed"),
        (series(1, 2), "250 needed"),
        (np.full(1000, np.nan), "250 needed"),
        (np.full(1000, 7.0), "constant"),
    ],
)
def test_no_reference_no_evidence(reference: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        monitor(reference, series(1, 100))
    check = monitor_check("x", reference, series(1, 100))
    assert check.status is Status.INSUFFICIENT_EVIDENCE
    assert why in check.detail


@pytest.mark.parametrize(
    "current",
    [
        np.empty(0),
        np.array([0.1, 0.2]),
        np.full(100, np.nan),
        np.zeros(100),
        np.where(np.arange(200) % 3, series(2, 200), np.nan),
    ],
    ids=["nothing", "two rows", "NaN", "constant", "a third missing"],
)
def test_silence_on_bad_rows_is_no_pass(current: np.ndarray) -> None:
    check = monitor_check("x", series(1, ROWS), current, bars=QUICK)
    assert check.status is Status.INSUFFICIENT_EVIDENCE


def test_what_can_t_be_seen_within_a_year_is_no_pass() -> None:
    walk = np.cumsum(series(3, 1500))
    check = monitor_check("walk", walk[:1000], walk[1000:], bars=QUICK)
    assert check.status is not Status.PASS


def test_the_check_fails_once_it_alarmed_and_passes_what_is_unchanged() -> None:
    reference, current = series(1, ROWS), series(20, 250)
    passed = monitor_check("x", reference, current, bars=QUICK)
    failed = monitor_check("x", reference, current + 1.0, bars=QUICK)
    assert (passed.status, passed.n) == (Status.PASS, 250)
    assert failed.status is Status.FAIL
    assert passed.threshold == failed.threshold
    assert passed.value is not None
    assert failed.value is not None
    assert passed.threshold is not None
    assert passed.value < passed.threshold < failed.value
    assert "first at row" in failed.detail


def test_an_infinite_value_counts_as_the_reference_s_extreme() -> None:
    reference = series(1, ROWS)
    found = monitor(reference, [np.inf, -np.inf], bars=QUICK)
    assert np.isfinite(found.statistic).all()
    assert found.up[0] == monitor(reference, [reference.max() + 1.0], bars=QUICK).up[0]


def dated(values: np.ndarray, start: str) -> pd.Series:
    return pd.Series(values, pd.date_range(start, periods=len(values), freq="B"))


def test_a_reference_that_reaches_into_the_present_or_beyond_is_refused() -> None:
    reference, current = dated(series(1, 300), "2020-01-01"), series(2, 100)
    later = dated(current, "2022-01-03")
    assert monitor_check("x", reference, later, bars=QUICK).status is Status.PASS
    for bad in (dated(current, "2021-01-04"), dated(current, "2019-01-01"), later[::-1]):
        check = monitor_check("x", reference, bad, bars=QUICK)
        assert check.status is Status.INSUFFICIENT_EVIDENCE
        with pytest.raises(ValueError, match=r"dates|begin"):
            monitor(reference, bad)


def test_dates_that_have_no_part_in_it_change_nothing() -> None:
    reference, current = series(1, 300), series(2, 100)
    plain = monitor(reference, current, bars=QUICK)
    by_date = monitor(dated(reference, "2020-01-01"), dated(current, "2022-01-03"), bars=QUICK)
    np.testing.assert_array_equal(plain.up, by_date.up)
