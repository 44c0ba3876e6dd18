"""A market at random, behind a venue with bad weather: what a wild broker is an adapter of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hybridnb.testing.exchange import BUY, CANCELLED, WORKING, Exchange, Resting


@dataclass(slots=True)
class World:
    """The venue and its weather; it outlives every adapter.

    Attributes
    ----------
    chaos : float
        Chance that a request suffers.
    moves : float
        Chance that the market trades around a request.
    drift : float
        What a price is multiplied with at each trade, on average.
    locks : bool
        Whether an open sale locks what it sells, as at a spot exchange.
    units : int
        The most that trades at once.
    oco : str
        The rule that the venue keeps by itself, if any. BOTH_MUST_TRIGGER makes it hold both
        legs of a symbol back until both levels were touched since the last entry.
    day : int
        Executions before the day began.
    """

    exchange: Exchange
    prices: dict[str, int]
    rng: np.random.Generator
    chaos: float = 0.1
    moves: float = 0.5
    drift: float = 1.0
    locks: bool = False
    units: int = 500
    oco: str = ""
    day: int = 0
    touched: dict[str, set[str]] = field(default_factory=dict)
    suffered: dict[str, int] = field(default_factory=dict)

    def happens(self, what: str) -> bool:
        """Whether a misfortune happens now."""
        found = self.rng.random() < self.chaos / 4
        if found:
            self.suffered[what] = self.suffered.get(what, 0) + 1
        return found

    def tosses(self) -> bool:
        """Whether, in bad weather, it goes the other way of two."""
        return self.rng.random() < 0.5 and self.chaos > 0

    def move(self, *, chance: float | None = None) -> None:
        """Let the market trade in one name, perhaps."""
        if self.rng.random() >= (self.moves if chance is None else chance):
            return
        symbol = list(self.prices)[int(self.rng.integers(len(self.prices)))]
        step = self.drift * float(np.exp(self.rng.normal(0, 0.02)))
        self.prices[symbol] = max(100, round(self.prices[symbol] * step / 100) * 100)
        self.trade(symbol, self.prices[symbol], int(self.rng.integers(1, self.units)))

    def trade(self, symbol: str, price: int, units: int) -> None:
        """Let the market trade with what works there and isn't held back."""
        held = self._held_back(symbol, price)
        for order in held:
            order.state = CANCELLED  # for as long as this trade takes
        done = self.exchange.trade(symbol, price, units)
        for order in held:
            order.state = WORKING
        if any(each.side == BUY for each in done):
            self.touched.pop(symbol, None)

    def _held_back(self, symbol: str, price: int) -> list[Resting]:
        """Sales at a stop or a limit whose other level wasn't touched yet."""
        sales = [o for o in self.exchange.working if o.symbol == symbol and o.sign < 0]
        legs = [o for o in sales if o.type in ("STOP", "LIMIT")]
        if self.oco != "BOTH_MUST_TRIGGER" or len({o.type for o in legs}) < 2:
            return []
        touched = self.touched.setdefault(symbol, set())
        at = {o.type for o in legs if ((o.limit or price) <= price <= (o.stop or price))}
        touched |= at
        return legs if len(touched) < 2 else []

    def realised(self) -> int:
        """What the day's sales of a long account gained, net of all commissions."""
        gains, held = 0.0, dict.fromkeys(self.prices, (0, 0.0))
        for each in self.exchange.executions:
            units, cost = held[each.symbol]
            value = each.quantity * each.price
            if each.side == BUY:
                held[each.symbol] = units + each.quantity, cost + value + each.commission
                continue
            part = cost * min(each.quantity, units) / max(units, 1)
            held[each.symbol] = max(units - each.quantity, 0), cost - part
            gains += (value - each.commission - part) * (each.number > self.day)
        return round(gains)
