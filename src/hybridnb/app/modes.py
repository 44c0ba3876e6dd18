"""The trading mode as operators set it: into DEMO at any time, out of it with care.

Asked for now, applied once, at the opening of the book's next session.
"""

from __future__ import annotations

from hybridnb.app.book_state import CLEARED, CONFLICT, STAY, Book, Done, books, chosen
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import act, pending, told
from hybridnb.app.replies import kept_by
from hybridnb.app.standing import opened_by
from hybridnb.domain import Mode
from hybridnb.ledger.store import Ledger
from hybridnb.risk import RiskState


def force_demo(*, reason: str, book: str = "") -> Done:
    """DEMO from the next opening on, of one book or of all; asked again it changes nothing.

    A session that runs in a live mode is halted at once: its entries are withdrawn, stops stay.
    """
    reason, ledger = told(reason), open_ledger()
    known = books(ledger)
    wanted = [chosen(known, book)] if book else list(known.values())
    if wanted:
        due = any(_next(ledger, each).mode.live for each in wanted)
    else:  # the first book will open in the mode of params/policy.yml
        due = not any(a["action"] == "demo" for a in pending(ledger, ""))
    if not due:
        return Done(CLEARED, "the next opening is in DEMO already: nothing was changed", book=book)
    row = act("demo", reason=reason, about=book) if book else act("demo", reason=reason)
    text = f"DEMO from the next opening of {book or 'every book'} on"
    for name in _running_live(ledger, book):
        act("cancel-all", reason=reason, about=name)
        text += f"; {name} halted, its entries withdrawn"
    return Done(CLEARED, text, book=book, action=row)


def _running_live(ledger: Ledger, book: str) -> list[str]:
    """Books, or this one, with a session in a live mode that isn't closed."""
    where = {"book": book} if book else {}
    opened = {row["book"]: row for row in ledger.rows("session", kind="session_opened", **where)}
    closed = {row["book"]: row for row in ledger.rows("session", kind="session_closed", **where)}
    return [
        name
        for name, row in sorted(opened.items())
        if row["session"] > closed.get(name, {}).get("session", "") and Mode(row["mode"]).live
    ]


def set_mode(mode: Mode, *, reason: str, book: str = "") -> Done:
    """Open the next session in this mode; after a kill nothing else leaves DEMO.

    A mode that the book has never traded in needs its checklist of `hybridnb golive`. No live mode
    enters a position without a valid verdict, whatever is asked for here.

    Raises
    ------
    UsageError
        Without a reason, or when it isn't clear which book is meant.
    """
    if mode is Mode.DEMO:
        return force_demo(reason=reason, book=book)
    reason, ledger = told(reason), open_ledger()
    where = chosen(books(ledger), book)
    coming = _next(ledger, where)
    if where.risk.killed:
        why, remedy = "its last session was killed: the next is DEMO", "hybridnb keep-mode"
    elif coming.quarantined:
        why, remedy = "it is in quarantine", "hybridnb clear-quarantine"
    elif word := kept_by(ledger, where.name, ordinal=where.ordinal + 1):
        why, remedy = f"reply {word} keeps it in DEMO", f"hybridnb withdraw-reply {word}"
    else:
        why, remedy = "", ""
    if why:
        said = f"Ask again when it is over, or `{remedy} --reason TEXT`."
        return Done(CONFLICT, f"{where.name}: {why}", remedy=said, book=where.name)
    if coming.mode is mode:
        text = f"{where.name} opens in {mode} already: nothing was changed"
        return Done(CLEARED, text, book=where.name)
    if missing := _unready(ledger, where, mode):
        said = "`hybridnb golive` shows each item with its evidence."
        return Done(STAY, f"{where.name} can't enter {mode}: {missing}", said, where.name)
    row = act("mode", reason=reason, about=where.name, mode=str(mode), ordinal=where.ordinal)
    text = f"{where.name} opens in {mode} at its next session"
    return Done(CLEARED, text, book=where.name, action=row)


def _unready(ledger: Ledger, where: Book, mode: Mode) -> str:
    """What the step to a mode lacks; nothing for a mode the book has been in before."""
    from hybridnb.app.golive import open_items

    closed = ledger.rows("session", kind="session_closed", book=where.name)
    if any(row["snapshot"]["risk"]["mode"] == mode for row in closed):
        return ""
    return "; ".join(open_items(ledger, where.name, mode))


def _next(ledger: Ledger, where: Book) -> RiskState:
    """The control plane as the book's next session would open with what is asked for so far."""
    return opened_by(where.risk, where.ordinal + 1, pending(ledger, where.name))
