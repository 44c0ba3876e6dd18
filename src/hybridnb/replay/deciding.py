"""Deciding a session over arrays: the scores of all names, the size of those that act, orders.

The records are those of the live decision, sized by the very functions that size it there. What
no order can come of is spared: names on HOLD, entries refused beforehand, and the exact tail of
the book where it can't pass its limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hybridnb.blender import blend, blend_arrays, liquidity_score, liquidity_scores, weights
from hybridnb.decide import by_conviction
from hybridnb.domain import SCALE
from hybridnb.entries import known
from hybridnb.limits import Limits, loop_form
from hybridnb.replay.booking import ENTRY, EXIT
from hybridnb.replay.entering import shares, size_name, turn_of
from hybridnb.replay.tape import (
    ADV,
    ANNUAL_VOLATILITY,
    ATR,
    DEMOTED,
    DRAWDOWN_LOCK,
    MEDIAN_VALUE,
    PRICE,
    STOP_LOCK,
    WIN_LONG,
    WIN_SHORT,
    Ints,
    World,
)
from hybridnb.sizing import kelly, wanted_size

_SURELY = 1.0 - 1e-9  # a bound below the limit by more than any rounding
_ALWAYS = 2**62


def decide_session(w: World, t: int, opening: int) -> Ints:
    """Orders of a session, rows (name, signed units, leg), in the order of sizing."""
    lim, shut = w.limits[w.risk[DEMOTED]], locked_until(w) >= w.ordinals[t]
    if not shut:
        shares(w.arrays, opening)
    order, n = acting(w.arrays, t, lim, opening), 0
    if len(order) == 0:
        return w.asked[:0]
    # Where no name may be entered all that act close, and nobody looks at the book's tail.
    turn = turn_of(w, (t if shut else max(0, t - w.window), t), opening)
    for i in order:
        j, leg = w.names[i], EXIT
        units = -w.quantity[j]
        if w.action[i] * units <= 0:
            leg, units = ENTRY, size_name(w, t, lim, turn, i)
        if units != 0 and not w.leaving[j] and w.last[j] > 0:
            w.asked[n, 0], w.asked[n, 1], w.asked[n, 2] = j, units, leg
            n += 1
    return w.asked[:n]


def acting(w: World, t: int, lim: Limits, opening: int) -> Sequence[int]:
    """Score the names on what was known before session t: the array form.

    Keeps names, actions, scores, wanted sizes and quarters of Kelly's of those that close a
    position or may open one, and returns their positions in the order of sizing. Left out are
    entries that are refused whatever the book, and names whose score surely lies between the
    thresholds that matter to them: penalties never raise a score, and together they lower it by
    a bound.
    """
    s = t - 1
    p_short, p_mid, rl = w.p_short[s], w.p_mid[s], w.rl[s]
    total, raw = np.zeros(len(rl)), np.zeros(len(rl))
    for weight, p in ((lim.weight_short, p_short), (lim.weight_mid, p_mid), (lim.weight_rl, rl)):
        known = p == p
        total += weight * known
        raw += np.where(known, weight * p, 0.0)
    most, least, held = lim.buy * _SURELY, sells_at(w, s, lim), w.quantity
    shut = w.fixed[w.risk[DEMOTED]] != 0
    shut |= np.maximum(np.maximum(w.cooldown, w.low_profit), locked_until(w)) >= w.ordinals[t]
    no_buy = (raw < most * total) | (shut & (held >= 0))
    no_sell = (raw > least * total) | ((shut | (lim.allow_short == 0.0)) & (held <= 0))
    w.idle[:] = no_buy & no_sell
    names = np.flatnonzero(w.idle == 0)
    if len(names) == 0:
        return []
    order_value = (np.array(lim.name) * opening / SCALE)[w.bucket[names]]
    rows: Any = {
        "p_short": p_short[names],
        "p_mid": p_mid[names],
        "rl": rl[names],
        "sentiment": w.sentiment[s, names],
        "volatility_z": w.volatility_z[s],
        "liquidity": liquidity_scores(w.facts[s, names, MEDIAN_VALUE], order_value),
        "correlation": w.correlation[s],
        "correlation_floor": w.correlation_floor[s],
    }
    out: Any = {}
    blend_arrays(lim, rows, out)
    found = np.flatnonzero(out["action"])
    if len(found) == 0:
        return []
    score = out["score"][found]
    names, action = names[found], out["action"][found]
    win = np.where(action > 0, w.facts[s, names, WIN_LONG], w.facts[s, names, WIN_SHORT])
    wanted = wanted_size(score, np.array(lim.bucket)[w.bucket[names]])
    quarter = lim.kelly_fraction * kelly(win, lim.payoff)
    confidence = out["confidence"][found]
    keep = acts_of(w, t, lim, names, Asked(action, wanted, quarter, confidence))
    n = len(keep)
    w.names[:n], w.action[:n], w.score[:n] = names[keep], action[keep], score[keep]
    w.wanted[:n], w.quarter[:n] = wanted[keep], quarter[keep]
    order: list[int] = by_conviction(w.score[:n]).tolist()
    return order


def _acting_loop(w: World, t: int, lim: Limits, opening: int) -> Ints:
    s, n = t - 1, 0
    p_short, p_mid, rl, quantity = w.p_short[s], w.p_mid[s], w.rl[s], w.quantity
    only, long_only = weights(lim), lim.allow_short == 0.0
    most, least, locked, now = (
        lim.buy * _SURELY,
        sells_at(w, s, lim),
        locked_until(w),
        w.ordinals[t],
    )
    fixed, cooldown, low_profit = w.fixed[w.risk[DEMOTED]], w.cooldown, w.low_profit
    for j in range(len(quantity)):
        a, b, c = p_short[j], p_mid[j], rl[j]
        total = only.weight_short if a == a else 0.0
        total += only.weight_mid if b == b else 0.0
        total += only.weight_rl if c == c else 0.0
        raw = only.weight_short * a if a == a else 0.0
        raw += only.weight_mid * b if b == b else 0.0
        raw += only.weight_rl * c if c == c else 0.0
        until, held = max(cooldown[j], low_profit[j], locked), quantity[j]
        shut = (fixed[j] != 0) | (until >= now)
        no_buy = (raw < most * total) | (shut & (held >= 0))
        no_sell = (raw > least * total) | ((shut | long_only) & (held <= 0))
        w.idle[j] = no_buy & no_sell
    m, awake, values = 0, w.found, w.fetched
    for j in range(len(quantity)):
        awake[m] = j
        m += w.idle[j] == 0
    # What a name reads first is waited for: a loop that does nothing else waits for many at once.
    for i in range(m):
        values[i] = w.facts[s, awake[i], MEDIAN_VALUE]
    for i in range(m):
        j = awake[i]
        scored = blend(
            only,
            p_short=p_short[j],
            p_mid=p_mid[j],
            rl=rl[j],
            volatility_z=w.volatility_z[s],
            sentiment=w.sentiment[s, j],
            liquidity=liquidity_score(values[i], lim.name[w.bucket[j]] * opening / SCALE),
            correlation=w.correlation[s],
            correlation_floor=w.correlation_floor[s],
        )
        action = scored.action
        if action != 0:
            wanted = wanted_size(scored.score, lim.bucket[w.bucket[j]])
            win = w.facts[s, j, WIN_LONG] if action > 0 else w.facts[s, j, WIN_SHORT]
            quarter = lim.kelly_fraction * kelly(win, lim.payoff)
            if acts(w, t, lim, j, Asked(action, wanted, quarter, scored.confidence)):
                w.names[n], w.action[n], w.score[n] = j, action, scored.score
                w.wanted[n], w.quarter[n] = wanted, quarter
                n += 1
    return by_conviction(w.score[:n])


loop_form(acting, _acting_loop)


def locked_until(w: World) -> int:
    """The last ordinal at which no name may be entered; beyond all where the mode refuses."""
    if w.common[w.risk[DEMOTED]] != 0:
        return _ALWAYS
    return int(max(w.risk[STOP_LOCK], w.risk[DRAWDOWN_LOCK]))


def sells_at(w: World, s: int, lim: Limits) -> float:
    """The base above which no penalties of session s make a score one to sell at."""
    if lim.shrink != 0.0:
        return lim.sell / _SURELY
    penalties = lim.news_penalty + lim.liquidity_penalty
    penalties += lim.volatility_penalty if w.volatility_z[s] > lim.volatility_z else 0.0
    penalties += lim.correlation_penalty if w.correlation[s] < lim.correlation else 0.0
    return (lim.sell + penalties) / _SURELY


def at_most(lim: Limits, capped: Any, volatility: Any, posture: Any) -> Any:
    """What an empty book would leave of a capped size, or more; of floats or of columns."""
    return capped * np.minimum(1.0, lim.volatility_target / volatility) * posture


class Asked(NamedTuple):
    """What is asked of a name, or of each of many: 1 to buy, -1 to sell; shares of equity."""

    action: Any
    wanted: Any
    quarter: Any
    confidence: Any


def acts_of(w: World, t: int, lim: Limits, names: Ints, asked: Asked) -> Ints:
    """Which actions close a position or may open one: their positions."""
    s, mode, now = t - 1, w.risk[DEMOTED], w.ordinals[t]
    action, wanted, quarter, confidence = asked
    facts, share = w.facts[s, names], w.share[names]
    locked = np.maximum(np.maximum(w.cooldown[names], w.low_profit[names]), locked_until(w))
    capped = np.minimum(wanted, np.minimum(np.array(lim.name)[w.bucket[names]], quarter))
    posture = np.where(np.isnan(w.rl[s, names]), lim.no_rl_factor, 1.0)
    most = at_most(lim, capped, facts[:, ANNUAL_VOLATILITY], posture)
    fit = (quarter > 0.0) & (most > np.abs(share)) & (confidence >= lim.confidence_threshold)
    fit &= (action > 0) | (lim.allow_short != 0.0)
    fit &= (w.fixed[mode, names] == 0) & (locked < now)
    fit &= (w.close[s, names] != 0) & (w.volume[s, names] != 0)
    liquid = (facts[:, ADV] >= w.penny_adv) & (facts[:, PRICE] >= w.penny_price)
    fit &= liquid | ~w.penny[names]
    fit &= known(
        price=facts[:, PRICE],
        atr=facts[:, ATR],
        volatility=facts[:, ANNUAL_VOLATILITY],
        held=share,
        risk=w.open_risk[names],
    )
    fit |= action * w.quantity[names] < 0
    return np.flatnonzero(fit)


def acts(w: World, t: int, lim: Limits, j: int, asked: Asked) -> bool:
    """Whether an action closes a position or may open one."""
    s, mode, (action, wanted, quarter, confidence) = t - 1, w.risk[DEMOTED], asked
    if action * w.quantity[j] < 0:
        return True
    if max(locked_until(w), w.cooldown[j], w.low_profit[j]) >= w.ordinals[t]:
        return False
    if w.fixed[mode, j] != 0 or (action < 0 and lim.allow_short == 0.0):
        return False
    share, price = w.share[j], w.facts[s, j, PRICE]
    atr, volatility, risk = w.facts[s, j, ATR], w.facts[s, j, ANNUAL_VOLATILITY], w.open_risk[j]
    capped = min(wanted, lim.name[w.bucket[j]], quarter)
    posture = lim.no_rl_factor if np.isnan(w.rl[s, j]) else 1.0
    most = at_most(lim, capped, volatility, posture)
    if not (quarter > 0.0 and most > abs(share) and confidence >= lim.confidence_threshold):
        return False
    if w.close[s, j] == 0 or w.volume[s, j] == 0:
        return False
    return known(price=price, atr=atr, volatility=volatility, held=share, risk=risk) and (
        not w.penny[j] or (w.facts[s, j, ADV] >= w.penny_adv and price >= w.penny_price)
    )
