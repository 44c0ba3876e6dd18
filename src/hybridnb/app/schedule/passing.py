"""Passes over the schedule: one for cron, systemd or Airflow; many for a server.

A pass makes the table hold what should exist by now, and runs what is due and free, one job after
another. Any number of schedulers may pass at the same time: each slot is claimed by one.
"""

from __future__ import annotations

import datetime as dt
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybridnb.app.frontier import alerted
from hybridnb.app.home import shipped
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.logs import about, event
from hybridnb.app.progress import Say
from hybridnb.app.schedule.actions import FUNCTIONS
from hybridnb.app.schedule.params import JobParams, read_schedule
from hybridnb.app.schedule.reconcile import REMOVED, iso, reconcile, starts_of, waits_for
from hybridnb.app.schedule.running import Ended, Worker, claim, outcome_path, run_slot
from hybridnb.errors import CheckFailed, UsageError
from hybridnb.ledger import slots
from hybridnb.ledger.slots import ENDED, Slot
from hybridnb.ledger.store import Ledger

INTERRUPTED = 20  # attempts cut short with their scheduler after which a job is given up
Clock = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """The wall clock, in UTC."""
    return dt.datetime.now(dt.UTC)


def opened(params: str = "", *, stop: threading.Event | None = None, **more: Any) -> Worker:
    """A scheduler on the home in force.

    Parameters
    ----------
    params : str
        Folder of parameters; empty for the shipped ones.
    stop : threading.Event, optional
        Set, a running job is given up.
    **more
        `program` and `ledger`, in place of the product's own.
    """
    schedule = read_schedule(Path(params) if params else shipped("params"), known=FUNCTIONS)
    values: dict[str, Any] = {"ledger": open_ledger(), "schedule": schedule, "params": params}
    values |= {"owner": f"{socket.gethostname()[:20]}-{os.getpid()}"}
    return Worker(**values | {"stop": stop or threading.Event()} | more)


def one_pass(worker: Worker, clock: Clock, *, say: Say) -> dict[str, Any]:
    """Reconcile, then run what is due until nothing more is.

    Parameters
    ----------
    worker : Worker
    clock : callable
        The time by which things are due; asked again before each job.
    say : callable
        Gets a line a job.

    Returns
    -------
    dict
        at, ran [{job, session, status, seconds, report, error}], waiting (rows left due), failed
        [{job, session, error}]: those given up in this pass.

    Raises
    ------
    Missing
        When the calendar ends soon, or the ledger can't be used.
    """
    ran, failed = [], []
    while True:
        now = clock()
        reconcile(worker.ledger, worker.schedule, now)
        failed += tell(worker.ledger, now)
        done = None if worker.stop.is_set() else _one(worker, now)
        if done is None:
            break
        slot, ended = done
        page = {"report": ended.report, "error": ended.error}
        ran.append(
            {"job": slot.job, "session": slot.session, "status": ended.status}
            | {"seconds": ended.seconds, **page}
        )
        with about(job=slot.job, session=slot.session):
            event("job", status=ended.status, seconds=ended.seconds, error=ended.error)
        note = f" ({ended.error})" if ended.error else ""
        say(f"{slot.job} {slot.session}: {ended.status} in {ended.seconds:.1f} s{note}")
    with worker.ledger.beside() as connection:
        left = slots.unsettled(connection, now=iso(now))
    waiting = sum(slot.status not in ENDED for slot in left)
    return {"at": iso(now), "ran": ran, "waiting": waiting, "failed": failed}


def _one(worker: Worker, now: dt.datetime) -> tuple[Slot, Ended] | None:
    """Claim and run the first slot that is free; None where none is."""
    for slot, job in free(worker, now):
        by = claim(worker, slot, job or JobParams(name=slot.job, kind="day"))
        if by is None:
            continue
        mine = replace(slot, attempts=slot.attempts + 1)
        if job is None:
            return mine, _given_up(worker, mine, by.owner, "skipped", REMOVED)
        if mine.attempts - mine.failures > INTERRUPTED:
            why = f"its scheduler was killed {INTERRUPTED} times while it ran"
            return mine, _given_up(worker, mine, by.owner, "failed", why)
        return mine, run_slot(worker, slot, job, by=by, now=now)
    return None


def _given_up(worker: Worker, slot: Slot, owner: str, status: str, why: str) -> Ended:
    with worker.ledger.beside(write=True) as connection:
        by = slots.Claim(owner, 0.0, "")
        end = {"status": status, "error": why, "at": utc_now().isoformat(timespec="milliseconds")}
        slots.settle(connection, slot, by=by, end=end)
    return Ended(status, 0.0, error=why)


def free(worker: Worker, now: dt.datetime) -> list[tuple[Slot, JobParams | None]]:
    """Rows whose time has come and that wait for no other; whether they can be had, claiming says.

    Those of jobs that aren't scheduled any more come with None.
    """
    schedule = worker.schedule
    with worker.ledger.beside() as connection:
        left = slots.unsettled(connection, now=iso(now))
        starts = starts_of(connection, schedule, now)
        there = {(s.job, s.session): s for s in left if s.status not in ENDED}
        sessions = {session for _, session in there}
        there |= {(s.job, s.session): s for s in slots.of_sessions(connection, sessions)}
    found = []
    for slot in left:
        if slot.status in ENDED or slot.due_at > iso(now):
            continue
        if not waits_for(schedule, slot, starts=starts, there=there):
            found.append((slot, schedule.job(slot.job)))
    return found


def tell(ledger: Ledger, now: dt.datetime) -> list[dict[str, str]]:
    """Alert what was given up and isn't told yet; which that was.

    Killed between the alert and its mark, an alert would come twice: the chain is asked first.
    """
    with ledger.beside() as connection:
        left = slots.unsettled(connection, now=iso(now))
    untold = [s for s in left if s.status == "failed" and not s.told]
    known = {r["about"] for r in ledger.rows("operations", kind="alert")} if untold else set()
    for slot in untold:
        which = f"{slot.job}/{slot.session}/{slot.at}"
        if which not in known:
            text = f"job {slot.job} of {slot.session} failed for good: {slot.error}"[:500]
            alerted(ledger, text, at=now, about=which)
        with ledger.beside(write=True) as connection:
            slots.change(connection, slot, told=1)
    return [{"job": s.job, "session": s.session, "error": s.error} for s in untold]


def run_due(params: str, *, now: dt.datetime | None, say: Say) -> dict[str, Any]:
    """One pass, for cron and its like.

    Parameters
    ----------
    now : datetime or None
        Time by which things are due, with a time zone; None for the clock's.

    Returns
    -------
    dict
        As `one_pass`.

    Raises
    ------
    CheckFailed
        When a job was given up; `details` holds the pass.
    """
    done = one_pass(opened(params), utc_now if now is None else lambda: now, say=say)
    if done["failed"]:
        names = ", ".join(f"{f['job']} of {f['session']}" for f in done["failed"])
        remedy = "See `hybridnb schedule`; `hybridnb retry JOB SESSION` lets it run again."
        raise CheckFailed(f"given up: {names}", remedy=remedy, details=done)
    return done


def retry(job: str, session: str, *, reason: str) -> dict[str, Any]:
    """Let a job that was given up, or skipped itself, run again from the next pass on; recorded.

    Raises
    ------
    UsageError
        When there is no such slot, or it runs, waits or is done.
    """
    from hybridnb.app.operators import told, wall_time

    reason, ledger = told(reason), open_ledger()
    with ledger.beside(write=True) as connection:
        there = {s.job: s for s in slots.of_sessions(connection, [session])}
        slot = there.get(job)
        if slot is None or slot.status not in ("failed", "skipped") or not slot.attempts:
            state = f"is {slot.status}" if slot else "isn't in the schedule's table"
            raise UsageError(
                f"{job} of {session} {state}: nothing to retry",
                remedy="`hybridnb schedule` lists what failed.",
            )
        again = {"status": "due", "attempts": 1, "failures": 0, "error": "", "told": 0}
        slots.change(connection, slot, **again, epoch="", until=0.0)
    outcome_path(slot).unlink(missing_ok=True)
    row = {"kind": "job_retried", "job": job, "session": session, "reason": reason}
    ledger.append("operations", [row | {"at": wall_time()}])
    return {"job": job, "session": session, "status": "due", "reason": reason}


class Passing:
    """Keeps passing in a thread, until it is stopped; an error is told and the next pass tries.

    Parameters
    ----------
    params : str
        Folder of parameters; empty for the shipped ones.
    say : callable
        Gets a line a job, and an error's sentence.

    Attributes
    ----------
    last : mapping
        The last whole pass, as of `one_pass`; empty before it.
    problem : str
        What kept the newest pass from its end; empty where nothing did.
    """

    def __init__(self, *, params: str = "", say: Say) -> None:
        self._params, self._say = params, say
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.last: Mapping[str, Any] = {}
        self.problem = ""

    def start(self) -> None:
        """Begin; a second start changes nothing.

        Raises
        ------
        ParamsError, Missing
            When the schedule can't be read.
        """
        if self._thread is not None:
            return
        worker = opened(self._params, stop=self._stop)
        self._thread = threading.Thread(
            target=self._passes, args=(worker,), name="schedule", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End; a running job is given up and stays due. Returns when its processes are gone."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None
        self._stop.clear()

    def _passes(self, worker: Worker) -> None:
        told = ""
        while not self._stop.is_set():
            try:
                self.last = one_pass(worker, utc_now, say=self._say)
                self.problem = told = ""
            except Exception as error:  # noqa: BLE001 - it is told, and the next pass tries anew
                self.problem = f"{type(error).__name__}: {error}"
                if self.problem != told:  # the same one isn't said every few seconds
                    told = self.problem
                    self._say(f"schedule: {told} {getattr(error, 'remedy', '')}".strip())
            self._stop.wait(worker.schedule.every)
        worker.ledger.close()
