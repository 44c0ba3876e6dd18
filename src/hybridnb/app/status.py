"""The one read-model: what dashboard, API and command line show of the present state."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hybridnb.app.alerts import alerts, alerts_text
from hybridnb.app.book_status import book_status
from hybridnb.app.escalation_state import escalation_lines, read_escalation
from hybridnb.app.home import home, shipped
from hybridnb.app.learning_status import learning_status, policy_of, trained_to
from hybridnb.app.live_view import live_rows, live_stamp
from hybridnb.app.operators import pending
from hybridnb.app.records import decision_rows
from hybridnb.app.schedule.board import jobs_board
from hybridnb.app.settings import Settings, settings
from hybridnb.domain import SCALE
from hybridnb.errors import ParamsError
from hybridnb.ledger.mirror import Mirror

SHARED = 1.0  # seconds
ALERTS = 10  # unacknowledged ones that are shown


class Reader:
    """Reads the present state again and again; what was read once stays in memory.

    One reader a process: it may be shared between threads.

    Raises
    ------
    ParamsError, Missing
        When the parameters or the home can't be read.
    """

    def __init__(self) -> None:
        self._home = home()
        self.ledger = Mirror(self._home.ledger_url, heads=self._home.heads)
        self._stamp = params_stamp(shipped("params"))
        self._known = settings(shipped("params"))
        self._trained: dict[str | None, str | None] = {None: None}
        self._lately: tuple[float, dict[str, Any]] | None = None

    @property
    def _settings(self) -> Settings:
        """The parameters, read anew when a file of theirs was changed.

        A file that can't be read, such as one half written, leaves what was read before: the
        command that trades by it refuses, and says why.
        """
        stamp = params_stamp(shipped("params"))
        if stamp != self._stamp:
            with contextlib.suppress(ParamsError):
                self._known = settings(shipped("params"))
            self._stamp = stamp
        return self._known

    def version(self) -> int:
        """Changes whenever there is something new to show; cheap to ask."""
        counts = sum(self.ledger.count(chain) for chain in ("session", "operations"))
        return counts + live_stamp(self._home) + params_stamp(shipped("params"))

    def lately(self) -> dict[str, Any]:
        """The present state, shared by those who ask within a second while nothing changes."""
        now = time.monotonic()
        if self._lately is not None:
            made, found = self._lately
            if now - made < SHARED and found["version"] == self.version():
                return found
        self._lately = now, self.status()
        return self._lately[1]

    def status(self) -> dict[str, Any]:
        """Each book with its distances to limits, what decides, jobs, alerts, escalation."""
        version, ledger, now = self.version(), self.ledger, dt.datetime.now(dt.UTC)
        known = self._settings
        waiting = [alert for alert in alerts(ledger) if alert["acknowledged"] is None]
        last = {row["book"]: row for row in ledger.rows("session", kind="session_closed")}
        live = {row["book"]: row for row in live_rows(self._home, last)}
        shown = {book: (last | live)[book] for book in sorted(last | live)}
        newest = max(shown.values(), key=lambda row: row["session"], default=None)
        return {
            "at": now.isoformat(timespec="milliseconds"),
            "version": version,
            "home": str(self._home.root),
            "policy_id": known.policy.id,
            "asked_mode": str(known.policy.mode),
            "ledger": {
                "rows": {chain: ledger.count(chain) for chain in ("session", "operations")},
                "head": ledger.head("session"),
            },
            "operators": [
                {"book": book, **action} for book in shown for action in pending(ledger, book)
            ],
            "heartbeat": asdict(beats[-1]) if (beats := ledger.beats()) else None,
            "books": [
                book_status(ledger, row, policy_of(known, ledger, book), live=book in live)
                for book, row in shown.items()
            ],
            "learning": self._learning(newest["book"] if newest else ""),
            "jobs": jobs_board(ledger, now),
            "verdicts": [
                {k: row.get(k) for k in ("session", "model_version", "status", "valid_until")}
                for row in ledger.rows("operations", kind="verdict")[-3:]
            ],
            "alerts": {"unacknowledged": len(waiting), "newest": waiting[: -ALERTS - 1 : -1]},
            "escalation": read_escalation(ledger, known, now),
        }

    def series(self, book: str) -> dict[str, list[Any]]:
        """Equity in account units and drawdown as a share, at the close of each session."""
        closed = self.ledger.rows("session", kind="session_closed", book=book)
        live = [
            r for r in live_rows(self._home, {r["book"]: r for r in closed}) if r["book"] == book
        ]
        rows = [*closed, *live]
        return {
            "sessions": [row["session"] for row in rows],
            "equity": [row["equity"] / SCALE for row in rows],
            "drawdown": [row["drawdown"] for row in rows],
        }

    def scores(self, book: str) -> dict[str, Any]:
        """Scores of the newest decided session, with the thresholds they were held against."""
        opened = self.ledger.rows("session", kind="session_opened", book=book)
        decided = [row["session"] for row in opened if row["decided"]]
        blend = policy_of(self._settings, self.ledger, book).blend
        found: dict[str, Any] = {
            "session": None,
            "buy": blend.buy,
            "sell": blend.sell,
            "scores": [],
        }
        if decided:
            where = {"book": book, "session": decided[-1]}
            kinds = ("decision", "universe")
            rows = [r for kind in kinds for r in self.ledger.rows("session", kind=kind, **where)]
            known = [row["score"] for row in decision_rows(rows)]
            found |= {"session": decided[-1], "scores": [s for s in known if s is not None]}
        return found

    def _learning(self, book: str) -> dict[str, Any]:
        shown = learning_status(self.ledger, self._settings, book)
        version = shown["model_version"]
        if version not in self._trained:
            self._trained[version] = trained_to(self._home, version)
        return shown | {"trained_to": self._trained[version]}


def params_stamp(folder: Path) -> int:
    """Changes whenever a file of the parameters does; nanoseconds."""
    return sum(path.stat().st_mtime_ns for path in folder.glob("*.yml"))


def read_status() -> dict[str, Any]:
    """The present state, read once."""
    return Reader().status()


def _quarantine(book: dict[str, Any]) -> str:
    left = book["quarantine_left"]
    return f", in quarantine for {left} more sessions" if left else ""


def status_text(status: dict[str, Any]) -> str:
    """The read-model as lines for a terminal."""
    lines = [
        f"home {status['home']}",
        f"policy {status['policy_id'][:16]}, asked mode {status['asked_mode']}",
        f"ledger {sum(status['ledger']['rows'].values()):,} rows, head {status['ledger']['head']}",
    ]
    for book in status["books"]:
        lines += [
            "",
            f"{book['book']} after {book['session']}: {book['mode']}, {book['trading_state']},"
            f" kill switch {book['kill_switch']}{_quarantine(book)}",
            f"  equity {book['equity']:,.2f}, day {book['day_pnl']:+.3%},"
            f" drawdown {book['drawdown']:.3%}, {book['positions']} positions",
            *(
                f"  {name}: {u['used']:.2%} of {u['limit']:.2%}"
                for name, u in book["usage"].items()
            ),
            *(f"  locked {lock}" for lock in book["locks"]),
        ]
    for action in status["operators"]:
        what = " ".join(filter(None, (action["action"], action["lock"], action["symbol"])))
        lines.append(f"asked of {action['book']}, not applied yet: {what} ({action['reason']})")
    if (beat := status["heartbeat"]) is not None:
        lines += [
            "",
            f"last run {beat['run']}: cell {beat['cell']} of {beat['cells']}, {beat['at']}",
        ]
    for verdict in status["verdicts"]:
        lines.append(f"verdict of {verdict['session']}: {verdict['status']}")
    if not status["books"]:
        lines.append("no session was traded yet")
    return "\n".join([*lines, "", *escalation_lines(status["escalation"]), *_alert_lines(status)])


def _alert_lines(status: dict[str, Any]) -> list[str]:
    waiting = status["alerts"]
    if not waiting["unacknowledged"]:
        return []
    head = f"{waiting['unacknowledged']} alerts to acknowledge (`hybridnb ack ID --reason TEXT`)"
    return ["", head, *(f"  {line}" for line in alerts_text(waiting["newest"][::-1]).split("\n"))]
