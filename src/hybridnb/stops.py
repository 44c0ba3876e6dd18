"""Protective levels: initial stop, trailing stop, take profit.

All from the fill-weighted entry, in multiples of Wilder's ATR; levels are integers of 1/10,000
on the instrument's tick. A stop never moves away from the price.
"""

from __future__ import annotations

from dataclasses import replace

from hybridnb.domain import SCALE, Position
from hybridnb.policy import Stops


def on_tick(units: float, tick: int, *, up: bool) -> int:
    """A price in 1/10,000 rounded to the tick above (`up`) or below, at least one tick."""
    whole = int(units // tick)
    exact = whole * tick == units
    ticks = whole if exact or not up else whole + 1
    return max(tick, ticks * tick)


def protect(position: Position, stops: Stops, *, tick: int) -> Position:
    """Set both levels from the fill-weighted entry, for instance after another entry fill.

    The stop rounds toward the entry, so that rounding never widens the risk; the target away
    from it. A stop already tighter stays.
    """
    sign = 1 if position.quantity > 0 else -1
    atr = position.atr * SCALE
    stop = on_tick(position.entry - sign * stops.initial * atr, tick, up=sign > 0)
    target = on_tick(position.entry + sign * stops.target * atr, tick, up=sign > 0)
    if position.stop:
        stop = max(stop, position.stop) if sign > 0 else min(stop, position.stop)
    return replace(position, stop=stop, target=target)


def trail(position: Position, stops: Stops, *, high: int, low: int, tick: int) -> Position:
    """Move the stop after a bar: once in profit by `activation` ATR, `trailing` ATR from the best.

    Parameters
    ----------
    high, low : int
        The bar's range in 1/10,000; the new stop holds from the next bar on, since the order
        of prices inside a bar isn't known.
    """
    atr = position.atr * SCALE
    if position.quantity > 0:
        best = max(position.best, high)
        stop = position.stop
        if best - position.entry >= stops.activation * atr:
            stop = max(stop, on_tick(best - stops.trailing * atr, tick, up=False))
    else:
        best = min(position.best, low)
        stop = position.stop
        if position.entry - best >= stops.activation * atr:
            stop = min(stop, on_tick(best + stops.trailing * atr, tick, up=True))
    return replace(position, best=best, stop=stop)
