"""The controls: what each is called, what it does in a sentence, what must be chosen for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hybridnb.app.dashboard import actions
from hybridnb.app.dashboard.model import View, rows

Options = Callable[[View], list[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Control:
    """Something an operator can do.

    Attributes
    ----------
    name : str
    label : str
        On the button that opens its confirmation.
    question : str
        Title of the confirmation.
    effect : str
        What will happen, before it is confirmed.
    verb : str
        On the button that confirms.
    run : callable
        Takes reason, book and which; says what became of it, or raises `HybridnbError`.
    choice : str
        What is to be chosen; empty for nothing.
    options : callable
        The choices of a view: shown and meant.
    per_book : bool
        It needs to know which book is meant.
    slow : bool
        It may take minutes.
    """

    name: str
    label: str
    question: str
    effect: str
    verb: str
    run: Callable[..., str]
    choice: str = ""
    options: Options = lambda _: []
    per_book: bool = False
    slow: bool = False


def _entries(_: View) -> list[tuple[str, str]]:
    return [
        ("Halt: no entries, no decided exits; protective exits go on", "halt"),
        ("Reduce: positions only shrink", "reduce"),
        ("Resume: back to ACTIVE", "resume"),
    ]


def _brake(_: View) -> list[tuple[str, str]]:
    return [("On: no entries at once", "on"), ("Off", "off")]


def _symbols(view: View) -> list[tuple[str, str]]:
    held = [str(row.get("symbol", "")) for row in rows(view.book, "names")]
    return [("Every symbol", ""), *((name, name) for name in held if name)]


def _calls(_: View) -> list[tuple[str, str]]:
    return [
        ("Regime auditor: which regime is this?", "REGIME_AUDITOR"),
        ("Reward engineer: are we learning the right thing?", "REWARD_ENGINEER"),
        ("Sanity judge: may this go on?", "SANITY_JUDGE"),
    ]


CONTROLS: tuple[Control, ...] = (
    Control(
        name="entries",
        label="Stop entries",
        question="Stop or resume entries",
        effect="A running session obeys at its next listening, any other book at its opening.",
        verb="Record it",
        run=actions.entries,
        choice="Trading state",
        options=_entries,
    ),
    Control(
        name="brake",
        label="Brake",
        question="Emergency brake",
        effect="With the brake on nothing enters; protective stops stay with their positions.",
        verb="Record it",
        run=actions.brake,
        choice="Brake",
        options=_brake,
    ),
    Control(
        name="cancel",
        label="Withdraw orders",
        question="Withdraw all working orders",
        effect="Working orders are withdrawn; protective stops stay with their positions.",
        verb="Withdraw them",
        run=actions.cancel_all,
        choice="Symbol",
        options=_symbols,
    ),
    Control(
        name="demo",
        label="Force DEMO",
        question="Force DEMO",
        effect="The next session opens in DEMO. Leaving DEMO needs the command line.",
        verb="Force DEMO",
        run=actions.force_demo,
        per_book=True,
    ),
    Control(
        name="quarantine",
        label="Clear quarantine",
        question="Clear the quarantine",
        effect="The judge is asked where its word is needed: one of today's calls.",
        verb="Ask and clear",
        run=actions.clear_quarantine,
        per_book=True,
        slow=True,
    ),
    Control(
        name="escalate",
        label="Escalate",
        question="Ask a reasoner",
        effect="About the last session; counts against today's calls, never takes the judge's.",
        verb="Ask",
        run=actions.escalate,
        choice="Who is asked",
        options=_calls,
        per_book=True,
        slow=True,
    ),
)

ACKNOWLEDGE = Control(
    name="ack",
    label="Acknowledge",
    question="Acknowledge an alert",
    effect="Records that you have seen it; what was alerted is not changed.",
    verb="Acknowledge",
    run=actions.acknowledge,
)
APPROVE = Control(
    name="approve",
    label="Approve",
    question="Approve a proposal",
    effect="Recorded; nothing changes by itself. It says which key of params/policy.yml to set.",
    verb="Approve",
    run=actions.approve,
)
WITHDRAW = Control(
    name="withdraw",
    label="Withdraw",
    question="Withdraw a reply",
    effect="The reply is taken out whole, from the next opening on.",
    verb="Withdraw it",
    run=actions.withdraw_reply,
)
