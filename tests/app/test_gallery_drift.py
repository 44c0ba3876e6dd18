"""Drift's pictures: levels are the gate's, a planted move alarms, an unchanged series doesn't."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from hybridnb.app.context import Request, open_day
from hybridnb.app.drifting import drifts
from hybridnb.app.gallery_drift import Drifts, drift_of, level_of
from hybridnb.domain import Status
from hybridnb.gates.drift import drift
from hybridnb.gates.evidence import Check


def planted(shift: float) -> Drifts:
    """Three features of noise, of which one moves by so many deviations."""
    rng, columns = np.random.default_rng(5), ["calm", "moved", "other"]
    sessions = pd.bdate_range("2010-01-01", periods=1500)
    values = pd.DataFrame(rng.normal(size=(1500, 3)), index=sessions, columns=columns)
    values.iloc[1250:, 1] += shift
    reference, current = values.iloc[:1250], values.iloc[1250:]
    return Drifts(reference, current, drift(reference, current, seed=1), 1)


@pytest.fixture(scope="module")
def moved() -> Drifts:
    return planted(1.5)


def test_a_planted_move_is_first_critical_and_alarms_at_its_place(moved: Drifts) -> None:
    table = moved.table()
    assert table["feature"].iloc[0] == "moved" == moved.foremost
    assert table["level"].iloc[0] == "CRITICAL"
    assert table["PSI"].iloc[0] > table["critical above"].iloc[0]
    name, found = moved.watch()
    assert name == "moved" and found.alarms and found.alarms[0] < 30
    assert found.up[: found.alarms[0] + 1].max() > found.threshold > found.down.max()
    assert moved.monitored()["status"].tolist() == ["FAIL"]


def test_an_unchanged_series_is_calm(moved: Drifts) -> None:
    by_name = moved.table().set_index("feature")
    assert by_name.loc["calm", "level"] in ("NONE", "LOW")
    said = moved.monitored("calm", "other")
    assert said["status"].tolist() == ["PASS", "PASS"]
    assert (said["largest CUSUM"] < said["interval"]).all()


def test_levels_are_those_of_the_checks(moved: Drifts) -> None:
    by_name = moved.table().set_index("feature")
    for check in moved.checks:
        row = by_name.loc[check.name]
        assert row["level"] == check.detail.split(":")[0]
        assert row["PSI"] == check.value
        assert (check.status is Status.FAIL) == (row["level"] == "CRITICAL")
    assert math.isnan(by_name.loc["correlation of the columns", "critical above"])
    assert level_of(Check("x", Status.INSUFFICIENT_EVIDENCE, "3 rows, 250 needed", 3)) == "–"


def test_pictures_carry_their_tables_and_are_the_same_each_time(moved: Drifts) -> None:
    twice = planted(1.5)
    for one, two in (
        (moved.levels(), twice.levels()),
        (moved.chart("calm"), twice.chart("calm")),
        (moved.distributions(), twice.distributions()),
    ):
        assert one.svg == two.svg and one.alt in repr(one)
    assert len(moved.chart("calm").table) == len(moved.current)
    assert "0 alarms" in moved.chart("calm").alt and "0 alarms" not in moved.chart("moved").alt
    drawn = moved.distributions().table.set_index("feature")
    assert drawn.loc["moved", "mean now"] == pytest.approx(moved.current["moved"].mean(), abs=1e-4)
    assert "correlation of the columns" not in drawn.index


def test_a_short_history_is_shown_without_levels() -> None:
    sessions = pd.bdate_range("2010-01-01", periods=60)
    values = pd.DataFrame({"a": np.arange(60.0), "b": np.ones(60)}, index=sessions)
    few = Drifts(values[:30], values[30:], drift(values[:30], values[30:], seed=1), 1)
    assert set(few.table()["level"]) == {"–"} and few.foremost == "a"
    assert few.levels().alt.startswith("PSI of 0 features")
    assert few.monitored()["status"].tolist() == ["INSUFFICIENT_EVIDENCE"]


def test_a_day_s_drift_is_the_gate_s() -> None:
    context = open_day(Request(session="2013-03-01"))
    found = drift_of(context)
    assert list(found.checks) == drifts(context)
    assert len(found.current) == 250 and found.reference.index[-1] < found.current.index[0]
