"""A loopback exchange that speaks Binance's REST protocol, in this process or its own.

`python -m hybridnb.testing.binance_server --port 0 --state FILE` prints its port; with a state
file, orders, trades and coins outlive it too. `POST /control` with a JSON object
moves the market and injects faults:

    {"do": "trade", "symbol": "ETHUSDT", "price": "2000.0", "quantity": "1"}
    {"do": "fault", "name": "timeout", "on": "POST /api/v3/order", "times": 1, "retry_after": 1}
    {"do": "hold", "coin": "ETH", "quantity": "0.5"}
    {"do": "set", "fees": "received", "skew": 5000, "instant": true}
    {"do": "state"}

Faults: `reject`, `timeout` (booked, never answered), `lost` (never answered, not booked),
`duplicate` (the order's trades are told twice), `late` (its trades are told after its cancel was
confirmed), `disconnect` (booked, then cut off), `cut` (cut off before it was booked), `429` and
`418` with Retry-After, `error` (a 500 in words of no JSON), `truncated`, `garbage` and `nan`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hybridnb.testing.binance_api import Api, Fault
from hybridnb.testing.binance_filters import Error
from hybridnb.testing.binance_venue import Venue, load, save
from hybridnb.testing.loopback import Loopback, serving

_LIMITED = (
    "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
    "Please use WebSocket Streams for live updates to avoid polling the API."
)


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

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the requests are in the venue's log."""

    def _serve(self) -> None:
        url = urlsplit(self.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        api, line = self.server.api, f"{self.command} {url.path}"
        with api.lock:
            if line == "POST /control":
                status, body, fault = *_answer(lambda: api.control(json.loads(sent))), None
            else:
                api.log.append(line)
                fault = api.fault(line)
                query = sent if self.command == "POST" else url.query
                key = self.headers.get("X-MBX-APIKEY", "")
                status, body = self._with(fault, line, query, key)
            save(api.venue)
        self._send(status, body, fault)

    def _with(self, fault: Fault | None, line: str, query: str, key: str) -> tuple[int, Any]:
        """What the exchange makes of a request that a fault may befall."""
        api, name = self.server.api, fault.name if fault else ""
        if name in ("lost", "cut", "error"):
            return 500, None
        if name in ("429", "418"):
            return int(name), {"code": -1003, "msg": _LIMITED}
        if name == "reject":
            words = "Account has insufficient balance for requested action."
            return 400, {"code": -2010, "msg": words}
        status, body = _answer(lambda: api.answer(line, query, key))
        if status == 200 and name == "duplicate":
            api.venue.twice.add(body["orderId"])
        if status == 200 and name == "late":
            api.venue.late[body["orderId"]] = []
        return status, body

    def _send(self, status: int, body: Any, fault: Fault | None) -> None:
        name = fault.name if fault else ""
        if name in ("timeout", "lost"):
            self.connection.settimeout(60)
            with contextlib.suppress(OSError):
                self.connection.recv(1)  # until the client has had enough
        if name in ("timeout", "lost", "disconnect", "cut"):
            self.close_connection = True
            return
        content = json.dumps(body).encode()
        kind = "application/json;charset=UTF-8"
        if name == "error":
            content, kind = b"<html>Internal Server Error</html>", "text/html"
        if name == "truncated":
            content = content[: len(content) // 2]
        if name == "garbage":
            content = bytes(range(256)) * 2
        if name == "nan":
            content = re.sub(rb'"-?[0-9]+\.[0-9]+"', b'"NaN"', content)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if fault is not None and status in (418, 429):
            self.send_header("Retry-After", f"{fault.retry_after:g}")
        self.end_headers()
        self.wfile.write(content)


def _answer(ask: Any) -> tuple[int, Any]:
    try:
        return 200, ask()
    except Error as error:
        return error.status, error.body


class Server(Loopback):
    """The stub on a loopback port; the venue lives as long as it does."""

    def __init__(self, api: Api, port: int = 0) -> None:
        self.api = api
        super().__init__(Handler, port)


@contextlib.contextmanager
def running(api: Api, port: int = 0) -> Iterator[Server]:
    """Serve in a thread of this process while the block runs."""
    with serving(Server(api, port)) as server:
        yield server


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="A stub spot exchange on a loopback port")
    parser.add_argument("--port", type=int, default=0, help="0: a free one, which is printed")
    parser.add_argument("--state", type=Path, help="file that keeps the venue's state")
    chosen = parser.parse_args(arguments)
    venue = Venue(file=chosen.state)
    load(venue)
    server = Server(Api(venue), chosen.port)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
