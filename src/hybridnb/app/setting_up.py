"""What a session is traded with: policy, model, replies in force, operators' actions, triggers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.context import Context
from hybridnb.app.desk import Hints, Setup
from hybridnb.app.operators import at_opening
from hybridnb.app.panel import PREDICTIONS, Panel
from hybridnb.app.replying import in_force
from hybridnb.app.watching import Watching, hours_of
from hybridnb.canonical import sha256


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a session needs that takes a while to make.

    Attributes
    ----------
    panel : Panel
        With predictions, and with the session's row or rows to the session before.
    hints : callable
        The size hint of a day.
    model_version : str
    verdict : mapping or None
        The valid one, if there is any.
    without : callable
        The panel again, its last predictions made without these features.
    """

    panel: Panel
    hints: Hints
    model_version: str
    verdict: Mapping[str, Any] | None
    without: Callable[[tuple[str, ...]], Panel]


def setup_of(context: Context, ready: Prepared, *, book: str) -> Setup:
    """What a session of a book is traded with: policy, replies in force, operators' actions."""
    policy, ledger = context.settings.policy, context.ledger()
    replied = in_force(
        ledger,
        book,
        policy,
        session=context.session,
        ordinal=int(context.ordinals[-1]),
        training=context.own_training,
    )
    setup = Setup(
        book=book,
        policy=policy,
        experiment_id="",
        model_version=ready.model_version,
        hints=ready.hints,
        verdict_valid=ready.verdict is not None,
        actions=at_opening(ledger, book, context.session),
        in_force=replied,
        toggled=_toggled(context, ready, replied.disabled) if replied else {},
        watching=watching_of(context, ready.verdict),
    )
    epoch = sha256([setup.policy_id, ready.model_version])[:16]
    return replace(setup, experiment_id=epoch)


def watching_of(context: Context, verdict: Mapping[str, Any] | None) -> Watching:
    """How the session is watched: against the Sharpe ratio that the valid verdict found."""
    found = [
        (float(figure["value"]), int(figure["n"]))
        for gate in (verdict["gates"] if verdict else ())
        for figure in gate["figures"]
        if figure["name"] == "Sharpe"
    ]
    params = context.settings.escalation.triggers
    return Watching(params, hours_of(context.market.calendar), found[0] if found else None)


def _toggled(
    context: Context, ready: Prepared, disabled: tuple[str, ...]
) -> dict[str, NDArray[np.float64]]:
    """Predictions for the session without the features that replies switch off."""
    if not disabled:
        return {}
    seen, again = ready.panel.position(context.session) - 1, ready.without(disabled)
    return {name: again.columns[name][seen] for name in PREDICTIONS}
