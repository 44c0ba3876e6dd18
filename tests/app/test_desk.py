"""The desk under each rule of the two legs: the stop always covers the position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hybridnb.app.records import Recorder
from hybridnb.app.session import step
from hybridnb.app.state import first_state
from hybridnb.domain import Leg
from hybridnb.execution.brackets import unprotected
from hybridnb.execution.oco import OcoRule
from hybridnb.policy import Policy, validated

FIRST = 300
Make = Callable[..., Any]


def test_a_partial_fill_of_the_target_cancels_the_rest_of_it_where_the_rule_says_so(
    panel_of: Make, setup_of: Make
) -> None:
    closes = np.full((FIRST + 4, 1), 50.0) + np.arange(FIRST + 4)[:, None] % 2 * 0.01
    closes[FIRST + 1 :] = 53.0  # beyond the target of 2.5 ATR, 2 % each
    panel = panel_of(closes)
    panel.prices[4, FIRST + 1 :] = 200  # 20 units of it may be ours
    left = {}
    for rule in (OcoRule.FIRST_TRIGGERED_WINS, OcoRule.ALLOW_PARTIAL_THEN_CANCEL):
        policy = validated(Policy, {"stops": {"oco": str(rule)}})
        setup, state = setup_of(1, policy=policy), first_state(policy)
        legs = []
        for i in range(FIRST, FIRST + 3):
            record = Recorder(book="book", session="s", stamp={})
            state = step(state, panel.day(i), replace(setup, entries=i == FIRST), record)
            legs.append(sorted((str(o.leg), o.left) for o in state.working))
            assert unprotected(state.book.positions, state.working) == {}
        held = legs[0][0][1]
        left[rule] = [[(leg, held - units) for leg, units in each] for each in legs]
    both = [[("stop", n), ("target", n)] for n in (0, 20, 40)]
    assert left[OcoRule.FIRST_TRIGGERED_WINS] == both
    # The stop stays with all that is left, alone, also after it was moved.
    assert left[OcoRule.ALLOW_PARTIAL_THEN_CANCEL] == [both[0], [("stop", 20)], [("stop", 20)]]


@pytest.mark.parametrize("rule", OcoRule)
def test_under_every_rule_the_stop_covers_the_position_after_every_session(
    panel_of: Make, setup_of: Make, rule: OcoRule
) -> None:
    rng = np.random.default_rng(5)
    closes = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.03, (FIRST + 60, 4)), 0)), 2)
    panel = panel_of(closes, score=rng.random((FIRST + 60, 4)))
    panel.prices[4] = rng.choice([0, 300, 2_000, 10**6], panel.prices[4].shape)
    policy = validated(Policy, {"stops": {"oco": str(rule)}})
    setup, state, exits = setup_of(4, policy=policy), first_state(policy), 0
    for i in range(FIRST, FIRST + 60):
        record = Recorder(book="book", session="s", stamp={})
        state = step(state, panel.day(i), setup, record)
        assert unprotected(state.book.positions, state.working) == {}
        exits += sum(
            r["kind"] == "fill" and r["leg"] in (Leg.STOP, Leg.TARGET) for r in record.rows
        )
        assert not [r for r in record.rows if r["kind"] == "alert" and "stop" in r["text"]]
    assert exits > 0
