"""The four rules of a protective pair: every bar there can be, then random lives of a position."""

from __future__ import annotations

import datetime as dt
import json
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.book import Book, apply_fill
from hybridnb.domain import Bar, Fill, Side
from hybridnb.domain import Leg as DomainLeg
from hybridnb.execution.oco import (
    BOTH,
    ENTRY,
    EXIT,
    FIRST,
    LIMIT,
    NONE,
    PARTIAL,
    STOP,
    TARGET,
    OcoRule,
    exitable,
    remembered,
    resize,
    which_first,
)
from hybridnb.fills import LEG, limit_reference, protective_fill, stop_reference

RULES = [FIRST, BOTH, LIMIT, PARTIAL]
# Levels reached in a bar, and which of them the open had reached: never both at once.
BARS = [(t, o) for t in range(4) for o in (NONE, STOP, TARGET) if o & t == o]


def test_the_codes_are_the_places_in_the_list() -> None:
    assert [rule.code for rule in OcoRule] == RULES
    assert [rule.value for rule in OcoRule] == [
        "FIRST_TRIGGERED_WINS",
        "BOTH_MUST_TRIGGER",
        "PREFER_LIMIT",
        "ALLOW_PARTIAL_THEN_CANCEL",
    ]


# --- which leg trades -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "touched", "at_open", "seen", "leg"),
    [
        (FIRST, STOP | TARGET, NONE, NONE, STOP),
        (FIRST, STOP | TARGET, TARGET, NONE, TARGET),
        (PARTIAL, STOP | TARGET, NONE, NONE, STOP),
        (PARTIAL, STOP | TARGET, TARGET, NONE, TARGET),
        (LIMIT, STOP | TARGET, NONE, NONE, TARGET),
        (LIMIT, STOP | TARGET, STOP, NONE, STOP),  # it gapped through the stop: no guess
        (LIMIT, STOP, NONE, NONE, STOP),
        (BOTH, STOP, STOP, NONE, NONE),
        (BOTH, TARGET, NONE, TARGET, NONE),
        (BOTH, TARGET, NONE, STOP, TARGET),
        (BOTH, STOP, NONE, TARGET, STOP),
        (BOTH, STOP | TARGET, NONE, STOP, TARGET),
        (BOTH, STOP | TARGET, NONE, NONE, STOP),
        (BOTH, STOP | TARGET, STOP, NONE, TARGET),
        (BOTH, STOP | TARGET, TARGET, NONE, STOP),
        (BOTH, NONE, NONE, STOP | TARGET, NONE),
        (BOTH, TARGET, NONE, STOP | TARGET, TARGET),
    ],
)
def test_known_bars(rule: int, touched: int, at_open: int, seen: int, leg: int) -> None:
    assert which_first(rule, touched, at_open, seen) == leg


def possible(rule: int, touched: int, at_open: int, seen: int) -> set[int]:
    """Legs that could trade, one for each path of prices that the bar allows."""
    legs = [leg for leg in (STOP, TARGET) if touched & leg]
    found = set()
    for path in permutations(legs):
        if at_open and path[0] != at_open:
            continue
        so_far, leg = seen, NONE
        for level in path:
            so_far |= level
            if leg == NONE and (rule != BOTH or so_far == STOP | TARGET):
                leg = level
        found.add(leg)
    return found


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bar", BARS)
@pytest.mark.parametrize("seen", range(4))
def test_what_is_certain_is_followed_and_only_the_rest_is_assumed(
    rule: int, bar: tuple[int, int], seen: int
) -> None:
    touched, at_open = bar
    legs = possible(rule, touched, at_open, seen)
    expected = legs.pop() if len(legs) == 1 else TARGET if rule == LIMIT else STOP
    assert which_first(rule, touched, at_open, seen) == expected


PRICES = st.integers(1, 60)


@given(prices=st.lists(PRICES, min_size=4, max_size=4), stop=PRICES, gap=st.integers(1, 40), up=...)
def test_the_default_is_the_rule_of_the_paper_venue(
    prices: list[int], stop: int, gap: int, up: bool
) -> None:
    """Long and short, gaps and ranges: the same leg as `fills.protective_fill`."""
    bar = Bar("A", dt.date(2013, 3, 1), prices[0], max(prices), min(prices), prices[1], 1)
    sign, target = (-1, stop + gap) if up else (1, stop - gap)
    touched = STOP if stop_reference(bar, stop, sign) else NONE
    touched |= TARGET if limit_reference(bar, target, sign) else NONE
    at_open = STOP if (bar.open - stop) * sign >= 0 else NONE
    at_open |= TARGET if (bar.open - target) * sign <= 0 else NONE
    hit = protective_fill(bar, stop, target, sign)[0]
    legs = {0: NONE, LEG[DomainLeg.STOP]: STOP, LEG[DomainLeg.TARGET]: TARGET}
    assert which_first(FIRST, touched, at_open, NONE) == legs[hit]


def test_touches_are_remembered() -> None:
    assert remembered(NONE, STOP) == STOP
    assert remembered(STOP, TARGET) == STOP | TARGET
    assert remembered(STOP, NONE) == STOP


# --- how the legs are resized -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "leg", "filled", "after"),
    [
        *((rule, STOP, 30, (70, 70, 70)) for rule in (FIRST, BOTH, LIMIT)),
        *((rule, TARGET, 30, (70, 70, 70)) for rule in (FIRST, BOTH, LIMIT)),
        (PARTIAL, TARGET, 30, (70, 70, 0)),
        (PARTIAL, STOP, 30, (70, 70, 0)),
        *((rule, EXIT, 30, (70, 70, 70)) for rule in RULES),
        *((rule, ENTRY, 30, (130, 130, 130)) for rule in RULES),
        *((rule, leg, 100, (0, 0, 0)) for rule in RULES for leg in (STOP, TARGET, EXIT)),
        *((rule, leg, 0, (100, 100, 100)) for rule in RULES for leg in (STOP, TARGET, ENTRY)),
        # More than was held: nothing is left to protect, and the excess is told.
        *((rule, leg, 120, (-20, 0, 0)) for rule in RULES for leg in (STOP, TARGET, EXIT)),
    ],
)
def test_known_fills(rule: int, leg: int, filled: int, after: tuple[int, int, int]) -> None:
    assert resize(rule, 100, 100, leg, filled) == after


@pytest.mark.parametrize("rule", RULES)
def test_a_cancelled_or_smaller_target_stays_so_until_an_entry(rule: int) -> None:
    assert resize(rule, 100, 0, STOP, 30) == (70, 70, 0)
    assert resize(rule, 100, 0, EXIT, 30) == (70, 70, 0)
    assert resize(rule, 100, 20, EXIT, 30) == (70, 70, 20)
    assert resize(rule, 100, 20, TARGET, 5)[2] == (0 if rule == PARTIAL else 15)
    assert resize(rule, 100, 20, TARGET, 20) == (80, 80, 0)
    assert resize(rule, 100, 0, ENTRY, 30) == (130, 130, 130)


@pytest.mark.parametrize(
    ("position", "left", "available", "units"),
    [
        (100, 100, 30, 30),
        (100, 40, 90, 40),
        (40, 100, 90, 40),
        (100, 100, 0, 0),
        (100, 100, -1, 100),
        (-20, 10, 5, 0),
    ],
)
def test_an_exit_is_at_most_what_is_held_left_and_offered(
    position: int, left: int, available: int, units: int
) -> None:
    assert exitable(position, left, available) == units


def test_compiled_they_give_the_same() -> None:
    numba = pytest.importorskip("numba")
    first, fit, take = numba.njit(which_first), numba.njit(resize), numba.njit(exitable)
    for rule, (touched, at_open), seen in product(RULES, BARS, range(4)):
        bar = rule, touched, at_open, seen
        assert first(*bar) == which_first(*bar)
    for rule, leg, filled, target in product(
        RULES, (STOP, TARGET, EXIT, ENTRY), (0, 3, 7, 9), (0, 7)
    ):
        event = rule, 7, target, leg, filled
        assert fit(*event) == resize(*event)
    for case in product((-1, 0, 5), (0, 5, 9), (-1, 0, 3)):
        assert take(*case) == exitable(*case)


# --- the life of a position -------------------------------------------------------------------


@given(rule=st.sampled_from(RULES), data=st.data())
def test_the_stop_covers_the_position_and_exits_never_exceed_it(
    rule: int, data: st.DataObject
) -> None:
    """Entries in pieces, bars that touch what they like, thin volume, other exits, restarts."""
    book, position, stop, target, seen = Book(cash=10**9), 0, 0, 0, NONE
    bought = sold = paid = 0
    cancelled = False
    for step in range(data.draw(st.integers(1, 20))):
        event = data.draw(st.sampled_from(["entry", "bar", "bar", "bar", "exit"]))
        leg, units = NONE, 0
        if event == "entry":
            leg, units = ENTRY, data.draw(st.integers(1, 50))
        elif event == "exit":
            leg, units = EXIT, exitable(position, position, data.draw(st.integers(0, 60)))
        elif position:
            touched, at_open = data.draw(st.sampled_from(BARS))
            # A target that was withdrawn can't be reached.
            reached = touched if target else touched & ~TARGET
            leg = which_first(rule, reached, at_open & reached, seen)
            assert leg & ~reached == 0
            seen = remembered(seen, reached)
            assert rule != BOTH or leg == NONE or seen == STOP | TARGET
            left = stop if leg == STOP else target
            units = exitable(position, left, data.draw(st.integers(-1, 60))) if leg else 0
        if units == 0:
            continue
        price = data.draw(st.integers(1, 10**6))
        side = Side.BUY if leg == ENTRY else Side.SELL
        why = {STOP: DomainLeg.STOP, TARGET: DomainLeg.TARGET, ENTRY: DomainLeg.ENTRY}
        one = Fill(
            str(step), "c", "A", side, why.get(leg, DomainLeg.EXIT), units, price, price, 0, 0, "t"
        )
        # The book refuses an exit beyond the position: it would raise.
        book, _ = apply_fill(book, one, atr=1.0, multiplier=1, decision_id="d", at="t")
        position, stop, target = json.loads(
            json.dumps(resize(rule, position, target, leg, units))
        )  # a restart goes on from plain numbers
        bought, sold = bought + units * (leg == ENTRY), sold + units * (leg != ENTRY)
        paid += side.sign * units * price
        if leg == ENTRY or not position:
            seen, cancelled = NONE, False
        elif leg in (STOP, TARGET):
            cancelled = cancelled or rule == PARTIAL
        held = book.positions["A"].quantity if "A" in book.positions else 0
        assert position == held == stop == bought - sold
        assert target == (0 if cancelled else position)
        assert book.cash == 10**9 - paid
