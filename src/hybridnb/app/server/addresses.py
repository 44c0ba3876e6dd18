"""Where a request came from, and what may be reached by others."""

from __future__ import annotations

import ipaddress
from typing import Any


def on_loopback(request: Any) -> bool:
    """Whether a request came from this machine and not through a proxy on it.

    The name it was sent to must be this machine's too: a page elsewhere can make its own name
    lead to 127.0.0.1, and a browser would let it read what is answered.
    """
    if any(name in request.headers for name in ("X-Forwarded-For", "X-Real-Ip", "Forwarded")):
        return False
    return is_loopback(request.remote_ip) and is_loopback(host_name(request.host))


def host_name(host: str) -> str:
    """The name of a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def is_loopback(name: str) -> bool:
    """Whether a name or address is this machine's own."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
