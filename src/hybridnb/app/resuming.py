"""A desk rebuilt from the rows of a session that was interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from hybridnb.app.desk import Setup
from hybridnb.app.live_desk import Floor, LiveDesk
from hybridnb.app.live_prices import BACK, STALLED
from hybridnb.app.panel import Panel
from hybridnb.app.records import Recorder, decision_rows
from hybridnb.app.replying import kept_in_demo
from hybridnb.app.session import left_by
from hybridnb.app.standing import wanted
from hybridnb.app.state import Origin, State
from hybridnb.domain import Fill, Leg, Order, OrderState, TradingState
from hybridnb.errors import Refused
from hybridnb.escalation.triggers import read_state
from hybridnb.execution.paper import CLOSE
from hybridnb.execution.sent import executed
from hybridnb.risk import Closed, disabled, marked, opened
from hybridnb.stops import tighter

Rows = Sequence[Mapping[str, Any]]
_ORDER, _FILL = TypeAdapter(Order), TypeAdapter(Fill)
_HEAD = ("kind", "book", "session", "n")


def remember(desk: LiveDesk, past: Rows) -> None:
    """Tell a desk the orders and fills of earlier sessions, so that none is taken for news.

    Whatever isn't carried over as working is over.
    """
    working = {order.client_id for order in desk.state.working}
    orders: dict[str, Order] = {}
    for row in past:
        if row["kind"] == "order" and row["client_id"] not in working:
            order = _ORDER.validate_python(_body(row))
            over = OrderState.EXPIRED if order.state.open else order.state
            orders[order.client_id] = replace(order, state=over)
        if row["kind"] == "fill":
            desk.venue.remember(fills=[_FILL.validate_python(_body(row))])
        if row["kind"] == "commission":
            _commission(desk, row)
    desk.venue.remember(orders.values())


def resume(desk: LiveDesk, rows: Rows) -> None:
    """Rebuild a desk from the rows of a session that was interrupted."""
    risk, _ = opened(desk.state.risk, desk.day.ordinal)
    risk = kept_in_demo(risk, desk.setup)
    desk.state = replace(desk.state, risk=risk)
    decisions = {r["decision_id"]: r for r in decision_rows(rows)}
    fills: list[Fill] = []
    for row in rows:
        match row["kind"]:
            case "session_opened":
                desk.opening_equity = int(row["equity"])
            case "order":
                _known(desk, _ORDER.validate_python(_body(row)), decisions)
            case "fill":
                fills.append(_FILL.validate_python(_body(row)))
                _filled(desk, fills[-1])
            case "commission":
                _commission(desk, row)
                desk.recost(row["fill_id"], row["symbol"], row["more"])
            case "sip":
                book = replace(desk.state.book, sip_carry=row["carry"])
                desk.state, desk.accrued = replace(desk.state, book=book), True
            case "mark":
                policy = desk.setup.policy.risk
                risk, _ = marked(desk.state.risk, policy, row["day_pnl"], at=row["session"])
                desk.state = replace(desk.state, risk=risk)
            case "triggers" | "best_price":
                _watched(desk, row)
            case "operator" | "foreign" | "halted" | "disabled" | "alert":
                before = disabled(desk.state.risk)
                _steered(desk, row)
                freed = before - disabled(desk.state.risk)
                fills = [fill for fill in fills if fill.symbol not in freed]
    desk.sent = executed(desk.sent, desk.setup.policy.safety, fills, at=desk.floor.clock())


def _steered(desk: LiveDesk, row: Mapping[str, Any]) -> None:
    """What an operator, strangers, clock and feed, or repeated fills made of trading."""
    match row["kind"]:
        case "operator":
            desk.stand(row)
            if row["action"] == "cancel-all" and not row.get("standing"):
                desk.disown(wanted(row))
        case "disabled":
            desk.disable(row["symbol"], row["reason"])
        case "alert" if row["text"] in (STALLED, BACK):
            desk.vigil.interrupted = row["text"] == STALLED
        case "halted":
            desk.reduce(TradingState.HALTED)
        case "foreign":
            desk.reduce()


def unfinished(
    state: State, panel: Panel, setup: Setup, *, rows: Rows, past: Rows, floor: Floor
) -> State:
    """The state as a session left it that was begun and that nobody closed.

    What happened since, the broker's statement has to tell.

    Parameters
    ----------
    state : State
        As the session before left it.
    panel : Panel
        With the session.
    rows, past : sequence of mapping
        Of the session; of those before it, as for `remember`.
    floor : Floor
        Nothing is asked of it.

    Raises
    ------
    Refused
        When the feed's history doesn't reach back to the session.
    """
    session = str(rows[0]["session"])
    place = panel.position(session)
    if place < 1:
        raise Refused(
            f"session {session} was begun and never closed, and the feed has no bars before it",
            remedy="Bring its history back into the feed: what it traded is booked by it.",
        )
    record = Recorder(book=setup.book, session=session, stamp={}, rows=rows)
    desk = LiveDesk(state, replace(panel.day(place), bars={}), setup, record, floor=floor)
    remember(desk, past)
    resume(desk, rows)
    value, _ = desk.day_pnl(CLOSE)
    return left_by(desk, value)


def _body(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k not in _HEAD}


def _commission(desk: LiveDesk, row: Mapping[str, Any]) -> None:
    known = desk.venue.booked[row["fill_id"]]
    desk.venue.remember(fills=[replace(known, commission=row["commission"])])


def _watched(desk: LiveDesk, row: Mapping[str, Any]) -> None:
    """What the triggers remember, and the best price of what is held."""
    state = desk.state
    if row["kind"] == "triggers":
        watch = replace(state.watch, triggers=read_state(row["state"]))
        desk.state = replace(state, watch=watch)
    elif row["symbol"] in state.book.positions:
        held = replace(state.book.positions[row["symbol"]], best=row["price"])
        positions = {**state.book.positions, held.symbol: held}
        desk.state = replace(state, book=replace(state.book, positions=positions))


def _filled(desk: LiveDesk, fill: Fill) -> None:
    desk.venue.remember(fills=[fill])
    closing = desk.applied(fill)
    if closing is not None:
        desk.closed.append(Closed(desk.day.ordinal, fill.symbol, fill.leg, closing.pnl))


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
    held = positions.get(order.symbol)
    moves = order.leg is Leg.STOP and order.state.open
    if moves and order.stop and held and held.decision_id == order.decision_id:
        # A stop that had moved; one that somebody loosened at the venue isn't the position's.
        sign = 1 if held.quantity > 0 else -1
        moved = replace(held, stop=tighter(order.stop, held.stop, sign))
        book = replace(desk.state.book, positions={**positions, order.symbol: moved})
        desk.state = replace(desk.state, book=book)
