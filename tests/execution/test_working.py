"""Open orders kept at hand agree with asking every order, whatever happens to them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Leg, Order, OrderState, OrderType, Side
from hybridnb.execution.working import Orders


def order(client_id: str, symbol: str, state: OrderState) -> Order:
    return Order(client_id, symbol, Side.BUY, 1, OrderType.MARKET, Leg.ENTRY, state, "d")


CHANGES = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from("XYZ"), st.sampled_from(list(OrderState)))
)


@given(CHANGES)
def test_what_is_open_is_what_a_look_at_every_order_finds(
    changes: list[tuple[str, str, OrderState]],
) -> None:
    kept, every = Orders(), {}
    for client_id, symbol, state in changes:
        every[client_id] = order(client_id, symbol, state)
        kept.put(every[client_id])
        working = [o for o in every.values() if o.state.open]
        assert kept.open() == working
        for each in "XYZ":
            # Order by order: the sequence decides who fills first.
            assert kept.of(each) == [o for o in working if o.symbol == each]
        assert [kept.is_open(i) for i in every] == [o.state.open for o in every.values()]
    assert list(kept.values()) == list(every.values())
    assert all(kept[i] is kept.get(i) is o for i, o in every.items())


def test_an_order_that_works_again_has_its_old_place() -> None:
    kept = Orders(order(i, "X", OrderState.ACCEPTED) for i in "abc")
    kept.put(order("a", "X", OrderState.CANCELLED))
    assert [o.client_id for o in kept.open()] == ["b", "c"]
    kept.put(order("a", "X", OrderState.ACCEPTED))
    assert [o.client_id for o in kept.open()] == ["a", "b", "c"]
    assert [o.client_id for o in kept.of("X")] == ["a", "b", "c"]


def test_what_nobody_sent_is_unknown() -> None:
    assert Orders().get("a") is None
    assert Orders().of("X") == []
