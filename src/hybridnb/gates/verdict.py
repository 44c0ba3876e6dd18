"""A verdict: what the gates said of one model, on what data, and until when it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hybridnb.canonical import sha256
from hybridnb.domain import Status
from hybridnb.gates.evidence import Gate, as_dict
from hybridnb.gates.rules import GATES, overall

VALID_SESSIONS = 20
CONTENT = (
    *("model_version", "session", "ordinal", "valid_until"),
    *("status", "gates", "digests"),
)


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
    return content | {"id": _id(content)}


def _id(content: Mapping[str, Any]) -> str:
    return sha256(content)[:16]


def is_valid(
    found: Mapping[str, Any], *, model_version: str, ordinal: int, model_digest: str | None = None
) -> bool:
    """Whether a recorded verdict lets this model trade live in the session with that number.

    With `model_digest` the verdict must have been made of a model of these very bytes.

    Anything but a PASS of every gate for this very model, within its validity, doesn't; nor does
    a verdict whose content isn't what its id was made of. Other fields of the row don't matter.
    """
    if any(name not in found for name in (*CONTENT, "id")):
        return False
    if found["id"] != _id({name: found[name] for name in CONTENT}):
        return False
    if model_digest is not None and found["digests"].get("model") != model_digest:
        return False
    gates, reviewed = found["gates"], int(found["ordinal"])
    return (
        found["status"] == Status.PASS
        and found["model_version"] == model_version
        and found["valid_until"] == reviewed + VALID_SESSIONS
        and reviewed <= ordinal <= reviewed + VALID_SESSIONS
        and sorted(gate["name"] for gate in gates) == sorted(GATES)
        and all(gate["status"] == Status.PASS for gate in gates)
    )
