"""Our book against a broker's statement: what a restart explains, and what it doesn't."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Fill, Leg, Order, OrderState, OrderType, Position, Side
from hybridnb.errors import CheckFailed
from hybridnb.execution.reconcile import arrears, differences, money, uncovered
from hybridnb.ports import Holding, Statement

S = OrderState


def order(client_id: str = "d-entry-1", **more) -> Order:
    values = {
        **{"symbol": "A", "side": Side.BUY, "quantity": 10, "type": OrderType.MARKET},
        **{"leg": Leg.ENTRY, "state": S.SUBMITTED, "decision_id": "d"},
    }
    return Order(client_id, **(values | more))


def fill(n: int, quantity: int, client_id: str = "d-entry-1", **more) -> Fill:
    values = {
        **{"symbol": "A", "side": Side.BUY, "leg": Leg.EXIT, "quantity": quantity},
        **{"price": 100, "reference": 100, "commission": 1, "slippage": 0, "at": "t"},
    }
    return Fill(f"f{n}", client_id, **(values | more))


def position(quantity: int = 10, *, price: int = 1_000_000, fees: int = 0) -> Position:
    return Position("A", quantity, quantity * price, 1, 2.0, 1, 2, price, "d", "s", fees)


def statement(orders=(), fills=(), holdings=None) -> Statement:
    return Statement(tuple(orders), tuple(fills), holdings or {}, 0, "USD")


def known(*orders: Order) -> dict[str, Order]:
    return {o.client_id: o for o in orders}


class TestArrears:
    def test_nothing_happened(self) -> None:
        working = order(state=S.ACCEPTED)
        found = arrears(known(working), {}, statement([working]))
        assert (found.fills, found.orders, found.lost, found.foreign) == ((), (), (), ())

    def test_executions_come_once_with_the_leg_of_their_order(self) -> None:
        booked = {"f1": fill(1, 4)}
        ours = order(state=S.PARTIALLY_FILLED, filled=4)
        found = arrears(known(ours), booked, statement([], [fill(1, 4), fill(2, 6)]))
        assert [(f.fill_id, f.leg) for f in found.fills] == [("f2", Leg.ENTRY)]
        (after,) = found.orders
        assert (after.state, after.filled, after.quantity) == (S.FILLED, 10, 10)

    def test_an_order_in_doubt_that_is_there_is_adopted_with_the_terms_it_has(self) -> None:
        ours = order(state=S.UNKNOWN, type=OrderType.STOP, leg=Leg.STOP, stop=90, quantity=7)
        theirs = replace(ours, state=S.ACCEPTED, stop=80, quantity=10)
        (after,) = arrears(known(ours), {}, statement([theirs])).orders
        assert (after.state, after.stop, after.left) == (S.ACCEPTED, 80, 10)

    def test_what_the_broker_can_not_tell_stays_in_doubt(self) -> None:
        ours = order(state=S.SUBMITTED)
        (after,) = arrears(known(ours), {}, statement([replace(ours, state=S.UNKNOWN)])).orders
        assert after.state is S.UNKNOWN

    @pytest.mark.parametrize("state", [S.SUBMITTED, S.UNKNOWN])
    def test_what_is_not_there_and_never_was_is_lost(self, state: OrderState) -> None:
        found = arrears(known(order(state=state)), {}, statement())
        assert [o.state for o in found.lost] == [state] and not found.orders

    @pytest.mark.parametrize(
        ("ours", "fills"),
        [
            (order(state=S.ACCEPTED), ()),
            (order(state=S.SUBMITTED), (fill(1, 3),)),
            (order(state=S.PARTIALLY_FILLED, filled=3), ()),
        ],
    )
    def test_what_was_there_and_is_not_open_ended(self, ours: Order, fills) -> None:
        found = arrears(known(ours), {}, statement([], fills))
        (after,) = found.orders
        assert after.state is S.CANCELLED and after.filled == ours.filled + 3 * len(fills)

    def test_a_late_fill_of_an_order_that_is_over_counts(self) -> None:
        ours = order(state=S.CANCELLED)
        found = arrears(known(ours), {}, statement([], [fill(1, 3)]))
        assert [f.quantity for f in found.fills] == [3] and not found.orders

    def test_what_is_yet_to_be_sent_is_no_loss(self) -> None:
        found = arrears(known(order(state=S.CREATED)), {}, statement())
        assert not found.lost and not found.orders

    def test_orders_and_executions_of_others_are_named(self) -> None:
        theirs = order("perm-7", state=S.ACCEPTED)
        found = arrears({}, {}, statement([theirs], [fill(9, 2, "perm-8")]))
        assert [(d.what, d.symbol) for d in found.foreign] == [("order", "A"), ("fill", "A")]
        assert "perm-7" in str(found.foreign[0]) and "f9" in str(found.foreign[1])

    def test_one_id_with_two_contents_is_no_duplicate(self) -> None:
        ours = order(state=S.PARTIALLY_FILLED, filled=4)
        with pytest.raises(CheckFailed, match="twice"):
            arrears(known(ours), {"f1": fill(1, 4)}, statement([], [fill(1, 5)]))

    @given(st.lists(st.integers(1, 5), max_size=8), st.integers(0, 8))
    def test_filled_is_what_was_booked_and_what_is_fresh(self, parts: list[int], n: int) -> None:
        fills = [fill(i, q) for i, q in enumerate(parts)]
        n = min(n, len(fills))
        booked = {f.fill_id: f for f in fills[:n]}
        had, total = sum(parts[:n]), sum(parts)
        ours = order(state=S.UNKNOWN, quantity=total + 1, filled=had)
        found = arrears(known(ours), booked, statement([replace(ours, filled=total)], fills))
        assert sum(f.quantity for f in found.fills) == total - had
        after = found.orders[0] if found.orders else ours
        assert (after.filled, after.left) == (total, 1)


class TestDifferences:
    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [({}, 10), ({"A": position(10)}, 0), ({"A": position(10)}, 20), ({"A": position()}, -10)],
    )
    def test_quantities(self, ours, theirs: int) -> None:
        there = {"A": Holding(theirs, 1e6)} if theirs else {}
        (found,) = differences(ours, statement(holdings=there))
        held = ours["A"].quantity if ours else 0
        assert (found.what, found.ours, found.theirs) == ("quantity", str(held), str(theirs))

    @pytest.mark.parametrize(
        ("price", "equal"), [(1_000_000.0, True), (1_000_099.0, True), (1_000_101.0, False)]
    )
    def test_average_prices_to_a_hundredth_of_a_percent(self, price: float, equal: bool) -> None:
        found = differences({"A": position()}, statement(holdings={"A": Holding(10, price)}))
        assert [d.what for d in found] == ([] if equal else ["price"])

    @pytest.mark.parametrize("sign", [1, -1])
    def test_brokers_may_count_commissions_into_the_average(self, sign: int) -> None:
        ours = position(10 * sign, fees=10_000)
        price = 1_000_000 + sign * 1_000.0
        there = statement(holdings={"A": Holding(10 * sign, price)})
        assert differences({"A": ours}, there) == []
        wrong = statement(holdings={"A": Holding(10 * sign, 1_000_000 - sign * 1_000.0)})
        assert [d.what for d in differences({"A": ours}, wrong)] == ["price"]

    def test_a_price_that_is_none_is_not_compared(self) -> None:
        there = statement(holdings={"A": Holding(10, math.nan)})
        assert differences({"A": position()}, there) == []

    def test_symbols_kept_apart(self) -> None:
        there = statement(holdings={"SIP": Holding(3, 1.0)})
        assert differences({}, there, ignore=["SIP"]) == []
        assert len(differences({}, there)) == 1


class TestMoney:
    def found(self, ours: int, **told) -> list[str]:
        values = {"cash": 1_000_000, "realised": None} | told
        there = Statement((), (), {}, values["cash"], "USD", values["realised"])
        return [d.what for d in money(ours, 0, {"A": position(10)}, there)]

    def test_a_thousandth_of_the_account(self) -> None:
        worth = 100_000_000 + 10_000_000  # what the position cost, too
        assert self.found(100_000_000, cash=100_000_000 - worth // 1_000) == []
        assert self.found(100_000_000, cash=100_000_000 - worth // 1_000 - 1) == ["cash"]
        assert self.found(100_000_000, cash=100_000_000, realised=-worth // 1_000 - 1) == [
            "realised"
        ]

    def test_a_unit_of_the_currency_is_nothing(self) -> None:
        there = Statement((), (), {}, 10_000, "USD", -10_000)
        assert money(0, 0, {}, there) == []
        assert len(money(0, 0, {}, replace(there, cash=10_001, realised=-10_001))) == 2

    @pytest.mark.parametrize("nothing", [None, math.nan])
    def test_what_isnt_told_is_not_compared(self, nothing: float | None) -> None:
        assert self.found(0, cash=nothing, realised=nothing) == []


class TestUncovered:
    stop = order("s", side=Side.SELL, type=OrderType.STOP, leg=Leg.STOP, state=S.ACCEPTED)
    out = order("f", side=Side.SELL, leg=Leg.FLATTEN, state=S.ACCEPTED)

    @pytest.mark.parametrize(
        ("working", "bare"),
        [
            ([], True),
            ([stop], False),
            ([replace(stop, quantity=9)], True),
            ([replace(stop, quantity=11)], True),
            ([replace(stop, state=S.CANCELLED)], True),
            ([replace(stop, leg=Leg.TARGET, type=OrderType.LIMIT)], True),
            ([out], False),
            ([replace(out, filled=4), replace(stop, quantity=4)], False),
            ([replace(out, state=S.CREATED), stop], False),
            ([replace(out, state=S.CREATED), replace(stop, quantity=4)], False),
            ([replace(out, quantity=3), replace(stop, quantity=4)], True),
        ],
    )
    def test_every_unit_once(self, working: list[Order], bare: bool) -> None:
        assert (uncovered({"A": position()}, working) == {"A"}) is bare
