"""A replay over arrays is what the session's step records, row for row, on markets gone wild."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.desk import Hints, Setup
from hybridnb.app.panel import RETURN_ROWS, Panel, panel
from hybridnb.app.replaying import names_of, tape_of
from hybridnb.app.state import State
from hybridnb.blender import sigmoid
from hybridnb.domain import SCALE, Leg, Mode, OrderState, Refusal, refusal_names
from hybridnb.market import calendar
from hybridnb.market.facts import facts
from hybridnb.market.features import features
from hybridnb.market.feeds import FeedRequest, load_feed
from hybridnb.policy import Policy, validated
from hybridnb.replay.run import Replay, replay, rules
from hybridnb.replay.tape import (
    CASH,
    DEMOTED,
    FACTS,
    KILLED,
    PEAK,
    QUARANTINE,
    SIP_CARRY,
    SIP_UNITS,
    World,
)
from hybridnb.risk import KILL_ALERT, QUARANTINE_ALERT

Make = Callable[..., Any]
Rows = list[dict[str, Any]]
LEGS, STATES = list(Leg), list(OrderState)
SEEDS = range(60 if os.environ.get("HYBRIDNB_EVIDENCE") == "1" else 16)
BAR = ("open", "high", "low", "close", "volume")


class Both(NamedTuple):
    """One stretch of history stepped live, and replayed."""

    panel: Panel
    state: State
    rows: Rows
    replayed: Replay
    first: int


def squashed(views: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda x: sigmoid(float(x)), otypes=[float])(views)


def both(
    run: Make,
    found: Panel,
    policy: Policy,
    views: np.ndarray | Hints,
    rows: tuple[int, int],
    **given: Any,
) -> Both:
    """The same sessions, rows first to before stop, through the step and through the replay.

    `views` are the size hint's, shape (T, n); or a function of day and state, with its likeness
    for the replay as `hints`.
    """
    (first, stop), verdict = rows, given.get("verdict", True)
    at = {f"{day:%Y-%m-%d}": i for i, day in enumerate(found.sessions)}
    fixed = None if callable(views) else squashed(views)
    asked = views if callable(views) else lambda day, state: views[at[day.seen]]
    setup = Setup("book", policy, "e", "m", asked, verdict_valid=verdict)
    with np.errstate(all="ignore"):  # unknown figures are meant
        state, lived = run(found, setup, first, stop - 1)
        replayed = replay(
            tape_of(found, fixed),
            names_of(found, policy, policy.mode),
            rules(policy, policy.mode, verdict_valid=verdict),
            cash=round(policy.opening_cash * SCALE),
            start=first,
            stop=stop,
            hints=given.get("hints"),
        )
    return Both(found, state, [row for session in lived for row in session], replayed, first)


def agree(one: Both) -> None:
    """Every order, fill, trade and mark, in order, and the account after them."""
    assert order_rows(one) == one.replayed.orders.tolist()
    assert fill_rows(one) == one.replayed.fills.tolist()
    assert trade_rows(one) == replayed_trades(one)
    closes = [row["equity"] for row in of_kind(one.rows, "session_closed")]
    stop = one.first + len(closes)
    assert one.replayed.equity[one.first : stop].tolist() == closes
    assert not one.replayed.equity[: one.first].any() and not one.replayed.equity[stop:].any()
    same_account(one)


def of_kind(rows: Iterable[dict[str, Any]], kind: str) -> Rows:
    return [row for row in rows if row["kind"] == kind]


def head(one: Both, row: dict[str, Any], leg: str = "leg") -> list[int]:
    t = int(one.panel.sessions.get_loc(pd.Timestamp(row["session"])))
    sign = 1 if row.get("side", row.get("direction")) in ("BUY", "long") else -1
    return [t, one.panel.symbols.index(row["symbol"]), LEGS.index(row[leg]), sign]


def order_rows(one: Both) -> list[list[int]]:
    return [
        [
            *head(one, row),
            *(row["quantity"], row["filled"], row["stop"] or row["limit"] or 0),
            STATES.index(row["state"]),
            sum(int(Refusal[name]) for name in row["refusals"]),
        ]
        for row in of_kind(one.rows, "order")
    ]


def fill_rows(one: Both) -> list[list[int]]:
    figures = ("quantity", "price", "reference", "commission", "slippage")
    return [head(one, row) + [row[name] for name in figures] for row in of_kind(one.rows, "fill")]


def trade_rows(one: Both) -> list[list[float]]:
    return [
        [*head(one, row, "exit_leg"), row["quantity"], row["entry_price"], row["exit_price"]]
        + [row["pnl"]]
        for row in of_kind(one.rows, "trade")
    ]


def replayed_trades(one: Both) -> list[list[float]]:
    """The log keeps a position's cost and units; a trade's row has its entry."""
    found = []
    for t, j, leg, sign, quantity, cost, held, price, pnl in one.replayed.trades.tolist():
        units = held * one.panel.instruments[one.panel.symbols[j]].multiplier
        found.append([t, j, leg, sign, quantity, cost / units / SCALE, price / SCALE, pnl])
    return found


def same_account(one: Both) -> None:
    book, state = one.replayed.book, one.state
    money = [book.money[at] for at in (CASH, SIP_UNITS, SIP_CARRY, PEAK)]
    assert money == [state.book.cash, state.book.sip_units, state.book.sip_carry, state.peak]
    held = {one.panel.symbols[j]: int(book.quantity[j]) for j in np.flatnonzero(book.quantity)}
    assert held == {s: p.quantity for s, p in state.book.positions.items()}
    for symbol, position in state.book.positions.items():
        j = one.panel.symbols.index(symbol)
        for name in ("cost", "fees", "stop", "target", "best"):
            assert getattr(book, name)[j] == getattr(position, name), (symbol, name)
        assert book.entry_atr[j] == position.atr
    leaving = {o.symbol: o.left for o in state.working if o.leg in (Leg.EXIT, Leg.FLATTEN)}
    assert leaving == {
        one.panel.symbols[j]: book.exit_quantity[j] - book.exit_filled[j]
        for j in np.flatnonzero(book.leaving)
    }
    assert book.risk[QUARANTINE] == state.risk.quarantine_until


# What happened


def happened(one: Both) -> Counter[str]:
    """Each kind of event that the live rows tell of, and how often."""
    seen: Counter[str] = Counter()
    for row in one.rows:
        if row["kind"] == "alert":
            seen["kill"] += row["text"] == KILL_ALERT
            seen["quarantine"] += row["text"] == QUARANTINE_ALERT
        elif row["kind"] == "mark":
            seen["reducing"] += row["state"] == "REDUCING"
        elif row["kind"] == "decision":
            seen.update(row["ineligible"])
    modes = [row["mode"] for row in of_kind(one.rows, "session_opened")]
    seen["demoted"] += modes[0] != modes[-1]
    seen[f"in {modes[0]}"] += 1
    seen.update(_orders(one))
    seen.update(_fills(one))
    return seen


def _orders(one: Both) -> Iterable[str]:
    last: dict[str, dict[str, Any]] = {}
    for row in of_kind(one.rows, "order"):
        leg, state, before = row["leg"], row["state"].lower(), last.get(row["client_id"], row)
        yield f"{state} {leg}"
        yield from (f"refused: {name}" for name in row["refusals"])
        if leg == "stop" and before["quantity"] == row["quantity"]:
            moved = row["stop"] - before["stop"]
            yield "trailing" if moved else "as before"
        if leg in ("exit", "flatten") and not row["client_id"].startswith(row["session"]):
            yield "exit carried over"
        last[row["client_id"]] = row


def _fills(one: Both) -> Iterable[str]:
    units: Counter[str] = Counter()
    stops: dict[str, int] = {}
    for row in one.rows:
        if row["kind"] == "order" and row["leg"] == Leg.STOP:
            stops[row["client_id"]] = row["stop"]
        if row["kind"] != "fill":
            continue
        leg, symbol = row["leg"], row["symbol"]
        yield leg
        if leg == "entry":
            yield "added" if units[symbol] else "opened"
            yield "short" if row["side"] == "SELL" else "long"
        if leg == "stop" and row["reference"] != stops[row["client_id"]]:
            yield "gap through the stop"
        if one.panel.instruments[symbol].multiplier > 1:
            yield "multiple"
        units[symbol] += row["quantity"] if row["side"] == "BUY" else -row["quantity"]


# Wild markets


@pytest.fixture(scope="module")
def lived(run: Make, wild_of: Make) -> Callable[[int], Both]:
    """A seed's sessions both ways, once."""

    @cache
    def of(seed: int) -> Both:
        wild = wild_of(seed)
        stop = len(wild.panel.sessions)
        return both(run, wild.panel, wild.policy, wild.views, (wild.first, stop))

    return of


@pytest.mark.parametrize("seed", SEEDS)
def test_the_replay_is_the_step_row_for_row(lived: Callable[[int], Both], seed: int) -> None:
    one = lived(seed)
    assert len(of_kind(one.rows, "session_closed")) >= 50
    assert len(one.replayed.orders) > 0
    agree(one)


def test_everything_that_can_happen_happens_in_these_markets(
    lived: Callable[[int], Both],
) -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        seen.update(happened(lived(seed)))
    wanted = [
        *("in DEMO", "in LIVE_MICRO", "in LIVE_LIMITED", "in LIVE", "demoted"),
        *("kill", "quarantine", "reducing", "refused: KILL_SWITCH", "refused: TRADING_STATE"),
        *("LOCKED", "HALTED", "STALE_DATA", "PENNY_ADV", "PENNY_PRICE", "MODE_EXCLUDED"),
        *("BAD_QUALITY", "CURRENCY", "DO_NOT_TRADE", "SIP_ONLY"),
        *("entry", "exit", "flatten", "stop", "target", "sweep", "short", "multiple", "added"),
        *(f"partially_filled {leg}" for leg in ("entry", "exit", "flatten", "stop", "target")),
        *("expired entry", "cancelled stop", "cancelled target", "rejected exit"),
        *("gap through the stop", "trailing", "exit carried over"),
    ]
    assert [name for name in wanted if not seen[name]] == []


@given(seed=st.integers(0, 2**31))
def test_the_replay_is_the_step_whatever_the_market(run: Make, wild_of: Make, seed: int) -> None:
    wild = wild_of(seed, sessions=12, names=9)
    stop = len(wild.panel.sessions)
    agree(both(run, wild.panel, wild.policy, wild.views, (wild.first, stop)))


def views_of_the_book(wild: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A size hint that reads cash, positions and mode: of the step, and of the replay."""
    policy, symbols = wild.policy, wild.panel.symbols
    start, steps = round(policy.opening_cash * SCALE), np.linspace(-2, 2, len(symbols))

    def views(cash: int, units: np.ndarray, demoted: bool) -> np.ndarray:
        return steps * (2.0 - cash / start) - 0.001 * units + (1.0 if demoted else -1.0)

    def stepped(day: Any, state: State) -> np.ndarray:
        held = state.book.positions
        units = np.array([held[s].quantity if s in held else 0 for s in symbols])
        return views(state.book.cash, units, state.risk.mode is not policy.mode)

    def replayed(w: World, t: int) -> np.ndarray:
        # The opening of session t may demote; the views are asked for after it.
        demoted = w.risk[DEMOTED] or w.risk[KILLED] or w.ordinals[t] <= w.risk[QUARANTINE]
        off = bool(demoted) and policy.mode.live
        return squashed(views(int(w.money[CASH]), w.quantity, off))

    return stepped, replayed


def test_views_that_read_the_book_read_the_same_book(run: Make, wild_of: Make) -> None:
    modes = set()
    for seed in (4, 5, 7, 13):
        wild = wild_of(seed)
        stop = len(wild.panel.sessions)
        stepped, replayed = views_of_the_book(wild)
        one = both(run, wild.panel, wild.policy, stepped, (wild.first, stop), hints=replayed)
        agree(one)
        assert len(one.replayed.fills) > 0
        modes |= {(seed, row["mode"]) for row in of_kind(one.rows, "session_opened")}
    assert len(modes) > 4  # some seed was demoted on its way


@pytest.mark.parametrize("mode", [m for m in Mode if m.live])
def test_without_a_verdict_no_live_mode_enters_in_either(
    run: Make, wild_of: Make, mode: Mode
) -> None:
    wild = wild_of(9)
    policy = wild.policy.model_copy(update={"mode": mode})
    start = (wild.first, len(wild.panel.sessions))
    one = both(run, wild.panel, policy, wild.views, start, verdict=False)
    assert one.replayed.orders.size == 0
    agree(one)


# Feeds


def from_feed(feed: str, **policy: object) -> tuple[Panel, Policy]:
    """A feed's history through the features and facts the application computes, with convictions
    of a made-up predictor.
    """
    market = load_feed(feed, FeedRequest(seed=7, sip_symbol="VFV.TO"))
    days = calendar.sessions(market.calendar, market.bars["session"].min(), market.index.index[-1])
    said = market.bars[["symbol", "session"]].copy()
    rng = np.random.default_rng(5)
    for name in ("short_raw", "mid_raw", "p_short", "p_mid"):
        said[name] = rng.beta(2, 2, len(said))
    for name in ("win_long", "win_short"):
        said[name] = rng.uniform(0.4, 0.7, len(said))
    found = panel(
        market,
        sessions=days,
        ordinals=np.arange(len(days)) + 1,
        features=features(market, atr_period=14),
        facts=facts(market),
        predictions=said,
    )
    return found, validated(Policy, policy)


def test_real_bars_give_the_same_rows(run: Make) -> None:
    # A name listed late: its tail risk is unknown at first, and known before the stretch ends.
    found, policy = from_feed("sample", sizing={"allow_short": True})
    listed = found.position("2012-05-18")
    assert not found.present[listed - 1, found.symbols.index("FB")]
    assert found.present[listed, found.symbols.index("FB")]
    views = np.random.default_rng(6).normal(0, 2, found.present.shape)
    one = both(run, found, policy, views, (listed + 45, listed + 105))
    assert len(one.replayed.trades) > 20
    assert found.symbols.index("FB") in one.replayed.fills[:, 1]
    agree(one)


def test_a_planted_market_gives_the_same_rows_over_200_sessions(run: Make) -> None:
    found, policy = from_feed("planted", sip={"min_profit": 0.0, "rate": 0.5})
    views = np.random.default_rng(6).normal(0, 2, found.present.shape)
    stop = len(found.sessions)
    one = both(run, found, policy, views, (stop - 200, stop))
    assert len(one.replayed.trades) > 200
    legs = {row["leg"] for row in of_kind(one.rows, "fill")}
    assert {Leg.ENTRY, Leg.EXIT, Leg.STOP, Leg.TARGET, Leg.SWEEP} <= legs
    agree(one)


# The tape


def test_the_tape_is_the_panel_in_arrays_that_a_compiler_takes(wild_of: Make) -> None:
    found = wild_of(4).panel
    tape = tape_of(found)
    t, n = found.present.shape
    for name in ("open", "high", "low", "close", "volume", "p_short", "sentiment"):
        values = getattr(tape, name)
        assert values.shape == (t, n) and values.flags.c_contiguous, name
        assert values.dtype == (np.int64 if name in BAR else np.float64), name
    assert np.isnan(tape.rl).all() and tape.rl.shape == (t, n)
    assert (tape.close[~found.present] == 0).all() and (tape.close[found.present] > 0).all()
    assert tape.returns.shape == (n, t)
    np.testing.assert_array_equal(tape.returns.T, found.returns)
    assert tape.facts.flags.c_contiguous and tape.facts.ctypes.data % 64 == 0
    for at, name in enumerate(FACTS):
        column = found.columns["close" if name == "price" else name]
        np.testing.assert_array_equal(tape.facts[..., at], column)
    np.testing.assert_array_equal(tape.crisis, (found.facts["regime"] == "crisis").to_numpy())
    assert tape.days[3] == found.sessions[3].date().toordinal()
    assert tape.window == RETURN_ROWS


def test_a_fact_that_the_feed_has_not_is_unknown(wild_of: Make) -> None:
    found = wild_of(4).panel
    tape = tape_of(replace(found, facts=found.facts.drop(columns=["correlation"])))
    assert np.isnan(tape.correlation).all() and len(tape.correlation) == len(found.sessions)
    assert not np.isnan(tape.correlation_floor).any()


def test_what_refuses_a_name_whatever_the_day_is_by_mode(wild_of: Make) -> None:
    wild = wild_of(5)
    names = names_of(wild.panel, wild.policy, Mode.LIVE_MICRO)
    assert wild.panel.symbols == tuple("ABCDEFGHIJK") + ("VFV.TO",)
    said = {
        s: refusal_names(int(bits))
        for s, bits in zip(wild.panel.symbols, names.fixed[0], strict=True)
    }
    assert said == dict.fromkeys("ABEFGJ", ()) | {
        "C": ("MODE_EXCLUDED",),
        "D": ("BAD_QUALITY",),
        "H": ("DO_NOT_TRADE",),
        "I": ("CURRENCY",),
        "K": ("MODE_EXCLUDED",),
        "VFV.TO": ("SIP_ONLY",),
    }
    in_demo = [int(bits) for bits in names.fixed[1]]
    without = [int(bits) & ~int(Refusal.MODE_EXCLUDED) for bits in names.fixed[0]]
    assert in_demo == without
    assert names.sip == 11 and names.penny.tolist() == [i % 4 == 1 for i in range(12)]
    assert names.key[0] == crc32(b"A") and names.key[11] == crc32(b"VFV.TO")


def test_a_market_without_the_sweep_name_has_no_sweep(wild_of: Make) -> None:
    wild = wild_of(5)
    other = wild.policy.model_copy(
        update={"sip": wild.policy.sip.model_copy(update={"symbol": "XYZ.TO"})}
    )
    assert names_of(wild.panel, other, Mode.DEMO).sip == -1
