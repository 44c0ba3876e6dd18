"""What `hybridnb doctor` tells of the reasoners: keys, servers, models, memory, and the remedy."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from escalating import frontier, local, write_params

from hybridnb.app.doctor import Finding, examine, frontier_finding, local_findings
from hybridnb.app.escalation_params import FrontierParams, LocalParams
from hybridnb.app.ledgers import open_ledger
from hybridnb.errors import CheckFailed
from hybridnb.escalation.ollama_check import GIGABYTE, Memory
from hybridnb.policy import validated
from hybridnb.testing.ollama_server import MODEL, VERSION, OllamaServer, digest_of
from hybridnb.testing.openai_server import closed_url

PLENTY = Memory(ram=64 * GIGABYTE, vram=24 * GIGABYTE)
SECRET = "sk-never-to-be-seen-0123456789"


@pytest.fixture
def near() -> Iterator[OllamaServer]:
    with OllamaServer() as running:
        yield running


def asked(host: str, memory: Memory = PLENTY, **settings: Any) -> list[Finding]:
    values = local(host)
    values["settings"] |= settings
    return local_findings(validated(LocalParams, values), memory)


def test_a_server_with_the_model_tells_version_and_digest(near: OllamaServer) -> None:
    server, memory = asked(near.host, model=MODEL)
    assert server.ok and memory.ok and not server.required and not memory.required
    assert VERSION in server.detail and MODEL in server.detail
    assert digest_of(MODEL) in server.detail
    assert near.requests == 0, "no model is run"


def test_a_missing_model_gives_the_exact_command(near: OllamaServer) -> None:
    server, _ = asked(near.host, model="llama3.1:8b")
    assert not server.ok and not server.required
    assert "`ollama pull llama3.1:8b`" in server.remedy and VERSION in server.detail


def test_other_weights_than_the_pinned_ones_are_told(near: OllamaServer) -> None:
    server, _ = asked(near.host, digest="0" * 64)
    assert not server.ok and digest_of(MODEL) in server.detail and "0" * 64 in server.detail


def test_no_server_gives_the_command_that_starts_it() -> None:
    server, _ = asked(closed_url())
    assert not server.ok and not server.required and "`ollama serve`" in server.remedy


@pytest.mark.parametrize(
    ("vram", "ram", "short"),
    [
        (7.9, 64.0, ["VRAM"]),
        (24.0, 3.9, ["RAM"]),
        (1.0, 1.0, ["VRAM", "RAM"]),
        (8.0, 4.0, []),
        (None, 4.0, []),
    ],
)
def test_memory_below_what_is_expected_is_warned_of(
    near: OllamaServer, vram: float | None, ram: float, short: list[str]
) -> None:
    free = Memory(int(ram * GIGABYTE), None if vram is None else int(vram * GIGABYTE))
    _, memory = asked(near.host, free)
    assert memory.ok is not bool(short) and not memory.required
    assert all(kind in memory.remedy for kind in short)
    assert ("unknown" in memory.detail) is (vram is None)
    near.loaded = {MODEL: 8192}
    _, memory = asked(near.host, free)
    assert memory.ok, "a model that is loaded has its memory"


def test_a_key_is_told_to_be_set_or_not_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    params = validated(FrontierParams, frontier("https://models.example/v1"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = frontier_finding(params)
    assert not found.ok and not found.required and "OPENAI_API_KEY" in found.remedy
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    found = frontier_finding(params)
    assert found.ok and "https://models.example/v1" in found.detail
    assert SECRET not in str(found)


def test_where_none_is_configured_it_says_so() -> None:
    found = [frontier_finding(FrontierParams(reasoner=""))]
    found += local_findings(LocalParams(reasoner=""), PLENTY)
    assert [f.ok for f in found] == [True, True]
    assert all("none is configured" in f.detail for f in found)


def test_the_command_reads_the_parameters_in_force(
    tmp_path: Path, near: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_params(
        tmp_path / "p", local=local(near.host), frontier=frontier("http://127.0.0.1:9/v1")
    )
    monkeypatch.setattr("hybridnb.app.doctor.shipped", lambda name: folder)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    done, text = examine()
    checks = {check["check"]: check for check in done["checks"]}
    assert digest_of(MODEL) in checks["ollama"]["detail"]
    assert "http://127.0.0.1:9/v1" in checks["openai key"]["detail"]
    assert SECRET not in json.dumps(done) + text


def test_a_clock_behind_the_ledger_fails_and_has_its_remedy() -> None:
    now = dt.datetime.now(dt.UTC)
    ledger = open_ledger()
    ledger.append("operations", [{"kind": "alert", "at": now.isoformat()}])
    done, _ = examine()
    assert done["ok"]
    later = (now + dt.timedelta(hours=2)).isoformat()
    ledger.append("operations", [{"kind": "alert", "at": later}])
    with pytest.raises(CheckFailed, match="clock") as caught:
        examine()
    (failed,) = [c for c in caught.value.as_dict()["checks"] if c["required"] and not c["ok"]]
    assert failed["check"] == "clock" and "time server" in failed["remedy"]
