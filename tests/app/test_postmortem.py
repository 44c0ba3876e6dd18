"""The post-mortem's figures are those of the rows; its sentences those of the figures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from hybridnb.app.postmortem import facts_of, narrative
from hybridnb.domain import SCALE

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def sessions(panel_of: Make, setup_of: Make, run: Make) -> list[list[dict[str, Any]]]:
    rng = np.random.default_rng(4)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (300, 3)), 0))
    found = run(panel_of(closes, score=rng.random((300, 3))), setup_of(3), 262, 299)[1]
    assert isinstance(found, list)
    return found


def closed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return rows[-1]


def test_pnl_by_symbol_adds_up_to_the_day_s(sessions: list[list[dict[str, Any]]]) -> None:
    traded = 0
    for before, rows in pairwise(sessions):
        facts = facts_of(rows, closed(before))
        change = (closed(rows)["equity"] - closed(before)["equity"]) / SCALE
        assert sum(facts.by_symbol.values()) == pytest.approx(change, abs=1e-6)
        traded += bool(facts.traded)
    assert traded > 3


def test_costs_are_those_of_the_fills(sessions: list[list[dict[str, Any]]]) -> None:
    for rows in sessions:
        fills = [r for r in rows if r["kind"] == "fill"]
        facts = facts_of(rows, None)
        assert facts.commission == sum(f["commission"] for f in fills) / SCALE
        assert sum(facts.exits.values()) == sum(f["leg"] != "entry" for f in fills)


def test_the_sentences_hold_the_figures(sessions: list[list[dict[str, Any]]]) -> None:
    rows = next(r for r in sessions[1:] if any(x["kind"] == "fill" for x in r))
    facts = facts_of(rows, None)
    text = "\n".join(narrative(facts))
    assert f"{facts.equity:,.2f}" in text
    assert facts.session in text
    assert f"{facts.traded:,.2f}" in text


def test_a_day_without_anything_is_told_too(panel_of: Make, setup_of: Make, run: Make) -> None:
    panel = panel_of(np.full((300, 1), 50.0), score=0.5)
    rows = run(panel, setup_of(1, hint=0.0), 280, 280)[1][0]
    text = "\n".join(narrative(facts_of(rows, None)))
    assert "0 entries went out" in text
    assert "holding 0 positions" in text
