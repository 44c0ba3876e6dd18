"""The whole trading step of one session, read top to bottom.

`step` is a function of the state, the day and the set-up; it touches no clock, disk or network
but through the venue and the recorder it is given. The same step trades the live session and,
with a recorder in memory, every session of a backtest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.desk import Desk, Setup
from hybridnb.app.inputs import account, inputs
from hybridnb.app.panel import Day
from hybridnb.app.records import ACTION_NAMES, Recorder, record_decisions
from hybridnb.app.replying import in_force_row, kept_in_demo
from hybridnb.app.standing import opened_by, stood, wanted
from hybridnb.app.state import Origin, State
from hybridnb.app.twice import decided_twice
from hybridnb.book import equity
from hybridnb.domain import Leg, Order, OrderState, Refusal, TradingState, refusal_names
from hybridnb.execution.orders import from_decision
from hybridnb.execution.paper import CLOSE, OPEN, RANGE
from hybridnb.limits import Limits, limits
from hybridnb.reasons import reasons
from hybridnb.risk import opened, settled
from hybridnb.values import replace

NO_RL_ALERT = "RL models unavailable—reduced position sizing"  # halved: sizing.no_rl_factor


def step(state: State, day: Day, setup: Setup, record: Recorder) -> State:
    """Trade one session.

    Parameters
    ----------
    state : State
        As the last session left it.
    day : Day
    setup : Setup
        With `entries` False the session was missed: brackets run, nothing is decided.
    record : Recorder
        Takes every row; its `commit` makes what came so far durable, before the venue acts.

    Returns
    -------
    State
        For the next session.
    """
    desk = Desk(state, day, setup, record)
    open_desk(desk)
    orders = decided(desk) if setup.entries else []
    record.commit()
    return traded(desk, orders)


def open_desk(desk: Desk) -> None:
    """Open the session: advance the control plane, record the opening."""
    state, day, setup, record = desk.state, desk.day, desk.setup, desk.record
    risk, alerts = opened(state.risk, day.ordinal)
    desk.state = replace(state, risk=kept_in_demo(risk, setup))
    risk = kept_in_demo(opened_by(state.risk, day.ordinal, setup.actions), setup)
    desk.opening_equity = equity(state.book, day.last, day.last.get(setup.policy.sip.symbol))
    record.opening(
        desk.opening_equity,
        risk,
        seen=day.seen,
        regime=day.regime,
        facts=day.facts,
        decided=setup.entries,
    )
    if setup.in_force is not None:
        record.add("in_force", **in_force_row(setup.in_force))
    for alert in alerts if risk.quarantined else ():
        record.alert(alert)
    for action in setup.actions:
        _obey(desk, action)


def _obey(desk: Desk, action: Mapping[str, Any]) -> None:
    """Apply an operator's action; positions keep their legs, whatever is withdrawn."""
    desk.record.add("operator", **action)
    risk = kept_in_demo(stood(desk.state.risk, action), desk.setup)
    desk.state = replace(desk.state, risk=risk)
    # One that stands since an earlier session withdrew there what it was about.
    if action["action"] == "cancel-all" and not action.get("standing"):
        withdraw(desk, wanted(action))


def withdraw(desk: Desk, symbol: str) -> None:
    """Withdraw all working orders, or one symbol's, but the legs of what is held."""
    desk.owing.excuse(symbol)
    rest = [o for o in desk.venue.working if o.leg not in (Leg.STOP, Leg.TARGET)]
    for order in desk.venue.cancel([o.client_id for o in rest if symbol in ("", o.symbol)]):
        desk.record.order(order)


def traded(desk: Desk, orders: list[Order]) -> State:
    """The session from its opening mark to its close.

    What a kill asked to close and the venue didn't let go is closed first: the latch is cleared
    at the opening, the positions it left aren't anybody's decision. Protective exits are always
    allowed.
    """
    desk.finish()
    desk.mark(OPEN)
    desk.submit(_withheld(orders, desk))
    desk.record.commit()
    desk.fills(OPEN)
    desk.fills(RANGE)
    desk.trail()
    desk.sweep()
    desk.end()
    value = desk.mark(CLOSE)
    return close_book(desk, value)


def decided(desk: Desk) -> list[Order]:
    """Decide the universe, record every decision, and make the orders they ask for."""
    day, setup = desk.day, desk.setup
    lim = limits(setup.policy, desk.state.risk.mode)
    rows = inputs(desk.state, day, setup, lim, equity_units=desk.opening_equity)
    if unhinted(lim, rows):
        desk.record.alert(NO_RL_ALERT)
    decisions = setup.decide(lim, account(day, setup, desk.opening_equity), rows, day.returns)
    decisions = decided_twice(desk, rows, decisions)
    origins, orders = dict(desk.state.origins), []
    record_decisions(desk.record, day, lim, rows, decisions)
    leaving = desk.leaving() | desk.owing.of(desk.state)
    for i in _asking(desk, decisions):
        order = None if day.symbols[i] in leaving else _order(desk, day.symbols[i], decisions[i])
        if order is None:
            continue
        orders.append(order)
        if order.leg is Leg.ENTRY:
            tags = reasons(lim, rows[i], decisions[i])
            origins[order.symbol] = _origin(order, setup, tags, decisions[i])
    desk.state = replace(desk.state, origins=origins)
    return orders


def unhinted(lim: Limits, rows: NDArray[Any]) -> bool:
    """Whether the size hint has no view of any name that a predictor has one of.

    A policy that gives it no weight doesn't want one.
    """
    predicted = (rows["p_short"] == rows["p_short"]) | (rows["p_mid"] == rows["p_mid"])
    silent = bool((rows["rl"] != rows["rl"]).all())
    return silent and bool(predicted.any()) and lim.weight_rl > 0.0


def _asking(desk: Desk, decisions: NDArray[Any]) -> NDArray[np.int64]:
    """Names an order may come of, in the order of sizing: closings, and entries not refused."""
    acting: NDArray[np.int64] = np.flatnonzero(decisions["action"])
    acting = acting[np.argsort(decisions["rank"][acting])]
    held, positions = np.zeros(len(decisions), np.int64), desk.state.book.positions
    for symbol, position in positions.items():
        held[desk.day.place[symbol]] = 1 if position.quantity > 0 else -1
    closes = decisions["action"][acting] * held[acting] < 0
    kept: NDArray[np.int64] = acting[closes | (decisions["refused"][acting] == 0)]
    return kept


def _order(desk: Desk, symbol: str, dec: Any) -> Order | None:
    day = desk.day
    if symbol not in day.last:
        return None
    return from_decision(
        session=day.session,
        decision_id=desk.record.decision_id(symbol),
        symbol=symbol,
        action=ACTION_NAMES[int(dec["action"])],
        target=float(dec["size_post_risk"]),
        refusals=int(dec["refused"]),
        equity=desk.opening_equity,
        price=day.last[symbol],
        instrument=day.instruments[symbol],
        position=desk.state.book.positions.get(symbol),
        min_value=desk.setup.policy.sizing.min_order_value,
    )


def _origin(order: Order, setup: Setup, tags: tuple[str, ...], dec: Any) -> Origin:
    return Origin(
        decision_id=order.decision_id,
        order_id=order.client_id,
        size_pre=float(dec["size_pre"]),
        size_post_risk=float(dec["size_post_risk"]),
        reason_tags=tags,
        policy_id=setup.policy_id,
        experiment_id=setup.experiment_id,
        model_version=setup.model_version,
    )


def _withheld(orders: list[Order], desk: Desk) -> list[Order]:
    """Orders that may still go out after the opening mark.

    With the kill switch latched none: the positions are being flattened, so that a decided exit
    has nothing left to close. In any state but ACTIVE no entry: a P&L that can't be computed
    halts, and exits are always allowed.
    """
    risk = desk.state.risk
    if risk.state is TradingState.ACTIVE:
        return orders
    codes = refusal_names(Refusal.KILL_SWITCH if risk.killed else Refusal.TRADING_STATE)
    kept = [o for o in orders if o.leg is Leg.FLATTEN or (o.leg.reduces and not risk.killed)]
    for order in orders:
        if order not in kept:
            desk.record.order(replace(order, state=OrderState.REJECTED, refusals=codes))
    return kept


def close_book(desk: Desk, value: int) -> State:
    """End the session at this equity: what is carried to the next, recorded."""
    day, state = desk.day, left_by(desk, value)
    desk.record.closing(
        equity=value,
        day_pnl=(value - desk.opening_equity) / desk.opening_equity,
        drawdown=1.0 - value / state.peak,
        prices={
            s: day.bars[s].close if s in day.bars else day.last[s]
            for s in sorted(state.book.positions)
        },
        state=state,
    )
    desk.record.commit()
    return state


def left_by(desk: Desk, value: int) -> State:
    """What a session that ends at this equity carries to the next."""
    held = desk.state.book.positions
    return State(
        book=desk.state.book,
        risk=settled(desk.state.risk, desk.setup.policy.risk, equity=value, trades=desk.closed),
        working=tuple(desk.venue.working),
        origins={s: o for s, o in desk.state.origins.items() if s in held},
        peak=max(desk.state.peak, value),
        watch=desk.state.watch,
        owed=tuple(sorted(desk.owing.of(desk.state))),
    )
