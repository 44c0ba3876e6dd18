"""Commands of escalation: what fires when, and what people decide about replies and alerts."""

from __future__ import annotations

from typing import Any

import click

from hybridnb.app.cli_options import Command, day_options, reported, request_of, say


@click.command()
@day_options
@click.option("--from", "firsts", multiple=True, help="First day or month; repeatable with --to.")
@click.option("--to", "lasts", multiple=True, help="Last day or month of the same stretch.")
@reported
def triggers(firsts: tuple[str, ...], lasts: tuple[str, ...], **given: Any) -> Any:
    """Step stretches of history again: which triggers fire, and what replies would change."""
    from hybridnb.app.crises import replay_crises
    from hybridnb.app.crisis_page import crisis_text

    done = replay_crises(request_of(**given), firsts, lasts, say=say)
    return done, crisis_text(done)


def _reasoned(command: Command) -> Command:
    return click.option("--reason", required=True, help="Why, for the record.")(reported(command))


_book = click.option("--book", default="", help="A book by name; needed where there are several.")
_spend = click.option(
    "--ask-frontier", "spend", is_flag=True, help="Spend today's quota on an earlier session."
)


@click.command("alerts")
@_book
@click.option("--all", "every", is_flag=True, help="Acknowledged ones too.")
@reported
def alerts_(book: str, every: bool) -> Any:
    """List alerts that wait for an acknowledgement, newest first."""
    from hybridnb.app.alerts import alerts, alerts_text
    from hybridnb.app.ledgers import open_ledger

    found = [a for a in alerts(open_ledger(), book) if every or a["acknowledged"] is None]
    return {"alerts": found[::-1]}, alerts_text(found)


@click.command()
@click.argument("alert")
@_reasoned
def ack(alert: str, reason: str) -> Any:
    """Acknowledge an alert by its id."""
    from hybridnb.app.alerts import acknowledge, acknowledged_text

    done = acknowledge(alert, reason=reason)
    return done, acknowledged_text(done)


@click.command("replies")
@_book
@reported
def replies_(book: str) -> Any:
    """List reasoners' replies: what each changes, until when, and the sandbox's word."""
    from hybridnb.app.ledgers import open_ledger
    from hybridnb.app.replies import proposals, replies, replies_text

    ledger = open_ledger()
    found, waiting = replies(ledger, book), proposals(ledger, book)
    return {"replies": found, "proposals": waiting}, replies_text(found, waiting)


@click.command("withdraw-reply")
@click.argument("reply")
@_reasoned
def withdraw_reply_(reply: str, reason: str) -> Any:
    """Take a reply out, whole, from the next opening on."""
    from hybridnb.app.replies import withdraw_reply

    done = withdraw_reply(reply, reason=reason)
    return done, done["text"]


@click.command("approve")
@click.argument("proposal")
@_reasoned
def approve_(proposal: str, reason: str) -> Any:
    """Approve what a reply would loosen: recorded; says which key of params/policy.yml to set."""
    from hybridnb.app.replies import approve

    done = approve(proposal, reason=reason)
    return done, done["text"]


@click.command("escalate")
@click.argument("call", type=click.Choice(["REGIME_AUDITOR", "REWARD_ENGINEER", "SANITY_JUDGE"]))
@_book
@day_options
@_spend
@_reasoned
def escalate_(call: str, book: str, spend: bool, reason: str, **given: Any) -> Any:
    """Ask by hand; it counts against the day's calls and never takes the judge's."""
    from hybridnb.app.escalate import escalate, escalated_text

    done = escalate(request_of(**given), call, reason=reason, book=book, spend=spend, say=say)
    return done, escalated_text(done)


@click.command("clear-quarantine")
@_book
@day_options
@_spend
@_reasoned
def clear_quarantine_(book: str, spend: bool, reason: str, **given: Any) -> Any:
    """End a quarantine: with the judge's word, or alone when its sessions are over."""
    from hybridnb.app.book_state import granted
    from hybridnb.app.escalate import asker
    from hybridnb.app.quarantine import clear_quarantine

    ask, known = asker(request_of(**given), reason=reason, spend=spend, say=say)
    return granted(clear_quarantine(reason=reason, ask=ask, book=book, spend=spend, known=known))


@click.command("keep-mode")
@_book
@day_options
@_spend
@_reasoned
def keep_mode_(book: str, spend: bool, reason: str, **given: Any) -> Any:
    """Keep the live mode at the opening after a kill: with the judge's word about that kill."""
    from hybridnb.app.book_state import granted
    from hybridnb.app.escalate import asker
    from hybridnb.app.quarantine import keep_mode

    ask, known = asker(request_of(**given), reason=reason, spend=spend, say=say)
    return granted(keep_mode(reason=reason, ask=ask, book=book, spend=spend, known=known))


@click.command()
@_book
@_reasoned
def demo(book: str, reason: str) -> Any:
    """Open in DEMO from the next session on, one book or all of them."""
    from hybridnb.app.book_state import granted
    from hybridnb.app.modes import force_demo

    return granted(force_demo(reason=reason, book=book))


@click.command()
@click.argument("mode", type=click.Choice(["DEMO", "LIVE_MICRO", "LIVE_LIMITED", "LIVE"]))
@_book
@_reasoned
def mode(mode: str, book: str, reason: str) -> Any:
    """Open in this mode from the next session on; the only way out of DEMO."""
    from hybridnb.app.book_state import granted
    from hybridnb.app.modes import set_mode
    from hybridnb.domain import Mode

    return granted(set_mode(Mode(mode), reason=reason, book=book))


@click.command()
@_book
@click.option("--record", is_flag=True, help="Keep the outcome as a row of the ledger.")
@reported
def golive(book: str, record: bool) -> Any:
    """Check the go-live plan and the promotion criteria. Exit 3 when not all hold."""
    from hybridnb.app.golive import Unready, check, golive_text

    done = check(book=book, record=record)
    if not done["ready"]:
        raise Unready(golive_text(done), done)
    return done, golive_text(done)


COMMANDS = (
    *(triggers, alerts_, ack, replies_, withdraw_reply_, approve_, escalate_),
    *(clear_quarantine_, keep_mode_, demo, mode, golive),
)
