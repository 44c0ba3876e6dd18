"""Other facts: each says when it was known, none counts before, none is guessed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.errors import InputError
from hybridnb.market import calendar
from hybridnb.market.extra import (
    EVENTS,
    FRESH,
    LONGEST,
    Extra,
    digest,
    known_at,
    macro_events,
    put_call,
    read_extra,
    with_extra,
)
from hybridnb.market.feeds import FeedRequest, load_feed
from hybridnb.ports import MarketData

HEADER = "name,symbol,value,available_at\n"
# 2013-07-03 closes at 13:00 in New York, the days around it at 16:00; the 4th is no session.
SESSIONS = calendar.sessions("XNYS", "2013-06-28", "2013-07-16")
DAYS = [f"{day:%m-%d}" for day in SESSIONS]


def read(folder: Path, text: str) -> Extra:
    path = folder / "facts.csv"
    path.write_text(HEADER + text)
    return read_extra(path)


def ratios(facts: Extra) -> dict[str, float]:
    found = put_call(facts, SESSIONS, calendar="XNYS")
    return {day: v for day, v in zip(DAYS, found.tolist(), strict=True) if not math.isnan(v)}


def refused(folder: Path, text: str) -> list[tuple[int | None, str]]:
    with pytest.raises(InputError) as caught:
        read(folder, text)
    return [(b.row, b.rule) for b in caught.value.breaches]


# As of


def test_a_ratio_counts_from_the_first_close_at_or_after_its_time(tmp_path: Path) -> None:
    at = read(tmp_path, "put_call_ratio,,1.7,2013-07-03T13:00:00-04:00\n")
    after = read(tmp_path, "put_call_ratio,,1.7,2013-07-03T13:00:01-04:00\n")
    assert min(ratios(at)) == "07-03"
    assert min(ratios(after)) == "07-05"


def test_a_newer_ratio_takes_over_and_an_old_one_is_unknown(tmp_path: Path) -> None:
    facts = read(
        tmp_path,
        "put_call_ratio,,1.2,2013-07-02T15:00:00-04:00\n"
        "put_call_ratio,,0.9,2013-07-01T15:00:00-04:00\n"
        "put_call_ratio,,1.3,2013-07-02T15:30:00-04:00\n",
    )
    days = ["07-02", "07-03", "07-05", "07-08", "07-09", "07-10"]
    assert len(days) == FRESH + 1
    assert ratios(facts) == {"07-01": 0.9} | dict.fromkeys(days, 1.3)


def test_a_ratio_from_before_the_first_session_ages_from_where_it_was_known(tmp_path: Path) -> None:
    # 2013-06-21 and 06-20 are five and six sessions before the first asked for.
    assert ratios(read(tmp_path, "put_call_ratio,,1.1,2013-06-21T15:00:00-04:00\n")) == {
        "06-28": 1.1
    }
    assert ratios(read(tmp_path, "put_call_ratio,,1.1,2013-06-20T15:00:00-04:00\n")) == {}


def test_events_are_told_once_in_the_session_that_first_knows_them(tmp_path: Path) -> None:
    facts = read(
        tmp_path,
        "macro_event,,Rates are cut,2013-07-01T14:00:00-04:00\n"
        'macro_event,,"Jobs, weaker",2013-07-03T08:30:00-04:00\n'
        "macro_event,,A bank fails,2013-07-03T17:00:00-04:00\n"
        "macro_event,,Yields rise,2013-07-04T12:00:00-04:00\n",
    )
    found = dict(zip(DAYS, macro_events(facts, SESSIONS, calendar="XNYS"), strict=True))
    assert found["06-28"] is None  # nobody watched yet
    assert found["07-01"] == ("Rates are cut",)
    assert found["07-02"] == ()
    assert found["07-03"] == ("Jobs, weaker",)
    assert found["07-05"] == ("A bank fails", "Yields rise")
    assert set(list(found.values())[5:]) == {()}


def test_without_events_nobody_knows_whether_there_were_any(tmp_path: Path) -> None:
    facts = read(tmp_path, "put_call_ratio,,1.1,2013-07-01T15:00:00-04:00\n")
    assert macro_events(facts, SESSIONS, calendar="XNYS") == (None,) * len(SESSIONS)
    assert ratios(read(tmp_path, "macro_event,,Cut,2013-07-01T15:00:00-04:00\n")) == {}


def test_of_too_many_events_the_latest_are_told(tmp_path: Path) -> None:
    rows = [f"macro_event,,e{i},2013-07-01T10:{i:02}:00-04:00\n" for i in range(EVENTS + 5)]
    found = macro_events(read(tmp_path, "".join(rows)), SESSIONS, calendar="XNYS")[1]
    assert found == tuple(f"e{i}" for i in range(5, EVENTS + 5))


def test_what_acts_on_a_terminal_is_taken_out_and_long_texts_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "facts.parquet"
    texts = ["\x1b[31mred\u2028line\nend\x9f", "x" * (LONGEST + 1), "y" * LONGEST]
    stamps = pd.to_datetime(["2013-07-01T10:00Z", "2013-07-01T11:00Z", "2013-07-01T12:00Z"])
    frame = pd.DataFrame({"name": "macro_event", "symbol": "", "value": texts})
    frame.assign(available_at=stamps).to_parquet(path, index=False)
    found = read_extra(path).macro["text"].tolist()
    assert found == ["[31mred line end", "x" * (LONGEST - 1) + "…", "y" * LONGEST]


@given(
    hours=st.lists(st.integers(0, 24 * 18), min_size=1, max_size=12, unique=True),
    cut=st.integers(1, len(SESSIONS)),
)
def test_a_later_row_changes_nothing_before_it_was_known(hours: list[int], cut: int) -> None:
    start = pd.Timestamp("2013-06-27T12:00Z")
    stamps = pd.Series(sorted(start + pd.Timedelta(hours=h) for h in hours))
    facts = Extra(
        "facts.csv",
        pd.DataFrame({"value": np.arange(1.0, len(hours) + 1), "available_at": stamps}),
        pd.DataFrame({"text": [f"e{i}" for i in range(len(hours))], "available_at": stamps}),
        pd.DataFrame({"symbol": [], "text": [], "available_at": stamps[:0]}),
        pd.DataFrame({"symbol": [], "value": [], "available_at": stamps[:0]}),
    )
    seen = SESSIONS[:cut]
    early = known_at(facts, calendar.closes_at("XNYS", seen[-1]))
    whole = put_call(facts, SESSIONS, calendar="XNYS")[:cut]
    np.testing.assert_array_equal(put_call(early, seen, calendar="XNYS"), whole)
    told = macro_events(facts, SESSIONS, calendar="XNYS")[:cut]
    if len(early.macro):
        assert macro_events(early, seen, calendar="XNYS") == told
    else:
        assert set(told) == {None}


# Refused: file, row, rule


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("vix,,20,2013-07-01T15:00:00Z", "unknown name"),
        (",,20,2013-07-01T15:00:00Z", "unknown name"),
        ("put_call_ratio,,0,2013-07-01T15:00:00Z", "number above zero"),
        ("put_call_ratio,,-1.2,2013-07-01T15:00:00Z", "number above zero"),
        ("put_call_ratio,,inf,2013-07-01T15:00:00Z", "number above zero"),
        ("put_call_ratio,,,2013-07-01T15:00:00Z", "number above zero"),
        ('put_call_ratio,,"1,6",2013-07-01T15:00:00Z', "number above zero"),
        ("put_call_ratio,SPY,1.2,2013-07-01T15:00:00Z", "symbol of a fact of the whole market"),
        ("macro_event,AA,Cut,2013-07-01T15:00:00Z", "symbol of a fact of the whole market"),
        ("macro_event,, ,2013-07-01T15:00:00Z", "empty text"),
        ("headline,,Up,2013-07-01T15:00:00Z", "symbol"),
        ("headline,A B,Up,2013-07-01T15:00:00Z", "symbol"),
        ("headline,AA,,2013-07-01T15:00:00Z", "empty text"),
        ("dividend,AA,zero,2013-07-01T15:00:00Z", "number above zero"),
        ("dividend,,0.2,2013-07-01T15:00:00Z", "symbol"),
        ("macro_event,,Cut,2013-07-01T15:00:00", "time without a zone"),
        ("macro_event,,Cut,2013-07-01", "time without a zone"),
        ("macro_event,,Cut,yesterday", "unreadable time"),
        ("macro_event,,Cut,", "unreadable time"),
    ],
)
def test_a_broken_row_is_refused_with_its_line(row: str, rule: str, tmp_path: Path) -> None:
    good = "put_call_ratio,,1.1,2013-07-01T10:00:00Z\n"
    (line, told), *rest = refused(tmp_path, f"{good}{row}\n{good.replace('01T10', '02T10')}")
    assert (line, rest) == (3, [])
    assert told.startswith(rule)


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dividend, headline, macro_event, put_call_ratio"):
        read(tmp_path, "vix,,20,2013-07-01T15:00:00Z\n")


def test_two_ratios_of_one_moment_are_refused_however_it_is_written(tmp_path: Path) -> None:
    rows = (
        "put_call_ratio,,1.1,2013-07-01T16:00:00-04:00\n"
        "macro_event,,Cut,2013-07-01T20:00:00Z\n"
        "put_call_ratio,,1.2,2013-07-01T20:00:00Z\n"
    )
    assert refused(tmp_path, rows) == [(4, "two put/call ratios of one moment")]


def test_a_missing_and_a_doubled_column_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_text("name,value,value,available_at\nmacro_event,a,b,2013-07-01T15:00:00Z\n")
    with pytest.raises(InputError) as caught:
        read_extra(path)
    assert {b.rule for b in caught.value.breaches} == {"missing column", "duplicate column"}


# What else the file gives


def test_headlines_of_the_file_stand_beside_the_feed_s_own(tmp_path: Path) -> None:
    facts = read(
        tmp_path,
        "headline,ibm,Up,2013-02-01T15:00:00Z\nheadline,GOOG,Down,2013-01-31T15:00:00Z\n"
        "dividend,IBM,0.85,2013-01-30T15:00:00Z\n",
    )
    assert facts.headlines[["symbol", "text"]].to_numpy().tolist() == [
        ["GOOG", "Down"],
        ["IBM", "Up"],
    ]
    assert facts.dividends[["symbol", "value"]].to_numpy().tolist() == [["IBM", 0.85]]
    market = sample()
    joined = with_extra(market, facts)
    assert joined.headlines is facts.headlines
    assert joined.notes[-1] == "1 dividends of facts.csv were checked; no price is adjusted by them"
    twice = with_extra(joined, facts)
    assert twice.headlines is not None
    assert twice.headlines["text"].tolist() == ["Down", "Down", "Up", "Up"]
    assert with_extra(market, read(tmp_path, "macro_event,,a,2013-02-01T15:00:00Z\n")) is market


def sample() -> MarketData:
    return load_feed("sample", FeedRequest(seed=1))


def test_the_digest_is_of_the_values_and_not_of_their_order_or_file(tmp_path: Path) -> None:
    rows = [
        "put_call_ratio,,1.10,2013-07-01T16:00:00-04:00\n",
        "macro_event,,Cut,2013-07-02T20:00:00Z\n",
    ]
    one, other = read(tmp_path, "".join(rows)), read(tmp_path, "".join(reversed(rows)))
    assert digest(one) == digest(other)
    same = read(tmp_path, rows[1] + "put_call_ratio,,1.1,2013-07-01T20:00:00Z\n")
    assert digest(same) == digest(one)
    assert digest(read(tmp_path, rows[0])) != digest(one)
    assert digest(known_at(one, pd.Timestamp("2013-07-01T20:00Z"))) == digest(
        read(tmp_path, rows[0])
    )
