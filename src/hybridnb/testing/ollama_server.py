"""A loopback server that speaks Ollama's API, with its faults.

    with OllamaServer() as server:
        server.behave("stall")  # a name of `OLLAMA_FAULTS`

It answers `GET /`, `/api/version`, `/api/tags`, `/api/ps` and `POST /api/show`, `/api/chat`, the
last whole or as a stream of lines. It runs no model: what is said has the shape of the request's
`format`, or comes from `reply`. Prompts are counted as three bytes a token; one longer than
`num_ctx` is cut silently, as the real server does, unless the request says `truncate: false`.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from hybridnb.canonical import sha256
from hybridnb.testing.ollama_faults import FAULTY, Chat
from hybridnb.testing.reasoners import specimen

MODEL = "qwen2.5:14b-instruct"
VERSION = "0.33.0"
CREATED = "2026-01-05T14:30:00.000000Z"
LARGEST_BODY = 8 << 20
MOST_AT_ONCE = 32
SIZE = 8_988_124_069  # bytes of the weights, 4 bits each

Body = Mapping[str, Any]
Reply = Callable[[Body], str]


def digest_of(model: str) -> str:
    """The digest that the server tells of a model it was given by name alone."""
    return sha256(f"weights of {model}")


class OllamaServer:
    """The server, on 127.0.0.1 and a port of the system's choice.

    Parameters
    ----------
    models : mapping of str to str, optional
        Names and digests of the models it has; by default `MODEL` alone.
    reply : callable, optional
        What the model says to a chat's body; by default a value of the shape of its `format`.
    most_at_once : int
        Chats in progress above which it is busy (503).

    Attributes
    ----------
    host : str
        Where it listens, as a URL.
    requests : int
        Chats asked for since it started, whatever came of them.
    chats : deque of dict
        Bodies of the last 64 of them.
    hits : Counter of str
        Requests by method and path, all of them.
    """

    def __init__(
        self,
        models: Mapping[str, str] | None = None,
        *,
        reply: Reply | None = None,
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self.models = dict(models or {MODEL: digest_of(MODEL)})
        self.reply = reply or _of_the_shape
        self.requests = 0
        self.chats: deque[dict[str, Any]] = deque(maxlen=64)
        self.hits: Counter[str] = Counter()
        self.loaded: dict[str, int] = {}
        self.fault = "healthy"
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.room = threading.BoundedSemaphore(most_at_once)
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.ollama = self
        self.host = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> OllamaServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def behave(self, name: str) -> None:
        """Answer every chat from now on like this: a name of `OLLAMA_FAULTS`."""
        if name not in FAULTY:
            raise KeyError(name)
        self.fault = name

    def tags(self) -> dict[str, Any]:
        """What `/api/tags` says: the models there are, with their digests."""
        if self.fault == "no_model":
            return {"models": []}
        digests = {n: sha256(d) if self.fault == "other_model" else d for n, d in self.listed()}
        return {"models": [_card(name, digest) for name, digest in digests.items()]}

    def listed(self) -> list[tuple[str, str]]:
        return sorted(self.models.items())

    def running(self) -> dict[str, Any]:
        """What `/api/ps` says: the models that a chat loaded, and the context they have."""
        cards = []
        for name, context in sorted(self.loaded.items()):
            card = _card(name, self.models[name])
            cards.append(card | {"size_vram": SIZE, "context_length": context})
        return {"models": cards}


def _card(name: str, digest: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": name,
        "modified_at": CREATED,
        "size": SIZE,
        "digest": digest,
        "details": {"format": "gguf", "family": "qwen2", "quantization_level": "Q4_K_M"},
    }


def _of_the_shape(body: Body) -> str:
    shape = body.get("format")
    if isinstance(shape, dict):
        return json.dumps(specimen(shape))
    return "{}" if shape == "json" else "Nothing was asked for."


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    request_queue_size = 64
    ollama: OllamaServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that leave in the middle are what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept open between requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30.0
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read answers, not a log."""

    def do_GET(self) -> None:
        ollama = self.server.ollama
        self._count()
        answers: dict[str, Callable[[], dict[str, Any]]] = {
            "/api/version": lambda: {"version": VERSION},
            "/api/tags": ollama.tags,
            "/api/ps": ollama.running,
        }
        if self.path == "/":
            self._send(200, b"Ollama is running", kind="text/plain; charset=utf-8")
        elif self.path in answers:
            self.tell(200, answers[self.path]())
        else:
            self._send(404, b"404 page not found", kind="text/plain")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._count()
        body = self._body()
        if body is None:
            return
        if self.path == "/api/show":
            self._show(body)
        elif self.path == "/api/chat":
            self._chat(body)
        else:
            self._send(404, b"404 page not found", kind="text/plain")

    def tell(self, status: int, value: object) -> None:
        self._send(status, json.dumps(value).encode(), kind="application/json; charset=utf-8")

    def _count(self) -> None:
        ollama = self.server.ollama
        with ollama.lock:
            ollama.hits[f"{self.command} {self.path}"] += 1
            ollama.requests += self.path == "/api/chat"

    def _body(self) -> dict[str, Any] | None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST_BODY:
            self.close_connection = True
            self.tell(400, {"error": "request body too large"})
            return None
        try:
            body = json.loads(self.rfile.read(length) or b"null")
        except ValueError as error:
            self.tell(400, {"error": f"invalid JSON: {error}"})
            return None
        if not isinstance(body, dict):
            self.tell(400, {"error": "missing request body"})
            return None
        return body

    def _known(self, body: Body) -> str | None:
        """The model asked for as the server names it; None after saying that it isn't there."""
        ollama, asked = self.server.ollama, str(body.get("model") or "")
        name = asked if ":" in asked else f"{asked}:latest"
        if not asked:
            self.tell(400, {"error": "model is required"})
        elif name not in ollama.models or ollama.fault == "no_model":
            self.tell(404, {"error": f"model '{asked}' not found"})
        else:
            return name
        return None

    def _show(self, body: Body) -> None:
        name = self._known(body)
        if name is not None:
            card = _card(name, self.server.ollama.models[name])
            info = {"general.architecture": "qwen2", "qwen2.context_length": 32_768}
            known = {"details": card["details"], "model_info": info, "modified_at": CREATED}
            self.tell(200, known | {"capabilities": ["completion", "tools"]})

    def _chat(self, body: dict[str, Any]) -> None:
        ollama = self.server.ollama
        with ollama.lock:
            ollama.chats.append(body)
        if not ollama.room.acquire(blocking=False):
            self.tell(503, {"error": BUSY})
            return
        try:
            name = self._known(body)
            if name is not None and self._fits(body):
                ollama.loaded[name] = _context(body)
                FAULTY[ollama.fault](self._talk(body, name))
        except OSError:
            self.close_connection = True  # the client left
        finally:
            ollama.room.release()

    def _fits(self, body: Body) -> bool:
        if body.get("truncate", True) or _prompt_tokens(body) <= _context(body):
            return True
        self.tell(400, {"error": "the input length exceeds the context length"})
        return False

    def _talk(self, body: dict[str, Any], name: str) -> Chat:
        ollama = self.server.ollama
        prompt = min(_prompt_tokens(body), _context(body))
        said = {"model": name, "created_at": CREATED}
        return Chat(self, body, said, ollama.reply, prompt, _context(body), ollama.stopping)

    def _send(self, status: int, content: bytes, *, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


BUSY = "server busy, please try again.  maximum pending requests exceeded"


def _context(body: Body) -> int:
    return int((body.get("options") or {}).get("num_ctx") or 4096)


def _prompt_tokens(body: Body) -> int:
    """The prompt's length as this server counts: three bytes a token, four tokens a message."""
    messages = body.get("messages") or []
    texts = [str(m.get("content") or "").encode() for m in messages if isinstance(m, dict)]
    return sum(-(-len(text) // 3) + 4 for text in texts)
