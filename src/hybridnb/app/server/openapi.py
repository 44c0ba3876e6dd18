"""OpenAPI 3.1 of the API, made of the same declarations as its handlers."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from hybridnb import __version__
from hybridnb.app.server.access import Access
from hybridnb.app.server.answers import Problem
from hybridnb.app.server.table import ENDPOINTS, Endpoint

_REFERENCE = "#/components/schemas/{model}"
_REFUSALS = {
    "400": "what was sent isn't valid",
    "403": "no token, or none that holds; or the judge, or a checklist, says no",
    "404": "what is named isn't there, or the Origin is foreign",
    "409": "not in the present state",
    "429": "the day's calls are spent",
    "503": "something that this needs isn't there",
}
_ACCESS = {
    Access.TOKEN: "Needs the token.",
    Access.REDUCED: "Without a token, callers on loopback get a reduced body: {fields}.",
}


def openapi() -> dict[str, Any]:
    """The document, as one JSON object."""
    models = {e.takes for e in ENDPOINTS} | {e.returns for e in ENDPOINTS} | {Problem}
    by_name = sorted(((m, "validation") for m in models), key=lambda pair: pair[0].__name__)
    names, shared = models_json_schema(by_name, ref_template=_REFERENCE)  # type: ignore[arg-type]
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        known = {model: schema for (model, _), schema in names.items()}
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, known)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hybridnb",
            "version": __version__,
            "description": "State of the control plane, and what operators ask of it.",
        },
        "paths": paths,
        "components": {
            "schemas": shared["$defs"],
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`token TOKEN`",
                }
            },
        },
    }


def _operation(endpoint: Endpoint, known: dict[Any, Any]) -> dict[str, Any]:
    fields = ", ".join(endpoint.reduced)
    answer = {"description": "done", "content": _json(known[endpoint.returns])}
    sent = _query(endpoint) if endpoint.method == "GET" else _body(endpoint, known)
    free: list[dict[str, Any]] = [{}] if endpoint.access is Access.REDUCED else []
    if endpoint.reduced:
        whole = known[endpoint.returns]
        answer["content"] = _json({"anyOf": [whole, {"type": "object", "title": "reduced"}]})
    return {
        "operationId": f"{endpoint.method.lower()}{endpoint.path}".replace("/", "_"),
        "summary": endpoint.what,
        "description": _ACCESS[endpoint.access].format(fields=fields),
        "security": [{"token": []}, *free],
        "x-access": str(endpoint.access),
        "x-reduced": list(endpoint.reduced),
        **sent,
        "responses": {"200": answer}
        | {
            status: {"description": why, "content": _json(known[Problem])}
            for status, why in _REFUSALS.items()
        },
    }


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _query(endpoint: Endpoint) -> dict[str, Any]:
    schema = endpoint.takes.model_json_schema()
    required = set(schema.get("required", ()))
    given = [
        {"name": name, "in": "query", "required": name in required, "schema": each}
        for name, each in schema.get("properties", {}).items()
    ]
    return {"parameters": given} if given else {}


def _body(endpoint: Endpoint, known: dict[Any, Any]) -> dict[str, Any]:
    needed = any(field.is_required() for field in endpoint.takes.model_fields.values())
    return {"requestBody": {"required": needed, "content": _json(known[endpoint.takes])}}
