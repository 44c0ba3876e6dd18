"""Headlines: none without a time of its own, none before its time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.errors import InputError
from hybridnb.market import calendar
from hybridnb.market.news import read_headlines, sentiment

GOOD = "Profit soars, an excellent and wonderful quarter"
BAD = "Fraud, losses and a terrible disaster"
DULL = "The company moves its office"
HEADER = "symbol,text,available_at\n"
# 2013-07-03 closes at 13:00 in New York, the days around it at 16:00; the 4th is no session.
SESSIONS = calendar.sessions("XNYS", "2013-06-28", "2013-07-12")


def headlines(*rows: tuple[str, str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["symbol", "text", "available_at"])
    return frame.assign(available_at=pd.to_datetime(frame["available_at"], utc=True))


def scores(
    news: pd.DataFrame, *, symbols: tuple[str, ...] = ("AA", "BB"), code: str = "XNYS"
) -> dict[tuple[str, str], float]:
    found = sentiment(news, SESSIONS, symbols, calendar=code)
    assert list(found.columns) == ["symbol", "session", "sentiment"]
    keys = zip(found["symbol"], found["session"].dt.strftime("%m-%d"), strict=True)
    return dict(zip(keys, found["sentiment"].tolist(), strict=True))


def days(news: pd.DataFrame) -> list[str]:
    return [day for _, day in scores(news)]


# As of


def test_a_headline_at_the_close_counts_and_a_second_later_it_waits_for_the_next() -> None:
    assert days(headlines(("AA", GOOD, "2013-07-01T16:00:00-04:00"))) == ["07-01", "07-02", "07-03"]
    assert days(headlines(("AA", GOOD, "2013-07-01T16:00:01-04:00"))) == ["07-02", "07-03", "07-05"]


def test_the_close_is_the_early_one_where_the_exchange_closes_early() -> None:
    assert days(headlines(("AA", GOOD, "2013-07-03T13:00:00-04:00")))[0] == "07-03"
    assert days(headlines(("AA", GOOD, "2013-07-03T13:00:01-04:00")))[0] == "07-05"


def test_a_weekend_s_headline_counts_from_monday() -> None:
    assert days(headlines(("AA", GOOD, "2013-07-06T09:00:00Z"))) == ["07-08", "07-09", "07-10"]


@pytest.mark.parametrize("stamp", ["2013-07-01T16:00:01-04:00", "2013-07-01T20:00:01+00:00"])
def test_the_zone_of_the_stamp_is_only_a_way_to_write_it(stamp: str) -> None:
    assert days(headlines(("AA", GOOD, stamp)))[0] == "07-02"


def test_markets_that_never_close_end_their_day_at_midnight() -> None:
    news = headlines(("AA", GOOD, "2013-07-02T00:00:00Z"), ("BB", GOOD, "2013-07-02T00:00:01Z"))
    found = scores(news, code="24/7")
    assert min(day for symbol, day in found if symbol == "AA") == "07-01"
    assert min(day for symbol, day in found if symbol == "BB") == "07-02"


def test_a_headline_from_before_the_first_session_counts_for_what_is_left_of_its_three() -> None:
    """2013-06-28 is the first session asked for, a Friday."""
    assert days(headlines(("AA", GOOD, "2013-06-28T10:00:00-04:00"))) == ["06-28", "07-01", "07-02"]
    assert days(headlines(("AA", GOOD, "2013-06-27T10:00:00-04:00"))) == ["06-28", "07-01"]
    assert days(headlines(("AA", GOOD, "2013-06-26T10:00:00-04:00"))) == ["06-28"]
    assert days(headlines(("AA", GOOD, "2013-06-25T10:00:00-04:00"))) == []
    assert days(headlines(("AA", GOOD, "1995-03-01T10:00:00-05:00"))) == []


def test_a_headline_from_after_the_last_session_counts_in_none() -> None:
    assert days(headlines(("AA", GOOD, "2013-07-12T15:00:00-04:00"))) == ["07-12"]
    assert days(headlines(("AA", GOOD, "2013-07-12T16:00:01-04:00"))) == []
    assert days(headlines(("AA", GOOD, "2031-01-01T00:00:00Z"))) == []


@pytest.fixture(scope="module")
def alone() -> dict[str, float]:
    """The score of each text by itself."""
    at = "2013-07-01T10:00:00-04:00"
    return {
        text: scores(headlines(("AA", text, at)))[("AA", "07-01")] for text in (GOOD, BAD, DULL)
    }


@pytest.fixture(scope="module")
def closes() -> pd.Series:
    """When each session closes, from three sessions before the first one asked for."""
    every = calendar.sessions("XNYS", "2013-06-25", SESSIONS[-1])
    return pd.Series([calendar.closes_at("XNYS", s) for s in every], index=every)


@given(
    hours=st.lists(st.integers(-24 * 20, 24 * 30), min_size=1, max_size=12),
    texts=st.lists(st.sampled_from([GOOD, BAD, DULL]), min_size=12, max_size=12),
)
def test_a_session_knows_the_headlines_of_its_last_three_and_no_other(
    alone: dict[str, float], closes: pd.Series, hours: list[int], texts: list[str]
) -> None:
    """Against the definition, session by session; whole hours meet the closes themselves."""
    start = pd.Timestamp("2013-06-28T16:00:00-04:00")
    stamps = [start + pd.Timedelta(hours=h) for h in hours]
    rows = list(zip(texts, stamps, strict=False))
    found = scores(headlines(*(("AA", text, stamp.isoformat()) for text, stamp in rows)))
    for i, session in enumerate(SESSIONS):
        after, until = closes.iloc[i], closes.iloc[i + 3]
        known = [alone[text] for text, stamp in rows if after < stamp <= until]
        key = ("AA", f"{session:%m-%d}")
        assert (key in found) == bool(known)
        if known:
            assert found[key] == pytest.approx(np.mean(known))


# Scores


def test_the_lexicon_knows_good_from_bad() -> None:
    """Known answers of VADER 3.3.2: the words' valences, normalised by √(sum² + 15)."""
    at = "2013-07-01T10:00:00-04:00"
    found = scores(headlines(("AA", GOOD, at), ("BB", BAD, at)))
    assert found[("AA", "07-01")] > 0.8
    assert found[("BB", "07-01")] < -0.8
    assert scores(headlines(("AA", DULL, at)))[("AA", "07-01")] == 0.0
    # "good" has a valence of 1.9: 1.9 / √(1.9² + 15).
    assert scores(headlines(("AA", "good", at)))[("AA", "07-01")] == round(1.9 / np.sqrt(18.61), 4)


def test_headlines_of_a_symbol_are_averaged_and_those_of_others_left_out() -> None:
    at = "2013-07-01T10:00:00-04:00"
    good, bad = (scores(headlines(("AA", t, at)))[("AA", "07-01")] for t in (GOOD, BAD))
    news = headlines(
        ("AA", GOOD, at), ("AA", BAD, "2013-07-02T10:00:00-04:00"), ("BB", BAD, at), ("CC", BAD, at)
    )
    found = scores(news)
    assert {symbol for symbol, _ in found} == {"AA", "BB"}
    assert found[("AA", "07-01")] == good
    assert found[("AA", "07-02")] == pytest.approx((good + bad) / 2)
    assert found[("AA", "07-05")] == bad


def test_without_headlines_there_is_no_row_and_the_types_hold() -> None:
    filled = sentiment(
        headlines(("AA", GOOD, "2013-07-01T10:00:00Z")), SESSIONS, ["AA"], calendar="XNYS"
    )
    for news in (
        headlines(("CC", GOOD, "2013-07-01T10:00:00Z")),
        headlines(("AA", GOOD, "1999-01-04T10:00:00Z")),
    ):
        empty = sentiment(news, SESSIONS, ["AA"], calendar="XNYS")
        assert empty.empty
        assert empty.dtypes["session"] == filled.dtypes["session"]
        assert empty.dtypes["sentiment"] == filled.dtypes["sentiment"]


def test_a_headline_that_does_not_say_when_it_was_known_is_refused() -> None:
    news = headlines(("AA", GOOD, "2013-07-01T10:00:00Z"), ("BB", BAD, "2013-07-02T10:00:00Z"))
    at = news["available_at"]
    for broken in (
        news.drop(columns="available_at"),
        news.assign(available_at=at.dt.tz_localize(None)),
        news.assign(available_at=at.where(news["symbol"] == "AA")),
    ):
        with pytest.raises(InputError) as refused:
            sentiment(broken, SESSIONS, ["AA", "BB"], calendar="XNYS")
        assert refused.value.breaches[0].rule == "available_at"


# Files


def write(folder: Path, text: str) -> Path:
    path = folder / "news.csv"
    path.write_text(text, encoding="utf-8")
    return path


def rules(path: Path) -> list[tuple[int | None, str]]:
    with pytest.raises(InputError) as refused:
        read_headlines(path)
    assert {b.file for b in refused.value.breaches} == {path.name}
    return [(b.row, b.rule) for b in refused.value.breaches]


def test_headlines_come_sorted_by_time_in_utc(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "Available_At, Symbol ,TEXT,source\n"
        '2013-07-02T10:00:00-04:00,bb,"Losses, and fraud",x\n'
        "2013-07-01 23:30:00.5+02:00, aa , Profit ,y\n",
    )
    found = read_headlines(path)
    assert list(found.columns) == ["symbol", "text", "available_at"]
    assert found["symbol"].tolist() == ["AA", "BB"]
    assert found["text"].tolist() == ["Profit", "Losses, and fraud"]
    assert found["available_at"].tolist() == [
        pd.Timestamp("2013-07-01T21:30:00.5Z"),
        pd.Timestamp("2013-07-02T14:00:00Z"),
    ]


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    news = headlines(("AA", GOOD, "2013-07-01T10:00:00Z"), ("BB", BAD, "2013-07-02T10:00:00Z"))
    local = news.assign(available_at=news["available_at"].dt.tz_convert("America/New_York"))
    local.to_parquet(tmp_path / "news.parquet")
    news.to_csv(tmp_path / "news.csv", index=False)
    found, other = (read_headlines(tmp_path / f"news.{kind}") for kind in ("parquet", "csv"))
    pd.testing.assert_frame_equal(found, other)
    pd.testing.assert_series_equal(found["available_at"], news["available_at"])


@pytest.mark.parametrize("missing", ["symbol", "text", "available_at"])
def test_a_missing_column_is_named(missing: str, tmp_path: Path) -> None:
    news = headlines(("AA", GOOD, "2013-07-01T10:00:00Z")).drop(columns=missing)
    path = tmp_path / "news.csv"
    news.to_csv(path, index=False)
    assert rules(path) == [(None, "missing column")]
    with pytest.raises(InputError, match=f"no {missing} column"):
        read_headlines(path)


def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "symbol,Text,text,available_at\nAA,x,y,2013-07-01T10:00Z\n")
    assert rules(path) == [(None, "duplicate column")]


@pytest.mark.parametrize(
    ("stamp", "rule"),
    [
        ("", "unreadable time"),
        ("soon", "unreadable time"),
        ("now", "unreadable time"),
        ("10:00+00:00", "unreadable time"),  # a time of no day: never today's
        ("5 Jan 10:00 UTC", "unreadable time"),  # a day of no year
        ("2013-02-30T10:00:00Z", "unreadable time"),
        ("2013-07-01T25:00:00Z", "unreadable time"),
        ("1372672800", "unreadable time"),
        ("2013-07-01T10:00:00", "time without a zone"),
        ("2013-07-01 10:00", "time without a zone"),
        ("2013-07-01", "time without a zone"),
    ],
)
def test_a_time_is_whole_and_has_a_zone(stamp: str, rule: str, tmp_path: Path) -> None:
    good = "AA,Profit,2013-07-01T10:00:00Z\n"
    assert rules(write(tmp_path, f"{HEADER}{good}BB,Loss,{stamp}\n{good}")) == [(3, rule)]


@pytest.mark.parametrize("text", ["", "  ", '" "'])
def test_an_empty_headline_is_refused_with_its_line(text: str, tmp_path: Path) -> None:
    body = f"AA,Profit,2013-07-01T10:00Z\n\nBB,{text},2013-07-01T10:00Z\n"
    assert rules(write(tmp_path, HEADER + body)) == [(4, "empty text")]


@pytest.mark.parametrize("symbol", ["", " ", "two words", "é"])
def test_a_headline_of_no_symbol_is_refused(symbol: str, tmp_path: Path) -> None:
    assert rules(write(tmp_path, f"{HEADER}{symbol},Profit,2013-07-01T10:00Z\n")) == [(2, "symbol")]


def test_every_breach_is_named_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEADER}AA,,soon\n,Profit,2013-07-01T10:00Z\nBB,Loss,2013-07-01\n")
    assert rules(path) == [
        (2, "empty text"),
        (2, "unreadable time"),
        (3, "symbol"),
        (4, "time without a zone"),
    ]


def test_parquet_without_a_value_or_a_zone_is_refused(tmp_path: Path) -> None:
    news = headlines(("AA", GOOD, "2013-07-01T10:00:00Z"), ("BB", BAD, "2013-07-02T10:00:00Z"))
    at, first = news["available_at"], news["symbol"] == "AA"
    path = tmp_path / "news.parquet"
    for broken, expected in (
        (news.assign(text=news["text"].where(first, None)), [(2, "empty text")]),
        (news.assign(symbol=news["symbol"].where(first, None)), [(2, "symbol")]),
        (news.assign(available_at=at.where(first)), [(2, "unreadable time")]),
        (
            news.assign(available_at=at.dt.tz_localize(None)),
            [(1, "time without a zone"), (2, "time without a zone")],
        ),
        (
            news.assign(available_at=at.astype("int64")),
            [(1, "unreadable time"), (2, "unreadable time")],
        ),
    ):
        broken.to_parquet(path)
        assert rules(path) == expected


def test_a_file_that_is_not_there_or_has_nothing_in_it(tmp_path: Path) -> None:
    assert rules(tmp_path / "none.csv") == [(None, "unreadable file")]
    assert rules(write(tmp_path, HEADER)) == [(None, "empty")]
