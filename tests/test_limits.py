"""Limits in force: the policy's numbers, scaled by the trading mode and never above them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Bucket, Mode
from hybridnb.limits import BUCKETS, CODE, MODE_CAPS, Limits, limits
from hybridnb.policy import Policy, validated

MODES = st.sampled_from(list(Mode))


def test_codes_are_positions_in_the_enum() -> None:
    assert tuple(Bucket) == BUCKETS
    assert [CODE[b] for b in BUCKETS] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("mode", "bucket", "name"),
    [
        (Mode.DEMO, (0.02, 0.05, 0.90), (0.004, 0.007, 0.015)),
        (Mode.LIVE_MICRO, (0.005, 0.0125, 0.225), (0.001, 0.00175, 0.00375)),
        (Mode.LIVE_LIMITED, (0.01, 0.025, 0.90), (0.002, 0.0035, 0.015)),
        (Mode.LIVE, (0.02, 0.05, 0.90), (0.004, 0.007, 0.015)),
    ],
)
def test_caps_by_mode(
    mode: Mode, bucket: tuple[float, float, float], name: tuple[float, float, float]
) -> None:
    lim = limits(Policy(), mode)
    assert lim.bucket == pytest.approx((*bucket, 0.0, 0.0), abs=1e-15)
    assert lim.name == pytest.approx((*name, 0.0, 0.0), abs=1e-15)


def test_sip_and_unknown_have_no_room_in_any_mode() -> None:
    for mode in Mode:
        lim = limits(Policy(), mode)
        for bucket in (Bucket.SIP, Bucket.UNKNOWN):
            assert lim.bucket[CODE[bucket]] == lim.name[CODE[bucket]] == 0.0


def test_every_other_number_is_the_policys() -> None:
    policy = validated(
        Policy,
        {
            "blend": {"penalty_rule": "shrink", "buy": 0.7, "sell": 0.2},
            "sizing": {"max_leverage": 1.5, "min_order_value": 50, "confidence_threshold": 0.3},
            "risk": {"kill_day_pnl": -0.02},
            "stops": {"initial": 1.5},
        },
    )
    lim = limits(policy, Mode.LIVE)
    assert (lim.shrink, lim.buy, lim.sell) == (1.0, 0.7, 0.2)
    assert (lim.max_leverage, lim.min_order_value, lim.confidence_threshold) == (1.5, 50.0, 0.3)
    assert (lim.loss_limit, lim.stop_atr) == (0.02, 1.5)
    assert limits(Policy(), Mode.LIVE).shrink == 0.0
    same = ("weight_short", "weight_mid", "weight_rl", "volatility_penalty", "volatility_z")
    same += ("news_penalty", "news_sentiment", "liquidity_penalty", "liquidity")
    same += ("correlation_penalty", "correlation")
    assert [getattr(lim, k) for k in same] == [getattr(policy.blend, k) for k in same]
    same = ("kelly_fraction", "payoff", "volatility_target", "var_limit", "es_limit")
    same += ("heat_limit", "crisis_factor", "no_rl_factor")
    assert [getattr(lim, k) for k in same] == [getattr(policy.sizing, k) for k in same]


def test_a_record_of_floats_and_nothing_else() -> None:
    lim = limits(Policy(), Mode.DEMO)
    for name, value in lim._asdict().items():
        numbers = value if isinstance(value, tuple) else (value,)
        assert all(type(v) is float for v in numbers), name
    assert set(Limits._fields) == set(lim._asdict())


def test_micro_excludes_shorts() -> None:
    policy = validated(Policy, {"sizing": {"allow_short": True}})
    allowed = {mode: limits(policy, mode).allow_short for mode in Mode}
    assert allowed == {
        Mode.DEMO: 1.0,
        Mode.LIVE_MICRO: 0.0,
        Mode.LIVE_LIMITED: 1.0,
        Mode.LIVE: 1.0,
    }
    assert all(limits(Policy(), mode).allow_short == 0.0 for mode in Mode)


SHARES = st.floats(0, 1 / 3)


@given(SHARES, SHARES, SHARES, SHARES, SHARES, SHARES)
def test_a_mode_never_widens_a_cap(
    a: float, b: float, c: float, d: float, e: float, f: float
) -> None:
    buckets = {"bucket_penny": a, "bucket_fno": b, "bucket_core": c}
    names = {"name_penny": d, "name_fno": e, "name_core": f}
    policy = validated(Policy, {"clamps": buckets | names})
    full = limits(policy, Mode.DEMO)
    assert full.bucket[:3] == (a, b, c)
    assert full.name[:3] == (d, e, f)
    assert limits(policy, Mode.LIVE) == full
    for mode in Mode:
        lim = limits(policy, mode)
        shares = MODE_CAPS[mode]
        assert lim.bucket[:3] == tuple(x * s for x, s in zip((a, b, c), shares, strict=True))
        assert all(x <= y for x, y in zip(lim.bucket, full.bucket, strict=True))
        assert all(x <= y for x, y in zip(lim.name, full.name, strict=True))
