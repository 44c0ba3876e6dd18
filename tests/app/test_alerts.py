"""Alerts of both chains: one list, and acknowledgements that are rows."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from chronicle import Chronicle
from click.testing import CliRunner

from hybridnb.app.alerts import acknowledge, alerts, alerts_text
from hybridnb.app.cli import cli
from hybridnb.app.frontier import UNAVAILABLE, alerted
from hybridnb.errors import UsageError
from hybridnb.risk import KILL_ALERT, QUARANTINE_ALERT


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def killed() -> Chronicle:
    book = Chronicle()
    book.kill(3)
    return book


def test_every_alert_of_both_chains_has_id_time_and_book() -> None:
    book = killed()
    alerted(book.ledger, UNAVAILABLE, at=now(), about=book.event)
    alerted(book.ledger, "of nobody", at=now())
    found = alerts(book.ledger)
    assert [(a["text"], a["chain"]) for a in found] == [
        (UNAVAILABLE, "operations"),
        ("of nobody", "operations"),
        *[(KILL_ALERT, "session")] * 3,
        (QUARANTINE_ALERT, "session"),
    ]
    assert [a["at"] for a in found] == sorted(a["at"] for a in found)
    assert all(a["acknowledged"] is None for a in found)
    assert (found[0]["book"], found[0]["session"]) == ("book", book.session)
    assert (found[1]["book"], found[1]["session"]) == ("", "")
    rows = book.ledger.rows("session", kind="alert")
    assert {a["id"] for a in found[2:]} == {f"book-{r['session']}-{r['n']}" for r in rows}
    assert len({a["id"] for a in found}) == len(found)
    assert [a["text"] for a in alerts(book.ledger, "book")].count("of nobody") == 0


def test_acknowledging_is_a_row_and_twice_changes_nothing() -> None:
    book = killed()
    last = alerts(book.ledger)[-1]
    head = book.ledger.head("session")
    done = acknowledge(last["id"], reason=" seen ")
    assert done["changed"] and done["acknowledged"]["reason"] == "seen"
    again = acknowledge(last["id"], reason="another")
    assert not again["changed"]
    assert again["acknowledged"] == done["acknowledged"]
    (row,) = book.ledger.rows("operations", kind="acknowledged")
    assert (row["alert"], row["reason"], row["at"]) == (
        last["id"],
        "seen",
        done["acknowledged"]["at"],
    )
    assert alerts(book.ledger)[-1]["acknowledged"] == done["acknowledged"]
    assert book.ledger.head("session") == head


def test_an_unknown_alert_is_refused_with_those_that_wait() -> None:
    book = killed()
    newest = alerts(book.ledger)[-1]["id"]
    with pytest.raises(UsageError, match="no alert 'nine'") as caught:
        acknowledge("nine", reason="r")
    assert newest in caught.value.remedy
    with pytest.raises(UsageError, match="reason"):
        acknowledge(newest, reason="")
    assert book.ledger.rows("operations", kind="acknowledged") == []


def test_the_commands_list_and_acknowledge() -> None:
    book = killed()
    run = CliRunner()
    listed = json.loads(run.invoke(cli, ["alerts", "--json"]).stdout)["alerts"]
    assert [a["id"] for a in listed] == [a["id"] for a in reversed(alerts(book.ledger))]
    seen = listed[0]["id"]
    assert run.invoke(cli, ["ack", seen, "--reason", "r"]).exit_code == 0
    assert "nothing was changed" in run.invoke(cli, ["ack", seen, "--reason", "r"]).stdout
    left = json.loads(run.invoke(cli, ["alerts", "--json"]).stdout)["alerts"]
    assert [a["id"] for a in left] == [a["id"] for a in listed[1:]]
    every = json.loads(run.invoke(cli, ["alerts", "--all", "--json"]).stdout)["alerts"]
    assert len(every) == len(listed)
    assert run.invoke(cli, ["ack", "nine", "--reason", "r"]).exit_code == 2
    assert run.invoke(cli, ["ack", seen]).exit_code == 2
    text = run.invoke(cli, ["alerts", "--all"]).stdout
    assert text.index(QUARANTINE_ALERT) < text.index(KILL_ALERT)
    assert "[acknowledged" in text.split("\n")[0]


def test_no_alert_is_a_sentence() -> None:
    assert alerts_text([]) == "no alert waits"
