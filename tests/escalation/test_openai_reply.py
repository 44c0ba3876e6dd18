"""Reading a response's bytes: strict JSON, and an outcome for whatever they hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Outcome
from hybridnb.escalation.openai_reply import read_response
from hybridnb.escalation.strict_json import WrongShape, strict_json, strict_object

JSON = "application/json"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def completed(*texts: str) -> dict[str, object]:
    output = [
        {"type": "message", "content": [{"type": "output_text", "text": text}]} for text in texts
    ]
    return {"status": "completed", "model": "m", "error": None, "output": output}


@given(VALUES)
def test_what_json_can_say_is_read_as_it_is(value: object) -> None:
    assert strict_json(json.dumps(value)) == value
    assert strict_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{", '{"a": 1} {', '{"a": 1} b', '{"a": 1, "a": 1}', '{"b": {"a": 1, "a": 2}}',
        '{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": -1e999}',
        '{"a": "\\ud83d"}', '{"\\udc00": 1}', "{'a': 1}", '{"a": 1,}', '\ufeff{"a": 1}',
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", '{"a": ' + "9" * 5_000 + "}",
        b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}',
    ],
)  # fmt: skip
def test_what_isn_t_strict_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  which rule is in the words alone
        strict_json(text)
    assert not isinstance(refused.value, WrongShape)


def test_a_whole_pair_of_surrogates_is_a_character() -> None:
    assert strict_object('{"a": "\\ud83d\\ude00"}') == {"a": "\N{GRINNING FACE}"}


@pytest.mark.parametrize("text", ["[]", "1", '"{}"', "null", "true", "[{}]"])
def test_json_that_is_no_object_has_a_wrong_shape(text: str) -> None:
    with pytest.raises(WrongShape):
        strict_object(text)


@given(st.dictionaries(st.text(), VALUES, max_size=3))
def test_the_object_of_the_one_message_is_the_reply(value: dict[str, object]) -> None:
    body = json.dumps(completed(json.dumps(value))).encode()
    reading = read_response(200, body, content_type=f"{JSON}; charset=utf-8")
    assert (reading.outcome, reading.reply, reading.detail) == (Outcome.OK, value, "")


FIELDS = st.sampled_from(["status", "error", "incomplete_details", "output", "usage", "model"])
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "output_text", "refusal", "reasoning"]) | VALUES,
        "text": st.just("{}") | VALUES,
        "content": st.lists(VALUES, max_size=2) | VALUES,
        "refusal": VALUES,
        "phase": VALUES,
    },
)


@given(
    st.integers(200, 599),
    st.binary(max_size=40)
    | VALUES.map(lambda v: json.dumps(v).encode())
    | st.dictionaries(FIELDS, VALUES | st.just("completed") | st.lists(PARTS, max_size=3)).map(
        lambda v: json.dumps(v).encode()
    ),
)
def test_any_bytes_are_an_outcome_and_a_reply_is_ok_alone(status: int, content: bytes) -> None:
    reading = read_response(status, content, content_type=JSON)
    assert (reading.reply is not None) == (reading.outcome is Outcome.OK)
    assert (reading.outcome is Outcome.OK) <= (status == 200)
    assert bool(reading.detail) == (reading.outcome is not Outcome.OK)
    assert all(type(tokens) is int and tokens >= 0 for tokens in reading.usage.values())


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"status": "incomplete", "incomplete_details": None}, Outcome.FAILED),
        ({"status": "incomplete", "incomplete_details": {"reason": 7}}, Outcome.FAILED),
        ({"error": {"message": "half way"}}, Outcome.FAILED),
        ({"error": {}}, Outcome.OK),
        ({"status": None}, Outcome.WRONG_SHAPE),
        ({"status": ["completed"]}, Outcome.WRONG_SHAPE),
        ({"output": {"type": "message"}}, Outcome.WRONG_SHAPE),
        ({"output": [None, 3, "message"]}, Outcome.NOT_JSON),
        ({"usage": {"input_tokens": True, "output_tokens": -1}}, Outcome.OK),
    ],
)
def test_a_field_of_another_type_is_looked_at_first(
    changes: dict[str, object], outcome: Outcome
) -> None:
    body = json.dumps(completed("{}") | changes).encode()
    reading = read_response(200, body, content_type=JSON)
    assert reading.outcome is outcome
    assert reading.usage == {}


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (400, "model_not_found", Outcome.NO_MODEL),
        (400, "rate_limit_exceeded", Outcome.RATE_LIMITED),
        (404, "context_length_exceeded", Outcome.TOO_LONG),
        (500, "model_not_found", Outcome.SERVER_ERROR),
        (418, "teapot", Outcome.REJECTED),
        (429, 12, Outcome.RATE_LIMITED),
    ],
)
def test_an_error_s_code_says_more_than_its_status(
    status: int, code: object, outcome: Outcome
) -> None:
    content = json.dumps({"error": {"code": code, "message": "why"}}).encode()
    reading = read_response(status, content, content_type=JSON)
    assert reading.outcome is outcome
    assert "why" in reading.detail
