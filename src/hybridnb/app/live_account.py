"""The book beside a broker's statement: shown, or taken over by a person's decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hybridnb.app.context import Request
from hybridnb.app.live_desk import Floor, LiveDesk
from hybridnb.app.live_trading import (
    Clock,
    Prepare,
    Seat,
    open_context,
    prepared,
    take_seat,
)
from hybridnb.app.resuming import remember, resume
from hybridnb.app.session import close_book, open_desk
from hybridnb.app.state import Origin
from hybridnb.app.trading import check_book, read_traded
from hybridnb.book import Book, equity
from hybridnb.canonical import plain
from hybridnb.domain import SCALE, Position
from hybridnb.errors import Refused, UsageError
from hybridnb.execution.reconcile import REMEDY, Difference
from hybridnb.ports import Holding, Statement
from hybridnb.stops import protect, stop_rule


class Differs(Refused):
    """The book and the broker's statement differ; `details` has both."""

    remedy = REMEDY

    def __init__(self, message: str, details: dict[str, Any]) -> None:
        self.details = details
        super().__init__(message)

    def as_dict(self) -> dict[str, Any]:
        return self.details | super().as_dict()


def compare_account(
    request: Request, broker: str, *, prepare: Prepare = prepared
) -> dict[str, Any]:
    """The statement against the book; nothing is sent and nothing recorded.

    Raises
    ------
    Differs
        Where they differ.
    """
    with _desk(request, broker, prepare=prepare) as (seat, desk):
        statement = seat.broker.statement()
        wrong = desk.compare(statement)
        found = _both(seat, desk, statement, wrong)
    if wrong:
        told = "\n".join(f"  {each}" for each in wrong)
        raise Differs(f"the book and the broker differ:\n{told}", found)
    return found


def adopt_account(
    request: Request, broker: str, *, reason: str, prepare: Prepare = prepared
) -> dict[str, Any]:
    """Take the broker's positions and cash over as they are, with stops; ends the session.

    Raises
    ------
    UsageError
        Without a reason.
    Refused
        When the session is over, when orders that aren't ours are open there, or a position has
        no instrument or no range in the feed, so that no stop could be set.
    """
    if not reason.strip():
        raise UsageError("an adoption needs a reason", remedy="Give --reason TEXT.")
    with _desk(request, broker, prepare=prepare, opened=True) as (seat, desk):
        statement = seat.broker.statement()
        wrong = desk.compare(statement)
        foreign = [str(d) for d in wrong if d.what == "order"]
        if foreign:
            raise Refused(
                f"orders that aren't of this book are open: {'; '.join(foreign)}",
                remedy="Cancel them at the broker, then adopt.",
            )
        before = desk.state.book
        positions = _positions(desk, statement)
        sip = desk.setup.policy.sip.symbol
        units = statement.holdings.get(sip, Holding(0, 0.0)).quantity
        cash = before.cash if statement.cash is None else statement.cash
        book = replace(before, positions=positions, sip_units=units, cash=cash)
        _record(desk, book, statement, wrong, reason=reason.strip(), broker=broker)
        value = equity(book, desk.day.last, desk.day.last.get(sip))
        desk.opening_equity = value
        desk.commit()
        named = {position.decision_id for position in positions.values()}
        mine = [o for o in desk.venue.working if o.leg.reduces and o.decision_id in named]
        stale = [o.client_id for o in desk.venue.working if o not in mine]
        desk.record_all(desk.venue.cancel(stale))
        desk.guard()  # every position gets its stop at the broker
        desk.tell_left()
        legs = [plain(order) for order in desk.venue.working]
        found = _both(seat, desk, statement, wrong) | {"working": legs}
        close_book(desk, value)
    return found


def _record(
    desk: LiveDesk,
    book: Book,
    statement: Statement,
    wrong: Sequence[Difference],
    *,
    reason: str,
    broker: str,
) -> None:
    before, known = desk.state.book, desk.venue
    strangers = [f for f in statement.fills if f.fill_id not in known.booked]
    desk.record.add(
        "adopted",
        broker=broker,
        reason=reason,
        differences=[plain(each) for each in wrong],
        fills=[plain(fill) for fill in strangers],
        before={"cash": before.cash, "positions": plain(before.positions)},
        after={"cash": book.cash, "positions": plain(book.positions)},
    )
    origins = {
        symbol: desk.state.origins.get(symbol) or _origin(desk, position)
        for symbol, position in book.positions.items()
    }
    desk.state = replace(desk.state, book=book, origins=origins)


def _origin(desk: LiveDesk, position: Position) -> Origin:
    setup = desk.setup
    return Origin(
        decision_id=position.decision_id,
        order_id="",
        size_pre=0.0,
        size_post_risk=0.0,
        reason_tags=("adopted",),
        policy_id=setup.policy_id,
        experiment_id=setup.experiment_id,
        model_version=setup.model_version,
    )


def _positions(desk: LiveDesk, statement: Statement) -> dict[str, Position]:
    sip, ours = desk.setup.policy.sip.symbol, desk.state.book.positions
    found = {}
    for symbol, holding in sorted(statement.holdings.items()):
        if symbol == sip:
            continue
        held = ours.get(symbol)
        if held is None or held.quantity * holding.quantity < 0:
            found[symbol] = _adopted(desk, symbol, holding)
        elif held.quantity == holding.quantity:
            found[symbol] = held
        else:  # its legs keep their names and levels
            price = holding.price if holding.price > 0.0 else held.entry
            cost = round(price * holding.quantity * held.multiplier)
            found[symbol] = replace(held, quantity=holding.quantity, cost=cost, fees=0)
    return found


def _adopted(desk: LiveDesk, symbol: str, holding: Holding) -> Position:
    day, instrument = desk.day, desk.day.instruments.get(symbol)
    atr = float(day.columns["atr"][day.place[symbol]]) if symbol in day.place else float("nan")
    if instrument is None or not atr > 0.0 or symbol not in day.last:
        raise Refused(
            f"{symbol} can't be adopted: the feed tells nothing that a stop could be set from",
            remedy="Close the position at the broker, or add the symbol to the feed.",
        )
    price = holding.price if holding.price > 0.0 else float(day.last[symbol])
    position = Position(
        symbol=symbol,
        quantity=holding.quantity,
        cost=round(price * holding.quantity * instrument.multiplier),
        multiplier=instrument.multiplier,
        atr=atr,
        stop=0,
        target=0,
        best=round(price),
        decision_id=desk.record.decision_id(symbol),
        opened=day.session,
    )
    rule = stop_rule(desk.setup.policy.stops)
    return protect(position, rule, tick=instrument.tick)


@contextmanager
def _desk(
    request: Request, broker: str, *, prepare: Prepare, opened: bool = False
) -> Iterator[tuple[Seat, LiveDesk]]:
    """A session's desk as it stands, connected; with `opened` the session is begun if it isn't."""
    clock = Clock()
    context = open_context(request, broker, clock)
    with context.home.locked("session"):
        ledger = context.ledger()
        book = check_book(ledger, context, broker)
        over = read_traded(ledger, book, context.session) is not None
        if over and opened:
            raise Refused(
                f"session {context.session} of {book} is over",
                remedy="Adopt at the next session, before it is traded.",
            )
        ready = prepare(context)
        seat = take_seat(request, context, broker, ledger=ledger, clock=clock, ready=ready)
        try:
            floor = Floor(seat.broker, pace=lambda phase: iter(()), clock=clock.now)
            rows = list(seat.record.rows)
            desk = LiveDesk(seat.state, seat.day, seat.setup, seat.record, floor=floor)
            remember(desk, seat.past)
            if any(row["kind"] == "session_opened" for row in rows):
                resume(desk, rows)
            elif opened:
                open_desk(desk)
            yield seat, desk
        finally:
            seat.broker.close()


def _both(
    seat: Seat, desk: LiveDesk, statement: Statement, wrong: Sequence[Difference]
) -> dict[str, Any]:
    positions = desk.state.book.positions
    return {
        "broker": seat.broker.name,
        "book": seat.book,
        "session": seat.context.session,
        "cash": {"ours": desk.state.book.cash, "theirs": statement.cash},
        "currency": statement.currency,
        "positions": {
            symbol: {
                "ours": positions[symbol].quantity if symbol in positions else 0,
                "theirs": statement.holdings.get(symbol, Holding(0, 0.0)).quantity,
            }
            for symbol in sorted({*positions, *statement.holdings})
        },
        "working": [plain(order) for order in statement.orders],
        "differences": [plain(each) for each in wrong],
    }


def comparison_text(found: dict[str, Any]) -> str:
    """Both accounts as lines for a terminal."""
    cash = found["cash"]
    lines = [
        f"{found['book']} and {found['broker']}, session {found['session']}",
        f"cash: ours {_amount(cash['ours'])}, theirs {_amount(cash['theirs'])} {found['currency']}",
    ]
    for symbol, held in found["positions"].items():
        lines.append(f"{symbol}: ours {held['ours']:,}, theirs {held['theirs']:,}")
    lines.append(f"orders at work there: {len(found['working'])}")
    taken = len(found["differences"])  # without an adoption they are an error
    return "\n".join([*lines, f"differences taken over: {taken}" if taken else "they agree"])


def _amount(units: int | None) -> str:
    return "not told" if units is None else f"{units / SCALE:,.2f}"
