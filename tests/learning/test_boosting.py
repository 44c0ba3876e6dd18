"""Gradient boosting: same seed, same digest; bytes that hold no code; learned signals."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from hybridnb.errors import InputError
from hybridnb.learning.boosting import Boosting
from hybridnb.learning.labels import forward_up
from hybridnb.learning.params import LearningParams
from hybridnb.learning.predictors import fit, load
from hybridnb.metrics import log_loss

TWICE = """
import numpy as np
from hybridnb.learning.boosting import fit_boosting
from hybridnb.learning.params import BoostingParams
rng = np.random.default_rng(0)
x = rng.normal(size=(2000, 3))
y = (x[:, 0] + rng.normal(size=2000) > 0).astype(float)
params = BoostingParams(iterations=15)
print(fit_boosting(x, y, columns=["a", "b", "c"], params=params, seed=3).digest())
"""


def fitted(panel: Any, params: LearningParams, **over: Any) -> tuple[Any, Any, Any]:
    bars, features = panel()
    labels = forward_up(bars, 1)
    given = {"which": "mid", "seed": 1, "say": lambda _: None} | over
    model = fit(features, labels, np.ones(len(features), bool), params=params, **given)
    return model, features, labels


def test_another_process_gets_the_same_digest() -> None:
    run = [sys.executable, "-c", TWICE]
    digests = {subprocess.check_output(run, text=True, timeout=120) for _ in range(2)}
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_bytes_bring_the_same_model_back(panel: Any, tiny: LearningParams) -> None:
    model, features, _ = fitted(panel, tiny)
    back = load("boosting", model.to_bytes())
    assert (back.digest(), back.losses, back.name) == (model.digest(), model.losses, "boosting")
    np.testing.assert_array_equal(back.predict(features), model.predict(features))


def test_digest_tells_models_apart(panel: Any, tiny: LearningParams) -> None:
    model, _, _ = fitted(panel, tiny)
    more = tiny.model_copy(update={"boosting": tiny.boosting.model_copy(update={"l2": 9.0})})
    renamed = dataclasses.replace(model, columns=("x", "y", "z"))
    digests = {model.digest(), fitted(panel, more)[0].digest(), renamed.digest()}
    digests.add(fitted(panel, tiny, seed=2)[0].digest())
    assert len(digests) == 4


def test_rows_with_a_missing_feature_have_no_answer(panel: Any, tiny: LearningParams) -> None:
    model, features, _ = fitted(panel, tiny)
    holed = features.copy()
    holed.loc[[50, 51], ["last", "noise"]] = [[np.nan, 0.0], [0.0, np.nan]]
    found = model.predict(holed)
    missing = holed.isna().any(axis=1).to_numpy()
    np.testing.assert_array_equal(np.isnan(found), missing)
    assert ((found[~missing] > 0.0) & (found[~missing] < 1.0)).all()


def test_only_marked_labelled_whole_rows_are_learned(panel: Any, tiny: LearningParams) -> None:
    bars, features = panel()
    labels, rows = forward_up(bars, 1), np.arange(len(features)) % 2 == 0
    say: Any = lambda _: None  # noqa: E731
    more: dict[str, Any] = {"params": tiny, "which": "mid", "seed": 1, "say": say}
    model = fit(features, labels, rows, **more)
    other = features.copy()
    other.loc[~rows, ["last", "before", "noise"]] = 7.0
    flipped = np.where(rows, labels, 1.0 - labels)
    assert fit(other, flipped, rows, **more).digest() == model.digest()


def test_planted_signal_is_learned(panel: Any, tiny: LearningParams) -> None:
    model, _, _ = fitted(panel, tiny)
    bars, features = panel(seed=5)
    labels, found = forward_up(bars, 1), model.predict(features)
    known = np.isfinite(labels) & np.isfinite(found)
    assert log_loss(labels[known], found[known]) < 0.66  # of a coin: 0.693
    assert model.losses[-1] < model.losses[0]


@pytest.mark.parametrize(("outcome", "least", "most"), [(1.0, 0.99, 1.0), (0.0, 0.0, 0.01)])
def test_outcomes_of_one_kind_are_not_turned_round(
    panel: Any, tiny: LearningParams, outcome: float, least: float, most: float
) -> None:
    _, features = panel()
    rows, labels = np.ones(len(features), bool), np.full(len(features), outcome)
    model = fit(features, labels, rows, params=tiny, which="mid", seed=1, say=lambda _: None)
    found = model.predict(features)
    found = found[np.isfinite(found)]
    assert ((found > least) & (found < most)).all()


def test_bytes_that_name_another_type_are_refused() -> None:
    import skops.io

    class_with_code = {"model": subprocess.Popen, "columns": [], "losses": []}
    with pytest.raises(InputError, match="Popen"):
        Boosting.from_bytes(skops.io.dumps(class_with_code))
