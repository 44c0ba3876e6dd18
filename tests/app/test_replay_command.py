"""`hybridnb replay`: what it prints, and that it trades what the backtest trades."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hybridnb.app.backtest import backtest, predicted_rows
from hybridnb.app.cli import cli
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.hinting import live_hints
from hybridnb.app.history import History, open_history
from hybridnb.app.home import Home
from hybridnb.app.training import train
from hybridnb.domain import SCALE, Mode
from hybridnb.policy import Policy
from hybridnb.replay.run import replay, rules

DAY = ("--feed", "sample", "--date", "2002-03-01", "--profile", "smoke", "--seed", "3")
KEYS = ["bars", "seconds", "bars_per_s", "trades", "equity", "sha256"]


def silent(text: str) -> None:
    """Nobody reads the progress here."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with the model of a short history."""
    where = Home(tmp_path_factory.mktemp("trained"))
    train(opened(where), silent)
    return where


def opened(where: Home) -> Context:
    request = Request(feed="sample", session="2002-03-01", profile="smoke", seed=3)
    return replace(open_day(request), home=where)


def replayed(where: Home, monkeypatch: pytest.MonkeyPatch, *args: str) -> Result:
    monkeypatch.setenv("HYBRIDNB_HOME", str(where.root))
    return CliRunner().invoke(cli, ["replay", *DAY, *args])


def test_one_object_with_these_keys(trained: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    done = replayed(trained, monkeypatch, "--plain", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == KEYS
    history = open_history(opened(trained), first="", last="", say=silent)
    assert found["bars"] == history.panel.present[history.start : history.stop].sum() > 100
    assert found["bars_per_s"] == pytest.approx(found["bars"] / found["seconds"], rel=0.01)
    assert re.fullmatch(r"[0-9a-f]{64}", found["sha256"])
    assert " sessions of " in done.stderr


def test_the_table_says_the_same(trained: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    args = ("--plain", "--to", "2002-01-31")
    table = replayed(trained, monkeypatch, *args).stdout
    found = json.loads(replayed(trained, monkeypatch, *args, "--json").stdout)
    assert found["sha256"] in table
    assert f"{found['bars']:,}" in table and f"{found['equity']:,.2f}" in table


def test_it_is_the_backtest_over_every_predicted_session(trained: Home) -> None:
    """Views that follow the book as well: both ask the trained hint about what is held."""
    for policy in (Policy(), Policy.model_validate({"blend": {"buy": 0.55, "weight_rl": 1.0}})):
        context = opened(trained)
        history = open_history(context, first="", last="", say=silent)
        assert history.start == predicted_rows(history.panel)[0] + 1
        assert history.stop == len(history.panel.sessions)
        other = replace(context, settings=replace(context.settings, policy=policy))
        stepped = backtest(
            other,
            history.panel,
            live_hints(history.model.hint, other),
            rows=np.arange(history.start, history.stop),
            model_version="m",
            say=silent,
        )
        done = traded(history, policy)
        assert (done.equity[history.start :] / SCALE == stepped.equity.to_numpy()[1:]).all()
        assert len(done.trades) == len(stepped.pnl) > 0
        assert (done.trades[:, 8] / SCALE == stepped.pnl).all()


def traded(history: History, policy: Policy, **how: Any) -> Any:
    return replay(
        history.tape,
        history.names,
        rules(policy, Mode.DEMO, verdict_valid=False),
        cash=round(policy.opening_cash * SCALE),
        start=history.start,
        stop=history.stop,
        hints=history.hints.under(policy),
        **how,
    )


def test_a_stretch_begins_with_a_new_account(
    trained: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("--from", "2002-02-01", "--to", "2002-02-05")
    found = json.loads(replayed(trained, monkeypatch, *args, "--plain", "--json").stdout)
    history = open_history(opened(trained), first=args[1], last=args[3], say=silent)
    assert history.sessions == ("2002-02-01", "2002-02-05")
    assert history.stop - history.start == 3
    assert found["bars"] == history.bars
    assert found["equity"] == traded(history, Policy()).equity[history.stop - 1] / SCALE


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--from", "soon"), "is no date"),
        (("--to", "2002-02-30"), "is no date"),
        (("--from", "2099-01-01"), "no predicted session"),
        (("--to", "2000-03-01"), "no predicted session"),
    ],
)
def test_a_stretch_that_isn_t_there(
    trained: Home, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], words: str
) -> None:
    done = replayed(trained, monkeypatch, *args, "--plain", "--json")
    error = json.loads(done.stdout)
    assert done.exit_code == 2
    assert words in error["message"] and error["remedy"]


def test_without_a_model_something_is_missing() -> None:
    done = CliRunner().invoke(cli, ["replay", *DAY, "--json"])
    error = json.loads(done.stdout)
    assert done.exit_code == 4
    assert error["error"] == "Missing" and "hybridnb day" in error["remedy"]


@pytest.mark.skipif(
    os.environ.get("HYBRIDNB_EVIDENCE") != "1", reason="compiling takes a minute: make evidence"
)
def test_compiled_and_plain_are_one(trained: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = json.loads(replayed(trained, monkeypatch, "--json").stdout)
    plain = json.loads(replayed(trained, monkeypatch, "--json", "--plain").stdout)
    for key in ("bars", "trades", "equity", "sha256"):
        assert compiled[key] == plain[key]
    done = replayed(trained, monkeypatch, "--json")
    assert "is compiled once" not in done.stderr
    assert json.loads(done.stdout)["sha256"] == plain["sha256"]
