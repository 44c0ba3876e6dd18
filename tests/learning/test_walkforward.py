"""Out of fold means out of fold, a killed training goes on, and a planted signal is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybridnb.learning import walkforward
from hybridnb.learning.labels import forward_up
from hybridnb.learning.params import LearningParams
from hybridnb.learning.walkforward import OutOfFold, out_of_fold
from hybridnb.splits import walk_forward

HORIZON = 3


class Killed(Exception):
    """A process that ends in the middle of a training."""


def run(features: pd.DataFrame, labels: Any, params: LearningParams, **over: Any) -> OutOfFold:
    given = {"which": "mid", "horizon": HORIZON, "seed": 7, "say": lambda _: None} | over
    return out_of_fold(features, labels, params=params, **given)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows given to every fit, in order; the fit itself is the real one."""
    seen: list[Any] = []
    real = walkforward.fit

    def fit(features: Any, labels: Any, rows: Any, **over: Any) -> Any:
        seen.append(rows & np.isfinite(labels))
        return real(features, labels, rows, **over)

    monkeypatch.setattr(walkforward, "fit", fit)
    return seen


def spans(result: OutOfFold) -> list[tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp]]:
    columns = ("train_end", "test_start", "test_end")
    return list(zip(*[pd.to_datetime(result.folds[c]) for c in columns], strict=True))


def test_no_label_trained_on_reaches_into_its_test(
    panel: Any, tiny: LearningParams, trainings: list[Any]
) -> None:
    bars, features = panel()
    # A name that didn't trade for months: its labels look far ahead in time.
    gap = (bars["symbol"] == "S1") & bars["session"].between("2016-03-01", "2016-12-30")
    bars, features = (f[~gap].reset_index(drop=True) for f in (bars, features))
    result = run(features, forward_up(bars, HORIZON), tiny)
    known = bars.groupby("symbol")["session"].shift(-HORIZON)
    assert len(result.folds) == 3
    for rows, (train_end, test_start, _) in zip(trainings, spans(result), strict=False):
        assert rows.sum() > 200
        assert bars["session"][rows].max() <= train_end
        assert known[rows].max() < test_start
        apart = np.busday_count(train_end.date(), test_start.date()) - 1
        assert apart >= HORIZON + 6  # and an embargo of 1 % of 690 sessions


def test_tests_are_those_of_the_splits_after_the_warm_up(panel: Any, tiny: LearningParams) -> None:
    bars, features = panel()
    result = run(features, forward_up(bars, HORIZON), tiny)
    sessions = np.unique(bars["session"])[10:]
    folds = walk_forward(690, splits=3, purge=HORIZON, embargo=0.01, min_train=200)
    for fold, (train_end, start, end) in zip(folds, spans(result), strict=True):
        wanted = [sessions[i] for i in (fold.train_end - 1, fold.test_start, fold.test_end - 1)]
        assert [train_end, start, end] == wanted
    first = spans(result)[0][1]
    np.testing.assert_array_equal(np.isnan(result.raw), (features["session"] < first).to_numpy())


def test_outputs_are_the_folds_own(panel: Any, tiny: LearningParams) -> None:
    """What follows a fold's training and precedes its test can't change its outputs."""
    bars, features = panel()
    labels = forward_up(bars, HORIZON)
    result = run(features, labels, tiny)
    _, start, end = spans(result)[1]
    inside = features["session"].between(start, end).to_numpy()
    later = (features["session"] >= start).to_numpy()
    flipped = np.where(later, 1.0 - labels, labels)
    changed = run(features, flipped, tiny)
    np.testing.assert_array_equal(changed.raw[inside], result.raw[inside])
    assert changed.model.digest() != result.model.digest()


def test_sessions_without_a_known_label_come_from_the_last_fold(
    panel: Any, tiny: LearningParams
) -> None:
    bars, features = panel()
    labels = forward_up(bars, HORIZON)
    result = run(features, labels, tiny)
    open_rows = np.isnan(labels)
    assert open_rows.sum() == HORIZON * bars["symbol"].nunique()
    assert np.isfinite(result.raw[open_rows]).all()
    # The final model was trained on labels that reach into these sessions.
    assert (result.raw[open_rows] != result.model.predict(features)[open_rows]).any()


@pytest.mark.parametrize("which", ["short", "mid"])
def test_a_killed_training_goes_on_and_ends_the_same(
    panel: Any, tiny: LearningParams, trainings: list[Any], tmp_path: Path, which: str
) -> None:
    bars, features = panel(sessions=320)
    labels = forward_up(bars, HORIZON)
    whole = run(features, labels, tiny, which=which)
    assert len(trainings) == 4

    def killed(line: str) -> None:
        if line.startswith("  fold 2"):
            raise Killed

    with pytest.raises(Killed):
        run(features, labels, tiny, which=which, checkpoint=tmp_path, say=killed)
    trainings.clear()
    resumed = run(features, labels, tiny, which=which, checkpoint=tmp_path)
    assert len(trainings) == 2  # the third fold and the final model
    assert resumed.model.digest() == whole.model.digest()
    assert resumed.losses == whole.losses
    np.testing.assert_array_equal(resumed.raw, whole.raw)
    pd.testing.assert_frame_equal(resumed.folds, whole.folds)


def test_other_inputs_never_meet_a_kept_fold(
    panel: Any, tiny: LearningParams, trainings: list[Any], tmp_path: Path
) -> None:
    bars, features = panel(sessions=320)
    labels = forward_up(bars, HORIZON)
    moved, flipped = features.copy(), labels.copy()
    moved.loc[400, "noise"] += 1e-9
    flipped[400] = 1.0 - flipped[400]
    longer = tiny.model_copy(update={"boosting": tiny.boosting.model_copy(update={"l2": 2.0})})
    for n, (f, y, p, over) in enumerate(
        [
            (features, labels, tiny, {}),
            (moved, labels, tiny, {}),
            (features, flipped, tiny, {}),
            (features, labels, longer, {}),
            (features, labels, tiny, {"seed": 8}),
            (features, labels, tiny, {"horizon": HORIZON + 1}),
            (features, labels, tiny, {"family": "gru"}),
        ],
        1,
    ):
        run(f, y, p, checkpoint=tmp_path, **over)
        assert len(trainings) == 4 * n
    run(features, labels, tiny, checkpoint=tmp_path)
    assert len(trainings) == 28


@pytest.mark.parametrize("family", ["gru", "lstm", "boosting"])
def test_planted_signal_beats_the_base_rate(panel: Any, tiny: LearningParams, family: str) -> None:
    bars, features = panel()
    result = run(features, forward_up(bars, 1), tiny, which="short", horizon=1, family=family)
    assert (result.folds["log_loss"] < result.folds["base_rate_loss"] - 0.01).all()
    assert result.folds["rows"].sum() == pytest.approx(np.isfinite(result.raw).sum(), abs=3)


def test_noise_is_not_found_to_be_signal(panel: Any, tiny: LearningParams) -> None:
    bars, features = panel(phi=0.0)
    result = run(features, forward_up(bars, 1), tiny, horizon=1)
    gain = result.folds["base_rate_loss"] - result.folds["log_loss"]
    assert gain.mean() < 0.005


def test_a_short_history_has_no_folds(panel: Any, tiny: LearningParams) -> None:
    bars, features = panel(sessions=62)
    result = run(features, forward_up(bars, HORIZON), tiny)
    assert result.folds.empty
    assert np.isnan(result.raw).all()
