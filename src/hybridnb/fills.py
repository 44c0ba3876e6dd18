"""The venue's rules: at which price and for how much an order fills in a bar.

Prices that gap through a level fill at the open; inside one bar the stop comes before the
target, because the order of prices inside a bar isn't known. A bar that holds only a close
trades at the close. Prices are integers of 1/10,000; `sign` is the order's, 1 buys and -1 sells;
0 is no price. Every function takes what has `open`, `high`, `low` and `volume`, compiled or not.
"""

from __future__ import annotations

from typing import NamedTuple

from hybridnb.domain import Bar, Leg

LEG = {leg: code for code, leg in enumerate(Leg)}
STOP, TARGET = LEG[Leg.STOP], LEG[Leg.TARGET]
NO_LIMIT = 2**62


class Prices(NamedTuple):
    """A bar without its names; prices in 1/10,000, volume in units, -1 where the feed has none."""

    open: int
    high: int
    low: int
    close: int
    volume: int


def most_fillable(bar: Bar | Prices, participation: float, used: int) -> int:
    """Units that may still fill in a bar: `participation` of its volume less what was used.

    `NO_LIMIT` where the feed has no volume (none can be known); 0 in a bar without trades.
    """
    return fillable(bar.volume, participation, used)


def fillable(volume: int, participation: float, used: int) -> int:
    """`most_fillable` of a bar with this volume."""
    return NO_LIMIT if volume < 0 else max(0, int(participation * volume) - used)


def stop_reference(bar: Bar | Prices, stop: int, sign: int) -> int:
    """Reference price of a stop order in a bar, 0 where it isn't touched."""
    if sign < 0:
        return bar.open if bar.open <= stop else stop if bar.low <= stop else 0
    return bar.open if bar.open >= stop else stop if bar.high >= stop else 0


def limit_reference(bar: Bar | Prices, limit: int, sign: int) -> int:
    """Price of a limit order in a bar (never worse than its limit), 0 where it isn't reached."""
    if sign < 0:
        return bar.open if bar.open >= limit else limit if bar.high >= limit else 0
    return bar.open if bar.open <= limit else limit if bar.low <= limit else 0


def protective_fill(bar: Bar | Prices, stop: int, target: int, sign: int) -> tuple[int, int]:
    """Code of the protective leg that fills first in a bar and its reference price; (0, 0): none.

    A target that the open already reached was there first; otherwise the stop goes first.
    """
    at_stop = stop_reference(bar, stop, sign)
    at_target = limit_reference(bar, target, sign)
    if at_target == bar.open and at_target and at_stop != bar.open:
        return TARGET, at_target
    if at_stop:
        return STOP, at_stop
    if at_target:
        return TARGET, at_target
    return 0, 0
