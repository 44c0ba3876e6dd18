"""What a POST does: the same functions as the commands, each with its reason and its row.

What those functions need loads when the first is called: a server answers before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hybridnb.app.server import bodies
from hybridnb.domain import Mode
from hybridnb.errors import UsageError

if TYPE_CHECKING:
    from hybridnb.app.book_state import Book
    from hybridnb.app.progress import Say
    from hybridnb.ledger.store import Ledger

Answer = dict[str, Any]
_ANONYMOUS = "asked for at the server, without words"


def force_demo(body: bodies.Demo) -> Answer:
    """DEMO from the next opening on; asked again it changes nothing."""
    from hybridnb.app import modes
    from hybridnb.app.book_state import books, granted
    from hybridnb.app.ledgers import open_ledger

    ledger = open_ledger()
    before = books(ledger)
    done = modes.force_demo(reason=body.reason or _ANONYMOUS, book=body.book)
    granted(done)
    at = done.action["at"] if done.action else _demo_since(ledger)
    meant = [before[body.book]] if body.book else list(before.values())
    return {
        "mode": str(Mode.DEMO),
        "previous_mode": str(_present(meant)),
        "at": at,
        "changed": done.action is not None,
        "text": done.text,
    }


def _present(meant: list[Book]) -> Mode:
    """The mode the books were last in; of several the one that risks most."""
    if not meant:
        from hybridnb.app.home import shipped
        from hybridnb.app.settings import settings

        return settings(shipped("params")).policy.mode
    return max((each.risk.mode for each in meant), key=list(Mode).index)


def _demo_since(ledger: Ledger) -> str:
    """When DEMO was last asked for; now, where nobody ever had to ask."""
    from hybridnb.app.operators import asked, wall_time

    rows = [row for row in asked(ledger) if row["action"] == "demo"]
    return str(rows[-1]["at"]) if rows else wall_time()


def set_mode(body: bodies.SetMode) -> Answer:
    """The mode of the next session, as its checklist allows."""
    from hybridnb.app import modes
    from hybridnb.app.book_state import granted

    return granted(modes.set_mode(body.mode, reason=body.reason, book=body.book))[0]


def _act(action: str, **given: str) -> Answer:
    from hybridnb.app.operators import act

    done = act(action, **given)
    return {"action": action, "id": done["id"], "at": done["at"], "reason": done["reason"]}


_STATES = {"ACTIVE": "resume", "REDUCING": "reduce", "HALTED": "halt"}


def trading_state(body: bodies.TradingState) -> Answer:
    """ACTIVE, REDUCING or HALTED from the next listening or opening on."""
    return _act(_STATES[body.state], reason=body.reason) | {"state": body.state}


def resume(body: bodies.Reasoned) -> Answer:
    """Back to ACTIVE; a latched kill switch stays latched."""
    return _act("resume", reason=body.reason)


def reduce(body: bodies.Reasoned) -> Answer:
    """Positions only shrink, until resumed."""
    return _act("reduce", reason=body.reason)


def halt(body: bodies.Reasoned) -> Answer:
    """No entries and no decided exits, until resumed; protective exits go on."""
    return _act("halt", reason=body.reason)


def cancel_all(body: bodies.Symbolic) -> Answer:
    """Withdraw working orders, all or one symbol's; protective stops stay."""
    return _act("cancel-all", reason=body.reason, symbol=body.symbol)


def unlock(body: bodies.Unlock) -> Answer:
    """Take a protection lock away."""
    return _act("unlock", reason=body.reason, lock=body.lock, symbol=body.symbol)


def enable(body: bodies.Enable) -> Answer:
    """Let a symbol trade again that repeated executions disabled."""
    return _act("enable", reason=body.reason, symbol=body.symbol)


def brake(body: bodies.Switch) -> Answer:
    """Put the emergency brake on (no entries) or off."""
    return _act(f"brake-{body.state}", reason=body.reason)


def emergency_brake(body: bodies.Brake) -> Answer:
    """Put the emergency brake on, or off with a reason; asked again it changes nothing."""
    from hybridnb.app.ledgers import open_ledger
    from hybridnb.app.operators import asked

    rows = [row for row in asked(open_ledger()) if row["action"].startswith("brake-")]
    before = bool(rows) and rows[-1]["action"] == "brake-on"
    if not (body.active or body.reason):
        raise UsageError("taking the brake off needs a reason", remedy="Send reason.")
    if body.active == before and rows:
        return {"active": before, "changed": False, "at": rows[-1]["at"], "id": rows[-1]["id"]}
    by = f" ({body.operator})" if body.operator else ""
    done = _act("brake-on" if body.active else "brake-off", reason=(body.reason or _ANONYMOUS) + by)
    return {"active": body.active, "changed": True, "at": done["at"], "id": done["id"]}


def acknowledge(body: bodies.Acknowledge) -> Answer:
    """An alert is seen."""
    from hybridnb.app.alerts import acknowledge

    return acknowledge(body.alert, reason=body.reason)


def approve(body: bodies.Approve) -> Answer:
    """A proposal is agreed with; says what is left to do."""
    from hybridnb.app.replies import approve

    return approve(body.proposal, reason=body.reason)


def withdraw_reply(body: bodies.Withdraw) -> Answer:
    """A reply is out, whole, from the next opening on."""
    from hybridnb.app.replies import withdraw_reply

    return withdraw_reply(body.reply, reason=body.reason)


def _quietly(_: str) -> None:
    """Nobody watches the progress of what a server is asked."""


def clear_quarantine(body: bodies.Judged, say: Say = _quietly) -> Answer:
    """End a quarantine: with the judge's word, or alone when its sessions are over."""
    from hybridnb.app.book_state import granted
    from hybridnb.app.context import Request
    from hybridnb.app.escalate import asker
    from hybridnb.app.quarantine import clear_quarantine

    spend = body.ask_frontier
    ask, known = asker(Request(), reason=body.reason, spend=spend, say=say)
    done = clear_quarantine(reason=body.reason, ask=ask, book=body.book, spend=spend, known=known)
    return granted(done)[0]


def keep_mode(body: bodies.Judged, say: Say = _quietly) -> Answer:
    """Keep the live mode at the opening after a kill: with the judge's word about that kill."""
    from hybridnb.app.book_state import granted
    from hybridnb.app.context import Request
    from hybridnb.app.escalate import asker
    from hybridnb.app.quarantine import keep_mode

    spend = body.ask_frontier
    ask, known = asker(Request(), reason=body.reason, spend=spend, say=say)
    done = keep_mode(reason=body.reason, ask=ask, book=body.book, spend=spend, known=known)
    return granted(done)[0]


def escalate(body: bodies.Escalate, say: Say = _quietly) -> Mapping[str, Any]:
    """Ask a reasoner by hand; the reply's row."""
    from hybridnb.app.context import Request
    from hybridnb.app.escalate import escalate

    return escalate(
        Request(),
        body.call,
        reason=body.reason,
        book=body.book,
        spend=body.ask_frontier,
        say=say,
    )
