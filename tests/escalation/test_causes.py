"""Causes add up to the day's profit or loss exactly; the report says nothing but its facts."""

from __future__ import annotations

from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.book import Book, apply_fill, equity
from hybridnb.canonical import plain
from hybridnb.domain import SCALE, Fill, Leg, Side
from hybridnb.escalation.causes import Cause, Source, causes_of, session_pnl, tally
from hybridnb.escalation.grounding import Verdict, ground
from hybridnb.escalation.report import HEADINGS, TOLD, report

Row = dict[str, Any]
TIMES = {"AAPL": 1, "BRK.B": 1, "RY.TO": 1, "ESZ": 50}
SIP = "SPY"


def fill(symbol: str, side: str, leg: str, quantity: int, *, price: int, reference: int) -> Row:
    return {
        "kind": "fill",
        "client_id": f"{symbol}-{leg}-{quantity}-{price}",
        "symbol": symbol,
        "side": side,
        "leg": leg,
        "quantity": quantity,
        "price": price,
        "reference": reference,
        "commission": 10_000,
        "slippage": abs(price - reference) * quantity,
    }


def opened(worth: int) -> Row:
    return {"kind": "session_opened", "equity": worth}


def closed(worth: int, positions: Row, prices: dict[str, int], *, before: int) -> Row:
    return {
        "kind": "session_closed",
        "session": "2013-03-01",
        "equity": worth,
        "day_pnl": (worth - before) / before,
        "prices": prices,
        "snapshot": {"book": {"positions": positions}},
    }


def held(quantity: int, multiplier: int = 1) -> Row:
    return {"quantity": quantity, "multiplier": multiplier}


def a_day() -> tuple[list[Row], Row]:
    """AAPL held overnight and stopped out; RY.TO bought, half taken at its target, half kept."""
    before = closed(1_000_000 * SCALE, {"AAPL": held(10)}, {"AAPL": 100 * SCALE}, before=SCALE)
    rows = [
        opened(1_000_000 * SCALE),
        {"kind": "mark", "killed": False},
        {"kind": "alert", "text": 'day P&L below "-1 %"'},
        {"kind": "decision", "action": "BUY", "refusals": [], "bound": "per_name_cap"},
        {"kind": "decision", "action": "BUY", "refusals": ["NO_ROOM"], "bound": "refused"},
        {"kind": "decision", "action": "HOLD", "refusals": ["NO_EDGE"], "bound": "none"},
        # 10 × (90 - 100) = -100 at the reference, 10 × 0.50 slippage
        fill("AAPL", "SELL", "stop", 10, price=895_000, reference=900_000),
        # 4 bought at the reference 50, 0.25 slippage each
        fill("RY.TO", "BUY", "entry", 4, price=502_500, reference=500_000),
        # 2 × (60 - 50) = 20
        fill("RY.TO", "SELL", "target", 2, price=600_000, reference=600_000),
        {"kind": "trade"},
        {"kind": "trade"},
    ]
    # 2 × (55 - 50) = 10 still held; costs 3 × 1 commission, 5 + 1 slippage
    change = (-100 + 20 + 10 - 3 - 6) * SCALE
    prices = {"RY.TO": 55 * SCALE}
    last = closed(1_000_000 * SCALE + change, {"RY.TO": held(2)}, prices, before=1_000_000 * SCALE)
    return [*rows, last], before


def test_a_day_by_hand() -> None:
    rows, before = a_day()
    assert causes_of(rows, before) == (
        Cause(Source.EXIT, -100 * SCALE, "AAPL", "stop", 10),
        Cause(Source.EXIT, 20 * SCALE, "RY.TO", "target", 2),
        Cause(Source.HELD, 10 * SCALE, "RY.TO", "", 2),
        Cause(Source.SLIPPAGE, -6 * SCALE),
        Cause(Source.COMMISSION, -3 * SCALE),
    )


def test_counts_by_hand() -> None:
    seen = tally(a_day()[0])
    assert (seen.stops, seen.targets, seen.entries, seen.trades) == (1, 1, 1, 2)
    assert seen.refusals == (("NO_ROOM", 1),)
    assert seen.bounds == (("per_name_cap", 1),)
    assert not seen.killed


def test_the_report_says_what_happened_in_order_of_money() -> None:
    rows, before = a_day()
    told = report(rows, before)
    assert tuple(told.sections) == HEADINGS
    assert told.sections["What happened"][0] == "The book lost 79.00 on 2013-03-01 [F1, F2]."
    assert [line.split(" [")[0] for line in told.sections["Root causes"]] == [
        "AAPL lost 100.00 at its stop",
        "RY.TO gained 20.00 at its target",
        "RY.TO gained 10.00 on what is still held",
        "The book lost 6.00 by slippage",
        "The book lost 3.00 by commission",
    ]
    assert any("NO_ROOM" in line for line in told.sections["What failed"])
    assert told.sections["Recommendations"][-1] == "Look at AAPL first: it lost most."


def test_a_latched_kill_switch_is_told_first_among_what_to_do() -> None:
    rows, before = a_day()
    rows[1] = {"kind": "mark", "killed": True}
    told = report(rows, before)
    assert "kill switch" in told.sections["Recommendations"][0]
    assert any("kill switch latched" in line for line in told.sections["What failed"])


def test_a_day_without_anything_is_told_too() -> None:
    worth = 5 * SCALE
    told = report([opened(worth), closed(worth, {}, {}, before=worth)], None)
    assert told.pnl == 0
    assert told.causes == ()
    assert told.sections["Root causes"] == ("No money moved.",)
    assert ground(told.text, told.table, fallback="").verdict is Verdict.GROUNDED


def test_rows_of_half_a_session_are_refused() -> None:
    rows, before = a_day()
    with pytest.raises(ValueError, match="0 rows of kind session_closed"):
        causes_of(rows[:-1], before)
    with pytest.raises(ValueError, match="exceeds what was held"):
        causes_of(rows, None)


def traded(seed: int, sessions: int, *, sip: bool) -> list[tuple[list[Row], Row | None]]:
    """Sessions of random fills through the book itself: longs, shorts, parts, contracts."""
    rng = np.random.default_rng(seed)
    book, before = Book(cash=10**11), None
    last = {s: int(rng.integers(50_000, 5_000_000)) for s in (*TIMES, SIP)}
    days = []
    for day in range(sessions):
        worth = equity(book, last, last[SIP])
        rows: list[Row] = [opened(worth)]
        for n in range(int(rng.integers(0, 14))):
            made = random_fill(rng, book, last, f"{day}-{n}", sip=sip)
            book, _ = apply_fill(
                book, made, atr=1.0, multiplier=TIMES.get(made.symbol, 1), decision_id="", at=""
            )
            rows.append({"kind": "fill", **plain(made)})
        last = {s: max(1, int(p * rng.uniform(0.9, 1.1))) for s, p in last.items()}
        after = equity(book, last, last[SIP])
        positions = {s: asdict(p) for s, p in book.positions.items()}
        prices = {s: last[s] for s in positions}
        rows.append(closed(after, positions, prices, before=worth))
        days.append((rows, before))
        before = rows[-1]
    return days


def random_fill(
    rng: np.random.Generator, book: Book, last: dict[str, int], name: str, *, sip: bool
) -> Fill:
    symbol = str(rng.choice(list(TIMES)))
    reference = max(1, int(last[symbol] * rng.uniform(0.95, 1.05)))
    has = book.positions.get(symbol)
    leaves = has is not None and rng.random() < 0.6
    quantity = int(rng.integers(1, abs(has.quantity) + 1 if has and leaves else 300))
    up = has.quantity > 0 if has else bool(rng.random() < 0.6)
    side = Side.BUY if up != leaves else Side.SELL
    leg = Leg(str(rng.choice(["stop", "target", "exit", "flatten"]))) if leaves else Leg.ENTRY
    slip = int(rng.integers(-3, reference // 100 + 4))
    made = Fill(
        fill_id=name,
        client_id=name,
        symbol=symbol,
        side=side,
        leg=leg,
        quantity=quantity,
        price=max(1, reference + side.sign * slip),
        reference=reference,
        commission=int(rng.integers(0, 50_000)),
        slippage=0,
        at="",
    )
    if sip and rng.random() < 0.2:
        return replace(made, symbol=SIP, side=Side.BUY, leg=Leg.SWEEP, quantity=3)
    return made


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_causes_sum_to_the_day_s_pnl_and_nothing_is_left_unexplained(
    seed: int, sip: bool
) -> None:
    for rows, before in traded(seed, 4, sip=sip):
        found = causes_of(rows, before, multipliers=TIMES)
        assert sum(c.amount for c in found) == session_pnl(rows)
        assert [abs(c.amount) for c in found] == sorted(
            (abs(c.amount) for c in found), reverse=True
        )
        if not sip:
            assert Source.OTHER not in {c.source for c in found}


def test_half_a_hundredth_is_told_as_its_fact_is_shown() -> None:
    worth = 10**10
    rows = [opened(worth), closed(worth + 10_150, {}, {}, before=worth)]  # 1.0150
    told = report(rows, None)
    assert told.table["F2"].shown == "1.02"  # half to even
    assert "gained 1.02" in told.text


def test_less_than_one_unit_is_told_in_full() -> None:
    worth = 10**10
    rows = [opened(worth), closed(worth + 49, {}, {}, before=worth)]
    assert "gained 0.0049" in report(rows, None).text


@pytest.mark.parametrize("seed", range(12))
def test_what_a_report_shows_adds_up_and_is_grounded_in_its_own_facts(seed: int) -> None:
    for rows, before in traded(seed, 2, sip=True):
        told = report(rows, before, multipliers=TIMES)
        shown = [told.table[r.evidence[0]].value for r in told.causes]
        assert sum((v for v in shown if isinstance(v, Decimal)), Decimal(0)) == (
            Decimal(session_pnl(rows)) / SCALE
        )
        assert len(told.sections["Root causes"]) <= TOLD + 1
        checked = ground(told.text, told.table, fallback="")
        assert checked.removed == ()


def test_a_report_is_the_same_twice() -> None:
    rows, before = a_day()
    one, two = report(rows, before), report(rows, before)
    assert one.text == two.text
    assert one.table.text() == two.table.text()
