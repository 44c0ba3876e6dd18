"""One recorded decision opened up: terms, input rows, the clamps that bound it, what would flip it.

Everything is read from the ledger; what-ifs are decided in memory through the same decision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hybridnb.app.again import Recorded, recorded_sessions
from hybridnb.app.canvas import Picture
from hybridnb.app.gallery_flips import flips_of
from hybridnb.app.gallery_pictures import flips_picture, score_picture, size_picture
from hybridnb.app.views import MULTIPLIERS
from hybridnb.domain import Mode, Refusal
from hybridnb.errors import UsageError
from hybridnb.ledger.store import Ledger
from hybridnb.limits import CODE, Limits, limits

Row = Mapping[str, Any]
PENALTIES = {
    "volatility": ("volatility_z", "volatility_z", "above"),
    "news": ("sentiment", "news_sentiment", "below"),
    "illiquid": ("liquidity", "liquidity", "below"),
    "decorrelated": ("correlation", "correlation", "below"),
}


@dataclass(frozen=True)
class Explored:
    """A decision, the session it was made in, and the limits that were in force."""

    recorded: Recorded
    row: Row
    lim: Limits

    def summary(self) -> pd.Series[Any]:
        """What was decided, and on what was known when."""
        row, opened = self.row, self.recorded.opened
        return pd.Series(
            {
                "decision": row["decision_id"],
                "decided on the close of": opened["seen"],
                "mode": opened["mode"],
                "bucket": row["bucket"],
                "action": row["action"],
                "score": _rounded(row["score"]),
                "confidence": _rounded(row["confidence"]),
                "size after risk": _rounded(row["size_post_risk"]),
                "bound by": row["bound"],
                "refused": ", ".join(row["refusals"]) or "–",
            },
            name=row["symbol"],
        )

    def terms(self) -> pd.DataFrame:
        """How the score was made: value, weight, what it adds, and what it was made from."""
        table = pd.DataFrame(
            [*self._views(), *self._penalties()], columns=["term", "value", "weight", "adds", "of"]
        )
        moved = 0.0 if self.row["score"] is None else self.row["score"] - table["adds"].sum()
        if abs(moved) > 1e-12:  # the score stays in [0, 1], or stops at 0.5
            table.loc[len(table)] = ["bound", math.nan, math.nan, moved, "where a score must stop"]
        return table

    def _views(self) -> Iterator[tuple[str, float, float, float, str]]:
        """The three views with their weights, those of missing ones shared out."""
        given, raw = self.row["inputs"], self.row["raw"]
        weight = {n: getattr(self.lim, f"weight_{n.removeprefix('p_')}") for n in _VIEWS}
        total = sum(w for n, w in weight.items() if given[n] is not None)
        source = {
            "p_short": f"rank of the output {_shown(raw['short_raw'])} among its earlier ones",
            "p_mid": f"rank of the output {_shown(raw['mid_raw'])} among its earlier ones",
            "rl": f"sigmoid of the size hint {_hint(given['rl'])}",
        }
        for name in _VIEWS:
            if given[name] is None:
                yield name, math.nan, 0.0, 0.0, "missing: the others share its weight"
            else:
                share = weight[name] / total
                yield name, given[name], share, share * given[name], source[name]

    def _penalties(self) -> Iterator[tuple[str, float, float, float, str]]:
        row, given = self.row, self.row["inputs"]
        for name, (fact, bar, side) in PENALTIES.items():
            value, threshold = given[fact], getattr(self.lim, bar)
            also = f" and its floor {_shown(given['correlation_floor'])}" * (fact == "correlation")
            told = f"charged where {fact} {_shown(value)} is {side} {threshold:g}{also}"
            falls = not self.lim.shrink or (row["base"] or 0.0) > 0.5
            adds = -row[name] if falls else row[name]
            yield name, _nan(value), math.nan, adds + 0.0, told

    def inputs(self) -> pd.DataFrame:
        """Every number the decision read, and the recorded row that it stands in."""
        given, n = self.row["inputs"], self.row.get("n", "–")
        opened = f"session_opened, row {self.recorded.opened['n']}"
        before = self.recorded.before
        held = f"session_closed of {before['session']}" if before else "a new account"
        bar = str((self.row.get("bar") or {}).get("session") or self.recorded.opened["seen"])
        rows = [
            (name, _nan(value), _place(name, n=n, opened=opened, held=held, bar=bar))
            for name, value in given.items()
            if name not in ("bucket", "refused")
        ]
        rows += [
            (f"feature {k}", _nan(v), f"bars to {bar}")
            for k, v in (self.row.get("features") or {}).items()
        ]
        return pd.DataFrame(rows, columns=["input", "value", "recorded in"])

    @property
    def binding(self) -> str:
        """The cap that bound the size, or that left nothing of it."""
        row = self.row
        if "KELLY" in row["refusals"]:
            return "quarter_kelly"
        if "NO_ROOM" in row["refusals"]:
            return "bucket_headroom"
        return str(row["bound"])

    def clamps(self) -> pd.DataFrame:
        """Every step of the size: what it left, as a share of equity, and whether it bound."""
        row, code = self.row, CODE[self.row["bucket"]]
        steps: list[tuple[str, float, float, str]] = [
            ("size_pre", _nan(row["size_pre"]), math.nan, "bucket limit × 2 × |score − 0.5|")
        ]
        for bound, value, what in (
            ("per_name_cap", self.lim.name[code], "cap of one name in its bucket"),
            ("bucket_headroom", row["headroom"], "bucket limit less what is held in it"),
            ("quarter_kelly", row["quarter_kelly"], self._kelly()),
        ):
            mark = " ← bound" if self.binding == bound else ""
            steps.append((bound, math.nan, _nan(value), what + mark))
        steps.append(("capped", _nan(row["capped"]), math.nan, "the smallest of all these"))
        for name in MULTIPLIERS:
            steps.append((name, math.nan, _nan(row[name]), _multiplier(name, row)))
        steps.append(("size_post_risk", _nan(row["size_post_risk"]), math.nan, self._last()))
        return pd.DataFrame(steps, columns=["step", "size", "limit or factor", "what"])

    def _kelly(self) -> str:
        side = "long" if self.row["action"] != "SELL" else "short"
        chance = _shown(self.row["inputs"][f"win_{side}"])
        return f"{self.lim.kelly_fraction:g} of Kelly at a chance of {chance}"

    def _last(self) -> str:
        codes = dict.fromkeys([*self.row["ineligible"], *self.row["refusals"]])
        if not codes:
            return f"bound by {self.row['bound']}"
        return "refused: " + "; ".join(Refusal[code].text for code in codes)

    def flips(self) -> pd.DataFrame:
        """The nearest value of each input, alone, that would have made another decision.

        Each what-if goes through the whole decision, the other names beside it. The tail of the
        book is the recorded one; a decision that had none is given a tail within its limits.
        """
        return flips_of(self.recorded, self.row)

    def waterfall(self) -> Picture:
        """How the terms make the score, against the thresholds."""
        title = f"{self.row['symbol']}, {self.row['session']}: {self.row['action']}"
        table = self.terms()
        shown = table[(table["adds"] != 0.0) | table["term"].isin(_VIEWS)]
        score = _nan(self.row["score"])
        return score_picture(shown, score, buy=self.lim.buy, sell=self.lim.sell, title=title)

    def size(self) -> Picture:
        """From the wanted size through caps and multipliers to what was left."""
        return size_picture(self.clamps(), bound=self.binding, title=self.row["symbol"])

    def flipping(self) -> Picture:
        """How far each input was from making another decision."""
        return flips_picture(self.flips(), title=f"{self.row['symbol']}: {self.row['action']}")


_VIEWS = ("p_short", "p_mid", "rl")


def explored(ledger: Ledger, *, book: str, session: str, decision: str = "") -> Explored:
    """A decision of a closed session; by default the one whose score lies furthest from 0.5.

    Parameters
    ----------
    decision : str
        Its id, or its symbol.

    Raises
    ------
    UsageError
        When the session has no such decision.
    """
    one = session_of(ledger, book=book, session=session)
    return of_session(one, decision)


def session_of(ledger: Ledger, *, book: str, session: str) -> Recorded:
    """A closed session of a book, with the closing before it.

    Raises
    ------
    UsageError
        When the ledger has none.
    """
    found = recorded_sessions(ledger, book, to=session)
    if not found or found[-1].session != session:
        raise UsageError(
            f"the book {book!r} closed no session {session!r}", remedy="Run `hybridnb day` first."
        )
    return found[-1]


def of_session(one: Recorded, decision: str = "") -> Explored:
    """As `explored`, of a session that was read already."""
    every = list(one.decisions.values())
    found = [row for row in every if decision in ("", row["symbol"], row["decision_id"])]
    if not found:
        known = ", ".join(one.decisions) or "none"
        raise UsageError(
            f"{one.session} has no decision {decision!r}", remedy=f"Decisions: {known}."
        )
    row = max(found, key=lambda r: -1.0 if r["score"] is None else abs(r["score"] - 0.5))
    return Explored(one, row, limits(one.policy, Mode(one.opened["mode"])))


def _place(name: str, *, n: Any, opened: str, held: str, bar: str) -> str:
    match name:
        case "p_short" | "p_mid" | "rl" | "win_long" | "win_short" | "posture" | "sentiment":
            return f"decision, row {n}"
        case "volatility_z" | "correlation" | "correlation_floor":
            return opened
        case "held" | "risk":
            return held
    return f"bar of {bar}"


def _multiplier(name: str, row: Row) -> str:
    told = {
        "m_volatility": f"volatility {_shown(row['inputs']['annual_volatility'])} a year",
        "m_var": f"VaR {_shown(row['var'])} a day",
        "m_es": f"expected shortfall {_shown(row['es'])} a day",
        "m_heat": f"open risk is {_shown(row['heat'])} of the day's limit",
        "m_crisis": "crisis regime, or correlation above its bar",
    }
    return told.get(name, "what a posture, the size agent or a subsystem takes")


def _hint(rl: float | None) -> str:
    if rl is None or not 0.0 < rl < 1.0:
        return "beyond its range"
    return f"{math.log(rl / (1.0 - rl)):+.4f}"


def _nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _rounded(value: float | None) -> float | str:
    return "–" if value is None else round(value, 4)


def names_of(one: Recorded) -> Sequence[str]:
    """Symbols with a decision, those that lie furthest from 0.5 first."""
    far = {
        s: -1.0 if r["score"] is None else abs(r["score"] - 0.5) for s, r in one.decisions.items()
    }
    return sorted(far, key=lambda s: (-far[s], s))
