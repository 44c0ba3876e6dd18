"""Decided twice while replies are in force: by the operator's policy and by the replied one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from hybridnb.app.desk import Desk
from hybridnb.app.inputs import account, inputs
from hybridnb.app.records import ACTION_NAMES
from hybridnb.escalation.deciding import replied_limits, tighter_decision


def decided_twice(desk: Desk, rows: NDArray[Any], decisions: NDArray[Any]) -> NDArray[Any]:
    """What both policies allow; where they differ is recorded.

    Parameters
    ----------
    rows : structured array of INPUT, shape (n,)
        Of the operator's decision.
    decisions : structured array of DECISION, shape (n,)
        The operator's.
    """
    setup, day = desk.setup, desk.day
    replied = setup.in_force
    if replied is None or not setup.bound:
        return decisions
    lim = replied_limits(setup.policy, replied.policy, desk.state.risk.mode)
    other = replace(setup, policy=replied.policy)
    seen = replace(day, columns={**day.columns, **setup.toggled})
    again = inputs(desk.state, seen, other, lim, equity_units=desk.opening_equity)
    again["risk"] = rows["risk"]  # to the operator's stops, since a nearer one leaves more heat
    whole = account(day, other, desk.opening_equity)
    whole = whole._replace(crisis=whole.crisis or replied.crisis)
    second = setup.decide(lim, whole, again, day.returns)
    both = tighter_decision(decisions, second, rows["held"])
    _record(desk, decisions, second, both)
    return both


def _record(desk: Desk, operator: NDArray[Any], replied: NDArray[Any], both: NDArray[Any]) -> None:
    names = []
    for i, symbol in enumerate(desk.day.symbols):
        one, other = operator[i], replied[i]
        if one["action"] == other["action"] and one["size_post_risk"] == other["size_post_risk"]:
            continue
        names.append(
            {
                "symbol": symbol,
                "operator": _short(one),
                "replied": _short(other),
                "taken": _short(both[i]),
            }
        )
    desk.record.add("decided_twice", names=names)


def _short(decision: Any) -> dict[str, Any]:
    return {
        "action": ACTION_NAMES[int(decision["action"])],
        "size": float(decision["size_post_risk"]),
    }
