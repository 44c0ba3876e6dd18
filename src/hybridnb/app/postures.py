"""What the system does when a part of it fails, and what it then says: one row a failure."""

from __future__ import annotations

from dataclasses import dataclass

from hybridnb.app.frontier import OFFLINE, UNAVAILABLE
from hybridnb.app.live_prices import STALLED
from hybridnb.app.session import NO_RL_ALERT
from hybridnb.risk import KILL_ALERT, QUARANTINE_ALERT


@dataclass(frozen=True, slots=True)
class Posture:
    """One failure.

    Attributes
    ----------
    failure, posture : str
    alert : str
        The exact text; empty where it names the cause and the remedy of the moment.
    """

    failure: str
    posture: str
    alert: str = ""


POSTURES = (
    Posture("data stall", "hold state, cancel new orders, keep stops", STALLED),
    Posture(
        "local reasoner offline",
        "decide without it: it is in no decision; freeze feature toggles",
        OFFLINE,
    ),
    Posture("RL model missing", "predictors only, half sizes", NO_RL_ALERT),
    Posture("frontier fails", "ask the local reasoner, log the attempt", UNAVAILABLE),
    Posture(
        "the day's loss reaches its limit", "flatten, exits only, DEMO next session", KILL_ALERT
    ),
    Posture("three kill-switch sessions in ten", "quarantine: DEMO only", QUARANTINE_ALERT),
    Posture("ledger can't be written, clock moves back, disk full", "HALTED: nothing is sent"),
)
