"""`hybridnb doctor`: what the product needs around it, each with its remedy."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from hybridnb.app.environment_checks import environment_checks
from hybridnb.app.escalation_params import FrontierParams, LocalParams
from hybridnb.app.home import VARIABLE, home, shipped
from hybridnb.app.ledgers import open_ledger, verify_ledger
from hybridnb.app.reasoners import KEY, open_reasoner
from hybridnb.app.settings import settings
from hybridnb.errors import CheckFailed, HybridnbError
from hybridnb.escalation.ollama_check import (
    GIGABYTE,
    LEAST_RAM,
    LEAST_VRAM,
    Memory,
    Readiness,
    free_memory,
)

LEAST_DISK = 1 << 30  # bytes: models, ledger and reports of some months
AHEAD = dt.timedelta(minutes=1)  # that a ledger's last entry may be ahead of the clock
AHEAD_DAYS = 30  # the schedule must know the exchange's next weeks


@dataclass(frozen=True, slots=True)
class Finding:
    """One check; `required` ones decide the exit code."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = True


def examine() -> tuple[dict[str, Any], str]:
    """All checks.

    Raises
    ------
    CheckFailed
        When a required check fails; the object with every check travels with it.
    """
    found = [check() for check in (_python, _home, _disk, _params, _ledger, _clock, _calendar)]
    found += _reasoners()
    found += [Finding(*told, required=False) for told in environment_checks()]
    failed = [f.check for f in found if f.required and not f.ok]
    done = {"ok": not failed, "checks": [asdict(f) for f in found]}
    text = "\n".join(_line(f) for f in found)
    if failed:
        raise CheckFailed(f"{text}\nfailed: {', '.join(failed)}", details=done)
    return done, text


def _line(found: Finding) -> str:
    mark = "ok  " if found.ok else "FAIL" if found.required else "–   "
    remedy = f"\n       {found.remedy}" if found.remedy and not found.ok else ""
    return f"{mark}  {found.check}: {found.detail}{remedy}"


def _tried(check: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(check, True, ask())
    except HybridnbError as error:
        return Finding(check, False, str(error), error.remedy)


def _python() -> Finding:
    version = ".".join(str(n) for n in sys.version_info[:3])
    return Finding("python", sys.version_info >= (3, 11), version, "Install Python 3.11 or later.")


def _home() -> Finding:
    def ask() -> str:
        root = home().root
        mode = stat.S_IMODE(root.stat().st_mode)
        if mode & 0o077 or not os.access(root, os.W_OK):
            raise CheckFailed(f"{root} has mode {mode:o}", remedy=f"chmod 700 {root}")
        return f"{root} is private and writable ({VARIABLE} chooses another)"

    return _tried("permissions", ask)


def _disk() -> Finding:
    free = shutil.disk_usage(home().root).free
    detail = f"{free / (1 << 30):.1f} GiB free"
    return Finding("disk", free >= LEAST_DISK, detail, "Free at least 1 GiB.")


def _params() -> Finding:
    def ask() -> str:
        return f"valid, policy {settings(shipped('params')).policy.id[:16]}"

    return _tried("params", ask)


def _ledger() -> Finding:
    def ask() -> str:
        return f"{verify_ledger()['rows']:,} rows verify"

    return _tried("ledger", ask)


def _clock() -> Finding:
    """A clock behind what the ledger was told before has gone back."""

    def ask() -> str:
        ledger, now = open_ledger(), dt.datetime.now(dt.UTC)
        told = [str(row["at"]) for row in ledger.rows("operations") if row.get("at")]
        told += [beat.at for beat in ledger.beats()[-1:]]
        times = [dt.datetime.fromisoformat(at) for at in told]
        last = max((at if at.tzinfo else at.replace(tzinfo=dt.UTC) for at in times), default=now)
        if last > now + AHEAD:
            raise CheckFailed(
                f"it is {now:%Y-%m-%d %H:%M} UTC here; the ledger was written at"
                f" {last:%Y-%m-%d %H:%M}",
                remedy="Set the clock by a time server before anything is traded.",
            )
        return f"{now:%Y-%m-%d %H:%M} UTC, not before the ledger's last entry"

    return _tried("clock", ask)


def _calendar() -> Finding:
    from hybridnb.market.calendar import known_until

    def ask() -> str:
        until, need = (
            known_until("XTSE"),
            dt.datetime.now(dt.UTC).date() + dt.timedelta(days=AHEAD_DAYS),
        )
        if until.date() < need:
            raise CheckFailed(
                f"XTSE is known until {until:%Y-%m-%d} only",
                remedy="pip install --upgrade exchange_calendars",
            )
        return f"XTSE is known until {until:%Y-%m-%d}"

    return _tried("calendar", ask)


def _reasoners() -> list[Finding]:
    """The reasoners that the parameters name; parameters that can't be read are told elsewhere."""
    try:
        asked = settings(shipped("params")).escalation
    except HybridnbError:
        return []
    return [frontier_finding(asked.frontier), *local_findings(asked.local, free_memory())]


def frontier_finding(params: FrontierParams) -> Finding:
    """Whether the frontier could be asked: is its key there? It is never shown, nor tried."""
    name = params.reasoner
    if not name:
        return Finding("frontier", True, "none is configured: it is never asked", required=False)
    try:
        reasoner = open_reasoner(params)
    except HybridnbError as error:
        remedy = f"{error.remedy} Trading doesn't need it."
        return Finding(f"{name} key", False, f"{error}: no escalation", remedy, required=False)
    where = params.settings.get("base_url", "its own address")
    if reasoner is not None:
        reasoner.close()
        where = getattr(getattr(reasoner, "settings", None), "base_url", where)
    detail = f"{KEY} is set; {where} would be asked" if name == "openai" else f"{name} is installed"
    return Finding(f"{name} key", True, detail, required=False)


def local_findings(params: LocalParams, memory: Memory) -> list[Finding]:
    """Whether the local reasoner is there with its model, and room for it.

    Parameters
    ----------
    params : LocalParams
    memory : Memory
        What is free on this machine.
    """
    name = params.reasoner
    if not name:
        none = "none is configured: rules answer escalations, reports are written without prose"
        return [Finding("local reasoner", True, none, required=False)]
    try:
        reasoner = open_reasoner(params)
    except HybridnbError as error:
        return [Finding(name, False, str(error), error.remedy, required=False)]
    check = getattr(reasoner, "check", None)
    if check is None:
        return [Finding(name, True, f"{name} is installed; it tells no more", required=False)]
    found: Readiness = check(memory)
    if not found.ready:
        remedy = f"Run `{found.remedy}`; trading doesn't need it."
        server = f"version {found.version}; " if found.version else ""
        told = Finding(name, False, f"{server}{found.problem}", remedy, required=False)
    else:
        model = params.settings.get("model", "its model")
        detail = f"version {found.version}, {model} with digest {found.digest}"
        told = Finding(name, True, detail, required=False)
    return [told, _memory(f"{name} memory", found)]


def _memory(check: str, found: Readiness) -> Finding:
    """Free memory beside what the model takes; unknown is told, and isn't too little."""
    if found.loaded:
        return Finding(check, True, "the model is loaded", required=False)
    free = (("VRAM", found.memory.vram, LEAST_VRAM), ("RAM", found.memory.ram, LEAST_RAM))
    detail = ", ".join(
        f"{kind}: {'unknown' if there is None else f'{there / GIGABYTE:.1f} GB free'}"
        f" ({least / GIGABYTE:.0f} GB expected)"
        for kind, there, least in free
    )
    short = [kind for kind, there, least in free if there is not None and there < least]
    remedy = f"Free {' and '.join(short)}, or configure a smaller model: it will be slow."
    return Finding(check, not short, detail, remedy, required=False)
