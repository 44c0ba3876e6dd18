"""Material changes (control T5): found by comparing each session with the one before.

A change of policy, parameters, seed or features is material, and so is another model. A person
approves the former, by name and with a reason; a model's approval is its gates' verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import told, wall_time
from hybridnb.canonical import sha256
from hybridnb.errors import UsageError
from hybridnb.ledger.store import Ledger

Row = Mapping[str, Any]
APPROVED = "change_approved"  # kind of the row
_INPUTS = {
    "learning": "training parameters",
    "symbols": "classes of symbols",
    "schedule": "training schedule",
    "seed": "seed",
    "feature_set": "features",
}
_SHOWN = 16  # characters of a digest


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that isn't as it was in the book's session before.

    Attributes
    ----------
    approved : str
        Who or what approved it, and why; empty while nobody did.
    """

    id: str
    book: str
    session: str
    what: str
    before: str
    after: str
    approved: str = ""


def changes(ledger: Ledger) -> list[Change]:
    """Every material change of every book, oldest first."""
    approvals = {row["change"]: row for row in ledger.rows("operations", kind=APPROVED)}
    verdicts = {row["model_version"]: row for row in ledger.rows("operations", kind="verdict")}
    found = [*_policies(ledger, approvals), *_inputs(ledger, approvals, verdicts)]
    return sorted(found, key=lambda change: (change.session, change.book, change.what))


def _pairs(ledger: Ledger, kind: str) -> Iterator[tuple[Row, Row]]:
    """Each row of a kind with the same book's row before."""
    before: dict[str, Row] = {}
    for row in ledger.rows("session", kind=kind):
        if row["book"] in before:
            yield before[row["book"]], row
        before[row["book"]] = row


def _policies(ledger: Ledger, approvals: Mapping[str, Row]) -> Iterator[Change]:
    for old, new in _pairs(ledger, "policy"):
        if old["policy_id"] == new["policy_id"]:
            continue
        was, now = dict(_flat(old["values"])), dict(_flat(new["values"]))
        for key in sorted({*was, *now}):
            before, after = was.get(key, "–"), now.get(key, "–")
            if before != after:
                yield _change(new, f"policy {key}", before, after, approvals)


def _inputs(
    ledger: Ledger, approvals: Mapping[str, Row], verdicts: Mapping[str, Row]
) -> Iterator[Change]:
    for old, new in _pairs(ledger, "inputs"):
        for key, words in _INPUTS.items():
            before, after = str(old.get(key, "–")), str(new.get(key, "–"))
            if before != after:
                yield _change(new, words, before[:_SHOWN], after[:_SHOWN], approvals)
        before, after = (str(row.get("model_version") or "none") for row in (old, new))
        if before != after:
            verdict = verdicts.get(after)
            by = f"verdict {verdict['id'][:8]}: {verdict['status']}" if verdict else ""
            yield _change(new, "model", before[:_SHOWN], after[:_SHOWN], approvals, by=by)


def _change(
    row: Row, what: str, before: str, after: str, approvals: Mapping[str, Row], *, by: str = ""
) -> Change:
    book, session = str(row["book"]), str(row["session"])
    key = sha256([book, session, what, before, after])[:16]
    seen = approvals.get(key)
    approved = f"{seen['by']}, {seen['at'][:10]}: {seen['reason']}" if seen else by
    return Change(key, book, session, what, before, after, approved)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def list_changes(*, unapproved: bool = False) -> list[dict[str, Any]]:
    """Material changes as plain values; with `unapproved` those alone that nobody approved."""
    found = changes(open_ledger())
    return [asdict(each) for each in found if not (unapproved and each.approved)]


def approve_change(change: str, *, by: str, reason: str) -> dict[str, Any]:
    """Record a person's approval of a material change; done before, it changes nothing.

    Returns
    -------
    dict
        The change, with `changed`.

    Raises
    ------
    UsageError
        Without a name or a reason, or when there is no such change.
    """
    reason, ledger = told(reason), open_ledger()
    if not by.strip():
        raise UsageError("an approval needs who approves", remedy="Give --by NAME.")
    known = {each.id: each for each in changes(ledger)}
    if change not in known:
        raise UsageError(f"there is no change {change!r}", remedy="`hybridnb changes` lists them.")
    if any(row["change"] == change for row in ledger.rows("operations", kind=APPROVED)):
        return asdict(known[change]) | {"changed": False}
    row = {"kind": APPROVED, "change": change, "by": by.strip(), "reason": reason}
    ledger.append("operations", [row | {"at": wall_time()}])
    (made,) = [each for each in changes(ledger) if each.id == change]
    return asdict(made) | {"changed": True}


def changes_text(found: list[dict[str, Any]]) -> str:
    """A line a change."""
    lines = [
        f"{c['id']}  {c['session']}  {c['book']}  {c['what']}: {c['before']} → {c['after']}"
        f"  [{c['approved'] or 'not approved'}]"
        for c in found
    ]
    return "\n".join(lines) if lines else "no material change"
