"""Material changes: each is found between two sessions, and waits for a person's approval."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from hybridnb.app.changes import approve_change, changes, list_changes
from hybridnb.app.cli import cli
from hybridnb.app.ledgers import open_ledger
from hybridnb.errors import UsageError
from hybridnb.policy import Policy, policy_values, validated


def traded(day: int, *, book: str = "book", policy: Policy | None = None, **inputs: str) -> None:
    """What a session leaves of its policy and inputs."""
    used = policy or Policy()
    base = {"book": book, "session": f"2040-01-{day:02d}"}
    facts = {"learning": "l1", "symbols": "s1", "schedule": "d1", "seed": "7"}
    facts |= {"feature_set": "f1", "model_version": "m1"} | inputs
    open_ledger().append(
        "session",
        [
            {**base, "n": 0, "kind": "inputs", **facts},
            {**base, "n": 1, "kind": "policy", "policy_id": used.id}
            | {"values": policy_values(used)},
        ],
    )


TIGHTER = validated(Policy, {"clamps": {"name_core": 0.01}, "opening_cash": 5e5})


def test_sessions_that_are_alike_have_no_change() -> None:
    for day in (1, 2, 3):
        traded(day)
    traded(2, book="other", seed="8")
    assert changes(open_ledger()) == [], "a book's first session changes nothing"


def test_t5_a_changed_limit_is_found_and_waits_for_approval() -> None:
    traded(1)
    traded(2, policy=TIGHTER)
    traded(3, policy=TIGHTER)
    found = changes(open_ledger())
    told = [(c.session, c.what, c.before, c.after) for c in found]
    assert told == [
        ("2040-01-02", "policy clamps.name_core", "0.015", "0.01"),
        ("2040-01-02", "policy opening_cash", "1000000.0", "500000.0"),
    ]
    assert not any(c.approved for c in found)
    done = approve_change(found[0].id, by="Ada", reason="smaller positions")
    assert done["changed"] and "Ada" in done["approved"] and "smaller" in done["approved"]
    again = approve_change(found[0].id, by="Bob", reason="late")
    assert not again["changed"] and "Ada" in again["approved"]
    assert [c["id"] for c in list_changes(unapproved=True)] == [found[1].id]


def test_a_limit_that_goes_and_comes_back_is_two_changes() -> None:
    traded(1)
    traded(2, policy=TIGHTER)
    traded(3)
    found = [c for c in changes(open_ledger()) if c.what == "policy opening_cash"]
    assert [(c.before, c.after) for c in found] == [
        ("1000000.0", "500000.0"),
        ("500000.0", "1000000.0"),
    ]
    assert len({c.id for c in found}) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("learning", "training parameters"),
        ("symbols", "classes of symbols"),
        ("schedule", "training schedule"),
        ("seed", "seed"),
        ("feature_set", "features"),
    ],
)
def test_every_other_input_is_material_too(name: str, words: str) -> None:
    traded(1)
    traded(2, **{name: "other"})
    (found,) = changes(open_ledger())
    assert (found.what, found.after, found.approved) == (words, "other", "")


def test_another_model_is_approved_by_its_verdict() -> None:
    traded(1)
    traded(2, model_version="m2")
    traded(3, model_version="m3")
    verdict = {"kind": "verdict", "id": "abcdef0123", "model_version": "m2", "status": "FAIL"}
    open_ledger().append("operations", [verdict])
    second, third = changes(open_ledger())
    assert second.approved == "verdict abcdef01: FAIL" and third.approved == ""
    approve_change(third.id, by="Ada", reason="shadowed for a week")
    assert "Ada" in changes(open_ledger())[1].approved


def test_what_isnt_there_or_has_no_name_is_refused() -> None:
    traded(1)
    traded(2, seed="8")
    (found,) = changes(open_ledger())
    with pytest.raises(UsageError, match="no change"):
        approve_change("nothing", by="Ada", reason="x")
    with pytest.raises(UsageError, match="who approves"):
        approve_change(found.id, by=" ", reason="x")
    with pytest.raises(UsageError, match="reason"):
        approve_change(found.id, by="Ada", reason="")
    done = CliRunner().invoke(cli, ["changes", "--unapproved", "--json"])
    assert [c["id"] for c in json.loads(done.stdout)["changes"]] == [found.id]
    args = ["approve-change", found.id, "--by", "Ada", "--reason", "x", "--json"]
    assert json.loads(CliRunner().invoke(cli, args).stdout)["changed"] is True
