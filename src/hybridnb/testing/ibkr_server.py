"""A loopback stub of IB Gateway: the TWS API's socket protocol in front of a small exchange.

`python -m hybridnb.testing.ibkr_server --port 0 --state FILE` prints two port numbers: the API's
and the control's. With a state file, orders, executions and positions outlive it too. The control
port takes one JSON object a line and answers with one:

    {"do": "trade", "symbol": "AAPL", "price": 1000000, "quantity": 100}
    {"do": "fault", "name": "timeout"}
    {"do": "hold", "symbol": "AAPL", "quantity": 7, "price": 1000000}
    {"do": "correct", "number": 1, "price": 1000100}
    {"do": "set", "amend": "the price is outside the collar"}
    {"do": "quote", "symbol": "AAPL", "bid": 999900, "ask": 1000100}
    {"do": "permit", "permission": "none"}
    {"do": "drop"}
    {"do": "state"}

Prices are integers of 1/10,000. A symbol that isn't in the account's currency is written RY.CAD.
Faults of the next order: `reject`, `timeout` (booked, never answered), `lost` (not even booked),
`duplicate` (executions are told twice), `late` (executions are told after the cancel was
confirmed), `disconnect` (booked, then cut off), `disconnect_before` (cut off before it was booked).
What `set` knows: `amend` (the next change of an order is refused with these words), `commissions`
(false: none are told), `mute` (a new connection gets no answer). Market data tell the last trade
and what `quote` says: `bid`, `ask`, `last`, `close`. `permit` says what the login may have: `live`,
`delayed` (for those who ask for type 3 or 4), `none` (error 354), `competing` (error 10197).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socketserver
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hybridnb.testing.exchange import Exchange
from hybridnb.testing.ibkr_gateway import Gateway
from hybridnb.testing.ibkr_messages import SERVER_VERSION, frame

LONGEST = 1 << 20


class Session(socketserver.StreamRequestHandler):
    """One API client."""

    disable_nagle_algorithm = True
    server: Server
    client = -1

    def handle(self) -> None:
        """The handshake, then requests until the line is cut."""
        gateway = self.server.gateway
        if self.rfile.read(4) != b"API\0":
            return
        self._read()  # the versions it speaks, "v157..178"
        if gateway.knobs["mute"]:
            self.rfile.read(1)  # until the client has had enough
            return
        self.send(frame(SERVER_VERSION, "20260105 09:30:00 UTC"))
        while fields := self._read():
            with gateway.lock:
                if not gateway.answer(self, fields):
                    break

    def finish(self) -> None:
        self.server.gateway.leave(self)
        with contextlib.suppress(OSError):
            super().finish()

    def _read(self) -> list[str]:
        try:
            head = self.rfile.read(4)
            size = struct.unpack(">I", head)[0] if len(head) == 4 else 0
            body = self.rfile.read(size) if size <= LONGEST else b""
        except (OSError, ValueError):
            return []
        return body.decode(errors="replace").rstrip("\0").split("\0") if body else []

    def send(self, *messages: bytes) -> None:
        """Send at once; a client that is gone misses it."""
        with contextlib.suppress(OSError, ValueError):
            self.wfile.write(b"".join(messages))

    def hang_up(self) -> None:
        """Cut the line."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(2)


class Control(socketserver.StreamRequestHandler):
    """A hand on the market: one JSON object a line."""

    server: ControlServer

    def handle(self) -> None:
        for line in self.rfile:
            try:
                answer = {"ok": True, **self.server.gateway.control(json.loads(line))}
            except (ValueError, KeyError, TypeError) as error:
                answer = {"ok": False, "error": repr(error)}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class _Loopback(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(
        self, gateway: Gateway, port: int, handler: type[socketserver.BaseRequestHandler]
    ) -> None:
        self.gateway = gateway
        super().__init__(("127.0.0.1", port), handler)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that hang up; anything else is said."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Server(_Loopback):
    """The API's port."""


class ControlServer(_Loopback):
    """The control's port."""


@contextlib.contextmanager
def running(gateway: Gateway, port: int = 0, control: int = 0) -> Iterator[tuple[int, int]]:
    """Serve in threads of this process while the block runs; the two ports."""
    servers = (Server(gateway, port, Session), ControlServer(gateway, control, Control))
    threads = [
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        for server in servers
    ]
    for thread in threads:
        thread.start()
    try:
        yield servers[0].port, servers[1].port
    finally:
        gateway.drop()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="A stub of IB Gateway on a loopback port")
    parser.add_argument("--port", type=int, default=0, help="0: a free one, which is printed")
    parser.add_argument("--control", type=int, default=0, help="0: a free one, which is printed")
    parser.add_argument("--state", type=Path, help="file that keeps the venue's state")
    parser.add_argument("--currency", default="USD", help="currency of the account")
    chosen = parser.parse_args(arguments)
    gateway = Gateway(Exchange(currency=chosen.currency), file=chosen.state)
    with (
        running(gateway, chosen.port, chosen.control) as ports,
        contextlib.suppress(KeyboardInterrupt),
    ):
        sys.stdout.write(f"{ports[0]} {ports[1]}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
