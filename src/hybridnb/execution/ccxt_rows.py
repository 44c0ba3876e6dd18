"""An exchange's rows as orders and fills of ours: ids, states, and coins counted in whole units."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hybridnb.domain import SCALE, Fill, Leg, Order, OrderState, OrderType, Side
from hybridnb.execution.ccxt_wire import Market, Unanswered, number, text, whole

_STATES = {
    "NEW": OrderState.ACCEPTED,
    "PENDING_NEW": OrderState.SUBMITTED,
    "PENDING_CANCEL": OrderState.ACCEPTED,
    "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELLED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
}
# The exchange allows ^[.A-Z:/a-z0-9_-]{1,36}$. Our id goes in as it is, then a colon and the
# revision in hex: every cancel-and-replace is a new order there and needs a new id. An id that
# is too long or has other characters goes in as a slash and its digest (116 bits); the way back
# is then the table of orders known, and without one the digest itself stands for it.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,31}")
_OURS = re.compile(r"((?:/[0-9a-f]{29})|(?:[A-Za-z0-9_.-]{1,31})):([0-9a-f]{1,4})")
_LEG = re.compile(rf"(?:^|-)({'|'.join(Leg)})(?:-|$)")


def body(client_id: str) -> str:
    """What stands for our id in every revision's id on the wire."""
    if _PLAIN.fullmatch(client_id):
        return client_id
    return "/" + hashlib.sha256(client_id.encode()).hexdigest()[:29]


def wire(stem: str, revision: int) -> str:
    return f"{stem}:{revision:x}"


def unwire(name: str) -> tuple[str, int] | None:
    """Body and revision of an id on the wire; None for an order that isn't ours."""
    found = _OURS.fullmatch(name)
    return (found[1], int(found[2], 16)) if found else None


def leg_of(client_id: str, side: Side) -> Leg:
    """The leg that our ids name; an id that names none enters by buying, leaves by selling."""
    found = _LEG.search(client_id)
    return Leg(found[1]) if found else Leg.ENTRY if side is Side.BUY else Leg.EXIT


@dataclass(slots=True, eq=False)
class Tracked:
    """One order of ours, over the orders it has been at the exchange.

    Attributes
    ----------
    order : Order
        As asked for; `view` says how it stands.
    done : dict of int to Decimal
        Coins executed by exchange order id, over all revisions.
    seen : dict of int to int
        Exchange order id of each revision; -1 for one that never was.
    sent : int
        The newest revision sent, which may not have arrived.
    at : int
        When it was sent, the exchange's milliseconds.
    doubt : bool
        A request on it is unanswered.
    """

    order: Order
    stem: str
    foreign: bool = False
    row: Mapping[str, Any] | None = None
    revision: int = -1
    done: dict[int, Decimal] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    sent: int = 0
    at: int = 0
    doubt: bool = False
    told: Order | None = None

    @property
    def coins(self) -> Decimal:
        return sum(self.done.values(), Decimal(0))

    def name(self, revision: int) -> str:
        return self.stem if self.foreign else wire(self.stem, revision)


def name_of(row: Mapping[str, Any]) -> str:
    """The order's own id; in a report of a cancel `clientOrderId` is the cancel's."""
    return text(row, "origClientOrderId" if "origClientOrderId" in row else "clientOrderId")


def blank(row: Mapping[str, Any], market: Market, known: Mapping[str, Order]) -> Tracked:
    """A record for an order first met in a reply."""
    name = name_of(row)
    ours = unwire(name)
    stem = ours[0] if ours else name
    side = Side(text(row, "side"))
    order = known.get(stem) or Order(
        client_id=stem,
        symbol=market.symbol,
        side=side,
        quantity=0,
        type=OrderType.MARKET,
        leg=leg_of(stem, side),
        state=OrderState.ACCEPTED,
        decision_id="",
    )
    return Tracked(order=order, stem=stem, foreign=ours is None)


def learn(tracked: Tracked, row: Mapping[str, Any], market: Market) -> None:
    """Take in a row; nothing is taken of one that can't be understood."""
    ours = unwire(name_of(row))
    revision = ours[1] if ours else 0
    number_there, coins = whole(row, "orderId"), number(row, "executedQty")
    newest = revision >= tracked.revision
    if newest:
        _order(tracked, row, market)  # raises before anything is changed
    tracked.done[number_there] = coins
    tracked.seen[revision] = number_there
    if newest:
        tracked.revision, tracked.row = revision, row
        if revision >= tracked.sent:
            tracked.sent, tracked.doubt = revision, False


def view(tracked: Tracked, market: Market, *, note: str = "") -> Order:
    """The order as it stands; one with an unanswered request is unknown, that is: in flight."""
    order = tracked.order
    if tracked.row is not None:
        order = _order(tracked, tracked.row, market)
        dust = tracked.coins - market.coins(order.filled)
        if dust and not order.state.open:
            parts = (order.note, f"{dust.normalize():f} {market.base} beyond whole units")
            order = replace(order, note="; ".join(p for p in parts if p))
    if note:
        order = replace(order, note="; ".join(p for p in (order.note, note) if p))
    return replace(order, state=OrderState.UNKNOWN) if tracked.doubt else order


def _order(tracked: Tracked, row: Mapping[str, Any], market: Market) -> Order:
    status, kind = text(row, "status"), text(row, "type")
    if status not in _STATES:
        raise Unanswered(f"the exchange tells of a state that isn't known: {status}")
    limit, stop = price_of(row, "price", market), price_of(row, "stopPrice", market)
    done = tracked.done | {whole(row, "orderId"): number(row, "executedQty")}
    coins = sum(done.values(), Decimal(0))
    filled = market.units(coins)
    asked = coins - number(row, "executedQty") + number(row, "origQty")
    state = _STATES[status]
    if filled and state is OrderState.ACCEPTED:  # a revision carries on what others filled
        state = OrderState.PARTIALLY_FILLED
    known = {there: ours for ours, there in TYPES.items()}
    # Of a foreign order of another type (LIMIT_MAKER, TAKE_PROFIT) the prices say what it is.
    kinds = (OrderType.MARKET, OrderType.STOP, OrderType.LIMIT, OrderType.STOP_LIMIT)
    return replace(
        tracked.order,
        side=Side(text(row, "side")),
        quantity=market.units(asked),
        type=known.get(kind, kinds[2 * (limit is not None) + (stop is not None)]),
        limit=limit,
        stop=stop,
        filled=filled,
        state=state,
    )


def price_of(row: Mapping[str, Any], key: str, market: Market) -> int | None:
    """A price of an order; None where it has none, which the exchange writes as 0."""
    price = number(row, key) if key in row else Decimal(0)
    return market.price(price) if price else None


@dataclass(frozen=True, slots=True)
class Deal:
    """One trade of ours at the exchange; `fee` in quote currency, NaN-free, None: no rate."""

    id: int
    order: int
    price: Decimal
    coins: Decimal
    side: Side
    fee: Decimal | None
    at: int


def fills_of(order: Order, deals: Iterable[Deal], market: Market) -> list[Fill]:
    """Fills in whole units from an order's trades.

    The exchange's steps may be smaller than a unit of ours: coins are gathered until they make
    a whole unit, and the fill that completes it has their average price, rounded against us,
    and their fees. Trades in whole units come out exactly as they are.

    Parameters
    ----------
    deals : iterable of Deal
        All trades of the order, from its first.
    """
    fills: list[Fill] = []
    waiting: list[list[Decimal]] = []  # coins left and price of trades not yet in a unit
    coins, units, fee = Decimal(0), 0, Decimal(0)
    for deal in sorted(deals, key=lambda d: d.id):
        waiting.append([deal.coins, deal.price])
        coins, fee = coins + deal.coins, fee + (deal.fee or Decimal(0))
        new = market.units(coins) - units
        if not new:
            continue
        price = Fraction(_take(waiting, market.coins(new))) * SCALE / new
        paid = math.ceil(price) if deal.side is Side.BUY else math.floor(price)
        fills.append(
            Fill(
                fill_id=f"{market.id}-{deal.id}",
                client_id=order.client_id,
                symbol=market.symbol,
                side=deal.side,
                leg=order.leg,
                quantity=new,
                price=paid,
                reference=paid,  # the exchange doesn't tell what the market was before
                commission=round(fee * SCALE),
                slippage=0,
                at=stamp(deal.at),
            )
        )
        units, fee = units + new, Decimal(0)
    return fills


def in_order(fills: Iterable[Fill]) -> tuple[Fill, ...]:
    """Fills as they happened; within a millisecond, by symbol and the exchange's count."""
    return tuple(sorted(fills, key=lambda f: (f.at, f.symbol, int(f.fill_id.rpartition("-")[2]))))


def _take(waiting: list[list[Decimal]], coins: Decimal) -> Decimal:
    """Take coins from the oldest trades; what they were worth in quote currency."""
    value = Decimal(0)
    while coins and waiting:
        part = min(coins, waiting[0][0])
        value += part * waiting[0][1]
        coins -= part
        waiting[0][0] -= part
        if not waiting[0][0]:
            waiting.pop(0)
    return value


def average(deals: Sequence[Deal]) -> Decimal | None:
    """Average cost of the coins that trades left in the account; None where they left none."""
    coins, cost = Decimal(0), Decimal(0)
    for deal in sorted(deals, key=lambda d: d.id):
        if deal.side is Side.BUY:
            coins, cost = coins + deal.coins, cost + deal.coins * deal.price
        elif deal.coins < coins:
            cost -= cost * deal.coins / coins
            coins -= deal.coins
        else:
            coins, cost = Decimal(0), Decimal(0)
    return cost / coins if coins else None


def stamp(milliseconds: int) -> str:
    """ISO time in UTC, to the millisecond."""
    seconds, rest = divmod(milliseconds, 1000)
    moment = dt.datetime.fromtimestamp(seconds, tz=dt.UTC) + dt.timedelta(milliseconds=rest)
    return moment.isoformat(timespec="milliseconds")
