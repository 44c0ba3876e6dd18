"""`reports/index.html`: every day, week, year and notebook that has a report, the newest first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

from hybridnb.app.html import page
from hybridnb.app.runner import write_atomically

PERIODIC = {"weekly_report": "week", "self_assessment": "year"}
RUNS = "runs"  # notebooks that were run by hand, of no session
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(-[0-9a-f]{8}|-schedule)?")
_LAST = re.compile(r"last-(\d+)-to-(\d{4}-\d{2}-\d{2})-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A page: its session, what it is, its words, and its address from the index."""

    session: str
    kind: str
    words: str
    link: str


def write_reports_index(root: Path) -> Path:
    """Write the index of a reports folder from what lies in it; unchanged, it isn't touched."""
    root.mkdir(parents=True, exist_ok=True)
    found = sorted(entries(root), key=lambda e: (e.session, e.link), reverse=True)
    path, text = root / "index.html", page("Reports", _body(found))
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)
    return path


def entries(root: Path) -> Iterator[Entry]:
    """Every page that a reader may open; folders that are being written are left out."""
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] != "."):
        if last := _LAST.fullmatch(folder.name):
            yield Entry(last[2], "sessions", f"last {last[1]}", f"{folder.name}/index.html")
        elif day := _DAY.fullmatch(folder.name):
            yield from _of_day(folder, day[1])
        elif folder.name == RUNS:
            for each in _of_day(folder, ""):
                yield Entry(each.words, "notebook", "run by hand", each.link)


def _of_day(folder: Path, session: str) -> Iterator[Entry]:
    if (folder / "index.html").is_file():
        yield Entry(session, "day", _book(folder), f"{folder.name}/index.html")
    for path in sorted(folder.glob("*/index.html")):
        name = path.parent.name
        if name[0] == ".":
            continue
        link = f"{folder.name}/{name}/index.html"
        if name in PERIODIC:
            yield Entry(session, PERIODIC[name], name.replace("_", " "), link)
        elif not (folder / "day.json").is_file() or not _part(folder, name):
            yield Entry(session, "job", name.replace("_", " "), link)


def _book(folder: Path) -> str:
    """Whose day it is; a folder without its marker is shown without."""
    path = folder / "day.json"
    if not path.is_file():
        return folder.name
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("book", folder.name))
    except (ValueError, AttributeError):
        return f"{folder.name} (its day.json can't be read)"


def _part(folder: Path, name: str) -> bool:
    """Whether the day's own page leads to it."""
    path = folder / "index.html"
    return path.is_file() and f"{name}/index.html" in path.read_text(encoding="utf-8")


def _body(found: list[Entry]) -> str:
    if not found:
        return "<p class='quiet'>No report yet.</p>"
    titles = {"year": "Years", "week": "Weeks", "sessions": "Stretches", "notebook": "Notebooks"}
    parts = []
    for kind, title in titles.items():
        some = [entry for entry in found if entry.kind == kind]
        if some:
            parts.append(f"<section><h2>{title}</h2>{_list(some)}</section>")
    days = [entry for entry in found if entry.kind in ("day", "job")]
    for month, of_month in groupby(days, key=lambda entry: entry.session[:7]):
        parts.append(f"<section><h2>{month}</h2>{_list(list(of_month))}</section>")
    return "".join(parts)


def _list(some: list[Entry]) -> str:
    rows = "".join(
        f"<tr><td><a href='{escape(e.link)}'>{escape(e.session)}</a></td>"
        f"<td>{escape(e.kind)}</td><td>{escape(e.words)}</td></tr>"
        for e in some
    )
    return (
        "<div class='scroll' tabindex='0'><table><thead><tr><th>session</th><th>page</th>"
        f"<th>of</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
