"""Static pages: readable offline, in light, dark and print, without scripts or outside requests."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

LIMIT = 1_000_000  # bytes of a page
# Characters of one output that is kept, tried in turn until the page is within `LIMIT`.
OUTPUT_LIMITS = (LIMIT, 200_000, 20_000, 1_000)
PRIORITY = (
    "image/svg+xml",
    "text/html",
    "text/markdown",
    "image/png",
    "image/jpeg",
    "text/plain",
)
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and cursor moves
# Elements that go with everything inside them; what is left of others is up to the sanitiser.
_GONE = re.compile(
    r"<(script|style|title|iframe|object|template)\b.*?(</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE
)
_TAGS = (
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure"
    " h1 h2 h3 h4 h5 h6 hr i img kbd li ol p pre s section small span strong sub summary sup table"
    " tbody td tfoot th thead tr u ul"
)
_ATTRIBUTES = ("align", "alt", "class", "colspan", "rowspan", "scope", "title", "href", "src")
# SVG elements that draw; scripts, foreign markup, animation and outside images are left out.
_DRAWN = (
    "svg g defs path rect circle ellipse line polyline polygon text tspan textPath use symbol"
    " clipPath mask marker pattern linearGradient radialGradient stop title desc image"
)


def page(title: str, body_html: str, *, nav: Sequence[tuple[str, str]] = ()) -> str:
    """A whole page around a body that is HTML already.

    Parameters
    ----------
    title : str
        Plain text.
    body_html : str
        Markup as it is; whoever made it has escaped it.
    nav : sequence of (label, relative link)
    """
    links = "".join(f"<a href='{escape(link)}'>{escape(label)}</a>" for label, link in nav)
    style = files("hybridnb.app").joinpath("templates/report.css").read_text(encoding="utf-8")
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<link rel='icon' href='data:,'>"
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f"{f'<nav>{links}</nav>' if links else ''}<main><h1>{escape(title)}</h1>{body_html}</main>"
        "</body></html>\n"
    )


def to_html(
    notebook: Any,
    *,
    title: str,
    banner: str | None = None,
    nav: Sequence[tuple[str, str]] = (),
) -> str:
    """An executed notebook as a page: code folded away, outputs shown.

    Parameters
    ----------
    notebook : NotebookNode or path
    title : str
        Takes the place of the notebook's own first heading.
    banner : str, optional
        What went wrong, shown on top.
    nav : sequence of (label, relative link)

    Returns
    -------
    str
        At most `LIMIT` bytes in UTF-8: where it would be more, long outputs are cut and say so.
    """
    import nbformat

    if isinstance(notebook, (str, Path)):
        notebook = nbformat.read(notebook, as_version=4)
    top = f"<p class='banner bad' role='alert'>{escape(banner)}</p>" if banner else ""
    for most in OUTPUT_LIMITS:
        text = page(title, top + _without_first_heading(_body(notebook, most)), nav=nav)
        if len(text.encode()) <= LIMIT:
            return text
    note = "<p class='banner'>The cells are too large for a page; open the notebook.</p>"
    return page(title, top[: LIMIT // 2] + note, nav=nav)


def _body(notebook: Any, most: int) -> str:
    """The notebook through our own nbconvert template, outputs longer than `most` cut."""
    from nbconvert.exporters import TemplateExporter
    from traitlets.config import Config

    base = Path(str(files("hybridnb.app").joinpath("templates")))
    exporter = TemplateExporter(
        config=Config({"NbConvertBase": {"display_data_priority": list(PRIORITY)}}),
        template_name="hybridnb",
        extra_template_basedirs=[str(base)],
        template_file="index.html.j2",
        filters=_filters(most),
    )
    body, _ = exporter.from_notebook_node(notebook)
    return str(body)


def _filters(most: int) -> dict[str, Callable[..., str]]:
    from nbconvert.filters import markdown2html

    drawn = iter(range(1_000_000))

    def text(value: Any) -> str:
        clean = _without_terminal(_joined(value))
        shown = f"<pre tabindex='0'>{escape(clean[:most])}</pre>" if clean.strip() else ""
        return shown + (_cut(len(clean)) if len(clean) > most else "")

    def error(output: Any) -> str:
        trace = "\n".join(output.get("traceback") or [f"{output.ename}: {output.evalue}"])
        clean = _without_terminal(trace)
        # The end of a traceback says what happened.
        cut = _cut(len(clean)) if len(clean) > most else ""
        return f"{cut}<pre class='bad' tabindex='0'>{escape(clean[-most:])}</pre>"

    def html(value: Any) -> str:
        found = _joined(value)
        if len(found) > most:
            return _cut(len(found))
        return f"<div class='scroll' tabindex='0'>{sanitised(found)}</div>"

    def markdown(value: Any) -> str:
        found = _joined(value)
        return sanitised(markdown2html(found[:most])) + (
            _cut(len(found)) if len(found) > most else ""
        )

    def svg(value: Any) -> str:
        found = drawing(_joined(value), prefix=f"s{next(drawn)}-")
        return f"<figure>{found}</figure>" if len(found) <= most else _cut(len(found))

    def image(output: Any, kind: str) -> str:
        found = re.sub(r"\s", "", _joined(output.data[kind]))
        if len(found) > most:
            return _cut(len(found))
        alt = escape(_joined(output.data.get("text/plain", ""))[:200])
        return f"<figure><img alt='{alt}' src='data:{kind};base64,{escape(found)}'></figure>"

    return {
        "report_text": text,
        "report_error": error,
        "report_html": html,
        "report_markdown": markdown,
        "report_svg": svg,
        "report_image": image,
    }


def sanitised(markup: str) -> str:
    """Rich text without scripts, styles, handlers, or anything that could be fetched.

    Links survive only inside the page (`#…`), images only as data.
    """
    import bleach

    cleaner = bleach.Cleaner(
        tags=frozenset(_TAGS.split()),
        attributes={"*": list(_ATTRIBUTES)},
        protocols={"data"},
        strip=True,
    )
    clean = str(cleaner.clean(_GONE.sub("", markup)))
    return re.sub(r"<a class=\"anchor-link\".*?</a>", "", clean, flags=re.DOTALL)


def drawing(markup: str, *, prefix: str = "") -> str:
    """An SVG that draws and does nothing else, fit to stand inside a page.

    Parameters
    ----------
    markup : str
        An SVG document. What isn't well-formed is answered by a sentence.
    prefix : str
        Put before every id, so that several drawings can stand on one page.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root = fromstring(re.sub(r"<!DOCTYPE[^>[]*>", "", markup))
    except (ET.ParseError, DefusedXmlException):
        return "<p class='quiet'>[a drawing that can't be read]</p>"
    if _plain_name(root.tag) != "svg":
        return "<p class='quiet'>[not a drawing]</p>"
    _cleaned(root, prefix)
    if root.find("title") is None and "aria-label" not in root.attrib:
        root.set("aria-hidden", "true")
    else:
        root.set("role", "img")
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def _cleaned(element: ET.Element, prefix: str) -> None:
    element.tag = _plain_name(element.tag)
    for name, value in list(element.attrib.items()):
        del element.attrib[name]
        short = _plain_name(name)
        kept = _attribute(short, value, prefix)
        if kept is not None:
            element.set(short, kept)
    for child in list(element):
        if isinstance(child.tag, str) and _plain_name(child.tag) in _DRAWN.split():
            _cleaned(child, prefix)
        else:
            element.remove(child)


def _attribute(name: str, value: str, prefix: str) -> str | None:
    """The attribute's safe value; None leaves it out."""
    if name.lower().startswith("on") or name in ("base", "space"):
        return None
    if name == "id":
        return prefix + value
    if name == "href":
        if value.startswith("#"):
            return f"#{prefix}{value[1:]}"
        return value if re.match(r"data:image/(png|jpeg);base64,", value) else None
    if re.search(r"url\((?!\s*[\"']?#)|@import|\\|expression\(", value, re.IGNORECASE):
        return None
    return re.sub(r"url\(\s*[\"']?#([^\"')]+)[\"']?\s*\)", rf"url(#{prefix}\1)", value)


def _plain_name(name: str) -> str:
    return name.rpartition("}")[2]


def _without_first_heading(body: str) -> str:
    """The page has a title of its own; the notebook's first heading would say it twice."""
    return re.sub(r"<h1\b.*?</h1>", "", body, count=1, flags=re.DOTALL)


def _joined(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value)


def _without_terminal(text: str) -> str:
    """Text as a terminal would show it: no colours, and of a progress bar its last state."""
    lines = _TERMINAL.sub("", text).split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def _cut(size: int) -> str:
    return (
        f"<p class='quiet'>[cut: {size:,} characters; the notebook beside this page has them]</p>"
    )
