"""What a loopback server of OpenAI's API does on the wire: replies, errors and broken lines.

A behaviour gives the steps of one answer: bytes to send, a pause in seconds, or what happens to
the line. `BEHAVIOURS` names them all; those of `openai_replies` are among them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial

from hybridnb.testing.openai_replies import REPLIES, Ask
from hybridnb.testing.openai_rules import Wrong

ENORMOUS = 100_000_000
BOMB = 16 << 20  # bytes that a compressed body of 16 kB becomes
PIECE = 1 << 16
REASONS = {
    200: "OK",
    204: "No Content",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    409: "Conflict",
    413: "Payload Too Large",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Site is overloaded",
}


class Line(Enum):
    """What may happen to a line."""

    STALL = "stall"  # nothing more until the client goes
    RESET = "reset"
    CLOSE = "close"


Step = bytes | float | Line
Behaviour = Callable[[Ask], Iterator[Step]]


def head(status: int, *, length: int | None, kind: str = "application/json", **more: str) -> bytes:
    """Status line and headers; underscores in the names of `more` are hyphens."""
    fields = {"content-type": kind, "x-request-id": "req_0123456789abcdef", "connection": "close"}
    if length is not None:
        fields["content-length"] = str(length)
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", *(f"{k}: {v}" for k, v in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def whole(
    status: int, body: bytes, *, kind: str = "application/json", **more: str
) -> Iterator[Step]:
    """An answer without any fault of the line."""
    yield head(status, length=len(body), kind=kind, **more) + body


def refuse(wrong: Wrong, **more: str) -> Iterator[Step]:
    """An error in the API's form."""
    return whole(wrong.status, json.dumps(wrong.body()).encode(), **more)


def _error(
    status: int, words: str, code: str | None = None, kind: str = "invalid_request_error"
) -> Behaviour:
    return lambda _: refuse(Wrong(status, words, None, code, kind))


def _page(status: int, words: str) -> Behaviour:
    title = (
        f"<html><head><title>{status} {words}</title></head><body><h1>{words}</h1></body></html>"
    )
    return lambda _: whole(status, title.encode(), kind="text/html")


def _limited(_: Ask) -> Iterator[Step]:
    words = "Rate limit reached for requests per min: Limit 3, Used 3, Requested 1."
    wrong = Wrong(429, words, None, "rate_limit_exceeded", "requests")
    return refuse(wrong, retry_after="1", x_ratelimit_remaining_requests="0")


def _repeats_key(ask: Ask) -> Iterator[Step]:
    return refuse(Wrong(401, f"Incorrect API key provided: {ask.key}.", None, "invalid_api_key"))


def _healthy(ask: Ask) -> bytes:
    return REPLIES["healthy"](ask)


def _drip(content: bytes) -> Iterator[Step]:
    for n in range(len(content)):
        yield content[n : n + 1]
        yield 0.02


def _slow_bytes(ask: Ask) -> Iterator[Step]:
    body = _healthy(ask)
    yield head(200, length=len(body))
    yield from _drip(body)


def _slow_headers(ask: Ask) -> Iterator[Step]:
    body = _healthy(ask)
    yield from _drip(head(200, length=len(body), x_padding="p" * 2_000) + body)


def _broken(end: Line, *, headers: bool, body: bool) -> Behaviour:
    """A line that ends (or stalls) after the headers, or half of the body, were sent."""

    def steps(ask: Ask) -> Iterator[Step]:
        content = _healthy(ask)
        if headers:
            yield head(200, length=len(content))
        if body:
            yield content[: len(content) // 2]
        if headers:
            yield 0.05  # a reset throws away what the client hasn't read yet
        yield end

    return steps


def _stalled_error(_: Ask) -> Iterator[Step]:
    yield head(500, length=1_000) + b'{"error": '
    yield Line.STALL


def _enormous(ask: Ask, *, status: int = 200) -> Iterator[Step]:
    yield head(status, length=ENORMOUS)
    sent = b'{"object": "response", "padding": "'
    yield sent
    for _ in range((ENORMOUS - len(sent)) // PIECE):
        yield b"x" * PIECE
    yield b"x" * ((ENORMOUS - len(sent)) % PIECE)


def _endless(_: Ask) -> Iterator[Step]:
    yield head(200, length=None, transfer_encoding="chunked")
    for _n in range(ENORMOUS // PIECE):
        yield f"{PIECE:x}\r\n".encode() + b" " * PIECE + b"\r\n"


def _huge_headers(_: Ask) -> Iterator[Step]:
    yield b"HTTP/1.1 200 OK\r\n"
    for n in range(10_000):
        yield f"x-padding-{n}: {'p' * 1_000}\r\n".encode()


def _gzip(ask: Ask) -> Iterator[Step]:
    body = gzip.compress(_healthy(ask), mtime=0)
    return whole(200, body, content_encoding="gzip")


def _gzip_bomb(_: Ask) -> Iterator[Step]:
    body = gzip.compress(bytes(BOMB), mtime=0)
    return whole(200, body, content_encoding="gzip")


def _zipped_badly(ask: Ask) -> Iterator[Step]:
    return whole(200, _healthy(ask), content_encoding="gzip")


def _strange_coding(ask: Ask) -> Iterator[Step]:
    return whole(200, _healthy(ask), content_encoding="br")


def _other_type(ask: Ask) -> Iterator[Step]:
    return whole(200, _healthy(ask), kind="text/plain")


def _elsewhere(_: Ask) -> Iterator[Step]:
    return whole(307, b"", location="/v1/responses")


def _other_protocol(_: Ask) -> Iterator[Step]:
    yield b"SSH-2.0-OpenSSH_9.6\r\n"
    yield Line.CLOSE


def _reply(name: str, ask: Ask) -> Iterator[Step]:
    return whole(200, REPLIES[name](ask))


BROKEN: Mapping[str, Behaviour] = {
    "slow_bytes": _slow_bytes,
    "slow_headers": _slow_headers,
    "stall": _broken(Line.STALL, headers=False, body=False),
    "stall_after_headers": _broken(Line.STALL, headers=True, body=False),
    "stall_in_body": _broken(Line.STALL, headers=True, body=True),
    "stall_in_error": _stalled_error,
    "reset": _broken(Line.RESET, headers=True, body=True),
    "reset_before_headers": _broken(Line.RESET, headers=False, body=False),
    "reset_after_headers": _broken(Line.RESET, headers=True, body=False),
    "closed_before_headers": _broken(Line.CLOSE, headers=False, body=False),
    "closed_in_body": _broken(Line.CLOSE, headers=True, body=True),
    "other_protocol": _other_protocol,
    "huge_headers": _huge_headers,
    "enormous": _enormous,
    "enormous_chunked": _endless,
    "enormous_error": partial(_enormous, status=500),
    "gzip": _gzip,
    "gzip_bomb": _gzip_bomb,
    "gzip_that_is_none": _zipped_badly,
    "strange_coding": _strange_coding,
    "wrong_type": _other_type,
    "redirect": _elsewhere,
}
ERRORS: Mapping[str, Behaviour] = {
    "bad_request": _error(400, "Invalid value: 'input'.", "invalid_value"),
    "prompt_too_long": _error(
        400,
        "Your input exceeds the context window of this model.",
        "context_length_exceeded",
    ),
    "unauthorised": _error(401, "Incorrect API key provided: sk-test-***.", "invalid_api_key"),
    "unauthorised_repeats_key": _repeats_key,
    "forbidden": _error(403, "Country, region, or territory not supported.", "unsupported_country"),
    "no_model": _error(404, "The model `gpt-9` does not exist.", "model_not_found"),
    "not_found_page": _page(404, "Not Found"),
    "request_timeout": _error(408, "The request took too long.", None, "timeout"),
    "conflict": _error(409, "The resource was changed by another request.", "conflict"),
    "too_large_a_request": _page(413, "Request Entity Too Large"),
    "unprocessable": _error(422, "The request was well-formed but can't be followed."),
    "rate_limited": _limited,
    "no_quota": _error(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "server_error": _error(
        500, "The server had an error while processing your request.", None, "server_error"
    ),
    "server_error_page": _page(500, "Internal Server Error"),
    "bad_gateway": _page(502, "Bad Gateway"),
    "unavailable": _error(503, "The engine is overloaded.", None, "overloaded_error"),
    "gateway_timeout": _page(504, "Gateway Timeout"),
    "overloaded": _error(529, "Overloaded.", "overloaded", "overloaded_error"),
    "page_under_200": _page(200, "Sign in to this network"),
    "no_content": lambda _: whole(204, b""),
}
BEHAVIOURS: Mapping[str, Behaviour] = {
    **{name: partial(_reply, name) for name in REPLIES},
    **ERRORS,
    **BROKEN,
}
