"""Replies as operators see them: what each changes, until when; taking one out; approving.

A reply is withdrawn as a whole and from the next opening on: every session's policy is composed
anew from the operator's, so nothing of it is left. What a reply would loosen is a proposal. An
approval is recorded and changes nothing by itself: the policy's one home is `params/policy.yml`,
and the operator is told which key to set there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hybridnb.app.home import shipped
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import told, wall_time
from hybridnb.app.replying import stands
from hybridnb.app.settings import settings
from hybridnb.canonical import plain, sha256
from hybridnb.errors import UsageError
from hybridnb.escalation.applying import compose
from hybridnb.escalation.changes import STAY_DEMO, Change, InForce, Training
from hybridnb.ledger.store import Ledger
from hybridnb.market.features import FEATURES
from hybridnb.policy import Policy

Row = Mapping[str, Any]
_CHAIN = "operations"
_DIFFS = ("changes", "proposals", "passed_over")


def withdrawn(ledger: Ledger) -> dict[str, Row]:
    """The first withdrawal of each reply that was withdrawn."""
    found: dict[str, Row] = {}
    for row in ledger.rows(_CHAIN, kind="reply_withdrawn"):
        found.setdefault(row["reply"], row)
    return found


def standing_rows(ledger: Ledger, book: str, *, ordinal: int) -> list[dict[str, Any]]:
    """Rows of the replies that hold in the session of this ordinal, oldest first."""
    gone = withdrawn(ledger)
    return [
        row
        for row in ledger.rows(_CHAIN, kind="reply", book=book)
        if row["taken"] and row["id"] not in gone and row["from_session"] <= ordinal
        if ordinal < row["expires"]
    ]


def effects(row: Row, policy: Policy | None = None) -> InForce:
    """What a reply makes of the operator's policy, by default the parameters', taken alone."""
    each = stands(row)
    return compose(
        policy or settings(shipped("params")).policy,
        [each],
        session=each.from_session,
        features=frozenset(FEATURES),
        training=Training(),
    )


def kept_by(ledger: Ledger, book: str, *, ordinal: int) -> str:
    """Id of a reply that keeps the session of this ordinal in DEMO; empty without one."""
    rows = standing_rows(ledger, book, ordinal=ordinal)
    return next((row["id"] for row in rows if effects(row).stay_demo), "")


def replies(ledger: Ledger, book: str = "") -> list[dict[str, Any]]:
    """Every recorded reply, oldest first.

    Returns
    -------
    list of dict
        id, book, session, call, by, label, why, taken, refused, sandbox, from_session and
        expires (ordinals), state, and the diffs: changes, proposals, passed_over. `state` is in
        force, waiting (from a later opening), expired, withdrawn or refused, as of the book's
        next session.
    """
    gone = withdrawn(ledger)
    coming = _coming(ledger)
    shown = ("id", "book", "session", "call", "by", "label", "why", "taken", "refused")
    found = []
    for row in ledger.rows(_CHAIN, kind="reply", **({"book": book} if book else {})):
        diffs = effects(row) if row["taken"] else None
        found.append(
            {name: row[name] for name in (*shown, "sandbox", "from_session", "expires")}
            | {"state": _state(row, gone, coming.get(row["book"], row["from_session"]))}
            | {name: [plain(c) for c in getattr(diffs, name, ())] for name in _DIFFS}
        )
    return found


def _coming(ledger: Ledger) -> dict[str, int]:
    """Ordinal of the session after each book's last."""
    rows = ledger.rows("session", kind="session_closed")
    return {row["book"]: row["snapshot"]["risk"]["ordinal"] + 1 for row in rows}


def _state(row: Row, gone: Mapping[str, Row], coming: int) -> str:
    if not row["taken"]:
        return "refused"
    if row["id"] in gone:
        return "withdrawn"
    if coming >= row["expires"]:
        return "expired"
    return "in force" if coming >= row["from_session"] else "waiting"


def _known(ledger: Ledger, reply: str) -> Row:
    rows = ledger.rows(_CHAIN, kind="reply", id=reply)
    if not rows:
        raise UsageError(f"there is no reply {reply!r}", remedy="`hybridnb replies` lists them.")
    return rows[0]


def withdraw_reply(reply: str, *, reason: str) -> dict[str, Any]:
    """Take a reply out from the next opening on; done before, it changes nothing.

    Returns
    -------
    dict
        id, changed, reason, at, text.

    Raises
    ------
    UsageError
        Without a reason, or when there is no such reply.
    """
    reason, ledger = told(reason), open_ledger()
    row = _known(ledger, reply)
    before = withdrawn(ledger).get(reply)
    if before is not None:
        text = f"{reply} was withdrawn at {before['at']} ({before['reason']}): nothing was changed"
        return {"id": reply, "changed": False, "text": text, **_why(before)}
    made = {"reply": reply, "reason": reason, "at": wall_time()}
    ledger.append(_CHAIN, [{"kind": "reply_withdrawn", **made}])
    never = "" if row["taken"] else "; it was never in force"
    text = f"{reply} ({row['label']}) is out from the next opening of {row['book']} on{never}"
    return {"id": reply, "changed": True, "text": text, **_why(made)}


def _why(row: Row) -> dict[str, Any]:
    return {"reason": row["reason"], "at": row["at"]}


def proposals(
    ledger: Ledger, book: str = "", *, policy: Policy | None = None
) -> list[dict[str, Any]]:
    """What replies that still stand would loosen: id, book, reply, key, before, after, approved.

    Proposals of replies that were withdrawn or have expired are gone, unless they were approved.
    """
    agreed = {row["proposal"]: row for row in ledger.rows(_CHAIN, kind="approved")}
    gone, coming = withdrawn(ledger), _coming(ledger)
    found = []
    for row in ledger.rows(_CHAIN, kind="reply", **({"book": book} if book else {})):
        stale = row["id"] in gone or coming.get(row["book"], 0) >= row["expires"]
        for change in effects(row, policy).proposals if row["taken"] else ():
            name = sha256([row["id"], change.key, plain(change.after)])[:16]
            if name in agreed or not stale:
                what = {"id": name, "book": row["book"], "reply": row["id"], "key": change.key}
                values = {"before": plain(change.before), "after": plain(change.after)}
                yes = _why(agreed[name]) if name in agreed else None
                found.append({**what, **values, "approved": yes})
    return found


def approve(proposal: str, *, reason: str) -> dict[str, Any]:
    """Record an operator's approval of what a reply would loosen, and say what is left to do.

    Nothing changes by itself: parameters have one home, which the operator edits.

    Raises
    ------
    UsageError
        Without a reason, or when no such proposal waits.
    """
    reason, ledger = told(reason), open_ledger()
    waiting = {each["id"]: each for each in proposals(ledger)}
    if proposal not in waiting:
        open_ones = ", ".join(i for i, each in waiting.items() if not each["approved"]) or "none"
        raise UsageError(
            f"there is no proposal {proposal!r}",
            remedy=f"`hybridnb replies` lists them; waiting: {open_ones}.",
        )
    known = waiting[proposal]
    if known["approved"]:
        text = f"{proposal} was approved at {known['approved']['at']}: nothing was changed"
        return known | {"changed": False, "text": text}
    made = {name: known[name] for name in ("book", "reply", "key", "before", "after")}
    made |= {"proposal": proposal, "reason": reason, "at": wall_time()}
    ledger.append(_CHAIN, [{"kind": "approved", **made}])
    text = f"{proposal} approved and recorded; nothing changed yet. {_to_do(known)}"
    return known | {"approved": _why(made), "changed": True, "text": text}


def _to_do(known: Row) -> str:
    key, after = known["key"], json.dumps(known["after"])
    if key == STAY_DEMO:
        return (
            "To leave DEMO: `hybridnb keep-mode` after a kill, `hybridnb clear-quarantine` in a"
            " quarantine, else `hybridnb mode MODE`, each with --reason TEXT."
        )
    return (
        f"Set {key}: {after} in params/policy.yml (now {json.dumps(known['before'])}): the next"
        " session opens with it, as another policy."
    )


def replies_text(found: list[dict[str, Any]], waiting: list[dict[str, Any]]) -> str:
    """Every reply with its diffs, newest first, and the proposals with their ids."""
    lines = []
    for row in reversed(found):
        span = f"sessions {row['from_session']} to {row['expires'] - 1}"
        lines.append(
            f"{row['id']}  {row['book']} {row['session']}  {row['call']}  {row['label']}:"
            f" {row['state']}, {span}"
        )
        if row["why"]:
            lines.append(f"  {row['why']}")
        if row["refused"]:
            lines.append(f"  refused: {row['refused']}")
        if row["sandbox"]:
            lines.append(f"  sandbox: {json.dumps(row['sandbox'], ensure_ascii=False)}")
        lines += [f"  {_diff(Change(**c))}" for c in row["changes"]]
        lines += [f"  not applied: {_diff(Change(**c))}" for c in row["passed_over"]]
        mine = [p for p in waiting if p["reply"] == row["id"]]
        lines += [
            f"  proposal {p['id']}: {p['key']} {p['before']} → {p['after']}"
            + (f" (approved: {p['approved']['reason']})" if p["approved"] else "")
            for p in mine
        ]
    return "\n".join(lines) if lines else "no reply is recorded"


def _diff(change: Change) -> str:
    return f"{change.key} {change.before} → {change.after} ({change.reason})"
