"""Live against replay: no differences as recorded, and one planted unit is found and named."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from escalating import Book, hopeful, quiet, write_params

from hybridnb.app.again import Recorded, recorded_sessions
from hybridnb.app.consistency import (
    LEAST,
    Comparison,
    compare_recorded,
    compare_session,
    compared,
    comparison_text,
    live_consistency,
)
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.live_trading import trade_broker
from hybridnb.app.rerun import Way
from hybridnb.app.row_differences import differences, flat
from hybridnb.domain import Leg
from hybridnb.errors import UsageError
from hybridnb.ledger.store import Ledger

FIRST, SECOND = "2013-02-25", "2013-02-26"
BROKERS = Request(session=FIRST)
Traded = tuple[Context, list[Recorded]]


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Traded:
    """A book of two sessions, in a home of this module: entries first, then more rows."""
    folder = tmp_path_factory.mktemp("consistency")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDNB_HOME", str(folder / "home"))
        book = Book(write_params(folder / "p"))
        name = [book.trade(session).book for session in (FIRST, SECOND)][-1]
        context = book.context(SECOND)
    return context, recorded_sessions(context.ledger(), name)


def changed(one: Recorded, kind: str, path: tuple[Any, ...], change: Any) -> Recorded:
    """A copy of a session with one value of its first row of a kind changed."""
    rows = copy.deepcopy(list(one.rows))
    part = next(row for row in rows if row["kind"] == kind and _has(row, path))
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = change(part[path[-1]])
    return replace(one, rows=rows)


def _has(row: Any, path: tuple[Any, ...]) -> bool:
    for key in path:
        if not (isinstance(row, list) or key in row):
            return False
        row = row[key]
    return row is not None


def named(found: Comparison) -> set[tuple[str, str]]:
    return {(each.kind, each.field) for each in found.differences}


def ulp(value: float) -> float:
    return math.nextafter(value, math.inf)


def unit(value: int) -> int:
    return value + 1


PLANTED = [
    ("decision", ("inputs", "atr"), ulp),
    ("decision", ("inputs", "price"), ulp),
    ("decision", ("inputs", "volatility_z"), ulp),
    ("decision", ("inputs", "held"), ulp),
    ("decision", ("inputs", "liquidity"), ulp),
    ("decision", ("score",), ulp),
    ("decision", ("capped",), ulp),
    ("decision", ("m_heat",), ulp),
    ("decision", ("var",), ulp),
    ("decision", ("size_post_risk",), ulp),
    ("decision", ("bound",), lambda bound: "quarter_kelly"),
    ("decision", ("features", "return_1"), ulp),
    ("decision", ("bar", "close"), ulp),
    ("order", ("quantity",), unit),
    ("order", ("side",), lambda side: "SELL"),
    ("order", ("filled",), unit),
    ("fill", ("price",), unit),
    ("fill", ("quantity",), unit),
    ("fill", ("commission",), unit),
    ("fill", ("reference",), unit),
    ("mark", ("equity",), unit),
    ("mark", ("day_pnl",), ulp),
    ("session_opened", ("equity",), unit),
    ("session_opened", ("facts", "correlation"), ulp),
    ("session_opened", ("regime",), lambda regime: "other"),
    ("session_closed", ("equity",), unit),
    ("session_closed", ("snapshot", "book", "cash"), unit),
    ("session_closed", ("snapshot", "risk", "ordinal"), unit),
]


def test_a_session_is_what_it_was(traded: Traded) -> None:
    context, sessions = traded
    for one in sessions:
        found = compare_session(context, book=one.book, session=one.session)
        assert found.differences == ()
        assert found.equal
        assert found.way is Way.PREDICTED  # the model of these books isn't in the home
        assert found.compared["decision"] == 5
    assert found.compared.keys() >= {"fill", "order", "mark", "policy", "session_closed"}
    assert "no differences" in comparison_text(found)
    assert "model isn't there any more" in comparison_text(found)


def test_one_planted_unit_is_found_and_named(traded: Traded) -> None:
    context, sessions = traded
    one = next(one for one in sessions if one.of_kind("fill"))
    context = context if context.session == one.session else _at(context, one.session)
    for kind, path, change in PLANTED:
        found = compare_recorded(context, changed(one, kind, path, change))
        field = ".".join(str(part) for part in path)
        assert (kind, field) in named(found), (kind, field, [str(d) for d in found.differences])
        assert not found.equal


def _at(context: Context, session: str) -> Context:
    return open_day(replace(context.request, session=session))


def test_a_planted_prediction_shows_in_what_it_made(
    traded: Traded,
) -> None:
    context, sessions = traded
    one = sessions[-1]
    for name in ("p_short", "p_mid", "win_long"):
        found = compare_recorded(context, changed(one, "decision", ("inputs", name), ulp))
        assert ("decision", "input_hash") in named(found)


def test_a_row_too_many_and_a_row_too_few(traded: Traded) -> None:
    context, sessions = traded
    one = next(one for one in sessions if one.of_kind("fill"))
    context = _at(context, one.session)
    fill = one.of_kind("fill")[0]
    less = replace(one, rows=[row for row in one.rows if row is not fill])
    found = compare_recorded(context, less)
    assert [(d.kind, d.key, d.recorded) for d in found.differences] == [
        ("fill", fill["fill_id"], "absent")
    ]
    more = {**fill, "fill_id": "another"}
    extra = replace(one, rows=[*one.rows[:-1], more, one.rows[-1]])
    assert ("fill", "row") in named(compare_recorded(context, extra))


def test_without_bars_decisions_are_made_from_their_inputs(
    traded: Traded,
) -> None:
    context, sessions = traded
    found = compare_session(context.ledger(), book=sessions[-1].book, session=SECOND)
    assert found.equal
    assert found.way is Way.INPUTS
    assert "no bars were given" in comparison_text(found)
    one = next(one for one in sessions if one.of_kind("fill"))
    for kind, path, change, field in (
        ("decision", ("inputs", "price"), ulp, "input_hash"),
        ("decision", ("inputs", "p_short"), ulp, "input_hash"),
        ("decision", ("score",), ulp, "score"),
        ("decision", ("headroom",), ulp, "headroom"),
        ("decision", ("size_post_risk",), ulp, "size_post_risk"),
        ("decision", ("refusals",), lambda told: [*told, "BRAKE"], "refusals.0"),
        ("fill", ("price",), unit, "slippage"),
        ("fill", ("commission",), unit, "snapshot.book.cash"),
        ("session_closed", ("equity",), unit, "equity"),
    ):
        planted = changed(one, kind, path, change)
        fields = {field for _, field in named(compare_recorded(None, planted))}
        assert field in fields or any(name.startswith("refusals") for name in fields), (path,)


def test_what_a_broker_did_is_taken_from_the_record() -> None:
    trade_broker(BROKERS, "paper", seconds=None, say=quiet, prepare=hopeful)
    context = open_day(BROKERS)
    [one] = recorded_sessions(context.ledger(), one_book(context.ledger()))
    assert one.book.endswith("-paper")
    found = compare_session(context, session=FIRST)
    assert found.equal, comparison_text(found)
    assert found.broker == "paper"
    assert found.compared["order"] > 0
    assert "taken from the record" in comparison_text(found)
    entry = next(r for r in one.of_kind("order") if r["leg"] == Leg.ENTRY)
    wrong = [{**r, "quantity": r["quantity"] + 1} if r is entry else r for r in one.rows]
    assert ("order", "quantity") in named(compare_recorded(context, replace(one, rows=wrong)))
    for kind, path, change, field in (
        ("decision", ("score",), ulp, ("decision", "score")),
        ("fill", ("price",), unit, ("fill", "slippage")),
        ("fill", ("commission",), unit, ("session_closed", "snapshot.book.cash")),
    ):
        planted = changed(one, kind, path, change)
        assert field in named(compare_recorded(context, planted)), field


def one_book(ledger: Ledger) -> str:
    return {row["book"] for row in ledger.rows("session", kind="session_closed")}.pop()


def test_the_command_says_what_it_can(traded: Traded, monkeypatch: pytest.MonkeyPatch) -> None:
    context, sessions = traded
    monkeypatch.setenv("HYBRIDNB_HOME", str(context.home.root))
    said: list[str] = []
    values, text = compared(context.request, session=SECOND, book="", say=said.append)
    assert values["equal"] is True
    assert values["differences"] == []
    assert text.startswith(sessions[-1].book)
    gone = Request(feed="folder", data="/nowhere")
    values, text = compared(gone, session=SECOND, book="", say=said.append)
    assert values["way"] == str(Way.INPUTS)
    assert any("can't be opened" in line for line in said)
    with pytest.raises(UsageError, match="closed no session"):
        compare_session(context, session="2013-02-24")


def test_a_session_that_was_missed_is_compared_too(tmp_path: Path) -> None:
    """Positions were protected through it and nothing was decided."""
    book = Book(write_params(tmp_path / "p"))
    for session in (FIRST, "2013-02-28"):
        book.trade(session)
    context = book.context("2013-02-28")
    for session in (SECOND, "2013-02-27", "2013-02-28"):
        found = compare_session(context, session=session)
        assert found.equal, comparison_text(found)
    missed = recorded_sessions(context.ledger(), found.book)[1]
    assert (missed.session, missed.opened["decided"]) == (SECOND, False)
    planted = changed(missed, "session_closed", ("equity",), unit)
    there = _at(context, SECOND)
    assert named(compare_recorded(there, planted)) == {("session_closed", "equity")}


def test_nothing_compared_is_not_equal(traded: Traded) -> None:
    _, [first, *_] = traded
    empty = Comparison(first.book, first.session, "", Way.INPUTS, {}, ())
    assert not empty.equal
    assert "nothing could be compared" in comparison_text(empty)


def test_rows_are_matched_by_what_they_are_about() -> None:
    one = [{"kind": "alert", "n": 1, "text": "a"}, {"kind": "alert", "n": 2, "text": "b"}]
    assert differences(one, [{**row, "n": 9} for row in one]) == []
    [found] = differences(one, [one[0], {**one[1], "text": "c"}])
    assert (found.key, found.field, found.recorded, found.again) == ("#2", "text", "b", "c")
    assert dict(flat({"a": {"b": [1, {"c": 2}]}, "d": []})) == {"a.b.0": 1, "a.b.1.c": 2, "d": []}
    assert differences([{"kind": "x", "v": True}], [{"kind": "x", "v": 1}])


# Live against backtest


class Told:
    """A ledger of closings: `pnl` by session, in a mode."""

    def __init__(self, pnl: np.ndarray, mode: str = "DEMO", *, first: int = 0) -> None:
        days = [f"2013-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(first, first + len(pnl))]
        self.rows_ = [
            row
            for day, value in zip(days, pnl.tolist(), strict=True)
            for row in (
                {"kind": "session_opened", "session": day, "mode": mode, "decided": True},
                {"kind": "session_closed", "session": day, "day_pnl": value},
            )
        ]

    def rows(self, chain: str, *, kind: str, book: str) -> list[dict[str, Any]]:
        return [row for row in self.rows_ if row["kind"] == kind]


def returns(n: int, mean: float, *, seed: int = 1) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(0, 0.01, n)
    return drawn - drawn.mean() + mean


def share(live: Any, tested: Any) -> tuple[float | None, int]:
    return live_consistency(live, "book", tested)


def test_the_share_is_of_ratios_per_session() -> None:
    live, tested = returns(100, 0.001), returns(500, 0.002, seed=2)
    found, n = share(Told(live), tested)
    wanted = (live.mean() / live.std(ddof=1)) / (tested.mean() / tested.std(ddof=1))
    assert n == 100
    assert found == pytest.approx(wanted)
    assert share(Told(tested[:300]), tested[:300])[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("live", "tested"),
    [
        (np.array([]), returns(500, 0.001)),
        (returns(LEAST - 1, 0.001), returns(500, 0.001)),
        (returns(100, 0.001), np.array([])),
        (returns(100, 0.001), returns(LEAST - 1, 0.001)),
        (np.zeros(100), returns(500, 0.001)),
        (returns(100, 0.001), np.zeros(500)),
        (returns(100, 0.001), np.append(returns(500, 0.001), math.nan)),
        (returns(100, 0.001), np.append(returns(500, 0.001), math.inf)),
    ],
)
def test_bad_evidence_is_no_share(live: np.ndarray, tested: np.ndarray) -> None:
    assert share(Told(live), tested) == (None, len(live))


@pytest.mark.parametrize("mean", [-0.001, 0.0])
def test_a_backtest_without_profit_passes_nobody(mean: float) -> None:
    found, _ = share(Told(returns(100, -0.002)), returns(500, mean))
    assert found is not None
    assert found < 0.7


def test_live_sessions_count_alone_once_there_are_any() -> None:
    both = Told(returns(100, 0.002))
    both.rows_ += Told(returns(LEAST, 0.001), "LIVE_MICRO", first=100).rows_
    alone = Told(returns(LEAST, 0.001), "LIVE_MICRO", first=100)
    assert share(both, returns(500, 0.001)) == share(alone, returns(500, 0.001))
    few = Told(returns(100, 0.002))
    few.rows_ += Told(returns(3, 0.001), "LIVE", first=100).rows_
    assert share(few, returns(500, 0.001)) == (None, 3)


def test_sessions_that_nobody_decided_do_not_count() -> None:
    told = Told(returns(30, 0.001))
    for row in told.rows_[:30]:
        row["decided"] = False
    assert share(told, returns(500, 0.001)) == (None, 15)
