"""What a GET answers: parts of the one read-model, under the names that chapter 08 gives them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hybridnb.app.server import bodies
from hybridnb.errors import UsageError

if TYPE_CHECKING:
    from hybridnb.app.status import Reader

Answer = dict[str, Any]
Status = Mapping[str, Any]


def status(reader: Reader, query: bodies.Empty) -> Answer:
    """The read-model whole."""
    return reader.lately()


def gpt5_status(reader: Reader, query: bodies.Empty) -> Answer:
    """The day's calls: how many, how many are left, and whether one can be made now."""
    found = reader.lately()["escalation"]
    names = ("calls_today", "daily_limit", "remaining", "last_call", "cooldowns", "resets_at")
    ready = bool(found["provider"]) and found["remaining"] > 0 and found["breaker"] != "open"
    return {name: found[name] for name in (*names, "provider", "breaker")} | {"available": ready}


def risk_status(reader: Reader, query: bodies.OfBook) -> Answer:
    """Mode, trading state, kill switch and limits: of one book at the top, of all in `books`."""
    now = reader.lately()
    meant = _book(now, query.book)
    return _risk(now, meant) | {
        "at": now["at"],
        "version": now["version"],
        "policy_id": now["policy_id"],
        "waiting": now["operators"],
        "books": now["books"],
    }


def _book(now: Status, asked: str) -> Mapping[str, Any] | None:
    """The book asked for, else the one that trades now, else the one of the newest session."""
    books = now["books"]
    if asked:
        found = [book for book in books if book["book"] == asked]
        if not found:
            names = ", ".join(book["book"] for book in books) or "none"
            raise UsageError(f"there is no book {asked!r}", remedy=f"Books: {names}.")
        return found[0]  # type: ignore[no-any-return]
    return max(books, key=lambda book: (book["live"], book["session"]), default=None)


_SAME = ("trading_state", "kill_switch", "killed_since", "locks", "limits", "open_risk", "sip")
_FACTS = ("equity", "net_liquidity", "currency", "day_pnl", "day_pnl_money", "drawdown")
_EXPOSURE = ("gross", "net", "cash", "positions", "session", "live", "as_of")


def _risk(now: Status, book: Mapping[str, Any] | None) -> Answer:
    if book is None:
        nothing = dict.fromkeys((*_SAME, "buckets", "names", "quarantine", "portfolio"))
        return nothing | {
            "book": None,
            "mode": now["asked_mode"],
            "trading_state": "ACTIVE",
            "kill_switch": "ready",
        }
    quarantine = {"until": book["quarantine_until"], "sessions_left": book["quarantine_left"]}
    return {name: book.get(name) for name in ("book", "mode", *_SAME)} | {
        "quarantine": quarantine | {"active": book["quarantine_left"] > 0},
        "buckets": book["usage"],
        "names": book["names"],
        "portfolio": {name: book.get(name) for name in (*_FACTS, *_EXPOSURE)},
    }


_LEARNED = ("accuracy", "sharpe", "hit_rate", "weights", "features", "reward_mix", "verdict")
_MODEL = ("policy_version", "policy_at", "model_version", "trained_to", "ensemble", "reasoner")


def model_stats(reader: Reader, query: bodies.Empty) -> Answer:
    """What the models are worth, what they are made of, and the verdict on them."""
    now = reader.lately()
    return {name: now["learning"].get(name) for name in (*_LEARNED, *_MODEL)} | {"at": now["at"]}


def alerts(reader: Reader, query: bodies.OfAlerts) -> Answer:
    """Alerts that wait for an acknowledgement, newest first."""
    from hybridnb.app.alerts import alerts as all_alerts

    found = all_alerts(reader.ledger, query.book)
    return {"alerts": [a for a in found[::-1] if query.all or a["acknowledged"] is None]}


def replies(reader: Reader, query: bodies.OfBook) -> Answer:
    """Reasoners' replies with what each changes, and proposals that wait, oldest first."""
    from hybridnb.app.replies import proposals, replies

    ledger = reader.ledger
    return {"replies": replies(ledger, query.book), "proposals": proposals(ledger, query.book)}


def runs(reader: Reader, query: bodies.Empty) -> Answer:
    """What ran, what is due, and the newest recorded notebook runs, newest first."""
    now = reader.lately()
    names = ("id", "job", "at", "status")
    rows = reader.ledger.rows("operations", kind="run")[:-101:-1]
    return {
        "ran": now["jobs"]["ran"],
        "due": now["jobs"]["due"],
        "runs": [{name: row[name] for name in names} for row in rows],
        "heartbeat": now["heartbeat"],
    }


def golive(reader: Reader, query: bodies.OfBook) -> Answer:
    """The go-live plan and the promotion criteria, each with its evidence."""
    from hybridnb.app.golive import check

    return check(book=query.book)


def _braked(reader: Reader) -> bool:
    """Whether the emergency brake was put on last."""
    rows = reader.ledger.rows("operations", kind="operator")
    last = [row["action"] for row in rows if row["action"] in ("brake-on", "brake-off")][-1:]
    return last == ["brake-on"]


def health(reader: Reader, query: bodies.Empty) -> Answer:
    """The subsystems, none of which is built in yet: their place is here."""
    return {
        "status": "not_initialized",
        "timestamp": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "initialized": False,
        "integration_stage": None,
        "services": {},
        "enabled_subsystems": [],
        "emergency_brake": _braked(reader),
    }


def integration(reader: Reader, query: bodies.Empty) -> Answer:
    """As `health`, with each subsystem's health, effective mode, hook counts and latencies."""
    return health(reader, query) | {"subsystems": {}, "hooks": {}}
