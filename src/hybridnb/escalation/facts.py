"""What a post-mortem may say: facts with ids, exact, each with its unit and its rounding."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from hybridnb.domain import SCALE

Value = Decimal | dt.date | str


class Unit(StrEnum):
    """How a fact's value is read."""

    CURRENCY = "currency"  # account units
    SHARE = "share"  # a fraction, printed in percent
    BPS = "bps"
    UNITS = "units"  # shares or contracts
    COUNT = "count"
    DATE = "date"
    SYMBOL = "symbol"
    TEXT = "text"


class Sense(StrEnum):
    """What the sign of a fact means to a sentence."""

    PROFIT = "profit"  # signed: gained or lost
    COST = "cost"  # a positive amount that was paid
    LEVEL = "level"  # a price, a size, a ratio: nothing is gained or lost by it


PLACES = {Unit.CURRENCY: 2, Unit.SHARE: 2, Unit.BPS: 1}
PERCENT = Decimal(100)


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of a session.

    Attributes
    ----------
    id : str
        F1, F2, …
    name : str
        What the figure is, in words of ours.
    value : Decimal, date or str
        Not rounded; a share is a fraction.
    unit : Unit
    symbol : str
        What it belongs to; empty for the whole book.
    places : int
        Decimals it is printed with, of percent for a share.
    sense : Sense
    """

    id: str
    name: str
    value: Value
    unit: Unit
    symbol: str = ""
    places: int = 0
    sense: Sense = Sense.LEVEL

    @property
    def number(self) -> Decimal | None:
        """The value as printed numbers are: a share in percent. None for dates and words."""
        if not isinstance(self.value, Decimal):
            return None
        return self.value * PERCENT if self.unit is Unit.SHARE else self.value

    @property
    def shown(self) -> str:
        """The value in print: `-1,234.50`, `-1.23 %`, `4.2 bps`, `2013-03-01`."""
        number = self.number
        if number is None:
            return self.value.isoformat() if isinstance(self.value, dt.date) else str(self.value)
        text = f"{rounded(number, self.places):,f}"
        return text + {Unit.SHARE: " %", Unit.BPS: " bps"}.get(self.unit, "")


def rounded(number: Decimal, places: int) -> Decimal:
    """Half to even, at `places` decimals; never a negative zero."""
    return number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN) + Decimal(0)


def exact(value: float | int | Decimal) -> Decimal:
    """A finite number as a decimal, a float by its shortest text.

    Raises
    ------
    ValueError
        When it isn't finite: what isn't known is no fact.
    """
    number = value if isinstance(value, Decimal) else Decimal(repr(value))
    if not number.is_finite():
        raise ValueError(f"{value!r} is no fact")
    return number


def money_places(amount: int) -> int:
    """Decimals that money of so many 1/10,000 is printed with: all four below one unit."""
    return 4 if 0 < abs(amount) < SCALE else PLACES[Unit.CURRENCY]


class FactTable:
    """Facts in order of their ids; what a model is shown and what its prose is held against.

    Parameters
    ----------
    facts : iterable of Fact
    currency : str
        ISO code of the account's currency.

    Raises
    ------
    ValueError
        When an id occurs twice or isn't F and a number.
    """

    __slots__ = ("_facts", "currency")

    def __init__(self, facts: Iterable[Fact], *, currency: str = "USD") -> None:
        self._facts: dict[str, Fact] = {}
        self.currency = currency
        for fact in facts:
            if fact.id in self._facts or not re.fullmatch(r"F[1-9][0-9]{0,5}", fact.id):
                raise ValueError(f"{fact.id!r} is no id, or names two facts")
            self._facts[fact.id] = fact

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts.values())

    def __len__(self) -> int:
        return len(self._facts)

    def __contains__(self, fact_id: object) -> bool:
        return fact_id in self._facts

    def __getitem__(self, fact_id: str) -> Fact:
        return self._facts[fact_id]

    @property
    def symbols(self) -> frozenset[str]:
        """Every symbol that a fact names."""
        named = {str(f.value) for f in self if f.unit is Unit.SYMBOL}
        return frozenset(named | {f.symbol for f in self if f.symbol})

    def rows(self) -> list[dict[str, str]]:
        """The table as people see it: id, fact, symbol, value."""
        return [{"id": f.id, "fact": f.name, "symbol": f.symbol, "value": f.shown} for f in self]

    def text(self) -> str:
        """The table in lines of `id | fact | symbol | value`, one a fact."""
        heads = f"id | fact | symbol | value (money in {self.currency})"
        return "\n".join([heads, *(" | ".join(map(_cell, row.values())) for row in self.rows())])


class FactBuilder:
    """Numbers facts as they come; equal facts keep their first id."""

    def __init__(self, *, currency: str = "USD") -> None:
        self._facts: list[Fact] = []
        self._known: dict[tuple[object, ...], Fact] = {}
        self._currency = currency

    def add(
        self,
        name: str,
        value: Value | int | float,
        unit: Unit,
        *,
        symbol: str = "",
        places: int | None = None,
        sense: Sense = Sense.LEVEL,
    ) -> str:
        """Add a fact; its id. Money is in account units: see `money`."""
        held = exact(value) if isinstance(value, int | float | Decimal) else value
        shown = PLACES.get(unit, 0) if places is None else places
        key = (name, held, unit, symbol, shown, sense)
        known = self._known.get(key)
        if known is None:
            fact_id = f"F{len(self._facts) + 1}"
            known = Fact(fact_id, name, held, unit, symbol, shown, sense)
            self._facts.append(known)
            self._known[key] = known
        return known.id

    def money(
        self, name: str, amount: int, *, symbol: str = "", sense: Sense = Sense.PROFIT
    ) -> str:
        """Add an amount in 1/10,000; its id."""
        value = Decimal(amount) / SCALE
        places = money_places(amount)
        return self.add(name, value, Unit.CURRENCY, symbol=symbol, sense=sense, places=places)

    def table(self) -> FactTable:
        """Every fact so far."""
        return FactTable(self._facts, currency=self._currency)


def _cell(text: str) -> str:
    return re.sub(r"[\s|]+", " ", text).strip()
