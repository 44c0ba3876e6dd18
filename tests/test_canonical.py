"""One text for one value: the form that everything hashed stands on."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.canonical import canonical, plain, sha256
from hybridnb.domain import Leg, Mode, Refusal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (np.bool_(False), "false"),
        (np.int64(-7), "-7"),
        (10**30, "1" + "0" * 30),
        (0.1, "0.1"),
        (1e22, "1e+22"),
        (5e-324, "5e-324"),
        (np.float64(0.5), "0.5"),
        (float("nan"), "null"),
        (np.float32("nan"), "null"),
        (-0.0, "0.0"),
        ("é\n", '"é\\n"'),
        (Mode.LIVE_MICRO, '"LIVE_MICRO"'),
        (Refusal.STALE_DATA, "4"),
        (dt.date(2013, 3, 1), '"2013-03-01"'),
        (dt.datetime(2013, 3, 1, 14, 30), '"2013-03-01T14:30:00"'),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
        ({Leg.STOP: 1}, '{"stop":1}'),
        ({2: 1, 10: 1}, '{"10":1,"2":1}'),
        (np.array([1.5, np.nan]), "[1.5,null]"),
        (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        ((1, [2, ()]), "[1,[2,[]]]"),
        (
            Pair(left=Pair(1, None), right=(Mode.DEMO,)),
            '{"left":{"left":1,"right":null},"right":["DEMO"]}',
        ),
    ],
)
def test_canonical_text(value: object, text: str) -> None:
    assert canonical(value) == text


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), np.float64("inf")])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"a": Pair(1, v)}])
def test_nothing_infinite_is_recorded(value: float, wrap: Any) -> None:
    with pytest.raises(ValueError, match="infinity"):
        canonical(wrap(value))
    with pytest.raises(ValueError, match="infinity"):
        canonical(np.array([1.0, value]))


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), 1j, dt.time(1)])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no canonical form"):
        plain([value])


def test_sha256_takes_bytes_and_text_as_they_are() -> None:
    assert sha256(b"abc") == sha256("abc") == hashlib.sha256(b"abc").hexdigest()
    assert sha256("é") == hashlib.sha256("é".encode()).hexdigest()
    assert sha256(["abc"]) == hashlib.sha256(b'["abc"]').hexdigest()
    assert sha256(Mode.DEMO) == hashlib.sha256(b'"DEMO"').hexdigest()


@given(JSON)
def test_the_text_reads_back_as_the_plain_value(value: Any) -> None:
    text = canonical(value)
    assert json.loads(text) == plain(value)
    assert canonical(json.loads(text)) == text


@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=6), st.randoms())
def test_the_order_of_keys_changes_nothing(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert canonical({k: value[k] for k in keys}) == canonical(value)


@given(JSON, JSON)
def test_different_plain_values_have_different_texts(one: Any, two: Any) -> None:
    same_text = canonical(one) == canonical(two)
    assert same_text == (repr(_sorted(plain(one))) == repr(_sorted(plain(two))))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return ("mapping", *((k, _sorted(value[k])) for k in sorted(value)))
    return [_sorted(v) for v in value] if isinstance(value, list) else value


def test_the_same_digest_in_another_process_with_another_hash_seed() -> None:
    value = {"b": [0.1, None, Mode.DEMO.value], "a": {"z": 1e-7, "y": "ü"}}
    program = (
        "from hybridnb.canonical import sha256;"
        f"print(sha256({value!r}), sha256({{'k': {sorted(value)!r}}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": "7", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [sha256(value), sha256({"k": sorted(value)})]
