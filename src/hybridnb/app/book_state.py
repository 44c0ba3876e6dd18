"""What operators decide between sessions: of which book, as it stands, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from hybridnb.errors import Refused, UsageError
from hybridnb.ledger.store import Ledger
from hybridnb.risk import RiskState

CLEARED, STAY, CONFLICT, SPENT, UNAVAILABLE = 200, 403, 409, 429, 503
_RISK = TypeAdapter(RiskState)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an operator's wish.

    Attributes
    ----------
    code : int
        200 granted, 403 the judge says stay or a checklist isn't done, 409 not in that state,
        429 the day's calls are spent, 503 the judge isn't to be had.
    text, remedy : str
    book : str
    action : mapping or None
        The row that was recorded; None where nothing was.
    reply : str
        Id of the judge's reply that decided.
    """

    code: int
    text: str
    remedy: str = ""
    book: str = ""
    action: Mapping[str, Any] | None = None
    reply: str = ""

    @property
    def exit_code(self) -> int:
        """Of the command line: 0 granted, 3 refused, 4 the judge isn't there."""
        return {CLEARED: 0, UNAVAILABLE: 4}.get(self.code, 3)

    def as_dict(self) -> dict[str, Any]:
        """As one JSON object."""
        return asdict(self)


class NotGranted(Refused):
    """An operator's wish that wasn't granted; its outcome is `done`."""

    def __init__(self, done: Done) -> None:
        self.done, self.exit_code = done, done.exit_code
        super().__init__(done.text, remedy=done.remedy)

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | self.done.as_dict()


def granted(done: Done) -> tuple[dict[str, Any], str]:
    """An outcome as a command prints it.

    Raises
    ------
    NotGranted
        For any code but 200.
    """
    if done.code != CLEARED:
        raise NotGranted(done)
    return done.as_dict(), f"{done.text}. {done.remedy}".strip()


@dataclass(frozen=True, slots=True)
class Book:
    """A book after its last closed session; `busy` names a session that has begun since."""

    name: str
    session: str
    ordinal: int
    risk: RiskState
    busy: str = ""

    @property
    def kill(self) -> int:
        """Ordinal of the last kill; 0 without one."""
        return self.risk.kills[-1] if self.risk.kills else 0


def books(ledger: Ledger) -> dict[str, Book]:
    """Every book that has closed a session, by name."""
    last = {row["book"]: row for row in ledger.rows("session", kind="session_closed")}
    begun = {row["book"]: row["session"] for row in ledger.rows("session", kind="session_opened")}
    found = {}
    for name, row in sorted(last.items()):
        risk = _RISK.validate_python(row["snapshot"]["risk"])
        busy = begun.get(name, "") if begun.get(name, "") > row["session"] else ""
        found[name] = Book(name, row["session"], risk.ordinal, risk, busy)
    return found


def chosen(
    known: Mapping[str, Book], asked: str, *, fits: Callable[[RiskState], bool] = bool
) -> Book:
    """The book an operator means: the named one, or the only one, or the only one that fits.

    Raises
    ------
    UsageError
        When there is none of that name, or none was named and there are several.
    """
    if not known:
        raise UsageError("no session was traded yet", remedy="Run `hybridnb day` first.")
    names = ", ".join(known)
    if asked and asked not in known:
        raise UsageError(f"there is no book {asked!r}", remedy=f"Books: {names}.")
    fitting = [name for name, each in known.items() if each.busy or fits(each.risk)]
    meant = [asked] if asked else fitting if len(fitting) == 1 else list(known)
    if len(meant) != 1:
        raise UsageError("which book is meant?", remedy=f"Give --book NAME. Books: {names}.")
    return known[meant[0]]
