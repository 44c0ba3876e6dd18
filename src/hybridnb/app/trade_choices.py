"""Each closed trade of a book against what could have been done instead, as tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from hybridnb.app.again import Recorded
from hybridnb.app.context import Context
from hybridnb.app.panel import Panel
from hybridnb.app.round_trips import RoundTrip, leaving, path_of, round_trips, rows_of, venue_of
from hybridnb.app.training import Model
from hybridnb.app.views import MULTIPLIERS
from hybridnb.domain import SCALE, Mode
from hybridnb.execution.oco import OcoRule
from hybridnb.gates.counterfactual import (
    Alternative,
    Closed,
    Judged,
    Outcome,
    alternatives,
    other_side,
)
from hybridnb.gates.grading import Grade
from hybridnb.gates.trip import Entry, Trip
from hybridnb.learning.conviction import conviction
from hybridnb.limits import CODE, limits
from hybridnb.market.features import FEATURES
from hybridnb.sizing import whole_lots

Views = Callable[[str, str], float]  # of a symbol, known at a session: a probability, or NaN
_BLENDED = ("rl", "volatility_z", "sentiment", "liquidity", "correlation", "correlation_floor")
TRADES = (
    *("decision_id", "symbol", "side", "quantity", "entered", "left", "leg", "pnl", "reproduced"),
    *("best", "opportunity_cost", "regret", "rank", "score", "grade", "why"),
)
ALTERNATIVES = (
    *("decision_id", "symbol", "entered", "alternative", "pnl", "difference", "open", "closed"),
    *("until", "leg", "note"),
)


@dataclass(frozen=True)
class Choice:
    """A closed trade with its judgement, and the panel's sessions that its rows count in."""

    trip: RoundTrip
    judged: Judged
    sessions: pd.DatetimeIndex

    def row(self) -> dict[str, Any]:
        """The trade in one line; money in account units."""
        trip, judged = self.trip, self.judged
        return {
            "decision_id": trip.decision_id,
            "symbol": trip.symbol,
            "side": "long" if trip.sign > 0 else "short",
            "quantity": trip.units,
            "entered": trip.entered,
            "left": trip.left,
            "leg": trip.leg,
            "pnl": judged.actual,
            "reproduced": judged.reproduced,
            "best": str(judged.best or ""),
            "opportunity_cost": judged.opportunity_cost,
            "regret": judged.regret,
            "score": judged.score,
            "grade": str(judged.grade),
            "why": judged.why,
        }

    def outcomes(self) -> list[dict[str, Any]]:
        """Every alternative in one line; none where the trade itself wasn't reproduced."""
        shown = self.judged.outcomes if self.judged.reproduced else ()
        return [self._outcome(each) for each in shown]

    def _outcome(self, each: Outcome) -> dict[str, Any]:
        first = int(self.sessions.get_indexer_for(pd.DatetimeIndex([self.trip.entered]))[0])
        row = each.trip.row
        return {
            "decision_id": self.trip.decision_id,
            "symbol": self.trip.symbol,
            "entered": self.trip.entered,
            "alternative": str(each.name),
            "pnl": each.pnl,
            "difference": each.pnl - self.judged.actual,
            "open": each.open,
            "closed": each.trip.closed and each.trip.pnl is not None,
            "until": f"{self.sessions[first + row]:%Y-%m-%d}" if row >= 0 else "",
            "leg": each.trip.leg,
            "note": each.trip.note,
        }


def choices(
    sessions: Sequence[Recorded], found: Panel, *, only: str = "", views: Views | None = None
) -> list[Choice]:
    """Every closed trade of a book, judged.

    Parameters
    ----------
    sessions : sequence of Recorded
        The book's, from its first.
    found : Panel
        Its history, as far as alternatives may be followed.
    only : str
        The session in which a trade was closed; empty: any.
    views : callable, optional
        The other engine's: probability of a symbol as of a session; NaN where it has none.
    """
    known = {one.session: one for one in sessions}
    kept = [trip for trip in round_trips(sessions) if only in ("", trip.left)]
    return [Choice(t, _judged(t, known, found, views), found.sessions) for t in kept]


def _judged(
    trip: RoundTrip, known: Mapping[str, Recorded], found: Panel, views: Views | None
) -> Judged:
    opened = known[trip.entered]
    wrong = _unfit(trip, opened, found)
    if wrong:
        first = Outcome(Alternative.AS_TRADED, Trip(None, note=wrong))
        return Judged(trip.pnl / SCALE, (first,), False, wrong)
    leave = leaving(list(known.values()), trip.symbol, trip.sign)
    return alternatives(
        path_of(found, trip, leave),
        venue_of(found, trip.symbol, opened.policy),
        Closed(
            sign=trip.sign,
            entries=tuple(Entry(row, units) for row, units in rows_of(found, trip)),
            pnl=trip.pnl,
            most=_room(opened, trip.symbol, found),
            shorts=bool(_limits(opened).allow_short),
            other=_other(opened, trip.symbol, found, views),
        ),
    )


def _unfit(trip: RoundTrip, opened: Recorded, found: Panel) -> str:
    """Why a trade can't be replayed at all; empty where it may be tried."""
    if trip.symbol not in found.place:
        return "the history at hand has no bars of it"
    if any(found.position(session) < 1 for session, _ in trip.entries):
        return "the history at hand doesn't reach back to its entry"
    rule = OcoRule(opened.policy.stops.oco)
    if rule is not OcoRule.FIRST_TRIGGERED_WINS:
        return f"its legs worked under {rule}: only FIRST_TRIGGERED_WINS is replayed"
    return ""


def _limits(one: Recorded) -> Any:
    return limits(one.policy, Mode(one.opened["mode"]))


def _room(one: Recorded, symbol: str, found: Panel) -> int | None:
    """Units that caps and multipliers left for a name when it was decided; None: not recorded."""
    row, lim = one.decisions.get(symbol), _limits(one)
    caps = [row["headroom"], row["quarter_kelly"]] if row else [None]
    if row is None or None in caps or row["inputs"]["price"] is None:
        return None
    made = found.instruments[symbol]
    return whole_lots(
        min(lim.name[CODE[made.bucket]], *caps) * math.prod(row[name] for name in MULTIPLIERS),
        equity=int(one.opened["equity"]),
        price=round(row["inputs"]["price"] * SCALE),
        delta=made.delta,
        multiplier=made.multiplier,
        lot=made.lot,
    )


def _other(one: Recorded, symbol: str, found: Panel, views: Views | None) -> int | None:
    row = one.decisions.get(symbol)
    if views is None or row is None:
        return None
    seen = f"{found.sessions[found.position(one.session) - 1]:%Y-%m-%d}"
    told = {n: math.nan if row["inputs"][n] is None else row["inputs"][n] for n in _BLENDED}
    return other_side(_limits(one), told, probability=views(symbol, seen))


def baseline_views(context: Context, model: Model) -> Views:
    """The baseline's conviction of every name and session: gradient boosting, out of fold.

    On the scale of the predictors': its rank among its own earlier outputs.
    """

    @cache
    def table() -> dict[tuple[str, str], float]:
        features = context.features[["symbol", "session", *FEATURES]]
        ranks = conviction(features[["symbol", "session"]], model.raw("baseline", features))
        days = features["session"].dt.strftime("%Y-%m-%d")
        return dict(zip(zip(features["symbol"], days, strict=True), ranks.tolist(), strict=True))

    return lambda symbol, session: table().get((symbol, session), math.nan)


def trades_table(made: Sequence[Choice]) -> pd.DataFrame:
    """One row a closed trade, the most regretted first; those without a score come last."""
    frame = pd.DataFrame([each.row() for each in made], columns=[c for c in TRADES if c != "rank"])
    frame["rank"] = frame["regret"].rank(ascending=False, method="first").astype("Int64")
    ordered = frame.sort_values(["rank", "left", "symbol"], kind="stable")
    return ordered[list(TRADES)].reset_index(drop=True)


def alternatives_table(made: Sequence[Choice]) -> pd.DataFrame:
    """One row a trade and alternative, in the order of the trades."""
    rows = [row for each in made for row in each.outcomes()]
    return pd.DataFrame(rows, columns=list(ALTERNATIVES))


def grades(made: Sequence[Choice]) -> dict[str, int]:
    """How many trades have each grade, the best first."""
    told = [str(each.judged.grade) for each in made]
    order = [str(grade) for grade in Grade]
    return {name: told.count(name) for name in order if name in told}
