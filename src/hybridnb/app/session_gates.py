"""The session risk gates of the promotion: what a closed session's own rows show.

Each gate holds, fails, or can't be told; nothing is assumed. A limit binds when an order is made:
what drifts above a cap later is no breach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridnb.app.records import decision_rows
from hybridnb.domain import Action, Bucket, Leg, Mode, OrderState
from hybridnb.escalation.portfolio import WINDOW, average_correlation
from hybridnb.ledger.store import Ledger
from hybridnb.limits import BUCKETS, CODE, Limits, limits
from hybridnb.policy import Policy, validated

Row = Mapping[str, Any]
GATES = ("bucket compliance", "no limit breach", "every stop executed", "correlation of the book")
CORRELATION = 0.8  # average pairwise correlation of the book, at most
_ROUNDING = 1e-9  # shares are sums of floats
_BARE = ("without a stop", "without its stop")  # of the alerts of an unprotected position


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate of one session; `ok` None where it can't be told."""

    ok: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Gated:
    """A closed session and its gates by name; `entries` that were sized, `bound` by a cap."""

    session: str
    ordinal: int
    mode: str
    decided: bool
    entries: int
    bound: int
    gates: Mapping[str, Gate]


def gated(ledger: Ledger, book: str, *, last: int) -> list[Gated]:
    """The last closed sessions of a book with their gates, oldest first."""
    closed = ledger.rows("session", kind="session_closed", book=book)
    reach = closed[-(last + WINDOW) :]
    prices: list[dict[str, float]] = []
    found = []
    for i, closing in enumerate(reach, len(closed) - len(reach)):
        rows = ledger.rows("session", book=book, session=closing["session"])
        decisions = decision_rows(rows)
        if decisions:
            prices.append({d["symbol"]: d["inputs"]["price"] for d in decisions})
        if i >= len(closed) - last:
            before = closed[i - 1] if i else None
            found.append(_gated(rows, decisions, closing, before, prices[-WINDOW - 1 :]))
    return found


def _gated(
    rows: Sequence[Row],
    decisions: Sequence[Row],
    closing: Row,
    before: Row | None,
    prices: Sequence[Mapping[str, float]],
) -> Gated:
    opened = next(row for row in rows if row["kind"] == "session_opened")
    risk = closing["snapshot"]["risk"]
    entries = [d for d in decisions if _enters(d)]
    gates = (
        *_sizing(rows, decisions, closing, decided=bool(opened["decided"])),
        _stops(rows, closing, before),
        _correlation(closing, prices),
    )
    return Gated(
        session=closing["session"],
        ordinal=risk["ordinal"],
        mode=risk["mode"],
        decided=bool(opened["decided"]),
        entries=len(entries),
        bound=sum(d["bound"] not in ("none", "refused") for d in entries),
        gates=dict(zip(GATES, gates, strict=True)),
    )


def _sizing(
    rows: Sequence[Row], decisions: Sequence[Row], closing: Row, *, decided: bool
) -> tuple[Gate, Gate]:
    """What was sized, against the limits of the session's own policy and mode."""
    values = [row["values"] for row in rows if row["kind"] == "policy"]
    if not decided or not values:
        untold = Gate(None, "no policy is recorded" if decided else "the session was missed")
        return untold, untold
    mode = Mode(closing["snapshot"]["risk"]["mode"])
    lim = limits(validated(Policy, values[0]), mode)
    return _buckets(lim, decisions), _limits(lim, decisions, closing)


def _enters(decision: Row) -> bool:
    """Whether a decision asks for more of a name, and isn't refused."""
    if decision["action"] == Action.HOLD or decision["refusals"]:
        return False
    held, target = abs(decision["inputs"]["held"]), abs(decision["size_post_risk"])
    return bool(target > held + _ROUNDING)


def _totals(decisions: Sequence[Row]) -> dict[str, float]:
    """Gross of each bucket, share of equity, with every entry at its full size."""
    totals = {str(bucket): 0.0 for bucket in Bucket}
    for d in decisions:
        held = abs(d["inputs"]["held"])
        totals[d["bucket"]] += max(held, abs(d["size_post_risk"])) if _enters(d) else held
    return totals


def _buckets(lim: Limits, decisions: Sequence[Row]) -> Gate:
    """No entry into a bucket beyond its limit."""
    totals, entered = _totals(decisions), {d["bucket"] for d in decisions if _enters(d)}
    over = [b for b in sorted(entered) if totals[b] > lim.bucket[CODE[Bucket(b)]] + _ROUNDING]
    told = ", ".join(
        f"{b} {totals[b]:.2%} of {lim.bucket[CODE[Bucket(b)]]:.2%}"
        for b in map(str, BUCKETS)
        if totals[b] > 0.0
    )
    return Gate(not over, told or "nothing held or entered")


def _limits(lim: Limits, decisions: Sequence[Row], closing: Row) -> Gate:
    """No entry above its name's cap or beyond the leverage, no loss at the day's limit."""
    over = [
        f"{d['symbol']} {abs(d['size_post_risk']):.3%}"
        for d in decisions
        if _enters(d) and abs(d["size_post_risk"]) > lim.name[CODE[Bucket(d["bucket"])]] + _ROUNDING
    ]
    gross = sum(_totals(decisions).values())
    if any(_enters(d) for d in decisions) and gross > lim.max_leverage + _ROUNDING:
        over.append(f"gross {gross:.2%}")
    if closing["snapshot"]["risk"]["killed"] or closing["day_pnl"] <= -lim.loss_limit:
        over.append(f"day {closing['day_pnl']:+.2%}")
    return Gate(not over, "; ".join(over) or f"gross {gross:.2%}, day {closing['day_pnl']:+.2%}")


def _stops(rows: Sequence[Row], closing: Row, before: Row | None) -> Gate:
    """Every position covered by a live stop; none held beyond a stop that rested all session."""
    held = closing["snapshot"]["book"]["positions"]
    resting = {
        order["symbol"]
        for order in closing["snapshot"]["working"]
        if order["leg"] == Leg.STOP and OrderState(order["state"]).open
        if order["quantity"] - order["filled"]
        >= abs(held.get(order["symbol"], {"quantity": 0})["quantity"])
    }
    wrong = [f"{symbol} without its stop" for symbol in sorted(held.keys() - resting)]
    earlier = before["snapshot"]["book"]["positions"] if before else {}
    for symbol in sorted(held.keys() & earlier.keys()):
        old = earlier[symbol]
        side = 1 if old["quantity"] > 0 else -1
        same = old["decision_id"] == held[symbol]["decision_id"]
        if same and (closing["prices"][symbol] - old["stop"]) * side <= 0:
            wrong.append(f"{symbol} closed beyond its stop and is held")
    wrong += [
        row["text"]
        for row in rows
        if row["kind"] == "alert" and any(b in row["text"] for b in _BARE)
    ]
    done = sum(row["kind"] == "fill" and row["leg"] == Leg.STOP for row in rows)
    return Gate(not wrong, "; ".join(wrong) or f"{len(held)} positions covered, {done} stop fills")


def _correlation(closing: Row, prices: Sequence[Mapping[str, float]]) -> Gate:
    """Average pairwise 20-session correlation of what is held, at the prices decided on."""
    names = sorted(closing["snapshot"]["book"]["positions"])
    if len(names) < 2:
        return Gate(True, f"{len(names)} names held: no pair")
    table = np.array([[row.get(name, math.nan) for name in names] for row in prices], np.float64)
    if len(table) <= WINDOW or not np.isfinite(table).all():
        return Gate(None, f"fewer than {WINDOW + 1} sessions of prices of what is held")
    value = average_correlation(table[1:] / table[:-1] - 1.0)
    if not math.isfinite(value):
        return Gate(None, "prices without movement")
    return Gate(value <= CORRELATION, f"{value:.2f} over {len(names)} names")
