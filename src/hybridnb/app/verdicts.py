"""Recorded verdicts: which one lets a model trade live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridnb.app.context import Context
from hybridnb.app.training import Model
from hybridnb.gates.verdict import is_valid
from hybridnb.registry.artifacts import files_digest


def find_verdict(context: Context, model: Model) -> Mapping[str, Any] | None:
    """The last recorded verdict that lets this model trade live on the day; None without one."""
    ordinal = int(context.ordinals[-1])
    found = context.ledger().rows("operations", kind="verdict", model_version=model.version)
    digest = files_digest(model.files)
    valid = [
        each
        for each in found
        if is_valid(each, model_version=model.version, ordinal=ordinal, model_digest=digest)
    ]
    return valid[-1] if valid else None
