"""A page as PDF, printed by Chromium: on request only, since it takes a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from hybridnb.errors import CheckFailed, Missing

BROWSER = "HYBRIDNB_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 120
_REMEDY = f"Install Chromium (apt-get install chromium), or set {BROWSER} to its program."
# Offline, with nothing of the user's, and without chatter of its own.
_QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def browser() -> str:
    """The browser's program.

    Raises
    ------
    Missing
        When there is none.
    """
    given = os.environ.get(BROWSER)
    if given:
        found = shutil.which(given)
        if found is None:
            raise Missing(f"{BROWSER} names {given}, which is no program", remedy=_REMEDY)
        return found
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise Missing("a PDF needs Chromium, which isn't installed", remedy=_REMEDY)


def print_pdf(page: Path, to: Path | None = None) -> Path:
    """Print a page of ours, whole or not at all.

    Parameters
    ----------
    page : Path
        HTML that needs nothing from outside.
    to : Path or None
        By default beside the page, with its name; one that is there already stays.

    Raises
    ------
    Missing
        When there is no page or no browser.
    CheckFailed
        When the browser fails, with its own words, or takes too long.
    """
    target = to or page.with_suffix(".pdf")
    if not page.is_file():
        raise Missing(f"{page} isn't there")
    if target.is_file() and target.stat().st_mtime >= page.stat().st_mtime:
        return target
    program = browser()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hybridnb-pdf-") as name:
        made = Path(name, "out.pdf")
        call = [program, *_QUIET, *_rootless(), f"--user-data-dir={name}/profile"]
        call += ["--no-pdf-header-footer", f"--print-to-pdf={made}", page.resolve().as_uri()]
        told = _run(call)
        if not made.is_file() or made.read_bytes()[:5] != b"%PDF-":
            raise CheckFailed(f"{Path(program).name} printed nothing: {told}", remedy=_REMEDY)
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(made, fresh)
        os.replace(fresh, target)
    return target


def _rootless() -> tuple[str, ...]:
    """Chromium's sandbox doesn't start for root; the pages are our own, without scripts."""
    return ("--no-sandbox",) if os.geteuid() == 0 else ()


def _run(call: list[str]) -> str:
    """The last line of what the browser said."""
    try:
        done = subprocess.run(call, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"the browser took more than {SECONDS} seconds") from None
    except OSError as error:
        raise Missing(f"{call[0]} can't be run: {error.strerror}", remedy=_REMEDY) from None
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"exit {done.returncode}" + (f", {lines[-1][:200]}" if lines else "")
