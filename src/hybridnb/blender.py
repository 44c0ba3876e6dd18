"""The blend: three views of a symbol become one score in [0, 1], up is 1.

Two forms of one formula. `blend` takes floats, `blend_arrays` takes columns; both do the same
operations (+ − × ÷ min max) in the same order, so that they agree to the last bit. A missing
probability is NaN; the weights of the others are renormalised.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnb.limits import Limits, loop_form

Floats = NDArray[np.float64]


class Score(NamedTuple):
    """One blend, every term kept.

    `base` before penalties, the four penalties as charged (0 where not due), `score` after,
    `action` 1 BUY, -1 SELL, 0 HOLD, `confidence` in [0, 1]. With both predictors missing
    `base` and `score` are NaN and the action is HOLD.
    """

    base: float
    volatility: float
    news: float
    liquidity: float
    correlation: float
    score: float
    action: int
    confidence: float


def liquidity_scores(median_value: Floats, order_value: Floats) -> Floats:
    """`liquidity_score` over columns."""
    known = (order_value > 0.0) & (median_value >= 0.0)
    share = median_value / np.where(known, 100.0 * order_value, 1.0)
    return np.where(known, np.minimum(1.0, share), np.nan)


class Weights(NamedTuple):
    """The limits that a blend reads, alone: a compiler keeps so few in registers."""

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


def weights(lim: Limits) -> Weights:
    """What a blend reads of the limits."""
    return Weights(
        lim.weight_short,
        lim.weight_mid,
        lim.weight_rl,
        lim.buy,
        lim.sell,
        lim.shrink,
        lim.volatility_penalty,
        lim.volatility_z,
        lim.news_penalty,
        lim.news_sentiment,
        lim.liquidity_penalty,
        lim.liquidity,
        lim.correlation_penalty,
        lim.correlation,
    )


def sigmoid(hint: float) -> float:
    """Logistic function of a size hint; a hint of 0 is 0.5. NaN stays NaN."""
    if hint >= 0:
        return 1.0 / (1.0 + math.exp(-hint))
    e = math.exp(hint)
    return e / (1.0 + e)


def liquidity_score(median_value: float, order_value: float) -> float:
    """`min(1, 20-day median traded value / (100 × order value at the per-name cap))`.

    Both in account units. Without volume (NaN) the liquidity is unknown: NaN.
    """
    if not order_value > 0.0:
        return np.nan
    return min(1.0, median_value / (100.0 * order_value)) if median_value >= 0.0 else np.nan


def blend(
    lim: Limits | Weights,
    *,
    p_short: float,
    p_mid: float,
    rl: float,
    volatility_z: float,
    sentiment: float,
    liquidity: float,
    correlation: float,
    correlation_floor: float,
) -> Score:
    """Blend one symbol.

    Parameters
    ----------
    lim : Limits or Weights
    p_short, p_mid, rl : float
        Convictions and `sigmoid(hint)` in [0, 1]; NaN is missing.
    volatility_z, sentiment, liquidity, correlation, correlation_floor : float
        Facts behind the penalties; NaN is unknown and charges nothing.

    Returns
    -------
    Score
    """
    w_short = lim.weight_short if p_short == p_short else 0.0
    w_mid = lim.weight_mid if p_mid == p_mid else 0.0
    w_rl = lim.weight_rl if rl == rl else 0.0
    volatility = lim.volatility_penalty if volatility_z > lim.volatility_z else 0.0
    news = lim.news_penalty if sentiment < lim.news_sentiment else 0.0
    illiquid = lim.liquidity_penalty if liquidity < lim.liquidity else 0.0
    broken = correlation < lim.correlation and correlation < correlation_floor
    decorrelated = lim.correlation_penalty if broken else 0.0
    if w_short + w_mid == 0.0:
        return Score(np.nan, volatility, news, illiquid, decorrelated, np.nan, 0, 0.0)
    total = w_short + w_mid + w_rl
    a = w_short * (p_short if w_short > 0.0 else 0.0)
    b = w_mid * (p_mid if w_mid > 0.0 else 0.0)
    c = w_rl * (rl if w_rl > 0.0 else 0.0)
    base = (a + b + c) / total
    penalty = volatility + news + illiquid + decorrelated
    score = _penalised(base, penalty, lim.shrink)
    action = 1 if score >= lim.buy else (-1 if score <= lim.sell else 0)
    if score > 0.5:
        on_side = (
            (w_short if p_short > 0.5 else 0.0)
            + (w_mid if p_mid > 0.5 else 0.0)
            + (w_rl if rl > 0.5 else 0.0)
        )
    elif score < 0.5:
        on_side = (
            (w_short if p_short < 0.5 else 0.0)
            + (w_mid if p_mid < 0.5 else 0.0)
            + (w_rl if rl < 0.5 else 0.0)
        )
    else:
        on_side = 0.0
    confidence = (on_side / total) * (0.5 + abs(score - 0.5))
    return Score(base, volatility, news, illiquid, decorrelated, score, action, confidence)


def _penalised(base: float, penalty: float, shrink: float) -> float:
    if shrink == 0.0:
        return min(max(base - penalty, 0.0), 1.0)
    if base > 0.5:
        return max(base - penalty, 0.5)
    return min(base + penalty, 0.5)


def blend_arrays(lim: Limits, rows: NDArray[Any], out: NDArray[Any]) -> None:
    """Blend a universe: the same formula as `blend`, over columns.

    Parameters
    ----------
    lim : Limits
    rows : structured array, shape (n,)
        Fields named like the parameters of `blend`.
    out : structured array, shape (n,)
        Receives `base`, `volatility`, `news`, `illiquid`, `decorrelated`, `score`, `action`,
        `confidence`.
    """
    p_short, p_mid, rl = rows["p_short"], rows["p_mid"], rows["rl"]
    w_short = np.where(p_short == p_short, lim.weight_short, 0.0)
    w_mid = np.where(p_mid == p_mid, lim.weight_mid, 0.0)
    w_rl = np.where(rl == rl, lim.weight_rl, 0.0)
    out["volatility"] = np.where(
        rows["volatility_z"] > lim.volatility_z, lim.volatility_penalty, 0.0
    )
    out["news"] = np.where(rows["sentiment"] < lim.news_sentiment, lim.news_penalty, 0.0)
    out["illiquid"] = np.where(rows["liquidity"] < lim.liquidity, lim.liquidity_penalty, 0.0)
    correlation = rows["correlation"]
    broken = (correlation < lim.correlation) & (correlation < rows["correlation_floor"])
    out["decorrelated"] = np.where(broken, lim.correlation_penalty, 0.0)
    known = w_short + w_mid != 0.0
    total = np.where(known, w_short + w_mid + w_rl, 1.0)
    a = w_short * np.where(w_short > 0.0, p_short, 0.0)
    b = w_mid * np.where(w_mid > 0.0, p_mid, 0.0)
    c = w_rl * np.where(w_rl > 0.0, rl, 0.0)
    base = np.where(known, (a + b + c) / total, np.nan)
    penalty = out["volatility"] + out["news"] + out["illiquid"] + out["decorrelated"]
    score = _penalised_arrays(base, penalty, lim.shrink)
    out["base"], out["score"] = base, score
    out["action"] = np.where(score >= lim.buy, 1, np.where(score <= lim.sell, -1, 0))
    above = _share(p_short > 0.5, p_mid > 0.5, rl > 0.5, w_short, w_mid, w_rl)
    below = _share(p_short < 0.5, p_mid < 0.5, rl < 0.5, w_short, w_mid, w_rl)
    on_side = np.where(score > 0.5, above, np.where(score < 0.5, below, 0.0))
    confidence = (on_side / total) * (0.5 + np.abs(score - 0.5))
    out["confidence"] = np.where(known, confidence, 0.0)


def blend_row(only: Weights, row: Any, dec: Any) -> None:
    """Blend one record of a universe: the scalar form."""
    one = blend(
        only,
        p_short=row["p_short"],
        p_mid=row["p_mid"],
        rl=row["rl"],
        volatility_z=row["volatility_z"],
        sentiment=row["sentiment"],
        liquidity=row["liquidity"],
        correlation=row["correlation"],
        correlation_floor=row["correlation_floor"],
    )
    dec["base"], dec["score"], dec["action"] = one.base, one.score, one.action
    dec["volatility"], dec["news"] = one.volatility, one.news
    dec["illiquid"], dec["decorrelated"] = one.liquidity, one.correlation
    dec["confidence"] = one.confidence


def _blend_rows(lim: Limits, rows: NDArray[Any], out: NDArray[Any]) -> None:
    """The same for a compiler, row by row."""
    only = weights(lim)
    for i in range(len(rows)):
        blend_row(only, rows[i], out[i])


loop_form(blend_arrays, _blend_rows)


def _penalised_arrays(base: Floats, penalty: Floats, shrink: float) -> Floats:
    if shrink == 0.0:
        return np.minimum(np.maximum(base - penalty, 0.0), 1.0)
    up, down = np.maximum(base - penalty, 0.5), np.minimum(base + penalty, 0.5)
    return np.where(base > 0.5, up, down)


def _share(*terms: Any) -> Any:
    is_short, is_mid, is_rl, w_short, w_mid, w_rl = terms
    return (
        np.where(is_short, w_short, 0.0) + np.where(is_mid, w_mid, 0.0) + np.where(is_rl, w_rl, 0.0)
    )
