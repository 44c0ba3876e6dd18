"""The API's description and its handlers say the same; a fuzzer finds no request that breaks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from served import ALONE, TOKEN, Served

from hybridnb.app.server.handlers import api_handlers
from hybridnb.app.server.openapi import openapi
from hybridnb.app.server.table import ENDPOINTS

EVIDENCE = os.environ.get("HYBRIDNB_EVIDENCE") == "1"


def test_every_handler_is_described_and_every_description_is_handled() -> None:
    described = {
        (path, method.upper()) for path, methods in openapi()["paths"].items() for method in methods
    }
    handled = {(path, m) for path, kind in api_handlers() for m in kind.endpoints}
    implemented = {
        (path, method)
        for path, kind in api_handlers()
        for method in kind.SUPPORTED_METHODS
        if method.lower() in vars(kind)
    }
    assert described == handled == implemented == {(e.path, e.method) for e in ENDPOINTS}


def test_access_and_reduced_fields_are_described() -> None:
    paths = openapi()["paths"]
    for endpoint in ENDPOINTS:
        found = paths[endpoint.path][endpoint.method.lower()]
        assert found["x-access"] == endpoint.access
        assert ({} in found["security"]) == bool(endpoint.reduced)
        assert found["summary"] == endpoint.what and found["summary"].endswith(".")


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*(_references(v) for v in value.values()))
    return set().union(*(_references(v) for v in value)) if isinstance(value, list) else set()


def test_every_reference_leads_somewhere_and_every_schema_is_valid() -> None:
    document = openapi()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert _references(document) <= known
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_server_gives_the_same_document(served: Served) -> None:
    with served.operator() as operator:
        assert operator.get("/api/openapi.json").json() == openapi()


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.method == "GET"], ids=str)
def test_answers_have_the_described_shape(served: Served, endpoint: Any) -> None:
    with served.operator() as operator:
        found: httpx.Response = operator.get(endpoint.path)
    assert found.status_code == 200
    endpoint.returns.model_validate(found.json(), strict=True)


def test_a_fuzzer_finds_no_error_of_ours(served: Served, tmp_path: Path) -> None:
    checks = "not_a_server_error,status_code_conformance,content_type_conformance"
    checks += ",response_schema_conformance"
    # What isn't there (a reasoner, a database) is no error of ours: 503, with its remedy.
    allowed = '["2xx", "3xx", "4xx", "503"]'
    config = tmp_path / "schemathesis.toml"
    config.write_text(f"[checks]\nnot_a_server_error.expected-statuses = {allowed}\n")
    words = [
        "--config-file",
        str(config),
        "run",
        f"{served.url}/api/openapi.json",
        "--header",
        f"Authorization: token {TOKEN}",
    ]
    words += ["--checks", checks, "--max-examples", "300" if EVIDENCE else "2"]
    words += ["--seed", "7", "--no-color"]
    words += ["--phases", "coverage,fuzzing" if EVIDENCE else "fuzzing"]
    words += ["--mode", "all", "--generation-database", "none", "--max-failures", "5"]
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [str(program), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
        env=os.environ | ALONE,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    with served.operator() as operator:
        assert operator.get("/api/risk-status").status_code == 200
