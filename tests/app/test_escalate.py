"""Escalation by hand, through the command line, with a server that speaks the real wire."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from hybridnb.app.cli import cli
from hybridnb.app.context import Request, open_day
from hybridnb.app.home import shipped
from hybridnb.app.lab import Lab
from hybridnb.app.ledgers import open_ledger
from hybridnb.testing.openai_server import KEY, OpenAiServer

DAY = {"feed": "sample", "session": "2002-03-01", "profile": "smoke", "seed": 3}


def says(body: Mapping[str, Any]) -> str:
    return json.dumps({"stay_demo": False, "live_changes": None})


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a session of the sample was traded."""
    root = tmp_path_factory.mktemp("traded")
    before = os.environ["HYBRIDNB_HOME"]
    os.environ["HYBRIDNB_HOME"] = str(root)
    try:
        _ = Lab(open_day(Request(**DAY))).traded  # type: ignore[arg-type]
    finally:
        os.environ["HYBRIDNB_HOME"] = before
    return root


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with OpenAiServer(reply=says) as made:
        yield made


@pytest.fixture
def params(tmp_path: Path, server: OpenAiServer) -> Path:
    folder = tmp_path / "params"
    shutil.copytree(shipped("params"), folder)
    values = yaml.safe_load((folder / "escalation.yml").read_text(encoding="utf-8"))
    values["frontier"]["settings"]["base_url"] = server.url
    values["local"]["reasoner"] = ""
    (folder / "escalation.yml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return folder


@pytest.fixture
def run(traded: Path, params: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    shutil.copytree(traded, tmp_path / "home")
    monkeypatch.setenv("HYBRIDNB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def invoke(*words: str) -> Result:
        day = ("--profile", "smoke", "--seed", "3", "--params", str(params))
        return CliRunner().invoke(cli, [*words, *day, "--reason", "a test", "--json"])

    return invoke


def test_an_operators_call_is_asked_recorded_and_counted(run: Any, server: OpenAiServer) -> None:
    done = run("escalate", "SANITY_JUDGE", "--ask-frontier")
    assert done.exit_code == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["by"], row["taken"], row["reply"]["stay_demo"]) == ("frontier", True, False)
    assert row["session"] == DAY["session"]
    assert server.requests == 1
    ledger = open_ledger()
    (reserved,) = ledger.rows("operations", kind="frontier_reserved")
    assert reserved["manual"] and not reserved["judge"]
    assert run("escalate", "SANITY_JUDGE", "--ask-frontier").exit_code == 0
    third = json.loads(run("escalate", "SANITY_JUDGE", "--ask-frontier").stdout)
    assert (third["by"], server.requests) == ("rules", 2)
    assert "kept for the sanity judge" in third["why"]


def test_a_session_that_is_over_asks_no_frontier_unless_on_purpose(
    run: Any, server: OpenAiServer
) -> None:
    row = json.loads(run("escalate", "SANITY_JUDGE").stdout)
    assert (row["by"], server.requests) == ("rules", 0)


def test_what_is_asked_for_in_vain_says_so(run: Any, server: OpenAiServer) -> None:
    assert run("clear-quarantine").exit_code == 3
    assert run("keep-mode").exit_code == 3
    assert run("escalate", "SANITY_JUDGE", "--book", "other").exit_code == 2
    other = run("escalate", "SANITY_JUDGE", "--feed", "closes")
    assert other.exit_code in (2, 4)
    assert server.requests == 0
