"""Whether the hard limits and the kill switch held through a session that was stepped."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridnb.app.panel import Day
from hybridnb.app.setup import Setup
from hybridnb.app.state import State
from hybridnb.app.stretch import Stepped
from hybridnb.decide import DECISION, INPUT
from hybridnb.domain import Leg
from hybridnb.execution.brackets import unprotected
from hybridnb.execution.paper import CLOSE, OPEN
from hybridnb.fills import fillable

Rows = Sequence[Mapping[str, Any]]
_ROUNDING = 1e-9  # of shares of equity


def broken_limits(after: State, session: Stepped) -> tuple[str, ...]:
    """Hard limits that a session broke, in words; empty where all held.

    The session was stepped with `compact`: its decisions are read as arrays.

    Caps that an entry went beyond; a size that grew after the clamps; a position that the session
    left without a live stop of its full size, or an exit of its full size, at work.
    """
    found = list(session.over)
    for symbol in _grown(session.rows):
        found.append(f"{session.session}: the size of {symbol} grew after the clamps")
    leaving = _leaving(after)
    for symbol in unprotected(after.book.positions, after.working):
        if leaving.get(symbol, 0) != abs(after.book.positions[symbol].quantity):
            found.append(f"{session.session}: {symbol} has no stop of its full size")
    return tuple(found)


def _grown(rows: Rows) -> list[str]:
    """Names whose target is above what was wanted before the clamps and what is held."""
    found = []
    for row in (row for row in rows if row["kind"] == "universe"):
        given = np.frombuffer(b64decode(row["inputs"]), INPUT)
        decided = np.frombuffer(b64decode(row["figures"]), DECISION)
        most = np.maximum(np.abs(decided["size_pre"]), np.abs(given["held"])) + _ROUNDING
        names = row["symbols"].split("\n")
        found += [names[i] for i in np.flatnonzero(~(np.abs(decided["size_post_risk"]) <= most))]
    return found


def _leaving(state: State) -> dict[str, int]:
    """Units of each symbol that a market exit at work would close."""
    found: dict[str, int] = {}
    for order in state.working:
        if order.leg in (Leg.EXIT, Leg.FLATTEN):
            found[order.symbol] = found.get(order.symbol, 0) + order.left
    return found


@dataclass(frozen=True, slots=True)
class Owed:
    """Positions that a tripped switch still has to close, by decision: symbol and units."""

    positions: Mapping[str, tuple[str, int]]


NOTHING_OWED = Owed({})


def kill_faults(
    before: State, after: State, session: Stepped, day: Day, setup: Setup, owed: Owed
) -> tuple[tuple[str, ...], Owed]:
    """Where the kill switch didn't act as it has to in a session, and what it owes to the next.

    It trips at the first mark at or below the limit and at none above; it stays latched to the
    session's end; after it no entry fills; and what was held then is gone after the next bar in
    which the venue lets it go. Where the bar is missing, without volume, too thin, or exits
    don't fill, an exit of the full size must be at work.

    Parameters
    ----------
    owed : Owed
        As the session before left it.
    """
    tripped, faults = _marks(session, setup.policy.risk.kill_day_pnl)
    if tripped:
        since = session.rows.index(tripped)
        if any(r["kind"] == "fill" and r["leg"] == Leg.ENTRY for r in session.rows[since:]):
            faults.append(f"{session.session}: an entry filled with the switch latched")
    due = dict(owed.positions)
    if tripped and tripped["at"] == OPEN:
        due |= _held(before)
    late, left = _late(after, day, setup, due)
    faults += [f"{session.session}: {text}" for text in late]
    if tripped and tripped["at"] == CLOSE:
        left = {**left, **_held(after)}
    return tuple(faults), Owed(left)


def _marks(session: Stepped, limit: float) -> tuple[Mapping[str, Any] | None, list[str]]:
    """The mark at which the switch tripped; marks that disagree with the limit, in words."""
    tripped: Mapping[str, Any] | None = None
    faults = []
    for row in session.rows:
        if row["kind"] != "mark":
            continue
        pnl = row["day_pnl"]
        must = tripped is not None or (pnl is not None and pnl <= limit)
        if bool(row["killed"]) is not must:
            told = "tripped" if row["killed"] else "didn't trip"
            faults.append(f"{session.session}: it {told} at a day P&L of {pnl}")
        if row["killed"] and tripped is None:
            tripped = row
    return tripped, faults


def _held(state: State) -> dict[str, tuple[str, int]]:
    return {p.decision_id: (s, abs(p.quantity)) for s, p in state.book.positions.items()}


def _late(
    after: State, day: Day, setup: Setup, due: Mapping[str, tuple[str, int]]
) -> tuple[list[str], dict[str, tuple[str, int]]]:
    """Positions that should be gone and aren't, in words; those that the venue didn't let go."""
    late, left = [], {}
    leaving, share = _leaving(after), setup.policy.costs.participation
    for decision, (symbol, units) in due.items():
        position = after.book.positions.get(symbol)
        if position is None or position.decision_id != decision:
            continue
        bar, rest = day.bars.get(symbol), abs(position.quantity)
        could = bar is not None and fillable(bar.volume, share, 0) >= units
        if could and not setup.faults.no_exits:
            late.append(f"{rest} of {units} units of {symbol} are still held")
        elif leaving.get(symbol, 0) != rest:
            late.append(f"no exit of {symbol}'s {rest} units is at work")
        left[decision] = (symbol, rest)
    return late, left
