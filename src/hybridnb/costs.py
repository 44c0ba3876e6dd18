"""What trading costs: commission schedules and slippage.

Amounts are exact integers of 1/10,000 of the account's currency; slippage is computed in basis
points (floats: a statistic) and rounded against the trader when it becomes a price.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnb.domain import SCALE, Bucket
from hybridnb.policy import Costs

LATENCIES = 64  # equally likely latencies of the log-normal model
SESSION_MS = 6.5 * 3_600_000.0  # of a day's continuous trading


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


class Rates(NamedTuple):
    """The venue's cost assumptions as numbers, ready for a compiler.

    `half_spread`, shape (5,), is by bucket code, in bps; `drift`, shape (64,), holds the expected
    adverse move of 64 equally likely latencies, as a multiple of the daily volatility.
    """

    per_share: float
    minimum: float
    maximum: float
    half_spread: NDArray[np.float64]
    impact: float
    participation: float
    drift: NDArray[np.float64]


@functools.lru_cache(maxsize=16)  # 64 quantiles each
def rates(costs: Costs) -> Rates:
    """The rates a policy's costs set; its arrays are shared, and not to be written."""
    spread = {Bucket.PENNY: costs.half_spread_penny, Bucket.FNO: costs.half_spread_fno}
    return Rates(
        per_share=costs.commission_per_share,
        minimum=costs.commission_minimum,
        maximum=costs.commission_maximum,
        half_spread=np.array([spread.get(bucket, costs.half_spread_core) for bucket in Bucket]),
        impact=costs.impact,
        participation=costs.participation,
        drift=np.array([_drift(costs, (k + 0.5) / LATENCIES) for k in range(LATENCIES)]),
    )


def _drift(costs: Costs, quantile: float) -> float:
    """Mean absolute move of a driftless walk while an order travels: `√(2/π)·√(latency/session)`.

    It is always charged: who is late pays, and never gains.
    """
    latency = 0.0 if costs.latency == "none" else costs.latency_ms
    if costs.latency == "lognormal":
        latency *= math.exp(costs.latency_sigma * NormalDist().inv_cdf(quantile))
    return math.sqrt(2.0 / math.pi) * math.sqrt(latency / SESSION_MS)


def latency_draw(key: int, day: int) -> int:
    """Which of the 64 latencies an order of a symbol meets in a session.

    Parameters
    ----------
    key : int
        CRC-32 of the symbol.
    day : int
        The session's date as a proleptic Gregorian ordinal.
    """
    return (((key + day * 40503) & 0xFFFFFFFF) * 1640531527 >> 20) & (LATENCIES - 1)


def commission(rates: Rates, *, quantity: int, price: int) -> int:
    """Per-share commission of an order with a minimum, capped at a share of its value.

    Parameters
    ----------
    quantity : int
        Units filled of the order.
    price : int
        In 1/10,000, times the contract's multiplier.

    Returns
    -------
    int
        In 1/10,000, not negative. Where the cap lies below the minimum the cap holds.
    """
    wanted = max(rates.per_share * quantity, rates.minimum)
    cap = rates.maximum * quantity * price / SCALE
    return int(np.rint(min(wanted, cap) * SCALE))


def slippage_bps(
    rates: Rates,
    bucket: int,
    *,
    quantity: int,
    adv_units: float,
    daily_volatility: float,
    draw: int,
) -> float:
    """Half spread plus square-root impact `γ·σ·√(q/ADV)` plus latency drift, in bps.

    Parameters
    ----------
    bucket : int
        Code of the class (`limits.CODE`).
    adv_units : float
        Average daily volume in units; NaN or 0 leaves the impact out (nothing to scale with).
    daily_volatility : float
        Standard deviation of daily returns, a fraction; NaN or 0 leaves impact and drift out.
    draw : int
        Which latency the order meets (`latency_draw`).
    """
    bps = float(rates.half_spread[bucket])
    if not daily_volatility > 0.0:
        return bps
    moved = float(rates.drift[draw]) * daily_volatility
    if adv_units > 0.0:
        moved += rates.impact * daily_volatility * math.sqrt(quantity / adv_units)
    return bps + moved * 10_000.0


def slipped(reference: int, sign: int, bps: float) -> int:
    """A reference price made worse by `bps` for an order of this sign, at least 1/10,000."""
    moved = reference * (1.0 + sign * bps / 10_000.0)
    return max(1, math.ceil(moved) if sign > 0 else math.floor(moved))
