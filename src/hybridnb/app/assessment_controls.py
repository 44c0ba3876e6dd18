"""What the ledger holds of each control in a period: facts, or that nothing here can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from hybridnb.app import backup, changes, control_tests, loadtest, restore, shutdown
from hybridnb.app.period import Period
from hybridnb.domain import OrderState, Refusal

NONE = "nothing of it happened in the period"
Row = Mapping[str, Any]


class Seen:
    """A period, with what several controls ask for counted once."""

    def __init__(self, period: Period) -> None:
        self.period = period
        self.orders = period.session("order")
        self.refused = Counter(
            code
            for row in self.orders
            if row["state"] == OrderState.REJECTED
            for code in row["refusals"]
        )
        self.asked = Counter(str(row["action"]) for row in period.operations("operator"))

    def marks(self) -> tuple[int, int]:
        """Marks, and those of them that found the switch latched."""
        rows = self.period.session("mark")
        return len(rows), sum(bool(row["killed"]) for row in rows)


def evidence(period: Period) -> dict[str, str]:
    """A sentence for every control, by its id."""
    seen = Seen(period)
    return {name: ask(seen) for name, ask in _EVIDENCE.items()}


def _acted(*actions: str) -> Callable[[Seen], str]:
    def ask(seen: Seen) -> str:
        found = [f"{name} {seen.asked[name]}×" for name in actions if seen.asked[name]]
        return ", ".join(found) or NONE

    return ask


def _refusals(*codes: Refusal) -> Callable[[Seen], str]:
    def ask(seen: Seen) -> str:
        if not seen.orders:
            return "no order in the period"
        found = [f"{c.name} {seen.refused[str(c.name)]}" for c in codes]
        return f"refused of {len(seen.orders)} order rows: {', '.join(found)}"

    return ask


def _attributed(seen: Seen) -> str:
    if not seen.orders:
        return "no order in the period"
    bare = sum(not row.get("decision_id") for row in seen.orders)
    return f"{len(seen.orders)} order rows, {bare} without a decision"


def _kills(seen: Seen) -> str:
    marks, killed = seen.marks()
    closed = sum(row["snapshot"]["risk"]["killed"] for row in seen.period.closed)
    return f"{closed} sessions killed; latched at {killed} of {marks} marks"


def _reserved(seen: Seen) -> str:
    sent = len({row["client_id"] for row in seen.orders})
    return f"{sent} orders were each checked with all before them" if sent else NONE


def _disabled(seen: Seen) -> str:
    rows = seen.period.session("disabled")
    return f"{len(rows)} symbols disabled; {_refusals(Refusal.DISABLED)(seen)}"


def _limits(seen: Seen) -> str:
    found = [c for c in changes.changes(seen.period.ledger) if c.session in seen.period.span]
    policy = [c for c in found if c.what.startswith("policy ")]
    open_ones = sum(not c.approved for c in policy)
    return f"{len(policy)} changed keys of the policy, {open_ones} without an approval"


def _watched(seen: Seen) -> str:
    marks, _ = seen.marks()
    return f"{marks} marks, {len(seen.period.alerts)} alerts"


def _fills(seen: Seen) -> str:
    return f"{len(seen.period.session('fill'))} executions recorded"


def _foreign(seen: Seen) -> str:
    found = len(seen.period.session("foreign")) + len(seen.period.session("adopted"))
    done = len(seen.period.session("reconciled"))
    return f"{done} reconciliations with a broker, {found} with a difference for a person"


def _resumed(seen: Seen) -> str:
    runs = Counter(str(row["status"]) for row in seen.period.operations("run"))
    told = ", ".join(f"{n} {status}" for status, n in sorted(runs.items()))
    return f"runs: {told}" if runs else NONE


def _unknown_orders(seen: Seen) -> str:
    found = sum(row["state"] == OrderState.UNKNOWN for row in seen.orders)
    return f"{found} of {len(seen.orders)} order rows were in flight and unknown"


def _halted(seen: Seen) -> str:
    rows = seen.period.session("halted")
    causes = Counter(str(row.get("cause", "")) for row in rows)
    return ", ".join(f"{cause} {n}×" for cause, n in sorted(causes.items())) or NONE


def _sandboxes(seen: Seen) -> str:
    tested = len(seen.period.operations(control_tests.TESTED))
    loads = len(seen.period.operations(loadtest.TESTED))
    return f"{tested} tests of controls and {loads} load tests in homes of their own"


def _yearly(seen: Seen) -> str:
    rows = seen.period.operations(control_tests.TESTED)
    if not rows:
        return "not tested in the period: run hybridnb controls --test"
    results = Counter(rows[-1]["results"].values())
    return f"{rows[-1]['at'][:10]}: {results['passed']} of {results.total()} passed"


def _load(seen: Seen) -> str:
    rows = seen.period.operations(loadtest.TESTED)
    if not rows:
        return "not tested in the period: run hybridnb loadtest"
    last = rows[-1]
    held = all(last["checks"].values())
    return (
        f"{last['at'][:10]}: {last['messages']} messages at {last['messages_per_s']:,.0f} a second,"
        f" {'all checks held' if held else 'not all checks held'}"
    )


def _changes(seen: Seen) -> str:
    found = [c for c in changes.changes(seen.period.ledger) if c.session in seen.period.span]
    return f"{len(found)} material changes, {sum(not c.approved for c in found)} not approved"


def _continuity(seen: Seen) -> str:
    counts = [
        f"{len(seen.period.operations(kind))} {words}"
        for kind, words in (
            (shutdown.KIND, "orderly shutdowns"),
            (backup.KIND, "backups"),
            (restore.KIND, "restores"),
        )
    ]
    return ", ".join(counts)


_EVIDENCE: dict[str, Callable[[Seen], str]] = {
    "K1": _acted("cancel-all"),
    "K2": _attributed,
    "K3": _kills,
    "P1": _refusals(Refusal.COLLAR),
    "P2": _refusals(Refusal.ORDER_VALUE),
    "P3": _refusals(Refusal.ORDER_VOLUME),
    "P4": _refusals(Refusal.THROTTLED),
    "P5": _reserved,
    "P6": _disabled,
    "P7": _refusals(Refusal.CREDIT, Refusal.MARGIN),
    "P8": _refusals(Refusal.DUPLICATE, Refusal.INVALID),
    "P9": _refusals(Refusal.DO_NOT_TRADE),
    "P10": _refusals(Refusal.UNEXECUTED),
    "P11": _limits,
    "M1": _watched,
    "M2": _fills,
    "M3": _foreign,
    "N1": _resumed,
    "N2": _unknown_orders,
    "N3": _foreign,
    "N4": _refusals(Refusal.INVALID, Refusal.NOT_FINITE),
    "N5": _halted,
    "N6": _halted,
    "N7": _kills,
    "T1": _sandboxes,
    "T2": _yearly,
    "T3": lambda seen: "this page",
    "T4": _load,
    "T5": _changes,
    "B1": _continuity,
}
