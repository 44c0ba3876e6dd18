"""Applying replies: known answers, then that nothing is ever looser, then two decisions as one."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridnb.canonical import canonical
from hybridnb.decide import DECISION, INPUT, decide
from hybridnb.domain import Bound, Bucket, Mode, Refusal
from hybridnb.entries import Account
from hybridnb.errors import ParamsError
from hybridnb.escalation.applying import DO_NOT_TRADE, SHIFT, compose, shifted
from hybridnb.escalation.calls import Call, Reply, read_reply
from hybridnb.escalation.changes import (
    CRISIS,
    FEATURES_OFF,
    STAY_DEMO,
    Change,
    InForce,
    Standing,
    Training,
    changed,
    inverse,
    renewed,
    rolled_back,
    standing,
)
from hybridnb.escalation.deciding import replied_limits, tighter_decision
from hybridnb.escalation.examples import EXAMPLE_REPLIES
from hybridnb.limits import CODE, limits
from hybridnb.policy import Policy, policy_values, validated

EVIDENCE = os.environ.get("HYBRIDNB_EVIDENCE") == "1"
MANY = settings(max_examples=10_000) if EVIDENCE else settings()  # else as the profile says
FEATURES = frozenset({"return_1", "return_5", "rsi_14", "macd", "adx_14"})
ORDINAL = 100
BOUNDS = list(Bound)


def audit(
    label: str = "bull",
    weights: tuple[float, float, float] = (0.0, 0.0, 0.0),
    caps: tuple[float, float, float] = (0.0, 0.0, 0.0),
    barred: tuple[str, ...] = (),
) -> Reply:
    values = {
        "regime_label": label,
        "blend_weights_delta": dict(zip(("short", "mid", "rl"), weights, strict=True)),
        "bucket_caps_delta": dict(zip(("penny", "fno", "core"), caps, strict=True)),
        "do_not_trade_list": list(barred),
    }
    return read_reply(Call.REGIME_AUDITOR, values)


def engineer(
    coefficients: tuple[float, float, float] = (0.6, 0.2, 0.2),
    rate: float = 0.01,
    off: tuple[str, ...] = (),
) -> Reply:
    names = ("returns", "turnover", "drawdown")
    values = {
        "reward_coefficients": dict(zip(names, coefficients, strict=True)),
        "turnover_penalties": {"penalty_rate": rate},
        "disabled_features": list(off),
    }
    return read_reply(Call.REWARD_ENGINEER, values)


def judge(
    stay: bool = True,
    position: float | None = None,
    atr: float | None = None,
    trailing: float | None = None,
) -> Reply:
    live = {
        "max_position_pct": position,
        "stop_multipliers": {"atr": atr, "trailing": trailing},
    }
    return read_reply(Call.SANITY_JUDGE, {"stay_demo": stay, "live_changes": live})


def call_of(reply: Reply) -> Call:
    return next(c for c, example in EXAMPLE_REPLIES.items() if type(example) is type(reply))


def recorded(*replies: Reply, session: int = ORDINAL) -> list[Standing]:
    """Replies that came in sessions one after the other, the last in `session`."""
    first = session - len(replies) + 1
    return [
        standing(f"op-{first + i}", call_of(reply), reply, session=first + i)
        for i, reply in enumerate(replies)
    ]


def under(
    *replies: Reply, policy: Policy | None = None, session: int = ORDINAL + 1, **own: Any
) -> InForce:
    operator = Policy() if policy is None else policy
    training = own.get("training", Training())
    return compose(
        operator, recorded(*replies), session=session, features=FEATURES, training=training
    )


def keyed(changes: tuple[Change, ...]) -> dict[str, tuple[Any, Any]]:
    return {c.key: (c.before, c.after) for c in changes}


# --- known answers ---


def test_weights_shift_and_stay_a_whole() -> None:
    out = under(audit(weights=(0.1, -0.1, 0.0)))
    blend = out.policy.blend
    assert (blend.weight_short, blend.weight_mid, blend.weight_rl) == pytest.approx((0.5, 0.2, 0.3))
    assert keyed(out.changes)["blend.weight_mid"] == (0.3, pytest.approx(0.2))
    assert out.changes[0].reason == "REGIME_AUDITOR op-100"
    assert out.proposals == out.passed_over == ()


def test_weights_are_renormalised() -> None:
    assert shifted([0.4, 0.3, 0.3], [0.2, 0.2, 0.2]) == pytest.approx([0.375, 0.3125, 0.3125])
    assert shifted([0.4, 0.3, 0.3], [0.2, 0.0, 0.0]) == pytest.approx([0.5, 0.25, 0.25])


def test_a_delta_beyond_its_limit_counts_as_the_limit() -> None:
    assert shifted([0.4, 0.3, 0.3], [1.0, -1.0, 0.0]) == shifted([0.4, 0.3, 0.3], [0.2, -0.2, 0.0])
    assert shifted([0.4, 0.3, 0.3], [1.0, -1.0, 0.0]) == pytest.approx([0.6, 0.1, 0.3])


def test_renormalising_moves_no_weight_beyond_the_limit() -> None:
    # .6, .1, .1 renormalised would be .75, .125, .125: a shift of .35, scaled down to .2.
    assert shifted([0.4, 0.3, 0.3], [0.2, -0.2, -0.2]) == pytest.approx([0.6, 0.2, 0.2])


def test_weights_that_leave_no_predictor_are_passed_over() -> None:
    policy = validated(
        Policy, {"blend": {"weight_short": 0.1, "weight_mid": 0.1, "weight_rl": 0.8}}
    )
    out = under(audit(weights=(-0.2, -0.2, 0.2)), policy=policy)
    assert out.policy == policy and out.changes == ()
    assert {c.key for c in out.passed_over} == {
        *("blend.weight_short", "blend.weight_mid", "blend.weight_rl"),
    }


def test_caps_fall_and_a_rise_is_a_proposal() -> None:
    out = under(audit(caps=(0.01, -0.02, -0.3)))
    assert keyed(out.changes) == {
        "clamps.bucket_core": (0.9, pytest.approx(0.6)),
        "clamps.bucket_fno": (0.05, pytest.approx(0.03)),
    }
    assert keyed(out.proposals) == {"clamps.bucket_penny": (0.02, pytest.approx(0.03))}
    assert out.policy.clamps.bucket_penny == 0.02


def test_a_cap_falls_to_zero_and_no_further() -> None:
    assert under(audit(caps=(-1.0, -1.0, -1.0))).policy.clamps.bucket_core == 0.0


def test_the_do_not_trade_list_only_grows() -> None:
    policy = validated(Policy, {"lists": {"do_not_trade": ["BB.TO"]}})
    out = under(audit(barred=("WEED.TO", "ACB.TO", "WEED.TO")), policy=policy)
    assert out.policy.lists.do_not_trade == {"ACB.TO", "BB.TO", "WEED.TO"}
    assert keyed(out.changes) == {DO_NOT_TRADE: (("BB.TO",), ("ACB.TO", "BB.TO", "WEED.TO"))}
    assert under(audit(barred=("BB.TO",)), policy=policy).changes == ()


@pytest.mark.parametrize("label", ["bull", "bear", "sideways", "volatile", "crisis"])
def test_a_regime_s_label_can_only_switch_the_crisis_factor_on(label: str) -> None:
    out = under(audit(label))
    assert out.crisis is (label == "crisis")
    assert keyed(out.changes) == ({CRISIS: (False, True)} if out.crisis else {})
    assert out.policy == Policy()


def test_a_new_bull_doesn_t_end_a_crisis() -> None:
    assert under(audit("crisis"), audit("bull")).crisis


def test_the_largest_position_bears_on_every_class_it_tightens() -> None:
    out = under(judge(position=0.005))
    assert keyed(out.changes) == {
        "clamps.name_core": (0.015, 0.005),
        "clamps.name_fno": (0.007, 0.005),
        STAY_DEMO: (False, True),
    }
    assert out.proposals == ()


def test_a_larger_position_than_any_is_a_proposal() -> None:
    out = under(judge(position=0.05))
    assert keyed(out.proposals) == {"clamps.name_core": (0.015, 0.05)}
    assert out.policy == Policy()
    assert under(judge(position=0.015)).proposals == ()


def test_stops_come_nearer_and_a_wider_one_is_a_proposal() -> None:
    out = under(judge(atr=1.5, trailing=1.3))
    assert out.policy.stops.initial == 1.5
    assert out.policy.stops.trailing == 1.2
    assert keyed(out.proposals) == {"stops.trailing": (1.2, 1.3)}


def test_demo_is_kept_at_once_and_left_by_proposal_only() -> None:
    assert under(judge(True)).stay_demo
    out = under(judge(False))
    assert not out.stay_demo and out.changes == ()
    assert keyed(out.proposals) == {STAY_DEMO: (True, False)}
    assert under(judge(True), judge(False)).stay_demo


def test_a_reply_never_moves_the_operator_s_mode() -> None:
    policy = validated(Policy, {"mode": "LIVE"})
    assert under(judge(True), policy=policy).policy.mode is Mode.LIVE


def test_reward_is_for_the_next_training_and_not_in_the_policy() -> None:
    out = under(engineer((0.5, 0.2, 0.3), 0.02))
    assert out.training == Training(0.5, 0.2, 0.3, 0.02)
    assert keyed(out.changes) == {
        "training.returns": (0.6, 0.5),
        "training.drawdown": (0.2, 0.3),
        "training.penalty_rate": (0.01, 0.02),
    }
    assert out.policy == Policy()
    assert under(engineer()).changes == ()


def test_the_newest_reward_counts_and_starts_from_the_operator_s() -> None:
    own = Training(0.7, 0.2, 0.1, 0.0)
    out = under(engineer((0.5, 0.2, 0.3)), engineer((0.4, 0.4, 0.2)), training=own)
    assert keyed(out.changes)["training.returns"] == (0.7, 0.4)
    assert out.training.turnover == 0.4


def test_only_features_that_exist_are_switched_off_and_three_at_most() -> None:
    out = under(engineer(off=("rsi_14", "no_such")), engineer(off=("macd", "adx_14", "return_1")))
    assert out.disabled == ("adx_14", "macd", "rsi_14")
    assert keyed(out.changes) == {FEATURES_OFF: ((), ("adx_14", "macd", "rsi_14"))}
    assert [(c.after, c.reason) for c in out.passed_over] == [
        ("no_such", "REWARD_ENGINEER op-99: no such feature"),
        ("return_1", "REWARD_ENGINEER op-100: 3 are switched off already"),
    ]


def test_a_reply_holds_from_the_next_session_for_five() -> None:
    held = [
        session
        for session in range(ORDINAL - 1, ORDINAL + 9)
        if under(audit(caps=(0, 0, -0.1)), session=session).changes
    ]
    assert held == [ORDINAL + 1, ORDINAL + 2, ORDINAL + 3, ORDINAL + 4, ORDINAL + 5]
    [reply] = recorded(audit())
    assert (reply.from_session, reply.expires) == (ORDINAL + 1, ORDINAL + 6)


def test_renewal_lengthens_and_never_shortens() -> None:
    [reply] = recorded(audit())
    later = renewed(reply, session=ORDINAL + 3)
    assert (later.from_session, later.expires) == (ORDINAL + 1, ORDINAL + 9)
    assert renewed(later, session=ORDINAL + 1) == later


def test_deltas_count_from_the_operator_s_numbers_never_from_changed_ones() -> None:
    one = audit(weights=(0.1, -0.1, 0.0), caps=(0.0, 0.0, -0.1))
    out = under(one, one, one)
    assert out.policy == under(one).policy
    assert keyed(out.changes) == keyed(under(one).changes)


def test_several_replies_take_the_tightest_and_the_newest_weights() -> None:
    out = under(
        audit(weights=(0.1, -0.1, 0.0), caps=(-0.01, 0.0, -0.4), barred=("A.TO",)),
        judge(position=0.01, atr=1.5),
        audit(weights=(-0.1, 0.0, 0.1), caps=(0.0, -0.01, -0.2), barred=("B.TO",)),
        judge(position=0.012, atr=1.2),
        audit(),
    )
    clamps = out.policy.clamps
    assert (clamps.bucket_penny, clamps.bucket_fno) == (0.01, pytest.approx(0.04))
    assert (clamps.bucket_core, clamps.name_core) == (0.5, 0.01)
    assert out.policy.stops.initial == 1.2
    assert out.policy.lists.do_not_trade == {"A.TO", "B.TO"}
    assert out.policy.blend.weight_short == pytest.approx(0.3)
    reasons = {c.key: c.reason for c in out.changes}
    assert reasons["clamps.bucket_core"] == "REGIME_AUDITOR op-96"
    assert reasons["stops.initial"] == "SANITY_JUDGE op-99"
    assert reasons[DO_NOT_TRADE] == "REGIME_AUDITOR op-96; REGIME_AUDITOR op-98"


def test_an_operator_s_own_change_counts_under_a_reply_in_force() -> None:
    policy = validated(Policy, {"clamps": {"bucket_core": 0.5}, "stops": {"initial": 1.0}})
    out = under(audit(caps=(0, 0, -0.3)), judge(atr=1.5), policy=policy)
    assert out.policy.clamps.bucket_core == pytest.approx(0.2)
    assert out.policy.stops.initial == 1.0
    assert keyed(out.proposals) == {"stops.initial": (1.0, 1.5)}


@pytest.mark.parametrize("key", ["clamps.no_such", "no_such.key", "no_such", "mode.x"])
def test_a_diff_of_an_unknown_key_is_refused(key: str) -> None:
    with pytest.raises(ParamsError):
        changed(Policy(), [Change(key, 0.0, 0.1, "")])


def test_two_diffs_of_one_key_are_undone_from_the_last() -> None:
    twice = (Change("stops.initial", 1.8, 1.5, "a"), Change("stops.initial", 1.5, 1.2, "b"))
    nearer = changed(Policy(), twice)
    assert nearer.stops.initial == 1.2
    assert changed(nearer, inverse(twice, "rollback")).id == Policy().id


# --- properties ---

signed = st.floats(-1, 1) | st.sampled_from([0.0, -0.0, 1e-300, -1e-300, 0.2, -0.2])
share = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 0.004, 0.007, 0.015, 5e-324])
symbols = st.from_regex(r"[A-Z]{1,4}(\.TO|\.V)?", fullmatch=True)
feature_names = st.sampled_from([*sorted(FEATURES), "no_such", "x"])
multiples = st.none() | st.floats(0.1, 10)
triples = st.tuples(signed, signed, signed)
audits = st.builds(
    audit,
    st.sampled_from(["bull", "bear", "sideways", "volatile", "crisis"]),
    triples,
    triples,
    st.lists(symbols, max_size=6).map(tuple),
)


@st.composite
def engineers(draw: st.DrawFn) -> Reply:
    first, second = sorted((draw(share), draw(share)))
    off = draw(st.lists(feature_names, max_size=3))
    return engineer((first, second - first, 1.0 - second), draw(share), tuple(off))


judges = st.builds(judge, st.booleans(), st.none() | share, multiples, multiples)
replies = st.lists(audits | engineers() | judges, min_size=1, max_size=4)
buckets = st.tuples(st.floats(0, 0.1), st.floats(0, 0.1), st.floats(0, 0.8))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Operators' policies, the specification's among them."""
    if draw(st.booleans()):
        return Policy()
    penny, fno, core = draw(buckets)
    weights = draw(st.tuples(st.floats(0.01, 1), share, share))
    named = dict(zip(("weight_short", "weight_mid", "weight_rl"), weights, strict=True))
    return validated(
        Policy,
        {
            "blend": named,
            "clamps": {
                **{"bucket_penny": penny, "bucket_fno": fno, "bucket_core": core},
                **{f"name_{name}": draw(share) for name in ("penny", "fno", "core")},
            },
            "stops": {"initial": draw(st.floats(0.05, 20)), "trailing": draw(st.floats(0.05, 20))},
            "lists": {"do_not_trade": draw(st.lists(symbols, max_size=3))},
        },
    )


MAY_FALL = {
    *(f"clamps.{kind}_{name}" for kind in ("bucket", "name") for name in ("penny", "fno", "core")),
    *("stops.initial", "stops.trailing"),
}
MAY_MOVE = {"blend.weight_short", "blend.weight_mid", "blend.weight_rl"}
MAY_GROW = {"lists.do_not_trade"}


def flat(policy: Policy) -> dict[str, Any]:
    """Every number and list of a policy by its dotted key."""
    out: dict[str, Any] = {}
    for section, values in policy_values(policy).items():
        parts = values.items() if isinstance(values, dict) else [("", values)]
        out |= {f"{section}.{name}" if name else section: value for name, value in parts}
    return out


@MANY
@given(policies(), replies, st.sampled_from(Mode), st.integers(0, 2**32 - 1))
def test_no_limit_is_ever_looser(
    operator: Policy, asked: list[Reply], mode: Mode, seed: int
) -> None:
    """Not in the policy, and not in what the two decisions about a universe come to."""
    out = under(*asked, policy=operator)
    before, after = flat(operator), flat(out.policy)
    assert before.keys() == after.keys()
    for key, old in before.items():
        new = after[key]
        if key in MAY_FALL:
            assert 0.0 <= new <= old, key
        elif key in MAY_GROW:
            assert set(old) <= set(new), key
        elif key not in MAY_MOVE:
            assert new == old, key
    rows, returns = market(seed, 8)
    account = Account(1_000_000.0, operator.clamps.bucket_fno, False)
    replied = Account(1_000_000.0, out.policy.clamps.bucket_fno, out.crisis)
    one = decide(limits(operator, mode), account, rows, returns)
    two = decide(replied_limits(operator, out.policy, mode), replied, rows, returns)
    got, held = tighter_decision(one, two, rows["held"]), rows["held"]
    assert (bought(got, held) <= bought(one, held)).all()
    fresh = held == 0.0
    assert (np.abs(got["size_post_risk"]) <= np.abs(one["size_post_risk"]))[fresh].all()
    closed = one["action"] * held < 0.0
    assert (got["size_post_risk"][closed] == 0.0).all()
    assert (~closed | (got["action"] == one["action"])).all()


@given(policies(), replies, st.sampled_from(Mode))
def test_no_number_that_a_decision_reads_is_looser(
    operator: Policy, asked: list[Reply], mode: Mode
) -> None:
    out = under(*asked, policy=operator)
    old, new = limits(operator, mode), replied_limits(operator, out.policy, mode)
    for name in ("bucket", "name"):
        assert all(b <= a for a, b in zip(getattr(old, name), getattr(new, name), strict=True))
    moved = {"weight_short", "weight_mid", "weight_rl", "bucket", "name"}
    for name in set(old._fields) - moved:
        assert getattr(old, name) == getattr(new, name), name


@given(policies(), triples)
def test_weights_move_by_the_limit_at_most_and_sum_to_one(
    operator: Policy, deltas: tuple[float, float, float]
) -> None:
    blend = operator.blend
    own = [blend.weight_short, blend.weight_mid, blend.weight_rl]
    new = shifted(own, deltas)
    assert sum(new) == pytest.approx(1.0, abs=1e-12)
    assert all(0.0 <= w <= 1.0 for w in new)
    for old, w in zip(own, new, strict=True):
        assert abs(w - old / sum(own)) <= SHIFT + 1e-12


@given(policies(), replies)
def test_diffs_tell_everything_and_their_inverse_brings_the_policy_back(
    operator: Policy, asked: list[Reply]
) -> None:
    out = under(*asked, policy=operator)
    assert changed(operator, out.changes).id == out.policy.id
    back = changed(out.policy, inverse(out.changes, "rollback"))
    assert canonical(policy_values(back)) == canonical(policy_values(operator))
    assert inverse(inverse(out.changes, ""), "") == tuple(
        replace(c, reason="") for c in out.changes
    )
    read = [Change(**row) for row in json.loads(canonical(out.changes))]  # as a ledger keeps them
    assert changed(operator, read).id == out.policy.id
    keys = [c.key for c in out.changes]
    assert len(keys) == len(set(keys))
    assert all(c.before != c.after for c in out.changes)


@given(policies(), replies)
def test_a_reply_rolled_back_leaves_no_trace(operator: Policy, asked: list[Reply]) -> None:
    known = recorded(*asked)

    def composed(some: Any) -> InForce:
        return compose(operator, some, session=ORDINAL + 1, features=FEATURES, training=Training())

    fewer = rolled_back(known, known[0].source)
    assert composed(fewer) == composed(known[1:])
    assert composed(rolled_back(known[:1], known[0].source)).policy.id == operator.id
    assert all(composed(order) == composed(known) for order in permutations(known))


@given(policies(), replies)
def test_proposals_would_loosen_and_none_of_them_is_applied(
    operator: Policy, asked: list[Reply]
) -> None:
    out = under(*asked, policy=operator)
    values = flat(out.policy)
    for proposal in out.proposals:
        if proposal.key == STAY_DEMO:
            assert (proposal.before, proposal.after) == (True, False)
        else:
            assert proposal.after > proposal.before >= values[proposal.key]


# --- two decisions as one ---

FLAT = np.zeros(1)


def dec(action: int, size: float, score: float = 0.8, **more: Any) -> np.ndarray:
    out = np.zeros(1, DECISION)
    out["action"], out["size_post_risk"], out["score"] = action, size, score
    out["rank"] = 0 if action else -1
    for name, value in more.items():
        out[name] = value
    return out


@pytest.mark.parametrize(
    ("operator", "replied", "held", "action", "size"),
    [
        ((1, 0.015), (1, 0.01), 0.0, 1, 0.01),  # the smaller of two entries
        ((1, 0.005), (1, 0.01), 0.0, 1, 0.005),
        ((-1, -0.015), (-1, -0.01), 0.0, -1, -0.01),  # and of two shorts
        ((1, 0.015), (0, 0.0), 0.0, 0, 0.0),  # an entry needs both
        ((0, 0.0), (1, 0.015), 0.0, 0, 0.0),
        ((0, 0.004), (1, 0.015), 0.004, 0, 0.004),  # and what is held stays
        ((1, 0.015), (-1, -0.01), 0.0, 0, 0.0),  # they contradict each other
        ((-1, 0.0), (0, 0.01), 0.01, -1, 0.0),  # either closes a long
        ((0, 0.01), (-1, 0.0), 0.01, -1, 0.0),
        ((1, 0.015), (-1, 0.0), 0.01, -1, 0.0),
        ((-1, -0.01), (1, 0.0), -0.01, 1, 0.0),  # and a short
        ((0, 0.01), (0, 0.01), 0.01, 0, 0.01),
    ],
)
def test_what_two_decisions_come_to(
    operator: tuple[int, float],
    replied: tuple[int, float],
    held: float,
    action: int,
    size: float,
) -> None:
    out = tighter_decision(dec(*operator), dec(*replied), np.array([held]))
    assert (out["action"][0], out["size_post_risk"][0]) == (action, size)
    assert out["rank"][0] == (0 if action else -1)


def test_the_smaller_entry_s_steps_are_kept_whole() -> None:
    larger = dec(1, 0.015, 0.7, size_pre=0.4, m_heat=0.9, bound=BOUNDS.index(Bound.NAME))
    smaller = dec(1, 0.01, 0.8, size_pre=0.5, m_heat=0.5, bound=BOUNDS.index(Bound.KELLY))
    for two in ((larger, smaller), (smaller, larger)):
        assert tighter_decision(*two, FLAT).tobytes() == smaller.tobytes()


def test_an_entry_refused_in_one_is_refused_with_the_reasons_of_both() -> None:
    no_room = dec(1, 0.0, refused=int(Refusal.NO_ROOM), bound=BOUNDS.index(Bound.REFUSED))
    barred = dec(1, 0.0, refused=int(Refusal.DO_NOT_TRADE), bound=BOUNDS.index(Bound.REFUSED))
    out = tighter_decision(dec(1, 0.015), barred, FLAT)
    assert out["refused"][0] == Refusal.DO_NOT_TRADE
    assert (out["size_post_risk"][0], BOUNDS[out["bound"][0]]) == (0.0, Bound.REFUSED)
    out = tighter_decision(no_room, barred, FLAT)
    assert out["refused"][0] == Refusal.DO_NOT_TRADE | Refusal.NO_ROOM


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_size_that_isn_t_finite_is_refused(bad: float) -> None:
    for two in ((dec(1, bad), dec(1, 0.01)), (dec(1, 0.01), dec(1, bad))):
        out = tighter_decision(*two, FLAT)
        assert (out["size_post_risk"][0], out["refused"][0]) == (0.0, Refusal.NOT_FINITE)


def test_a_contradiction_reads_as_any_other_hold() -> None:
    wanted = dec(1, 0.015, size_pre=0.4, capped=0.02, m_heat=0.5, heat=0.1, bound=1)
    out = tighter_decision(wanted, dec(-1, -0.015, 0.2), FLAT)[0]
    assert (out["size_pre"], out["capped"], out["m_heat"], out["bound"]) == (0.0, 0.0, 0.0, 0)
    assert np.isnan([out["heat"], out["var"], out["quarter_kelly"]]).all()


def test_ranks_are_counted_anew() -> None:
    operator = np.concatenate([dec(1, 0.01, 0.7), dec(1, 0.01, 0.9), dec(1, 0.01, 0.8)])
    replied = operator.copy()
    replied["action"][1] = 0
    out = tighter_decision(operator, replied, np.zeros(3))
    assert out["rank"].tolist() == [1, -1, 0]


def test_decisions_of_different_universes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        tighter_decision(dec(1, 0.01), np.zeros(2, DECISION), np.zeros(2))


def test_a_nearer_stop_buys_no_size() -> None:
    operator = Policy()
    out = under(judge(atr=0.2), policy=operator)
    rows = np.zeros(1, INPUT)
    for name, value in {
        **{"p_short": 0.9, "p_mid": 0.9, "rl": 0.9, "liquidity": 1.0, "correlation": 0.5},
        **{"price": 100.0, "atr": 30.0, "annual_volatility": 0.2, "posture": 1.0},
        **{"win_long": 0.9, "bucket": CODE[Bucket.CORE]},
    }.items():
        rows[name] = value
    returns = np.random.default_rng(1).normal(0.0, 1e-4, (252, 1))
    account = Account(1_000_000.0, 1.0, False)

    def size(lim: Any) -> float:
        return float(decide(lim, account, rows, returns)["size_post_risk"][0])

    own = size(limits(operator, Mode.DEMO))
    assert 0.0 < own < size(limits(out.policy, Mode.DEMO))  # what would be wrong
    assert size(replied_limits(operator, out.policy, Mode.DEMO)) == own


def market(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A universe with holdings of all kinds, and the returns of its names."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, INPUT)
    for name in ("p_short", "p_mid", "rl"):
        rows[name] = rng.beta(0.4, 0.4, n)
    rows["rl"][rng.random(n) < 0.1] = np.nan
    rows["volatility_z"], rows["sentiment"] = rng.normal(0, 1.2, n), rng.normal(0, 0.2, n)
    rows["liquidity"], rows["correlation"] = rng.random(n), rng.random(n)
    rows["price"], rows["atr"] = rng.uniform(1, 200, n), rng.uniform(0.1, 5, n)
    rows["annual_volatility"] = rng.uniform(0.05, 0.6, n)
    rows["win_long"], rows["win_short"] = rng.uniform(0.3, 0.8, n), rng.uniform(0.3, 0.8, n)
    rows["held"] = rng.choice([0.0, 0.005, 0.015, -0.005], n, p=[0.6, 0.15, 0.15, 0.1])
    rows["risk"] = np.abs(rows["held"]) * 0.02
    rows["margin_rate"], rows["posture"] = 0.15, 1.0
    rows["bucket"] = rng.choice([CODE[Bucket.PENNY], CODE[Bucket.FNO], CODE[Bucket.CORE]], n)
    return rows, rng.normal(0.0, 0.01, (252, n))


def bought(decided: np.ndarray, held: np.ndarray) -> np.ndarray:
    """What entries add to what is held, as a share of equity."""
    enters = (decided["action"] != 0) & (decided["action"] * held >= 0.0)
    more = np.abs(decided["size_post_risk"]) - np.abs(held)
    return np.where(enters, np.maximum(more, 0.0), 0.0)


@given(st.integers(0, 2**32 - 1), replies, st.booleans())
def test_two_decisions_never_enter_more_than_either_and_exit_with_either(
    seed: int, asked: list[Reply], shorts: bool
) -> None:
    operator = validated(Policy, {"sizing": {"allow_short": shorts}})
    out = under(*asked, policy=operator)
    rows, returns = market(seed, 40)
    account = Account(1_000_000.0, 1.0, False)
    one = decide(limits(operator, Mode.DEMO), account, rows, returns)
    account = account._replace(crisis=out.crisis)
    two = decide(replied_limits(operator, out.policy, Mode.DEMO), account, rows, returns)
    got, held = tighter_decision(one, two, rows["held"]), rows["held"]

    one_more, two_more, got_more = (bought(d, held) for d in (one, two, got))
    assert (got_more <= np.minimum(one_more, two_more)).all()
    closes = [d["action"] * held < 0.0 for d in (one, two, got)]
    assert ((closes[0] | closes[1]) == closes[2]).all()
    assert (got["size_post_risk"][closes[2]] == 0.0).all()
    opened = (got["action"] != 0) & ~closes[2]
    assert (one["action"][opened] == got["action"][opened]).all()
    assert (two["action"][opened] == got["action"][opened]).all()
    fresh = held == 0.0
    smaller = np.minimum(np.abs(one["size_post_risk"]), np.abs(two["size_post_risk"]))
    assert (np.abs(got["size_post_risk"][fresh]) <= smaller[fresh]).all()
    assert (np.abs(got["size_post_risk"][opened]) <= got["size_pre"][opened]).all()
    ranks = np.sort(got["rank"][got["action"] != 0])
    assert ranks.tolist() == list(range(len(ranks)))


@given(st.integers(0, 2**32 - 1))
def test_without_a_reply_two_decisions_are_the_one(seed: int) -> None:
    rows, returns = market(seed, 20)
    lim = replied_limits(Policy(), under(audit()).policy, Mode.DEMO)
    assert lim == limits(Policy(), Mode.DEMO)
    one = decide(lim, Account(1_000_000.0, 1.0, False), rows, returns)
    assert tighter_decision(one, one.copy(), rows["held"]).tobytes() == one.tobytes()
