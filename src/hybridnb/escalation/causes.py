"""Where a session's profit or loss came from, to the last 1/10,000, without any model.

Every unit's move is valued from the price it was held at when the session began, or from the
reference price it was entered at, to the reference price it was left at, or to the close. What
fills differ from their references by is slippage. The amounts of all causes add up to the change
of equity exactly; what the rows don't explain (the SIP holding, mostly) is a cause of its own.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hybridnb.domain import Leg, OrderState, Side

Row = Mapping[str, Any]
Rows = Sequence[Row]


class Source(StrEnum):
    """What kind of cause an amount has."""

    EXIT = "exit"  # positions left in the session, by the leg that closed them
    HELD = "held"  # positions still open at the close
    COMMISSION = "commission"
    SLIPPAGE = "slippage"
    OTHER = "other"  # outside the trading book


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause; `amount` in 1/10,000, signed.

    Attributes
    ----------
    source : Source
    symbol : str
        Empty for costs and for what lies outside the book.
    leg : str
        The leg that closed, for exits; else empty.
    quantity : int
        Units that the amount is of.
    """

    source: Source
    amount: int
    symbol: str = ""
    leg: str = ""
    quantity: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """What else a session's rows tell: counts by name, most frequent first."""

    stops: int
    targets: int
    entries: int
    trades: int
    refusals: tuple[tuple[str, int], ...]
    bounds: tuple[tuple[str, int], ...]
    killed: bool
    alerts: tuple[str, ...]


def session_pnl(rows: Rows) -> int:
    """Change of equity over a session, in 1/10,000: closing equity less opening equity.

    Raises
    ------
    ValueError
        When the rows aren't those of one session from its opening to its close.
    """
    return int(_only(rows, "session_closed")["equity"]) - int(
        _only(rows, "session_opened")["equity"]
    )


def causes_of(
    rows: Rows, before: Row | None, *, multipliers: Mapping[str, int] | None = None
) -> tuple[Cause, ...]:
    """Every cause of a session's profit or loss, the largest amounts first.

    Parameters
    ----------
    rows : sequence of mapping
        The session's rows, `session_opened` to `session_closed`.
    before : mapping or None
        The `session_closed` row of the book's session before; None for its first.
    multipliers : mapping of str to int or None
        Of contracts opened and closed within the session; those held at either end are known
        from the snapshots. 1 where nothing is told.

    Returns
    -------
    tuple of Cause
        Ranked by absolute amount, ties by source, symbol and leg. The amounts sum to
        `session_pnl` exactly; causes of no amount are left out.

    Raises
    ------
    ValueError
        When the rows aren't whole, or an exit exceeds what was held.
    """
    closed = _only(rows, "session_closed")
    times = {**(multipliers or {}), **_multipliers(before), **_multipliers(closed)}
    fills = [row for row in rows if row["kind"] == "fill"]
    moved: Counter[tuple[str, str]] = Counter()
    units: Counter[tuple[str, str]] = Counter()
    for symbol in sorted({f["symbol"] for f in fills if f["leg"] != Leg.SWEEP} | _held(before)):
        own = [f for f in fills if f["symbol"] == symbol and f["leg"] != Leg.SWEEP]
        for leg, gain, quantity in _moves(symbol, own, before, closed):
            moved[symbol, leg] += gain * times.get(symbol, 1)
            units[symbol, leg] += quantity
    found = [
        Cause(Source.EXIT if leg else Source.HELD, amount, symbol, leg, units[symbol, leg])
        for (symbol, leg), amount in moved.items()
    ]
    slipped = sum(_slipped(f) * times.get(f["symbol"], 1) for f in fills)
    found.append(Cause(Source.COMMISSION, -sum(f["commission"] for f in fills)))
    found.append(Cause(Source.SLIPPAGE, -slipped))
    found.append(Cause(Source.OTHER, session_pnl(rows) - sum(c.amount for c in found)))
    ranked = sorted(found, key=lambda c: (-abs(c.amount), c.source, c.symbol, c.leg))
    return tuple(c for c in ranked if c.amount)


def tally(rows: Rows) -> Tally:
    """Counts of a session: stops and targets hit, entries, refusals, clamps, kill switch.

    Parameters
    ----------
    rows : sequence of mapping
        With a row for each decision: a universe recorded in one row is read into them before.
    """
    fills = [r for r in rows if r["kind"] == "fill"]
    wanted = [r for r in rows if r["kind"] == "decision" and r["action"] != "HOLD"]
    orders = [r for r in rows if r["kind"] == "order" and r["leg"] == Leg.ENTRY]
    refused = Counter(code for r in wanted for code in r["refusals"])
    refused += Counter(
        code for r in orders if r["state"] == OrderState.REJECTED for code in r["refusals"]
    )
    return Tally(
        stops=_orders(fills, Leg.STOP),
        targets=_orders(fills, Leg.TARGET),
        entries=_orders(fills, Leg.ENTRY),
        trades=sum(r["kind"] == "trade" for r in rows),
        refusals=_ranked(refused),
        bounds=_ranked(Counter(r["bound"] for r in wanted if not r["refusals"])),
        killed=any(r["kind"] == "mark" and r["killed"] for r in rows),
        alerts=tuple(r["text"] for r in rows if r["kind"] == "alert"),
    )


def _orders(fills: Rows, leg: Leg) -> int:
    """Orders of a leg that filled, however many fills they took."""
    return len({f["client_id"] for f in fills if f["leg"] == leg})


def _ranked(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    idle = ("none", "refused")
    found = sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))
    return tuple((name, n) for name, n in found if name not in idle)


def _only(rows: Rows, kind: str) -> Row:
    found = [row for row in rows if row["kind"] == kind]
    if len(found) != 1:
        raise ValueError(f"{len(found)} rows of kind {kind}: these aren't one session's")
    return found[0]


def _positions(closed: Row | None) -> Mapping[str, Row]:
    held: Mapping[str, Row] = closed["snapshot"]["book"]["positions"] if closed else {}
    return held


def _held(closed: Row | None) -> set[str]:
    return set(_positions(closed))


def _multipliers(closed: Row | None) -> dict[str, int]:
    return {s: int(p["multiplier"]) for s, p in _positions(closed).items()}


def _side(fill: Row) -> int:
    return 1 if fill["side"] == Side.BUY else -1


def _slipped(fill: Row) -> int:
    """What a fill's price cost against its reference, a unit of the underlying; may be a gain."""
    return int(_side(fill) * (fill["price"] - fill["reference"]) * fill["quantity"])


def _moves(
    symbol: str, fills: Rows, before: Row | None, closed: Row
) -> Iterator[tuple[str, int, int]]:
    """(leg, gain at references before the multiplier, units): first in, first out; "" is held."""
    lots: deque[list[int]] = deque()  # signed units, the price they are valued from
    start = _positions(before).get(symbol)
    if before is not None and start is not None:
        lots.append([int(start["quantity"]), int(before["prices"][symbol])])
    for fill in fills:
        if fill["leg"] == Leg.ENTRY:
            lots.append([_side(fill) * fill["quantity"], int(fill["reference"])])
            continue
        left, sign = int(fill["quantity"]), -_side(fill)
        while left:
            if not lots or lots[0][0] * sign <= 0:
                raise ValueError(f"an exit of {symbol} exceeds what was held")
            taken = min(left, abs(lots[0][0]))
            yield fill["leg"], sign * taken * (fill["reference"] - lots[0][1]), taken
            lots[0][0] -= sign * taken
            left -= taken
            if not lots[0][0]:
                lots.popleft()
    for units, price in lots:
        yield "", units * (int(closed["prices"][symbol]) - price), abs(units)
