"""Notebook runs outside the day, and what every run leaves in the records."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hybridnb import errors
from hybridnb.app.home import checkout, home, reports_folder, shipped
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.notebook_process import Heartbeat
from hybridnb.app.progress import Say
from hybridnb.app.reports_index import RUNS, write_reports_index
from hybridnb.app.runner import Job, Result, run_job, source_of
from hybridnb.app.settings import settings
from hybridnb.canonical import sha256
from hybridnb.errors import CheckFailed, HybridnbError, Missing, UsageError
from hybridnb.ledger.beats import Beat
from hybridnb.ledger.store import Ledger
from hybridnb.registry.manifest import Manifest, environment, git_state

if TYPE_CHECKING:
    from hybridnb.app.context import Context


def run_one(
    notebook: str, *, file: str | None, given: tuple[str, ...], out: str | None, say: Say
) -> dict[str, Any]:
    """Run one notebook with parameters.

    Parameters
    ----------
    notebook : str
        A path, or the name of a shipped notebook.
    file : str or None
        YAML mapping of parameters; `given` overrides it.
    given : tuple of str
        Each NAME=VALUE, the value read as YAML.
    out : str or None
        Folder of the result; by default one under the reports, another for other parameters
        and for a notebook that was changed.
    """
    path = _notebook(notebook)
    parameters = _file(file) | dict(_pair(text) for text in given)
    where, day = home(), settings(shipped("params")).day
    key = sha256([path.stem, source_of(path), parameters])[:8]
    group = str(parameters.get("session") or RUNS)
    job = Job(
        notebook=path,
        name=path.stem,
        parameters=parameters,
        out=Path(out) if out else reports_folder(where) / group / f"{path.stem}-{key}",
        wall_timeout=day.notebook_timeout,
        cell_timeout=day.cell_timeout,
        title=path.stem.replace("_", " ").capitalize(),
        beat=heartbeat(open_ledger(), f"{group}/{path.stem}-{key}"),
        memory=day.notebook_memory,
    )
    result = run_job(job, say=say)
    _row(open_ledger(), path.stem, result, {"parameters": parameters})
    write_reports_index(reports_folder(where))
    raise_for(result)
    return {"status": str(result.status), "report": str(result.html), "exports": result.exports}


def run_scheduled(
    notebook: str,
    *,
    job: str,
    session: str,
    parameters: Mapping[str, Any],
    limits: tuple[float, int],
    say: Say,
) -> Result:
    """Run a job's notebook for a session; a run that was completed before is kept.

    Its report lies with those of the day where the day was run, else in a folder beside it.

    Parameters
    ----------
    limits : tuple of float and int
        Seconds of the run, and MiB of its processes together.

    Raises
    ------
    HybridnbError
        As `raise_for`, for a run that didn't complete.
    """
    path, root = _notebook(notebook), reports_folder(home())
    group = session if (root / session / "day.json").is_file() else f"{session}-schedule"
    seconds, memory = limits
    ledger = open_ledger()
    asked = Job(
        notebook=path,
        name=job,
        parameters=parameters,
        out=root / group / job,
        wall_timeout=seconds,
        cell_timeout=max(1, int(seconds)),
        title=f"{job.replace('_', ' ').capitalize()} · {session}",
        beat=heartbeat(ledger, f"{group}/{job}"),
        memory=memory,
    )
    result = run_job(asked, say=say)
    if not result.reused:
        _row(ledger, job, result, {"parameters": dict(parameters)})
    write_reports_index(root)
    raise_for(result)
    return result


def heartbeat(ledger: Ledger, run: str) -> Heartbeat:
    """What keeps a run's heartbeats in the ledger's operational table."""

    def beat(cell: int, cells: int, seconds: float) -> None:
        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        ledger.beat(Beat(run, cell, cells, at, seconds))

    return beat


def _notebook(asked: str) -> Path:
    path = Path(asked)
    named = shipped("notebooks") / f"{asked.removesuffix('.ipynb')}.ipynb"
    for candidate in (path, named):
        if candidate.suffix == ".ipynb" and candidate.is_file():
            return candidate.resolve()
    known = ", ".join(sorted(p.stem for p in shipped("notebooks").glob("*.ipynb")))
    raise Missing(f"there is no notebook {asked}", remedy=f"Take one of: {known}, or a path.")


def _file(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} can't be read as YAML: {error}") from None
    if not isinstance(values, dict) or not all(isinstance(k, str) for k in values):
        raise UsageError(f"{path} holds no mapping of parameters", remedy="Write NAME: VALUE.")
    return values


def _pair(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise UsageError(f"-p {text} isn't NAME=VALUE", remedy="For instance: -p seed=7")
    try:
        return name, yaml.safe_load(value) if value else ""
    except yaml.YAMLError as error:
        raise UsageError(f"-p {text}: {error}") from None


def raise_for(result: Result) -> None:
    """Turn a run that didn't complete into the error it stands for.

    Raises
    ------
    HybridnbError
        The notebook's own error where it raised one of ours, else CheckFailed.
    """
    if result.status == "completed":
        return
    where = f"See {result.html}." if result.html else ""
    if result.error is None:
        raise CheckFailed(f"the notebook run {result.status}", remedy=where)
    known = getattr(errors, result.error.ename, None)
    message = f"{result.error.evalue} ({result.error.ename})"
    if isinstance(known, type) and issubclass(known, HybridnbError):
        failure = HybridnbError(message, remedy=where)
        failure.exit_code = known.exit_code
        raise failure
    raise CheckFailed(f"{message} in cell {result.error.cell}", remedy=where)


def recorded(ledger: Ledger, context: Context, result: Result, name: str) -> None:
    """A run's manifest, once: also of a run that was killed before it could leave one."""
    if ledger.rows("operations", kind="run", key=result.key):
        return
    bars = context.market.bars
    _row(
        ledger,
        name,
        result,
        {
            "parameters": {"feed": context.market.feed, "session": context.session},
            "policy_id": context.settings.policy.id,
            "feature_set": context.feature_set,
            "data": {
                "source": context.market.source,
                "digest": context.market.digest,
                "rows": len(bars),
                "symbols": sorted(bars["symbol"].unique()),
                "first": bars["session"].min(),
                "last": bars["session"].max(),
            },
            "seeds": {"seed": context.seed},
        },
    )


def _row(ledger: Ledger, name: str, result: Result, facts: dict[str, Any]) -> None:
    now = dt.datetime.now(dt.UTC)
    manifest = Manifest(
        id=f"run_{now:%Y%m%d_%H%M%S}_{secrets.token_hex(3)}",
        job=name,
        git=git_state(checkout()),
        environment=environment(),
        status=str(result.status),
        results=result.exports,
        runtime={"seconds": round(result.seconds, 3)},
        errors=[] if result.error is None else [f"{result.error.ename}: {result.error.evalue}"],
        **facts,
    )
    manifest.write(home().folder("runs") / f"{manifest.id}.json")
    digest = sha256(manifest.values())
    ledger.append(
        "operations",
        [
            {"kind": "run", "id": manifest.id, "job": name, "at": now.isoformat(timespec="seconds")}
            | {"status": str(result.status), "key": result.key, "manifest": digest}
        ],
    )
