"""Days 6 and 7 of the plan, and the promotion criteria of the step to LIVE.

The session risk gates must hold for 10 consecutive sessions of the exchange; the other criteria
are measured over the book's last 60. A bar that is missed is "not done" however few sessions
there are; one that is kept needs all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hybridnb import metrics
from hybridnb.app.alerts import alerts
from hybridnb.app.golive import Item, State
from hybridnb.app.golive_items import GATE_SESSIONS, SESSIONS, Evidence, Row, item, some
from hybridnb.app.session_gates import GATES
from hybridnb.domain import Mode
from hybridnb.gates.presets import LIVE

_BARS = {bar.key: bar.threshold for bar in LIVE}
SHARPE, DRAWDOWN, ESCALATIONS = (_BARS[key] for key in ("sharpe", "drawdown", "escalations"))
REVIEWS = 7  # post-mortems: one a day of the plan

Found = tuple[State, str, Sequence[Row]]


def later(seen: Evidence) -> list[Item]:
    """Day 6, which LIVE_LIMITED waits for; day 7, which LIVE waits for."""
    micro, limited = seen.modes(Mode.LIVE_MICRO), seen.modes(Mode.LIVE_LIMITED)
    sixth = [
        ("micro", "traded in LIVE_MICRO", _traded(seen, micro)),
        ("figures", "risk figures watched in each of those", _watched(seen, micro)),
        ("execution", "execution verified against the broker", _reconciled(seen, micro)),
    ]
    seventh = [
        ("limited", "traded in LIVE_LIMITED", _traded(seen, limited)),
        ("monitoring", "risk figures watched in each of those", _watched(seen, limited)),
        ("alerting", "every alert acknowledged", _acknowledged(seen)),
        ("review", "daily review", _reviewed(seen)),
    ]
    return [
        *(item(Mode.LIVE_LIMITED, "day 6", *each) for each in sixth),
        *(item(Mode.LIVE, "day 7", *each) for each in seventh),
    ]


def _traded(seen: Evidence, sessions: Sequence[str]) -> Found:
    rows = [row for row in seen.closed if row["session"] in sessions]
    return some(rows, f"{len(rows)} sessions", "no session")


def _watched(seen: Evidence, sessions: Sequence[str]) -> Found:
    """Marks, and the portfolio's facts at the close, of every session in the mode."""
    if not sessions:
        return State.EVIDENCE, "no session", ()
    marks = {row["session"] for row in seen.rows("mark") if row["day_pnl"] is not None}
    facts = [row for row in seen.rows("facts") if row["session"] in sessions]
    bare = sorted(set(sessions) - marks) + sorted(set(sessions) - {r["session"] for r in facts})
    if bare:
        return State.OPEN, f"without marks or facts: {', '.join(bare[:5])}", facts
    return State.DONE, f"{len(sessions)} sessions with marks and facts", facts


def _reconciled(seen: Evidence, sessions: Sequence[str]) -> Found:
    """The last comparison with the broker in every session in the mode found no difference."""
    last = {r["session"]: r for r in seen.rows("reconciled") if r["session"] in sessions}
    if not sessions:
        return State.EVIDENCE, "no session", ()
    missing = sorted(set(sessions) - last.keys())
    wrong = [session for session, row in sorted(last.items()) if row["differences"]]
    if missing or wrong:
        told = f"{len(missing)} not compared with a broker, {len(wrong)} with differences"
        return State.OPEN, told, list(last.values())
    return State.DONE, f"{len(last)} sessions agree with the broker", list(last.values())


def _acknowledged(seen: Evidence) -> Found:
    found = alerts(seen.ledger, seen.book)
    waiting = [alert for alert in found if alert["acknowledged"] is None]
    told = f"{len(found) - len(waiting)} of {len(found)} alerts"
    if not found:
        return State.EVIDENCE, "no alert was raised yet", ()
    return (State.OPEN if waiting else State.DONE), told, waiting or found


def _reviewed(seen: Evidence) -> Found:
    """Post-mortems of the last sessions of the book, one each."""
    written = {
        row["session"]: row
        for row in seen.ledger.rows("operations", kind="post_mortem", book=seen.book)
    }
    rows = [written[r["session"]] for r in seen.closed[-REVIEWS:] if r["session"] in written]
    told = f"{len(rows)} of the last {REVIEWS} sessions have a post-mortem"
    return (State.DONE if len(rows) >= REVIEWS else State.OPEN), told, rows


def promotion(seen: Evidence) -> list[Item]:
    """The promotion criteria."""
    gates = [
        (name.replace(" ", "-"), f"{name}, {GATE_SESSIONS} sessions in a row", _gate(seen, name))
        for name in GATES
    ]
    figures = [
        ("sharpe", f"Sharpe > {SHARPE}", _sharpe(seen)),
        ("drawdown", f"drawdown < {DRAWDOWN:.0%}", _drawdown(seen)),
        ("kills", "no kill switch", _kills(seen)),
        ("escalations", "fewer than 1 escalation a day on average", _escalations(seen)),
    ]
    return [item(Mode.LIVE, "promotion", *each) for each in (*gates, *figures)]


def _gate(seen: Evidence, name: str) -> Found:
    """A session risk gate over the last sessions, none of the exchange's left out."""
    found = seen.gated
    failed = [g for g in found if g.gates[name].ok is False]
    if failed:
        return State.OPEN, f"{failed[-1].session}: {failed[-1].gates[name].detail}", ()
    unknown = [g for g in found if g.gates[name].ok is None]
    if unknown:
        return State.EVIDENCE, f"{unknown[-1].session}: {unknown[-1].gates[name].detail}", ()
    streak = 0
    for session in reversed(found):
        if session.ordinal != found[-1].ordinal - streak:
            break
        streak += 1
    if streak < GATE_SESSIONS:
        return State.EVIDENCE, f"{streak} of {GATE_SESSIONS} consecutive sessions", ()
    last = found[-1]
    told = f"{streak} sessions; {last.session}: {last.gates[name].detail}"
    return State.DONE, told, seen.closed[-GATE_SESSIONS:]


def _over(seen: Evidence, held: bool, told: str, rows: Sequence[Row] = ()) -> Found:
    """A figure over the measured sessions: missed at once, kept with all of them only."""
    n = len(seen.measured)
    told = f"{told} over {n} sessions"
    if not held:
        return State.OPEN, told, rows
    if n < SESSIONS:
        return State.EVIDENCE, f"{told}; {SESSIONS} are needed", rows
    return State.DONE, told, rows or seen.measured


def _sharpe(seen: Evidence) -> Found:
    value = metrics.sharpe([row["day_pnl"] for row in seen.measured])
    if math.isnan(value) or len(seen.measured) < SESSIONS:
        told = f"{value:.2f}" if math.isfinite(value) else "no figure"
        n = len(seen.measured)
        return State.EVIDENCE, f"{told} over {n} sessions; {SESSIONS} are needed", ()
    return _over(seen, value > SHARPE, f"{value:.2f}")


def _drawdown(seen: Evidence) -> Found:
    """The deepest fall at the closes, from the peak within the measured sessions."""
    if not seen.measured:
        return State.EVIDENCE, "no session", ()
    first = seen.measured[0]
    opening = first["equity"] / (1.0 + first["day_pnl"])
    value = metrics.max_drawdown([opening, *(row["equity"] for row in seen.measured)])
    return _over(seen, value < DRAWDOWN, f"{value:.2%}")


def _kills(seen: Evidence) -> Found:
    rows = [row for row in seen.measured if row["snapshot"]["risk"]["killed"]]
    return _over(seen, not rows, f"{len(rows)} kills", rows)


def _escalations(seen: Evidence) -> Found:
    """Events that asked for a reasoner, an operator's too; only of sessions that were watched."""
    sessions = {row["session"] for row in seen.measured}
    watched = {row["session"] for row in seen.rows("facts")} & sessions
    fired = [row for row in seen.rows("escalation") if row["session"] in sessions]
    by_hand = seen.ledger.rows("operations", kind="escalation_asked", book=seen.book)
    fired += [row for row in by_hand if row["about"] in sessions]
    if not sessions:
        return State.EVIDENCE, "no session", ()
    mean = len(fired) / len(sessions)
    if mean < ESCALATIONS and watched != sessions:
        told = f"{len(watched)} of {len(sessions)} sessions were watched"
        return State.EVIDENCE, told, fired
    return _over(seen, mean < ESCALATIONS, f"{mean:.2f} a session", fired)
