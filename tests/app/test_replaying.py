"""A replay over arrays is what the session's step records, row for row, on markets gone wild."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.desk import Setup
from hybridnb.app.panel import Panel, panel
from hybridnb.app.replaying import names_of, tape_of
from hybridnb.app.state import State
from hybridnb.blender import sigmoid
from hybridnb.domain import SCALE, Bucket, Leg, Mode, OrderState, Refusal
from hybridnb.market import calendar
from hybridnb.market.facts import facts
from hybridnb.market.features import features
from hybridnb.market.feeds import load_feed
from hybridnb.policy import Lists, Policy
from hybridnb.replay.run import Replay, replay, rules
from hybridnb.replay.tape import CASH, DEMOTED, PEAK, QUARANTINE, SIP_CARRY, SIP_UNITS
from hybridnb.risk import KILL_ALERT, QUARANTINE_ALERT

Make = Callable[..., Any]
Rows = list[dict[str, Any]]
LEGS, STATES = list(Leg), list(OrderState)
SEEDS = range(60 if os.environ.get("HYBRIDNB_EVIDENCE") == "1" else 12)
MODES = {str(mode): mode for mode in Mode}


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
    run: Make, found: Panel, policy: Policy, views: np.ndarray, rows: tuple[int, int]
) -> Both:
    """The same sessions, rows first to before stop, through the step and through the replay."""
    first, stop = rows
    at = {f"{day:%Y-%m-%d}": i for i, day in enumerate(found.sessions)}
    setup = Setup(
        "book", policy, "e", "m", lambda day, state: views[at[day.seen]], verdict_valid=True
    )
    with np.errstate(all="ignore"):  # unknown figures are meant
        state, lived = run(found, setup, first, stop - 1)
        replayed = replay(
            tape_of(found, squashed(views)),
            names_of(found, policy, policy.mode),
            rules(policy, policy.mode, verdict_valid=True),
            cash=round(policy.opening_cash * SCALE),
            start=first,
            stop=stop,
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
    return [
        head(one, row) + [row[name] for name in figures] for row in of_kind(one.rows, "fill")
    ]


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
        wild = wild_of(seed, sessions=100)
        stop = len(wild.panel.sessions)
        return both(run, wild.panel, wild.policy, wild.views, (wild.first, stop))

    return of


@pytest.mark.parametrize("seed", SEEDS)
def test_the_replay_is_the_step_row_for_row(lived: Callable[[int], Both], seed: int) -> None:
    one = lived(seed)
    assert len(of_kind(one.rows, "session_closed")) >= 50
    assert len(one.replayed.fills) >= 10
    agree(one)


def test_everything_that_can_happen_happens_in_these_markets(
    lived: Callable[[int], Both],
) -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        seen.update(happened(lived(seed)))
    print(seen)
    wanted = [
        *("in DEMO", "in LIVE_MICRO", "in LIVE_LIMITED", "in LIVE", "demoted"),
        *("kill", "quarantine", "reducing", "refused: KILL_SWITCH", "refused: TRADING_STATE"),
        *("LOCKED", "HALTED", "STALE_DATA", "PENNY_ADV", "PENNY_PRICE", "MODE_EXCLUDED"),
        *("BAD_QUALITY", "CURRENCY", "DO_NOT_TRADE", "SIP_ONLY"),
        *("entry", "exit", "flatten", "stop", "target", "sweep", "short", "multiple", "added"),
        *(f"partially_filled {leg}" for leg in ("entry", "exit", "flatten", "stop", "target")),
        *("expired entry", "cancelled exit", "cancelled flatten", "cancelled stop"),
        *("cancelled target", "gap through the stop", "trailing", "exit carried over"),
    ]
    assert [name for name in wanted if not seen[name]] == []
