"""POSTs do what the commands do, with their rows; errors are a status and a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from chronicle import Chronicle
from pydantic import ValidationError

from hybridnb.app.alerts import alerts
from hybridnb.app.book_state import Done, NotGranted
from hybridnb.app.operators import asked
from hybridnb.app.server import bodies, deeds
from hybridnb.app.server.problems import BODY, http_problem, problem, status_of
from hybridnb.domain import Mode
from hybridnb.errors import (
    BrokerDown,
    CheckFailed,
    HybridnbError,
    InputError,
    Missing,
    ParamsError,
    Refused,
    UsageError,
)


def actions(book: Chronicle) -> list[str]:
    return [row["action"] for row in asked(book.ledger)]


def test_demo_is_asked_for_once_and_answers_the_same_again() -> None:
    book = Chronicle(mode=Mode.LIVE_MICRO)
    book.trade()
    first = deeds.force_demo(bodies.Demo())
    again = deeds.force_demo(bodies.Demo(reason="once more"))
    assert (first["mode"], first["previous_mode"], first["changed"]) == ("DEMO", "LIVE_MICRO", True)
    assert again == first | {"changed": False, "text": again["text"]}
    assert actions(book) == ["demo"]
    book.trade()
    assert book.risk.mode is Mode.DEMO


def test_demo_of_one_book_leaves_the_others() -> None:
    here, there = Chronicle(mode=Mode.LIVE, name="here"), Chronicle(mode=Mode.LIVE, name="there")
    here.trade()
    there.trade()
    assert deeds.force_demo(bodies.Demo(book="here"))["previous_mode"] == "LIVE"
    here.trade()
    there.trade()
    assert (here.risk.mode, there.risk.mode) == (Mode.DEMO, Mode.LIVE)
    with pytest.raises(UsageError, match="no book"):
        deeds.force_demo(bodies.Demo(book="nowhere"))


@pytest.mark.parametrize(
    ("run", "body", "recorded"),
    [
        (deeds.trading_state, bodies.TradingState(state="ACTIVE", reason="r"), "resume"),
        (deeds.trading_state, bodies.TradingState(state="REDUCING", reason="r"), "reduce"),
        (deeds.trading_state, bodies.TradingState(state="HALTED", reason="r"), "halt"),
        (deeds.resume, bodies.Reasoned(reason="r"), "resume"),
        (deeds.reduce, bodies.Reasoned(reason="r"), "reduce"),
        (deeds.halt, bodies.Reasoned(reason="r"), "halt"),
        (deeds.cancel_all, bodies.Symbolic(reason="r", symbol="A"), "cancel-all"),
        (deeds.unlock, bodies.Unlock(reason="r", lock="cooldown", symbol="A"), "unlock"),
        (deeds.enable, bodies.Enable(reason="r", symbol="A"), "enable"),
        (deeds.brake, bodies.Switch(reason="r", state="on"), "brake-on"),
        (deeds.brake, bodies.Switch(reason="r", state="off"), "brake-off"),
    ],
)
def test_an_action_is_the_row_that_the_command_leaves(run: Any, body: Any, recorded: str) -> None:
    book = Chronicle()
    done = run(body)
    (row,) = asked(book.ledger)
    assert (row["action"], row["reason"], row["id"]) == (recorded, "r", done["id"])
    assert row["symbol"] == getattr(body, "symbol", "")
    assert row["lock"] == getattr(body, "lock", "")


def test_the_brake_is_put_on_without_a_body_and_off_with_a_reason_alone() -> None:
    book = Chronicle()
    on, again = deeds.emergency_brake(bodies.Brake()), deeds.emergency_brake(bodies.Brake())
    assert on["active"] and on["changed"] and not again["changed"] and again["id"] == on["id"]
    with pytest.raises(UsageError, match="reason"):
        deeds.emergency_brake(bodies.Brake(active=False))
    off = deeds.emergency_brake(bodies.Brake(active=False, reason="seen", operator="ann"))
    assert not off["active"] and off["changed"]
    assert actions(book) == ["brake-on", "brake-off"]
    assert asked(book.ledger)[-1]["reason"] == "seen (ann)"
    book.trade()
    assert not book.risk.brake


def test_an_alert_is_acknowledged_with_the_reason() -> None:
    book = Chronicle()
    book.kill()
    first = alerts(book.ledger)[0]
    done = deeds.acknowledge(bodies.Acknowledge(alert=first["id"], reason=" seen "))
    assert done["changed"] and alerts(book.ledger)[0]["acknowledged"]["reason"] == "seen"


def test_the_mode_asks_for_its_checklist_and_a_quarantine_for_the_judge() -> None:
    book = Chronicle(mode=Mode.DEMO)
    book.kill(3)
    wish = bodies.SetMode(mode=Mode.LIVE, reason="r")
    with pytest.raises(NotGranted) as refused:
        deeds.set_mode(wish)
    assert status_of(refused.value) == 409
    with pytest.raises(NotGranted) as refused:
        deeds.clear_quarantine(bodies.Judged(reason="r"))
    assert status_of(refused.value) == 503
    assert actions(book) == []


@pytest.mark.parametrize("code", [403, 409, 429, 503])
def test_what_is_not_granted_has_the_status_of_its_outcome(code: int) -> None:
    error = NotGranted(Done(code, "no", remedy="later", book="b"))
    assert status_of(error) == code
    body = problem(error, code)
    assert (body["message"], body["remedy"], body["book"]) == ("no", "later", "b")
    assert body["code"] in ("Forbidden", "Conflict", "TooManyRequests", "ServiceUnavailable")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("u"), 400),
        (ParamsError("k", 1, "2", file=BODY), 400),
        (ParamsError("k", 1, "2", file="params/policy.yml"), 503),
        (InputError([]), 409),
        (Refused("r"), 409),
        (Missing("m"), 503),
        (BrokerDown("m"), 503),
        (CheckFailed("c", details={"n": 1}), 503),
        (HybridnbError("h"), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_a_status_and_a_body(error: HybridnbError, status: int) -> None:
    assert status_of(error) == status
    body = problem(error, status)
    assert {"code", "message", "remedy"} <= body.keys() and body["code"] == type(error).__name__


def test_refusals_of_the_server_itself_say_what_to_do() -> None:
    for status in (403, 404, 405, 500):
        body = http_problem(status)
        assert body["code"] and body["message"] and body["remedy"]


@pytest.mark.parametrize("reason", ["", "  ", "\x00", "a\x00b", "x" * 501])
def test_a_reason_is_needed_and_is_text(reason: str) -> None:
    with pytest.raises(ValidationError):
        bodies.Reasoned(reason=reason)


@pytest.fixture
def operator(served: Any) -> Iterator[httpx.Client]:
    with served.operator() as client:
        yield client


REASON = {"reason": "r"}
WRONG = [
    ("/api/halt", b"", 400),
    ("/api/halt", b"{", 400),
    ("/api/halt", b"[]", 400),
    ("/api/halt", b"1", 400),
    ("/api/halt", b"\xff", 400),
    ("/api/halt", b'{"reason": NaN}', 400),
    ("/api/halt", b'{"reason": "\\ud800"}', 400),
    ("/api/halt", b"[" * 60_000, 400),
    ("/api/halt", b'{"reason": "' + b"x" * 70_000 + b'"}', 413),
    ("/api/halt", b'{"reason": "r", "more": 1}', 400),
    ("/api/trading-state", b'{"reason": "r", "state": "STOPPED"}', 400),
    ("/api/mode", b'{"reason": "r", "mode": "FAST"}', 400),
    ("/api/mode", b'{"reason": "r", "mode": "LIVE", "book": "nowhere"}', 404),
    ("/api/ack", b'{"reason": "r", "alert": "none"}', 404),
    ("/api/approve", b'{"reason": "r", "proposal": "none"}', 404),
    ("/api/withdraw-reply", b'{"reason": "r", "reply": "none"}', 404),
    ("/api/escalate", b'{"reason": "r", "call": "NOBODY"}', 400),
]


@pytest.mark.parametrize(("path", "body", "status"), WRONG)
def test_what_cant_be_meant_is_told_and_nothing_is_done(
    operator: httpx.Client, path: str, body: bytes, status: int
) -> None:
    before = operator.get("/api/read-model").json()["ledger"]["rows"]
    found = operator.post(path, content=body)
    assert found.status_code == status
    assert {"code", "message", "remedy"} <= found.json().keys()
    assert operator.get("/api/read-model").json()["ledger"]["rows"] == before


def test_what_was_posted_is_in_what_is_read_next(operator: httpx.Client) -> None:
    for state in ("HALTED", "ACTIVE", "REDUCING"):
        done = operator.post("/api/trading-state", json=REASON | {"state": state})
        assert done.status_code == 200 and done.json()["state"] == state
        waiting = operator.get("/api/risk-status").json()["waiting"]
        assert waiting[-1]["id"] == done.json()["id"]


def test_an_unknown_query_and_an_unknown_book_are_told(operator: httpx.Client) -> None:
    assert operator.get("/api/alerts?nonsense=1").status_code == 400
    assert operator.get("/api/risk-status?book=nowhere").status_code == 404
    assert operator.get("/api/golive?book=nowhere").status_code == 404
    found = operator.get("/api/alerts?all=true&book=book").json()["alerts"]
    assert found and all(alert["book"] == "book" for alert in found)


def test_addresses_and_methods_that_are_not_there(operator: httpx.Client) -> None:
    assert operator.get("/api/nothing").status_code == 404
    found = operator.get("/api/halt")
    assert found.status_code == 405 and found.json()["remedy"]


def test_metrics_are_prometheus_text(operator: httpx.Client) -> None:
    found = operator.get("/metrics")
    assert found.status_code == 200 and found.headers["content-type"].startswith("text/plain")
    lines = found.text.splitlines()
    assert 'hybridnb_quarantine_sessions_left{book="book"} 7.0' in lines
    assert 'hybridnb_mode{book="book"} 0.0' in lines
    assert any(line.startswith("http_request_duration_seconds") for line in lines)
