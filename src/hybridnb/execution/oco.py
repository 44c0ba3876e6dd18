"""How the two protective legs of one position bear on each other: four rules, in integers.

No objects, so that a compiled kernel calls the same functions: rules and legs are codes,
quantities are units without sign. Under every rule, after every event, the stop covers the
whole position, the target at most that, and an exit is never larger than what is held.

==========================  ==============================================================
FIRST_TRIGGERED_WINS        the leg that trades first shrinks the other by what it filled,
                            and so cancels it with its last unit
BOTH_MUST_TRIGGER           nothing trades before both levels were touched since the legs
                            were placed; the position is in danger until then: its stop
                            alone doesn't end it
PREFER_LIMIT                in a bar that reached both levels, in an order nobody knows, the
                            target goes first (the favourable guess; the default takes the
                            other)
ALLOW_PARTIAL_THEN_CANCEL   a partial fill of either leg cancels the rest of the target; the
                            stop stays with all that is left, so that no remainder is ever
                            without one, until an entry places both legs anew
==========================  ==============================================================
"""

from __future__ import annotations

from enum import StrEnum


class OcoRule(StrEnum):
    """How stop and target bear on each other; codes are the positions in this list."""

    FIRST_TRIGGERED_WINS = "FIRST_TRIGGERED_WINS"
    BOTH_MUST_TRIGGER = "BOTH_MUST_TRIGGER"
    PREFER_LIMIT = "PREFER_LIMIT"
    ALLOW_PARTIAL_THEN_CANCEL = "ALLOW_PARTIAL_THEN_CANCEL"

    @property
    def code(self) -> int:
        """The rule as the functions here take it."""
        return tuple(OcoRule).index(self)


FIRST, BOTH, LIMIT, PARTIAL = range(4)  # codes of the rules

# Codes of legs. As bits of `touched`, `seen` and `at_open`: STOP | TARGET is both.
NONE, STOP, TARGET = 0, 1, 2
EXIT, ENTRY = 4, 8  # fills that are no leg's: a decided or forced exit, an addition


def which_first(rule: int, touched: int, at_open: int, seen: int) -> int:
    """Which leg trades in a bar.

    Parameters
    ----------
    rule : int
        Code of an `OcoRule`.
    touched : int
        Bits of the legs whose level the bar reached, its open included.
    at_open : int
        Bits of the legs whose level the open had reached: they were first, beyond doubt.
    seen : int
        Bits of the legs that earlier bars had touched, see `remembered`; read by
        BOTH_MUST_TRIGGER alone.

    Returns
    -------
    int
        STOP, TARGET or NONE. Where a bar reached both levels inside its range the stop goes
        first, except under PREFER_LIMIT. BOTH_MUST_TRIGGER trades at the level that was touched
        second, at the stop where nobody knows which was; once both were, whichever is reached.
    """
    if rule == BOTH and seen != STOP | TARGET:
        if touched | seen != STOP | TARGET:
            return NONE
        if seen == STOP or (seen == NONE and at_open & STOP):
            return TARGET
        return STOP
    if touched & at_open & STOP:
        return STOP
    if touched & at_open & TARGET:
        return TARGET
    if touched & STOP and not (rule == LIMIT and touched & TARGET):
        return STOP
    return touched & TARGET


def remembered(seen: int, touched: int) -> int:
    """Bits of the legs touched so far; 0 again whenever an entry places the legs anew."""
    return seen | touched


def exitable(position: int, left: int, available: int) -> int:
    """Units of a leg that may trade: what it has left, what is held, what the bar offers.

    A negative `available` is a bar without volume figures: no limit.
    """
    most = min(position, left)
    if available >= 0:
        most = min(most, available)
    return max(most, 0)


def resize(rule: int, position: int, target: int, leg: int, filled: int) -> tuple[int, int, int]:
    """Position and legs after a fill.

    Parameters
    ----------
    rule : int
        Code of an `OcoRule`.
    position : int
        Units held before the fill; the stop had the same.
    target : int
        Units the target had left before the fill.
    leg : int
        STOP, TARGET, EXIT or ENTRY: whose fill it is.
    filled : int
        Its units, not negative.

    Returns
    -------
    tuple of int
        Units held, units left of the stop, units left of the target. Units held below zero mean
        that the venue filled more than was held: both legs are 0, and the excess must be
        alerted and traded back.
    """
    if filled <= 0:
        return position, max(position, 0), min(target, max(position, 0))
    if leg == ENTRY:
        return position + filled, position + filled, position + filled
    held = position - filled
    if held <= 0:
        return held, 0, 0
    if rule == PARTIAL and leg != EXIT:
        return held, held, 0
    if leg == TARGET:
        target -= filled
    return held, held, max(min(target, held), 0)
