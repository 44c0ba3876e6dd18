"""The yfinance feed, by the real library against a loopback Yahoo."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

yfinance = pytest.importorskip("yfinance", reason="the optional package yfinance isn't installed")
curl_cffi = pytest.importorskip("curl_cffi", reason="yfinance speaks through curl_cffi")

from hybridnb.domain import Bucket
from hybridnb.errors import Missing, ParamsError, UsageError
from hybridnb.market import calendar as exchange
from hybridnb.market import fetched
from hybridnb.ports import MarketData
from hybridnb.testing.yahoo_server import CRUMB, Chart, Server, Yahoo, running

Load = Callable[..., MarketData]
TORONTO = ("RY.TO", "SHOP.TO")
CHART = "GET query2.finance.yahoo.com/v8/finance/chart/"


def chart_of(bars: pd.DataFrame) -> Chart:
    """Bars as Yahoo keeps them."""
    rows = bars.drop(columns="symbol").to_numpy(dtype=object).tolist()
    return Chart([(*row[:5], int(row[5])) for row in rows], "CAD", "America/Toronto")


def without_prices(chart: Chart, *places: int) -> Chart:
    """Yahoo's way to miss a bar: its prices are null."""
    rows = list(chart.rows)
    for i in places:
        rows[i] = (rows[i][0], None, None, None, None, rows[i][5])
    return replace(chart, rows=rows)


class Plain(curl_cffi.Session):
    """Asks Yahoo's hosts without TLS, for which a stub would need their certificate."""

    def request(self, method: str, url: str, **given: Any) -> Any:
        return super().request(method, url.replace("https://", "http://", 1), **given)


@pytest.fixture
def server(
    bars_of: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """Yahoo in the evening of the last of sixty sessions; it's all that can be reached."""
    charts = {symbol: chart_of(part) for symbol, part in bars_of(*TORONTO).groupby("symbol")}
    yahoo = Yahoo(charts, now=dt.datetime(2023, 3, 28, 22, tzinfo=dt.UTC))
    over = fetched.last_over
    with running(yahoo) as server, Plain(impersonate="chrome") as session:
        for name in ("http_proxy", "https_proxy"):  # of a session of yfinance's own, too
            monkeypatch.setenv(name, server.url)
        monkeypatch.setenv("no_proxy", "none")
        monkeypatch.setattr(yfinance.data.SingletonMeta, "_instances", {})
        monkeypatch.setattr(yfinance.data, "new_session", lambda: session)
        monkeypatch.setattr(
            fetched, "last_over", lambda calendar, _: over(calendar, pd.Timestamp(yahoo.now))
        )
        yield server


@pytest.fixture
def told(server: Server, load: Load) -> Load:
    """The market of some symbols; `section` is what else the feed's parameters say."""

    def of(*symbols: str, section: dict[str, Any] | None = None, **given: Any) -> MarketData:
        chosen = {"symbols": list(symbols or TORONTO)} | (section or {})
        return load("yfinance", section=chosen, **given)

    return of


def asked(server: Server, kind: str = CHART) -> list[str]:
    return [line.removeprefix(kind) for line in server.yahoo.log if line.startswith(kind)]


# Bars ----------------------------------------------------------------------------------------


def test_the_bars_are_yahoos_to_the_last_digit(server: Server, told: Load) -> None:
    market = told()
    assert (market.feed, market.calendar, market.currency) == ("yfinance", "XTSE", "CAD")
    assert {i.bucket for i in market.instruments.values()} == {Bucket.CORE}
    assert market.notes == (
        "prices are adjusted for splits, not for dividends",
        "Yahoo's data is for personal use; its terms are for you to read",
    )
    found = market.bars.assign(session=market.bars["session"].dt.strftime("%Y-%m-%d"))
    rows = [[symbol, *row] for symbol in TORONTO for row in server.yahoo.charts[symbol].rows]
    assert found.to_numpy().tolist() == rows


def test_splits_and_dividends_change_no_price(server: Server, told: Load) -> None:
    chart = server.yahoo.charts["RY.TO"]
    date = chart.rows[30][0]
    server.yahoo.charts["RY.TO"] = replace(chart, splits={date: (2, 1)}, dividends={date: 0.5})
    found = told("RY.TO").bars[["open", "high", "low", "close", "volume"]]
    assert found.to_numpy().tolist() == [list(row[1:]) for row in chart.rows]


@pytest.mark.parametrize(
    ("utc", "last"), [("13:45", "2023-03-27"), ("19:59", "2023-03-27"), ("20:00", "2023-03-28")]
)
def test_a_session_in_progress_is_left_out(utc: str, last: str, server: Server, told: Load) -> None:
    server.yahoo.now = dt.datetime.fromisoformat(f"2023-03-28T{utc}+00:00")
    assert set(told().bars.groupby("symbol")["session"].max()) == {pd.Timestamp(last)}


def test_history_goes_back_as_many_years_as_asked(server: Server, told: Load) -> None:
    chart = server.yahoo.charts["RY.TO"]
    rows = [("2021-03-25", *chart.rows[0][1:]), *chart.rows]
    server.yahoo.charts["RY.TO"] = replace(chart, rows=rows)
    assert told("RY.TO", section={"years": 1}).bars["session"].min() == pd.Timestamp("2023-01-03")


def test_bars_without_prices_are_left_out_and_counted(
    server: Server, told: Load, tmp_path: Path
) -> None:
    charts = server.yahoo.charts
    charts["RY.TO"] = without_prices(charts["RY.TO"], 10, 40)
    charts["SHOP.TO"] = without_prices(charts["SHOP.TO"], 20)
    for _ in range(2):  # fetched, then kept
        market = told(store=tmp_path)
        assert market.notes[-1] == "3 bars are left out: Yahoo has no prices of them"
        assert market.bars.groupby("symbol").size().to_dict() == {"RY.TO": 58, "SHOP.TO": 59}


def test_what_was_fetched_is_read_again_and_not_asked_for(
    server: Server, told: Load, tmp_path: Path
) -> None:
    first = told(store=tmp_path)
    server.yahoo.charts.clear()
    again = told(store=tmp_path)
    assert asked(server) == list(TORONTO)
    assert (again.digest, again.notes) == (first.digest, first.notes)
    with pytest.raises(Missing):  # other values are asked for anew
        told(section={"years": 5}, store=tmp_path)


def test_a_last_session_without_prices_is_asked_for_again(
    server: Server, told: Load, tmp_path: Path
) -> None:
    whole = dict(server.yahoo.charts)
    for symbol, chart in whole.items():
        server.yahoo.charts[symbol] = without_prices(chart, -1)
    assert told(store=tmp_path).bars["session"].max() == pd.Timestamp("2023-03-27")
    server.yahoo.charts |= whole
    assert told(store=tmp_path).bars["session"].max() == pd.Timestamp("2023-03-28")


# The exchange and its currency ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "calendar", "currency"),
    [("ABC.V", "XTSE", "CAD"), ("A.TO B", "XTSE", "CAD"), ("A.TO B C", "XNYS", "USD")],
)
def test_most_names_tell_the_exchange(
    names: str, calendar: str, currency: str, server: Server, told: Load
) -> None:
    days = exchange.sessions(calendar, "2023-01-03", "2023-03-28")
    rows = [(f"{day:%Y-%m-%d}", 20.0, 20.5, 19.5, 20.0, 1000) for day in days]
    server.yahoo.charts |= {symbol: Chart(rows, currency) for symbol in names.split()}
    market = told(*names.split())
    assert (market.calendar, market.currency) == (calendar, currency)


def test_an_exchange_whose_currency_is_unknown_needs_one(told: Load) -> None:
    with pytest.raises(UsageError, match="the currency of XTKS is unknown"):
        told(calendar="XTKS")


def test_a_symbol_of_another_currency_is_refused(
    server: Server, told: Load, tmp_path: Path
) -> None:
    charts = server.yahoo.charts
    charts["RY.TO"] = replace(charts["RY.TO"], currency="USD")
    with pytest.raises(ParamsError, match=r"yfinance.symbols = 'RY.TO'.*CAD.*USD"):
        told("SHOP.TO", "RY.TO", store=tmp_path)
    assert not list(tmp_path.iterdir())
    assert told("RY.TO", currency="USD", store=tmp_path).currency == "USD"
    with pytest.raises(ParamsError):  # what was kept is an answer in US dollars alone
        told("RY.TO", store=tmp_path)


# Faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("429", "Too Many Requests"),
        ("down", "CURRENTLY DOWN"),
        *((fault, "the answer can't be read") for fault in ("error", "html", "truncated")),
        *((fault, "no price data found") for fault in ("null", "empty")),
        *((fault, "Failed to perform, curl: ") for fault in ("cut", "closed", "silent")),
    ],
)
def test_a_fault_is_told_with_the_symbol_and_what_to_do(
    fault: str, words: str, server: Server, told: Load, tmp_path: Path
) -> None:
    server.yahoo.faults["SHOP.TO"] = fault
    given = {"section": {"timeout_s": 0.5}, "store": tmp_path}
    with pytest.raises(Missing, match=rf"Yahoo tells no bars of SHOP\.TO: .*{words}") as missing:
        told(**given)
    assert "params/feeds.yml" in missing.value.remedy
    assert not list(tmp_path.iterdir())
    server.yahoo.faults.clear()  # nothing of the fault is remembered
    assert len(told(**given).bars) == 120


def test_nobody_there(told: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(Missing, match=r"no bars of RY\.TO: .*curl: \(7\)"):
        told()


def test_all_unknown_symbols_are_named(told: Load) -> None:
    with pytest.raises(Missing) as missing:
        told("RY.TO", "GONE.TO", "SHOP.TO", "AWAY.V")
    reason = "No data found, symbol may be delisted"
    assert str(missing.value) == f"Yahoo tells no bars of GONE.TO: {reason}; AWAY.V: {reason}"
    assert yfinance.config.debug.hide_exceptions  # the library is left as it was


def test_a_symbol_without_any_price_is_missing(server: Server, told: Load) -> None:
    charts = server.yahoo.charts
    charts["RY.TO"] = without_prices(charts["RY.TO"], *range(60))
    with pytest.raises(Missing, match=r"RY\.TO: all of them are without prices"):
        told()


def test_the_tests_reach_loopback_alone(server: Server) -> None:
    with curl_cffi.Session() as other, pytest.raises(curl_cffi.exceptions.RequestException):
        other.get("https://query2.finance.yahoo.com/v8/finance/chart/RY.TO")
    assert asked(server) == []


def test_a_crumb_is_asked_for_once_and_each_symbol_once_a_load(server: Server, told: Load) -> None:
    told()
    told()
    assert server.yahoo.log.count("GET query1.finance.yahoo.com/v1/test/getcrumb") == 1
    assert asked(server) == [*TORONTO, *TORONTO]


@pytest.mark.parametrize("fault", ["429", "html", "closed"])
def test_bars_come_without_a_crumb_too(fault: str, server: Server, told: Load) -> None:
    server.yahoo.faults["getcrumb"] = fault
    assert len(told().bars) == 120


def test_consent_is_given_where_no_cookie_comes_without(server: Server, told: Load) -> None:
    server.yahoo.faults["fc.yahoo.com"] = "closed"
    told()
    assert asked(server, "POST ") == ["consent.yahoo.com/v2/collectConsent"]
    assert yfinance.data.YfData()._crumb == CRUMB


# Parameters and the library ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"symbols": None}, "symbols"),
        ({"symbols": []}, "symbols"),
        ({"symbols": [""]}, "symbols.0"),
        ({"symbols": ["RY.TO", True]}, "symbols.1"),
        ({"symbols": ["../RY.TO"]}, "symbols.0"),
        *(({"years": years}, "years") for years in (0, 51)),
        *(({name: value}, name) for name, value in (("timeout_s", 0), ("period", "max"))),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(
    values: dict[str, Any], key: str, server: Server, told: Load
) -> None:
    with pytest.raises(ParamsError) as refused:
        told(section=values)
    assert (refused.value.key, refused.value.file) == (key, "feeds.yml")
    assert server.yahoo.log == []


def test_without_the_library_it_says_how_to_install_it(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yfinance", None)
    monkeypatch.delitem(sys.modules, "hybridnb.market.yfinance", raising=False)
    with pytest.raises(Missing) as missing:
        load("yfinance", section={"symbols": ["RY.TO"]})
    assert missing.value.remedy == "pip install 'hybridnb[yfinance]'"
