"""`hybridnb golive`: the go-live plan and the promotion criteria, each checked in the ledger.

Every item is computed from rows of both chains and the parameters, with the figures and rows it
rests on. Nothing is assumed: what can't be told yet isn't done, and what no part of the product
computes yet says so. The bars are the promotion's own (D10): Sharpe 0.8, drawdown 8 %; D33's list
binds the step to LIVE_MICRO.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hybridnb.app.book_state import books, chosen
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import wall_time
from hybridnb.canonical import plain
from hybridnb.domain import Mode
from hybridnb.errors import Refused
from hybridnb.ledger.store import Ledger

Row = Mapping[str, Any]


class State(StrEnum):
    """Of an item; only DONE counts."""

    DONE = "done"
    OPEN = "not done"
    EVIDENCE = "not enough evidence"
    UNBUILT = "not built yet"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the plan.

    Attributes
    ----------
    id, part, what : str
        `part` is the place in the plan: its days, D33, or the promotion.
    step : Mode
        The mode that it binds the step to.
    state : State
    evidence : str
        Figures, or what is missing.
    rows : tuple of str
        Ids of rows it rests on: `<book>-<session>-<n>` of the session chain, else the row's id.
    """

    id: str
    part: str
    what: str
    step: Mode
    state: State
    evidence: str
    rows: tuple[str, ...] = ()


class Unready(Refused):
    """Not every item is done; `details` has all of them."""

    remedy = "Trade on; each item says what it waits for."

    def __init__(self, text: str, details: dict[str, Any]) -> None:
        self.details = details
        super().__init__(text)

    def as_dict(self) -> dict[str, Any]:
        return self.details | super().as_dict()


def check(*, book: str = "", record: bool = False) -> dict[str, Any]:
    """Every item of a book.

    Parameters
    ----------
    record : bool
        Keep the outcome as a `golive` row of the operations chain.

    Returns
    -------
    dict
        book, session, ready, steps (mode to whether its items are all done), items.

    Raises
    ------
    UsageError
        When it isn't clear which book is meant.
    """
    ledger = open_ledger()
    where = chosen(books(ledger), book)
    items = all_items(ledger, where.name)
    steps = {
        str(mode): all(i.state is State.DONE for i in items if i.step is mode)
        for mode in Mode
        if mode.live
    }
    found = {
        "book": where.name,
        "session": where.session,
        "ready": all(steps.values()),
        "steps": steps,
        "items": [plain(item) for item in items],
    }
    if record:
        ledger.append("operations", [{"kind": "golive", "at": wall_time(), **found}])
    return found


def all_items(ledger: Ledger, book: str) -> list[Item]:
    """The plan by day, then D33's list, then the promotion criteria."""
    from hybridnb.app.golive_items import Evidence, plan, readiness
    from hybridnb.app.golive_promotion import later, promotion

    seen = Evidence(ledger, book)
    return [*plan(seen), *readiness(seen), *later(seen), *promotion(seen)]


def open_items(ledger: Ledger, book: str, mode: Mode) -> list[str]:
    """What the step to a mode still lacks; a later step needs the earlier ones too."""
    order = list(Mode)
    items = all_items(ledger, book)
    due = [i for i in items if order.index(i.step) <= order.index(mode)]
    return [f"{item.what} ({item.state})" for item in due if item.state is not State.DONE]


def golive_text(found: Mapping[str, Any]) -> str:
    """The items by part, with their evidence."""
    lines, part = [f"{found['book']} after {found['session']}"], ""
    for item in found["items"]:
        if item["part"] != part:
            part = item["part"]
            lines += ["", part]
        lines.append(f"  {item['state']:<20} {item['what']}: {item['evidence']}")
    done = sum(item["state"] == State.DONE for item in found["items"])
    steps = ", ".join(f"{m}: {'yes' if ok else 'no'}" for m, ok in found["steps"].items())
    return "\n".join([*lines, "", f"{done} of {len(found['items'])} done. {steps}"])
