"""What the local reasoner makes of a session when it is over: words for people, nothing else.

The strongest disagreements between predictors are explained, and where the model has decayed
features are proposed. No decision ever reads these rows: an explanation is shown as a model's
words, a proposal waits for a person, who tries it on held-out sessions first.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybridnb.app.asking import Asking
from hybridnb.app.briefing import book_rows, full_facts
from hybridnb.app.explain import EXPLAINED
from hybridnb.app.frontier import Now, record_local
from hybridnb.app.progress import Say
from hybridnb.app.reasoners import open_reasoner
from hybridnb.app.records import decision_rows
from hybridnb.app.watching import read_facts
from hybridnb.canonical import plain
from hybridnb.domain import Outcome
from hybridnb.errors import Missing
from hybridnb.escalation.advisor import Advice, Task, question, read
from hybridnb.escalation.enrich import Enricher, event_key
from hybridnb.escalation.triggers import Trigger
from hybridnb.market.features import FEATURES
from hybridnb.ports import Answer, Question, Reasoner

PROPOSED = "features_proposed"
MOST = 8  # conflicts of a session that are explained
PATIENCE = 45.0  # seconds for all that is asked about a session
LATE = 2  # questions without an answer in time; the first may have loaded the model
EVEN = 0.5  # a probability on either side of it is a direction
_SIGNALS = ("p_short", "p_mid", "rl", "win_long", "win_short", "sentiment", "liquidity")
_MARKET = ("volatility_z", "correlation", "correlation_floor")
_DECISION = ("score", "confidence", "action", "size_post_risk", "refusals", "reasons")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Put:
    """A question and the row that will hold what came of it; `about` names it in the record."""

    task: Task
    about: str
    row: Row
    question: Question


class Noted:
    """A reasoner whose answers are kept, and who isn't asked again once it seems to be away.

    Parameters
    ----------
    reasoner : Reasoner
    now : callable
        The wall clock, with its time zone.

    Attributes
    ----------
    answers : dict
        By the question's key: question, answer, when it came. Only what was really asked.
    """

    def __init__(self, reasoner: Reasoner, now: Now) -> None:
        self.name = reasoner.name
        self.answers: dict[str, tuple[Question, Answer, dt.datetime]] = {}
        self._reasoner, self._now = reasoner, now
        self._last: Answer | None = None
        self._late = 0

    @property
    def away(self) -> bool:
        """Nobody was there, or nobody answered in time too often."""
        unreachable = self._last is not None and self._last.outcome is Outcome.UNREACHABLE
        return unreachable or self._late >= LATE

    def ask(self, question: Question) -> Answer:
        if self._last is not None and self.away:
            return self._last
        answer = self._last = self._reasoner.ask(question)
        self._late = self._late + 1 if answer.outcome is Outcome.TIMEOUT else 0
        self.answers[event_key(question)] = question, answer, self._now()
        return answer

    def close(self) -> None:
        self._reasoner.close()


def enrich_session(asking: Asking, rows: Sequence[Row], say: Say) -> list[dict[str, Any]]:
    """Have the local reasoner explain a session's conflicts, and propose features on decay.

    It is asked on the side, within `PATIENCE` seconds for everything; where it is away one attempt
    tells, and no more is asked. What was recorded of a session isn't asked for again.

    Parameters
    ----------
    asking : Asking
    rows : sequence of mapping
        The session's rows in the session chain.

    Returns
    -------
    list of dict
        The new rows of the operations chain: `explained` {book, session, symbol, decision_id,
        outcome, by, model, advice} and `features_proposed` {book, session, escalation, outcome,
        by, model, advice}; `advice` is None unless the outcome is ok.

    Raises
    ------
    Refused
        When another process is answering.
    """
    put = _wanted(asking, rows)
    if not put:
        return []
    try:
        reasoner = open_reasoner(asking.context.settings.escalation.local)
    except Missing as error:
        say(f"nothing was explained: {error}")
        return []
    if reasoner is None:
        return []
    with asking.context.home.locked("asking"):
        noted = Noted(reasoner, asking.now)
        try:
            with Enricher(noted, clock=time.monotonic) as enricher:
                for each in put:
                    enricher.offer(each.question)
                enricher.settle(PATIENCE)
        finally:
            noted.close()
        found = [row for each in put if (row := _recorded(asking, each, noted)) is not None]
        asking.ledger.append("operations", found)
    told = sum(row["outcome"] == Outcome.OK for row in found)
    say(f"{asking.context.session}: {told} of {len(put)} questions answered by the local reasoner")
    return found


def conflicts(rows: Sequence[Row]) -> list[Row]:
    """Decisions whose predictors point to opposite sides, the widest apart first.

    Parameters
    ----------
    rows : sequence of mapping
        A session's rows.

    Returns
    -------
    list of mapping
        At most `MOST` decisions, by the distance of p_short from p_mid, then by symbol.
    """
    apart = []
    for row in decision_rows(rows):
        short, mid = row["inputs"]["p_short"], row["inputs"]["p_mid"]
        if short is not None and mid is not None and (short - EVEN) * (mid - EVEN) < 0.0:
            apart.append((-abs(short - mid), str(row["symbol"]), row))
    return [row for *_, row in sorted(apart, key=lambda each: each[:2])[:MOST]]


def _wanted(asking: Asking, rows: Sequence[Row]) -> list[Put]:
    """What is to be asked; nothing of a session that has been asked about."""
    same = {"book": asking.book, "session": asking.context.session}
    if any(asking.ledger.rows("operations", kind=k, **same) for k in (EXPLAINED, PROPOSED)):
        return []
    opened = next((row for row in rows if row["kind"] == "session_opened"), {})
    return [_conflict(row, opened, same) for row in conflicts(rows)] + [
        _decay(asking, row, rows, same)
        for row in rows
        if row["kind"] == "escalation" and _decayed(row)
    ]


def _decayed(row: Row) -> bool:
    return Trigger.MODEL_DECAY in (row["trigger"], *row["joined"])


def _conflict(row: Row, opened: Row, same: Row) -> Put:
    given = row["inputs"]
    facts = {
        "symbol": row["symbol"],
        "session": row["session"],
        "signals": {name: given[name] for name in _SIGNALS},
        "features": row.get("features") or {},
        "market": {"regime": opened.get("regime")} | {name: given[name] for name in _MARKET},
        "decision": {name: row[name] for name in _DECISION},
    }
    name = str(row["decision_id"])
    kept = {"kind": EXPLAINED, **same, "symbol": row["symbol"], "decision_id": name}
    task = Task.EXPLAIN_CONFLICT
    return Put(task, name, kept, question(task, plain(facts)))


def _decay(asking: Asking, row: Row, rows: Sequence[Row], same: Row) -> Put:
    """The features' hit rates as of the session's close; what is switched off may be added."""
    told: Row = next((r["facts"] for r in rows if r["kind"] == "facts"), {})
    known = read_facts({"session": same["session"], **told})
    seen = book_rows(asking.ledger, asking.book, asking.context.session)
    ready = asking.ready()
    found = full_facts(known, rows=seen, panel=ready.panel, context=asking.context)
    off: Sequence[str] = next((r["disabled"] for r in rows if r["kind"] == "in_force"), [])
    facts = {
        "session": same["session"],
        "conditions": row["conditions"],
        "hit_rates": {name: found.feature_performance.get(name) for name in FEATURES},
        "may_be_added": off,
        "ensemble_accuracy": found.ensemble_accuracy,
        "accuracy_baseline": found.accuracy_baseline,
        "sharpe_ratio": found.sharpe_ratio,
    }
    name = str(row["id"])
    task = Task.PROPOSE_FEATURES
    kept = {"kind": PROPOSED, **same, "escalation": name}
    return Put(task, name, kept, question(task, plain(facts)))


def _recorded(asking: Asking, put: Put, noted: Noted) -> dict[str, Any] | None:
    """What came of a question, its attempt recorded; None where it wasn't asked."""
    asked = noted.answers.get(event_key(put.question))
    if asked is None:
        return None
    sent, answer, at = asked
    record_local(asking.ledger, answer, sent, name=noted.name, about=put.about, at=at)
    advice: Advice = read(put.task, answer, asked=sent)
    values = advice.reply.model_dump(mode="json") if advice.reply is not None else None
    told = {"outcome": advice.outcome, "by": noted.name, "model": answer.model, "advice": values}
    return dict(plain({**put.row, **told}))
