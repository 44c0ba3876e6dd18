"""One book at one venue, through a session in calm weather: what a test makes happen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from hybridnb.app.live import trade_live
from hybridnb.app.live_desk import Floor
from hybridnb.app.records import Recorder
from hybridnb.app.resuming import unfinished
from hybridnb.app.state import State, first_state, restored
from hybridnb.canonical import plain
from hybridnb.domain import Order, OrderState, refusal_names
from hybridnb.domain import Refusal as Code
from hybridnb.policy import Policy, validated
from hybridnb.testing.exchange import Exchange, Resting
from hybridnb.testing.wild_broker import WildBroker, World

Row = dict[str, Any]
Make = Callable[..., Any]
Act = Callable[[], Any]
PRICE = 1_000_000
STAMP = {"policy_id": "p", "experiment_id": "e", "model_version": "m"}
SIZING = {
    **{"heat_limit": 100.0, "var_limit": 1.0, "es_limit": 1.0},
    **{"kelly_fraction": 1.0, "volatility_target": 1.0},
}


class Died(BaseException):
    """The process is gone."""


def die() -> None:
    raise Died


def quiet() -> None:
    """A time of listening at which nothing happens."""


class Calm(World):
    """Only the test trades."""

    def move(self, *, chance: float | None = None) -> None:
        pass


class Scene:
    """A at 100.00, to be bought; B, which the sweep buys; one book at one venue."""

    def __init__(self, panel_of: Make, setup_of: Make, **policy: Any) -> None:
        score = np.tile([0.9, 0.1], (300, 1))
        score[281:] = 0.1  # it is sold on the second day, where that is decided
        self.panel = panel_of(np.full((300, 2), 100.0), score=score)
        values = {"sizing": SIZING, "sip": {"symbol": "B"}, "risk": {"kill_day_pnl": -0.5}}
        made = validated(Policy, {**values, "safety": {"order_value": 1e6}, **policy})
        self.setup = replace(
            setup_of(2, policy=made),
            hints=lambda day, state: np.where(day.columns["p_short"] < 0.5, -4.0, 4.0),
        )
        self.exchange = Exchange()
        prices = {"A": PRICE, "B": PRICE}
        rng = np.random.default_rng(0)
        self.world = Calm(self.exchange, prices, rng, chaos=0.0, oco=made.stops.oco)
        self.make: Callable[[], Any] = lambda: WildBroker(self.world)
        self.state, self.past = first_state(made), []
        self.rows: list[Row] = []
        self.prices: dict[str, int] = {}
        self.watch: Callable[[Sequence[str]], None] | None = None
        self.back = 0.0  # seconds that the clock was set back
        self.store: Callable[[list[Row]], Any] = list  # where rows are made durable
        self.actions: list[Mapping[str, Any]] = []
        self.show: Callable[[Any], Any] = lambda _: None

    def session(
        self,
        row: int = 281,
        *,
        entries: bool = True,
        bars: Mapping[str, Any] | None = None,
        **script: Sequence[Act],
    ) -> State:
        """Trade; the rows of the session so far are taken up again."""
        day = replace(self.panel.day(row), bars={})
        self.rows = [r for r in self.rows if r["session"] == day.session]

        def sink(rows: list[Row]) -> None:
            self.store(rows)
            self.rows = [dict(r) for r in rows]

        record = Recorder(book="book", session=day.session, stamp=STAMP, sink=sink, rows=self.rows)

        def pace(phase: str) -> Iterator[None]:
            for act in (*script.get(phase, ()), quiet, quiet):
                act()
                yield

        def actions() -> list[Mapping[str, Any]]:
            taken, self.actions = self.actions, []
            return taken

        clock = itertools.count(1.0, 0.5)
        floor = Floor(
            broker=self.make(),
            pace=pace,
            clock=lambda: next(clock) - self.back,
            bars=lambda: bars or {},
            prices=lambda: dict(self.prices),
            watch=self.watch,
            actions=actions,
            show=self.show,
        )
        setup = replace(self.setup, entries=entries)
        after = trade_live(self.state, day, setup, record, floor=floor, past=self.past)
        self.past += self.rows
        self.state = restored(plain(after))
        return self.state

    def trade(self, units: int, price: int = PRICE, symbol: str = "A") -> Act:
        return lambda: self.world.trade(symbol, price, units)

    def of(self, kind: str, **match: Any) -> list[Row]:
        mine = (r for r in self.rows if r["kind"] == kind)
        return [r for r in mine if all(r[k] == v for k, v in match.items())]

    def resting(self, symbol: str = "A") -> dict[str, int]:
        mine = [o for o in self.exchange.working if o.symbol == symbol]
        return {o.client_id.split("-")[3]: o.left for o in mine}

    def held(self, symbol: str = "A") -> int:
        there = self.exchange.holdings.get(symbol)
        return there.quantity if there is not None else 0

    def alerts(self, text: str) -> int:
        return sum(text in row["text"] for row in self.of("alert"))


@contextmanager
def beside(scene: Scene, keep: Callable[[Resting], bool]) -> Iterator[None]:
    """These orders don't trade."""
    kept = [o for o in scene.exchange.working if keep(o)]
    for order in kept:
        order.state = "cancelled"
    yield
    for order in kept:
        order.state = "working"


def bought(scene: Scene, units: int) -> None:
    """The entry alone trades."""
    with beside(scene, lambda o: o.sign < 0):
        scene.world.trade("A", PRICE, units)


class DiesCancelling(WildBroker):
    """The process is gone as it withdraws an order."""

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        raise Died


class Gapped(WildBroker):
    """The market has gone through every stop: it would trigger immediately."""

    def __init__(self, world: World, asked: list[Order], refuse: set[str]) -> None:
        super().__init__(world)
        self.asked, self.refuse = asked, refuse

    def _submit(self, order: Order) -> Order:
        self.asked.append(order)
        if order.leg in self.refuse:
            codes = refusal_names(Code.VENUE)
            note = "would trigger immediately"
            return replace(order, state=OrderState.REJECTED, refusals=codes, note=note)
        return super()._submit(order)


def left_unfinished(scene: Scene) -> State:
    """The state that the next session opens with, as a start of it takes it over."""
    floor = Floor(scene.make(), pace=lambda _: iter(()), clock=float)
    past, rows = [r for r in scene.past if r not in scene.rows], scene.rows
    after = unfinished(scene.state, scene.panel, scene.setup, rows=rows, past=past, floor=floor)
    return restored(plain(after))
