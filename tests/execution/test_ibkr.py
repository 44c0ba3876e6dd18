"""The ibkr broker against a loopback gateway that speaks the TWS API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ib_async", reason="the optional package ib_async isn't installed")

from ib_async.decoder import Decoder
from ib_async.util import UNSET_DOUBLE

from hybridnb.domain import (
    Bucket,
    Fill,
    Instrument,
    Leg,
    Order,
    OrderState,
    OrderType,
    Refusal,
    Side,
)
from hybridnb.errors import BrokerDown, ParamsError
from hybridnb.execution.ibkr import IbkrBroker, IbkrSettings
from hybridnb.execution.ibkr_rows import amount, contracts_of, stock_of
from hybridnb.execution.orders import client_id
from hybridnb.policy import validated
from hybridnb.testing import ibkr_messages as tws
from hybridnb.testing.bench import buy, order, settle
from hybridnb.testing.conformance import CASES
from hybridnb.testing.conformance import cut_line_loses_and_doubles_nothing as cut_line
from hybridnb.testing.exchange import Exchange, Execution
from hybridnb.testing.ibkr_gateway import Gateway
from hybridnb.testing.ibkr_server import running

START = 1_767_605_400.0  # 2026-01-05 09:30 UTC
TICK, LOT = 100, 5


def instruments(**more: Instrument) -> dict[str, Instrument]:
    mine = Instrument("AAPL", Bucket.CORE, "USD", tick=TICK, lot=LOT)
    return {"AAPL": mine} | more


def broker(port: int, *, known=(), symbols=None, **more) -> IbkrBroker:
    settings = validated(IbkrSettings, {"port": port, "timeout_s": 0.6} | more)
    return IbkrBroker(settings, instruments=symbols or instruments(), known=known)


class IbkrBench:
    """The adapter and the stub."""

    symbol, lot, tick, price = "AAPL", LOT, TICK, 1_000_000
    faults = frozenset({"reject", "timeout", "duplicate", "late", "disconnect"})

    def __init__(self, gateway: Gateway, port: int, **more: Any) -> None:
        self.gateway, self.port, self.more = gateway, port, more
        self.broker = broker(port, **more)

    def trade(self, price: int, quantity: int) -> None:
        self.gateway.trade(self.symbol, price, quantity)

    def fault(self, name: str) -> None:
        self.gateway.exchange.fault(name)

    def restart(self) -> IbkrBroker:
        """The gateway sees the line cut, as it does when a process dies."""
        self.gateway.drop()
        self.broker.close()
        return broker(self.port, **self.more)

    def hold(self, quantity: int) -> None:
        self.gateway.hold(self.symbol, quantity, self.price)

    def far(self, n: int = 1, **prices) -> Order:
        """A limit order that rests below the market."""
        return order(self, n, **{"limit": self.price - 50 * self.tick} | prices)


@pytest.fixture
def bench() -> Iterator[IbkrBench]:
    gateway = Gateway(Exchange(), clock=lambda: START)
    with running(gateway) as (port, _):
        made = IbkrBench(gateway, port)
        yield made
        made.broker.close()


@pytest.mark.parametrize("name", CASES)
def test_conformance(name: str, bench: IbkrBench) -> None:
    CASES[name](bench)


@pytest.mark.parametrize("fault", ["disconnect", "disconnect_before"])
def test_cut_off_before_or_after_it_was_booked(fault: str, bench: IbkrBench) -> None:
    inject = bench.fault
    bench.fault = lambda name: inject(fault)
    cut_line(bench)
    assert len(bench.gateway.exchange.orders) == 1


def test_the_same_adapter_finds_its_way_after_a_cut(bench: IbkrBench) -> None:
    """Without a new process: the next call connects again and nothing was placed twice."""
    bench.fault("disconnect")
    with pytest.raises(BrokerDown, match="broke before"):
        bench.broker.submit([bench.far()])
    assert bench.broker.submit([bench.far()])[0].refusals == ("DUPLICATE",)
    bench.fault("disconnect_before")
    with pytest.raises(BrokerDown):
        bench.broker.submit([bench.far(2)])
    assert bench.broker.submit([bench.far(2)])[0].state is OrderState.ACCEPTED
    assert len(bench.broker.statement().orders) == 2


class TestWire:
    """What is sent, field by field."""

    def test_our_id_is_the_reference_and_protective_legs_live_on(self, bench: IbkrBench) -> None:
        price = bench.price
        new = [
            bench.far(1),
            order(bench, 2, side=Side.SELL, stop=price - 100 * TICK),
            order(bench, 3, side=Side.SELL, limit=price + 100 * TICK),
            replace(order(bench, 4, side=Side.SELL), leg=Leg.FLATTEN),
        ]
        bench.broker.submit(new)
        sent = [fields for fields in bench.gateway.log if fields[0] == "3"]
        assert [f[26] for f in sent] == [o.client_id for o in new]
        assert [f[21] for f in sent] == ["DAY", "GTC", "GTC", "DAY"]
        assert [f[18] for f in sent] == ["LMT", "STP", "LMT", "MKT"]
        assert {f[22] for f in sent} == {""}, "no OCA group: it couldn't be revised"

    def test_a_limit_and_a_stop_cross_as_they_are(self, bench: IbkrBench) -> None:
        new = order(bench, 1, side=Side.SELL, stop=999_900, limit=999_800)
        bench.broker.submit([new])
        (there,) = bench.gateway.exchange.working
        assert (there.stop, there.limit) == (999_900, 999_800)
        (back,) = bench.broker.statement().orders
        assert replace(back, decision_id=new.decision_id) == replace(new, state=back.state)

    def test_every_order_is_told_whole(self) -> None:
        """A field too many or too few shifts what comes after it: the library reads it all."""
        exchange, told = Exchange(), []

        class Listener:
            def openOrder(self, number, contract, order, state):  # noqa: N802
                told.append((number, contract, order, state))

            def completedOrder(self, contract, order, state):  # noqa: N802
                told.append((0, contract, order, state))

        decoder = Decoder(Listener(), tws.SERVER_VERSION)
        contract = [7, "RY", "STK", "", "0.0", "", "", "TSE", "", "CAD", "RY", "RY"]
        owner = {"client": 3, "order": 9, "contract": contract}
        owner |= {"tif": "GTC", "account": "DU1", "ref": "mine"}
        there = exchange.place(
            "mine", symbol="RY", side="SELL", quantity=10, type="STOP_LIMIT",
            limit=1_234_500, stop=1_240_000, owner=owner,
        )  # fmt: skip
        for message in (tws.open_order(there), tws.completed_order(there)):
            decoder.interpret(message[4:-1].decode().split("\0"))
        (number, contract, working, state), (_, again, done, ended) = told
        assert (number, working.clientId, working.totalQuantity) == (9, 3, 10)
        assert (state.status, ended.completedStatus) == ("PreSubmitted", "PreSubmitted")
        for c, o in ((contract, working), (again, done)):
            assert (c.conId, c.symbol, c.exchange, c.currency) == (7, "RY", "TSE", "CAD")
            assert (o.action, o.orderType, o.tif, o.orderRef) == ("SELL", "STP LMT", "GTC", "mine")
            assert (o.lmtPrice, o.auxPrice, o.account) == (123.45, 124.0, "DU1")
            assert o.permId == tws.perm_id(there)
            assert o.midOffsetAtHalf == UNSET_DOUBLE

    @given(price=st.integers(1, 10**12))
    def test_prices_survive_the_wire_both_ways(self, price: int) -> None:
        assert tws.scaled(str(price / 10_000)) == price
        assert amount(tws.money(price), "price") == price

    @pytest.mark.parametrize("value", ["nan", "inf", "-inf", "", None, "1e300"])
    def test_what_is_no_number_is_not_money(self, value: object) -> None:
        with pytest.raises(BrokerDown, match="no number"):
            amount(value, "price")

    @pytest.mark.parametrize(
        ("symbol", "currency", "there"),
        [
            ("RY.TO", "CAD", ("RY", "TSE", "CAD")),
            ("BBD-B.TO", "CAD", ("BBD.B", "TSE", "CAD")),
            ("ABC.V", "CAD", ("ABC", "VENTURE", "CAD")),
            ("AAPL", "USD", ("AAPL", "SMART", "USD")),
            ("BRK-B", "USD", ("BRK B", "SMART", "USD")),
        ],
    )
    def test_symbols_have_their_exchange(self, symbol: str, currency: str, there: tuple) -> None:
        stock = stock_of(Instrument(symbol, Bucket.CORE, currency))
        assert (stock.symbol, stock.exchange, stock.currency) == there
        table = contracts_of({symbol: Instrument(symbol, Bucket.CORE, currency)})
        assert table.symbol_of(stock) == symbol

    def test_two_symbols_of_one_contract_are_refused(self) -> None:
        twice = {s: Instrument(s, Bucket.CORE, "CAD") for s in ("RY.TO", "RY.V")}
        with pytest.raises(ParamsError, match="same contract"):
            contracts_of(twice)


class TestConnection:
    def test_wrong_port(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
            with pytest.raises(BrokerDown) as caught:
                broker(taken.getsockname()[1])
        assert "allow API clients on port" in caught.value.remedy
        assert caught.value.exit_code == 4

    def test_a_server_that_never_answers(self, bench: IbkrBench) -> None:
        bench.gateway.knobs["mute"] = True
        with pytest.raises(BrokerDown):
            broker(bench.port, client_id=2)

    @pytest.mark.parametrize(
        "words",
        [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\x00\x00\x00\x05hello",
            b"\xff" * 64,
            b"\x00\x00\x00\x0e178\x0020260105\x00\x00",
            tws.frame(178, "now") + tws.frame("x", "y"),
            tws.frame(178, "now") + tws.frame(9, 1, "one"),
            tws.frame(99, "now"),
            b"",
        ],
    )
    def test_bad_bytes(self, words: bytes) -> None:
        with babble(words) as port, pytest.raises(BrokerDown):
            broker(port, timeout_s=0.3)

    def test_a_client_id_in_use_says_so(self, bench: IbkrBench) -> None:
        with pytest.raises(BrokerDown, match="already in use"):
            broker(bench.port)

    def test_an_account_of_somebody_else(self, bench: IbkrBench) -> None:
        with pytest.raises(ParamsError, match="DU1234567"):
            broker(bench.port, client_id=2, account="U1")

    def test_settings_know_their_keys(self) -> None:
        with pytest.raises(ParamsError, match="allowed keys"):
            validated(IbkrSettings, {"prot": 4002})
        with pytest.raises(ParamsError):
            validated(IbkrSettings, {"timeout_s": float("nan")})

    def test_closed_is_closed(self, bench: IbkrBench) -> None:
        bench.broker.submit([bench.far()])
        bench.broker.close()
        bench.broker.close()
        with pytest.raises(BrokerDown, match="closed"):
            bench.broker.poll()
        assert len(bench.gateway.exchange.working) == 1

    def test_a_caller_may_have_a_loop_of_its_own(self, bench: IbkrBench) -> None:
        """As in a notebook."""

        async def cell() -> list[Order]:
            return bench.broker.submit([bench.far()])

        assert asyncio.run(cell())[0].state is OrderState.ACCEPTED

    def test_a_gateway_that_falls_silent(self, bench: IbkrBench) -> None:
        bench.gateway.answer = lambda peer, fields: True
        with pytest.raises(BrokerDown, match="no answer"):
            bench.broker.poll()

    @pytest.mark.parametrize("code", [1100, 2110])
    def test_a_gateway_that_lost_its_servers(self, bench: IbkrBench, code: int) -> None:
        (peer,) = bench.gateway.peers
        peer.send(tws.error(-1, code, "Connectivity has been lost"))
        for call in (bench.broker.poll, lambda: bench.broker.submit([bench.far()])):
            with pytest.raises(BrokerDown, match=r"cut off from IB.*has been lost"):
                call()
        assert not bench.gateway.exchange.orders
        peer.send(tws.error(-1, 1102, "Connectivity has been restored"))
        assert bench.broker.submit([bench.far()])[0].state is OrderState.ACCEPTED

    def test_callers_in_two_threads_take_turns(self, bench: IbkrBench) -> None:
        with ThreadPoolExecutor(4) as pool:
            sent = pool.map(lambda n: bench.broker.submit([bench.far(n)])[0], range(8))
            seen = [pool.submit(bench.broker.statement) for _ in range(4)]
            assert {order.state for order in sent} == {OrderState.ACCEPTED}
            assert all(future.result().currency == "USD" for future in seen)
        assert len(bench.broker.statement().orders) == 8


class TestEvents:
    def test_what_happened_while_the_line_was_cut_comes_once(self, bench: IbkrBench) -> None:
        one, two = order(bench, 1, limit=bench.price), bench.far(2)
        bench.broker.submit([one, two])
        bench.trade(bench.price, 3 * LOT)
        before = settle(bench)[1]
        bench.gateway.drop()
        bench.trade(bench.price, 4 * LOT)
        bench.gateway.exchange.cancel(2)
        orders, after = settle(bench)
        assert [f.quantity for f in before + after] == [3 * LOT, 4 * LOT]
        assert orders[one.client_id].filled == 7 * LOT
        assert orders[two.client_id].state is OrderState.CANCELLED
        assert settle(bench) == ({}, [])

    def test_an_order_that_vanished_has_expired(self, bench: IbkrBench) -> None:
        bench.broker.submit([bench.far()])
        bench.gateway.drop()
        bench.gateway.exchange.orders.clear()
        (gone,) = settle(bench)[0].values()
        assert gone.state is OrderState.EXPIRED and "no longer" in gone.note

    def test_a_new_process_is_told_nothing_that_is_old(self, bench: IbkrBench) -> None:
        buy(bench)
        bench.broker = bench.restart()
        assert settle(bench) == ({}, [])
        assert sum(f.quantity for f in bench.broker.statement().fills) == 10 * LOT

    def test_a_correction_is_the_same_fill(self, bench: IbkrBench) -> None:
        buy(bench)
        (fill,) = bench.broker.statement().fills
        bench.gateway.correct(1, bench.price + 50)
        orders, fills = settle(bench)
        assert fills == [] and "corrected" in orders["conformance-0001"].note
        seen = bench.broker.statement()
        assert seen.fills == (replace(fill, price=fill.price + 50, reference=fill.price + 50),)
        assert seen.holdings["AAPL"].quantity == 10 * LOT

    def test_a_commission_that_never_comes_is_waited_for_once(self, bench: IbkrBench) -> None:
        bench.gateway.knobs["commissions"] = False
        bench.broker.submit([order(bench, 1)])
        bench.trade(bench.price, 100 * LOT)
        (fill,) = settle(bench)[1]
        assert fill.commission == 0
        bench.gateway.knobs["commissions"] = True
        assert [f.commission for f in bench.broker.statement().fills] == [10_000]
        assert settle(bench)[1] == []

    def test_fills_are_exact(self, bench: IbkrBench) -> None:
        bench.broker.submit([order(bench, 1, lots=50)])
        bench.trade(bench.price + 1, 250)
        (fill,) = settle(bench)[1]
        assert (fill.price, fill.commission, fill.quantity) == (1_000_001, 25_000, 250)
        assert fill.at == "2026-01-05T09:30:00+00:00"
        seen = bench.broker.statement()
        assert seen.cash == 1_000_000_0000 - 250 * 1_000_001 - 25_000
        assert seen.currency == "USD"

    @pytest.mark.parametrize("bad", ["nan", "-1", "0", "inf"])
    def test_a_price_that_cannot_be_is_not_booked(self, bench: IbkrBench, bad: str) -> None:
        bench.broker.submit([order(bench, 1)])
        (there,) = bench.gateway.exchange.working
        told = Execution(1, 1, "", "AAPL", "BUY", 5, 1_234_567, 0, 5)
        message = tws.exec_details(there, told)[4:].replace(b"123.4567", bad.encode())
        (peer,) = bench.gateway.peers
        peer.send(len(message).to_bytes(4, "big") + message)
        bench.gateway.knobs["commissions"] = False
        with pytest.raises(BrokerDown, match="price"):
            bench.broker.poll()


class TestOrders:
    def test_never_answered_and_never_there(self, bench: IbkrBench) -> None:
        bench.fault("lost")
        new = bench.far()
        assert bench.broker.submit([new])[0].state is OrderState.UNKNOWN
        # Nobody knows yet: not a second time, and it is nobody's reject.
        assert bench.broker.submit([new])[0].refusals == ("DUPLICATE",)
        assert bench.broker.statement().orders == ()
        assert bench.broker.submit([new])[0].state is OrderState.ACCEPTED
        assert [o.client_id for o in bench.broker.statement().orders] == [new.client_id]

    def test_an_order_in_doubt_that_arrived_works_on(self, bench: IbkrBench) -> None:
        bench.fault("timeout")
        new = order(bench, 1, limit=bench.price)
        assert bench.broker.submit([new])[0].state is OrderState.UNKNOWN
        assert bench.broker.statement().orders[0].state is OrderState.ACCEPTED
        bench.trade(bench.price, 100 * LOT)
        orders, fills = settle(bench)
        assert orders[new.client_id].state is OrderState.FILLED and len(fills) == 1

    def test_the_same_id_twice_in_one_go(self, bench: IbkrBench) -> None:
        first, second = bench.broker.submit([bench.far(), bench.far()])
        assert (first.state, second.refusals) == (OrderState.ACCEPTED, ("DUPLICATE",))

    def test_a_rejected_order_may_be_sent_again(self, bench: IbkrBench) -> None:
        bench.fault("reject")
        new = bench.far()
        refused = bench.broker.submit([new])[0]
        assert "201" in refused.note and "the venue says no" in refused.note
        assert bench.broker.submit([new])[0].state is OrderState.ACCEPTED

    def test_a_change_that_is_refused_leaves_the_order(self, bench: IbkrBench) -> None:
        new = bench.far()
        bench.broker.submit([new])
        bench.gateway.knobs["amend"] = "outside the collar"
        (answer,) = bench.broker.amend([replace(new, limit=bench.price)])
        assert answer.state is OrderState.ACCEPTED and answer.limit == new.limit
        assert answer.refusals == ("VENUE",) and "collar" in answer.note
        (working,) = bench.broker.statement().orders
        assert (working.limit, working.state) == (new.limit, OrderState.ACCEPTED)
        assert bench.broker.amend([replace(new, limit=bench.price)])[0].limit == bench.price

    def test_a_change_that_cannot_be_meant_is_not_sent(self, bench: IbkrBench) -> None:
        bench.broker.submit([bench.far()])
        (answer,) = bench.broker.amend([bench.far(limit=bench.price + 1)])
        assert answer.refusals == ("INVALID",) and answer.limit == bench.far().limit
        assert answer.state is OrderState.ACCEPTED
        assert len([f for f in bench.gateway.log if f[0] == "3"]) == 1

    def test_a_change_to_the_same_terms_is_not_sent(self, bench: IbkrBench) -> None:
        bench.broker.submit([bench.far()])
        assert bench.broker.amend([bench.far()]) == []

    def test_cancelling_what_just_filled(self, bench: IbkrBench) -> None:
        new = order(bench, 1, limit=bench.price)
        bench.broker.submit([new])
        peers, bench.gateway.peers = bench.gateway.peers, []  # the news is still on its way
        bench.trade(bench.price, 100 * LOT)
        bench.gateway.peers = peers
        (answer,) = bench.broker.cancel([new.client_id])
        assert (answer.state, answer.filled) == (OrderState.FILLED, new.quantity)
        assert sum(f.quantity for f in settle(bench)[1]) == new.quantity

    def test_a_subset_goes_and_the_rest_stays(self, bench: IbkrBench) -> None:
        bench.broker.submit([bench.far(n) for n in range(4)])
        answers = bench.broker.cancel(["conformance-0001", "conformance-0003", "conformance-0001"])
        assert [o.client_id for o in answers] == ["conformance-0001", "conformance-0003"]
        left = {o.client_id for o in bench.broker.statement().orders}
        assert left == {"conformance-0000", "conformance-0002"}

    def test_orders_of_others_are_seen_and_left_alone(self, bench: IbkrBench) -> None:
        other = broker(bench.port, client_id=7)
        theirs = bench.far(9)
        other.submit([theirs])
        (seen,) = bench.broker.statement().orders
        assert seen.client_id == theirs.client_id
        (answer,) = bench.broker.cancel([theirs.client_id])
        assert answer.state.open and "client 7" in answer.note
        (answer,) = bench.broker.amend([replace(theirs, limit=bench.price)])
        assert answer.refusals == ("VENUE",) and answer.limit == theirs.limit
        assert bench.broker.submit([theirs])[0].refusals == ("DUPLICATE",)
        assert other.cancel([theirs.client_id])[0].state is OrderState.CANCELLED
        assert bench.broker.statement().orders == ()
        other.close()

    def test_the_words_of_a_reject_may_come_after_it(self, bench: IbkrBench) -> None:
        (peer,) = bench.gateway.peers
        send, waiting = peer.send, []

        def slow(*messages: bytes) -> None:
            words = [m for m in messages if b"\x00201\x00" in m]
            send(*waiting, *(m for m in messages if m not in words))
            waiting[:] = words

        peer.send = slow
        bench.fault("reject")
        assert "the venue says no" in bench.broker.submit([bench.far()])[0].note

    def test_an_id_that_only_executions_remember(self, bench: IbkrBench) -> None:
        buy(bench)
        bench.gateway._completed = lambda peer, _: peer.send(tws.frame(102))
        bench.broker = bench.restart()
        assert bench.broker.submit([order(bench, 1)])[0].refusals == ("DUPLICATE",)

    def test_an_id_that_another_client_placed(self, bench: IbkrBench) -> None:
        bench.broker.submit([bench.far()])
        second = broker(bench.port, client_id=2)
        assert second.submit([bench.far()])[0].refusals == ("DUPLICATE",)
        second.close()

    def test_another_account_is_not_ours(self, bench: IbkrBench) -> None:
        bench.broker.submit([bench.far()])
        ours = bench.gateway.exchange.orders[1]
        owner = ours.owner | {"client": 7, "account": "DU9", "ref": "theirs"}
        bench.gateway.exchange.place(
            "theirs", symbol="AAPL", side="BUY", quantity=5, type="MARKET", owner=owner
        )
        (seen,) = bench.broker.statement().orders
        assert seen.client_id == ours.client_id
        bench.trade(bench.price, 5)
        assert bench.broker.statement().fills == ()

    def test_a_rejected_leg_is_placed_by_the_next_change(self, bench: IbkrBench) -> None:
        bench.fault("reject")
        bench.broker.submit([bench.far()])
        assert bench.broker.amend([bench.far()])[0].state is OrderState.ACCEPTED

    def test_another_currency_is_refused(self, bench: IbkrBench) -> None:
        royal = Instrument("RY.TO", Bucket.CORE, "CAD", tick=100)
        mine = broker(bench.port, client_id=2, symbols=instruments(**{"RY.TO": royal}))
        answer = mine.submit([replace(bench.far(), symbol="RY.TO")])[0]
        assert answer.refusals == (Refusal.CURRENCY.name,)
        mine.close()

    def test_the_ledger_gives_back_what_the_wire_has_not(self, bench: IbkrBench) -> None:
        mine = replace(bench.far(), leg=Leg.SWEEP, decision_id="why")
        bench.broker.submit([mine])
        bench.more = {"known": [mine]}
        bench.broker = bench.restart()
        (seen,) = bench.broker.statement().orders
        assert (seen.leg, seen.decision_id) == (Leg.SWEEP, "why")

    def test_the_leg_comes_back_from_our_own_ids(self, bench: IbkrBench) -> None:
        mine = order(bench, 1, side=Side.SELL, limit=bench.price)
        mine = replace(mine, client_id=client_id("2026-01-05", "d1", Leg.TARGET))
        bench.broker.submit([mine])
        bench.broker = bench.restart()
        assert bench.broker.statement().orders[0].leg is Leg.TARGET


class TestDoubt:
    """Requests that nobody answers."""

    def test_a_change(self, bench: IbkrBench) -> None:
        new = bench.far()
        bench.broker.submit([new])
        bench.gateway._amend = lambda *_: None
        (answer,) = bench.broker.amend([replace(new, limit=bench.price)])
        assert answer.state is OrderState.UNKNOWN and "no answer" in answer.note
        (seen,) = bench.broker.statement().orders
        assert (seen.state, seen.limit) == (OrderState.ACCEPTED, new.limit)

    def test_a_cancel(self, bench: IbkrBench) -> None:
        new = bench.far()
        bench.broker.submit([new])
        bench.gateway._cancel = lambda *_: None
        (answer,) = bench.broker.cancel([new.client_id])
        assert answer.state is OrderState.UNKNOWN
        assert bench.broker.statement().orders[0].state is OrderState.ACCEPTED
        del bench.gateway._cancel
        assert bench.broker.cancel([new.client_id])[0].state is OrderState.CANCELLED

    def test_a_cancel_that_was_done(self, bench: IbkrBench) -> None:
        new = bench.far()
        bench.broker.submit([new])
        bench.gateway._cancel = lambda *_: bench.gateway.exchange.cancel(1)
        assert bench.broker.cancel([new.client_id])[0].state is OrderState.UNKNOWN
        assert bench.broker.statement().orders == ()
        assert settle(bench)[0][new.client_id].state is OrderState.CANCELLED
        assert bench.broker.submit([new])[0].refusals == ("DUPLICATE",)

    def test_an_order_that_filled_unheard(self, bench: IbkrBench) -> None:
        bench.fault("timeout")
        new = order(bench, 1)
        assert bench.broker.submit([new])[0].state is OrderState.UNKNOWN
        peers, bench.gateway.peers = bench.gateway.peers, []
        bench.trade(bench.price, 100 * LOT)
        bench.gateway.peers = peers
        seen = bench.broker.statement()
        assert seen.orders == () and [f.quantity for f in seen.fills] == [new.quantity]
        orders, fills = settle(bench)
        assert orders[new.client_id].state is OrderState.FILLED and len(fills) == 1
        assert bench.broker.submit([new])[0].refusals == ("DUPLICATE",)


class Trouble:
    """A day of chance at the venue; `fills` and `last` are what we were told of it."""

    def __init__(self, bench: IbkrBench, seed: int) -> None:
        self.bench, self.rng = bench, random.Random(seed)
        self.exchange = bench.gateway.exchange
        self.fills: list[Fill] = []
        self.last: dict[str, Order] = {}

    def look(self) -> None:
        orders, new = settle(self.bench)
        self.fills += new
        self.last |= orders

    def heard(self, answers: list[Order]) -> None:
        self.last |= {order.client_id: order for order in answers}

    def submit(self, new: Order) -> None:
        if self.rng.random() < 0.3:
            faults = ["reject", "duplicate", "late", "disconnect", "disconnect_before"]
            self.bench.fault(self.rng.choice(faults))
        try:
            self.heard(self.bench.broker.submit([new]))
        finally:
            self.exchange.faults.clear()

    def amend(self, new: Order) -> None:
        for there in self.exchange.working[:1]:
            mine = replace(new, client_id=there.client_id, side=Side(there.side))
            self.heard(self.bench.broker.amend([mine]))

    def cancel(self, _: Order) -> None:
        self.heard(self.bench.broker.cancel([o.client_id for o in self.exchange.working[-1:]]))

    def cut(self, _: Order) -> None:
        self.bench.gateway.drop()

    def crash(self, _: Order) -> None:
        self.look()
        self.bench.broker = self.bench.restart()
        # What poll tells no longer, the statement has: a book is reconciled against it here.
        now, seen = self.bench.broker.statement(), {fill.fill_id for fill in self.fills}
        self.fills += [f for f in now.fills if f.fill_id not in seen]
        working = {o.client_id for o in now.orders}
        self.last = {i: o for i, o in self.last.items() if not o.state.open or i in working}

    def trade(self, _: Order) -> None:
        price = self.bench.price + self.rng.randrange(-2, 3) * TICK
        self.bench.trade(price, self.rng.randrange(1, 40))

    def step(self, n: int) -> None:
        near = self.bench.price + self.rng.randrange(-3, 4) * TICK
        side, lots = self.rng.choice(list(Side)), self.rng.randrange(1, 9)
        what = (
            [self.submit] * 4 + [self.trade] * 3 + [self.amend, self.cancel, self.cut, self.crash]
        )
        with contextlib.suppress(BrokerDown):
            self.rng.choice(what)(order(self.bench, n, side=side, lots=lots, limit=near))
        if self.rng.random() < 0.3:
            self.look()


@pytest.mark.parametrize("seed", range(4))
def test_a_day_of_trouble_is_told_in_full(seed: int, bench: IbkrBench) -> None:
    """Orders, changes, cancels, trades, faults, cut lines and crashes: the books agree after all.

    What `poll` told is what the exchange executed, each once; what we heard last of an order
    is how it ended; no order was placed twice.
    """
    day = Trouble(bench, seed)
    for n in range(40):
        day.step(n)
    placed = day.exchange.orders.values()
    day.heard(bench.broker.cancel([o.client_id for o in placed]))  # what is late comes now
    day.look()
    told = sorted((f.client_id, f.quantity, f.price, f.commission) for f in day.fills)
    done = [(e.client_id, e.quantity, e.price, e.commission) for e in day.exchange.executions]
    assert told == sorted(done) and len({f.fill_id for f in day.fills}) == len(done) > 0
    assert day.exchange.working == [] and bench.broker.statement().orders == ()
    assert len({o.client_id for o in placed}) == len(placed) > 0
    for there in (o for o in placed if o.client_id in day.last):
        seen = day.last[there.client_id]
        assert (seen.state.value, seen.filled) == (there.state, there.filled)


class TestAccount:
    def test_a_price_without_commissions_where_it_can_be_told(self, bench: IbkrBench) -> None:
        buy(bench)
        assert bench.broker.statement().holdings["AAPL"].price == bench.price
        bench.gateway.exchange.executions.clear()  # the next day
        bench.broker = bench.restart()
        old = bench.broker.statement().holdings["AAPL"].price
        assert old == pytest.approx(bench.price + 10_000 / (10 * LOT))

    def test_shorts_and_strangers(self, bench: IbkrBench) -> None:
        bench.hold(-3)
        bench.gateway.hold("RY.CAD", 4, 1_000)
        holdings = bench.broker.statement().holdings
        assert (holdings["AAPL"].quantity, holdings["AAPL"].price) == (-3, bench.price)
        assert holdings["STK:RY.CAD"].quantity == 4

    def test_an_execution_by_hand_is_told_once(self, bench: IbkrBench) -> None:
        bench.broker.submit([bench.far()])
        exchange = bench.gateway.exchange
        owner = exchange.orders[1].owner | {"client": 7, "ref": ""}
        exchange.place("", symbol="AAPL", side="SELL", quantity=5, type="MARKET", owner=owner)
        bench.trade(bench.price, 5)
        assert bench.broker.statement().holdings["AAPL"].quantity == -5
        (told,) = bench.broker.poll().fills
        assert told.client_id.startswith("perm-") and told.quantity == 5
        assert bench.broker.poll().fills == ()

    def test_a_canadian_account(self) -> None:
        gateway = Gateway(Exchange(currency="CAD"), clock=lambda: START)
        symbols = {"RY.TO": Instrument("RY.TO", Bucket.CORE, "CAD", tick=100, lot=100)}
        with running(gateway) as (port, _):
            mine = broker(port, symbols=symbols)
            new = Order(
                "a", "RY.TO", Side.BUY, 300, OrderType.MARKET, Leg.ENTRY, OrderState.CREATED, "d"
            )
            mine.submit([new])
            gateway.trade("RY", 1_500_000, 1_000)
            (fill,) = mine.poll().fills
            seen = mine.statement()
            mine.close()
        assert (fill.symbol, fill.leg, fill.quantity) == ("RY.TO", Leg.ENTRY, 300)
        assert (seen.currency, seen.holdings["RY.TO"].quantity) == ("CAD", 300)
        (sent,) = [f for f in gateway.log if f[0] == "3"]
        assert (sent[3], sent[9], sent[11]) == ("RY", "TSE", "CAD")


class TestProcess:
    def test_the_venue_outlives_its_clients_and_itself(self, tmp_path: Path) -> None:
        state = tmp_path / "venue.json"
        with venue(state) as (port, say):
            mine = broker(port)
            new = replace(order(IbkrBench, 1, limit=1_000_000), client_id="a-entry-1")
            mine.submit([new])
            assert say(do="trade", symbol="AAPL", price=1_000_000, quantity=15)["ok"]
            assert say(do="hold", symbol="MSFT", quantity=2)["ok"]
            assert not say(do="fault", name="flood")["ok"]
            assert not say(do="set", loud=True)["ok"]
            mine.close()
        with venue(state) as (port, say):
            mine = broker(port)
            seen = mine.statement()
            mine.close()
            assert len(say(do="state")["exchange"]["orders"]) == 1
        assert [(o.client_id, o.filled) for o in seen.orders] == [("a-entry-1", 15)]
        assert [f.quantity for f in seen.fills] == [15]
        assert {s: h.quantity for s, h in seen.holdings.items()} == {"AAPL": 15, "STK:MSFT.USD": 2}


@contextlib.contextmanager
def babble(words: bytes) -> Iterator[int]:
    """A server that says these bytes to whoever connects, and then listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                there, _ = listening.accept()
                with there:
                    there.sendall(words)
                    while there.recv(4096):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
    thread.join(5)


@contextlib.contextmanager
def venue(state: Path) -> Iterator[tuple[int, Callable[..., dict[str, Any]]]]:
    """The stub as a process; killed at the end, as nobody warns it."""
    command = [sys.executable, "-m", "hybridnb.testing.ibkr_server", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port, control = map(int, process.stdout.readline().split())
        with socket.create_connection(("127.0.0.1", control)) as line:
            stream = line.makefile("rw")

            def say(**command: Any) -> dict[str, Any]:
                stream.write(json.dumps(command) + "\n")
                stream.flush()
                return dict(json.loads(stream.readline()))

            yield port, say
        process.kill()
