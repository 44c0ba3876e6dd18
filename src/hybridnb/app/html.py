"""Static pages: readable offline, in light, dark and print, without scripts or outside requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

LIMIT = 1_000_000  # bytes of a page
OUTPUT_LIMIT = 200_000  # characters of one output that is cut when the page is too large
# Colours and cursor moves of terminals, and carriage returns of progress bars.
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\n]*\r(?!\n)")


def page(title: str, body: str, *, nav: Sequence[tuple[str, str]] = ()) -> str:
    """A whole page around a body that is HTML already.

    Parameters
    ----------
    nav : sequence of (label, relative link)
    """
    links = "".join(f"<a href='{escape(link)}'>{escape(label)}</a>" for label, link in nav)
    style = files("hybridnb.app").joinpath("templates/report.css").read_text(encoding="utf-8")
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f"{f'<nav>{links}</nav>' if links else ''}<main><h1>{escape(title)}</h1>{body}</main>"
        "</body></html>\n"
    )


def to_html(notebook: Any, *, title: str, banner: str = "") -> str:
    """An executed notebook as a page: code folded away, outputs shown.

    Parameters
    ----------
    notebook : NotebookNode
    banner : str
        What went wrong, shown on top.

    Returns
    -------
    str
        At most `LIMIT` bytes: where it would be more, long outputs are cut and say so.
    """
    for most in (10 * LIMIT, OUTPUT_LIMIT, 20_000, 1_000):
        cells = [_cell(cell, most) for cell in notebook.cells]
        top = f"<p class='banner bad'>{escape(banner)}</p>" if banner else ""
        text = page(title, top + "\n".join(cells), nav=[("The day", "../index.html")])
        if len(text.encode()) <= LIMIT:
            return text
    note = "<p class='banner'>The outputs are too large for a page; open the notebook.</p>"
    return page(title, top + note)


def _cell(cell: Any, most: int) -> str:
    if cell.cell_type == "markdown":
        return f"<div class='cell'>{_markdown(cell.source)}</div>"
    if cell.cell_type != "code":
        return ""
    code = f"<details><summary>code</summary><pre>{escape(cell.source)}</pre></details>"
    shown = "".join(_output(output, most) for output in cell.outputs)
    return f"<div class='cell'>{code}{shown}</div>"


def _markdown(source: str) -> str:
    from nbconvert.filters import markdown2html

    found = str(markdown2html(source))
    # The page has its own title; anchors and links of the converter aren't wanted.
    found = re.sub(r"<h1.*?</h1>", "", found, count=1, flags=re.DOTALL)
    return re.sub(r"<a class=\"anchor-link\".*?</a>", "", found, flags=re.DOTALL)


def _output(output: Any, most: int) -> str:
    if output.output_type == "stream":
        return _text(output.text, most)
    if output.output_type == "error":
        trace = "\n".join(output.get("traceback") or [f"{output.ename}: {output.evalue}"])
        return f"<pre class='bad'>{escape(_TERMINAL.sub('', trace))}</pre>"
    data = output.get("data", {})
    for kind in ("image/svg+xml", "text/html"):
        if kind in data:
            found = _inert(_joined(data[kind]))
            if len(found) > most:
                return _cut(len(found))
            wrap = "figure" if kind.endswith("xml") else "div class='scroll' tabindex='0'"
            return f"<{wrap}>{found}</{wrap.split()[0]}>"
    if "image/png" in data:
        found = _joined(data["image/png"]).replace("\n", "")
        if len(found) > most:
            return _cut(len(found))
        return f"<figure><img alt='' src='data:image/png;base64,{escape(found)}'></figure>"
    return _text(_joined(data["text/plain"]), most) if "text/plain" in data else ""


def _joined(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value)


def _text(text: str, most: int) -> str:
    clean = _TERMINAL.sub("", text)
    shown = f"<pre>{escape(clean[:most])}</pre>" if clean.strip() else ""
    return shown + (_cut(len(clean)) if len(clean) > most else "")


def _cut(size: int) -> str:
    return f"<p class='quiet'>[{size:,} characters; the notebook beside this page has them all]</p>"


def _inert(markup: str) -> str:
    """Rich output without scripts, styles, handlers or anything fetched from outside."""
    markup = re.sub(
        r"<(script|style|iframe|object|embed|link)\b.*?(</\1\s*>|/>|\Z)",
        "",
        markup,
        flags=re.DOTALL | re.IGNORECASE,
    )
    markup = re.sub(r"\son\w+\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+)", "", markup, flags=re.IGNORECASE)
    outside = r"\s(src|href|srcset|xlink:href)\s*=\s*([\"']?)\s*(?!#|data:)[^\"'\s>]*\2"
    return re.sub(outside, "", markup, flags=re.IGNORECASE)
