"""Start-up: our book against the broker's statement, before anything is sent.

What a restart explains is taken over: executions that weren't booked, orders that ended or never
arrived. What nothing explains is a difference, and a difference needs a person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hybridnb.domain import SCALE, Fill, Leg, Order, OrderState, OrderType, Position
from hybridnb.execution.lifecycle import unseen
from hybridnb.ports import Holding, Statement

PRICE_TOLERANCE = 1e-4  # of the average price
# Of what the account is worth: what a session's ordinary charges may come to that no fill tells,
# commissions in another currency (10 bps of what was traded) and a day's interest. What grows
# beyond it over the months is taken over by a person.
MONEY_TOLERANCE = 1e-3
REMEDY = (
    "Compare both accounts. Undo at the broker what nobody here decided (cancel the order, close"
    " the position), then start again; or take the broker's account over with"
    " `hybridnb adopt --broker NAME --reason TEXT`."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the book and the broker differ.

    `what` is quantity, price, cash, realised, order or fill.
    """

    what: str
    symbol: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.what} of {self.symbol}: ours {self.ours}, the broker's {self.theirs}"


@dataclass(frozen=True, slots=True)
class Arrears:
    """What happened while nobody listened.

    Attributes
    ----------
    fills : tuple of Fill
        Executions of our orders that weren't booked, oldest first.
    orders : tuple of Order
        Our orders as they stand now, where that is news: adopted, ended, filled.
    lost : tuple of Order
        Orders that were meant to be sent and never arrived.
    foreign : tuple of Difference
        Orders and executions that aren't ours.
    """

    fills: tuple[Fill, ...]
    orders: tuple[Order, ...]
    lost: tuple[Order, ...]
    foreign: tuple[Difference, ...]


def arrears(
    known: Mapping[str, Order],
    booked: Mapping[str, Fill],
    statement: Statement,
    *,
    there: Collection[str] = (),
) -> Arrears:
    """Compare orders and executions with a statement.

    Parameters
    ----------
    known : mapping of str to Order
        Every order of the book by client id; `filled` counts the fills booked.
    booked : mapping of str to Fill
        Every fill booked, by fill id.
    there : collection of str
        Ids that the broker was known to have: it said itself what became of them.
    """
    mine = [f for f in statement.fills if f.client_id in known]
    fresh = tuple(replace(f, leg=known[f.client_id].leg) for f in unseen(booked, mine))
    filled = {client_id: order.filled for client_id, order in known.items()}
    for fill in fresh:
        filled[fill.client_id] += fill.quantity
    theirs = {order.client_id: order for order in statement.orders}
    changed, lost = [], []
    for order in known.values():
        at_work = theirs.get(order.client_id)
        # One that an unfinished session left, or that seemed never to have arrived, is taken to
        # be over until it is seen to work.
        ended = order.state is OrderState.EXPIRED or order.client_id not in there
        left = ended and order.state is not OrderState.FILLED and at_work is not None
        if order.state is OrderState.CREATED or not (order.state.open or left):
            continue
        now = _now(order, at_work, filled[order.client_id])
        if now is None:
            lost.append(order)
        elif now != order:
            changed.append(now)
    return Arrears(fresh, tuple(changed), tuple(lost), _foreign(known, booked, statement))


def _now(order: Order, theirs: Order | None, filled: int) -> Order | None:
    """An open order of ours as the statement has it; None for one that never arrived."""
    if theirs is not None:
        state = OrderState.PARTIALLY_FILLED if filled else OrderState.ACCEPTED
        if theirs.state is OrderState.UNKNOWN:  # the broker can't tell yet
            state = OrderState.UNKNOWN
        return replace(
            order,
            state=state,
            filled=filled,
            quantity=filled + theirs.left,
            limit=theirs.limit,
            stop=theirs.stop,
        )
    if filled >= order.quantity:
        return replace(order, state=OrderState.FILLED, filled=filled, quantity=filled)
    if filled or order.state in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED):
        # The venue had it, and it is neither open nor whole: it ended without us.
        return replace(order, state=OrderState.CANCELLED, filled=filled)
    return None


def _foreign(
    known: Mapping[str, Order], booked: Mapping[str, Fill], statement: Statement
) -> tuple[Difference, ...]:
    found = [
        Difference("order", o.symbol, "none", f"{o.client_id}: {o.side} {o.left}")
        for o in statement.orders
        if o.client_id not in known
    ]
    strangers = (f for f in statement.fills if f.client_id not in known)
    found += [
        Difference("fill", f.symbol, "none", f"{f.fill_id}: {f.side} {f.quantity}")
        for f in strangers
        if f.fill_id not in booked
    ]
    return tuple(found)


def differences(
    positions: Mapping[str, Position], statement: Statement, *, ignore: Iterable[str] = ()
) -> Sequence[Difference]:
    """Where positions and a statement differ, after the arrears were booked.

    Parameters
    ----------
    positions : mapping of str to Position
    ignore : iterable of str
        Symbols kept apart from the trading book.

    Returns
    -------
    sequence of Difference
        Quantities that aren't equal; average prices more than 0.01 % apart.
    """
    skipped = set(ignore)
    found = []
    for symbol in sorted({*positions, *statement.holdings} - skipped):
        ours, theirs = positions.get(symbol), statement.holdings.get(symbol)
        held = ours.quantity if ours else 0
        there = theirs.quantity if theirs else 0
        if held != there:
            found.append(Difference("quantity", symbol, str(held), str(there)))
        elif ours and theirs and not _same_price(ours, theirs):
            entry, price = f"{ours.entry / 1e4:.4f}", f"{theirs.price / 1e4:.4f}"
            found.append(Difference("price", symbol, entry, price))
    return found


def money(
    cash: int, realised: int, positions: Mapping[str, Position], statement: Statement
) -> list[Difference]:
    """Where cash and realised profit differ from a statement, after the arrears were booked.

    Parameters
    ----------
    cash, realised : int
        The book's cash, and what its trades of this session realised, in 1/10,000.
    positions : mapping of str to Position

    Returns
    -------
    list of Difference
        Figures more than 0.1 % of the account apart (its cash and what its positions cost), and
        more than one unit of its currency. What the broker can't tell, None or NaN, isn't
        compared.
    """
    worth = abs(cash) + sum(abs(p.cost) for p in positions.values())
    room = max(MONEY_TOLERANCE * worth, float(SCALE))
    pairs = (("cash", cash, statement.cash), ("realised", realised, statement.realised))
    return [
        Difference(what, statement.currency, f"{ours / SCALE:.2f}", f"{theirs / SCALE:.2f}")
        for what, ours, theirs in pairs
        if theirs is not None and abs(ours - theirs) > room
    ]


def _same_price(ours: Position, theirs: Holding) -> bool:
    """Whether the averages agree; brokers count the commissions of opening in, or don't.

    A price that isn't a number is none that could be compared.
    """
    if theirs.price != theirs.price:
        return True
    charged = ours.entry + ours.fees / (ours.quantity * ours.multiplier)
    near = PRICE_TOLERANCE * abs(ours.entry)
    return any(abs(theirs.price - each) <= near for each in (ours.entry, charged))


def leaves(order: Order) -> bool:
    """Whether an order closes a position at the market, now."""
    return order.leg.reduces and order.type is OrderType.MARKET


def uncovered(positions: Mapping[str, Position], working: Iterable[Order]) -> set[str]:
    """Symbols whose position lacks a live stop of its full size at the broker.

    What a market order is closing needs no stop; one that waits to be sent takes the place of
    whatever part of the stop is gone.
    """
    covered: dict[str, int] = {}
    waiting: dict[str, int] = {}
    for order in working:
        if order.state.open and (order.leg is Leg.STOP or leaves(order)):
            part = waiting if order.state is OrderState.CREATED else covered
            part[order.symbol] = part.get(order.symbol, 0) + order.left
    bare = set()
    for symbol, position in positions.items():
        sure = covered.get(symbol, 0)
        if not sure <= abs(position.quantity) <= sure + waiting.get(symbol, 0):
            bare.add(symbol)
    return bare
