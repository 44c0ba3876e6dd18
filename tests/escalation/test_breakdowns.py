"""Facts with names, by hand: what is unknown isn't there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.escalation.breakdowns import hit_rates, sector_dispersion, shares, turnover


def test_sectors_disperse_by_their_own_names() -> None:
    closes = np.ones((21, 6)) * 100.0
    closes[-1] = [110, 90, 120, 100, 105, np.nan]
    sectors = ["energy", "energy", "banks", "", "banks", "banks"]
    found = sector_dispersion(closes, sectors)
    assert list(found) == ["banks", "energy"]
    assert found["energy"] == pytest.approx(math.sqrt(0.02))
    assert found["banks"] == pytest.approx(np.std([0.20, 0.05], ddof=1))
    assert sector_dispersion(closes, ["a", "b", "c", "d", "e", "f"]) == {}
    assert sector_dispersion(closes[1:], sectors) == {}
    with pytest.raises(ValueError, match="one sector a column"):
        sector_dispersion(closes, sectors[:5])


def test_shares_are_of_equity_and_may_be_negative() -> None:
    pnl = {"core": 500.0, "penny": -250.0, "fno": math.nan, "sip": 0.0}
    assert shares(pnl, 10_000.0) == {"core": 0.05, "penny": -0.025, "sip": 0.0}
    for equity in (0.0, -1.0, math.nan, math.inf):
        assert shares(pnl, equity) == {}


def test_turnover_of_a_day_a_week_and_a_month() -> None:
    traded = np.arange(1.0, 22.0)
    assert turnover(traded, 100.0) == {
        "daily_turnover": 0.21,
        "weekly_turnover": 0.95,
        "monthly_turnover": 2.31,
    }
    assert list(turnover(traded[1:], 100.0)) == ["daily_turnover", "weekly_turnover"]
    traded[3] = np.nan
    assert list(turnover(traded, 100.0)) == ["daily_turnover", "weekly_turnover"]
    assert turnover([], 100.0) == turnover(traded, 0.0) == {}
    with pytest.raises(ValueError, match="one figure a session"):
        turnover(np.ones((3, 2)), 1.0)


def test_hit_rates_of_one_that_knows_one_that_errs_and_one_that_is_silent() -> None:
    rng = np.random.default_rng(0)
    ahead = rng.normal(0, 0.02, (80, 7))
    ahead[-5:] = np.nan
    features = {
        "wise": ahead + 5.0,
        "contrary": -ahead,
        "late": np.where(np.arange(80)[:, None] < 45, ahead, -ahead),
        "silent": np.ones((80, 7)),
        "absent": np.full((80, 7), np.nan),
    }
    features["wise"][-5:] = features["contrary"][-5:] = features["late"][-5:] = 1.0
    found = hit_rates(features, ahead)
    assert found == {"contrary": 0.0, "late": 0.5, "wise": 1.0}
    assert hit_rates(features, ahead, orientation={"contrary": -1})["contrary"] == 1.0
    assert hit_rates(features, ahead[:, :1] * np.full(7, np.nan)) == {}
    with pytest.raises(ValueError, match="shape"):
        hit_rates({"odd": np.ones((80, 6))}, ahead)


def test_hit_rates_need_sixty_resolved_sessions() -> None:
    ahead = np.random.default_rng(1).normal(0, 0.02, (60, 4))
    assert hit_rates({"wise": ahead}, ahead) == {"wise": 1.0}
    ahead[7] = np.nan
    assert hit_rates({"wise": ahead}, ahead) == {}


@given(st.integers(0, 2**32 - 1))
def test_the_markets_direction_is_no_features_merit(seed: int) -> None:
    """The same rise for every name, or the same shift of a feature, changes no hit."""
    rng = np.random.default_rng(seed)
    ahead, feature = np.round(rng.normal(0, 1, (2, 60, 5)), 3)
    feature[rng.random(feature.shape) < 0.1] = np.nan
    day, shift = rng.integers(-5, 6, (2, 60, 1))
    once = hit_rates({"f": feature}, ahead)
    assert hit_rates({"f": 8 * feature}, 2 * ahead) == once
    moved = hit_rates({"f": feature + shift}, ahead + day)
    assert moved["f"] == pytest.approx(once["f"], abs=0.01)
    turned = hit_rates({"f": feature}, ahead, orientation={"f": -1})
    assert turned["f"] == pytest.approx(1.0 - once["f"])
