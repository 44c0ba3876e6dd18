"""Recurrent nets: reproducible to the last bit, blind beyond their window, able to learn."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.learning.labels import forward_up
from hybridnb.learning.params import LearningParams
from hybridnb.learning.predictors import fit, load
from hybridnb.learning.recurrent import sequences, whole_windows
from hybridnb.metrics import log_loss

FAMILIES = ("gru", "lstm")
TWICE = """
import numpy as np, pandas as pd
from hybridnb.learning.params import RecurrentParams
from hybridnb.learning.recurrent import fit_recurrent
rng = np.random.default_rng(0)
frame = pd.DataFrame({"symbol": "A", "x": rng.normal(size=400), "y": rng.normal(size=400)})
params = RecurrentParams(hidden=4, layers=2, window=5, epochs=2, batch=64, dropout=0.2)
labels, rows = (frame["x"] > 0).to_numpy(float), np.ones(400, bool)
for family in ("gru", "lstm"):
    model = fit_recurrent(frame, labels, rows, columns=["x", "y"], family=family,
                          params=params, seed=3, say=lambda _: None)
    print(model.digest())
"""


def fitted(panel: Any, params: LearningParams, **over: Any) -> tuple[Any, Any]:
    bars, features = panel()
    given_ = {"which": "short", "seed": 1, "say": lambda _: None, "rows": None} | over
    rows = given_.pop("rows")
    rows = np.ones(len(features), bool) if rows is None else rows
    return fit(features, forward_up(bars, 1), rows, params=params, **given_), features


def test_another_process_gets_the_same_digests() -> None:
    run = [sys.executable, "-c", TWICE]
    first, second = (subprocess.check_output(run, text=True, timeout=240) for _ in range(2))
    assert first == second
    assert len(set(first.split())) == len(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_bytes_bring_the_same_model_back(panel: Any, tiny: LearningParams, family: str) -> None:
    model, features = fitted(panel, tiny, family=family)
    back = load(family, model.to_bytes())
    assert (back.digest(), back.losses, back.name) == (model.digest(), model.losses, family)
    np.testing.assert_array_equal(back.predict(features), model.predict(features))


def test_digest_tells_models_apart(panel: Any, tiny: LearningParams) -> None:
    model, _ = fitted(panel, tiny)
    digests = {model.digest(), fitted(panel, tiny, seed=2)[0].digest()}
    digests.add(fitted(panel, tiny, family="lstm")[0].digest())
    digests.add(dataclasses.replace(model, mean=model.mean + 1e-12).digest())
    assert len(digests) == 4


def test_training_leaves_the_process_s_own_randomness_alone(
    panel: Any, tiny: LearningParams
) -> None:
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    fitted(panel, tiny)
    assert torch.equal(torch.rand(3), wanted)
    assert not torch.are_deterministic_algorithms_enabled()


def test_standardised_by_train_rows_only(panel: Any, tiny: LearningParams) -> None:
    _, features = panel()
    rows = (features["session"] < "2016-06-01").to_numpy()
    model, _ = fitted(panel, tiny, rows=rows)
    seen = features.loc[rows, list(model.columns)]
    np.testing.assert_allclose(model.mean, seen.mean())
    np.testing.assert_allclose(model.scale, seen.std(ddof=0))


def test_a_broken_window_has_no_answer(panel: Any, tiny: LearningParams) -> None:
    model, features = fitted(panel, tiny)
    holed = features.copy()
    holed.loc[100, "noise"] = np.nan
    place = holed.groupby("symbol").cumcount().to_numpy()
    wanted = place < 10 + 3  # 10 sessions of warm-up, then a window of 4
    wanted[100:104] = True
    np.testing.assert_array_equal(np.isnan(model.predict(holed)), wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_depends_on_its_window_alone(
    panel: Any, tiny: LearningParams, family: str
) -> None:
    model, features = fitted(panel, tiny, family=family)
    whole = model.predict(features)
    for cut in (301, 433, 512):
        part = features[features.groupby("symbol").cumcount() < cut]
        found = model.predict(part.reset_index(drop=True))
        # To the last bit, whatever shares the batch: a replay must rank as the session did.
        np.testing.assert_array_equal(found, whole[part.index])


def test_planted_signal_is_learned(panel: Any, tiny: LearningParams) -> None:
    model, _ = fitted(panel, tiny)
    bars, features = panel(seed=5)
    labels, found = forward_up(bars, 1), model.predict(features)
    known = np.isfinite(labels) & np.isfinite(found)
    assert log_loss(labels[known], found[known]) < 0.66  # of a coin: 0.693
    assert model.losses[-1] < model.losses[0]
    assert len(model.losses) == tiny.recurrent.epochs


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    holes=st.sets(st.integers(0, 47)),
    window=st.integers(2, 5),
)
def test_windows_equal_the_definition(lengths: list[int], holes: set[int], window: int) -> None:
    symbols = np.repeat([f"S{n}" for n in range(len(lengths))], lengths)
    x = np.arange(len(symbols), dtype=np.float32)[:, None]
    x[[h for h in holes if h < len(x)]] = np.nan
    wanted = [
        i
        for i in range(window - 1, len(x))
        if len(set(symbols[i - window + 1 : i + 1])) == 1
        and np.isfinite(x[i - window + 1 : i + 1]).all()
    ]
    rows = whole_windows(pd.DataFrame({"symbol": symbols}), x, window)
    assert rows.tolist() == wanted
    taken = sequences(x, rows, window)
    assert taken.shape == (len(rows), window, 1)
    assert [w[:, 0].tolist() for w in taken] == [list(range(i - window + 1, i + 1)) for i in wanted]
