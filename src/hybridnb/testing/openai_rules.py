"""What OpenAI's Responses API asks of a request, as far as a strict JSON schema's ask uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LEAST_TOKENS = 16
DEEPEST = 10
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
PARAMETERS = frozenset(
    (
        *("background", "include", "input", "instructions", "max_output_tokens", "max_tool_calls"),
        *("metadata", "model", "parallel_tool_calls", "previous_response_id", "prompt"),
        *("prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store", "stream"),
        *("temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation"),
        "user",
    )
)
KEYWORDS = frozenset(
    (
        *("$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum"),
        *("exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems", "maximum"),
        *("minItems", "minimum", "multipleOf", "pattern", "properties", "required", "title"),
        "type",
    )
)


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a request isn't taken, as the API's error object has it."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    kind: str = "invalid_request_error"

    def body(self) -> dict[str, Any]:
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }


def wrong_request(body: Any, *, models: frozenset[str]) -> Wrong | None:
    """The first rule that a request's body breaks.

    Parameters
    ----------
    body : object
        Parsed JSON.
    models : frozenset of str
        Names the account may use.
    """
    if not isinstance(body, dict):
        return Wrong(400, "Invalid body: expected an object.")
    for name in sorted(set(body) - PARAMETERS):
        return Wrong(400, f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    for name in ("model", "input"):
        if not body.get(name):
            code = "missing_required_parameter"
            return Wrong(400, f"Missing required parameter: '{name}'.", name, code)
    if body["model"] not in models:
        words = f"The model `{body['model']}` does not exist or you do not have access to it."
        return Wrong(404, words, None, "model_not_found")
    limit = body.get("max_output_tokens", LEAST_TOKENS)
    if type(limit) is not int or limit < LEAST_TOKENS:
        words = f"Invalid 'max_output_tokens': expected an integer >= {LEAST_TOKENS}."
        return Wrong(400, words, "max_output_tokens", "integer_below_min_value")
    return _wrong_input(body["input"]) or _wrong_format(body.get("text"))


def _wrong_input(value: Any) -> Wrong | None:
    if isinstance(value, str):
        return None
    items = value if isinstance(value, list) else [None]
    for n, item in enumerate(items):
        good = isinstance(item, dict) and item.get("role") in ("user", "developer", "system")
        if not good or not isinstance(item.get("content"), str | list):
            return Wrong(400, f"Invalid type for 'input[{n}]'.", f"input[{n}]", "invalid_type")
        parts = item["content"] if isinstance(item["content"], list) else []
        for part in parts:
            if part.get("type") != "input_text" or not isinstance(part.get("text"), str):
                where = f"input[{n}].content"
                return Wrong(400, f"Invalid value in '{where}'.", where, "invalid_value")
    return None


def _wrong_format(value: Any) -> Wrong | None:
    form = value.get("format") if isinstance(value, dict) else None
    if not isinstance(form, dict) or form.get("type") != "json_schema" or not form.get("strict"):
        words = "This server takes text.format of type json_schema with strict: true alone."
        return Wrong(400, words, "text.format", "invalid_value")
    if not NAME.fullmatch(str(form.get("name", ""))):
        words = "Invalid 'text.format.name': string does not match pattern '^[a-zA-Z0-9_-]+$'."
        return Wrong(400, words, "text.format.name", "invalid_value")
    schema = form.get("schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        fault: str | None = "schema must be a JSON Schema of 'type: \"object\"'"
    else:
        fault = next(_faults(schema, (), 0), None)
    if fault is None:
        return None
    words = f"Invalid schema for response_format '{form['name']}': {fault}."
    return Wrong(400, words, "text.format.schema", "invalid_json_schema")


def _faults(schema: Any, path: tuple[str, ...], depth: int) -> Iterator[str]:
    """What breaks the rules of a strict schema, outermost first."""
    where = f"In context={path}, "
    if not isinstance(schema, dict):
        yield f"{where}a schema must be an object"
        return
    if depth > DEEPEST:
        yield f"{where}nesting is deeper than {DEEPEST}"
        return
    for name in sorted(set(schema) - KEYWORDS):
        yield f"{where}'{name}' is not permitted"
    if schema.get("type") == "object":
        yield from _object_faults(schema, where)
    elif not schema.keys() & {"type", "$ref", "anyOf", "enum", "const"}:
        yield f"{where}schema must have a 'type' key"
    if schema.get("type") == "array" and "items" not in schema:
        yield f"{where}array schema missing items"
    for step, part in _inner(schema):
        yield from _faults(part, (*path, *step), depth + 1)


def _object_faults(schema: Mapping[str, Any], where: str) -> Iterator[str]:
    if schema.get("additionalProperties") is not False:
        yield f"{where}'additionalProperties' is required to be supplied and to be false"
    properties = schema.get("properties", {})
    missing = sorted(set(properties) - set(schema.get("required", ())))
    if missing or "required" not in schema:
        yield (
            f"{where}'required' is required to be supplied and to be an array including every"
            f" key in properties. Missing '{missing[0] if missing else ''}'"
        )


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for holder in ("properties", "$defs"):
        for name, part in schema.get(holder, {}).items():
            yield (holder, name), part
    if "items" in schema:
        yield ("items",), schema["items"]
    for n, part in enumerate(schema.get("anyOf", ())):
        yield ("anyOf", str(n)), part
