"""Drawings: what a line keeps when it is thinned, and where its points stand."""

from __future__ import annotations

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.dashboard.draw import bars, binned, line, thinned

NUMBERS = st.floats(-1e9, 1e9)


def points(svg: str, shape: str = "polyline") -> list[tuple[float, float]]:
    found = re.search(rf'<{shape} points="([^"]*)"', svg)
    assert found
    pairs = (pair.split(",") for pair in found[1].split())
    return [(float(x), float(y)) for x, y in pairs]


def test_a_line_goes_from_left_to_right_between_its_extremes() -> None:
    assert points(line([1.0, 3.0, 2.0], label="x")) == [(0, 100), (500, 0), (1000, 50)]


def test_a_flat_line_stands_in_the_middle() -> None:
    assert points(line([7.0, 7.0], label="x")) == [(0, 50), (1000, 50)]


def test_what_is_lost_hangs_from_the_top() -> None:
    svg = line([0.0, -0.01], label="x", floor=-0.02)
    assert points(svg) == [(0, 0), (1000, 50)]
    assert points(svg, "polygon") == [(0, 0), (0, 0), (1000, 50), (1000, 0)]


def test_an_unknown_value_is_left_out() -> None:
    assert points(line([1.0, math.nan, 2.0], label="x")) == [(0, 100), (1000, 0)]
    assert line([math.nan], label="x") == ""


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.integers(2, 20))
def test_thinning_keeps_the_ends_the_peak_and_the_trough(values: list[float], most: int) -> None:
    kept = thinned(values, most)
    assert len(kept) <= most + 4
    assert kept == sorted(kept)
    assert all(values[at] == value for at, value in kept)
    assert kept[0][0] == 0
    assert kept[-1][0] == len(values) - 1
    assert {min(values), max(values)} <= {value for _, value in kept}


@given(st.lists(NUMBERS), st.integers(1, 50))
def test_every_value_is_in_one_bin(values: list[float], bins: int) -> None:
    counts = binned([*values, math.nan], low=0.0, high=1.0, bins=bins)
    assert len(counts) == bins
    assert sum(counts) == len(values)


def test_bins_are_half_open_and_the_ends_take_what_is_outside() -> None:
    assert binned([-1.0, 0.0, 0.49, 0.5, 1.0, 9.0], low=0.0, high=1.0, bins=2) == [3, 3]


def test_columns_are_as_high_as_their_counts_and_cuts_are_dashed_lines() -> None:
    svg = bars([0, 1, 2, 4], label='a "b"', at=(0.5, 2.0))
    heights = re.findall(r'<rect x="([\d.]+)" .*?height="([\d.]+)"', svg)
    assert heights == [("251.0", "25.00"), ("501.0", "50.00"), ("751.0", "100.00")]
    assert re.findall(r'<line x1="([\d.]+)"', svg) == ["500.0"]
    assert 'aria-label="a &#34;b&#34;"' in svg
