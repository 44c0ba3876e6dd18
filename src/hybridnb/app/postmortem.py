"""The post-mortem of a session: figures from the ledger, then the sentences they support.

The sentences are a function of the figures, so that every word can be checked against a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hybridnb.app.views import Rows, of_kind
from hybridnb.domain import SCALE, Leg, OrderState, Side


@dataclass(frozen=True, slots=True)
class Facts:
    """What a session did; money in account units, shares as fractions."""

    session: str
    equity: float
    day_pnl: float
    drawdown: float
    by_symbol: Mapping[str, float]
    commission: float
    slippage: float
    traded: float
    actions: Mapping[str, int]
    entries: int
    exits: Mapping[str, int]
    refusals: Mapping[str, int]
    bounds: Mapping[str, int]
    alerts: tuple[str, ...]
    held: int


def facts_of(rows: Rows, before: Mapping[str, Any] | None) -> Facts:
    """Figures of one session.

    Parameters
    ----------
    rows : sequence of mapping
        The session's rows.
    before : mapping or None
        The `session_closed` row of the book's session before; None for its first.
    """
    closed, found = of_kind(rows, "session_closed")[0], of_kind(rows, "fill")
    decided = of_kind(rows, "decision")
    sent = {r["client_id"] for r in of_kind(rows, "order") if r["state"] != OrderState.REJECTED}
    entry = {
        r["client_id"]
        for r in of_kind(rows, "order")
        if r["leg"] == Leg.ENTRY and r["client_id"] in sent
    }
    wanted = [r for r in decided if r["action"] != "HOLD"]
    return Facts(
        session=closed["session"],
        equity=closed["equity"] / SCALE,
        day_pnl=closed["day_pnl"],
        drawdown=closed["drawdown"],
        by_symbol=_by_symbol(found, closed, before),
        commission=sum(r["commission"] for r in found) / SCALE,
        slippage=sum(r["slippage"] for r in found) / SCALE,
        traded=sum(r["price"] * r["quantity"] for r in found) / SCALE,
        actions=Counter(r["action"] for r in decided),
        entries=len(entry),
        exits=Counter(r["leg"] for r in found if r["leg"] not in (Leg.ENTRY, Leg.SWEEP)),
        refusals=Counter(code for r in wanted for code in r["refusals"]),
        bounds=Counter(r["bound"] for r in wanted if not r["refusals"]),
        alerts=tuple(r["text"] for r in of_kind(rows, "alert")),
        held=len(closed["snapshot"]["book"]["positions"]),
    )


def _by_symbol(
    found: list[Mapping[str, Any]], closed: Mapping[str, Any], before: Mapping[str, Any] | None
) -> dict[str, float]:
    """P&L of the session by symbol: value after − value before + what fills brought in."""
    result: Counter[str] = Counter()
    for sign, row in ((1, closed), (-1, before)):
        if row is None:
            continue
        for symbol, held in row["snapshot"]["book"]["positions"].items():
            units = held["quantity"] * held["multiplier"]
            result[symbol] += sign * units * row["prices"][symbol]
    for fill in found:
        if fill["leg"] == Leg.SWEEP:
            continue
        side = 1 if fill["side"] == Side.SELL else -1
        multiplier = _multiplier(fill["symbol"], closed, before)
        result[fill["symbol"]] += side * fill["quantity"] * fill["price"] * multiplier
        result[fill["symbol"]] -= fill["commission"]
    return {s: v / SCALE for s, v in sorted(result.items(), key=lambda kv: (kv[1], kv[0]))}


def _multiplier(symbol: str, *rows: Mapping[str, Any] | None) -> int:
    for row in rows:
        held = row["snapshot"]["book"]["positions"].get(symbol) if row else None
        if held:
            return int(held["multiplier"])
    return 1


def narrative(facts: Facts) -> list[str]:
    """The post-mortem in sentences, one a line."""
    lines = [
        f"The book ended {facts.session} at {facts.equity:,.2f}, {facts.day_pnl:+.3%} on the day"
        f" and {facts.drawdown:.3%} below its peak, holding {_count(facts.held, 'position')}.",
        f"Of {_count(sum(facts.actions.values()), 'decision')},"
        f" {_tally(facts.actions)}; {_count(facts.entries, 'entry', 'entries')} went out.",
    ]
    if facts.refusals:
        lines.append(f"Entries were refused for {_tally(facts.refusals)}.")
    if facts.bounds:
        lines.append(f"Sizes were bound by {_tally(facts.bounds)}.")
    if facts.traded:
        cost = facts.commission + facts.slippage
        lines.append(
            f"{facts.traded:,.2f} changed hands at a cost of {cost:,.2f}"
            f" ({1e4 * cost / facts.traded:.1f} bps, {facts.slippage:,.2f} of it slippage)."
        )
    if facts.exits:
        lines.append(f"Positions were left by {_tally(facts.exits)}.")
    if facts.by_symbol:
        (worst, low), (best, high) = min_max(facts.by_symbol)
        lines.append(f"{best} contributed most ({high:+,.2f}), {worst} least ({low:+,.2f}).")
    lines += [f"Alert: {text}." for text in facts.alerts]
    return lines


def min_max(values: Mapping[str, float]) -> tuple[tuple[str, float], tuple[str, float]]:
    """The symbols with the least and the most, with their values."""
    ranked = sorted(values.items(), key=lambda kv: (kv[1], kv[0]))
    return ranked[0], ranked[-1]


def _tally(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))
    return ", ".join(f"{name} × {n}" for name, n in ranked)


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"
