"""The ccxt broker against a loopback exchange that speaks Binance's protocol."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ccxt", reason="the optional package ccxt isn't installed")

from pydantic import SecretStr

from hybridnb.domain import SCALE, Fill, Leg, Order, OrderState, OrderType, Refusal, Side
from hybridnb.errors import BrokerDown, ParamsError
from hybridnb.execution.ccxt_rows import Deal, average, body, fills_of, unwire, wire
from hybridnb.execution.ccxt_spot import CcxtBroker
from hybridnb.execution.ccxt_wire import CcxtSettings, Line, Market, Unanswered, number
from hybridnb.execution.orders import client_id
from hybridnb.policy import validated
from hybridnb.testing.bench import buy, held, order, settle
from hybridnb.testing.binance_api import KEY, SECRET, Api, Fault
from hybridnb.testing.binance_server import Server, running
from hybridnb.testing.conformance import CASES
from hybridnb.testing.conformance import cut_line_loses_and_doubles_nothing as cut_line

ETH = Decimal("0.005")  # coins of one unit: a tick of 5, a lot of 2
CANCEL_REPLACE = "POST /api/v3/order/cancelReplace"


def broker(url: str, *, key: str = KEY, secret: str = SECRET, known=(), **more) -> CcxtBroker:
    values = {"base_url": url, "timeout_s": 1.0, "pause_ms": 0, "unit": {"ETH/USDT": str(ETH)}}
    settings = validated(CcxtSettings, values | more)
    return CcxtBroker(settings, key=SecretStr(key), secret=SecretStr(secret), known=known)


class CcxtBench:
    """The adapter and the stub; `cut` says whether a cut-off order had been booked."""

    symbol, lot, tick, price = "ETH/USDT", 2, 5, 100_000
    faults = frozenset({"reject", "timeout", "duplicate", "late", "disconnect"})

    def __init__(self, server: Server, **more) -> None:
        self.api, self.url, self.more = server.api, server.url, more
        self.broker = broker(self.url, **more)

    def trade(self, price: int, quantity: int) -> None:
        coin = Decimal(price) / SCALE / ETH
        with self.api.lock:
            self.api.venue.trade("ETHUSDT", coin, ETH * quantity)

    def fault(self, name: str, **more) -> None:
        self.api.faults.append(Fault(name, **more))

    def restart(self) -> CcxtBroker:
        return broker(self.url, **self.more)

    def hold(self, quantity: int) -> None:
        with self.api.lock:
            self.api.control({"do": "hold", "coin": "ETH", "quantity": str(ETH * quantity)})

    def later(self) -> None:
        """A minute passes: what was sent before is void by now."""
        self.api.venue.skew += 60_000

    def far(self, n: int = 1, **prices) -> Order:
        """A limit order that rests below the market."""
        return order(self, n, **{"limit": self.price - 50 * self.tick} | prices)


@pytest.fixture
def bench() -> Iterator[CcxtBench]:
    with running(Api()) as server:
        made = CcxtBench(server)
        yield made
        made.broker.close()


@pytest.mark.parametrize("name", CASES)
def test_conformance(name: str, bench: CcxtBench) -> None:
    CASES[name](bench)


@pytest.mark.parametrize("fault", ["cut", "disconnect"])
def test_cut_off_before_or_after_it_was_booked(fault: str, bench: CcxtBench) -> None:
    inject = bench.fault
    bench.fault = lambda name: inject(fault)
    cut_line(bench)
    assert len(bench.api.venue.orders) == 1


class TestIds:
    def test_ids_of_the_book_travel_as_they_are(self) -> None:
        mine = client_id("2026-01-05", "d1", Leg.FLATTEN)
        assert wire(body(mine), 3) == f"{mine}:3" and len(wire(body(mine), 0xFFFF)) <= 36
        assert unwire(f"{mine}:ffff") == (mine, 0xFFFF)

    @pytest.mark.parametrize("mine", ["x" * 80, "né", "a b", "", "a:b"])
    def test_others_travel_as_a_digest(self, mine: str) -> None:
        stem = body(mine)
        assert stem != mine and len(wire(stem, 0xFFFF)) <= 36
        assert unwire(wire(stem, 2)) == (stem, 2) and body(mine) == stem

    @pytest.mark.parametrize("name", ["web_abc", "x-TKT5PX2F", "", "a:xyz", "a:12345"])
    def test_names_of_others_are_not_ours(self, name: str) -> None:
        assert unwire(name) is None

    def test_an_id_too_long_comes_back_from_the_orders_known(self, bench: CcxtBench) -> None:
        new = replace(bench.far(), client_id="long " * 20, leg=Leg.SWEEP, decision_id="why")
        assert bench.broker.submit([new])[0].state is OrderState.ACCEPTED
        (seen,) = broker(bench.url, known=[new]).statement().orders
        assert (seen.client_id, seen.leg, seen.decision_id) == (new.client_id, Leg.SWEEP, "why")
        (bare,) = broker(bench.url).statement().orders
        assert bare.client_id == body(new.client_id)


class TestUnits:
    @pytest.mark.parametrize(
        ("unit", "allowed"),
        [
            ("0.001", "multiples of 0.01 coins"),
            ("0.015", "multiples of 0.01 coins"),
            ("0", "positive decimal"),
            ("-1", "positive decimal"),
            ("nan", "positive decimal"),
            ("coin", "positive decimal"),
        ],
    )
    def test_a_unit_the_ticks_do_not_fit_is_refused(
        self, bench: CcxtBench, unit: str, allowed: str
    ) -> None:
        with pytest.raises(ParamsError, match=allowed) as caught:
            broker(bench.url, unit={"BTC/USDT": unit})
        assert caught.value.remedy

    @pytest.mark.parametrize(
        "values",
        [
            {"unit": {"ETH/EUR": "1"}},
            {"unit": {"NONE/USDT": "1"}},
            {"unit": {"ETH/USDT": "0.005"}, "quote": "EUR"},
            {"unit": {}},
            {"exchange": "kraken"},
            {"base_url": "ftp://x"},
            {"timeout_s": float("nan")},
        ],
    )
    def test_settings_that_cannot_be_meant(self, bench: CcxtBench, values: dict) -> None:
        with pytest.raises(ParamsError):
            broker(bench.url, **values)

    def test_prices_and_quantities_on_the_wire_are_exact(self, bench: CcxtBench) -> None:
        bench.broker.submit([order(bench, 1, lots=3, limit=100_005)])
        (row,) = bench.api.venue.orders.values()
        # 6 units of 0.005 coins; 10.0005 a unit is 2,000.10 a coin.
        assert (row["origQty"], row["price"]) == ("0.03000000", "2000.10000000")
        assert bench.broker.statement().orders[0].limit == 100_005

    def test_coins_are_gathered_into_whole_units(self, bench: CcxtBench) -> None:
        mine = broker(bench.url, unit={"BTC/USDT": "0.01"})
        new = replace(order(bench, 1, lots=1), symbol="BTC/USDT", quantity=2)
        assert mine.submit([replace(new, limit=5_000_000, type=OrderType.LIMIT)])[0].state.open
        seen = []
        for price, coins in (("50000.00", "0.006"), ("49999.00", "0.006"), ("49998.00", "0.008")):
            bench.api.venue.trade("BTCUSDT", Decimal(price), Decimal(coins))
            events = mine.poll()
            seen.append([(f.quantity, f.price, f.commission) for f in events.fills])
            assert sum(f.quantity for f in events.fills) <= events.orders[0].filled
        # 0.006 at 50,000 and 0.004 at 49,999 are 499.996; fees are 10 bps of what was traded.
        assert seen == [[], [(1, 4_999_960, 6000)], [(1, 4_999_820, 4000)]]
        assert events.orders[0].state is OrderState.FILLED
        again = broker(bench.url, unit={"BTC/USDT": "0.01"}).statement()
        assert [(f.quantity, f.price, f.commission) for f in again.fills] == seen[1] + seen[2]


class TestWords:
    """What the exchange says, and what becomes of it."""

    @pytest.mark.parametrize(("key", "secret"), [("other", SECRET), (KEY, "other"), ("", "other")])
    def test_a_wrong_key_is_said_at_once(self, bench: CcxtBench, key: str, secret: str) -> None:
        with pytest.raises(BrokerDown, match="refuses the key") as caught:
            broker(bench.url, key=key, secret=secret)
        assert "key" in caught.value.remedy and secret not in str(caught.value.as_dict())

    def test_a_clock_that_is_off_is_set(self, bench: CcxtBench) -> None:
        bench.api.venue.skew = -7_000
        assert bench.broker.submit([bench.far()])[0].state is OrderState.ACCEPTED
        bench.api.venue.skew = 9_000
        assert len(bench.broker.statement().orders) == 1

    @pytest.mark.parametrize("limit", ["429", "418"])
    def test_told_to_wait_it_waits_within_its_patience(self, bench: CcxtBench, limit: str) -> None:
        bench.fault(limit, retry_after=0.3, times=2)
        assert bench.broker.submit([bench.far(1)])[0].state is OrderState.ACCEPTED
        bench.fault(limit, retry_after=120)
        new = bench.far(2)
        assert bench.broker.submit([new])[0].state is OrderState.UNKNOWN
        bench.fault(limit, retry_after=120, on="GET /api/v3/openOrders")
        with pytest.raises(BrokerDown):
            bench.broker.poll()

    @pytest.mark.parametrize("fault", ["truncated", "garbage", "nan", "timeout", "error"])
    def test_an_order_whose_answer_cannot_be_read_is_in_flight(
        self, bench: CcxtBench, fault: str
    ) -> None:
        bench.fault(fault)
        new = bench.far()
        unknown = bench.broker.submit([new])[0]
        assert unknown.state is OrderState.UNKNOWN and unknown.note
        assert bench.broker.submit([new])[0].refusals == (Refusal.DUPLICATE.name,)
        known = [o.state for o in bench.broker.statement().orders]
        assert known == ([OrderState.UNKNOWN] if fault == "error" else [OrderState.ACCEPTED])

    def test_what_left_no_trace_may_be_sent_again_when_it_is_void(self, bench: CcxtBench) -> None:
        bench.fault("error")
        new = bench.far()
        bench.broker.submit([new])
        bench.later()
        assert settle(bench) == ({}, [])
        assert bench.broker.cancel([new.client_id]) == []
        assert bench.broker.statement().orders == ()
        assert bench.broker.submit([new])[0].state is OrderState.ACCEPTED

    @pytest.mark.parametrize(
        ("fault", "path"),
        [
            *itertools.product(
                ["truncated", "garbage", "nan", "error", "cut"],
                ["account", "openOrders", "myTrades"],
            ),
            ("timeout", "account"),
            ("error", "time"),
            ("garbage", "exchangeInfo"),
        ],
    )
    def test_an_account_that_cannot_be_read_is_a_line_that_is_down(
        self, bench: CcxtBench, fault: str, path: str
    ) -> None:
        buy(bench)
        bench.broker.submit([bench.far(2)])
        before = bench.broker.statement()
        bench.fault(fault, on=f"GET /api/v3/{path}")
        with pytest.raises(BrokerDown):
            bench.restart().statement()
        known = [order(bench, 1), bench.far(2)]
        assert broker(bench.url, known=known).statement() == before

    def test_a_reject_of_the_filters_is_in_the_exchanges_words(self, bench: CcxtBench) -> None:
        mine = bench.broker.submit([order(bench, 1, lots=1, limit=5)])[0]
        assert mine.refusals == (Refusal.VENUE.name,)
        assert mine.note == "Filter failure: NOTIONAL"
        rich = bench.broker.submit([order(bench, 2, lots=10**6, limit=bench.price)])[0]
        assert "insufficient balance" in rich.note

    def test_a_price_that_does_not_go_with_the_type_stays_here(self, bench: CcxtBench) -> None:
        limit = bench.far()
        asked = [
            replace(limit, limit=None),
            replace(limit, stop=5),
            replace(limit, type=OrderType.STOP),
            replace(limit, quantity=float("nan")),
            replace(limit, limit=float("nan")),
            replace(limit, symbol="BTC/USDT"),
        ]
        for answer in bench.broker.submit(asked) + bench.broker.amend(asked):
            assert answer.refusals == (Refusal.INVALID.name,) and answer.note
        assert bench.api.log.count("POST /api/v3/order") == 0

    def test_no_exchange_at_all(self) -> None:
        with running(Api()) as server:
            url = server.url
        with pytest.raises(BrokerDown) as caught:
            broker(url)
        assert caught.value.remedy


class TestOrders:
    def test_amending_is_one_call_and_carries_what_was_filled(self, bench: CcxtBench) -> None:
        new = order(bench, 1, limit=bench.price)
        bench.broker.submit([new])
        bench.trade(bench.price, 3 * bench.lot)
        settle(bench)
        (first,) = bench.broker.amend([replace(new, quantity=4 * bench.lot)])
        (second,) = bench.broker.amend([replace(new, quantity=5 * bench.lot, limit=99_995)])
        assert (first.quantity, first.filled) == (7 * bench.lot, 3 * bench.lot)
        assert (second.quantity, second.filled, second.limit) == (16, 6, 99_995)
        assert bench.api.log.count(CANCEL_REPLACE) == 2
        assert bench.broker.amend([replace(new, quantity=5 * bench.lot, limit=99_995)]) == []
        assert settle(bench) == ({}, [])
        bench.broker = bench.restart()
        (seen,) = bench.broker.statement().orders
        assert (seen.client_id, seen.quantity, seen.filled) == (new.client_id, 16, 6)
        (third,) = bench.broker.amend([replace(new, quantity=2, limit=99_990)])
        assert (third.quantity, third.filled) == (8, 6)
        names = [o["clientOrderId"] for o in bench.api.venue.orders.values()]
        assert names == [f"{new.client_id}:{n}" for n in range(4)]

    def test_what_cannot_be_meant_leaves_a_working_order_as_it_is(self, bench: CcxtBench) -> None:
        new = bench.far()
        bench.broker.submit([new])
        (answer,) = bench.broker.amend([replace(new, limit=bench.price + 1)])
        assert (answer.state, answer.limit) == (OrderState.ACCEPTED, new.limit)
        assert answer.refusals == (Refusal.INVALID.name,)
        assert settle(bench) == ({}, []) and len(bench.broker.statement().orders) == 1

    @pytest.mark.parametrize("fault", ["timeout", "lost", "disconnect", "cut", "truncated"])
    def test_an_amend_without_an_answer_is_found_out(self, bench: CcxtBench, fault: str) -> None:
        new = bench.far()
        bench.broker.submit([new])
        bench.fault(fault, on=CANCEL_REPLACE)
        with contextlib.suppress(BrokerDown):
            (answer,) = bench.broker.amend([replace(new, quantity=2)])
            assert answer.state is OrderState.UNKNOWN
        arrived = fault not in ("lost", "cut")
        bench.later()
        (seen,) = bench.broker.statement().orders
        assert (seen.quantity, seen.client_id) == (2 if arrived else 20, new.client_id)

    def test_a_replacement_refused_leaves_the_order_cancelled(self, bench: CcxtBench) -> None:
        new = bench.far()
        bench.broker.submit([new])
        (after,) = bench.broker.amend([replace(new, quantity=10**7)])
        assert after.state is OrderState.CANCELLED
        assert after.refusals == (Refusal.VENUE.name,) and "insufficient" in after.note
        assert bench.broker.statement().orders == ()

    def test_a_finished_order_is_not_amended_back_to_life(self, bench: CcxtBench) -> None:
        buy(bench)
        old = order(bench, 1, limit=bench.price)
        assert bench.broker.amend([old]) == []
        bench.broker = bench.restart()
        assert bench.broker.amend([old]) == []
        assert len(bench.api.venue.orders) == 1

    def test_all_on_a_symbol_go_in_one_call_but_never_anothers(self, bench: CcxtBench) -> None:
        ids = [bench.broker.submit([bench.far(n)])[0].client_id for n in range(3)]
        assert len(bench.broker.cancel(ids)) == 3
        assert bench.api.log.count("DELETE /api/v3/openOrders") == 1
        ids = [bench.broker.submit([bench.far(n)])[0].client_id for n in (3, 4)]
        other = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        bench.api.venue.place(
            other | {"quantity": "1", "price": "1900", "newClientOrderId": "web_1"}
        )
        bench.broker = bench.restart()
        assert {o.client_id for o in bench.broker.cancel(ids)} == set(ids)
        (left,) = bench.broker.statement().orders
        assert (left.client_id, left.leg, left.limit) == ("web_1", Leg.ENTRY, 95_000)
        assert bench.api.log.count("DELETE /api/v3/openOrders") == 1

    @pytest.mark.parametrize("fault", ["timeout", "truncated", "error"])
    def test_a_cancel_without_an_answer_is_found_out(self, bench: CcxtBench, fault: str) -> None:
        new = bench.far()
        bench.broker.submit([new])
        bench.fault(fault, on="DELETE /api/v3/order")
        (answer,) = bench.broker.cancel([new.client_id])
        assert answer.state is OrderState.UNKNOWN
        after = settle(bench)[0][new.client_id].state
        assert after is (OrderState.ACCEPTED if fault == "error" else OrderState.CANCELLED)

    def test_a_market_order_that_fills_at_once_is_told_by_poll(self, bench: CcxtBench) -> None:
        bench.trade(bench.price, 1)
        bench.api.venue.instant = True
        new = order(bench, 1)
        (answer,) = bench.broker.submit([new])
        assert (answer.state, answer.filled) == (OrderState.ACCEPTED, 0)
        orders, (fill,) = settle(bench)
        assert orders[new.client_id].state is OrderState.FILLED and fill.quantity == new.quantity

    def test_an_order_in_flight_can_be_cancelled(self, bench: CcxtBench) -> None:
        bench.fault("timeout")
        new = bench.far()
        assert bench.broker.submit([new])[0].state is OrderState.UNKNOWN
        assert bench.broker.cancel([new.client_id])[0].state is OrderState.CANCELLED

    def test_orders_sent_before_the_line_broke_are_told_by_poll(self, bench: CcxtBench) -> None:
        bench.fault("none")
        bench.fault("disconnect")
        with pytest.raises(BrokerDown):
            bench.broker.submit([bench.far(1), bench.far(2)])
        assert {o.state for o in settle(bench)[0].values()} == {OrderState.ACCEPTED}
        assert len(bench.broker.statement().orders) == 2


class TestAccount:
    def test_average_cost_of_what_is_held(self, bench: CcxtBench) -> None:
        for n, price in enumerate((100_000, 110_000)):
            bench.broker.submit([order(bench, n)])
            bench.trade(price, 20)
        bench.broker.submit([order(bench, 3, side=Side.SELL, lots=5)])
        bench.trade(120_000, 100)
        holding = bench.broker.statement().holdings["ETH/USDT"]
        assert (holding.quantity, holding.price) == (30, 105_000.0)

    def test_coins_nobody_bought_stand_at_the_last_price(self, bench: CcxtBench) -> None:
        bench.trade(101_000, 1)
        bench.hold(3)
        assert bench.broker.statement().holdings["ETH/USDT"].price == 101_000.0

    @pytest.mark.parametrize(
        ("fees", "commission", "units"), [("received", 2000, 19), ("BNB", 2000, 20)]
    )
    def test_a_fee_in_another_coin_is_converted(
        self, bench: CcxtBench, fees: str, commission: int, units: int
    ) -> None:
        bench.api.venue.fees = fees
        bench.api.venue.coins["BNB"] = Decimal(1)
        bench.broker.submit([order(bench, 1)])
        bench.trade(bench.price, 20)
        (fill,) = settle(bench)[1]
        # 20 units at 10.0000 are 200.0000; 10 bps of it are 0.2000.
        assert fill.commission == commission
        assert held(bench) == units  # a fee in coins leaves less than a whole unit behind

    def test_a_fee_without_a_rate_is_noted(self, bench: CcxtBench) -> None:
        bench.api.venue.fees = "XYZ"
        bench.broker.submit([order(bench, 1)])
        bench.trade(bench.price, 20)
        orders, (fill,) = settle(bench)
        assert fill.commission == 0
        assert orders["conformance-0001"].note == "fee in XYZ not counted: no rate"

    def test_more_trades_than_a_page(self, bench: CcxtBench) -> None:
        new = order(bench, 1, lots=1100, limit=bench.price)
        bench.broker.submit([new])
        for _ in range(1100):
            bench.trade(bench.price, bench.lot)
        orders, fills = settle(bench)
        assert orders[new.client_id].state is OrderState.FILLED
        assert sum(f.quantity for f in fills) == new.quantity == len(fills) * bench.lot
        bench.broker = bench.restart()
        seen = bench.broker.statement()
        assert len(seen.fills) == 1100 and len({f.fill_id for f in seen.fills}) == 1100
        assert settle(bench) == ({}, [])


MARKET = Market(
    symbol="ETH/USDT", id="ETHUSDT", base="ETH", unit=ETH, step=Decimal("0.1"), tick=5, lot=2
)


class TestFills:
    @staticmethod
    def deal(n: int, price: str, coins: str, side: Side = Side.BUY) -> Deal:
        return Deal(n, 1, Decimal(price), Decimal(coins), side, Decimal(0), 0)

    def test_average_starts_again_when_nothing_is_left(self) -> None:
        deals = [
            self.deal(1, "10", "2"),
            self.deal(2, "12", "2", Side.SELL),
            self.deal(3, "20", "1"),
            self.deal(4, "30", "1"),
        ]
        assert average(deals) == 25
        assert average(deals[:2]) is None

    def test_what_does_not_come_out_even_is_rounded_against_us(self, bench: CcxtBench) -> None:
        new = order(bench, 1)
        for side, price in ((Side.BUY, 100_002), (Side.SELL, 100_001)):
            deals = [
                self.deal(1, "2000.0", "0.003", side),
                self.deal(2, "2000.1", "0.001", side),
                self.deal(3, "2000.1", "0.001", side),
            ]
            deals[2] = replace(deals[2], price=Decimal("2000.05"))
            (fill,) = fills_of(new, deals, MARKET)
            assert (fill.quantity, fill.price, fill.fill_id) == (1, price, "ETHUSDT-3")

    @given(
        st.lists(st.tuples(st.integers(1, 30), st.integers(1, 10**6)), min_size=1, max_size=12),
        st.sampled_from(Side),
    )
    def test_units_money_and_fees_are_conserved(
        self, trades: list[tuple[int, int]], side: Side
    ) -> None:
        deals = [
            Deal(n, 1, Decimal(p) / 10, Decimal(q) / 1000, side, Decimal(q * p) / 10**6, n)
            for n, (q, p) in enumerate(trades, 1)
        ]
        new = Order("a", "ETH/USDT", side, 1, OrderType.MARKET, Leg.ENTRY, OrderState.CREATED, "d")
        fills = fills_of(new, deals, MARKET)
        coins = sum(d.coins for d in deals)
        units = sum(f.quantity for f in fills)
        assert units == coins // ETH and fills == fills_of(new, reversed(deals), MARKET)
        done = Decimal(0)
        worth = Decimal(0)
        for deal in deals:  # the first coins, one by one, up to the last whole unit
            part = min(deal.coins, units * ETH - done)
            done, worth = done + part, worth + part * deal.price
        off = (sum(f.quantity * f.price for f in fills) - worth * SCALE) * side.sign
        assert 0 <= off <= units  # against us, less than 1/10,000 a unit
        if coins == units * ETH:
            fees = sum(d.fee for d in deals) * SCALE
            assert abs(sum(f.commission for f in fills) - fees) <= len(fills)


class TestNumbers:
    @pytest.mark.parametrize("value", ["NaN", "Infinity", "-inf", "", "x", None, 1.5, True, [], {}])
    def test_what_is_no_number_never_becomes_one(self, value: object) -> None:
        with pytest.raises(Unanswered):
            number({"price": value}, "price")

    def test_without_a_url_it_is_the_sandbox(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Line, "set_clock", lambda self: None)
        line = Line(CcxtSettings(unit={"BTC/USDT": "0.01"}), SecretStr("k"), SecretStr("s"))
        asked = line._api.sign("order", ["private"], "GET", {})
        assert asked["url"].startswith("https://testnet.")
        assert line._api.enableRateLimit and line._api.rateLimit > 0


@given(st.data())
def test_any_course_of_events_reconciles(data: st.DataObject) -> None:
    """Fills, orders and the account agree whatever happens, over crashes and lost answers."""
    faults = ["disconnect", "cut", "truncated", "error", "none", "duplicate", "late", "reject"]
    with running(Api()) as server:
        bench = CcxtBench(server, timeout_s=5)
        bench.hold(100)
        fills: dict[str, Fill] = {}
        sent: dict[str, Order] = {}
        for n in range(data.draw(st.integers(1, 8))):
            step = data.draw(st.sampled_from(["send", "trade", "amend", "cancel", "poll", "crash"]))
            with contextlib.suppress(BrokerDown):
                if step == "send":
                    side, away = data.draw(st.sampled_from(Side)), data.draw(st.integers(-2, 2))
                    price = bench.price + away * bench.tick
                    new = order(bench, n, side=side, lots=data.draw(st.integers(1, 9)), limit=price)
                    sent[new.client_id] = new
                    bench.fault(data.draw(st.sampled_from(faults)))
                    bench.broker.submit([new])
                elif step == "trade":
                    price = bench.price + data.draw(st.integers(-2, 2)) * bench.tick
                    bench.trade(price, data.draw(st.integers(1, 9)) * bench.lot)
                elif step == "amend" and sent:
                    old = sent[data.draw(st.sampled_from(sorted(sent)))]
                    bench.fault(data.draw(st.sampled_from(faults[:5])), on=CANCEL_REPLACE)
                    working = {o.client_id for o in bench.broker.statement().orders}
                    if old.client_id in working:
                        bench.broker.amend([replace(old, quantity=4 * bench.lot)])
                elif step == "cancel" and sent:
                    bench.broker.cancel([data.draw(st.sampled_from(sorted(sent)))])
                elif step == "poll":
                    fills |= {f.fill_id: f for f in bench.broker.poll().fills}
                else:
                    bench.broker = bench.restart()
        bench.api.faults.clear()
        bench.later()
        bench.broker.cancel(list(sent))
        seen = bench.broker.statement()
        assert seen.orders == ()
        told = settle(bench)[1]
        assert len({f.fill_id for f in told}) == len(told)
        fills |= {f.fill_id: f for f in (*told, *seen.fills)}
        assert 100 + sum(f.side.sign * f.quantity for f in fills.values()) == held(bench)
        paid = sum(f.side.sign * f.quantity * f.price + f.commission for f in fills.values())
        assert abs(1_000_000 * SCALE - paid - seen.cash) <= len(fills)
        revisions = [o["clientOrderId"] for o in bench.api.venue.orders.values()]
        assert len(revisions) == len(set(revisions))
        again = bench.restart()
        for new in sent.values():
            there = any(r.startswith(f"{new.client_id}:") for r in revisions)
            assert (again.submit([new])[0].refusals == (Refusal.DUPLICATE.name,)) == there


def test_the_stub_as_a_process_keeps_its_state(tmp_path: Path) -> None:
    def start() -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "hybridnb.testing.binance_server", "--port", "0"]
        command += ["--state", str(tmp_path / "venue.json")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, f"http://127.0.0.1:{process.stdout.readline().strip()}"

    def control(url: str, **asked) -> dict:
        request = urllib.request.Request(f"{url}/control", json.dumps(asked).encode())
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    class Away(CcxtBench):
        def __init__(self, url: str) -> None:
            self.broker = broker(url)

    process, url = start()
    try:
        away = Away(url)
        new = order(away, 1, limit=away.price)
        away.broker.submit([new])
        control(url, do="trade", symbol="ETHUSDT", price="2000.0", quantity="0.03")
        control(url, do="hold", coin="ETH", quantity="0.01")
        before = away.broker.statement()
        process.kill()
        process.wait()
        with pytest.raises(BrokerDown):
            away.broker.poll()
        process, url = start()
        assert broker(url, known=[new]).statement() == before
        assert before.orders[0].filled == 6 and before.holdings["ETH/USDT"].quantity == 8
        assert control(url, do="state")["orders"][0]["executedQty"] == "0.03000000"
    finally:
        process.kill()
        process.wait()
