"""How numbers, times and limits are written, and that nothing from outside becomes markup."""

from __future__ import annotations

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.dashboard import words

NOW = dt.datetime(2026, 11, 21, 22, 0, tzinfo=dt.UTC)


def plain(markup: words.Markup) -> str:
    return str(markup.striptags())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0123, "1.23%"),
        (-0.0123, "−1.23%"),
        (0.0, "0.00%"),
        (-0.000001, "0.00%"),
        (1.5, "150.00%"),
    ],
)
def test_shares_are_percent_with_a_true_minus(value: float, shown: str) -> None:
    assert plain(words.share(value)) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0123, "+1.23%"), (-0.0123, "−1.23%"), (0.0, "0.00%")]
)
def test_a_signed_share_says_plus_but_not_of_nothing(value: float, shown: str) -> None:
    assert plain(words.share(value, signed=True)) == shown


def test_money_has_thousands_and_its_currency() -> None:
    assert plain(words.money(1_002_415.29, "CAD")) == "1,002,415 CAD"
    assert plain(words.money(-12.5, places=2, signed=True)) == "−12.50"


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "3", True, [1]])
def test_what_is_no_number_is_unknown(value: object) -> None:
    assert words.number(value) == words.share(value) == words.money(value, "CAD") == words.UNKNOWN
    assert "unknown" in plain(words.UNKNOWN)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (95, "1 min 35 s"),
        (4 * 60 + 10, "4 min"),
        (3 * 3600, "3 h"),
        (3600 + 120, "1 h 2 min"),
        (2 * 86_400 + 3600, "2 d 1 h"),
        (400 * 86_400, "400 d"),
        (13 * 365 * 86_400, "13 y"),
    ],
)
def test_lengths_are_said_in_two_words_at_most(seconds: float, shown: str) -> None:
    assert words.length(seconds) == shown


def test_an_age_carries_its_time_for_the_page_to_count_on() -> None:
    shown = words.ago("2026-11-21T21:58:25+00:00", NOW)
    assert plain(shown) == "1 min 35 s"
    assert 'datetime="2026-11-21T21:58:25+00:00" data-age' in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2026-11-21T16:30:05-05:00", "21:30:05"),
        ("2026-02-03T16:30:05+00:00", "03 Feb 16:30"),
        ("2013-03-01T21:30:00+00:00", "2013-03-01 21:30"),
        ("2013-03-01", "2013-03-01"),
        ("not a time", "not a time"),
    ],
)
def test_a_moment_says_as_much_as_is_needed_in_utc(value: str, shown: str) -> None:
    assert plain(words.moment(value, NOW)) == shown


def test_a_gauge_is_as_wide_as_its_share_and_no_wider_than_its_limit() -> None:
    assert "width:25.0%" in words.gauge(0.25, label="x")
    over = words.gauge(1.7, state="bad", label="x")
    assert "width:100.0%" in over
    assert 'aria-valuenow="170"' in over
    assert "<i" not in words.gauge(None, label="x")


@given(st.text())
def test_no_text_becomes_markup(text: str) -> None:
    hostile = text + "<script>x</script>\"'&"
    shown = (
        *(words.words(hostile), words.mark("bad", "!", hostile), words.empty(hostile)),
        *(words.moment(hostile), words.money(1.0, hostile), words.gauge(0.5, label=hostile)),
        words.facts([(hostile, words.words(hostile))]),
        words.table([hostile], [[words.words(hostile)]], label=hostile),
    )
    for each in shown:
        assert "<script" not in each
        assert "&lt;script&gt;" in each
