"""The file that a running session leaves to be looked at; the test of its content is the desk's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chronicle import Chronicle

from hybridnb.app.home import Home, home
from hybridnb.app.live_view import live_rows, live_stamp
from hybridnb.app.status import Reader, read_status
from hybridnb.domain import SCALE

HELD = {
    **{"symbol": "A", "quantity": -50, "multiplier": 10, "cost": -50 * 10 * 20 * SCALE},
    **{"atr": 1.0, "stop": 22 * SCALE, "target": 15 * SCALE, "best": 20 * SCALE, "fees": 0},
    **{"decision_id": "d", "opened": "2040-01-02"},
}


def shown(where: Home, book: str, session: str, **values: Any) -> Path:
    """A session that shows a short position of 500 units at 21.0."""
    risk = {"mode": "DEMO", "state": "ACTIVE", "ordinal": 200, "brake": False, "killed": False}
    risk |= {"killed_since": "", "quarantine_until": 0, "locks": []}
    inside = {"cash": 0, "positions": {"A": HELD}, "sip_units": 0, "sip_carry": 0}
    row = {
        **{"book": book, "session": session, "at": "2040-01-02T15:00:00.000+00:00"},
        **{"equity": 100_000 * SCALE, "day_pnl": -0.02, "drawdown": 0.02},
        **{"prices": {"A": 21 * SCALE}, "buckets": {"A": "CORE"}},
        **{"snapshot": {"book": inside, "risk": risk, "peak": 0}},
    }
    path = where.folder("live") / f"{book}.json"
    path.write_text(json.dumps(row | values), encoding="utf-8")
    return path


def test_a_session_that_runs_is_what_its_book_shows() -> None:
    Chronicle().trade()
    assert [b["live"] for b in read_status()["books"]] == [False]
    shown(home(), "book", "2041-01-02")
    (book,) = read_status()["books"]
    assert (book["live"], book["session"]) == (True, "2041-01-02")
    assert book["as_of"] == "2040-01-02T15:00:00.000+00:00"
    (name,) = book["names"]
    assert (name["value"], name["share"], name["of_cap"]) == (-10_500.0, 0.105, 0.105 / 0.015)
    assert (name["entry"], name["pnl"], name["risk"]) == (20.0, -500.0, 0.005)
    assert (book["gross"], book["net"]) == (0.105, -0.105)
    loss = next(limit for limit in book["limits"] if limit["name"] == "day_loss")
    assert (loss["used"], loss["limit"], loss["share"], loss["warn"]) == (0.02, 0.025, 0.8, True)
    assert round(book["day_pnl_money"], 6) == round(100_000 - 100_000 / 0.98, 6)
    series = Reader().series("book")
    assert series["sessions"][-1] == "2041-01-02" and series["equity"][-1] == 100_000.0


def test_a_result_that_cant_be_computed_is_unknown_and_warned_of() -> None:
    shown(home(), "book", "2041-01-02", day_pnl=None)
    (book,) = read_status()["books"]
    assert book["day_pnl"] is None and book["day_pnl_money"] is None
    (loss,) = (limit for limit in book["limits"] if limit["name"] == "day_loss")
    assert (loss["used"], loss["share"], loss["warn"]) == (None, None, True)


def test_once_the_ledger_has_closed_the_session_the_file_says_nothing_more() -> None:
    book = Chronicle()
    book.trade()
    shown(home(), "book", book.session)
    assert [b["live"] for b in read_status()["books"]] == [False]


def test_what_is_no_view_is_passed_over_and_news_change_the_stamp(tmp_path: Path) -> None:
    where = Home(tmp_path)
    assert live_stamp(where) == 0 and live_rows(where, {}) == []
    path = shown(where, "book", "2041-01-02")
    first = live_stamp(where)
    for text in ("", "{", "[]", '"x"', "{}", '{"book": "b"}', "\x00"):
        path.write_text(text, encoding="utf-8")
        assert live_rows(where, {}) == []
    assert live_stamp(where) > first > 0
