"""What trading costs: tiers, per-share commissions, and prices rounded against the trader."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.costs import (
    LATENCIES,
    TIERS,
    commission,
    latency_draw,
    rates,
    slippage_bps,
    slipped,
    tier_bps,
)
from hybridnb.domain import Bucket, Side
from hybridnb.limits import CODE
from hybridnb.policy import Policy, validated

COSTS = validated(Policy, {"costs": {"latency": "none"}}).costs
RATES = rates(COSTS)


@pytest.mark.parametrize(
    ("volume", "maker", "taker"),
    [
        (0.0, 10, 10),
        (49_999.99, 10, 10),
        (50_000.0, 9, 10),
        (100_000.0, 8, 10),
        (500_000.0, 2, 6),
        (600_000.0, 2, 6),
        (999_999.99, 2, 6),
        (1_000_000.0, 0, 4),
        (5_000_000.0, -2, 3),
        (1e12, -2, 3),
        (-1.0, 10, 10),
        (float("nan"), 10, 10),
    ],
)
def test_fee_tiers(volume: float, maker: float, taker: float) -> None:
    assert tier_bps(volume, maker=True) == maker
    assert tier_bps(volume, maker=False) == taker


def test_tiers_fall_with_volume() -> None:
    assert list(TIERS) == sorted(TIERS)
    for low, high in itertools.pairwise(TIERS):
        assert high.maker <= low.maker and high.taker <= low.taker


@pytest.mark.parametrize(
    ("quantity", "price", "answer"),
    [
        (1_000, 50.0, 10.0),
        (100, 50.0, 1.0),
        (50, 50.0, 1.0),
        (10, 50.0, 1.0),
        (1, 50.0, 0.25),
        (1_000, 0.5, 2.5),
        (3, 0.25, 0.0038),
    ],
)
def test_commission_per_share_with_minimum_and_cap(
    quantity: int, price: float, answer: float
) -> None:
    paid = commission(RATES, quantity=quantity, price=round(price * 10_000))
    assert paid == round(answer * 10_000)


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=8), st.integers(1_000, 5_000_000))
def test_partial_fills_pay_what_one_fill_pays(parts: list[int], price: int) -> None:
    filled = paid = 0
    for part in parts:
        filled += part
        due = commission(RATES, quantity=filled, price=price)
        assert type(due) is int and due >= paid
        paid = due
    assert paid <= RATES.maximum * filled * price + 0.5


@pytest.mark.parametrize(
    ("bucket", "bps"),
    [(Bucket.CORE, 2.0), (Bucket.FNO, 3.0), (Bucket.PENNY, 50.0), (Bucket.SIP, 2)],
)
def test_half_spreads(bucket: Bucket, bps: float) -> None:
    assert RATES.half_spread[CODE[bucket]] == bps


def test_impact_is_the_square_root_law() -> None:
    """1 % of the daily volume at 2 % volatility: 2 bps spread and 1 × 2 % × 0.1 = 20 bps."""
    known = {"quantity": 10_000, "adv_units": 1e6, "daily_volatility": 0.02}
    assert slippage_bps(RATES, CODE[Bucket.CORE], draw=0, **known) == pytest.approx(22.0, rel=1e-12)
    four = slippage_bps(RATES, CODE[Bucket.CORE], draw=0, **(known | {"quantity": 40_000}))
    assert four == pytest.approx(42.0, rel=1e-12)


@pytest.mark.parametrize("unknown", [float("nan"), 0.0, -1.0])
def test_without_scale_there_is_no_impact(unknown: float) -> None:
    for name in ("adv_units", "daily_volatility"):
        known = {"quantity": 100, "adv_units": 1e6, "daily_volatility": 0.02} | {name: unknown}
        assert slippage_bps(RATES, CODE[Bucket.CORE], draw=0, **known) == 2.0


@pytest.mark.parametrize(
    ("side", "bps", "answer"),
    [
        (Side.BUY, 10.0, 1_001_000),
        (Side.SELL, 10.0, 999_000),
        (Side.BUY, 0.0, 1_000_000),
        (Side.BUY, 0.001, 1_000_001),
        (Side.SELL, 0.001, 999_999),
    ],
)
def test_slipped(side: Side, bps: float, answer: int) -> None:
    assert slipped(1_000_000, side.sign, bps) == answer


@given(st.integers(1, 10**9), st.floats(0, 20_000))
def test_slippage_is_never_for_the_trader(reference: int, bps: float) -> None:
    bought, sold = slipped(reference, 1, bps), slipped(reference, -1, bps)
    assert 1 <= sold <= reference <= bought
    assert bought - reference <= math.ceil(reference * bps / 10_000) + 1


def test_a_late_order_pays_the_mean_move_of_its_time() -> None:
    """100 ms of 6.5 hours: √(2/π) × √(0.1 / 23,400) × 2 % = 0.33 bps."""
    late = rates(validated(Policy, {"costs": {"latency": "fixed", "latency_ms": 100}}).costs)
    known = {"quantity": 1, "adv_units": 0.0, "daily_volatility": 0.02, "draw": 7}
    drift = slippage_bps(late, CODE[Bucket.CORE], **known) - 2.0
    assert drift == pytest.approx(math.sqrt(2 / math.pi) * math.sqrt(0.1 / 23_400) * 200, rel=1e-9)
    assert slippage_bps(RATES, CODE[Bucket.CORE], **known) == 2.0


def test_log_normal_latencies_have_their_median_and_spread() -> None:
    changes = {"latency": "lognormal", "latency_ms": 80.0, "latency_sigma": 0.7}
    drift = rates(validated(Policy, {"costs": changes}).costs).drift
    logs = [2 * math.log(d) for d in drift]
    base = math.log(2 / math.pi * 80.0 / 23_400_000)
    assert sum(logs) / LATENCIES == pytest.approx(base, abs=1e-9)
    spread = math.sqrt(sum((x - base) ** 2 for x in logs) / LATENCIES)
    assert spread == pytest.approx(0.7, abs=0.02)


def test_draws_are_even_and_the_same_for_an_order() -> None:
    draws = [
        latency_draw(key * 2_654_435, day) for key in range(64) for day in range(700_000, 700_100)
    ]
    counts = [draws.count(k) for k in range(LATENCIES)]
    assert min(counts) > 50 and max(counts) < 160
    assert latency_draw(123, 734_000) == latency_draw(123, 734_000) < LATENCIES
