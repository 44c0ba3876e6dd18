"""The replay of a crisis: what fires when, what a scripted reply changes, and the page of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hybridnb.app.cli import cli
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.crises import AMPLIFIED, REPLAYED
from hybridnb.app.crisis_course import POSITION, Course, course, scripted, worst_position
from hybridnb.app.history import History
from hybridnb.app.home import Home
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.stretch import Stepped
from hybridnb.app.training import Model, train
from hybridnb.escalation.calls import AuditorReply, Call
from hybridnb.market import calendar
from hybridnb.policy import Policy, validated

Make = Callable[..., Any]
T, START = 330, 300
DAY = ("--feed", "sample", "--profile", "smoke", "--seed", "3")
WIDE = {  # nothing but the caps below keeps a position small
    "clamps": {"bucket_penny": 0.0, "bucket_fno": 0.0, "bucket_core": 0.9, "name_core": 0.3},
    "sizing": {"kelly_fraction": 1.0, "heat_limit": 100.0, "var_limit": 1.0, "es_limit": 1.0},
}


@dataclass(frozen=True)
class Bold:
    """A size hint that always says yes."""

    def hints(self, seen: Any) -> np.ndarray:
        return np.full(len(seen), 4.0)


def silent(text: str) -> None:
    """Nobody reads the progress here."""


def request(session: str) -> Request:
    return Request(feed="sample", session=session, profile="smoke", seed=3)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A day of the sample feed, opened in a home of its own."""
    return replace(open_day(request("2002-03-01")), home=Home(tmp_path_factory.mktemp("home")))


def history_of(context: Context, panel: Any, **sandbox: int) -> History:
    """A history of a made panel on the exchange's own sessions."""
    dates = calendar.sessions(context.market.calendar, "2014-01-02", "2016-01-02")[:T]
    escalation = context.settings.escalation.model_copy(update=sandbox)
    context = replace(context, settings=replace(context.settings, escalation=escalation))
    model: Any = Model("m", "2014-01-02", {}, {}, True)
    model.__dict__["hint"] = Bold()
    return History(context, model, replace(panel, sessions=dates), START, T)


def calm(n: int = 2) -> np.ndarray:
    steps = np.random.default_rng(5).normal(0.0, 0.004, (T, n))
    return np.asarray(100.0 * np.exp(np.cumsum(steps, axis=0)))


def kinds(step: Stepped, kind: str) -> list[Any]:
    return [row for row in step.rows if row["kind"] == kind]


def sessions_in_force(found: Course) -> list[int]:
    return [n for n, step in enumerate(found.steps) if kinds(step, "in_force")]


def entered(step: Stepped) -> list[Any]:
    return [r for r in kinds(step, "fill") if r["leg"] == "entry"]


def test_a_spike_of_volatility_and_correlation_asks_the_auditor_and_its_reply_holds_five_sessions(
    context: Context, panel_of: Make
) -> None:
    panel = panel_of(calm())
    panel.facts.loc[panel.sessions[310:315], "volatility_zscore"] = 3.0
    panel.facts.loc[panel.sessions[310:315], "correlation"] = 0.7
    history = history_of(context, panel, sandbox_sessions=5)
    bare = course(history, Policy(), replies=False)
    # What row 310 shows is known from the session in row 311 on.
    (event,) = [e for e in bare.events if e["trigger"] == "regime"]
    assert event["session"] == f"{history.panel.sessions[311]:%Y-%m-%d}"
    assert (event["call"], event["conditions"]) == ("REGIME_AUDITOR", ["correlation_spike"])
    assert event["facts"]["volatility_zscore"] == 3.0
    assert event["facts"]["correlation_breakdown"] == 0.7
    assert "changes" not in event and sessions_in_force(bare) == []

    replied = course(history, Policy(), replies=True)
    (event,) = [e for e in replied.events if e["trigger"] == "regime"]
    assert event["breaches"] == () and event["audited"] == 5
    changed = {c["key"]: (c["before"], c["after"]) for c in event["changes"]}
    assert changed["clamps.bucket_core"] == (0.9, pytest.approx(0.6))
    assert changed["account.crisis"] == (False, True)
    first = 311 - START + 1
    assert sessions_in_force(replied) == list(range(first, first + 5))
    for one, other in zip(bare.steps[:first], replied.steps[:first], strict=True):
        assert one.equity == other.equity and one.rows == other.rows


def crashing() -> np.ndarray:
    path = calm(1)
    path[315:] *= 0.7
    return path


def gapped(path: np.ndarray) -> np.ndarray:
    opens = np.vstack([path[:1], path[:-1]])
    opens[315] = path[315]
    return opens


def test_a_crash_trips_the_kill_switch_and_the_judges_cap_binds_afterwards(
    context: Context, panel_of: Make
) -> None:
    history = history_of(
        context, panel_of(crashing(), opens=gapped(crashing())), sandbox_sessions=5
    )
    # No lock after the loss: what keeps entries small is the reply alone.
    policy = validated(Policy, WIDE | {"risk": {"drawdown_guard": [1.0, 1, 0]}})
    bare, replied = (course(history, policy, replies=r) for r in (False, True))
    crash = 315 - START
    for found in (bare, replied):
        assert [n for n, step in enumerate(found.steps) if step.killed] == [crash]
        assert found.events[0]["trigger"] == "kill_switch"
        assert found.events[0]["call"] == "SANITY_JUDGE"
        assert found.events[0]["facts"]["day_pnl"] <= policy.risk.kill_day_pnl
    after = slice(crash + 1, crash + 6)
    largest = [max(r["quantity"] * r["price"] for s in f.steps[after] for r in entered(s))
               for f in (bare, replied)]  # fmt: skip
    cap = POSITION * replied.steps[crash].equity * 10_000
    assert largest[1] <= cap * 1.001 < largest[0]
    assert replied.events[0]["changes"][0] == {
        "key": "clamps.name_core",
        "before": 0.3,
        "after": POSITION,
    }


def test_a_reply_that_the_sandbox_refuses_is_not_in_force(context: Context, panel_of: Make) -> None:
    panel = panel_of(crashing(), opens=gapped(crashing()))
    found = course(
        history_of(context, panel, sandbox_sessions=1000), validated(Policy, WIDE), replies=True
    )
    assert "not audited" in found.events[0]["breaches"][0]
    rows = [row for step in found.steps for row in kinds(step, "in_force")]
    assert {c["key"].split(".")[0] for row in rows for c in row["changes"]} <= {"training"}


def test_the_auditor_bars_the_position_that_has_lost_most(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    path = calm(3)
    path[-1, 1] *= 0.985
    path[-1, 2] *= 0.995
    panel = panel_of(path)
    state, _ = run(panel, setup_of(3), T - 1, T - 1)
    assert worst_position(state, panel.day(T - 1)) == "B"
    reply = scripted(Call.REGIME_AUDITOR, state, panel.day(T - 1))
    assert isinstance(reply, AuditorReply) and reply.do_not_trade_list == ("B",)
    empty, _ = run(panel_of(path, score=0.5), setup_of(3, hint=0.0), T - 1, T - 1)
    assert worst_position(empty, panel.day(T - 1)) == ""


@pytest.fixture(scope="module")
def trained(context: Context) -> Path:
    """The home, with the model of a short history in it."""
    train(context, silent)
    return context.home.root


def asked(home: Path, reports: Path, monkeypatch: pytest.MonkeyPatch, *args: str) -> Result:
    monkeypatch.setenv("HYBRIDNB_HOME", str(home))
    monkeypatch.setenv("HYBRIDNB_REPORTS", str(reports))
    return CliRunner().invoke(cli, ["triggers", *DAY, *args])


def test_the_command_replays_both_policies_and_writes_a_page(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("--date", "2002-03-01", "--from", "2002-02", "--to", "2002-02", "--json")
    result = asked(trained, tmp_path, monkeypatch, *args)
    assert result.exit_code == 0, result.stderr
    done = json.loads(result.stdout)
    (stretch,) = done["stretches"]
    assert (stretch["first"], stretch["last"]) == ("2002-02-01", "2002-02-28")
    assert stretch["sessions"] == 19  # of New York, closed on Presidents' Day
    assert [p["name"] for p in stretch["policies"]] == ["operator", "amplified"]
    shown = {c["key"] for c in stretch["policies"][1]["changed"]}
    assert shown == {f"{part}.{key}" for part, keys in AMPLIFIED.items() for key in keys}
    assert stretch["policies"][0]["changed"] == []
    for policy in stretch["policies"]:
        for with_them in ("without", "with"):
            assert policy[with_them]["equity"] > 0
    page = Path(done["report"]).read_text(encoding="utf-8")
    assert page.count("<svg") == 3 and "<script" not in page
    assert not re.search(r"(?:src|href)='?\"?http", page)
    again = json.loads(asked(trained, tmp_path, monkeypatch, *args).stdout)
    assert again == done and Path(again["report"]).read_text(encoding="utf-8") == page
    text = asked(trained, tmp_path, monkeypatch, *args[:-1]).stdout
    assert "amplified" in text and done["report"] in text
    (kept,) = open_ledger().rows("operations", kind=REPLAYED)
    events = sum(len(policy["fired"]) for policy in stretch["policies"])
    assert (kept["first"], kept["events"]) == ("2002-02-01", events)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--from", "2002-02"), 2, "1 --from and 0 --to"),
        (("--from", "soon", "--to", "2002-02"), 2, "'soon' is no date"),
        (("--from", "1950-01", "--to", "1950-02"), 2, "no session"),
        (("--from", "2001-11", "--to", "2001-11"), 4, "--date 2001-11-30"),
    ],
)
def test_what_cannot_be_meant_is_told(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    result = asked(trained, tmp_path, monkeypatch, *args)
    assert result.exit_code == code
    assert words in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_stretch_is_seen_from_its_own_last_session(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("--from", "2002-02-25", "--to", "2002-03-01", "--json")
    done = json.loads(asked(trained, tmp_path, monkeypatch, *args).stdout)
    (stretch,) = done["stretches"]
    assert stretch["as_of"] == stretch["last"] == "2002-03-01"
    assert stretch["hint_trained_to"] < stretch["trained_to"] < "2002-03-01"
