"""The main job: check the data, train if needed, review the gates, trade, write the post-mortem.

Each part is a notebook run by the runner in a process of its own. A part that is done is never
done twice; a killed day goes on where it stopped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridnb.app.asking import answer_pending, asking_of
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.enriching import enrich_session
from hybridnb.app.home import reports_folder, shipped
from hybridnb.app.index import write_index
from hybridnb.app.jobs import heartbeat, raise_for, recorded
from hybridnb.app.progress import Say
from hybridnb.app.reports_index import write_reports_index
from hybridnb.app.runner import Job, Result, run_job, write_atomically
from hybridnb.app.trading import Traded, check_book, read_traded
from hybridnb.app.training import trained_to
from hybridnb.canonical import sha256
from hybridnb.errors import Refused

JOBS = (
    ("training", "Training"),
    ("gate_review", "Gate review"),
    ("live_session", "Live session"),
    ("post_mortem", "Post-mortem"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a day's reports lie: one folder a session, one more for each other book or home."""

    folder: Path
    marker: dict[str, str]


def run_day(request: Request, *, say: Say, spend: bool = False) -> dict[str, Any]:
    """Run the main job; running it again changes nothing and says so.

    Parameters
    ----------
    spend : bool
        Ask the frontier about a session of an earlier date too, out of today's quota.

    Returns
    -------
    dict
        session, mode, decisions, orders, fills, equity, verdict, orders_sha256, ledger_head,
        reports.

    Raises
    ------
    InputError, ParamsError, UsageError
        Before anything is written.
    Refused
        When the session was traded with other inputs, or a later one was; when nothing may be
        traded, or the history is too short.
    """
    context = open_day(request)
    _say_market(context, say)
    trained_to(context)
    with context.home.locked("day"):
        return _run(context, say, spend)


def _run(context: Context, say: Say, spend: bool) -> dict[str, Any]:
    ledger = context.ledger()
    book = check_book(ledger, context)
    place = _place(context, book)
    done_before = read_traded(ledger, book, context.session) is not None
    results = {}
    for n, (name, title) in enumerate(JOBS, 1):
        result = _job(context, place, name, title, say=say)
        raise_for(result)
        recorded(ledger, context, result, name)
        again = " (done before, kept)" if result.reused else f": {result.seconds:.1f} s"
        say(f"[{n}/{len(JOBS)}] {title}{again}")
        results[name] = result
        if name == "live_session":
            asking = asking_of(context, book, spend=spend)
            answer_pending(asking, say)
            rows = ledger.rows("session", book=book, session=context.session)
            enrich_session(asking, rows, say)
    traded = read_traded(ledger, book, context.session)
    if traded is None:
        raise Refused(
            f"the reports in {place.folder} are done but the ledger holds no such session",
            remedy="Move that folder away and run the day again.",
        )
    if done_before and all(r.reused for r in results.values()):
        say(f"{context.session} was traded already: nothing was changed")
    return _summary(context, traded, results, place)


def _summary(
    context: Context, traded: Traded, results: dict[str, Result], place: Place
) -> dict[str, Any]:
    verdict = results["gate_review"].exports["verdict"]
    index = write_index(
        place.folder,
        traded=traded,
        exports={name: result.exports for name, result in results.items()},
        pages=[
            *((title, f"{name}/index.html") for name, title in JOBS),
            ("All reports", "../index.html"),
        ],
        policy=context.settings.policy,
        source=context.market.source,
    )
    write_reports_index(place.folder.parent)
    pages = [str(results[name].html) for name, _ in JOBS]
    return traded.summary() | {"verdict": verdict["status"], "reports": [str(index), *pages]}


def _job(context: Context, place: Place, name: str, title: str, *, say: Say) -> Result:
    day = context.settings.day
    job = Job(
        notebook=shipped("notebooks") / f"{name}.ipynb",
        name=name,
        parameters=parameters(context),
        out=place.folder / name,
        wall_timeout=day.notebook_timeout,
        cell_timeout=day.cell_timeout,
        title=f"{title} · {context.session}",
        beat=heartbeat(context.ledger(), f"{place.folder.name}/{name}"),
        memory=day.notebook_memory,
    )
    return run_job(job, say=say)


def parameters(context: Context) -> dict[str, Any]:
    """The parameters that every notebook of the day takes, all of them explicit."""
    request, market = context.request, context.market
    data = request.data or (context.settings.day.data if not request.feed else "")
    return {
        "feed": market.feed,
        "data": str(Path(data).absolute()) if data else "",  # a notebook runs elsewhere
        "session": context.session,
        "seed": context.seed,
        "profile": context.profile,
        "params": request.params,
    }


def _place(context: Context, book: str) -> Place:
    """The session's folder if it is free or ours, else one with our digest behind the date."""
    inputs = context.inputs
    marker = {"book": book, "inputs": sha256(inputs), "home": context.home.identity}
    root = reports_folder(context.home)
    for name in (context.session, f"{context.session}-{sha256(marker)[:8]}"):
        path = root / name / "day.json"
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
            write_atomically(path, json.dumps(marker, indent=1))
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")) == marker:
            return Place(path.parent, marker)
    raise Refused(f"{root / context.session} holds another day's reports", remedy="Move them away.")


def _say_market(context: Context, say: Say) -> None:
    market = context.market
    bars = market.bars
    say(
        f"{market.feed}: {len(bars):,} bars of {bars['symbol'].nunique()} symbols to"
        f" {context.session} ({market.calendar}, {market.currency}), from {market.source}"
    )
    for note in market.notes:
        say(f"  note: {note}")
    for symbol, reason in sorted(market.excluded.items()):
        say(f"  {symbol} left out: {reason}")
