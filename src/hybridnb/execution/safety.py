"""Pre-trade safety: what every order must pass before it is sent.

A frozen `Sent` and the orders go in, the next `Sent` and the checked orders come out. Every
sent order counts against the limits at once, whatever the broker answers later; what ends gives
its room back through `sent.observe`. A clock that runs backward stands still.

========================  ===========================  ===========================
entries and sweeps        every control
decided exits (`exit`)    numbers, duplicates, messages, disabled symbol, HALTED
stop, target, flatten     numbers alone; they count as messages but never wait
cancels                   nothing: they are not passed to this file
========================  ===========================  ===========================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeGuard

from hybridnb.domain import (
    SCALE,
    Bucket,
    Instrument,
    Leg,
    Order,
    OrderState,
    OrderType,
    Refusal,
    TradingState,
)
from hybridnb.execution.lifecycle import refused
from hybridnb.execution.sent import (
    Claim,
    Sent,
    Twin,
    claim_of,
    compact,
    exchanged,
    moment,
    sent_at,
    twins_where,
)
from hybridnb.policy import SafetyLimits

_PPM = 1_000_000  # shares become whole millionths, so that a limit is met exactly or not
_NEEDS = {  # (limit price, stop price) that an order of each type has
    OrderType.MARKET: (False, False),
    OrderType.LIMIT: (True, False),
    OrderType.STOP: (False, True),
    OrderType.STOP_LIMIT: (True, True),
}


class Facts(NamedTuple):
    """What must be known of a symbol when its order is checked.

    `last` is the last price, in 1/10,000 (None: unknown, entries refused); `reference` the price
    a market order was sized at (None: not checked); `adv_units` average daily units (None: the
    feed has no volume; NaN is refused); `held` the signed position (None: not checked).
    """

    instrument: Instrument
    last: int | None
    reference: int | None = None
    adv_units: float | None = None
    held: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """The account and the control plane when orders are checked; money in 1/10,000.

    `exposure` is the gross of what is held, without orders; `available` the cash, or the margin,
    that entries may use; `disabled` the symbols that wait for a person.
    """

    equity: int
    exposure: int
    available: int
    state: TradingState = TradingState.ACTIVE
    killed: bool = False
    restricted: frozenset[str] = frozenset()
    disabled: frozenset[str] = frozenset()


def protective(leg: Leg) -> bool:
    """Legs that are always let through: they end a position that is already held."""
    return leg in (Leg.STOP, Leg.TARGET, Leg.FLATTEN)


def check(
    sent: Sent,
    limits: SafetyLimits,
    orders: Sequence[Order],
    *,
    at: float,
    facts: Mapping[str, Facts],
    standing: Standing,
    amend: bool = False,
) -> tuple[Sent, list[Order]]:
    """Check orders in their turn, each against what the ones before it left.

    Parameters
    ----------
    orders : sequence of Order
        New ones, or with `amend` working ones with the quantity still to fill and new prices;
        those that are rejected already come back as they are.
    at : float
        Seconds, not negative.
    facts : mapping of str to Facts
        By symbol; an entry in a symbol without facts is refused.
    amend : bool
        The client ids are known on purpose. A refused amendment leaves the working order as
        it was.

    Returns
    -------
    tuple
        The next state, in which every order that passed counts, and the orders: unchanged, or
        rejected with the names of all refusals (see `lifecycle.refused`).

    Raises
    ------
    UsageError
        When `at` isn't a finite time.
    """
    now = moment(sent, at)
    gate = _Gate(sent, limits, now=now, facts=facts, standing=standing, amend=amend)
    checked = [gate.passed(order) for order in orders]
    return gate.sent(), checked


class _Gate:
    """One call of `check`: copies of what it changes, so that the state given stays as it is."""

    def __init__(
        self,
        sent: Sent,
        limits: SafetyLimits,
        *,
        now: float,
        facts: Mapping[str, Facts],
        standing: Standing,
        amend: bool,
    ) -> None:
        self._before, self._limits, self._now = sent, limits, now
        self._facts, self._standing, self._amend = facts, standing, amend
        self._messages = [t for t in sent.messages if now - t < 1.0]
        self._fresh: dict[str, float] = {}
        window = limits.same_order_seconds
        self._twins = twins_where(sent.twins, lambda twin: now - twin.at < window)
        self._claims = dict(sent.claims)
        self._work = sent.work

    def passed(self, order: Order) -> Order:
        """The order as it is and counted, or rejected and not counted."""
        if order.state is OrderState.REJECTED:
            return order
        bits = self._refusals(order)
        if bits:
            return refused(order, int(bits))
        self._count(order)
        return order

    def sent(self) -> Sent:
        """The state after the orders."""
        ids = self._before.ids
        if self._fresh:
            ids = compact((*ids, self._fresh), since=self._now - self._limits.same_id_seconds)
        return replace(
            self._before,
            at=self._now,
            messages=tuple(self._messages),
            ids=ids,
            twins=self._twins,
            claims=self._claims,
            work=self._work,
        )

    def _refusals(self, order: Order) -> int:
        fact = self._facts.get(order.symbol)
        invalid = _invalid(order, fact)
        bits = int(Refusal.INVALID) if invalid else 0
        if protective(order.leg):
            return bits
        if order.symbol in self._standing.disabled:
            bits |= Refusal.DISABLED
        if len(self._messages) >= self._limits.messages:
            bits |= Refusal.THROTTLED
        if self._is_duplicate(order):
            bits |= Refusal.DUPLICATE
        if order.leg is Leg.EXIT:
            halted = self._standing.state is TradingState.HALTED
            return bits | (Refusal.TRADING_STATE if halted else 0)
        bits |= self._barred(order.symbol)
        if fact is None:
            return bits | Refusal.UNKNOWN_CLASS
        if not _is_price(fact.last):
            return bits | Refusal.STALE_DATA
        return bits if invalid else bits | self._beyond(order, fact)

    def _barred(self, symbol: str) -> int:
        bits = 0
        if self._standing.killed:
            bits |= Refusal.KILL_SWITCH
        if self._standing.state is not TradingState.ACTIVE:
            bits |= Refusal.TRADING_STATE
        if symbol in self._standing.restricted:
            bits |= Refusal.DO_NOT_TRADE
        return bits

    def _is_duplicate(self, order: Order) -> bool:
        then = sent_at((*self._before.ids, self._fresh), order.client_id)
        if then is not None and self._now - then < self._limits.same_id_seconds:
            return not self._amend
        equals = self._twins.get(_key(order), ())
        return any(twin.decision_id != order.decision_id for twin in equals)

    def _beyond(self, order: Order, fact: Facts) -> int:
        """Collar, size and room of an entry whose own numbers are sound."""
        limits, standing = self._limits, self._standing
        claim = claim_of(order, fact.instrument, fact.last)
        if claim is None:
            return Refusal.INVALID
        work, gross, margin = self._with(order, claim)
        bits = Refusal.COLLAR if _is_far(order, fact, limits) else 0
        if claim.left * claim.value > limits.order_value * SCALE:
            bits |= Refusal.ORDER_VALUE
        if claim.left > limits.order_units or not _is_tradable(claim.left, fact, limits):
            bits |= Refusal.ORDER_VOLUME
        # Written so that an account that can't be computed (NaN) has no room.
        exposed = standing.exposure + gross <= limits.exposure * standing.equity
        if not (exposed and margin <= limits.credit * standing.available):
            bits |= Refusal.CREDIT
        if work > limits.unexecuted * SCALE:
            bits |= Refusal.UNEXECUTED
        return bits

    def _count(self, order: Order) -> None:
        self._messages.append(self._now)
        self._fresh[order.client_id] = self._now
        twin = Twin(self._now, order.decision_id, order.client_id)
        self._twins[_key(order)] = (*self._twins.get(_key(order), ()), twin)
        fact = self._facts.get(order.symbol)
        if order.leg.reduces or fact is None:
            return
        claim = claim_of(order, fact.instrument, fact.last)
        if claim is not None:
            self._work = self._with(order, claim)
            self._claims[order.client_id] = claim

    def _with(self, order: Order, claim: Claim) -> tuple[int, int, int]:
        """Value, exposure and margin at work with this claim in the place of the order's last."""
        return exchanged(self._work, self._claims.get(order.client_id), claim)


def _is_price(price: object) -> TypeGuard[int]:
    return type(price) is int and price > 0


def _invalid(order: Order, fact: Facts | None) -> bool:
    """True where the order's own numbers can't be meant, whatever the limits are."""
    if type(order.quantity) is not int or type(order.filled) is not int:
        return True
    if not 0 <= order.filled < order.quantity:
        return True
    tick = 1 if fact is None else fact.instrument.tick
    for price, needed in zip((order.limit, order.stop), _NEEDS[order.type], strict=True):
        if needed and not (_is_price(price) and price % tick == 0):
            return True
        if not needed and price is not None:
            return True
    if fact is None:
        return False
    if not order.leg.reduces:  # an odd lot that is held must still be able to end
        return order.left % fact.instrument.lot != 0
    if fact.held is None:
        return False
    return order.left > abs(fact.held) or fact.held * order.side.sign >= 0


def _is_far(order: Order, fact: Facts, limits: SafetyLimits) -> bool:
    penny = fact.instrument.bucket is Bucket.PENNY
    most = round((limits.collar_penny if penny else limits.collar_core) * _PPM)
    last = fact.last or 0
    market = order.type is OrderType.MARKET
    prices = (fact.reference,) if market else (order.limit, order.stop)
    return any(p is not None and not abs(p - last) * _PPM <= most * last for p in prices)


def _is_tradable(units: int, fact: Facts, limits: SafetyLimits) -> bool:
    adv = fact.adv_units
    return adv is None or (math.isfinite(adv) and units <= limits.order_adv * adv)


def _key(order: Order) -> str:
    """What makes two orders equal, whatever their legs: two that close could close too much."""
    return f"{order.symbol}|{order.side}|{order.left}|{order.limit}|{order.stop}"
