"""A page for every alert: what it means, what to do, who to call. The runbook's table is made
from here; a test fails where code raises an alert without one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hybridnb.app.contacts import ROLES, Role
from hybridnb.app.frontier import OFFLINE, UNAVAILABLE
from hybridnb.app.live_prices import BACK, CLOCK, STALLED
from hybridnb.app.session import NO_RL_ALERT
from hybridnb.escalation.quota import ALERT as ESCALATED
from hybridnb.risk import (
    KILL_ALERT,
    QUARANTINE_ALERT,
    QUARANTINE_DAILY,
    SOFT_HALT_ALERT,
    UNKNOWN_PNL_ALERT,
)


@dataclass(frozen=True, slots=True)
class AlertPage:
    """One kind of alert; `text` as code raises it, `{…}` for what differs each time."""

    text: str
    means: str
    act: str
    call: Role = "engineering"

    def matches(self, text: str) -> bool:
        """Whether an alert's text is of this kind."""
        parts = re.split(r"\{[^}]*\}", self.text)
        return re.fullmatch(".*".join(map(re.escape, parts)), text, re.DOTALL) is not None

    @property
    def shown(self) -> str:
        """The text for people: an ellipsis for what differs."""
        return re.sub(r"\{[^}]*\}", "…", self.text).replace("`", "")


PAGES = (
    AlertPage(
        KILL_ALERT,
        "the day's loss reached the limit; entries were withdrawn, positions closed",
        "find the cause in the post-mortem; the next opening is DEMO; `hybridnb keep-mode` needs"
        " the judge",
        "risk_management",
    ),
    AlertPage(
        QUARANTINE_ALERT,
        "three kill-switch sessions in ten: DEMO for seven sessions",
        "nothing sooner than the judge's word and yours: `hybridnb clear-quarantine`",
        "risk_management",
    ),
    AlertPage(
        QUARANTINE_DAILY,
        "the quarantine goes on",
        "nothing; it ends by itself, or with `hybridnb clear-quarantine`",
        "risk_management",
    ),
    AlertPage(
        SOFT_HALT_ALERT,
        "the day's loss is near the limit: positions may only shrink",
        "watch; `hybridnb cancel-all` halts at once",
        "risk_management",
    ),
    AlertPage(
        UNKNOWN_PNL_ALERT,
        "a mark couldn't be computed, so the switch couldn't be evaluated: halted",
        "find the price that is missing or no number; then `hybridnb resume`",
    ),
    AlertPage(
        STALLED,
        "no prices for two minutes; entries were withdrawn, stops rest",
        "mend the feed; it goes on by itself",
        "data_provider",
    ),
    AlertPage(BACK, "prices are there again", "nothing", "data_provider"),
    AlertPage(
        "no market data of {symbols} ({why})—no entries, the switch sees only its fills",
        "these symbols have no prices: none is entered, losses count only once realised",
        "get the subscription or take delayed prices, or close them",
        "data_provider",
    ),
    AlertPage(
        CLOCK,
        "times can't be trusted, so nothing new is sent in this session",
        "set the clock by a time server, then `hybridnb resume`",
    ),
    AlertPage(
        NO_RL_ALERT,
        "the RL model is missing: predictors alone, half sizes",
        "run `hybridnb day`: it trains what is missing",
    ),
    AlertPage(
        ESCALATED,
        "the frontier was asked: it counts against the day's three",
        "read the reply: `hybridnb replies`; withdraw it if you know better",
    ),
    AlertPage(
        UNAVAILABLE,
        "the frontier couldn't be asked or gave no valid reply; trading goes on",
        "`hybridnb replies` says why: key, network, quota",
        "openai_support",
    ),
    AlertPage(
        OFFLINE,
        "no local reasoner: rules answer, feature toggles are frozen; decisions don't change",
        "`hybridnb doctor`; start `ollama serve`",
    ),
    AlertPage(
        "{units} units of {symbol} without a stop—flattening",
        "a position had no live stop of its full size; the excess is closed",
        "`hybridnb backup`, then report it with that file: it must not happen",
    ),
    AlertPage(
        "{symbol} without its stop—flattening",
        "the broker holds no stop for a position; it is closed",
        "look at the broker's own program; `hybridnb reconcile`",
    ),
    AlertPage(
        "{symbol}: its stop rested elsewhere than the book has it—moved",
        "somebody moved the stop at the broker, or it was refused where it was trailed to",
        "nothing, if it was you; else see who trades on the account",
    ),
    AlertPage(
        "{symbol} disabled after {reason}—see `hybridnb enable {symbol}`",
        "too many fills in too short a time: its entries were withdrawn, its stop goes on",
        "find out why; then `hybridnb enable`",
    ),
    AlertPage(
        "{units} units of {symbol} were closed beyond the position—halted",
        "the venue filled more than was held",
        "close the excess by hand, `hybridnb adopt`, then `hybridnb resume`",
        "risk_management",
    ),
    AlertPage(
        "not of this book, no entries until an operator resumes: {what}",
        "somebody else trades on the account; it holds for this session, and the next compares",
        "see `hybridnb reconcile`; then `hybridnb adopt` or undo it, and `hybridnb resume`",
        "risk_management",
    ),
    AlertPage(
        "{number} differences from the broker—not trading",
        "book and broker differ in what a restart doesn't explain",
        "`hybridnb reconcile` lists them; see Reconciliation",
        "risk_management",
    ),
    AlertPage(
        "at the close, {what}",
        "book and broker differed when the session ended",
        "`hybridnb reconcile` before the next session",
    ),
    AlertPage(
        "{symbol}: an entry may still work—withdraw it at the broker",
        "the session ended, and the broker didn't say that it withdrew the entry",
        "withdraw it there; the next start looks again before it sends anything",
    ),
    AlertPage(
        "job {job} of {session} failed for good: {error}",
        "a scheduled job used up its attempts; nothing of it is left half-done",
        "mend what the alert says; `hybridnb schedule` shows the job",
    ),
    AlertPage(
        "{error}—stopped",
        "the session couldn't go on; protective orders rest at the broker",
        "do what the alert says, then run the same command again",
    ),
)


def page_of(text: str) -> AlertPage | None:
    """The page of an alert's text; None for one that no page knows."""
    return next((page for page in PAGES if page.matches(text)), None)


def alert_rows() -> list[tuple[str, str, str, str]]:
    """Text, meaning, what to do and whom to call, of every kind."""
    return [(f"`{p.shown}`", p.means, p.act, ROLES[p.call]) for p in PAGES]
