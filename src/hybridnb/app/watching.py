"""Watching a session: the portfolio's facts at a mark, and the events they make."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from hybridnb.app.panel import Day
from hybridnb.app.state import State
from hybridnb.domain import SCALE
from hybridnb.escalation.conditions import PortfolioFacts, TriggerParams, unknown
from hybridnb.escalation.portfolio import DAYS, drawdown_5d, gross_drawdown_5d, sharpe_fact
from hybridnb.escalation.triggers import Fired, Trigger, advance, state_values
from hybridnb.execution.paper import CLOSE, OPEN
from hybridnb.market import calendar

if TYPE_CHECKING:
    from hybridnb.app.desk import Desk

Hours = Callable[[str], tuple[dt.datetime, dt.datetime]]


@dataclass(frozen=True, slots=True)
class Watching:
    """How a session is watched.

    Attributes
    ----------
    params : TriggerParams
    hours : callable
        Opening and close of a session: when a mark was that no clock timed.
    validated : tuple of float and int, or None
        Annualised Sharpe ratio that the last valid verdict found, and over how many sessions.
    """

    params: TriggerParams
    hours: Hours
    validated: tuple[float, int] | None = None


def facts_at(
    state: State, day: Day, watching: Watching, *, equity: int, pnl: float | None, gross: int
) -> PortfolioFacts:
    """What is known at a mark; costly breakdowns aren't made here.

    Parameters
    ----------
    equity, gross : int
        Of the book and of what it holds, in 1/10,000.
    pnl : float or None
        The day's so far, share of the opening equity.
    """
    closes = state.risk.equities
    line = [*(value for _, value in closes[-DAYS:]), equity]
    held = [*(value for _, value in state.watch.gross[-DAYS:]), gross]
    returns = np.diff([v for _, v in closes]) / np.array([v for _, v in closes[:-1]])
    ratio, sessions = watching.validated or (np.nan, None)
    sharpe = sharpe_fact(returns, validated=ratio, validated_sessions=sessions)
    known = day.facts.get
    return PortfolioFacts(
        session=dt.date.fromisoformat(day.session),
        net_liquidity=equity / SCALE,
        daily_pnl=pnl,
        max_drawdown_5d=drawdown_5d(line),
        gross_drawdown_5d=gross_drawdown_5d(line, held) if len(line) == len(held) else None,
        volatility_zscore=known("volatility_zscore"),
        correlation_breakdown=known("correlation"),
        correlation_floor=known("correlation_floor"),
        correlation_before=known("correlation_before"),
        ensemble_accuracy=known("ensemble_accuracy"),
        accuracy_baseline=known("accuracy_baseline"),
        sharpe_ratio=sharpe.sharpe,
        sharpe_sessions=sharpe.sessions,
        sharpe_p=sharpe.p,
        put_call_ratio=known("put_call_ratio"),
        news_sentiment=known("news_sentiment"),
        macro_events=day.macro,
    )


def hours_of(code: str) -> Hours:
    """Opening and close of an exchange's sessions."""

    def hours(session: str) -> tuple[dt.datetime, dt.datetime]:
        opening, close = calendar.opens_at(code, session), calendar.closes_at(code, session)
        return opening.to_pydatetime(), close.to_pydatetime()

    return hours


def read_facts(values: Mapping[str, Any]) -> PortfolioFacts:
    """The facts that a session row holds."""
    return TypeAdapter(PortfolioFacts).validate_python(values)


def gross_of(state: State, day: Day, prices: Mapping[str, int]) -> int:
    """What the book holds at these prices, delta-equivalent, in 1/10,000."""
    total = 0.0
    for symbol, held in state.book.positions.items():
        units = abs(day.instruments[symbol].delta * held.quantity) * held.multiplier
        total += units * prices.get(symbol, 0)
    return round(total)


def look(desk: Desk, at: str, equity: int, pnl: float | None) -> None:
    """Look at the facts of a mark. What fires is a row; who answers it is asked elsewhere, later.

    The triggers' state is a row whenever it changes, so that a session that is taken up again
    goes on with it; the facts are one at the close.
    """
    watching, before = desk.setup.watching, desk.state.watch
    if watching is None or (at == OPEN and before.triggers.session == desk.day.session):
        return  # taken up again: the opening's prices are older than what was seen
    facts = facts_at(desk.state, desk.day, watching, equity=equity, pnl=pnl, gross=desk.gross)
    triggers, fired = advance(
        before.triggers,
        facts,
        desk.moment(at),
        policy=desk.setup.policy,
        params=watching.params,
    )
    after = replace(before, triggers=triggers)
    for each in fired:
        if _judged(desk, each):
            continue
        name = f"{desk.setup.book}-{desk.day.session}-{each.trigger}-{each.at[11:16]}"
        values = {f.name: getattr(each, f.name) for f in fields(Fired)}
        desk.record.add("escalation", id=name.replace(":", ""), **values)
    if replace(triggers, session="") != replace(before.triggers, session=""):
        desk.record.add("triggers", at=at, state=state_values(triggers))
    if at == CLOSE:
        known = {f.name: _finite(getattr(facts, f.name)) for f in fields(facts)}
        desk.record.add("facts", facts=known, unknown=unknown(facts))
        kept = tuple(each for each in before.gross if each[0] != desk.day.ordinal)
        after = replace(after, gross=(*kept, (desk.day.ordinal, desk.gross))[-DAYS:])
    desk.state = replace(desk.state, watch=after)


def _judged(desk: Desk, event: Fired) -> bool:
    """The switch latches: one event of a session, however the loss moves while it is flattened."""
    kill = event.trigger is Trigger.KILL_SWITCH
    return kill and any(
        row["kind"] == "escalation" and row["trigger"] == event.trigger for row in desk.record.rows
    )


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not np.isfinite(value) else value
