"""The sandbox of a reply: the last sessions replayed under the changed policy, before it counts.

Both replays begin with a new account and run the very step that trades: once under the operator's
policy alone, once with the reply in force. The reply is refused where its replay breaches a limit:

- a session in which the kill switch trips that it didn't trip in under the operator's policy;
- a session whose close has a 5-day drawdown above the trigger's bar that it hadn't there;
- an entry with which a name, a bucket or the book would exceed the operator's own cap;
- fewer sessions to replay than asked for: too short a history is no evidence, so that the
  operator's policy stays.

What has no part in a decision can't breach anything, and isn't replayed: to stay in demo, a
training's coefficients, a proposal. Switched-off features are named as left out: predictions of
earlier sessions were made out of fold, and the model that could make them without a feature was
trained on what it would predict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hybridnb.app.backtest import Rows
from hybridnb.app.deciding import decider
from hybridnb.app.desk import Decide, Hints, Setup
from hybridnb.app.panel import Panel
from hybridnb.app.stretch import Figures, Stepped, figures_of, new_account, replayable, stepped
from hybridnb.canonical import plain
from hybridnb.domain import Mode
from hybridnb.escalation.changes import InForce
from hybridnb.escalation.conditions import TriggerParams
from hybridnb.policy import Policy


@dataclass(frozen=True, slots=True)
class Audit:
    """What the sandbox found.

    Attributes
    ----------
    sessions : int
        Replayed; 0 where the reply changes no decision, or the history is too short.
    first, last : str
        The sessions' dates; empty where none was replayed.
    operator, replied : Figures or None
        What each replay came to.
    breaches : tuple of str
        Why it is refused, in words; empty where it isn't.
    left_out : tuple of str
        Features that the reply switches off; the replay still had them.
    """

    sessions: int
    first: str
    last: str
    operator: Figures | None
    replied: Figures | None
    breaches: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the change may take effect."""
        return not self.breaches

    def values(self) -> dict[str, Any]:
        """As plain values for a ledger row; unknown figures are None."""
        found: Any = plain(asdict(self))
        return {**found, "ok": self.ok}


def audit(
    panel: Panel,
    operator: Policy,
    in_force: InForce,
    *,
    mode: Mode,
    hints: Hints,
    cache: Path,
    sessions: int = 60,
    to: str = "",
    params: TriggerParams | None = None,
) -> Audit:
    """Replay the last sessions under a reply, and say what it would have breached.

    Parameters
    ----------
    panel : Panel
        With predictions; nothing later than what the reply may know.
    operator : Policy
        As the operator set it.
    in_force : InForce
        The replies together, composed from `operator`.
    mode : Mode
        Both replays begin in it.
    hints : callable
        The size hint of a day, as the session gets it.
    cache : Path
        Of machine code; read for a large universe only.
    sessions : int
        How many to replay, at least 1.
    to : str
        The last session that may be among them; by default the panel's last.
    params : TriggerParams, optional
        Its `drawdown_5d` is the bar of the 5-day drawdown.

    Notes
    -----
    The account is new, not the book's: what the book holds today was bought under other replies.
    """
    left_out = in_force.disabled
    if in_force.policy == operator and not in_force.crisis:
        return Audit(0, "", "", None, None, (), left_out)
    rows = replayable(panel, to=to)[-sessions:]
    if len(rows) < sessions:
        why = f"not audited: {len(rows)} sessions can be replayed, {sessions} are needed"
        return Audit(0, "", "", None, None, (why,), left_out)
    setup = _setup(operator, hints, decider(len(panel.symbols), cache))
    # In demo a book is larger than in the smaller live modes: no figure would compare.
    replied = replace(setup, in_force=replace(in_force, stay_demo=False))
    own = _course(panel, setup, rows, mode)
    other = _course(panel, replied, rows, mode)
    return _compared(own, other, operator, (params or TriggerParams()).drawdown_5d, left_out)


def _setup(operator: Policy, hints: Hints, decide: Decide) -> Setup:
    # The replay asks what the policy would do: whether a model may trade is another question.
    name = "sandbox"
    return Setup(name, operator, name, name, hints, verdict_valid=True, decide=decide)


def _compared(
    own: Sequence[Stepped],
    other: Sequence[Stepped],
    operator: Policy,
    bar: float,
    left_out: tuple[str, ...],
) -> Audit:
    before = figures_of(own, cash=operator.opening_cash, bar=bar)
    after = figures_of(other, cash=operator.opening_cash, bar=bar)
    return Audit(
        sessions=len(own),
        first=own[0].session,
        last=own[-1].session,
        operator=before,
        replied=after,
        breaches=(
            *(f"{s}: the kill switch trips" for s in after.kills if s not in before.kills),
            *_drawn(before, after, bar),
            *(text for each in other for text in each.over),
        ),
        left_out=left_out,
    )


def _course(panel: Panel, setup: Setup, rows: Rows, mode: Mode) -> Sequence[Stepped]:
    state, course = new_account(setup.policy, mode), []
    for i in rows:
        state, one = stepped(state, panel.day(int(i)), setup)
        course.append(one)
    return course


def _drawn(before: Figures, after: Figures, bar: float) -> tuple[str, ...]:
    new = [session for session in after.drawn if session not in before.drawn]
    return tuple(f"{session}: the 5-day drawdown is above {bar:.2%}" for session in new)
