"""The eight scenarios on a market made for them: each does what it says, and the book pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybridnb.app import stress_runs
from hybridnb.app.context import Context, Request
from hybridnb.app.desk import Setup
from hybridnb.app.home import home, shipped
from hybridnb.app.panel import PREDICTIONS, Panel, panel
from hybridnb.app.settings import settings
from hybridnb.app.stress_figures import stress_curves
from hybridnb.app.stress_runs import Scenario, run
from hybridnb.app.stress_worlds import stressed_panel, world_of
from hybridnb.app.stressing import Stressed, stress
from hybridnb.costs import commission, rates
from hybridnb.domain import SCALE, Basis, Bucket, Instrument, Leg, Status
from hybridnb.errors import UsageError
from hybridnb.execution.faults import NO_FAULTS, Faults
from hybridnb.gates.rules import SCENARIOS
from hybridnb.gates.shocks import World, data_gap, exchange_halt, flash_crash, funding_flip
from hybridnb.market import calendar
from hybridnb.market.assemble import digest, equal_weighted
from hybridnb.policy import Policy, validated
from hybridnb.ports import MarketData

T, NAMES, STRETCH = 330, ("A", "B", "C", "D"), 48
LARGE = {  # nothing of its own keeps the book small, so that a crash reaches the kill switch
    "sizing": {"kelly_fraction": 1.0, "volatility_target": 10.0, "var_limit": 1.0}
    | {"es_limit": 1.0, "heat_limit": 100.0},
    "clamps": {"name_core": 0.2},
}


def market(seed: int = 4) -> MarketData:
    """Four names that rise, with ranges and volumes."""
    rng = np.random.default_rng(seed)
    sessions = calendar.sessions("XNYS", "2010-01-04", "2012-12-31")[:T]
    shape = (T, len(NAMES))
    closes = 50.0 * np.exp(np.cumsum(rng.normal(0.003, 0.01, shape), axis=0))
    opens = np.vstack([closes[:1], closes[:-1]]) * np.exp(rng.normal(0, 0.003, shape))
    high, low = np.maximum(opens, closes) * 1.004, np.minimum(opens, closes) * 0.996
    wide = [np.round(v, 2) for v in (opens, high, low, closes)] + [np.full(shape, 5e6)]
    columns = ("open", "high", "low", "close", "volume")
    bars = pd.DataFrame(
        {"symbol": np.repeat(NAMES, T), "session": np.tile(sessions, len(NAMES))}
        | {name: values.T.ravel() for name, values in zip(columns, wide, strict=True)}
    )
    return MarketData(
        feed="made",
        calendar="XNYS",
        currency="USD",
        basis=Basis.OHLCV,
        bars=bars,
        index=equal_weighted(bars),
        instruments={s: Instrument(s, Bucket.CORE, "USD") for s in NAMES},
        digest=digest(bars),
        source="made",
    )


def opened(bars: MarketData, policy: Policy) -> tuple[Context, Panel]:
    """A context of a market, and its panel with a view that changes every few sessions."""
    given = replace(settings(shipped("params")), policy=policy)
    last = f"{bars.bars['session'].max():%Y-%m-%d}"
    context = Context(Request(), given, bars, last, 7, "smoke", home(), bars.bars)
    views = np.random.default_rng(1).choice([0.2, 0.9], (T // 6 + 1, len(NAMES)), p=[0.3, 0.7])
    score = np.repeat(views, 6, axis=0)[:T].T.ravel()
    frame = bars.bars[["symbol", "session"]].assign(
        **dict.fromkeys(PREDICTIONS, score) | {"win_long": 0.6, "win_short": 0.4}
    )
    made = panel(
        bars,
        sessions=context.sessions,
        ordinals=context.ordinals,
        features=context.features,
        facts=context.facts,
        predictions=frame,
    )
    return context, made


def full(day: Any, state: Any) -> np.ndarray:
    return np.full(len(NAMES), 4.0)


ROWS = np.arange(T - STRETCH, T)


@pytest.fixture(scope="module")
def made() -> tuple[Context, Panel]:
    return opened(market(), validated(Policy, LARGE))


def stressed_of(made: tuple[Context, Panel], **changes: Any) -> Stressed:
    told: list[str] = []
    given = {"rows": ROWS, "model_version": "m", "seed": 3, "say": told.append} | changes
    found = stress(*made, full, **given)
    assert len(told) > len(found.courses)
    return found


@pytest.fixture(scope="module")
def stressed(made: tuple[Context, Panel]) -> Stressed:
    return stressed_of(made)


def setup_of(made: tuple[Context, Panel]) -> Setup:
    return Setup("stress", made[0].settings.policy, "stress", "m", full)


@pytest.fixture(scope="module")
def base(made: tuple[Context, Panel]) -> stress_runs.Run:
    return run(Scenario(made[1], setup_of(made), 0, STRETCH - 1), ROWS)


def put(made: tuple[Context, Panel], base: stress_runs.Run, name: str, first: int = -1) -> Any:
    """A scenario and its run, at a session that is chosen where it has a window."""
    whole = Scenario(made[1], setup_of(made), 0, STRETCH - 1)
    draw: Any = np.random.default_rng(0)
    if first >= 0:
        draw = type("Fixed", (), {"choice": staticmethod(lambda held: first)})()
    each = stress_runs.scenario(
        name, made[0], whole, base, ROWS, rng=draw, shocks=stress_runs.SHOCKS
    )
    assert each is not None
    return each, run(each, ROWS, since=base)


def held_first(base: stress_runs.Run, least: int = 3) -> int:
    return next(k for k in range(5, STRETCH - 15) if len(base.states[k].book.positions) >= least)


def test_all_eight_are_stepped_and_judged_with_their_limits_and_the_switch(
    stressed: Stressed,
) -> None:
    assert [c.name for c in stressed.checks] == list(SCENARIOS)
    assert set(stressed.courses) == set(SCENARIOS) == set(stressed.windows)
    assert stressed.base.pnl > 0 and stressed.base.sharpe > 0 and stressed.base.trades > 5
    for found in stressed.courses.values():
        assert found.sessions == STRETCH and found.touched > 0
        assert found.breaches == () and found.error == ""
    assert all(c.status is not Status.INSUFFICIENT_EVIDENCE for c in stressed.checks)


def test_a_crash_of_a_large_book_trips_the_switch_and_it_acts(stressed: Stressed) -> None:
    crash = stressed.courses["flash crash"]
    assert crash.kills > stressed.base.kills and crash.unheld == ()
    assert crash.loss_bps > 100
    assert crash.max_drawdown > stressed.base.max_drawdown


def test_until_its_window_a_scenario_is_the_base(stressed: Stressed) -> None:
    for name in SCENARIOS:
        first = pd.Timestamp(stressed.windows[name][0])
        before = stressed.equity[stressed.equity.index < first]
        assert (before[name] == before["base"]).all()
        after = stressed.equity[stressed.equity.index >= first]
        assert (after[name] != after["base"]).any(), f"{name} does nothing"


def test_a_place_is_drawn_among_all_that_fit(base: stress_runs.Run) -> None:
    for exits in (False, True):
        drawn = {
            stress_runs._place(base, 6, exits=exits, rng=np.random.default_rng(seed))
            for seed in range(60)
        }
        assert len(drawn) > 5
        for k in drawn:
            assert k is not None and base.states[k].book.positions and k + 6 < STRETCH
            assert not exits or stress_runs._exits(base.steps[k : k + 1])


def test_the_same_seed_gives_the_same(made: tuple[Context, Panel], stressed: Stressed) -> None:
    again = stressed_of(made)
    assert again.checks == stressed.checks and again.courses == stressed.courses
    pd.testing.assert_frame_equal(again.equity, stressed.equity)


def test_fees_are_ten_times_what_the_base_would_have_paid(
    made: tuple[Context, Panel], base: stress_runs.Run
) -> None:
    each, found = put(made, base, "fee spike")
    usual = rates(Policy().costs)
    entries = [r for r in stress_runs.fills(found.steps) if r["leg"] == Leg.ENTRY]
    assert len(entries) > 5
    for row in entries:
        once = commission(usual, quantity=row["quantity"], price=row["price"])
        assert row["commission"] == pytest.approx(10 * once, abs=10)
    assert each.setup.policy.costs.half_spread_core == Policy().costs.half_spread_core
    first = min(row["at"] for row in entries)
    day = next(k for k, step in enumerate(base.steps) if step.session == first)
    paid = [
        sum(r["commission"] for r in stress_runs.fills(x.steps[: day + 1])) for x in (found, base)
    ]
    behind = base.steps[day].equity - found.steps[day].equity
    assert behind == pytest.approx((paid[0] - paid[1]) / SCALE)  # to the last 1/10,000, in the book


def test_the_spread_is_ten_times_what_it_was(
    made: tuple[Context, Panel], base: stress_runs.Run
) -> None:
    _, found = put(made, base, "liquidity gone")
    wide, narrow = (
        {
            (r["at"], r["symbol"], r["quantity"]): r["slippage"] / r["quantity"] / r["reference"]
            for r in stress_runs.fills(each.steps)
            if r["leg"] == Leg.ENTRY
        }
        for each in (found, base)
    )
    both = wide.keys() & narrow.keys()
    assert len(both) > 1
    for key in both:  # the same order of the same session
        more = 9 * Policy().costs.half_spread_core * 1e-4
        assert wide[key] - narrow[key] == pytest.approx(more, rel=0.01)


def test_exits_are_held_up_while_entries_and_marks_go_on(
    made: tuple[Context, Panel], base: stress_runs.Run
) -> None:
    exits = [k for k in range(5, STRETCH - 8) if stress_runs._exits(base.steps[k : k + 1])]
    each, found = put(made, base, "stuck position", exits[0])
    window = found.steps[each.first : each.last + 1]
    assert len(window) == 6
    assert not any(Leg(r["leg"]).reduces for r in stress_runs.fills(window))
    assert stress_runs._exits(found.steps[each.last + 1 :])
    assert all(len([r for r in s.rows if r["kind"] == "mark"]) == 2 for s in window)
    assert found.breaches == () and found.unheld == ()


def test_thirty_percent_of_each_order_fills(
    made: tuple[Context, Panel], base: stress_runs.Run
) -> None:
    _, found = put(made, base, "partial fills")
    placed = {
        (s.session, r["client_id"]): r["quantity"]
        for s in found.steps
        for r in s.rows
        if r["kind"] == "order" and r["leg"] == Leg.ENTRY
    }
    entries = [r for r in stress_runs.fills(found.steps) if r["leg"] == Leg.ENTRY]
    assert len(entries) > 5
    for row in entries:
        assert row["quantity"] == int(0.3 * placed[row["at"], row["client_id"]])


def test_in_a_halt_nothing_fills_and_the_gap_after_it_is_paid(
    made: tuple[Context, Panel], base: stress_runs.Run
) -> None:
    first = held_first(base)
    each, found = put(made, base, "exchange halt", first)
    assert stress_runs.fills(found.steps[each.first : each.last + 1]) == []
    still = found.equity(1e6)[each.first + 1 : each.last + 2]
    assert np.ptp(still) == 0.0
    assert found.steps[each.last + 1].equity != still[-1]
    truth = made[1].prices[3, ROWS[each.last + 1]]
    assert (each.panel.prices[3, ROWS[each.last + 1]] == truth).all()


def test_a_swing_costs_one_percent_of_what_is_held(
    made: tuple[Context, Panel], base: stress_runs.Run
) -> None:
    first = held_first(base)
    each, _ = put(made, base, "funding flip", first)
    row, held = int(ROWS[first]), base.states[first].book.positions
    for i, symbol in enumerate(made[1].symbols):
        ratio = each.panel.prices[0, row, i] / made[1].prices[0, row, i]
        assert ratio == pytest.approx(0.99 if symbol in held else 1.0, abs=1e-6)
    value = sum(p.quantity * made[1].prices[0, row, made[1].place[s]] for s, p in held.items())
    mark = next(
        r
        for r in put(made, base, "funding flip", first)[1].steps[first].rows
        if r["kind"] == "mark" and r["at"] == "open"
    )
    plain = next(r for r in base.steps[first].rows if r["kind"] == "mark" and r["at"] == "open")
    assert plain["equity"] - mark["equity"] == pytest.approx(0.01 * value, rel=1e-3)


def test_in_a_gap_nothing_trades_and_nothing_breaks(
    made: tuple[Context, Panel], base: stress_runs.Run
) -> None:
    each, found = put(made, base, "data gap", held_first(base))
    assert found.error == "" and len(found.steps) == STRETCH
    assert stress_runs.fills(found.steps[each.first : each.last + 1]) == []
    assert np.ptp(found.equity(1e6)[each.first + 1 : each.last + 2]) == 0.0


SHOCKED: dict[str, Callable[[World, int], World]] = {
    "crash": flash_crash,
    "halt": exchange_halt,
    "gap": data_gap,
    "swing": lambda w, start: funding_flip(w, start, [1, 1, 1, 1]),
}


@pytest.mark.parametrize("kind", list(SHOCKED))
def test_what_comes_of_prices_is_computed_again_and_what_was_predicted_stays(
    made: tuple[Context, Panel], kind: str
) -> None:
    context, plain = made
    start = T - 40
    found = stressed_panel(context, plain, SHOCKED[kind](world_of(plain), start))
    assert found.symbols == plain.symbols and found.sessions.equals(plain.sessions)
    for name in PREDICTIONS:
        assert np.array_equal(found.columns[name], plain.columns[name], equal_nan=True)
    changed = 0
    for name, values in plain.columns.items():
        assert np.array_equal(found.columns[name][:start], values[:start], equal_nan=True)
        changed += not np.array_equal(found.columns[name][start:], values[start:], equal_nan=True)
    assert changed >= 3  # close, ATR, volatility, ...
    assert np.array_equal(found.returns[:start], plain.returns[:start], equal_nan=True)
    assert not np.array_equal(found.returns[start:], plain.returns[start:], equal_nan=True)
    pd.testing.assert_frame_equal(found.facts[:start], plain.facts[:start])
    assert not found.facts[start:].equals(plain.facts[start:])
    known = found.prices[3] > 0
    close = np.where(known, found.prices[3] / SCALE, np.nan)
    assert np.allclose(np.where(known, found.columns["close"], np.nan), close, equal_nan=True)


def test_unchanged_bars_give_the_very_panel(made: tuple[Context, Panel]) -> None:
    context, plain = made
    found = stressed_panel(context, plain, world_of(plain))
    assert np.array_equal(found.prices, plain.prices)
    for name, values in plain.columns.items():
        assert np.array_equal(found.columns[name], values, equal_nan=True), name
    pd.testing.assert_frame_equal(found.facts, plain.facts)


def test_a_bar_that_never_was_is_refused(made: tuple[Context, Panel]) -> None:
    context, plain = made
    less = replace(plain, present=plain.present.copy())
    less.present[300, 0] = False
    with pytest.raises(ValueError, match="add"):
        stressed_panel(context, less, world_of(plain))


def test_a_broken_switch_is_found(
    made: tuple[Context, Panel], base: stress_runs.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleeps(state: Any, *_: Any, **__: Any) -> Any:
        return state, ()

    monkeypatch.setattr("hybridnb.app.desk.marked", sleeps)
    _, found = put(made, base, "flash crash", held_first(base))
    assert any("didn't trip" in text for text in found.unheld)


def crashed_without_stops(made: tuple[Context, Panel], faults: Faults) -> stress_runs.Run:
    """A crash in which no stop is near, so that the switch alone closes."""
    far = {"stops": {"initial": 40.0, "trailing": 40.0, "activation": 40.0, "target": 80.0}}
    setup = replace(setup_of(made), policy=validated(Policy, LARGE | far))
    whole = Scenario(made[1], setup, 0, STRETCH - 1)
    plain = run(whole, ROWS)
    first = held_first(plain, least=4)
    bars = flash_crash(world_of(made[1]), int(ROWS[first]))
    crash = replace(whole, panel=stressed_panel(made[0], made[1], bars), first=first)
    return run(replace(crash, setup=replace(setup, faults=faults)), ROWS, since=plain)


def test_a_switch_that_trips_and_closes_nothing_is_found(
    made: tuple[Context, Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = crashed_without_stops(made, NO_FAULTS)
    assert sum(step.killed for step in held.steps) > 0 and held.unheld == ()
    monkeypatch.setattr("hybridnb.app.desk.Desk.flatten", lambda self, symbols: None)
    found = crashed_without_stops(made, NO_FAULTS)
    assert any("still held" in text for text in found.unheld)


def test_a_switch_whose_orders_the_venue_cuts_sends_the_rest_anew_until_all_is_flat(
    made: tuple[Context, Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = crashed_without_stops(made, Faults(filled=0.3))
    assert sum(step.killed for step in held.steps) > 0 and held.unheld == ()
    monkeypatch.setattr("hybridnb.app.desk.Desk.finish", lambda self: False)
    found = crashed_without_stops(made, Faults(filled=0.3))
    assert any("still held" in text for text in found.unheld)


def test_a_switch_whose_exits_are_held_up_keeps_them_at_work(made: tuple[Context, Panel]) -> None:
    found = crashed_without_stops(made, Faults(no_exits=True))
    assert sum(step.killed for step in found.steps) > 0 and found.unheld == ()
    assert found.states[-1].book.positions


def test_a_cap_that_an_entry_breaks_is_found(
    made: tuple[Context, Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hybridnb.decide import decide

    def greedy(*given: Any) -> Any:
        out = decide(*given)
        out["size_post_risk"] *= 1.5
        return out

    one = replace(setup_of(made), decide=greedy)
    found = run(Scenario(made[1], one, 0, STRETCH - 1), ROWS)
    assert any("above" in text for text in found.breaches)
    assert any("grew after the clamps" in text for text in found.breaches)


def test_a_step_that_breaks_is_a_fail_and_not_the_end_of_the_review(
    made: tuple[Context, Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stress_runs.stepped
    broken, rows = f"{made[1].sessions[ROWS[-1]]:%Y-%m-%d}", ROWS[-30:]

    def breaks(state: Any, day: Any, setup: Any, **more: Any) -> Any:
        if day.session == broken and setup.faults.cuts:
            raise KeyError("no price")
        return whole(state, day, setup, **more)

    monkeypatch.setattr(stress_runs, "stepped", breaks)
    found = stressed_of(made, rows=rows)
    verdicts = {c.name: c for c in found.checks}
    assert verdicts["partial fills"].status is Status.FAIL
    assert "no price" in verdicts["partial fills"].detail and broken in found.frame().to_string()
    assert verdicts["exchange halt"].status is not Status.FAIL


def test_a_book_that_never_trades_proves_nothing(made: tuple[Context, Panel]) -> None:
    context, plain = made
    still = {name: np.full(plain.present.shape, 0.5) for name in PREDICTIONS}
    calm = replace(plain, columns={**plain.columns, **still})
    found = stress(
        context,
        calm,
        lambda day, state: np.zeros(4),
        rows=ROWS[-20:],
        model_version="m",
        seed=3,
        say=lambda text: None,
    )
    assert {c.status for c in found.checks} == {Status.INSUFFICIENT_EVIDENCE}
    assert len(found.frame()) == 9


def test_a_base_that_breaks_fails_all_eight(
    made: tuple[Context, Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("at once")

    monkeypatch.setattr(stress_runs, "stepped", breaks)
    found = stressed_of(made)
    told = {c.name: c.status for c in found.checks}
    assert {told[n] for n in ("partial fills", "liquidity gone", "fee spike")} == {Status.FAIL}
    assert Status.PASS not in told.values() and "at once" in found.base.error


@pytest.mark.parametrize("rows", [[], [0, 1], [T - 2, T], [200, 200, 201], [201, 200]])
def test_rows_that_are_no_sessions_in_order_are_refused(
    made: tuple[Context, Panel], rows: list[int]
) -> None:
    with pytest.raises(UsageError):
        stressed_of(made, rows=np.array(rows, np.int64))


def test_the_table_and_the_picture_tell_every_scenario(stressed: Stressed) -> None:
    table = stressed.frame()
    assert table["scenario"].tolist() == ["base", *SCENARIOS]
    assert set(table.loc[1:, "verdict"]) <= {"PASS", "FAIL", "INSUFFICIENT_EVIDENCE"}
    assert (table["limits"] == "held").all()
    drawn = stress_curves(stressed)
    assert drawn.svg == stress_curves(stressed).svg
    for check in stressed.checks:
        assert check.name in drawn.svg
    ends = drawn.table.set_index("scenario")["end bps"]
    pnl = table.set_index("scenario")["P&L"]
    assert ends["fee spike"] == pytest.approx(pnl["fee spike"] / 100, abs=0.02)
