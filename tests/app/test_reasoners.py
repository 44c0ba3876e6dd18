"""Reasoners by name: built in, installed, switched off, unknown, wrong, without a key."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hybridnb.app.escalation_params import EscalationParams, FrontierParams, LocalParams
from hybridnb.app.reasoners import BUILT_IN, KEY, known_reasoners, open_reasoner
from hybridnb.errors import Missing, ParamsError, UsageError
from hybridnb.policy import validated
from hybridnb.testing import openai_server
from hybridnb.testing.reasoners import ScriptedReasoner, question

SCRIPTED = """
from hybridnb.errors import ParamsError
from hybridnb.testing.reasoners import ScriptedReasoner

def scripted(settings):
    if settings:
        raise ParamsError("settings", str(settings), "none")
    return ScriptedReasoner()
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of another author, on the path with its metadata as an installer leaves it."""
    (tmp_path / "elsewhere_reasoners.py").write_text(SCRIPTED, encoding="utf-8")
    about = tmp_path / "elsewhere-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    points = "[hybridnb.reasoners]\nscripted = elsewhere_reasoners:scripted\n"
    points += "openai = elsewhere_reasoners:scripted\n"  # a built-in name stays ours
    (about / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "elsewhere_reasoners", raising=False)


def test_the_shipped_ones_are_known_and_built_in() -> None:
    assert set(BUILT_IN) <= set(known_reasoners())
    defaults = EscalationParams()
    assert {defaults.frontier.reasoner, defaults.local.reasoner} == set(BUILT_IN)


@pytest.mark.parametrize("kind", [FrontierParams, LocalParams])
def test_an_empty_name_asks_nobody(kind: type[FrontierParams | LocalParams]) -> None:
    assert open_reasoner(kind(reasoner="")) is None


def test_an_unknown_name_is_told_which_there_are() -> None:
    with pytest.raises(UsageError, match="'gemini'") as told:
        open_reasoner(FrontierParams(reasoner="gemini"))
    assert "ollama, openai" in told.value.remedy


@pytest.mark.parametrize("name", ["Open AI", "../openai", "openai:main", "x" * 41])
def test_a_name_that_is_none_is_refused_with_the_parameters(name: str) -> None:
    with pytest.raises(ParamsError, match="reasoner"):
        validated(EscalationParams, {"frontier": {"reasoner": name}})


@pytest.mark.parametrize(
    ("reasoner", "settings", "key"),
    [
        ("openai", {"modle": "gpt-5"}, "modle"),
        ("openai", {"base_url": "http://example.org/v1"}, "base_url"),
        ("openai", {"base_url": "https://me:secret@example.org/v1"}, "base_url"),
        ("openai", {"api_key": "sk-0123456789"}, "api_key"),
        ("ollama", {"host": "127.0.0.1:11434"}, "host"),
        ("ollama", {"num_ctx": 8}, "num_ctx"),
        ("ollama", {"num_ctx": 512, "num_batch": 1024}, "num_batch"),
        ("ollama", {"digest": "abc"}, "digest"),
    ],
)
def test_wrong_settings_are_refused_by_their_key(
    reasoner: str, settings: Mapping[str, Any], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, openai_server.KEY)
    with pytest.raises(ParamsError, match=key) as told:
        open_reasoner(FrontierParams(reasoner=reasoner, settings=dict(settings)))
    assert "escalation.yml" in str(told.value)


@pytest.mark.parametrize("value", [None, ""])
def test_without_its_key_the_frontier_is_missing(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    if value is not None:
        monkeypatch.setenv(KEY, value)
    with pytest.raises(Missing, match=KEY) as told:
        open_reasoner(FrontierParams())
    assert "never write it to a file" in told.value.remedy


def test_the_local_one_needs_no_key_and_opens_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    found = open_reasoner(LocalParams(settings={"host": "http://127.0.0.1:9"}))
    assert found is not None
    assert found.name == "ollama"
    found.close()


def test_a_key_is_in_no_text_of_a_reasoner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, openai_server.KEY)
    found = open_reasoner(FrontierParams())
    assert found is not None
    assert found.name == "openai"
    assert openai_server.KEY not in f"{found!r} {vars(found)}"


@pytest.mark.usefixtures("installed")
def test_another_package_s_is_opened_by_its_name_with_its_own_settings() -> None:
    found = open_reasoner(LocalParams(reasoner="scripted"))
    assert isinstance(found, ScriptedReasoner)
    assert found.ask(question()).reply is not None
    with pytest.raises(ParamsError, match="settings"):
        open_reasoner(LocalParams(reasoner="scripted", settings={"depth": 3}))


@pytest.mark.usefixtures("installed")
def test_another_package_can_t_take_a_built_in_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, openai_server.KEY)
    found = open_reasoner(FrontierParams())
    assert found is not None
    assert type(found).__name__ == "OpenAiReasoner"
