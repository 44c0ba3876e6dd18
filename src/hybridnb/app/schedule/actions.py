"""What a scheduled job can do: a closed list, each by name, each idempotent by its session.

The main job covers training, gate review, the session with its SIP sweep, and the post-mortem.
An action returns what it did; it raises one of our errors where it could not.
"""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from hybridnb.app.progress import Say
from hybridnb.errors import CheckFailed, Missing, UsageError

Outcome = Mapping[str, str]  # status (done, skipped), report (a page, or empty), note


@dataclass(frozen=True, slots=True)
class Order:
    """What one attempt of a job is told.

    Attributes
    ----------
    job, session, calendar : str
    now : datetime
        The pass's time, with a time zone.
    kind, run : str
        As in the schedule.
    parameters : mapping
        As in the schedule.
    params : str
        Folder of parameters; empty for the shipped ones.
    timeout : float
        Seconds of the attempt.
    memory : int
        MiB that a notebook's processes may hold together.
    recorded : tuple of str
        Feeds that ended in the past.
    """

    job: str
    session: str
    calendar: str
    now: dt.datetime
    kind: Literal["day", "notebook", "trade", "function"]
    run: str
    parameters: Mapping[str, Any]
    params: str
    timeout: float
    memory: int
    recorded: tuple[str, ...]


Action = Callable[[Order, Say], Outcome]


def done(report: object = "", note: str = "") -> Outcome:
    """The outcome of work that was done."""
    return {"status": "done", "report": str(report), "note": note}


def skipped(note: str) -> Outcome:
    """The outcome where there is nothing to work on."""
    return {"status": "skipped", "report": "", "note": note}


def data_check(order: Order, say: Say) -> Outcome:
    """Before the open: the feed reaches the session before, and the model in force loads."""
    from hybridnb.app.context import open_day
    from hybridnb.app.training import find_model, model_folder, trained_to
    from hybridnb.market.calendar import previous_session

    before = f"{previous_session(order.calendar, order.session):%Y-%m-%d}"
    why = _ended(order, before)
    if why:
        return skipped(why)
    context = open_day(_request(order, session=""))
    last = f"{context.market.bars['session'].max():%Y-%m-%d}"
    if last < before:
        raise CheckFailed(
            f"{context.market.feed} ends on {last}; the session {order.session} needs {before}",
            remedy="Deliver the missing bars, then run the schedule's next pass.",
        )
    to = trained_to(context)
    if not model_folder(context, to).is_dir():
        note = f"bars to {last}; the model as of {to:%Y-%m-%d} will be trained by the session"
        return done(note=note)
    model = find_model(context)
    return done(note=f"bars to {last}; model {model.version[:16]} loads, trained to {to:%Y-%m-%d}")


def drift_check(order: Order, say: Say) -> Outcome:
    """After the close: the last year's features against those before; a critical one fails."""
    from hybridnb.app.context import open_day
    from hybridnb.app.drifting import drifts
    from hybridnb.domain import Status

    why = _ended(order, order.session)
    if why:
        return skipped(why)
    found = drifts(open_day(_request(order)))
    critical = [check.name for check in found if check.status is Status.FAIL]
    if critical:
        raise CheckFailed(
            f"critical drift by {order.session}: {', '.join(critical)}",
            remedy="Look at the gate review of that session; training across it is blocked.",
        )
    return done(note=f"{len(found)} features, none drifted critically")


def checkpoint(order: Order, say: Say) -> Outcome:
    """After the close: both chains recomputed, then a backup; the newest `keep` stay (14)."""
    from hybridnb.app.backup import BACKUPS, make_backup
    from hybridnb.app.home import home
    from hybridnb.app.ledgers import verify_ledger

    found = verify_ledger()
    root = home().root
    folder = root.parent / f"{root.name}-{BACKUPS}"
    path = folder / f"checkpoint-{order.session}.zip"
    if not path.exists():  # made by an attempt that was cut short after it
        folder.mkdir(mode=0o700, exist_ok=True)
        made = make_backup(str(path))
        say(f"{made['files']} files in {path.name}")
    keep = int(order.parameters.get("keep", 14))
    for old in sorted(folder.glob("checkpoint-*.zip"))[: -max(keep, 1)]:
        old.unlink(missing_ok=True)
    return done(note=f"{found['rows']:,} rows hold, head {found['head'][:16]}; {path.name}")


def weekly_report(order: Order, say: Say) -> Outcome:
    """The week to the session: success metrics and service levels."""
    return _reported(_called("hybridnb.app.reporting:weekly_report", session=order.session))


def self_assessment(order: Order, say: Say) -> Outcome:
    """The year to the session: every control with its evidence."""
    return _reported(_called("hybridnb.app.reporting:self_assessment", session=order.session))


def doctor(order: Order, say: Say) -> Outcome:
    """What the product needs around it; a required check that fails, fails."""
    from hybridnb.app.doctor import examine

    found, _ = examine()
    return done(note=f"{len(found['checks'])} checks hold")


FUNCTIONS: Mapping[str, Action] = MappingProxyType(
    {
        f.__name__: f
        for f in (data_check, drift_check, checkpoint, weekly_report, self_assessment, doctor)
    }
)


def act(order: Order, say: Say, functions: Mapping[str, Action]) -> Outcome:
    """Do what an order says.

    Raises
    ------
    HybridnbError
        As the work does.
    """
    if order.kind == "function":
        return functions[order.run](order, say)
    return {"day": _day, "notebook": _notebook, "trade": _trade}[order.kind](order, say)


def _day(order: Order, say: Say) -> Outcome:
    from hybridnb.app.day import run_day

    why = _ended(order, order.session)
    if why:
        return skipped(why)
    found = run_day(_request(order), say=say)
    note = f"{found['mode']}, {found['orders']} orders, {found['fills']} fills,"
    return done(found["reports"][0], f"{note} equity {found['equity']:,.2f}")


def _trade(order: Order, say: Say) -> Outcome:
    from hybridnb.app.live_trading import trade_broker

    found = trade_broker(_request(order), order.run, seconds=None, say=say)
    return done(note=f"{found['mode']}, {found['orders']} orders, {found['fills']} fills")


def _notebook(order: Order, say: Say) -> Outcome:
    """Run a notebook; in its parameters `{session}` stands for the session."""
    from hybridnb.app.jobs import run_scheduled

    result = run_scheduled(
        order.run,
        job=order.job,
        session=order.session,
        parameters={
            name: order.session if value == "{session}" else value
            for name, value in order.parameters.items()
        },
        limits=(order.timeout, order.memory),
        say=say,
    )
    return done(result.html)


def _request(order: Order, session: str | None = None) -> Any:
    from hybridnb.app.context import Request

    known = {"feed", "data", "seed", "profile"}
    unknown = sorted(set(order.parameters) - known)
    if unknown:
        raise UsageError(
            f"the job {order.job} takes no {', '.join(unknown)}",
            remedy=f"Its parameters in schedule.yml: {', '.join(sorted(known))}.",
        )
    when = order.session if session is None else session
    given: dict[str, Any] = dict(order.parameters)
    return Request(**given, session=when, params=order.params)


def _ended(order: Order, needed: str) -> str:
    """Why there is nothing to do: a recorded feed ended before; empty where there may be."""
    from hybridnb.app.context import open_day
    from hybridnb.app.home import shipped
    from hybridnb.app.settings import settings

    folder = Path(order.params) if order.params else shipped("params")
    feed = order.parameters.get("feed") or settings(folder).day.feed
    if feed not in order.recorded:
        return ""
    last = f"{open_day(_request(order, session='')).market.bars['session'].max():%Y-%m-%d}"
    return f"the recorded feed {feed} ended on {last}" if last < needed else ""


def _called(target: str, *args: Any, **kwargs: Any) -> Any:
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name, None)
    if function is None:
        raise Missing(f"{module} has no {name}", remedy="Install a release that has it.")
    return function(*args, **kwargs)


def _reported(found: Mapping[str, Any]) -> Outcome:
    return done(found["report"])
