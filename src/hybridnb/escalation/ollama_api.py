"""Ollama as a reasoner: the local model, asked once and never again.

The SDK builds the request; what comes back is read by `ollama_reply`, and the line itself
(deadline, ceiling, exact bytes) is `wire`: the SDK's own timeout is none, or starts anew with
every byte. Every option travels with every request, so that what the server was set to doesn't
count. Before a chat the server is asked which weights stand behind the model's name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hybridnb.domain import Outcome
from hybridnb.escalation.ollama_settings import OllamaSettings, most_tokens
from hybridnb.escalation.openai_api import DATA_RULE
from hybridnb.ports import Answer, Question

if TYPE_CHECKING:
    import httpx

    from hybridnb.escalation.ollama_check import Memory, Readiness
    from hybridnb.escalation.openai_reply import Reading
    from hybridnb.escalation.wire import Taken, Wire

LONGEST_DETAIL = 500
LONGEST_NAME = 100


class OllamaReasoner:
    """A `Reasoner` over the `ollama` SDK; each ask is one chat, after one look at the weights.

    Parameters
    ----------
    settings : OllamaSettings
    clock : callable, optional
        Seconds from any origin: for `Answer.seconds`, and for what the look left of the time.
    """

    name = "ollama"

    def __init__(
        self, settings: OllamaSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self._clock = clock

    def __repr__(self) -> str:
        return f"OllamaReasoner(model={self.settings.model!r}, host={self.settings.host!r})"

    def ask(self, question: Question) -> Answer:
        """One attempt; whatever the server does is an `Outcome`.

        Parameters
        ----------
        question : Question
            `timeout_s` is for all of it: the look at the weights, the connection, the loading of
            the model, the last byte of the reply.

        Returns
        -------
        Answer
            TOO_LONG without a byte sent where the prompt might not fit the context; NO_MODEL
            without a chat where the weights aren't the pinned ones.
        """
        messages = _messages(question)
        most = most_tokens(*(m["content"] for m in messages))
        room = self.settings.num_ctx - question.max_tokens
        if most > room:
            sentence = f"the prompt may have {most} tokens where {room} have room"
            return Answer(Outcome.TOO_LONG, detail=sentence, model=self.settings.model)
        from hybridnb.escalation.wire import Wire

        chat = Wire(ceiling=self.settings.max_bytes)
        send = self._sender(chat, question, messages)  # imports the SDK before the clock runs
        started = self._clock()
        looked, digest = self._weights(question.timeout_s)
        if looked is not None:
            return replace(looked, seconds=self._clock() - started)
        left = max(question.timeout_s - (self._clock() - started), 0.0)
        taken = chat.run(send, timeout_s=left)
        reading = self._reading(taken, room=room)
        return replace(self._answer(taken, reading), digest=digest, seconds=self._clock() - started)

    def check(self, memory: Memory | None = None) -> Readiness:
        """Whether the server, the model and the memory are there; see `ollama_check.check`."""
        from hybridnb.escalation.ollama_check import check

        return check(self.settings, self._get, memory)

    def close(self) -> None:
        """Nothing is kept open between two asks."""

    def _weights(self, timeout_s: float) -> tuple[Answer | None, str]:
        """The digest behind the model's name; an answer where it can't be asked."""
        from hybridnb.escalation.ollama_check import digest_in, pull
        from hybridnb.escalation.openai_reply import Reading

        taken = self._get("/api/tags", timeout_s)
        told = _failure(taken) or digest_in(taken.content, self.settings.model)
        if isinstance(told, Reading):
            return self._answer(taken, told), ""
        pinned = self.settings.digest
        if pinned and told != pinned:
            found = f"is {told}" if told else f"isn't there: {pull(self.settings.model)}"
            sentence = f"{self.settings.model} {found}; pinned is {pinned}"
            answer = self._answer(taken, Reading(Outcome.NO_MODEL, sentence))
            return replace(answer, digest=told), told
        return None, told

    def _get(self, path: str, timeout_s: float) -> Taken:
        import httpx

        from hybridnb.escalation.wire import Wire

        wire = Wire(ceiling=self.settings.max_bytes)
        http = wire.client(timeout_s=timeout_s, connect_s=self.settings.connect_s)

        def send() -> None:
            with http:
                try:
                    http.get(self.settings.host + path)
                except httpx.TransportError:
                    if not wire.used:  # what never came to the wire is our mistake
                        raise

        return wire.run(send, timeout_s=timeout_s)

    def _sender(
        self, wire: Wire, question: Question, messages: list[dict[str, str]]
    ) -> Callable[[], None]:
        import httpx
        import ollama

        client = ollama.Client(
            host=self.settings.host,
            transport=_uncut(wire),
            timeout=httpx.Timeout(question.timeout_s, connect=self.settings.connect_s),
            trust_env=False,
            follow_redirects=False,
        )

        def send() -> None:
            with client:
                lines = client.chat(
                    model=self.settings.model,
                    messages=messages,
                    format=dict(question.schema),
                    options=self.settings.options(question.max_tokens),
                    think=False,
                    stream=True,
                    keep_alive=self.settings.keep_alive,
                )
                try:
                    next(iter(lines), None)  # by now the wire has it all
                except (ollama.ResponseError, httpx.HTTPError, *_UNREADABLE):
                    if not wire.used:  # what never came to the wire is our mistake
                        raise

        return send

    def _reading(self, taken: Taken, *, room: int) -> Reading:
        from hybridnb.escalation.ollama_check import pull
        from hybridnb.escalation.ollama_reply import read_chat

        failed = _failure(taken)
        model = self.settings.model
        reading = failed or read_chat(taken.status or 0, taken.content, model=model, room=room)
        if reading.outcome is Outcome.NO_MODEL and taken.status == 404:
            return replace(reading, detail=f"{reading.detail}: {pull(model)}")
        return reading

    def _answer(self, taken: Taken, reading: Reading) -> Answer:
        return Answer(
            outcome=reading.outcome,
            reply=reading.reply,
            detail=_told(reading.detail, LONGEST_DETAIL),
            model=_told(reading.model, LONGEST_NAME) or self.settings.model,
            request=taken.request,
            response=taken.response,
            status=taken.status,
            usage=reading.usage,
        )


# What the SDK's reader does with lines that it didn't expect.
_UNREADABLE = (ValueError, TypeError, AttributeError, RecursionError, ConnectionError)


def _messages(question: Question) -> list[dict[str, str]]:
    """Our words, then the facts between marks that they can't forge.

    Angle brackets in the facts are escaped as JSON allows, so that no text in them is `</facts>`
    or one of a chat template's marks (`<|im_end|>`), which a tokenizer takes at its word.
    """
    facts = question.facts.replace("<", "\\u003c").replace(">", "\\u003e")
    return [
        {"role": "system", "content": f"{question.instructions.rstrip()}\n\n{DATA_RULE}"},
        {"role": "user", "content": f"<facts>\n{facts}\n</facts>"},
    ]


def _uncut(wire: Wire) -> httpx.BaseTransport:
    """The wire with what the SDK can't say: a prompt that doesn't fit is refused, not cut.

    Headers are ours: the SDK would add a key that it found in the environment.
    """
    import httpx

    class Uncut(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            asked: Mapping[str, Any] = json.loads(request.read())
            body = json.dumps({**asked, "truncate": False}, ensure_ascii=False).encode()
            plain = {"content-type": "application/json", "accept-encoding": "identity"}
            own = httpx.Request(request.method, request.url, headers=plain, content=body)
            own.extensions = request.extensions
            response = wire.handle_request(own)
            response.request = request
            return response

        def close(self) -> None:
            wire.close()

    return Uncut()


def _failure(taken: Taken) -> Reading | None:
    """None where there is a whole body under status 200."""
    from hybridnb.escalation.ollama_reply import refusal
    from hybridnb.escalation.openai_reply import Reading

    status = taken.status or 0
    # The status of an error says more than that the page behind it is long.
    if status >= 300 and taken.fault in (None, Outcome.TOO_LARGE, Outcome.NOT_JSON):
        return refusal(status, taken.content)
    if taken.fault is not None:
        return Reading(taken.fault, taken.detail or "the line failed")
    return None if status == 200 else Reading(Outcome.REJECTED, f"HTTP {status} where 200 was due")


def _told(text: str, longest: int) -> str:
    """A stranger's words on one line, printable, cut."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:longest]
