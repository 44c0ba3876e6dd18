"""After a session: what the local reasoner is asked, what is kept of it, and that nothing waits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from escalating import FIRST, SECOND, Book, hopeful, local, quiet, write_params

from hybridnb.app.context import Context
from hybridnb.app.enriching import MOST, conflicts, enrich_session
from hybridnb.app.explain import explain_decision
from hybridnb.app.records import orders_digest
from hybridnb.app.setting_up import Prepared
from hybridnb.app.trading import Traded, trade
from hybridnb.escalation.enrich import Enricher
from hybridnb.market.features import FEATURES
from hybridnb.testing.ollama_server import MODEL, OllamaServer
from hybridnb.testing.openai_server import closed_url

WORDS = {
    "explanation": "The short horizon rises; the middle one doesn't follow.",
    "scenario": "reversal",
    "action": "reduce",
    "risks": ["the rise holds for a week"],
}
IDEAS = {"disable": ["rsi"], "add": [], "weight_changes": []}


def say(body: Mapping[str, Any]) -> str:
    """The reply whose keys the request asks for."""
    keys = set(body["format"]["properties"])
    return json.dumps(WORDS if "explanation" in keys else IDEAS)


@pytest.fixture
def near() -> Iterator[OllamaServer]:
    with OllamaServer(reply=say) as running:
        yield running


def divided(context: Context) -> Prepared:
    """Predictors that disagree about every name but the first, each by another distance."""
    found = hopeful(context)
    short, mid = (found.panel.columns[name].copy() for name in ("p_short", "p_mid"))
    apart = np.linspace(0.0, 0.45, short.shape[1])
    short[:], mid[:] = 0.5 + apart, 0.5 - apart[::-1] * 0.5
    short[:, 0] = 0.5
    made = replace(found.panel, columns={**found.panel.columns, "p_short": short, "p_mid": mid})
    return replace(found, panel=made)


def traded(book: Book, session: str = FIRST) -> Traded:
    context = book.context(session)
    return trade(context, divided(context), ledger=context.ledger())


def enriched(book: Book, done: Traded) -> list[dict[str, Any]]:
    return enrich_session(book.asking(done.session), done.rows, quiet)


def decision(symbol: str, short: float | None, mid: float | None) -> dict[str, Any]:
    given = {"p_short": short, "p_mid": mid}
    return {"kind": "decision", "decision_id": symbol, "symbol": symbol, "inputs": given}


def test_the_widest_conflicts_come_first_and_ties_by_name() -> None:
    names = "ABCDEFGHIJKL"
    rows = [decision(s, 0.9 if i < 3 else 0.6, 0.2) for i, s in enumerate(names)]
    assert [r["symbol"] for r in conflicts(rows[::-1])] == list(names[:MOST])
    rows.append(decision("Z", 0.05, 0.99))
    assert conflicts(rows)[0]["symbol"] == "Z"


def test_who_agrees_or_does_not_know_is_in_no_conflict() -> None:
    pairs = [(0.9, 0.51), (0.1, 0.2), (0.5, 0.1), (0.9, 0.5), (None, 0.1), (0.9, None)]
    assert conflicts([decision(str(i), *pair) for i, pair in enumerate(pairs)]) == []


def test_each_conflict_is_explained_once_recorded_and_shown_as_a_models_words(
    tmp_path: Path, near: OllamaServer
) -> None:
    book = Book(write_params(tmp_path / "p", local=local(near.host)))
    done = traded(book)
    found = enriched(book, done)
    assert [row["symbol"] for row in found] == [row["symbol"] for row in conflicts(done.rows)]
    assert {(row["kind"], row["outcome"], row["model"]) for row in found} == {
        ("explained", "ok", MODEL)
    }
    assert len(found) > 1 and near.requests == len(found)
    assert all(row["advice"] == WORDS for row in found)
    assert book.told("explained") == found
    asked = book.told("asked_local")
    assert [row["escalation"] for row in asked] == [row["decision_id"] for row in found]
    assert found[0]["symbol"] in asked[0]["request"]
    assert enriched(book, done) == [] and near.requests == len(found)
    shown, text = explain_decision(found[0]["decision_id"])
    head, _, words = text.partition("In the words of a model")
    assert WORDS["explanation"] in words and WORDS["explanation"] not in head
    assert shown["explanation"]["advice"] == WORDS and shown["score_equal"]


def test_without_an_explanation_a_decision_is_shown_as_ever(tmp_path: Path) -> None:
    done = traded(Book(write_params(tmp_path / "p")))
    name = conflicts(done.rows)[0]["decision_id"]
    shown, text = explain_decision(name)
    assert shown["explanation"] is None and "words of a model" not in text


def test_where_nobody_is_there_one_attempt_tells_and_no_more_is_asked(tmp_path: Path) -> None:
    book = Book(write_params(tmp_path / "p", local=local(closed_url())))
    done = traded(book)
    began = time.monotonic()
    (row,) = enriched(book, done)
    assert time.monotonic() - began < 5.0
    assert (row["outcome"], row["advice"]) == ("unreachable", None)
    assert len(book.told("asked_local")) == 1
    assert enriched(book, done) == []


def test_with_none_configured_nothing_is_asked_or_recorded(tmp_path: Path) -> None:
    book = Book(write_params(tmp_path / "p"))
    assert enriched(book, traded(book)) == []
    assert book.told("explained") == [] and book.told("asked_local") == []


@pytest.mark.parametrize("fault", ["no_message", "page", "no_memory"])
def test_what_is_no_explanation_is_recorded_as_a_failure(
    tmp_path: Path, near: OllamaServer, fault: str
) -> None:
    near.behave(fault)
    book = Book(write_params(tmp_path / "p", local=local(near.host)))
    found = enriched(book, traded(book))
    assert found and all(row["advice"] is None and row["outcome"] != "ok" for row in found)


def test_a_decayed_model_has_features_proposed_and_none_is_changed(
    tmp_path: Path, near: OllamaServer
) -> None:
    book = Book(write_params(tmp_path / "p", local=local(near.host)))
    done = traded(book)
    event = next(row for row in done.rows if row["kind"] == "escalation")
    joined = {**event, "joined": ["model_decay"]}
    rows = [joined if row is event else row for row in done.rows]
    found = enrich_session(book.asking(FIRST), rows, quiet)
    (proposed,) = [row for row in found if row["kind"] == "features_proposed"]
    assert (proposed["outcome"], proposed["advice"]) == ("ok", IDEAS)
    assert proposed["escalation"] == event["id"]
    (sent,) = [row for row in book.told("asked_local") if row["task"] == "propose_features"]
    rates = facts_of(sent["request"])["hit_rates"]
    assert set(rates) == set(FEATURES)
    assert any(rate is not None and 0.0 <= rate <= 1.0 for rate in rates.values())
    again = Book(book.params).trade(SECOND)
    assert not [row for row in again.rows if row["kind"] == "in_force"]


def facts_of(request: str) -> dict[str, Any]:
    """What a question told of the session."""
    text = json.loads(request)["messages"][1]["content"]
    found: dict[str, Any] = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return found


def test_no_decision_reads_an_explanation(
    tmp_path: Path, near: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(write_params(tmp_path / "p", local=local(near.host)))
    digests = []
    for name, asks in (("silent", False), ("told", True)):
        monkeypatch.setenv("HYBRIDNB_HOME", str(tmp_path / name))
        first = traded(book)
        assert bool(enriched(book, first) if asks else []) is asks
        digests.append((orders_digest(first.rows), orders_digest(traded(book, SECOND).rows)))
    assert digests[0] == digests[1]


def test_a_server_that_hangs_is_given_up_after_two_questions(
    tmp_path: Path, near: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    near.behave("stall")
    made = Enricher
    monkeypatch.setattr(
        "hybridnb.app.enriching.Enricher",
        lambda reasoner, clock: made(reasoner, clock=clock, timeout_s=0.3),
    )
    book = Book(write_params(tmp_path / "p", local=local(near.host)))
    found = enriched(book, traded(book))
    assert [row["outcome"] for row in found] == ["timeout", "timeout"]
    assert near.requests == 2
