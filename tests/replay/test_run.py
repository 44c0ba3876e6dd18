"""A replay keeps every unit of cash and every share, whatever history it is given."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Leg, Mode, OrderState, Refusal
from hybridnb.fills import NO_LIMIT
from hybridnb.policy import Policy
from hybridnb.replay import run as run_module
from hybridnb.replay.run import Replay, replay, rules
from hybridnb.replay.tape import CASH, FACTS, PEAK, SIP_CARRY, SIP_UNITS, Tape

Make = Callable[..., Any]
SEEDS = range(12)
LEGS, STATES = list(Leg), list(OrderState)
ENTRY, STOP, SWEEP = (LEGS.index(leg) for leg in (Leg.ENTRY, Leg.STOP, Leg.SWEEP))
REDUCING = {LEGS.index(leg) for leg in Leg if leg.reduces}


def columns(tape: Tape) -> list[str]:
    """Names of the fields of shape (T, n) or (T, n, 8)."""
    shape = tape.close.shape
    kept = [f.name for f in fields(tape) if f.name not in ("returns", "window")]
    return [name for name in kept if getattr(tape, name).shape[:2] == shape]


def only(past: Any, names: list[int]) -> Any:
    """The same history with some of its names."""
    tape, rest = past.tape, past.names
    cut = {name: np.ascontiguousarray(getattr(tape, name)[:, names]) for name in columns(tape)}
    kept = {
        f.name: np.ascontiguousarray(getattr(rest, f.name)[..., names])
        for f in fields(rest)
        if f.name != "sip"
    }
    sip = names.index(rest.sip) if rest.sip in names else -1
    tape = replace(tape, **cut, returns=np.ascontiguousarray(tape.returns[names]))
    return replace(past, tape=tape, names=replace(rest, **kept, sip=sip))


def with_bars(past: Any, **values: np.ndarray) -> Any:
    return replace(past, tape=replace(past.tape, **values))


# Conservation, computed anew from the fills alone


@pytest.mark.parametrize("seed", SEEDS)
def test_cash_and_shares_follow_from_the_fills_alone(past_of: Make, seed: int) -> None:
    past = past_of(seed)
    found = past.replay()
    cash, units, swept = past.cash, dict.fromkeys(range(len(past.names.bucket)), 0), 0
    for _, j, leg, sign, quantity, price, _, fee, _ in found.fills.tolist():
        cash -= sign * quantity * price * int(past.names.multiplier[j]) + fee
        swept += quantity if leg == SWEEP else 0
        units[j] += sign * quantity if leg != SWEEP else 0
    assert cash == found.book.money[CASH]
    assert swept == found.book.money[SIP_UNITS]
    assert list(units.values()) == found.book.quantity.tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_equity_is_cash_and_positions_at_every_close(past_of: Make, seed: int) -> None:
    past = past_of(seed)
    tape, found = past.tape, past.replay()
    fills, at = found.fills.tolist(), 0
    cash, units, sip = past.cash, [0] * len(past.names.bucket), 0
    last = [0] * len(units)
    for t in range(len(tape.days)):
        last = [int(c) if c > 0 else p for c, p in zip(tape.close[t], last, strict=True)]
        while at < len(fills) and fills[at][0] == t:
            _, j, leg, sign, quantity, price, _, fee, _ = fills[at]
            cash -= sign * quantity * price * int(past.names.multiplier[j]) + fee
            units[j] += sign * quantity if leg != SWEEP else 0
            sip += quantity if leg == SWEEP else 0
            at += 1
        held = zip(units, past.names.multiplier, last, strict=True)
        value = cash + sum(int(q) * int(m) * p for q, m, p in held)
        value += sip * last[past.names.sip] if sip else 0
        assert found.equity[t] == (value if t >= past.start else 0)
    assert at == len(fills)
    assert found.book.money[PEAK] == max(past.cash, int(found.equity.max()))


@pytest.mark.parametrize("seed", SEEDS)
def test_profits_of_trades_and_positions_are_the_change_of_equity(past_of: Make, seed: int) -> None:
    # Exact: each trade's P&L, what is held at cost, and the fees it has paid, in fractions.
    past = past_of(seed)
    found, book = past.replay(), past.replay().book
    realised = sum(Fraction(int(row[8])) for row in found.trades)
    cost = sum(Fraction(int(v)) for v in book.cost) + sum(Fraction(int(v)) for v in book.fees)
    sweeps = [row for row in found.fills.tolist() if row[2] == SWEEP]
    spent = sum(Fraction(row[4] * row[5] + row[7]) for row in sweeps)
    assert past.cash + realised - cost - spent == int(book.money[CASH])


@pytest.mark.parametrize("seed", SEEDS)
def test_no_fill_takes_more_than_its_share_of_the_bar(past_of: Make, seed: int) -> None:
    past = past_of(seed)
    tape, found = past.tape, past.replay()
    used: dict[tuple[int, int], int] = {}
    for t, j, _, _, quantity, *_ in found.fills.tolist():
        used[t, j] = used.get((t, j), 0) + quantity
    for (t, j), units in used.items():
        volume = int(tape.volume[t, j])
        assert tape.close[t, j] > 0
        most = NO_LIMIT if volume < 0 else int(past.rules.rates.participation * volume)
        assert 0 < units <= most


@pytest.mark.parametrize("seed", SEEDS)
def test_every_fill_is_worse_than_its_reference_or_at_a_limit(past_of: Make, seed: int) -> None:
    past = past_of(seed)
    for t, j, leg, sign, quantity, price, reference, fee, slippage in past.replay().fills.tolist():
        assert sign * (price - reference) >= 0 and fee >= 0
        assert slippage == abs(price - reference) * quantity * past.names.multiplier[j]
        if leg == LEGS.index(Leg.TARGET):
            assert price == reference
        if leg in (ENTRY, LEGS.index(Leg.EXIT), LEGS.index(Leg.FLATTEN)):
            assert reference == past.tape.open[t, j]
        if leg == SWEEP:
            assert reference == past.tape.close[t, j]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_held_has_a_stop_of_its_full_size_at_work(past_of: Make, seed: int) -> None:
    found = past_of(seed).replay()
    left: dict[int, int] = {}
    for _, j, leg, _, quantity, filled, price, state, _ in found.orders.tolist():
        if leg == STOP:
            left[j] = quantity - filled if STATES[state].open else 0
            assert price > 0
    held = {j: abs(int(found.book.quantity[j])) for j in np.flatnonzero(found.book.quantity)}
    assert {j: units for j, units in left.items() if units} == held


@pytest.mark.parametrize("seed", SEEDS)
def test_the_log_of_orders_and_the_fills_tell_the_same_units(past_of: Make, seed: int) -> None:
    found = past_of(seed).replay()
    told: dict[tuple[int, int, int], int] = {}
    for t, j, leg, _, quantity, filled, _, state, refused in found.orders.tolist():
        assert 0 <= filled <= quantity and quantity > 0
        assert (refused != 0) == (STATES[state] is OrderState.REJECTED)
        assert STATES[state] is not OrderState.FILLED or filled == quantity
        if leg in (ENTRY, SWEEP):
            told[t, j, leg] = filled
    done = {(t, j, leg): q for t, j, leg, _, q, *_ in found.fills.tolist() if leg in (ENTRY, SWEEP)}
    assert {key: units for key, units in told.items() if units} == done


# Stretches


def test_a_stretch_is_the_beginning_of_a_longer_one(past_of: Make) -> None:
    past = past_of(5)
    whole = past.replay()
    for stop in (past.start, past.start + 1, past.start + 30):
        part = past.replay(stop=stop)
        for name in ("orders", "fills", "trades"):
            rows = getattr(whole, name)
            np.testing.assert_array_equal(getattr(part, name), rows[rows[:, 0] < stop])
        np.testing.assert_array_equal(part.equity[:stop], whole.equity[:stop])
        assert not part.equity[stop:].any()


def test_nothing_to_trade_is_an_untouched_account(past_of: Make) -> None:
    past = past_of(5)
    found = past.replay(start=past.start, stop=past.start)
    assert len(found.orders) == len(found.fills) == len(found.trades) == 0
    assert found.book.money.tolist() == [past.cash, 0, 0, past.cash, 0]
    assert not found.equity.any()


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 5), (-1, 5), (5, 4), (1, 10**6), (10**6, None), (10**6, 10**6)]
)
def test_rows_that_are_not_there_are_refused(past_of: Make, start: int, stop: int | None) -> None:
    with pytest.raises(ValueError, match=rf"rows {start} to "):
        past_of(5).replay(start=start, stop=stop)


def test_an_empty_history_is_refused(past_of: Make) -> None:
    past = past_of(5)
    arrays = {f.name: getattr(past.tape, f.name) for f in fields(past.tape) if f.name != "window"}
    empty = {name: rows[:0] for name, rows in arrays.items()}
    tape = replace(past.tape, **empty | {"returns": past.tape.returns[:, :0]})
    with pytest.raises(ValueError, match="rows 1 to 0 of 0"):
        replay(tape, past.names, past.rules, cash=1)


def test_a_first_session_after_one_row_decides_without_tail_and_buys_nothing(past_of: Make) -> None:
    found = past_of(7).replay(start=1, stop=50)
    assert len(found.fills) == 0 and (found.equity[1:50] == past_of(7).cash).all()


def test_prices_before_the_stretch_are_known_in_it(past_of: Make) -> None:
    past = past_of(5)
    close = past.tape.close.copy()
    close[past.start - 1] = 0
    last = with_bars(past, close=close).replay(stop=past.start).book.last
    np.testing.assert_array_equal(last, past_of(5).replay(stop=past.start - 1, start=1).book.last)
    assert (last > 0).all()


# The log


def test_the_log_grows_and_loses_nothing(past_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    past = past_of(7)
    usual = past.replay()
    sizes: list[int] = []

    def small(rows: int, sessions: int) -> Any:
        return new_log((40 * 13,) * 3, sessions)

    new_log = run_module.new_log

    def watched(world: Any, start: int, stop: int) -> int:
        sizes.append(len(world.orders))
        return run_module.sessions(world, start, stop)

    monkeypatch.setattr(run_module, "new_log", small)
    monkeypatch.setattr(run_module, "ROWS_A_NAME", 12)
    found = past.replay(run=watched)
    assert len(sizes) > 1 and sizes[-1] > sizes[0] and sizes == sorted(sizes)
    assert found.sha256 == usual.sha256
    assert len(found.orders) > sizes[0] - 12 * 13


@pytest.mark.parametrize("seed", SEEDS)
def test_no_name_writes_more_rows_in_a_session_than_there_is_room_for(
    past_of: Make, seed: int
) -> None:
    past = past_of(seed)
    found = past.replay()
    most = 0
    for rows in (found.orders, found.fills, found.trades):
        _, counts = np.unique(rows[:, :2], axis=0, return_counts=True) if len(rows) else (0, [0])
        most = max(most, *counts)
    assert 0 < most <= run_module.ROWS_A_NAME


# Views


def test_views_are_asked_for_before_each_session_with_the_book_as_it_is(past_of: Make) -> None:
    past = past_of(7)
    seen: list[tuple[int, int, int]] = []

    def asked(w: Any, t: int) -> np.ndarray:
        seen.append((t, int(w.money[CASH]), int(np.abs(w.quantity).sum())))
        return np.full(len(w.bucket), 0.9 if t % 2 else 0.1)

    found = past.replay(hints=asked)
    assert [t for t, _, _ in seen] == list(range(past.start, len(past.tape.days)))
    cash = past.cash
    for t, told, _ in seen:
        assert told == cash
        for _, j, _, sign, quantity, price, _, fee, _ in found.fills[
            found.fills[:, 0] == t
        ].tolist():
            cash -= sign * quantity * price * int(past.names.multiplier[j]) + fee
    assert any(units for _, _, units in seen)


def test_views_are_written_into_the_tape_and_nothing_else_is(past_of: Make) -> None:
    past = past_of(7)
    assert past.rules.limits[0].weight_rl > 0.0
    given_ = [f.name for f in fields(past.tape) if f.name not in ("rl", "window")]
    before = {name: getattr(past.tape, name) for name in given_}
    kept = {name: values.copy() for name, values in before.items()}
    up = past.replay(hints=lambda w, t: np.full(len(w.bucket), 0.95))
    down = past.replay(hints=lambda w, t: np.full(len(w.bucket), 0.05))
    unknown = past.replay(hints=lambda w, t: np.full(len(w.bucket), np.nan))
    assert len({found.sha256 for found in (up, down, unknown)}) == 3
    assert bought(up) > bought(down)
    for name, values in before.items():
        np.testing.assert_array_equal(values, kept[name], err_msg=name)


def bought(found: Replay) -> int:
    entries = found.orders[found.orders[:, 2] == ENTRY]
    return int((entries[:, 3] > 0).sum())


# Digests


SECOND = """
import pickle, sys
from hybridnb.replay.run import replay
tape, names, rules, cash, start = pickle.load(sys.stdin.buffer)
print(replay(tape, names, rules, cash=cash, start=start).sha256)
"""


def test_another_process_comes_to_the_same_digest(past_of: Make) -> None:
    past = past_of(7)
    told = pickle.dumps((past.tape, past.names, past.rules, past.cash, past.start))
    command = [sys.executable, "-W", "ignore", "-c", SECOND]
    done = [
        subprocess.run(
            command,
            input=told,
            capture_output=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout.decode()
        for seed in ("1", "2")
    ]
    assert [text.strip() for text in done] == 2 * [past.replay().sha256]


def test_the_digest_is_of_every_row_and_mark(past_of: Make) -> None:
    found = past_of(7).replay()
    seen = {found.sha256}
    for name in ("orders", "fills", "trades", "equity"):
        rows = getattr(found, name).copy()
        rows.flat[-1] += 1
        seen.add(replace(found, **{name: rows}).sha256)
    assert len(seen) == 5
    big = replace(found, equity=found.equity.astype(">i8"))
    assert big.sha256 == found.sha256


# Histories of nothing


@pytest.mark.parametrize("seed", [1, 4, 7])
def test_nothing_known_is_nothing_traded(past_of: Make, seed: int) -> None:
    past = past_of(seed)
    floats = [n for n in columns(past.tape) if getattr(past.tape, n).dtype == np.float64]
    unknown = {n: np.full_like(getattr(past.tape, n), np.nan) for n in floats}
    facts = ("volatility_z", "correlation", "correlation_floor")
    unknown |= {n: np.full_like(getattr(past.tape, n), np.nan) for n in facts}
    unknown["returns"] = np.full_like(past.tape.returns, np.nan)
    found = with_bars(past, **unknown).replay()
    assert len(found.orders) == 0 and found.book.money[CASH] == past.cash
    assert (found.equity[past.start :] == past.cash).all()


@pytest.mark.parametrize("name", ["price", "atr", "annual_volatility", "win", "p", "returns"])
def test_one_figure_never_known_is_no_entry(past_of: Make, name: str) -> None:
    past = past_of(7)
    kept = {"win": ("win_long", "win_short"), "p": ("p_short", "p_mid")}.get(name, (name,))
    facts = past.tape.facts.copy()
    facts[..., [FACTS.index(n) for n in kept if n in FACTS]] = np.nan
    others = [n for n in kept if n not in FACTS]
    gone = {n: np.full_like(getattr(past.tape, n), np.nan) for n in others} | {"facts": facts}
    assert len(with_bars(past, **gone).replay().orders) == 0
    assert len(past.replay().orders) > 0


@pytest.mark.parametrize("seed", [4, 7])
def test_a_universe_of_one_name(past_of: Make, seed: int) -> None:
    past = past_of(seed)
    alone = only(past, [0])
    found = alone.replay()
    assert len(found.fills) > 0 and set(found.fills[:, 1]) == {0}
    assert not (found.fills[:, 2] == SWEEP).any()
    cash = alone.cash
    for _, _, _, sign, quantity, price, _, fee, _ in found.fills.tolist():
        cash -= sign * quantity * price + fee
    assert cash == found.book.money[CASH]


def test_names_without_bars_change_nothing_for_the_others(past_of: Make) -> None:
    past = past_of(7)
    some = [0, 3, 4, 11]
    dark = past.tape.close.copy()
    rest = [j for j in range(12) if j not in some]
    dark[:, rest] = 0
    whole, cut = with_bars(past, close=dark).replay(), only(past, some).replay()
    assert len(cut.fills) > 0
    np.testing.assert_array_equal(whole.equity, cut.equity)
    rows = cut.fills.copy()
    rows[:, 1] = np.array(some)[rows[:, 1]]
    np.testing.assert_array_equal(whole.fills, rows)


def test_halted_forever_nothing_fills(past_of: Make) -> None:
    past = past_of(7)
    found = with_bars(past, volume=np.zeros_like(past.tape.volume)).replay()
    assert len(found.fills) == len(found.orders) == 0
    assert (found.equity[past.start :] == past.cash).all()


def test_halted_from_a_day_on_the_position_stays_and_its_exits_wait(past_of: Make) -> None:
    past = past_of(7)
    fills = past.replay().fills
    day = int(fills[fills[:, 2] == ENTRY][len(fills) // 8, 0]) + 1
    volume = past.tape.volume.copy()
    volume[day:] = 0
    found = with_bars(past, volume=volume).replay()
    held = with_bars(past, volume=volume).replay(stop=day).book.quantity
    assert (held != 0).any()
    np.testing.assert_array_equal(found.book.quantity, held)
    assert (found.fills[:, 0] < day).all()
    assert found.book.leaving.any() and not found.book.exit_filled[found.book.leaving > 0].all()


def test_without_bars_there_is_no_session_to_trade(past_of: Make) -> None:
    past = past_of(7)
    found = with_bars(past, close=np.zeros_like(past.tape.close)).replay()
    assert len(found.orders) == 0 and (found.equity[past.start :] == past.cash).all()


@given(seed=st.integers(0, 2**31), cash=st.integers(10_000, 10**13))
def test_whatever_the_market_and_the_cash_nothing_is_lost(
    past_of: Make, seed: int, cash: int
) -> None:
    past = past_of(seed, sessions=20, names=9)
    found = past.replay(cash=cash)
    left = cash
    for _, j, _, sign, quantity, price, _, fee, _ in found.fills.tolist():
        left -= sign * quantity * price * int(past.names.multiplier[j]) + fee
    assert left == found.book.money[CASH]
    assert (np.abs(found.book.quantity)[found.book.leaving > 0] > 0).all()
    assert found.book.money[SIP_CARRY] >= 0


# The policy as numbers


def test_the_rules_are_the_policys_numbers() -> None:
    policy = Policy()
    found = rules(policy, Mode.LIVE_MICRO, verdict_valid=False)
    assert found.limits[0].name[2] == 0.25 * found.limits[1].name[2]
    assert found.common == (int(Refusal.NO_VERDICT), 0)
    assert rules(policy, Mode.LIVE, verdict_valid=True).common == (0, 0)
    assert found.quarantine == (3, 10, 7) and found.stop_guard == (3, 5, 2)
    assert (found.drop, found.drawdown_guard) == (0.05, (10, 5))
    assert found.kill_day_pnl == -0.025 and found.cooldown_bars == 1
    assert (found.sip_rate, found.sip_min, found.sip_most) == (0.01, 100.0, 1000.0)
