"""What no session may leave behind: entries nobody looks after, trades nobody booked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from scenes import (
    PRICE,
    STAMP,
    Died,
    DiesCancelling,
    Gapped,
    Make,
    Scene,
    bought,
    die,
    left_unfinished,
    quiet,
)

from hybridnb.app import live_account
from hybridnb.app.live_desk import Floor, LiveDesk
from hybridnb.app.records import Recorder
from hybridnb.app.resuming import resume
from hybridnb.domain import Leg, Order, OrderState, Refusal, refusal_names
from hybridnb.errors import BrokerDown, CheckFailed, Refused
from hybridnb.ports import Events, Statement
from hybridnb.testing.wild_broker import WildBroker

CANCEL_ALL = {"id": "1", "action": "cancel-all", "symbol": "", "operator": "ann", "reason": "r"}
UNITS = 7  # of B, that somebody bought by hand


def begun(scene: Scene) -> None:
    """A part of the entry filled, and the rest of it works as the process dies."""
    with pytest.raises(Died):
        scene.session(open=[lambda: bought(scene, 10), quiet, die])
    assert set(scene.resting()) == {"entry", "stop", "target"}


def ended(scene: Scene) -> None:
    """The process dies as it withdraws the entry at the session's end."""
    scene.make = lambda: DiesCancelling(scene.world)
    with pytest.raises(Died):
        scene.session(open=[quiet])
    assert set(scene.resting()) == {"entry"}
    scene.past += scene.rows


class TestAStartThatRefuses:
    def test_leaves_no_entry_of_its_session_at_work(self, scene: Scene) -> None:
        begun(scene)
        scene.exchange.hold("B", UNITS, PRICE)
        with pytest.raises(Refused):
            scene.session()
        assert scene.resting() == {"stop": 10, "target": 10}

    @pytest.mark.parametrize("asked", [(), ({**CANCEL_ALL, "standing": True},)])
    def test_leaves_no_entry_of_an_earlier_session_at_work(
        self, scene: Scene, asked: tuple[Any, ...]
    ) -> None:
        ended(scene)
        scene.make = lambda: WildBroker(scene.world)
        scene.setup = replace(scene.setup, actions=asked)
        scene.exchange.hold("B", UNITS, PRICE)
        with pytest.raises(Refused):
            scene.session(282, entries=False)
        assert scene.resting() == {}


@pytest.mark.parametrize("refused", [False, True])
def test_the_second_start_of_a_session_withdraws_an_entry_of_an_earlier_one(
    scene: Scene, refused: bool
) -> None:
    ended(scene)
    if refused:
        scene.exchange.hold("B", UNITS, PRICE)
    with pytest.raises((Died, Refused)):
        scene.session(282, entries=False)
    scene.exchange.holdings.pop("B", None)
    scene.make = lambda: WildBroker(scene.world)
    scene.session(282, entries=False, open=[scene.trade(10_000)])
    assert scene.held() == 0


def test_an_adoption_leaves_no_entry_at_work(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(scene)
    scene.exchange.hold("B", UNITS, PRICE)
    day = replace(scene.panel.day(281), bars={})

    @contextmanager
    def seated(*_: Any, **__: Any) -> Iterator[tuple[Any, LiveDesk]]:
        record = Recorder(book="book", session=day.session, stamp=STAMP, rows=scene.rows)
        floor = Floor(scene.make(), pace=lambda _: iter(()), clock=float)
        desk = LiveDesk(scene.state, day, scene.setup, record, floor=floor)
        resume(desk, scene.rows)
        context = SimpleNamespace(session=day.session)
        yield SimpleNamespace(broker=floor.broker, book="book", context=context), desk

    monkeypatch.setattr(live_account, "_desk", seated)
    request: Any = None
    live_account.adopt_account(request, "wild", reason="bought by hand")
    assert scene.resting() == {"stop": 10, "target": 10}


class Contradicting(WildBroker):
    """It tells each fill at two prices."""

    def poll(self) -> Events:
        events = super().poll()
        again = [replace(fill, price=fill.price + 1) for fill in events.fills]
        return replace(events, fills=(*events.fills, *again))


def test_a_session_stopped_by_what_cant_be_true_leaves_no_entry_at_work(scene: Scene) -> None:
    scene.make = lambda: Contradicting(scene.world)
    with pytest.raises(CheckFailed):
        scene.session(open=[lambda: bought(scene, 10), quiet])
    assert "entry" not in scene.resting()


class Deaf(WildBroker):
    """No entry is ever withdrawn."""

    answers = False

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        ids = list(client_ids)
        entries = [i for i in ids if "-entry-" in i and self.answers]
        self._doubt |= set(entries)
        there = [self.world.exchange.find(i) for i in entries]
        doubtful = [replace(self._order(t), state=OrderState.UNKNOWN) for t in there if t]
        return doubtful + super().cancel(i for i in ids if "-entry-" not in i)


@pytest.mark.parametrize("answers", [False, True])
def test_an_entry_that_couldnt_be_withdrawn_is_alerted_at_the_close(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    monkeypatch.setattr(Deaf, "answers", answers)
    scene.make = lambda: Deaf(scene.world)
    scene.session(open=[lambda: bought(scene, 10)])
    assert "entry" in scene.resting() and scene.alerts("A: an entry may still work") == 1


class Slow(WildBroker):
    """Entries are on their way for a while: no statement has them yet."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.world)
        self.entries: list[Order] = []
        self.late: list[Order] = []

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        entries = [o for o in orders if o.leg is Leg.ENTRY]
        self.entries += entries
        rest = super().submit([o for o in orders if o not in entries])
        return [*rest, *(replace(o, state=OrderState.UNKNOWN) for o in entries)]

    def arrive(self) -> None:
        super().submit(self.entries[:1])

    def reject(self) -> None:
        codes = refusal_names(Refusal.VENUE)
        self.late = [
            replace(o, state=OrderState.REJECTED, refusals=codes) for o in self.entries[:1]
        ]

    def poll(self) -> Events:
        events, late, self.late = super().poll(), self.late, []
        return replace(events, orders=(*events.orders, *late))


class TestAnEntryWithdrawnBeforeItWasHeardOf:
    @pytest.fixture
    def slow(self, scene: Scene) -> Slow:
        broker = Slow(scene)
        scene.make = lambda: broker
        return broker

    def withdraw(self, scene: Scene) -> None:
        scene.actions = [CANCEL_ALL]

    def test_may_be_rejected_late(self, scene: Scene, slow: Slow) -> None:
        scene.session(open=[lambda: self.withdraw(scene), quiet, quiet, slow.reject, quiet])
        assert slow.entries and scene.of("session_closed")

    def test_is_withdrawn_when_it_comes_after_all(self, scene: Scene, slow: Slow) -> None:
        scene.session(open=[lambda: self.withdraw(scene), quiet, quiet, slow.arrive])
        assert scene.exchange.orders and scene.resting() == {}


class Down(WildBroker):
    def statement(self) -> Statement:
        raise BrokerDown("the gateway is down")


class TestASessionThatNobodyClosed:
    def test_leaves_what_it_traded(self, scene: Scene) -> None:
        loss = scene.trade(10_000, 960_000)
        with pytest.raises(Died):
            scene.session(open=[scene.trade(10_000)], range=[loss, quiet, die])
        after = left_unfinished(scene)
        assert after.book.cash == scene.exchange.cash and after.book.positions == {}
        assert [(each.symbol, each.leg) for each in after.risk.closed] == [("A", Leg.STOP)]
        assert [(lock.name, lock.symbol) for lock in after.risk.locks] == [("cooldown", "A")]

    def test_leaves_what_its_kill_must_close_though_nobody_closes_the_next(
        self, panel_of: Make, setup_of: Make
    ) -> None:
        scene = Scene(panel_of, setup_of, risk={"kill_day_pnl": -0.0001})
        scene.session(open=[scene.trade(10_000)])
        scene.prices = {"A": PRICE}
        fall = lambda: scene.prices.update(A=980_000)  # noqa: E731
        scene.make = lambda: Gapped(scene.world, [], {"flatten"})
        with pytest.raises(Died):
            scene.session(282, entries=False, range=[fall, quiet, die])
        scene.prices = {"A": PRICE}
        scene.state = left_unfinished(scene)
        scene.past += scene.rows
        scene.make = lambda: Down(scene.world)
        with pytest.raises(BrokerDown):
            scene.session(283, entries=False)
        scene.state = left_unfinished(scene)
        scene.past += scene.rows
        assert scene.held() > 0
        scene.make = lambda: WildBroker(scene.world)
        scene.session(284, entries=False, open=[quiet, scene.trade(10_000)])
        assert scene.held() == 0

    def test_is_refused_by_name_where_the_feed_no_longer_reaches_back_to_it(
        self, scene: Scene
    ) -> None:
        with pytest.raises(Died):
            scene.session(open=[scene.trade(10_000), quiet, die])
        scene.rows = [row | {"session": "1999-01-04"} for row in scene.rows]
        with pytest.raises(Refused, match="1999-01-04"):
            left_unfinished(scene)
