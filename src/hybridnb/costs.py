"""What trading costs: commission schedules and slippage.

Amounts are exact integers of 1/10,000 of the account's currency; slippage is computed in basis
points (floats: a statistic) and rounded against the trader when it becomes a price.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from hybridnb.domain import SCALE, Bucket, Side
from hybridnb.policy import Costs


class Tier(NamedTuple):
    """A commission tier: from this 30-day volume (account units), maker and taker in bps."""

    volume: float
    maker: float
    taker: float


# Spot crypto schedule. A negative maker fee is a rebate.
TIERS = (
    Tier(0.0, 10.0, 10.0),
    Tier(50_000.0, 9.0, 10.0),
    Tier(100_000.0, 8.0, 10.0),
    Tier(500_000.0, 2.0, 6.0),
    Tier(1_000_000.0, 0.0, 4.0),
    Tier(5_000_000.0, -2.0, 3.0),
)


def tier_bps(volume_30d: float, *, maker: bool) -> float:
    """Commission in bps of a 30-day traded volume; a negative figure is a rebate."""
    tier = max((t for t in TIERS if t.volume <= volume_30d), default=TIERS[0])
    return tier.maker if maker else tier.taker


def equity_commission(costs: Costs, *, quantity: int, price: int, due_before: int = 0) -> int:
    """Per-share commission of an order with a minimum, capped at a share of its value.

    Parameters
    ----------
    quantity : int
        Units filled so far in the order, this fill included.
    price : int
        Average price of the order, 1/10,000.
    due_before : int
        What the order's earlier fills were charged, so that partial fills pay one minimum.

    Returns
    -------
    int
        This fill's commission in 1/10,000, not negative. Where the cap lies below the minimum
        the cap holds.
    """
    wanted = max(costs.commission_per_share * quantity, costs.commission_minimum)
    cap = costs.commission_maximum * quantity * price / SCALE
    return max(0, round(min(wanted, cap) * SCALE) - due_before)


def half_spread_bps(costs: Costs, bucket: Bucket) -> float:
    """Assumed half spread of a class where the feed has no quotes."""
    return {
        Bucket.PENNY: costs.half_spread_penny,
        Bucket.FNO: costs.half_spread_fno,
    }.get(bucket, costs.half_spread_core)


def slippage_bps(
    costs: Costs, bucket: Bucket, *, quantity: int, adv_units: float, daily_volatility: float
) -> float:
    """Half spread plus square-root impact `γ·σ·√(q/ADV)`, in bps.

    Parameters
    ----------
    adv_units : float
        Average daily volume in units; NaN or 0 leaves the impact out (nothing to scale with).
    daily_volatility : float
        Standard deviation of daily returns, a fraction.
    """
    spread = half_spread_bps(costs, bucket)
    if not (adv_units > 0 and daily_volatility > 0):
        return spread
    impact = costs.impact * daily_volatility * math.sqrt(quantity / adv_units)
    return spread + impact * 10_000.0


def slipped(reference: int, side: Side, bps: float) -> int:
    """A reference price made worse by `bps`, rounded against the trader, at least 1/10,000."""
    moved = reference * (1.0 + side.sign * bps / 10_000.0)
    return max(1, math.ceil(moved) if side is Side.BUY else math.floor(moved))
