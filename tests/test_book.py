"""The book: cash and shares conserved to the last 1/10,000 over any fills."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.book import Book, apply_fill, equity
from hybridnb.domain import Fill, Leg, Side

OPENING = 10_000_000_000


def fill(
    side: Side, quantity: int, price: int, *, leg: Leg = Leg.ENTRY, fee: int = 0, symbol: str = "A"
) -> Fill:
    return Fill(
        fill_id="f",
        client_id="c",
        symbol=symbol,
        side=side,
        leg=leg,
        quantity=quantity,
        price=price,
        reference=price,
        commission=fee,
        slippage=0,
        at="2013-03-01",
    )


def booked(book: Book, *fills: Fill, multiplier: int = 1) -> tuple[Book, list[int]]:
    """The book after the fills, and what each closing one realised."""
    pnls = []
    for one in fills:
        book, closing = apply_fill(
            book, one, atr=2.0, multiplier=multiplier, decision_id="d", at="2013-03-01"
        )
        pnls += [closing.pnl] if closing else []
    return book, pnls


def test_the_entry_is_fill_weighted() -> None:
    book, _ = booked(Book(OPENING), fill(Side.BUY, 1, 1_000_000), fill(Side.BUY, 1, 1_020_000))
    held = book.positions["A"]
    assert (held.entry, held.quantity, held.cost) == (1_010_000, 2, 2_020_000)
    assert book.cash == OPENING - 2_020_000
    book, _ = booked(book, fill(Side.BUY, 2, 1_050_000))
    assert book.positions["A"].entry == 1_030_000


def test_a_round_trip_of_a_long() -> None:
    book, pnls = booked(
        Book(OPENING),
        fill(Side.BUY, 100, 500_000, fee=10_000),
        fill(Side.SELL, 100, 510_000, leg=Leg.TARGET, fee=10_000),
    )
    assert pnls == [1_000_000 - 20_000]
    assert book == Book(OPENING + 980_000)


def test_a_round_trip_of_a_short_with_a_multiplier() -> None:
    book, pnls = booked(
        Book(OPENING),
        fill(Side.SELL, 2, 50_000, fee=300),
        fill(Side.BUY, 2, 60_000, leg=Leg.STOP, fee=500),
        multiplier=100,
    )
    assert pnls == [-2 * 100 * 10_000 - 800]
    assert book == Book(OPENING + pnls[0])


def test_a_partial_exit_realises_its_share() -> None:
    book, pnls = booked(
        Book(OPENING),
        fill(Side.BUY, 10, 100_000, fee=100),
        fill(Side.SELL, 4, 110_000, leg=Leg.STOP, fee=7),
    )
    held = book.positions["A"]
    assert pnls == [4 * 10_000 - 40 - 7]
    assert (held.quantity, held.cost, held.fees, held.entry) == (6, 600_000, 60, 100_000)


def test_what_a_position_remembers() -> None:
    first = fill(Side.BUY, 1, 100)
    book, _ = apply_fill(Book(0), first, atr=1.5, multiplier=3, decision_id="one", at="monday")
    more = fill(Side.BUY, 1, 200)
    book, _ = apply_fill(book, more, atr=9.0, multiplier=3, decision_id="two", at="tuesday")
    held = book.positions["A"]
    assert (held.atr, held.decision_id, held.opened) == (1.5, "one", "monday")
    assert (held.multiplier, held.cost, held.entry) == (3, 900, 150)


def test_the_sip_is_kept_apart() -> None:
    book, pnls = booked(
        Book(OPENING, sip_carry=5_000_000),
        fill(Side.BUY, 3, 1_000_000, leg=Leg.SWEEP, fee=10_000, symbol="VFV.TO"),
    )
    assert book == Book(OPENING - 3_010_000, sip_units=3, sip_carry=5_000_000 - 3_010_000)
    assert pnls == []


@pytest.mark.parametrize(
    "wrong",
    [
        fill(Side.SELL, 11, 100, leg=Leg.STOP),
        fill(Side.BUY, 1, 100, leg=Leg.STOP),
        fill(Side.SELL, 1, 100, leg=Leg.EXIT, symbol="B"),
        fill(Side.SELL, 1, 100, leg=Leg.ENTRY),
    ],
)
def test_what_would_exceed_or_cross_a_position_is_a_broken_program(wrong: Fill) -> None:
    book, _ = booked(Book(OPENING), fill(Side.BUY, 10, 100))
    with pytest.raises(ValueError, match=r"exceeds the position|against its open position"):
        booked(book, wrong)


def test_equity() -> None:
    book, _ = booked(
        Book(OPENING),
        fill(Side.BUY, 10, 100),
        fill(Side.SELL, 5, 1_000, symbol="B"),
        fill(Side.BUY, 2, 70, leg=Leg.SWEEP, symbol="VFV.TO"),
    )
    value = OPENING + 10 * (110 - 100) - 5 * (900 - 1_000) + 2 * (80 - 70)
    assert equity(book, {"A": 110, "B": 900}, 80) == value
    with pytest.raises(KeyError):
        equity(book, {"A": 110}, 80)
    with pytest.raises(KeyError, match="SIP"):
        equity(book, {"A": 110, "B": 900})


STEP = st.tuples(
    st.sampled_from("AB"),
    st.sampled_from([Leg.ENTRY, Leg.STOP, Leg.TARGET, Leg.EXIT, Leg.FLATTEN, Leg.SWEEP]),
    st.booleans(),
    st.integers(1, 500),
    st.integers(1, 5_000_000),
    st.integers(0, 100_000),
)


@given(st.lists(STEP, max_size=30), st.sampled_from([1, 100]))
def test_cash_and_shares_are_conserved(steps: list[tuple], multiplier: int) -> None:  # type: ignore[type-arg]
    book = Book(OPENING)
    cash, units, sip, realised = OPENING, {"A": 0, "B": 0}, 0, 0
    for symbol, leg, buy, quantity, price, fee in steps:
        held = units[symbol]
        side = Side.BUY if buy or leg is Leg.SWEEP else Side.SELL
        times = multiplier
        if leg is Leg.SWEEP:
            times = 1
        elif leg is Leg.ENTRY and held:
            side = Side.BUY if held > 0 else Side.SELL
        elif leg is not Leg.ENTRY:
            if not held:
                continue
            side = Side.SELL if held > 0 else Side.BUY
            quantity = min(quantity, abs(held))
        one = fill(side, quantity, price, leg=leg, fee=fee, symbol=symbol)
        book, closing = apply_fill(
            book, one, atr=1.0, multiplier=times, decision_id="d", at="2013-03-01"
        )
        cash -= side.sign * quantity * price * times + fee
        if leg is Leg.SWEEP:
            sip += quantity
        else:
            units[symbol] += side.sign * quantity
        realised += closing.pnl if closing else 0
        assert (closing is None) == (not leg.reduces)
        assert (book.cash, book.sip_units) == (cash, sip)
        assert {s: p.quantity for s, p in book.positions.items()} == {
            s: q for s, q in units.items() if q
        }
        for position in book.positions.values():
            assert all(type(x) is int for x in (position.cost, position.fees, position.quantity))
            assert (position.cost > 0) == (position.quantity > 0)
    # Cash is where the realised profit is, less what open positions cost and paid in fees.
    tied_up = sum(p.cost + p.fees for p in book.positions.values())
    assert cash - book.sip_carry == OPENING + realised - tied_up
    entries = {s: round(p.entry) for s, p in book.positions.items()}
    value = equity(book, entries, 1 if sip else None)
    held_value = sum(p.quantity * multiplier * entries[s] for s, p in book.positions.items())
    assert value == cash + held_value + sip
