"""The chain against hashes made by hand."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.ledger.chain import (
    CHAINS,
    Entry,
    broken,
    entries,
    genesis,
    link,
    payload_text,
    recompute,
)

ROWS = [
    {"kind": "inputs", "book": "sample-1", "session": "2024-01-02", "seed": 7},
    {"kind": "order", "book": "sample-1", "session": "2024-01-02", "price": 0.1, "tag": "é"},
]
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def chained(rows: list[dict[str, Any]], chain: str = "session") -> list[Entry]:
    return list(entries(chain, rows, seq=0, head=genesis(chain)))


def test_known_answer() -> None:
    start = hashlib.sha256(b"hybridnb session chain, sha256, 1").hexdigest()
    one = '{"book":"sample-1","kind":"inputs","seed":7,"session":"2024-01-02"}'
    two = '{"book":"sample-1","kind":"order","price":0.1,"session":"2024-01-02","tag":"é"}'
    first = hashlib.sha256((start + one).encode("utf-8")).hexdigest()
    second = hashlib.sha256((first + two).encode("utf-8")).hexdigest()
    same = {"chain": "session", "book": "sample-1", "session": "2024-01-02"}
    assert chained(ROWS) == [
        Entry(seq=1, kind="inputs", payload=one, prev_hash=start, hash=first, **same),
        Entry(seq=2, kind="order", payload=two, prev_hash=first, hash=second, **same),
    ]


def test_the_two_chains_start_apart() -> None:
    assert genesis("session") != genesis("operations")
    assert len({chained(ROWS, chain)[-1].hash for chain in CHAINS}) == 2


@given(st.lists(st.dictionaries(st.text("ab", min_size=1), plain_values, max_size=3), max_size=5))
def test_what_is_chained_recomputes(rows: list[dict[str, Any]]) -> None:
    made = chained(rows)
    assert list(recompute("session", made)) == [(e.seq, e.hash, "") for e in made]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"payload": '{"kind":"order"}'}, "its hash differs from its content"),
        ({"prev_hash": genesis("session")}, "it doesn't link to the row before"),
        ({"hash": "0" * 64}, "its hash differs from its content"),
        ({"seq": 5}, "row 2 is missing: the next one is 5"),
        ({"kind": "fill"}, "its column kind differs from its payload"),
        ({"book": ""}, "its column book differs from its payload"),
        ({"session": "2024-01-03"}, "its column session differs from its payload"),
        ({"payload": "\udcff"}, "its hash differs from its content"),
    ],
)
def test_a_changed_row_is_the_first_broken(change: dict[str, Any], why: str) -> None:
    first, second = chained(ROWS)
    found = list(recompute("session", [first, dataclasses.replace(second, **change)]))
    assert found == [(1, first.hash, ""), (1, first.hash, why)]


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1,"a":2}',
        '{"a": 1}',
        '{"a":1,"a":1}',
        '{"a":1e0}',
        '{"a":-0.0}',
        '{"a":NaN}',
        '{"a":"\\u00e9"}',
        "[1]",
        "7",
        "{",
        "",
        "[" * 100_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_payload_that_is_no_canonical_json_is_broken_even_with_its_own_hash(text: str) -> None:
    start = genesis("session")
    entry = Entry("session", 1, "", "", "", text, start, link(start, text))
    assert broken(entry, seq=0, head=start) == "its payload is no canonical JSON"


@dataclass
class Holder:
    inside: Any


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ({"a": math.nan}, "row['a']"),
        ({"a": {"b": [1.0, np.float64("nan")]}}, "row['a']['b'][1]"),
        ({"a": np.array([[1.0, math.nan]])}, "row['a'][0][1]"),
        ({"a": (Holder(math.nan),)}, "row['a'][0]['inside']"),
    ],
    ids=str,
)
def test_nan_is_refused_wherever_it_hides(row: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match="NaN may not be recorded") as caught:
        payload_text(row)
    assert str(caught.value).endswith(where)


@pytest.mark.parametrize("value", [math.inf, object(), {1, 2}, "\ud800"])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # three sources, one kind
        chained([{"a": value}])


@pytest.mark.parametrize("row", [{"kind": "k" * 65}, {"book": "b" * 129}, {"session": "a\0b"}])
def test_what_no_column_holds_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(row))} is at most"):
        chained([row])


def test_a_payload_reads_back_as_it_was() -> None:
    assert [json.loads(e.payload) for e in chained(ROWS)] == ROWS
