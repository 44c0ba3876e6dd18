"""Limits in force: the policy's numbers as one flat record of floats, scaled by the trading mode.

`Limits` holds no Python object but floats, so that the decision's kernels can be compiled.
Fields named after a bucket are in the order of `BUCKETS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hybridnb.domain import Bucket, Mode
from hybridnb.policy import Policy

BUCKETS = tuple(Bucket)
CODE = {bucket: code for code, bucket in enumerate(BUCKETS)}

# Share of every cap by mode: penny, F&O, core.
MODE_CAPS: dict[Mode, tuple[float, float, float]] = {
    Mode.DEMO: (1.0, 1.0, 1.0),
    Mode.LIVE_MICRO: (0.25, 0.25, 0.25),
    Mode.LIVE_LIMITED: (0.5, 0.5, 1.0),
    Mode.LIVE: (1.0, 1.0, 1.0),
}


class Limits(NamedTuple):
    """Every number `decide` reads. Shares are of equity; `shrink` is 1.0 for that penalty rule."""

    weight_short: float
    weight_mid: float
    weight_rl: float
    buy: float
    sell: float
    shrink: float
    volatility_penalty: float
    volatility_z: float
    news_penalty: float
    news_sentiment: float
    liquidity_penalty: float
    liquidity: float
    correlation_penalty: float
    correlation: float
    bucket: tuple[float, ...]
    name: tuple[float, ...]
    kelly_fraction: float
    payoff: float
    volatility_target: float
    var_limit: float
    es_limit: float
    heat_limit: float
    loss_limit: float
    crisis_factor: float
    no_rl_factor: float
    min_order_value: float
    max_leverage: float
    allow_short: float
    confidence_threshold: float
    stop_atr: float


def limits(policy: Policy, mode: Mode) -> Limits:
    """The limits a policy sets in a trading mode."""
    b, s, c = policy.blend, policy.sizing, policy.clamps
    penny, fno, core = MODE_CAPS[mode]
    return Limits(
        weight_short=b.weight_short,
        weight_mid=b.weight_mid,
        weight_rl=b.weight_rl,
        buy=b.buy,
        sell=b.sell,
        shrink=float(b.penalty_rule == "shrink"),
        volatility_penalty=b.volatility_penalty,
        volatility_z=b.volatility_z,
        news_penalty=b.news_penalty,
        news_sentiment=b.news_sentiment,
        liquidity_penalty=b.liquidity_penalty,
        liquidity=b.liquidity,
        correlation_penalty=b.correlation_penalty,
        correlation=b.correlation,
        bucket=(c.bucket_penny * penny, c.bucket_fno * fno, c.bucket_core * core, 0.0, 0.0),
        name=(c.name_penny * penny, c.name_fno * fno, c.name_core * core, 0.0, 0.0),
        kelly_fraction=s.kelly_fraction,
        payoff=s.payoff,
        volatility_target=s.volatility_target,
        var_limit=s.var_limit,
        es_limit=s.es_limit,
        heat_limit=s.heat_limit,
        loss_limit=-policy.risk.kill_day_pnl,
        crisis_factor=s.crisis_factor,
        no_rl_factor=s.no_rl_factor,
        min_order_value=s.min_order_value,
        max_leverage=s.max_leverage,
        allow_short=float(s.allow_short and mode is not Mode.LIVE_MICRO),
        confidence_threshold=s.confidence_threshold,
        stop_atr=policy.stops.initial,
    )


def loop_form(array_form: Callable[..., Any], loop: Callable[..., Any]) -> None:
    """Name the loop that a compiler takes in place of an array form: the same to the last bit."""
    array_form.loop = loop  # type: ignore[attr-defined]
