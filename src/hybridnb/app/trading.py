"""The live session on the paper venue: which book, which state, and the rows into the ledger.

A book is one feed and its data. A longer history that agrees with what the book has traded on
continues it; a revised history is another book.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.books import find_book
from hybridnb.app.context import Context
from hybridnb.app.desk import Setup
from hybridnb.app.panel import Day, Panel
from hybridnb.app.records import Recorder, counts, orders_digest
from hybridnb.app.session import step
from hybridnb.app.setting_up import Prepared, setup_of
from hybridnb.app.state import State, first_state, restored
from hybridnb.domain import SCALE
from hybridnb.errors import Refused
from hybridnb.ledger.store import Ledger
from hybridnb.market.assemble import digest
from hybridnb.policy import policy_values


@dataclass(frozen=True, slots=True)
class Traded:
    """A session as the ledger holds it; `written` is False when it was there already."""

    book: str
    session: str
    rows: Sequence[Mapping[str, Any]]
    head: str
    written: bool

    @property
    def closing(self) -> Mapping[str, Any]:
        return next(r for r in reversed(self.rows) if r["kind"] == "session_closed")

    @property
    def equity(self) -> float:
        """Account units."""
        return float(self.closing["equity"]) / SCALE

    def summary(self) -> dict[str, Any]:
        """The session's share of `hybridnb day --json`."""
        opened = next(r for r in self.rows if r["kind"] == "session_opened")
        return {
            "session": self.session,
            "mode": opened["mode"],
            **counts(self.rows),
            "equity": self.equity,
            "orders_sha256": orders_digest(self.rows),
            "ledger_head": self.head,
        }


def read_traded(ledger: Ledger, book: str, session: str) -> Traded | None:
    """A session as the ledger holds it; None unless it was traded to its end."""
    rows = ledger.rows("session", book=book, session=session)
    if not rows or rows[-1]["kind"] != "session_closed":
        return None
    return Traded(book, session, rows, ledger.head("session"), written=False)


def check_book(ledger: Ledger, context: Context, broker: str = "") -> str:
    """The book of the day, after what can be refused before any work was.

    A book is traded through one broker, or by `day` on paper: it never moves from one to another.

    Raises
    ------
    Refused
        When the session was traded with other inputs, or a later one was.
    """
    book = find_book(ledger, context, broker)
    _refuse_earlier(ledger, context, book)
    rows = ledger.rows("session", kind="inputs", book=book, session=context.session)
    now = {"facts": ""} | context.inputs
    for name, value in now.items() if rows else ():
        if rows[0].get(name, "") != value:
            raise Refused(
                f"session {context.session} of {book} was traded with another {name}",
                remedy="Use another HYBRIDNB_HOME to trade it with other inputs.",
            )
    return book


def trade(context: Context, ready: Prepared, *, ledger: Ledger) -> Traded:
    """Trade the context's session, once: what is there already is compared, never repeated.

    Sessions the book has missed are stepped first with their brackets only: positions are
    protected through them, nothing is decided in hindsight.

    Raises
    ------
    Refused
        When the same session was traded with other inputs, or a later one was.
    """
    with context.home.locked("session"):
        book = check_book(ledger, context)
        setup = setup_of(context, ready, book=book)
        state = state_before(ledger, context, book)
        written = 0
        for i in _due(ledger, context, ready.panel, book):
            day = ready.panel.day(i)
            state, rows, new, head = _one(context, day, state, setup, ledger)
            written += new
        return Traded(book, context.session, rows, head, written > 0)


def _one(
    context: Context, day: Day, state: State, setup: Setup, ledger: Ledger
) -> tuple[State, Sequence[Mapping[str, Any]], int, str]:
    decided = day.session == context.session
    if not decided:
        setup = replace(setup, entries=False, actions=(), in_force=None)
    stamp = {
        "policy_id": setup.policy_id,
        "experiment_id": setup.experiment_id,
        "model_version": setup.model_version,
    }
    new = 0

    def sink(rows: Sequence[Mapping[str, Any]]) -> None:
        nonlocal new
        new += ledger.ensure("session", rows, book=setup.book, session=day.session).written

    record = Recorder(
        book=setup.book,
        session=day.session,
        stamp=stamp,
        sink=sink,
        detail=detail_of(context, day) if decided else None,
    )
    record.add("inputs", feed=context.market.feed, **inputs_of(context, day, setup))
    policy = setup.traded_policy
    record.add("policy", policy_id=policy.id, values=policy_values(policy))
    state = step(state, day, setup, record)
    return state, record.rows, new, ledger.head("session")


def inputs_of(context: Context, day: Day, setup: Setup) -> dict[str, Any]:
    market = context.market
    upto = market.bars[market.bars["session"] <= pd.Timestamp(day.session)]
    return {
        "data_digest": digest(upto),
        "feature_set": context.feature_set,
        "model_version": setup.model_version,
        **context.inputs,
    }


def detail_of(context: Context, day: Day) -> Callable[[str], Mapping[str, Any]]:
    """What each decision was made from: the features and the last bar of its symbol."""
    from hybridnb.market.features import FEATURES

    seen = pd.Timestamp(day.seen)
    now = context.features[context.features["session"] == seen].set_index("symbol")
    bars = context.market.bars
    last = bars[bars["session"] == seen].set_index("symbol")

    def detail(symbol: str) -> Mapping[str, Any]:
        if symbol not in now.index:
            return {"features": {}, "bar": {}}
        prices = ("open", "high", "low", "close", "volume")
        return {
            "features": now.loc[symbol, list(FEATURES)].astype(float).to_dict(),
            "bar": {"session": day.seen} | last.loc[symbol, list(prices)].astype(float).to_dict(),
        }

    return detail


def _refuse_earlier(ledger: Ledger, context: Context, book: str) -> None:
    rows = ledger.rows("session", kind="session_closed", book=book)
    later = [r["session"] for r in rows if r["session"] > context.session]
    if later:
        raise Refused(
            f"session {context.session} is earlier than the book's last, {later[-1]}",
            remedy="Use another HYBRIDNB_HOME to trade an earlier session on its own.",
        )


def state_before(ledger: Ledger, context: Context, book: str) -> State:
    rows = [
        r
        for r in ledger.rows("session", kind="session_closed", book=book)
        if r["session"] < context.session
    ]
    return restored(rows[-1]["snapshot"]) if rows else first_state(context.settings.policy)


def _due(ledger: Ledger, context: Context, panel: Panel, book: str) -> NDArray[np.int64]:
    """Rows of the sessions to step: those missed since the book's last, then the day's own."""
    closed = [
        r["session"]
        for r in ledger.rows("session", kind="session_closed", book=book)
        if r["session"] < context.session
    ]
    last = panel.position(context.session)
    first = panel.position(closed[-1]) + 1 if closed else last
    return np.arange(first, last + 1)
