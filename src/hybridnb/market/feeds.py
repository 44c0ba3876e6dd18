"""Feeds by name: built-in ones and those that other packages offer as `hybridnb.feeds`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hybridnb.errors import Missing, UsageError
from hybridnb.market.instruments import SymbolParams
from hybridnb.policy import Lists
from hybridnb.ports import MarketData

GROUP = "hybridnb.feeds"
BUILT_IN = ("ccxt", "closes", "folder", "ibkr", "planted", "sample", "yfinance")


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """What a feed is told. `data` is for feeds that read files; None leaves a choice to it.

    `section` is its part of `params/feeds.yml`, `store` a folder where it may keep what it fetches.
    """

    data: Path | None = None
    seed: int = 0
    calendar: str | None = None
    zone: str | None = None
    currency: str | None = None
    lists: Lists = field(default_factory=Lists)
    sip_symbol: str = ""
    symbols: Mapping[str, SymbolParams] = field(default_factory=dict)
    section: Mapping[str, Any] = field(default_factory=dict)
    store: Path | None = None


Load = Callable[[FeedRequest], MarketData]


def known_feeds() -> dict[str, str]:
    """Names with the place of their loader, built-in ones first to claim a name."""
    found = {e.name: e.value for e in entry_points(group=GROUP)}
    return found | {name: f"hybridnb.market.{name}:load" for name in BUILT_IN}


def packaged(package: str, path: str) -> Path:
    """A data file that ships inside a package, found without importing it.

    Raises
    ------
    Missing
        When the package or the file isn't installed.
    """
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        found = Path(folder, path)
        if found.is_file():
            return found
    raise Missing(f"{package} has no {path}", remedy=f"pip install {package}")


def load_feed(name: str, request: FeedRequest) -> MarketData:
    """Read a feed's whole history, checked.

    Raises
    ------
    UsageError
        For an unknown feed, or when a feed's data is missing or not wanted.
    InputError
        When a contract is broken.
    """
    known = known_feeds()
    if name not in known:
        raise UsageError(
            f"there is no feed {name!r}", remedy=f"Take one of: {', '.join(sorted(known))}."
        )
    if name in BUILT_IN and name != "folder" and request.data is not None:
        raise UsageError(f"the feed {name} takes no --data", remedy="Use --feed folder with it.")
    module, _, function = known[name].partition(":")
    load: Load = getattr(import_module(module), function)
    return load(request)
