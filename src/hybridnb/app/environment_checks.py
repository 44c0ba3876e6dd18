"""What `hybridnb doctor` looks at beside the product: a browser, the port, who is called."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from hybridnb.app.contacts import FILE, ROLES, read_contacts
from hybridnb.app.home import shipped
from hybridnb.app.pdf import browser
from hybridnb.errors import HybridnbError

PORT = 8051
Told = tuple[str, bool, str, str]  # check, whether it holds, what was found, the remedy


def environment_checks() -> Iterator[Told]:
    """Each check; none of them keeps anything from trading."""
    yield _browser()
    yield port_check(PORT)
    yield _contacts()


def _browser() -> Told:
    try:
        return "chromium", True, f"{browser()} prints PDFs", ""
    except HybridnbError as error:
        return "chromium", False, f"{error}: no PDF, no pictures", error.remedy


def port_check(port: int) -> Told:
    """Whether a server could listen on a port of loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            remedy = "Nothing, if `hybridnb serve` runs; else `hybridnb serve --port N`."
            return f"port {port}", False, f"taken: {error.strerror}", remedy
    return f"port {port}", True, "free", ""


def _contacts() -> Told:
    try:
        found = read_contacts(shipped("params"))
    except HybridnbError as error:
        return "contacts", False, str(error), error.remedy
    known = {words: found.of(role) for role, words in ROLES.items()}
    wanting = [words for words, each in known.items() if each is None or each.example]
    remedy = f"Put yours into params/{FILE}."
    detail = f"nobody is reached for: {', '.join(wanting)}" if wanting else "all four are set"
    return "contacts", not wanting, detail, remedy
