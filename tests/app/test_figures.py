"""Pictures are well-formed, say what they show, and are the same each time."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from hybridnb.app import figures
from hybridnb.app.canvas import ACCENT, DOWN, UP

SESSIONS = pd.bdate_range("2020-01-01", periods=40)
BARS = pd.DataFrame(
    {
        "session": SESSIONS,
        "open": 10.0,
        "high": 11.0,
        "low": 9.0,
        "close": np.linspace(9.5, 10.5, 40),
    }
)
DECIDED = pd.DataFrame(
    {"symbol": list("ABC"), "score": [0.8, 0.5, np.nan], "action": ["BUY", "HOLD", "HOLD"]}
)
BINS = pd.DataFrame({"count": [10, 20], "predicted": [0.2, 0.6], "observed": [0.25, 0.55]})
CAUSES = [("A at its stop", -12_345_600, "F5, F6"), ("B still held", 345_601, "F7, F8")]

DRAWINGS: dict[str, Callable[[], figures.Picture]] = {
    "scores": lambda: figures.scores(DECIDED, buy=0.67, sell=0.33),
    "equity": lambda: figures.equity_curve(
        pd.Series([100.0, 90.0, 95.0], index=SESSIONS[:3]), title="Book"
    ),
    "one session": lambda: figures.equity_curve(pd.Series([1.0], index=SESSIONS[:1]), title="B"),
    "reliability": lambda: figures.reliability(BINS),
    "usage": lambda: figures.usage({"core": 0.8}, {"core": 0.9, "penny": 0.02}),
    "brackets": lambda: figures.brackets(BARS, [("stop", 9.0), ("target", 12.0)], symbol="A<&"),
    "curves": lambda: figures.curves({"a": [1.0, 0.5], "b": [2.0]}, x="step", y="loss"),
    "causes": lambda: figures.causes(CAUSES, currency="CAD", title="Causes"),
    "a cause's odd name": lambda: figures.causes(
        [("A$x^2$<b>" + "&" * 200, -1, "F1, F2")], currency="$_$", title="Causes"
    ),
    "waterfall": lambda: figures.waterfall([("base", 0.7), ("= score", 0.7)], title="A"),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_picture_is_well_formed_and_named(name: str) -> None:
    picture = DRAWINGS[name]()
    root = ElementTree.fromstring(picture.svg)
    assert root.tag.endswith("svg")
    assert root.attrib["aria-label"] == picture.alt
    assert picture.alt in repr(picture)


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_picture_is_the_same_each_time_and_asks_for_nothing(name: str) -> None:
    first, second = DRAWINGS[name]().svg, DRAWINGS[name]().svg
    assert first == second
    assert 'href="http' not in first and "<image" not in first


def test_the_drawdown_in_words_is_the_deepest() -> None:
    assert "worst drawdown -10.00%" in DRAWINGS["equity"]().alt


def test_scores_leave_out_what_is_unknown() -> None:
    assert list(DRAWINGS["scores"]().table["symbol"]) == ["A", "B"]


def test_the_causes_end_at_their_sum_each_with_its_sign_and_evidence() -> None:
    picture = DRAWINGS["causes"]()
    assert picture.table["amount"].tolist() == [-1234.56, 34.5601, -1199.9999]
    for text in ("A at its stop", "-1,234.56", "F5, F6", "+34.56", "-1,200.00", "day P&amp;L"):
        assert text in picture.svg
    bars = re.findall(r"fill: (#[0-9a-f]{6})", picture.svg)
    assert {UP, DOWN, ACCENT} <= set(bars)
