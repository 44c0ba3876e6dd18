"""`/metrics` for Prometheus: the server's own figures, and the product's from the read-model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from hybridnb.app.server.access import Access, declared
from hybridnb.app.server.handlers import JsonHandler
from hybridnb.domain import Mode
from hybridnb.errors import HybridnbError

if TYPE_CHECKING:
    from hybridnb.app.status import Reader

Figure = tuple[str, str, Mapping[str, str], float | None]
READ_MODEL = "/api/read-model {}"  # the answer that is kept of the whole read-model
_STATES = ("ACTIVE", "REDUCING", "HALTED")


def figures(now: Mapping[str, Any]) -> Iterator[Figure]:
    """Name, meaning, labels and value of every figure; None where it isn't known."""
    rows = now["ledger"]["rows"]
    yield from (("ledger_rows", "rows of a chain", {"chain": c}, n) for c, n in rows.items())
    waiting = now["alerts"]["unacknowledged"]
    yield "alerts_unacknowledged", "alerts nobody acknowledged", {}, waiting
    calls = now["escalation"]
    yield "calls_today", "attempts to reach the frontier model today", {}, calls["calls_today"]
    yield "calls_remaining", "attempts left today", {}, calls["remaining"]
    for book in now["books"]:
        yield from _of_book(book)


def _of_book(book: Mapping[str, Any]) -> Iterator[Figure]:
    which = {"book": book["book"]}
    for name, what in (
        ("net_liquidity", "in the book's currency"),
        ("day_pnl", "result of the day, share of equity"),
        ("drawdown", "below the peak, share of equity"),
        ("gross", "exposure, share of equity"),
        ("net", "exposure with signs, share of equity"),
        ("positions", "open positions"),
    ):
        yield name, what, which, book.get(name)
    yield "live", "1 while a session of the book is running", which, float(book["live"])
    yield "mode", "0 DEMO to 3 LIVE", which, list(Mode).index(Mode(book["mode"]))
    state = _STATES.index(book["trading_state"])
    yield "trading_state", "0 ACTIVE, 1 REDUCING, 2 HALTED", which, state
    latched = float(book["kill_switch"] == "latched")
    yield "kill_switch", "1 while the kill switch is latched", which, latched
    left = book["quarantine_left"]
    yield "quarantine_sessions_left", "sessions of the quarantine", which, left
    for limit in book["limits"]:
        yield "limit_used", "share of a limit", which | {"limit": limit["name"]}, limit["share"]


class ReadModel:
    """The figures as Prometheus collects them."""

    def __init__(self, now: Mapping[str, Any]) -> None:
        self._now = now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family a name, in the order of the names' first figures."""
        families: dict[str, GaugeMetricFamily] = {}
        for name, what, labels, value in figures(self._now):
            if value is None:
                continue
            if name not in families:
                families[name] = GaugeMetricFamily(f"hybridnb_{name}", what, labels=list(labels))
            families[name].add_metric(list(labels.values()), float(value))
        yield from families.values()


def whole(reader: Reader) -> Mapping[str, Any]:
    """The read-model."""
    return reader.status()


class MetricsHandler(JsonHandler):
    """`/metrics`."""

    @declared(Access.TOKEN)
    async def get(self) -> None:
        """The figures in Prometheus's text format."""
        try:
            kept = await self.services.snapshots.get(READ_MODEL, whole)
        except HybridnbError as error:
            self.fail(error)
            return
        registry = CollectorRegistry(auto_describe=False)
        registry.register(ReadModel(kept.answer))
        text = generate_latest(REGISTRY) + generate_latest(registry)
        self.finish(text, set_content_type=CONTENT_TYPE_LATEST)
