"""Decided twice: what the replied policy changes of a session's decisions, and what it can't."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.desk import Desk, Setup
from hybridnb.app.inputs import account, inputs
from hybridnb.app.panel import Day, Panel
from hybridnb.app.records import Recorder
from hybridnb.app.session import open_desk, step
from hybridnb.app.state import State, first_state
from hybridnb.app.twice import decided_twice
from hybridnb.domain import SCALE, Refusal
from hybridnb.escalation.applying import compose
from hybridnb.escalation.calls import Call, read_reply
from hybridnb.escalation.changes import InForce, Standing, Training
from hybridnb.limits import limits
from hybridnb.policy import Policy, validated
from hybridnb.stops import levels, stop_rule

Make = Callable[..., Any]
ROW = 281
ZERO = {"short": 0.0, "mid": 0.0, "rl": 0.0}
KEPT = {"penny": 0.0, "fno": 0.0, "core": 0.0}
LOOSE = {
    **{"heat_limit": 100.0, "var_limit": 1.0, "es_limit": 1.0},
    **{"kelly_fraction": 1.0, "volatility_target": 1.0},
}

ROOMY = validated(Policy, {"sizing": LOOSE})  # names take hardly any room from another


def audit(
    label: str = "bull",
    weights: Mapping[str, float] = ZERO,
    caps: Mapping[str, float] = KEPT,
    barred: tuple[str, ...] = (),
) -> tuple[Call, dict[str, Any]]:
    return Call.REGIME_AUDITOR, {
        "regime_label": label,
        "blend_weights_delta": dict(weights),
        "bucket_caps_delta": dict(caps),
        "do_not_trade_list": list(barred),
    }


def judge(
    *, stay: bool = True, position: float | None = None, atr: float | None = None
) -> tuple[Call, dict[str, Any]]:
    stops = {"atr": atr, "trailing": None}
    live = {"max_position_pct": position, "stop_multipliers": stops}
    return Call.SANITY_JUDGE, {"stay_demo": stay, "live_changes": live}


def under(policy: Policy, *asked: tuple[Call, dict[str, Any]]) -> InForce:
    """Replies in force in any session of the small market."""
    known = [
        Standing(f"r{i}", call, read_reply(call, values), 0, 10_000)
        for i, (call, values) in enumerate(asked)
    ]
    return compose(policy, known, session=1000, features=frozenset(), training=Training())


class Both:
    """A session's decisions: the operator's, the replied policy's as it was made, and the two's."""

    def __init__(
        self, state: State, day: Day, setup: Setup, asked: tuple[tuple[Call, dict[str, Any]], ...]
    ) -> None:
        self.given: list[np.ndarray] = []
        self.accounts: list[Any] = []
        own = setup.decide

        def decide(lim: Any, whole: Any, rows: np.ndarray, returns: np.ndarray) -> np.ndarray:
            self.given.append(rows.copy())
            self.accounts.append(whole)
            return own(lim, whole, rows, returns)

        in_force = under(setup.policy, *asked) if asked else None
        setup = replace(setup, in_force=in_force, decide=decide)
        self.record = Recorder(book="book", session=day.session, stamp={})
        desk = Desk(state, day, setup, self.record)
        open_desk(desk)
        lim = limits(setup.policy, desk.state.risk.mode)
        self.rows = inputs(desk.state, day, setup, lim, equity_units=desk.opening_equity)
        self.operator = setup.decide(
            lim, account(day, setup, desk.opening_equity), self.rows, day.returns
        )
        self.before = self.operator.copy()
        self.taken = decided_twice(desk, self.rows, self.operator)
        self.told = [row for row in self.record.rows if row["kind"] == "decided_twice"]

    @property
    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        return self.operator["size_post_risk"], self.taken["size_post_risk"]


def panel_with(panel_of: Make, **columns: float) -> Panel:
    """Three names that don't move, with these predictions."""
    rng = np.random.default_rng(5)
    closes = np.round(100 * np.exp(np.cumsum(rng.normal(0, 1e-4, (300, 3)), 0)), 2)
    made: Panel = panel_of(closes)
    full = {name: np.full((300, 3), value) for name, value in columns.items()}
    return replace(made, columns={**made.columns, **full})


@pytest.fixture
def both(panel_of: Make, setup_of: Make) -> Callable[..., Both]:
    def make(
        *asked: tuple[Call, dict[str, Any]],
        state: State | None = None,
        hint: float = 4.0,
        policy: Policy | None = None,
        **columns: float,
    ) -> Both:
        setup = setup_of(3, policy=policy, hint=hint)
        day = panel_with(panel_of, **columns).day(ROW)
        return Both(state or first_state(setup.policy), day, setup, asked)

    return make


def test_without_replies_there_is_one_decision(both: Callable[..., Both]) -> None:
    found = both()
    assert len(found.given) == 1 and found.taken is found.operator and not found.told
    assert (found.sizes[0] > 0).all()


@pytest.mark.parametrize("stay", [True, False])
def test_replies_that_bear_on_no_decision_leave_the_one(
    both: Callable[..., Both], stay: bool
) -> None:
    found = both(judge(stay=stay))
    assert len(found.given) == 1 and found.taken is found.operator and not found.told


def test_a_reply_that_asks_for_nothing_takes_nothing(both: Callable[..., Both]) -> None:
    found = both(audit(caps={**KEPT, "penny": -0.01}))  # there is no penny name
    assert len(found.given) == 2
    assert found.taken.tobytes() == found.before.tobytes()
    assert [row["names"] for row in found.told] == [[]]


def test_a_barred_name_isn_t_entered_and_the_others_are(both: Callable[..., Both]) -> None:
    found = both(audit(barred=("B", "NOWHERE")), policy=ROOMY)
    operator, taken = found.sizes
    assert taken.tolist() == [operator[0], 0.0, operator[2]]
    assert found.taken["refused"][1] == Refusal.DO_NOT_TRADE
    (names,) = [row["names"] for row in found.told]
    assert names[0]["symbol"] == "B"
    assert names[0]["operator"] == {"action": "BUY", "size": operator[1]}
    assert names[0]["replied"]["size"] == names[0]["taken"]["size"] == 0.0


def test_room_that_a_barred_name_leaves_is_nobody_s(both: Callable[..., Both]) -> None:
    """The replied decision gives what A doesn't take to the others; the two's doesn't."""
    found = both(audit(barred=("A",)))
    operator, taken = found.sizes
    (names,) = [row["names"] for row in found.told]
    larger = [each for each in names if each["replied"]["size"] > each["operator"]["size"]]
    assert {each["symbol"] for each in larger} == {"B", "C"}
    assert taken.tolist() == [0.0, operator[1], operator[2]]


def test_a_crisis_halves_every_entry(both: Callable[..., Both]) -> None:
    found = both(audit("crisis"), policy=ROOMY)
    operator, taken = found.sizes
    assert taken == pytest.approx(operator / 2, rel=1e-3)
    assert [whole.crisis for whole in found.accounts] == [False, True]
    assert both(audit("volatile"), policy=ROOMY).sizes[1] == pytest.approx(operator)


def test_a_smaller_largest_position_holds(both: Callable[..., Both]) -> None:
    operator, taken = both(judge(position=0.004), policy=ROOMY).sizes
    assert operator == pytest.approx(np.full(3, 0.015), rel=1e-3)
    assert taken == pytest.approx(np.full(3, 0.004), rel=1e-3)


def test_no_entry_appears_that_the_operator_s_policy_doesn_t_ask_for(
    both: Callable[..., Both],
) -> None:
    """0.4·0.9 + 0.3·0.3 + 0.3·0.5 = 0.60 is HOLD; under 0.6, 0.1, 0.3 it is 0.72, a BUY."""
    moved = audit(weights={"short": 0.2, "mid": -0.2, "rl": 0.0})
    found = both(moved, hint=0.0, p_short=0.9, p_mid=0.3)
    assert not found.operator["action"].any() and not found.taken["action"].any()
    assert not found.sizes[1].any()
    (names,) = [row["names"] for row in found.told]
    assert {each["replied"]["action"] for each in names} == {"BUY"}
    assert {each["taken"]["action"] for each in names} == {"HOLD"}


def test_an_entry_that_the_replied_policy_doesn_t_ask_for_isn_t_made(
    both: Callable[..., Both],
) -> None:
    """0.4·0.9 + 0.3·0.6 + 0.3·0.5 = 0.69 is a BUY; under 0.2, 0.5, 0.3 it is 0.63, HOLD."""
    moved = audit(weights={"short": -0.2, "mid": 0.2, "rl": 0.0})
    found = both(moved, hint=0.0, p_short=0.9, p_mid=0.6)
    assert (found.operator["action"] == 1).all() and not found.taken["action"].any()


def entered(panel_of: Make, setup: Setup) -> State:
    """The state after a session in which every name was bought."""
    panel = panel_with(panel_of)
    day = panel.day(ROW - 1)
    after = step(first_state(setup.policy), day, setup, Recorder(book="b", session="s", stamp={}))
    assert len(after.book.positions) == 3
    return after


def test_heat_is_measured_to_the_operator_s_stop_in_both_decisions(
    both: Callable[..., Both], panel_of: Make, setup_of: Make
) -> None:
    setup = setup_of(3)
    near = judge(atr=0.5)
    state = entered(panel_of, replace(setup, in_force=under(setup.policy, near)))
    far = stop_rule(setup.policy.stops)
    found = both(near, state=state)
    for i, (symbol, held) in enumerate(sorted(state.book.positions.items())):
        own, _ = levels(far, held.entry, held.atr, 1, 1)
        assert own < held.stop, "the reply's stop is nearer"
        last = panel_with(panel_of).day(ROW).last[symbol]
        share = held.quantity * (last - own) / (found.accounts[0].equity * SCALE)
        assert found.rows["risk"][i] == pytest.approx(share)
    assert found.given[1]["risk"].tolist() == found.given[0]["risk"].tolist()
    assert (both(state=state).rows["risk"] < found.rows["risk"]).all()


def test_an_exit_needs_only_one_of_the_two(
    both: Callable[..., Both], panel_of: Make, setup_of: Make
) -> None:
    """0.4·0.05 + 0.3·0.6 + 0.3·0.5 = 0.35 holds; under 0.6, 0.1, 0.3 it is 0.24, a SELL."""
    state = entered(panel_of, setup_of(3))
    moved = audit(weights={"short": 0.2, "mid": -0.2, "rl": 0.0})
    found = both(moved, state=state, hint=0.0, p_short=0.05, p_mid=0.6)
    assert not found.operator["action"].any()
    assert (found.taken["action"] == -1).all() and not found.sizes[1].any()
    back = audit(weights={"short": -0.2, "mid": 0.2, "rl": 0.0})
    found = both(back, state=state, hint=0.0, p_short=0.05, p_mid=0.4)
    assert (found.operator["action"] == -1).all() and (found.taken["action"] == -1).all()


def test_predictions_without_a_feature_are_the_second_decision_s_only(
    panel_of: Make, setup_of: Make
) -> None:
    setup = setup_of(3)
    off = {
        "reward_coefficients": {"returns": 0.6, "turnover": 0.2, "drawdown": 0.2},
        "turnover_penalties": {"penalty_rate": 0.01},
        "disabled_features": ["rsi_14"],
    }
    known = [Standing("r", Call.REWARD_ENGINEER, read_reply(Call.REWARD_ENGINEER, off), 0, 9999)]
    made = compose(
        setup.policy, known, session=1000, features=frozenset({"rsi_14"}), training=Training()
    )
    day = panel_with(panel_of).day(ROW)
    toggled = {"p_short": np.array([0.9, 0.1, 0.9]), "p_mid": np.array([0.9, 0.1, 0.9])}
    desk = Desk(
        first_state(setup.policy),
        day,
        replace(setup, in_force=made, toggled=toggled),
        Recorder(book="b", session=day.session, stamp={}),
    )
    open_desk(desk)
    lim = limits(setup.policy, desk.state.risk.mode)
    rows = inputs(desk.state, day, setup, lim, equity_units=desk.opening_equity)
    own = setup.decide(lim, account(day, setup, desk.opening_equity), rows, day.returns)
    taken = decided_twice(desk, rows, own)
    assert (own["action"] == 1).all()
    assert taken["action"].tolist() == [1, 0, 1]
    assert (rows["p_short"] == 0.9).all(), "the operator's inputs are as they were"


deltas = st.floats(-1, 1)
audits = st.builds(
    audit,
    st.sampled_from(["bull", "bear", "sideways", "volatile", "crisis"]),
    st.fixed_dictionaries(dict.fromkeys(ZERO, deltas)),
    st.fixed_dictionaries(dict.fromkeys(KEPT, deltas)),
    st.lists(st.sampled_from(["A", "B", "C"]), max_size=2).map(tuple),
)
judges = st.builds(
    judge,
    stay=st.booleans(),
    position=st.none() | st.floats(0, 1),
    atr=st.none() | st.floats(0.1, 10),
)
shares = st.lists(st.floats(0, 1), min_size=6, max_size=6)


@given(
    asked=st.lists(audits | judges, min_size=1, max_size=3),
    known=shares,
    hint=st.floats(-4, 4),
    shorts=st.booleans(),
    holding=st.booleans(),
)
def test_whatever_is_replied_no_entry_appears_or_grows(
    panel_of: Make,
    setup_of: Make,
    asked: list[tuple[Call, dict[str, Any]]],
    known: list[float],
    hint: float,
    shorts: bool,
    holding: bool,
) -> None:
    policy = validated(Policy, {"sizing": {**LOOSE, "allow_short": shorts}})
    setup = setup_of(3, policy=policy, hint=hint)
    state = entered(panel_of, setup_of(3, policy=policy)) if holding else first_state(policy)
    panel = panel_with(panel_of)
    p_short, p_mid = np.tile(known[:3], (300, 1)), np.tile(known[3:], (300, 1))
    panel = replace(panel, columns={**panel.columns, "p_short": p_short, "p_mid": p_mid})
    found = Both(state, panel.day(ROW), setup, tuple(asked))
    held, (operator, taken) = found.rows["held"], found.sizes
    fresh = held == 0.0
    assert (np.abs(taken[fresh]) <= np.abs(operator[fresh])).all()
    assert (found.operator["action"][fresh & (found.taken["action"] != 0)] != 0).all()
    same = found.taken["action"][fresh & (taken != 0)]
    assert (same == found.operator["action"][fresh & (taken != 0)]).all()
    grown = np.abs(taken[~fresh]) - np.abs(held[~fresh])
    allowed = np.maximum(np.abs(operator[~fresh]) - np.abs(held[~fresh]), 0.0)
    closes = found.operator["action"][~fresh] * held[~fresh] < 0
    assert (grown <= np.where(closes, 0.0, allowed) + 1e-15).all()
    assert (taken[~fresh][closes] == 0.0).all()
