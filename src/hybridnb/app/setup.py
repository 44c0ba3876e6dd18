"""What a session is traded with, as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.panel import Day
from hybridnb.app.state import State
from hybridnb.app.watching import Watching
from hybridnb.decide import decide
from hybridnb.entries import Account
from hybridnb.escalation.changes import InForce
from hybridnb.execution.faults import NO_FAULTS, Faults
from hybridnb.limits import Limits
from hybridnb.policy import Policy

Hints = Callable[[Day, State], NDArray[np.float64]]
Decide = Callable[[Limits, Account, NDArray[Any], NDArray[np.float64]], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Setup:
    """What doesn't change inside a session: policy, models' stamps, the hint, the verdict.

    `actions` are the operators', applied at the opening.
    `decide` is `hybridnb.decide.decide` or its compiled twin.
    `in_force` is what replies make of the session, `toggled` the columns of predictions without
    the features that they switch off. Without `watching` no trigger is looked at.
    `faults` are what the paper venue is told to fail at.
    """

    book: str
    policy: Policy
    experiment_id: str
    model_version: str
    hints: Hints
    verdict_valid: bool = False
    entries: bool = True
    decide: Decide = decide
    actions: Sequence[Mapping[str, Any]] = ()
    in_force: InForce | None = None
    toggled: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    watching: Watching | None = None
    faults: Faults = NO_FAULTS
    policy_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy_id", self.traded_policy.id)  # hashed once

    @property
    def traded_policy(self) -> Policy:
        """The operator's policy, or what replies make of it."""
        return self.policy if self.in_force is None else self.in_force.policy

    @property
    def bound(self) -> bool:
        """Whether replies bear on decisions."""
        return self.in_force is not None and self.in_force.bears
