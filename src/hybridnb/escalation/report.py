"""The deterministic post-mortem: facts with ids, causes ranked by money, sentences that cite them.

Written without any model, and held to the same check as a model's prose.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from hybridnb.domain import SCALE, Leg
from hybridnb.escalation.causes import (
    Cause,
    Row,
    Rows,
    Source,
    Tally,
    causes_of,
    session_pnl,
    tally,
)
from hybridnb.escalation.facts import (
    FactBuilder,
    FactTable,
    Sense,
    Unit,
    exact,
    money_places,
    rounded,
)

TOLD = 6  # causes with a sentence of their own; the rest share one
HEADINGS = ("What happened", "Root causes", "What worked", "What failed", "Recommendations")
_WAYS = {
    Leg.STOP: "at its stop",
    Leg.TARGET: "at its target",
    Leg.EXIT: "by a decided exit",
    Leg.FLATTEN: "by flattening",
}
LEAST = Decimal("0.010")  # percent; a smaller return of the day is told as money alone
DEAR = 4  # costs beyond a quarter of what prices brought or took call for a look


@dataclass(frozen=True, slots=True)
class RankedCause:
    """A cause with its place, its sentence, and the ids of the facts that show it."""

    cause: Cause
    text: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A session's post-mortem.

    Attributes
    ----------
    session : str
    pnl : int
        In 1/10,000; the sum of the causes' amounts.
    causes : tuple of RankedCause
        All of them, the largest amounts first.
    table : FactTable
    sections : mapping of str to tuple of str
        Sentences by heading, in the order of `HEADINGS`.
    """

    session: str
    pnl: int
    causes: tuple[RankedCause, ...]
    table: FactTable
    sections: Mapping[str, tuple[str, ...]]

    @property
    def text(self) -> str:
        """The sections as plain text, a heading and its sentences a paragraph."""
        parts = (f"{head}\n" + "\n".join(lines) for head, lines in self.sections.items())
        return "\n\n".join(parts)


def report(
    rows: Rows,
    before: Row | None,
    *,
    currency: str = "USD",
    multipliers: Mapping[str, int] | None = None,
) -> Report:
    """The post-mortem of one session.

    Parameters
    ----------
    rows, before, multipliers
        As for `causes_of`; decisions one a row, as for `tally`.
    currency : str
        ISO code of the account's currency.

    Raises
    ------
    ValueError
        When the rows aren't those of one whole session.
    """
    facts, seen = FactBuilder(currency=currency), tally(rows)
    happened = _happened(rows, seen, facts)
    found = causes_of(rows, before, multipliers=multipliers)
    ranked = tuple(_told(cause, facts) for cause in found)
    sections = {
        "What happened": happened,
        "Root causes": _root(ranked, facts),
        "What worked": _worked(ranked, seen, facts),
        "What failed": _failed(ranked, seen, facts),
        "Recommendations": _advice(found, seen, facts),
    }
    closed = next(r for r in rows if r["kind"] == "session_closed")
    return Report(closed["session"], session_pnl(rows), ranked, facts.table(), sections)


def _money(amount: int) -> str:
    return f"{rounded(abs(Decimal(amount)) / SCALE, money_places(amount)):,f}"


def _signed(amount: int) -> str:
    return ("+" if amount > 0 else "-") + _money(amount)


def _moved(amount: int) -> str:
    return "gained" if amount > 0 else "lost"


def _plural(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def _happened(rows: Rows, seen: Tally, facts: FactBuilder) -> tuple[str, ...]:
    closed = next(r for r in rows if r["kind"] == "session_closed")
    pnl = session_pnl(rows)
    day = facts.add("session", dt.date.fromisoformat(closed["session"]), Unit.DATE)
    made = facts.money("day P&L", pnl)
    worth = facts.money("equity", closed["equity"], sense=Sense.LEVEL)
    verb = f"{_moved(pnl)} {_money(pnl)}" if pnl else f"ended unchanged, at {_money(pnl)}"
    lines = [
        f"The book {verb} on {closed['session']} [{day}, {made}].",
        f"Equity was {_money(closed['equity'])} at the close [{worth}].",
    ]
    percent = rounded(exact(closed["day_pnl"] or 0) * 100, 3)
    if abs(percent) >= LEAST:
        rate = facts.add("day return", closed["day_pnl"], Unit.SHARE, sense=Sense.PROFIT, places=3)
        lines.append(f"The day's return was {percent:+f} % [{rate}].")
    entries = facts.add("entries filled", seen.entries, Unit.COUNT)
    trades = facts.add("trades closed", seen.trades, Unit.COUNT)
    lines.append(
        f"{_plural(seen.entries, 'entry', 'entries')} filled [{entries}]"
        f" and {_plural(seen.trades, 'trade')} closed [{trades}]."
    )
    return (*lines, *_alerts(seen, facts))


def _alerts(seen: Tally, facts: FactBuilder) -> list[str]:
    texts = [text.replace('"', "'") for text in seen.alerts]
    return [f'Alert: "{t}" [{facts.add("alert", t, Unit.TEXT)}].' for t in texts]


def _told(cause: Cause, facts: FactBuilder) -> RankedCause:
    amount = cause.amount
    if cause.source is Source.EXIT:
        sort = f"P&L by {cause.leg}"
        way = _WAYS[Leg(cause.leg)]
    else:
        sort, way = {
            Source.HELD: ("P&L still held", "on what is still held"),
            Source.COMMISSION: ("P&L by commission", "commission"),
            Source.SLIPPAGE: ("P&L by slippage", "slippage"),
            Source.OTHER: ("P&L outside the trading book", "what lies outside the trading book"),
        }[cause.source]
    first = facts.money(sort, amount, symbol=cause.symbol)
    if not cause.symbol:
        text = f"The book {_moved(amount)} {_money(amount)} by {way} [{first}]."
        return RankedCause(cause, text, (first,))
    name = "units closed by " + cause.leg if cause.leg else "units held"
    units = facts.add(name, cause.quantity, Unit.UNITS, symbol=cause.symbol)
    text = (
        f"{cause.symbol} {_moved(amount)} {_money(amount)} {way} [{first}]"
        f" on {_plural(cause.quantity, 'unit')} [{units}]."
    )
    return RankedCause(cause, text, (first, units))


def _root(ranked: tuple[RankedCause, ...], facts: FactBuilder) -> tuple[str, ...]:
    if not ranked:
        return ("No money moved.",)
    rest = sum(r.cause.amount for r in ranked[TOLD:])
    lines = [r.text for r in ranked[:TOLD]]
    if len(ranked) > TOLD:
        other = facts.money("P&L by all other causes", rest)
        lines.append(f"All other causes came to {_signed(rest) if rest else '0.00'} [{other}].")
    return tuple(lines)


def _worked(ranked: tuple[RankedCause, ...], seen: Tally, facts: FactBuilder) -> tuple[str, ...]:
    lines = [r.text for r in ranked if r.cause.amount > 0 and r.cause.symbol][:3]
    if seen.targets:
        hit = facts.add("targets hit", seen.targets, Unit.COUNT)
        lines.append(f"{_plural(seen.targets, 'target')} hit [{hit}].")
    return tuple(lines) or ("Nothing made money.",)


def _failed(ranked: tuple[RankedCause, ...], seen: Tally, facts: FactBuilder) -> tuple[str, ...]:
    lines = [r.text for r in ranked if r.cause.amount < 0][:3]
    if seen.stops:
        hit = facts.add("stops hit", seen.stops, Unit.COUNT)
        lines.append(f"{_plural(seen.stops, 'stop')} hit [{hit}].")
    if seen.killed:
        lines.append(f"The kill switch latched [{facts.add('kill switch', 'latched', Unit.TEXT)}].")
    for code, n in seen.refusals[:3]:
        count = facts.add(f"entries refused for {code}", n, Unit.COUNT)
        lines.append(f"{_plural(n, 'entry was', 'entries were')} refused for {code} [{count}].")
    for bound, n in seen.bounds[:3]:
        count = facts.add(f"sizes clamped by {bound}", n, Unit.COUNT)
        lines.append(f"{_plural(n, 'size was', 'sizes were')} clamped by {bound} [{count}].")
    return tuple(lines) or ("Nothing lost money.",)


def _advice(found: tuple[Cause, ...], seen: Tally, facts: FactBuilder) -> tuple[str, ...]:
    """What the figures call for, by fixed rules."""
    paid = -sum(c.amount for c in found if c.source in (Source.COMMISSION, Source.SLIPPAGE))
    gross = sum(c.amount for c in found if c.source in (Source.EXIT, Source.HELD))
    lines = []
    if seen.killed:
        lines.append("Find out what latched the kill switch before the next session.")
    if paid > 0 and paid * DEAR > abs(gross):
        cost = facts.money("trading costs", paid, sense=Sense.COST)
        lines.append(f"Look at trading costs of {_money(paid)}: they rival the moves [{cost}].")
    if seen.stops > seen.targets:
        stops = facts.add("stops hit", seen.stops, Unit.COUNT)
        lines.append(f"Look at the stops: {_plural(seen.stops, 'stop')} hit [{stops}].")
    if seen.refusals:
        code, n = seen.refusals[0]
        count = facts.add(f"entries refused for {code}", n, Unit.COUNT)
        lines.append(f"Look at {code}, the most frequent refusal [{count}].")
    worst = min(found, key=lambda c: c.amount, default=None)
    if worst is not None and worst.symbol and worst.amount < 0:
        lines.append(f"Look at {worst.symbol} first: it lost most.")
    return tuple(lines) or ("Nothing in the figures calls for a change.",)
