"""Deciding a session over arrays: the scores of all names, the size of those that act, orders.

The records are those of the live decision, sized by the very functions that size it there. What
no order can come of is spared: names on HOLD, entries refused beforehand, and the exact tail of
the book where it can't pass its limits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnb.blender import blend, blend_arrays, liquidity_score, weights
from hybridnb.decide import DECISION, INPUT
from hybridnb.domain import SCALE, Refusal
from hybridnb.entries import (
    Account,
    Totals,
    cap_row,
    context_of,
    grow,
    scale_row,
    stop_risk,
    totals_of,
)
from hybridnb.limits import Limits, loop_form
from hybridnb.replay.booking import ENTRY, EXIT
from hybridnb.replay.tape import DEMOTED, DRAWDOWN_LOCK, STOP_LOCK, Floats, Ints, World
from hybridnb.sizing import MIN_TAIL_ROWS, kelly, tail_risk_with, whole_lots

_STALE, _HALTED, _PENNY_ADV, _PENNY_PRICE, _LOCKED = (
    int(Refusal[name]) for name in ("STALE_DATA", "HALTED", "PENNY_ADV", "PENNY_PRICE", "LOCKED")
)
_SURELY = 1.0 - 1e-9  # a bound below the limit by more than any rounding


class Turn(NamedTuple):
    """A session's sizing in progress; `held` and `risk` are shares of equity, shape (n,).

    `tail` holds VaR and ES of the book, the most that entries since have added to them, and
    whether every return of the book is finite.
    """

    opening: int
    account: Account
    totals: Totals
    held: Floats
    risk: Floats
    tail: Floats
    row: NDArray[Any]
    dec: NDArray[Any]


def acting(w: World, t: int, lim: Limits, opening: int) -> tuple[Ints, Ints, Floats, Floats]:
    """Score the names on what was known before session t: the array form.

    Returns names, actions, scores and confidences of those that close a position or may open
    one, in the order of sizing. Left out are entries that are refused whatever their size, and
    names that can neither close nor buy: penalties never raise a score.
    """
    s = t - 1
    raw = lim.weight_short * w.p_short[s] + lim.weight_mid * w.p_mid[s] + lim.weight_rl * w.rl[s]
    idle = (raw < least_raw(lim)) & (w.quantity == 0) & (lim.allow_short == 0.0)
    names = np.flatnonzero(~idle)
    order_value = (np.array(lim.name) * opening / SCALE)[w.bucket[names]]
    median = w.median_value[s, names]
    known = (order_value > 0.0) & (median >= 0.0)
    share = median / np.where(known, 100.0 * order_value, 1.0)
    rows: Any = {
        "p_short": w.p_short[s, names],
        "p_mid": w.p_mid[s, names],
        "rl": w.rl[s, names],
        "sentiment": w.sentiment[s, names],
        "volatility_z": w.volatility_z[s],
        "liquidity": np.where(known, np.minimum(1.0, share), np.nan),
        "correlation": w.correlation[s],
        "correlation_floor": w.correlation_floor[s],
    }
    out: Any = {}
    blend_arrays(lim, rows, out)
    action = out["action"]
    acts = [k for k in np.flatnonzero(action) if _acts(w, t, lim, int(names[k]), int(action[k]))]
    score = out["score"][acts]
    chosen = np.array(acts, np.int64)[np.argsort(-np.abs(score - 0.5), kind="mergesort")]
    return names[chosen], action[chosen], out["score"][chosen], out["confidence"][chosen]


def _acting_loop(w: World, t: int, lim: Limits, opening: int) -> tuple[Ints, Ints, Floats, Floats]:
    s, n, size = t - 1, 0, len(w.bucket)
    p_short, p_mid, rl = w.p_short[s], w.p_mid[s], w.rl[s]
    bucket, quantity, shorts = w.bucket, w.quantity, lim.allow_short != 0.0
    only, least = weights(lim), least_raw(lim)
    names, action = np.empty(size, np.int64), np.empty(size, np.int64)
    score, confidence = np.empty(size), np.empty(size)
    for j in range(size):
        raw = only.weight_short * p_short[j] + only.weight_mid * p_mid[j] + only.weight_rl * rl[j]
        if raw < least and quantity[j] == 0 and not shorts:
            continue
        scored = blend(
            only,
            p_short=p_short[j],
            p_mid=p_mid[j],
            rl=rl[j],
            volatility_z=w.volatility_z[s],
            sentiment=w.sentiment[s, j],
            liquidity=liquidity_score(w.median_value[s, j], lim.name[bucket[j]] * opening / SCALE),
            correlation=w.correlation[s],
            correlation_floor=w.correlation_floor[s],
        )
        if scored.action != 0 and _acts(w, t, lim, j, scored.action):
            names[n], action[n] = j, scored.action
            score[n], confidence[n] = scored.score, scored.confidence
            n += 1
    order = np.argsort(-np.abs(score[:n] - 0.5), kind="mergesort")
    return names[:n][order], action[:n][order], score[:n][order], confidence[:n][order]


def least_raw(lim: Limits) -> float:
    """A weighted sum of three known views below this can't be a BUY, rounding included."""
    total = lim.weight_short + lim.weight_mid + lim.weight_rl
    return lim.buy * total * _SURELY


def _acts(w: World, t: int, lim: Limits, j: int, action: int) -> bool:
    """Whether an action closes a position or may open one."""
    if action * w.quantity[j] < 0:
        return True
    if action < 0 and lim.allow_short == 0.0:
        return False
    win = w.win_long[t - 1, j] if action > 0 else w.win_short[t - 1, j]
    return kelly(win, lim.payoff) > 0.0 and refusals(w, t, j) == 0


loop_form(acting, _acting_loop)


def refusals(w: World, t: int, j: int) -> int:
    """Refusals of an entry that its size has no part in, as bits of `Refusal`."""
    s = t - 1
    mode, now = w.risk[DEMOTED], w.ordinals[t]
    bits = w.common[mode] | w.fixed[mode, j]
    if w.close[s, j] == 0:
        bits |= _STALE
    elif w.volume[s, j] == 0:
        bits |= _HALTED
    if w.penny[j]:
        bits |= 0 if w.adv[s, j] >= w.penny_adv else _PENNY_ADV
        bits |= 0 if w.price[s, j] >= w.penny_price else _PENNY_PRICE
    locked = max(w.risk[STOP_LOCK], w.risk[DRAWDOWN_LOCK], w.cooldown[j], w.low_profit[j])
    return int(bits) | (_LOCKED if locked >= now else 0)


def decide_session(w: World, t: int, opening: int) -> Ints:
    """Orders of a session, rows (name, signed units, leg), in the order of sizing."""
    lim = w.limits[w.risk[DEMOTED]]
    names, action, score, confidence = acting(w, t, lim, opening)
    orders, n = np.empty((len(names), 3), np.int64), 0
    if len(names) == 0:
        return orders
    turn = turn_of(w, t, opening)
    for i in range(len(names)):
        j, held = int(names[i]), int(w.quantity[names[i]])
        leg, units = EXIT, -held
        if action[i] * held >= 0:
            dec = turn.dec[0]
            dec["action"], dec["score"], dec["confidence"] = action[i], score[i], confidence[i]
            leg, units = ENTRY, size_name(w, t, lim, turn, j)
        if units != 0 and not w.leaving[j] and w.last[j] > 0:
            orders[n, 0], orders[n, 1], orders[n, 2] = j, units, leg
            n += 1
    return orders[:n]


def turn_of(w: World, t: int, opening: int) -> Turn:
    """The book at the opening in shares of equity, and its tail."""
    first = max(0, t - w.window)
    held, risk = shares(w, opening)
    totals = totals_of(w.rows, held, risk, w.returns, (first, t))
    var, es = tail_risk_with(totals.returns, 0.0, totals.returns)
    crisis = bool(w.crisis[t - 1]) or w.correlation[t - 1] > w.crisis_correlation
    account = Account(opening / SCALE, w.margin, crisis)
    finite = 1.0 if farthest(totals.returns) < np.inf else 0.0
    tail = np.array([var, es, 0.0, finite])
    row, dec = np.zeros(1, INPUT), np.zeros(1, DECISION)
    return Turn(opening, account, totals, held, risk, tail, row, dec)


def shares(w: World, opening: int) -> tuple[Floats, Floats]:
    """Holdings, signed, and open risks to the stops, in shares of equity, shape (n,)."""
    held = w.delta * w.quantity * w.multiplier * w.last / opening
    risk = np.abs(w.quantity) * w.multiplier * np.abs(w.last - w.stop) / opening
    return held, risk


def _shares_loop(w: World, opening: int) -> tuple[Floats, Floats]:
    held, risk = np.zeros(len(w.bucket)), np.zeros(len(w.bucket))
    for j in np.flatnonzero(w.quantity):
        quantity, multiplier, last = w.quantity[j], w.multiplier[j], w.last[j]
        held[j] = w.delta[j] * quantity * multiplier * last / opening
        risk[j] = abs(quantity) * multiplier * abs(last - w.stop[j]) / opening
    return held, risk


loop_form(shares, _shares_loop)


def size_name(w: World, t: int, lim: Limits, turn: Turn, j: int) -> int:
    """Size one entry, count it in the book for the names after it; its signed units or 0."""
    row, dec, s = turn.row[0], turn.dec[0], t - 1
    row["rl"], row["price"], row["atr"] = w.rl[s, j], w.price[s, j], w.atr[s, j]
    row["annual_volatility"] = w.annual_volatility[s, j]
    row["win_long"], row["win_short"] = w.win_long[s, j], w.win_short[s, j]
    row["held"], row["risk"], row["posture"] = turn.held[j], turn.risk[j], 1.0
    row["margin_rate"], row["bucket"] = w.margin_rate[j], w.bucket[j]
    context = context_of(turn.totals, row, turn.held[j], turn.risk[j])
    cap_row(lim, row, dec, context)
    before = abs(turn.held[j])
    if dec["refused"] != 0 or dec["capped"] <= before:
        return 0
    returns = w.returns[j, max(0, t - w.window) : t]
    reach = farthest(returns)
    more = dec["action"] * dec["capped"] - row["held"]
    dec["var"], dec["es"] = _tail(lim, turn, returns, more, reach)
    scale_row(lim, turn.account, row, dec, context)
    target = dec["size_post_risk"]
    if abs(target) <= before:
        return 0
    own = max(turn.risk[j], stop_risk(lim, row, abs(target)))
    grow(turn.totals, row, returns, target - turn.held[j], own - turn.risk[j])
    turn.tail[2] += abs(target - turn.held[j]) * reach
    turn.tail[3] = turn.tail[3] if reach < np.inf else 0.0
    turn.held[j], turn.risk[j] = target, own
    return entry_units(w, lim, turn, j)


def farthest(returns: Floats) -> float:
    """Largest absolute return; NaN when one is NaN."""
    return np.max(np.abs(returns)) if len(returns) else 0.0


def _farthest_loop(returns: Floats) -> float:
    most = 0.0
    for x in returns:
        if not abs(x) <= most:
            most = abs(x)
            if most != most:
                break
    return most


loop_form(farthest, _farthest_loop)


def _tail(
    lim: Limits, turn: Turn, returns: Floats, more: float, reach: float
) -> tuple[float, float]:
    """VaR and ES with `more` of a name; zeros where nothing but their being in bounds matters.

    A name whose largest move is `reach` adds at most `more × reach` to any day's loss.
    """
    known = turn.tail[3] > 0.0 and reach < np.inf and len(returns) >= MIN_TAIL_ROWS
    added = turn.tail[2] + abs(more) * reach
    below = turn.tail[0] + added <= lim.var_limit * _SURELY
    if known and below and turn.tail[1] + added <= lim.es_limit * _SURELY:
        return 0.0, 0.0
    return tail_risk_with(turn.totals.returns, more, returns)


def entry_units(w: World, lim: Limits, turn: Turn, j: int) -> int:
    """Signed units that a sized decision asks for; 0 where they are worth less than an order."""
    dec, held, price = turn.dec[0], abs(int(w.quantity[j])), int(w.last[j])
    units = whole_lots(
        abs(dec["size_post_risk"]),
        equity=turn.opening,
        price=price,
        delta=float(w.delta[j]),
        multiplier=int(w.multiplier[j]),
        lot=int(w.lot[j]),
    )
    more = units - held
    least = max(1.0, lim.min_order_value * SCALE)
    return int(dec["action"]) * more if more * price * int(w.multiplier[j]) >= least else 0
