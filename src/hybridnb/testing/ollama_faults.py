"""What the loopback Ollama can do with a chat, and what an ask of it comes to.

`OLLAMA_FAULTS` holds the names that all loopback servers share (`reasoners.FAULTS`) and those that
only this API has.
"""

from __future__ import annotations

import gzip
import json
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hybridnb.domain import Outcome
from hybridnb.testing.reasoners import FAULTS, HOSTILE, specimen

if TYPE_CHECKING:
    from hybridnb.testing.ollama_server import _Handler

ENORMOUS = 100_000_000  # bytes
LONGEST_STALL = 60.0  # seconds, should a client wait that long
PAUSE = 0.02  # seconds between slow bytes
NANOSECONDS = 1_000_000_000

OLLAMA_FAULTS: Mapping[str, Outcome] = {
    **FAULTS,
    "slow_headers": Outcome.TIMEOUT,  # a header line now and then
    "reset_before": Outcome.UNREACHABLE,  # cut off before a byte
    "cut_line": Outcome.UNREACHABLE,  # a clean end in the middle of a line
    "no_end": Outcome.UNREACHABLE,  # a clean end after a line that isn't the last
    "busy": Outcome.RATE_LIMITED,
    "bad_request": Outcome.REJECTED,
    "cancelled": Outcome.SERVER_ERROR,  # 499: the server gave up
    "redirect": Outcome.REJECTED,  # not followed
    "no_memory": Outcome.SERVER_ERROR,
    "error_object": Outcome.SERVER_ERROR,  # another server's form of error
    "midstream_error": Outcome.FAILED,  # under status 200
    "empty": Outcome.NOT_JSON,
    "load": Outcome.FAILED,  # the model was loaded and not asked
    "thinking": Outcome.OK,  # in its own field
    "think_tags": Outcome.NOT_JSON,  # before the JSON: prose that nobody asked for
    "fenced": Outcome.NOT_JSON,  # JSON in Markdown's fence
    "twice": Outcome.NOT_JSON,  # one key twice
    "infinite": Outcome.NOT_JSON,  # NaN and 1e999
    "nested": Outcome.NOT_JSON,  # too deep to read
    "page": Outcome.NOT_JSON,  # a web page under status 200
    "array_lines": Outcome.WRONG_SHAPE,  # lines that hold no object
    "no_message": Outcome.WRONG_SHAPE,  # lines without a message
    "bomb": Outcome.TOO_LARGE,  # small compressed, large decompressed
    "prompt_cut": Outcome.TOO_LONG,  # the count of the prompt's tokens says that it filled up
    "other_model": Outcome.OK,  # other weights under the same name: NO_MODEL for who pins them
    "other_name": Outcome.NO_MODEL,  # the reply names a model that wasn't asked
    "late_lines": Outcome.OK,  # more lines after the last
    "separators": Outcome.OK,  # characters that some clients take for ends of lines
}


@dataclass(frozen=True, slots=True)
class Chat:
    """One chat to be answered.

    `prompt` is the number of tokens read, `context` the most there can be; `said` the fields of
    every line.
    """

    handler: _Handler
    body: Mapping[str, Any]
    said: Mapping[str, Any]
    reply: Callable[[Mapping[str, Any]], str]
    prompt: int
    context: int
    stopping: threading.Event

    def head(self, *, kind: str = "application/x-ndjson", **headers: str) -> None:
        """Status 200 and headers; the body comes in chunks."""
        self.handler.send_response(200)
        self.handler.send_header("Content-Type", kind)
        self.handler.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()

    def chunk(self, content: bytes) -> None:
        """One chunk of the body; an empty one ends it."""
        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    def send(self, lines: Iterator[bytes]) -> None:
        """A whole body."""
        self.head()
        for line in lines:
            self.chunk(line)
        self.chunk(b"")

    def lines(self, text: str, *, reason: str = "stop", thinking: str = "") -> Iterator[bytes]:
        """A model's text as the lines of a stream, or the one line of a whole reply."""
        most = int((self.body.get("options") or {}).get("num_predict") or -1)
        tokens = max(-(-len(text) // 4), 1)
        if 0 < most < tokens:
            text, tokens, reason = text[: 4 * most], most, "length"
        end = {"done": True, "done_reason": reason} | _metrics(self.prompt, tokens)
        if not self.body.get("stream", True):
            said = {"role": "assistant", "content": text}
            said |= {"thinking": thinking} if thinking else {}
            yield _line({**self.said} | {"message": said} | end)
            return
        if thinking:
            said = {"role": "assistant", "content": "", "thinking": thinking}
            yield _line({**self.said} | {"message": said, "done": False})
        for start in range(0, len(text), 4):
            piece = {"role": "assistant", "content": text[start : start + 4]}
            yield _line({**self.said} | {"message": piece, "done": False})
        yield _line({**self.said} | {"message": {"role": "assistant", "content": ""}} | end)

    def cut(self) -> None:
        """Reset the connection, with what is still in its buffers."""
        self.handler.close_connection = True
        self.handler.wfile.flush()
        line = self.handler.connection
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()

    def wait(self, seconds: float) -> bool:
        """Wait; True when the client left or the server stops."""
        for _ in range(max(round(seconds / PAUSE), 1)):
            # Nothing is sent before a reply: readable means gone.
            if self.stopping.wait(PAUSE) or select.select([self.handler.connection], [], [], 0)[0]:
                return True
        return False


def _metrics(prompt: int, tokens: int) -> dict[str, int]:
    """Counts and durations in nanoseconds; those that are zero are left out."""
    told = {
        "total_duration": (prompt + 20 * tokens) * NANOSECONDS // 1_000,
        "load_duration": 0,
        "prompt_eval_count": prompt,
        "prompt_eval_duration": prompt * NANOSECONDS // 1_000,
        "eval_count": tokens,
        "eval_duration": tokens * NANOSECONDS // 50,
    }
    return {name: value for name, value in told.items() if value}


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _says(make: Callable[[Chat], str], **how: str) -> Callable[[Chat], None]:
    return lambda chat: chat.send(chat.lines(make(chat), **how))


def _fails(status: int, error: object) -> Callable[[Chat], None]:
    return lambda chat: chat.handler.tell(status, {"error": error})


def _reply(chat: Chat) -> str:
    return chat.reply(chat.body)


def _shaped(chat: Chat, text: str) -> str:
    return json.dumps(specimen(chat.body.get("format") or {}, text=text))


def _body(make: Callable[[Chat], Iterator[bytes]]) -> Callable[[Chat], None]:
    return lambda chat: chat.send(make(chat))


def _slow_bytes(chat: Chat) -> None:
    chat.head()
    for byte in b"".join(chat.lines(_reply(chat))):
        chat.chunk(bytes([byte]))
        if chat.wait(PAUSE):
            break
    chat.cut()


def _slow_headers(chat: Chat) -> None:
    chat.handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for n in range(round(LONGEST_STALL / PAUSE)):
        chat.handler.wfile.write(f"X-{n}: wait\r\n".encode())
        if chat.wait(PAUSE):
            break
    chat.cut()


def _stall(chat: Chat) -> None:
    chat.wait(LONGEST_STALL)
    chat.cut()


def _reset(chat: Chat) -> None:
    chat.head()
    chat.chunk(next(chat.lines(_reply(chat)))[:40])
    chat.cut()


def _enormous(chat: Chat) -> None:
    chat.head()
    piece = _line({**chat.said} | {"message": {"role": "assistant", "content": "x" * 65_536}})
    for _ in range(ENORMOUS // len(piece) + 1):
        chat.chunk(piece)
    chat.chunk(b"")


def _cut_line(chat: Chat) -> Iterator[bytes]:
    whole = b"".join(chat.lines(_reply(chat)))
    yield whole[: len(whole) // 2 + whole[len(whole) // 2 :].index(b'"') + 1]


def _no_end(chat: Chat) -> Iterator[bytes]:
    message = {"role": "assistant", "content": "{"}
    yield _line({**chat.said} | {"message": message, "done": False})


def _midstream_error(chat: Chat) -> Iterator[bytes]:
    yield from _no_end(chat)
    yield _line({"error": "an error was encountered while running the model: CUDA error"})


def _redirect(chat: Chat) -> None:
    chat.handler.send_response(307)  # would be a second attempt
    chat.handler.send_header("Location", "/api/chat")
    chat.handler.send_header("Content-Length", "0")
    chat.handler.end_headers()


def _bomb(chat: Chat) -> None:
    chat.head(Content_Encoding="gzip")
    chat.chunk(gzip.compress(_line({**chat.said} | {"message": {"content": "0" * 8_000_000}})))
    chat.chunk(b"")


def _prompt_cut(chat: Chat) -> None:
    chat.send(replace(chat, prompt=chat.context).lines(_reply(chat)))


def _other_name(chat: Chat) -> None:
    said = {**chat.said, "model": "another:latest"}
    chat.send(replace(chat, said=said).lines(_reply(chat)))


def _late_lines(chat: Chat) -> Iterator[bytes]:
    yield from chat.lines(_reply(chat))
    yield from chat.lines(HOSTILE)


def _separators(chat: Chat) -> Iterator[bytes]:
    text = _shaped(chat, "one\u2028two\x85three")
    yield from chat.lines(json.dumps(json.loads(text), ensure_ascii=False))


FAULTY: Mapping[str, Callable[[Chat], None]] = {
    "healthy": _says(_reply),
    "slow_bytes": _slow_bytes,
    "stall": _stall,
    "reset": _reset,
    "server_error": _fails(500, "model runner has unexpectedly stopped"),
    "unauthorised": _fails(401, "unauthorized"),
    "no_model": _fails(404, "model not found"),
    "rate_limited": _fails(429, "too many requests"),
    "truncated": _says(lambda chat: _reply(chat)[:-2], reason="length"),
    "wrong_shape": _says(lambda chat: f"[{_reply(chat)}]"),
    "not_json": _says(lambda chat: "Volatility is high, so I would wait."),
    "enormous": _enormous,
    "instructions": _says(lambda chat: _shaped(chat, HOSTILE)),
    "slow_headers": _slow_headers,
    "reset_before": Chat.cut,
    "cut_line": _body(_cut_line),
    "no_end": _body(_no_end),
    "busy": _fails(503, "server busy, please try again.  maximum pending requests exceeded"),
    "bad_request": _fails(400, "invalid options: num_ctx"),
    "cancelled": _fails(499, "request canceled"),
    "redirect": _redirect,
    "no_memory": _fails(500, "model requires more system memory (9.5 GiB) than is available"),
    "error_object": _fails(500, {"message": "broken", "type": "server_error"}),
    "midstream_error": _body(_midstream_error),
    "empty": _says(lambda chat: ""),
    "load": _says(lambda chat: "", reason="load"),
    "thinking": _says(_reply, thinking="The loss is large; let me see."),
    "think_tags": _says(lambda chat: f"<think>Let me see.</think>{_reply(chat)}"),
    "fenced": _says(lambda chat: f"```json\n{_reply(chat)}\n```"),
    "twice": _says(lambda chat: '{"verdict":"calm","verdict":"panic","score":1}'),
    "infinite": _says(lambda chat: '{"verdict":"calm","score":1e999}'),
    "nested": _says(lambda chat: "[" * 300),
    "page": _body(lambda chat: iter([b"<html><body>Sign in to the network</body></html>"])),
    "array_lines": _body(lambda chat: iter([b"[1,2]\n"])),
    "no_message": _body(lambda chat: iter([_line({**chat.said} | {"done": True})])),
    "bomb": _bomb,
    "prompt_cut": _prompt_cut,
    "other_model": _says(_reply),
    "other_name": _other_name,
    "late_lines": _body(_late_lines),
    "separators": _body(_separators),
}
