"""Weekly report and self-assessment: known answers from known sessions, kept once written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pytest
from chronicle import LOSS, Chronicle
from click.testing import CliRunner

from hybridnb.app.alerts import acknowledge, alerts
from hybridnb.app.assessment_controls import evidence
from hybridnb.app.checklist import checklist
from hybridnb.app.cli import cli
from hybridnb.app.controls import CONTROLS
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import act
from hybridnb.app.period import Period, Span, week_to, year_to
from hybridnb.app.placing import FACTS
from hybridnb.app.reporting import self_assessment, weekly_report
from hybridnb.app.reports_index import write_reports_index
from hybridnb.errors import Refused, UsageError


@pytest.fixture
def book() -> Chronicle:
    """Twelve days in a row; the ninth is killed."""
    made = Chronicle()
    for n in range(12):
        made.trade(LOSS if n == 8 else 0.001)
    return made


def facts(done: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(done["report"]).with_name(FACTS).read_text("utf-8"))
    return found


@pytest.mark.parametrize(
    ("session", "week", "year"),
    [
        ("2024-03-01", ("2024-02-26", "2024-03-01"), ("2023-03-02", "2024-03-01")),
        ("2024-02-29", ("2024-02-26", "2024-02-29"), ("2023-03-01", "2024-02-29")),
        ("2024-01-01", ("2024-01-01", "2024-01-01"), ("2023-01-02", "2024-01-01")),
    ],
)
def test_a_week_begins_on_monday_and_a_year_is_twelve_months(
    session: str, week: tuple[str, str], year: tuple[str, str]
) -> None:
    assert week_to(session) == Span(*week)
    assert year_to(session) == Span(*year)


def test_rows_belong_to_their_session_else_to_their_time() -> None:
    ledger = open_ledger()
    ledger.append(
        "operations",
        [
            {"kind": "k", "n": 1, "session": "2024-03-01", "at": "2030-01-01T00:00:00+00:00"},
            {"kind": "k", "n": 2, "at": "2024-03-01T23:59:00+00:00"},
            {"kind": "k", "n": 3, "session": "2024-03-02", "at": "2024-03-01T00:00:00+00:00"},
            {"kind": "k", "n": 4},
        ],
    )
    found = Period(ledger, Span("2024-02-26", "2024-03-01")).operations("k")
    assert [row["n"] for row in found] == [1, 2]


def test_the_week_has_its_own_sessions_only(book: Chronicle) -> None:
    span = week_to(book.session)
    closed = [r for r in book.ledger.rows("session", kind="session_closed") if r["session"] in span]
    assert 0 < len(closed) < 12
    done = weekly_report()
    (found,) = facts(done)["books"]
    assert found["sessions"] == len(closed)
    start = closed[0]["equity"] / (1.0 + closed[0]["day_pnl"])
    assert found["pnl"] == pytest.approx(closed[-1]["equity"] / start - 1.0)
    assert found["kills"] == sum(row["snapshot"]["risk"]["killed"] for row in closed)
    assert found["service"]["Sharpe"]["passed"] is None, "too few sessions stay unknown"
    page = Path(done["report"]).read_text("utf-8")
    assert all(row["session"] in page for row in closed)
    assert "not enough evidence" in page and "none scheduled" in page and "Source: " in page


def test_a_report_is_written_once_and_never_again(book: Chronicle) -> None:
    first = weekly_report()
    before = {p: p.read_bytes() for p in Path(first["report"]).parent.iterdir()}
    act("halt", reason="something new")
    again = weekly_report()
    assert not first["reused"] and again["reused"]
    assert {p: p.read_bytes() for p in Path(again["report"]).parent.iterdir()} == before
    earlier = weekly_report(book.ledger.rows("session", kind="session_closed")[2]["session"])
    assert earlier["report"] != first["report"] and not earlier["reused"]


def test_what_cant_be_reported_is_told() -> None:
    with pytest.raises(Refused, match="no session"):
        weekly_report()
    with pytest.raises(UsageError, match="no date"):
        self_assessment("someday")
    assert CliRunner().invoke(cli, ["report", "--weekly", "--json"]).exit_code == 3


def test_the_checklist_answers_each_line_or_says_that_it_cant(book: Chronicle) -> None:
    period = Period(book.ledger, week_to(book.session))
    lines = {(line.session, line.what): line for line in checklist(period, "book")}
    last = book.session
    assert lines[last, "active model"].ok is False, "the chronicle trades without one"
    assert lines[last, "data quality"].ok is None, "and without bars"
    assert lines[last, "results so far"].ok is True
    assert lines[last, "verdict"].ok is None, "no gate was reviewed"
    assert lines[last, "feedback"].ok is None and lines[last, "jobs"].ok is None
    assert lines[last, "report"].ok is False
    killed = next(
        row["session"]
        for row in book.ledger.rows("session", kind="session_closed")
        if row["snapshot"]["risk"]["killed"]
    )
    assert lines[killed, "system"].ok is False
    day = Path(weekly_report()["report"]).parents[1]
    (day / "index.html").write_text("the day", encoding="utf-8")
    told = {(line.session, line.what): line.ok for line in checklist(period, "book")}
    assert told[last, "report"] is True


def test_t3_the_self_assessment_has_every_control_and_is_kept(book: Chronicle) -> None:
    act("cancel-all", reason="a test of the year")
    (first, *_) = alerts(book.ledger)
    acknowledge(first["id"], reason="seen")
    done = self_assessment()
    found = facts(done)
    assert list(found["controls"]) == [control.id for control in CONTROLS]
    assert all(each["evidence"] for each in found["controls"].values())
    assert all(each["result"] is None for each in found["controls"].values()), "none was tested"
    assert found["alerts"]["alerts"] == len(alerts(book.ledger))
    assert found["alerts"]["waiting"] == found["alerts"]["alerts"] - 1
    assert found["availability"][0]["availability"] == "100.00%"
    page = Path(done["report"]).read_text("utf-8")
    for control in CONTROLS:
        assert f">{control.id}<" in page and escape(control.what) in page
    assert "kill switch" in page and "not tested here" in page
    assert self_assessment()["reused"]


def test_every_control_has_its_evidence_from_the_ledger(book: Chronicle) -> None:
    told = evidence(Period(book.ledger, year_to(book.session)))
    assert set(told) == {control.id for control in CONTROLS}
    assert told["K3"].startswith("1 sessions killed")
    assert told["K1"] == "nothing of it happened in the period"
    assert told["P4"] == "no order in the period"


def test_sessions_that_were_missed_are_no_availability() -> None:
    book = Chronicle()
    book.trade(0.0)
    book.trade(0.0, skip=2)
    (month,) = facts(self_assessment())["availability"]
    assert (month["sessions held"], month["decided"]) == ("4", "2")
    assert month["availability"] == "50.00%"


def test_the_index_leads_to_every_page_that_is_whole(book: Chronicle, tmp_path: Path) -> None:
    weekly, yearly = weekly_report(), self_assessment()
    root = Path(weekly["index"]).parent
    odd = (f"{book.session}/.half.123", "notes", "2024-13")
    own = (f"{book.session}/drift_check", "2026-11-20-schedule/mine", "runs/mine-01234567")
    for name in (*odd, *own):
        (root / name).mkdir(parents=True)
        (root / name / "index.html").write_text("x", encoding="utf-8")
    text = write_reports_index(root).read_text("utf-8")
    for done in (weekly, yearly):
        assert f"href='{Path(done['report']).relative_to(root).as_posix()}'" in text
    for name in own:
        assert f"{name}/index.html" in text
    assert "half" not in text and "notes" not in text
    assert not list(root.glob(".index*"))
    assert "../../index.html" in Path(weekly["report"]).read_text("utf-8")
    assert "No report yet" in write_reports_index(tmp_path / "none").read_text("utf-8")


def test_strangers_words_are_shown_as_text() -> None:
    book = Chronicle()
    book.trade(0.0)
    book.ledger.append(
        "session",
        [
            {"kind": "alert", "book": "book", "session": book.session, "n": 99}
            | {"text": "<script>alert(1)</script> `code`"}
        ],
    )
    page = Path(weekly_report()["report"]).read_text("utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;" in page
