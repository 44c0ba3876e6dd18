"""One attempt on the wire: a single request, cut at its deadline, read up to a ceiling, recorded.

The read timeout of an HTTP client starts anew with every byte, and its clients decompress and
read an error's body without a limit. So the attempt runs in a thread of its own; at the deadline
its socket is shut from outside, wherever it is (headers, body, handshake). What SDK is in front
doesn't matter: it gets `Wire` as its client's transport.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from hybridnb.domain import Outcome


@dataclass(frozen=True, slots=True)
class Taken:
    """What the wire saw of an attempt.

    Attributes
    ----------
    request : bytes
        Body as sent; empty where nothing was.
    status : int or None
    headers : mapping of str to str
        Of the response, names in lower case.
    response : bytes
        Body as received, cut at the ceiling.
    content : bytes
        Body decompressed, whole; empty after a fault.
    fault : Outcome or None
        TIMEOUT, UNREACHABLE, TOO_LARGE or NOT_JSON where there is no whole body.
    detail : str
        What happened then.
    """

    request: bytes = b""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    response: bytes = b""
    content: bytes = b""
    fault: Outcome | None = None
    detail: str = ""


class Wire(httpx.BaseTransport):
    """The transport of one attempt.

    Parameters
    ----------
    ceiling : int
        Bytes of body that are read, before and after decompression.
    tls : ssl.SSLContext, optional
        Whom https trusts; by default the authorities that the HTTP client comes with.
    """

    def __init__(self, *, ceiling: int, tls: ssl.SSLContext | None = None) -> None:
        self._ceiling = ceiling
        self._tls = tls
        self._taken = Taken()
        self._read = bytearray()
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._used = self._over = False
        self._inner: httpx.HTTPTransport | None = None

    @property
    def used(self) -> bool:
        """Whether a request was handed to it."""
        return self._used

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, read everything, record it; the response returned is in memory."""
        with self._lock:
            if self._used:
                raise RuntimeError("one attempt is one request")
            self._used = True
        request.read()
        self._note(request=request.content)
        request.extensions = {**request.extensions, "trace": self._trace}
        try:
            return self._exchange(request)
        except httpx.TimeoutException as error:
            self._note(fault=Outcome.TIMEOUT, detail=type(error).__name__)
            raise
        except httpx.TransportError as error:
            self._note(fault=Outcome.UNREACHABLE, detail=f"{type(error).__name__}: {error}")
            raise

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()

    def client(self, *, timeout_s: float, connect_s: float) -> httpx.Client:
        """An HTTP client on this line: no redirects, no proxy, nothing from the environment."""
        return httpx.Client(
            transport=self,
            trust_env=False,
            follow_redirects=False,
            headers={"accept-encoding": "identity"},
            timeout=httpx.Timeout(timeout_s, connect=min(connect_s, timeout_s)),
        )

    def run(self, send: Callable[[], None], *, timeout_s: float) -> Taken:
        """Do one attempt, `timeout_s` seconds at most.

        Parameters
        ----------
        send : callable
            Makes the request through this transport. What it raises because the line failed is
            for `send` to catch; anything else is raised here.
        """
        raised: list[BaseException] = []

        def attempt() -> None:
            try:
                send()
            except BaseException as error:  # noqa: BLE001  raised below, in the caller's thread
                raised.append(error)

        # A daemon: a look-up of a name can't be interrupted, and mustn't keep a process alive.
        thread = threading.Thread(target=attempt, name="attempt", daemon=True)
        thread.start()
        thread.join(timeout_s)
        if thread.is_alive():
            self._cut()
        elif raised:
            raise raised[0]
        with self._lock:
            return replace(self._taken, response=bytes(self._read[: self._ceiling]))

    def _exchange(self, request: httpx.Request) -> httpx.Response:
        self._inner = self._transport(request.url.scheme)
        response = self._inner.handle_request(request)
        headers = {name.lower(): value for name, value in response.headers.items()}
        self._note(status=response.status_code, headers=headers)
        with contextlib.closing(response):
            for chunk in response.iter_raw():
                self._read += chunk
                if len(self._read) > self._ceiling:
                    self._note(fault=Outcome.TOO_LARGE, detail=f"over {self._ceiling} bytes")
                    break
            else:
                self._settle(headers)
        kept = {k: v for k, v in headers.items() if k in ("content-type", "x-request-id")}
        return httpx.Response(
            response.status_code, headers=kept, content=self._taken.content, request=request
        )

    def _transport(self, scheme: str) -> httpx.HTTPTransport:
        tls = self._tls
        if tls is None and scheme == "https":
            tls = httpx.create_ssl_context(trust_env=False)
        elif tls is None:  # nothing will be trusted with it; reading the authorities takes 50 ms
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx.HTTPTransport(verify=tls, trust_env=False, retries=0)

    def _settle(self, headers: Mapping[str, str]) -> None:
        try:
            whole = _decoded(bytes(self._read), headers, self._ceiling)
        except (zlib.error, ValueError) as error:
            self._note(fault=Outcome.NOT_JSON, detail=f"the body can't be decompressed: {error}")
            return
        if len(whole) > self._ceiling:
            over = f"over {self._ceiling} bytes when decompressed"
            self._note(fault=Outcome.TOO_LARGE, detail=over)
            return
        self._note(content=whole)

    def _note(self, **seen: Any) -> None:
        with self._lock:
            if not self._over:
                self._taken = replace(self._taken, **seen)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event not in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            return
        with self._lock:
            self._socket = info["return_value"].get_extra_info("socket")
            if self._over:
                self._shut()

    def _cut(self) -> None:
        with self._lock:
            self._over = True
            late = "no whole reply in the time given"
            self._taken = replace(self._taken, fault=Outcome.TIMEOUT, content=b"", detail=late)
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            # It may be gone already: then there is nothing to wake. The base class's method, since
            # a TLS socket's own would take its state away from the thread that reads.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _decoded(body: bytes, headers: Mapping[str, str], ceiling: int) -> bytes:
    """A body without its compression, one byte beyond the ceiling at most."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise ValueError(f"content-encoding {encoding[:40]!r} wasn't asked for")
    unpacker = zlib.decompressobj(wbits=31)
    whole = unpacker.decompress(body, ceiling + 1)
    if len(whole) <= ceiling and (not unpacker.eof or unpacker.unused_data):
        raise ValueError("it ends too early or too late")
    return whole
