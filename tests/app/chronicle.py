"""A book that trades nothing: its control plane, session after session, in a real ledger."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import at_opening
from hybridnb.app.records import Recorder
from hybridnb.app.standing import stood
from hybridnb.app.state import State
from hybridnb.book import Book
from hybridnb.canonical import sha256
from hybridnb.domain import SCALE, Mode
from hybridnb.escalation.calls import Call
from hybridnb.escalation.triggers import Trigger
from hybridnb.policy import Policy, policy_values
from hybridnb.risk import RiskState, marked, opened

RISK = Policy().risk
LOSS = -0.03


class Chronicle:
    """Each session opens with what operators asked for and is marked; as the ledger has it.

    Sessions are days to come, so that a frontier may be asked about them.
    """

    def __init__(self, *, mode: Mode = Mode.LIVE, name: str = "book", watched: bool = True) -> None:
        self.ledger, self.name, self.watched = open_ledger(), name, watched
        self.risk = RiskState(mode=mode, ordinal=100)
        self.equity = 1_000_000 * SCALE
        self.session = ""
        self.replies = 0

    @property
    def kills(self) -> int:
        return len(self.risk.kills)

    def trade(self, *pnls: float, skip: int = 0, close: bool = True) -> list[dict[str, Any]]:
        """One session, after `skip` that weren't traded; its rows."""
        ordinal = self.risk.ordinal + 1 + skip
        self.session = (dt.date(2040, 1, 1) + dt.timedelta(days=ordinal)).isoformat()
        record = self._record()
        actions = at_opening(self.ledger, self.name, self.session)
        self.risk, alerts = opened(self.risk, ordinal)
        record.add("inputs", feed="sample")
        record.add("policy", policy_id=Policy().id, values=policy_values(Policy()))
        record.opening(self.equity, self.risk, decided=True)
        for action in actions:
            record.add("operator", **action)
            self.risk = stood(self.risk, action)
        for pnl in pnls or (0.0,):
            alerts += self._mark(record, pnl)
        for alert in alerts:
            record.alert(alert)
        if self.watched:
            record.add("facts", facts={}, unknown=[])
        record.commit()
        if close:
            self.close(record, pnls[-1] if pnls else 0.0)
        return record.rows

    def _mark(self, record: Recorder, pnl: float) -> tuple[str, ...]:
        before = self.risk.killed
        self.risk, alerts = marked(self.risk, RISK, pnl, at=self.session)
        record.mark(at="close", equity=self.equity, day_pnl=pnl, risk=self.risk)
        if self.risk.killed and not before and self.watched:
            at = f"{self.session}T15:00:00+00:00"
            record.add(
                "escalation",
                id=self.event,
                trigger=Trigger.KILL_SWITCH,
                call=Call.SANITY_JUDGE,
                at=at,
                conditions=["kill"],
                joined=[],
            )
        return alerts

    @property
    def event(self) -> str:
        """Id of the session's kill-switch escalation."""
        return f"{self.name}-{self.session}-kill_switch-1500"

    def _record(self) -> Recorder:
        def sink(rows: Any) -> None:
            self.ledger.ensure("session", rows, book=self.name, session=self.session)

        return Recorder(book=self.name, session=self.session, stamp={}, sink=sink)

    def close(self, record: Recorder, pnl: float) -> None:
        self.equity = round(self.equity * (1 + pnl))
        state = State(book=Book(cash=self.equity), risk=self.risk)
        record.closing(state=state, equity=self.equity, day_pnl=pnl, drawdown=0.0, prices={})
        record.commit()

    def kill(self, times: int = 1, *, mode: Mode | None = None) -> None:
        """So many sessions with the switch tripped."""
        for _ in range(times):
            if mode is not None:
                self.risk = replace(self.risk, mode=mode)
            self.trade(LOSS)

    def reply(
        self,
        *,
        stay: bool = False,
        by: str = "frontier",
        session: str = "",
        manual: bool = False,
        taken: bool = True,
        ordinal: int = 0,
        changes: dict[str, Any] | None = None,
    ) -> str:
        """A judge's reply about a session, recorded as whoever asks records it; its id."""
        self.replies += 1
        about = session or self.session
        event = f"{self.name}-{about}-kill_switch-1500"
        row = {
            "kind": "reply",
            "id": sha256([self.name, self.replies])[:16],
            "escalation": f"asked-{self.replies}" if manual else event,
            "book": self.name,
            "session": about,
            "ordinal": ordinal or self.risk.ordinal,
            "call": "SANITY_JUDGE",
            "by": by,
            "label": f"{by}: a model",
            "why": "" if by == "frontier" else "the frontier timed out",
            "reply": {"stay_demo": stay, "live_changes": changes},
            "from_session": (ordinal or self.risk.ordinal) + 1,
            "expires": (ordinal or self.risk.ordinal) + 6,
            "toggles_frozen": False,
            "taken": taken,
            "sandbox": None,
            "refused": "" if taken else "it would have breached a limit",
        }
        self.ledger.append("operations", [row])
        return str(row["id"])
