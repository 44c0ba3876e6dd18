"""Events of a book that ask for a reply: a session's escalations, and operators' own."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from hybridnb.app.briefing import fired_of
from hybridnb.app.replying import REPLY
from hybridnb.escalation.changes import SESSIONS
from hybridnb.escalation.triggers import Fired
from hybridnb.ledger.store import Ledger

MANUAL = "escalation_asked"  # an operator's, in the operations chain


@dataclass(frozen=True, slots=True)
class Event:
    """What asks: a session's `escalation` row, or an operator."""

    id: str
    fired: Fired
    session: str
    manual: bool = False


def pending(ledger: Ledger, book: str) -> list[Event]:
    """Events of a book that no reply answers yet, in order."""
    answered = {row["escalation"] for row in ledger.rows("operations", kind=REPLY, book=book)}
    rows = ledger.rows("session", kind="escalation", book=book)
    found = [Event(row["id"], fired_of(row), row["session"]) for row in rows]
    asked = ledger.rows("operations", kind=MANUAL, book=book)
    found += [Event(row["id"], fired_of(row), row["about"], manual=True) for row in asked]
    return [event for event in found if event.id not in answered]


def elapsed(event: Event, sessions: pd.DatetimeIndex) -> int:
    """Sessions since the event's, once a reply given in time would be over; else 0.

    Parameters
    ----------
    sessions : DatetimeIndex
        Of the exchange, through the day on which somebody would be asked.
    """
    since = int((sessions > pd.Timestamp(event.session)).sum())
    return 0 if event.manual or since < SESSIONS else since
