"""Errors as answers: a status, and JSON with a code, a sentence and a remedy."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from hybridnb.errors import (
    CheckFailed,
    HybridnbError,
    InputError,
    Missing,
    ParamsError,
    Refused,
    UsageError,
)

# The first that fits; a subclass before its base.
STATUS: tuple[tuple[type[HybridnbError], HTTPStatus], ...] = (
    (UsageError, HTTPStatus.BAD_REQUEST),
    (ParamsError, HTTPStatus.BAD_REQUEST),
    (InputError, HTTPStatus.CONFLICT),
    (Refused, HTTPStatus.CONFLICT),
    (Missing, HTTPStatus.SERVICE_UNAVAILABLE),
    (CheckFailed, HTTPStatus.SERVICE_UNAVAILABLE),
    (HybridnbError, HTTPStatus.INTERNAL_SERVER_ERROR),
)
SENTENCES = {HTTPStatus.FORBIDDEN: "no token, or none that holds here"}
REMEDIES = {
    HTTPStatus.FORBIDDEN: "Send `Authorization: token TOKEN`; a page sends its _xsrf cookie too.",
    HTTPStatus.NOT_FOUND: "/api/openapi.json lists what there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "/api/openapi.json lists each address with its methods.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The server's log has the details.",
}
BODY = "the request"  # where a parameter that isn't allowed was found


def status_of(error: HybridnbError, *, usage: HTTPStatus = HTTPStatus.BAD_REQUEST) -> int:
    """The status of one of our errors.

    Parameters
    ----------
    usage : HTTPStatus
        Of a command that can't be meant, for the endpoint that was called: once its body is
        valid, what it names may just not be there.
    """
    if (done := getattr(error, "done", None)) is not None:  # `NotGranted`, which loads much
        return int(done.code)
    if isinstance(error, ParamsError) and error.file != BODY:
        return HTTPStatus.SERVICE_UNAVAILABLE  # the operator's own file, not the caller's words
    if isinstance(error, UsageError):
        return usage
    return next(status for kind, status in STATUS if isinstance(error, kind))


def problem(error: HybridnbError, status: int) -> dict[str, Any]:
    """An error of ours as a body; what it knows more stands beside it.

    Its code is the error's name; of a wish that wasn't granted, the status's.
    """
    known = error.as_dict()
    known.pop("error")
    remedy = f"Change {error.key}." if isinstance(error, ParamsError) else error.remedy
    code = _name(status) if hasattr(error, "done") else type(error).__name__
    return known | {"code": code, "message": str(error), "remedy": remedy}


def _name(status: int) -> str:
    return "".join(word.title() for word in HTTPStatus(status).phrase.split())


def http_problem(status: int, message: str = "") -> dict[str, Any]:
    """A refusal of the server's own as a body."""
    kind = HTTPStatus(status)
    return {
        "code": _name(status),
        "message": message or SENTENCES.get(kind) or kind.description or kind.phrase,
        "remedy": REMEDIES.get(kind, ""),
    }
