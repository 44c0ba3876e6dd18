"""The decision: blend → size → clamp, one pure function of its inputs.

`decide` runs it over a universe held in structured arrays, `decide_one` over one symbol with a
context given by the caller; both share `size_row`, and every field agrees to the last bit. A
compiler can take all of it as it is: nothing here holds a Python object but floats, integers and
arrays.

Names are sized by descending `abs(score − 0.5)`, then symbol (the order of the rows): each
order uses up room, tail risk and heat for the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.blender import blend, blend_arrays, blend_row, weights
from hybridnb.domain import Refusal
from hybridnb.entries import Account, size_row, stop_risk
from hybridnb.limits import Limits, loop_form
from hybridnb.sizing import wanted_size
from hybridnb.totals import Context, context_of, grow, totals_of

# One row a symbol. Probabilities and facts may be NaN (missing); `held` is the signed share of
# equity in the name, worked orders counted as filled; `risk` its open risk to the stop as a
# share of equity; `posture` the product of multipliers decided elsewhere; `refused` Refusal bits.
INPUT = np.dtype(
    [
        (name, "f8")
        for name in (
            *("p_short", "p_mid", "rl", "volatility_z", "sentiment", "liquidity"),
            *("correlation", "correlation_floor", "price", "atr", "annual_volatility"),
            *("win_long", "win_short", "held", "risk", "margin_rate", "posture"),
        )
    ]
    + [("bucket", "i8"), ("refused", "i8")]
)

# One row a symbol: the terms of the score, then every step of the size.
DECISION = np.dtype(
    [
        (name, "f8")
        for name in (
            *("base", "volatility", "news", "illiquid", "decorrelated", "score", "confidence"),
            *("size_pre", "quarter_kelly", "headroom", "capped", "m_volatility", "m_var", "m_es"),
            *("m_heat", "m_crisis", "m_posture", "var", "es", "heat", "size_post_risk"),
        )
    ]
    + [("action", "i8"), ("bound", "i8"), ("refused", "i8"), ("rank", "i8")]
)
_NO_PREDICTION = int(Refusal.NO_PREDICTION)


def decide(
    lim: Limits, account: Account, rows: NDArray[Any], returns: NDArray[np.float64]
) -> NDArray[Any]:
    """Decide a universe.

    Parameters
    ----------
    lim : Limits
    account : Account
    rows : structured array of INPUT, shape (n,)
        In the symbols' order.
    returns : ndarray, shape (t, n)
        Daily returns of the names over the last sessions; NaN where there was no bar.

    Returns
    -------
    structured array of DECISION, shape (n,)
        `size_post_risk` is the signed target share of equity: for HOLD the share held, for a
        closing order 0. `refused` holds bits of `Refusal` for entries that are refused. `rank`
        is the place in the order of sizing, -1 for HOLD.
    """
    out = np.zeros(len(rows), DECISION)
    decide_into(lim, account, rows, returns, out)
    return out


def decide_into(
    lim: Limits,
    account: Account,
    rows: NDArray[Any],
    returns: NDArray[np.float64],
    out: NDArray[Any],
) -> None:
    """Decide a universe into `out`, structured array of DECISION, shape (n,), zeroed."""
    decide_within(lim, account, rows, returns.T, len(returns), out)


def decide_within(
    lim: Limits,
    account: Account,
    rows: NDArray[Any],
    histories: NDArray[np.float64],
    sessions: int,
    out: NDArray[Any],
) -> None:
    """`decide_into` with the returns by name: the first `sessions` of each of `histories`.

    Compiled, it writes every field: `out` needn't be zeroed.
    """
    acting = first_says(lim, rows, out)
    held = rows["held"].copy()
    risk = rows["risk"].copy()
    totals = totals_of(rows, held, risk, histories, (0, sessions))
    order = by_conviction(out["score"][acting])
    for rank in range(len(order)):
        i = acting[order[rank]]
        row, dec, returns = rows[i], out[i], histories[i, :sessions]
        dec["rank"] = rank
        if dec["action"] * row["held"] < 0.0:
            continue
        context = context_of(totals, row, held[i], risk[i])
        size_row(lim, account, row, dec, context, returns)
        target = dec["size_post_risk"]
        if abs(target) > abs(held[i]):
            own = max(risk[i], stop_risk(lim, row, abs(target)))
            grow(totals, row, returns, target - held[i], own - risk[i])
            held[i], risk[i] = target, own


def first_says(lim: Limits, rows: NDArray[Any], out: NDArray[Any]) -> NDArray[np.int64]:
    """Write what each decision says before anything is sized; the names that act, in order."""
    blend_arrays(lim, rows, out)
    _without_entries(lim, rows, out)
    return np.flatnonzero(out["action"])


def _first_says_loop(lim: Limits, rows: NDArray[Any], out: NDArray[Any]) -> NDArray[np.int64]:
    """In one walk: a large universe is more than the processor's near caches hold."""
    only, acting, n = weights(lim), np.empty(len(rows), np.int64), 0
    for i in range(len(rows)):
        row, dec = rows[i], out[i]
        blend_row(only, row, dec)
        _without_entry(lim, row, dec)
        if dec["action"] != 0:
            acting[n] = i
            n += 1
    return acting[:n]


loop_form(first_says, _first_says_loop)


def by_conviction(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions by descending `abs(score − 0.5)`, equals as they come; shape (n,)."""
    return np.argsort(-np.abs(score - 0.5), kind="mergesort")


def _by_conviction_loop(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Insertion sort of short runs, then merge sort from the bottom up."""
    n, width = len(score), 16
    order, key = np.empty(n, np.int64), np.empty(n)
    other = order if n <= width else np.empty(n, np.int64)
    for i in range(n):
        key[i] = abs(score[i] - 0.5)
        at = i
        while at % width > 0 and key[order[at - 1]] < key[i]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = i
    while width < n:
        for left in range(0, n, 2 * width):
            middle, right = min(left + width, n), min(left + 2 * width, n)
            i, k = left, middle
            for at in range(left, right):
                first = k >= right
                if i < middle and k < right:
                    first = key[order[i]] >= key[order[k]]
                other[at] = order[i] if first else order[k]
                i, k = (i + 1, k) if first else (i, k + 1)
        order, other, width = other, order, 2 * width
    return order


loop_form(by_conviction, _by_conviction_loop)


def decide_one(
    lim: Limits, account: Account, row: Any, context: Context, returns: NDArray[np.float64]
) -> Any:
    """Decide one symbol: the scalar form, for `explain` and for tests of the array form.

    Parameters
    ----------
    lim, account
        As for `decide`.
    row : record of INPUT
    context : Context
        The book as it stands when this name's turn comes.
    returns : ndarray, shape (t,)
        The name's daily returns.

    Returns
    -------
    record of DECISION, its `rank` 0
    """
    rows, out = np.array([row], INPUT), np.zeros(1, DECISION)
    dec = out[0]
    scored = blend(
        lim,
        p_short=float(row["p_short"]),
        p_mid=float(row["p_mid"]),
        rl=float(row["rl"]),
        volatility_z=float(row["volatility_z"]),
        sentiment=float(row["sentiment"]),
        liquidity=float(row["liquidity"]),
        correlation=float(row["correlation"]),
        correlation_floor=float(row["correlation_floor"]),
    )
    dec["base"], dec["score"], dec["action"] = scored.base, scored.score, scored.action
    dec["volatility"], dec["news"] = scored.volatility, scored.news
    dec["illiquid"], dec["decorrelated"] = scored.liquidity, scored.correlation
    dec["confidence"] = scored.confidence
    _without_entries(lim, rows, out)
    if scored.action and not scored.action * row["held"] < 0.0:
        size_row(lim, account, row, dec, context, returns)
    dec["rank"] = 0
    return dec


def _without_entries(lim: Limits, rows: NDArray[Any], out: NDArray[Any]) -> None:
    """What decisions say that open nothing: HOLD, a SELL of a long, a BUY of a short."""
    for name in ("quarter_kelly", "headroom", "var", "es", "heat"):
        out[name] = np.nan
    hold, score = out["action"] == 0, out["score"]
    out["rank"] = np.where(hold, -1, 0)
    out["size_post_risk"] = np.where(hold, rows["held"], 0.0)
    out["refused"] = np.where(hold & np.isnan(score), _NO_PREDICTION, 0)
    limit = np.array(lim.bucket)[rows["bucket"]]
    out["size_pre"] = np.where(hold, 0.0, limit * 2.0 * np.abs(score - 0.5))


def _without_entry(lim: Limits, row: Any, dec: Any) -> None:
    """Every field that the blend leaves: it may be memory in which anything was."""
    dec["size_pre"] = dec["capped"] = dec["size_post_risk"] = 0.0
    dec["m_volatility"] = dec["m_var"] = dec["m_es"] = 0.0
    dec["m_heat"] = dec["m_crisis"] = dec["m_posture"] = 0.0
    dec["bound"] = dec["refused"] = dec["rank"] = 0
    dec["quarter_kelly"] = dec["headroom"] = dec["var"] = dec["es"] = dec["heat"] = np.nan
    if dec["action"] == 0:
        dec["rank"] = -1
        dec["size_post_risk"] = row["held"]
        dec["refused"] = _NO_PREDICTION if dec["score"] != dec["score"] else 0
    else:
        dec["size_pre"] = wanted_size(dec["score"], lim.bucket[row["bucket"]])


def _without_entries_loop(lim: Limits, rows: NDArray[Any], out: NDArray[Any]) -> None:
    for i in range(len(rows)):
        _without_entry(lim, rows[i], out[i])


loop_form(_without_entries, _without_entries_loop)
