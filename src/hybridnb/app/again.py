"""A book's sessions as the ledger holds them, made ready to be stepped once more.

What a decision read is taken from its own record: predictions, facts, prices and the hint's view
are in the decision rows and in the opening. So a session can be stepped again when the model that
served it is gone. Bars, liquidity and the returns behind value at risk come from the feed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.context import Context
from hybridnb.app.deciding import decider
from hybridnb.app.desk import Hints, Setup
from hybridnb.app.panel import PREDICTIONS, Day, Panel, panel
from hybridnb.app.records import RAW, decision_rows
from hybridnb.app.replying import in_force
from hybridnb.app.state import State, first_state, restored
from hybridnb.app.training import Model
from hybridnb.blender import sigmoid
from hybridnb.errors import UsageError
from hybridnb.escalation.changes import InForce
from hybridnb.ledger.store import Ledger
from hybridnb.policy import Policy, validated
from hybridnb.registry.artifacts import MANIFEST, open_sealed

Row = Mapping[str, Any]
Rows = Sequence[Row]
_HEAD = ("kind", "book", "session", "n")
# Of a decision's inputs, those that don't depend on the book; by the panel's column.
_COLUMNS = {name: name for name in ("p_short", "p_mid", "win_long", "win_short", "sentiment")}
_COLUMNS |= {"atr": "atr", "annual_volatility": "annual_volatility", "close": "price"}


@dataclass(frozen=True)
class Recorded:
    """One closed session of a book.

    Attributes
    ----------
    rows : sequence of mapping
        As the ledger holds them.
    before : mapping or None
        The `session_closed` row of the book's session before; None for its first.
    """

    book: str
    session: str
    rows: Rows
    before: Row | None

    def of_kind(self, kind: str) -> list[Row]:
        """Rows of one kind, in order."""
        return [row for row in self.rows if row["kind"] == kind]

    @cached_property
    def opened(self) -> Row:
        return self.of_kind("session_opened")[0]

    @cached_property
    def closed(self) -> Row:
        return self.of_kind("session_closed")[-1]

    @cached_property
    def decisions(self) -> dict[str, Row]:
        """Decisions by symbol."""
        return {str(row["symbol"]): row for row in decision_rows(self.rows)}

    @cached_property
    def policy(self) -> Policy:
        """What the session was traded under, replies included."""
        return validated(Policy, self.of_kind("policy")[0]["values"], file="the ledger's policy")

    @property
    def broker(self) -> str:
        """Of the session; empty for the paper venue of a day."""
        return str(self.of_kind("inputs")[0].get("broker", ""))

    @property
    def model_version(self) -> str:
        return str(self.opened["model_version"])

    @property
    def state(self) -> State:
        """What the session began with."""
        return restored(self.before["snapshot"]) if self.before else first_state(self.policy)


def known_books(ledger: Ledger) -> dict[str, str]:
    """Books that closed a session, with the last one's date, in the order of their last row."""
    found: dict[str, str] = {}
    for row in ledger.rows("session", kind="session_closed"):
        found.pop(row["book"], None)
        found[row["book"]] = row["session"]
    return found


def chosen_book(ledger: Ledger, asked: str) -> str:
    """The book that is meant: the named one, or the only one.

    Raises
    ------
    UsageError
        When it is none, or none was named and there are several.
    """
    known = known_books(ledger)
    if not known:
        raise UsageError("no session was traded yet", remedy="Run `hybridnb day` first.")
    names = ", ".join(sorted(known))
    if asked and asked not in known:
        raise UsageError(f"there is no book {asked!r}", remedy=f"Books: {names}.")
    if not asked and len(known) > 1:
        raise UsageError("which book is meant?", remedy=f"Give --book NAME. Books: {names}.")
    return asked or next(iter(known))


def recorded_sessions(ledger: Ledger, book: str, *, to: str = "") -> list[Recorded]:
    """The closed sessions of a book, in order, through `to` where given."""
    every: dict[str, list[Row]] = {}
    for row in ledger.rows("session", book=book):
        if not to or row["session"] <= to:
            every.setdefault(row["session"], []).append(row)
    return sessions_in(every)


def sessions_in(every: Mapping[str, Rows]) -> list[Recorded]:
    """Rows by session as closed sessions, each with the closing before it."""
    found: list[Recorded] = []
    for session in sorted(every):
        rows = every[session]
        if rows[-1]["kind"] == "session_closed":
            before = found[-1].closed if found else None
            found.append(Recorded(str(rows[0]["book"]), session, rows, before))
    return found


def bare_panel(context: Context) -> Panel:
    """The history without any model: bars, features and facts; predictions are unknown."""
    keys = context.features[["symbol", "session"]]
    return panel(
        context.market,
        sessions=context.sessions,
        ordinals=context.ordinals,
        features=context.features,
        facts=context.facts,
        predictions=keys.assign(**dict.fromkeys(PREDICTIONS, np.nan)),
    )


def served_model(context: Context, version: str) -> Model | None:
    """The sealed model that served a session, where the home still has it.

    Raises
    ------
    InputError
        When it is there and its seal is broken.
    """
    for path in sorted(context.home.folder("models").glob(f"*/{MANIFEST}")):
        if json.loads(path.read_text(encoding="utf-8"))["meta"].get("version") == version:
            meta, files = open_sealed(path.parent)
            return Model(version, meta["trained_to"], meta, files, reused=True)
    return None


def day_of(found: Panel, one: Recorded) -> Day:
    """A session's day with what its decisions read as the ledger holds it.

    Raises
    ------
    UsageError
        When the history at hand has no such session.
    """
    i = found.position(one.session)
    if i < 1:
        raise UsageError(
            f"the history at hand has no session {one.session}",
            remedy="Give the feed, the data and the date that the book was traded with.",
        )
    day = found.day(i)
    told = [one.decisions.get(symbol) for symbol in day.symbols]
    columns = dict(day.columns)
    if one.decisions:
        for name, source in _COLUMNS.items():
            columns[name] = _known([row and row["inputs"][source] for row in told])
        for name in RAW:
            columns[name] = _known([row and row["raw"][name] for row in told])
    macro = [row["facts"]["macro_events"] for row in one.of_kind("facts")]
    return replace(
        day,
        columns=columns,
        facts={name: _number(value) for name, value in one.opened["facts"].items()},
        regime=one.opened["regime"],
        macro=tuple(macro[-1]) if macro and macro[-1] is not None else None,
    )


def _known(values: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([_number(value) for value in values], np.float64)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def recorded_hints(one: Recorded) -> Hints:
    """The hint's view of every name as the session recorded it, whatever the book holds."""

    def hints(day: Day, state: State) -> NDArray[np.float64]:
        told = [one.decisions.get(symbol) for symbol in day.symbols]
        views = [_number(row["inputs"]["rl"]) if row else math.nan for row in told]
        return np.array([unsquashed(view) for view in views])

    return hints


def unsquashed(view: float) -> float:
    """A hint whose `sigmoid` is this view, to the last bit where there is one; NaN for NaN."""
    if not 0.0 < view < 1.0:
        return view if view != view else math.copysign(745.0, view - 0.5)
    low, high = -745.0, 745.0
    for _ in range(2_000):
        middle = low + (high - low) / 2.0
        found = sigmoid(middle)
        if found == view or middle in (low, high):
            return middle
        low, high = (middle, high) if found < view else (low, middle)
    return low


def setup_of(context: Context, one: Recorded, hints: Hints) -> tuple[Setup, tuple[str, ...]]:
    """What a session was traded with, read from its rows; and what couldn't be read.

    The policy is the recorded one. With replies in force it is composed again from the operator's
    policy at hand, and must come to the recorded id.
    """
    waits = bool(one.of_kind("in_force"))
    policy, replied, notes = _replied(context, one) if waits else (one.policy, None, ())
    stamp = one.opened
    setup = Setup(
        book=one.book,
        policy=policy,
        experiment_id=stamp["experiment_id"],
        model_version=stamp["model_version"],
        hints=hints,
        verdict_valid=not _without_verdict(one),
        entries=bool(stamp["decided"]),
        decide=decider(len(one.decisions), context.home.kernels),
        actions=[_body(row) for row in one.of_kind("operator")],
        in_force=replied,
    )
    return setup, notes


def _replied(context: Context, one: Recorded) -> tuple[Policy, InForce | None, tuple[str, ...]]:
    row, operator = one.of_kind("in_force")[0], context.settings.policy
    composed = in_force(
        context.ledger(),
        one.book,
        operator,
        session=one.session,
        ordinal=int(one.closed["snapshot"]["risk"]["ordinal"]),
        training=context.own_training,
    )
    if composed is None or composed.policy.id != row["policy_id"]:
        why = "the replies in force can't be composed again from the policy at hand"
        return one.policy, None, (f"{one.session}: {why}",)
    lost = composed.disabled if composed.bears else ()
    told = f"{one.session}: predictions without {', '.join(lost)} are gone"
    return operator, composed, (told,) if lost else ()


def _without_verdict(one: Recorded) -> bool:
    return any("NO_VERDICT" in row["ineligible"] for row in one.decisions.values())


def _body(row: Row) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in _HEAD}
