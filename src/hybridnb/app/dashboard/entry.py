"""What others call of the dashboard; whatever is heavy loads only when it is called."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from hybridnb.app.home import shipped

if TYPE_CHECKING:
    from hybridnb.app.dashboard.board import Board

TEMPLATE = "hybridnb-dashboard"
READ_ONLY = "HYBRIDNB_READ_ONLY"  # set to 1 for viewers: the page has no controls


def read_only() -> bool:
    """Whether this process serves viewers, who may look and do nothing."""
    return os.environ.get(READ_ONLY, "") not in ("", "0")


def open_board(
    *,
    book: str = "",
    stale_minutes: float = 5.0,
    stale_days: float = 4.0,
    poll_seconds: float = 0.4,
) -> Board:
    """The dashboard as one widget that keeps itself up to date.

    Parameters
    ----------
    book : str
        The book shown first; by default the one that trades now, else the newest.
    stale_minutes : float
        Data of a running session are old after so many minutes without a new fact.
    stale_days : float
        Data of a book at rest are old after so many days.
    poll_seconds : float
        How often the ledger's version is asked for.

    Returns
    -------
    Board
        Displays itself; `close()` ends its thread.
    """
    from hybridnb.app.dashboard.board import Board
    from hybridnb.app.dashboard.model import Staleness

    stale = Staleness(minutes=stale_minutes, days=stale_days)
    board = Board(book=book, stale=stale, poll_seconds=poll_seconds, read_only=read_only())
    board.start()
    return board


def dashboard_notebook() -> Path:
    """The notebook that Voila renders."""
    return shipped("notebooks") / "dashboard.ipynb"


def jupyter_data() -> Path:
    """The folder to put on `JUPYTER_PATH` for Voila to find the template `TEMPLATE`."""
    return Path(str(files("hybridnb.app.dashboard").joinpath("share")))


def template_paths() -> list[str]:
    """Where Voila's handlers and exporter look for the template's files, nearest first."""
    from jupyter_core.paths import jupyter_path
    from voila.paths import collect_template_paths

    roots = [str(jupyter_data()), *jupyter_path()]
    return [
        str(path) for path in collect_template_paths(["voila", "nbconvert"], TEMPLATE, False, roots)
    ]


def picture(
    out: Path,
    *,
    width: int = 1440,
    height: int = 900,
    scheme: str = "light",
    stale_days: float = 4.0,
) -> Path:
    """A screenshot of the dashboard of the home in force, taken with Chromium.

    Parameters
    ----------
    out : Path
        A PNG file.
    width, height : int
        Of the page, in pixels.
    scheme : {"light", "dark"}
    stale_days : float
        From when on the data of a book at rest are shown as old.

    Raises
    ------
    Missing
        Without Chromium or Playwright.
    """
    from hybridnb.app.dashboard.shot import take

    return take(out, width=width, height=height, scheme=scheme, stale_days=stale_days)
