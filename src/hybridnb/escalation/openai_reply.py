"""What a response of OpenAI's Responses API comes to: from its status and bytes to an outcome.

Pure. Every field is a stranger's: it is read only after its type was looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hybridnb.domain import Outcome
from hybridnb.escalation.strict_json import WrongShape, strict_object

BY_STATUS: Mapping[int, Outcome] = {
    401: Outcome.UNAUTHORISED,
    403: Outcome.UNAUTHORISED,
    408: Outcome.TIMEOUT,
    413: Outcome.TOO_LONG,
    429: Outcome.RATE_LIMITED,
}
# An error's `code` says more than its status where the API has one for it.
BY_CODE: Mapping[str, Outcome] = {
    "model_not_found": Outcome.NO_MODEL,
    "context_length_exceeded": Outcome.TOO_LONG,
    "string_above_max_length": Outcome.TOO_LONG,
    "insufficient_quota": Outcome.RATE_LIMITED,
    "rate_limit_exceeded": Outcome.RATE_LIMITED,
}
UNFINISHED: Mapping[str, Outcome] = {
    "max_output_tokens": Outcome.TRUNCATED,
    "content_filter": Outcome.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """An outcome, and what was read on the way to it."""

    outcome: Outcome
    detail: str = ""
    reply: Mapping[str, Any] | None = None
    model: str = ""
    usage: Mapping[str, int] = field(default_factory=dict)


def read_response(status: int, content: bytes, *, content_type: str) -> Reading:
    """Read a whole response.

    Parameters
    ----------
    status : int
        Of HTTP.
    content : bytes
        Body, decompressed.
    content_type : str
        Header; anything but JSON is no reply of the API.

    Returns
    -------
    Reading
        With a reply if and only if the outcome is OK.
    """
    if status != 200:
        return _refusal(status, content)
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return Reading(Outcome.NOT_JSON, f"content-type {content_type!r}: {_start(content)}")
    try:
        body = strict_object(content)
    except WrongShape as error:
        return Reading(Outcome.WRONG_SHAPE, f"the response is {error}")
    except ValueError as error:
        return Reading(Outcome.NOT_JSON, f"the response is no JSON ({error}): {_start(content)}")
    known = {"model": _text(body.get("model")), "usage": _usage(body.get("usage"))}
    failure = _state(body) or _declined(body)
    if failure is not None:
        return Reading(*failure, **known)  # type: ignore[arg-type]
    outcome, detail, reply = _reply(body)
    return Reading(outcome, detail, reply, **known)  # type: ignore[arg-type]


def _refusal(status: int, content: bytes) -> Reading:
    try:
        error = strict_object(content).get("error")
    except ValueError:
        error = None
    error = error if isinstance(error, dict) else {}
    code, words = _text(error.get("code")), _text(error.get("message")) or _start(content)
    detail = f"HTTP {status}{f' {code}' if code else ''}: {words}"
    if status >= 500:
        return Reading(Outcome.SERVER_ERROR, detail)
    if 300 <= status < 400:
        detail = f"HTTP {status}: redirects aren't followed"
    if status < 300:
        return Reading(Outcome.NOT_JSON, f"HTTP {status} where 200 was due: {words}")
    return Reading(BY_CODE.get(code) or BY_STATUS.get(status, Outcome.REJECTED), detail)


def _state(body: Mapping[str, Any]) -> tuple[Outcome, str] | None:
    """None if the model came to its end; else what became of it."""
    status = body.get("status")
    if status == "incomplete":
        reason = _text(_mapping(body.get("incomplete_details")).get("reason"))
        outcome = UNFINISHED.get(reason, Outcome.FAILED)
        return outcome, f"incomplete: {reason or 'no reason given'}"
    error = _mapping(body.get("error"))
    words = _text(error.get("message")) or _text(error.get("code"))
    if status in ("failed", "cancelled", "in_progress", "queued"):
        return Outcome.FAILED, f"{status}: {words or 'no reason given'}"
    if error:
        return Outcome.FAILED, words or "an error without words"
    if status != "completed":
        return Outcome.WRONG_SHAPE, "the response has no status that the API knows"
    if not isinstance(body.get("output"), list):
        return Outcome.WRONG_SHAPE, "the response has no list of outputs"
    return None


def _declined(body: Mapping[str, Any]) -> tuple[Outcome, str] | None:
    for message in _messages(body):
        for part in _parts(message):
            if part.get("type") == "refusal":
                return Outcome.REFUSED, _text(part.get("refusal")) or "the model declined"
    return None


def _reply(body: Mapping[str, Any]) -> tuple[Outcome, str, Mapping[str, Any] | None]:
    """The object in the one final message; several could be two different replies."""
    texts = [text for text in map(_message_text, _messages(body)) if text]
    if not texts:
        return Outcome.NOT_JSON, "the response holds no text", None
    if len(texts) > 1:
        return Outcome.WRONG_SHAPE, f"{len(texts)} messages where one was asked for", None
    try:
        return Outcome.OK, "", strict_object(texts[0])
    except WrongShape as error:
        return Outcome.WRONG_SHAPE, f"the reply is {error}", None
    except ValueError as error:
        return Outcome.NOT_JSON, f"the reply is no JSON ({error}): {texts[0][:200]}", None


def _messages(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The final messages; reasoning, and what a model says while it works, are no reply."""
    items = [_mapping(item) for item in body["output"]]
    return [
        item
        for item in items
        if item.get("type") == "message" and item.get("phase") != "commentary"
    ]


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    return [_mapping(part) for part in content] if isinstance(content, list) else []


def _message_text(message: Mapping[str, Any]) -> str:
    parts = _parts(message)
    return "".join(_text(part.get("text")) for part in parts if part.get("type") == "output_text")


def _usage(value: Any) -> dict[str, int]:
    told = _mapping(value)
    return {
        name: told[name]
        for name in ("input_tokens", "output_tokens")
        if type(told.get(name)) is int and told[name] >= 0
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _start(content: bytes) -> str:
    return content[:200].decode(errors="replace") or "an empty body"
