"""A loopback Yahoo Finance: its chart, and the cookie, crumb and consent that come before it.

It is a proxy for plain HTTP, so that one server is every host that yfinance asks. It tunnels
nothing: who has no other way out reaches nobody else.

    with running(Yahoo({"SHOP.TO": Chart(rows, currency="CAD")})) as server:
        session.proxies = {"all": server.url}

`faults` names what befalls a symbol, a host or the end of a path: `429`, `error` (a 502 in words
of no JSON), `down` (Yahoo's page of a pause), `html` (a 200 that is a page), `null`, `empty` (a
chart without prices), `truncated`, `cut` (half of an answer), `closed` and `silent` (no answer).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from hybridnb.testing.loopback import Loopback, serving

Row = tuple[str, float | None, float | None, float | None, float | None, int | None]

CRUMB = "qWeRtY.12/3"
COOKIE = "A3=d=AQABBE&S=AQAAA; Domain=.yahoo.com; Path=/; Max-Age=31557600"  # Secure elsewhere
CONSENT = (
    '<html><form method="post"><input type="hidden" name="csrfToken" value="t0k3n">'
    '<input type="hidden" name="sessionId" value="3_cc-session_1"></form></html>'
)
RANGES = ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"]
UNKNOWN = "No data found, symbol may be delisted"
PAGES = {
    "429": (429, "text/plain", "Edge: Too Many Requests"),
    "error": (502, "text/html", "<HTML><H1>Bad Gateway</H1></HTML>"),
    "down": (503, "text/html", "<html><h1>Will be right back...</h1></html>"),
    "html": (200, "text/html", "<html><h1>Yahoo Finance</h1></html>"),
    "null": (200, "application/json", "null"),
}


@dataclass(frozen=True)
class Chart:
    """What Yahoo knows of a symbol.

    Attributes
    ----------
    rows : sequence of tuple
        Date, open, high, low, close, volume, by date; prices that are adjusted for splits
        already, None where Yahoo has none.
    splits : mapping of str to tuple of int
        New shares for old ones, by date.
    dividends : mapping of str to float
        Amounts by date; they lower the adjusted close alone.
    """

    rows: Sequence[Row]
    currency: str = "USD"
    zone: str = "America/New_York"
    splits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    dividends: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Yahoo:
    """All that the server knows; `now` is its clock, `log` what it was asked."""

    charts: dict[str, Chart]
    now: dt.datetime = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    faults: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def chart(self, symbol: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
        """Daily bars of a symbol, from `period1` to before `period2`, or the last one."""
        found = self.charts.get(symbol)
        if found is None:
            return 404, _refusal("Not Found", UNKNOWN)
        rows = _told(found, self.now, query)
        begin, end = (query.get(name, ["…"])[0] for name in ("period1", "period2"))
        if not rows:
            words = f"Data doesn't exist for startDate = {begin}, endDate = {end}"
            return 400, _refusal("Bad Request", words)
        result = {
            "meta": _meta(found, symbol, self.now),
            "timestamp": [at for at, _ in rows],
            "events": _events(found, rows[0][0], rows[-1][0]),
            "indicators": _indicators(found, [row for _, row in rows]),
        }
        if self.faults.get(symbol) == "empty":
            result = {"meta": result["meta"], "indicators": {"quote": [{}], "adjclose": [{}]}}
        return 200, {"chart": {"result": [result], "error": None}}


def _refusal(code: str, words: str) -> Any:
    return {"chart": {"result": None, "error": {"code": code, "description": words}}}


def _hour(chart: Chart, date: str, hour: int, minute: int = 0) -> int:
    """A time of a day at the symbol's exchange, in seconds since 1970."""
    day = dt.datetime.fromisoformat(date)
    local = day.replace(hour=hour, minute=minute, tzinfo=ZoneInfo(chart.zone))
    return int(local.timestamp())


def _told(chart: Chart, now: dt.datetime, query: Mapping[str, list[str]]) -> list[tuple[int, Row]]:
    """Rows with their times: the open, or the last trade's for the day that is traded.

    That day's row comes whatever the end that was asked for, as it does at Yahoo.
    """
    moment, today = int(now.timestamp()), now.astimezone(ZoneInfo(chart.zone)).date().isoformat()
    times = [(_hour(chart, row[0], 9, 30), row) for row in chart.rows]
    known = [(at, row) for at, row in times if at <= moment]
    if "period1" not in query:
        return known[-1:]
    begin, end = int(query["period1"][0]), int(query["period2"][0])
    return [
        (min(moment, _hour(chart, today, 16)) if row[0] == today else at, row)
        for at, row in known
        if begin <= at and (at < end or row[0] == today)
    ]


def _meta(chart: Chart, symbol: str, now: dt.datetime) -> dict[str, Any]:
    local = now.astimezone(ZoneInfo(chart.zone))
    offset, zone = int((local.utcoffset() or dt.timedelta()).total_seconds()), local.tzname()
    today = local.date().isoformat()
    hours = {"pre": (4, 9.5), "regular": (9.5, 16), "post": (16, 20)}
    day = _hour(chart, today, 0)
    periods = {
        name: {
            "timezone": zone,
            "start": day + int(3600 * first),
            "end": day + int(3600 * last),
            "gmtoffset": offset,
        }
        for name, (first, last) in hours.items()
    }
    return {
        "currency": chart.currency,
        "symbol": symbol,
        "exchangeName": "TOR" if symbol.endswith(".TO") else "NYQ",
        "instrumentType": "EQUITY",
        "firstTradeDate": _hour(chart, chart.rows[0][0], 9, 30),
        "regularMarketTime": int(now.timestamp()),
        "hasPrePostMarketData": False,
        "gmtoffset": offset,
        "timezone": zone,
        "exchangeTimezoneName": chart.zone,
        "regularMarketPrice": chart.rows[-1][4],
        "priceHint": 2,
        "currentTradingPeriod": periods,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": RANGES,
    }


def _events(chart: Chart, begin: int, end: int) -> dict[str, Any]:
    def dated(found: Mapping[str, Any]) -> dict[int, Any]:
        times = {_hour(chart, date, 9, 30): value for date, value in found.items()}
        return {at: value for at, value in times.items() if begin <= at <= end}

    dividends, splits = dated(chart.dividends), dated(chart.splits)
    return {
        "dividends": {str(at): {"amount": cash, "date": at} for at, cash in dividends.items()},
        "splits": {
            str(at): {"date": at, "numerator": n, "denominator": d, "splitRatio": f"{n}:{d}"}
            for at, (n, d) in splits.items()
        },
    }


def _indicators(chart: Chart, rows: list[Row]) -> dict[str, Any]:
    factor, adjusted = 1.0, []
    for i in reversed(range(len(rows))):
        date, close, before = rows[i][0], rows[i][4], rows[i - 1][4] if i else None
        adjusted.append(None if close is None else close * factor)
        factor *= 1 - chart.dividends.get(date, 0.0) / before if before else 1.0
    names = ("open", "high", "low", "close", "volume")
    quote = {name: [row[i] for row in rows] for i, name in enumerate(names, 1)}
    return {"quote": [quote], "adjclose": [{"adjclose": adjusted[::-1]}]}


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open between requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # a reply leaves in one piece
    server: Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the requests are in `Yahoo.log`."""

    def _serve(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url, yahoo = urlsplit(self.path), self.server.yahoo
        host, last = str(url.hostname), unquote(url.path.rpartition("/")[2])
        yahoo.log.append(f"{self.command} {host}{url.path}")
        fault = yahoo.faults.get(last) or yahoo.faults.get(host) or ""
        if fault in PAGES:
            return self._send(*PAGES[fault])
        if fault in ("closed", "silent"):
            return self._hang(fault)
        if "/v8/finance/chart/" in url.path:
            status, told = yahoo.chart(last, parse_qs(url.query))
            return self._send(status, "application/json", json.dumps(told), fault)
        return self._door(host, last)

    def _door(self, host: str, last: str) -> None:
        """What comes before the chart: a cookie, or the consent that gives one, and the crumb."""
        if last == "getcrumb" and "A3=" in self.headers.get("Cookie", ""):
            self._send(200, "text/plain", CRUMB)
        elif last == "getcrumb":
            error = {"code": "Unauthorized", "description": "Invalid Cookie"}
            told = {"finance": {"result": None, "error": error}}
            self._send(401, "application/json", json.dumps(told))
        elif last == "consent":
            self._send(200, "text/html", CONSENT)
        else:  # fc.yahoo.com has no page, and gives the cookie with its 404
            self._send(404 if host == "fc.yahoo.com" else 200, "text/html", "", cookie=True)

    def _hang(self, fault: str) -> None:
        if fault == "silent":
            self.connection.settimeout(60)
            with contextlib.suppress(OSError):
                self.connection.recv(1)  # until the client has had enough
        self.close_connection = True

    def _send(
        self, status: int, kind: str, words: str, fault: str = "", *, cookie: bool = False
    ) -> None:
        content = words.encode()
        half = content[: len(content) // 2]
        if fault == "truncated":
            content = half
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if cookie:
            self.send_header("Set-Cookie", COOKIE)
        self.end_headers()
        self.wfile.write(half if fault == "cut" else content)
        self.close_connection = self.close_connection or fault == "cut"


class Server(Loopback):
    """The stub on a loopback port."""

    def __init__(self, yahoo: Yahoo, port: int = 0) -> None:
        self.yahoo = yahoo
        super().__init__(Handler, port)


@contextlib.contextmanager
def running(yahoo: Yahoo, port: int = 0) -> Iterator[Server]:
    """Serve in a thread of this process while the block runs."""
    with serving(Server(yahoo, port)) as server:
        yield server
