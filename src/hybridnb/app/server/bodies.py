"""What callers may send: bodies and queries, unknown keys refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from hybridnb.domain import Mode
from hybridnb.policy import Params

_PLAIN = r"^[^\x00]*$"  # no database takes a zero in a text
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=_PLAIN)
]
Optional = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=_PLAIN)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PLAIN)]
Symbol = Annotated[str, StringConstraints(max_length=64, pattern=_PLAIN)]
Book = Annotated[str, StringConstraints(max_length=200, pattern=_PLAIN)]
_WHY = Field(description="why, for the record")
_BOOK = Field("", description="a book by name; needed where there are several")
_SPEND = Field(False, description="spend today's quota on an earlier session")


class Empty(Params):
    """Nothing."""


class OfBook(Params):
    """A book."""

    book: Book = _BOOK


class OfAlerts(OfBook):
    """Which alerts."""

    all: bool = Field(False, description="acknowledged ones too")


class Reasoned(Params):
    """An operator's action, with its reason."""

    reason: Reason = _WHY


class Demo(OfBook):
    """DEMO, now asked for; the way into safety needs no words."""

    reason: Optional = Field("", description="why, for the record; not needed")


class Symbolic(Reasoned):
    """An action on one symbol, or on all."""

    symbol: Symbol = Field("", description="one symbol; all by default")


class Enable(Reasoned):
    """A symbol that may trade again."""

    symbol: Name = Field(description="the symbol that repeated executions disabled")


class Unlock(Symbolic):
    """A protection lock that is taken away."""

    lock: Literal["stop_guard", "drawdown_guard", "cooldown", "low_profit"]


class Switch(Reasoned):
    """The emergency brake on or off."""

    state: Literal["on", "off"]


class Brake(Params):
    """The emergency brake; without a body it is put on. Off needs a reason."""

    active: bool = True
    reason: Optional = Field("", description="why; needed to take the brake off")
    operator: Optional = Field("", description="who")


class TradingState(Reasoned):
    """ACTIVE, REDUCING or HALTED."""

    state: Literal["ACTIVE", "REDUCING", "HALTED"]


class Acknowledge(Reasoned):
    """An alert that somebody has seen."""

    alert: Name = Field(description="its id")


class Approve(Reasoned):
    """A proposal that an operator agrees with."""

    proposal: Name = Field(description="its id")


class Withdraw(Reasoned):
    """A reply that is taken out."""

    reply: Name = Field(description="its id")


class SetMode(Reasoned, OfBook):
    """The mode of the next session."""

    mode: Mode


class Judged(Reasoned, OfBook):
    """What needs the sanity judge's word beside the operator's."""

    ask_frontier: bool = _SPEND


class Escalate(Judged):
    """A question to a reasoner, now."""

    call: Literal["REGIME_AUDITOR", "REWARD_ENGINEER", "SANITY_JUDGE"]
