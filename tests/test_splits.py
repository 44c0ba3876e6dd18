"""Walk-forward folds: order, distance and completeness for any history."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.splits import Fold, walk_forward


def test_known_folds() -> None:
    # 1,000 sessions: 20 purged and 10 of embargo leave 770 to test, cut into five.
    found = walk_forward(1000, splits=5, purge=20, embargo=0.01, min_train=200)
    assert found == [
        Fold(200, 230, 384),
        Fold(354, 384, 538),
        Fold(508, 538, 692),
        Fold(662, 692, 846),
        Fold(816, 846, 1000),
    ]
    assert walk_forward(1000, purge=20, min_train=200) == found


def test_a_training_row_labelled_ahead_never_sees_its_test() -> None:
    horizon = 20
    for fold in walk_forward(1000, purge=horizon, embargo=0.0, min_train=200):
        last_known = fold.train_end - 1 + horizon
        assert last_known < fold.test_start


plans = st.fixed_dictionaries(
    {
        "sessions": st.integers(0, 4000),
        "splits": st.integers(1, 12),
        "purge": st.integers(0, 150),
        "embargo": st.floats(0.0, 0.1),
        "min_train": st.integers(1, 800),
    }
)


@given(plans)
def test_folds_are_apart_in_order_and_complete(plan: dict[str, float]) -> None:
    sessions = int(plan["sessions"])
    folds = walk_forward(
        sessions,
        splits=int(plan["splits"]),
        purge=int(plan["purge"]),
        embargo=plan["embargo"],
        min_train=int(plan["min_train"]),
    )
    apart = plan["purge"] + plan["embargo"] * sessions
    for fold in folds:
        assert fold.train_end >= plan["min_train"]
        assert fold.test_start - fold.train_end >= apart - 1e-6
        assert fold.test_start < fold.test_end
    for earlier, later in pairwise(folds):
        assert earlier.test_end == later.test_start and earlier.train_end < later.train_end
    if folds:
        assert len(folds) == plan["splits"] and folds[-1].test_end == sessions
        sizes = [fold.test_end - fold.test_start for fold in folds]
        assert max(sizes) - min(sizes) <= 1
    else:
        assert sessions < plan["min_train"] + apart + plan["splits"] + 1


@pytest.mark.parametrize("sessions", [0, 234])
def test_a_short_history_has_no_folds_rather_than_fewer(sessions: int) -> None:
    assert walk_forward(sessions, splits=5, purge=20, embargo=0.04, min_train=200) == []


def test_the_shortest_history_gives_tests_of_one_session() -> None:
    folds = walk_forward(225, splits=5, purge=20, embargo=0.0, min_train=200)
    assert [fold.test_end - fold.test_start for fold in folds] == [1] * 5
    assert walk_forward(224, splits=5, purge=20, embargo=0.0, min_train=200) == []


@pytest.mark.parametrize(
    "plan",
    [
        {"splits": 0},
        {"purge": -1},
        {"min_train": 0},
        {"embargo": 1.0},
        {"embargo": -0.01},
        {"embargo": float("nan")},
    ],
)
def test_what_cant_be_meant_is_refused(plan: dict[str, float]) -> None:
    whole: dict[str, float] = {"splits": 5, "purge": 0, "embargo": 0.01, "min_train": 100} | plan
    with pytest.raises(ValueError, match="splits"):
        walk_forward(1000, **whole)  # type: ignore[arg-type]
