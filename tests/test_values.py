"""A value with some fields changed is the one the standard library makes."""

from __future__ import annotations

import dataclasses
import inspect
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.book import Book
from hybridnb.domain import Leg, Order, OrderState, OrderType, Side
from hybridnb.values import fields_of, quick, replace

ORDER = Order("a", "S", Side.BUY, 5, OrderType.STOP, Leg.STOP, OrderState.CREATED, "d", stop=7)
CHANGES = st.fixed_dictionaries(
    {},
    optional={"quantity": st.integers(), "note": st.text(), "state": st.sampled_from(OrderState)},
)


@dataclasses.dataclass(frozen=True, slots=True)
class One:
    only: int


@dataclasses.dataclass(frozen=True)
class Loose:
    first: int
    second: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    share: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share {self.share}")


@given(changes=CHANGES)
def test_it_is_the_standard_librarys(changes: dict[str, object]) -> None:
    assert replace(ORDER, **changes) == dataclasses.replace(ORDER, **changes)
    assert type(replace(ORDER, **changes)) is Order


def test_what_isnt_named_is_the_very_same() -> None:
    positions: dict[str, object] = {}
    assert replace(Book(1, positions), cash=2).positions is positions  # type: ignore[arg-type]
    assert replace(One(1), only=2) == One(2)
    assert fields_of(One)[1](One(3)) == (3,)


def test_values_without_slots_and_those_that_check_themselves() -> None:
    assert replace(Loose(1, "a"), second="b") == Loose(1, "b")
    assert replace(Checked(0.2), share=1.0) == Checked(1.0)
    with pytest.raises(ValueError, match="share 2"):
        replace(Checked(0.2), share=2.0)


def test_a_name_that_is_no_field_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        replace(ORDER, colour="red")


@dataclasses.dataclass(frozen=True, slots=True)
class Slow:
    first: int
    second: str = "b"


def test_a_quick_value_is_made_as_before() -> None:
    before = inspect.signature(Slow)
    assert quick(Slow) is Slow and inspect.signature(Slow) == before
    assert (
        dataclasses.astuple(Slow(1)) == (1, "b") == dataclasses.astuple(Slow(first=1, second="b"))
    )
    assert pickle.loads(pickle.dumps(Slow(1))) == Slow(1) != Slow(1, "c")
    with pytest.raises(dataclasses.FrozenInstanceError):
        Slow(1).first = 2  # type: ignore[misc]
    for wrong in ((), (1, "b", 3)):
        with pytest.raises(TypeError, match="__init__"):
            Slow(*wrong)


@pytest.mark.parametrize("kind", [Loose, Checked, Book])
def test_a_value_that_does_more_than_fill_its_slots_is_not_made_quick(kind: type[object]) -> None:
    with pytest.raises(TypeError, match=f"{kind.__name__} can't be made slot by slot"):
        quick(kind)
