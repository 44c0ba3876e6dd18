"""The read-model: alerts that wait, quarantine, and where escalation stands."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

from chronicle import Chronicle
from click.testing import CliRunner

from hybridnb.app.alerts import acknowledge, alerts
from hybridnb.app.cli import cli
from hybridnb.app.escalation_state import exchange_zone, read_escalation
from hybridnb.app.frontier import alerted
from hybridnb.app.home import shipped
from hybridnb.app.settings import settings
from hybridnb.app.status import ALERTS, read_status, status_text
from hybridnb.domain import Outcome
from hybridnb.escalation.breaker import answered_row
from hybridnb.escalation.calls import Call
from hybridnb.escalation.quota import Ask, reserve
from hybridnb.risk import Lock, disable

KNOWN = settings(shipped("params"))
NOON = dt.datetime(2040, 5, 2, 16, 0, tzinfo=dt.UTC)


def call(book: Chronicle, name: str, at: dt.datetime, *, judge: bool = False) -> None:
    task = Call.SANITY_JUDGE if judge else Call.REGIME_AUDITOR
    ask = Ask(name, task, dt.date(2050, 1, 1))
    zone, quota = exchange_zone(KNOWN), KNOWN.escalation.quota
    reserve(book.ledger, ask, at, zone=zone, params=quota)


def test_an_empty_home_has_a_whole_day_of_calls() -> None:
    block = read_status()["escalation"]
    assert (block["calls_today"], block["daily_limit"], block["remaining"]) == (0, 3, 3)
    assert (block["last_call"], block["in_force"], block["proposals"]) == (None, [], [])
    assert (block["provider"], block["breaker"], block["post_mortem"]) == ("openai", "closed", None)
    assert "no session was traded yet" in status_text(read_status())


def test_calls_are_counted_by_the_exchanges_date_and_come_back_at_its_midnight() -> None:
    book = Chronicle()
    call(book, "a", NOON)
    call(book, "b", NOON + dt.timedelta(hours=11))  # 23:00 at the exchange, tomorrow in UTC
    late = NOON + dt.timedelta(hours=11, minutes=30)
    block = read_escalation(book.ledger, KNOWN, late)
    assert (block["calls_today"], block["remaining"], block["kept_for_judge"]) == (2, 1, 1)
    assert block["resets_at"] == "2040-05-03T04:00:00+00:00"
    again = read_escalation(book.ledger, KNOWN, late + dt.timedelta(minutes=31))
    assert (again["calls_today"], again["remaining"]) == (0, 3)


def test_the_last_call_the_breaker_and_who_waits() -> None:
    book = Chronicle()
    book.kill()
    call(book, book.event, NOON, judge=True)
    block = read_escalation(book.ledger, KNOWN, NOON)
    assert block["last_call"] == {"call": "SANITY_JUDGE", "at": NOON.isoformat(), "outcome": None}
    assert block["waiting"] == 1
    rows = [
        answered_row(name, Outcome.TIMEOUT, at=NOON, record={"model": "m", "detail": "60 s"})
        for name in (book.event, "x", "y")
    ]
    book.ledger.append("operations", rows)
    book.reply(stay=True)
    block = read_escalation(book.ledger, KNOWN, NOON)
    assert (block["last_call"]["outcome"], block["last_call"]["model"]) == ("timeout", "m")
    assert (block["breaker"], block["waiting"]) == ("open", 0)
    later = read_escalation(book.ledger, KNOWN, NOON + dt.timedelta(minutes=30))
    assert later["breaker"] == "half_open"


def test_changes_in_force_with_the_sessions_they_are_left_and_proposals() -> None:
    book = Chronicle()
    book.kill()
    stops = {"atr": 1.5, "trailing": 9.0}
    name = book.reply(stay=True, changes={"max_position_pct": None, "stop_multipliers": stops})
    seen = {
        (c["key"], c["before"], c["after"], c["sessions_left"], c["reply"])
        for c in read_status()["escalation"]["in_force"]
    }
    assert seen == {
        ("stops.initial", 1.8, 1.5, 5, name),
        ("control.stay_demo", False, True, 5, name),
    }
    (proposal,) = read_status()["escalation"]["proposals"]
    assert (proposal["key"], proposal["after"]) == ("stops.trailing", 9.0)
    for _ in range(5):
        book.trade()
    block = read_status()["escalation"]
    assert (block["in_force"], block["proposals"]) == ([], [])


def test_the_newest_unacknowledged_alerts_ten_at_most_with_their_count() -> None:
    book = Chronicle()
    book.kill(3)
    for n in range(12):
        at = dt.datetime(2045, 1, 1, n, tzinfo=dt.UTC)
        alerted(book.ledger, f"alert {n}", at=at)
    found = read_status()["alerts"]
    assert found["unacknowledged"] == 16
    assert [a["text"] for a in found["newest"]] == [f"alert {n}" for n in range(11, 1, -1)]
    assert len(found["newest"]) == ALERTS
    for alert in alerts(book.ledger)[:6:-1]:
        acknowledge(alert["id"], reason="seen")
    found = read_status()["alerts"]
    assert (found["unacknowledged"], len(found["newest"])) == (7, 7)
    text = status_text(read_status())
    assert "7 alerts to acknowledge" in text and found["newest"][0]["id"] in text
    assert "in quarantine for 7 more sessions" in text


def test_the_last_post_mortems_writer() -> None:
    book = Chronicle()
    row = {"kind": "post_mortem", "book": "book", "session": "2040-04-12", "writer": "w", "at": "t"}
    book.ledger.append("operations", [row | {"sections": []}])
    shown = read_status()["escalation"]["post_mortem"]
    assert shown == {"book": "book", "session": "2040-04-12", "writer": "w", "at": "t"}


def test_the_command_prints_what_the_read_model_has() -> None:
    book = Chronicle()
    book.kill()
    done = CliRunner().invoke(cli, ["status", "--json"])
    assert done.exit_code == 0
    shown = json.loads(done.stdout)
    assert shown["alerts"] == read_status()["alerts"]
    assert shown["escalation"] == read_status()["escalation"]
    text = CliRunner().invoke(cli, ["status"]).stdout
    assert "escalation: 0 of 3 calls today, 3 left (1 kept for the judge)" in text
    assert "1 escalations wait" in text


def test_a_lock_says_what_is_locked_and_for_how_long() -> None:
    book = Chronicle()
    locks = (
        Lock("stop_guard", "*", until=103, reason="3 stops in 5 sessions"),
        Lock("cooldown", "AAA.TO", until=102, reason="exit this session"),
    )
    book.risk = disable(replace(book.risk, locks=locks), "BBB.TO", "50 fills in 60 s")
    book.trade()
    assert read_status()["books"][0]["locks"] == [
        "stop_guard: 3 stops in 5 sessions, 2 more sessions",
        "cooldown AAA.TO: exit this session, 1 more session",
        "repeated_fills BBB.TO: 50 fills in 60 s, until an operator enables BBB.TO",
    ]
