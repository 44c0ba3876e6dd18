"""What the paper venue's account realised: as the book does, to the rounding of its average."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hybridnb.book import Book, apply_fill
from hybridnb.domain import Fill, Leg, Side
from hybridnb.execution.paper_account import Account, Snapshot


def fill(n: int, side: Side, quantity: int, price: int, commission: int) -> Fill:
    values = {"reference": price, "commission": commission, "slippage": 0, "at": "t"}
    return Fill(f"f{n}", "c", "A", side, Leg.ENTRY, quantity, price, **values)


def account(snapshot: Snapshot = Snapshot(currency="CAD")) -> Account:  # noqa: B008 - frozen
    return Account(snapshot, float, ())


def test_a_part_pays_its_share_of_the_opening_commission() -> None:
    made = account()
    made.book(fill(1, Side.BUY, 10, 100, 20), 1)
    made.book(fill(2, Side.SELL, 4, 110, 3), 1)
    assert made.statement(()).realised == 4 * 10 - 8 - 3


def test_what_goes_through_zero_realises_what_it_closes() -> None:
    made = account()
    made.book(fill(1, Side.BUY, 10, 100, 10), 1)
    made.book(fill(2, Side.SELL, 15, 110, 15), 1)
    assert made.statement(()).realised == 10 * 10 - 10 - 10
    made.book(fill(3, Side.BUY, 5, 100, 0), 1)
    assert made.statement(()).realised == 80 + 5 * 10 - 5, "the short paid 5 to be opened"


@given(
    st.sampled_from(Side),
    st.integers(1, 100),
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 90), st.integers(100, 10_000), st.integers(0, 500)),
        max_size=20,
    ),
)
def test_the_book_realises_the_same(
    side: Side, multiplier: int, steps: list[tuple[bool, int, int, int]]
) -> None:
    made, book, pnl, closed = account(), Book(0), 0, 0
    other = Side.SELL if side is Side.BUY else Side.BUY
    for n, (enters, units, price, commission) in enumerate(steps):
        held = book.positions.get("A")
        if not enters and held is None:
            continue
        units = units if enters or held is None else min(units, abs(held.quantity))
        one = fill(n, side if enters else other, units, price, commission)
        made.book(one, multiplier)
        one = replace(one, leg=Leg.ENTRY if enters else Leg.EXIT)
        book, closing = apply_fill(
            book, one, atr=1.0, multiplier=multiplier, decision_id="d", at="t"
        )
        closed += closing is not None
        pnl += closing.pnl if closing is not None else 0
        if n % 3 == 0:  # whoever takes its place knows as much
            made = account(made.snapshot((), {}))
    assert abs((made.statement(()).realised or 0) - pnl) <= 3 * closed
