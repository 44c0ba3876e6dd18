"""The sentinel: silent on honest pipelines, loud on those that know what they can't know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Status
from hybridnb.errors import UsageError
from hybridnb.gates.evidence import Check
from hybridnb.gates.rules import SENTINEL
from hybridnb.gates.sentinel import Floats, Material, Pipeline, Rows, ridge, sentinel
from hybridnb.gates.shuffling import make_grid, shuffled
from hybridnb.splits import PurgedWalkForward

SESSIONS = 400


def material(
    seed: int, *, skill: float = 0.0, columns: int = 6, horizon: int = 1, symbols: int = 1
) -> Material:
    """Returns with a drift and a common factor; the first feature knows them a little."""
    rng = np.random.default_rng(seed)
    size = (SESSIONS + horizon, symbols)
    daily = 0.001 + rng.normal(0.0, 0.01, size) + rng.normal(0.0, 0.01, (size[0], 1))
    ahead = sum(daily[k : k + SESSIONS] for k in range(horizon))
    features = rng.normal(size=(SESSIONS, symbols, columns))
    features[:, :, 0] += skill * ahead / np.std(ahead)
    session = np.repeat(np.arange(SESSIONS), symbols)
    forward = np.asarray(ahead).ravel()
    cv = PurgedWalkForward(3, starts=session, ends=session + horizon)
    return Material(
        features=features.reshape(-1, columns),
        labels=(forward > 0.0).astype(np.float64),
        forward=forward,
        sessions=session,
        folds=list(cv.split(session)),
        symbols=np.tile(np.arange(symbols), SESSIONS),
        horizon=horizon,
    )


def peeking(x: Floats, y: Floats, train: Rows, test: Rows) -> Floats:
    """A tenth of its output is the label it is tested on."""
    return ridge(x, y, train, test) + 0.1 * y[test]


def choosing(x: Floats, y: Floats, train: Rows, test: Rows) -> Floats:
    """Chooses the features on all rows, then trains honestly."""
    link = np.abs((y - y.mean()) @ x)
    return ridge(x[:, np.argsort(link)[-2:]], y, train, test)


def encoding(x: Floats, y: Floats, train: Rows, test: Rows) -> Floats:
    """Replaces the first feature's bins by the mean label of all rows in them."""
    group = np.argsort(np.argsort(x[:, 0])) * 40 // len(x)
    mean = np.bincount(group, y) / np.bincount(group)
    return ridge(mean[group][:, None], y, train, test)


def test_an_honest_pipeline_is_quiet_and_its_test_has_power() -> None:
    quiet, planted = sentinel(ridge, material(1), seed=5)
    assert (quiet.name, planted.name) == SENTINEL
    assert quiet.status is planted.status is Status.PASS
    assert quiet.n == planted.n == 200 and planted.value == pytest.approx(1 / 201)
    assert quiet.value is not None and quiet.threshold is not None
    assert quiet.value <= quiet.threshold
    assert "below 0.1" in quiet.detail and "true labels" in quiet.detail


def test_skill_is_found_in_true_labels_and_none_in_shuffled_ones() -> None:
    quiet, _ = sentinel(ridge, material(2, skill=0.8), seed=5)
    assert quiet.status is Status.PASS and quiet.detail.endswith("p 0.0050")


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize(("pipeline", "columns"), [(peeking, 6), (choosing, 30), (encoding, 6)])
def test_a_pipeline_that_knows_its_test_is_exposed(
    pipeline: Pipeline, columns: int, horizon: int
) -> None:
    quiet, _ = sentinel(pipeline, material(3, columns=columns, horizon=horizon), seed=5)
    assert quiet.status is Status.FAIL
    assert quiet.value is not None and quiet.value > 0.1 and "not below 0.1" in quiet.detail


def test_a_test_that_doesnt_fire_says_so() -> None:
    """A pipeline that never looks at what is planted has no power."""

    def blind(x: Floats, y: Floats, train: Rows, test: Rows) -> Floats:
        return ridge(x[:, :2], y, train, test)

    _, planted = sentinel(blind, material(4), seed=5)
    assert planted.status is Status.FAIL and "no power" in planted.detail


def test_outputs_that_stand_still_on_the_plant_are_no_find() -> None:
    """A NaN is above no shuffle, and must not pass for having fired."""

    def faints(x: Floats, y: Floats, train: Rows, test: Rows) -> Floats:
        return ridge(x, y, train, test) if x.shape[1] == 6 else np.full(len(test), np.nan)

    quiet, planted = sentinel(faints, material(4), seed=5)
    assert quiet.status is Status.PASS
    assert planted.status is Status.INSUFFICIENT_EVIDENCE and "don't move" in planted.detail


def test_a_rising_market_is_no_skill() -> None:
    """Outputs that are long throughout earn the drift, and count for nothing."""
    given_ = material(5)
    rising = replace(given_, forward=given_.forward + 0.01)
    quiet, _ = sentinel(lambda x, y, train, test: 5.0 + x[test, 0], rising, seed=5)
    assert quiet.status is Status.PASS


def test_a_name_that_rises_throughout_is_no_skill() -> None:
    """A shuffle of sessions leaves each name its own mean, which a column of names can learn."""
    given_ = material(5, symbols=3)
    name = np.asarray(given_.symbols, np.float64)
    rising = replace(
        given_,
        features=np.column_stack([given_.features, name]),
        labels=given_.labels + name,
        forward=given_.forward + 0.01 * name,
    )
    quiet, _ = sentinel(ridge, rising, seed=5)
    assert quiet.status is Status.PASS


def test_the_same_seed_says_the_same() -> None:
    assert sentinel(ridge, material(6), seed=7) == sentinel(ridge, material(6), seed=7)
    assert sentinel(ridge, material(6), seed=8) != sentinel(ridge, material(6), seed=7)


def test_a_panel_with_gaps_and_missing_values_is_tested() -> None:
    given_ = material(7, symbols=2, horizon=3)
    features = given_.features.copy()
    features[:40:3] = np.nan
    labels = np.where(np.arange(len(features)) >= len(features) - 6, np.nan, given_.labels)
    kept = np.arange(len(features)) % 17 > 0
    holes = replace(given_, features=features, labels=np.where(kept, labels, np.nan))
    quiet, planted = sentinel(ridge, holes, seed=5)
    assert quiet.status is planted.status is Status.PASS


def lacking(**change: object) -> tuple[Check, Check]:
    return sentinel(ridge, replace(material(8), **change), seed=5)  # type: ignore[arg-type]


ZEROS = np.zeros(SESSIONS)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"labels": ZEROS}, "all the same"),
        ({"labels": ZEROS + np.nan}, "0 usable rows"),
        ({"forward": ZEROS}, "all the same"),
        ({"features": np.ones((SESSIONS, 3))}, "constant"),
        ({"features": np.full((SESSIONS, 3), np.inf)}, "0 usable rows"),
        ({"folds": []}, "no fold"),
        ({"folds": [(np.array([], int), np.arange(9))]}, "no fold"),
        ({"horizon": 40}, "blocks"),
        (
            {"labels": np.where(np.arange(SESSIONS) < 249, 1.0 * (np.arange(400) % 2), np.nan)},
            "249",
        ),
    ],
)
def test_bad_evidence_is_not_enough(change: dict[str, object], why: str) -> None:
    for check in lacking(**change):
        assert check.status is Status.INSUFFICIENT_EVIDENCE and why in check.detail


def test_too_few_shuffles_two_rows_and_outputs_that_never_move_are_not_enough() -> None:
    two = Material(
        np.ones((2, 1)), np.array([0.0, 1.0]), np.array([0.1, -0.1]), np.arange(2), [([0], [1])]
    )  # type: ignore[list-item]
    found = (
        *sentinel(ridge, material(9), seed=5, shuffles=199),
        *sentinel(ridge, two, seed=5),
        *sentinel(lambda x, y, train, test: np.ones(len(test)), material(9), seed=5),
        *sentinel(lambda x, y, train, test: np.full(len(test), np.nan), material(9), seed=5),
    )
    assert all(check.status is Status.INSUFFICIENT_EVIDENCE for check in found)


def raising(x: Floats, y: Floats, train: Rows, test: Rows) -> Floats:
    raise ZeroDivisionError("of nothing")


@pytest.mark.parametrize(
    ("pipeline", "change", "why"),
    [
        (raising, {}, "raised ZeroDivisionError: of nothing"),
        (lambda x, y, a, b: y, {}, "returned"),
        (ridge, {"folds": [(np.arange(300), np.arange(299, 320))]}, "trains on rows that it tests"),
        (ridge, {"folds": [(np.arange(300), np.array([400]))]}, "outside"),
        (ridge, {"labels": ZEROS[:-1]}, "labels have the shape"),
        (ridge, {"features": ZEROS}, "features have the shape"),
        (ridge, {"sessions": ZEROS}, "two rows in one session"),
        (ridge, {"horizon": 0}, "at least 1"),
    ],
)
def test_what_cant_be_tested_is_said_plainly(
    pipeline: Pipeline, change: dict[str, object], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        sentinel(pipeline, replace(material(8), **change), seed=5)  # type: ignore[arg-type]


def test_the_probe_is_scikit_learns_ridge() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    data = material(10, skill=0.5)
    train, test = data.folds[-1]
    scaler = StandardScaler().fit(data.features[train])
    model = Ridge(alpha=0.01 * len(train))
    model.fit(scaler.transform(data.features[train]), data.labels[train])
    theirs = model.predict(scaler.transform(data.features[test]))
    ours = ridge(data.features, data.labels, train, test)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@given(st.integers(30, 200), st.integers(1, 4), st.integers(1, 8), st.integers(0, 1000))
def test_shuffles_move_whole_sessions_in_blocks(
    sessions: int, symbols: int, horizon: int, seed: int
) -> None:
    session = np.repeat(np.arange(sessions), symbols)
    names = np.tile(np.arange(symbols), sessions)
    usable = np.ones(len(session), bool)
    grid = make_grid(session, names, usable, horizon=horizon)
    given_ = shuffled(grid, np.random.default_rng(seed))
    assert sorted(given_) == list(range(len(session)))  # every label once
    assert (names[given_] == names).all()  # a name keeps its own
    source = session[given_].reshape(sessions, symbols)
    assert (source == source[:, :1]).all()  # a day's names stay together
    steps = np.diff(source[:, 0]) % sessions
    assert (steps != 1).sum() <= max(1, sessions // grid.block) - 1  # broken between blocks only
