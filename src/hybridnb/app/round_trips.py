"""The closed trades of a book, from its first entry to flat, with the bars they were made in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.again import Recorded
from hybridnb.app.panel import Panel
from hybridnb.app.records import ACTION_NAMES
from hybridnb.costs import rates
from hybridnb.domain import Leg, Side
from hybridnb.execution.paper import OPEN
from hybridnb.gates.trip import Path, Venue
from hybridnb.limits import CODE
from hybridnb.policy import Policy
from hybridnb.stops import stop_rule

Row = Mapping[str, Any]
_SAID = {name: sign for sign, name in ACTION_NAMES.items()}


@dataclass(slots=True)
class RoundTrip:
    """A position from its first entry to flat.

    Attributes
    ----------
    decision_id : str
        Of the decision that opened it.
    sign : int
        1 long, -1 short.
    entries : list of (str, int)
        Session and units ordered of each order that entered, in order; those that filled.
    units : int
        Entered in all.
    pnl : int
        Realised by all exits, net, in 1/10,000.
    left, leg : str
        Session and leg of the last exit.
    broker : str
        Through which its entry went; empty for the paper venue of a day.
    """

    decision_id: str
    symbol: str
    sign: int
    broker: str
    entries: list[tuple[str, int]] = field(default_factory=list)
    units: int = 0
    held: int = 0
    pnl: int = 0
    left: str = ""
    leg: str = ""

    @property
    def entered(self) -> str:
        """The session of the first entry."""
        return self.entries[0][0]


def round_trips(sessions: Sequence[Recorded]) -> list[RoundTrip]:
    """Closed trades in the order in which they were closed; what was adopted has no beginning."""
    walk = _Walk()
    for one in sessions:
        for row in one.rows:
            walk.take(one, row)
    return walk.closed


class _Walk:
    """The positions that the rows have opened so far."""

    def __init__(self) -> None:
        self.closed: list[RoundTrip] = []
        self._held: dict[str, RoundTrip] = {}
        self._ordered: dict[str, Row] = {}

    def take(self, one: Recorded, row: Row) -> None:
        match row["kind"]:
            case "order":
                self._ordered[row["client_id"]] = row
            case "fill" if row["leg"] == Leg.ENTRY:
                self._entered(one, row)
            case "fill" if row["leg"] != Leg.SWEEP and row["symbol"] in self._held:
                trip = self._held[row["symbol"]]
                trip.held -= row["quantity"]
                trip.left, trip.leg = one.session, row["leg"]
            case "trade" if row["symbol"] in self._held:
                trip = self._held[row["symbol"]]
                trip.pnl += row["pnl"]
                if trip.held <= 0:
                    self.closed.append(self._held.pop(row["symbol"]))
            case "adopted":  # a broker's account was taken over: what was held is no trade of ours
                self._held.clear()

    def _entered(self, one: Recorded, row: Row) -> None:
        symbol, order = row["symbol"], self._ordered[row["client_id"]]
        sign = Side(row["side"]).sign
        made = RoundTrip(order["decision_id"], symbol, sign, one.broker)
        trip = self._held.setdefault(symbol, made)
        trip.units += row["quantity"]
        trip.held += row["quantity"]
        entry = (one.session, int(order["quantity"]))
        if entry not in trip.entries:
            trip.entries.append(entry)


def leaving(sessions: Sequence[Recorded], symbol: str, sign: int) -> set[str]:
    """Sessions at whose opening a position of this symbol and side was, or would be, left.

    A decision for the other side, an exit or a flattening that filled, and the kill switch, which
    flattens everything: at once where it trips at the open, at the next open where at the close.
    """
    found: set[str] = set()
    killed_late = False
    for one in sessions:
        said = one.decisions.get(symbol)
        if killed_late or (said is not None and _SAID[said["action"]] * sign < 0):
            found.add(one.session)
        if any(_left(row, symbol) for row in one.rows) or _killed(one, OPEN):
            found.add(one.session)
        killed_late = _killed_at_close(one)
    return found


def _left(row: Row, symbol: str) -> bool:
    market = row["kind"] == "fill" and row["leg"] in (Leg.EXIT, Leg.FLATTEN)
    return bool(market and row["symbol"] == symbol)


def _killed(one: Recorded, at: str) -> bool:
    return any(row["killed"] for row in one.of_kind("mark") if row["at"] == at)


def _killed_at_close(one: Recorded) -> bool:
    marks = one.of_kind("mark")
    return bool(marks and marks[-1]["killed"] and not _killed(one, OPEN))


def path_of(found: Panel, trip: RoundTrip, leave: Iterable[str]) -> Path:
    """The bars of a trade's symbol from its first entry to the end of the history."""
    first, column = found.position(trip.entered), found.place[trip.symbol]
    here, seen = slice(first, None), slice(first - 1, -1)
    opens, high, low, close, volume = found.prices[:, here, column]
    facts = {name: found.columns[name][seen, column] for name in _FACTS}
    known: NDArray[np.bool_] = facts["close"] > 0.0
    units = np.divide(facts["adv"], facts["close"], out=np.zeros(len(known)), where=known)
    days = found.sessions[here]
    return Path(
        symbol=trip.symbol,
        days=np.array([day.toordinal() for day in days.date], np.int64),
        open=opens,
        high=high,
        low=low,
        close=np.where(found.present[here, column], close, 0),
        volume=volume,
        atr=facts["atr"],
        adv_units=np.nan_to_num(units),
        daily_volatility=np.nan_to_num(facts["daily_volatility"]),
        leave=np.isin(days.strftime("%Y-%m-%d").to_numpy(str), sorted(leave)),
    )


_FACTS = ("close", "atr", "adv", "daily_volatility")


def venue_of(found: Panel, symbol: str, policy: Policy) -> Venue:
    """What a symbol trades by under a policy."""
    made = found.instruments[symbol]
    return Venue(
        rates=rates(policy.costs),
        rule=stop_rule(policy.stops),
        bucket=CODE[made.bucket],
        tick=made.tick,
        lot=made.lot,
        multiplier=made.multiplier,
    )


def rows_of(found: Panel, trip: RoundTrip) -> Iterator[tuple[int, int]]:
    """Entries of a trade as (rows after its first session, units ordered)."""
    first = found.position(trip.entered)
    for session, units in trip.entries:
        yield found.position(session) - first, units
