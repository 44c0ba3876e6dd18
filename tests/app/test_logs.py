"""Logs: a line is an object that leads to the ledger, and no secret is ever in one."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chronicle import Chronicle
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.home import home
from hybridnb.app.logs import HIDDEN, LONGEST, NAME, VARIABLE, Lines, about, event, set_up
from hybridnb.errors import Missing

SECRET = "sk-live-0123456789-never-to-be-seen"


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Logging into a file, taken down again; what it holds, as objects."""
    path = tmp_path / "log.jsonl"
    monkeypatch.setenv(VARIABLE, str(path))
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    root, ours = logging.getLogger(), logging.getLogger(NAME)
    before, level = list(root.handlers), ours.level
    assert set_up()
    yield lambda: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for handler in [h for h in root.handlers if h not in before]:
        root.removeHandler(handler)
        handler.close()
    ours.setLevel(level)


def test_a_line_has_its_time_its_event_and_the_ids_around_it(lines: Any) -> None:
    with about(job="drift_check", session="2024-03-01"):
        event("begun", attempt=1)
        with about(run="r1"):
            event("cell", n=3)
    event("over")
    begun, cell, over = lines()
    assert begun["event"] == "begun" and begun["attempt"] == 1 and begun["level"] == "info"
    assert (begun["job"], begun["session"]) == ("drift_check", "2024-03-01")
    assert cell["run"] == "r1" and cell["job"] == "drift_check" and cell["n"] == 3
    assert "job" not in over and begun["at"].endswith("+00:00")
    with pytest.raises(ValueError, match="no id"), about(person="x"):
        pass


def test_rows_of_the_ledger_are_events_with_their_ids(lines: Any) -> None:
    book = Chronicle()
    book.trade(0.001)
    told = lines()
    kinds = [row["kind"] for row in book.ledger.rows("session")]
    assert kinds[:3] == ["inputs", "policy", "session_opened"]
    assert [line["event"] for line in told] == kinds, "each once, in order"
    assert all(line["book"] == "book" and line["session"] == book.session for line in told)


def test_a_secret_is_never_in_a_line_wherever_it_comes_from(lines: Any) -> None:
    log = logging.getLogger("some.library")
    log.warning("calling with %s", SECRET)
    log.warning("Authorization: Bearer abcdef.ghijkl")
    log.warning("GET /lab?token=abcdef123 HTTP/1.1")
    log.warning("postgresql://ada:hunter2@db.test/x")
    log.warning("key sk-proj-ZZZZZZZZZZ was refused")
    try:
        raise RuntimeError(f"server said: {SECRET}")
    except RuntimeError:
        log.exception("failed")
    event("asked", api_key="abc", headers={"Authorization": "token t", "x": [SECRET]}, url=SECRET)
    log.warning("an object", extra={"facts": {"it": Path(f"/x/{SECRET}")}})
    text = json.dumps(lines())
    for secret in (SECRET, "ghijkl", "abcdef123", "hunter2", "ZZZZZZZZZZ", "token t", '"abc"'):
        assert secret not in text, secret
    assert text.count(HIDDEN) >= 9
    assert "db.test" in text and "RuntimeError" in text


@given(st.text(max_size=60), st.text(max_size=60))
def test_text_around_a_secret_stays_and_a_line_is_one_line(before: str, after: str) -> None:
    form = Lines({"X_KEY": SECRET.encode()})
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (before + SECRET + after,), None)
    line = form.format(record)
    assert SECRET not in line and "\n" not in line
    assert HIDDEN in json.loads(line)["event"]


def test_a_long_text_is_cut(lines: Any) -> None:
    event("x" * (LONGEST + 100), fact="y" * 10**5)
    (line,) = lines()
    assert len(line["event"]) < LONGEST + 50 and "100,000 characters" in line["fact"]


def test_a_value_that_is_no_plain_one_doesnt_break_the_line(lines: Any) -> None:
    event("odd", path=Path("/x"), none=None, pair=(1, 2.5), logger="mine", when=float("inf"))
    (line,) = lines()
    assert line["path"] == "/x" and line["pair"] == [1, 2.5] and line["logger"] == NAME


def test_nothing_is_set_up_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    before = list(logging.getLogger().handlers)
    assert not set_up() and logging.getLogger().handlers == before


def test_a_log_that_cant_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "log"))
    with pytest.raises(Missing, match="can't be written"):
        set_up()


@pytest.mark.parametrize("where", ["json", "home"])
def test_a_command_logs_to_standard_error_or_the_home(where: str) -> None:
    env = os.environ | {VARIABLE: where, "SOME_TOKEN": "report-of-the-desk"}
    call = [sys.executable, "-m", "hybridnb.app.cli", "report", "--json"]
    done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3 and json.loads(done.stdout)["error"] == "Refused"
    path = home().root / "logs" / "hybridnb.jsonl"
    text = done.stderr if where == "json" else path.read_text("utf-8")
    told = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [line["event"] for line in told] == ["command", "refused"]
    assert told[0]["command"].endswith("report") and told[1]["exit"] == 3
    if where == "home":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
