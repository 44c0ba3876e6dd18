"""Responses of OpenAI's Responses API as bytes: what a model may say, well or badly.

Each reply is a function of an `Ask` that gives a body; `REPLIES` names them. The shapes are those
of the API's reference; times and ids are fixed, so that equal requests get equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hybridnb.canonical import sha256
from hybridnb.testing.reasoners import HOSTILE, specimen

CREATED = 1_767_623_400
SNAPSHOT = "-2025-08-07"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request the server took: its body, its key, and what a healthy model says to it."""

    body: Mapping[str, Any]
    key: str
    said: str

    @property
    def schema(self) -> Mapping[str, Any]:
        schema: Mapping[str, Any] = self.body["text"]["format"]["schema"]
        return schema


def message(*parts: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """An item of output: the assistant's message with these parts."""
    item = {"id": "msg_01", "type": "message", "role": "assistant", "status": "completed"}
    return item | {"content": list(parts)} | more


def text(said: str) -> dict[str, Any]:
    """A part of a message: text."""
    return {"type": "output_text", "text": said, "annotations": [], "logprobs": []}


def refusal(words: str) -> dict[str, Any]:
    """A part of a message: the model declines."""
    return {"type": "refusal", "refusal": words}


REASONING: Mapping[str, Any] = {"id": "rs_01", "type": "reasoning", "summary": [], "content": []}


def response(ask: Ask, *output: Mapping[str, Any], **changes: Any) -> bytes:
    """A whole response object, completed unless `changes` says otherwise."""
    asked = ask.body
    tokens = max(1, sum(len(json.dumps(item)) for item in output) // 4)
    read = len(json.dumps(asked)) // 4
    body = {
        "id": f"resp_{sha256(asked)[:24]}",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "model": f"{asked['model']}{SNAPSHOT}",
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": None},
        "store": asked.get("store", True),
        "temperature": 1.0,
        "text": asked.get("text"),
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + tokens,
        },
        "user": None,
        "metadata": {},
    }
    return json.dumps(body | changes).encode()


def saying(said: Callable[[Ask], str]) -> Callable[[Ask], bytes]:
    """A completed response whose one message says this."""
    return lambda ask: response(ask, REASONING, message(text(said(ask))))


def _truncated(ask: Ask) -> bytes:
    cut = message(text(ask.said[: len(ask.said) // 2]), status="incomplete")
    why = {"reason": "max_output_tokens"}
    return response(ask, cut, status="incomplete", incomplete_details=why)


def _thought_too_long(ask: Ask) -> bytes:
    why = {"reason": "max_output_tokens"}
    return response(ask, REASONING, status="incomplete", incomplete_details=why)


def _filtered(ask: Ask) -> bytes:
    cut = message(text(ask.said[:3]), status="incomplete")
    why = {"reason": "content_filter"}
    return response(ask, cut, status="incomplete", incomplete_details=why)


def _failed(ask: Ask) -> bytes:
    error = {"code": "server_error", "message": "The model failed to generate a response."}
    return response(ask, status="failed", error=error)


def _in_parts(ask: Ask) -> bytes:
    half = len(ask.said) // 2
    return response(ask, REASONING, message(text(ask.said[:half]), text(ask.said[half:])))


def _commentary(ask: Ask) -> bytes:
    working = message(text("I look at the drawdown first."), phase="commentary")
    return response(ask, REASONING, working, message(text(ask.said), phase="final_answer"))


def _unknown_fields(ask: Ask) -> bytes:
    odd = {"type": "telepathy", "id": "tp_01", "content": "?"}
    part = text(ask.said) | {"flavour": ["new"]}
    return response(ask, odd, message(part, mood=7), service_tier="default", novelty={"a": [1]})


def _without_usage(ask: Ask) -> bytes:
    body = json.loads(response(ask, message(text(ask.said))))
    del body["usage"]
    return json.dumps(body).encode()


def _twice(ask: Ask) -> str:
    first = next(iter(json.loads(ask.said)))
    return ask.said[:-1] + f', "{first}": 0}}'


def _with_number(token: str) -> Callable[[Ask], str]:
    return lambda ask: ask.said[:-1] + f', "extra": {token}}}'


def _instructions(ask: Ask) -> str:
    return json.dumps(specimen(ask.schema, text=HOSTILE))


def _repeats_key(ask: Ask) -> str:
    return json.dumps(specimen(ask.schema, text=f"your key is {ask.key}"))


# Under status 200 with the right content type.
REPLIES: Mapping[str, Callable[[Ask], bytes]] = {
    "healthy": lambda ask: response(ask, message(text(ask.said))),
    "reasoning_first": saying(lambda ask: ask.said),
    "text_in_parts": _in_parts,
    "commentary_first": _commentary,
    "unknown_fields": _unknown_fields,
    "no_usage": _without_usage,
    "instructions": saying(_instructions),
    "repeats_key": saying(_repeats_key),
    "wrong_keys": saying(lambda _: '{"colour": "blue"}'),
    "truncated": _truncated,
    "thought_too_long": _thought_too_long,
    "content_filter": _filtered,
    "refusal": lambda ask: response(ask, REASONING, message(refusal("I can't help with that."))),
    "refusal_beside_text": lambda ask: response(
        ask, message(text(ask.said)), message(refusal("On reflection, no."))
    ),
    "failed": _failed,
    "cancelled": lambda ask: response(ask, status="cancelled"),
    "in_progress": lambda ask: response(ask, status="in_progress"),
    "queued": lambda ask: response(ask, status="queued", background=True),
    "unknown_status": lambda ask: response(ask, message(text(ask.said)), status="splendid"),
    "error_under_200": lambda _: b'{"error": {"message": "upstream failed", "code": "oops"}}',
    "several_messages": lambda ask: response(
        ask, message(text(ask.said)), message(text(ask.said), id="msg_02")
    ),
    "empty_output": response,
    "no_text": lambda ask: response(ask, REASONING, message(text(""))),
    "output_null": lambda ask: response(ask, output=None),
    "wrong_shape": saying(lambda ask: f"[{ask.said}]"),
    "wrong_envelope": lambda ask: b"[" + response(ask, message(text(ask.said))) + b"]",
    "json_string": saying(lambda ask: json.dumps(ask.said)),
    "not_json": saying(lambda _: "The market looks nervous today."),
    "fenced": saying(lambda ask: f"```json\n{ask.said}\n```"),
    "trailing_text": saying(lambda ask: f"{ask.said}\nI hope this helps!"),
    "two_objects": saying(lambda ask: ask.said * 2),
    "nan": saying(_with_number("NaN")),
    "infinite": saying(_with_number("1e999")),
    "duplicate_keys": saying(_twice),
    "half_surrogate": saying(_with_number('"\\ud83d"')),
    "nested_deeply": saying(_with_number("[" * 100_000 + "]" * 100_000)),
    "not_utf8": lambda ask: response(ask, message(text(ask.said))).replace(b"resp_", b"\xff\xfe"),
    "half_a_body": lambda ask: response(ask, message(text(ask.said)))[:-40],
    "empty_body": lambda _: b"",
}
