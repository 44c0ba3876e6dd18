"""A loopback server that speaks OpenAI's Responses API, with its faults.

    with OpenAiServer() as server:
        server.behave("stall")  # a name of `BEHAVIOURS`
        server.script(["rate_limited", "healthy"])  # the next requests, one name each

It answers `POST /v1/responses` and checks key, model, parameters and the strict schema as the
real server does. It runs no model: what is said has the shape of the schema, or comes from
`reply`. Every answer ends its connection; no connection outlives the server.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from hybridnb.testing.openai_faults import BEHAVIOURS, Behaviour, Line, Step, refuse
from hybridnb.testing.openai_replies import Ask
from hybridnb.testing.openai_rules import Wrong, wrong_request
from hybridnb.testing.reasoners import specimen

KEY = "sk-test-0123456789abcdefghij"
MODELS = ("gpt-5", "gpt-5-mini")
LARGEST_BODY = 8 << 20
LONGEST_S = 30.0  # a line that nobody reads or closes

Chooser = Callable[[int, Mapping[str, Any]], str]
Reply = Callable[[Mapping[str, Any]], str]


class OpenAiServer:
    """The server, on 127.0.0.1 and a port of the system's choice.

    Parameters
    ----------
    key : str
        The one key that is let in.
    models : iterable of str
        Names that it has.
    reply : callable, optional
        What the model says to a request's body; by default a value of its schema's shape.

    Attributes
    ----------
    url : str
        The API's base.
    connections, requests : int
        Lines opened, and requests for a response that reached the wire, whatever came of them.
    gone : int
        Answers of which the client didn't want the rest: it closed while there was more to send.
    bodies : deque of dict
        Bodies of the last 64 requests that were JSON objects.
    headers : deque of dict
        Their headers, without the key, names in lower case.
    """

    def __init__(
        self, *, key: str = KEY, models: Iterable[str] = MODELS, reply: Reply | None = None
    ) -> None:
        self.key, self.models, self.reply = key, frozenset(models), reply or _of_the_shape
        self.connections = self.requests = self.gone = 0
        self.bodies: deque[dict[str, Any]] = deque(maxlen=64)
        self.headers: deque[dict[str, str]] = deque(maxlen=64)
        self.changed = threading.Condition()
        self.lines: set[socket.socket] = set()
        self._script: deque[str] = deque()
        self._choose: Chooser = lambda _number, _body: "healthy"
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.api = self
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> OpenAiServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        with self.changed:
            for line in self.lines:
                _hang_up(line)
        self._http.server_close()

    def behave(self, name: str) -> None:
        """Answer every request from now on like this: a name of `BEHAVIOURS`."""
        if name not in BEHAVIOURS:
            raise KeyError(name)
        self._choose = lambda _number, _body: name

    def script(self, names: Iterable[str]) -> None:
        """Answer the next requests like these, one name each; then as before."""
        told = list(names)
        if unknown := set(told) - set(BEHAVIOURS):
            raise KeyError(", ".join(sorted(unknown)))
        with self.changed:
            self._script.extend(told)

    def choose(self, chooser: Chooser) -> None:
        """Answer a request as `chooser(number, body)` names it; numbers count from 1."""
        self._choose = chooser

    def wait(self, so: Callable[[], bool], *, timeout_s: float = 5.0) -> bool:
        """Wait until a fact of the counters holds; whether it came to hold."""
        with self.changed:
            return self.changed.wait_for(so, timeout_s)

    def count(self, name: str) -> int:
        """Add one to a counter; its new value."""
        with self.changed:
            value: int = getattr(self, name) + 1
            setattr(self, name, value)
            self.changed.notify_all()
            return value

    def pick(self, number: int, body: Mapping[str, Any]) -> Behaviour:
        """What to do with a request."""
        with self.changed:
            name = self._script.popleft() if self._script else self._choose(number, body)
        return BEHAVIOURS[name]


def closed_url() -> str:
    """The base of an API where nothing listens: connections are refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    api: OpenAiServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle of its request is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = LONGEST_S
    server: _Http

    def setup(self) -> None:
        super().setup()
        with self.server.api.changed:
            self.server.api.lines.add(self.connection)
        self.server.api.count("connections")

    def finish(self) -> None:
        with self.server.api.changed:
            self.server.api.lines.discard(self.connection)
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: tests look at the counters."""

    def do_GET(self) -> None:
        self._play(refuse(self._unknown_url()))

    def do_POST(self) -> None:
        self.close_connection = True
        api = self.server.api
        if self.path != "/v1/responses":
            self._play(refuse(self._unknown_url()))
            return
        number = api.count("requests")
        length = int(self.headers.get("content-length") or 0)
        content = self.rfile.read(min(length, LARGEST_BODY))
        headers = {name.lower(): value for name, value in self.headers.items()}
        api.headers.append({k: v for k, v in headers.items() if k != "authorization"})
        body = _json(content)
        if isinstance(body, dict):
            api.bodies.append(body)
        wrong = self._wrong_key() or _unreadable(body) or wrong_request(body, models=api.models)
        if wrong is not None:
            self._play(refuse(wrong))
            return
        self._play(api.pick(number, body)(Ask(body=body, key=api.key, said=api.reply(body))))

    def _unknown_url(self) -> Wrong:
        return Wrong(404, f"Invalid URL ({self.command} {self.path})")

    def _wrong_key(self) -> Wrong | None:
        given = self.headers.get("authorization", "")
        if not given:
            return Wrong(401, "You didn't provide an API key.")
        if given != f"Bearer {self.server.api.key}":
            words = f"Incorrect API key provided: {given[7:11]}***{given[-4:]}."
            return Wrong(401, words, None, "invalid_api_key")
        return None

    def _play(self, steps: Iterable[Step]) -> None:
        """Do the steps; a client that goes before the last is counted."""
        self.close_connection = True
        line = self.connection
        try:
            for step in steps:
                if isinstance(step, bytes):
                    line.sendall(step)
                elif isinstance(step, float):
                    self._pause(step)
                elif step is Line.STALL:
                    self._pause(LONGEST_S)
                else:
                    _hang_up(line, reset=step is Line.RESET)
                    return
        except OSError:
            self.server.api.count("gone")

    def _pause(self, seconds: float) -> None:
        """Wait, unless the client goes."""
        readable, _, _ = select.select([self.connection], [], [], seconds)
        if readable and not self.connection.recv(1):
            raise ConnectionAbortedError


def _hang_up(line: socket.socket, *, reset: bool = False) -> None:
    try:
        if reset:  # closing with a linger of nothing throws the line away
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.close()
        else:
            line.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client was faster


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _unreadable(body: Any) -> Wrong | None:
    if body is not None:
        return None
    return Wrong(400, "We could not parse the JSON body of your request.")


def _of_the_shape(body: Mapping[str, Any]) -> str:
    return json.dumps(specimen(body["text"]["format"]["schema"]))
