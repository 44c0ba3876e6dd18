"""Counterfactuals of whole books: every trade reproduced to the cent, every bound taken away."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from escalating import Book, hopeful, write_params

from hybridnb.app.again import Recorded, day_of, sessions_in, unsquashed
from hybridnb.app.bounds import Session, bounds, course
from hybridnb.app.counterfactual_figures import alternatives_picture, bounds_picture
from hybridnb.app.counterfactuals import counterfactual_text, counterfactuals
from hybridnb.app.desk import Setup
from hybridnb.app.freeing import BOUNDS, Freed, decided_freely, setup_without, with_values
from hybridnb.app.panel import Panel
from hybridnb.app.round_trips import round_trips
from hybridnb.app.trade_choices import alternatives_table, choices, trades_table
from hybridnb.blender import sigmoid
from hybridnb.decide import INPUT, decide
from hybridnb.domain import SCALE, Mode
from hybridnb.entries import Account
from hybridnb.errors import UsageError
from hybridnb.limits import limits
from hybridnb.policy import Policy, policy_values

Make = Callable[..., Any]
Row = dict[str, Any]
SEEDS = range(40 if os.environ.get("HYBRIDNB_EVIDENCE") == "1" else 4)


def recorded(lived: Sequence[Sequence[Row]], policy: Policy) -> list[Recorded]:
    """Sessions that a test stepped, as if a ledger held them."""
    every = {}
    for rows in lived:
        book, session = rows[0]["book"], rows[0]["session"]
        head = {"book": book, "session": session, "n": -1}
        more = {"experiment_id": "e", "model_version": "m", "policy_id": policy.id}
        every[session] = [
            {"kind": "inputs", **head, "feed": "test"},
            {"kind": "policy", **head, "policy_id": policy.id, "values": policy_values(policy)},
            *(row | more if row["kind"] == "session_opened" else row for row in rows),
        ]
    return sessions_in(every)


def stretch(run: Make, wild: Any, sessions: int = 40) -> list[Recorded]:
    at = {f"{day:%Y-%m-%d}": i for i, day in enumerate(wild.panel.sessions)}
    hints = lambda day, state: wild.views[at[day.seen]]  # noqa: E731
    setup = Setup("book", wild.policy, "e", "m", hints, verdict_valid=True)
    with np.errstate(all="ignore"):
        _, lived = run(wild.panel, setup, wild.first, wild.first + sessions - 1)
    return recorded(lived, wild.policy)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_closed_trade_is_reproduced_to_the_cent(run: Make, wild_of: Make, seed: int) -> None:
    """Gaps, crashes, missing bars, thin volumes, partial fills, additions, kills, shorts."""
    market = wild_of(seed)
    sessions = stretch(run, market)
    made = choices(sessions, market.panel)
    assert len(made) == len(round_trips(sessions)) > 0
    for each in made:
        assert each.judged.reproduced, (each.trip, each.judged.why)
        assert each.judged.outcomes[0].trip.pnl == each.trip.pnl  # to the last 1/10,000


def test_trades_and_trips_have_the_same_money(run: Make, wild_of: Make) -> None:
    sessions = stretch(run, wild_of(2))
    still = set(sessions[-1].closed["snapshot"]["book"]["positions"])
    trips: dict[str, int] = {}
    for trip in round_trips(sessions):
        trips[trip.symbol] = trips.get(trip.symbol, 0) + trip.pnl
    booked: dict[str, int] = {}
    for row in (row for one in sessions for row in one.of_kind("trade")):
        booked[row["symbol"]] = booked.get(row["symbol"], 0) + row["pnl"]
    closed = booked.keys() - still
    assert closed
    assert {s: trips[s] for s in closed} == {s: booked[s] for s in closed}


def test_a_trade_of_other_bars_is_not_explained(run: Make, wild_of: Make) -> None:
    market = wild_of(1)
    sessions = stretch(run, market)
    prices = market.panel.prices.copy()
    other = np.random.default_rng(1).uniform(0.8, 1.2, (prices.shape[1], 1))  # by session
    prices[:4] = np.rint(prices[:4] * other).astype(np.int64)
    made = choices(sessions, replace(market.panel, prices=prices))
    assert not any(each.judged.reproduced for each in made)
    assert alternatives_table(made).empty
    assert trades_table(made)["score"].isna().all()


def test_tables_of_a_book(run: Make, wild_of: Make) -> None:
    market = wild_of(4)
    made = choices(stretch(run, market), market.panel, views=lambda symbol, session: 0.9)
    trades, every = trades_table(made), alternatives_table(made)
    assert (every.groupby("decision_id", sort=False).size() % 12 == 0).all()
    scored = trades.dropna(subset=["score"])
    assert scored["score"].between(0, 1).all()
    assert scored["regret"].is_monotonic_decreasing
    for row in scored.itertuples():
        mine = every[(every["decision_id"] == row.decision_id) & every["open"]]
        rest = mine[mine["alternative"] != "as traded"]
        assert row.opportunity_cost == pytest.approx(rest["pnl"].max() - row.pnl)
    other = every[every["alternative"] == "other engine"]
    assert other["pnl"].notna().any()


def test_without_any_trade_the_tables_are_empty_and_whole(run: Make, panel_of: Make) -> None:
    panel = panel_of(np.full((80, 2), 50.0), score=0.5)
    setup = Setup("book", Policy(), "e", "m", lambda day, state: np.zeros(2))
    _, lived = run(panel, setup, 70, 74)
    made = choices(recorded(lived, Policy()), panel)
    assert made == []
    assert trades_table(made).empty
    assert "regret" in trades_table(made)
    assert "0 of 0" in alternatives_picture(trades_table(made), alternatives_table(made)).alt


def test_a_view_survives_its_way_back() -> None:
    views = [sigmoid(x) for x in np.linspace(-30, 30, 4001)]
    assert [sigmoid(unsquashed(view)) for view in views] == views
    assert math.isnan(unsquashed(math.nan))


def test_the_walk_of_its_own_is_the_decision_to_the_last_bit() -> None:
    rng = np.random.default_rng(3)
    rows = np.zeros(40, INPUT)
    for name in ("p_short", "p_mid", "rl", "win_long", "win_short", "margin_rate"):
        rows[name] = rng.random(40)
    rows["price"], rows["atr"], rows["annual_volatility"] = 50.0, rng.uniform(0.5, 3, 40), 0.3
    rows["held"] = np.where(rng.random(40) < 0.3, rng.uniform(-0.01, 0.02, 40), 0.0)
    rows["risk"], rows["posture"], rows["liquidity"] = abs(rows["held"]) * 0.05, 1.0, 1.0
    rows["bucket"] = rng.integers(0, 3, 40)
    lim, account = limits(Policy(), Mode.DEMO), Account(1e6, 0.05, False)
    returns = np.asfortranarray(rng.normal(0, 0.02, (252, 40)))
    same = decided_freely(lim, account, rows, returns, others=math.nan)
    assert same.tobytes() == decide(lim, account, rows, returns).tobytes()
    assert decided_freely(lim, account, rows, returns).tobytes() != same.tobytes()


@pytest.fixture
def rising(run: Make, panel_of: Make) -> tuple[Panel, Setup, list[Recorded]]:
    """Names that rise and fall, bought as far as the caps let; the last is not to be traded."""
    rng = np.random.default_rng(11)
    closes = 50 * np.exp(np.cumsum(rng.normal(0.001, 0.02, (110, 4)), axis=0))
    panel = panel_of(np.round(closes, 2), score=np.array([0.9, 0.85, 0.7, 0.95]))
    policy = with_values(Policy(), {"lists.do_not_trade": ["D"], "sizing.confidence_threshold": 0})
    setup = Setup("book", policy, "e", "m", lambda day, state: np.full(4, 2.0))
    _, lived = run(panel, setup, 70, 105)
    return panel, setup, recorded(lived, policy)


def ready(panel: Panel, setup: Setup, sessions: Sequence[Recorded]) -> list[Session]:
    return [Session(one, day_of(panel, one), setup) for one in sessions]


def named(name: str) -> Freed:
    return next(bound for bound in BOUNDS if bound.name == name)


def test_the_base_is_what_was_traded(rising: tuple[Panel, Setup, list[Recorded]]) -> None:
    panel, setup, sessions = rising
    base = course(ready(panel, setup, sessions))
    assert all(base.equal)
    first, last = sessions[0].opened["equity"], sessions[-1].closed["equity"]
    assert base.pnl == pytest.approx((last - first) / SCALE)
    assert base.trades == sum(len(one.of_kind("trade")) for one in sessions) > 0


def test_a_blocked_name_trades_once_its_list_is_gone(
    rising: tuple[Panel, Setup, list[Recorded]],
) -> None:
    panel, setup, sessions = rising
    stretch_ = ready(panel, setup, sessions)
    base, freed = course(stretch_), course(stretch_, named("do-not-trade list"))
    assert len(freed.entries) > len(base.entries)
    assert not any(freed.equal[-5:])


def test_without_the_name_cap_more_is_bought(
    rising: tuple[Panel, Setup, list[Recorded]],
) -> None:
    panel, setup, sessions = rising
    stretch_ = ready(panel, setup, sessions)
    base, freed = course(stretch_), course(stretch_, named("per-name cap"))
    assert abs(freed.pnl) > abs(base.pnl)
    assert freed.drawdown > base.drawdown


def test_a_bound_that_was_never_felt_changes_nothing(
    rising: tuple[Panel, Setup, list[Recorded]],
) -> None:
    """What is passed over as untouched comes to the same when it is replayed after all."""
    panel, setup, sessions = rising
    stretch_ = ready(panel, setup, sessions)
    base = course(stretch_)
    for name in ("news penalty", "penny filters", "verdict gate", "VaR limit"):
        freed = course(stretch_, named(name))
        assert (freed.pnl, freed.trades, freed.entries) == (base.pnl, base.trades, base.entries)


def test_blocked_trades_of_a_live_mode_are_replayed(run: Make, panel_of: Make) -> None:
    closes = 50 * np.exp(np.cumsum(np.full((90, 2), 0.01), axis=0))
    panel = panel_of(np.round(closes, 2))
    policy = with_values(Policy(), {})
    policy = policy.model_copy(update={"mode": Mode.LIVE})
    setup = Setup("book", policy, "e", "m", lambda day, state: np.full(2, 2.0), verdict_valid=False)
    _, lived = run(panel, setup, 70, 85)
    stretch_ = ready(panel, setup, recorded(lived, policy))
    base, freed = course(stretch_), course(stretch_, named("verdict gate"))
    assert (base.trades, base.pnl) == (0, 0.0)
    assert freed.pnl > 0
    assert setup_without(setup, named("verdict gate")).verdict_valid


def test_every_policy_value_of_a_bound_is_one(rising: tuple[Panel, Setup, Any]) -> None:
    _, setup, _ = rising
    names = [bound.name for bound in BOUNDS]
    assert len(set(names)) == len(names)
    for bound in BOUNDS:
        freed = setup_without(setup, bound)
        assert (freed.policy != setup.policy) <= bool(bound.values)
        moved = bound.values or bound.mask or bound.bucket or bound.margin or bound.edge
        assert moved or bound.verdict or bound.limits(limits(Policy(), Mode.DEMO))


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """A book of two sessions on the sample feed, in a home of this module."""
    return Book(write_params(tmp_path_factory.mktemp("params") / "p"))


def test_a_book_from_its_ledger(book: Book) -> None:
    for session in ("2013-02-25", "2013-02-26", "2013-02-27"):
        book.trade(session)
    context = book.context("2013-02-27")
    found = counterfactuals(context)
    assert found.bounded.equal, found.notes
    assert found.sessions == 3
    assert set(found.bounds["bound"]) == {bound.name for bound in BOUNDS}
    assert found.bounds["difference"].notna().all()
    capped = found.bounds.set_index("bound").loc["per-name cap"]
    assert capped["effect"] in ("cost", "saved")
    assert "it" in counterfactual_text(found)
    assert "per-name cap" in bounds_picture(found.bounds).svg
    assert found.values()["base_equal"] is True
    assert any("model isn't there any more" in note for note in found.notes)
    with pytest.raises(UsageError, match="closed no session"):
        counterfactuals(context, session="2013-02-20")
    with pytest.raises(UsageError, match="there is no book"):
        counterfactuals(context, book="nobody's")


def test_a_base_that_is_not_the_ledgers_compares_nothing(book: Book) -> None:
    for session in ("2013-02-25", "2013-02-26"):
        book.trade(session)
    context = book.context("2013-02-26")
    found = counterfactuals(context, with_bounds=False)
    sessions = [row["session"] for row in context.ledger().rows("session", kind="session_closed")]
    assert sessions == ["2013-02-25", "2013-02-26"]
    assert found.bounds["effect"].eq("unknown").all()
    assert found.bounds["difference"].isna().all()
    from hybridnb.app.again import recorded_sessions

    every = recorded_sessions(context.ledger(), found.book)
    wrong = every[-1].closed | {"equity": every[-1].closed["equity"] + 1}
    every[-1] = replace(every[-1], rows=[*every[-1].rows[:-1], wrong])
    told = bounds(context, every, hopeful(context).panel)
    assert not told.equal
    assert "2013-02-26" in told.notes[-1]
    assert told.table["difference"].isna().all()


def test_pictures_show_what_the_tables_say() -> None:
    frame = pd.DataFrame(
        {
            "bound": ["a cap", "a gate", "idle"],
            "kind": ["clamp", "gate", "gate"],
            "effect": ["cost", "saved", "nothing"],
            "difference": [12.5, -40.0, 0.0],
            "drawdown_change": [0.1, 0.0, 0.0],
            "trades_change": [1, -1, 0],
        }
    )
    drawn = bounds_picture(frame)
    assert "2 of 3" in drawn.alt
    assert "cost 12.50" in drawn.svg
    assert "saved 40.00" in drawn.svg
    assert len(drawn.table) == 3
