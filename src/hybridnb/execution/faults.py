"""What a paper venue may be told to fail at, so that a stress scenario meets the real orders."""

from __future__ import annotations

from dataclasses import dataclass

from hybridnb.domain import Order


@dataclass(frozen=True, slots=True)
class Faults:
    """Failures of a venue; the defaults are none.

    Attributes
    ----------
    no_exits : bool
        No order that reduces a position fills; it keeps working.
    filled : float
        Share of each order that fills, in (0, 1], one unit at least; the rest of an order that
        filled is cancelled. A protective leg that is placed anew is another order.
    """

    no_exits: bool = False
    filled: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.filled <= 1.0:
            raise ValueError(f"a share in (0, 1], not {self.filled}")

    @property
    def cuts(self) -> bool:
        """Whether the rest of an order that filled is cancelled."""
        return self.filled < 1.0

    def most(self, order: Order) -> int:
        """Units of an order that may fill now."""
        if self.no_exits and order.leg.reduces:
            return 0
        return max(1, int(self.filled * order.left)) if self.cuts else order.left


NO_FAULTS = Faults()
