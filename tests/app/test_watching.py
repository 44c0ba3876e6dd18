"""Facts of the portfolio at a mark, by known answers, and the events that a session makes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scenes import Died, Scene, die, left_unfinished

from hybridnb.app.panel import Day, Panel
from hybridnb.app.records import Recorder
from hybridnb.app.session import step
from hybridnb.app.state import State, Watch, first_state, restored
from hybridnb.app.watching import Watching, facts_at, gross_of, hours_of, read_facts
from hybridnb.canonical import plain
from hybridnb.domain import SCALE, Position
from hybridnb.escalation.conditions import PortfolioFacts, TriggerParams
from hybridnb.escalation.triggers import TriggerState
from hybridnb.policy import Policy, validated
from hybridnb.risk import RiskState

Make = Callable[..., Any]
Rows = list[dict[str, Any]]


def hours(session: str) -> tuple[dt.datetime, dt.datetime]:
    """Of an exchange that is open from 14:30 to 21:00 UTC every day."""
    day = dt.datetime.fromisoformat(f"{session}T00:00+00:00")
    return day.replace(hour=14, minute=30), day.replace(hour=21)


WATCHING = Watching(TriggerParams(), hours)


@pytest.fixture
def day(panel_of: Make) -> Day:
    panel: Panel = panel_of(np.full((300, 2), 100.0))
    return panel.day(281)


def state_of(closes: list[float], gross: list[float]) -> State:
    units = [round(value * SCALE) for value in closes]
    held = [round(value * SCALE) for value in gross]
    return replace(
        first_state(Policy()),
        risk=RiskState(equities=tuple(enumerate(units, 1))),
        watch=Watch(gross=tuple(enumerate(held, 1))),
    )


def at(state: State, day: Day, equity: float, gross: float, **more: Any) -> PortfolioFacts:
    watching = replace(WATCHING, validated=more.get("validated"))
    units, held = round(equity * SCALE), round(gross * SCALE)
    return facts_at(state, day, watching, equity=units, pnl=more.get("pnl"), gross=held)


# --- known answers ---


def test_a_drawdown_is_from_the_peak_of_five_sessions_to_now(day: Day) -> None:
    closes = [500.0, 100.0, 110.0, 99.0, 105.0, 100.0]  # the first is out of the five
    found = at(state_of(closes, [20, 50, 50, 40, 30, 20]), day, 97.0, 10.0, pnl=-0.03)
    assert found.max_drawdown_5d == pytest.approx(13 / 110)
    assert found.gross_drawdown_5d == pytest.approx(13 / 50)
    assert (found.net_liquidity, found.daily_pnl) == (97.0, -0.03)
    assert found.session == dt.date.fromisoformat(day.session)


def test_a_fall_inside_the_five_sessions_counts_after_it_is_made_good(day: Day) -> None:
    found = at(state_of([100.0, 90.0, 100.0], [50.0, 50.0, 50.0]), day, 120.0, 50.0)
    assert found.max_drawdown_5d == pytest.approx(0.1)
    assert found.gross_drawdown_5d == pytest.approx(0.2)


def test_without_the_exposure_of_every_session_its_drawdown_is_unknown(day: Day) -> None:
    assert at(state_of([100.0, 90.0], [50.0]), day, 90.0, 50.0).gross_drawdown_5d is None
    nothing_held = at(state_of([100.0], [0.0]), day, 90.0, 0.0)
    assert np.isnan(nothing_held.gross_drawdown_5d or 0.0)


def test_the_sharpe_ratio_is_of_the_last_sixty_sessions(day: Day) -> None:
    rng = np.random.default_rng(3)
    closes = np.round(1000 * np.cumprod(1 + rng.normal(0.001, 0.01, 64)), 4).tolist()
    found = at(state_of(closes, closes), day, closes[-1], 0.0, validated=(2.0, 500))
    r = np.diff(closes[-61:]) / np.array(closes[-61:-1])
    assert found.sharpe_sessions == 60
    assert found.sharpe_ratio == pytest.approx(r.mean() / r.std(ddof=1) * np.sqrt(252))
    assert 0.0 < (found.sharpe_p or 0.0) < 1.0


def test_without_a_valid_verdict_no_p_value_and_without_history_no_ratio(day: Day) -> None:
    long = at(state_of(list(range(100, 164)), [1.0] * 64), day, 164.0, 0.0)
    assert np.isnan(long.sharpe_p or 0.0)
    young = at(state_of([], []), day, 100.0, 0.0)
    assert (young.max_drawdown_5d, young.gross_drawdown_5d) == (0.0, 0.0)
    assert np.isnan(young.sharpe_ratio or 0.0)
    assert young.sharpe_sessions == 0


def test_the_market_s_facts_are_the_day_s_and_what_it_lacks_is_unknown(day: Day) -> None:
    known = {"volatility_zscore": 2.5, "correlation": 0.7, "put_call_ratio": 1.7}
    seen = replace(day, facts=known, macro=("A bank fails",))
    found = at(state_of([100.0], [0.0]), seen, 100.0, 0.0)
    assert found.volatility_zscore == 2.5
    assert found.correlation_breakdown == 0.7
    assert found.put_call_ratio == 1.7
    assert found.macro_events == ("A bank fails",)
    assert found.correlation_floor is found.ensemble_accuracy is found.news_sentiment is None


def test_gross_exposure_adds_longs_and_shorts_by_delta_and_multiplier(day: Day) -> None:
    option = replace(day.instruments["B"], delta=-0.5, multiplier=100)
    seen = replace(day, instruments={**day.instruments, "B": option})
    held = positions(seen, A=-30, B=2)
    state = first_state(Policy())
    state = replace(state, book=replace(state.book, positions=held))
    assert gross_of(state, seen, {"A": 10 * SCALE, "B": 3 * SCALE}) == (300 + 300) * SCALE
    assert gross_of(state, seen, {"A": 10 * SCALE}) == 300 * SCALE  # B has no price


def positions(day: Day, **units: int) -> Mapping[str, Position]:
    return {
        symbol: Position(
            symbol=symbol,
            quantity=quantity,
            cost=quantity * SCALE,
            multiplier=day.instruments[symbol].multiplier,
            atr=1.0,
            stop=1,
            target=2,
            best=1,
            decision_id="d",
            opened=day.session,
        )
        for symbol, quantity in units.items()
    }


def test_an_exchange_s_hours_are_its_calendar_s_also_on_a_short_day() -> None:
    opening, close = hours_of("XNYS")("2013-11-29")  # the Friday after Thanksgiving
    assert opening == dt.datetime(2013, 11, 29, 14, 30, tzinfo=dt.UTC)
    assert close == dt.datetime(2013, 11, 29, 18, 0, tzinfo=dt.UTC)


# --- sessions ---


class Fall:
    """Two names bought at 100 that fall to `low` on a day; two cores hold most of the equity."""

    def __init__(self, panel_of: Make, setup_of: Make, low: float) -> None:
        closes = np.full((300, 2), 100.0)
        closes[283:] = low
        caps = {"name_core": 0.5, "bucket_core": 0.9}
        loose = {"heat_limit": 100.0, "var_limit": 1.0, "es_limit": 1.0}
        loose |= {"kelly_fraction": 1.0, "volatility_target": 1.0}
        policy = validated(
            Policy, {"clamps": caps, "sizing": loose, "risk": {"kill_day_pnl": -0.02}}
        )
        rng = np.random.default_rng(1)
        closes[:281] *= np.exp(rng.normal(0, 1e-4, (281, 2)))
        opens = np.vstack([closes[:1], closes[:-1]])
        self.panel: Panel = panel_of(closes, opens=opens)
        self.setup = replace(setup_of(2, policy=policy), watching=WATCHING)
        self.state = first_state(policy)

    def sessions(self, *rows: int) -> list[Rows]:
        told = []
        for i in rows:
            day = self.panel.day(i)
            record = Recorder(book="book", session=day.session, stamp={})
            self.state = restored(plain(step(self.state, day, self.setup, record)))
            told.append(record.rows)
        return told


def of(rows: Rows, kind: str) -> Rows:
    return [row for row in rows if row["kind"] == kind]


def test_a_kill_is_one_event_of_the_judge_at_the_mark_that_tripped_it(
    panel_of: Make, setup_of: Make
) -> None:
    fall = Fall(panel_of, setup_of, 95.0)
    calm, before, crash, after = fall.sessions(281, 282, 283, 284)
    assert not of(calm, "escalation") + of(before, "escalation")
    judged = [row for row in of(crash, "escalation") if row["call"] == "SANITY_JUDGE"]
    (event,) = judged
    session = crash[0]["session"]
    assert event["id"] == f"book-{session}-kill_switch-2100"
    assert event["at"] == f"{session}T21:00:00+00:00"
    assert "kill" in event["conditions"]
    assert [row for row in of(crash, "mark") if row["killed"]]
    assert not [row for row in of(after, "escalation") if row["call"] == "SANITY_JUDGE"]


def test_facts_are_told_once_at_the_close_and_read_back(panel_of: Make, setup_of: Make) -> None:
    rows = Fall(panel_of, setup_of, 95.0).sessions(281, 282, 283)
    for each in rows:
        (told,) = of(each, "facts")
        closed = of(each, "session_closed")[0]
        facts = read_facts(told["facts"])
        assert facts.net_liquidity == closed["equity"] / SCALE
        assert facts.daily_pnl == closed["day_pnl"]
        assert "macro_events" in told["unknown"]
        assert [row["kind"] for row in each].index("facts") < len(each) - 1
    crash = read_facts(of(rows[2], "facts")[0]["facts"])
    equities = [of(each, "session_closed")[0]["equity"] for each in rows]
    assert crash.max_drawdown_5d == pytest.approx(1 - equities[2] / max(equities))


def test_the_triggers_state_is_a_row_only_when_it_changes(panel_of: Make, setup_of: Make) -> None:
    calm, before, crash, after = Fall(panel_of, setup_of, 95.0).sessions(281, 282, 283, 284)
    assert not of(calm, "triggers") + of(before, "triggers")
    (changed,) = of(crash, "triggers")
    assert changed["at"] == "close"
    assert "kill" in changed["state"]["standing"]
    for row in of(after, "triggers"):
        assert "kill" not in row["state"]["standing"]


def test_without_watching_nothing_is_looked_at(panel_of: Make, setup_of: Make) -> None:
    fall = Fall(panel_of, setup_of, 95.0)
    watched = Fall(panel_of, setup_of, 95.0)
    fall.setup = replace(fall.setup, watching=None)
    blind, seeing = fall.sessions(281, 282, 283), watched.sessions(281, 282, 283)
    for one, other in zip(blind, seeing, strict=True):
        kinds = {row["kind"] for row in one}
        assert not kinds & {"escalation", "triggers", "facts"}
        orders = [{**row, "n": 0} for row in of(one, "order")]
        assert orders == [{**row, "n": 0} for row in of(other, "order")]


def test_the_exposure_of_the_closes_is_carried_five_sessions_back(
    panel_of: Make, setup_of: Make
) -> None:
    fall = Fall(panel_of, setup_of, 100.0)
    fall.sessions(*range(275, 283))
    ordinals = [ordinal for ordinal, _ in fall.state.watch.gross]
    assert ordinals == [1278, 1279, 1280, 1281, 1282]
    held = sum(p.quantity * 100 for p in fall.state.book.positions.values())
    assert fall.state.watch.gross[-1][1] == pytest.approx(held * SCALE, rel=1e-6)


# --- a session that is taken up again ---


def test_triggers_survive_a_restart_of_a_session(panel_of: Make, setup_of: Make) -> None:
    """The price falls, the judge's event is told, the process dies; the next one tells no other."""

    def fallen(*, dies: bool) -> tuple[Scene, TriggerState]:
        scene = Scene(panel_of, setup_of, risk={"kill_day_pnl": -0.0001})
        scene.setup = replace(scene.setup, watching=WATCHING)
        prices = lambda: scene.prices.update(A=980_000)  # noqa: E731
        script = [scene.trade(10_000), lambda: None, prices, lambda: None]
        if dies:
            with pytest.raises(Died):
                scene.session(open=[*script, die])
            assert scene.of("escalation", trigger="kill_switch")
            after = left_unfinished(scene).watch.triggers
            assert after.standing and after.fired, "also for the next session"
            return scene, scene.session().watch.triggers
        return scene, scene.session(open=[*script, lambda: None]).watch.triggers

    whole, expected = fallen(dies=False)
    again, found = fallen(dies=True)
    for scene in (whole, again):
        assert len(scene.of("escalation", trigger="kill_switch")) == 1
    assert found.standing == expected.standing
    assert found.fired.keys() == expected.fired.keys()


def test_the_switch_is_one_event_however_the_loss_moves_while_it_is_flattened(
    panel_of: Make, setup_of: Make
) -> None:
    scene = Scene(panel_of, setup_of, risk={"kill_day_pnl": -0.0001})
    scene.setup = replace(scene.setup, watching=WATCHING)

    def at_price(price: int) -> Callable[[], None]:
        return lambda: scene.prices.update(A=price)

    moves = [at_price(p) for p in (800_000, 1_000_000, 800_000, 1_000_000, 700_000)]
    scene.session(open=[scene.trade(10_000), lambda: None, *moves])
    marks = [row["day_pnl"] for row in scene.of("mark", at="live")]
    assert min(marks) < -0.0001 < max(marks[1:])
    assert len(scene.of("escalation", trigger="kill_switch")) == 1


def test_a_snapshot_from_before_there_were_triggers_reads_as_a_fresh_watch() -> None:
    state = plain(first_state(Policy()))
    del state["watch"]
    assert restored(state).watch == Watch()
