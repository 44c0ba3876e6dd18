"""`hybridnb trade`, `reconcile` and `adopt`: a day's session through a broker.

Each broker has a book of its own for a feed. The paper broker trades the session's bars; any
other the session in progress, decided on the bars before it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from hybridnb.app.asking import answer_pending, asking_of
from hybridnb.app.broker_desk import EVERY
from hybridnb.app.brokers import BrokerRequest, open_broker, section
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.deciding import decider
from hybridnb.app.desk import Setup
from hybridnb.app.enriching import enrich_session
from hybridnb.app.home import shipped
from hybridnb.app.lab import Lab
from hybridnb.app.live import trade_live
from hybridnb.app.live_desk import Floor
from hybridnb.app.live_prices import LivePrices
from hybridnb.app.live_view import LiveView
from hybridnb.app.operators import listener
from hybridnb.app.panel import Day
from hybridnb.app.paper_broker import PaperBroker, account_of
from hybridnb.app.progress import Say, to_people
from hybridnb.app.records import Recorder
from hybridnb.app.replying import kept_in_demo
from hybridnb.app.resuming import unfinished
from hybridnb.app.setting_up import Prepared, setup_of
from hybridnb.app.standing import opened_by
from hybridnb.app.state import State
from hybridnb.app.trading import (
    Traded,
    check_book,
    detail_of,
    inputs_of,
    read_traded,
    state_before,
)
from hybridnb.domain import Mode, Order
from hybridnb.ledger.store import Ledger
from hybridnb.market import calendar
from hybridnb.policy import policy_values
from hybridnb.ports import Broker

PAPER = "paper"
LISTEN = 1.0  # seconds between two times of listening
TAIL = 60.0  # seconds before the close for the sweep and the last reports
_ORDERS = TypeAdapter(list[Order])
_HEAD = ("kind", "book", "session", "n")


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as a session sees it, in seconds; `now` is since 1970."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


class Pace:
    """When to listen: often from the open until the tail before `until`, then a few times more."""

    def __init__(self, clock: Clock, until: float) -> None:
        self._clock = clock
        left = max(0.0, until - clock.now())
        tail = min(TAIL, left / 4)
        # Market orders are answered at the open; ends of the phases, seconds since 1970.
        first = clock.now() + tail
        self._ends = {"open": first, "range": until - tail, "close": until - tail / 2, "end": until}

    def __call__(self, phase: str) -> Iterator[None]:
        """Yield at each time of listening of a phase: at least once."""
        yield
        while (left := self._ends[phase] - self._clock.now()) > 0:
            self._clock.sleep(min(LISTEN, left))
            yield


def prepared(context: Context) -> Prepared:
    """Train if needed, predict, look for a valid verdict."""
    return Lab(context, to_people).prepared


Prepare = Callable[[Context], Prepared]


@dataclass(frozen=True)
class Seat:
    """A session that is about to be traded through a broker, with everything it needs."""

    context: Context
    ledger: Ledger
    book: str
    day: Day
    state: State
    setup: Setup
    record: Recorder
    broker: Broker
    ready: Prepared
    past: Sequence[Mapping[str, Any]]


def folder_of(request: Request) -> Path:
    """The folder of parameters in force."""
    return Path(request.params) if request.params else shipped("params")


def trade_broker(
    request: Request,
    broker: str,
    *,
    seconds: float | None,
    say: Say,
    clock: Clock = Clock(),
    prepare: Prepare = prepared,
) -> dict[str, Any]:
    """Trade a session through a broker until the exchange closes, or for some seconds.

    Running it again goes on with a session that was interrupted; one that is over is told.

    Raises
    ------
    Refused
        When book and broker differ, when the account is none for the mode, when another process
        trades, or when the session was traded with other inputs.
    BrokerDown, Missing
        Without a connection, a library or a secret.
    """
    context = open_context(request, broker, clock)
    with context.home.locked("session"):
        ledger = context.ledger()
        done = read_traded(ledger, check_book(ledger, context, broker), context.session)
        if done is not None:
            say(f"{context.session} was traded already: nothing was changed")
            return done.summary() | {"book": done.book, "broker": broker}
        seat = take_seat(
            request, context, broker, ledger=ledger, clock=clock, ready=prepare(context)
        )
        try:
            _run(seat, clock, seconds)
        finally:
            seat.broker.close()
        asking = asking_of(context, seat.book, ready=lambda: seat.ready)
        answer_pending(asking, say)
        enrich_session(asking, seat.record.rows, say)
        traded = Traded(seat.book, context.session, seat.record.rows, ledger.head("session"), True)
        return traded.summary() | {"book": seat.book, "broker": broker}


def _run(seat: Seat, clock: Clock, seconds: float | None) -> None:
    broker, day = seat.broker, seat.day
    if isinstance(broker, PaperBroker):
        pace: Callable[[str], Iterator[None]] = broker.pace
    else:
        until = calendar.closes_at(seat.context.market.calendar, seat.context.session).timestamp()
        pace = Pace(clock, min(until, clock.now() + seconds) if seconds is not None else until)
    prices = LivePrices(broker, seat.record)
    floor = Floor(
        broker=broker,
        pace=pace,
        clock=clock.now,
        bars=lambda: day.bars,
        prices=prices,
        watch=prices.watch,
        every=math.inf if isinstance(broker, PaperBroker) else EVERY,
        actions=listener(seat.ledger, seat.book),
        show=LiveView(seat.context.home, seat.book),
    )
    trade_live(seat.state, day, seat.setup, seat.record, floor=floor, past=seat.past)


def open_context(request: Request, broker: str, clock: Clock) -> Context:
    """The day that a broker trades: the one that was asked for, or the one in progress."""
    section(folder_of(request), broker)  # an unknown broker is told before anything is read
    if broker == PAPER:
        return open_day(request)
    return open_day(request, now=pd.Timestamp(clock.now(), unit="s", tz="UTC"))


def take_seat(
    request: Request,
    context: Context,
    broker: str,
    *,
    ledger: Ledger,
    clock: Clock,
    ready: Prepared,
) -> Seat:
    """Everything of a session before its first order; connects to the broker."""
    book = check_book(ledger, context, broker)
    state = state_before(ledger, context, book)
    day = ready.panel.day(ready.panel.position(context.session))
    policy = context.settings.policy
    rows = ledger.rows("session", book=book, session=context.session)
    past = _past(ledger, book, context.session)
    known = _known([*past, *rows])
    if broker == PAPER:
        path = context.home.folder("paper") / f"{book}.json"
        first = account_of(state, currency=day.currency, sip=policy.sip.symbol, seen=clock.now())
        there: Broker = PaperBroker(path, day, policy, first=first, clock=clock.now)
        test = True
    else:
        asked = BrokerRequest(section(folder_of(request), broker), day.instruments, known)
        found = open_broker(broker, asked, demo=policy.mode is Mode.DEMO)
        there, test = found.broker, found.test
    setup = setup_of(context, ready, book=book)
    setup = replace(setup, decide=decider(len(day.symbols), context.home.kernels))
    record = _recorder(context, ledger, setup, day, rows=rows, broker=broker)
    seat = Seat(context, ledger, book, day, state, setup, record, there, ready, past)
    state = _taken_over(seat)
    mode = kept_in_demo(opened_by(state.risk, day.ordinal, setup.actions), setup).mode
    # A switch that was latched, or a quarantine, opens in DEMO: then an account of real money
    # keeps its brackets and decides nothing.
    entries = test or mode is not Mode.DEMO
    return replace(seat, state=state, setup=replace(setup, entries=entries))


def _taken_over(seat: Seat) -> State:
    """The state after sessions, too, that were begun and that nobody closed."""
    ledger, book, state = seat.ledger, seat.book, seat.state
    begun, over = (
        [row["session"] for row in ledger.rows("session", kind=kind, book=book)]
        for kind in ("session_opened", "session_closed")
    )
    last = max((name for name in over if name < seat.context.session), default="")
    floor = Floor(seat.broker, pace=lambda _: iter(()), clock=float)
    for name in sorted({name for name in begun if last < name < seat.context.session}):
        state = unfinished(
            state,
            seat.ready.panel,
            seat.setup,
            rows=ledger.rows("session", book=book, session=name),
            past=[row for row in seat.past if row["session"] < name],
            floor=floor,
        )
    return state


def _recorder(
    context: Context,
    ledger: Ledger,
    setup: Setup,
    day: Day,
    *,
    rows: Sequence[Mapping[str, Any]],
    broker: str,
) -> Recorder:
    def sink(new: Sequence[Mapping[str, Any]]) -> None:
        ledger.ensure("session", new, book=setup.book, session=day.session)

    stamp = {
        "policy_id": setup.policy_id,
        "experiment_id": setup.experiment_id,
        "model_version": setup.model_version,
    }
    record = Recorder(
        book=setup.book,
        session=day.session,
        stamp=stamp,
        sink=sink,
        detail=detail_of(context, day),
        rows=rows,
    )
    if not rows:
        facts = inputs_of(context, day, setup) | {"broker": broker}
        through = day.session if day.bars else day.seen
        record.add("inputs", feed=context.market.feed, data_through=through, **facts)
        traded = setup.traded_policy
        record.add("policy", policy_id=traded.id, values=policy_values(traded))
    return record


def _past(ledger: Ledger, book: str, session: str) -> list[Mapping[str, Any]]:
    """Orders, fills and commissions of a book's earlier sessions, what was adopted included."""
    kept: list[Mapping[str, Any]] = []
    for row in ledger.rows("session", book=book):
        if row["session"] >= session:
            continue
        if row["kind"] in ("order", "fill", "commission"):
            kept.append(row)
        if row["kind"] == "adopted":
            kept += [{"kind": "fill", **fill} for fill in row["fills"]]
    return kept


def _known(rows: Sequence[Mapping[str, Any]]) -> list[Order]:
    last = {r["client_id"]: r for r in rows if r["kind"] == "order"}
    bare = [{k: v for k, v in row.items() if k not in _HEAD} for row in last.values()]
    return _ORDERS.validate_python(bare)
