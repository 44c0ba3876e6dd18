"""The same day in the live modes: verdict and caps decide, and nothing is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hybridnb.app.state import first_state
from hybridnb.app.whatif import as_live
from hybridnb.domain import Mode

Make = Callable[..., Any]


def calm(n: int = 3) -> np.ndarray:
    return np.full((300, n), 100.0) * (1.0 + 0.0005 * np.sin(np.arange(300))[:, None])


def table(panel_of: Make, setup_of: Make, *, valid: bool) -> Any:
    panel, setup = panel_of(calm()), setup_of(3)
    found = as_live(first_state(setup.policy), panel.day(270), setup, verdict_valid=valid)
    return found.set_index(["mode", "verdict"])


def test_without_a_pass_no_live_mode_enters(panel_of: Make, setup_of: Make) -> None:
    found = table(panel_of, setup_of, valid=False)
    assert found.loc[("DEMO", "as traded"), "entries"] == 3
    for mode in ("LIVE_MICRO", "LIVE_LIMITED", "LIVE"):
        row = found.loc[(mode, "with today's verdict")]
        assert row["entries"] == 0
        assert "NO_VERDICT × 3" in row["refused"]


def test_with_a_pass_the_mode_s_caps_bind(panel_of: Make, setup_of: Make) -> None:
    found = table(panel_of, setup_of, valid=True)
    demo = found.loc[("DEMO", "as traded"), "value"]
    micro = found.loc[("LIVE_MICRO", "with today's verdict"), "value"]
    assert 0.2 * demo < micro <= 0.26 * demo
    assert found.loc[("LIVE_LIMITED", "with today's verdict"), "value"] == demo
    assert "if the verdict were PASS" not in found.index.get_level_values("verdict")


def test_what_would_have_been_leaves_the_state_alone(panel_of: Make, setup_of: Make) -> None:
    panel, setup = panel_of(calm()), setup_of(3)
    state = first_state(setup.policy)
    state = replace(state, risk=replace(state.risk, mode=Mode.LIVE))
    before = replace(state)
    as_live(state, panel.day(270), setup, verdict_valid=True)
    assert state == before
