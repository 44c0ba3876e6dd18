"""One position from its entry to its exit over a symbol's bars, by the rules that trade.

The venue's phases in their order: at the open exits before entries, in the range at most one
protective leg, after it the trailing stop. Prices, slippage, commissions and levels come from the
very functions of the venue and of the stops; money is an exact integer of 1/10,000.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from hybridnb.book import Book, apply_fill
from hybridnb.costs import Rates, commission, latency_draw, slippage_bps, slipped
from hybridnb.domain import Fill, Leg, Position, Side
from hybridnb.fills import STOP, Prices, most_fillable, protective_fill
from hybridnb.stops import StopRule, protect, trail
from hybridnb.values import replace

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Path:
    """A symbol's bars, one a session of the exchange, oldest first; all arrays of shape (t,).

    Attributes
    ----------
    days : ndarray of int64
        Proleptic Gregorian ordinals, strictly increasing.
    open, high, low, close : ndarray of int64
        In 1/10,000; a close of 0 says that the session has no bar.
    volume : ndarray of int64
        Units, -1 where the feed has none.
    atr, adv_units, daily_volatility : ndarray of float64
        What was known before each session: ATR in account units, average daily units, standard
        deviation of daily returns. NaN is unknown: without ATR nothing can be entered, without
        the others impact and drift are left out, as the venue does.
    leave : ndarray of bool
        Whatever was held was left at the market in this session: a decided exit, a flattening.

    Raises
    ------
    ValueError
        For arrays of unequal lengths, days out of order, or a bar whose prices can't be.
    """

    symbol: str
    days: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    atr: Floats
    adv_units: Floats
    daily_volatility: Floats
    leave: NDArray[np.bool_]

    def __post_init__(self) -> None:
        prices = (self.open, self.high, self.low, self.close, self.volume)
        facts = (self.atr, self.adv_units, self.daily_volatility, self.leave)
        if {np.shape(each) for each in (*prices, *facts)} != {(len(self.days),)}:
            raise ValueError("the arrays of a path have one shape, (t,)")
        if (np.diff(self.days) <= 0).any():
            raise ValueError("the days of a path increase")
        bad = (self.low > np.minimum(self.open, self.close)) | (self.low <= 0)
        bad |= self.high < np.maximum(self.open, self.close)
        if (bad & (self.close != 0)).any():
            raise ValueError("prices of a bar: 0 < low <= open, close <= high")

    def bar(self, row: int) -> Prices | None:
        """The bar of a row; None where the session has none."""
        if self.close[row] == 0:
            return None
        each = (self.open, self.high, self.low, self.close, self.volume)
        return Prices(*(int(values[row]) for values in each))


class Venue(NamedTuple):
    """What a symbol trades by: costs, levels, and its own traits; `bucket` is a class's code."""

    rates: Rates
    rule: StopRule
    bucket: int
    tick: int = 1
    lot: int = 1
    multiplier: int = 1


class Entry(NamedTuple):
    """A market order to enter: the row of its session, and its units."""

    row: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Trip:
    """What became of a position.

    Attributes
    ----------
    pnl : int or None
        Net of all costs, in 1/10,000; of one that is still open at the last close, without what
        leaving would cost. None: unknown, `note` says why.
    row : int
        Of the last fill, or of the last bar where it is still open; -1 without any.
    leg : str
        That closed it last; empty where it is open, or nothing was entered.
    """

    pnl: int | None
    row: int = -1
    leg: str = ""
    closed: bool = True
    note: str = ""


def travel(path: Path, venue: Venue, entries: Sequence[Entry], sign: int) -> Trip:
    """Enter at the market and hold until a leg, a decided exit or the end of the bars.

    Parameters
    ----------
    path : Path
    venue : Venue
    entries : sequence of Entry
        In order; those after the first add to the position while it is open. What a bar's volume
        doesn't fill of one expires at its session's end.
    sign : int
        1 long, -1 short.
    """
    why = _unknown(path, entries)
    if why:
        return Trip(None, note=why)
    desk = _Desk(path, venue, sign, {each.row: each.quantity for each in entries})
    last = max(each.row for each in entries)
    for row in range(entries[0].row, len(path.days)):
        desk.session(row)
        if desk.position is None and (desk.filled or row >= last):
            break
    return desk.outcome()


def _unknown(path: Path, entries: Sequence[Entry]) -> str:
    """Why an entry can't be told; empty where it can."""
    if not entries or min(each.quantity for each in entries) <= 0:
        return "nothing to enter: less than a lot"
    row = entries[0].row
    if not 0 <= row < len(path.days):
        return "the bars end before the entry"
    if path.close[row] == 0:
        return "no bar in the session of the entry"
    if not path.atr[row] > 0.0 or not np.isfinite(path.atr[row]):
        return "no ATR before the entry: its levels are unknown"
    return ""


@dataclass(slots=True)
class _Desk:
    """The position in progress."""

    path: Path
    venue: Venue
    sign: int
    entries: dict[int, int]
    book: Book = field(default_factory=lambda: Book(cash=0))
    exit: int = 0  # units of a market exit still at work
    filled: bool = False
    row: int = -1
    leg: str = ""
    used: int = 0  # of the bar's volume
    charged: dict[Leg, tuple[int, int]] = field(default_factory=dict)  # units, commission today

    @property
    def position(self) -> Position | None:
        return self.book.positions.get(self.path.symbol)

    def session(self, row: int) -> None:
        """One bar: the open, the range, the trailing stop."""
        held, self.used, self.charged = self.position, 0, {}
        if held is not None and self.path.leave[row] and not self.exit:
            self.exit = abs(held.quantity)
        bar = self.path.bar(row)
        if bar is None:
            return
        if self.exit:
            self.exit -= self._at_market(row, bar, Leg.EXIT, self.exit)
        if row in self.entries and (self.position is not None or not self.filled):
            self._at_market(row, bar, Leg.ENTRY, self.entries[row])
        self._protect(row, bar)
        held = self.position
        if held is None:
            self.exit = 0
            return
        moved = trail(held, self.venue.rule, high=bar.high, low=bar.low, tick=self.venue.tick)
        self._hold(moved)

    def _hold(self, position: Position) -> None:
        self.book = replace(self.book, positions={self.path.symbol: position})

    def _at_market(self, row: int, bar: Prices, leg: Leg, left: int) -> int:
        sign = self.sign if leg is Leg.ENTRY else -self.sign
        return self._fill(row, bar, leg, sign=sign, left=left, reference=bar.open)

    def _protect(self, row: int, bar: Prices) -> None:
        held = self.position
        if held is None or bar.volume == 0:
            return
        code, reference = protective_fill(bar, held.stop, held.target, -self.sign)
        if reference:
            leg, left = (Leg.STOP if code == STOP else Leg.TARGET), abs(held.quantity)
            self._fill(row, bar, leg, sign=-self.sign, left=left, reference=reference)

    def _fill(
        self, row: int, bar: Prices, leg: Leg, *, sign: int, left: int, reference: int
    ) -> int:
        venue, path = self.venue, self.path
        quantity = min(left, most_fillable(bar, venue.rates.participation, self.used))
        if quantity <= 0:
            return 0
        price = reference
        if leg is not Leg.TARGET:  # a limit order doesn't cross the spread
            bps = slippage_bps(
                venue.rates,
                venue.bucket,
                quantity=quantity,
                adv_units=float(path.adv_units[row]),
                daily_volatility=float(path.daily_volatility[row]),
                draw=latency_draw(crc32(path.symbol.encode()), int(path.days[row])),
            )
            price = slipped(reference, sign, bps)
        self.used += quantity
        self._book(row, leg, sign=sign, quantity=quantity, price=price, reference=reference)
        return quantity

    def _book(
        self, row: int, leg: Leg, *, sign: int, quantity: int, price: int, reference: int
    ) -> None:
        venue, path = self.venue, self.path
        at = dt.date.fromordinal(int(path.days[row])).isoformat()
        units, charged = self.charged.get(leg, (0, 0))
        units += quantity
        whole = commission(venue.rates, quantity=units, price=price * venue.multiplier)
        due = max(0, whole - charged)
        self.charged[leg] = (units, charged + due)
        fill = Fill(
            fill_id=f"{at}-{leg}-{units}",
            client_id=f"{at}-{leg}",
            symbol=path.symbol,
            side=Side.BUY if sign > 0 else Side.SELL,
            leg=leg,
            quantity=quantity,
            price=price,
            reference=reference,
            commission=due,
            slippage=abs(price - reference) * quantity * venue.multiplier,
            at=at,
        )
        atr = float(path.atr[row])
        self.book, _ = apply_fill(
            self.book, fill, atr=atr, multiplier=venue.multiplier, decision_id="", at=at
        )
        held, self.row = self.position, row
        if leg is Leg.ENTRY and held is not None:
            self.filled = True
            self._hold(protect(held, venue.rule, tick=venue.tick))
        self.leg = "" if leg is Leg.ENTRY else str(leg)

    def outcome(self) -> Trip:
        """What it came to: realised, or at the last close."""
        held, path = self.position, self.path
        if not self.filled:
            return Trip(0, note="the bar's volume filled nothing")
        if held is None:
            return Trip(self.book.cash, self.row, self.leg)
        row = int(np.flatnonzero(path.close)[-1])
        value = held.quantity * held.multiplier * int(path.close[row])
        day = dt.date.fromordinal(int(path.days[row]))
        told = f"still open: valued at the close of {day}, without the cost of leaving"
        return Trip(self.book.cash + value, row, closed=False, note=told)
