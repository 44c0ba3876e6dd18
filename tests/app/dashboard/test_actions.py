"""What the controls do: a row of the ledger each, with its reason; for viewers nothing at all."""

from __future__ import annotations

from typing import Any

import pytest
from chronicle import Chronicle

from hybridnb.app.alerts import alerts
from hybridnb.app.dashboard import actions
from hybridnb.app.dashboard.controls import ACKNOWLEDGE, APPROVE, CONTROLS, WITHDRAW
from hybridnb.app.dashboard.model import Staleness
from hybridnb.app.dashboard.reading import Source
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import asked
from hybridnb.errors import HybridnbError, Refused, UsageError

EVERY = (*CONTROLS, ACKNOWLEDGE, APPROVE, WITHDRAW)


def last() -> dict[str, Any]:
    return asked(open_ledger())[-1]


@pytest.mark.parametrize("control", EVERY, ids=lambda c: c.name)
def test_viewers_do_nothing(control: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Chronicle().trade()
    monkeypatch.setenv("HYBRIDNB_READ_ONLY", "1")
    before = open_ledger().count("operations")
    with pytest.raises(Refused, match="viewers"):
        control.run(reason="why", book="book", which="halt")
    assert open_ledger().count("operations") == before


@pytest.mark.parametrize(
    ("name", "which", "action"),
    [
        ("entries", "halt", "halt"),
        ("entries", "reduce", "reduce"),
        ("entries", "resume", "resume"),
        ("brake", "on", "brake-on"),
        ("brake", "off", "brake-off"),
        ("cancel", "", "cancel-all"),
        ("demo", "", "demo"),
    ],
)
def test_an_action_is_recorded_with_its_reason(name: str, which: str, action: str) -> None:
    Chronicle().trade()
    control = next(c for c in CONTROLS if c.name == name)
    assert control.run(reason="  a feed is late ", book="", which=which)
    assert (last()["action"], last()["reason"]) == (action, "a feed is late")


def test_every_choice_that_is_offered_can_be_meant() -> None:
    Chronicle().trade()
    shown = Source().view("", Staleness())
    for control in (c for c in CONTROLS if not c.slow):
        for _, meant in control.options(shown) or [("", "")]:
            control.run(reason=f"{control.name} {meant}", book="", which=meant)
            assert last()["reason"] == f"{control.name} {meant}".strip()


def test_a_symbols_orders_are_withdrawn_alone() -> None:
    actions.cancel_all(reason="bad print", which="RY.TO")
    assert (last()["action"], last()["symbol"]) == ("cancel-all", "RY.TO")


def test_forcing_demo_twice_says_that_nothing_changed() -> None:
    Chronicle().trade()
    assert "DEMO from the next opening" in actions.force_demo(reason="why", book="book")
    count = open_ledger().count("operations")
    assert "nothing was changed" in actions.force_demo(reason="why", book="book")
    assert open_ledger().count("operations") == count


def test_an_alert_is_acknowledged() -> None:
    Chronicle().kill()
    alert = alerts(open_ledger())[0]["id"]
    assert "acknowledged" in actions.acknowledge(reason="seen", which=alert)
    assert alerts(open_ledger())[0]["acknowledged"]["reason"] == "seen"


def test_a_reply_is_withdrawn() -> None:
    book = Chronicle()
    book.kill()
    reply = book.reply(stay=True)
    assert "out from the next opening" in actions.withdraw_reply(reason="wrong", which=reply)
    rows = open_ledger().rows("operations", kind="reply_withdrawn")
    assert [row["reply"] for row in rows] == [reply]


def test_what_isnt_there_is_refused_in_the_commands_own_words() -> None:
    with pytest.raises(UsageError, match="there is no alert 'x'"):
        actions.acknowledge(reason="why", which="x")
    with pytest.raises(UsageError, match="there is no proposal 'x'"):
        actions.approve(reason="why", which="x")


def test_a_command_that_refuses_says_why() -> None:
    Chronicle().trade()
    with pytest.raises(HybridnbError, match="quarantine") as told:
        actions.clear_quarantine(reason="--not an option", book="book")
    assert isinstance(told.value, actions.CommandFailed)
    assert open_ledger().count("operations") == 0
