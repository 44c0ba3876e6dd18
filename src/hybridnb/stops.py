"""Protective levels: initial stop, trailing stop, take profit.

All from the fill-weighted entry, in multiples of Wilder's ATR; levels are integers of 1/10,000
on the instrument's tick. A stop never moves away from the price.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from hybridnb.domain import SCALE, Position
from hybridnb.policy import Stops
from hybridnb.values import replace


def on_tick(units: float, tick: int, up: bool) -> int:
    """A price in 1/10,000 rounded to the tick above (`up`) or below, at least one tick."""
    # `units // tick` for floats takes a remainder, which is slow: here a quotient that rounded.
    whole = math.floor(units / tick)
    whole += ((whole + 1) * tick <= units) - (whole * tick > units)
    ticks = whole if not up or whole * tick == units else whole + 1
    return max(tick, ticks * tick)


class StopRule(NamedTuple):
    """Multiples of ATR, as floats ready for a compiler."""

    initial: float
    trailing: float
    activation: float
    target: float


def stop_rule(stops: Stops) -> StopRule:
    """The rule a policy's stops set."""
    return StopRule(stops.initial, stops.trailing, stops.activation, stops.target)


def levels(rule: StopRule, entry: float, atr: float, sign: int, tick: int) -> tuple[int, int]:
    """Stop and target of a position from its fill-weighted entry, in 1/10,000.

    The stop rounds toward the entry, so that rounding never widens the risk; the target away
    from it. `atr` is in account units, `sign` the position's.
    """
    unit = atr * SCALE
    stop = on_tick(entry - sign * rule.initial * unit, tick, sign > 0)
    target = on_tick(entry + sign * rule.target * unit, tick, sign > 0)
    return stop, target


def tighter(stop: int, other: int, sign: int) -> int:
    """The stop nearer to the price, for a position of this sign; 0 is none."""
    if stop == 0 or other == 0:
        return max(stop, other)
    return max(stop, other) if sign > 0 else min(stop, other)


def resting(rule: StopRule, entry: Any, atr: Any, best: Any, sign: Any) -> Any:
    """Whether the trailing stop isn't in profit yet at this best price; of numbers or columns."""
    return sign * (best - entry) < rule.activation * (atr * SCALE)


def trailed(rule: StopRule, entry: float, atr: float, best: int, sign: int, tick: int) -> int:
    """The trailing stop at this best price: 0 until in profit by `activation` ATR."""
    if resting(rule, entry, atr, best, sign):
        return 0
    return on_tick(best - sign * rule.trailing * (atr * SCALE), tick, sign < 0)


def protect(position: Position, rule: StopRule, *, tick: int) -> Position:
    """Set both levels anew, for instance after another entry fill; a tighter stop stays."""
    sign = 1 if position.quantity > 0 else -1
    stop, target = levels(rule, position.entry, position.atr, sign, tick)
    return replace(position, stop=tighter(stop, position.stop, sign), target=target)


def trail(position: Position, rule: StopRule, *, high: int, low: int, tick: int) -> Position:
    """Move the stop after a bar.

    Parameters
    ----------
    high, low : int
        The bar's range in 1/10,000; the new stop holds from the next bar on, since the order
        of prices inside a bar isn't known.
    """
    sign = 1 if position.quantity > 0 else -1
    best = max(position.best, high) if sign > 0 else min(position.best, low)
    moved = trailed(rule, position.entry, position.atr, best, sign, tick)
    stop = tighter(position.stop, moved, sign)
    if best == position.best and stop == position.stop:
        return position
    return replace(position, best=best, stop=stop)
