"""The `ccxt` feed against a loopback exchange: real bars in, or a clear word of what is wrong."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("ccxt", reason="the optional package ccxt isn't installed")

from hybridnb.errors import InputError, Missing, ParamsError
from hybridnb.market import fetched
from hybridnb.market.feeds import FeedRequest, load_feed
from hybridnb.ports import MarketData
from hybridnb.testing import binance_server
from hybridnb.testing.binance_api import Api, Fault
from hybridnb.testing.binance_server import Server

UNIT = {"BTC/USDT": "0.01", "ETH/USDT": "0.5"}
KLINES = "GET /api/v3/klines"
Row = list[Any]


def days(count: int, price: str = "100.10") -> list[Row]:
    """Bars of the last so many UTC days, today's included; each a little above the one before."""
    today = pd.Timestamp.now(tz="UTC").normalize()
    rows: list[Row] = []
    for n, day in enumerate(pd.date_range(end=today, periods=count, freq="D")):
        close = float(price) * 1.001**n
        prices = [f"{p:.2f}" for p in (close, close + 2, close - 2, close)]
        rows.append([int(day.timestamp() * 1000), *prices, "12.50000000"])
    return rows


@pytest.fixture
def api() -> Api:
    made = Api()
    made.days = {"BTCUSDT": days(40, "60000.01"), "ETHUSDT": days(40, "3000.55")}
    return made


@pytest.fixture
def server(api: Api) -> Iterator[Server]:
    with binance_server.running(api) as made:
        yield made


def load(server: Server, store: Path | None = None, **section: Any) -> MarketData:
    asked = {"base_url": server.url, "unit": UNIT, "days": 30, "timeout_s": 2.0} | section
    return load_feed("ccxt", FeedRequest(section=asked, store=store))


def test_bars_are_of_whole_units_and_of_days_that_are_over(server: Server, api: Api) -> None:
    market = load(server)
    assert (market.feed, market.calendar, market.currency) == ("ccxt", "24/7", "USDT")
    assert set(market.bars["symbol"]) == set(UNIT)
    today = pd.Timestamp.now(tz="UTC").tz_localize(None).normalize()
    for symbol, rows in (("BTC/USDT", api.days["BTCUSDT"]), ("ETH/USDT", api.days["ETHUSDT"])):
        mine, unit = market.bars[market.bars["symbol"] == symbol], float(UNIT[symbol])
        assert mine["session"].max() == today - pd.Timedelta(days=1)
        assert len(mine) == 30
        there = np.array([[float(x) for x in row[1:6]] for row in rows[-31:-1]])
        prices = mine[["open", "high", "low", "close"]].to_numpy()
        np.testing.assert_allclose(prices, there[:, :4] * unit, rtol=1e-15)
        np.testing.assert_allclose(mine["volume"], there[:, 4] / unit, rtol=1e-15)
    assert market.bars["close"].iloc[0] == round(market.bars["close"].iloc[0], 4), "no float's dust"


def test_more_days_than_a_page_come_in_pages(server: Server, api: Api) -> None:
    api.days["BTCUSDT"] = days(2300, "600.01")
    market = load(server, days=2200, unit={"BTC/USDT": "0.01"})
    assert len(market.bars) == 2200 and api.log.count(KLINES) == 3
    assert not market.bars["session"].duplicated().any()


def test_what_was_fetched_is_kept_until_the_next_day_is_over(
    server: Server, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(server, tmp_path)
    asked = len(api.log)
    assert load(server, tmp_path).digest == first.digest and len(api.log) == asked
    load(server, tmp_path, days=20)
    assert len(api.log) > asked, "other bars are asked for"
    last = fetched.last_over("24/7", pd.Timestamp.now(tz="UTC"))
    monkeypatch.setattr(fetched, "last_over", lambda *_: last - pd.Timedelta(days=1))
    assert load(server, tmp_path).bars["session"].max() == last - pd.Timedelta(days=1)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("fault", ["timeout", "cut", "429", "418", "error", "truncated", "garbage"])
def test_an_exchange_that_fails_is_said_and_nothing_kept(
    server: Server, api: Api, tmp_path: Path, fault: str
) -> None:
    api.faults.append(Fault(fault, KLINES, times=99))
    with pytest.raises(Missing, match="BTC/USDT") as told:
        load(server, tmp_path)
    assert told.value.remedy and not list(tmp_path.iterdir())
    api.faults.clear()
    assert len(load(server, tmp_path).bars) == 60


@pytest.mark.parametrize(
    "row", [[], ["x"], [0, "1", "1", "1"], [0, "a", "1", "1", "1", "1"], {"a": 1}, None, "text"]
)
def test_a_bar_that_is_none_is_refused(
    server: Server, api: Api, row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = api.days["BTCUSDT"]
    if isinstance(row, list) and row and row[0] == 0:
        row = [mine[-5][0], *row[1:]]
    monkeypatch.setattr(Api, "_days", lambda *_: [row])
    with pytest.raises(Missing, match="can't be read"):
        load(server)


@pytest.mark.parametrize("price", ["NaN", "-1", "0", "Infinity", "1e400"])
def test_a_price_that_cant_be_is_refused_by_the_contracts(
    server: Server, api: Api, price: str
) -> None:
    api.days["BTCUSDT"][-5][4] = price
    with pytest.raises(InputError, match="binance"):
        load(server)


def test_an_unknown_symbol_is_named(server: Server) -> None:
    with pytest.raises(Missing, match="DOGE/USDT"):
        load(server, unit={"DOGE/USDT": "1"})


@pytest.mark.parametrize(
    "section",
    [
        {"unit": {}},
        {"unit": {"BTC/USDT": "0"}},
        {"unit": {"BTC/USDT": "NaN"}},
        {"unit": {"BTC/USDT": "one"}},
        {"unit": {"BTC/EUR": "1"}},
        {"days": 0},
        {"exchange": "nowhere"},
        {"base_url": "file:///etc"},
        {"key": "x"},
    ],
)
def test_what_cant_be_meant_is_refused_by_its_key(server: Server, section: Row) -> None:
    with pytest.raises(ParamsError):
        load(server, **section)  # type: ignore[arg-type]


def test_without_the_library_it_says_how_to_get_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched, "find_spec", lambda name: None)
    with pytest.raises(Missing) as told:
        load(server)
    assert "pip install 'hybridnb[ccxt]'" in told.value.remedy


@pytest.mark.parametrize(
    ("calendar", "now", "last"),
    [
        ("24/7", "2024-03-10T00:00:00Z", "2024-03-09"),
        ("24/7", "2024-03-10T23:59:59Z", "2024-03-09"),
        ("XNYS", "2024-03-08T20:59:59Z", "2024-03-07"),
        ("XNYS", "2024-03-08T21:00:00Z", "2024-03-08"),
        ("XNYS", "2024-03-10T12:00:00Z", "2024-03-08"),
        ("XNYS", "2024-07-03T17:00:00Z", "2024-07-03"),  # closes early
        ("XTSE", "2024-07-01T22:00:00Z", "2024-06-28"),  # a holiday
    ],
)
def test_a_session_is_over_when_its_exchange_has_closed(calendar: str, now: str, last: str) -> None:
    found = fetched.last_over(calendar, pd.Timestamp(now))
    assert found.date() == dt.date.fromisoformat(last)
