"""What an operator's action makes of the control plane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hybridnb.domain import Mode, TradingState
from hybridnb.risk import ALL, REPEATS, RiskState, cleared, moved, opened

STATES = {
    "halt": TradingState.HALTED,
    "reduce": TradingState.REDUCING,
    "resume": TradingState.ACTIVE,
    "cancel-all": TradingState.HALTED,
}
# The mode and the quarantine change at an opening only: never in a session that has begun.
AT_OPENINGS = ("demo", "mode", "keep-mode", "clear-quarantine")
Action = Mapping[str, Any]


def wanted(action: Action) -> str:
    """The symbol an action is about; empty for all."""
    return str(action.get("symbol") or "")


def leaves_state(action: Action) -> bool:
    """Whether an action leaves a trading state; withdrawing one symbol's orders leaves none."""
    return action["action"] in STATES and not (action["action"] == "cancel-all" and wanted(action))


def stood(risk: RiskState, action: Action) -> RiskState:
    """The control plane after an operator's action; a latched kill switch isn't resumed."""
    what = action["action"]
    if leaves_state(action):
        state = STATES[what]
        return risk if risk.killed and what == "resume" else replace(risk, state=state)
    if what in ("brake-on", "brake-off"):
        return replace(risk, brake=what == "brake-on")
    if what in ("unlock", "enable"):
        name, symbol = action.get("lock") or REPEATS, wanted(action)
        kept = [k for k in risk.locks if k.name != name or symbol not in ("", ALL, k.symbol)]
        return replace(risk, locks=tuple(kept))
    return _shifted(risk, action) if what in AT_OPENINGS else risk


def _shifted(risk: RiskState, action: Action) -> RiskState:
    """The control plane after an action on its mode or its quarantine.

    Each holds for what its operator knew of: a kill that came later takes it back.
    """
    last = risk.kills[-1] if risk.kills else 0
    match action["action"]:
        case "demo":
            return moved(risk, Mode.DEMO)
        case "mode" if last < action["ordinal"]:
            return moved(risk, Mode(action["mode"]))
        case "keep-mode" if last == action["kill"]:
            return moved(risk, Mode(action["mode"]))
        case "clear-quarantine" if last <= action["kill"]:
            return cleared(risk, action["until"])
    return risk


def opened_by(risk: RiskState, ordinal: int, actions: Iterable[Action]) -> RiskState:
    """The control plane that a session opens with, after the operators' actions at its opening."""
    risk, _ = opened(risk, ordinal)
    for action in actions:
        risk = stood(risk, action)
    return risk
