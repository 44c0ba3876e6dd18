"""What an account at IB holds, as ours: cash and positions."""

from __future__ import annotations

from collections.abc import Sequence

from ib_async import AccountValue, Position

from hybridnb.domain import SCALE, Fill
from hybridnb.errors import BrokerDown
from hybridnb.execution.ibkr_rows import Contracts, amount, finite
from hybridnb.ports import Holding


def cash_of(values: Sequence[AccountValue], account: str) -> tuple[int, str]:
    """Cash of an account in 1/10,000 of its base currency, and that currency.

    Raises
    ------
    BrokerDown
        Where the gateway tells none, or no number.
    """
    for value in values:
        if value.tag == "TotalCashValue":
            return amount(value.value, "cash"), value.currency
    raise BrokerDown(f"IB Gateway tells no cash of account {account}")


def holdings_of(
    positions: Sequence[Position], fills: Sequence[Fill], contracts: Contracts
) -> dict[str, Holding]:
    """Positions in whole units by our symbols.

    IB's average cost contains the commissions of opening. Of a position that today's executions
    opened, all of it, the price is theirs, without commissions.
    """
    holdings = {}
    for position in positions:
        quantity = int(finite(position.position, "position"))
        if quantity:
            symbol = contracts.symbol_of(position.contract)
            cost = finite(position.avgCost, "average cost") * SCALE
            price = cost / float(position.contract.multiplier or 1)
            holdings[symbol] = Holding(quantity, _opened_at(quantity, symbol, fills) or price)
    return holdings


def _opened_at(quantity: int, symbol: str, fills: Sequence[Fill]) -> float | None:
    """None for a position of which a part is older, or that was reduced today."""
    mine = [fill for fill in fills if fill.symbol == symbol]
    if sum(f.side.sign * f.quantity for f in mine) != quantity or len({f.side for f in mine}) > 1:
        return None
    return sum(f.quantity * f.price for f in mine) / abs(quantity)
