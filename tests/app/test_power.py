"""The power page: measurements told as they are, and a miss said first."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from hybridnb.app.cli import cli
from hybridnb.app.power import measure_power, real_returns
from hybridnb.app.power_page import chart, frame_of, power_page
from hybridnb.gates.planted_overfit import Power, power


def told(reached: bool | None) -> Power:
    holds = None if reached is None else lambda share, mean: reached
    return power("leaks", "a <plant>", [True, False], bar="both" if holds else "", holds=holds)


def quiet(text: str) -> None:
    """Nothing is said."""


def test_a_miss_is_said_first_and_names_what_fell_short() -> None:
    page = power_page(
        [("here", told(True)), ("there", told(False)), ("there", told(None))], seeds=2
    )
    assert "1 fall short: leaks, a &lt;plant&gt; (there)" in page
    assert page.index("Planted in here") < page.index("Planted in there")
    assert "All 1 that have a bar reach it." in power_page([("here", told(True))], seeds=2)


def test_each_state_has_its_word_and_its_sign() -> None:
    found = [("here", told(state)) for state in (True, False, None)]
    assert list(frame_of(found)["state"]) == ["reached", "missed", "shown only"]
    assert "1 short of what they must reach" in chart(found).alt


@pytest.mark.parametrize("names", [2, 5])
def test_real_returns_are_of_sessions_that_all_names_share(names: int) -> None:
    sessions = pd.bdate_range("2015-01-01", periods=400)
    rng = np.random.default_rng(names)
    parts = [
        pd.DataFrame(
            {
                "symbol": f"N{i}",
                "session": sessions[10 * i :],
                "close": np.exp(rng.normal(size=400))[10 * i :],
            }
        )
        for i in range(names)
    ]
    found = real_returns(pd.concat(parts))
    assert found.shape[1] >= 2 and len(found) >= 300
    assert np.isfinite(found).all()


def test_the_command_writes_the_same_figures_twice_and_a_page(tmp_path: Path) -> None:
    one = measure_power([], seeds=1, first=3, say=quiet)
    again = CliRunner().invoke(cli, ["power", "--seeds", "1", "--first", "3", "--json"])
    two = json.loads(again.stdout)
    assert one["rows"] == two["rows"] and one["report"] == two["report"]
    assert again.exit_code == (1 if two["missed"] else 0)
    kept = json.loads(Path(one["report"]).with_name("power.json").read_text(encoding="utf-8"))
    assert kept["rows"] == one["rows"]
    assert {row["detector"] for row in kept["rows"]} >= {"leaks", "stamps", "PBO", "kill switch"}


def test_an_unknown_feed_is_refused_before_anything_is_measured() -> None:
    done = CliRunner().invoke(cli, ["power", "--feed", "nosuch"])
    assert done.exit_code == 2 and "nosuch" in done.stderr
