"""What the actor sees, and the actor as arrays."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.learning.hint import OBSERVATION, REGIMES, Hint, observe

anything = st.floats(-1e300, 1e300) | st.sampled_from([np.nan, np.inf, -np.inf])
NEUTRAL: dict[str, Any] = {
    "p_short": [0.5],
    "p_mid": [0.5],
    "win_long": [0.4],
    "annual_volatility": [0.4],
    "atr_share": [0.04],
    "volatility_z": 0.0,
    "trend_strength": 0.5,
    "regime": "other",
    "held": [0.0],
    "unrealised": [0.0],
}


def seen(**given_values: Any) -> dict[str, float]:
    row = observe(**NEUTRAL | given_values)[0]
    return dict(zip(OBSERVATION, row.tolist(), strict=True))


def actor(seed: int = 0) -> Hint:
    rng = np.random.default_rng(seed)
    sizes = (len(OBSERVATION), 8, 8, 1)
    layers = tuple((rng.normal(size=(o, i)), rng.normal(size=o)) for i, o in pairwise(sizes))
    return Hint(layers, (0.25, -0.5))


def test_a_neutral_view_is_zero_but_for_the_flags() -> None:
    flags = {"p_short_known", "p_mid_known"}
    assert seen() == {name: float(name in flags) for name in OBSERVATION}


@pytest.mark.parametrize(
    ("name", "value", "element", "expected"),
    [
        ("p_short", [0.75], "p_short", 0.5),
        ("p_mid", [0.0], "p_mid", -1.0),
        ("win_long", [0.5], "win_long", 0.4),
        ("annual_volatility", [0.2], "volatility", -0.5),
        ("atr_share", [0.05], "atr", 0.25),
        ("volatility_z", 1.5, "volatility_z", 0.5),
        ("trend_strength", 0.75, "trend_strength", 0.5),
        ("held", [0.3], "held", 0.3),
        ("unrealised", [-1.5], "unrealised", -0.5),
        ("regime", "crisis", "regime_crisis", 1.0),
    ],
)
def test_one_figure_moves_one_element(name: str, value: Any, element: str, expected: float) -> None:
    found = seen(**{name: value})
    assert found[element] == pytest.approx(expected, abs=1e-6)
    assert {k: v for k, v in found.items() if k != element} == {
        k: v for k, v in seen().items() if k != element
    }


@pytest.mark.parametrize("name", ["p_short", "p_mid"])
def test_a_missing_conviction_is_zero_with_its_flag_down(name: str) -> None:
    found = seen(**{name: [np.nan]})
    assert (found[name], found[f"{name}_known"]) == (0.0, 0.0)


@given(st.lists(anything, min_size=7, max_size=7), st.sampled_from(REGIMES))
def test_whatever_comes_in_is_bounded_and_finite(values: list[float], regime: str) -> None:
    names = [n for n in NEUTRAL if n != "regime"][:7]
    given_values = {
        n: v if isinstance(NEUTRAL[n], float) else [v] for n, v in zip(names, values, strict=True)
    }
    row = observe(**NEUTRAL | given_values | {"regime": regime})
    assert row.dtype == np.float32 and row.shape == (1, len(OBSERVATION))
    assert np.all(np.abs(row) <= 1.0)


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_a_universe_sees_and_answers_what_each_name_alone_does(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    columns = {k: rng.random(n) for k, v in NEUTRAL.items() if isinstance(v, list)}
    common = {"volatility_z": 0.7, "trend_strength": 0.2, "regime": "trend"}
    together = observe(**columns, **common)
    alone = np.vstack(
        [observe(**{k: v[[i]] for k, v in columns.items()}, **common) for i in range(n)]
    )
    np.testing.assert_array_equal(together, alone)
    hints = actor(seed).hints(together)
    np.testing.assert_array_equal(hints, [actor(seed).hints(row[None])[0] for row in alone])
    assert hints.shape == (n,) and np.all(np.abs(hints) <= 4.0)


def test_a_hint_by_hand() -> None:
    zeros = np.zeros((1, len(OBSERVATION)))
    first, second = zeros.copy(), np.array([[2.0]])
    first[0, 0] = 1.0
    hint = Hint(
        ((first, np.array([0.5])), (second, np.array([-1.0])), (np.ones((1, 1)), np.zeros(1)))
    )
    x = np.zeros((1, len(OBSERVATION)), np.float32)
    x[0, 0] = 0.25
    assert hint.hints(x)[0] == pytest.approx(4.0 * np.tanh(2.0 * np.tanh(0.75) - 1.0), rel=1e-12)


def test_bytes_give_the_same_hint_back() -> None:
    hint = actor()
    back = Hint.from_bytes(hint.to_bytes())
    assert (back.digest(), back.curve) == (hint.digest(), hint.curve)
    assert back.to_bytes() == hint.to_bytes()


def test_any_changed_weight_changes_the_digest() -> None:
    digests = {actor().digest()}
    for layer in range(3):
        for part in range(2):
            hint = actor()
            hint.layers[layer][part].flat[0] += 1e-12
            digests.add(hint.digest())
    assert len(digests) == 7


def test_a_session_uses_a_hint_without_pytorch() -> None:
    code = (
        "import sys; from hybridnb.learning.hint import Hint, OBSERVATION; import numpy as np;"
        "h = Hint.from_bytes(sys.stdin.buffer.read());"
        "h.hints(np.zeros((2, len(OBSERVATION)), np.float32)); h.to_bytes();"
        "print(h.digest(), sorted({'torch', 'gymnasium', 'stable_baselines3'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=actor().to_bytes(), capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == f"{actor().digest()} []"
