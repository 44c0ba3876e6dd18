"""A verdict: what the gates said of one model, on what data, and until when it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hybridnb.canonical import sha256
from hybridnb.domain import Status
from hybridnb.gates.evidence import Gate, as_dict
from hybridnb.gates.rules import GATES, overall

VALID_SESSIONS = 20


def verdict(
    gates: Sequence[Gate],
    *,
    model_version: str,
    session: str,
    ordinal: int,
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """A verdict as the ledger holds it.

    Parameters
    ----------
    session : str
        What it was reviewed for; `ordinal` is its number in the exchange calendar.
    digests : mapping
        Of the data, the code and the features behind it.
    """
    content = {
        "model_version": model_version,
        "session": session,
        "ordinal": ordinal,
        "valid_until": ordinal + VALID_SESSIONS,
        "status": str(overall(gates)),
        "gates": as_dict(gates),
        "digests": dict(digests),
    }
    return content | {"id": sha256(content)[:16]}


def is_valid(found: Mapping[str, Any], *, model_version: str, ordinal: int) -> bool:
    """Whether a recorded verdict lets this model trade live in the session with that number.

    Anything but a PASS of every gate for this very model, within its validity, doesn't.
    """
    gates = found.get("gates") or []
    named = {gate.get("name") for gate in gates}
    return (
        found.get("status") == Status.PASS
        and found.get("model_version") == model_version
        and int(found.get("ordinal", 0)) <= ordinal <= int(found.get("valid_until", -1))
        and named == set(GATES)
        and all(gate.get("status") == Status.PASS for gate in gates)
    )
