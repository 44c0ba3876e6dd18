"""What an operator's action makes of the control plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hybridnb.domain import TradingState
from hybridnb.risk import ALL, RiskState

STATES = {
    "halt": TradingState.HALTED,
    "reduce": TradingState.REDUCING,
    "resume": TradingState.ACTIVE,
    "cancel-all": TradingState.HALTED,
}
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
    if what == "unlock":
        name, symbol = action["lock"], wanted(action)
        kept = [k for k in risk.locks if k.name != name or symbol not in ("", ALL, k.symbol)]
        return replace(risk, locks=tuple(kept))
    return risk
