"""Where a periodic report goes: a folder of its own, put in place whole and never rewritten."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from hybridnb.app.home import home, reports_folder
from hybridnb.app.html import page
from hybridnb.app.reports_index import write_reports_index

FACTS = "report.json"
Body = tuple[str, Mapping[str, Any]]  # markup, and the figures in it


def placed(
    job: str, session: str, title: str, make: Callable[[], Body], *, links: Sequence[str] = ()
) -> dict[str, Any]:
    """The report of a job for a session; made once, found again afterwards.

    Parameters
    ----------
    make : callable
        Called only when the report isn't there yet.
    links : sequence of str
        Sessions whose pages are linked where they are there.

    Returns
    -------
    dict
        report (its page), session, job, reused, index.
    """
    root = reports_folder(home())
    folder = root / session / job
    reused = (folder / FACTS).is_file()
    if not reused:
        body, facts = make()
        days = [day for day in links if (root / day / "index.html").is_file()]
        nav = [("All reports", "../../index.html")]
        nav += [(day, f"../../{day}/index.html") for day in days]
        _put(folder, page(title, body, nav=nav), {"job": job, "session": session} | dict(facts))
    index = write_reports_index(root)
    return {
        "report": str(folder / "index.html"),
        "session": session,
        "job": job,
        "reused": reused,
        "index": str(index),
    }


def _put(folder: Path, text: str, facts: Mapping[str, Any]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        (fresh / "index.html").write_text(text, encoding="utf-8")
        found = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        (fresh / FACTS).write_text(found, encoding="utf-8")
        try:
            fresh.rename(folder)
        except OSError:
            if not (folder / FACTS).is_file():  # else another process was first: its page stays
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def section(title: str, *parts: str, source: str = "") -> str:
    """A part of a report, with where its figures are from."""
    told = f"<p class='quiet'>Source: {_code(source)}</p>" if source else ""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}{told}</section>"


def cards(shown: Sequence[tuple[str, str]]) -> str:
    """A few figures at a glance."""
    each = (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in shown)
    return f"<dl class='cards'>{''.join(each)}</dl>"


def banner(text: str) -> str:
    """What a reader must know first."""
    return f"<p class='banner'>{_code(text)}</p>"


def _code(text: str) -> str:
    """Plain text as markup, names between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
