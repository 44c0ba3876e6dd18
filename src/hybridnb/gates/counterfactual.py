"""What a closed trade could have been: its alternatives, priced by the rules that trade.

The trade itself is replayed first. Where that doesn't give its P&L to the cent, nothing else is
shown: rules that can't tell what happened can't tell what would have happened.

The decision score is the actual P&L's place between the worst (0) and the best (1) of all that was
open at the time, the trade itself included. What wasn't open bears on neither: twice the size
beyond the room that the caps left, the other side where shorts aren't allowed, and whatever can't
be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

import numpy as np

from hybridnb.blender import blend
from hybridnb.domain import SCALE
from hybridnb.gates.grading import Grade, grade_of, place_between
from hybridnb.gates.trip import Entry, Path, Trip, Venue, travel
from hybridnb.limits import Limits
from hybridnb.values import replace

CENT = SCALE // 100
LEAST = 2  # known alternatives besides not trading, below which nothing is graded


class Alternative(StrEnum):
    """What could have been done instead."""

    AS_TRADED = "as traded"
    NO_TRADE = "no trade"
    OPPOSITE = "opposite"
    HALF = "half"
    DOUBLE = "double"
    DELAYED_1 = "delayed by 1 bar"
    DELAYED_5 = "delayed by 5 bars"
    STOP_NEAR = "stop × 0.5"
    STOP_FAR = "stop × 1.5"
    TARGET_NEAR = "target × 0.5"
    TARGET_FAR = "target × 1.5"
    OTHER = "other engine"


DELAYS = {Alternative.DELAYED_1: 1, Alternative.DELAYED_5: 5}
SIZES = {Alternative.HALF: (1, 2), Alternative.DOUBLE: (2, 1)}
LEVELS = {
    Alternative.STOP_NEAR: (0.5, 1.0),
    Alternative.STOP_FAR: (1.5, 1.0),
    Alternative.TARGET_NEAR: (1.0, 0.5),
    Alternative.TARGET_FAR: (1.0, 1.5),
}


@dataclass(frozen=True, slots=True)
class Closed:
    """A trade that was made and closed.

    Attributes
    ----------
    sign : int
        1 long, -1 short.
    entries : tuple of Entry
        Orders that entered, first to last, in units ordered.
    pnl : int
        Realised, net of all costs, in 1/10,000.
    most : int or None
        Units that caps and multipliers left room for when it was decided; None: not known,
        nothing is excluded for it.
    shorts : bool
        The policy lets a SELL open a short.
    other : int or None
        What the other engine would have done: 1 buys, -1 sells, 0 nothing; None: not known.
    """

    sign: int
    entries: tuple[Entry, ...]
    pnl: int
    most: int | None = None
    shorts: bool = True
    other: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One alternative; `open`: it could have been chosen at the time."""

    name: Alternative
    trip: Trip
    open: bool = True

    @property
    def pnl(self) -> float:
        """Account units; NaN where unknown."""
        return float("nan") if self.trip.pnl is None else self.trip.pnl / SCALE

    @property
    def counts(self) -> bool:
        """Whether it bears on the decision's score."""
        return self.open and self.trip.pnl is not None


@dataclass(frozen=True, slots=True)
class Judged:
    """A trade against its alternatives; money in account units.

    Attributes
    ----------
    outcomes : tuple of Outcome
        The replayed trade first; alone where it wasn't reproduced.
    reproduced : bool
        The replayed trade gave the real P&L to the cent.
    why : str
        Why there are no alternatives, or no score; empty otherwise.
    best : Alternative or None
        Of what was open, not the trade itself; the first of equals.
    opportunity_cost : float
        P&L of the best alternative less the actual one; negative where nothing was better.
    regret : float
        The same, at least 0.
    score : float
        In [0, 1]; NaN where there is none.
    """

    actual: float
    outcomes: tuple[Outcome, ...]
    reproduced: bool
    why: str = ""
    best: Alternative | None = None
    opportunity_cost: float = float("nan")
    regret: float = float("nan")
    score: float = float("nan")
    grade: Grade = Grade.UNKNOWN


def alternatives(path: Path, venue: Venue, closed: Closed) -> Judged:
    """Replay a closed trade, then everything that could have been done instead.

    Parameters
    ----------
    path : Path
        The symbol's bars from the first entry's session on, or from earlier.
    venue : Venue
        Under the policy that the trade was made with.
    closed : Closed

    Returns
    -------
    Judged
        An alternative that isn't closed at the last bar is valued at the last close, and its
        note says so. One that can't be told has no P&L: NaN, never 0.

    Raises
    ------
    ValueError
        For a trade without entries, or of no side.
    """
    if closed.sign not in (1, -1) or not closed.entries:
        raise ValueError("a closed trade has a side and at least one entry")
    actual = closed.pnl / SCALE
    again = travel(path, venue, closed.entries, closed.sign)
    first = Outcome(Alternative.AS_TRADED, again)
    why = _differs(again, closed.pnl)
    if why:
        return Judged(actual, (first,), False, why)
    rest = [_instead(name, path, venue, closed) for name in list(Alternative)[1:]]
    return _judged(actual, (first, *rest))


def _differs(again: Trip, pnl: int) -> str:
    """What keeps the replayed trade from being the real one; empty where nothing does."""
    if again.pnl is None:
        return f"the trade can't be replayed: {again.note}"
    if not again.closed:
        return "not reproduced: the replayed trade is still open at the last bar"
    if abs(again.pnl - pnl) < CENT:
        return ""
    told = f"{again.pnl / SCALE:,.2f} instead of {pnl / SCALE:,.2f}"
    return f"not reproduced: the bars and rules at hand give {told}"


def _instead(name: Alternative, path: Path, venue: Venue, closed: Closed) -> Outcome:
    entries, sign = closed.entries, closed.sign
    if name is Alternative.NO_TRADE:
        return Outcome(name, Trip(0))
    if name is Alternative.OPPOSITE:
        return Outcome(name, travel(path, venue, entries, -sign), _may(closed, -sign))
    if name is Alternative.OTHER:
        return _other(path, venue, closed)
    if name in DELAYS:
        return Outcome(name, _delayed(path, venue, closed, DELAYS[name]))
    if name in SIZES:
        sized = _sized(entries, SIZES[name], venue.lot)
        beyond = closed.most is not None and sum(e.quantity for e in sized) > closed.most
        return Outcome(name, travel(path, venue, sized, sign), not beyond or len(sized) == 0)
    stop, target = LEVELS[name]
    rule = venue.rule
    scaled = rule._replace(initial=rule.initial * stop, target=rule.target * target)
    return Outcome(name, travel(path, venue._replace(rule=scaled), entries, sign))


def _may(closed: Closed, sign: int) -> bool:
    return sign > 0 or closed.shorts or sign == closed.sign


def _other(path: Path, venue: Venue, closed: Closed) -> Outcome:
    """What the other engine would have done, in the same size."""
    name, side = Alternative.OTHER, closed.other
    if side is None:
        return Outcome(name, Trip(None, note="the other engine's view isn't known"))
    if side == 0:
        return Outcome(name, Trip(0, note="it would not have traded"))
    if not _may(closed, side):
        return Outcome(name, Trip(0, note="it would have sold, and shorts aren't allowed"))
    trip = travel(path, venue, closed.entries, side)
    same = "the same side" if side == closed.sign else "the other side"
    return Outcome(name, replace(trip, note="; ".join(filter(None, (same, trip.note)))))


def _sized(entries: Sequence[Entry], share: tuple[int, int], lot: int) -> tuple[Entry, ...]:
    """Entries of another size, whole lots; those that come to nothing are left out."""
    times, parts = share
    sized = [e._replace(quantity=e.quantity * times // parts // lot * lot) for e in entries]
    return tuple(e for e in sized if e.quantity > 0)


def _delayed(path: Path, venue: Venue, closed: Closed, bars: int) -> Trip:
    """The same orders some sessions later; none once what was held would have been left."""
    first = closed.entries[0].row
    if path.leave[first + 1 : first + bars + 1].any():
        return Trip(0, note="left at the market before the entry")
    later = tuple(e._replace(row=e.row + bars) for e in closed.entries)
    inside = tuple(takewhile(lambda e: e.row < len(path.days), later))
    return travel(path, venue, inside or later[:1], closed.sign)


def _judged(actual: float, outcomes: tuple[Outcome, ...]) -> Judged:
    """Score, grade and opportunity cost of what was open."""
    others = [o for o in outcomes[1:] if o.counts]
    told = [o for o in others if o.name is not Alternative.NO_TRADE]
    if len(told) < LEAST:
        return Judged(actual, outcomes, True, "too few alternatives can be told")
    best = max(others, key=lambda o: o.pnl)
    cost = best.pnl - actual
    score = place_between(actual, [o.pnl for o in others])
    why = "" if score == score else "every alternative came to the same"
    return Judged(
        actual, outcomes, True, why, best.name, cost, max(0.0, cost), score, grade_of(score)
    )


def other_side(lim: Limits, inputs: Mapping[str, float], *, probability: float) -> int | None:
    """What a decision says with another engine's view in place of both predictors.

    Parameters
    ----------
    lim : Limits
    inputs : mapping
        The decision's: rl, volatility_z, sentiment, liquidity, correlation, correlation_floor;
        NaN is unknown.
    probability : float
        The other engine's, on the scale of `p_short` and `p_mid`: in [0, 1].

    Returns
    -------
    int or None
        1 buys, -1 sells, 0 holds; None where the probability is unknown.
    """
    if not np.isfinite(probability):
        return None
    names = ("rl", "volatility_z", "sentiment", "liquidity", "correlation", "correlation_floor")
    facts = {name: float(inputs[name]) for name in names}
    return int(blend(lim, p_short=probability, p_mid=probability, **facts).action)
