"""`params/contacts.yml`: who is called when something is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hybridnb.app.settings import read_yaml
from hybridnb.policy import Params, validated

FILE = "contacts.yml"
Role = Literal["engineering", "risk_management", "openai_support", "data_provider"]
ROLES: Mapping[Role, str] = {
    "engineering": "engineering",
    "risk_management": "risk management",
    "openai_support": "OpenAI support",
    "data_provider": "data provider",
}
_KINDS = (
    re.compile(r"[^@\s<>|]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"),  # mail
    re.compile(r"https://[^\s<>|]+"),
    re.compile(r"\+[0-9][0-9 ()-]{5,24}"),  # telephone, with its country
)
# RFC 2606 and the numbers that North America keeps for fiction: they reach nobody.
_EXAMPLE = re.compile(r"\bexample\.(com|org|net)\b|\.example\b|\b555[ -]?01\d\d\b")


def _address(value: str) -> str:
    if not any(kind.fullmatch(value) for kind in _KINDS):
        raise ValueError("must be a mail address, an https:// link or a telephone with its +code")
    return value


def _line(value: str) -> str:
    if not value.isprintable() or "|" in value:
        raise ValueError("must be one printable line without |")
    return value


Line = Annotated[str, AfterValidator(_line)]
Address = Annotated[str, AfterValidator(_address)]


class Contact(Params):
    """One of those who are called."""

    name: Line = Field(min_length=1, max_length=100, description="person, team or service")
    addresses: list[Address] = Field(
        min_length=1, max_length=5, description="mail, https link or telephone, first to try first"
    )
    hours: Line = Field("", max_length=100, description="when, and in which place's time")

    @property
    def example(self) -> bool:
        """Whether one of its addresses can reach nobody."""
        return any(_EXAMPLE.search(address) for address in self.addresses)


class Contacts(Params):
    """All of them; one that is left out isn't known."""

    engineering: Contact | None = None
    risk_management: Contact | None = None
    openai_support: Contact | None = None
    data_provider: Contact | None = None

    def of(self, role: Role) -> Contact | None:
        """The contact of a role."""
        found: Contact | None = getattr(self, role)
        return found


def read_contacts(folder: Path) -> Contacts:
    """The contacts of a folder of parameters; none where there is no such file.

    Raises
    ------
    ParamsError
        The first key that is unknown or can't be meant.
    """
    return validated(Contacts, read_yaml(folder / FILE), file=FILE)


def contact_rows(contacts: Contacts) -> list[tuple[str, str, str, str]]:
    """Role, name, addresses and hours of each, as text."""
    rows = []
    for role, words in ROLES.items():
        found = contacts.of(role)
        if found is None:
            rows.append((words, "not set", "–", "–"))
        else:
            rows.append((words, found.name, ", ".join(found.addresses), found.hours or "–"))
    return rows


def who(contacts: Contacts, role: Role) -> str:
    """Whom to call, in a line."""
    found = contacts.of(role)
    if found is None:
        return f"{ROLES[role]}: not set in params/{FILE}"
    mark = " (an example: nobody is reached)" if found.example else ""
    return f"{ROLES[role]}: {found.name}, {found.addresses[0]}{mark}"
