"""What Ollama sent back, read without trust: a status and a body become an outcome.

A chat's body is a stream of lines, one JSON object each, of which the last says `done`. Lines end
at the line feed alone: inside a JSON string, the other characters that Unicode calls separators
are text. Thinking travels in a field of its own and is no reply; thinking in the text makes it no
JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hybridnb.domain import Outcome
from hybridnb.escalation.openai_reply import Reading
from hybridnb.escalation.strict_json import WrongShape, strict_object

# What a status means where its words say nothing else.
BY_STATUS: Mapping[int, Outcome] = {
    401: Outcome.UNAUTHORISED,
    403: Outcome.UNAUTHORISED,
    429: Outcome.RATE_LIMITED,
    499: Outcome.SERVER_ERROR,  # it gave up a request that wasn't withdrawn
}
# A status and the words with which Ollama says more.
BY_WORDS = (
    (400, re.compile(r"context (length|size|window)"), Outcome.TOO_LONG),
    (404, re.compile(r"model\b.*\bnot found"), Outcome.NO_MODEL),
    (503, re.compile(r"\bbusy\b|pending requests"), Outcome.RATE_LIMITED),
)
# Why a model came to its end; an older server gives no reason.
ENDED = ("stop", "")


def full_name(model: str) -> str:
    """A model's name with its tag: `llama3` is `llama3:latest`."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def read_chat(status: int, content: bytes, *, model: str, room: int) -> Reading:
    """Read a whole response to a chat.

    Parameters
    ----------
    status : int
        Of HTTP.
    content : bytes
        Body, decompressed.
    model : str
        That was asked; a reply in another's name is nobody's.
    room : int
        Tokens that the prompt may have: one that fills more was cut, or left no room to answer.

    Returns
    -------
    Reading
        With a reply if and only if the outcome is OK.
    """
    if status != 200:
        return refusal(status, content)
    text, last = "", None
    *whole, rest = content.split(b"\n")
    for line in [*whole, rest] if rest else whole:
        part = _part(line, unfinished=line is rest)
        if isinstance(part, Reading):
            return part
        text += part["message"]["content"]
        if part.get("done") is True:
            last = part
            break
    if last is None:
        return Reading(Outcome.UNREACHABLE, "the reply ended before its last line")
    return _read(text, last, model=model, room=room)


def refusal(status: int, content: bytes) -> Reading:
    """What a status that isn't 200 means, in the server's words."""
    words = _words(content)
    detail = f"HTTP {status}: {words}"
    if 300 <= status < 400:
        return Reading(Outcome.REJECTED, f"HTTP {status}: redirects aren't followed")
    for known, pattern, outcome in BY_WORDS:
        if status == known and pattern.search(words.lower()):
            return Reading(outcome, detail)
    other = Outcome.SERVER_ERROR if status >= 500 else Outcome.REJECTED
    return Reading(BY_STATUS.get(status, other), detail)


def _part(line: bytes, *, unfinished: bool) -> dict[str, Any] | Reading:
    """One line of a stream: its object, or what is wrong with it."""
    try:
        part = strict_object(line)
    except WrongShape as error:
        return Reading(Outcome.WRONG_SHAPE, f"a line of the response is {error}")
    except ValueError as error:
        if unfinished and line.startswith(b"{"):
            return Reading(Outcome.UNREACHABLE, "the reply was cut off in the middle of a line")
        return Reading(Outcome.NOT_JSON, f"a line is no JSON ({error}): {_start(line)}")
    if part.get("error"):
        return Reading(Outcome.FAILED, f"in the middle of the reply: {_said(part['error'])}")
    message = part.get("message")
    if not isinstance(message, dict):
        return Reading(Outcome.WRONG_SHAPE, "a line of the response has no message")
    content = message.get("content", "")
    if not isinstance(content, str):
        return Reading(Outcome.WRONG_SHAPE, "a message's content is no text")
    return part | {"message": {"content": content}}


def _read(text: str, last: Mapping[str, Any], *, model: str, room: int) -> Reading:
    named = last.get("model")
    named = named if isinstance(named, str) else ""
    usage = _usage(last)
    reason = last.get("done_reason", "")

    def as_(outcome: Outcome, detail: str, reply: Mapping[str, Any] | None = None) -> Reading:
        return Reading(outcome, detail, reply, model=named, usage=usage)

    if full_name(named) != full_name(model):
        return as_(Outcome.NO_MODEL, f"{named[:100]!r} answered where {model!r} was asked")
    if usage.get("input_tokens", 0) > room:
        read = usage["input_tokens"]
        return as_(Outcome.TOO_LONG, f"the model read {read} tokens where {room} have room")
    if reason == "length":
        return as_(Outcome.TRUNCATED, "the reply ended at its ceiling of tokens")
    if reason not in ENDED:
        return as_(Outcome.FAILED, f"the model ended with {reason!r}, not with a reply")
    try:
        return as_(Outcome.OK, "", strict_object(text))
    except WrongShape as error:
        return as_(Outcome.WRONG_SHAPE, f"the reply is {error}")
    except ValueError as error:
        said = text[:200] or "no text at all"
        return as_(Outcome.NOT_JSON, f"the reply is no JSON ({error}): {said}")


def _usage(last: Mapping[str, Any]) -> dict[str, int]:
    """Tokens read and written; a count that is zero isn't told."""
    told = {
        "input_tokens": last.get("prompt_eval_count"),
        "output_tokens": last.get("eval_count"),
    }
    return {name: n for name, n in told.items() if type(n) is int and n >= 0}


def _words(content: bytes) -> str:
    try:
        said = strict_object(content).get("error")
    except ValueError:
        said = None
    return _said(said) if said else _start(content)


def _said(error: object) -> str:
    """An error in words: Ollama's is a string, another server's an object with a message."""
    if isinstance(error, dict):
        error = error.get("message") or error
    return str(error)[:300]


def _start(content: bytes) -> str:
    return content[:200].decode(errors="replace") or "an empty body"
