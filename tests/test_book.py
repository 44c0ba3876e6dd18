"""The book: cash and shares are conserved exactly, whatever the fills."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.book import Book, apply_fill, equity
from hybridnb.domain import SCALE, Fill, Leg, Side


def fill(
    quantity: int,
    price: int,
    *,
    side: Side = Side.BUY,
    leg: Leg = Leg.ENTRY,
    commission: int = 0,
    symbol: str = "A",
) -> Fill:
    return Fill("f", "c", symbol, side, leg, quantity, price, price, commission, 0, "s")


def booked(book: Book, *fills: Fill, multiplier: int = 1) -> Book:
    for one in fills:
        book, _ = apply_fill(book, one, atr=1.0, multiplier=multiplier, decision_id="d", at="s")
    return book


def test_the_entry_is_weighted_by_its_fills() -> None:
    book = booked(Book(cash=0), fill(1, 100 * SCALE), fill(1, 102 * SCALE))
    assert book.positions["A"].entry == 101 * SCALE


def test_the_pnl_of_a_trade_is_net_of_both_commissions() -> None:
    book = booked(Book(cash=10**9), fill(10, 100 * SCALE, commission=5_000))
    leave = fill(10, 103 * SCALE, side=Side.SELL, leg=Leg.TARGET, commission=7_000)
    book, closing = apply_fill(book, leave, atr=1.0, multiplier=1, decision_id="d", at="t")
    assert closing is not None
    assert closing.pnl == 30 * SCALE - 12_000
    assert book.positions == {}
    assert book.cash == 10**9 + closing.pnl


def test_a_short_gains_when_the_price_falls() -> None:
    book = booked(Book(cash=0), fill(10, 100 * SCALE, side=Side.SELL))
    cover = fill(10, 90 * SCALE, leg=Leg.STOP)
    _, closing = apply_fill(book, cover, atr=1.0, multiplier=1, decision_id="d", at="t")
    assert closing is not None
    assert closing.pnl == 100 * SCALE


def test_the_sip_is_kept_apart_and_paid_from_its_carry() -> None:
    book = booked(Book(cash=10**9, sip_carry=10**7), fill(2, 10**6, leg=Leg.SWEEP, commission=10))
    assert (book.sip_units, book.positions) == (2, {})
    assert book.sip_carry == 10**7 - 2 * 10**6 - 10
    assert equity(book, {}, 10**6) == 10**9 - 10


@pytest.mark.parametrize(
    "exit_fill",
    [
        fill(11, SCALE, side=Side.SELL, leg=Leg.STOP),
        fill(1, SCALE, side=Side.BUY, leg=Leg.STOP),
        fill(1, SCALE, side=Side.SELL, leg=Leg.EXIT, symbol="B"),
    ],
)
def test_an_exit_beyond_the_position_is_a_broken_program(exit_fill: Fill) -> None:
    book = booked(Book(cash=0), fill(10, SCALE))
    with pytest.raises(ValueError, match="exceeds the position"):
        booked(book, exit_fill)


def test_equity_without_a_price_is_not_guessed() -> None:
    book = booked(Book(cash=0), fill(1, SCALE))
    with pytest.raises(KeyError):
        equity(book, {})
    with pytest.raises(KeyError):
        equity(Book(cash=0, sip_units=1), {})


@given(
    entries=st.lists(
        st.tuples(st.integers(1, 10**5), st.integers(1, 10**8)), min_size=1, max_size=5
    ),
    exits=st.lists(st.tuples(st.integers(1, 10**5), st.integers(1, 10**8)), max_size=8),
    fee=st.integers(0, 10**6),
    short=st.booleans(),
    multiplier=st.sampled_from([1, 100]),
)
def test_every_unit_of_money_is_accounted_for(
    entries: list[tuple[int, int]],
    exits: list[tuple[int, int]],
    fee: int,
    short: bool,
    multiplier: int,
) -> None:
    enter, leave = (Side.SELL, Side.BUY) if short else (Side.BUY, Side.SELL)
    start = Book(cash=10**15)
    book = booked(
        start,
        *(fill(q, p, side=enter, commission=fee) for q, p in entries),
        multiplier=multiplier,
    )
    left, realised = sum(q for q, _ in entries), 0
    for q, p in exits:
        quantity = min(q, left)
        if quantity == 0:
            break
        out = fill(quantity, p, side=leave, leg=Leg.EXIT, commission=fee)
        book, closing = apply_fill(
            book, out, atr=1.0, multiplier=multiplier, decision_id="d", at="t"
        )
        assert closing is not None
        realised += closing.pnl
        left -= quantity
    held = book.positions.get("A")
    assert (abs(held.quantity) if held else 0) == left
    # What is held at its cost, with the entry fees it still carries, plus cash is what there was.
    kept = (held.cost + held.fees) if held else 0
    assert book.cash + kept == start.cash + realised
