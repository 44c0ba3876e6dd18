"""The command line: exit codes, one object on standard output, errors with their remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hybridnb.app.cli import cli


def ran(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in args])


def failed(*args: object) -> tuple[int, dict[str, Any]]:
    done = ran(*args, "--json")
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("day", "--feed", "nowhere"), 2, "ccxt, closes, folder, ibkr, planted, sample, yfinance"),
        (("day", "--feed", "folder"), 2, "--data"),
        (("day", "--feed", "sample", "--data", "x.csv"), 2, "takes no --data"),
        (("day", "--date", "someday"), 2, "is no date"),
        (("day", "--date", "2013-03-02"), 2, "2000-03-01 to 2013-03-01"),
        (("day", "--date", "2012-12-25"), 2, "is no session"),
        (("day", "--profile", "fastest"), 2, "quick"),
        (("day", "--params", "/nowhere"), 4, "is no folder"),
        (("day", "--feed", "folder", "--data", "/nowhere.csv"), 4, "no such file"),
        (("run", "nowhere"), 4, "quickstart"),
        (("run", "quickstart", "-p", "sede=7"), 2, "seed"),
        (("run", "quickstart", "-p", "seed=many"), 2, "must be int"),
        (("run", "quickstart", "-p", "api_key=x"), 2, "secret"),
        (("run", "quickstart", "-p", "seed"), 2, "NAME=VALUE"),
        (("report",), 3, "no session"),
        (("explain", "AAPL"), 2, "no decision"),
    ],
)
def test_what_can_t_be_done_has_its_code_and_its_remedy(
    args: tuple[str, ...], code: int, words: str
) -> None:
    found, error = failed(*args)
    assert found == code
    assert words in error["message"] + error["remedy"]
    assert error["remedy"]


def test_a_command_that_can_t_be_meant_ends_with_2() -> None:
    assert ran("dya").exit_code == 2
    assert ran("day", "--seed", "-1").exit_code == 2
    assert ran("ledger", "export", "--format", "xml", "--out", "x").exit_code == 2


def test_status_of_a_fresh_home() -> None:
    found = json.loads(ran("status", "--json").stdout)
    assert found["books"] == []
    assert "no session was traded yet" in ran("status").stdout


def test_an_empty_ledger_verifies() -> None:
    found = json.loads(ran("ledger", "verify", "--json").stdout)
    assert found["ok"] is True
    assert found["rows"] == 0


def test_doctor_says_what_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")  # nothing answers on discard
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = ran("doctor", "--json")
    checks = {c["check"]: c for c in json.loads(done.stdout)["checks"]}
    assert done.exit_code == 0
    assert checks["permissions"]["ok"] is True
    for name in ("ollama", "openai key"):
        assert checks[name]["ok"] is False
        assert checks[name]["required"] is False
        assert checks[name]["remedy"]


def test_doctor_finds_an_open_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = tmp_path / "home"
    params.write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("HYBRIDNB_HOME", str(params))
    code, found = failed("doctor")
    assert code != 0
    assert found["error"]


def test_ingest_stores_a_checked_copy_once(tmp_path: Path) -> None:
    bars = tmp_path / "ABC.csv"
    rows = [f"2024-01-{d:02d},10,11,9,10.5,{1000 + d}" for d in range(2, 6)]
    bars.write_text("Date,Open,High,Low,Close,Volume\n" + "\n".join(rows), encoding="utf-8")
    before = bars.read_bytes()
    first = json.loads(ran("ingest", bars, "--json").stdout)
    again = json.loads(ran("ingest", bars, "--json").stdout)
    assert first == again
    assert first["rows"] == 4
    assert first["symbols"] == ["ABC"]
    assert Path(first["stored"]).is_file()
    assert bars.read_bytes() == before


def test_ingest_of_broken_bars_stores_nothing(tmp_path: Path) -> None:
    bars = tmp_path / "ABC.csv"
    bars.write_text("Date,Open,High,Low,Close,Volume\n2024-01-02,10,9,11,10,5\n", encoding="utf-8")
    code, found = failed("ingest", bars)
    assert code == 2
    assert [(b["file"], b["row"]) for b in found["breaches"]] == [("ABC.csv", 2)]


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_help_answers(command: str) -> None:
    assert ran(command, "--help").exit_code == 0
