"""The go-live list: each item computed from the ledger, and nothing assumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hybridnb.app.alerts import acknowledge, alerts
from hybridnb.app.cli import cli
from hybridnb.app.golive import Item, State, all_items, check, open_items
from hybridnb.app.golive_promotion import SESSIONS
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.records import Recorder
from hybridnb.app.session import step
from hybridnb.app.session_gates import gated
from hybridnb.app.state import State as Carried
from hybridnb.app.state import first_state
from hybridnb.canonical import plain
from hybridnb.domain import SCALE, Mode
from hybridnb.policy import Policy, policy_values

FIRST = 260
Make = Callable[..., Any]
Rows = list[dict[str, Any]]
COPIED = ("book", "session")


@pytest.fixture(scope="module")
def traded(panel_of: Make, setup_of: Make) -> list[Rows]:
    """Rows of 64 sessions of eight names that have nothing to do with each other."""
    moves = np.random.default_rng(5).normal(0.0004, 0.01, (FIRST + 70, 8))
    panel = panel_of(np.round(50 * np.exp(np.cumsum(moves, 0)), 2))
    setup = setup_of(8)
    state: Carried = first_state(setup.policy)
    kept = []
    for i in range(FIRST, FIRST + 64):
        day = panel.day(i)
        record = Recorder(book="book", session=day.session, stamp={})
        record.add("inputs", feed="sample", data_digest="d")
        record.add("policy", policy_id=Policy().id, values=policy_values(Policy()))
        state = step(state, day, setup, record)
        rows = record.rows
        rows.insert(-1, {"kind": "facts", "book": "book", "session": day.session, "n": 10_000})
        kept.append(rows)
    return kept


def written(sessions: Sequence[Rows]) -> dict[str, Item]:
    """The items of a ledger that holds these sessions."""
    ledger = open_ledger()
    ledger.append("session", [row for rows in sessions for row in rows])
    return {item.id: item for item in all_items(ledger, "book")}


def changed(sessions: Sequence[Rows], at: int, **values: Any) -> list[Rows]:
    """The sessions with other figures at one's close."""
    out = [list(rows) for rows in sessions]
    out[at][-1] = out[at][-1] | values
    return out


def with_risk(sessions: Sequence[Rows], at: int, **values: Any) -> list[Rows]:
    shot = plain(sessions[at][-1]["snapshot"])
    shot["risk"] = shot["risk"] | values
    return changed(sessions, at, snapshot=shot)


def test_sound_sessions_pass_what_can_be_told_and_nothing_else(traded: list[Rows]) -> None:
    items = written(traded)
    done = {name for name, item in items.items() if item.state is State.DONE}
    assert {
        *("ingest", "caps", "orders", "paper", "logs", "buckets", "rewards", "clamps"),
        *("bucket-compliance", "no-limit-breach", "every-stop-executed"),
        *("correlation-of-the-book", "kills", "drawdown", "escalations"),
    } <= done
    assert not done & {"train", "walk-forward", "sentinel", "brier", "verdict", "shadow"}
    assert {i.id for i in items.values() if i.state is State.UNBUILT} == {
        *("percentiles", "clamps-tested", "oco", "shadow", "canary"),
    }
    assert all(item.evidence for item in items.values())


def test_replayed_spikes_are_those_of_the_book_s_feed_with_something_in_them(
    traded: list[Rows],
) -> None:
    row = {"kind": "crisis_replayed", "first": "2008-01-02", "last": "2008-12-31"}
    calm = {"spikes": [], "kills": [], "events": 0}
    spiked = {"spikes": ["2008-09-19"], "kills": [], "events": 4}
    names = ("spikes", "spike-kills", "spike-escalations")
    open_ledger().append("operations", [row | spiked | {"id": "a", "feed": "another"}])
    open_ledger().append("operations", [row | calm | {"id": "b", "feed": "sample"}])
    items = written(traded)
    assert [items[name].state for name in names] == [State.OPEN] * 3
    open_ledger().append("operations", [row | spiked | {"id": "c", "feed": "sample"}])
    items = {item.id: item for item in all_items(open_ledger(), "book")}
    assert [items[name].state for name in names] == [State.DONE, State.OPEN, State.DONE]
    assert items["spikes"].rows == ("c",) and "2008-01-02" in items["spikes"].evidence


def test_figures_are_those_of_the_ledger(traded: list[Rows]) -> None:
    items = written(traded)
    day = np.array([rows[-1]["day_pnl"] for rows in traded[-SESSIONS:]])
    sharpe = day.mean() / day.std(ddof=1) * np.sqrt(252)
    assert items["sharpe"].evidence.startswith(f"{sharpe:.2f} over 60 sessions")
    assert items["sharpe"].state is (State.DONE if sharpe > 0.8 else State.OPEN)
    equity = [rows[-1]["equity"] / SCALE for rows in traded[-SESSIONS - 1 :]]
    fall = max(1 - e / max(equity[: i + 1]) for i, e in enumerate(equity))
    assert items["drawdown"].evidence.startswith(f"{fall:.2%}")


@pytest.mark.parametrize("n", [0, 9, 10, 59])
def test_too_few_sessions_are_no_evidence(traded: list[Rows], n: int) -> None:
    # 21 sessions of prices go before the first gate of a correlation can be told.
    if n == 0:
        assert CliRunner().invoke(cli, ["golive"]).exit_code == 2
        return
    items = written(traded[-n:])
    gates = ("bucket-compliance", "no-limit-breach", "every-stop-executed")
    assert {items[name].state for name in gates} == {State.DONE if n >= 10 else State.EVIDENCE}
    for name in ("kills", "drawdown", "escalations", "sharpe"):
        assert items[name].state is State.EVIDENCE
    assert items["correlation-of-the-book"].state is (State.EVIDENCE if n < 31 else State.DONE)


def test_a_gap_in_the_sessions_is_no_row_of_ten(traded: list[Rows]) -> None:
    items = written([*traded[:-5], *traded[-4:]])
    assert items["bucket-compliance"].state is State.EVIDENCE
    assert "4 of 10 consecutive" in items["bucket-compliance"].evidence


def test_a_kill_or_a_loss_at_the_limit_is_a_breach(traded: list[Rows]) -> None:
    items = written(with_risk(traded, -3, killed=True))
    assert items["kills"].state is State.OPEN
    assert items["no-limit-breach"].state is State.OPEN


def test_a_bar_that_is_missed_is_not_done_however_few_sessions_there_are(
    traded: list[Rows],
) -> None:
    low = changed(traded[-12:], -1, equity=traded[-12][-1]["equity"] * 9 // 10)
    assert written(low)["drawdown"].state is State.OPEN


def _with_decision(rows: Rows, **values: Any) -> Rows:
    at = next(i for i, r in enumerate(rows) if r["kind"] == "decision")
    out = list(rows)
    out[at] = out[at] | {"refusals": []} | values
    return out


@pytest.mark.parametrize(
    ("size", "broken"),
    [(0.0151, {"no-limit-breach"}), (0.91, {"no-limit-breach", "bucket-compliance"})],
)
def test_an_entry_beyond_a_limit_is_found(
    traded: list[Rows], size: float, broken: set[str]
) -> None:
    wide = [*traded[:-2], _with_decision(traded[-2], size_post_risk=size, action="BUY"), traded[-1]]
    items = written(wide)
    found = {
        name for name in ("no-limit-breach", "bucket-compliance") if items[name].state is State.OPEN
    }
    assert found == broken
    assert items["no-limit-breach"].evidence.startswith(traded[-2][0]["session"])


def test_a_position_without_its_stop_or_held_beyond_it_is_found(traded: list[Rows]) -> None:
    shot = plain(traded[-1][-1]["snapshot"])
    held = sorted(shot["book"]["positions"])
    assert held
    bare = shot | {"working": [o for o in shot["working"] if o["symbol"] != held[0]]}
    items = written(changed(traded, -1, snapshot=bare))
    assert items["every-stop-executed"].state is State.OPEN
    assert f"{held[0]} without its stop" in items["every-stop-executed"].evidence


def test_a_close_beyond_a_stop_that_rested_is_found(traded: list[Rows]) -> None:
    before, after = (rows[-1]["snapshot"]["book"]["positions"] for rows in traded[-2:])
    same = [s for s in before if s in after]
    name = next(s for s in same if before[s]["decision_id"] == after[s]["decision_id"])
    prices = dict(traded[-1][-1]["prices"]) | {name: before[name]["stop"]}
    items = written(changed(traded, -1, prices=prices))
    assert f"{name} closed beyond its stop" in items["every-stop-executed"].evidence


def test_a_book_that_moves_as_one_is_no_pass(panel_of: Make, setup_of: Make) -> None:
    one = np.random.default_rng(6).normal(0.0, 0.01, (FIRST + 40, 1))
    own = np.random.default_rng(7).normal(0.0, 0.001, (FIRST + 40, 6))
    panel = panel_of(np.round(50 * np.exp(np.cumsum(one + own, 0)), 2))
    ledger, setup, state = open_ledger(), setup_of(6), first_state(Policy())
    for i in range(FIRST, FIRST + 24):
        record = Recorder(book="book", session=panel.day(i).session, stamp={})
        state = step(state, panel.day(i), setup, record)
        ledger.append("session", record.rows)
    last = gated(ledger, "book", last=1)[0].gates["correlation of the book"]
    assert last.ok is False and float(last.detail[:4]) > 0.9


def test_escalations_are_counted_only_where_sessions_were_watched(traded: list[Rows]) -> None:
    blind = [[row for row in rows if row["kind"] != "facts"] for rows in traded]
    assert written(blind)["escalations"].state is State.EVIDENCE


def test_two_escalations_a_session_are_too_many(traded: list[Rows]) -> None:
    noisy = []
    for rows in traded:
        head = {name: rows[0][name] for name in COPIED}
        more = [{"kind": "escalation", **head, "n": 9_000 + k, "id": f"e{k}"} for k in range(2)]
        noisy.append([*rows[:-1], *more, rows[-1]])
    items = written(noisy)
    assert items["escalations"].state is State.OPEN
    assert items["escalations"].evidence.startswith("2.00 a session")
    assert items["triggers"].state is State.DONE


def test_a_verdict_that_fails_or_lacks_a_figure_is_told(traded: list[Rows]) -> None:
    figures = [
        {"name": "Brier", "value": 0.21, "passed": True, "n": 400},
        {"name": "cut-off, short", "value": None, "passed": True, "n": 5},
        {"name": "permutation test", "value": 0.01, "passed": False, "n": 200},
    ]
    row = {"kind": "verdict", "feed": "sample", "id": "v", "status": "FAIL", "session": "s"}
    row |= {"model_version": "m", "valid_until": 9, "gates": [{"name": "all", "figures": figures}]}
    open_ledger().append("operations", [row])
    items = written(traded)
    assert items["brier"].state is State.OPEN and items["brier"].rows == ("v",)
    assert items["walk-forward"].state is State.DONE
    assert items["sentinel"].state is State.OPEN
    assert items["verdict"].state is State.OPEN


def test_alerts_must_be_acknowledged(traded: list[Rows]) -> None:
    head = {"book": "book", "session": traded[-1][0]["session"]}
    late = [*traded[-1][:-1], {"kind": "alert", **head, "n": 9_999, "text": "x"}, traded[-1][-1]]
    items = written([*traded[:-1], late])
    assert items["alerting"].state is State.OPEN
    for alert in alerts(open_ledger()):
        acknowledge(alert["id"], reason="seen")
    again = {i.id: i for i in all_items(open_ledger(), "book")}
    assert again["alerting"].state is State.DONE


def test_a_step_needs_its_own_items_and_those_before(traded: list[Rows]) -> None:
    written(traded)
    ledger = open_ledger()
    micro, limited, live = (
        open_items(ledger, "book", mode) for mode in (Mode.LIVE_MICRO, Mode.LIVE_LIMITED, Mode.LIVE)
    )
    assert set(micro) < set(limited) < set(live)


def test_the_command_is_refused_until_all_holds_and_records_when_asked(
    traded: list[Rows],
) -> None:
    written(traded)
    ledger = open_ledger()
    done = CliRunner().invoke(cli, ["golive", "--json"])
    assert done.exit_code == 3
    shown = json.loads(done.stdout)
    assert (shown["ready"], shown["steps"]["LIVE_MICRO"]) == (False, False)
    assert len(shown["items"]) == len(all_items(ledger, "book"))
    assert ledger.rows("operations", kind="golive") == []
    text = CliRunner().invoke(cli, ["golive", "--record"])
    assert text.exit_code == 3
    (row,) = ledger.rows("operations", kind="golive")
    assert row["items"] == shown["items"]
    again = check(book="book")["items"]
    assert [i for i in again if i["id"] != "logs"] == [
        i for i in shown["items"] if i["id"] != "logs"
    ]


def test_a_missed_session_has_no_evidence(
    traded: list[Rows], panel_of: Make, setup_of: Make
) -> None:
    ledger = open_ledger()
    panel = panel_of(np.full((FIRST + 3, 2), 50.0))
    record = Recorder(book="book", session=panel.day(FIRST).session, stamp={})
    step(first_state(Policy()), panel.day(FIRST), replace(setup_of(2), entries=False), record)
    ledger.append("session", record.rows)
    gates = gated(ledger, "book", last=1)[0].gates
    assert gates["bucket compliance"].ok is None and "missed" in gates["bucket compliance"].detail
