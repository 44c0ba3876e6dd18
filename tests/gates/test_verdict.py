"""A verdict lets one model trade for 20 sessions, and only as it was recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.canonical import canonical, sha256
from hybridnb.domain import Status
from hybridnb.gates.evidence import Figure, Gate
from hybridnb.gates.rules import GATES
from hybridnb.gates.verdict import CONTENT, is_valid, verdict

DIGESTS = {"data": "d" * 64, "code": "0.1.0", "features": "f" * 64}
FIGURE = Figure("Sharpe", 1.25, ">=", 1.0, 500, True, "daily net returns")


def made(statuses: dict[str, Status] | None = None, **more: Any) -> dict[str, Any]:
    found = dict.fromkeys(GATES, Status.PASS) | (statuses or {})
    given: dict[str, Any] = {
        "model_version": "m1",
        "session": "2026-03-02",
        "ordinal": 500,
        "digests": DIGESTS,
    }
    gates = [Gate(name, status, (FIGURE,), "why") for name, status in found.items()]
    return verdict(gates, **given | more)


def valid(found: dict[str, Any], *, model: str = "m1", ordinal: int = 500) -> bool:
    return is_valid(found, model_version=model, ordinal=ordinal)


def resealed(found: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A forged verdict whose id fits its content."""
    content = {name: found[name] for name in CONTENT} | changes
    return content | {"id": sha256(content)[:16]}


@pytest.mark.parametrize(
    ("ordinal", "expected"), [(499, False), (500, True), (510, True), (520, True), (521, False)]
)
def test_it_holds_for_twenty_sessions_and_not_before(ordinal: int, expected: bool) -> None:
    assert made()["valid_until"] == 520
    assert valid(made(), ordinal=ordinal) is expected


def test_it_holds_for_its_own_model_only() -> None:
    assert valid(made()) and not valid(made(), model="m2")


def test_it_holds_for_the_very_bytes_it_was_made_of() -> None:
    found = made(digests=DIGESTS | {"model": "a" * 64})
    asked: dict[str, Any] = {"model_version": "m1", "ordinal": 500}
    assert is_valid(found, **asked, model_digest="a" * 64)
    assert not is_valid(found, **asked, model_digest="b" * 64)
    assert not is_valid(made(), **asked, model_digest="a" * 64)  # it names no model's bytes


@given(st.dictionaries(st.sampled_from(GATES), st.sampled_from(list(Status))))
def test_only_a_pass_of_every_gate_is_valid(statuses: dict[str, Status]) -> None:
    found = made(statuses)
    assert valid(found) == all(s is Status.PASS for s in statuses.values())
    assert (found["status"] == Status.PASS) == valid(found)


def test_it_records_figures_thresholds_sizes_and_digests() -> None:
    found = made()
    assert found["digests"] == DIGESTS
    assert found["gates"][0]["figures"] == [
        {
            "name": "Sharpe",
            "value": 1.25,
            "comparison": ">=",
            "threshold": 1.0,
            "n": 500,
            "passed": True,
            "source": "daily net returns",
        }
    ]


def test_it_survives_the_ledger_s_json_and_what_the_row_adds() -> None:
    row = json.loads(canonical({"kind": "verdict", "seq": 7, **made()}))
    assert valid(row) and row["id"] == made()["id"]
    assert {name: row[name] for name in (*CONTENT, "id")} == made()


def test_its_id_is_of_its_content() -> None:
    others = [
        made(model_version="m2"),
        made(session="2026-03-03"),
        made(ordinal=501),
        made(digests=DIGESTS | {"data": "e" * 64}),
        made({"drift": Status.FAIL}),
    ]
    assert len({v["id"] for v in [made(), *others]}) == 6
    assert made() == made()


@pytest.mark.parametrize(
    "change",
    [
        {"status": "PASS"},
        {"gates": made()["gates"]},
        {"valid_until": 10_000},
        {"ordinal": 495},
        {"model_version": "m2"},
        {"digests": {}},
        {"id": "0" * 16},
    ],
)
def test_a_changed_row_is_no_verdict(change: dict[str, Any]) -> None:
    genuine = made({"risk": Status.FAIL})
    for model in ("m1", "m2"):
        assert not valid(genuine | change, model=model)
    if change.get("status") != "PASS" and change.get("gates") != made()["gates"]:
        assert not valid(made() | change, model=change.get("model_version", "m1"))


@pytest.mark.parametrize("name", [*CONTENT, "id"])
def test_a_row_without_a_field_is_no_verdict(name: str) -> None:
    assert not valid({k: v for k, v in made().items() if k != name})
    assert not valid({})


def test_a_forged_id_doesn_t_help() -> None:
    gates = made()["gates"]
    failed = made({"stress": Status.FAIL})
    assert valid(resealed(made()))
    assert not valid(resealed(failed, status="PASS"))
    assert not valid(resealed(made(), valid_until=10_000), ordinal=600)
    assert not valid(resealed(made(), valid_until=10_000))
    assert not valid(resealed(made(), gates=gates[:-1]))
    assert not valid(resealed(made(), gates=[*gates[:-1], gates[0]]))
    assert not valid(resealed(made(), gates=[*gates, gates[0]]))
    assert not valid(resealed(made(), gates=[]))
