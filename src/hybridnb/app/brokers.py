"""Brokers by name: built-in ones and those that other packages offer as `hybridnb.brokers`.

`params/brokers.yml` has one section a broker. Secrets come from environment variables alone; the
file holds the variables' names. A broker's library is imported when the broker is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from hybridnb.app import settings
from hybridnb.domain import Instrument, Order
from hybridnb.errors import Missing, ParamsError, Refused, UsageError
from hybridnb.policy import Params, validated
from hybridnb.ports import Broker

GROUP, FILE = "hybridnb.brokers", "brokers.yml"
BUILT_IN = ("ccxt", "ibkr", "paper")
LIBRARIES = {"ibkr": "ib_async", "ccxt": "ccxt"}  # extra: what it imports
_VARIABLE = r"^[A-Z][A-Z0-9_]*$"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})


class Secrets(Params):
    """Names of the environment variables that hold an API key and its secret."""

    key: str = Field("HYBRIDNB_CCXT_KEY", pattern=_VARIABLE)
    secret: str = Field("HYBRIDNB_CCXT_SECRET", pattern=_VARIABLE)


@dataclass(frozen=True, slots=True)
class BrokerRequest:
    """What a broker is told: its section of the file, what may be traded, what the ledger knows."""

    section: Mapping[str, Any]
    instruments: Mapping[str, Instrument]
    known: Iterable[Order] = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """A broker, and whether its account is one to test with; `account` is for people."""

    broker: Broker = field(repr=False)
    test: bool
    account: str


Open = Callable[[BrokerRequest], Opened]


def known_brokers() -> dict[str, str]:
    """Names with the place of their opener, built-in ones first to claim a name."""
    found = {e.name: e.value for e in entry_points(group=GROUP)}
    return found | {name: f"hybridnb.app.brokers:{name}" for name in BUILT_IN}


def section(folder: Path, name: str) -> Mapping[str, Any]:
    """A broker's section of `params/brokers.yml`; empty where the file has none.

    Raises
    ------
    UsageError
        When there is no broker of that name.
    ParamsError
        When the file has a section that no broker reads, or one that is no mapping.
    """
    known = sorted(known_brokers())
    if name not in known:
        raise UsageError(f"there is no broker {name!r}", remedy=f"Take one of: {', '.join(known)}.")
    return settings.section(folder / FILE, name, known)


def open_broker(name: str, request: BrokerRequest, *, demo: bool) -> Opened:
    """Connect to a broker.

    Parameters
    ----------
    demo : bool
        Only an account to test with is taken.

    Raises
    ------
    Missing
        When its library isn't installed, or a secret's variable isn't set.
    BrokerDown
        Without a connection.
    Refused
        In DEMO, for an account that holds real money.
    """
    library = LIBRARIES.get(name)
    if library is not None and find_spec(library) is None:
        raise Missing(
            f"the broker {name} needs {library}", remedy=f"pip install 'hybridnb[{name}]'"
        )
    module, _, function = known_brokers()[name].partition(":")
    opener: Open = getattr(import_module(module), function)
    opened = opener(request)
    if demo and not opened.test:
        opened.broker.close()
        raise Refused(
            f"{name}, account {opened.account}: DEMO trades in test accounts only",
            remedy=f"Name a paper or testnet account in params/{FILE}.",
        )
    return opened


def paper(request: BrokerRequest) -> Opened:
    """The paper venue keeps its account in the home: it is opened with the day, not from here."""
    raise UsageError("the paper broker needs a day's bars", remedy="hybridnb trade --broker paper")


def ibkr(request: BrokerRequest) -> Opened:
    """Interactive Brokers; the accounts of its paper trading begin with D."""
    from hybridnb.execution.ibkr import IbkrBroker, IbkrSettings

    chosen = validated(IbkrSettings, dict(request.section), file=FILE)
    broker = IbkrBroker(chosen, instruments=request.instruments, known=request.known)
    return Opened(broker, broker.account.startswith("D"), broker.account)


def ccxt(request: BrokerRequest) -> Opened:
    """A crypto spot exchange; a test account is its sandbox, or a server of one's own."""
    from hybridnb.execution.ccxt_spot import CcxtBroker
    from hybridnb.execution.ccxt_wire import CcxtSettings

    values = dict(request.section)
    secrets = _secrets(values.pop("secrets", None))
    chosen = validated(CcxtSettings, values, file=FILE)
    broker = CcxtBroker(
        chosen, key=_secret(secrets.key), secret=_secret(secrets.secret), known=request.known
    )
    where = chosen.base_url or "sandbox"
    return Opened(broker, is_test(chosen.base_url), f"{chosen.exchange} ({where})")


def is_test(base_url: str | None) -> bool:
    """Whether an exchange's address is no place of real money: its sandbox, or this machine."""
    host = urlsplit(base_url).hostname if base_url else ""
    return not host or host in _LOOPBACK or host.startswith("testnet.")


def _secrets(given: Any) -> Secrets:
    try:
        return validated(Secrets, given, file=FILE)
    except ParamsError as error:
        # What stands there may be the secret itself: it isn't shown.
        allowed = "allowed: the name of an environment variable, in capitals"
        raise ParamsError(f"ccxt.secrets.{error.key}", "…", allowed, file=FILE) from None


def _secret(variable: str) -> SecretStr:
    value = os.environ.get(variable, "")
    if not value:
        raise Missing(
            f"the environment variable {variable} isn't set",
            remedy=f"Set {variable} in the environment of this command; never write it to a file.",
        )
    return SecretStr(value)
