"""The last word on every size: whatever comes in, nothing above a limit goes out."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.clamps import Room, clamp, penny_refusals, state_refusals
from hybridnb.decide import INPUT, Account, decide
from hybridnb.domain import Bucket, Mode, Refusal, TradingState
from hybridnb.limits import CODE, limits
from hybridnb.policy import Policy, validated

NAN, INF = float("nan"), float("inf")
POLICY = validated(Policy, {"sizing": {"allow_short": True}})
ANY = st.floats(allow_nan=True, allow_infinity=True)
WIDE = Room(1.0, 1.0, 1.0, 1.0)
CLEAR: dict[str, Any] = {
    "bucket": Bucket.PENNY,
    "price": 0.25,
    "adv": 200_000.0,
    "listed_do_not_trade": False,
    "stale": False,
    "bad_quality": False,
}
OPEN: dict[str, Any] = {
    "mode": Mode.LIVE,
    "state": TradingState.ACTIVE,
    "killed": False,
    "quarantined": False,
    "brake": False,
    "verdict_valid": True,
}


@pytest.mark.parametrize(
    ("room", "rate", "answer"),
    [
        (WIDE, 0.0, 0.5),
        (WIDE._replace(name=0.015), 0.0, 0.015),
        (WIDE._replace(bucket=0.02), 0.0, 0.02),
        (WIDE._replace(leverage=0.1), 0.0, 0.1),
        (WIDE._replace(margin=0.1), 0.5, 0.2),
        (WIDE._replace(margin=0.0), 0.0, 0.5),
        (WIDE._replace(margin=0.0), 0.5, 0.0),
        (WIDE._replace(bucket=-0.1), 0.0, 0.0),
        (WIDE._replace(leverage=0.0), 0.0, 0.0),
    ],
)
def test_the_least_room_holds(room: Room, rate: float, answer: float) -> None:
    assert clamp(0.5, room, margin_rate=rate, refusals=0) == answer


def test_any_refusal_is_zero() -> None:
    assert clamp(0.5, WIDE, margin_rate=0.0, refusals=0) == 0.5
    for refusal in Refusal:
        assert clamp(0.5, WIDE, margin_rate=0.0, refusals=int(refusal)) == 0.0


@given(ANY, st.tuples(ANY, ANY, ANY, ANY), ANY)
def test_a_clamp_only_shrinks(size: float, rooms: tuple[float, ...], rate: float) -> None:
    out = clamp(size, Room(*rooms), margin_rate=rate, refusals=0)
    assert out >= 0.0
    assert out == 0.0 or out <= size
    if any(math.isnan(room) for room in rooms[:3]) or math.isnan(rate):
        assert out == 0.0
    for room in rooms[:3]:
        assert out == 0.0 or out <= room
    if rate > 0.0 and out > 0.0:
        assert out <= rooms[3] / rate


def test_unknown_room_is_no_room() -> None:
    for name in Room._fields:
        room = WIDE._replace(**{name: NAN})
        assert clamp(0.5, room, margin_rate=0.5, refusals=0) == 0.0
    assert clamp(0.5, WIDE, margin_rate=NAN, refusals=0) == 0.0
    assert clamp(NAN, WIDE, margin_rate=0.5, refusals=0) == 0.0


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, Refusal(0)),
        ({"adv": 199_999.99}, Refusal.PENNY_ADV),
        ({"adv": NAN}, Refusal.PENNY_ADV),
        ({"price": 0.2499}, Refusal.PENNY_PRICE),
        ({"price": NAN}, Refusal.PENNY_PRICE),
        ({"price": 0.1, "adv": 0.0}, Refusal.PENNY_PRICE | Refusal.PENNY_ADV),
        ({"bucket": Bucket.CORE, "price": 0.1, "adv": NAN}, Refusal(0)),
        ({"bucket": Bucket.FNO, "price": 0.1, "adv": NAN}, Refusal(0)),
    ],
)
def test_penny_names_need_price_and_traded_value(change: dict[str, Any], refused: Refusal) -> None:
    case = CLEAR | change
    found = penny_refusals(
        POLICY.clamps,
        bucket=np.array([CODE[case["bucket"]]]),
        price=np.array([case["price"]]),
        adv=np.array([case["adv"]]),
    )
    assert list(found) == [refused]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, Refusal(0)),
        ({"killed": True}, Refusal.KILL_SWITCH),
        ({"quarantined": True}, Refusal.QUARANTINE),
        ({"brake": True}, Refusal.BRAKE),
        ({"state": TradingState.REDUCING}, Refusal.TRADING_STATE),
        ({"state": TradingState.HALTED}, Refusal.TRADING_STATE),
        ({"verdict_valid": False}, Refusal.NO_VERDICT),
        ({"mode": Mode.LIVE_MICRO, "verdict_valid": False}, Refusal.NO_VERDICT),
        ({"mode": Mode.DEMO, "verdict_valid": False, "quarantined": True}, Refusal(0)),
        ({"mode": Mode.DEMO, "killed": True}, Refusal.KILL_SWITCH),
    ],
)
def test_reasons_of_the_control_plane(change: dict[str, Any], refused: Refusal) -> None:
    assert state_refusals(**(OPEN | change)) == refused


ODD = (NAN, INF, -INF, 0.0, -0.0, 5e-324, 1e308, -1e308, 1.0, -1.0)
CONTROL = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(list(Mode)),
        "state": st.sampled_from(list(TradingState)),
        "killed": st.booleans(),
        "quarantined": st.booleans(),
        "brake": st.booleans(),
        "verdict_valid": st.booleans(),
    }
)


def hostile(n: int, seed: int, oddity: float, policy: Policy, common: int) -> np.ndarray:
    """Rows in which any field may be any float, with the refusals their facts call for."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, INPUT)
    for name in INPUT.names or ():
        if INPUT[name].kind == "f":
            plausible = rng.random(n) * rng.choice([1.0, 1.0, 0.02, 30.0], n)
            rows[name] = np.where(rng.random(n) < oddity, rng.choice(ODD, n), plausible)
    rows["atr"] = np.where(rng.random(n) < oddity, rows["atr"], rows["price"] * 0.03)
    views, clear = rng.choice([0.1, 0.9], n), rng.random(n) < 0.7
    for name in ("p_short", "p_mid", "rl"):
        rows[name] = np.where(clear, views, rows[name])
    rows["held"] = rng.choice([0.0] * 9 + [0.004, -0.004, 0.1], n) * rng.random(n)
    rows["risk"] = rng.choice([0.0] * 8 + [0.001] * 3 + [0.03], n)
    rows["bucket"] = rng.integers(0, 5, n)
    adv = rng.choice([0.0, NAN, 200_000.0, 1e9], n)
    rows["refused"] = common | penny_refusals(
        policy.clamps, bucket=rows["bucket"], price=rows["price"], adv=adv
    )
    for code in (Refusal.DO_NOT_TRADE, Refusal.STALE_DATA, Refusal.BAD_QUALITY):
        rows["refused"] |= np.where(rng.random(n) < 0.1, int(code), 0)
    return rows


@given(
    CONTROL,
    st.integers(1, 12),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.05, 0.5]),
    st.one_of(st.sampled_from([NAN, INF, 0.0, -1.0]), st.floats(1e3, 1e8)),
    st.one_of(st.just(NAN), st.floats(-0.01, 0.1)),
    st.booleans(),
    st.integers(0, 252),
)
def test_no_inputs_pass_a_limit(
    control: dict[str, Any],
    n: int,
    seed: int,
    oddity: float,
    equity: float,
    margin: float,
    clear: bool,
    sessions: int,
) -> None:
    control = OPEN | {"mode": control["mode"]} if clear else control
    lim = limits(POLICY, control["mode"])
    common = state_refusals(**control)
    rows = hostile(n, seed, oddity, POLICY, common)
    returns = np.random.default_rng(seed).normal(0.0, 0.01, (sessions, n))
    with np.errstate(all="ignore"):
        out = decide(lim, Account(equity, margin, False), rows, returns)
    held, target = rows["held"], out["size_post_risk"]
    assert np.isfinite(target).all()
    grows = np.abs(target) > np.abs(held)
    entry = (out["action"] != 0) & (out["action"] * held >= 0.0)
    assert (np.abs(target[entry]) <= out["size_pre"][entry]).all()
    assert (np.abs(target[entry]) <= out["capped"][entry]).all()
    assert not (grows & ~entry).any()
    assert not (grows & (out["refused"] != 0)).any()
    assert (target[entry & (rows["refused"] != 0)] == 0.0).all()
    assert (target[entry] * out["action"][entry] >= 0.0).all()
    name = np.array([lim.name[b] for b in rows["bucket"]])
    assert (np.abs(target[entry]) <= name[entry]).all()
    after = np.maximum(np.abs(held), np.abs(np.where(entry, target, 0.0)))
    for code, limit in enumerate(lim.bucket):
        inside = rows["bucket"] == code
        if (grows & inside).any():
            assert after[inside].sum() <= limit + 1e-12
    if grows.any():
        assert after.sum() <= lim.max_leverage + 1e-12
    fno = rows["bucket"] == CODE[Bucket.FNO]
    if (grows & fno).any():
        assert (after * rows["margin_rate"])[fno].sum() <= margin + 1e-12
    if control["mode"] is Mode.LIVE_MICRO:
        assert not (grows & (target < 0.0)).any()
    if common or math.isnan(equity) or sessions < 60:
        assert not grows.any()
    if not np.isfinite(margin):
        assert not (grows & fno).any()
    assert not (grows & ~(np.isfinite(rows["price"]) & np.isfinite(rows["atr"]))).any()
    exits = out["action"] * held < 0.0
    assert (target[exits] == 0.0).all() and (out["refused"][exits] == 0).all()
    hold = out["action"] == 0
    assert (target[hold] == held[hold]).all()


def test_the_property_above_meets_entries_in_every_bucket() -> None:
    """A property over entries says nothing unless there are some."""
    met: set[tuple[int, bool]] = set()
    for seed, mode in itertools.product(range(40), (Mode.DEMO, Mode.LIVE_MICRO)):
        lim = limits(POLICY, mode)
        rows = hostile(12, seed, 0.0, POLICY, 0)
        returns = np.random.default_rng(seed).normal(0.0, 0.01, (252, 12))
        out = decide(lim, Account(1e6, 0.05, False), rows, returns)
        grows = np.abs(out["size_post_risk"]) > np.abs(rows["held"])
        met |= {(int(b), mode is Mode.DEMO) for b in rows["bucket"][grows]}
    assert met == {(code, demo) for code in (0, 1, 2) for demo in (True, False)}
