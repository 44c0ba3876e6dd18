"""Whether an order may rest at the paper venue, and at which price it trades.

A level that was touched is remembered in the order's note, so that it survives a restart with
the order: a stop-limit order whose stop was touched is a limit order from then on, and under
BOTH_MUST_TRIGGER a leg waits for the other's touch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from hybridnb.costs import Rates, latency_draw, slippage_bps, slipped
from hybridnb.domain import Bar, Bucket, Instrument, Leg, Order, OrderType
from hybridnb.execution.depth import Depth
from hybridnb.execution.oco import BOTH, STOP, TARGET, remembered, which_first
from hybridnb.fills import limit_reference, stop_reference
from hybridnb.limits import CODE
from hybridnb.values import replace

TOUCHED = "touched"
BITS = {Leg.STOP: STOP, Leg.TARGET: TARGET}
_PRICES = {  # (limit price, stop price) that an order of each type has
    OrderType.MARKET: (False, False),
    OrderType.LIMIT: (True, False),
    OrderType.STOP: (False, True),
    OrderType.STOP_LIMIT: (True, True),
}
Legs = Mapping[Leg, Order]


@dataclass(frozen=True, slots=True)
class Liquidity:
    """What the venue assumes of a symbol: average daily units and volatility of daily returns."""

    adv_units: float
    daily_volatility: float


def wrong_with(order: Order, instrument: Instrument | None) -> str:
    """What keeps an order out of the venue; empty where nothing does.

    Floats, NaN and infinity are no quantities and no prices. An odd lot may leave or be
    swept, not enter.
    """
    if instrument is None:
        return "not a symbol of this venue"
    quantity = order.quantity
    if type(quantity) is not int or quantity <= 0:
        return "quantity must be a positive whole number"
    if order.leg is Leg.ENTRY and quantity % instrument.lot:
        return f"quantity must be a multiple of {instrument.lot}"
    for price, needed in zip((order.limit, order.stop), _PRICES[order.type], strict=True):
        if (price is not None) != needed:
            return f"prices don't go with {order.type}"
        if price is None:
            continue
        if type(price) is not int or price <= 0 or price % instrument.tick:
            return f"a price must be a positive multiple of {instrument.tick}/10,000"
    return ""


def in_bar(order: Order, bar: Bar) -> tuple[int, bool]:
    """Reference price of an order in a bar, 0 where it can't trade, and whether it was touched.

    A stop-limit order whose stop is touched inside the bar trades at the stop if its limit
    allows, since the price went through there; one touched by the open works as a limit order
    through the whole bar; what came after the touch isn't known otherwise.
    """
    sign = order.side.sign
    stop, limit = order.stop or 0, order.limit or 0
    kind = order.type
    if kind is OrderType.MARKET:
        return bar.open, True
    if kind is OrderType.LIMIT:
        at = limit_reference(bar, limit, sign)
        return at, at > 0
    if kind is OrderType.STOP:
        at = stop_reference(bar, stop, sign)
        return at, at > 0
    if order.note == TOUCHED:
        return limit_reference(bar, limit, sign), True
    at = stop_reference(bar, stop, sign)
    if not at:
        return 0, False
    if at == bar.open:
        return limit_reference(bar, limit, sign), True
    return (at if (limit - at) * sign >= 0 else 0), True


def reached(order: Order, bars: Mapping[str, Bar]) -> bool:
    """Whether a leg may trade in its bar, or has a touch to remember."""
    bar = bars.get(order.symbol)
    return bar is not None and (order.type is OrderType.STOP_LIMIT or in_bar(order, bar)[1])


def in_book(order: Order, depth: Depth) -> bool:
    """Whether an order's stop or limit is reached by the best price of a book."""
    sign, best = order.side.sign, depth.best(order.side.sign)
    if not best:
        return False
    if order.type is OrderType.MARKET:
        return True
    if order.type is OrderType.LIMIT:
        return (best - (order.limit or 0)) * sign <= 0
    triggered = order.type is OrderType.STOP_LIMIT and order.note == TOUCHED
    return triggered or (best - (order.stop or 0)) * sign >= 0


def first_in_bar(rule: int, legs: Legs, bar: Bar) -> tuple[Leg | None, int, list[Order]]:
    """Which leg of a position trades in a bar, at which reference, and the legs newly touched.

    Parameters
    ----------
    rule : int
        Code of an `OcoRule`.
    """
    touched, at_open, notes = 0, 0, []
    at: dict[Leg | None, int] = {None: 0}
    for each, bit in BITS.items():
        if each not in legs:
            continue
        at[each], hit = in_bar(legs[each], bar)
        touched |= bit if at[each] else 0
        at_open |= bit if at[each] and at[each] == bar.open else 0
        if hit and not at[each] and not legs[each].note:
            notes.append(replace(legs[each], note=TOUCHED))  # it waits at its limit
    leg = _leg(rule, legs, touched, at_open)
    if rule == BOTH:
        notes += remember(legs, touched)
    return leg, at[leg], notes


def first_in_book(rule: int, legs: Legs, depth: Depth) -> tuple[Leg | None, list[Order]]:
    """Which leg of a position may trade against a book, and the legs newly touched."""
    touched, notes = 0, []
    for each, bit in BITS.items():
        if each in legs and in_book(legs[each], depth):
            touched |= bit
            if legs[each].type is OrderType.STOP_LIMIT and not legs[each].note:
                notes.append(replace(legs[each], note=TOUCHED))
    leg = _leg(rule, legs, touched, touched)
    if rule == BOTH:
        notes += [o for o in remember(legs, touched) if o not in notes]
    return leg, notes


def _leg(rule: int, legs: Legs, touched: int, at_open: int) -> Leg | None:
    alone = len([leg for leg in BITS if leg in legs]) < 2  # nothing to wait for
    found = touched if alone else which_first(rule, touched, at_open, seen(legs))
    return next((leg for leg, bit in BITS.items() if bit == found), None)


def seen(legs: Legs) -> int:
    """Bits of the legs whose level was touched since an entry placed them."""
    bits = (bit for leg, bit in BITS.items() if leg in legs and legs[leg].note == TOUCHED)
    return sum(bits)


def remember(legs: Legs, touched: int) -> list[Order]:
    """Legs that are touched now and weren't before, with their note."""
    before = seen(legs)
    now = remembered(before, touched) & ~before
    return [replace(legs[leg], note=TOUCHED) for leg, bit in BITS.items() if bit & now]


def assumed_price(
    rates: Rates,
    bar: Bar,
    *,
    sign: int,
    quantity: int,
    reference: int,
    bucket: Bucket,
    liquidity: Liquidity,
) -> int:
    """What a market order is assumed to pay in a bar: half spread, impact and latency."""
    bps = slippage_bps(
        rates,
        CODE[bucket],
        quantity=quantity,
        adv_units=liquidity.adv_units,
        daily_volatility=liquidity.daily_volatility,
        draw=latency_draw(crc32(bar.symbol.encode()), bar.session.toordinal()),
    )
    return slipped(reference, sign, bps)
