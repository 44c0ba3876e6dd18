"""Deciding a session over arrays: the scores of all names, the size of those that act, orders.

The records are those of the live decision, sized by the very functions that size it there. What
no order can come of is spared: names on HOLD, entries refused beforehand, and the exact tail of
the book where it can't pass its limits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.blender import blend, blend_arrays, liquidity_score, liquidity_scores, weights
from hybridnb.decide import by_conviction
from hybridnb.domain import SCALE
from hybridnb.limits import Limits, loop_form
from hybridnb.replay.booking import ENTRY, EXIT
from hybridnb.replay.entering import size_name, turn_of
from hybridnb.replay.tape import (
    ADV,
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
from hybridnb.sizing import kelly

_SURELY = 1.0 - 1e-9  # a bound below the limit by more than any rounding
_ALWAYS = 2**62


def decide_session(w: World, t: int, opening: int) -> Ints:
    """Orders of a session, rows (name, signed units, leg), in the order of sizing."""
    lim = w.limits[w.risk[DEMOTED]]
    order, n = acting(w, t, lim, opening), 0
    if len(order) == 0:
        return w.asked[:0]
    turn = turn_of(w, t, opening)
    for i in order:
        j, action = int(w.names[i]), int(w.action[i])
        leg, units = EXIT, -int(w.quantity[j])
        if action * units <= 0:
            dec = w.dec[0]
            dec["action"], dec["score"] = action, float(w.score[i])
            dec["confidence"] = float(w.confidence[i])
            leg, units = ENTRY, size_name(w, t, lim, turn, j)
        if units != 0 and not w.leaving[j] and w.last[j] > 0:
            w.asked[n, 0], w.asked[n, 1], w.asked[n, 2] = j, units, leg
            n += 1
    return w.asked[:n]


def acting(w: World, t: int, lim: Limits, opening: int) -> Ints:
    """Score the names on what was known before session t: the array form.

    Keeps names, actions, scores and confidences of those that close a position or may open
    one, and returns their positions in the order of sizing. Left out are entries that are
    refused whatever their size, and names whose score surely lies between the thresholds that
    matter to them: penalties never raise a score, and together they lower it by a bound.
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
    found = found[acts_of(w, t, lim, names[found], out["action"][found])]
    n, score = len(found), out["score"][found]
    w.names[:n], w.action[:n] = names[found], out["action"][found]
    w.score[:n], w.confidence[:n] = score, out["confidence"][found]
    return by_conviction(score)


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
    # What a name reads first is waited for: a loop that does nothing else waits for many at once.
    m, names, known = 0, w.names, w.confidence
    for j in range(len(quantity)):
        names[m] = j
        m += w.idle[j] == 0
    for i in range(m):
        known[i] = w.facts[s, names[i], MEDIAN_VALUE]
    for i in range(m):
        j = names[i]
        scored = blend(
            only,
            p_short=p_short[j],
            p_mid=p_mid[j],
            rl=rl[j],
            volatility_z=w.volatility_z[s],
            sentiment=w.sentiment[s, j],
            liquidity=liquidity_score(known[i], lim.name[w.bucket[j]] * opening / SCALE),
            correlation=w.correlation[s],
            correlation_floor=w.correlation_floor[s],
        )
        if scored.action != 0 and acts(w, t, lim, j, scored.action):
            names[n], w.action[n] = j, scored.action
            w.score[n], w.confidence[n] = scored.score, scored.confidence
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


def acts_of(w: World, t: int, lim: Limits, names: Ints, action: Ints) -> NDArray[np.bool_]:
    """Which actions close a position or may open one."""
    s, mode, now = t - 1, w.risk[DEMOTED], w.ordinals[t]
    win = np.where(action > 0, w.facts[s, names, WIN_LONG], w.facts[s, names, WIN_SHORT])
    locked = np.maximum(np.maximum(w.cooldown[names], w.low_profit[names]), locked_until(w))
    fit = (kelly(win, lim.payoff) > 0.0) & ((action > 0) | (lim.allow_short != 0.0))
    fit &= (w.fixed[mode, names] == 0) & (locked < now)
    fit &= (w.close[s, names] != 0) & (w.volume[s, names] != 0)
    liquid = (w.facts[s, names, ADV] >= w.penny_adv) & (w.facts[s, names, PRICE] >= w.penny_price)
    fit &= liquid | ~w.penny[names]
    fit |= action * w.quantity[names] < 0
    return fit


def acts(w: World, t: int, lim: Limits, j: int, action: int) -> bool:
    """Whether an action closes a position or may open one."""
    if action * w.quantity[j] < 0:
        return True
    s, mode = t - 1, w.risk[DEMOTED]
    if max(locked_until(w), w.cooldown[j], w.low_profit[j]) >= w.ordinals[t]:
        return False
    if w.fixed[mode, j] != 0 or (action < 0 and lim.allow_short == 0.0):
        return False
    win = w.facts[s, j, WIN_LONG] if action > 0 else w.facts[s, j, WIN_SHORT]
    if not kelly(win, lim.payoff) > 0.0 or w.close[s, j] == 0 or w.volume[s, j] == 0:
        return False
    return not w.penny[j] or (
        w.facts[s, j, ADV] >= w.penny_adv and w.facts[s, j, PRICE] >= w.penny_price
    )
