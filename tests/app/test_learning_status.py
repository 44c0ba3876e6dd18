"""What decides at present: of the newest session, else of the parameters."""

from __future__ import annotations

import json
from typing import Any

from chronicle import Chronicle

from hybridnb.app.home import home, shipped
from hybridnb.app.learning_status import learning_status, policy_of, trained_to
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.settings import settings
from hybridnb.app.status import Reader, read_status
from hybridnb.market.features import FEATURES
from hybridnb.policy import Policy, policy_values
from hybridnb.registry.artifacts import MANIFEST, seal

KNOWN = settings(shipped("params"))


def verdict(session: str, *, feed: str = "sample", sharpe: float = 1.2) -> dict[str, Any]:
    figures = [{"name": "Sharpe", "value": sharpe}, {"name": "win rate", "value": 0.53}]
    gates = [{"name": "performance", "status": "FAIL", "figures": figures}]
    row = {"kind": "verdict", "feed": feed, "session": session, "status": "FAIL"}
    curve = [{"count": 9, "predicted": 0.4, "observed": sharpe}]
    return row | {"gates": gates, "valid_until": 9, "model_version": "m", "reliability": curve}


def test_without_a_session_only_what_the_parameters_say_is_known() -> None:
    found = learning_status(open_ledger(), KNOWN, "")
    assert found["weights"] == {"short": 0.4, "mid": 0.3, "rl": 0.3}
    assert [f["name"] for f in found["features"]] == list(FEATURES)
    assert all(f["on"] for f in found["features"])
    assert found["reward_mix"]["name"] == "balanced"
    unknown = ("model_version", "policy_version", "policy_at", "accuracy", "verdict", "sharpe")
    assert [found[name] for name in unknown] == [None] * len(unknown)
    assert found["reliability"] == []


def test_the_newest_verdict_of_the_books_feed() -> None:
    book = Chronicle()
    book.trade()
    rows = [verdict("a"), verdict("b", sharpe=0.4), verdict("c", feed="other", sharpe=9.0)]
    book.ledger.append("operations", rows)
    found = read_status()["learning"]
    assert (found["sharpe"], found["hit_rate"]) == (0.4, 0.53)
    assert (found["verdict"]["session"], found["verdict"]["status"]) == ("b", "FAIL")
    assert found["verdict"]["gates"] == [{"name": "performance", "status": "FAIL"}]
    assert found["reliability"] == [{"count": 9, "predicted": 0.4, "observed": 0.4}]


def test_a_policy_is_dated_from_the_stretch_in_which_it_is_in_force() -> None:
    ledger = open_ledger()
    other = Policy.model_validate(policy_values(Policy()) | {"opening_cash": 5.0})

    def traded(session: str, policy: Policy) -> None:
        where = {"book": "book", "session": session}
        values = policy_values(policy)
        row = {"kind": "policy", "policy_id": policy.id, "values": values}
        opening = {"kind": "session_opened", "policy_id": policy.id, "facts": {}}
        ledger.append("session", [where | row, where | opening])

    for session, policy in zip("abcd", (Policy(), other, Policy(), Policy()), strict=True):
        traded(session, policy)
    found = learning_status(ledger, KNOWN, "book")
    assert (found["policy_version"], found["policy_at"]) == (Policy().id, "c")
    traded("e", other)
    assert learning_status(ledger, KNOWN, "book")["policy_at"] == "e"
    assert policy_of(KNOWN, ledger, "book").opening_cash == 5.0, "what it was traded under"
    assert policy_of(KNOWN, ledger, "new") == KNOWN.policy


def test_features_that_a_reply_switched_off_and_what_the_model_has_seen() -> None:
    ledger = open_ledger()
    where = {"book": "book", "session": "s"}
    opening = {"kind": "session_opened", "policy_id": "p", "model_version": "v", "facts": {}}
    row = {"kind": "in_force", "disabled": ["return_5"]}
    ledger.append("session", [where | opening, where | row])
    found = learning_status(ledger, KNOWN, "book")
    assert [f["name"] for f in found["features"] if not f["on"]] == ["return_5"]
    assert trained_to(home(), "v") is None
    seal(home().root / "models" / "k", {"a": b"1"}, {"version": "v", "trained_to": "2020-01-02"})
    manifest = home().root / "models" / "k" / MANIFEST
    assert json.loads(manifest.read_text())["meta"]["version"] == "v"
    assert trained_to(home(), "v") == "2020-01-02"


def test_a_reader_sees_what_others_write_and_says_so_by_its_version() -> None:
    reader, book = Reader(), Chronicle()
    before = reader.version()
    assert reader.status()["books"] == [] and reader.version() == before
    book.trade(-0.01)
    assert reader.version() != before
    (shown,) = reader.status()["books"]
    assert (shown["book"], shown["day_pnl"]) == ("book", -0.01)
    assert reader.scores("book") == {
        "session": book.session,
        "buy": 0.67,
        "sell": 0.33,
        "scores": [],
    }
