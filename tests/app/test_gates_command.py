"""`hybridnb gates`: the newest verdict as it was recorded, and presets that assume nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner

from hybridnb.app.cli import cli
from hybridnb.app.gates_command import presets
from hybridnb.app.ledgers import open_ledger
from hybridnb.domain import Status
from hybridnb.gates.evidence import Figure, Gate
from hybridnb.gates.rules import GATES, SENTINEL
from hybridnb.gates.verdict import verdict

SHARPE = Figure("Sharpe", 2.5, ">=", 1.0, 500, True, "daily net returns")
FIGURES = (
    SHARPE,
    Figure("drawdown", 0.02, "<=", 0.15, 500, True, "equity"),
    Figure("win rate", 0.55, ">=", 0.5, 80, True, "trades"),
    Figure("PBO", 0.1, "<=", 0.5, 500, True, "combinations"),
    *(Figure(name, 0.0, "<=", 0.0, 200, True, "looked") for name in SENTINEL),
)
REGIMES = [
    {"regime": name, "n": 100, "brier": 0.15}
    for name in ("pooled", "trend", "range", "crisis", "breakout")
]


def recorded(model: str, outcome: Status = Status.PASS, **more: Any) -> Mapping[str, Any]:
    gates = [Gate(name, outcome, FIGURES if name == "performance" else (), "") for name in GATES]
    found = verdict(gates, model_version=model, session="2026-03-02", ordinal=9, digests={})
    row = {"kind": "verdict", "feed": "sample", "regimes": REGIMES, **found, **more}
    open_ledger().append("operations", [row])
    return row


def shown(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(cli, ["gates", "--json", *arguments])
    return done.exit_code, json.loads(done.stdout)


def test_without_a_verdict_it_says_what_to_do() -> None:
    code, found = shown()
    assert code == 4 and "hybridnb day" in found["remedy"]


def test_the_newest_verdict_or_a_model_s_own() -> None:
    recorded("one")
    recorded("two", Status.FAIL)
    code, found = shown()
    assert (code, found["model_version"], found["status"]) == (1, "two", "FAIL")
    code, found = shown("--model-id", "one")
    assert (code, found["model_version"], found["valid"]) == (0, "one", True)
    code, found = shown("--model-id", "three")
    assert code == 4 and "one, two" in found["remedy"]


def test_a_verdict_that_was_changed_holds_nothing() -> None:
    recorded("one", Status.FAIL, status="PASS")
    code, found = shown()
    assert code == 1 and found["valid"] is False


def test_presets_hold_figures_against_their_own_bars() -> None:
    row = recorded("one")
    review, success = presets(row)
    passed = {figure.name: figure.passed for figure in review.figures}
    assert passed["Sharpe after costs"] is True and passed["Brier, crisis"] is True
    for untold in ("decision p99.9", "paper drawdown"):  # a verdict's drawdown is the backtest's
        assert passed[untold] is None
    assert review.status is Status.INSUFFICIENT_EVIDENCE
    kept = {figure.name: figure.passed for figure in success.figures}
    assert kept["hit rate, liquid names"] is None  # a verdict's win rate is of all names
    assert kept["PBO"] is True and kept["Sharpe out of sample"] is True
    assert success.status is Status.INSUFFICIENT_EVIDENCE
    few = [r for r in REGIMES if r["regime"] != "crisis"]
    passed = {f.name: f.passed for f in presets({**row, "regimes": few})[0].figures}
    assert passed["Brier, crisis"] is None


def test_people_read_every_figure() -> None:
    recorded("one")
    text = CliRunner().invoke(cli, ["gates"]).stdout
    assert "Sharpe" in text and "preset review" in text and "calibration by regime" in text
