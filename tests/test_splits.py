"""Splits: known answers, agreement with skfolio, and no label that meets a test's."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.splits import CombinatorialPurged, Fold, PurgedWalkForward, walk_forward


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


def test_known_combinatorial_splits() -> None:
    assert CombinatorialPurged(n_folds=6, n_test_folds=2).get_n_splits() == 15
    assert CombinatorialPurged(n_folds=6, n_test_folds=2).paths().shape == (5, 6)
    three = CombinatorialPurged(n_folds=3, n_test_folds=2, purge=1, embargo=0.0)
    found = [train.tolist() for train, _ in three.split(np.zeros(12))]
    assert found == [[9, 10, 11], [5, 6], [0, 1, 2]]


def test_the_defaults_are_the_chapters() -> None:
    forward = PurgedWalkForward()
    assert (forward.n_splits, forward.purge, forward.embargo) == (5, 100, 0.01)
    assert (CombinatorialPurged().purge, CombinatorialPurged().embargo) == (100, 0.01)
    for train, test in forward.split(np.zeros(2000)):
        assert test[0] - train[-1] - 1 == 100 + 20


@pytest.mark.parametrize(("folds", "tests"), [(6, 2), (5, 3), (10, 8), (4, 2)])
@pytest.mark.parametrize(("rows", "purge", "embargo"), [(120, 0, 0), (131, 3, 0), (400, 5, 4)])
def test_combinatorial_splits_are_skfolios(
    folds: int, tests: int, rows: int, purge: int, embargo: int
) -> None:
    from skfolio.model_selection import CombinatorialPurgedCV

    theirs = CombinatorialPurgedCV(
        n_folds=folds, n_test_folds=tests, purged_size=purge, embargo_size=embargo
    )
    x, times = np.zeros((rows, 1)), np.arange(rows)
    for ours in (
        CombinatorialPurged(folds, tests, purge, embargo / rows),
        CombinatorialPurged(folds, tests, 77, embargo / rows, starts=times, ends=times + purge),
    ):
        pairs = list(zip(ours.split(x), theirs.split(x), strict=True))
        assert len(pairs) == theirs.n_splits
        for (train, test), (their_train, their_tests) in pairs:
            assert train.tolist() == their_train.tolist()
            assert test.tolist() == np.sort(np.concatenate(their_tests)).tolist()
        assert ours.paths().T.tolist() == theirs.recombined_paths.tolist()


@pytest.mark.parametrize(("horizon", "embargo"), [(1, 0), (20, 0), (5, 10)])
def test_walk_forward_is_skfolios(horizon: int, embargo: int) -> None:
    from skfolio.model_selection import WalkForward

    rows, least, splits = 1000, 300, 5
    apart = horizon + embargo
    length = (rows - least - apart) // splits
    rows = least + apart + splits * length
    theirs = WalkForward(test_size=length, train_size=least, purged_size=apart, expand_train=True)
    x, times = np.zeros((rows, 1)), np.arange(rows)
    share = embargo / rows
    for ours in (
        PurgedWalkForward(splits, horizon, share, least),
        PurgedWalkForward(splits, 77, share, least, starts=times, ends=times + horizon),
    ):
        pairs = list(zip(ours.split(x), theirs.split(x), strict=True))
        assert len(pairs) == ours.get_n_splits() == splits
        for mine, other in pairs:
            assert [part.tolist() for part in mine] == [part.tolist() for part in other]


def test_recombined_paths_test_every_row_once_each() -> None:
    """Rows carry the number of the split that tested them: a path takes each fold from one."""
    cv = CombinatorialPurged(n_folds=5, n_test_folds=2, purge=2)
    x = np.zeros(103)
    outputs = [np.full(len(test), k) for k, (_, test) in enumerate(cv.split(x))]
    found = cv.recombine(outputs)
    assert found.shape == (4, 103) and np.isfinite(found).all()
    for fold in range(5):
        inside = found[:, 20 * fold : 20 * (fold + 1) if fold < 4 else None]
        assert (np.ptp(inside, axis=1) == 0.0).all()  # one split tests a fold on a path
        assert len(set(inside[:, 0])) == 4  # and no two paths share it


@st.composite
def histories(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Rows of any order, several a time, with labels of any length."""
    times = np.array(draw(st.lists(st.integers(0, 120), min_size=40, max_size=160)))
    reach = np.array(draw(st.lists(st.integers(0, 9), min_size=len(times), max_size=len(times))))
    return times, times + reach


@given(histories(), st.floats(0.0, 0.05), st.integers(3, 6))
def test_no_label_meets_a_tests(
    history: tuple[np.ndarray, np.ndarray], embargo: float, folds: int
) -> None:
    starts, ends = history
    distinct = np.unique(starts)
    quiet = ceil(embargo * len(distinct))
    makers = (
        PurgedWalkForward(folds, 0, embargo, starts=starts, ends=ends),
        CombinatorialPurged(folds, 2, 0, embargo, starts=starts, ends=ends),
    )
    tested = np.zeros((2, len(starts)), int)
    for which, cv in enumerate(makers):
        try:
            pairs = list(cv.split(starts))
        except ValueError:
            continue  # too few times, or labels that reach too far: said, not answered
        assert len(pairs) == cv.get_n_splits()
        for train, test in pairs:
            assert len(train) and not set(train) & set(test)
            meets = (starts[train, None] <= ends[test]) & (ends[train, None] >= starts[test])
            assert not meets.any()
            if isinstance(cv, PurgedWalkForward):
                assert starts[train].max() < starts[test].min()
                gap = (distinct > ends[train].max()) & (distinct < starts[test].min())
                assert gap.sum() >= quiet
            tested[which, test] += 1
    if tested[1].any():
        assert (tested[1] == comb(folds - 1, 1)).all()  # every row on every path
    assert (tested[0] <= 1).all() and (not tested[0].any() or tested[0][starts.argmax()] == 1)


@given(st.integers(0, 6), st.integers(0, 6), st.integers(60, 140))
def test_the_embargo_after_a_test_is_held(purge: int, quiet: int, rows: int) -> None:
    cv = CombinatorialPurged(4, 1, purge, quiet / rows)
    for train, test in cv.split(np.zeros(rows)):
        assert not set(range(test[0] - purge, test[0])) & set(train)
        assert not set(range(test[-1] + 1, test[-1] + 1 + purge + quiet)) & set(train)
        rest = set(range(rows)) - set(range(test[0] - purge, test[-1] + 1 + purge + quiet))
        assert rest == set(train)


def test_rows_of_one_session_stay_together_in_any_order() -> None:
    """A panel sorted by symbol, with datetimes: sessions are split, not rows."""
    days = pd.date_range("2024-01-01", periods=200, freq="B")
    starts, ends = np.tile(days, 3), np.tile(days.shift(5), 3)
    for cv in (
        PurgedWalkForward(starts=starts, ends=ends),
        CombinatorialPurged(starts=starts, ends=ends),
    ):
        for train, test in cv.split(starts):
            assert len(test) == 3 * len(np.unique(starts[test]))
            assert len(train) == 3 * len(np.unique(starts[train]))


@pytest.mark.parametrize("cv", [PurgedWalkForward(4, 3), CombinatorialPurged(5, 2, 3)])
def test_scikit_learn_takes_them(cv: PurgedWalkForward | CombinatorialPurged) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score

    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3))
    y = (x[:, 0] + 0.5 * rng.normal(size=400) > 0).astype(int)
    scores = cross_val_score(LogisticRegression(), x, y, cv=cv)
    assert len(scores) == cv.get_n_splits() and scores.mean() > 0.75
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, cv=cv).fit(x, y)
    assert search.n_splits_ == cv.get_n_splits() and search.best_score_ > 0.75


@pytest.mark.parametrize("maker", [PurgedWalkForward, CombinatorialPurged])
@pytest.mark.parametrize(
    ("given_", "why"),
    [
        ({"starts": np.arange(100)}, "together"),
        ({"starts": np.arange(99), "ends": np.arange(99)}, "shapes"),
        ({"starts": np.arange(100), "ends": np.full(100, np.nan)}, "no end"),
        ({"starts": np.arange(100), "ends": np.arange(100) - 1}, "before it starts"),
        ({"starts": np.zeros(100), "ends": np.ones(100)}, "too few"),
        ({"embargo": 1.0}, "embargo"),
        ({"purge": -1}, "purge"),
        ({"embargo": 0.0, "purge": 500}, "too few|purged"),
    ],
)
def test_labels_that_cant_be_purged_by_are_refused(
    maker: type[PurgedWalkForward], given_: dict[str, object], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        list(maker(**given_).split(np.zeros(100)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("folds", "tests"), [(3, 3), (3, 0), (1, 1)])
def test_folds_that_cant_be_meant_are_refused(folds: int, tests: int) -> None:
    with pytest.raises(ValueError, match="n_test_folds"):
        list(CombinatorialPurged(folds, tests).split(np.zeros(100)))
