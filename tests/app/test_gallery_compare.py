"""The picture of a session run again counts rows, and shows those that differ."""

from __future__ import annotations

import pytest

from hybridnb.app.canvas import DOWN
from hybridnb.app.consistency import Comparison
from hybridnb.app.gallery_compare import compared_picture
from hybridnb.app.rerun import Way
from hybridnb.app.row_differences import Difference

KINDS = {"decision": 5, "order": 2, "session_opened": 1}


def comparison(*differences: Difference) -> Comparison:
    return Comparison("book", "2013-03-01", "", Way.COMPUTED, KINDS, differences)


def test_equal_rows_are_all_of_one_colour() -> None:
    found = compared_picture(comparison())
    assert found.table.to_dict("list") == {
        "kind": ["decision", "order", "session_opened"],
        "compared": [5, 2, 1],
        "differ": [0, 0, 0],
    }
    assert "8 rows compared, 0 differ" in found.alt and "all equal" in found.svg


def test_a_row_counts_once_however_many_fields_differ() -> None:
    fields = [Difference("decision", "A", name, 1, 2) for name in ("score", "action", "bound")]
    found = compared_picture(comparison(*fields, Difference("decision", "B", "score", 1, 2)))
    assert found.table["differ"].tolist() == [2, 0, 0]
    assert "2 of 5 differ" in found.svg and found.svg.count(DOWN) > compared_picture(
        comparison()
    ).svg.count(DOWN)


@pytest.mark.parametrize("differences", [(), (Difference("fill", "x", "row", "present", "–"),)])
def test_it_is_the_same_each_time(differences: tuple[Difference, ...]) -> None:
    one, two = (compared_picture(comparison(*differences)) for _ in range(2))
    assert one.svg == two.svg and one.alt in repr(one)


def test_nothing_compared_still_draws() -> None:
    empty = Comparison("book", "2013-03-01", "", Way.INPUTS, {}, ())
    assert "0 rows compared" in compared_picture(empty).alt
