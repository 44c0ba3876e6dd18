"""Rows are encoded when they are asked for, and say what was recorded, as it was then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hybridnb.app.deciding import decider
from hybridnb.app.panel import Panel
from hybridnb.app.records import EACH, Recorder, counts, decision_rows
from hybridnb.canonical import plain
from hybridnb.decide import decide
from hybridnb.domain import Leg, Order, OrderState, OrderType, Side


def order(client_id: str) -> Order:
    state = OrderState.ACCEPTED
    return Order(client_id, "A", Side.BUY, 3, OrderType.MARKET, Leg.ENTRY, state, "d")


def test_rows_are_numbered_in_the_order_they_came_whenever_they_are_read() -> None:
    at_once = Recorder(book="b", session="s", stamp={})
    between = Recorder(book="b", session="s", stamp={})
    for record in (at_once, between):
        record.add("inputs", figure=np.float64(-0.0), missing=np.nan)
        for client_id in ("x", "y"):
            record.order(order(client_id))
            assert record is at_once or len(record.rows) == 2 + (client_id == "y")
        record.alert("text")
    assert at_once.rows == between.rows
    head = {"book": "b", "session": "s"}
    assert at_once.rows[1] == {"kind": "order", "n": 1, **head, **plain(order("x"))}
    assert [row["n"] for row in at_once.rows] == [0, 1, 2, 3]
    assert at_once.rows[0]["missing"] is None


def test_a_payload_is_taken_as_it_is_when_it_is_recorded() -> None:
    record, given = Recorder(book="b", session="s", stamp={}), {"a": 1}
    record.add("inputs", given=given)
    given["a"] = 2
    assert record.rows[0]["given"] == {"a": 1}


def test_a_commit_hands_over_every_row_so_far() -> None:
    seen: list[list[Any]] = []
    sink = lambda rows: seen.append([row["kind"] for row in rows])  # noqa: E731
    record = Recorder(book="b", session="s", stamp={}, sink=sink)
    record.order(order("x"))
    record.commit()
    record.alert("text")
    record.commit()
    assert seen == [["order"], ["order", "alert"]]


def test_a_large_universe_is_decided_alike_by_both_forms(
    panel_of: Callable[..., Panel],
    setup_of: Callable[..., Any],
    run: Callable[..., Any],
    tmp_path: Path,
) -> None:
    from dataclasses import replace

    n = EACH + 1
    rng = np.random.default_rng(3)
    closes = np.round(50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, (90, n)), axis=0)), 2)
    panel = panel_of(closes, score=rng.uniform(0.2, 1.0, closes.shape))
    fast, setup = decider(n, tmp_path), setup_of(n)
    assert fast is not decide
    assert decider(EACH, tmp_path) is decide
    slow = run(panel, setup, 85, 87)
    quick = run(panel, replace(setup, decide=fast), 85, 87)
    assert quick == slow
    assert counts(slow[1][0])["decisions"] == len(decision_rows(slow[1][0])) == n
    assert counts(slow[1][0])["fills"] > 0
