"""Escalation by hand: a reasoner is asked about a book's last session, now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybridnb.app.asking import ask_now, asking_of
from hybridnb.app.book_state import Book, books, chosen
from hybridnb.app.books import find_book
from hybridnb.app.context import Request, open_day
from hybridnb.app.home import shipped
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import told
from hybridnb.app.progress import Say
from hybridnb.app.quarantine import AskJudge
from hybridnb.app.settings import Settings, settings
from hybridnb.errors import UsageError
from hybridnb.escalation.calls import Call


def escalate(
    request: Request, call: str, *, reason: str, book: str, spend: bool, say: Say
) -> dict[str, Any]:
    """Ask once; the frontier, or who answers in its place.

    Returns
    -------
    dict
        The `reply` row.

    Raises
    ------
    UsageError
        Without a reason, or when it isn't clear which book is meant.
    """
    where = chosen(books(open_ledger()), book)
    return _asked(request, where, Call(call), reason=told(reason), spend=spend, say=say)


def asker(request: Request, *, reason: str, spend: bool, say: Say) -> tuple[AskJudge, Settings]:
    """What asks about a book by hand, where asking turns out to be needed, and its settings."""

    def ask(call: Call, where: Book) -> object:
        return _asked(request, where, call, reason=reason, spend=spend, say=say)

    return ask, settings(Path(request.params) if request.params else shipped("params"))


def _asked(
    request: Request, where: Book, call: Call, *, reason: str, spend: bool, say: Say
) -> dict[str, Any]:
    """Ask about the book's last session, on the feed that it was traded on."""
    rows = open_ledger().rows("session", kind="inputs", book=where.name, session=where.session)
    feed, broker = rows[0]["feed"], rows[0].get("broker", "")
    context = open_day(
        replace(request, feed=request.feed or feed, session=request.session or where.session)
    )
    asking = asking_of(context, where.name, spend=spend)
    if find_book(asking.ledger, context, broker) != where.name:
        raise UsageError(
            f"the bars of {context.market.feed} aren't those that {where.name} was traded on",
            remedy="Give --feed and --data as when it was traded.",
        )
    return ask_now(asking, call, reason=reason, say=say)


def escalated_text(done: Mapping[str, Any]) -> str:
    """Who answered, and what became of it."""
    word = "taken" if done["taken"] else f"not taken: {done['refused']}"
    why = f" ({done['why']})" if done["why"] else ""
    return f"reply {done['id']} by {done['label']}{why}: {word}; see `hybridnb replies`"
