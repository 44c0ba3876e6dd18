"""What triggers and recorded replies say, in words of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridnb.escalation.calls import AuditorReply, EngineerReply, JudgeReply, Reply
from hybridnb.escalation.prose import sanitised

LISTED = 6  # names of a list that a table shows; the rest are counted
_BEGAN = {
    "kill": "the day's loss reached the kill switch",
    "drawdown_5d": "the 5-day drawdown passed its bar",
    "gross_drawdown_5d": "the 5-day drawdown passed its bar, as a share of gross exposure",
    "day_loss": "the day's loss passed its bar",
    "correlation_breakdown": "volatility was extreme and correlation broke down",
    "correlation_spike": "volatility was extreme and correlation spiked",
    "put_call": "the put/call ratio passed its bar",
    "accuracy": "accuracy fell under its baseline",
    "sharpe": "the Sharpe ratio fell under its bar",
}


def began(condition: str) -> str:
    """What began to hold when a condition did."""
    return _BEGAN.get(condition, condition)


def valued(value: Any) -> str:
    """A setting as people read it: a number, a truth value, or a list cut to its first names."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        more = f" and {len(value) - LISTED} more" if len(value) > LISTED else ""
        return sanitised(", ".join(map(str, value[:LISTED])) + more) or "none"
    return "none" if value is None else sanitised(str(value))


def view(reply: Reply) -> list[str]:
    """What differs in the view of who replied, a sentence a line."""
    match reply:
        case AuditorReply():
            crisis = ", which switches the crisis factor on" * (reply.regime_label == "crisis")
            barred = reply.do_not_trade_list
            lines = [f"In its view the regime is {reply.regime_label}{crisis}."]
            return lines + [f"It would not trade {valued(barred)}."] * bool(barred)
        case EngineerReply():
            asked = reply.reward_coefficients
            off = reply.disabled_features
            lines = [
                f"For the next training it weighs returns {asked.returns:g}, turnover"
                f" {asked.turnover:g} and drawdown {asked.drawdown:g}."
            ]
            return lines + [f"It would leave out the features {valued(off)}."] * bool(off)
        case JudgeReply():
            kept = "keep demo mode" if reply.stay_demo else "leave demo mode to a person's decision"
            return [f"Its judgement is to {kept}."]


def sandboxed(found: Mapping[str, Any] | None) -> list[str]:
    """What the sandbox found; nothing where none was asked."""
    if not found:
        return []
    breaches = [sanitised(text) for text in found["breaches"]]
    if not found["sessions"]:
        why = f": {breaches[0]}" if breaches else ", since it changes no decision"
        return [f"The sandbox replayed nothing{why}."]
    span = f"The sandbox replayed {found['sessions']} sessions to {found['last']}"
    if found["ok"]:
        return [f"{span} under the reply: no limit would have been breached."]
    more = f" and {len(breaches) - 1} more" if len(breaches) > 1 else ""
    return [f"{span} under the reply and refused it: {breaches[0]}{more}."]
