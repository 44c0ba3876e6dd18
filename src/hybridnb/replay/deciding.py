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
from hybridnb.replay.tape import DEMOTED, DRAWDOWN_LOCK, STOP_LOCK, Ints, World
from hybridnb.sizing import kelly

_SURELY = 1.0 - 1e-9  # a bound below the limit by more than any rounding


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
    refused whatever their size, and names that can neither close nor buy: penalties never raise
    a score.
    """
    s = t - 1
    p_short, p_mid, rl = w.p_short[s], w.p_mid[s], w.rl[s]
    total, raw = np.zeros(len(rl)), np.zeros(len(rl))
    for weight, p in ((lim.weight_short, p_short), (lim.weight_mid, p_mid), (lim.weight_rl, rl)):
        known = p == p
        total += weight * known
        raw += np.where(known, weight * p, 0.0)
    low = raw < lim.buy * _SURELY * total
    w.idle[:] = low & (w.quantity == 0) & (lim.allow_short == 0.0)
    names = np.flatnonzero(w.idle == 0)
    order_value = (np.array(lim.name) * opening / SCALE)[w.bucket[names]]
    rows: Any = {
        "p_short": p_short[names],
        "p_mid": p_mid[names],
        "rl": rl[names],
        "sentiment": w.sentiment[s, names],
        "volatility_z": w.volatility_z[s],
        "liquidity": liquidity_scores(w.median_value[s, names], order_value),
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
    only, shorts, least = weights(lim), lim.allow_short != 0.0, lim.buy * _SURELY
    for j in range(len(quantity)):
        a, b, c = p_short[j], p_mid[j], rl[j]
        total = only.weight_short if a == a else 0.0
        total += only.weight_mid if b == b else 0.0
        total += only.weight_rl if c == c else 0.0
        raw = only.weight_short * a if a == a else 0.0
        raw += only.weight_mid * b if b == b else 0.0
        raw += only.weight_rl * c if c == c else 0.0
        w.idle[j] = (raw < least * total) & (quantity[j] == 0) & (not shorts)
    for j in range(len(quantity)):
        if w.idle[j]:
            continue
        scored = blend(
            only,
            p_short=p_short[j],
            p_mid=p_mid[j],
            rl=rl[j],
            volatility_z=w.volatility_z[s],
            sentiment=w.sentiment[s, j],
            liquidity=liquidity_score(
                w.median_value[s, j], lim.name[w.bucket[j]] * opening / SCALE
            ),
            correlation=w.correlation[s],
            correlation_floor=w.correlation_floor[s],
        )
        if scored.action != 0 and acts(w, t, lim, j, scored.action):
            w.names[n], w.action[n] = j, scored.action
            w.score[n], w.confidence[n] = scored.score, scored.confidence
            n += 1
    return by_conviction(w.score[:n])


loop_form(acting, _acting_loop)


def acts_of(w: World, t: int, lim: Limits, names: Ints, action: Ints) -> NDArray[np.bool_]:
    """Which actions close a position or may open one."""
    s, mode, now = t - 1, w.risk[DEMOTED], w.ordinals[t]
    win = np.where(action > 0, w.win_long[s, names], w.win_short[s, names])
    locked = np.maximum(w.cooldown[names], w.low_profit[names])
    fit = (kelly(win, lim.payoff) > 0.0) & ((action > 0) | (lim.allow_short != 0.0))
    fit &= (w.fixed[mode, names] == 0) & (locked < now)
    fit &= (w.close[s, names] != 0) & (w.volume[s, names] != 0)
    liquid = (w.adv[s, names] >= w.penny_adv) & (w.price[s, names] >= w.penny_price)
    fit &= liquid | ~w.penny[names]
    fit &= w.common[mode] == 0 and max(w.risk[STOP_LOCK], w.risk[DRAWDOWN_LOCK]) < now
    fit |= action * w.quantity[names] < 0
    return fit


def acts(w: World, t: int, lim: Limits, j: int, action: int) -> bool:
    """Whether an action closes a position or may open one."""
    if action * w.quantity[j] < 0:
        return True
    s, mode, now = t - 1, w.risk[DEMOTED], w.ordinals[t]
    win = w.win_long[s, j] if action > 0 else w.win_short[s, j]
    if not kelly(win, lim.payoff) > 0.0 or (action < 0 and lim.allow_short == 0.0):
        return False
    if w.common[mode] != 0 or w.fixed[mode, j] != 0 or w.close[s, j] == 0 or w.volume[s, j] == 0:
        return False
    liquid = w.adv[s, j] >= w.penny_adv and w.price[s, j] >= w.penny_price
    locked = max(w.risk[STOP_LOCK], w.risk[DRAWDOWN_LOCK], w.cooldown[j], w.low_profit[j])
    return (liquid or not w.penny[j]) and locked < now
