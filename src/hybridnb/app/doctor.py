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

from hybridnb.app.home import VARIABLE, home, shipped
from hybridnb.app.ledgers import verify_ledger
from hybridnb.app.settings import settings
from hybridnb.errors import CheckFailed, HybridnbError

LEAST_DISK = 1 << 30  # bytes: models, ledger and reports of some months
AHEAD_DAYS = 30  # the schedule must know the exchange's next weeks
OLLAMA = "http://127.0.0.1:11434"


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
    found = [check() for check in (_python, _home, _disk, _params, _ledger, _calendar)]
    found += [_openai(), _ollama()]
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


def _openai() -> Finding:
    there = bool(os.environ.get("OPENAI_API_KEY"))
    detail = "OPENAI_API_KEY is set" if there else "OPENAI_API_KEY isn't set: no escalation"
    remedy = "Set it to ask a frontier model on escalation; trading doesn't need it."
    return Finding("openai key", there, detail, remedy, required=False)


def _ollama() -> Finding:
    import httpx

    address = os.environ.get("OLLAMA_HOST", OLLAMA)
    address = address if "://" in address else f"http://{address}"
    remedy = "Start `ollama serve` for prose post-mortems; trading doesn't need it."
    try:
        answer = httpx.get(f"{address}/api/version", timeout=2.0)
        answer.raise_for_status()
        return Finding("ollama", True, f"answers at {address}", required=False)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        detail = f"no answer at {address} ({type(error).__name__})"
        return Finding("ollama", False, detail, remedy, required=False)
