"""Sessions through a broker that misbehaves, by a process that dies: simulated by the thousand."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hybridnb.app.live import trade_live
from hybridnb.app.live_desk import Floor
from hybridnb.app.records import Recorder
from hybridnb.app.state import State, first_state
from hybridnb.canonical import plain
from hybridnb.domain import OrderState
from hybridnb.errors import BrokerDown, Refused
from hybridnb.execution.oco import OcoRule
from hybridnb.policy import Policy, validated
from hybridnb.testing.exchange import REJECTED, Exchange
from hybridnb.testing.wild_broker import WildBroker, World

Row = dict[str, Any]
STAMP = {"policy_id": "p", "experiment_id": "e", "model_version": "m"}
PHASES = ("open", "range", "close", "end")
STATE = TypeAdapter(State)  # made once: it takes longer than a session


class Died(BaseException):
    """The process is gone."""


class Mortal:
    """Dies at a step: before a call of the broker, after it, or around a commit."""

    def __init__(self, at: int) -> None:
        self.at, self.n = at, 0

    def step(self) -> None:
        self.n += 1
        if self.n == self.at:
            raise Died

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*given: Any) -> Any:
            self.step()
            answer = call(*given)
            self.step()
            return answer

        return guarded


class Line:
    """A broker behind a mortal process."""

    def __init__(self, broker: WildBroker, life: Mortal) -> None:
        self.name, self.both_legs, self.oco = broker.name, broker.both_legs, broker.oco
        for name in ("submit", "amend", "cancel", "poll", "statement"):
            setattr(self, name, life.around(getattr(broker, name)))


class Ledger:
    """What was made durable; a committed row never changes."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def ensure(self, rows: list[Row]) -> None:
        assert len(rows) >= len(self.rows)
        for old, new in zip(self.rows[-3:], rows[len(self.rows) - 3 :], strict=False):
            assert len(self.rows) < 3 or old == new
        self.rows.extend(dict(row) for row in rows[len(self.rows) :])


class Picture:
    """Positions and protection as the rows tell them, read as they come."""

    def __init__(self, positions: dict[str, int], orders: dict[str, Row]) -> None:
        self.positions, self.orders, self.n = dict(positions), dict(orders), 0

    def read(self, rows: list[Row]) -> None:
        for row in rows[self.n :]:
            if row["kind"] == "order":
                self.orders[row["client_id"]] = row
            elif row["kind"] == "fill" and row["leg"] != "sweep":
                sign = 1 if row["side"] == "BUY" else -1
                self.positions[row["symbol"]] = (
                    self.positions.get(row["symbol"], 0) + sign * row["quantity"]
                )
        self.n = len(rows)

    def check(self, there: dict[str, int]) -> None:
        """Every position has its stop, or is being closed, where all that traded was heard."""
        states = {"submitted", "accepted", "partially_filled"}
        for symbol, units in self.positions.items():
            mine = [o for o in self.orders.values() if o["symbol"] == symbol]
            if (
                units < 0
                or units != there.get(symbol, 0)
                or any(o["state"] == "unknown" for o in mine)
            ):
                continue
            if any(o["leg"] == "flatten" and o["state"] == "rejected" for o in mine):
                continue  # the venue wouldn't have any of it: that was alerted
            cover = sum(
                o["quantity"] - o["filled"]
                for o in mine
                if o["state"] in states
                and (o["leg"] == "stop" or (o["type"] == "MARKET" and o["side"] == "SELL"))
            )
            waiting = sum(
                o["quantity"] - o["filled"]
                for o in mine
                if o["state"] == "created" and o["type"] == "MARKET" and o["side"] == "SELL"
            )
            assert cover <= units <= cover + waiting, (symbol, cover, waiting, units)


class Shop:
    """One book at one wild venue, through as many deaths as it takes."""

    def __init__(self, panel: Any, setup: Any, world: World, rng: np.random.Generator) -> None:
        self.panel, self.setup, self.world, self.rng = panel, setup, world, rng
        self.state = first_state(setup.policy)
        self.past: list[Row] = []
        self.start_cash = world.exchange.cash - self.state.book.cash
        self.counts: Counter[str] = Counter()

    def session(self, i: int, *, polls: int, deaths: int) -> str:
        """Trade a session to its end; `done` or `refused`."""
        ledger, left = Ledger(), dict.fromkeys(PHASES, polls)
        chaos, self.world.day = self.world.chaos, len(self.world.exchange.executions)
        for life in itertools.count():
            assert life < 200
            if life >= deaths + 60:
                self.world.chaos = 0.0  # the weather clears, in the end
            at = int(self.rng.integers(1, 120)) if life < deaths else 0
            try:
                self._live(i, ledger, left, Mortal(at))
            except Died:
                self.counts["deaths"] += 1
            except BrokerDown:
                self._line_is_down(ledger.rows)
            except Refused:
                self._refusal_is_right(ledger.rows)
                return "refused"
            else:
                break
        self.world.chaos = chaos
        self.past += ledger.rows
        self.state = STATE.validate_python(ledger.rows[-1]["snapshot"])
        return "done"

    def _line_is_down(self, rows: list[Row]) -> None:
        """What was meant and what was heard is in the ledger, with why it stopped."""
        assert rows[-1]["kind"] == "alert" and rows[-1]["text"].endswith("—stopped")
        self.counts["lines down"] += 1

    def _live(self, i: int, ledger: Ledger, left: dict[str, int], life: Mortal) -> None:
        day = replace(self.panel.day(i), bars={})
        broker = WildBroker(self.world)
        record = Recorder(
            book="book",
            session=day.session,
            stamp=STAMP,
            sink=life.around(ledger.ensure),
            rows=ledger.rows,
        )
        held = {s: p.quantity for s, p in self.state.book.positions.items()}
        orders = {o.client_id: plain(o) for o in self.state.working}
        picture = Picture(held, orders)

        def pace(phase: str) -> Iterator[None]:
            while left[phase] > 0:
                left[phase] -= 1
                picture.read(record.rows)
                picture.check({s: h.quantity for s, h in self.world.exchange.holdings.items()})
                self.counts["checks"] += 1
                yield

        clock = itertools.count(1.0, 0.5)
        floor = Floor(
            broker=Line(broker, life),
            pace=pace,
            clock=lambda: next(clock),
            prices=lambda: self.world.prices,
        )
        trade_live(self.state, day, self.setup, record, floor=floor, past=self.past)

    def beyond(self, rows: list[Row] = ()) -> bool:
        """Whether it was told that more was closed than was held."""
        told = [r for r in (*self.past, *rows) if r["kind"] == "alert"]
        return any("beyond the position" in r["text"] for r in told)

    def _refusal_is_right(self, rows: list[Row]) -> None:
        """Only what went beyond the position is refused, and it was alerted when it was heard."""
        assert self.beyond(rows) and not self.world.locks, rows[-1]

    def books_agree(self, session: str) -> None:
        """Cash, shares and fills, to the last unit; each order at the venue once."""
        exchange, book = self.world.exchange, self.state.book
        assert exchange.cash - book.cash == self.start_cash
        closed = [r for r in self.past if r["kind"] == "trade" and r["timestamp"] == session]
        assert abs(sum(r["pnl"] for r in closed) - self.world.realised()) < 10_000
        there = {s: h.quantity for s, h in exchange.holdings.items()}
        assert {s: p.quantity for s, p in book.positions.items()} == there
        fills = [r for r in self.past if r["kind"] == "fill"]
        assert len({r["fill_id"] for r in fills}) == len(fills) == len(exchange.executions)
        assert sum(r["quantity"] for r in fills) == sum(e.quantity for e in exchange.executions)
        ids = [o.client_id for o in exchange.orders.values() if o.state != REJECTED]
        assert len(ids) == len(set(ids))
        assert not [r for r in self.past if "DUPLICATE" in r.get("refusals", ())]
        meant = {r["client_id"] for r in self.past if r["kind"] == "order"}
        assert set(ids) <= meant
        ends = {r["client_id"]: r for r in self.past if r["kind"] == "order"}
        for client_id, row in ends.items():  # none lost
            never = row["state"] in ("rejected", "created") or "nothing was left" in row["note"]
            withheld = row["state"] == "cancelled" and not row["filled"]
            assert never or withheld or client_id in ids, row

    def at_rest(self) -> None:
        """At rest, every position has its stop of full size at the venue."""
        if any(o.state is OrderState.UNKNOWN for o in self.state.working):
            return  # the last word wasn't heard: the next start asks for it
        for symbol, held in self.world.exchange.holdings.items():
            mine = [o for o in self.world.exchange.working if o.symbol == symbol and o.sign < 0]
            cover = sum(o.left for o in mine if o.type in ("STOP", "MARKET"))
            assert cover == held.quantity, symbol
            target = sum(o.left for o in mine if o.type == "LIMIT")
            assert target <= (0 if self._target_is_over(symbol) else held.quantity), symbol

    def _target_is_over(self, symbol: str) -> bool:
        """Whether a leg has filled, and the rule cancels the target with that."""
        legs = [
            r["leg"]
            for r in self.past
            if r["kind"] == "fill"
            and r["symbol"] == symbol
            and r["leg"] in ("entry", "stop", "target")
        ]
        partial = self.setup.policy.stops.oco == "ALLOW_PARTIAL_THEN_CANCEL"
        return partial and legs[-1] != "entry"


def shop(
    panel_of: Any, setup_of: Any, seed: int, *, rule: str = OcoRule.PREFER_LIMIT, **weather: Any
) -> Shop:
    rng = np.random.default_rng(seed)
    closes = np.full((300, 3), 100.0)
    score = np.full((300, 3), 0.9)
    score[281:, 1] = 0.1  # what is bought on the first day is sold on the second
    panel = panel_of(np.round(closes * np.linspace(1, 1.1, 300)[:, None], 2), score=score)
    panel = replace(
        panel, instruments={s: replace(x, tick=100) for s, x in panel.instruments.items()}
    )
    policy = validated(
        Policy,
        {
            "sizing": {
                **{"heat_limit": 100.0, "var_limit": 1.0, "es_limit": 1.0},
                **{"kelly_fraction": 1.0, "volatility_target": 1.0},
            },
            "risk": {"kill_day_pnl": -0.005},
            "stops": {"oco": rule},
            "safety": {"repeat_fills": 100_000, "order_value": 1e6},
        },
    )
    prices = {s: int(panel.last[280, j] // 100 * 100) for j, s in enumerate(panel.symbols)}
    world = World(Exchange(), prices, rng, oco=str(rule), **weather)
    setup = replace(
        setup_of(3, policy=policy),
        hints=lambda day, state: np.where(day.columns["p_short"] < 0.5, -4.0, 4.0),
    )
    return Shop(panel, setup, world, rng)


def history(panel_of: Any, setup_of: Any, seed: int, rule: str = "") -> Counter[str]:
    """Two sessions of one book in foul weather; without a rule the seed chooses one."""
    rule = rule or list(OcoRule)[seed % len(OcoRule)]
    draw = np.random.default_rng([seed, 1])
    made = shop(
        panel_of,
        setup_of,
        seed,
        chaos=float(draw.choice([0.0, 0.05, 0.2])),
        drift=float(draw.choice([0.94, 0.997, 1.0, 1.003])),
        locks=bool(draw.integers(2)) and rule != OcoRule.BOTH_MUST_TRIGGER,
        rule=rule,
    )
    for i in (281, 282):
        polls, deaths = int(draw.integers(2, 8)), int(draw.integers(0, 6))
        outcome = made.session(i, polls=polls, deaths=deaths)
        made.counts[outcome] += 1
        if outcome == "refused":
            break
        if made.beyond():
            made.counts["both legs traded"] += 1
        else:
            made.at_rest()
            made.books_agree(made.panel.day(i).session)
    rows = made.past
    made.counts["kills"] += any(r["kind"] == "mark" and r["killed"] for r in rows)
    for leg in ("entry", "stop", "target", "exit", "flatten"):
        made.counts[leg] += sum(r["kind"] == "fill" and r["leg"] == leg for r in rows)
    made.counts["fills"] += len(made.world.exchange.executions)
    made.counts.update(made.world.suffered)
    return made.counts


@settings(max_examples=4 * settings.default.max_examples)  # what goes wrong, goes wrong rarely
@pytest.mark.parametrize("rule", list(OcoRule))
@given(seed=st.integers(0, 2**32 - 1))
def test_random_histories(panel_of: Any, setup_of: Any, rule: str, seed: int) -> None:
    history(panel_of, setup_of, seed, rule)


@pytest.mark.parametrize(
    ("rule", "seed"),
    [
        # A position opened as another closed: the former one's target went on working.
        ("FIRST_TRIGGERED_WINS", 1087),
        ("BOTH_MUST_TRIGGER", 3238),
        # An exit that was to grow with its position had filled meanwhile: new terms ended it.
        ("FIRST_TRIGGERED_WINS", 2097153),
        # It was to grow by what a target had filled, which no fill had told yet.
        ("FIRST_TRIGGERED_WINS", 15201),
        ("FIRST_TRIGGERED_WINS", 18019),
        ("BOTH_MUST_TRIGGER", 5571),
        # A trailing stop was set beside an exit, for what the stop before it had filled unheard.
        ("ALLOW_PARTIAL_THEN_CANCEL", 42723),
        # A decided exit counted as the double of a flatten that the venue had just refused.
        ("PREFER_LIMIT", 2188),
        # Both legs traded, and in the same news an entry: its stop was of units that weren't there.
        ("BOTH_MUST_TRIGGER", 912096),
    ],
)
def test_histories_that_went_wrong_once(panel_of: Any, setup_of: Any, rule: str, seed: int) -> None:
    history(panel_of, setup_of, seed, rule)
