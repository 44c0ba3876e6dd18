"""Who may call what: every method of every handler of ours declares it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado import web

Method = Callable[..., Any]
_DECLARED = "hybridnb_access"


class Access(StrEnum):
    """Who may call a method."""

    TOKEN = "token"  # the token, or a login that it gave; a login's POST carries its XSRF token
    REDUCED = "reduced"  # as TOKEN; without it, callers on loopback get a reduced body
    BEACON = "beacon"  # a login, without an XSRF token: what a closing page can send


def declared(access: Access) -> Callable[[Method], Method]:
    """Declare who may call a method, and hold everyone else off before it runs."""

    def declare(method: Method) -> Method:
        kept: Any
        if access is Access.REDUCED:
            kept = allow_unauthenticated(method)
        else:
            kept = web.authenticated(method)
        setattr(kept, _DECLARED, access)
        return kept  # type: ignore[no-any-return]

    return declare


def access_of(method: Method) -> Access | None:
    """What a method declares; None where it declares nothing."""
    found: Access | None = getattr(method, _DECLARED, None)
    return found
