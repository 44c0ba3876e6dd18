"""A decision opened up adds up, names its rows, and turns where it is said to turn."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
from escalating import Book, write_params

from hybridnb.app.again import Recorded, recorded_sessions
from hybridnb.app.gallery_decisions import Explored, explored, names_of, of_session, session_of
from hybridnb.app.gallery_flips import PRECISION, TURNED, flips_of
from hybridnb.app.gallery_widgets import picker
from hybridnb.app.recorded_inputs import redecided
from hybridnb.blender import blend
from hybridnb.errors import UsageError
from hybridnb.ledger.store import Ledger

FIRST, SECOND = "2013-02-25", "2013-02-26"
BLENDED = ("p_short", "p_mid", "rl", "volatility_z", "sentiment", "liquidity", "correlation")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ledger, str]:
    """A book that bought in its first session and holds in its second."""
    folder = tmp_path_factory.mktemp("gallery")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDNB_HOME", str(folder / "home"))
        book = Book(write_params(folder / "p"))
        name = [book.trade(session).book for session in (FIRST, SECOND)][-1]
        ledger = book.context(SECOND).ledger()
    return ledger, name


@pytest.fixture(scope="module")
def first(told: tuple[Ledger, str]) -> Recorded:
    return recorded_sessions(*told)[0]


def test_the_strongest_is_chosen_and_others_by_name(told: tuple[Ledger, str]) -> None:
    ledger, book = told
    one = session_of(ledger, book=book, session=FIRST)
    names = names_of(one)
    assert sorted(names) == sorted(one.decisions)
    assert explored(ledger, book=book, session=FIRST).row["symbol"] == names[0]
    found = explored(ledger, book=book, session=FIRST, decision="AAPL")
    by_id = explored(ledger, book=book, session=FIRST, decision=found.row["decision_id"])
    assert found.row == by_id.row and found.row["symbol"] == "AAPL"


def test_what_isn_t_there_is_told(told: tuple[Ledger, str]) -> None:
    ledger, book = told
    with pytest.raises(UsageError, match="no decision 'NOPE'"):
        explored(ledger, book=book, session=FIRST, decision="NOPE")
    with pytest.raises(UsageError, match="closed no session"):
        explored(ledger, book=book, session="2001-01-01")
    with pytest.raises(UsageError, match="closed no session"):
        explored(ledger, book="nobody", session=FIRST)


def test_terms_add_up_to_the_recorded_score(first: Recorded) -> None:
    for symbol in first.decisions:
        found = of_session(first, symbol)
        assert found.terms()["adds"].sum() == pytest.approx(found.row["score"], abs=1e-12)


def changed(one: Recorded, symbol: str, **inputs: Any) -> Explored:
    """The decision with other inputs, its score blended anew."""
    row = copy.deepcopy(dict(one.decisions[symbol]))
    row["inputs"] |= inputs
    given = {n: math.nan if row["inputs"][n] is None else row["inputs"][n] for n in BLENDED}
    floor = row["inputs"]["correlation_floor"]
    found = of_session(one, symbol)
    made = blend(found.lim, correlation_floor=math.nan if floor is None else floor, **given)
    row |= {"base": made.base, "score": made.score, "volatility": made.volatility}
    row |= {"news": made.news, "illiquid": made.liquidity, "decorrelated": made.correlation}
    return replace(found, row=row)


def test_a_missing_view_shares_out_its_weight_and_penalties_take_off(first: Recorded) -> None:
    found = changed(first, "AAPL", rl=None, volatility_z=3.0)
    table = found.terms().set_index("term")
    assert table.loc["rl", "adds"] == 0.0 and "missing" in table.loc["rl", "of"]
    assert table.loc[["p_short", "p_mid"], "weight"].sum() == pytest.approx(1.0)
    assert table.loc["volatility", "adds"] == -found.lim.volatility_penalty
    assert table["adds"].sum() == pytest.approx(found.row["score"], abs=1e-12)


def test_a_score_that_stops_at_nought_says_so(first: Recorded) -> None:
    found = changed(first, "AAPL", p_short=0.01, p_mid=0.0, rl=0.0, volatility_z=3.0)
    table = found.terms().set_index("term")
    assert found.row["score"] == 0.0 and table.loc["bound", "adds"] > 0.0
    assert table["adds"].sum() == pytest.approx(0.0, abs=1e-12)


def test_without_any_view_the_pictures_still_draw(first: Recorded) -> None:
    found = changed(first, "AAPL", p_short=None, p_mid=None, rl=None)
    row = dict(found.row) | {"score": None, "base": None}
    empty = replace(found, row=row)
    assert "unknown" in empty.waterfall().alt
    assert empty.summary()["score"] == "–"


def test_every_input_names_the_row_it_stands_in(told: tuple[Ledger, str]) -> None:
    sessions = recorded_sessions(*told)
    table = of_session(sessions[0], "AAPL").inputs().set_index("input")["recorded in"]
    row = sessions[0].decisions["AAPL"]
    assert set(row["inputs"]) - {"bucket", "refused"} <= set(table.index)
    assert table["p_short"] == f"decision, row {row['n']}"
    assert table["price"] == f"bar of {row['bar']['session']}"
    assert table["correlation"] == f"session_opened, row {sessions[0].opened['n']}"
    assert table["held"] == "a new account"
    later = of_session(sessions[1], "AAPL").inputs().set_index("input")["recorded in"]
    assert later["held"] == f"session_closed of {FIRST}"
    assert {f"feature {name}" for name in row["features"]} <= set(table.index)


def test_clamps_are_those_of_the_record(first: Recorded) -> None:
    for symbol, row in first.decisions.items():
        found = of_session(first, symbol)
        table = found.clamps().set_index("step")
        assert table.loc["size_pre", "size"] == row["size_pre"]
        assert table.loc["capped", "size"] == row["capped"]
        assert table.loc["size_post_risk", "size"] == row["size_post_risk"]
        limits = table.loc[["per_name_cap", "bucket_headroom", "quarter_kelly"], "limit or factor"]
        if row["action"] == "BUY" and not row["refusals"]:
            assert row["capped"] == pytest.approx(max(0.0, min(row["size_pre"], *limits)))
            assert table.loc[found.binding, "what"].endswith("← bound")


def test_a_refusal_names_the_cap_that_left_nothing(first: Recorded) -> None:
    found = of_session(first, "AAPL")
    refused = replace(found, row={**found.row, "refusals": ["KELLY"], "bound": "refused"})
    assert refused.binding == "quarter_kelly"
    assert "no edge to bet on" in refused.clamps()["what"].iloc[-1]
    assert "bound by quarter_kelly" in refused.size().alt


def again(one: Recorded, row: Any, **inputs: float) -> Any:
    """The decision as it is made from other inputs."""
    calm = {n: 0.0 for n in ("var", "es") if row[n] is None}
    mine = {**row, **calm, "inputs": {**row["inputs"], **inputs}}
    kept = [mine if r["symbol"] == row["symbol"] else r for r in one.decisions.values()]
    rest = [r for r in one.rows if r["kind"] in ("session_opened", "policy", "inputs")]
    made, _ = redecided(replace(one, rows=[*rest, *kept]))
    return next(r for r in made if r["decision_id"] == row["decision_id"])


def acts(made: Any, held: float) -> tuple[str, bool]:
    done = made["action"] != "HOLD" and (made["size_post_risk"] or 0.0) != held
    return made["action"], done


def test_a_flip_is_the_edge_of_another_decision(first: Recorded) -> None:
    row = first.decisions["AAPL"]
    table, held = flips_of(first, row), row["inputs"]["held"]
    assert len(table) and set(table["input"]) <= set(TURNED)
    now = acts(again(first, row), held)
    for each in table.to_dict("records"):
        name, at, was = each["input"], each["at"], each["was"]
        there = acts(again(first, row, **{name: at}), held)
        assert there != now, name
        assert each["becomes"].startswith(there[0])
        if not math.isnan(was):
            short = at - math.copysign(3 * PRECISION, at - was)
            assert acts(again(first, row, **{name: short}), held) == now, name


def test_the_nearest_edge_of_a_view_is_the_threshold_s(first: Recorded) -> None:
    found = of_session(first, "AAPL")
    table = found.flips().set_index("input")
    row = found.row
    below = row["inputs"]["p_short"] - (row["score"] - found.lim.buy) / found.lim.weight_short
    if 0.0 < below < row["inputs"]["p_short"]:
        assert table.loc["p_short", "at"] == pytest.approx(below, abs=1e-5)
        assert table.loc["p_short", "becomes"] == "HOLD"
    kelly = 1.0 / (1.0 + found.lim.payoff)
    assert table.loc["win_long", "at"] == pytest.approx(kelly, abs=1e-4)
    # A hair above break-even the size is below the smallest order already.
    assert table.loc["win_long", "becomes"] == "BUY, nothing done: BELOW_MINIMUM"


def test_pictures_are_the_same_each_time_and_speak(first: Recorded) -> None:
    found, twice = of_session(first, "AAPL"), of_session(first, "AAPL")
    for one, two in (
        (found.waterfall(), twice.waterfall()),
        (found.size(), twice.size()),
        (found.flipping(), twice.flipping()),
    ):
        assert one.svg == two.svg and one.alt in repr(one) and "AAPL" in one.alt


def test_the_picker_offers_every_decision(first: Recorded) -> None:
    choice = picker(first).children[0]
    assert [value for _, value in choice.options] == list(names_of(first))
    assert all(first.decisions[value]["action"] in label for label, value in choice.options)
    empty = replace(first, rows=[r for r in first.rows if r["kind"] != "decision"])
    assert "nothing" in picker(empty).value
