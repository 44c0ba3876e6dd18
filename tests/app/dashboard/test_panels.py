"""Panels drawn from known read-models: what stands on them, what is unknown, what is hostile."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from hybridnb.app.dashboard import jobs
from hybridnb.app.dashboard.model import Staleness, View, chosen, names, newest_fact
from hybridnb.app.dashboard.panels import PANELS, Panel, drawn
from hybridnb.app.dashboard.top import top_bar

NOW = dt.datetime(2026, 11, 20, 20, 0, tzinfo=dt.UTC)
BOOK: dict[str, Any] = {
    "book": "tsx",
    "session": "2026-11-20",
    "live": True,
    "as_of": "2026-11-20T19:59:30+00:00",
    "currency": "CAD",
    "mode": "LIVE_MICRO",
    "trading_state": "ACTIVE",
    "brake": False,
    "kill_switch": "ready",
    "killed_since": "",
    "quarantine_until": None,
    "quarantine_left": 0,
    "net_liquidity": 1_012_345.67,
    "day_pnl": -0.0123,
    "day_pnl_money": -12_607.4,
    "drawdown": 0.0345,
    "cash": 0.61,
    "gross": 0.39,
    "net": 0.31,
    "regime": {"name": "trend", "volatility_z": 1.4, "badge": "high"},
    "open_risk": {"used": 0.004, "limit": 0.02},
    "usage": {"PENNY": {"used": 0.018, "limit": 0.02}, "CORE": {"used": 0.3, "limit": 0.9}},
    "limits": [
        {"name": "day_loss", "label": "day loss", "used": 0.0123, "limit": 0.025, "share": 0.492},
        {"name": "gross", "label": "gross", "used": 1.0, "limit": 1.0, "share": 1.0, "warn": True},
        {
            "name": "bucket:PENNY",
            "label": "PENNY",
            "used": 0.018,
            "limit": 0.02,
            "share": 0.9,
            "warn": True,
        },
    ],
    "names": [
        {
            "symbol": "RY.TO",
            "bucket": "CORE",
            "quantity": -120,
            "price": 171.25,
            "value": -20_550.0,
            "share": 0.0203,
            "cap": 0.025,
            "of_cap": 0.812,
            "entry": 170.0,
            "stop": 175.5,
            "target": None,
            "risk": 0.0005,
        }
    ],
    "sip": {"held_value": 5_150.0, "accrued": 212.0, "carried": 24.01},
    "locks": ["cooldown: RY.TO after a stop"],
}
STATUS: dict[str, Any] = {
    "asked_mode": "DEMO",
    "books": [BOOK],
    "operators": [
        {
            "book": "tsx",
            "action": "cancel-all",
            "symbol": "RY.TO",
            "lock": "",
            "reason": "bad print",
        },
        {"book": "other", "action": "halt", "symbol": "", "lock": "", "reason": "not of this book"},
    ],
    "alerts": {
        "unacknowledged": 12,
        "newest": [{"id": "a1", "text": "Kill switch at -2.6 %", "at": NOW.isoformat()}],
    },
    "learning": {
        "model_version": "16c8b5bc20e3ffff",
        "trained_to": "2026-11-19",
        "policy_version": "500aed2afcbb0000",
        "policy_at": "2026-10-01",
        "features": [{"name": "rsi", "on": True}, {"name": "gap", "on": False}],
        "reward_mix": {"name": "balanced", "pnl": 1.0},
        "weights": {"short": 0.4, "mid": 0.3, "rl": 0.3},
        "accuracy": 0.56,
        "accuracy_baseline": 0.51,
        "hit_rate": 0.551,
        "sharpe": 1.21,
        "verdict": {"status": "PASS", "session": "2026-11-16", "valid_until": 4935},
        "reasoner": "openai",
        "local_reasoner": "ollama",
    },
    "escalation": {
        "calls_today": 1,
        "daily_limit": 3,
        "kept_for_judge": 1,
        "resets_at": "2026-11-21T05:00:00+00:00",
        "provider": "openai",
        "breaker": "open",
        "waiting": 2,
        "last_call": {
            "call": "SANITY_JUDGE",
            "at": "2026-11-20T15:00:00+00:00",
            "outcome": "answered",
        },
        "cooldowns": [{"trigger": "drawdown", "until": "2026-11-20T21:00:00+00:00"}],
    },
    "jobs": {
        "ran": [
            {
                "job": "session",
                "session": "2026-11-19",
                "status": "done",
                "attempts": 1,
                "at": "2026-11-19T21:30:00+00:00",
                "seconds": 95.0,
                "report": "2026-11-19/session/index.html",
                "error": None,
            },
            {
                "job": "training",
                "session": "2026-11-16",
                "status": "failed",
                "attempts": 3,
                "at": "2026-11-16T22:00:00+00:00",
                "seconds": None,
                "report": None,
                "error": "no data",
            },
        ],
        "due": [
            {
                "job": "post_mortem",
                "session": "2026-11-20",
                "at": "2026-11-20T21:30:00+00:00",
                "status": "due",
                "why": "after session",
            }
        ],
    },
}
SERIES = {
    "sessions": ["2026-11-17", "2026-11-18", "2026-11-19"],
    "equity": [100.0, 120.0, 110.0],
    "drawdown": [0.0, 0.0, 1 / 12],
}
SCORES = {"scores": [0.1, 0.3, 0.5, 0.8, 0.9], "buy": 0.67, "sell": 0.33, "session": "2026-11-19"}
BY_NAME = {panel.name: panel for panel in PANELS}


def view(*, stale: bool = False, status: Mapping[str, Any] = STATUS, **changes: Any) -> View:
    book = chosen(status, "tsx")
    shown = {**book, **changes} if book else {}
    return View(status=status, book=shown, now=NOW, series=SERIES, scores=SCORES, stale=stale)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def text(markup: str) -> str:
    """What is read on a page, words apart by single blanks."""
    parser = _Text()
    parser.feed(re.sub(r"<(/?)(td|th|dt|dd|div|li|h2|p|b|br)\b", r" <\1\2", markup))
    return " ".join("".join(parser.found).split())


def panel(name: str, of: View | None = None) -> str:
    return text(drawn(BY_NAME[name], of or view()))


def test_the_top_bar_says_all_that_must_be_seen_at_a_glance() -> None:
    shown = text(str(top_bar(view())))
    assert shown == (
        "Mode LIVE_MICRO ACTIVE Net liquidity 1,012,346 CAD cash 61.0% Day P&L −1.23% −12,607"
        " Drawdown 3.45% below the peak Volatility ▲ high z +1.40 trend"
        " Kill switch ready no quarantine Alerts ■ 12 to acknowledge Data 30 s live session"
        " 2026-11-20"
    )


def test_before_the_first_session_it_says_so() -> None:
    shown = text(str(top_bar(view(status={"asked_mode": "DEMO", "books": []}))))
    assert shown == "Mode DEMO no session was traded yet"


@pytest.mark.parametrize(
    ("badge", "word"), [("normal", "• normal"), ("high", "▲ high"), ("extreme", "■ extreme")]
)
def test_the_regimes_badge_has_a_symbol_and_a_word(badge: str, word: str) -> None:
    of = view(regime={"badge": badge, "volatility_z": 2.5, "name": None})
    assert f"Volatility {word} z +2.50" in text(str(top_bar(of)))


def test_a_latched_kill_switch_says_since_when() -> None:
    of = view(kill_switch="latched", killed_since="2026-11-20T15:30:00+00:00")
    assert "Kill switch ■ LATCHED since 15:30:00" in text(str(top_bar(of)))
    assert "Kill switch ■ latched since 15:30:00" in panel("limits", of)


def test_a_quarantine_says_how_long() -> None:
    of = view(quarantine_until=105, quarantine_left=2)
    assert "quarantine, 2 sessions left" in text(str(top_bar(of)))
    assert "Quarantine ▲ 2 more sessions: DEMO until they are over" in panel("limits", of)


def test_what_was_asked_of_the_mode_is_seen_before_it_is_applied() -> None:
    asked = [{"book": "tsx", "action": "demo", "reason": "r", "symbol": "", "lock": ""}]
    shown = text(str(top_bar(view(status=STATUS | {"operators": asked}))))
    assert "Mode LIVE_MICRO DEMO at the next opening" in shown


def test_limits_say_used_allowed_and_how_near() -> None:
    shown = panel("limits")
    assert "day loss 1.23% 2.50% 49%" in shown
    assert "gross 100.00% 100.00% ▲ 100% at limit" in shown
    assert "PENNY 1.80% 2.00% ▲ 90% near" in shown
    assert "Locks cooldown: RY.TO after a stop" in shown
    assert "Asked for cancel-all RY.TO not applied yet: bad print" in shown
    assert "not of this book" not in shown


def test_only_a_limit_that_stops_the_book_is_a_call_for_action() -> None:
    row = {"name": "day_loss", "label": "day loss", "used": 0.03, "limit": 0.025, "share": 1.2}
    markup = drawn(BY_NAME["limits"], view(limits=[row]))
    assert 'class="mark bad"' in markup
    assert "■ 120% at limit" in text(markup)
    assert 'class="mark bad"' not in drawn(BY_NAME["limits"], view())


def test_buckets_with_the_sleeve_beside_them() -> None:
    assert panel("buckets") == (
        "Buckets PENNY 1.80% of 2.0% CORE 30.00% of 90.0% SIP sleeve held 5,150 accrued 212"
        " carried 24.01 Gross · net 39.00% · 31.00% Open risk 0.40% of 2.00%"
    )


def test_positions_with_their_caps_and_the_way_to_the_stop() -> None:
    assert "RY.TO CORE −120 171.25 −20,550 ▲ 81% 170.00 175.50 · 0.05%" in panel("positions")
    assert panel("positions", view(names=[], positions=0)) == "Positions Flat."


def test_learning_says_what_decides() -> None:
    shown = panel("model")
    assert "Model 16c8b5bc20e3 to 2026-11-19" in shown
    assert "Policy 500aed2afcbb 2026-10-01" in shown
    assert "Verdict ✓ PASS of 2026-11-16 Weights" in shown
    assert "Weights short 0.40 mid 0.30 rl 0.30" in shown
    assert "Reward mix balanced pnl 1.00" in shown
    assert "Ensemble 56.0% right, 51.0% by the baseline" in shown
    assert "Unseen 55.1% hits, Sharpe 1.21" in shown
    assert "Features: 1 of 2 on ✓ rsi × gap" in shown


def test_a_verdict_that_didnt_pass_and_none_at_all() -> None:
    failed = STATUS["learning"] | {"verdict": {"status": "FAIL", "session": "2026-11-16"}}
    assert "Verdict ▲ FAIL of 2026-11-16" in panel("model", view(status={"learning": failed}))
    none = STATUS["learning"] | {"verdict": None}
    assert "Verdict none yet" in panel("model", view(status={"learning": none}))


def test_reasoners_count_the_days_calls() -> None:
    assert panel("escalation") == (
        "Reasoners GPT-5 today 1/3 1 kept for the judge Resets 21 Nov 05:00"
        " Frontier openai ▲ breaker open Last call SANITY_JUDGE answered 15:00:00"
        " Waiting 2 for an answer drawdown until 21:00:00"
    )


def test_jobs_with_their_reports_and_what_is_due() -> None:
    markup = drawn(BY_NAME["jobs"], view())
    shown = text(markup)
    assert "session 2026-11-19 ✓ done in 1 min 35 s 19 Nov 21:30" in shown
    assert "training 2026-11-16 ■ failed, 3 tries 16 Nov 22:00" in shown
    assert "Due At, UTC post_mortem after session 21:30:00" in shown
    assert 'href="/reports/2026-11-19/session/index.html"' in markup
    assert 'title="no data"' in markup
    unlinked = drawn(BY_NAME["jobs"], replace(view(), links=False))
    assert text(unlinked) == shown
    assert "href" not in unlinked


@pytest.mark.parametrize(
    "report",
    [
        "javascript:alert(1)",
        "/etc/passwd",
        "https://x.example/",
        "//x.example",
        "../../etc",
        "\\\\x",
    ],
)
def test_a_report_links_nowhere_but_to_this_server(report: str) -> None:
    status = {"jobs": {"ran": [{"job": "session", "status": "done", "report": report}]}}
    assert "<a " not in drawn(BY_NAME["jobs"], view(status=status))


def test_alerts_say_how_many_wait_and_how_many_are_shown() -> None:
    assert panel("alerts") == "Alerts ■ 12 to acknowledge, the newest 1 shown"
    none = {"alerts": {"unacknowledged": 0, "newest": []}}
    assert panel("alerts", view(status=none)) == "Alerts No alert waits."


def test_the_curve_says_where_it_stands_and_how_deep_it_was() -> None:
    markup = drawn(BY_NAME["curve"], view())
    assert "Equity 110 CAD 120 100 2026-11-17 2026-11-18 2026-11-19" in text(markup)
    assert "Drawdown 8.33% now 0 −8.33%" in text(markup)
    assert "Drawdown, deepest 8.33% on 2026-11-19, now 8.33%" in markup


def test_scores_are_counted_on_both_sides_of_the_thresholds() -> None:
    shown = panel("scores")
    assert "Scores of 2026-11-19 5 names · 2 buy · 2 sell" in shown
    assert "sell 0.33 · buy 0.67" in shown


def test_reliability_is_left_out_until_it_is_measured() -> None:
    assert drawn(BY_NAME["reliability"], view()) == ""
    pairs = [{"predicted": 0.6, "observed": 0.5}, {"predicted": 0.4, "observed": 0.42}]
    status = STATUS | {"learning": {"reliability": pairs}}
    assert "widest gap 0.10" in panel("reliability", view(status=status))


@pytest.mark.parametrize("each", PANELS, ids=lambda p: p.name)
@pytest.mark.parametrize("status", [{}, {"books": [{"book": "tsx", "session": "2026-11-20"}]}])
def test_every_panel_stands_what_it_doesnt_know(each: Panel, status: Mapping[str, Any]) -> None:
    bare = View(status=status, book=chosen(status, ""), now=NOW)
    assert drawn(each, bare) == "" or text(drawn(each, bare)).startswith(each.title)
    assert top_bar(bare)


def test_old_data_are_greyed_and_dated_but_not_what_is_of_now() -> None:
    old = view(stale=True)
    assert "▲ old:" in text(str(top_bar(old)))
    assert 'class="cells old"' in top_bar(old)
    assert 'class="old"' in drawn(BY_NAME["limits"], old)
    assert panel("limits", old).startswith("Risk as of 2026-11-20")
    assert 'class="old"' not in drawn(BY_NAME["alerts"], old)
    assert 'class="old"' not in drawn(BY_NAME["limits"], view())


@pytest.mark.parametrize(
    ("live", "as_of", "session", "old"),
    [
        (True, "2026-11-20T19:56:00+00:00", "2026-11-20", False),
        (True, "2026-11-20T19:54:00+00:00", "2026-11-20", True),
        (False, "2026-11-17T20:00:00+00:00", "2026-11-17", False),
        (False, "2026-11-16T19:00:00+00:00", "2026-11-16", True),
        (False, None, "2026-11-16", False),
        (False, None, "2026-11-15", True),
        (False, None, None, False),
    ],
)
def test_from_when_on_data_are_old(
    live: bool, as_of: str | None, session: str | None, old: bool
) -> None:
    book = {"live": live, "as_of": as_of, "session": session}
    assert Staleness(minutes=5, days=4).old(book, NOW) is old


def test_a_session_without_a_clock_is_as_old_as_its_days_end() -> None:
    assert newest_fact({"session": "2026-11-20"}) == dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


def test_the_book_that_trades_now_comes_first_then_the_newest() -> None:
    status = {
        "books": [
            {"book": "a", "session": "2026-11-20"},
            {"book": "b", "session": "2026-11-18", "live": True},
            {"book": "c", "session": "2026-11-19"},
        ]
    }
    assert names(status) == ["b", "a", "c"]
    assert chosen(status, "")["book"] == "b"
    assert chosen(status, "c")["book"] == "c"
    assert chosen(status, "gone")["book"] == "b"
    assert chosen({}, "a") == {}


def test_an_alert_says_its_session_where_its_time_doesnt() -> None:
    alert = {"at": "2026-11-19", "session": "2026-11-19", "book": "tsx", "text": "Kill switch"}
    assert text(str(jobs.alert_line(alert, view()))) == "2026-11-19 tsx Kill switch"
    late = alert | {"at": "2026-11-20T01:00:00+00:00"}
    assert text(str(jobs.alert_line(late, view()))) == "01:00:00 tsx 2026-11-19 Kill switch"


HOSTILE = "<img src=x onerror=alert(1)>'\"</section><script>alert(2)</script>"


def poisoned(value: Any) -> Any:
    """Every text of a read-model replaced, its keys included where they are data."""
    if isinstance(value, Mapping):
        return {key: poisoned(each) for key, each in value.items()}
    if isinstance(value, list):
        return [poisoned(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


def test_no_text_of_the_read_model_becomes_markup() -> None:
    status = poisoned(STATUS)
    status["books"][0]["usage"] = {HOSTILE: {"used": 0.1, "limit": 0.2}}
    status["learning"]["weights"] = {HOSTILE: 0.4}
    status["operators"][0]["book"] = status["books"][0]["book"]
    of = View(
        status=status,
        book=status["books"][0],
        now=NOW,
        series=poisoned(SERIES),
        scores=poisoned(SCORES),
        stale=True,
    )
    every = [drawn(each, of) for each in PANELS] + [
        str(top_bar(of)),
        str(jobs.alert_line(status["alerts"]["newest"][0], of)),
        str(jobs.proposal_line({"key": HOSTILE, "before": HOSTILE, "after": HOSTILE})),
        str(jobs.in_force_line({"key": HOSTILE, "by": HOSTILE, "reason": HOSTILE})),
    ]
    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", "".join(every)))
    assert not tags & {"script", "img", "iframe", "object", "link", "style", "form"}
    assert not re.search(r"<[^>]*\son\w+\s*=", re.sub(r'"[^"]*"', '""', "".join(every)))
    assert "&lt;script&gt;" in "".join(every)
