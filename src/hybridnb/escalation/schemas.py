"""JSON Schema of a reply, in the part of the language that strict structured output takes.

Every property is required and no other is allowed; what may be missing is nullable. Ranges,
lengths and patterns aren't in that part for every server and model: they are said in the
descriptions, which a model reads, and checked by the types when the reply is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from hybridnb.escalation.calls import REPLIES, Call

# What pydantic says in keywords, in the words that a model reads.
_WORDS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("maxItems", "at most {} items"),
    ("pattern", "matches {}"),
)


def reply_schema(call: Call) -> dict[str, Any]:
    """Strict JSON Schema of the reply to a call, without references."""
    return strict_schema(REPLIES[call])


def strict_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """Strict JSON Schema of a type of reply, without references."""
    whole = kind.model_json_schema()
    return _strict(whole, whole.get("$defs", {}))


def _strict(node: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        target = defs[node["$ref"].removeprefix("#/$defs/")]
        return _strict({**target, **{k: v for k, v in node.items() if k != "$ref"}}, defs)
    words = _words(node)
    described = {"description": words} if words else {}
    if "anyOf" in node:
        return described | {"anyOf": [_strict(part, defs) for part in node["anyOf"]]}
    out: dict[str, Any] = {"type": node["type"]} | described
    if "enum" in node:
        out["enum"] = list(node["enum"])
    if node["type"] == "array":
        out["items"] = _strict(node["items"], defs)
    if node["type"] == "object":
        parts = node["properties"]
        out["properties"] = {name: _strict(part, defs) for name, part in parts.items()}
        out["required"] = list(parts)
        out["additionalProperties"] = False
    return out


def _words(node: Mapping[str, Any]) -> str:
    """Description of a node with the rules that its keywords would have said."""
    rules = [text.format(node[key]) for key, text in _WORDS if key in node]
    said = [" ".join(str(node["description"]).split())] if "description" in node else []
    return "; ".join(said + rules)
