"""The schedule's parameters: what is refused, and that what is shipped holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hybridnb.app.home import shipped
from hybridnb.app.schedule.actions import FUNCTIONS
from hybridnb.app.schedule.params import JobParams, ScheduleParams, read_schedule, rows, when
from hybridnb.errors import Missing, ParamsError

GOOD = {"name": "report", "kind": "function", "run": "doctor"}


def read(tmp_path: Path, values: Any) -> ScheduleParams:
    (tmp_path / "schedule.yml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return read_schedule(tmp_path, known=FUNCTIONS)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"nmae": "x"}, "job report: nmae = 'x' is not allowed; allowed keys: after, anchor"),
        ({"name": "Report"}, "pattern"),
        ({"name": "../report"}, "pattern"),
        ({"name": "x" * 64}, "pattern"),
        ({"run": "rm"}, "allowed: checkpoint, data_check"),
        ({"run": ""}, "run names"),
        ({"kind": "day"}, "run names"),
        ({"kind": "shell"}, "'day'"),
        ({"kind": "trade", "run": "paper"}, "needs a timeout"),
        ({"offset": 99_999}, "4320"),
        ({"sessions": "hourly"}, "weekly"),
        ({"catch_up": "some"}, "latest"),
        ({"attempts": 0}, "greater"),
        ({"backoff": float("nan")}, "finite"),
        ({"lease": 0}, "greater"),
        ({"timeout": float("inf")}, "finite"),
        ({"memory": 1}, "64"),
        ({"parameters": {"x": [1]}}, "valid"),
        ({"after": ["nothing"]}, "isn't listed above"),
        ({"after": ["report"]}, "isn't listed above"),
    ],
)
def test_a_wrong_job_is_refused_with_what_is_allowed(
    tmp_path: Path, job: dict[str, Any], words: str
) -> None:
    with pytest.raises(ParamsError, match=r"schedule\.yml") as caught:
        read(tmp_path, {"jobs": [GOOD | job]})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"calender": "XTSE"},
        {"start": "January"},
        {"lookahead": 0},
        {"every": 0},
        {"jobs": [GOOD, GOOD]},
        [1],
        "text",
    ],
)
def test_a_wrong_schedule_is_refused(tmp_path: Path, values: Any) -> None:
    with pytest.raises(ParamsError):
        read(tmp_path, values)


def test_a_date_may_stand_without_quotes(tmp_path: Path) -> None:
    (tmp_path / "schedule.yml").write_text("start: 2026-01-02\n", encoding="utf-8")
    assert read_schedule(tmp_path, known=()).start == "2026-01-02"


def test_without_a_file_nothing_is_scheduled_and_without_a_folder_it_is_missed(
    tmp_path: Path,
) -> None:
    assert read_schedule(tmp_path, known=()).jobs == ()
    with pytest.raises(Missing):
        read_schedule(tmp_path / "nowhere", known=())


def test_what_is_shipped_holds_the_nightly_work() -> None:
    found = read_schedule(shipped("params"), known=FUNCTIONS)
    by = {job.name: job for job in found.jobs}
    assert found.calendar == "XTSE"
    assert by["data_check"].anchor == "open" and by["data_check"].offset < 0
    assert by["session"].kind == "day" and by["session"].catch_up == "all"
    for name in ("drift_check", "checkpoint", "weekly_report", "self_assessment"):
        assert by[name].after == ("session",) and by[name].offset > by["session"].offset
    assert by["weekly_report"].sessions == "weekly" and by["self_assessment"].sessions == "yearly"


def test_an_offset_in_words() -> None:
    job = JobParams(**GOOD)
    assert when(job) == "at the close"
    early = job.model_copy(update={"anchor": "open", "offset": -60})
    assert when(early) == "open − 60 min"
    assert rows(ScheduleParams(jobs=(early,)))[0] == {
        "job": "report",
        "runs": "function doctor",
        "at": "open − 60 min",
        "sessions": "every",
        "catch_up": "all",
        "after": "",
        "attempts": 3,
    }
