"""The decision: blend → size → clamp, one pure function of its inputs.

`decide` runs it over a universe held in structured arrays, `decide_one` over one symbol with a
context given by the caller; both share `size_row`, and every field agrees to the last bit.
Nothing here holds a Python object but floats, integers and arrays.

Names are sized by descending `abs(score − 0.5)`, then symbol (the order of the rows): each
order uses up room, tail risk and heat for the next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnb.blender import blend, blend_arrays
from hybridnb.clamps import FNO, Room, clamp
from hybridnb.domain import Refusal, refusal_names
from hybridnb.limits import Limits
from hybridnb.sizing import cap_size, kelly, scale_size, tail_risk, wanted_size

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

_MARGIN, _REFUSED = 5, 6  # positions in domain.Bound after the four caps


class Account(NamedTuple):
    """What the book gives to every decision; `margin_available` is a share of equity."""

    equity: float
    margin_available: float
    crisis: bool


class Context(NamedTuple):
    """The book without the name at hand: shares of equity, and its daily returns, shape (t,)."""

    bucket: float
    gross: float
    margin: float
    risk: float
    returns: NDArray[np.float64]


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
        closing order 0. `refused` holds bits of `Refusal` for entries that are refused.
    """
    out = _blank(len(rows))
    blend_arrays(lim, rows, out)
    distance = np.where(np.isfinite(out["score"]), np.abs(out["score"] - 0.5), -1.0)
    held = rows["held"].copy()
    risk = rows["risk"].copy()
    for rank, i in enumerate(np.argsort(-distance, kind="stable")):
        row, dec = rows[i], out[i]
        dec["rank"] = rank
        if dec["action"] == 0 or _closes(dec["action"], row["held"]):
            _without_entry(lim, row, dec)
            continue
        context = context_of(rows, held, risk, returns, int(i))
        size_row(lim, account, row, dec, context, returns[:, i])
        target = dec["size_post_risk"]
        if abs(target) > abs(held[i]):
            held[i] = target
            risk[i] = max(risk[i], abs(target) * lim.stop_atr * row["atr"] / row["price"])
    return out


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
    dec = _blank(1)[0]
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
    if scored.action == 0 or _closes(scored.action, row["held"]):
        _without_entry(lim, row, dec)
    else:
        size_row(lim, account, row, dec, context, returns)
    return dec


def _blank(n: int) -> NDArray[Any]:
    out = np.zeros(n, DECISION)
    for name in ("quarter_kelly", "headroom", "var", "es", "heat"):
        out[name] = np.nan
    return out


def _closes(action: int, held: float) -> bool:
    """A SELL of a long or a BUY of a short closes; it opens nothing in the same session."""
    return bool(action * held < 0.0)


def _without_entry(lim: Limits, row: Any, dec: Any) -> None:
    if dec["action"] == 0:
        dec["size_post_risk"] = row["held"]
        missing = dec["score"] != dec["score"]
        dec["refused"] = int(Refusal.NO_PREDICTION) if missing else 0
    else:
        dec["size_pre"] = wanted_size(float(dec["score"]), lim.bucket[int(row["bucket"])])


def context_of(
    rows: NDArray[Any],
    held: NDArray[np.float64],
    risk: NDArray[np.float64],
    returns: NDArray[np.float64],
    i: int,
) -> Context:
    """The book without name i, from present holdings and risks, shape (n,) each."""
    others = np.abs(held)
    others[i] = 0.0
    bucket = gross = margin = open_risk = 0.0
    book = np.zeros(returns.shape[0])
    for j in np.flatnonzero(others):
        gross += others[j]
        open_risk += risk[j]
        book += held[j] * returns[:, j]
        if rows["bucket"][j] == rows["bucket"][i]:
            bucket += others[j]
        if rows["bucket"][j] == FNO:
            margin += others[j] * rows["margin_rate"][j]
    return Context(float(bucket), float(gross), float(margin), float(open_risk), book)


def size_row(
    lim: Limits,
    account: Account,
    row: Any,
    dec: Any,
    context: Context,
    returns: NDArray[np.float64],
) -> None:
    """Size one entry and write every step into its record: caps, multipliers, clamps."""
    code = int(row["bucket"])
    action = int(dec["action"])
    refused = int(row["refused"]) | _own_refusals(lim, row, dec)
    wanted = wanted_size(float(dec["score"]), lim.bucket[code])
    win = float(row["win_long"] if action > 0 else row["win_short"])
    quarter = lim.kelly_fraction * kelly(win, lim.payoff)
    headroom = lim.bucket[code] - context.bucket
    leverage = lim.max_leverage - context.gross
    capped, bound = cap_size(
        wanted, name=lim.name[code], headroom=headroom, quarter_kelly=quarter, leverage=leverage
    )
    dec["size_pre"], dec["quarter_kelly"], dec["headroom"] = wanted, quarter, headroom
    dec["capped"], dec["bound"] = capped, bound
    held = abs(float(row["held"]))
    present = action * max(capped, held)
    var, es = tail_risk(context.returns + present * returns)
    own_risk = max(float(row["risk"]), capped * lim.stop_atr * row["atr"] / row["price"])
    heat = (context.risk + own_risk) / lim.loss_limit
    posture = float(row["posture"]) * (lim.no_rl_factor if row["rl"] != row["rl"] else 1.0)
    scaled = scale_size(
        lim,
        capped,
        annual_volatility=float(row["annual_volatility"]),
        var=var,
        es=es,
        heat=heat,
        crisis=account.crisis,
        posture=posture,
    )
    dec["var"], dec["es"], dec["heat"] = var, es, heat
    dec["m_volatility"], dec["m_var"], dec["m_es"] = scaled.volatility, scaled.var, scaled.es
    dec["m_heat"], dec["m_crisis"], dec["m_posture"] = scaled.heat, scaled.crisis, scaled.posture
    if not quarter > 0.0:
        refused |= Refusal.KELLY
    elif not capped > 0.0:
        refused |= Refusal.NO_ROOM
    if var != var:
        refused |= Refusal.TAIL_UNKNOWN
    margin_rate = float(row["margin_rate"]) if code == FNO else 0.0
    room = Room(lim.name[code], headroom, leverage, account.margin_available - context.margin)
    size = clamp(scaled.size, room, margin_rate=margin_rate, refusals=refused)
    if 0.0 < size < scaled.size and margin_rate > 0.0:
        dec["bound"] = _MARGIN
    elif size + refused == 0 and not (margin_rate <= 0.0 or room.margin / margin_rate > 0.0):
        refused |= Refusal.MARGIN
    if not size * account.equity >= lim.min_order_value and refused == 0:
        size, refused = 0.0, int(Refusal.BELOW_MINIMUM)
    if refused:
        dec["bound"] = _REFUSED
    dec["refused"] = refused
    dec["size_post_risk"] = action * size if size > 0.0 else 0.0


def _own_refusals(lim: Limits, row: Any, dec: Any) -> int:
    bits = 0
    if dec["action"] < 0 and lim.allow_short == 0.0:
        bits |= Refusal.NO_SHORTS
    known = row["price"] > 0.0 and row["atr"] > 0.0 and row["annual_volatility"] >= 0.0
    total = row["price"] + row["atr"] + row["annual_volatility"] + row["held"] + row["risk"]
    if not (known and np.isfinite(total)):
        bits |= Refusal.NOT_FINITE
    if dec["confidence"] < lim.confidence_threshold:
        bits |= Refusal.LOW_CONFIDENCE
    return int(bits)


def reasons(lim: Limits, row: Any, dec: Any) -> tuple[str, ...]:
    """Reason tags of a decision: a view a term, a state a penalty, the bound, the refusals."""
    tags = [
        *_view("short", row["p_short"]),
        *_view("mid", row["p_mid"]),
        *_view("rl", row["rl"]),
        _state("news", row["sentiment"], dec["news"], ("negative", "not_negative")),
        _state("vol", row["volatility_z"], dec["volatility"], ("spike", "normal")),
        _state("liquidity", row["liquidity"], dec["illiquid"], ("low", "normal")),
        _state("correlation", row["correlation"], dec["decorrelated"], ("breakdown", "normal")),
    ]
    if row["sentiment"] > -lim.news_sentiment:
        tags[tags.index("news_not_negative")] = "news_positive"
    return (*tags, *(name.lower() for name in refusal_names(int(dec["refused"]))))


def _view(name: str, p: float) -> list[str]:
    if p != p:
        return [f"{name}_missing"]
    return [f"{name}_bullish" if p > 0.5 else f"{name}_bearish" if p < 0.5 else f"{name}_neutral"]


def _state(name: str, value: float, charged: float, words: tuple[str, str]) -> str:
    if value != value:
        return f"{name}_unknown"
    return f"{name}_{words[0] if charged > 0.0 else words[1]}"
