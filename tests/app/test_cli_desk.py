"""Commands of the trading desk: what they record, and what they refuse."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from hybridnb.app.cli import cli
from hybridnb.app.ledgers import open_ledger


@pytest.mark.parametrize(
    ("words", "action", "symbol", "lock"),
    [
        (["cancel-all"], "cancel-all", "", ""),
        (["cancel-all", "--symbol", "RY.TO"], "cancel-all", "RY.TO", ""),
        (["reduce"], "reduce", "", ""),
        (["halt"], "halt", "", ""),
        (["resume"], "resume", "", ""),
        (["unlock", "cooldown", "--symbol", "RY.TO"], "unlock", "RY.TO", "cooldown"),
        (["enable", "RY.TO"], "enable", "RY.TO", ""),
        (["brake", "on"], "brake-on", "", ""),
        (["brake", "off"], "brake-off", "", ""),
    ],
)
def test_an_operators_action_is_a_row_with_its_reason(
    words: list[str], action: str, symbol: str, lock: str
) -> None:
    done = CliRunner().invoke(cli, [*words, "--reason", "a test", "--json"])
    assert done.exit_code == 0, done.output
    (row,) = open_ledger().rows("operations", kind="operator")
    assert json.loads(done.stdout) == row
    assert (row["action"], row["symbol"], row["lock"], row["reason"]) == (
        action,
        symbol,
        lock,
        "a test",
    )


@pytest.mark.parametrize("words", [["halt"], ["halt", "--reason", " "], ["brake", "--reason", "x"]])
def test_without_a_reason_or_a_state_nothing_is_recorded(words: list[str]) -> None:
    assert CliRunner().invoke(cli, words).exit_code == 2
    assert open_ledger().rows("operations", kind="operator") == []


def test_two_equal_actions_are_two() -> None:
    for _ in range(2):
        CliRunner().invoke(cli, ["halt", "--reason", "again"])
    assert len({row["id"] for row in open_ledger().rows("operations", kind="operator")}) == 2


@pytest.mark.parametrize("command", ["trade", "reconcile", "adopt"])
def test_a_broker_nobody_knows_is_told_before_anything_is_read(command: str) -> None:
    reason = ["--reason", "r"] if command == "adopt" else []
    done = CliRunner().invoke(cli, [command, "--broker", "mtgox", "--json", *reason])
    assert done.exit_code == 2
    assert "ccxt, ibkr, paper" in json.loads(done.stdout)["remedy"]
