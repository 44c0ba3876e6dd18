"""What the pre-trade checks are told of the account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.checking import standing_of
from hybridnb.app.state import State, first_state
from hybridnb.domain import SCALE, Position
from hybridnb.execution.safety import Standing
from hybridnb.policy import Policy, validated

Make = Callable[..., Any]
MILLION = 1_000_000 * SCALE
UNITS = st.integers(-1_000, 1_000).filter(bool)


def position(symbol: str, quantity: int, price: int = 100 * SCALE) -> Position:
    cost = price * quantity
    return Position(symbol, quantity, cost, 1, 1.0, price, price, price, "d", "2020-01-01")


@pytest.fixture(scope="module")
def standing(panel_of: Make, setup_of: Make) -> Callable[..., Standing]:
    day = panel_of(np.full((300, 3), 100.0)).day(281)

    def made(
        *held: Position, cash: int = MILLION, leverage: float = 1.0, sip: int = 0, **prices: int
    ) -> Standing:
        policy = validated(Policy, {"sizing": {"max_leverage": leverage}, "sip": {"symbol": "C"}})
        state: State = first_state(policy)
        book = replace(state.book, cash=cash, sip_units=sip, positions={p.symbol: p for p in held})
        return standing_of(replace(state, book=book), day, setup_of(3, policy=policy), prices)

    return made


def test_of_a_book_without_shorts_the_cash_is_what_entries_may_claim(
    standing: Callable[..., Standing],
) -> None:
    found = standing(position("A", 1_000), cash=900_000 * SCALE, sip=100, A=130 * SCALE)
    assert found.available == 900_000 * SCALE
    assert found.exposure == 130_000 * SCALE
    assert found.equity == (900_000 + 130_000 + 10_000) * SCALE


def test_the_proceeds_of_a_short_are_not_claimed_again(standing: Callable[..., Standing]) -> None:
    short = position("A", -1_000)
    cash = 1_100_000 * SCALE  # a million, and what was sold
    assert standing(short, cash=cash).available == 900_000 * SCALE
    assert standing(short, cash=cash, A=110 * SCALE).available == 880_000 * SCALE
    assert standing(short, cash=cash, leverage=2.0).available == 1_900_000 * SCALE


@given(a=UNITS, b=UNITS, cash=st.integers(-MILLION, MILLION), price=st.integers(1, 10**7))
def test_with_what_is_available_spent_the_gross_is_within_the_leverage(
    standing: Callable[..., Standing], a: int, b: int, cash: int, price: int
) -> None:
    found = standing(position("A", a), position("B", b), cash=cash, A=price)
    worth = a * price + b * 100 * SCALE + cash
    assert found.equity == worth and found.available >= 0
    gross = abs(a) * price + abs(b) * 100 * SCALE
    assert found.exposure == gross
    assert found.available == max(0, worth - gross)
    if min(a, b) > 0:
        assert found.available == max(0, cash), "without shorts"
