"""Replies as operators see them: what each changes, taking one out, approving a proposal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chronicle import Chronicle
from click.testing import CliRunner

from hybridnb.app.cli import cli
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.replies import approve, proposals, replies, standing_rows, withdraw_reply
from hybridnb.app.replying import standing_replies
from hybridnb.errors import UsageError

TIGHTER = {"max_position_pct": 0.01, "stop_multipliers": None}
LOOSER = {"max_position_pct": 0.5, "stop_multipliers": {"atr": 1.5, "trailing": 9.0}}


def book_with(*changes: dict[str, Any] | None) -> tuple[Chronicle, list[str]]:
    book = Chronicle()
    book.kill()
    return book, [book.reply(stay=True, changes=each) for each in changes]


def test_each_reply_is_shown_with_what_it_changes_alone_and_until_when() -> None:
    book, (first, second) = book_with(TIGHTER, LOOSER)
    one, two = replies(book.ledger)
    assert (one["id"], two["id"]) == (first, second)
    assert [(c["key"], c["after"]) for c in one["changes"]] == [
        ("clamps.name_core", 0.01),
        ("control.stay_demo", True),
    ]
    assert [c["key"] for c in two["changes"]] == ["stops.initial", "control.stay_demo"]
    assert [c["key"] for c in two["proposals"]] == ["clamps.name_core", "stops.trailing"]
    assert (one["from_session"], one["expires"]) == (book.risk.ordinal + 1, book.risk.ordinal + 6)
    assert {one["state"], two["state"]} == {"in force"}
    assert replies(book.ledger, "other") == []


def test_a_reply_waits_holds_and_expires() -> None:
    book = Chronicle()
    book.kill()
    book.reply(stay=True, ordinal=book.risk.ordinal + 1)
    states = []
    for _ in range(7):
        states.append(replies(book.ledger)[0]["state"])
        book.trade()
    assert states == ["waiting", *["in force"] * 5, "expired"]


def test_withdrawn_it_is_out_and_twice_changes_nothing() -> None:
    book, (name,) = book_with(LOOSER)
    coming = book.risk.ordinal + 1
    assert [r["id"] for r in standing_rows(book.ledger, "book", ordinal=coming)] == [name]
    assert proposals(book.ledger) != []
    done = withdraw_reply(name, reason=" wrong ")
    assert done["changed"] and done["reason"] == "wrong"
    assert not withdraw_reply(name, reason="again")["changed"]
    assert len(book.ledger.rows("operations", kind="reply_withdrawn")) == 1
    assert standing_rows(book.ledger, "book", ordinal=coming) == []
    assert standing_replies(book.ledger, "book") == ()
    assert (replies(book.ledger)[0]["state"], proposals(book.ledger)) == ("withdrawn", [])


def test_a_refused_reply_has_no_effect() -> None:
    book = Chronicle()
    book.kill()
    book.reply(stay=True, taken=False, changes=LOOSER)
    (row,) = replies(book.ledger)
    assert (row["state"], row["changes"], row["proposals"]) == ("refused", [], [])
    assert proposals(book.ledger) == []


def test_an_approval_is_recorded_and_names_the_key_to_set() -> None:
    book, _ = book_with(LOOSER)
    waiting = {p["key"]: p for p in proposals(book.ledger, "book")}
    cap = waiting["clamps.name_core"]
    done = approve(cap["id"], reason="agreed")
    assert done["changed"]
    assert "Set clamps.name_core: 0.5 in params/policy.yml (now 0.015)" in done["text"]
    (row,) = book.ledger.rows("operations", kind="approved")
    assert (row["proposal"], row["key"], row["before"], row["after"], row["reason"]) == (
        cap["id"],
        "clamps.name_core",
        0.015,
        0.5,
        "agreed",
    )
    assert not approve(cap["id"], reason="agreed")["changed"]
    assert len(book.ledger.rows("operations", kind="approved")) == 1
    assert [p["key"] for p in proposals(book.ledger) if not p["approved"]] == ["stops.trailing"]


def test_leaving_demo_is_no_key_of_the_policy() -> None:
    book = Chronicle()
    book.kill()
    book.reply(stay=False)
    (leave,) = proposals(book.ledger)
    assert (leave["key"], leave["after"]) == ("control.stay_demo", False)
    text = approve(leave["id"], reason="r")["text"]
    assert "keep-mode" in text and "params/policy.yml" not in text


@pytest.mark.parametrize("wish", [withdraw_reply, approve])
def test_what_isnt_there_is_refused(wish: Any) -> None:
    with pytest.raises(UsageError, match="there is no") as caught:
        wish("nine", reason="r")
    assert "hybridnb replies" in caught.value.remedy
    with pytest.raises(UsageError, match="reason"):
        wish("nine", reason="")
    assert open_ledger().count("operations") == 0


def test_the_commands() -> None:
    book, (name,) = book_with(LOOSER)
    run = CliRunner()
    found = json.loads(run.invoke(cli, ["replies", "--json"]).stdout)
    assert [r["id"] for r in found["replies"]] == [name]
    text = run.invoke(cli, ["replies"]).stdout
    assert "stops.initial 1.8 → 1.5" in text and found["proposals"][0]["id"] in text
    wished = ["approve", found["proposals"][0]["id"], "--reason", "r"]
    assert run.invoke(cli, wished).exit_code == 0
    assert run.invoke(cli, ["withdraw-reply", name, "--reason", "r"]).exit_code == 0
    assert run.invoke(cli, ["withdraw-reply", "nine", "--reason", "r"]).exit_code == 2
    assert book.ledger.rows("operations", kind="reply_withdrawn")[0]["reply"] == name
