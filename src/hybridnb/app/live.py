"""A session through a broker: started by one path, whatever happened before.

The ledger's rows of the session, if it was begun, rebuild the desk; the broker's statement tells
what happened since; what nothing explains stops everything until a person decides. The rest is
the session that paper trades.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hybridnb.app.desk import Setup
from hybridnb.app.live_desk import Floor, LiveDesk
from hybridnb.app.panel import Day
from hybridnb.app.records import Recorder
from hybridnb.app.resuming import remember, resume
from hybridnb.app.session import decided, open_desk, traded
from hybridnb.app.state import State
from hybridnb.domain import Leg, Order, OrderState, TradingState
from hybridnb.errors import (
    BrokerDown,
    CheckFailed,
    HybridnbError,
    LedgerBroken,
    Missing,
    Refused,
)
from hybridnb.execution.brackets import legs
from hybridnb.execution.oco import OcoRule
from hybridnb.execution.orders import another, flatten
from hybridnb.execution.reconcile import REMEDY
from hybridnb.ports import Statement

ASKED = 10  # statements at most, until two in a row differ from the book in the same way


def trade_live(
    state: State,
    day: Day,
    setup: Setup,
    record: Recorder,
    *,
    floor: Floor,
    past: Sequence[Mapping[str, Any]] = (),
) -> State:
    """Trade a session through a broker; begun before or not, this is how it starts.

    Parameters
    ----------
    state : State
        As the last session left it.
    day : Day
        Its bars are empty until the feed has them.
    record : Recorder
        With the rows of the session so far.
    past : sequence of mapping
        Orders, fills and commissions of the book's earlier sessions, in order: as far back as
        the broker's statement reaches, at least.

    Raises
    ------
    Refused
        When the book and the broker's statement differ: entries at work were withdrawn, nothing
        was sent. When the policy's OCO rule holds the stop back and the venue doesn't keep that
        rule itself.
    BrokerDown
        Without a connection; what was meant to be sent is in the ledger.
    Missing, LedgerBroken
        When the ledger can't be written: halted, entries withdrawn, protective orders left.
    CheckFailed
        When the broker told what can't be true; what was booked is in the ledger, and entries at
        work were withdrawn.
    """
    rows = list(record.rows)
    desk = LiveDesk(state, day, setup, record, floor=floor)
    remember(desk, past)
    try:
        _check_rule(setup, floor)
        return _traded(desk, rows)
    except (LedgerBroken, Missing) as error:
        if isinstance(error, BrokerDown):
            desk.tell_left()  # the next start goes on with them
            _stopped(desk, error)
        else:
            _unwritten(desk, error, begun=len(rows))
        raise
    except (CheckFailed, Refused) as error:
        desk.leave()  # nobody listens any more: what protects goes on, no entry does
        _stopped(desk, error)
        raise


def _stopped(desk: LiveDesk, error: HybridnbError) -> None:
    if not isinstance(error, Refused):  # that one is told to who started it
        desk.record.alert(f"{error}—stopped")
    desk.record.commit()


def _unwritten(desk: LiveDesk, error: HybridnbError, *, begun: int) -> None:
    """The ledger can't be written, its disk is full: halt, and leave only what protects.

    Entries are withdrawn, which needs no record. A position that was just opened gets its stop
    without one, since it would have none; the next start takes it up from the statement.
    """
    known, setup = desk.record.rows, desk.setup
    desk.record = Recorder(book=setup.book, session=desk.day.session, stamp={}, rows=known)
    desk.reduce(TradingState.HALTED)
    told = "entries were withdrawn, stops go on at the broker"
    try:
        entries = [o.client_id for o in desk.venue.working if not o.leg.reduces]
        desk.record_all(desk.venue.cancel(entries))
        if any(row["kind"] == "reconciled" and not row["differences"] for row in known[begun:]):
            desk.guard()
    except (BrokerDown, CheckFailed) as down:
        told = f"withdraw the entries at the broker, which can't be reached from here: {down}"
    error.args = (f"{error}—halted: {told}",)


def _check_rule(setup: Setup, floor: Floor) -> None:
    """A stop that rests at a venue trades when it is touched, whatever the target did.

    Where both levels must be touched the venue itself has to hold the legs back: kept here
    instead they would leave the position without a live stop.
    """
    rule = OcoRule(setup.policy.stops.oco)
    if rule is OcoRule.BOTH_MUST_TRIGGER and getattr(floor.broker, "oco", "") != rule:
        raise Refused(
            f"{rule}: {floor.broker.name} doesn't hold legs back until both levels were touched",
            remedy="Set stops.oco to another rule, or trade on the paper venue.",
        )


def _check_prices(desk: LiveDesk) -> None:
    """Equity that can't be computed must not be guessed."""
    book, sip = desk.state.book, desk.setup.policy.sip.symbol
    held = {*book.positions, *([sip] if book.sip_units else [])}
    lost = sorted(held - desk.day.last.keys())
    if lost:
        raise Refused(
            f"held, and without a price in the feed: {', '.join(lost)}",
            remedy="Bring them back into the feed; their stops go on at the broker.",
        )


def _traded(desk: LiveDesk, rows: Sequence[Mapping[str, Any]]) -> State:
    kinds = {row["kind"] for row in rows}
    if "session_opened" in kinds:
        resume(desk, rows)
    else:
        _check_prices(desk)
        open_desk(desk)
    reconcile(desk, desk.floor.broker.statement())
    desk.disown_entries()
    # What operators asked for meanwhile comes before anything is sent.
    desk.take_back()
    for action in desk.floor.actions():
        desk.obey(action)
    orders, never = _unsent(desk, begun=bool(kinds & {"decision", "universe"}))
    desk.record_all(never)
    desk.claim([o for o in desk.venue.working if not o.leg.reduces])
    if not kinds & {"decision", "universe"} and desk.setup.entries:
        orders = decided(desk)
        desk.record_all(orders)  # what is meant, before anything is sent
    desk.record.commit()
    desk.put_back()
    desk.guard()
    return traded(desk, orders)


def _unsent(desk: LiveDesk, *, begun: bool) -> tuple[list[Order], list[Order]]:
    """Orders to send that were decided before, and those that nobody asks for any more.

    What protects or flattens is decided anew, from the position as it is; what another session
    decided is stale.
    """
    waiting = desk.venue.unsent()
    kept = [o for o in waiting if begun and o.leg in (Leg.ENTRY, Leg.EXIT)]
    over = OrderState.CANCELLED
    return kept, [replace(o, state=over, note="never sent") for o in waiting if o not in kept]


def _unrecorded(desk: LiveDesk, statement: Statement) -> bool:
    """Take up what was sent while the ledger couldn't be written, by its names: legs and exits.

    Nobody else could have named them: a name is made of the book, the decision and the leg.
    """
    mine = {
        order.client_id: order
        for position in desk.state.book.positions.values()
        for leg in (*legs(position), flatten(desk.day.session, position))
        for order in (another(leg, tries) for tries in range(1, ASKED))
        if order.client_id not in desk.venue.orders
    }
    there = {order.client_id: order for order in statement.orders}
    named = mine.keys() & {*there, *(fill.client_id for fill in statement.fills)}
    sent = {name: replace(mine[name], state=OrderState.SUBMITTED) for name in sorted(named)}
    found = [
        replace(there.get(name, order), leg=order.leg, decision_id=order.decision_id)
        for name, order in sent.items()
    ]
    desk.record_all(found)
    desk.venue.remember(found)
    return bool(found)


def reconcile(desk: LiveDesk, statement: Statement) -> None:
    """Take over what a statement explains; refuse to trade on what it doesn't.

    Executions are booked and their brackets mended through the broker, orders adopted or ended.
    """
    wrong, before = desk.compare(statement), None
    if _unrecorded(desk, statement):
        wrong = desk.compare(desk.floor.broker.statement())
    for _ in range(ASKED):
        if not wrong or wrong == before:
            break
        # It may have traded between the parts of a statement: what is wrong stays wrong.
        wrong, before = desk.compare(desk.floor.broker.statement()), wrong
    if wrong:
        desk.record.alert(f"{len(wrong)} differences from the broker—not trading")
        desk.record.commit()
        told = "\n".join(f"  {each}" for each in wrong)
        raise Refused(f"the book and the broker differ:\n{told}", remedy=REMEDY)
    desk.record.commit()
