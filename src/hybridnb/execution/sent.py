"""What was sent and still counts: the state of the pre-trade controls between two orders.

A `Sent` is a frozen value of plain parts. It begins empty with each process, which then counts
what works at the venue; what must outlast one, as a disabled symbol, is kept by the control plane.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from hybridnb.domain import Fill, Instrument, Order, OrderState
from hybridnb.errors import UsageError
from hybridnb.policy import SafetyLimits


class Claim(NamedTuple):
    """What an entry at work may still cost: units left, and 1/10,000 a unit of each measure."""

    left: int
    value: int
    exposure: int
    margin: int


def claim_of(order: Order, instrument: Instrument, last: int | None) -> Claim | None:
    """What an entry may cost, at its own price or the last one.

    None where no finite figure can be given: no price, or a delta or margin rate that is NaN,
    infinite or (the rate) negative.
    """
    delta, rate = abs(instrument.delta), instrument.margin_rate
    if last is None or not (delta < math.inf and 0.0 <= rate < math.inf):
        return None
    value = (order.limit or order.stop or last) * instrument.multiplier
    return Claim(order.left, value, math.ceil(delta * value), math.ceil(rate * delta * value))


def exchanged(
    work: tuple[int, int, int], old: Claim | None, new: Claim | None
) -> tuple[int, int, int]:
    """Value, exposure and margin at work, in 1/10,000, with one claim in another's place."""
    value, exposure, margin = work
    for sign, claim in ((-1, old), (1, new)):
        if claim is not None:
            value += sign * claim.left * claim.value
            exposure += sign * claim.left * claim.exposure
            margin += sign * claim.left * claim.margin
    return value, exposure, margin


class Fact(Protocol):
    """What a claim is computed from."""

    @property
    def instrument(self) -> Instrument: ...
    @property
    def last(self) -> int | None: ...


class Twin(NamedTuple):
    """An order of the last second: when it was sent, for which decision, and its client id."""

    at: float
    decision_id: str
    client_id: str


Twins = Mapping[str, tuple[Twin, ...]]


@dataclass(frozen=True, slots=True)
class Sent:
    """All that was sent and still counts.

    Attributes
    ----------
    at : float
        Latest time seen, seconds.
    messages : tuple of float
        Times of the submits and amends of the last second.
    ids : tuple of mapping of str to float
        Client ids and when they were sent, in chunks, the newest last; a chunk never changes.
    twins : mapping of str to tuple of Twin
        Orders of the last second by symbol, side, quantity and prices.
    claims : mapping of str to Claim
        Entries at work by client id.
    work : tuple of int
        What they come to: value, exposure, margin.
    fills : mapping of str to mapping of str to float
        Recent fills by symbol: when, by fill id.
    """

    at: float = 0.0
    messages: tuple[float, ...] = ()
    ids: tuple[Mapping[str, float], ...] = ()
    twins: Twins = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)
    work: tuple[int, int, int] = (0, 0, 0)
    fills: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def moment(sent: Sent, at: float) -> float:
    """The time that counts: never before the latest one seen.

    Raises
    ------
    UsageError
        When `at` is NaN, infinite or negative.
    """
    if not 0.0 <= at < math.inf:
        raise UsageError(f"{at!r} is no time in seconds")
    return max(sent.at, at)


def compact(
    chunks: tuple[Mapping[str, float], ...], *, since: float
) -> tuple[Mapping[str, float], ...]:
    """Merge the newest chunks while they are of a size: few chunks, each id rarely copied."""
    parts = list(chunks)
    while len(parts) > 1 and 2 * len(parts[-1]) >= len(parts[-2]):
        newest = parts.pop()
        parts[-1] = {k: t for k, t in {**parts[-1], **newest}.items() if t > since}
    return tuple(parts)


def sent_at(chunks: tuple[Mapping[str, float], ...], client_id: str) -> float | None:
    """When a client id was last sent, None for never."""
    for chunk in reversed(chunks):
        if client_id in chunk:
            return chunk[client_id]
    return None


def twins_where(twins: Twins, keep: Callable[[Twin], bool]) -> dict[str, tuple[Twin, ...]]:
    """The twins to keep, without the keys that none is left of."""
    kept = {key: tuple(twin for twin in equals if keep(twin)) for key, equals in twins.items()}
    return {key: equals for key, equals in kept.items() if equals}


def observe(sent: Sent, orders: Iterable[Order]) -> Sent:
    """Give back the room of what ended or filled; an unknown order keeps its room.

    Reports may come twice and out of order: what is left never grows here. Orders that weren't
    sent through `check` are passed over. What the venue rejected is nobody's twin any more.
    """
    claims, work = dict(sent.claims), sent.work
    rejected = set()
    for order in orders:
        if order.state is OrderState.REJECTED:
            rejected.add(order.client_id)
        old = claims.get(order.client_id)
        if old is None:
            continue
        left = min(old.left, order.left) if order.state.open else 0
        new = old._replace(left=left) if left > 0 else None
        work = exchanged(work, old, new)
        if new is None:
            del claims[order.client_id]
        else:
            claims[order.client_id] = new
    twins = twins_where(sent.twins, lambda twin: twin.client_id not in rejected)
    return replace(sent, claims=claims, work=work, twins=twins)


def claimed(sent: Sent, orders: Iterable[Order], facts: Mapping[str, Fact]) -> Sent:
    """Count entries that work already, whatever the limits are: a process begins with them.

    Parameters
    ----------
    facts : mapping of str to Fact
        By symbol: instrument and last price. An order without them has no claim.
    """
    claims, work = dict(sent.claims), sent.work
    for order in orders:
        fact = facts.get(order.symbol)
        claim = claim_of(order, fact.instrument, fact.last) if fact is not None else None
        if claim is not None:
            work = exchanged(work, claims.get(order.client_id), claim)
            claims[order.client_id] = claim
    return replace(sent, claims=claims, work=work)


def executed(sent: Sent, limits: SafetyLimits, fills: Sequence[Fill], *, at: float) -> Sent:
    """Count executions; those too long ago to count are forgotten.

    The latest of those told together counts as now, the others as long before it as their own
    times say: after an outage they aren't a burst, and a venue's clock needn't be ours.

    Raises
    ------
    UsageError
        When `at` isn't a finite time.
    """
    now = moment(sent, at)
    recent = {
        symbol: {k: t for k, t in times.items() if now - t < limits.repeat_seconds}
        for symbol, times in sent.fills.items()
    }
    for fill, before in zip(fills, _before_last(fills), strict=True):
        if before < limits.repeat_seconds:
            recent.setdefault(fill.symbol, {}).setdefault(fill.fill_id, now - before)
    recent = {symbol: times for symbol, times in recent.items() if times}
    return replace(sent, at=now, fills=recent)


def _before_last(fills: Sequence[Fill]) -> list[float]:
    """Seconds from each fill to the latest; 0 where it doesn't tell its time."""
    times = [_seconds(fill.at) for fill in fills]
    last = max((t for t in times if t is not None), default=0.0)
    return [0.0 if t is None else last - t for t in times]


def _seconds(text: str) -> float | None:
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if time.tzinfo is None else time.timestamp()


def repeated(sent: Sent, limits: SafetyLimits) -> list[str]:
    """Symbols with so many executions in so short a time that they are to be disabled."""
    most = limits.repeat_fills
    return sorted(symbol for symbol, times in sent.fills.items() if len(times) >= most)


def enabled(sent: Sent, symbol: str) -> Sent:
    """What disabled a symbol is forgotten: a person lets it trade again."""
    fills = {name: times for name, times in sent.fills.items() if name != symbol}
    return replace(sent, fills=fills)
