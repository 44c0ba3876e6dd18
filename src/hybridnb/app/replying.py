"""Replies on record, and what they make of a session: read from the operations chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hybridnb.app.books import find_book
from hybridnb.app.desk import Setup
from hybridnb.domain import Mode
from hybridnb.escalation.applying import compose
from hybridnb.escalation.calls import Call, EngineerReply, read_reply
from hybridnb.escalation.changes import InForce, Standing, Training
from hybridnb.ledger.store import Ledger
from hybridnb.market.features import FEATURES
from hybridnb.policy import Policy
from hybridnb.risk import RiskState

if TYPE_CHECKING:
    from hybridnb.app.context import Context

REPLY, WITHDRAWN = "reply", "reply_withdrawn"


def standing_replies(ledger: Ledger, book: str) -> tuple[Standing, ...]:
    """Every reply to a book that was taken and not withdrawn, in the order of the record."""
    gone = {row["reply"] for row in ledger.rows("operations", kind=WITHDRAWN)}
    rows = ledger.rows("operations", kind=REPLY, book=book)
    return tuple(stands(row) for row in rows if row["taken"] and row["id"] not in gone)


def stands(row: Mapping[str, Any]) -> Standing:
    """A recorded reply as a value; without its feature toggles where those were frozen."""
    call = Call(row["call"])
    reply = read_reply(call, row["reply"])
    if row["toggles_frozen"] and isinstance(reply, EngineerReply):
        reply = reply.model_copy(update={"disabled_features": ()})
    return Standing(row["id"], call, reply, row["from_session"], row["expires"])


def in_force(
    ledger: Ledger,
    book: str,
    policy: Policy,
    *,
    session: str,
    ordinal: int,
    training: Training | None = None,
) -> InForce | None:
    """What replies make of a session; None where none is in force.

    A session that was begun keeps what it opened with, whatever was recorded or withdrawn since:
    it is composed from the replies that its own row names.

    Parameters
    ----------
    policy : Policy
        The operator's.
    training : Training, optional
        The operator's own coefficients; by default the specification's.
    """
    known = standing_replies(ledger, book)
    opened = ledger.rows("session", kind="session_opened", book=book, session=session)
    if opened:
        rows = ledger.rows("session", kind="in_force", book=book, session=session)
        named = set(rows[0]["replies"]) if rows else set()
        every = ledger.rows("operations", kind=REPLY, book=book)
        known = tuple(stands(row) for row in every if row["id"] in named)
    known = tuple(each for each in known if each.holds(ordinal))
    if not known:
        return None
    return compose(
        policy,
        known,
        session=ordinal,
        features=frozenset(FEATURES),
        training=training or Training(),
    )


def taught(context: Context) -> Training:
    """The reward's coefficients for the training that serves a day: those of the replies that
    hold in the first session after what is trained on.
    """
    own, ledger = context.own_training, context.ledger()
    if not len(context.aligned) or not ledger.rows("operations", kind=REPLY):
        return own
    ordinal = int(context.ordinals[context.aligned[-1]]) + 1
    rows = ledger.rows("session", kind="inputs", feed=context.market.feed)
    # One model serves the feed's books through every broker; the newest reply counts.
    brokers = sorted({"", *(row.get("broker", "") for row in rows)})
    books = [find_book(ledger, context, broker) for broker in brokers]
    known = [reply for book in books for reply in standing_replies(ledger, book)]
    made = compose(
        context.settings.policy,
        known,
        session=ordinal,
        features=frozenset(FEATURES),
        training=own,
    )
    return made.training


def in_force_row(found: InForce) -> dict[str, Any]:
    """The session row of what replies make of it: every diff, and what waits for a person."""
    return {
        "replies": found.sources,
        "policy_id": found.policy.id,
        "crisis": found.crisis,
        "stay_demo": found.stay_demo,
        "disabled": found.disabled,
        "changes": found.changes,
        "proposals": found.proposals,
        "passed_over": found.passed_over,
    }


def kept_in_demo(risk: RiskState, setup: Setup) -> RiskState:
    """The control plane of a session in which a judge wants demo kept."""
    if setup.in_force is None or not setup.in_force.stay_demo or risk.mode is Mode.DEMO:
        return risk
    return replace(risk, mode=Mode.DEMO)
