"""The venue's rules: at which price and for how much an order fills in a bar.

Prices that gap through a level fill at the open; inside one bar the stop comes before the
target, because the order of prices inside a bar isn't known. A bar that holds only a close
trades at the close. Prices are integers of 1/10,000.
"""

from __future__ import annotations

from hybridnb.domain import Bar, Leg, Side


def most_fillable(bar: Bar, participation: float, *, used: int) -> int | None:
    """Units that may still fill in a bar: `participation` of its volume less what was used.

    None where the feed has no volume (no limit can be known); 0 in a bar without trades.
    """
    if bar.volume < 0:
        return None
    return max(0, int(participation * bar.volume) - used)


def stop_reference(bar: Bar, stop: int, side: Side) -> int | None:
    """Reference price of a stop order in a bar, None where it isn't touched.

    `side` is the order's: SELL protects a long, BUY a short.
    """
    if side is Side.SELL:
        return bar.open if bar.open <= stop else stop if bar.low <= stop else None
    return bar.open if bar.open >= stop else stop if bar.high >= stop else None


def limit_reference(bar: Bar, limit: int, side: Side) -> int | None:
    """Price of a limit order in a bar (never worse than its limit), None where it isn't reached."""
    if side is Side.SELL:
        return bar.open if bar.open >= limit else limit if bar.high >= limit else None
    return bar.open if bar.open <= limit else limit if bar.low <= limit else None


def protective_fill(bar: Bar, stop: int, target: int, side: Side) -> tuple[Leg, int] | None:
    """Which protective leg fills first in a bar, and its reference price.

    A target that the open already reached was there first; otherwise the stop goes first.
    """
    at_stop = stop_reference(bar, stop, side)
    at_target = limit_reference(bar, target, side)
    if at_target is not None and at_target == bar.open and at_stop != bar.open:
        return Leg.TARGET, at_target
    if at_stop is not None:
        return Leg.STOP, at_stop
    if at_target is not None:
        return Leg.TARGET, at_target
    return None
