"""The sandbox: a reply is tried on the last sessions, by the step that trades, and refused if…"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.sandbox import Audit, audit
from hybridnb.app.stretch import exposure, new_account, replayable, stepped
from hybridnb.canonical import canonical
from hybridnb.domain import SCALE, Mode
from hybridnb.escalation.applying import compose
from hybridnb.escalation.calls import (
    AuditorReply,
    Call,
    CapsDelta,
    EngineerReply,
    JudgeReply,
    LiveChanges,
    Reply,
    RewardCoefficients,
    StopMultipliers,
    TurnoverPenalties,
    WeightsDelta,
)
from hybridnb.escalation.changes import InForce, Training, standing
from hybridnb.escalation.conditions import TriggerParams
from hybridnb.policy import Policy, validated

Make = Callable[..., Any]
T = 330
NOWHERE = Path("unused")  # a small universe needs no machine code
WIDE = {  # nothing but the caps below keeps a position small
    "clamps": {"bucket_penny": 0.0, "bucket_fno": 0.0, "bucket_core": 1.0, "name_core": 0.3},
    "sizing": {"kelly_fraction": 1.0, "heat_limit": 100.0, "var_limit": 1.0, "es_limit": 1.0},
}


def auditor(core: float = 0.0, label: str = "bull", barred: tuple[str, ...] = ()) -> AuditorReply:
    return AuditorReply(
        regime_label=label,
        blend_weights_delta=WeightsDelta(short=0.0, mid=0.0, rl=0.0),
        bucket_caps_delta=CapsDelta(penny=0.0, fno=0.0, core=core),
        do_not_trade_list=barred,
    )


def judge(*, position: float | None = None, stop: float | None = None) -> JudgeReply:
    stops = None if stop is None else StopMultipliers(atr=stop, trailing=None)
    changes = LiveChanges(max_position_pct=position, stop_multipliers=stops)
    return JudgeReply(stay_demo=True, live_changes=changes)


def engineer(*names: str) -> EngineerReply:
    return EngineerReply(
        reward_coefficients=RewardCoefficients(returns=0.5, turnover=0.2, drawdown=0.3),
        turnover_penalties=TurnoverPenalties(penalty_rate=0.02),
        disabled_features=names,
    )


CALLS = {
    AuditorReply: Call.REGIME_AUDITOR,
    JudgeReply: Call.SANITY_JUDGE,
    EngineerReply: Call.REWARD_ENGINEER,
}


def made(policy: Policy, *replies: Reply) -> InForce:
    known = [standing(str(n), CALLS[type(r)], r, session=1) for n, r in enumerate(replies)]
    features = frozenset({"rsi_14"})
    return compose(policy, known, session=2, features=features, training=Training())


def tried(panel: Any, policy: Policy, *replies: Reply, **given: Any) -> Audit:
    n = len(panel.symbols)
    asked = {"mode": Mode.DEMO, "hints": lambda day, state: np.full(n, 4.0), "cache": NOWHERE}
    return audit(panel, policy, made(policy, *replies), **(asked | given))


def wavy(n: int = 2, t: int = T) -> np.ndarray:
    # Seeded steps of half a percent: enough to enter, to be stopped, and to reach targets.
    steps = np.random.default_rng(5).normal(0.0, 0.005, (t, n))
    return np.asarray(100.0 * np.exp(np.cumsum(steps, axis=0)))


def test_a_tighter_reply_passes_and_is_told_beside_the_operators(panel_of: Make) -> None:
    panel = panel_of(wavy())
    found = tried(panel, Policy(), judge(position=0.005), sessions=30)
    assert found.ok and found.sessions == 30
    last = panel.sessions[-1]
    assert (found.first, found.last) == (f"{panel.sessions[-30]:%Y-%m-%d}", f"{last:%Y-%m-%d}")
    own, other = found.operator, found.replied
    assert own is not None and other is not None
    assert own.used["name_core"] == pytest.approx(1.0, rel=0.05)
    assert 0 < other.used["name_core"] <= 0.005 / 0.015 * 1.05
    assert own.kills == other.kills == () and own.orders > 0 and other.orders > 0
    assert found.values()["ok"] is True and '"breaches":[]' in canonical(found.values())


def test_the_operators_replay_is_the_step_over_the_same_sessions(
    panel_of: Make, setup_of: Make, run: Make
) -> None:
    panel, policy = panel_of(wavy()), Policy()
    found = tried(panel, policy, judge(position=0.005), sessions=25)
    _, kept = run(panel, setup_of(2), T - 25, T - 1)
    assert found.operator is not None and found.replied is not None
    assert found.operator.equity == kept[-1][-1]["equity"] / SCALE
    replied = replace(setup_of(2), in_force=made(policy, judge(position=0.005)))
    _, kept = run(panel, replied, T - 25, T - 1)
    assert found.replied.equity == kept[-1][-1]["equity"] / SCALE


def test_what_has_no_part_in_a_decision_is_not_replayed(panel_of: Make) -> None:
    panel = panel_of(wavy())
    for reply in (engineer(), judge(), auditor(core=0.05)):
        found = tried(panel, Policy(), reply, mode=Mode.LIVE)
        assert found.ok and found.sessions == 0 and found.replied is None


def test_too_short_a_history_is_no_evidence(panel_of: Make) -> None:
    score = np.full((T, 2), 0.9)
    score[:-8] = np.nan
    panel = panel_of(wavy(), score=score)
    there = len(replayable(panel))
    assert there == 7  # the last prediction has no session after it
    found = tried(panel, Policy(), judge(position=0.005), sessions=there + 1)
    assert not found.ok and found.sessions == 0
    assert found.breaches == (
        f"not audited: {there} sessions can be replayed, {there + 1} are needed",
    )
    assert tried(panel, Policy(), judge(position=0.005), sessions=there).sessions == there


def test_only_sessions_up_to_the_day_with_bars_and_predictions_are_replayed(
    panel_of: Make,
) -> None:
    score = np.full((T, 2), 0.9)
    score[:300] = np.nan
    panel = panel_of(wavy(), score=score)
    panel.present[-1] = False
    rows = replayable(panel)
    assert (rows[0], rows[-1]) == (301, T - 2)
    day = f"{panel.sessions[310]:%Y-%m-%d}"
    assert replayable(panel, to=day)[-1] == 310
    assert tried(panel, Policy(), judge(position=0.005), sessions=5, to=day).last == day


def gapped(path: np.ndarray) -> np.ndarray:
    """Opens at the close before, but on the day of the crash, which opens where it ends."""
    opens = np.vstack([path[:1], path[:-1]])
    opens[-3] = path[-3]
    return opens


def crashing() -> np.ndarray:
    """A path on which a nearer stop loses what the operator's wouldn't.

    With an ATR of 2 % the operator buys at 100 and sells at its target of 105, one session before
    a crash, and may not buy in it. The nearer stop is hit by the dip, bought again higher, and is
    held into the crash.
    """
    path = np.full((T, 1), 100.0) * (1.0 + 0.0002 * np.sin(np.arange(T)))[:, None]
    path[-8:, 0] = [98.9, 102.0, 102.5, 103.0, 105.6, 74.0, 74.0, 74.0]
    return path


def test_a_kill_switch_that_the_operators_policy_did_not_trip_refuses(panel_of: Make) -> None:
    policy = validated(Policy, WIDE)
    panel = panel_of(crashing(), opens=gapped(crashing()))
    found = tried(panel, policy, judge(stop=0.5), sessions=10)
    crash = f"{panel.sessions[-3]:%Y-%m-%d}"
    assert found.operator is not None and found.replied is not None
    assert found.operator.kills == () and found.replied.kills == (crash,)
    assert not found.ok and f"{crash}: the kill switch trips" in found.breaches
    assert found.values()["ok"] is False
    assert found.replied.worst_day <= policy.risk.kill_day_pnl < found.operator.worst_day


def test_a_five_day_drawdown_that_the_operators_policy_had_not_refuses(panel_of: Make) -> None:
    values = WIDE | {"risk": {"kill_day_pnl": -1.0}}
    policy = validated(Policy, values)
    panel = panel_of(crashing(), opens=gapped(crashing()))
    reply, crash = judge(stop=0.5), f"{panel.sessions[-3]:%Y-%m-%d}"
    found = tried(panel, policy, reply, sessions=10, params=TriggerParams(drawdown_5d=0.05))
    assert found.replied is not None and found.replied.drawdown_5d > 0.05
    assert f"{crash}: the 5-day drawdown is above 5.00%" in found.breaches
    bar = TriggerParams(drawdown_5d=1.0)
    assert tried(panel, policy, reply, sessions=10, params=bar).ok


def test_a_loss_that_both_would_have_made_refuses_nothing(panel_of: Make) -> None:
    path = crashing()
    path[-8:-3] = 100.0  # no dip: whoever bought is in the crash
    panel = panel_of(path, opens=gapped(path))
    found = tried(panel, validated(Policy, WIDE), judge(stop=1.0), sessions=10)
    assert found.operator is not None and found.replied is not None
    assert found.operator.kills == found.replied.kills != ()
    assert found.ok


def test_an_entry_beyond_the_operators_cap_is_found(panel_of: Make, setup_of: Make) -> None:
    panel, loose = panel_of(wavy()), validated(Policy, WIDE)
    before, day = new_account(loose, Mode.DEMO), panel.day(T - 1)
    _, one = stepped(before, day, setup_of(2, policy=loose))
    assert one.over == ()
    tight = loose.model_copy(
        update={"clamps": loose.clamps.model_copy(update={"name_core": 0.01, "bucket_core": 0.02})}
    )
    used, over = exposure(before, day, tight, one.rows)
    assert used["name_core"] > 1.0 and used["bucket_core"] > 1.0
    assert [text.split(": ")[1] for text in over] == ["A, name_core", "B, name_core", "bucket_core"]
    # The same book a session later, nothing bought: holdings alone exceed nothing.
    after, _ = stepped(before, day, setup_of(2, policy=loose))
    entries = [r for r in one.rows if r["kind"] != "order"]
    assert exposure(after, day, tight, entries)[1] == ()


def test_features_switched_off_are_named_and_not_replayed(panel_of: Make) -> None:
    found = tried(panel_of(wavy()), Policy(), engineer("rsi_14"))
    assert found.left_out == ("rsi_14",) and found.sessions == 0 and found.ok


@given(
    core=st.floats(-0.9, 0.0),
    position=st.floats(1e-4, 0.3),
    label=st.sampled_from(["bull", "crisis"]),
    barred=st.sampled_from([(), ("A",)]),
)
def test_no_reply_takes_an_entry_beyond_an_operators_cap(
    panel_of: Make, core: float, position: float, label: str, barred: tuple[str, ...]
) -> None:
    policy = validated(Policy, WIDE)
    replies = (auditor(core, label, barred), judge(position=position))
    found = tried(panel_of(wavy()), policy, *replies, sessions=4)
    assert not [text for text in found.breaches if "of equity" in text]
    if found.operator is not None and found.replied is not None:
        assert found.replied.used["gross"] <= found.operator.used["gross"] + 0.02
