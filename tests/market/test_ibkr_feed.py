"""The `ibkr` feed against a loopback gateway that speaks the TWS API."""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("ib_async", reason="the optional package ib_async isn't installed")

from hybridnb.domain import Bucket, Instrument
from hybridnb.errors import InputError, Missing, ParamsError
from hybridnb.execution import ibkr_rows
from hybridnb.market import calendar as exchange
from hybridnb.market import fetched
from hybridnb.market.feeds import FeedRequest, load_feed
from hybridnb.market.ibkr import SETTLES, stock_of
from hybridnb.ports import MarketData
from hybridnb.testing.exchange import Exchange
from hybridnb.testing.ibkr_gateway import Gateway
from hybridnb.testing.ibkr_server import running

LAST = pd.Timestamp("2023-03-29")  # the last but one of the bars that the gateway has
SESSIONS = 61
NAMES = {"AAPL": "AAPL", "BRK-B": "BRK B"}  # ours, the stub's
Bars = Callable[..., pd.DataFrame]


class Bench:
    """A gateway with bars, and the feed's settings that find it."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.gateway, self.feeds, self.others = gateway, gateway.feeds, 0
        self.section: dict[str, Any] = {"port": port, "timeout_s": 5.0, "symbols": list(NAMES)}

    def load(self, store: Path | None = None, *, currency: str = "", **section: Any) -> MarketData:
        asked = FeedRequest(section=self.section | section, store=store, currency=currency or None)
        try:
            return load_feed("ibkr", asked)
        finally:
            assert self.alone(), "the feed hangs up, whatever happens"

    @property
    def asked(self) -> list[list[str]]:
        return [fields for fields in self.gateway.log if fields[0] == "20"]

    def change(self, symbol: str, row: int, column: int, value: Any) -> None:
        bars = [list(bar) for bar in self.feeds.history[symbol]]
        bars[row][column] = value
        self.feeds.history[symbol] = bars

    def alone(self) -> bool:
        """Whether nobody but others is connected; who hangs up is missed a moment later."""
        end = time.monotonic() + 10
        while len(self.gateway.peers) > self.others and time.monotonic() < end:
            time.sleep(0.01)
        return len(self.gateway.peers) == self.others


def told(bars: pd.DataFrame) -> dict[str, list[list[Any]]]:
    """Bars as a gateway tells them, by our symbol."""
    dated = bars.assign(date=bars["date"].str.replace("-", ""))
    return {s: rows.drop(columns="symbol").values.tolist() for s, rows in dated.groupby("symbol")}


@pytest.fixture
def bench(bars_of: Bars, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(fetched, "last_over", lambda *_: LAST)
    gateway = Gateway(Exchange(currency="USD"))
    bars = told(bars_of(*NAMES, sessions=SESSIONS, calendar="XNYS"))
    gateway.feeds.history = {NAMES[symbol]: rows for symbol, rows in bars.items()}
    before = set(threading.enumerate())
    with running(gateway) as (port, _):
        yield Bench(gateway, port)
    left = {t.name for t in set(threading.enumerate()) - before}
    assert not [name for name in left if "process_request" not in name], "those are the stub's"


def test_bars_of_sessions_that_are_over_arrive_to_the_last_digit(
    bench: Bench, bars_of: Bars
) -> None:
    market, given = bench.load(), bars_of(*NAMES, sessions=SESSIONS, calendar="XNYS")
    assert (market.feed, market.calendar, market.currency) == ("ibkr", "XNYS", "USD")
    over = given[given["date"] <= f"{LAST:%Y-%m-%d}"].reset_index(drop=True)
    assert len(over) == 2 * (SESSIONS - 1) == len(market.bars)
    assert market.bars["symbol"].tolist() == over["symbol"].tolist()
    assert market.bars["session"].dt.strftime("%Y-%m-%d").tolist() == over["date"].tolist()
    columns = ["open", "high", "low", "close", "volume"]
    assert np.array_equal(market.bars[columns].to_numpy(), over[columns].to_numpy())
    assert any("splits" in note for note in market.notes)


def test_the_session_in_progress_is_left_out_today_too(bars_of: Bars) -> None:
    last = fetched.last_over("XTSE", pd.Timestamp.now(tz="UTC") - SETTLES)
    first, following = last - pd.Timedelta(days=60), exchange.next_session("XTSE", last)
    days = exchange.sessions("XTSE", first, following)
    bars = bars_of("SHOP.TO", sessions=len(days)).assign(date=days.strftime("%Y-%m-%d"))
    gateway = Gateway(Exchange(currency="CAD"))
    gateway.feeds.history["SHOP"] = told(bars)["SHOP.TO"]
    with running(gateway) as (port, _):
        market = Bench(gateway, port).load(symbols=["SHOP.TO"])
    # It may have closed meanwhile.
    later = fetched.last_over("XTSE", pd.Timestamp.now(tz="UTC") - SETTLES)
    assert market.bars["session"].max() in (last, later)


def test_the_question_is_for_adjusted_daily_bars_of_trades(bench: Bench) -> None:
    bench.load(years=7)
    first, second = bench.asked
    assert first[3:12] == ["AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD"]
    assert first[15:22] == ["", "1 day", "7 Y", "1", "TRADES", "1", "0"]
    assert second[3] == "BRK B"


def test_canadian_names_come_from_their_exchanges(bench: Bench, bars_of: Bars) -> None:
    bars = told(bars_of("BBD-B.TO", "ABC.V", sessions=SESSIONS))
    bench.feeds.history |= {"BBD.B.CAD": bars["BBD-B.TO"], "ABC.CAD": bars["ABC.V"]}
    market = bench.load(symbols=["BBD-B.TO", "ABC.V"])
    assert (market.calendar, market.currency) == ("XTSE", "CAD")
    assert [fields[9] for fields in bench.asked] == ["TSE", "VENTURE"]
    buckets = {s: i.bucket for s, i in market.instruments.items()}
    assert buckets == {"BBD-B.TO": Bucket.CORE, "ABC.V": Bucket.PENNY}


@pytest.mark.parametrize("symbol", ["AAPL", "BRK-B", "SHOP.TO", "BBD-B.TO", "ABC.V", "TO", "V"])
def test_a_symbol_is_the_contract_that_the_broker_trades(symbol: str) -> None:
    name, place, currency = stock_of(symbol)
    theirs = ibkr_rows.stock_of(Instrument(symbol, Bucket.CORE, currency))
    assert (theirs.symbol, theirs.exchange, theirs.currency) == (name, place, currency)


def test_what_was_fetched_is_kept_and_not_asked_again(bench: Bench, tmp_path: Path) -> None:
    first = bench.load(tmp_path)
    assert len(bench.asked) == 2
    again = bench.load(tmp_path, symbols=list(NAMES)[::-1], port=1)
    assert again.digest == first.digest and again.bars.equals(first.bars)
    assert len(bench.asked) == 2, "where the gateway is, and the order, change no bar"
    bench.load(tmp_path, years=9)
    assert len(bench.asked) == 4, "other years are other bars"
    assert len(list(tmp_path.iterdir())) == 2


def test_it_works_where_a_loop_runs_already_and_in_a_thread(bench: Bench) -> None:
    async def cell() -> MarketData:
        return bench.load()

    digest = asyncio.run(cell()).digest
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(bench.load).result().digest == digest


REFUSED = [(200, "The contract description specified for BRK B is ambiguous.")]
REFUSED += [(162, "HMDS query returned no data"), (354, "Requested market data is not subscribed.")]


@pytest.mark.parametrize(("code", "words"), REFUSED)
def test_a_refused_symbol_is_named_with_the_gateways_words(
    bench: Bench, tmp_path: Path, code: int, words: str
) -> None:
    bench.feeds.refusals["BRK B"] = (code, words)
    with pytest.raises(Missing, match=f"no bars of BRK-B: {code}: {words}") as caught:
        bench.load(tmp_path)
    assert "feeds.yml" in caught.value.remedy and not list(tmp_path.iterdir())


def test_a_symbol_unknown_or_without_bars_is_named(bench: Bench) -> None:
    with pytest.raises(Missing, match="no bars of NONE: 200: No security definition"):
        bench.load(symbols=["AAPL", "NONE"])
    bench.feeds.history["BRK B"] = []
    with pytest.raises(Missing, match="no bars of BRK-B"):
        bench.load()


def test_without_a_gateway_it_says_what_to_start(bench: Bench) -> None:
    with socket.socket() as silent:  # bound, and nobody listens
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(Missing, match=f"127.0.0.1:{port}") as caught:
            bench.load(port=port, client_id=9)
    assert f"port {port}; client id 9 must be free" in caught.value.remedy


def test_what_is_never_answered_is_given_up(bench: Bench) -> None:
    bench.gateway.knobs["mute"] = True
    with pytest.raises(Missing, match=r"127\.0\.0\.1:\d+: no answer in time"):
        bench.load(timeout_s=1.0)
    bench.gateway.knobs["mute"] = False
    bench.feeds.history_fault = "silent"
    with pytest.raises(Missing, match="about AAPL: no answer in time") as caught:
        bench.load(timeout_s=1.0)
    assert "Start IB Gateway" in caught.value.remedy
    bench.feeds.history_fault = ""
    bench.feeds.refusals["AAPL"] = (321, "Error validating request")  # a warning to the library
    with pytest.raises(Missing, match="about AAPL: no answer in time; 321: Error validating"):
        bench.load(timeout_s=1.0)


def test_a_taken_client_id_is_said(bench: Bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.section["port"])) as other:
        other.sendall(b"API\0\0\0\0\x09v157..178\0\0\0\x0871\x002\x002\0\0")
        while not bench.gateway.peers:
            other.recv(1)
        bench.others = 1
        with pytest.raises(Missing, match="client id is already in use"):
            bench.load(timeout_s=1.0)


def test_a_line_that_breaks_in_the_middle_of_bars_is_said(bench: Bench, tmp_path: Path) -> None:
    bench.feeds.history_fault = "cut"
    with pytest.raises(Missing, match="about AAPL: Socket disconnect"):
        bench.load(tmp_path)
    assert not list(tmp_path.iterdir())
    bench.feeds.history_fault = ""
    assert len(bench.load(tmp_path).bars) == 2 * (SESSIONS - 1)


def test_who_interrupts_it_isnt_kept_waiting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        while not bench.asked:
            time.sleep(0.01)
        raise KeyboardInterrupt

    bench.feeds.history_fault = "silent"
    monkeypatch.setattr(Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.load(timeout_s=600)


CANT_BE = [(column, price, "price") for column in (1, 4) for price in (math.nan, -1, 0, math.inf)]
CANT_BE += [(5, -1, "volume missing"), (5, -2, "volume out of range"), (5, 1e300, "volume out of")]


@pytest.mark.parametrize(("column", "value", "rule"), CANT_BE)
def test_a_number_that_cant_be_is_refused_by_the_contracts(
    bench: Bench, column: int, value: float, rule: str
) -> None:
    bench.change("AAPL", 7, column, value)
    with pytest.raises(InputError, match=f"IB Gateway, row 8: {rule}"):
        bench.load()


def test_a_bar_that_comes_twice_or_of_no_session_is_refused(bench: Bench) -> None:
    bars = bench.feeds.history["AAPL"]
    bench.feeds.history["AAPL"] = [*bars, bars[5]]
    with pytest.raises(InputError, match="duplicate key"):
        bench.load()
    bench.feeds.history["AAPL"] = bars
    bench.change("AAPL", 0, 0, "20230101")
    with pytest.raises(InputError, match="2023-01-01 is no session of XNYS"):
        bench.load()


def test_a_date_that_cant_be_read_is_no_answer(bench: Bench) -> None:
    bench.change("AAPL", 3, 0, "yesterday")
    with pytest.raises(Missing, match="about AAPL"):
        bench.load(timeout_s=1.0)


WRONG: list[dict[str, Any]] = [{"years": 0}, {"years": 31}, {"port": 0}, {"client_id": 0}]
WRONG += [{"timeout_s": math.nan}, {"timeout_s": 0}, {"host": ""}, {"account": "DU1"}]
LISTS: list[Any] = [[], ["AAPL", "AAPL"], ["aapl"], [".TO"], ["BRK B"], [True], "AAPL", None]


@pytest.mark.parametrize("section", WRONG + [{"symbols": symbols} for symbols in LISTS])
def test_what_cant_be_meant_is_refused_by_its_key(bench: Bench, section: dict[str, Any]) -> None:
    with pytest.raises(ParamsError) as caught:
        bench.load(**section)
    assert caught.value.key.split(".")[0] in section and not bench.gateway.log


MIXED = [("SHOP.TO AAPL", "", "AAPL"), ("AAPL MSFT SHOP.TO", "", "SHOP.TO")]
MIXED += [("AAPL", "CAD", "AAPL"), ("SHOP.TO", "USD", "SHOP.TO")]


@pytest.mark.parametrize(("symbols", "currency", "wrong"), MIXED)
def test_one_feed_has_one_currency(bench: Bench, symbols: str, currency: str, wrong: str) -> None:
    with pytest.raises(ParamsError) as caught:
        bench.load(symbols=symbols.split(), currency=currency)
    assert caught.value.value == wrong and not bench.gateway.log


def test_without_the_library_it_says_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['ib_async'] = None; from hybridnb.market.ibkr import *\n"
        "try: load(FeedRequest())\n"
        "except Missing as error: print(error.remedy)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "pip install 'hybridnb[ibkr]'"
