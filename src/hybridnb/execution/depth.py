"""What a market offers at one moment: the best bid and ask, or more levels of its book.

Prices are integers of 1/10,000, sizes whole units. An order walks the levels from the best one
on and takes no more of each than its size: what a quote doesn't show can't be bought from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from hybridnb.errors import Breach, InputError


class Level(NamedTuple):
    """A price and the units offered at it."""

    price: int
    size: int


@dataclass(frozen=True, slots=True)
class Depth:
    """Both sides of a book, the best level first; a side that nobody offers is empty.

    Raises
    ------
    InputError
        For a price or size that isn't a positive integer (NaN and infinity aren't), for levels
        out of order, and for a bid above the ask.
    """

    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()

    def __post_init__(self) -> None:
        wrong = next((level for level in (*self.bids, *self.asks) if not _sound(level)), None)
        if wrong is not None:
            raise _broken("level", f"{wrong} has no positive whole price and size")
        bids, asks = [b.price for b in self.bids], [a.price for a in self.asks]
        if bids != sorted(bids, reverse=True) or asks != sorted(asks):
            raise _broken("order", "the best level of a side comes first")
        if bids and asks and bids[0] > asks[0]:
            raise _broken("crossed", f"bid {bids[0]} above ask {asks[0]}")

    def side(self, sign: int) -> tuple[Level, ...]:
        """The levels that an order of this sign trades with: 1 buys from the asks."""
        return self.asks if sign > 0 else self.bids

    def best(self, sign: int) -> int:
        """Best price for an order of this sign, 0 where nobody offers."""
        levels = self.side(sign)
        return levels[0].price if levels else 0

    @property
    def middle(self) -> int:
        """Between bid and ask, rounded down; the one there is where the other is absent, else 0."""
        bid, ask = self.best(-1), self.best(1)
        return (bid + ask) // 2 if bid and ask else bid or ask

    def without(self, sign: int, taken: int) -> Depth:
        """What is left after `taken` units were traded from the best level on."""
        left = []
        for level in self.side(sign):
            part = min(taken, level.size)
            taken -= part
            if part < level.size:
                left.append(Level(level.price, level.size - part))
        return replace(self, asks=tuple(left)) if sign > 0 else replace(self, bids=tuple(left))


def quote(bid: int, bid_size: int, ask: int, ask_size: int) -> Depth:
    """A book of which only the best bid and ask are known."""
    return Depth((Level(bid, bid_size),), (Level(ask, ask_size),))


def walk(depth: Depth, sign: int, quantity: int, limit: int | None) -> list[Level]:
    """What an order takes, level by level: prices with the units taken at each.

    Parameters
    ----------
    sign : int
        1 buys, -1 sells.
    quantity : int
        Units wanted.
    limit : int or None
        The worst price accepted; None takes what is there.

    Returns
    -------
    list of Level
        Never more units than wanted nor than offered, never a price worse than the limit.
    """
    taken = []
    for level in depth.side(sign):
        worse = limit is not None and (level.price - limit) * sign > 0
        if worse or quantity <= 0:
            break
        part = min(quantity, level.size)
        taken.append(Level(level.price, part))
        quantity -= part
    return taken


def _sound(level: Level) -> bool:
    return all(type(figure) is int and figure > 0 for figure in level)


def _broken(rule: str, detail: str) -> InputError:
    return InputError([Breach("depth", None, rule, detail)])
