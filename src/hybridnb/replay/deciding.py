"""Deciding a session over arrays: the scores of all names, the size of those that act, orders.

The records are those of the live decision, sized by the very functions that size it there. Two
things are spared: names on HOLD have no record, and where the tail of the book can't pass its
limits whatever its exact value, that value isn't computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnb.blender import blend, blend_arrays, liquidity_score
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
)
from hybridnb.limits import BUCKETS, Limits, loop_form
from hybridnb.replay.booking import ENTRY, EXIT, ORDERS, REJECTED, put
from hybridnb.replay.tape import DEMOTED, DRAWDOWN_LOCK, STOP_LOCK, Floats, Ints, World
from hybridnb.sizing import MIN_TAIL_ROWS, tail_risk_with, whole_lots

_BUCKETS = len(BUCKETS)
_STALE, _HALTED, _PENNY_ADV, _PENNY_PRICE, _LOCKED, _BELOW_MINIMUM = (
    int(Refusal[name])
    for name in ("STALE_DATA", "HALTED", "PENNY_ADV", "PENNY_PRICE", "LOCKED", "BELOW_MINIMUM")
)
_SURELY = 1.0 - 1e-9  # a bound below the limit by more than any rounding


class Views(NamedTuple):
    """Names that act, in the order of sizing, with score, action and confidence."""

    names: Ints
    score: Floats
    action: Ints
    confidence: Floats


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


def views(w: World, t: int, lim: Limits, opening: int) -> Views:
    """Score every name on what was known before session t: the array form."""
    s = t - 1
    order_value = np.array(lim.name)[w.bucket] * opening / SCALE
    median = w.median_value[s]
    known = (order_value > 0.0) & (median >= 0.0)
    share = median / np.where(known, 100.0 * order_value, 1.0)
    rows: Any = {
        "p_short": w.p_short[s],
        "p_mid": w.p_mid[s],
        "rl": w.rl[s],
        "sentiment": w.sentiment[s],
        "volatility_z": w.volatility_z[s],
        "liquidity": np.where(known, np.minimum(1.0, share), np.nan),
        "correlation": w.correlation[s],
        "correlation_floor": w.correlation_floor[s],
    }
    out: Any = {}
    blend_arrays(lim, rows, out)
    acting = np.flatnonzero(out["action"])
    score = out["score"][acting]
    order = np.argsort(-np.abs(score - 0.5), kind="mergesort")
    names = acting[order]
    return Views(names, score[order], out["action"][names], out["confidence"][names])


def _views_loop(w: World, t: int, lim: Limits, opening: int) -> Views:
    s, n = t - 1, 0
    volatility_z, correlation = w.volatility_z[s], w.correlation[s]
    floor = w.correlation_floor[s]
    size = len(w.bucket)
    names, action = np.empty(size, np.int64), np.empty(size, np.int64)
    score, confidence = np.empty(size), np.empty(size)
    for j in range(size):
        order_value = lim.name[w.bucket[j]] * opening / SCALE
        scored = blend(
            lim,
            p_short=w.p_short[s, j],
            p_mid=w.p_mid[s, j],
            rl=w.rl[s, j],
            volatility_z=volatility_z,
            sentiment=w.sentiment[s, j],
            liquidity=liquidity_score(w.median_value[s, j], order_value),
            correlation=correlation,
            correlation_floor=floor,
        )
        if scored.action != 0:
            names[n], action[n] = j, scored.action
            score[n], confidence[n] = scored.score, scored.confidence
            n += 1
    order = np.argsort(-np.abs(score[:n] - 0.5), kind="mergesort")
    return Views(names[:n][order], score[:n][order], action[:n][order], confidence[:n][order])


loop_form(views, _views_loop)


def decide_session(w: World, t: int, opening: int) -> Ints:
    """Orders of a session, rows (name, signed units, leg), in the order of sizing.

    Refused ones are recorded here.
    """
    lim = w.limits[w.risk[DEMOTED]]
    seen = views(w, t, lim, opening)
    orders, n = np.empty((len(seen.names), 3), np.int64), 0
    turn = turn_of(w, t, lim, opening)
    for i in range(len(seen.names)):
        j, action = int(seen.names[i]), int(seen.action[i])
        held = int(w.quantity[j])
        leg, units = EXIT, -held
        if action * held >= 0:
            dec = turn.dec[0]
            dec["action"], dec["score"] = action, seen.score[i]
            dec["confidence"] = seen.confidence[i]
            size_name(w, t, lim, turn, j)
            leg, units = ENTRY, 0
        if w.leaving[j] or w.last[j] == 0:
            continue
        if leg == ENTRY:
            units = entry_units(w, t, lim, turn, j)
        if units != 0:
            orders[n, 0], orders[n, 1], orders[n, 2] = j, units, leg
            n += 1
    return orders[:n]


def turn_of(w: World, t: int, lim: Limits, opening: int) -> Turn:
    """The book at the opening in shares of equity, and its tail."""
    n = len(w.bucket)
    first = max(0, t - w.window)
    totals = Totals(np.zeros(_BUCKETS), np.zeros(3), np.zeros(t - first))
    held, risk = np.zeros(n), np.zeros(n)
    row, dec = np.zeros(1, INPUT), np.zeros(1, DECISION)
    for at in np.flatnonzero(w.quantity):
        j = int(at)
        quantity, multiplier = int(w.quantity[j]), int(w.multiplier[j])
        last = int(w.last[j])
        held[j] = float(w.delta[j]) * quantity * multiplier * last / opening
        risk[j] = abs(quantity) * multiplier * abs(last - int(w.stop[j])) / opening
        row[0]["bucket"], row[0]["margin_rate"] = w.bucket[j], w.margin_rate[j]
        grow(totals, row[0], w.returns[j, first:t], held[j], risk[j])
    var, es = tail_risk_with(totals.returns, 0.0, totals.returns)
    crisis = bool(w.crisis[t - 1]) or w.correlation[t - 1] > w.crisis_correlation
    account = Account(opening / SCALE, w.margin, crisis)
    finite = 1.0 if np.all(np.isfinite(totals.returns)) else 0.0
    tail = np.array([var, es, 0.0, finite])
    return Turn(opening, account, totals, held, risk, tail, row, dec)


def size_name(w: World, t: int, lim: Limits, turn: Turn, j: int) -> None:
    """Size one entry, and count it in the book for the names after it."""
    row, dec = turn.row[0], turn.dec[0]
    _fill_row(w, t, turn, j)
    context = context_of(turn.totals, row, turn.held[j], turn.risk[j])
    cap_row(lim, row, dec, context)
    returns = w.returns[j, max(0, t - w.window) : t]
    reach = farthest(returns)
    more = dec["action"] * max(dec["capped"], abs(row["held"])) - row["held"]
    dec["var"], dec["es"] = _tail(lim, turn, returns, more, reach)
    scale_row(lim, turn.account, row, dec, context)
    target = dec["size_post_risk"]
    if abs(target) > abs(turn.held[j]):
        own = max(turn.risk[j], stop_risk(lim, row, abs(target)))
        grow(turn.totals, row, returns, target - turn.held[j], own - turn.risk[j])
        turn.tail[2] += abs(target - turn.held[j]) * reach
        turn.tail[3] = turn.tail[3] if reach < np.inf else 0.0
        turn.held[j], turn.risk[j] = target, own


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
    if known and turn.dec[0]["refused"] != 0:
        return 0.0, 0.0
    added = turn.tail[2] + abs(more) * reach
    below = turn.tail[0] + added <= lim.var_limit * _SURELY
    if known and below and turn.tail[1] + added <= lim.es_limit * _SURELY:
        return 0.0, 0.0
    return tail_risk_with(turn.totals.returns, more, returns)


def _fill_row(w: World, t: int, turn: Turn, j: int) -> None:
    s, row = t - 1, turn.row[0]
    row["rl"], row["price"], row["atr"] = w.rl[s, j], w.price[s, j], w.atr[s, j]
    row["annual_volatility"] = w.annual_volatility[s, j]
    row["win_long"], row["win_short"] = w.win_long[s, j], w.win_short[s, j]
    row["held"], row["risk"], row["posture"] = turn.held[j], turn.risk[j], 1.0
    row["margin_rate"], row["bucket"] = w.margin_rate[j], w.bucket[j]
    row["refused"] = _refusals(w, t, j)


def _refusals(w: World, t: int, j: int) -> int:
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


def entry_units(w: World, t: int, lim: Limits, turn: Turn, j: int) -> int:
    """Signed units that the sized decision asks for; 0 for none, a refused one recorded."""
    dec = turn.dec[0]
    sign, held, refused = int(dec["action"]), abs(int(w.quantity[j])), int(dec["refused"])
    if refused:
        put(w.orders, w.written, ORDERS, (t, j, ENTRY, sign, 0, 0, 0, REJECTED, refused))
        return 0
    price, multiplier = int(w.last[j]), int(w.multiplier[j])
    units = whole_lots(
        abs(dec["size_post_risk"]),
        equity=turn.opening,
        price=price,
        delta=float(w.delta[j]),
        multiplier=multiplier,
        lot=int(w.lot[j]),
    )
    more = units - held
    if more <= 0 and held:
        return 0
    more = max(more, 0)
    if more * price * multiplier < max(1.0, lim.min_order_value * SCALE):
        row = (t, j, ENTRY, sign, more, 0, 0, REJECTED, _BELOW_MINIMUM)
        put(w.orders, w.written, ORDERS, row)
        return 0
    return sign * more
