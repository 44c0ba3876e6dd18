"""`params/schedule.yml`: which jobs run when, validated before anything does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hybridnb.app.settings import read_yaml
from hybridnb.errors import Missing, ParamsError
from hybridnb.policy import Params, validated

FILE = "schedule.yml"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Scalar = str | int | float | bool


class JobParams(Params):
    """One job of the schedule."""

    name: Name = Field(description="of the job, and of its folder under the reports")
    kind: Literal["day", "notebook", "trade", "function"] = Field(
        description="the main job, a notebook, a session through a broker, or a named function"
    )
    run: str = Field("", description="the notebook, broker or function; nothing for `day`")
    parameters: dict[Name, Scalar] = Field(
        default_factory=dict, description="handed over; in a notebook's, {session} is the session"
    )
    anchor: Literal["open", "close"] = Field("close", description="what the offset counts from")
    offset: int = Field(
        0, ge=-1440, le=4320, description="minutes after the anchor; negative: before"
    )
    sessions: Literal["every", "weekly", "monthly", "yearly"] = Field(
        "every", description="every session, or the last one of each week, month or year"
    )
    catch_up: Literal["all", "latest", "none"] = Field(
        "all", description="which missed sessions are made up for"
    )
    late: int = Field(
        60, ge=1, le=1440, description="with `none`: minutes after which a session is missed"
    )
    attempts: int = Field(3, ge=1, le=1000, description="failures after which it is given up")
    backoff: float = Field(
        60.0, ge=0, le=86_400, description="seconds before the next attempt; doubles each time"
    )
    lease: float = Field(
        60.0, ge=1, le=3_600, description="seconds a silent scheduler keeps a job for itself"
    )
    timeout: float = Field(3_600.0, ge=1, le=172_800, description="seconds an attempt may take")
    memory: int = Field(
        4_096, ge=64, le=1_048_576, description="MiB that its processes may hold together"
    )
    after: tuple[Name, ...] = Field((), description="jobs that must be done before, same session")

    @model_validator(mode="after")
    def _runs_something(self) -> JobParams:
        if (self.kind == "day") == bool(self.run):
            raise ValueError("run names what a notebook, trade or function job runs; not of `day`")
        if self.kind == "trade" and "timeout" not in self.model_fields_set:
            raise ValueError("a trade job needs a timeout that is longer than the session")
        return self


class ScheduleParams(Params):
    """`params/schedule.yml`."""

    calendar: str = Field("XTSE", description="exchange calendar: XTSE, XNYS, 24/7 …")
    start: str = Field(
        "",
        pattern=r"^(\d{4}-\d{2}-\d{2})?$",
        description="first session that is scheduled; empty: that of the first pass",
    )
    lookahead: int = Field(
        30, ge=1, le=180, description="days ahead that the calendar must know; else nothing runs"
    )
    every: float = Field(
        15.0, ge=0.1, le=3_600, description="seconds between passes of `hybridnb serve`"
    )
    recorded: frozenset[str] = Field(
        frozenset({"sample", "closes", "planted"}),
        description="feeds that ended in the past: where they have no bars, a job is skipped",
    )
    jobs: tuple[JobParams, ...] = Field((), description="in the order they are listed")

    @field_validator("start", mode="before")
    @classmethod
    def _date(cls, start: object) -> object:
        """YAML reads an unquoted date as one."""
        return start.isoformat() if isinstance(start, dt.date) else start

    @field_validator("jobs")
    @classmethod
    def _ordered(cls, jobs: tuple[JobParams, ...]) -> tuple[JobParams, ...]:
        """Names are unique, and a job comes after those that it waits for: no circle can be."""
        seen: dict[str, JobParams] = {}
        for job in jobs:
            if job.name in seen:
                raise ValueError(f"two jobs are called {job.name}")
            for other in job.after:
                if other not in seen:
                    raise ValueError(f"{job.name} waits for {other}, which isn't listed above it")
            seen[job.name] = job
        return jobs

    def job(self, name: str) -> JobParams | None:
        """A job by name; None where there is none (any more)."""
        return next((job for job in self.jobs if job.name == name), None)


def read_schedule(folder: Path, *, known: Collection[str]) -> ScheduleParams:
    """Read and check the schedule of a params folder; without a file nothing is scheduled.

    Parameters
    ----------
    folder : Path
    known : collection of str
        Names that a function job may take.

    Raises
    ------
    Missing
        When the folder isn't there.
    ParamsError
        For the first key that is unknown or out of range.
    """
    if not folder.is_dir():
        raise Missing(f"{folder} is no folder", remedy="Give --params a folder of YAML files.")
    values = read_yaml(folder / FILE)
    listed = values.get("jobs") if isinstance(values, dict) else None
    for n, each in enumerate(listed if isinstance(listed, list) else (), 1):
        name = each.get("name", n) if isinstance(each, dict) else n
        validated(JobParams, each, file=f"{FILE}, job {name}")  # its errors name its own keys
    found = validated(ScheduleParams, values, file=FILE)
    for job in found.jobs:
        if job.kind == "function" and job.run not in known:
            allowed = f"allowed: {', '.join(sorted(known))}"
            raise ParamsError(f"jobs.{job.name}.run", job.run, allowed, file=FILE)
    return found


def rows(schedule: ScheduleParams) -> list[dict[str, Any]]:
    """The jobs as rows of a table: name, what, when, which sessions, catch-up, after."""
    return [
        {
            "job": job.name,
            "runs": " ".join(filter(None, (job.kind, job.run))),
            "at": when(job),
            "sessions": _SPAN[job.sessions],
            "catch_up": job.catch_up,
            "after": ", ".join(job.after),
            "attempts": job.attempts,
        }
        for job in schedule.jobs
    ]


_SPAN = {
    "every": "every",
    "weekly": "last of the week",
    "monthly": "last of the month",
    "yearly": "last of the year",
}


def when(job: JobParams) -> str:
    """The offset in words: `close + 30 min`."""
    if not job.offset:
        return f"at the {job.anchor}"
    return f"{job.anchor} {'+' if job.offset > 0 else '−'} {abs(job.offset)} min"
