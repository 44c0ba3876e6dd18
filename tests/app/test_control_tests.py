"""T2: a control's test is really run, and its result is a row of the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hybridnb.app import control_tests
from hybridnb.app.cli import cli
from hybridnb.app.control_tests import TESTED, list_controls, run_controls
from hybridnb.app.controls import CONTROLS, Control
from hybridnb.app.ledgers import open_ledger
from hybridnb.errors import CheckFailed, Missing, UsageError


def unheard(text: str) -> None:
    """Nobody listens."""


def test_t2_a_controls_test_is_run_and_its_result_recorded() -> None:
    assert {c["result"] for c in list_controls()} == {None}
    done = run_controls(["P4", "N7"], say=unheard)
    assert done["results"] == {"P4": "passed", "N7": "passed"} and done["failed"] == []
    (row,) = open_ledger().rows("operations", kind=TESTED)
    assert row["results"] == done["results"] and row["at"] == done["at"]
    found = {c["id"]: c for c in list_controls()}
    assert found["P4"]["result"] == "passed" and found["P4"]["tested"] == row["at"]
    assert found["K1"]["result"] is None
    assert [c["id"] for c in list_controls()] == [c.id for c in CONTROLS]


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ("assert False", "failed"),
        ("import pytest; pytest.skip('not here')", "failed"),
        ("pass", "passed"),
    ],
)
def test_what_fails_or_is_skipped_doesnt_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, result: str
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(f"def test_it():\n    {body}\n", "utf-8")
    monkeypatch.setattr(control_tests, "checkout", lambda: tmp_path)
    control = Control("X1", "x", "x.py:x", "test_it.py::test_it")
    monkeypatch.setattr(control_tests, "CONTROLS", (control,))
    if result == "passed":
        assert run_controls(say=unheard)["results"] == {"X1": "passed"}
        return
    with pytest.raises(CheckFailed, match="X1"):
        run_controls(say=unheard)
    (row,) = open_ledger().rows("operations", kind=TESTED)
    assert row["results"] == {"X1": "failed"}, "a failure is recorded too"


def test_a_wheel_has_no_tests_and_no_control_is_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="Z9"):
        run_controls(["Z9"], say=unheard)
    monkeypatch.setattr(control_tests, "checkout", lambda: None)
    with pytest.raises(Missing, match="checkout"):
        run_controls(say=unheard)
    done = CliRunner().invoke(cli, ["controls", "--json"])
    assert len(json.loads(done.stdout)["controls"]) == len(CONTROLS)
