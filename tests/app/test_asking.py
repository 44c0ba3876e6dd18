"""What a session escalates, who answers it, and what becomes of the reply."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from escalating import FIRST, SECOND, Book, frontier, local, quiet, write_params

from hybridnb.app.asking import answer_pending, ask_now
from hybridnb.app.frontier import OFFLINE, UNAVAILABLE
from hybridnb.app.records import decision_rows, orders_digest
from hybridnb.app.trading import Traded
from hybridnb.escalation.calls import Call
from hybridnb.escalation.quota import Denial
from hybridnb.testing.ollama_server import OllamaServer
from hybridnb.testing.openai_server import KEY, OpenAiServer, closed_url


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAiServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAiServer() as running:
        yield running


@pytest.fixture
def near() -> Iterator[OllamaServer]:
    with OllamaServer() as running:
        yield running


def sizes(traded: Traded) -> dict[str, float]:
    return {r["symbol"]: r["size_post_risk"] for r in decision_rows(traded.rows)}


def alerts(book: Book) -> list[str]:
    return [row["text"] for row in book.told("alert")]


def test_an_escalation_is_a_row_of_the_session_and_nobody_is_asked_in_it(
    tmp_path: Path, cloud: OpenAiServer
) -> None:
    book = Book(write_params(tmp_path / "p", frontier=frontier(cloud.url)))
    done = book.trade(FIRST)
    (event,) = [row for row in done.rows if row["kind"] == "escalation"]
    assert (event["trigger"], event["call"]) == ("regime", "REGIME_AUDITOR")
    assert event["conditions"] == ["correlation_spike"]
    (facts,) = [row for row in done.rows if row["kind"] == "facts"]
    assert facts["facts"]["net_liquidity"] == done.equity
    assert "put_call_ratio" in facts["unknown"]
    assert cloud.requests == 0 and not book.told("reply")


def test_the_frontier_answers_once_and_the_reply_binds_the_next_session_only(
    tmp_path: Path, cloud: OpenAiServer
) -> None:
    book = Book(write_params(tmp_path / "p", frontier=frontier(cloud.url)))
    first = book.trade(FIRST)
    (row,) = book.ask(FIRST)
    assert row["by"] == "frontier" and row["taken"], row["refused"]
    assert book.ask(FIRST) == [] and cloud.requests == 1
    (reserved,), (answered,) = book.told("frontier_reserved"), book.told("frontier_answered")
    assert (reserved["used_before"], reserved["used_after"]) == (0, 1)
    assert answered["outcome"] == "ok" and answered["attempt"] == row["escalation"]
    assert KEY not in str(answered)
    assert json.loads(answered["request"])["text"]["format"]["strict"] is True
    assert alerts(book) == ["Escalation to GPT-5: Regime Auditor (1/3)"]
    assert not [r for r in first.rows if r["kind"] == "in_force"]
    second = book.trade(SECOND)
    (opened,) = [r for r in second.rows if r["kind"] == "in_force"]
    assert opened["replies"] == [row["id"]]


def test_a_reply_only_tightens_what_the_next_session_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Book(write_params(tmp_path / "nobody"))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("HYBRIDNB_HOME", str(tmp_path / "other"))
        bare.trade(FIRST)
        without = bare.trade(SECOND)
    book = Book(write_params(tmp_path / "p"))
    book.trade(FIRST)
    (row,) = book.ask(FIRST)
    assert (row["by"], row["reply"]["regime_label"]) == ("rules", "crisis")
    replied = book.trade(SECOND)
    (twice,) = [r for r in replied.rows if r["kind"] == "decided_twice"]
    assert twice["names"]
    assert all(abs(n["taken"]["size"]) <= abs(n["operator"]["size"]) for n in twice["names"])
    for symbol, size in sizes(replied).items():
        assert abs(size) <= abs(sizes(without)[symbol])
    assert orders_digest(replied.rows) != orders_digest(without.rows)


@pytest.mark.parametrize("fault", ["server_error", "wrong_shape", "unauthorised"])
def test_when_the_frontier_fails_the_local_reasoner_answers_and_both_are_recorded(
    tmp_path: Path, cloud: OpenAiServer, near: OllamaServer, fault: str
) -> None:
    cloud.behave(fault)
    changes = {"frontier": frontier(cloud.url), "local": local(near.host)}
    book = Book(write_params(tmp_path / "p", **changes))
    book.trade(FIRST)
    (row,) = book.ask(FIRST)
    assert row["by"] == "local" and fault in row["why"]
    assert cloud.requests == 1 and len(book.told("frontier_reserved")) == 1
    assert UNAVAILABLE in alerts(book)
    tasks = [each["task"] for each in book.told("asked_local")]
    assert tasks == ["REGIME_AUDITOR", "analyse_escalation"]
    assert len(book.told("analysis")) == 1


def test_with_nobody_to_ask_the_rules_answer_and_each_failure_has_its_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    url = closed_url()
    changes = {"frontier": frontier(url), "local": local(url.removesuffix("/v1"))}
    book = Book(write_params(tmp_path / "p", **changes))
    book.trade(FIRST)
    (row,) = book.ask(FIRST)
    assert (row["by"], row["label"]) == ("rules", "deterministic rules")
    assert row["why"].count("unreachable") == 2
    assert row["toggles_frozen"]
    assert alerts(book)[1:] == [UNAVAILABLE, OFFLINE]


def test_without_a_key_no_quota_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    book = Book(write_params(tmp_path / "p", frontier=frontier(closed_url())))
    book.trade(FIRST)
    (row,) = book.ask(FIRST)
    assert row["by"] == "rules" and "OPENAI_API_KEY" in row["why"]
    assert not book.told("frontier_reserved")


def test_a_session_that_is_over_asks_no_frontier_unless_on_purpose(
    tmp_path: Path, cloud: OpenAiServer
) -> None:
    book = Book(write_params(tmp_path / "p", frontier=frontier(cloud.url)))
    book.trade(FIRST)
    asking = book.asking(FIRST)
    later = asking.now().replace(year=2014)
    (row,) = answer_pending(replace(asking, now=lambda: later), quiet)
    assert row["by"] == "rules" and Denial.DATED in row["why"]
    assert cloud.requests == 0 and UNAVAILABLE not in alerts(book)


def test_the_third_ordinary_event_of_a_day_finds_what_is_left_kept_for_the_judge(
    tmp_path: Path, cloud: OpenAiServer
) -> None:
    book = Book(write_params(tmp_path / "p", frontier=frontier(cloud.url)))
    book.trade(FIRST)
    asking = book.asking(FIRST)
    by = [
        ask_now(asking, Call.REGIME_AUDITOR, reason=f"look {n}", say=quiet)["by"] for n in range(3)
    ]
    judged = ask_now(asking, Call.SANITY_JUDGE, reason="by hand", say=quiet)
    assert by == ["frontier", "frontier", "rules"] and judged["by"] == "rules"
    assert cloud.requests == 2


def test_a_process_that_died_after_reserving_never_sends_twice(
    tmp_path: Path, cloud: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(write_params(tmp_path / "p", frontier=frontier(cloud.url)))
    book.trade(FIRST)

    class Died(BaseException):
        pass

    def dies(*args: object, **more: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr("hybridnb.app.frontier._asked", dies)
        with pytest.raises(Died):
            book.ask(FIRST)
    (row,) = book.ask(FIRST)
    assert row["by"] == "rules" and Denial.TAKEN in row["why"]
    assert cloud.requests == 0 and len(book.told("frontier_reserved")) == 1


def test_a_withdrawn_reply_leaves_no_trace(tmp_path: Path) -> None:
    book = Book(write_params(tmp_path / "p"))
    book.trade(FIRST)
    (row,) = book.ask(FIRST)
    book.ledger.append("operations", [{"kind": "reply_withdrawn", "reply": row["id"]}])
    assert not [r for r in book.trade(SECOND).rows if r["kind"] == "in_force"]


def test_a_session_that_was_traded_keeps_its_rows_whatever_is_withdrawn_after(
    tmp_path: Path,
) -> None:
    book = Book(write_params(tmp_path / "p"))
    book.trade(FIRST)
    (row,) = book.ask(FIRST)
    head = book.trade(SECOND).head
    book.ledger.append("operations", [{"kind": "reply_withdrawn", "reply": row["id"]}])
    again = book.trade(SECOND)
    assert (again.head, again.written) == (head, False)


def test_nobody_is_asked_about_a_session_whose_reply_would_be_over(
    tmp_path: Path, cloud: OpenAiServer
) -> None:
    book = Book(write_params(tmp_path / "p", frontier=frontier(cloud.url)))
    book.trade("2013-02-15")  # eight sessions before the next: a reply would hold for five
    (row,) = book.ask(SECOND, spend=True)
    assert (row["by"], row["taken"], row["reply"]) == ("nobody", False, None)
    assert cloud.requests == 0 and not book.told("alert")
    assert not [r for r in book.trade(SECOND).rows if r["kind"] == "in_force"]
