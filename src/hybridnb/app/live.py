"""A session through a broker: started by one path, whatever happened before.

The ledger's rows of the session, if it was begun, rebuild the desk; the broker's statement tells
what happened since; what nothing explains stops everything until a person decides. The rest is
the session that paper trades.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from hybridnb.app.desk import Setup
from hybridnb.app.live_desk import Floor, LiveDesk
from hybridnb.app.panel import Day
from hybridnb.app.records import Recorder
from hybridnb.app.session import decided, open_desk, traded
from hybridnb.app.state import Origin, State
from hybridnb.canonical import plain
from hybridnb.domain import Fill, Leg, Order, OrderState
from hybridnb.errors import Refused
from hybridnb.execution.brackets import legs
from hybridnb.execution.reconcile import REMEDY, Difference, differences, uncovered
from hybridnb.ports import Statement
from hybridnb.risk import marked, opened

_ORDER, _FILL = TypeAdapter(Order), TypeAdapter(Fill)


def trade_live(state: State, day: Day, setup: Setup, record: Recorder, *, floor: Floor) -> State:
    """Trade a session through a broker; begun before or not, this is how it starts.

    Parameters
    ----------
    state : State
        As the last session left it.
    day : Day
        Its bars are empty until the feed has them.
    record : Recorder
        With the rows of the session so far.

    Raises
    ------
    Refused
        When the book and the broker's statement differ: nothing was sent.
    BrokerDown
        Without a connection; what was meant to be sent is in the ledger.
    """
    rows = list(record.rows)
    desk = LiveDesk(state, day, setup, record, floor=floor)
    begun = any(row["kind"] == "session_opened" for row in rows)
    if begun:
        resume(desk, rows)
    else:
        open_desk(desk)
    reconcile(desk, floor.broker.statement())
    if begun:
        unsent = [o for o in desk.venue.working if o.state is OrderState.CREATED]
        orders = [o for o in unsent if o.leg not in (Leg.STOP, Leg.TARGET)]
        if desk.state.risk.killed:
            desk.flatten(sorted(desk.state.book.positions))
    else:
        orders = decided(desk) if setup.entries else []
        for order in orders:
            record.order(order)  # what is meant, before anything is sent
    desk.venue.remember(orders)
    record.commit()
    return traded(desk, orders)


def resume(desk: LiveDesk, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rebuild a desk from the rows of a session that was interrupted."""
    risk, _ = opened(desk.state.risk, desk.day.ordinal)
    desk.state = replace(desk.state, risk=risk)
    decisions = {r["decision_id"]: r for r in rows if r["kind"] == "decision"}
    for row in rows:
        match row["kind"]:
            case "session_opened":
                desk.opening_equity = int(row["equity"])
            case "order":
                _known(desk, _ORDER.validate_python(_without(row)), decisions)
            case "fill":
                fill = _FILL.validate_python(_without(row))
                desk.venue.remember(fills=[fill])
                desk.applied(fill)
            case "mark":
                pnl = row["day_pnl"]
                risk, _ = marked(desk.state.risk, desk.setup.policy.risk, pnl, at=desk.day.session)
                desk.state = replace(desk.state, risk=risk)
            case "operator":
                desk.stand(row["action"])


def _without(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k not in ("kind", "book", "session", "n")}


def _known(desk: LiveDesk, order: Order, decisions: Mapping[str, Mapping[str, Any]]) -> None:
    desk.venue.remember([order])
    positions = desk.state.book.positions
    if order.leg is Leg.ENTRY and order.decision_id in decisions:
        row = decisions[order.decision_id]
        origin = Origin(
            decision_id=order.decision_id,
            order_id=order.client_id,
            size_pre=float(row["size_pre"]),
            size_post_risk=float(row["size_post_risk"]),
            reason_tags=tuple(row["reasons"]),
            policy_id=row["policy_id"],
            experiment_id=row["experiment_id"],
            model_version=row["model_version"],
        )
        origins = {**desk.state.origins, order.symbol: origin}
        desk.state = replace(desk.state, origins=origins)
    if order.leg is Leg.STOP and order.symbol in positions and order.stop:
        # A stop that had moved: the level of the position is the one that was recorded last.
        moved = replace(positions[order.symbol], stop=order.stop)
        book = replace(desk.state.book, positions={**positions, order.symbol: moved})
        desk.state = replace(desk.state, book=book)


def reconcile(desk: LiveDesk, statement: Statement) -> None:
    """Take over what a statement explains; refuse to trade on what it doesn't.

    Executions are booked and their brackets mended through the broker, orders adopted or ended.
    """
    record = desk.record
    found = desk.venue.settled(statement)
    sip = desk.setup.policy.sip.symbol
    for order in found.orders:
        record.order(order)
    for fill in found.fills:
        closing = desk.applied(fill)
        record.fill(fill)
        if closing is not None:
            desk.closed_trade(fill, closing)
    wrong: list[Difference] = list(found.foreign)
    wrong += differences(desk.state.book.positions, statement, ignore=[sip])
    if desk.state.book.sip_units != _units(statement, sip):
        ours, theirs = str(desk.state.book.sip_units), str(_units(statement, sip))
        wrong.append(Difference("quantity", sip, ours, theirs))
    record.add(
        "reconciled",
        broker=desk.floor.broker.name,
        fills=[f.fill_id for f in found.fills],
        orders=[o.client_id for o in found.orders],
        lost=[o.client_id for o in found.lost],
        differences=[plain(d) for d in wrong],
        cash=statement.cash,
    )
    if wrong:
        record.alert(f"{len(wrong)} differences from the broker—not trading")
        record.commit()
        told = "\n".join(f"  {each}" for each in wrong)
        raise Refused(f"the book and the broker differ:\n{told}", remedy=REMEDY)
    record.commit()
    mend(desk)


def mend(desk: LiveDesk) -> None:
    """Give every position its live stop of full size; take away legs without a position."""
    positions = desk.state.book.positions
    stray = [
        o.client_id
        for o in desk.venue.working
        if o.leg in (Leg.STOP, Leg.TARGET) and o.symbol not in positions
    ]
    changed = desk.venue.cancel(stray)
    for symbol in sorted(uncovered(positions, desk.venue.working)):
        changed += desk.venue.amend(legs(positions[symbol]))
    for order in changed:
        desk.record.order(order)
    desk.record.commit()


def _units(statement: Statement, symbol: str) -> int:
    holding = statement.holdings.get(symbol)
    return holding.quantity if holding else 0
