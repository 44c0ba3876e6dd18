"""After failures in a row the frontier is left alone, then tried once."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.canonical import canonical
from hybridnb.domain import Outcome
from hybridnb.escalation.breaker import (
    Breaker,
    BreakerParams,
    Finished,
    answered_row,
    breaker,
    finished,
)
from hybridnb.ledger.store import Ledger

PARAMS = BreakerParams()
NOON = dt.datetime(2026, 3, 16, 16, tzinfo=dt.UTC)
OK, BAD = Outcome.OK, Outcome.SERVER_ERROR


def minute(minutes: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


def after(outcomes: Sequence[Outcome], minutes: float = 1) -> Breaker:
    """The breaker so long after the last of outcomes that came a minute apart."""
    attempts = [Finished(minute(i), o) for i, o in enumerate(outcomes)]
    return breaker(attempts, minute(len(outcomes) - 1 + minutes), params=PARAMS)


def test_three_failures_in_a_row_open_it() -> None:
    assert after([]) is after([BAD]) is after([BAD, BAD]) is Breaker.CLOSED
    assert after([BAD, BAD, BAD]) is Breaker.OPEN
    assert after([BAD, BAD, OK, BAD, BAD]) is Breaker.CLOSED


@pytest.mark.parametrize(("minutes", "expected"), [(29.99, Breaker.OPEN), (30, Breaker.HALF_OPEN)])
def test_it_is_half_open_after_thirty_minutes(minutes: float, expected: Breaker) -> None:
    assert after([BAD] * 3, minutes) is expected


def test_the_trial_decides() -> None:
    failed = [Finished(minute(i), BAD) for i in range(3)]
    good, bad = Finished(minute(40), OK), Finished(minute(40), BAD)
    assert breaker([*failed, good], minute(41), params=PARAMS) is Breaker.CLOSED
    assert breaker([*failed, bad], minute(41), params=PARAMS) is Breaker.OPEN
    assert breaker([*failed, bad], minute(70), params=PARAMS) is Breaker.HALF_OPEN


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in (OK, Outcome.TOO_LONG)])
def test_every_failure_of_the_frontier_counts(outcome: Outcome) -> None:
    assert after([outcome] * 3) is Breaker.OPEN


def test_a_question_that_is_too_long_says_nothing_of_the_server() -> None:
    assert after([Outcome.TOO_LONG] * 5) is Breaker.CLOSED
    assert after([BAD, BAD, Outcome.TOO_LONG, BAD]) is Breaker.OPEN


def test_a_ledger_gives_the_attempts_back(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", heads=tmp_path / "heads.json")
    made = [Finished(minute(i), o) for i, o in enumerate([BAD, OK, Outcome.TIMEOUT])]
    for i, one in enumerate(made):
        row = answered_row(f"a{i}", one.outcome, at=one.at, record={"model": "m"})
        ledger.append("operations", [{"kind": "note", "n": i}, row])
    assert finished(ledger.rows("operations")) == tuple(made)
    assert ledger.rows("operations", kind="frontier_answered", attempt="a1")[0]["model"] == "m"
    ledger.close()


def test_a_row_that_would_say_two_things_is_refused() -> None:
    with pytest.raises(ValueError, match="outcome"):
        answered_row("a", OK, at=NOON, record={"outcome": "ok"})
    with pytest.raises(ValueError, match="time zone"):
        answered_row("a", OK, at=dt.datetime(2026, 3, 16), record={})


@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from(list(Outcome))), max_size=12),
    st.integers(300, 400),
)
def test_the_order_of_rows_and_a_trip_through_json_change_nothing(
    made: list[tuple[int, Outcome]], now: int
) -> None:
    once = dict(made)  # one at a moment: ties have no order
    rows = [answered_row(str(a), o, at=minute(a), record={}) for a, o in once.items()]
    state = breaker(finished(rows), minute(now), params=PARAMS)
    again = [json.loads(canonical(row)) for row in reversed(rows)]
    assert breaker(finished(again), minute(now), params=PARAMS) is state
    counted = [once[a] for a in sorted(once) if once[a] is not Outcome.TOO_LONG]
    run = next((i for i, o in enumerate(reversed(counted)) if o is OK), len(counted))
    assert (state is Breaker.CLOSED) == (run < 3)
