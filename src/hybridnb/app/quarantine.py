"""Quarantine and kill switch: what an operator may lift early, and with whose word (D7).

Leaving a quarantine early, and keeping a live mode after a kill, need two: the sanity judge's
recorded reply with `stay_demo: false` about this very quarantine or kill, and an operator's
confirmation with a reason. The judge is the frontier model: a reply of the local reasoner or of
the deterministic rules is none. The newest reply decides. When the sessions of a quarantine are
over the operator alone may.

Every outcome is a value; what is granted is an `operator` row, applied once, at the opening of the
book's next session. Sessions are counted by their ordinals at the exchange.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hybridnb.app.book_state import (
    CLEARED,
    CONFLICT,
    SPENT,
    STAY,
    UNAVAILABLE,
    Book,
    Done,
    books,
    chosen,
)
from hybridnb.app.escalation_state import denial
from hybridnb.app.home import shipped
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import act, asked, told
from hybridnb.app.reasoners import open_reasoner
from hybridnb.app.replies import kept_by
from hybridnb.app.settings import Settings, settings
from hybridnb.errors import Missing
from hybridnb.escalation.calls import Call
from hybridnb.escalation.quota import Denial
from hybridnb.ledger.store import Ledger
from hybridnb.risk import QUARANTINE_ALERT

# Asks once, by hand, about a book's last session; what came of it is read from the ledger.
AskJudge = Callable[[Call, Book], object]


@dataclass(frozen=True, slots=True)
class Asking:
    """How the judge is asked by hand, should it be needed."""

    ask: AskJudge
    known: Settings
    spend: bool


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The last quarantine of a book: the session it began in, and its first and last ordinals."""

    since: str
    start: int
    until: int


def quarantine_of(ledger: Ledger, book: str) -> Quarantine | None:
    """The last quarantine that began in a closed session of the book, over or not."""
    begun = [
        row["session"]
        for row in ledger.rows("session", kind="alert", book=book)
        if row["text"] == QUARANTINE_ALERT
    ]
    for session in reversed(begun):
        rows = ledger.rows("session", kind="session_closed", book=book, session=session)
        if rows:
            risk = rows[0]["snapshot"]["risk"]
            return Quarantine(session, risk["kills"][-1], risk["quarantine_until"])
    return None


def judged(ledger: Ledger, book: str, *, first: int, last: int) -> Mapping[str, Any] | None:
    """The judge's newest reply about the closed sessions of these ordinals; None without one.

    Only the frontier's replies count, and only those that were taken and not withdrawn. What was
    asked by hand about a session before its kill was answered knew nothing of that kill.
    """
    closed = ledger.rows("session", kind="session_closed", book=book)
    ordinals = {row["session"]: row["snapshot"]["risk"]["ordinal"] for row in closed}
    call = str(Call.SANITY_JUDGE)
    kills = ledger.rows("session", kind="escalation", book=book, call=call)
    ahead = {row["id"]: row["session"] for row in kills}
    gone = {row["reply"] for row in ledger.rows("operations", kind="reply_withdrawn")}
    found = None
    for row in ledger.rows("operations", kind="reply", book=book, call=call):
        early = row["escalation"] not in ahead and row["session"] in ahead.values()
        ahead.pop(row["escalation"], None)
        about = first <= ordinals.get(row["session"], -1) <= last
        heard = row["by"] == "frontier" and row["taken"] and row["id"] not in gone
        found = row if heard and about and not early else found
    return found


def clear_quarantine(
    *,
    reason: str,
    ask: AskJudge,
    book: str = "",
    spend: bool = False,
    known: Settings | None = None,
) -> Done:
    """End a quarantine at the next opening: with the judge's word, or when its sessions are over.

    Parameters
    ----------
    ask : callable
        Called where no reply of the judge is recorded yet and the quota leaves a call.
    spend : bool
        The operator spends quota on a session that is over, on purpose.
    known : Settings, optional
        By default those of the shipped parameters.

    Raises
    ------
    UsageError
        Without a reason, or when it isn't clear which book is meant.
    """
    reason, ledger = told(reason), open_ledger()
    where = chosen(books(ledger), book, fits=lambda risk: risk.quarantined)
    asking = Asking(ask, known or settings(shipped("params")), spend)
    found = quarantine_of(ledger, where.name)
    if where.busy:
        return _busy(where)
    if found is None or _asked(ledger, where, "clear-quarantine", quarantine=found.since):
        why = "isn't in quarantine" if found is None else "has had its quarantine cleared"
        return Done(CONFLICT, f"{where.name} {why}: nothing was changed", book=where.name)
    by = ""
    if where.ordinal < found.until:
        # A kill in the quarantine is news that an earlier reply didn't know of.
        first = max(found.start, where.kill)
        word = _word(ledger, where, asking, first=first, last=found.until)
        if isinstance(word, Done):
            return word
        by = word["id"]
    row = act(
        "clear-quarantine",
        reason=reason,
        about=where.name,
        until=found.until,
        kill=where.kill,
        quarantine=found.since,
        reply=by,
    )
    return Done(
        CLEARED,
        f"the quarantine of {where.name} since {found.since} ends at the next opening"
        + (f", with the judge's reply {by}" if by else ": its sessions are over"),
        remedy="The mode stays DEMO; `hybridnb mode MODE --reason TEXT` leaves it.",
        book=where.name,
        action=row,
        reply=by,
    )


def keep_mode(
    *,
    reason: str,
    ask: AskJudge,
    book: str = "",
    spend: bool = False,
    known: Settings | None = None,
) -> Done:
    """Keep the live mode of the session that was killed: the override of DEMO at the next opening.

    Raises
    ------
    UsageError
        Without a reason, or when it isn't clear which book is meant.
    """
    reason, ledger = told(reason), open_ledger()
    where = chosen(books(ledger), book, fits=lambda risk: risk.killed)
    asking = Asking(ask, known or settings(shipped("params")), spend)
    if where.busy:
        return _busy(where)
    if why := _nothing_to_keep(ledger, where):
        return Done(CONFLICT, f"{where.name}: {why}: nothing was changed", book=where.name)
    word = _word(ledger, where, asking, first=where.kill, last=where.kill)
    if isinstance(word, Done):
        return word
    mode, by = where.risk.mode, word["id"]
    if stays := kept_by(ledger, where.name, ordinal=where.ordinal + 1):
        text, remedy = f"reply {stays} keeps DEMO all the same", f"hybridnb withdraw-reply {stays}"
        return Done(CONFLICT, text, f"Withdraw it first: `{remedy}`.", where.name, reply=by)
    to = {"about": where.name, "mode": str(mode), "reply": by}
    row = act("keep-mode", reason=reason, kill=where.kill, **to)
    text = f"{where.name} stays {mode} at its next opening, with the judge's reply {by}"
    return Done(CLEARED, text, book=where.name, action=row, reply=by)


def _nothing_to_keep(ledger: Ledger, where: Book) -> str:
    if not where.risk.killed:
        return "no kill waits for its DEMO session"
    if not where.risk.mode.live:
        return "the killed session was DEMO already"
    if where.risk.quarantine_until > where.ordinal:
        return "the kill began, or fell into, a quarantine, which keeps DEMO"
    done = _asked(ledger, where, "keep-mode", kill=where.kill)
    return "the mode is kept already" if done else ""


def _asked(ledger: Ledger, where: Book, action: str, **same: str | int) -> bool:
    """Whether this was asked for already, and still holds: no kill since, its reply stands."""
    gone = {row["reply"] for row in ledger.rows("operations", kind="reply_withdrawn")}
    wanted = same | {"action": action, "about": where.name}
    return any(
        all(row.get(name) == value for name, value in wanted.items())
        and row["kill"] >= where.kill
        and row["reply"] not in gone
        for row in asked(ledger)
    )


def _busy(where: Book) -> Done:
    return Done(
        CONFLICT,
        f"session {where.busy} of {where.name} is in progress",
        remedy="Ask when it is closed: it would be applied at the next opening anyway.",
        book=where.name,
    )


def _word(
    ledger: Ledger, where: Book, asking: Asking, *, first: int, last: int
) -> Done | Mapping[str, Any]:
    """The judge's reply that lets go, asked for where there is none; else why not, as `Done`."""
    word = judged(ledger, where.name, first=first, last=last)
    if word is None:
        failed = _heard(ledger, where, asking)
        if failed is not None:
            return failed
        word = judged(ledger, where.name, first=first, last=last)
    if word is None:
        return Done(UNAVAILABLE, _silence(ledger, where), remedy=_LATER, book=where.name)
    if word["reply"]["stay_demo"] is not False:
        text = f"the judge says to stay in demo (reply {word['id']})"
        said = "`hybridnb escalate SANITY_JUDGE --reason TEXT` asks anew; the newest reply decides."
        return Done(STAY, text, remedy=said, book=where.name, reply=word["id"])
    return word


_LATER = "Nothing was changed. Ask again later; the local reasoner and the rules are no judge."


def _heard(ledger: Ledger, where: Book, asking: Asking) -> Done | None:
    """Ask the judge by hand; why that can't be done, or None.

    Nobody else is asked in the judge's place: what can't reach the frontier isn't begun.
    """
    now = dt.datetime.now(dt.UTC)
    denied = denial(ledger, asking.known, where.session, now, spend=asking.spend)
    if denied is not None:
        code = SPENT if denied in (Denial.SPENT, Denial.KEPT) else UNAVAILABLE
        more = " `--ask-frontier` asks all the same." if denied is Denial.DATED else ""
        return Done(code, f"the judge isn't asked: {denied}", _LATER + more, where.name)
    try:
        reasoner = open_reasoner(asking.known.escalation.frontier)
    except Missing as error:
        return Done(UNAVAILABLE, f"no judge: {error}", error.remedy, where.name)
    if reasoner is None:
        remedy = "Name one in params/escalation.yml, frontier.reasoner."
        return Done(UNAVAILABLE, "no judge: no frontier is configured", remedy, where.name)
    reasoner.close()
    asking.ask(Call.SANITY_JUDGE, where)
    return None


def _silence(ledger: Ledger, where: Book) -> str:
    """Why the frontier's judge wasn't heard, as the newest reply in its place has it."""
    rows = ledger.rows("operations", kind="reply", book=where.name, call=str(Call.SANITY_JUDGE))
    why = rows[-1]["why"] if rows and rows[-1]["by"] != "frontier" else "it gave no usable reply"
    return f"the judge isn't to be had: {why}"
